//! A backup into an empty data folder (docs/backup.md).
//!
//! ```text
//! whole file judged ─▶ DIR/.restoring: parts, store made of its rows ─▶ renamed into DIR ─▶ .restoring removed
//! ```
//! While `.restoring` is there no appliance starts on the folder ([`crate::keys`] looks for it), so that half a restore is
//! never taken for an appliance. What fails leaves the folder as empty as it was.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use weft_backup::{Ask, BackupError, Listed, Manifest, STORE};
use weft_store::{BackupRow, NewEvent, Store, StoreError};

use crate::core::event;
use crate::keys::{KeyError, Keys};
use crate::transactions::Kind;
use crate::util::{private_folder, sync_folder};

/// Where a restore is made.
pub(crate) const RESTORING: &str = ".restoring";
/// Who restores, as history names it.
const ACTOR: &str = "local administrator";

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder is in use.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// It belongs to somebody else.
    #[error("{} belongs to the user {owner}, not to this one", path.display())]
    Owner {
        /// Folder.
        path: PathBuf,
        /// Whose.
        owner: u32,
    },
    /// A folder or file cannot be made.
    #[error("cannot write to {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The rows.
    #[error("the rows were not restored")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("the keys of the backup do not do")]
    Keys(#[from] KeyError),
}

/// What a later version made.
#[derive(Debug, thiserror::Error)]
#[error("the backup has schema version {found}, and this program knows {known}: restore it with a later one")]
struct Later {
    found: i64,
    known: i64,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_path_buf();
    move |source| RestoreError::File { path, source }
}

/// Restores `file` into the empty folder `data`.
pub async fn restore(file: &Path, data: &Path, ask: Ask<'_>) -> Result<Manifest, RestoreError> {
    let made = begin(data)?;
    let at = data.join(RESTORING);
    let done = match judged_and_filled(file, &at, ask).await {
        Ok(manifest) => settle(data, &at).map(|()| manifest),
        Err(error) => Err(error),
    };
    if done.is_err() {
        clear(data, made);
    }
    done
}

/// Takes the empty folder, and makes it where it is not there, which it says: what is to be in it is put into [`RESTORING`] first.
pub(crate) fn begin(data: &Path) -> Result<bool, RestoreError> {
    let made = empty(data)?;
    if made {
        private_folder(data).map_err(failed(data))?;
    }
    claim(data, &data.join(RESTORING))?;
    Ok(made)
}

/// Takes the folder: as long as the marker is there no appliance starts on it, and no other restore.
fn claim(data: &Path, at: &Path) -> Result<(), RestoreError> {
    match fs::DirBuilder::new().mode(0o700).create(at) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RestoreError::NotEmpty(data.to_path_buf()));
        }
        Err(error) => return Err(failed(at)(error)),
    }
    // Whoever began in between was before the marker.
    if fs::read_dir(data).map_err(failed(data))?.count() > 1 {
        fs::remove_dir(at).map_err(failed(at))?;
        return Err(RestoreError::NotEmpty(data.to_path_buf()));
    }
    Ok(())
}

/// All of it is judged before anything is written.
async fn judged_and_filled(file: &Path, at: &Path, ask: Ask<'_>) -> Result<Manifest, RestoreError> {
    let manifest = weft_backup::read(file, ask, &mut judge, &mut |_, _| Ok(()))?;
    fill(file, &manifest, at, ask).await?;
    Ok(manifest)
}

/// Whether the folder is to be made.
fn empty(data: &Path) -> Result<bool, RestoreError> {
    let mut entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(failed(data)(error)),
    };
    if entries.next().is_some() {
        return Err(RestoreError::NotEmpty(data.to_path_buf()));
    }
    let owner = fs::metadata(data).map_err(failed(data))?.uid();
    // Files of root in the folder of the appliance's own user would keep it from starting.
    if owner != rustix::process::geteuid().as_raw() {
        return Err(RestoreError::Owner { path: data.to_path_buf(), owner });
    }
    Ok(false)
}

fn judge(manifest: &Manifest) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let known = weft_store::schema_version();
    if manifest.schema > known {
        return Err(Later { found: manifest.schema, known }.into());
    }
    Ok(())
}

async fn fill(file: &Path, manifest: &Manifest, at: &Path, ask: Ask<'_>) -> Result<(), RestoreError> {
    for folder in ["keys", "trust", "tls", "files", "blobs"] {
        let path = at.join(folder);
        private_folder(&path).map_err(failed(&path))?;
    }
    weft_backup::read(file, ask, &mut judge, &mut |listed, part| place(at, listed, part))?;
    let rows = at.join(STORE);
    let store = at.join("store");
    weft_store::restore(&store, &rows).await?;
    fs::remove_file(&rows).map_err(failed(&rows))?;
    Keys::open(at)?;
    let store = Store::open(&store).await?;
    let text = format!("from the backup of {}", manifest.made);
    let told = NewEvent { actor: ACTOR.to_string(), ..event("appliance.restored", "info", text) };
    let row = BackupRow {
        name: "restore".to_string(),
        files: manifest.left_out == 0,
        restored: manifest.made.clone(),
    };
    let written = store.commit(Kind::Restore.batch(ACTOR).tell_backup(&row).event(told)).await;
    let closed = store.close().await;
    written?;
    Ok(closed?)
}

/// Writes one part, synced.
fn place(at: &Path, listed: &Listed, part: &mut dyn Read) -> io::Result<()> {
    let mode = if listed.path == "tls/cert.pem" { 0o644 } else { 0o600 };
    let path = at.join(&listed.path);
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(&path)?;
    io::copy(part, &mut file)?;
    file.flush()?;
    file.sync_all()
}

/// Moves all of it into place; `.restoring` goes last.
pub(crate) fn settle(data: &Path, at: &Path) -> Result<(), RestoreError> {
    for entry in fs::read_dir(at).map_err(failed(at))? {
        let entry = entry.map_err(failed(at))?;
        sync_all(&entry.path()).map_err(failed(&entry.path()))?;
        let target = data.join(entry.file_name());
        fs::rename(entry.path(), &target).map_err(failed(&target))?;
    }
    sync_folder(data).map_err(failed(data))?;
    fs::remove_dir(at).map_err(failed(at))?;
    sync_folder(data).map_err(failed(data))
}

/// Makes a tree durable.
pub(crate) fn sync_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_all(&entry?.path())?;
        }
    }
    sync_folder(path)
}

/// Leaves nothing. The marker goes last, so that a kill in between leaves no folder that looks whole.
pub(crate) fn clear(data: &Path, made: bool) {
    let gone = |path: &Path| {
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    };
    let entries = fs::read_dir(data).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name() != RESTORING) {
        gone(&entry.path());
    }
    gone(&data.join(RESTORING));
    if made {
        let _ = fs::remove_dir(data);
    }
}
