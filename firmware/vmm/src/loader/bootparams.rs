//! The zero page (`struct boot_params`) that Linux reads first.

use super::bzimage::{HEADER_OFFSET, KernelHeader};
use super::{LoadConfig, Placement};
use crate::layout;

/// Bytes in the page.
pub const BYTES: usize = 4096;
const ACPI_RSDP: usize = 0x070;
const EXT_RAMDISK_IMAGE: usize = 0x0c0;
const EXT_RAMDISK_SIZE: usize = 0x0c4;
const EXT_COMMAND_LINE: usize = 0x0c8;
const E820_COUNT: usize = 0x1e8;
const LOADER_TYPE: usize = 0x210;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const COMMAND_LINE: usize = 0x228;
const E820_TABLE: usize = 0x2d0;
const E820_ENTRY: usize = 20;
/// "Undefined" boot loader: the number for those without one of their own.
const LOADER_UNDEFINED: u8 = 0xff;

/// Kind of a range in the memory map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum E820Kind {
    /// Memory to use.
    Ram = 1,
    /// ACPI tables, usable once they were read.
    Acpi = 3,
}

/// A page that is written field by field. Positions are constants of this module, all inside it.
struct Page([u8; BYTES]);

impl Page {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
    fn put_u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }
    /// A 64-bit value whose halves live apart.
    fn put_halves(&mut self, low: usize, high: usize, value: u64) {
        self.put_u32(low, value as u32);
        self.put_u32(high, (value >> 32) as u32);
    }
}

/// The memory map: start, bytes, kind. The old video area is left out, the ACPI tables are marked.
pub fn memory_map(ram_bytes: u64) -> impl Iterator<Item = (u64, u64, E820Kind)> {
    let [low, high] = layout::ram(ram_bytes);
    [
        (0, layout::BASE_RAM_END, E820Kind::Ram),
        (layout::ACPI.0, layout::ACPI_END - layout::ACPI.0, E820Kind::Acpi),
        (layout::ACPI_END, low.end.saturating_sub(layout::ACPI_END), E820Kind::Ram),
        (high.start, high.end - high.start, E820Kind::Ram),
    ]
    .into_iter()
    .filter(|(_, bytes, _)| *bytes > 0)
}

/// Builds the page.
pub fn build(header: &KernelHeader, config: &LoadConfig<'_>, placement: &Placement) -> [u8; BYTES] {
    let mut page = Page([0; BYTES]);
    if let Some(setup) = header.head.get(HEADER_OFFSET..header.header_end) {
        page.put(HEADER_OFFSET, setup);
    }
    page.put(LOADER_TYPE, &[LOADER_UNDEFINED]);
    page.put(ACPI_RSDP, &layout::ACPI.0.to_le_bytes());
    let (initrd, initrd_bytes) = placement.initrd;
    page.put_halves(RAMDISK_IMAGE, EXT_RAMDISK_IMAGE, initrd.0);
    page.put_halves(RAMDISK_SIZE, EXT_RAMDISK_SIZE, initrd_bytes);
    page.put_halves(COMMAND_LINE, EXT_COMMAND_LINE, layout::COMMAND_LINE.0);
    let mut count = 0;
    for (start, bytes, kind) in memory_map(config.ram_bytes) {
        let at = E820_TABLE + usize::from(count) * E820_ENTRY;
        page.put(at, &start.to_le_bytes());
        page.put(at + 8, &bytes.to_le_bytes());
        page.put_u32(at + 16, kind as u32);
        count += 1;
    }
    page.put(E820_COUNT, &[count]);
    page.0
}
