//! Just enough of PE/COFF (Microsoft PE Format, sections "COFF File Header", "Optional Header",
//! "Section Table", "The Attribute Certificate Table") to find a section and to digest an image.
//!
//! An image of ours is a PE32+ program. Its sections lie apart in the file, each name stands once, and
//! certificates, where there are any, end the file. Anything else is refused.

use crate::bytes::{Malformed, Reader};
use crate::digest::sha256;
use sha2::{Digest, Sha256};

/// Section that holds the manifest, [`crate::manifest::MANIFEST_SIZE`] bytes.
pub const MANIFEST_SECTION: &str = ".weftman";
/// Section that holds the root set, zero-padded.
pub const ROOTS_SECTION: &str = ".roots";
/// Section that holds the DVMM.
pub const PAYLOAD_SECTION: &str = ".dvmm";

/// Most sections of an image.
pub const MAX_SECTIONS: usize = 96;
/// Bytes of a section header.
const SECTION_HEADER: usize = 40;
/// Directory entry that points to the certificates.
const SECURITY_DIRECTORY: u32 = 4;

/// Why a file was refused as an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// A header or section reaches past the end of the file.
    #[error("the file is cut short")]
    Short,
    /// No `MZ` or `PE` signature.
    #[error("no PE signature")]
    Signature,
    /// Not a PE32+ optional header with room for the certificate entry.
    #[error("no PE32+ optional header")]
    OptionalHeader,
    /// More sections than we take.
    #[error("{0} sections are too many")]
    Sections(u16),
    /// A section that is asked for is not there.
    #[error("the section is missing")]
    Missing,
    /// A section name stands twice.
    #[error("a section stands twice")]
    Twice,
    /// A section overlaps headers, certificates or another section.
    #[error("sections overlap")]
    Overlap,
    /// Its size in memory is zero or larger than in the file.
    #[error("a section's size in memory does not fit its size in the file")]
    VirtualSize,
    /// Certificates do not end the file.
    #[error("the certificate table does not end the file")]
    Certificates,
}

impl From<Malformed> for PeError {
    fn from(_: Malformed) -> Self {
        Self::Short
    }
}

/// Where a section lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name, zero-padded.
    pub name: [u8; 8],
    /// Address in memory, relative to the image base.
    pub virtual_address: u32,
    /// Bytes in memory.
    pub virtual_size: u32,
    /// Position in the file.
    pub file_offset: u32,
    /// Bytes in the file.
    pub file_size: u32,
}

/// Parsed headers.
#[derive(Clone, Copy, Debug)]
struct Headers<'a> {
    /// Position of the optional header's checksum.
    checksum: usize,
    /// Position of the certificate entry.
    security: usize,
    /// Bytes before the certificates.
    image_end: usize,
    table: &'a [u8],
}

impl<'a> Headers<'a> {
    fn parse(file: &'a [u8]) -> Result<Self, PeError> {
        let mut dos = Reader::new(file);
        if dos.take(2)? != b"MZ" {
            return Err(PeError::Signature);
        }
        dos.take(58)?;
        let pe_offset = to_usize(dos.u32()?)?;
        let mut reader = Reader::new(file.get(pe_offset..).ok_or(PeError::Short)?);
        if reader.take(4)? != b"PE\0\0" {
            return Err(PeError::Signature);
        }
        reader.take(2)?;
        let sections = reader.u16()?;
        if usize::from(sections) > MAX_SECTIONS {
            return Err(PeError::Sections(sections));
        }
        reader.take(12)?;
        let optional_size = usize::from(reader.u16()?);
        reader.take(2)?;
        let optional = file.len().saturating_sub(reader.rest().len());
        let mut header = Reader::new(reader.take(optional_size)?);
        let table = reader.take(usize::from(sections).saturating_mul(SECTION_HEADER))?;
        let table_end = file.len().saturating_sub(reader.rest().len());

        // PE32+: magic at 0, checksum at 64, number of directories at 108, directories from 112.
        let short = |_| PeError::OptionalHeader;
        if header.u16().map_err(short)? != 0x20b {
            return Err(PeError::OptionalHeader);
        }
        header.take(106).map_err(short)?;
        let directories = header.u32().map_err(short)?;
        header.take(8 * 4).map_err(short)?;
        let certificates = header.u32().map_err(short)?;
        let certificates_size = header.u32().map_err(short)?;
        if directories <= SECURITY_DIRECTORY {
            return Err(PeError::OptionalHeader);
        }
        let headers = Self {
            checksum: optional.saturating_add(64),
            security: optional.saturating_add(112 + 8 * 4),
            image_end: image_end(file.len(), certificates, certificates_size)?,
            table,
        };
        headers.check(table_end)?;
        Ok(headers)
    }

    fn sections(&self) -> impl Iterator<Item = Section> + use<'a> {
        self.table.chunks_exact(SECTION_HEADER).filter_map(|entry| {
            let mut reader = Reader::new(entry);
            Some(Section {
                name: reader.array().ok()?,
                virtual_size: reader.u32().ok()?,
                virtual_address: reader.u32().ok()?,
                file_size: reader.u32().ok()?,
                file_offset: reader.u32().ok()?,
            })
        })
    }

    /// Every section lies behind the headers and before the certificates, apart from the others.
    fn check(&self, table_end: usize) -> Result<(), PeError> {
        for (index, section) in self.sections().enumerate() {
            if section.file_size == 0 {
                continue;
            }
            let range = section.file_range()?;
            if range.start < table_end {
                return Err(PeError::Overlap);
            }
            if range.end > self.image_end {
                return Err(PeError::Short);
            }
            for other in self.sections().take(index) {
                let other = other.file_range()?;
                if range.start < other.end && other.start < range.end {
                    return Err(PeError::Overlap);
                }
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Section, PeError> {
        let mut found = self.sections().filter(|section| section.is(name));
        let section = found.next().ok_or(PeError::Missing)?;
        if found.next().is_some() {
            return Err(PeError::Twice);
        }
        if section.virtual_size == 0 || section.virtual_size > section.file_size {
            return Err(PeError::VirtualSize);
        }
        Ok(section)
    }
}

impl Section {
    fn is(&self, name: &str) -> bool {
        let len = self.name.iter().position(|byte| *byte == 0).unwrap_or(8);
        self.name.get(..len) == Some(name.as_bytes())
    }

    /// Where it lies in the file, padding included.
    fn file_range(&self) -> Result<core::ops::Range<usize>, PeError> {
        let start = to_usize(self.file_offset)?;
        let end = start.checked_add(to_usize(self.file_size)?).ok_or(PeError::Short)?;
        Ok(start..end)
    }

    /// Where its bytes in memory lie in the file, padding left out.
    pub fn content_range(&self) -> Result<core::ops::Range<usize>, PeError> {
        let start = to_usize(self.file_offset)?;
        let end = start.checked_add(to_usize(self.virtual_size)?).ok_or(PeError::Short)?;
        Ok(start..end)
    }
}

fn to_usize(number: u32) -> Result<usize, PeError> {
    usize::try_from(number).map_err(|_| PeError::Short)
}

/// Bytes before the certificates: all of the file where there are none.
fn image_end(len: usize, certificates: u32, size: u32) -> Result<usize, PeError> {
    if certificates == 0 && size == 0 {
        return Ok(len);
    }
    let start = to_usize(certificates)?;
    let end = start.checked_add(to_usize(size)?);
    if size == 0 || !certificates.is_multiple_of(8) || end != Some(len) {
        return Err(PeError::Certificates);
    }
    Ok(start)
}

/// Finds a section by its name (at most 8 bytes). The section has content, which lies within the file.
pub fn find_section(file: &[u8], name: &str) -> Result<Section, PeError> {
    Headers::parse(file)?.find(name)
}

/// The bytes of a section as they stand in memory: file padding left out.
pub fn section_data<'a>(file: &'a [u8], name: &str) -> Result<&'a [u8], PeError> {
    let range = find_section(file, name)?.content_range()?;
    file.get(range).ok_or(PeError::Short)
}

/// SHA-256 over the bytes of the `.dvmm` section: what a boot entry can check over loaded bytes.
pub fn payload_digest(file: &[u8]) -> Result<[u8; 32], PeError> {
    Ok(sha256(section_data(file, PAYLOAD_SECTION)?))
}

/// Bytes of the image without certificates.
pub fn image_size(file: &[u8]) -> Result<u64, PeError> {
    let end = Headers::parse(file)?.image_end;
    u64::try_from(end).map_err(|_| PeError::Short)
}

/// Whether the image carries certificates (Authenticode signatures).
pub fn has_certificates(file: &[u8]) -> Result<bool, PeError> {
    Ok(Headers::parse(file)?.image_end != file.len())
}

/// The image digest: SHA-256 of the unsigned image with its manifest section zeroed.
///
/// It is the same before and after Authenticode, since the three things that Authenticode changes are
/// left out: the checksum and the certificate entry of the optional header count as zero, and the
/// certificates at the end do not count.
pub fn image_digest(file: &[u8]) -> Result<[u8; 32], PeError> {
    let headers = Headers::parse(file)?;
    let manifest = headers.find(MANIFEST_SECTION)?.file_range()?;
    let zeroed = [
        headers.checksum..headers.checksum.saturating_add(4),
        headers.security..headers.security.saturating_add(8),
        manifest,
    ];
    let mut hash = Sha256::new();
    let mut position = 0;
    for range in zeroed {
        hash.update(file.get(position..range.start).ok_or(PeError::Overlap)?);
        for _ in range.clone() {
            hash.update([0]);
        }
        position = range.end;
    }
    hash.update(file.get(position..headers.image_end).ok_or(PeError::Overlap)?);
    Ok(hash.finalize().into())
}
