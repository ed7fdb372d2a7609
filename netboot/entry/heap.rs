//! No heap. Nothing in an entry allocates; the crates below could, so that the linker wants an answer.

use core::alloc::{GlobalAlloc, Layout};

struct NoHeap;

// SAFETY: null is the documented answer of an allocator that is out of memory, and nothing was ever
// handed out that `dealloc` could be given.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: NoHeap = NoHeap;
