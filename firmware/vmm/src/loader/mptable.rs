//! A multiprocessor table that says nothing, where old kernels look for one.
//!
//! Linux searches the last 64 KiB below 1 MiB for the table's pointer before it looks at ACPI. For each place it
//! maps and unmaps all of the rest, which is 70,000 times INVLPG when there is no pointer. With one at the first
//! place the search ends; what it leads to is not read where ACPI describes processors and interrupts.
//!
//! Source: Intel MultiProcessor Specification 1.4, 4.1 and 4.2.

use super::LoadError;
use crate::layout;
use weft_platform::GuestMemory;
use weft_types::Gpa;

/// First place that is searched in the area of firmware.
const POINTER: Gpa = Gpa(0xf_0000);
const TABLE: u32 = 0xf_0010;
const TABLE_BYTES: usize = 44;
const REVISION: u8 = 4;

/// Writes pointer and table, unless ACPI tables of `acpi_bytes` reach that far.
pub(super) fn write(mem: &dyn GuestMemory, acpi_bytes: usize) -> Result<(), LoadError> {
    if layout::ACPI.0 + acpi_bytes as u64 > POINTER.0 {
        return Ok(());
    }
    let mut bytes = [0; 16 + TABLE_BYTES];
    let (pointer, table) = bytes.split_at_mut(16);
    pointer[..4].copy_from_slice(b"_MP_");
    pointer[4..8].copy_from_slice(&TABLE.to_le_bytes());
    // Its length in units of 16 bytes.
    pointer[8] = 1;
    pointer[9] = REVISION;
    pointer[10] = checksum(pointer);
    table[..4].copy_from_slice(b"PCMP");
    table[4..6].copy_from_slice(&(TABLE_BYTES as u16).to_le_bytes());
    table[6] = REVISION;
    table[8..16].copy_from_slice(b"WEFT    ");
    table[16..28].copy_from_slice(b"VIRTUAL     ");
    table[7] = checksum(table);
    Ok(mem.write(POINTER, &bytes)?)
}

/// What makes the sum of all bytes zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Memory;

    #[test]
    fn pointer_and_table_have_their_checksums() {
        let mem = Memory::new(1 << 20);
        write(&mem, 0x1000).unwrap();
        let sum = |at, count| mem.get(at, count).iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(mem.get(0xf_0000, 4), b"_MP_");
        assert_eq!((sum(0xf_0000, 16), sum(0xf_0010, 44)), (0, 0));
        assert_eq!(mem.get(0xf_0004, 4), 0xf_0010u32.to_le_bytes());
    }

    #[test]
    fn long_acpi_tables_are_left_alone() {
        let mem = Memory::new(1 << 20);
        write(&mem, 0x1_0001).unwrap();
        assert_eq!(mem.get(0xf_0000, 4), [0; 4]);
    }
}
