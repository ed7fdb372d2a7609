//! The sections of a PE image as the firmware loaded it. Microsoft PE Format, "Section Table".
//!
//! The bytes are our own image's, verified or not: the stub reads its payload out of the memory that
//! it runs from and never fetches it again. Addresses count from the start of the image in memory.

use weft_format::pe::PeError;

const SECTION_HEADER: usize = 40;
const MAX_SECTIONS: u16 = 96;

fn u16_at(image: &[u8], offset: usize) -> Option<u16> {
    let end = offset.checked_add(2)?;
    image.get(offset..end)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(image: &[u8], offset: usize) -> Option<usize> {
    let end = offset.checked_add(4)?;
    let value = image.get(offset..end)?.try_into().ok().map(u32::from_le_bytes)?;
    usize::try_from(value).ok()
}

/// The bytes of the section `name` (at most 8 characters), file padding left out. The section must
/// stand once.
pub fn loaded_section<'a>(image: &'a [u8], name: &str) -> Result<&'a [u8], PeError> {
    let pe = u32_at(image, 60).ok_or(PeError::Short)?;
    let signature = pe.checked_add(4).and_then(|end| image.get(pe..end));
    if image.get(..2) != Some(b"MZ") || signature != Some(b"PE\0\0") {
        return Err(PeError::Signature);
    }
    let count = u16_at(image, pe + 6).ok_or(PeError::Short)?;
    let optional = u16_at(image, pe + 20).ok_or(PeError::Short)?;
    if count > MAX_SECTIONS {
        return Err(PeError::Sections(count));
    }
    let table = pe + 24 + usize::from(optional);
    let mut found = None;
    for index in 0..usize::from(count) {
        let at = table + index * SECTION_HEADER;
        let header = image.get(at..at + SECTION_HEADER).ok_or(PeError::Short)?;
        let mut padded = [0; 8];
        for (to, from) in padded.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        if header.get(..8) != Some(padded.as_slice()) {
            continue;
        }
        let size = u32_at(header, 8).ok_or(PeError::Short)?;
        let start = u32_at(header, 12).ok_or(PeError::Short)?;
        let end = start.checked_add(size).ok_or(PeError::Short)?;
        if found.replace(image.get(start..end).ok_or(PeError::Short)?).is_some() {
            return Err(PeError::Twice);
        }
    }
    found.filter(|bytes| !bytes.is_empty()).ok_or(PeError::Missing)
}
