//! The log's files, read without changing them.
//!
//! The form of the log is that of `hiqlite-wal` 0.15: `HQL_WAL`, version 1, first and last number (8 bytes each), start and end
//! of the records (4 each); a record is number (8), CRC-32/CKSUM (4), length (4), bytes. Numbers are big endian, the
//! checksum is little endian.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{failed, replace, unsound};
use crate::error::StoreError;

const HEAD: usize = 32;
const RECORD_HEAD: usize = 16;

/// Takes the torn end off a log file: `hiqlite` stops at a head that names records which are not there.
pub(super) fn mend(path: &Path, read: &Records) -> Result<(), StoreError> {
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
    replace(path, &bytes)
}

/// The log's settings: magic, version, checksum of the rest.
pub(super) fn settings(path: &Path) -> Result<(), StoreError> {
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

/// What the log's files have.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The number of the first record.
    pub(super) first: Option<u64>,
    /// The number behind that of the last good record, 0 where there is none.
    pub(super) next: u64,
    /// The last file, where its end is torn.
    pub(super) torn: Option<(PathBuf, Records)>,
    /// A file that nobody got round to giving a head.
    pub(super) unmade: Option<PathBuf>,
}

pub(super) fn log(logs: &Path) -> Result<Log, StoreError> {
    let files = files(logs)?;
    let mut log = Log::default();
    for (place, path) in files.iter().enumerate() {
        let bytes = fs::read(path).map_err(failed(path))?;
        let later = files.get(place.saturating_add(1)..).unwrap_or_default();
        // Made and given its length, then its head; only a new one, behind all others, can be without.
        if later.is_empty() && bytes.iter().take(HEAD).all(|byte| *byte == 0) {
            log.unmade = Some(path.clone());
            continue;
        }
        let mut read = records(&bytes).map_err(|what| unsound(path, what))?;
        if let Some(first) = read.first
            && log.next != 0
            && first != log.next
        {
            if !read.fresh {
                return Err(unsound(path, format!("it begins with record {first}, not with {}", log.next)));
            }
            // The number of a file's first record is written last.
            read = Records { torn: true, end: HEAD, ..Records::default() };
        }
        // A file that is prepared for what comes may follow; nothing may follow a torn end.
        if read.torn && later.iter().any(|later| used(later)) {
            return Err(unsound(path, "its end is damaged, and later records follow in the next file"));
        }
        if read.torn {
            log.torn = Some((path.clone(), read));
        }
        if let Some(first) = read.first {
            log.first = log.first.or(Some(first));
            log.next = read.last.saturating_add(1);
        }
    }
    Ok(log)
}

/// Whether a log file has a record.
fn used(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| records(&bytes).map_or(true, |read| read.first.is_some()))
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Records {
    pub(super) first: Option<u64>,
    last: u64,
    /// Where they end.
    end: usize,
    /// Behind the last one stand bytes that are no good record, or the head says that there is more.
    torn: bool,
    /// The head does not tell of a record yet.
    fresh: bool,
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
    let mut read = Records { fresh: start == 0, ..Records::default() };
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
///
/// All of the log goes through it at each start: eight bytes at a time, each by the table of its place (M. E. Kounavis,
/// F. L. Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation", 2008).
fn crc(bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    let at = |table: &[u32; 256], byte: u8| table[usize::from(byte)];
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut sum = 0u32;
    for [a, b, c, d, e, f, g, h] in eights {
        let [s, t, u, v] = sum.to_be_bytes();
        sum = at(t7, a ^ s) ^ at(t6, b ^ t) ^ at(t5, c ^ u) ^ at(t4, d ^ v);
        sum ^= at(t3, *e) ^ at(t2, *f) ^ at(t1, *g) ^ at(t0, *h);
    }
    for byte in rest {
        sum = (sum << 8) ^ at(t0, ((sum >> 24) as u8) ^ byte);
    }
    !sum
}

/// By place behind a byte, what the byte leaves in the sum.
const TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = (byte as u32) << 24;
        let mut place = 0;
        while place < 8 {
            let mut bit = 0;
            while bit < 8 {
                sum = if sum & 0x8000_0000 == 0 { sum << 1 } else { (sum << 1) ^ 0x04c1_1db7 };
                bit += 1;
            }
            tables[place][byte] = sum;
            place += 1;
        }
        byte += 1;
    }
    tables
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
    fn the_checksum_of_many_bytes_is_that_of_each_bit() {
        let bytes: Vec<u8> = (0..100u32).map(|n| (n * n * 37 + n) as u8).collect();
        for length in 0..bytes.len() {
            let mut sum = 0u32;
            for byte in &bytes[..length] {
                for bit in (0..8).rev() {
                    let top = (sum >> 31) ^ u32::from((byte >> bit) & 1);
                    sum = (sum << 1) ^ (0x04c1_1db7 * top);
                }
            }
            assert_eq!(crc(&bytes[..length]), !sum, "{length} bytes");
        }
    }

    #[test]
    fn any_changed_byte_but_of_the_last_record_is_found() {
        let (good, used) = file();
        assert_eq!(
            records(&good),
            Ok(Records { first: Some(1), last: 3, end: used, torn: false, fresh: false })
        );
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
                assert_eq!(
                    read,
                    Ok(Records { first: Some(1), last: 2, end: last, torn: true, fresh: false }),
                    "{at}"
                );
            }
        }
    }

    #[test]
    fn a_next_file_whose_first_record_has_no_number_yet_is_emptied_and_any_other_that_does_not_follow_is_refused()
     {
        let logs = tempfile::tempdir().expect("a folder");
        fs::write(logs.path().join("0000000000000001.wal"), file().0).expect("written");
        let next = logs.path().join("0000000000000002.wal");
        let told = u32::try_from(HEAD).expect("short").to_be_bytes();
        for (start, refused) in [([0; 4], false), (told, true)] {
            let numbers = [4u64.to_be_bytes(), 9u64.to_be_bytes()].concat();
            let mut bytes = [&b"HQL_WAL\x01"[..], &numbers, &start, &[0; 4], &entry(9, b"fourth")].concat();
            if refused {
                bytes[8..16].copy_from_slice(&9u64.to_be_bytes());
            }
            bytes.resize(512, 0);
            fs::write(&next, &bytes).expect("written");
            assert_eq!(log(logs.path()).is_err(), refused, "{:?}", log(logs.path()));
        }
        let numbers = [4u64.to_be_bytes(), 4u64.to_be_bytes()].concat();
        let mut bytes = [&b"HQL_WAL\x01"[..], &numbers, &[0; 8], &entry(0, b"fourth")].concat();
        bytes.resize(512, 0);
        fs::write(&next, &bytes).expect("written");
        let found = log(logs.path()).expect("no damage");
        assert_eq!((found.first, found.next), (Some(1), 4));
        let (path, read) = found.torn.expect("torn");
        mend(&path, &read).expect("mended");
        let found = log(logs.path()).expect("sound");
        assert!(found.torn.is_none() && found.next == 4, "{found:?}");
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
