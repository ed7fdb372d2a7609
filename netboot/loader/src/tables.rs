//! Finding the firmware's tables on a BIOS machine by their signatures.
//!
//! ACPI specification 6.5, section 5.2.5.1; SMBIOS specification 3.6, section 5.2. A candidate counts
//! only if its checksum holds.

use crate::phys::PhysRead;

const BIOS_START: u64 = 0xe_0000;
const BIOS_END: u64 = 0x10_0000;
/// Real-mode segment of the extended BIOS data area.
const EBDA_POINTER: u64 = 0x40e;
const EBDA_BYTES: u64 = 1024;
const STEP: u64 = 16;

fn sums_to_zero(memory: &impl PhysRead, address: u64, len: usize) -> bool {
    memory.bytes(address, len).is_some_and(|bytes| bytes.iter().fold(0_u8, |a, b| a.wrapping_add(*b)) == 0)
}

fn search(start: u64, end: u64, accept: impl Fn(u64) -> bool) -> Option<u64> {
    let steps = end.saturating_sub(start) / STEP;
    (0..steps).map(|step| start + step * STEP).find(|address| accept(*address))
}

fn is_rsdp(memory: &impl PhysRead, address: u64) -> bool {
    memory.bytes(address, 8) == Some(b"RSD PTR ") && sums_to_zero(memory, address, 20)
}

/// Address of the ACPI RSDP: the first KiB of the EBDA, then the BIOS area.
pub fn rsdp(memory: &impl PhysRead) -> Option<u64> {
    let ebda = u64::from(memory.u16(EBDA_POINTER).unwrap_or(0)) << 4;
    let in_ebda = if ebda >= 0x400 {
        search(ebda, ebda + EBDA_BYTES, |address| is_rsdp(memory, address))
    } else {
        None
    };
    in_ebda.or_else(|| search(BIOS_START, BIOS_END, |address| is_rsdp(memory, address)))
}

fn is_smbios(memory: &impl PhysRead, address: u64, anchor: &[u8], len_at: u64) -> bool {
    let Some(&[len]) = memory.bytes(address + len_at, 1) else { return false };
    memory.bytes(address, anchor.len()) == Some(anchor)
        && usize::from(len) >= anchor.len()
        && sums_to_zero(memory, address, usize::from(len))
}

/// Address of the SMBIOS entry point, the 64-bit one where there are both.
pub fn smbios(memory: &impl PhysRead) -> Option<u64> {
    search(0xf_0000, BIOS_END, |address| is_smbios(memory, address, b"_SM3_", 6))
        .or_else(|| search(0xf_0000, BIOS_END, |address| is_smbios(memory, address, b"_SM_", 5)))
}
