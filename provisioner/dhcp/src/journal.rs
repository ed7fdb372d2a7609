//! Leases on disk: an append-only journal with group commit.
//!
//! One thread owns the file. It takes all leases that wait, appends them with one write, syncs once (`fdatasync`), and only then
//! reports each as durable. While it syncs, the next group gathers: the rate grows with the load, the latency does not.
//!
//! Format, little endian: a header of [`RECORD`] bytes, then records of [`RECORD`] bytes:
//!
//! ```text
//!   0 crc32 of 4..40 | 4 kind | 5 htype | 6 hlen | 7 zero | 8 address[4] | 12 hardware address[16] | 28 zero[4] | 32 expires_s u64
//! ```
//!
//! Kind 0 is space that was reserved and not used yet. The last record for an address counts. The file grows by zeroed pieces, so
//! that appending changes no metadata and syncing costs one write. When superseded records outnumber the rest, a new file is
//! written, synced and renamed over the old one.
//!
//! After a crash: a record that fails its checksum is counted and skipped; records behind it are read all the same, since
//! all have one size. Appending continues behind the last good record.
//!
//! After a failed write or sync nothing is known about the file any more (the kernel may have dropped the pages), so the journal
//! reports the error for the whole group, and rewrites the file as a whole before it takes the next lease.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rustix::fs::{FlockOperation, flock};

use crate::hw::HwAddr;
use crate::lease::{Done, Lease, LeaseState, LeaseStore, StoreError};

/// Bytes of a record.
pub const RECORD: usize = 40;
const MAGIC: &[u8; 16] = b"weft leases v1\n\0";
/// Leases that wait.
const QUEUE: usize = 16_384;
/// Leases in one group.
const GROUP: usize = 4096;
/// The file grows by this much: two hundred thousand leases. Growing waits for the file system's own journal, which may take
/// long on a busy disk, so it is done seldom, and when nothing waits.
const PIECE: u64 = 8 << 20;
/// Least size for which tidying up is worth it.
const TIDY: u64 = 4 << 20;

/// What was found when the journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The last state of each address.
    pub leases: Vec<Lease>,
    /// Records that failed their checksum, with good ones behind them: damage, not a torn end.
    pub damaged: usize,
    /// Records at the end that were not written whole when the machine stopped. None of them was acknowledged.
    pub torn: usize,
}

/// The journal. Dropping it writes what waits and closes the file.
pub struct LeaseJournal {
    queue: Option<SyncSender<(Lease, Done)>>,
    thread: Option<JoinHandle<()>>,
}

impl LeaseJournal {
    /// Opens or makes the journal `path`. One process at a time: a lock file lies beside it.
    ///
    /// # Errors
    /// The file system, another process, or a file that is no journal.
    pub fn open(path: &Path) -> Result<(Self, Recovery), StoreError> {
        let (log, recovery) = Log::open(path)?;
        let (queue, leases) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("dhcp-journal".into())
            .spawn(move || write_groups(log, &leases))
            .map_err(|e| StoreError::io("start thread", e))?;
        Ok((Self { queue: Some(queue), thread: Some(thread) }, recovery))
    }
}

impl LeaseStore for LeaseJournal {
    fn submit(&self, lease: Lease, done: Done) {
        let Some(queue) = &self.queue else { return done(Err(StoreError::Closed)) };
        match queue.try_send((lease, done)) {
            Ok(()) => {}
            Err(TrySendError::Full((_, done))) => done(Err(StoreError::Busy)),
            Err(TrySendError::Disconnected((_, done))) => done(Err(StoreError::Closed)),
        }
    }
}

impl Drop for LeaseJournal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_groups(mut log: Log, leases: &Receiver<(Lease, Done)>) {
    log.prepare();
    while let Ok(first) = leases.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = leases.try_recv()
        {
            group.push(next);
        }
        let outcome = log.append(group.iter().map(|(lease, _)| lease));
        let idle = group.len() == 1;
        for (_, done) in group {
            done(outcome.clone());
        }
        if idle && outcome.is_ok() {
            log.prepare();
        }
    }
}

/// The file and what it says.
struct Log {
    path: PathBuf,
    file: File,
    _lock: File,
    live: HashMap<Ipv4Addr, Lease>,
    /// Where the next record goes.
    end: u64,
    /// Bytes that the file has, zeros included.
    reserved: u64,
    /// A write or sync failed: rewrite before anything else.
    doubtful: bool,
}

impl Log {
    fn open(path: &Path) -> Result<(Self, Recovery), StoreError> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.with_extension("lock"))
            .map_err(|e| StoreError::io("open lock", e))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            rustix::io::Errno::WOULDBLOCK => StoreError::Locked,
            other => StoreError::io("lock", other.into()),
        })?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|e| StoreError::io("open", e))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| StoreError::io("read", e))?;
        let (recovery, end) = read_all(&bytes)?;
        let live = recovery.leases.iter().map(|lease| (lease.address, *lease)).collect();
        let fresh = bytes.len() < RECORD;
        let mut log = Self {
            path: path.to_owned(),
            file,
            _lock: lock,
            live,
            end,
            reserved: bytes.len() as u64,
            // A new file gets its header, a torn or damaged one is made whole, both by writing a new one.
            doubtful: fresh || recovery.damaged > 0 || recovery.torn > 0,
        };
        if log.doubtful {
            log.rewrite()?;
        }
        Ok((log, recovery))
    }

    /// Grows the file before it must grow. No room is no error yet.
    fn prepare(&mut self) {
        if self.reserved.saturating_sub(self.end) < PIECE / 2
            && let Err(error) = self.reserve(self.end)
        {
            tracing::debug!(%error, "lease journal: cannot grow ahead");
        }
    }

    fn append<'a>(&mut self, leases: impl Iterator<Item = &'a Lease> + Clone) -> Result<(), StoreError> {
        if self.doubtful || self.untidy() {
            self.rewrite()?;
        }
        let mut bytes = Vec::new();
        for lease in leases.clone() {
            bytes.extend_from_slice(&encode(lease));
        }
        let outcome = self.write_synced(&bytes);
        if outcome.is_err() {
            self.doubtful = true;
            return outcome;
        }
        self.end = self.end.saturating_add(bytes.len() as u64);
        for lease in leases {
            self.live.insert(lease.address, *lease);
        }
        Ok(())
    }

    fn write_synced(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let needed = self.end.saturating_add(bytes.len() as u64);
        if needed > self.reserved {
            self.reserve(needed)?;
        }
        self.file.write_all_at(bytes, self.end).map_err(|e| StoreError::io("write", e))?;
        self.file.sync_data().map_err(|e| StoreError::io("sync", e))
    }

    /// Adds zeros up to `needed` at least; a whole piece where there is room.
    fn reserve(&mut self, needed: u64) -> Result<(), StoreError> {
        for target in [needed.saturating_add(PIECE), needed] {
            let len = usize::try_from(target.saturating_sub(self.reserved)).unwrap_or(usize::MAX);
            let grown =
                self.file.write_all_at(&vec![0; len], self.reserved).and_then(|()| self.file.sync_all());
            match grown {
                Ok(()) => {
                    self.reserved = target;
                    return Ok(());
                }
                // Give back what was half written, and be content with less.
                Err(error) if target > needed => {
                    self.file.set_len(self.reserved).map_err(|e| StoreError::io("shrink", e))?;
                    tracing::debug!(%error, "lease journal: no room for a whole piece");
                }
                Err(error) => {
                    let _ = self.file.set_len(self.reserved);
                    return Err(StoreError::io("grow", error));
                }
            }
        }
        Ok(())
    }

    fn untidy(&self) -> bool {
        let live = (self.live.len() as u64).saturating_mul(RECORD as u64);
        self.end > TIDY && self.end > live.saturating_mul(4)
    }

    /// Writes all that counts into a new file, which then takes the place of the old one.
    fn rewrite(&mut self) -> Result<(), StoreError> {
        let beside = self.path.with_extension("new");
        let outcome = self.write_beside(&beside);
        if outcome.is_err() {
            let _ = fs::remove_file(&beside);
        }
        outcome
    }

    fn write_beside(&mut self, beside: &Path) -> Result<(), StoreError> {
        let mut bytes = Vec::from(header());
        for lease in self.live.values() {
            bytes.extend_from_slice(&encode(lease));
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(beside)
            .map_err(|e| StoreError::io("make new file", e))?;
        file.write_all(&bytes).map_err(|e| StoreError::io("write new file", e))?;
        file.sync_all().map_err(|e| StoreError::io("sync new file", e))?;
        fs::rename(beside, &self.path).map_err(|e| StoreError::io("rename", e))?;
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|dir| dir.sync_all()).map_err(|e| StoreError::io("sync folder", e))?;
        file.seek(SeekFrom::Start(0)).map_err(|e| StoreError::io("seek", e))?;
        self.file = file;
        self.end = bytes.len() as u64;
        self.reserved = self.end;
        self.doubtful = false;
        Ok(())
    }
}

fn header() -> [u8; RECORD] {
    let mut header = [0; RECORD];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header
}

/// Reads a journal; also says where the next record goes.
fn read_all(bytes: &[u8]) -> Result<(Recovery, u64), StoreError> {
    // A crash before the first header was synced leaves less than a header, or zeros.
    let Some((head, body)) = bytes.split_at_checked(RECORD) else { return Ok((Recovery::default(), 0)) };
    if head != header() {
        return Err(StoreError::Format);
    }
    let mut live: HashMap<Ipv4Addr, Lease> = HashMap::new();
    let mut recovery = Recovery::default();
    let mut end = RECORD;
    let (records, rest) = body.as_chunks::<RECORD>();
    for (number, record) in records.iter().enumerate() {
        match decode(record) {
            Decoded::Lease(lease) => {
                live.insert(lease.address, lease);
                recovery.damaged = recovery.damaged.saturating_add(std::mem::take(&mut recovery.torn));
                end = number.saturating_add(2).saturating_mul(RECORD);
            }
            Decoded::Unused => {}
            Decoded::Bad => recovery.torn = recovery.torn.saturating_add(1),
        }
    }
    if rest.iter().any(|byte| *byte != 0) {
        recovery.torn = recovery.torn.saturating_add(1);
    }
    recovery.leases = live.into_values().collect();
    recovery.leases.sort_by_key(|lease| lease.address);
    Ok((recovery, end as u64))
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A lease.
    Lease(Lease),
    /// Reserved and not used.
    Unused,
    /// Not what was written.
    Bad,
}

/// A record's bytes.
#[must_use]
pub fn encode(lease: &Lease) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[4] = match lease.state {
        LeaseState::Bound => 1,
        LeaseState::Released => 2,
        LeaseState::Declined => 3,
    };
    record[5] = lease.hw.htype();
    let hw = lease.hw.bytes();
    record[6] = hw.len() as u8;
    record[8..12].copy_from_slice(&lease.address.octets());
    for (to, from) in record[12..28].iter_mut().zip(hw) {
        *to = *from;
    }
    record[32..40].copy_from_slice(&lease.expires_s.to_le_bytes());
    let crc = crc32(&record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    record
}

/// Reads a record.
#[must_use]
pub fn decode(record: &[u8; RECORD]) -> Decoded {
    if record.iter().all(|byte| *byte == 0) {
        return Decoded::Unused;
    }
    let [c0, c1, c2, c3, kind, htype, hlen, _, a0, a1, a2, a3, rest @ ..] = record;
    if u32::from_le_bytes([*c0, *c1, *c2, *c3]) != crc32(&record[4..]) {
        return Decoded::Bad;
    }
    let state = match kind {
        1 => LeaseState::Bound,
        2 => LeaseState::Released,
        3 => LeaseState::Declined,
        _ => return Decoded::Bad,
    };
    let hw = rest.get(..usize::from(*hlen)).and_then(|bytes| HwAddr::new(*htype, bytes));
    let (Some(hw), Some(expires)) = (hw, rest.last_chunk::<8>()) else { return Decoded::Bad };
    let address = Ipv4Addr::new(*a0, *a1, *a2, *a3);
    Decoded::Lease(Lease { address, hw, expires_s: u64::from_le_bytes(*expires), state })
}

/// CRC-32 (IEEE 802.3, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0u32; 256];
        let mut i = 0;
        while i < 256 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    let mut crc = u32::MAX;
    for byte in bytes {
        let index = ((crc ^ u32::from(*byte)) & 0xFF) as usize;
        crc = (crc >> 8) ^ TABLE[index];
    }
    !crc
}
