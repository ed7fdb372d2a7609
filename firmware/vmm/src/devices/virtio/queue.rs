//! A split virtqueue, seen from the device.
//!
//! ```text
//!  peek ─▶ Chain ─(read, write)─▶ complete      finish: is an interrupt wanted?
//!   reads only                     used element, used index, then our own state
//! ```
//!
//! Invariants:
//! - Every index and address comes from the guest and is checked against the queue's size or by
//!   [`GuestMemory`]. A chain has at most as many descriptors as the queue has entries.
//! - [`Queue::peek`] changes nothing; [`Queue::complete`] changes the queue's own state only after its
//!   writes. Either may be run again.
//! - Chains are completed in the order in which they came.
//!
//! Source: VIRTIO 1.2, section 2.7.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{Ordering, fence};

use weft_platform::{GuestMemory, MemError};
use weft_types::Gpa;

const DESCRIPTOR_BYTES: u64 = 16;
const FLAG_NEXT: u16 = 1;
const FLAG_WRITE: u16 = 2;
const FLAG_INDIRECT: u16 = 4;
const AVAIL_NO_INTERRUPT: u16 = 1;

/// How a guest broke a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RingFault {
    /// An address without memory behind it.
    Unbacked {
        /// Address.
        gpa: Gpa,
    },
    /// More chains are available than the queue has entries.
    AvailableIndex {
        /// Index in the ring.
        index: u16,
        /// Next one that the device would take.
        next: u16,
    },
    /// A descriptor's number is not below the table's size.
    DescriptorIndex {
        /// Number.
        index: u16,
        /// Size.
        size: u16,
    },
    /// A chain is longer than the queue, or a loop.
    ChainLength,
    /// An indirect table where none is allowed, or of a size that is not possible.
    Indirect,
    /// A readable descriptor after a writable one.
    Order,
    /// A buffer that ends past the end of the address space.
    Address {
        /// Address.
        gpa: Gpa,
    },
    /// More bytes in a chain than the device takes.
    ChainBytes {
        /// Bytes.
        bytes: u64,
    },
}

impl fmt::Display for RingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbacked { gpa } => write!(f, "{gpa:?} is no memory"),
            Self::AvailableIndex { index, next } => {
                write!(f, "available index {index} is too far from {next}")
            }
            Self::DescriptorIndex { index, size } => write!(f, "descriptor {index} of {size}"),
            Self::ChainLength => write!(f, "a chain of descriptors is longer than the queue"),
            Self::Indirect => write!(f, "an indirect table is not allowed here"),
            Self::Order => write!(f, "a readable descriptor follows a writable one"),
            Self::Address { gpa } => write!(f, "a buffer at {gpa:?} ends past the address space"),
            Self::ChainBytes { bytes } => write!(f, "a chain of {bytes} bytes is too long"),
        }
    }
}

/// Why a queue was not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueError {
    /// A page is elsewhere: run the same again when it has come.
    Need(MemError),
    /// The guest broke the ring.
    Fault(RingFault),
}

impl From<MemError> for QueueError {
    fn from(error: MemError) -> Self {
        match error {
            MemError::Need { .. } => Self::Need(error),
            MemError::Unbacked { gpa } => Self::Fault(RingFault::Unbacked { gpa }),
        }
    }
}

impl From<RingFault> for QueueError {
    fn from(fault: RingFault) -> Self {
        Self::Fault(fault)
    }
}

/// A part of guest memory that a descriptor names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buffer {
    /// First byte.
    pub gpa: Gpa,
    /// Length, bytes.
    pub bytes: u32,
}

/// A request: buffers to read, then buffers to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    head: u16,
    /// Buffers that the driver filled.
    pub readable: Vec<Buffer>,
    /// Buffers that the device fills.
    pub writable: Vec<Buffer>,
}

fn total(buffers: &[Buffer]) -> u64 {
    buffers.iter().map(|buffer| u64::from(buffer.bytes)).sum()
}

impl Chain {
    /// Bytes to read.
    pub fn readable_bytes(&self) -> u64 {
        total(&self.readable)
    }

    /// Bytes that may be written.
    pub fn writable_bytes(&self) -> u64 {
        total(&self.writable)
    }

    /// Copies all readable bytes; more than `limit` is a fault.
    pub fn read(&self, mem: &dyn GuestMemory, limit: usize) -> Result<Vec<u8>, QueueError> {
        let bytes = self.readable_bytes();
        let size = usize::try_from(bytes).ok().filter(|size| *size <= limit);
        let mut out = vec![0; size.ok_or(RingFault::ChainBytes { bytes })?];
        let mut rest = out.as_mut_slice();
        for buffer in &self.readable {
            let (part, after) = rest.split_at_mut((buffer.bytes as usize).min(rest.len()));
            mem.read(buffer.gpa, part)?;
            rest = after;
        }
        Ok(out)
    }

    /// Copies `data` to the writable buffers, as much as fits, and returns how much that is.
    pub fn write(&self, mem: &dyn GuestMemory, data: &[u8]) -> Result<u32, QueueError> {
        let mut rest = data;
        let mut written = 0u32;
        for buffer in &self.writable {
            let (part, after) = rest.split_at((buffer.bytes as usize).min(rest.len()));
            mem.write(buffer.gpa, part)?;
            written = written.saturating_add(part.len() as u32);
            rest = after;
        }
        Ok(written)
    }
}

/// A queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Queue {
    max_size: u16,
    size: u16,
    ready: bool,
    descriptors: u64,
    available: u64,
    used: u64,
    next_available: u16,
    next_used: u16,
    /// Used index at the last look whether an interrupt is wanted.
    signalled: u16,
    event_index: bool,
    indirect: bool,
}

/// A descriptor as it stands in its table.
struct Descriptor {
    gpa: Gpa,
    bytes: u32,
    flags: u16,
    next: u16,
}

/// A table of descriptors: the queue's own or an indirect one.
#[derive(Clone, Copy)]
struct Descriptors {
    at: u64,
    size: u16,
    indirect: bool,
}

impl Descriptors {
    fn read(&self, mem: &dyn GuestMemory, index: u16) -> Result<Descriptor, QueueError> {
        if index >= self.size {
            return Err(RingFault::DescriptorIndex { index, size: self.size }.into());
        }
        let mut raw = [0; 16];
        mem.read(place(self.at, u64::from(index) * DESCRIPTOR_BYTES)?, &mut raw)?;
        let [a, b, c, d, e, f, g, h, len @ .., f0, f1, n0, n1] = raw;
        Ok(Descriptor {
            gpa: Gpa(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
            bytes: u32::from_le_bytes(len),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }
}

fn place(base: u64, offset: u64) -> Result<Gpa, RingFault> {
    Gpa(base).checked_add(offset).ok_or(RingFault::Address { gpa: Gpa(base) })
}

impl Queue {
    /// A queue that is not set up, of at most `max_size` entries (a power of two).
    pub fn new(max_size: u16) -> Self {
        Self {
            max_size,
            size: max_size,
            ready: false,
            descriptors: 0,
            available: 0,
            used: 0,
            next_available: 0,
            next_used: 0,
            signalled: 0,
            event_index: false,
            indirect: false,
        }
    }

    /// Largest size.
    pub fn max_size(&self) -> u16 {
        self.max_size
    }

    /// Whether the queue is in use.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Entries: as many chains as one call may take.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Sets the number of entries. Without effect while the queue is in use.
    pub(super) fn set_size(&mut self, size: u32) {
        if !self.ready {
            // A size that does not fit becomes one that `enable` refuses.
            self.size = u16::try_from(size).unwrap_or(0);
        }
    }

    /// The registers of an address: descriptor table, available ring, used ring.
    fn address(&mut self, part: Part) -> &mut u64 {
        match part {
            Part::Descriptors => &mut self.descriptors,
            Part::Available => &mut self.available,
            Part::Used => &mut self.used,
        }
    }

    /// Sets half of an address. Without effect while the queue is in use.
    pub(super) fn set_address(&mut self, part: Part, high: bool, value: u32) {
        if self.ready {
            return;
        }
        let address = self.address(part);
        *address = if high {
            (*address & 0xffff_ffff) | u64::from(value) << 32
        } else {
            (*address & !0xffff_ffff) | u64::from(value)
        };
    }

    /// Half of an address.
    pub(super) fn half_address(&mut self, part: Part, high: bool) -> u32 {
        (*self.address(part) >> if high { 32 } else { 0 }) as u32
    }

    /// Takes the queue into use; false when its size or addresses are not possible.
    pub(super) fn enable(&mut self, event_index: bool, indirect: bool) -> bool {
        if self.ready {
            return true;
        }
        let size = u64::from(self.size);
        let fits = |base: u64, bytes: u64, align: u64| {
            base.is_multiple_of(align) && base.checked_add(bytes).is_some()
        };
        let possible = self.size.is_power_of_two()
            && self.size <= self.max_size
            && fits(self.descriptors, size * DESCRIPTOR_BYTES, 16)
            && fits(self.available, 6 + 2 * size, 2)
            && fits(self.used, 6 + 8 * size, 4);
        if possible {
            self.ready = true;
            self.next_available = 0;
            self.next_used = 0;
            self.signalled = 0;
            self.event_index = event_index;
            self.indirect = indirect;
        }
        possible
    }

    /// Takes the queue out of use.
    pub(super) fn disable(&mut self) {
        self.ready = false;
    }

    /// The next chain, or `None`. Changes nothing.
    pub fn peek(&self, mem: &dyn GuestMemory) -> Result<Option<Chain>, QueueError> {
        if !self.ready {
            return Ok(None);
        }
        let index = mem.read_u16(place(self.available, 2)?)?;
        let waiting = index.wrapping_sub(self.next_available);
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.size {
            return Err(RingFault::AvailableIndex { index, next: self.next_available }.into());
        }
        // The entries were written before the index.
        fence(Ordering::Acquire);
        let slot = u64::from(self.next_available % self.size);
        let head = mem.read_u16(place(self.available, 4 + 2 * slot)?)?;
        self.chain(mem, head).map(Some)
    }

    fn chain(&self, mem: &dyn GuestMemory, head: u16) -> Result<Chain, QueueError> {
        let mut table = Descriptors { at: self.descriptors, size: self.size, indirect: false };
        let mut chain = Chain { head, readable: Vec::new(), writable: Vec::new() };
        let mut index = head;
        for _ in 0..self.size {
            let found = table.read(mem, index)?;
            if found.flags & FLAG_INDIRECT != 0 {
                // A table of its own ends the chain: it must be the whole of it.
                let alone = chain.readable.is_empty() && chain.writable.is_empty();
                if !alone || found.flags & FLAG_NEXT != 0 || table.indirect {
                    return Err(RingFault::Indirect.into());
                }
                table = self.indirect_table(&found)?;
                index = 0;
                continue;
            }
            if found.gpa.checked_add(u64::from(found.bytes)).is_none() {
                return Err(RingFault::Address { gpa: found.gpa }.into());
            }
            let buffer = Buffer { gpa: found.gpa, bytes: found.bytes };
            if found.flags & FLAG_WRITE != 0 {
                chain.writable.push(buffer);
            } else if chain.writable.is_empty() {
                chain.readable.push(buffer);
            } else {
                return Err(RingFault::Order.into());
            }
            if found.flags & FLAG_NEXT == 0 {
                return Ok(chain);
            }
            index = found.next;
        }
        Err(RingFault::ChainLength.into())
    }

    fn indirect_table(&self, found: &Descriptor) -> Result<Descriptors, RingFault> {
        let entries = u64::from(found.bytes) / DESCRIPTOR_BYTES;
        let whole = u64::from(found.bytes).is_multiple_of(DESCRIPTOR_BYTES);
        match u16::try_from(entries) {
            Ok(size) if self.indirect && whole && size > 0 => {
                Ok(Descriptors { at: found.gpa.0, size, indirect: true })
            }
            _ => Err(RingFault::Indirect),
        }
    }

    /// Gives the chain of the last [`Queue::peek`] back with `written` bytes in it.
    pub fn complete(&mut self, mem: &dyn GuestMemory, chain: &Chain, written: u32) -> Result<(), QueueError> {
        let slot = u64::from(self.next_used % self.size);
        let mut element = [0; 8];
        let (id, length) = element.split_at_mut(4);
        id.copy_from_slice(&u32::from(chain.head).to_le_bytes());
        length.copy_from_slice(&written.to_le_bytes());
        let next = self.next_used.wrapping_add(1);
        mem.write(place(self.used, 4 + 8 * slot)?, &element)?;
        // The element and the buffers must be seen before the index.
        fence(Ordering::Release);
        mem.write(place(self.used, 2)?, &next.to_le_bytes())?;
        self.next_used = next;
        self.next_available = self.next_available.wrapping_add(1);
        Ok(())
    }

    /// Asks the driver to notify the device of the next chain. Returns whether one is there already.
    pub fn ask_for_notice(&self, mem: &dyn GuestMemory) -> Result<bool, QueueError> {
        if !self.ready {
            return Ok(false);
        }
        if self.event_index {
            let event = place(self.used, 4 + 8 * u64::from(self.size))?;
            mem.write(event, &self.next_available.to_le_bytes())?;
            fence(Ordering::SeqCst);
        }
        Ok(mem.read_u16(place(self.available, 2)?)? != self.next_available)
    }

    /// Whether the driver wants an interrupt for what was completed since the last call that succeeded.
    pub fn finish(&mut self, mem: &dyn GuestMemory) -> Result<bool, QueueError> {
        if !self.ready || self.next_used == self.signalled {
            return Ok(false);
        }
        // The used index must be out before the driver's wish is read.
        fence(Ordering::SeqCst);
        let wanted = if self.event_index {
            let event = mem.read_u16(place(self.available, 4 + 2 * u64::from(self.size))?)?;
            let passed = self.next_used.wrapping_sub(event).wrapping_sub(1);
            passed < self.next_used.wrapping_sub(self.signalled)
        } else {
            mem.read_u16(Gpa(self.available))? & AVAIL_NO_INTERRUPT == 0
        };
        self.signalled = self.next_used;
        Ok(wanted)
    }
}

/// Part of a queue in guest memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Descriptors,
    Available,
    Used,
}
