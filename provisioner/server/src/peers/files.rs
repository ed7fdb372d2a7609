//! Files of images and guests, on each appliance: fetched from the others by digest, and checked.
//!
//! Whoever leads has the others fetch a file before it says that it is there: what a majority has outlives the leader.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use ring::digest::{Context, SHA256};
use tokio::sync::watch;

use super::{Peers, dial, peer_address};
use crate::blobs::PARTIAL;
use crate::error::Error;
use crate::images::check_room;
use crate::util::{hex, private_folder, random, stopped, sync_folder};

/// How often it is looked for files that are not here.
const EVERY: Duration = Duration::from_secs(1);
/// Longest silence of whoever sends a file.
const SILENCE: Duration = Duration::from_secs(30);
/// Time for one appliance to fetch one file.
const FETCH: Duration = Duration::from_secs(1800);
/// The same of an image.
const FETCH_IMAGE: Duration = Duration::from_secs(60);

/// A file that the store names: folder and digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) folder: &'static str,
    pub(super) digest: String,
}

impl Named {
    /// From a path of a request: nothing else leaves the data folder.
    pub(super) fn read(folder: &str, digest: &str) -> Option<Self> {
        let folder = ["files", "blobs"].into_iter().find(|known| *known == folder)?;
        let good = digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self { folder, digest: digest.to_string() })
    }

    fn request(&self, verb: &str) -> String {
        format!("/cluster/{verb}/{}/{}", self.folder, self.digest)
    }
}

impl Peers {
    pub(super) fn path(&self, named: &Named) -> PathBuf {
        self.data.join(named.folder).join(&named.digest)
    }

    /// Files that the store names and that are not here.
    pub(super) async fn lacking(&self) -> Result<Vec<Named>, Error> {
        let mut named = Vec::new();
        for image in self.store.images().await? {
            named.extend(
                [image.file, image.bios_file].into_iter().filter_map(|file| Named::read("files", &file)),
            );
        }
        for blob in self.store.blobs().await? {
            named.extend(Named::read("blobs", &blob.digest));
        }
        named.sort();
        named.dedup();
        named.retain(|named| !self.path(named).exists());
        Ok(named)
    }

    /// Fetches what is not here, from whoever has it; how many came.
    pub async fn fetch_missing(&self) -> Result<usize, Error> {
        let lacking = self.lacking().await?;
        if lacking.is_empty() {
            return Ok(0);
        }
        let others = self.others().await?;
        let mut came = 0usize;
        for named in lacking {
            for (_, at) in &others {
                match self.fetch(*at, &named).await {
                    Ok(()) => {
                        came = came.saturating_add(1);
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(%at, digest = named.digest, error = crate::chain(&error), "not fetched");
                    }
                }
            }
        }
        Ok(came)
    }

    /// Does so until `stop`, trust documents too, and says when something came.
    pub async fn keep_fetching(self: Arc<Self>, came: watch::Sender<u64>, mut stop: watch::Receiver<bool>) {
        loop {
            match self.fetch_missing().await {
                Ok(0) => {}
                Ok(count) => came.send_modify(|all| *all = all.saturating_add(count as u64)),
                Err(error) => tracing::debug!(error = crate::chain(&error), "files of the other appliances"),
            }
            if let Err(error) = self.carry_documents(&came).await {
                tracing::debug!(error = crate::chain(&error), "trust documents of the other appliances");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Fetches one file from one appliance.
    pub(super) async fn fetch(&self, at: SocketAddr, named: &Named) -> Result<(), Error> {
        let at = peer_address(at);
        let request = Request::get(named.request("file")).header(header::HOST, at.to_string());
        let request = request.body(Body::empty()).map_err(io::Error::other)?;
        let answered = tokio::time::timeout(SILENCE, dial::send(&self.client, at, request)).await;
        let response = answered.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(format!("{at} answered {}", response.status())).into());
        }
        let folder = self.data.join(named.folder);
        private_folder(&folder)?;
        // The name of what broken uploads leave: it goes at the next start.
        let partial = folder.join(format!("{PARTIAL}{}", hex(&random::<8>())));
        let taken = take(&folder, &partial, named, response.into_body()).await;
        if taken.is_err() {
            let _ = fs::remove_file(&partial);
        }
        taken
    }

    /// Has the others fetch a file from here, until a majority has it.
    pub(crate) async fn spread(&self, folder: &str, digest: &str) -> Result<(), Error> {
        let Some(named) = Named::read(folder, digest) else { return Ok(()) };
        let standing = self.store.standing().await?;
        let voters = standing.holders.iter().filter(|holder| holder.voter).count();
        let path = format!("{}/{}", named.request("fetch"), self.member.id);
        // Images are small, and all changes wait for them.
        let limit = if named.folder == "files" { FETCH_IMAGE } else { FETCH };
        let others = standing.holders.iter().filter(|holder| holder.id != standing.own && holder.voter);
        let asked = others.filter_map(|holder| {
            let at = peer_address(holder.address.parse().ok()?);
            let asked = ("POST", path.as_str());
            Some(dial::ask(&self.client, at, asked, None, Vec::new(), limit))
        });
        let mut have = 1usize;
        let mut asked: futures_util::stream::FuturesUnordered<_> = asked.collect();
        while have.saturating_mul(2) <= voters {
            match futures_util::StreamExt::next(&mut asked).await {
                Some(Ok(_)) => have = have.saturating_add(1),
                Some(Err(error)) => tracing::warn!(%error, digest, "an appliance did not take a file"),
                None => {
                    return Err(Error::refused(
                        503,
                        "no-majority",
                        "too few of the appliances took the file",
                        "nothing was done; see which answer: weft appliance list",
                    ));
                }
            }
        }
        Ok(())
    }
}

async fn take(
    folder: &Path,
    partial: &Path,
    named: &Named,
    mut body: hyper::body::Incoming,
) -> Result<(), Error> {
    check_room(folder, 0)?;
    let mut options = fs::OpenOptions::new();
    let mut file = options.create_new(true).write(true).mode(0o600).open(partial)?;
    let mut context = Context::new(&SHA256);
    let mut unchecked = 0usize;
    loop {
        let Ok(frame) = tokio::time::timeout(SILENCE, body.frame()).await else {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        };
        let Some(frame) = frame else { break };
        let Ok(piece) = frame.map_err(io::Error::other)?.into_data() else { continue };
        unchecked = unchecked.saturating_add(piece.len());
        if unchecked > 8 * 1024 * 1024 {
            check_room(folder, unchecked as u64)?;
            unchecked = 0;
        }
        context.update(&piece);
        file.write_all(&piece)?;
    }
    if hex(context.finish().as_ref()) != named.digest {
        return Err(io::Error::other("what came is not what it is called").into());
    }
    let (folder, partial, target) = (folder.to_path_buf(), partial.to_path_buf(), folder.join(&named.digest));
    let kept = tokio::task::spawn_blocking(move || -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&partial, &target)?;
        sync_folder(&folder)
    });
    Ok(kept.await.map_err(io::Error::other)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_file_by_its_digest_can_be_named() {
        let digest = "0a".repeat(32);
        assert!(Named::read("files", &digest).is_some() && Named::read("blobs", &digest).is_some());
        for (folder, digest) in
            [("keys", digest.as_str()), ("files", "../keys/seal.key"), ("blobs", "0A"), ("", "")]
        {
            assert_eq!(Named::read(folder, digest), None, "{folder}/{digest}");
        }
    }
}
