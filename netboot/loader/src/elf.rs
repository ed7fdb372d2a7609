//! The DVMM's ELF file: System V ABI, "Object files", and its AMD64 supplement.
//!
//! Accepted is only what our linker script makes: a statically linked ELF64 executable whose
//! segments start at [`DVMM_BASE`], begin on page borders, share no page and are never writable and
//! executable at once. The file lies inside a verified image; it is still parsed as outside bytes.

use core::fmt;

use weft_types::PAGE_SIZE;
use weft_types::handoff::DVMM_BASE;

/// Most loadable segments.
pub const MAX_SEGMENTS: usize = 8;
/// Most program headers that are looked at.
const MAX_HEADERS: u16 = 32;
/// Most bytes of virtual space from [`DVMM_BASE`].
pub const MAX_SPAN: u64 = 256 << 20;

const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: u64 = 56;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_TLS: u32 = 7;
const PF_X: u32 = 1;
const PF_W: u32 = 2;

/// Why a file is not a DVMM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ElfError {
    /// Shorter than its headers say.
    Truncated,
    /// Not a 64-bit little-endian x86-64 ELF executable.
    Kind,
    /// More program headers or segments than allowed, or none.
    Count,
    /// Wants a dynamic linker or thread-local storage.
    Dynamic,
    /// A segment off a page border, out of order, or on the page of the one before.
    Placement,
    /// A segment longer in the file than in memory, or outside [`MAX_SPAN`].
    Size,
    /// A segment that is writable and executable.
    WriteExecute,
    /// The entry point is not in an executable segment.
    Entry,
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "ELF file is truncated",
            Self::Kind => "not a static ELF64 executable for x86-64",
            Self::Count => "number of ELF segments is out of bounds",
            Self::Dynamic => "ELF file wants a dynamic linker or thread-local storage",
            Self::Placement => "ELF segment is misplaced",
            Self::Size => "ELF segment has an impossible size",
            Self::WriteExecute => "ELF segment is writable and executable",
            Self::Entry => "ELF entry point is not executable",
        })
    }
}

impl core::error::Error for ElfError {}

/// One loadable segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// First byte, page aligned.
    pub vaddr: u64,
    /// Bytes in memory; what the file does not fill is zero.
    pub mem_size: u64,
    /// First byte in the file.
    pub file_offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Mapped writable.
    pub write: bool,
    /// Mapped executable.
    pub execute: bool,
}

impl Segment {
    /// Bytes in memory, rounded up to pages. The parser has bounded it.
    pub fn page_bytes(&self) -> u64 {
        self.mem_size.next_multiple_of(PAGE_SIZE)
    }
}

/// A DVMM that may be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Dvmm<'a> {
    file: &'a [u8],
    segments: [Segment; MAX_SEGMENTS],
    count: usize,
    /// Virtual address to jump to.
    pub entry: u64,
    /// Bytes from [`DVMM_BASE`] to the end of the last segment, whole pages.
    pub span_bytes: u64,
}

fn array<const N: usize>(file: &[u8], offset: u64) -> Result<[u8; N], ElfError> {
    let start = usize::try_from(offset).map_err(|_| ElfError::Truncated)?;
    let end = start.checked_add(N).ok_or(ElfError::Truncated)?;
    file.get(start..end).and_then(|bytes| bytes.try_into().ok()).ok_or(ElfError::Truncated)
}

fn u16_at(file: &[u8], offset: u64) -> Result<u16, ElfError> {
    array(file, offset).map(u16::from_le_bytes)
}

fn u32_at(file: &[u8], offset: u64) -> Result<u32, ElfError> {
    array(file, offset).map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], offset: u64) -> Result<u64, ElfError> {
    array(file, offset).map(u64::from_le_bytes)
}

impl<'a> Dvmm<'a> {
    /// Checks the whole file's structure.
    pub fn parse(file: &'a [u8]) -> Result<Self, ElfError> {
        if file.len() < HEADER_SIZE {
            return Err(ElfError::Truncated);
        }
        let ident: [u8; 7] = array(file, 0)?;
        let fits = ident == [0x7f, b'E', b'L', b'F', 2, 1, 1]
            && u16_at(file, 16)? == 2
            && u16_at(file, 18)? == 62
            && u64::from(u16_at(file, 54)?) == PROGRAM_HEADER_SIZE;
        if !fits {
            return Err(ElfError::Kind);
        }
        let entry = u64_at(file, 24)?;
        let table = u64_at(file, 32)?;
        let headers = u16_at(file, 56)?;
        if headers > MAX_HEADERS {
            return Err(ElfError::Count);
        }
        let mut dvmm =
            Self { file, segments: [Segment::default(); MAX_SEGMENTS], count: 0, entry, span_bytes: 0 };
        for index in 0..headers {
            let at = table.checked_add(u64::from(index) * PROGRAM_HEADER_SIZE).ok_or(ElfError::Truncated)?;
            dvmm.header(array(file, at)?)?;
        }
        if dvmm.count == 0 {
            return Err(ElfError::Count);
        }
        let inside = |s: &Segment| s.execute && entry >= s.vaddr && entry - s.vaddr < s.file_size;
        if !dvmm.segments().iter().any(inside) {
            return Err(ElfError::Entry);
        }
        Ok(dvmm)
    }

    fn header(&mut self, header: [u8; PROGRAM_HEADER_SIZE as usize]) -> Result<(), ElfError> {
        let kind = u32_at(&header, 0)?;
        let flags = u32_at(&header, 4)?;
        let segment = Segment {
            vaddr: u64_at(&header, 16)?,
            mem_size: u64_at(&header, 40)?,
            file_offset: u64_at(&header, 8)?,
            file_size: u64_at(&header, 32)?,
            write: flags & PF_W != 0,
            execute: flags & PF_X != 0,
        };
        if matches!(kind, PT_DYNAMIC | PT_INTERP | PT_TLS) {
            return Err(ElfError::Dynamic);
        }
        // Notes, stack flags and the like describe; they load nothing.
        if kind != PT_LOAD || segment.mem_size == 0 {
            return Ok(());
        }
        self.push(segment)
    }

    fn push(&mut self, segment: Segment) -> Result<(), ElfError> {
        if segment.write && segment.execute {
            return Err(ElfError::WriteExecute);
        }
        let expected_base = if self.count == 0 { segment.vaddr == DVMM_BASE } else { true };
        let offset = segment.vaddr.checked_sub(DVMM_BASE).ok_or(ElfError::Placement)?;
        if !expected_base || !offset.is_multiple_of(PAGE_SIZE) || offset < self.span_bytes {
            return Err(ElfError::Placement);
        }
        if segment.mem_size > MAX_SPAN || segment.file_size > segment.mem_size {
            return Err(ElfError::Size);
        }
        let end = offset.checked_add(segment.page_bytes()).ok_or(ElfError::Size)?;
        if end > MAX_SPAN {
            return Err(ElfError::Size);
        }
        let slot = self.segments.get_mut(self.count).ok_or(ElfError::Count)?;
        *slot = segment;
        self.count += 1;
        self.span_bytes = end;
        self.contents(&segment).map(|_| ())
    }

    /// The segments in the order of their addresses.
    pub fn segments(&self) -> &[Segment] {
        self.segments.get(..self.count).unwrap_or(&[])
    }

    /// What the file holds of `segment`.
    pub fn contents(&self, segment: &Segment) -> Result<&'a [u8], ElfError> {
        let start = usize::try_from(segment.file_offset).map_err(|_| ElfError::Truncated)?;
        let size = usize::try_from(segment.file_size).map_err(|_| ElfError::Truncated)?;
        let end = start.checked_add(size).ok_or(ElfError::Truncated)?;
        self.file.get(start..end).ok_or(ElfError::Truncated)
    }
}
