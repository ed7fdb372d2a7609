//! One file of everything that a new appliance needs, sent while this one works (docs/backup.md).
//!
//! ```text
//! right ─▶ history says who ─▶ copy of all rows ─▶ digests ─▶ manifest, keys, documents, rows, files ─▶ client
//! ```
//! The rows are one copy between two changes. Files go by the digests that those rows name, and never change. Keys are in it:
//! whoever has the file has the appliance.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use weft_api::BackupCreate;
use weft_backup::{FORMAT, Manifest, Part, STORE};
use weft_store::{BackupRow, Snapshot};

use crate::core::Core;
use crate::error::Error;
use crate::images::check_room;
use crate::transactions::Kind;
use crate::util::now;

/// Bytes that are sent at once.
const PIECE: usize = 256 * 1024;
/// A client that takes nothing for so long is let go.
const SEND_LIMIT: Duration = Duration::from_secs(60);

/// What a client reads: pieces, or the error that ends them.
pub(crate) type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// Everything that is to be sent.
struct Ready {
    manifest: Manifest,
    parts: Vec<Part>,
    /// Its file is one of the parts.
    rows: Snapshot,
    turn: OwnedSemaphorePermit,
}

impl Core {
    /// Makes a backup and begins to send it.
    pub(crate) async fn backup(
        self: &Arc<Self>,
        actor: &str,
        wanted: &BackupCreate,
    ) -> Result<Pieces, Error> {
        let turn = Arc::clone(&self.backups).try_acquire_owned().map_err(|_| {
            Error::refused(409, "backup-running", "another backup is being made", "try again when it is done")
        })?;
        let data = self.settings.data.clone();
        check_room(&data, size(&data.join("store/db/state_machine/db/weft.db")))?;
        let row = BackupRow { name: "backup".to_string(), files: wanted.files, restored: String::new() };
        self.commit(Kind::Backup.batch(actor).tell_backup(&row)).await?;
        let rows = self.store.snapshot().await?;
        let files = wanted.files;
        let ready = tokio::task::spawn_blocking(move || gather(&data, rows, files, turn));
        let ready = ready.await.map_err(|_| io::Error::other("the backup broke off"))??;
        let (sender, pieces) = mpsc::channel(4);
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            // Taken whole: the file of the rows and the turn last until all is sent.
            let Ready { manifest, parts, rows: _rows, turn: _turn } = ready;
            let out = Sending {
                sender: sender.clone(),
                runtime: runtime.clone(),
                waiting: Vec::with_capacity(PIECE),
            };
            let sent = weft_backup::write(out, manifest, &parts).and_then(|mut out| out.flush());
            if let Err(error) = sent {
                tracing::warn!(%error, "a backup was not sent to its end");
                // An answer that merely ended would look whole.
                let _ = runtime.block_on(tokio::time::timeout(SEND_LIMIT, sender.send(Err(error))));
            }
        });
        Ok(pieces)
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |about| about.len())
}

fn gather(data: &Path, rows: Snapshot, files: bool, turn: OwnedSemaphorePermit) -> Result<Ready, Error> {
    let mut parts = Vec::new();
    for name in weft_backup::small_parts() {
        match std::fs::read(data.join(name)) {
            Ok(bytes) => parts.push(Part::bytes(name, bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    parts.push(Part::file(STORE, rows.path.clone())?);
    let named = |folder: &'static str, digests: &[String]| -> Vec<(String, PathBuf)> {
        let name = |digest: &String| format!("{folder}/{digest}");
        digests.iter().map(|digest| (name(digest), data.join(folder).join(digest))).collect()
    };
    let all = [named("files", &rows.files), named("blobs", &rows.blobs)].concat();
    for (name, path) in all.iter().filter(|_| files) {
        let part = match Part::file(name.as_str(), path.clone()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(lost(name, "is missing in the data folder"));
            }
            part => part?,
        };
        if !name.ends_with(&part.listed.sha256) {
            return Err(lost(name, "is damaged"));
        }
        parts.push(part);
    }
    let manifest = Manifest {
        format: FORMAT.to_string(),
        made: now(),
        program: env!("CARGO_PKG_VERSION").to_string(),
        schema: rows.schema,
        cluster: rows.cluster.clone(),
        transaction: rows.transaction,
        event: rows.event,
        left_out: if files { 0 } else { all.len() as u64 },
        parts: Vec::new(),
    };
    Ok(Ready { manifest, parts, rows, turn })
}

fn lost(name: &str, how: &str) -> Error {
    Error::refused(
        409,
        "file-lost",
        format!("{name} {how}"),
        "upload it again, or leave the files out: weft appliance backup FILE --without-files",
    )
}

/// Hands what is written to whoever reads the answer.
struct Sending {
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: tokio::runtime::Handle,
    waiting: Vec<u8>,
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE.saturating_sub(self.waiting.len()));
        self.waiting.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.waiting.len() >= PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.waiting, Vec::with_capacity(PIECE)));
        let sent = self.runtime.block_on(tokio::time::timeout(SEND_LIMIT, self.sender.send(Ok(piece))));
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
