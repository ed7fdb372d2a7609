//! Traits between decisions and hardware: `hal` implements them on a node, tests fake them.
//!
//! A decision (paging, devices, protocols) takes these as arguments, so that it runs in host tests
//! exactly as it ships.
#![no_std]
extern crate alloc;

use alloc::sync::Arc;
use alloc::vec;
use weft_types::{Gpa, Hpa};

/// Time since the node started.
pub trait Clock {
    /// Nanoseconds, never backwards.
    fn now_ns(&self) -> u64;
}

/// A cryptographic random generator.
pub trait Entropy {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// 4 KiB frames of host memory, reached by their physical address.
pub trait FrameStore {
    /// A zeroed frame, or `None` when memory is used up.
    fn alloc(&mut self) -> Option<Hpa>;
    /// Gives back a frame that [`FrameStore::alloc`] returned.
    fn free(&mut self, frame: Hpa);
    /// The table entry `index` (0–511) of the frame.
    fn entry(&self, frame: Hpa, index: usize) -> u64;
    /// Writes the table entry `index` (0–511) of the frame.
    fn set_entry(&mut self, frame: Hpa, index: usize, value: u64);
}

/// How guest memory is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// To read.
    Read,
    /// To write.
    Write,
}

/// Why guest memory was not reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemError {
    /// The page is elsewhere: park the operation, ask for the page, run the operation again from its
    /// start. No side effect may come before all pages are held.
    Need {
        /// Page that is missing.
        gpa: Gpa,
        /// How it is wanted.
        access: Access,
    },
    /// No memory of the guest is there: a hole, a device, past the end.
    Unbacked {
        /// Address asked for.
        gpa: Gpa,
    },
}

/// A guest's physical memory. Asked for, never assumed: each access may return
/// [`MemError::Need`]. An access may cross pages; on an error nothing was written.
pub trait GuestMemory {
    /// Copies `out.len()` bytes from `gpa`.
    fn read(&self, gpa: Gpa, out: &mut [u8]) -> Result<(), MemError>;
    /// Copies `data` to `gpa`.
    fn write(&self, gpa: Gpa, data: &[u8]) -> Result<(), MemError>;
    /// Compares the aligned 8 bytes at `gpa` with `old` and, if equal, stores `new`, as one atomic
    /// operation. Returns the value that was there.
    fn compare_exchange_u64(&self, gpa: Gpa, old: u64, new: u64) -> Result<u64, MemError>;

    /// Little-endian 16-bit value.
    fn read_u16(&self, gpa: Gpa) -> Result<u16, MemError> {
        let mut b = [0; 2];
        self.read(gpa, &mut b)?;
        Ok(u16::from_le_bytes(b))
    }
    /// Little-endian 32-bit value.
    fn read_u32(&self, gpa: Gpa) -> Result<u32, MemError> {
        let mut b = [0; 4];
        self.read(gpa, &mut b)?;
        Ok(u32::from_le_bytes(b))
    }
    /// Little-endian 64-bit value.
    fn read_u64(&self, gpa: Gpa) -> Result<u64, MemError> {
        let mut b = [0; 8];
        self.read(gpa, &mut b)?;
        Ok(u64::from_le_bytes(b))
    }
}

/// Why a frame was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TxError {
    /// The ring is full; try again after the next completion.
    Full,
    /// Longer than [`Nic::mtu`] and its header allow, or empty.
    Length,
    /// The device does not work any more.
    Device,
}

/// Memory that a NIC may read by itself: physically contiguous and unchanged while anybody holds it. Who holds
/// the last reference gives the memory back, so that a frame under DMA cannot be reused.
pub trait SendPage: Send + Sync {
    /// Address that a device uses.
    fn device_address(&self) -> u64;
    /// Bytes.
    fn size(&self) -> usize;
    /// Copies `out.len()` bytes from `offset`. Panics outside the memory.
    fn read(&self, offset: usize, out: &mut [u8]);
}

/// A part of a [`SendPage`].
#[derive(Clone)]
pub struct Piece {
    /// The whole.
    pub page: Arc<dyn SendPage>,
    /// First byte.
    pub offset: usize,
    /// Bytes; `offset + length` is within the page.
    pub length: usize,
}

/// Longest frame that [`Nic::transmit_gather`] copies together where the device cannot gather, without FCS.
const MAX_COPY: usize = 9018;

/// An Ethernet port.
pub trait Nic {
    /// Hardware address.
    fn mac(&self) -> [u8; 6];
    /// Largest payload of a frame, header apart, bytes.
    fn mtu(&self) -> usize;
    /// Whether the link is up.
    fn link_up(&mut self) -> bool;
    /// Sends one Ethernet frame (without FCS).
    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError>;
    /// Sends one Ethernet frame made of `head` and of memory that the device reads by itself. The driver holds
    /// the page until the device is done with it. Drivers that cannot gather copy.
    fn transmit_gather(&mut self, head: &[u8], piece: &Piece) -> Result<(), TxError> {
        let length = head.len().checked_add(piece.length).filter(|l| *l <= MAX_COPY);
        let mut frame = vec![0; length.ok_or(TxError::Length)?];
        let (start, rest) = frame.split_at_mut(head.len());
        start.copy_from_slice(head);
        piece.page.read(piece.offset, rest);
        self.transmit(&frame)
    }
    /// Gives back pages whose frames have left. Transmitting does so too; an idle port is asked now and then.
    fn reclaim(&mut self) {}
    /// Copies the next received frame (without FCS) into `out` and returns its length; `None` when
    /// there is none. A frame longer than `out` is dropped and counted.
    fn receive(&mut self, out: &mut [u8]) -> Option<usize>;
    /// Tells the device that its interrupt was seen.
    fn acknowledge_interrupt(&mut self);
    /// Lets the device raise its interrupt, or not. `false`: it cannot, and must be polled. Frames that came
    /// before may raise none: look once more after switching on.
    fn set_interrupts(&mut self, on: bool) -> bool {
        let _ = on;
        false
    }
}

/// Registers of a memory-mapped device. Offsets are bytes from the start of the window; an access
/// outside it panics (a driver's own defect).
pub trait Mmio {
    /// Bytes in the window.
    fn size(&self) -> usize;
    /// 32-bit read.
    fn read32(&self, offset: usize) -> u32;
    /// 32-bit write.
    fn write32(&mut self, offset: usize, value: u32);
}

/// Registers narrower than 32 bits, for devices that want each accessed in its own width.
pub trait NarrowMmio: Mmio {
    /// 8-bit read.
    fn read8(&self, offset: usize) -> u8;
    /// 8-bit write.
    fn write8(&mut self, offset: usize, value: u8);
    /// 16-bit read. `offset` is even.
    fn read16(&self, offset: usize) -> u16;
    /// 16-bit write. `offset` is even.
    fn write16(&mut self, offset: usize, value: u16);
}

/// Physically contiguous memory that a device reads and writes. Access is by copy: no reference into
/// memory that a device may change.
pub trait DmaBuf {
    /// Address that the device uses.
    fn device_address(&self) -> u64;
    /// Bytes.
    fn size(&self) -> usize;
    /// Copies out of the buffer. Panics outside it.
    fn read(&self, offset: usize, out: &mut [u8]);
    /// Copies into the buffer. Panics outside it.
    fn write(&mut self, offset: usize, data: &[u8]);
    /// Volatile 32-bit read with acquire order. `offset` is a multiple of 4.
    fn read32(&self, offset: usize) -> u32;
    /// Volatile 32-bit write with release order. `offset` is a multiple of 4.
    fn write32(&mut self, offset: usize, value: u32);
}
