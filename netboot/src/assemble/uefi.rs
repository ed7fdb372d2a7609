//! Appending sections to the stub. Microsoft PE Format, sections "Optional Header" and "Section Table".
//!
//! The stub that the linker made is taken apart strictly: anything that a linker of ours does not make
//! (certificates, a debug directory, sections out of order, no room for more headers) is refused, not
//! repaired. The file comes out the same from the same inputs.

use weft_format::pe::{MANIFEST_SECTION, PAYLOAD_SECTION, PeError, ROOTS_SECTION};
use weft_format::{RootError, RootSet};
use weft_types::handoff::MANIFEST_SIZE;

/// Why no image was made.
#[derive(Debug, thiserror::Error)]
pub enum UefiError {
    /// The stub ends within its headers or a section.
    #[error("the stub is cut short")]
    Short,
    /// Not as our linker makes it.
    #[error("the stub is not as our linker makes it: {0}")]
    Shape(&'static str),
    /// The image passes 4 GiB, or a number in it does.
    #[error("the image is too large")]
    TooLarge,
    /// The monitor.
    #[error("the monitor cannot be loaded: {0}")]
    Monitor(#[from] weft_loader::elf::ElfError),
    /// The root set.
    #[error("root set: {0}")]
    Roots(#[from] RootError),
    /// The image does not read back.
    #[error("the assembled image does not read back: {0}")]
    ReadBack(#[from] PeError),
}

const SECTION_HEADER: usize = 40;
const OPTIONAL_HEADER: usize = 240;
/// Largest file that is taken or made, bytes.
const MAX_IMAGE: usize = 64 << 20;
/// Initialised data, readable.
const CHARACTERISTICS: u32 = 0x4000_0040;
const SECTION_ALIGNMENT: u32 = 4096;
const FILE_ALIGNMENT: u32 = 512;

/// Positions in the optional header.
mod optional {
    pub(super) const MAGIC: usize = 0;
    pub(super) const INITIALIZED_DATA: usize = 8;
    pub(super) const SECTION_ALIGNMENT: usize = 32;
    pub(super) const FILE_ALIGNMENT: usize = 36;
    pub(super) const IMAGE_SIZE: usize = 56;
    pub(super) const HEADERS_SIZE: usize = 60;
    pub(super) const CHECKSUM: usize = 64;
    pub(super) const SUBSYSTEM: usize = 68;
    pub(super) const DIRECTORY_COUNT: usize = 108;
    pub(super) const SECURITY: usize = 112 + 4 * 8;
    pub(super) const DEBUG: usize = 112 + 6 * 8;
}

/// A PE file that sections are appended to.
struct Image {
    file: Vec<u8>,
    /// Position of the COFF header.
    coff: usize,
    sections: u16,
    /// First free address in memory.
    next_address: u32,
    headers_size: usize,
}

fn aligned(value: u32, to: u32) -> Result<u32, UefiError> {
    value.checked_next_multiple_of(to).ok_or(UefiError::TooLarge)
}

impl Image {
    fn u16_at(&self, at: usize) -> Result<u16, UefiError> {
        let bytes = self.file.get(at..at.saturating_add(2)).ok_or(UefiError::Short)?;
        bytes.try_into().map(u16::from_le_bytes).map_err(|_| UefiError::Short)
    }

    fn u32_at(&self, at: usize) -> Result<u32, UefiError> {
        let bytes = self.file.get(at..at.saturating_add(4)).ok_or(UefiError::Short)?;
        bytes.try_into().map(u32::from_le_bytes).map_err(|_| UefiError::Short)
    }

    fn usize_at(&self, at: usize) -> Result<usize, UefiError> {
        usize::try_from(self.u32_at(at)?).map_err(|_| UefiError::TooLarge)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), UefiError> {
        let end = at.saturating_add(bytes.len());
        self.file.get_mut(at..end).ok_or(UefiError::Short)?.copy_from_slice(bytes);
        Ok(())
    }

    const fn optional(&self, offset: usize) -> usize {
        self.coff + 20 + offset
    }

    fn section_table(&self) -> usize {
        self.optional(OPTIONAL_HEADER)
    }

    /// Takes the stub apart.
    fn parse(stub: &[u8]) -> Result<Self, UefiError> {
        if stub.len() > MAX_IMAGE {
            return Err(UefiError::TooLarge);
        }
        let mut image = Self { file: stub.to_vec(), coff: 0, sections: 0, next_address: 0, headers_size: 0 };
        let pe = image.usize_at(60)?;
        if stub.get(..2) != Some(b"MZ") || stub.get(pe..pe.saturating_add(4)) != Some(b"PE\0\0") {
            return Err(UefiError::Shape("no PE signature"));
        }
        image.coff = pe + 4;
        image.sections = image.u16_at(image.coff + 2)?;
        image.headers_size = image.usize_at(image.optional(optional::HEADERS_SIZE))?;
        let shape = [
            (image.u16_at(image.coff)? == 0x8664, "not for x86-64"),
            (image.u32_at(image.coff + 4)? == 0, "it carries a time stamp"),
            (usize::from(image.u16_at(image.coff + 16)?) == OPTIONAL_HEADER, "size of the optional header"),
            (image.u16_at(image.optional(optional::MAGIC))? == 0x20b, "not PE32+"),
            (
                image.u32_at(image.optional(optional::SECTION_ALIGNMENT))? == SECTION_ALIGNMENT,
                "section alignment",
            ),
            (image.u32_at(image.optional(optional::FILE_ALIGNMENT))? == FILE_ALIGNMENT, "file alignment"),
            (image.u16_at(image.optional(optional::SUBSYSTEM))? == 10, "not an EFI application"),
            (image.u32_at(image.optional(optional::DIRECTORY_COUNT))? == 16, "number of directories"),
            (image.u32_at(image.optional(optional::SECURITY))? == 0, "it is signed"),
            (image.u32_at(image.optional(optional::DEBUG))? == 0, "it has a debug directory"),
        ];
        if let Some((_, what)) = shape.into_iter().find(|(holds, _)| !holds) {
            return Err(UefiError::Shape(what));
        }
        image.check_sections()?;
        Ok(image)
    }

    /// Sections are in order and without gaps in the file; the file ends with the last.
    fn check_sections(&mut self) -> Result<(), UefiError> {
        let mut file_end = self.headers_size;
        let mut address = SECTION_ALIGNMENT;
        if self.sections == 0 {
            return Err(UefiError::Shape("no sections"));
        }
        for index in 0..usize::from(self.sections) {
            let at = self.section_table() + index * SECTION_HEADER;
            let (memory, start) = (self.u32_at(at + 8)?, self.u32_at(at + 12)?);
            let (size, position) = (self.usize_at(at + 16)?, self.usize_at(at + 20)?);
            if self.is_ours(at) {
                return Err(UefiError::Shape("it has a section of the assembly's"));
            }
            if start != address || memory == 0 {
                return Err(UefiError::Shape("sections out of order in memory"));
            }
            if size != 0 && position != file_end {
                return Err(UefiError::Shape("sections out of order in the file"));
            }
            file_end = file_end.checked_add(size).ok_or(UefiError::TooLarge)?;
            let end = start.checked_add(memory).ok_or(UefiError::TooLarge)?;
            address = aligned(end, SECTION_ALIGNMENT)?;
        }
        if file_end != self.file.len() {
            return Err(UefiError::Shape("bytes behind the last section"));
        }
        self.next_address = address;
        Ok(())
    }

    /// Whether the section header at this place bears a name that is appended here: readers refuse two of one name.
    fn is_ours(&self, at: usize) -> bool {
        let field = self.file.get(at..at.saturating_add(8)).unwrap_or_default();
        let len = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        let name = field.get(..len).unwrap_or_default();
        [PAYLOAD_SECTION, MANIFEST_SECTION, ROOTS_SECTION].iter().any(|ours| ours.as_bytes() == name)
    }

    fn append(&mut self, name: &str, contents: &[u8]) -> Result<(), UefiError> {
        let at = self.section_table() + usize::from(self.sections) * SECTION_HEADER;
        let free = self.file.get(at..at + SECTION_HEADER).ok_or(UefiError::Short)?;
        if at + SECTION_HEADER > self.headers_size || free.iter().any(|byte| *byte != 0) {
            return Err(UefiError::Shape("no room for another section header"));
        }
        let size = u32::try_from(contents.len()).map_err(|_| UefiError::TooLarge)?;
        let padded = aligned(size, FILE_ALIGNMENT)?;
        let position = u32::try_from(self.file.len()).map_err(|_| UefiError::TooLarge)?;
        let mut header = [0; SECTION_HEADER];
        for (slot, byte) in header.iter_mut().zip(name.bytes().take(8)) {
            *slot = byte;
        }
        let fields =
            [(8, size), (12, self.next_address), (16, padded), (20, position), (36, CHARACTERISTICS)];
        for (offset, value) in fields {
            header[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        }
        self.put(at, &header)?;
        self.file.extend_from_slice(contents);
        let end = position.checked_add(padded).ok_or(UefiError::TooLarge)?;
        self.file.resize(usize::try_from(end).map_err(|_| UefiError::TooLarge)?, 0);
        self.sections += 1;
        self.put(self.coff + 2, &self.sections.to_le_bytes())?;
        let address = self.next_address.checked_add(size).ok_or(UefiError::TooLarge)?;
        self.next_address = aligned(address, SECTION_ALIGNMENT)?;
        self.put(self.optional(optional::IMAGE_SIZE), &self.next_address.to_le_bytes())?;
        let data = self.optional(optional::INITIALIZED_DATA);
        let total = self.u32_at(data)?.checked_add(padded).ok_or(UefiError::TooLarge)?;
        self.put(data, &total.to_le_bytes())
    }

    fn finish(mut self) -> Result<Vec<u8>, UefiError> {
        let at = self.optional(optional::CHECKSUM);
        self.put(at, &[0; 4])?;
        let sum = checksum(&self.file);
        self.put(at, &sum.to_le_bytes())?;
        Ok(self.file)
    }
}

/// The PE checksum: the 16-bit words' sum with end-around carry, plus the length. The field itself
/// must be zero.
fn checksum(file: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for pair in file.chunks(2) {
        let word = pair.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        sum += word;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum.wrapping_add(u32::try_from(file.len()).unwrap_or(0))
}

/// Makes the unsigned image of `stub` (the linked `weft-stub`), `dvmm` (the monitor's ELF file) and
/// `roots` (an encoded root set). The manifest section is zero.
pub fn uefi(stub: &[u8], dvmm: &[u8], roots: &[u8]) -> Result<Vec<u8>, UefiError> {
    weft_loader::elf::Dvmm::parse(dvmm)?;
    RootSet::parse(roots)?;
    let mut image = Image::parse(stub)?;
    image.append(PAYLOAD_SECTION, dvmm)?;
    image.append(MANIFEST_SECTION, &[0; MANIFEST_SIZE])?;
    image.append(ROOTS_SECTION, roots)?;
    let file = image.finish()?;
    weft_format::pe::image_digest(&file)?;
    Ok(file)
}
