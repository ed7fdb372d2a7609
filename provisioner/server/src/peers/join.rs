//! `weft appliance invite` and `weft appliance join`: another appliance gets what it needs, once.
//!
//! ```text
//! invite ─▶ authority's digest, secret (its digest in the store, an hour) ─▶ a person carries it ─▶ join
//! join ─▶ TLS to one that the authority vouches for ─▶ secret ─▶ used up, a number drawn ─▶ keys, documents, secrets, authority
//!      ─▶ DIR/.restoring, as a restore ─▶ renamed into DIR
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weft_store::{API_SECRET, ApplianceRow, NewEvent, RAFT_SECRET};

use super::ca::{self, CaError};
use super::{FOLDER, Member, Peers, PeersError, dial, peer_address};
use crate::core::{Core, event};
use crate::error::Error;
use crate::restore::{self, RestoreError};
use crate::util::{hex, private_folder, random, sha256, unhex, unix_s, write_whole};

/// How long an invitation is good.
const GOOD_S: u64 = 3600;
/// How an invitation begins.
const WORD: &str = "weft-join";
/// Longest name.
const MAX_NAME: usize = 63;
/// Time for the answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one that joins asks with.
#[derive(Serialize, Deserialize)]
pub(super) struct Ask {
    secret: String,
    name: String,
    address: SocketAddr,
}

/// What it is given. Its files are secrets.
#[derive(Serialize, Deserialize)]
pub(super) struct Given {
    id: u64,
    known: Vec<(u64, SocketAddr)>,
    /// Path in the data folder, and bytes in hexadecimal.
    files: BTreeMap<String, String>,
}

/// Why an appliance did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The text.
    #[error("this is no invitation")]
    Invitation,
    /// The name.
    #[error("{0} is no name: letters, digits, - and .")]
    Name(String),
    /// None of the others answered as it should.
    #[error("none of the appliances took it in")]
    Refused(#[source] io::Error),
    /// What came back.
    #[error("the answer is not understood")]
    Answer,
    /// Certificates.
    #[error("certificates of the appliances")]
    Ca(#[from] CaError),
    /// A file or folder.
    #[error("cannot write to {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] RestoreError),
    /// What it says of itself.
    #[error(transparent)]
    Peers(#[from] PeersError),
}

fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(good)
}

impl Core {
    /// An invitation for one more appliance, good for an hour and once.
    pub async fn invite(&self, actor: &str) -> Result<String, Error> {
        let Some(peers) = &self.peers else {
            return Err(Error::refused(
                409,
                "single",
                "this appliance is the only one, and others cannot reach it",
                "stop it, then: weft appliance found --data DIR --address ADDRESS:PORT",
            ));
        };
        let secret = hex(&random::<32>());
        self.store.put_invitation(&hex(&sha256(secret.as_bytes())), unix_s().saturating_add(GOOD_S)).await?;
        let told = NewEvent {
            actor: actor.to_string(),
            ..event("appliance.invited", "info", "an invitation for another appliance, good for an hour")
        };
        self.commit(weft_store::Batch::new(crate::util::now(), actor, "appliance invite").event(told))
            .await?;
        let mut at = vec![peers.listen()];
        at.extend(peers.others().await?.into_iter().map(|(_, at)| peer_address(at)));
        let at: Vec<String> = at.iter().map(ToString::to_string).collect();
        Ok(format!("{WORD}/1/{}/{}/{secret}", at.join(","), hex(&peers.authority)))
    }
}

impl Peers {
    /// Takes another one in, where its invitation is good.
    pub(super) async fn take_in(&self, core: &Core, ask: &Ask) -> Result<Given, Error> {
        let refused = |title: &str, next: &str| Error::refused(403, "not-invited", title, next);
        if !is_name(&ask.name) {
            return Err(Error::refused(422, "bad-name", "this is no name", "letters, digits, - and ."));
        }
        let not_good = || {
            refused(
                "the invitation is not good: it was used, is older than an hour, or is of other appliances",
                "make another: weft appliance invite --data DIR",
            )
        };
        let hash = hex(&sha256(ask.secret.as_bytes()));
        // Who guesses makes no change wait.
        if !core.store.knows_invitation(&hash, unix_s()).await? {
            return Err(not_good());
        }
        let _change = core.change.lock().await;
        let rows = core.store.appliances().await?;
        let address = ask.address.to_string();
        let taken = rows.iter().any(|row| row.name == ask.name || row.address == address);
        if !core.store.take_invitation(&hash, unix_s()).await? {
            return Err(not_good());
        }
        if taken {
            return Err(Error::refused(
                409,
                "taken",
                "an appliance of this name or address is there",
                "choose others, or remove that one first: weft appliance remove NAME; then make another invitation",
            ));
        }
        let id = core.store.next_appliance().await?;
        let row = ApplianceRow { id, name: ask.name.clone(), address, urls: Vec::new() };
        core.store.put_appliance(&row).await?;
        let text = format!("appliance {} joins at {}", ask.name, ask.address);
        let told = event("appliance.joins", "info", text);
        core.commit(weft_store::Batch::new(crate::util::now(), "appliance", "appliance join").event(told))
            .await?;
        let mut known = vec![(self.member.id, self.member.address)];
        known.extend(self.others().await?);
        Ok(Given { id, known, files: self.secrets()? })
    }

    fn secrets(&self) -> io::Result<BTreeMap<String, String>> {
        let names = weft_backup::small_parts().map(ToString::to_string);
        // Each gives addresses out of the store.
        let mut names: Vec<String> = names.filter(|name| name != "leases").collect();
        names.extend([RAFT_SECRET, API_SECRET].map(|name| format!("store/{name}")));
        names.extend(["ca.pem", "ca.key"].map(|name| format!("{FOLDER}/{name}")));
        let mut files = BTreeMap::new();
        for name in names {
            match fs::read(self.data.join(&name)) {
                Ok(bytes) => _ = files.insert(name, hex(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }
}

/// Joins: asks with the invitation, and makes the empty folder `data` an appliance's, which is taken in when it runs.
pub async fn join(data: &Path, invitation: &str, name: &str, address: SocketAddr) -> Result<(), JoinError> {
    let mut parts = invitation.trim().splitn(5, '/');
    let mut part = || parts.next().ok_or(JoinError::Invitation);
    if (part()?, part()?) != (WORD, "1") {
        return Err(JoinError::Invitation);
    }
    let at: Vec<SocketAddr> =
        part()?.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| JoinError::Invitation)?;
    let authority = unhex::<32>(part()?).ok_or(JoinError::Invitation)?;
    let secret = part()?.to_string();
    if !is_name(name) {
        return Err(JoinError::Name(name.to_string()));
    }
    let made = restore::begin(data)?;
    let done: Result<(), JoinError> = async {
        let given = asked(&at, authority, &Ask { secret, name: name.to_string(), address }).await?;
        filled(&data.join(restore::RESTORING), given, name, address)?;
        Ok(restore::settle(data, &data.join(restore::RESTORING))?)
    }
    .await;
    if done.is_err() {
        restore::clear(data, made);
    }
    done
}

async fn asked(at: &[SocketAddr], authority: [u8; 32], ask: &Ask) -> Result<Given, JoinError> {
    let tls = ca::joining(authority)?;
    let body = serde_json::to_vec(ask).map_err(|_| JoinError::Invitation)?;
    let mut why = io::Error::from(io::ErrorKind::NotFound);
    for at in at {
        // One that does not lead says so, and nothing is used up.
        match dial::ask(&tls, *at, ("POST", "/cluster/join"), None, body.clone(), PATIENCE).await {
            Ok(answer) => return serde_json::from_slice(&answer).map_err(|_| JoinError::Answer),
            Err(error) => why = error,
        }
    }
    Err(JoinError::Refused(why))
}

/// Whether this is one of the files that a join brings.
fn is_ours(name: &str) -> bool {
    let cluster = ["cluster/ca.pem", "cluster/ca.key", "store/raft.secret", "store/api.secret"];
    cluster.contains(&name) || weft_backup::small_parts().any(|part| part == name)
}

fn filled(at: &Path, given: Given, name: &str, address: SocketAddr) -> Result<(), JoinError> {
    for folder in ["keys", "trust", "tls", "files", "blobs", "store", FOLDER] {
        let path = at.join(folder);
        private_folder(&path).map_err(|source| JoinError::File { path, source })?;
    }
    let place = |name: &str, bytes: &[u8]| {
        let public = name.ends_with(".pem") && !name.ends_with("key.pem") || name.starts_with("trust/");
        let path = at.join(name);
        write_whole(&path, bytes, if public { 0o644 } else { 0o600 })
            .map_err(|source| JoinError::File { path, source })
    };
    let text = |name: &str| given.files.get(name).and_then(|text| bytes(text)).ok_or(JoinError::Answer);
    for name in given.files.keys() {
        if !is_ours(name) {
            return Err(JoinError::Answer);
        }
        place(name, &text(name)?)?;
    }
    let pem = |name: &str| String::from_utf8(text(name)?).map_err(|_| JoinError::Answer);
    let (cert, key) = ca::issue(&pem("cluster/ca.pem")?, &pem("cluster/ca.key")?, address.ip())?;
    place("cluster/cert.pem", cert.as_bytes())?;
    place("cluster/key.pem", key.as_bytes())?;
    let member = Member { id: given.id, name: name.to_string(), address, joined: false, known: given.known };
    Ok(member.write(at)?)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| unhex::<1>(std::str::from_utf8(pair).ok()?));
    pairs.map(|byte| byte.map(|[byte]| byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_an_appliance_are_taken_from_others() {
        for good in ["keys/channel.key", "trust/roots.bin", "cluster/ca.key", "store/raft.secret"] {
            assert!(is_ours(good), "{good}");
        }
        for bad in ["../x", "/etc/passwd", "keys/../../x", "cluster/member.json", "store/db/x", ""] {
            assert!(!is_ours(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_is_no_invitation_touches_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let at = "127.0.0.1:1".parse().expect("an address");
        let fp = "00".repeat(32);
        for text in ["", "weft-join", &format!("weft-join/1/x/{fp}/s"), "weft-join/2/127.0.0.1:1/00/s"] {
            let done = join(&data, text, "b", at).await;
            assert!(matches!(done, Err(JoinError::Invitation)), "{text}: {done:?}");
        }
        let text = format!("weft-join/1/127.0.0.1:1/{fp}/s");
        let done = join(&data, &text, "../b", at).await;
        assert!(matches!(done, Err(JoinError::Name(_))), "{done:?}");
        // Nobody answers there: nothing of the folder stays.
        let done = join(&data, &text, "b", at).await;
        assert!(matches!(done, Err(JoinError::Refused(_))), "{done:?}");
        assert!(!data.exists());
    }
}
