//! A driver for tests: negotiates, lays out rings in guest memory, adds chains, collects what was used.

use std::vec::Vec;

use weft_types::Gpa;

use super::{MmioDevice, Signal};
use crate::fake::{Memory, with_pages};

pub(crate) const VERSION_1: u64 = 1 << 32;
pub(crate) const EVENT_INDEX: u64 = 1 << 29;
pub(crate) const INDIRECT: u64 = 1 << 28;
pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;

/// A queue as its driver sees it.
pub(crate) struct Ring {
    pub(crate) number: u32,
    pub(crate) size: u16,
    pub(crate) base: u64,
    free: u16,
    available: u16,
    seen: u16,
}

impl Ring {
    pub(crate) fn descriptors(&self) -> u64 {
        self.base
    }

    pub(crate) fn available_ring(&self) -> u64 {
        self.base + 0x1000
    }

    pub(crate) fn used_ring(&self) -> u64 {
        self.base + 0x2000
    }

    pub(crate) fn descriptor(&self, mem: &Memory, index: u16, gpa: u64, bytes: u32, flags: u16, next: u16) {
        put_descriptor(mem, self.descriptors() + 16 * u64::from(index), gpa, bytes, flags, next);
    }

    /// Makes `head` available, whatever is in the table.
    pub(crate) fn offer(&mut self, mem: &Memory, head: u16) {
        let slot = u64::from(self.available % self.size);
        mem.put(self.available_ring() + 4 + 2 * slot, &head.to_le_bytes());
        self.available = self.available.wrapping_add(1);
        mem.put(self.available_ring() + 2, &self.available.to_le_bytes());
    }

    /// Adds a chain of buffers (address, bytes, writable) and returns its head. Descriptors are taken in
    /// turn, so at most a ring's size may be outstanding.
    pub(crate) fn add(&mut self, mem: &Memory, buffers: &[(u64, u32, bool)]) -> u16 {
        let head = self.free;
        for (place, (gpa, bytes, writable)) in buffers.iter().enumerate() {
            let next = (self.free + 1) % self.size;
            let flags = if *writable { WRITE } else { 0 } | if place + 1 < buffers.len() { NEXT } else { 0 };
            self.descriptor(mem, self.free, *gpa, *bytes, flags, next);
            self.free = next;
        }
        self.offer(mem, head);
        head
    }

    /// What the device has used since the last call: head and bytes.
    pub(crate) fn used(&mut self, mem: &Memory) -> Vec<(u32, u32)> {
        let index = u16::from_le_bytes(mem.get(self.used_ring() + 2, 2).try_into().unwrap());
        let mut found = Vec::new();
        while self.seen != index {
            let at = self.used_ring() + 4 + 8 * u64::from(self.seen % self.size);
            let word = |at| u32::from_le_bytes(mem.get(at, 4).try_into().unwrap());
            found.push((word(at), word(at + 4)));
            self.seen = self.seen.wrapping_add(1);
        }
        found
    }
}

pub(crate) fn put_descriptor(mem: &Memory, at: u64, gpa: u64, bytes: u32, flags: u16, next: u16) {
    mem.put(at, &gpa.to_le_bytes());
    mem.put(at + 8, &bytes.to_le_bytes());
    mem.put(at + 12, &flags.to_le_bytes());
    mem.put(at + 14, &next.to_le_bytes());
}

/// Writes a register, fetching pages as needed.
pub(crate) fn write(device: &mut dyn MmioDevice, mem: &Memory, offset: u64, value: u64) -> Signal {
    with_pages(mem, || device.write(offset, 4, value, mem))
}

pub(crate) fn process(device: &mut dyn MmioDevice, mem: &Memory) -> Signal {
    with_pages(mem, || device.process(mem))
}

pub(crate) fn kick(device: &mut dyn MmioDevice, mem: &Memory, ring: &Ring) -> Signal {
    write(device, mem, 0x50, u64::from(ring.number))
}

/// Agrees on features; true when the device accepts them.
pub(crate) fn negotiate(device: &mut dyn MmioDevice, mem: &Memory, features: u64) -> bool {
    write(device, mem, 0x70, 0);
    write(device, mem, 0x70, 1);
    write(device, mem, 0x70, 3);
    for (select, half) in [(0, features & 0xffff_ffff), (1, features >> 32)] {
        write(device, mem, 0x24, select);
        write(device, mem, 0x20, half);
    }
    write(device, mem, 0x70, 0xb);
    device.read(0x70, 4) & 8 != 0
}

/// Sets up `sizes.len()` queues at `base` and 64 KiB steps, and starts the device.
pub(crate) fn start(
    device: &mut dyn MmioDevice,
    mem: &Memory,
    features: u64,
    base: u64,
    sizes: &[u16],
) -> Vec<Ring> {
    assert!(negotiate(device, mem, features));
    let mut rings = Vec::new();
    for (number, size) in (0u32..).zip(sizes) {
        let base = base + u64::from(number) * 0x1_0000;
        let ring = Ring { number, size: *size, base, free: 0, available: 0, seen: 0 };
        mem.put(base, &[0; 0x3000]);
        set_up(device, mem, &ring);
        assert_eq!(device.read(0x44, 4), 1);
        rings.push(ring);
    }
    write(device, mem, 0x70, 0xf);
    rings
}

/// Tells the device where a ring is and enables it.
pub(crate) fn set_up(device: &mut dyn MmioDevice, mem: &Memory, ring: &Ring) -> Signal {
    write(device, mem, 0x30, u64::from(ring.number));
    write(device, mem, 0x38, u64::from(ring.size));
    let parts = [(0x80, ring.descriptors()), (0x90, ring.available_ring()), (0xa0, ring.used_ring())];
    for (register, address) in parts {
        let Gpa(address) = Gpa(address);
        write(device, mem, register, address & 0xffff_ffff);
        write(device, mem, register + 4, address >> 32);
    }
    write(device, mem, 0x44, 1)
}
