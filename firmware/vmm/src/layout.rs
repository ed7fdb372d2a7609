//! The guest's address map: what every virtual server has, at the same place on every node.
//!
//! ```text
//! 0x0000_0000 ─ 0x0009_ffff  RAM (boot structures, see below)
//! 0x000a_0000 ─ 0x000d_ffff  RAM that the memory map leaves out (old probes read zeros)
//! 0x000e_0000 ─ 0x000f_ffff  RAM holding the ACPI tables, and code at the reset vector
//! 0x0010_0000 ─ 0xbfff_ffff  RAM, as much as there is
//! 0xc000_0000 ─ 0xffff_ffff  devices: virtio 0xfe00_0000, IOAPIC 0xfec0_0000, local APIC 0xfee0_0000
//! 0x1_0000_0000 ─            RAM beyond 3 GiB
//! ```
//!
//! The slots never move when the devices of a node change: a guest's device map is abstract.

use core::ops::Range;

use weft_types::{Gpa, PAGE_SIZE};

/// End of low RAM at most; the rest starts at [`HIGH_RAM`].
pub const LOW_RAM_LIMIT: u64 = 0xc000_0000;
/// Start of RAM that does not fit below [`LOW_RAM_LIMIT`].
pub const HIGH_RAM: u64 = 0x1_0000_0000;
/// Least memory of a guest, bytes.
pub const MIN_RAM_BYTES: u64 = 32 << 20;
/// Most memory of a guest, bytes: what 46 physical address bits hold.
pub const MAX_RAM_BYTES: u64 = (1 << 46) - HIGH_RAM;

/// Registers of the IOAPIC, one page.
pub const IOAPIC: Gpa = Gpa(0xfec0_0000);
/// Registers of each local APIC, one page.
pub const LAPIC: Gpa = Gpa(0xfee0_0000);
/// Pins of the IOAPIC, which are global system interrupts 0 to 47.
pub const IOAPIC_PINS: u8 = 48;

/// Window of virtio slot 0.
pub const VIRTIO: Gpa = Gpa(0xfe00_0000);
/// Bytes from one virtio slot to the next.
pub const VIRTIO_STRIDE: u64 = 0x1000;
/// Number of virtio slots.
pub const VIRTIO_SLOTS: u8 = 16;
/// Global system interrupt of virtio slot 0; edge-triggered.
pub const VIRTIO_GSI: u8 = 16;

/// First port of the serial console.
pub const COM1_PORT: u16 = 0x3f8;
/// Ports of the serial console.
pub const COM1_PORTS: u16 = 8;
/// Global system interrupt of the serial console; level-triggered.
pub const COM1_GSI: u8 = 4;

/// ACPI sleep control register, one byte.
pub const SLEEP_CONTROL_PORT: u16 = 0x600;
/// ACPI sleep status register, one byte.
pub const SLEEP_STATUS_PORT: u16 = 0x601;
/// ACPI reset register, one byte.
pub const RESET_PORT: u16 = 0x602;
/// Value that the guest writes to [`RESET_PORT`] to reset itself.
pub const RESET_VALUE: u8 = 1;
/// Sleep type of soft-off (S5).
pub const SLEEP_TYPE_OFF: u8 = 5;
/// Value that the guest writes to [`SLEEP_CONTROL_PORT`] to power off: type in bits 2 to 4, enable in
/// bit 5.
pub const SLEEP_CONTROL_OFF: u8 = SLEEP_TYPE_OFF << 2 | 1 << 5;

/// Boot parameters ("zero page"), one page.
pub const BOOT_PARAMS: Gpa = Gpa(0x7000);
/// Descriptor table of the entry state.
pub const BOOT_GDT: Gpa = Gpa(0x8000);
/// Top of the page tables of the entry state; six pages.
pub const BOOT_TABLES: Gpa = Gpa(0x9000);
/// Command line.
pub const COMMAND_LINE: Gpa = Gpa(0x2_0000);
/// Bytes of the command line at most, its final zero included.
pub const COMMAND_LINE_BYTES: usize = 4096;
/// End of the RAM below the old video area.
pub const BASE_RAM_END: u64 = 0xa_0000;
/// ACPI tables; the root pointer is the first.
pub const ACPI: Gpa = Gpa(0xe_0000);
/// End of the ACPI tables.
pub const ACPI_END: u64 = 0x10_0000;

/// The two ranges of RAM of a guest with `bytes` of memory; the second may be empty.
pub fn ram(bytes: u64) -> [Range<u64>; 2] {
    let low = bytes.min(LOW_RAM_LIMIT);
    let high = bytes.saturating_sub(low);
    [0..low, HIGH_RAM..HIGH_RAM.saturating_add(high)]
}

/// Whether `bytes` is a memory size that a guest may have: whole pages between [`MIN_RAM_BYTES`] and
/// [`MAX_RAM_BYTES`].
pub fn ram_size_is_valid(bytes: u64) -> bool {
    (MIN_RAM_BYTES..=MAX_RAM_BYTES).contains(&bytes) && bytes.is_multiple_of(PAGE_SIZE)
}

/// Window of a virtio slot.
pub fn virtio_window(slot: u8) -> Gpa {
    Gpa(VIRTIO.0 + u64::from(slot) * VIRTIO_STRIDE)
}

/// Every virtio slot's interrupt has a pin.
const _: () = assert!(VIRTIO_GSI + VIRTIO_SLOTS <= IOAPIC_PINS);

/// What answers at a guest physical address that is no RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Region {
    /// A virtio slot and the offset in its window.
    Virtio {
        /// Slot.
        slot: u8,
        /// Offset, bytes.
        offset: u64,
    },
    /// The IOAPIC and the offset in its page.
    IoApic {
        /// Offset, bytes.
        offset: u64,
    },
    /// The local APIC and the offset in its page.
    Lapic {
        /// Offset, bytes.
        offset: u64,
    },
    /// Nothing.
    Hole,
}

/// What answers at `gpa`, given that it is no RAM.
pub fn region(gpa: Gpa) -> Region {
    let virtio_end = virtio_window(VIRTIO_SLOTS).0;
    if (VIRTIO.0..virtio_end).contains(&gpa.0) {
        let from_start = gpa.0 - VIRTIO.0;
        return Region::Virtio {
            slot: (from_start / VIRTIO_STRIDE) as u8,
            offset: from_start % VIRTIO_STRIDE,
        };
    }
    if gpa.page() == IOAPIC {
        return Region::IoApic { offset: gpa.page_offset() };
    }
    if gpa.page() == LAPIC {
        return Region::Lapic { offset: gpa.page_offset() };
    }
    Region::Hole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_beyond_three_gib_continues_at_four() {
        assert_eq!(ram(1 << 30), [0..1 << 30, HIGH_RAM..HIGH_RAM]);
        assert_eq!(ram(4 << 30), [0..LOW_RAM_LIMIT, HIGH_RAM..HIGH_RAM + (1 << 30)]);
    }

    #[test]
    fn regions_are_told_apart_at_their_edges() {
        assert_eq!(region(Gpa(0xfdff_ffff)), Region::Hole);
        assert_eq!(region(Gpa(0xfe00_0000)), Region::Virtio { slot: 0, offset: 0 });
        assert_eq!(region(Gpa(0xfe00_ffff)), Region::Virtio { slot: 15, offset: 0xfff });
        assert_eq!(region(Gpa(0xfe01_0000)), Region::Hole);
        assert_eq!(region(Gpa(0xfec0_0010)), Region::IoApic { offset: 0x10 });
        assert_eq!(region(Gpa(0xfee0_00b0)), Region::Lapic { offset: 0xb0 });
        assert_eq!(region(Gpa(u64::MAX)), Region::Hole);
    }
}
