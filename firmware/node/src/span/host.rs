//! What the monitor provides for its part of a spanning server: frames, the guest's nested tables, flushes,
//! guest time. Calls do what they say at once; only flushes take time.

use weft_coherence::Page;
use weft_coherence::content::PAGE_BYTES;

/// The node has no frame left for guests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoFrame;

/// See the module.
pub trait SpanHost {
    /// What the guest's RDTSC would return here.
    fn guest_tsc(&self) -> u64;
    /// Steps guest time forward to at least `tsc`. When it returns, no processor runs the guest by the old
    /// time.
    fn advance_tsc(&mut self, tsc: u64);
    /// Copies a page out; `false` when it has no frame.
    fn read(&self, page: Page, out: &mut [u8; PAGE_BYTES]) -> bool;
    /// Copies a page in, into a frame of its own.
    fn write(&mut self, page: Page, data: &[u8; PAGE_BYTES]) -> Result<(), NoFrame>;
    /// Lets a page be zeros in the frame that pages of zeros share.
    fn share_zero(&mut self, page: Page) -> Result<(), NoFrame>;
    /// Gives a page's frame back.
    fn drop_frame(&mut self, page: Page);
    /// Lets the guest reach a page's frame, `write`: also to write.
    fn map(&mut self, page: Page, write: bool) -> Result<(), NoFrame>;
    /// Takes a page from the guest; a flush follows.
    fn unmap(&mut self, page: Page);
    /// Takes the right to write from the guest; a flush follows.
    fn protect(&mut self, page: Page);
    /// Begins a flush on all processors that may hold translations of this guest, and numbers it.
    fn begin_flush(&mut self) -> u64;
    /// The latest flush that is over, those before it included.
    fn flushes_over(&self) -> u64;
    /// Frames that guests may still take.
    fn free_frames(&self) -> u64;
    /// Lets a waiter try again.
    fn unpark(&mut self, waiter: u16);
}
