//! The few facts that the node takes from its own ACPI tables: processors, IOAPICs and the PM timer. ACPI 6.5,
//! sections 5.2.5 (RSDP), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.12 (MADT).

use crate::phys::read_firmware;
use alloc::vec;
use alloc::vec::Vec;
use weft_types::Hpa;

/// Largest table that is read, bytes.
const MAX_TABLE: usize = 256 * 1024;
/// Most tables that are looked at.
const MAX_TABLES: usize = 64;

/// An IOAPIC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoApic {
    /// Its registers.
    pub base: Hpa,
    /// Global number of its first pin.
    pub first: u32,
}

/// Where an ISA interrupt really goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Override {
    /// ISA number.
    pub source: u8,
    /// Global number.
    pub global: u32,
    /// Polarity (bits 0–1) and trigger mode (bits 2–3), as in MPS.
    pub flags: u16,
}

/// What was found; empty where the tables are absent or broken.
#[derive(Default, Debug)]
pub struct Platform {
    /// Identifiers of enabled local APICs.
    pub apic_ids: Vec<u32>,
    /// Port of the PM timer.
    pub pm_timer: Option<u16>,
    /// IOAPICs.
    pub ioapics: Vec<IoApic>,
    /// Exceptions to "ISA number is global number".
    pub overrides: Vec<Override>,
}

fn table(address: u64) -> Option<Vec<u8>> {
    let mut header = [0; 36];
    read_firmware(Hpa(address), &mut header);
    let length = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
    if !(36..=MAX_TABLE).contains(&length) {
        return None;
    }
    let mut bytes = vec![0; length];
    read_firmware(Hpa(address), &mut bytes);
    (bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)) == 0).then_some(bytes)
}

/// Reads the tables from the root pointer on.
pub fn platform(rsdp: u64) -> Platform {
    let mut found = Platform::default();
    if rsdp == 0 {
        return found;
    }
    let mut root = [0; 36];
    read_firmware(Hpa(rsdp), &mut root);
    if &root[..8] != b"RSD PTR " {
        return found;
    }
    let (address, width) = if root[15] >= 2 {
        (u64::from_le_bytes(root[24..32].try_into().unwrap_or_default()), 8)
    } else {
        (u64::from(u32::from_le_bytes(root[16..20].try_into().unwrap_or_default())), 4)
    };
    let Some(list) = table(address) else { return found };
    for entry in list[36..].chunks_exact(width).take(MAX_TABLES) {
        let mut raw = [0; 8];
        raw[..width].copy_from_slice(entry);
        let Some(bytes) = table(u64::from_le_bytes(raw)) else { continue };
        match bytes.get(..4) {
            Some(b"APIC") => processors_and_interrupts(&bytes, &mut found),
            Some(b"FACP") => {
                let port = bytes.get(76..80).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
                found.pm_timer = u16::try_from(port).ok().filter(|p| *p != 0);
            }
            Some(_) | None => {}
        }
    }
    found
}

fn processors_and_interrupts(madt: &[u8], found: &mut Platform) {
    let mut rest = madt.get(44..).unwrap_or(&[]);
    while let [kind, length, ..] = *rest {
        let Some(entry) = rest.get(..usize::from(length)).filter(|e| e.len() >= 2) else { break };
        let word =
            |at: usize| entry.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        match kind {
            // Processor local APIC: identifier at 3, flags at 4.
            0 if word(4) & 1 != 0 => found.apic_ids.push(u32::from(entry[3])),
            // IOAPIC: address at 4, first global number at 8.
            1 if entry.len() >= 12 => {
                found.ioapics.push(IoApic { base: Hpa(word(4).into()), first: word(8) });
            }
            // Interrupt source override: bus at 2 (0: ISA), source at 3, global number at 4, flags at 8.
            2 if entry.len() >= 10 && entry[2] == 0 => found.overrides.push(Override {
                source: entry[3],
                global: word(4),
                flags: u16::from_le_bytes([entry[8], entry[9]]),
            }),
            // Processor local x2APIC: identifier at 4, flags at 8.
            9 if word(8) & 1 != 0 => found.apic_ids.push(word(4)),
            _other_structure => {}
        }
        rest = &rest[usize::from(length)..];
    }
}
