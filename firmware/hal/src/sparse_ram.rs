//! Memory of a guest that spans nodes: frames of 4 KiB, of which each page has one here or has none.
//!
//! Which pages are here, and what may be done with them, is the coherence protocol's to decide; this is where
//! their bytes lie. All access is by copy (rule F): the guest changes them at any time. A frame that is given
//! up must not be mapped any more: its owner unmaps and flushes first.
//!
//! Pages that hold zeros and are only read share one frame of the node, which nobody ever writes.

use crate::guest_ram::Range;
use crate::{frames, guest_ram, phys};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use weft_types::{Gpa, Hpa, PAGE_SIZE};

/// Bytes of a page.
pub const PAGE_BYTES: usize = PAGE_SIZE as usize;
/// Frames that guests leave to the monitor, as they plan.
const RESERVE: u64 = 2048;
/// Frames that they leave in any case. What lies between makes up for tables and messages that took frames since they
/// planned.
const LAST_RESERVE: u64 = 1024;

/// The node has no frame left for guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFrame;

/// The frame of zeros; 0 while there is none.
static ZERO: spin::Once<Option<u32>> = spin::Once::new();

fn zero_frame() -> Result<u32, NoFrame> {
    let made = ZERO.call_once(|| frames::alloc().and_then(|frame| u32::try_from(frame.0 / PAGE_SIZE).ok()));
    made.ok_or(NoFrame)
}

fn is_zero_frame(number: u32) -> bool {
    ZERO.get().is_some_and(|made| *made == Some(number))
}

/// Where the pages of one guest are on this node. Four bytes a page.
pub struct SparseRam {
    ranges: Vec<Range>,
    /// Frame number of each page, 0 for none.
    frames: Vec<u32>,
    held: u64,
}

impl SparseRam {
    /// No page of `ranges` (sorted, apart, whole pages).
    pub fn new(ranges: Vec<Range>) -> Self {
        let pages = ranges.iter().map(|(_, size)| size / PAGE_SIZE).sum::<u64>();
        Self { ranges, frames: alloc::vec![0; pages as usize], held: 0 }
    }

    /// Frames taken.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Frames that guests could still take.
    pub fn free_frames() -> u64 {
        frames::counts().0.saturating_sub(RESERVE)
    }

    fn slot(&self, gpa: Gpa) -> Option<usize> {
        let mut before = 0;
        for (base, size) in &self.ranges {
            if gpa.0 >= *base && gpa.0 - base < *size {
                return Some((before + (gpa.0 - base) / PAGE_SIZE) as usize);
            }
            before += size / PAGE_SIZE;
        }
        None
    }

    /// Whether the address is memory of the guest at all.
    pub fn contains(&self, gpa: Gpa) -> bool {
        self.slot(gpa).is_some()
    }

    /// The frame of a page that is here.
    pub fn frame(&self, gpa: Gpa) -> Option<Hpa> {
        let number = *self.frames.get(self.slot(gpa)?)?;
        (number != 0).then(|| Hpa(u64::from(number) * PAGE_SIZE))
    }

    /// Lets a page that has no frame share the frame of zeros.
    pub fn share_zero(&mut self, gpa: Gpa) -> Result<Hpa, NoFrame> {
        let number = zero_frame()?;
        self.release(gpa);
        let slot = self.slot(gpa).ok_or(NoFrame)?;
        *self.frames.get_mut(slot).ok_or(NoFrame)? = number;
        Ok(Hpa(u64::from(number) * PAGE_SIZE))
    }

    /// The page's own frame; a zeroed one is taken if it had none.
    pub fn take(&mut self, gpa: Gpa) -> Result<Hpa, NoFrame> {
        let slot = self.slot(gpa).ok_or(NoFrame)?;
        let cell = self.frames.get_mut(slot).ok_or(NoFrame)?;
        if *cell == 0 || is_zero_frame(*cell) {
            if frames::counts().0 <= LAST_RESERVE {
                return Err(NoFrame);
            }
            let frame = frames::alloc().ok_or(NoFrame)?;
            let Ok(number) = u32::try_from(frame.0 / PAGE_SIZE) else {
                frames::free(frame, 1);
                return Err(NoFrame);
            };
            *cell = number;
            self.held += 1;
            guest_ram::count_given(PAGE_SIZE);
        }
        Ok(Hpa(u64::from(*cell) * PAGE_SIZE))
    }

    /// Gives the frame of a page back, if it has one.
    pub fn release(&mut self, gpa: Gpa) {
        let Some(slot) = self.slot(gpa) else { return };
        let number = self.frames.get_mut(slot).map_or(0, core::mem::take);
        if number != 0 && !is_zero_frame(number) {
            self.held -= 1;
            guest_ram::count_returned(PAGE_SIZE);
            frames::free(Hpa(u64::from(number) * PAGE_SIZE), 1);
        }
    }

    /// Pages that have frames: first page of each stretch, and how many.
    pub fn runs(&self) -> Vec<(Gpa, u32)> {
        let mut runs: Vec<(Gpa, u32)> = Vec::new();
        let mut before = 0;
        for (base, size) in &self.ranges {
            let count = (size / PAGE_SIZE) as usize;
            let here = self.frames.get(before..before + count).unwrap_or(&[]);
            for (page, _) in here.iter().enumerate().filter(|(_, frame)| **frame != 0) {
                let at = Gpa(base + page as u64 * PAGE_SIZE);
                match runs.last_mut() {
                    Some((first, length)) if first.0 + u64::from(*length) * PAGE_SIZE == at.0 => *length += 1,
                    Some(_) | None => runs.push((at, 1)),
                }
            }
            before += count;
        }
        runs
    }

    /// Copies from a page that is here; `false` when it is not, or when the access leaves the page.
    pub fn read(&self, gpa: Gpa, out: &mut [u8]) -> bool {
        let Some(host) = self.within(gpa, out.len()) else { return false };
        // SAFETY: `within` found a frame of this guest that holds the whole range (rule F). The guest may
        // write at the same time: the copy is then a mixture, treated as outside data.
        unsafe { core::ptr::copy_nonoverlapping(phys::pointer(host), out.as_mut_ptr(), out.len()) };
        true
    }

    /// Copies into a page that is here; `false` when it is not, or when the access leaves the page.
    pub fn write(&mut self, gpa: Gpa, data: &[u8]) -> bool {
        let Some(host) = self.own(gpa, data.len()) else { return false };
        // SAFETY: as for `read`; the frame is the page's own, and the guest sees the bytes as a device's DMA.
        unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), phys::pointer(host), data.len()) };
        true
    }

    /// Compares the aligned 8 bytes at `gpa` with `old` and, if equal, stores `new`, at once. Returns what
    /// was there; `None` when the page is not here or the address is not aligned.
    pub fn compare_exchange(&mut self, gpa: Gpa, old: u64, new: u64) -> Option<u64> {
        if !gpa.0.is_multiple_of(8) {
            return None;
        }
        let host = self.own(gpa, 8)?;
        // SAFETY: aligned, within a frame of this guest; the guest uses the same memory with atomic
        // instructions of its own.
        let cell = unsafe { AtomicU64::from_ptr(phys::pointer(host).cast()) };
        Some(match cell.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(seen) | Err(seen) => seen,
        })
    }

    /// [`SparseRam::within`] for writing: never the frame of zeros.
    fn own(&self, gpa: Gpa, length: usize) -> Option<Hpa> {
        self.within(gpa, length).filter(|host| !u32::try_from(host.0 / PAGE_SIZE).is_ok_and(is_zero_frame))
    }

    fn within(&self, gpa: Gpa, length: usize) -> Option<Hpa> {
        let end = gpa.page_offset().checked_add(length as u64)?;
        let frame = self.frame(gpa).filter(|_| end <= PAGE_SIZE)?;
        frame.checked_add(gpa.page_offset())
    }
}

impl Drop for SparseRam {
    fn drop(&mut self) {
        for number in self.frames.drain(..).filter(|number| *number != 0 && !is_zero_frame(*number)) {
            guest_ram::count_returned(PAGE_SIZE);
            frames::free(Hpa(u64::from(number) * PAGE_SIZE), 1);
        }
    }
}
