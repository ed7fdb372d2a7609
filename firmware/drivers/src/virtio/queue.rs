//! A split virtqueue, the driver's side (Virtual I/O Device 1.2, 2.7), in a part of a DMA buffer.
//!
//! ```text
//! base: descriptors 16 B × size | available: flags, index, size × 2 B, used event | used: flags, index, size × 8 B, …
//! ```
//! Flags and index of both rings are one aligned word each and are accessed as such. Invariants: what the device
//! wrote is checked before use ([`Broken`]); an index is published after what it covers; with event indices the
//! device is notified only when it asked to be.

use core::sync::atomic::{Ordering, fence};
use weft_platform::DmaBuf;

const DESCRIPTOR: usize = 16;
/// The buffer goes on with another descriptor.
const FLAG_NEXT: u32 = 1;
/// The device writes the buffer.
const FLAG_WRITE: u32 = 2;
/// Available ring: no interrupts, please. Used ring: no notifications, please.
const FLAG_QUIET: u32 = 1;

/// The device broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Broken;

/// See the module.
pub(super) struct Queue {
    base: usize,
    size: u16,
    event_index: bool,
    /// What was published to the device.
    available: u16,
    /// The same, when the device was last notified.
    notified: u16,
    /// What was taken from the device.
    used: u16,
}

const fn low(address: u64) -> u32 {
    (address & 0xffff_ffff) as u32
}

const fn high(address: u64) -> u32 {
    (address >> 32) as u32
}

impl Queue {
    /// A queue of `size` (a power of two, at least 2) at `base` of the buffer, a multiple of 16. The memory is zero.
    pub(super) fn new(base: usize, size: u16, event_index: bool) -> Self {
        Self { base, size, event_index, available: 0, notified: 0, used: 0 }
    }

    /// Bytes of a queue, a multiple of 16.
    pub(super) const fn bytes(size: u16) -> usize {
        let size = size as usize;
        (DESCRIPTOR * size + (8 + 2 * size).next_multiple_of(16) + 8 + 8 * size).next_multiple_of(16)
    }

    fn available_ring(&self) -> usize {
        self.base + DESCRIPTOR * usize::from(self.size)
    }

    fn used_ring(&self) -> usize {
        self.available_ring() + (8 + 2 * usize::from(self.size)).next_multiple_of(16)
    }

    /// Offsets of descriptors, available ring and used ring.
    pub(super) fn parts(&self) -> [usize; 3] {
        [self.base, self.available_ring(), self.used_ring()]
    }

    /// Writes a descriptor.
    pub(super) fn describe(
        &self,
        dma: &mut impl DmaBuf,
        index: u16,
        address: u64,
        length: u32,
        next: Option<u16>,
        device_writes: bool,
    ) {
        let at = self.base + DESCRIPTOR * usize::from(index);
        let write = if device_writes { FLAG_WRITE } else { 0 };
        let flags = write | next.map_or(0, |next| FLAG_NEXT | u32::from(next) << 16);
        dma.write32(at, low(address));
        dma.write32(at + 4, high(address));
        dma.write32(at + 8, length);
        dma.write32(at + 12, flags);
    }

    /// Puts a chain into the available ring and publishes it. At most `size` chains are with the device.
    pub(super) fn publish(&mut self, dma: &mut impl DmaBuf, head: u16) {
        let slot = usize::from(self.available % self.size);
        dma.write(self.available_ring() + 4 + 2 * slot, &head.to_le_bytes());
        self.available = self.available.wrapping_add(1);
        let word = dma.read32(self.available_ring()) & 0xffff | u32::from(self.available) << 16;
        dma.write32(self.available_ring(), word);
    }

    /// Whether the device wants to hear of what was published since the last notification.
    pub(super) fn must_notify(&mut self, dma: &impl DmaBuf) -> bool {
        let before = core::mem::replace(&mut self.notified, self.available);
        if before == self.available {
            return false;
        }
        // The index must be visible before the wish is read, or both sides may wait for each other.
        fence(Ordering::SeqCst);
        if !self.event_index {
            return dma.read32(self.used_ring()) & FLAG_QUIET == 0;
        }
        let wish = (dma.read32(self.used_ring() + 4 + 8 * usize::from(self.size)) & 0xffff) as u16;
        self.available.wrapping_sub(wish).wrapping_sub(1) < self.available.wrapping_sub(before)
    }

    /// The next chain that the device is done with: its head and the bytes that the device wrote.
    pub(super) fn take_used(&mut self, dma: &impl DmaBuf) -> Result<Option<(u16, usize)>, Broken> {
        let index = (dma.read32(self.used_ring()) >> 16) as u16;
        if index == self.used {
            return Ok(None);
        }
        if index.wrapping_sub(self.used) > self.size {
            return Err(Broken);
        }
        let at = self.used_ring() + 4 + 8 * usize::from(self.used % self.size);
        let (id, length) = (dma.read32(at), dma.read32(at + 4));
        self.used = self.used.wrapping_add(1);
        let head = u16::try_from(id).ok().filter(|id| *id < self.size).ok_or(Broken)?;
        Ok(Some((head, usize::try_from(length).map_err(|_| Broken)?)))
    }

    /// Whether the device shall interrupt for what it gives back. What it gave back before raises nothing.
    pub(super) fn set_interrupts(&mut self, dma: &mut impl DmaBuf, on: bool) {
        let flags = if on || self.event_index { 0 } else { FLAG_QUIET };
        dma.write32(self.available_ring(), flags | u32::from(self.available) << 16);
        // Off: as far away as an index can be. It comes near again after 2^16 buffers, for one interrupt.
        let event = if on { self.used } else { self.used.wrapping_sub(1) };
        dma.write32(self.available_ring() + 4 + 2 * usize::from(self.size), u32::from(event));
        fence(Ordering::SeqCst);
    }
}
