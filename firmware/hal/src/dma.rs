//! Memory that a device reads and writes (rule D).

use crate::{frames, phys};
use core::sync::atomic::{Ordering, fence};
use weft_platform::{DmaBuf, SendPage};
use weft_types::{Hpa, PAGE_SIZE};

/// A run of frames below 4 GiB, reached by volatile copy.
pub struct Dma {
    base: Hpa,
    frames: u64,
}

impl Dma {
    /// At least `bytes` bytes, zeroed; `None` when memory is short.
    pub fn new(bytes: usize) -> Option<Self> {
        let count = (bytes as u64).div_ceil(PAGE_SIZE).max(1);
        Some(Self { base: frames::alloc_run(count, 1, 1 << 32)?, frames: count })
    }

    fn at(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(
            offset.checked_add(length).is_some_and(|end| end <= DmaBuf::size(self)),
            "outside the DMA buffer"
        );
        phys::pointer(Hpa(self.base.0 + offset as u64))
    }
}

impl Drop for Dma {
    fn drop(&mut self) {
        frames::free(self.base, self.frames);
    }
}

impl DmaBuf for Dma {
    fn device_address(&self) -> u64 {
        self.base.0
    }

    fn size(&self) -> usize {
        (self.frames * PAGE_SIZE) as usize
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        let start = self.at(offset, out.len());
        fence(Ordering::Acquire);
        // SAFETY: bounds were checked. The device may write at the same time; what is copied is then any
        // mixture of old and new bytes, which drivers treat as outside data.
        unsafe { core::ptr::copy_nonoverlapping(start, out.as_mut_ptr(), out.len()) };
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        let start = self.at(offset, data.len());
        // SAFETY: bounds were checked; drivers write only parts that the device does not own.
        unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), start, data.len()) };
        fence(Ordering::Release);
    }

    fn read32(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4));
        // SAFETY: in bounds and aligned.
        let value = unsafe { self.at(offset, 4).cast::<u32>().read_volatile() };
        fence(Ordering::Acquire);
        value
    }

    fn write32(&mut self, offset: usize, value: u32) {
        assert!(offset.is_multiple_of(4));
        fence(Ordering::Release);
        // SAFETY: in bounds and aligned.
        unsafe { self.at(offset, 4).cast::<u32>().write_volatile(value) };
    }
}

/// While it is shared nobody can write: that takes `&mut`.
impl SendPage for Dma {
    fn device_address(&self) -> u64 {
        self.base.0
    }

    fn size(&self) -> usize {
        DmaBuf::size(self)
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        DmaBuf::read(self, offset, out);
    }
}
