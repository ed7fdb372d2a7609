//! Kernels and ram disks by digest: wanted, on their way, here.
//!
//! A blob that a server waits for is kept at any price; one that nobody waits for stays only within the
//! cache's bound, the most recently used first, so that a reset needs no new transfer.

use alloc::sync::Arc;
use alloc::vec::Vec;

use weft_types::BlobDigest;
use weft_wire::record::BlobRef;

/// A verified blob, shared.
pub type Blob = Arc<Vec<u8>>;

#[derive(Debug)]
struct Entry {
    blob: BlobRef,
    bytes: Option<Blob>,
    used: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Blobs {
    entries: Vec<Entry>,
    cache_bytes: u64,
    clock: u64,
}

impl Blobs {
    pub(crate) const fn new(cache_bytes: u64) -> Self {
        Self { entries: Vec::new(), cache_bytes, clock: 0 }
    }

    /// The blob, if it is here.
    pub(crate) fn get(&mut self, digest: BlobDigest) -> Option<Blob> {
        self.clock += 1;
        let entry = self.entries.iter_mut().find(|entry| entry.blob.digest == digest)?;
        entry.used = self.clock;
        entry.bytes.clone()
    }

    /// Whether the blob is here.
    pub(crate) fn holds(&self, digest: BlobDigest) -> bool {
        self.entries.iter().any(|entry| entry.blob.digest == digest && entry.bytes.is_some())
    }

    /// Notes that a blob is wanted. `true`: it must be fetched.
    pub(crate) fn want(&mut self, blob: BlobRef) -> bool {
        if self.entries.iter().any(|entry| entry.blob.digest == blob.digest) {
            return false;
        }
        self.clock += 1;
        self.entries.push(Entry { blob, bytes: None, used: self.clock });
        true
    }

    /// A blob arrived. One that nobody wants any more is dropped.
    pub(crate) fn arrived(&mut self, digest: BlobDigest, bytes: Vec<u8>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.blob.digest == digest) {
            entry.bytes = Some(Arc::new(bytes));
        }
    }

    /// A blob will not come.
    pub(crate) fn failed(&mut self, digest: BlobDigest) {
        self.entries.retain(|entry| entry.blob.digest != digest);
    }

    /// Drops what is not `needed` and does not fit the cache. Returns transfers to stop.
    pub(crate) fn sweep(&mut self, needed: impl Fn(BlobDigest) -> bool) -> Vec<BlobDigest> {
        let mut stop = Vec::new();
        weft_types::sort_few_by_key(&mut self.entries, |entry| core::cmp::Reverse(entry.used));
        let mut room = self.cache_bytes;
        self.entries.retain(|entry| {
            if needed(entry.blob.digest) {
                return true;
            }
            if entry.bytes.is_none() {
                stop.push(entry.blob.digest);
                return false;
            }
            match room.checked_sub(entry.blob.size) {
                Some(left) => {
                    room = left;
                    true
                }
                None => false,
            }
        });
        stop
    }

    /// Bytes held.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.bytes.is_some()).map(|entry| entry.blob.size).sum()
    }
}
