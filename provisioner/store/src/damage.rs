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
//! | a snapshot differs from what it was, or is no database | refused |
//! | the log's own settings do not fit their checksum | refused |
//!
//! The form of the log is that of `hiqlite-wal` 0.15: `HQL_WAL`, version 1, first and last number (8 bytes each), start and end
//! of the records (4 each); a record is number (8), CRC-32/CKSUM (4), length (4), bytes. Numbers are big endian, the
//! checksum is little endian.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// What a closed store left, beside the database.
const CLOSED: &str = "closed.json";
/// Digests of snapshots, which do not change once they are there.
const SNAPSHOTS: &str = "snapshots.json";
const HEAD: usize = 32;
const RECORD_HEAD: usize = 16;

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
    let (next, torn) = log(&logs)?;
    snapshots(folder)?;
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
    torn.map_or(Ok(()), |(path, read)| mend(&path, &read))
}

/// Takes the torn end off a log file: `hiqlite` stops at a head that names records which are not there.
fn mend(path: &Path, read: &Records) -> Result<(), StoreError> {
    tracing::warn!(file = %path.display(), last = read.last, "the log's end was torn; nobody was told of what it had");
    let mut bytes = fs::read(path).map_err(failed(path))?;
    let from = bytes.get(8..16).and_then(|from| from.try_into().ok()).map_or(0, u64::from_be_bytes);
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX).to_be_bytes();
    let (until, start, end) = match read.first {
        Some(_) => (read.last, place(HEAD), place(read.end.saturating_sub(1))),
        None => (from, [0; 4], [0; 4]),
    };
    let head = [&until.to_be_bytes()[..], &start, &end].concat();
    if let Some(old) = bytes.get_mut(16..HEAD) {
        old.copy_from_slice(&head);
    }
    if let Some(rest) = bytes.get_mut(read.end..) {
        rest.fill(0);
    }
    let new = path.with_extension("new");
    let written = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
    written.and_then(|()| fs::rename(&new, path)).map_err(failed(path))
}

/// Keeps what a store was when it was closed. Where this fails, the next start builds the database anew.
pub(crate) fn closed(folder: &Path) -> Result<(), StoreError> {
    let path = crate::open::database_path(folder);
    settle(&path).map_err(|error| StoreError::Database(error.to_string()))?;
    let closed = Closed { database: digest(&path)?, log: log(&folder.join("db/logs"))?.0 };
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
            Some(digest) => digest.clone(),
            None => digest(&path)?,
        };
        now.insert(name, digest);
    }
    if now == known { Ok(()) } else { keep(&folder.join(SNAPSHOTS), &now) }
}

fn known(folder: &Path) -> BTreeMap<String, String> {
    let kept = fs::read(folder.join(SNAPSHOTS)).ok();
    kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Whole snapshots by name.
fn found(folder: &Path) -> Result<BTreeMap<String, PathBuf>, StoreError> {
    let at = base(folder).join("snapshots");
    let mut found = BTreeMap::new();
    if !at.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(&at).map_err(failed(&at))? {
        let entry = entry.map_err(failed(&at))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // One that is being written has an ending.
        if entry.path().is_file() && !name.contains('.') {
            found.insert(name, entry.path());
        }
    }
    Ok(found)
}

fn snapshots(folder: &Path) -> Result<(), StoreError> {
    let known = known(folder);
    for (name, path) in found(folder)? {
        match known.get(&name) {
            Some(was) if *was != digest(&path)? => return Err(unsound(&path, "it is not what it was")),
            Some(_) => {}
            // Of one that was made in a run that did not end well, only its form can be judged.
            None => whole(&path)?,
        }
    }
    Ok(())
}

fn whole(path: &Path) -> Result<(), StoreError> {
    use hiqlite::rusqlite::{Connection, OpenFlags};
    let sound = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|db| db.query_row("PRAGMA integrity_check(1)", (), |row| row.get::<_, String>(0)));
    match sound {
        Ok(words) if words == "ok" => Ok(()),
        Ok(words) => Err(unsound(path, words)),
        Err(error) => Err(unsound(path, error.to_string())),
    }
}

fn keep(path: &Path, what: &impl Serialize) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(what).map_err(|error| failed(path)(error.into()))?;
    let new = path.with_extension("new");
    let written = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
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

/// The log's settings: magic, version, checksum of the rest.
fn settings(path: &Path) -> Result<(), StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let used = path.parent().is_some_and(|logs| files(logs).is_ok_and(|files| !files.is_empty()));
            return if used { Err(unsound(path, "it is missing")) } else { Ok(()) };
        }
        Err(error) => return Err(failed(path)(error)),
    };
    let good = bytes.starts_with(b"HQLMETA\x01")
        && bytes.get(8..12).zip(bytes.get(12..)).is_some_and(|(sum, rest)| *sum == crc(rest).to_le_bytes());
    if good { Ok(()) } else { Err(unsound(path, "its checksum differs")) }
}

/// Files of the log, oldest first.
fn files(logs: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    if !logs.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(logs).map_err(failed(logs))? {
        let path = entry.map_err(failed(logs))?.path();
        if path.extension().is_some_and(|ending| ending == "wal") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A log file whose end is torn.
type Torn = Option<(PathBuf, Records)>;

/// The number behind that of the last good record, 0 where there is none; and the last file, where its end is torn.
fn log(logs: &Path) -> Result<(u64, Torn), StoreError> {
    let files = files(logs)?;
    let (mut next, mut torn) = (0u64, None);
    for (place, path) in files.iter().enumerate() {
        let bytes = fs::read(path).map_err(failed(path))?;
        let read = records(&bytes).map_err(|what| unsound(path, what))?;
        // A file that is prepared for what comes may follow; nothing may follow a torn end.
        let later = files.get(place.saturating_add(1)..).unwrap_or_default();
        if read.torn && later.iter().any(|later| used(later)) {
            return Err(unsound(path, "its end is damaged, and later records follow in the next file"));
        }
        if read.torn {
            torn = Some((path.clone(), read));
        }
        if let Some(first) = read.first {
            if next != 0 && first != next {
                return Err(unsound(path, format!("it begins with record {first}, not with {next}")));
            }
            next = read.last.saturating_add(1);
        }
    }
    Ok((next, torn))
}

/// Whether a log file has a record.
fn used(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| records(&bytes).map_or(true, |read| read.first.is_some()))
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Records {
    first: Option<u64>,
    last: u64,
    /// Where they end.
    end: usize,
    /// Behind the last one stand bytes that are no good record, or the head says that there is more.
    torn: bool,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A good record: its number, and where the next one begins.
fn record(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let id = u64::from_be_bytes(number(bytes, at)?);
    let sum: [u8; 4] = number(bytes, at.checked_add(8)?)?;
    let length = u32::from_be_bytes(number(bytes, at.checked_add(12)?)?) as usize;
    let start = at.checked_add(RECORD_HEAD)?;
    let end = start.checked_add(length)?;
    let data = bytes.get(start..end).filter(|data| !data.is_empty())?;
    // A byte is left free between records.
    (crc(data).to_le_bytes() == sum).then_some((id, end.saturating_add(1)))
}

/// Reads a log file: an error says what is wrong with it.
fn records(bytes: &[u8]) -> Result<Records, String> {
    if !bytes.starts_with(b"HQL_WAL\x01") || bytes.len() < HEAD {
        return Err("it is no log, or its head is damaged".into());
    }
    let word = |at| number(bytes, at).map_or(0, u32::from_be_bytes) as usize;
    let long = |at| number(bytes, at).map_or(0, u64::from_be_bytes);
    // The head is written behind the records, so it may lag; it never leads.
    let (from, until, start, end) = (long(8), long(16), word(24), word(28));
    let mut at = if start == 0 { HEAD } else { start };
    let mut read = Records::default();
    while let Some((id, next)) = record(bytes, at) {
        // The checksum does not cover the number; what an earlier, longer tail left has another one too.
        let expected = read.first.map_or(from, |_| read.last.saturating_add(1));
        if id != expected && (read.first.is_some() || start != 0) {
            break;
        }
        read.first = read.first.or(Some(id));
        read.last = id;
        at = next;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    read.end = at;
    let more = start != 0 && (read.first.is_none() || read.last < until);
    read.torn = more || rest.iter().take(RECORD_HEAD).any(|byte| *byte != 0);
    if start != 0 && (read.first.is_none() || read.last < until || at < end) && later(rest, &read) {
        return Err(format!("a record behind {} is damaged, and good ones follow", read.last));
    }
    Ok(read)
}

/// Whether a good record with a later number begins anywhere in what follows.
fn later(rest: &[u8], read: &Records) -> bool {
    // Numbers are small and follow one another: looked for by these bytes, the rest is judged by its checksum.
    (0..rest.len().saturating_sub(RECORD_HEAD)).any(|at| {
        let id = number(rest, at).map_or(0, u64::from_be_bytes);
        let near = id > read.last && (read.first.is_none() || id.saturating_sub(read.last) <= 1 << 20);
        near && record(rest, at).is_some()
    })
}

/// CRC-32/CKSUM, without the length that the program `cksum` adds.
fn crc(bytes: &[u8]) -> u32 {
    let mut sum = 0u32;
    for byte in bytes {
        let place = ((sum >> 24) as u8) ^ byte;
        sum = (sum << 8) ^ TABLE.get(usize::from(place)).copied().unwrap_or_default();
    }
    !sum
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut place = 0;
    while place < 256 {
        let mut sum = (place as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000_0000 == 0 { sum << 1 } else { (sum << 1) ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[place] = sum;
        place += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).expect("short").to_be_bytes();
        [&id.to_be_bytes()[..], &crc(data).to_le_bytes(), &length, data, &[0]].concat()
    }

    /// A log file of three records and room behind them.
    fn file() -> (Vec<u8>, usize) {
        let body = [entry(1, b"first"), entry(2, b"second"), entry(3, b"third")].concat();
        let end = u32::try_from(HEAD + body.len() - 1).expect("short");
        let mut bytes = b"HQL_WAL\x01".to_vec();
        bytes.extend(1u64.to_be_bytes());
        bytes.extend(3u64.to_be_bytes());
        bytes.extend(u32::try_from(HEAD).expect("short").to_be_bytes());
        bytes.extend(end.to_be_bytes());
        bytes.extend(&body);
        let used = bytes.len();
        bytes.resize(used + 512, 0);
        (bytes, used)
    }

    #[test]
    fn the_checksum_is_the_one_of_the_catalogue() {
        assert_eq!(crc(b"123456789"), 0x765e_7680);
    }

    #[test]
    fn any_changed_byte_but_of_the_last_record_is_found() {
        let (good, used) = file();
        assert_eq!(records(&good), Ok(Records { first: Some(1), last: 3, end: used, torn: false }));
        let last = used - entry(3, b"third").len();
        let free = [entry(1, b"first").len(), last - HEAD].map(|behind| HEAD + behind - 1);
        for at in (HEAD..used - 1).filter(|at| !free.contains(at)) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let read = records(&bad);
            if at < last {
                assert!(read.is_err(), "{at}: {read:?}");
            } else if at < last + 8 {
                // Its number: the rest of it is whole, so it may be taken for one that follows.
                assert!(read.is_err() || read.is_ok_and(|read| read.last == 2 && read.torn), "{at}");
            } else {
                assert_eq!(read, Ok(Records { first: Some(1), last: 2, end: last, torn: true }), "{at}");
            }
        }
    }

    #[test]
    fn a_torn_end_is_no_damage() {
        let (good, used) = file();
        for cut in HEAD..used {
            let mut torn = good.clone();
            torn[cut..].fill(0);
            assert!(records(&torn).is_ok(), "{cut}");
        }
    }
}
