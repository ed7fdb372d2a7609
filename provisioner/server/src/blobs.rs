//! Blobs: guest kernels and initial ram disks, named by their SHA-256.
//!
//! An upload streams to a temporary file while its digest grows; only a whole, synced file gets its
//! name. Bytes that a broken upload leaves are removed, at the latest at the next start.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use ring::digest::{Context, SHA256};
use tokio::io::AsyncWriteExt;
use weft_api::BlobReply;
use weft_store::{Batch, BlobRow, NewEvent};

use crate::core::{Core, event};
use crate::error::Error;
use crate::images::check_room;
use crate::transactions::Kind;
use crate::util::{hex, now, private_folder, random, sync_folder};

/// Largest blob.
pub(crate) const MAX_BLOB: u64 = 4 * 1024 * 1024 * 1024;
/// Space is looked at again after so many bytes.
const CHECK_EVERY: u64 = 8 * 1024 * 1024;
pub(crate) const PARTIAL: &str = ".partial-";

impl Core {
    /// Folder of the blobs; each file is named by its digest.
    pub fn blob_folder(&self) -> PathBuf {
        self.settings.data.join("blobs")
    }

    /// Whether a blob is there.
    pub fn has_blob(&self, digest: &str) -> bool {
        self.world().blobs.contains_key(digest)
    }

    /// Makes the folder and removes what broken uploads left.
    pub(crate) fn tidy_blobs(&self) -> io::Result<()> {
        let folder = self.blob_folder();
        private_folder(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Takes an upload.
    pub(crate) async fn put_blob<S, E>(&self, actor: &str, body: S) -> Result<BlobReply, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let folder = self.blob_folder();
        private_folder(&folder)?;
        let partial = folder.join(format!("{PARTIAL}{}", hex(&random::<8>())));
        let written = write(&folder, &partial, body).await;
        let (digest, size) = match written {
            Ok(done) => done,
            Err(error) => {
                let _ = fs::remove_file(&partial);
                return Err(error);
            }
        };
        let row = BlobRow { digest: digest.clone(), size, at: now() };
        let known = self.world().blobs.contains_key(&digest);
        if !known {
            if let Some(peers) = &self.peers {
                peers.spread("blobs", &digest).await?;
            }
            let told = NewEvent {
                actor: actor.to_string(),
                ..event("blob.stored", "info", format!("{size} bytes, {digest}"))
            };
            self.commit(Kind::BlobUpload.batch(actor).put_blob(&row).event(told)).await?;
            self.world().blobs.insert(digest.clone(), size);
        }
        Ok(BlobReply { digest, size })
    }

    /// Takes files of this machine as the default guest.
    pub async fn set_default_guest(&self, kernel: &Path, initrd: Option<&Path>) -> Result<(), Error> {
        let kernel = self.take_file(kernel).await?;
        let initrd = match initrd {
            Some(path) => self.take_file(path).await?,
            None => String::new(),
        };
        let batch = Batch::new(now(), "appliance", "default guest")
            .put_meta("default_kernel", &kernel)
            .put_meta("default_initrd", &initrd);
        self.commit(batch).await?;
        self.world().default_guest = (kernel, initrd);
        Ok(())
    }

    async fn take_file(&self, path: &Path) -> Result<String, Error> {
        let file = tokio::fs::File::open(path).await?;
        let pieces = futures_util::stream::try_unfold(file, |mut file| async move {
            use tokio::io::AsyncReadExt;
            let mut piece = vec![0; 256 * 1024];
            let size = file.read(&mut piece).await?;
            piece.truncate(size);
            Ok::<_, io::Error>((size > 0).then(|| (Bytes::from(piece), file)))
        });
        Ok(self.put_blob("appliance", Box::pin(pieces)).await?.digest)
    }
}

async fn write<S, E>(folder: &Path, partial: &Path, mut body: S) -> Result<(String, u64), Error>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    check_room(folder, 0)?;
    let mut file = tokio::fs::OpenOptions::new().create_new(true).write(true).open(partial).await?;
    let mut context = Context::new(&SHA256);
    let (mut size, mut unchecked) = (0u64, 0u64);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| {
            Error::refused(400, "upload-broken", "the upload broke off", "send it again; nothing was kept")
        })?;
        let length = piece.len() as u64;
        size = size.saturating_add(length);
        unchecked = unchecked.saturating_add(length);
        if size > MAX_BLOB {
            return Err(Error::refused(413, "too-large", format!("more than {MAX_BLOB} bytes"), "send less"));
        }
        if unchecked >= CHECK_EVERY {
            unchecked = 0;
            check_room(folder, CHECK_EVERY)?;
        }
        context.update(&piece);
        file.write_all(&piece).await?;
    }
    if size == 0 {
        return Err(Error::refused(422, "empty", "the upload is empty", "name a file"));
    }
    file.flush().await?;
    file.set_permissions(fs::Permissions::from_mode(0o600)).await?;
    file.sync_all().await?;
    let digest = hex(context.finish().as_ref());
    tokio::fs::rename(partial, folder.join(&digest)).await?;
    sync_folder(folder)?;
    Ok((digest, size))
}
