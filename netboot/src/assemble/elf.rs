//! What of the monitor's ELF file goes into the boot files. System V ABI, "Object files".
//!
//! The linker puts what is loaded first and describes it behind: the symbol table, its names, the section headers. Nobody on a node
//! reads that, and it is a fifth of the file. It is cut off; what stays is the same bytes at the same places.

use weft_loader::elf::{Dvmm, ElfError};

/// Positions in the ELF header of what describes sections.
mod header {
    use core::ops::Range;

    pub(super) const TABLE_OFFSET: usize = 32;
    pub(super) const TABLE_ENTRIES: Range<usize> = 56..58;
    pub(super) const SECTIONS_OFFSET: Range<usize> = 40..48;
    /// Size of an entry, their number, which one holds names.
    pub(super) const SECTIONS: Range<usize> = 58..64;
    pub(super) const ENTRY_BYTES: usize = 56;
}

fn number<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N], ElfError> {
    file.get(at..).and_then(|rest| rest.first_chunk().copied()).ok_or(ElfError::Truncated)
}

/// Headers and segments of `dvmm`, without symbols and section headers.
///
/// # Errors
/// A file that a node would not load.
pub fn loadable(dvmm: &[u8]) -> Result<Vec<u8>, ElfError> {
    let parsed = Dvmm::parse(dvmm)?;
    let place = |value: u64| usize::try_from(value).map_err(|_| ElfError::Truncated);
    let entries = u16::from_le_bytes(number(dvmm, header::TABLE_ENTRIES.start)?);
    let table = place(u64::from_le_bytes(number(dvmm, header::TABLE_OFFSET)?))?;
    let mut end = usize::from(entries).saturating_mul(header::ENTRY_BYTES).saturating_add(table);
    for segment in parsed.segments() {
        end = end.max(place(segment.file_offset.saturating_add(segment.file_size))?);
    }
    let mut file = dvmm.get(..end).ok_or(ElfError::Truncated)?.to_vec();
    for field in [header::SECTIONS_OFFSET, header::SECTIONS] {
        file.get_mut(field).ok_or(ElfError::Truncated)?.fill(0);
    }
    let again = Dvmm::parse(&file)?;
    assert_eq!(again.segments(), parsed.segments(), "what is loaded stays");
    Ok(file)
}
