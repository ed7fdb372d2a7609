//! The monitor's heap: `talc` over chunks from the frame allocator; large blocks are frames themselves, so
//! that a guest kernel in transit goes back whole.

use crate::{frames, phys};
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicU64, Ordering};
use talc::TalcLock;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;
use weft_types::{Hpa, PAGE_SIZE};

/// From this size on a block is a run of frames.
const LARGE: usize = 128 * 1024;
/// What the small heap grows by.
const CHUNK: u64 = 256 * 1024;

static USED: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Grow;

// SAFETY: `acquire` only calls the frame allocator, which never allocates from the heap.
unsafe impl Source for Grow {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, _layout: Layout) -> Result<(), ()> {
        let chunk = frames::alloc_run(CHUNK / PAGE_SIZE, 1, u64::MAX).ok_or(())?;
        USED.fetch_add(CHUNK, Ordering::Relaxed);
        // SAFETY: the run was just allocated and is given to this heap for ever (rule F).
        unsafe { talc.claim(phys::pointer(chunk), CHUNK as usize) }.map(|_| ()).ok_or(())
    }
}

struct Heap {
    small: TalcLock<spin::Mutex<()>, Grow>,
}

#[global_allocator]
static HEAP: Heap = Heap { small: TalcLock::new(Grow) };

fn frames_of(layout: Layout) -> u64 {
    (layout.size() as u64).div_ceil(PAGE_SIZE)
}

fn align_of(layout: Layout) -> u64 {
    (layout.align() as u64).div_ceil(PAGE_SIZE).max(1)
}

// SAFETY: large blocks are frame runs that nobody else holds (rule F), the others come from talc; which
// of the two a block is follows from its layout, which is the same at allocation and at release.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE {
            let Some(run) = frames::alloc_run(frames_of(layout), align_of(layout), u64::MAX) else {
                return core::ptr::null_mut();
            };
            USED.fetch_add(frames_of(layout) * PAGE_SIZE, Ordering::Relaxed);
            return phys::pointer(run);
        }
        // SAFETY: the caller's contract is that of `GlobalAlloc`, which talc implements.
        unsafe { self.small.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() >= LARGE {
            frames::free(phys::address_of(block, Hpa(0)), frames_of(layout));
            USED.fetch_sub(frames_of(layout) * PAGE_SIZE, Ordering::Relaxed);
            return;
        }
        // SAFETY: as for `alloc`.
        unsafe { self.small.dealloc(block, layout) }
    }
}

/// Bytes of memory that the heap has taken.
pub fn used_bytes() -> u64 {
    USED.load(Ordering::Relaxed)
}
