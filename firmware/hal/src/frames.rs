//! Physical frames: a bitmap over all usable memory, one bit a frame (1 = free).

use crate::phys;
use spin::Mutex;
use weft_platform::FrameStore;
use weft_types::handoff::{Region, RegionKind};
use weft_types::{Hpa, PAGE_SIZE};

/// Frames of a 2 MiB page.
pub const LARGE: u64 = 512;
/// The lowest megabyte is kept for what needs it by address (processor start).
const LOW_END: u64 = 0x10_0000 / PAGE_SIZE;

struct Frames {
    bitmap: &'static mut [u64],
    hint: usize,
    free: u64,
    total: u64,
}

static FRAMES: Mutex<Option<Frames>> = Mutex::new(None);
static LOW_FRAME: spin::Once<Hpa> = spin::Once::new();

/// Takes the usable regions over. Called once, before any allocation.
pub fn init(regions: &[Region]) {
    let usable = || regions.iter().filter(|r| r.kind == RegionKind::Usable as u32);
    let end = usable().map(|r| (r.base + r.size) / PAGE_SIZE).max().unwrap_or(0);
    let words = (end as usize).div_ceil(64);
    let bytes = (words as u64 * 8).next_multiple_of(PAGE_SIZE);
    let home = usable()
        .find(|r| r.base >= LOW_END * PAGE_SIZE && r.size >= bytes)
        .expect("no region has room for the frame bitmap");
    let home_base = home.base.next_multiple_of(PAGE_SIZE);
    let start = phys::pointer(Hpa(home_base)).cast::<u64>();
    // SAFETY: the region is usable memory that nobody holds yet (rule F); the bitmap's frames are never
    // marked free below.
    let bitmap = unsafe {
        core::ptr::write_bytes(start, 0, words);
        core::slice::from_raw_parts_mut(start, words)
    };
    let mut frames = Frames { bitmap, hint: 0, free: 0, total: 0 };
    for region in usable() {
        let first = region.base.div_ceil(PAGE_SIZE);
        let last = (region.base + region.size) / PAGE_SIZE;
        for frame in first.max(LOW_END)..last {
            let own = frame * PAGE_SIZE >= home_base && frame * PAGE_SIZE < home_base + bytes;
            if !own {
                frames.mark(frame, true);
                frames.total += 1;
            }
        }
        // Page 0 is left alone: too much firmware keeps something there.
        let low = (first.max(1)..last.min(LOW_END.min(0x90))).next_back();
        if let Some(low) = low {
            LOW_FRAME.call_once(|| Hpa(low * PAGE_SIZE));
        }
    }
    *FRAMES.lock() = Some(frames);
}

/// A frame below 1 MiB for starting processors.
pub fn low_frame() -> Option<Hpa> {
    LOW_FRAME.get().copied()
}

impl Frames {
    fn is_free(&self, frame: u64) -> bool {
        self.bitmap.get((frame / 64) as usize).is_some_and(|w| w >> (frame % 64) & 1 == 1)
    }

    fn mark(&mut self, frame: u64, free: bool) {
        assert!(self.is_free(frame) != free, "frame {frame:#x} given or taken twice");
        let word = &mut self.bitmap[(frame / 64) as usize];
        *word ^= 1 << (frame % 64);
        if free {
            self.free += 1;
        } else {
            self.free -= 1;
        }
    }

    fn take_one(&mut self) -> Option<u64> {
        let words = self.bitmap.len();
        let at = (0..words).map(|i| (self.hint + i) % words).find(|i| self.bitmap[*i] != 0)?;
        self.hint = at;
        let frame = at as u64 * 64 + u64::from(self.bitmap[at].trailing_zeros());
        self.mark(frame, false);
        Some(frame)
    }

    /// Searches from the top, so that single frames and runs do not mix.
    fn take_run(&mut self, count: u64, align: u64, below: u64) -> Option<u64> {
        let end = (self.bitmap.len() as u64 * 64).min(below / PAGE_SIZE);
        let mut start = end.checked_sub(count)? / align * align;
        loop {
            match (start..start + count).rev().find(|f| !self.is_free(*f)) {
                None => {
                    for frame in start..start + count {
                        self.mark(frame, false);
                    }
                    return Some(start);
                }
                Some(taken) => start = taken.checked_sub(count)? / align * align,
            }
        }
    }
}

fn zero(address: Hpa, frames: u64) {
    // SAFETY: the frames were just taken from the bitmap and have no other holder (rule F).
    unsafe { core::ptr::write_bytes(phys::pointer(address), 0, (frames * PAGE_SIZE) as usize) };
}

/// One zeroed frame.
pub fn alloc() -> Option<Hpa> {
    let frame = FRAMES.lock().as_mut()?.take_one()?;
    let address = Hpa(frame * PAGE_SIZE);
    zero(address, 1);
    Some(address)
}

/// `count` zeroed frames in a row, aligned to `align` frames, wholly below `below` bytes.
pub fn alloc_run(count: u64, align: u64, below: u64) -> Option<Hpa> {
    let frame = FRAMES.lock().as_mut()?.take_run(count, align, below)?;
    let address = Hpa(frame * PAGE_SIZE);
    zero(address, count);
    Some(address)
}

/// Gives back frames that `alloc` or `alloc_run` returned.
pub fn free(address: Hpa, count: u64) {
    if let Some(frames) = FRAMES.lock().as_mut() {
        for frame in address.0 / PAGE_SIZE..address.0 / PAGE_SIZE + count {
            frames.mark(frame, true);
        }
    }
}

/// Free and total frames.
pub fn counts() -> (u64, u64) {
    FRAMES.lock().as_ref().map_or((0, 0), |f| (f.free, f.total))
}

/// [`FrameStore`] over this allocator, for page tables.
pub struct TableFrames;

impl FrameStore for TableFrames {
    fn alloc(&mut self) -> Option<Hpa> {
        alloc()
    }

    fn free(&mut self, frame: Hpa) {
        free(frame, 1);
    }

    fn entry(&self, frame: Hpa, index: usize) -> u64 {
        assert!(index < 512 && frame.page_offset() == 0);
        // SAFETY: `frame` came from `alloc` (contract of the trait) and the index is within it; the
        // processor may walk and set bits at the same time, hence volatile.
        unsafe { phys::pointer(frame).cast::<u64>().add(index).read_volatile() }
    }

    fn set_entry(&mut self, frame: Hpa, index: usize, value: u64) {
        assert!(index < 512 && frame.page_offset() == 0);
        // SAFETY: as for `entry`; only table frames are written through this type.
        unsafe { phys::pointer(frame).cast::<u64>().add(index).write_volatile(value) };
    }
}
