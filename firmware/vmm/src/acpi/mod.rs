//! The ACPI tables of a guest: a machine with hardware-reduced ACPI, without PIC, PIT, CMOS clock,
//! keyboard controller or VGA.
//!
//! Everything is built in one blob for [`layout::ACPI`], the root pointer first, so that both a kernel
//! that is told its address and one that searches find it. Processors have APIC ids from zero, in the
//! order of the nodes; memory belongs to the nodes in the same order.
//!
//! - [`table`]: header, checksum.
//! - [`dsdt`]: the devices, as AML.
//!
//! Source: ACPI 6.4, chapter 5.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::layout;

mod dsdt;
mod table;

use table::{Table, checksum};

/// Processors of a guest at most: APIC ids 0 to 254, which the IOAPIC can name.
pub const MAX_CPUS: u32 = 255;
/// Nodes of a guest at most.
pub const MAX_NODES: usize = 64;
/// The IOAPIC's id, as its register reads after reset.
const IOAPIC_ID: u8 = 0;
const RSDP_BYTES: usize = 36;
const LOCAL_DISTANCE: u8 = 10;
const REMOTE_DISTANCE: u8 = 20;

/// Processors and memory that are near each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proximity {
    /// Number of processors.
    pub cpus: u32,
    /// Memory, bytes.
    pub ram_bytes: u64,
}

/// Why no tables were built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcpiError {
    /// No processor, or more than [`MAX_CPUS`].
    Cpus {
        /// Number asked for.
        count: u64,
    },
    /// No node, or more than [`MAX_NODES`].
    Nodes {
        /// Number asked for.
        count: usize,
    },
    /// The memory of all nodes is no size that a guest may have.
    Ram {
        /// Bytes asked for.
        bytes: u64,
    },
}

impl fmt::Display for AcpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpus { count } => write!(f, "{count} processors; 1 to {MAX_CPUS} are possible"),
            Self::Nodes { count } => write!(f, "{count} nodes; 1 to {MAX_NODES} are possible"),
            Self::Ram { bytes } => write!(f, "memory of {bytes} bytes is not allowed"),
        }
    }
}

impl core::error::Error for AcpiError {}

/// Builds all tables. `virtio_slots` has a bit for each slot that is occupied.
pub fn build(nodes: &[Proximity], virtio_slots: u16) -> Result<Vec<u8>, AcpiError> {
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        return Err(AcpiError::Nodes { count: nodes.len() });
    }
    let cpus: u64 = nodes.iter().map(|node| u64::from(node.cpus)).sum();
    if cpus == 0 || cpus > u64::from(MAX_CPUS) {
        return Err(AcpiError::Cpus { count: cpus });
    }
    let ram = nodes.iter().fold(0u64, |sum, node| sum.saturating_add(node.ram_bytes));
    if !layout::ram_size_is_valid(ram) {
        return Err(AcpiError::Ram { bytes: ram });
    }
    let mut blob = vec![0; RSDP_BYTES];
    let dsdt = add(&mut blob, &dsdt::build(nodes, virtio_slots));
    let tables =
        [fadt(dsdt), madt(cpus as u8), srat(nodes), slit(nodes.len())].map(|table| add(&mut blob, &table));
    let mut xsdt = Table::new(b"XSDT", 1);
    for address in tables {
        xsdt.u64(address);
    }
    let xsdt = add(&mut blob, &xsdt.finish());
    blob[..RSDP_BYTES].copy_from_slice(&rsdp(xsdt));
    assert!(blob.len() as u64 <= layout::ACPI_END - layout::ACPI.0, "bounded by MAX_CPUS");
    Ok(blob)
}

/// Appends a table, aligned, and returns its guest address.
fn add(blob: &mut Vec<u8>, table: &[u8]) -> u64 {
    blob.resize(blob.len().next_multiple_of(16), 0);
    let address = layout::ACPI.0 + blob.len() as u64;
    blob.extend_from_slice(table);
    address
}

/// Section 5.2.5.3.
fn rsdp(xsdt: u64) -> [u8; RSDP_BYTES] {
    let mut out = [0; RSDP_BYTES];
    out[..8].copy_from_slice(b"RSD PTR ");
    out[9..15].copy_from_slice(b"WEFT  ");
    out[15] = 2;
    out[20..24].copy_from_slice(&(RSDP_BYTES as u32).to_le_bytes());
    out[24..32].copy_from_slice(&xsdt.to_le_bytes());
    out[8] = checksum(&out[..20]);
    out[32] = checksum(&out);
    out
}

/// Section 5.2.9.
fn fadt(dsdt: u64) -> Vec<u8> {
    const SERVER: u8 = 4;
    /// No VGA, no message-signalled interrupts, no ASPM control, no CMOS clock.
    const BOOT_ARCHITECTURE: u16 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5;
    /// WBINVD, no fixed power or sleep button, reset register, headless, hardware-reduced.
    const FLAGS: u32 = 1 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 12 | 1 << 20;
    let mut table = Table::new(b"FACP", 6);
    table.zeros_to(40);
    table.u32(dsdt as u32);
    table.zeros_to(45);
    table.u8(SERVER);
    table.zeros_to(109);
    table.u16(BOOT_ARCHITECTURE);
    table.zeros_to(112);
    table.u32(FLAGS);
    table.port(layout::RESET_PORT);
    table.u8(layout::RESET_VALUE);
    table.zeros_to(131);
    table.u8(4);
    table.zeros_to(140);
    table.u64(dsdt);
    table.zeros_to(244);
    table.port(layout::SLEEP_CONTROL_PORT);
    table.port(layout::SLEEP_STATUS_PORT);
    table.bytes(b"WEFT\0\0\0\0");
    table.finish()
}

/// Section 5.2.12. No PCAT_COMPAT: there is no legacy controller. No overrides: a global system
/// interrupt is a pin.
fn madt(cpus: u8) -> Vec<u8> {
    const LOCAL_APIC: u8 = 0;
    const IOAPIC: u8 = 1;
    const ENABLED: u32 = 1;
    let mut table = Table::new(b"APIC", 5);
    table.u32(layout::LAPIC.0 as u32);
    table.u32(0);
    for id in 0..cpus {
        table.bytes(&[LOCAL_APIC, 8, id, id]);
        table.u32(ENABLED);
    }
    table.bytes(&[IOAPIC, 12, IOAPIC_ID, 0]);
    table.u32(layout::IOAPIC.0 as u32);
    table.u32(0);
    table.finish()
}

/// Section 5.2.16.
fn srat(nodes: &[Proximity]) -> Vec<u8> {
    const PROCESSOR: u8 = 0;
    const MEMORY: u8 = 1;
    const ENABLED: u32 = 1;
    let mut table = Table::new(b"SRAT", 3);
    table.u32(1);
    table.u64(0);
    let mut apic_id = 0u8;
    for (domain, node) in (0u8..).zip(nodes) {
        for _ in 0..node.cpus {
            table.bytes(&[PROCESSOR, 16, domain, apic_id]);
            table.u32(ENABLED);
            table.u64(0);
            apic_id = apic_id.saturating_add(1);
        }
    }
    let mut start = 0;
    for (domain, node) in (0u32..).zip(nodes) {
        let end = start + node.ram_bytes;
        for part in guest_ranges(start..end) {
            table.bytes(&[MEMORY, 40]);
            table.u32(domain);
            table.u16(0);
            table.u64(part.start);
            table.u64(part.end - part.start);
            table.u32(0);
            table.u32(ENABLED);
            table.u64(0);
        }
        start = end;
    }
    table.finish()
}

/// Where the bytes of memory counted from `range.start` to `range.end` lie in the address space.
fn guest_ranges(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let shift = layout::HIGH_RAM - layout::LOW_RAM_LIMIT;
    let low = range.start..range.end.min(layout::LOW_RAM_LIMIT);
    let high = range.start.max(layout::LOW_RAM_LIMIT) + shift..range.end.saturating_add(shift);
    [low, high].into_iter().filter(|part| part.start < part.end)
}

/// Section 5.2.17.
fn slit(nodes: usize) -> Vec<u8> {
    let mut table = Table::new(b"SLIT", 1);
    table.u64(nodes as u64);
    for from in 0..nodes {
        for to in 0..nodes {
            table.u8(if from == to { LOCAL_DISTANCE } else { REMOTE_DISTANCE });
        }
    }
    table.finish()
}

#[cfg(test)]
mod tests;
