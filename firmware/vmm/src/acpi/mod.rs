//! The ACPI tables of a guest: a machine with hardware-reduced ACPI, without PIC, PIT, CMOS clock,
//! keyboard controller or VGA.
//!
//! Everything is built in one blob for [`layout::ACPI`], the root pointer first, so that both a kernel
//! that is told its address and one that searches find it. A node is a package: its number stands in the
//! upper bits of the APIC ids of its processors. Memory belongs to the nodes in their order.
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

/// Processors of a guest at most.
pub const MAX_CPUS: u32 = 255;
/// Highest APIC id: the IOAPIC can name no other, and 255 means all.
const MAX_APIC_ID: u64 = 254;
/// Nodes of a guest at most.
pub const MAX_NODES: usize = 64;
/// The IOAPIC's id, as its register reads after reset.
const IOAPIC_ID: u8 = 0;
const RSDP_BYTES: usize = 36;
const LOCAL_DISTANCE: u8 = 10;
/// Above what Linux takes for too far to spread forks and wake-ups over (30, on some processors 32).
const REMOTE_DISTANCE: u8 = 40;
/// What each doubling of a round trip adds, from a microsecond on.
const DOUBLING: u32 = 6;

/// Processors and memory that are near each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proximity {
    /// Number of processors.
    pub cpus: u32,
    /// Memory, bytes.
    pub ram_bytes: u64,
}

/// How far memory is from processors, as the SLIT has it: 10 is near.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Distances {
    nodes: usize,
    /// Row by row.
    all: Vec<u8>,
}

impl Distances {
    /// Before anything was measured.
    pub fn unknown(nodes: usize) -> Self {
        Self::measured(nodes, |_, _| None)
    }

    /// From round trips between nodes, nanoseconds. A page from elsewhere takes a thousand times what a near one does,
    /// more than the table can say; so each doubling of the round trip is a step, and nodes that are about equally
    /// far are equally far.
    pub fn measured(nodes: usize, round_trip_ns: impl Fn(usize, usize) -> Option<u64>) -> Self {
        let distance = |from: usize, to: usize| {
            if from == to {
                return LOCAL_DISTANCE;
            }
            let longest = round_trip_ns(from, to).max(round_trip_ns(to, from)).unwrap_or(0);
            let steps = (longest / 1000).checked_ilog2().unwrap_or(0);
            u8::try_from(u32::from(REMOTE_DISTANCE) + DOUBLING * steps).unwrap_or(254).min(254)
        };
        let all = (0..nodes * nodes).map(|at| distance(at / nodes.max(1), at % nodes.max(1)));
        Self { nodes, all: all.collect() }
    }
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

/// Builds all tables. `virtio_slots` has a bit for each slot that is occupied. Their size does not depend on the
/// distances, which are taken as unknown where they are for another number of nodes.
pub fn build(nodes: &[Proximity], distances: &Distances, virtio_slots: u16) -> Result<Vec<u8>, AcpiError> {
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        return Err(AcpiError::Nodes { count: nodes.len() });
    }
    let cpus: u64 = nodes.iter().map(|node| u64::from(node.cpus)).sum();
    if cpus == 0 || cpus > u64::from(MAX_CPUS) {
        return Err(AcpiError::Cpus { count: cpus });
    }
    let ids: Vec<u8> = apic_ids(nodes).map(|id| u8::try_from(id).unwrap_or(u8::MAX)).collect();
    if ids.iter().any(|id| u64::from(*id) > MAX_APIC_ID) {
        return Err(AcpiError::Cpus { count: cpus });
    }
    let ram = nodes.iter().fold(0u64, |sum, node| sum.saturating_add(node.ram_bytes));
    if !layout::ram_size_is_valid(ram) {
        return Err(AcpiError::Ram { bytes: ram });
    }
    let mut blob = vec![0; RSDP_BYTES];
    let dsdt = add(&mut blob, &dsdt::build(nodes, virtio_slots));
    let tables = [fadt(dsdt), madt(&ids), srat(nodes, &ids), slit(nodes.len(), distances)]
        .map(|table| add(&mut blob, &table));
    let mut xsdt = Table::new(b"XSDT", 1);
    for address in tables {
        xsdt.u64(address);
    }
    let xsdt = add(&mut blob, &xsdt.finish());
    blob[..RSDP_BYTES].copy_from_slice(&rsdp(xsdt));
    assert!(blob.len() as u64 <= layout::ACPI_END - layout::ACPI.0, "bounded by MAX_CPUS");
    Ok(blob)
}

/// The APIC id of each processor, node by node.
fn apic_ids(nodes: &[Proximity]) -> impl Iterator<Item = u64> {
    let most = nodes.iter().map(|node| node.cpus).max().unwrap_or(1).max(1);
    let bits = most.next_power_of_two().trailing_zeros();
    let ids = (0u64..).zip(nodes).map(move |(node, cpus)| (node << bits, cpus.cpus));
    ids.flat_map(|(first, cpus)| (0..u64::from(cpus)).map(move |core| first | core))
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
fn madt(ids: &[u8]) -> Vec<u8> {
    const LOCAL_APIC: u8 = 0;
    const IOAPIC: u8 = 1;
    const ENABLED: u32 = 1;
    let mut table = Table::new(b"APIC", 5);
    table.u32(layout::LAPIC.0 as u32);
    table.u32(0);
    for (id, uid) in ids.iter().zip(0u8..) {
        table.bytes(&[LOCAL_APIC, 8, uid, *id]);
        table.u32(ENABLED);
    }
    table.bytes(&[IOAPIC, 12, IOAPIC_ID, 0]);
    table.u32(layout::IOAPIC.0 as u32);
    table.u32(0);
    table.finish()
}

/// Section 5.2.16.
fn srat(nodes: &[Proximity], ids: &[u8]) -> Vec<u8> {
    const PROCESSOR: u8 = 0;
    const MEMORY: u8 = 1;
    const ENABLED: u32 = 1;
    let mut table = Table::new(b"SRAT", 3);
    table.u32(1);
    table.u64(0);
    let mut ids = ids.iter();
    for (domain, node) in (0u8..).zip(nodes) {
        for id in ids.by_ref().take(node.cpus as usize) {
            table.bytes(&[PROCESSOR, 16, domain, *id]);
            table.u32(ENABLED);
            table.u64(0);
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
fn slit(nodes: usize, distances: &Distances) -> Vec<u8> {
    let unknown = Distances::unknown(nodes);
    let known = if distances.nodes == nodes { distances } else { &unknown };
    let mut table = Table::new(b"SLIT", 1);
    table.u64(nodes as u64);
    for distance in &known.all {
        table.u8(*distance);
    }
    table.finish()
}

#[cfg(test)]
mod tests;
