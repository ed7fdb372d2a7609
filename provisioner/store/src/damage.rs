//! What is on the disk is looked at before it is used: log, snapshots, and the database.
//!
//! `hiqlite` counts on other voters. Where a record of its log is damaged it drops that one and *all behind it*, as another
//! voter has them; a database that was closed is taken as it is. One voter has nobody to ask, and acknowledged changes would
//! be gone without a word. So:
//!
//! | found | done |
//! |---|---|
//! | a log record is damaged and good ones follow; a log file is missing, or no log | refused |
//! | the log's end is torn, nothing follows | goes on: nobody was told that it is written |
//! | the log ends before what a closed store had | refused |
//! | the database differs from what was closed, or is gone | dropped and built anew from snapshot and log |
//! | the last log file has no head yet, or its first record no number: it was being made | dropped; nobody was told of it |
//! | the log begins with a later record than the first, and there is no snapshot | refused |
//! | the rows of a snapshot differ from what they were, or it is no database | refused |
//! | the log's own settings do not fit their checksum | refused |

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

mod log;

use log::{Log, log, mend, settings};

/// What a closed store left, beside the database.
const CLOSED: &str = "closed.json";
/// Digests of the rows of snapshots. The files change: each start opens them, and switches their journal on.
const SNAPSHOTS: &str = "snapshots.json";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Closed {
    database: String,
    /// The number that the log's next record has.
    log: u64,
}

fn unsound(path: &Path, what: impl Into<String>) -> StoreError {
    StoreError::Unsound { path: path.to_path_buf(), what: what.into() }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Folder { path, source }
}

fn base(folder: &Path) -> PathBuf {
    folder.join("db/state_machine")
}

/// Looks at all of it. What can be built anew is dropped.
pub(crate) fn look(folder: &Path) -> Result<(), StoreError> {
    let logs = folder.join("db/logs");
    if !folder.join("db").exists() {
        return Ok(());
    }
    settings(&logs.join("meta.hql"))?;
    let Log { first, next, torn, unmade } = log(&logs)?;
    let snapshots = snapshots(folder)?;
    if first.is_some_and(|first| first > 1) && snapshots == 0 {
        let what = format!(
            "its first record is {}, and there is no snapshot of what was before",
            first.unwrap_or(0)
        );
        return Err(unsound(&logs, what));
    }
    let closed_path = folder.join(CLOSED);
    let closed: Option<Closed> =
        fs::read(&closed_path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let database = crate::open::database_path(folder);
    if let Some(closed) = closed {
        if next < closed.log {
            let what = format!("its next record is {next}, and was {} when it was closed", closed.log);
            return Err(unsound(&logs, what));
        }
        let ahead = database.with_extension("db-wal");
        let same = fs::metadata(ahead).map_or(0, |about| about.len()) == 0;
        if database.exists() && !(same && digest(&database)? == closed.database) {
            tracing::warn!(file = %database.display(), "the database was changed; it is built anew from the log");
            let gone = base(folder).join("db");
            fs::remove_dir_all(&gone).map_err(failed(&gone))?;
        }
        fs::remove_file(&closed_path).map_err(failed(&closed_path))?;
    } else if !base(folder).join("lock").exists() && base(folder).join("db").exists() {
        // Closed, and nobody says how it was.
        let gone = base(folder).join("db");
        fs::remove_dir_all(&gone).map_err(failed(&gone))?;
    }
    // Last, so that what is refused stays as it was found.
    if let Some(path) = unmade {
        tracing::warn!(file = %path.display(), "the log's next file was being made; it is made anew");
        fs::remove_file(&path).map_err(failed(&path))?;
    }
    torn.map_or(Ok(()), |(path, read)| mend(&path, &read))
}

/// Keeps what a store was when it was closed. Where this fails, the next start builds the database anew.
pub(crate) fn closed(folder: &Path) -> Result<(), StoreError> {
    let path = crate::open::database_path(folder);
    settle(&path).map_err(|error| StoreError::Database(error.to_string()))?;
    let closed = Closed { database: digest(&path)?, log: log(&folder.join("db/logs"))?.next };
    keep(&folder.join(CLOSED), &closed)?;
    remember(folder)
}

/// Brings all changes into the database's one file: connections for reading are still there, and the last would do so.
fn settle(path: &Path) -> Result<(), hiqlite::rusqlite::Error> {
    let db = hiqlite::rusqlite::Connection::open(path)?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
}

/// Keeps the digests of snapshots that are new.
pub(crate) fn remember(folder: &Path) -> Result<(), StoreError> {
    let known = known(folder);
    let mut now = BTreeMap::new();
    for (name, path) in found(folder)? {
        let digest = match known.get(&name) {
            Some(digest) => Some(digest.clone()),
            None => rows(&path)?,
        };
        now.extend(digest.map(|digest| (name, digest)));
    }
    if now == known { Ok(()) } else { keep(&folder.join(SNAPSHOTS), &now) }
}

fn known(folder: &Path) -> BTreeMap<String, String> {
    let kept = fs::read(folder.join(SNAPSHOTS)).ok();
    kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Whole snapshots by name, which is a UUID: one that is being written has another name, and so have SQLite's files beside it.
fn found(folder: &Path) -> Result<BTreeMap<String, PathBuf>, StoreError> {
    let at = base(folder).join("snapshots");
    let mut found = BTreeMap::new();
    if !at.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(&at).map_err(failed(&at))? {
        let entry = entry.map_err(failed(&at))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_id = name.len() == 36 && name.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
        if is_id && entry.path().is_file() {
            found.insert(name, entry.path());
        }
    }
    Ok(found)
}

/// Looks at all snapshots; how many there are.
fn snapshots(folder: &Path) -> Result<usize, StoreError> {
    let known = known(folder);
    let found = found(folder)?;
    for (name, path) in &found {
        // Of one that was made in a run that did not end well, only its form can be judged.
        if let (Some(now), Some(was)) = (rows(path)?, known.get(name))
            && now != *was
        {
            return Err(unsound(path, "its rows are not what they were"));
        }
    }
    Ok(found.len())
}

/// A digest of all rows of a snapshot; `None` where it cannot be looked at without changing it: its last user was killed, and what
/// that one had begun stands beside it.
fn rows(path: &Path) -> Result<Option<String>, StoreError> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        fs::metadata(name).is_ok_and(|about| about.len() > 0)
    };
    if beside("-wal") || beside("-journal") {
        return Ok(None);
    }
    content(path).map(Some).map_err(|error| unsound(path, error.to_string()))
}

fn content(path: &Path) -> Result<String, hiqlite::rusqlite::Error> {
    use hiqlite::rusqlite::types::ValueRef;
    use hiqlite::rusqlite::{Connection, Error, OpenFlags};
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte))
            }
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    // Nobody writes it now, and nothing may be left beside it.
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri, flags)?;
    let form: String = db.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))?;
    if form != "ok" {
        return Err(Error::ModuleError(form));
    }
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let names: Vec<String> = db.prepare(sql)?.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut context = Context::new(&SHA256);
    let mut add = |kind: u8, bytes: &[u8]| {
        context.update(&[kind]);
        context.update(&(bytes.len() as u64).to_le_bytes());
        context.update(bytes);
    };
    for name in names {
        add(0, name.as_bytes());
        let mut all = db.prepare(&format!("SELECT * FROM \"{}\"", name.replace('"', "\"\"")))?;
        let columns = all.column_count();
        let mut each = all.query(())?;
        while let Some(row) = each.next()? {
            for column in 0..columns {
                match row.get_ref(column)? {
                    ValueRef::Null => add(1, &[]),
                    ValueRef::Integer(number) => add(2, &number.to_le_bytes()),
                    ValueRef::Real(number) => add(3, &number.to_le_bytes()),
                    ValueRef::Text(text) => add(4, text),
                    ValueRef::Blob(bytes) => add(5, bytes),
                }
            }
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn keep(path: &Path, what: &impl Serialize) -> Result<(), StoreError> {
    replace(path, &serde_json::to_vec(what).map_err(|error| failed(path)(error.into()))?)
}

/// Puts these bytes into a file, all or none.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let written = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path));
    written.map_err(failed(path))
}

fn digest(path: &Path) -> Result<String, StoreError> {
    let mut file = File::open(path).map_err(failed(path))?;
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 256 * 1024];
    loop {
        let count = file.read(&mut piece).map_err(failed(path))?;
        match piece.get(..count) {
            Some([]) | None => break,
            Some(bytes) => context.update(bytes),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
