//! Memory of one guest: frames on demand, 2 MiB at a time where there is a run, else page by page.
//!
//! The monitor reaches it by copy through [`GuestMemory`]; the guest through the nested tables that its
//! owner builds from [`GuestRam::back`]. Frames are zeroed before a guest sees them, and given back only
//! when the guest is gone.

use crate::{frames, phys};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Mutex;
use weft_platform::{GuestMemory, MemError};
use weft_types::{Gpa, Hpa, PAGE_SIZE};

/// Bytes of a large page.
pub const LARGE_SIZE: u64 = 2 << 20;

/// A stretch of guest memory: first address and size, both multiples of 2 MiB.
pub type Range = (u64, u64);

enum Chunk {
    Empty,
    Large(Hpa),
    Small(Vec<Option<Hpa>>),
}

/// Memory of one guest.
pub struct GuestRam {
    ranges: Vec<Range>,
    chunks: Mutex<Vec<Chunk>>,
    /// Bytes that it has been given.
    given: AtomicU64,
}

/// What backs an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A 2 MiB page from this host address on.
    Large(Hpa),
    /// One 4 KiB frame.
    Small(Hpa),
}

static GIVEN: AtomicU64 = AtomicU64::new(0);

/// Bytes given to guests on this node.
pub fn given_bytes() -> u64 {
    GIVEN.load(Ordering::Relaxed)
}

/// Counts bytes that a guest was given.
pub(crate) fn count_given(bytes: u64) {
    GIVEN.fetch_add(bytes, Ordering::Relaxed);
}

/// Counts bytes that a guest gave back.
pub(crate) fn count_returned(bytes: u64) {
    GIVEN.fetch_sub(bytes, Ordering::Relaxed);
}

impl GuestRam {
    /// Empty memory over `ranges` (sorted, apart, each a multiple of 2 MiB at a multiple of 2 MiB).
    pub fn new(ranges: Vec<Range>) -> Self {
        let count = ranges.iter().map(|(_, size)| size / LARGE_SIZE).sum::<u64>();
        let mut chunks = Vec::new();
        chunks.resize_with(count as usize, || Chunk::Empty);
        Self { ranges, chunks: Mutex::new(chunks), given: AtomicU64::new(0) }
    }

    /// Bytes of the node that this memory takes.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: u64) {
        self.given.fetch_add(bytes, Ordering::Relaxed);
        count_given(bytes);
    }

    /// Bytes of guest memory.
    pub fn size(&self) -> u64 {
        self.ranges.iter().map(|(_, size)| size).sum()
    }

    fn chunk_of(&self, gpa: Gpa) -> Option<usize> {
        let mut before = 0;
        for (base, size) in &self.ranges {
            if gpa.0 >= *base && gpa.0 - base < *size {
                return Some((before + (gpa.0 - base) / LARGE_SIZE) as usize);
            }
            before += size / LARGE_SIZE;
        }
        None
    }

    /// Whether the address is memory at all.
    pub fn contains(&self, gpa: Gpa) -> bool {
        self.chunk_of(gpa).is_some()
    }

    /// The frame or large page behind an address, taken now if it was not there; `None` outside memory or
    /// when the node has no frame left.
    pub fn back(&self, gpa: Gpa) -> Option<Backing> {
        let index = self.chunk_of(gpa)?;
        let mut chunks = self.chunks.lock();
        let chunk = chunks.get_mut(index)?;
        if let Chunk::Empty = chunk {
            *chunk = match frames::alloc_run(frames::LARGE, frames::LARGE, u64::MAX) {
                Some(run) => {
                    self.count(LARGE_SIZE);
                    Chunk::Large(run)
                }
                None => Chunk::Small(alloc::vec![None; frames::LARGE as usize]),
            };
        }
        match chunk {
            Chunk::Large(base) => Some(Backing::Large(*base)),
            Chunk::Small(pages) => {
                let slot = pages.get_mut((gpa.0 % LARGE_SIZE / PAGE_SIZE) as usize)?;
                if slot.is_none() {
                    *slot = Some(frames::alloc()?);
                    self.count(PAGE_SIZE);
                }
                slot.map(Backing::Small)
            }
            Chunk::Empty => None,
        }
    }

    fn host(&self, gpa: Gpa) -> Result<Hpa, MemError> {
        match self.back(gpa) {
            Some(Backing::Large(base)) => Ok(Hpa(base.0 + gpa.0 % LARGE_SIZE)),
            Some(Backing::Small(base)) => Ok(Hpa(base.0 + gpa.page_offset())),
            None => Err(MemError::Unbacked { gpa }),
        }
    }

    /// Where an access lies that stays within one page, as most do.
    fn within_a_page(&self, gpa: Gpa, length: usize) -> Option<Result<Hpa, MemError>> {
        (gpa.page_offset() + length as u64 <= PAGE_SIZE).then(|| self.host(gpa))
    }

    /// Splits an access at page borders and checks all of it before anything is done.
    fn pieces(&self, gpa: Gpa, length: usize) -> Result<Vec<(Hpa, usize)>, MemError> {
        let mut pieces = Vec::with_capacity(length / PAGE_SIZE as usize + 2);
        let mut done = 0;
        while done < length {
            let at = gpa.checked_add(done as u64).ok_or(MemError::Unbacked { gpa })?;
            let step = (length - done).min((PAGE_SIZE - at.page_offset()) as usize);
            pieces.push((self.host(at)?, step));
            done += step;
        }
        Ok(pieces)
    }
}

impl Drop for GuestRam {
    fn drop(&mut self) {
        for chunk in self.chunks.get_mut().drain(..) {
            match chunk {
                Chunk::Empty => {}
                Chunk::Large(base) => {
                    frames::free(base, frames::LARGE);
                    count_returned(LARGE_SIZE);
                }
                Chunk::Small(pages) => {
                    for page in pages.into_iter().flatten() {
                        frames::free(page, 1);
                        count_returned(PAGE_SIZE);
                    }
                }
            }
        }
    }
}

impl GuestMemory for GuestRam {
    fn read(&self, gpa: Gpa, out: &mut [u8]) -> Result<(), MemError> {
        if let Some(host) = self.within_a_page(gpa, out.len()) {
            let from = phys::pointer(host?);
            // SAFETY: as below: within a frame of this guest.
            unsafe { core::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
            return Ok(());
        }
        let mut rest = out;
        for (host, length) in self.pieces(gpa, rest.len())? {
            let (now, later) = rest.split_at_mut(length);
            // SAFETY: the piece lies in a frame of this guest, which lives as long as `self`. The guest may
            // write at the same time: the copy is then a mixture, treated as outside data (rule F).
            unsafe { core::ptr::copy_nonoverlapping(phys::pointer(host), now.as_mut_ptr(), length) };
            rest = later;
        }
        Ok(())
    }

    fn write(&self, gpa: Gpa, data: &[u8]) -> Result<(), MemError> {
        let mut rest = data;
        for (host, length) in self.pieces(gpa, rest.len())? {
            let (now, later) = rest.split_at(length);
            // SAFETY: as for `read`; the guest sees the bytes as a device's DMA.
            unsafe { core::ptr::copy_nonoverlapping(now.as_ptr(), phys::pointer(host), length) };
            rest = later;
        }
        Ok(())
    }

    fn compare_exchange_u64(&self, gpa: Gpa, old: u64, new: u64) -> Result<u64, MemError> {
        if !gpa.0.is_multiple_of(8) {
            return Err(MemError::Unbacked { gpa });
        }
        let host = self.host(gpa)?;
        // SAFETY: aligned, within a frame of this guest; the guest uses the same memory with atomic
        // instructions of its own.
        let cell = unsafe { AtomicU64::from_ptr(phys::pointer(host).cast()) };
        Ok(match cell.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(seen) | Err(seen) => seen,
        })
    }
}
