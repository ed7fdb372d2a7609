//! The Multiboot image: ELF64 in, ELF32 out.
//!
//! Multiboot loaders (iPXE, QEMU) refuse ELF64, so that the linked entry is wrapped anew: one ELF32
//! header and two program headers. The first loads the entry and has the loader zero what the file leaves out,
//! the second loads what lies behind it in memory: payload and root set, each on a page border. The entry finds
//! them through `weft_payload`.

use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol};

use weft_format::RootSet;

/// Tag that marks `weft_payload` in the entry.
const TAG: &[u8; 16] = b"weft-bios-v1\0\0\0\0";
const PAGE: usize = 4096;
/// Largest image in memory; it must lie well below the first hole of old machines at 15 MiB.
const MAX_IMAGE: usize = 12 << 20;
/// Multiboot loaders look for their header in the first 8 KiB of the file.
const MULTIBOOT_WINDOW: usize = 8192;

/// Why no Multiboot image was made.
#[derive(Debug, thiserror::Error)]
pub enum BiosError {
    /// The entry is no ELF64 file.
    #[error("the BIOS entry is no ELF64 file: {0}")]
    Entry(#[from] object::Error),
    /// Not the shape that the linker script gives.
    #[error("the BIOS entry is not as its linker script makes it: {0}")]
    Shape(&'static str),
    /// Larger than fits below 15 MiB.
    #[error("the image would take {0} bytes of memory")]
    TooLarge(usize),
    /// The monitor.
    #[error("the monitor cannot be loaded: {0}")]
    Monitor(weft_loader::elf::ElfError),
    /// The root set.
    #[error("root set: {0}")]
    Roots(weft_format::RootError),
}

/// The entry's one segment.
struct Segment {
    base: u32,
    /// What its file holds, in whole pages of memory.
    filled: usize,
    /// Its memory, zeroes included, in whole pages.
    memory: Vec<u8>,
}

fn segment(entry: &[u8]) -> Result<Segment, BiosError> {
    let header = FileHeader64::<Endianness>::parse(entry)?;
    let endian = header.endian()?;
    let mut loads = header.program_headers(endian, entry)?.iter().filter(|h| h.p_type(endian) == PT_LOAD);
    let load = loads.next().ok_or(BiosError::Shape("no segment"))?;
    if loads.next().is_some() {
        return Err(BiosError::Shape("more than one segment"));
    }
    let contents = load.data(endian, entry).map_err(|()| BiosError::Shape("truncated segment"))?;
    let size = usize::try_from(load.p_memsz(endian)).map_err(|_| BiosError::Shape("segment size"))?;
    if size > MAX_IMAGE || contents.len() > size {
        return Err(BiosError::Shape("segment size"));
    }
    let mut memory = contents.to_vec();
    memory.resize(size.next_multiple_of(PAGE), 0);
    let base = u32::try_from(load.p_vaddr(endian)).map_err(|_| BiosError::Shape("segment address"))?;
    Ok(Segment { base, filled: contents.len().next_multiple_of(PAGE), memory })
}

fn append(memory: &mut Vec<u8>, base: u32, part: &[u8]) -> Result<[u32; 2], BiosError> {
    let address = u32::try_from(memory.len()).ok().and_then(|offset| base.checked_add(offset));
    memory.extend_from_slice(part);
    memory.resize(memory.len().next_multiple_of(PAGE), 0);
    let size = u32::try_from(part.len()).ok().filter(|_| memory.len() <= MAX_IMAGE);
    match (address, size) {
        (Some(address), Some(size)) => Ok([address, size]),
        _ => Err(BiosError::TooLarge(memory.len())),
    }
}

/// A piece of the file and where it is loaded.
struct Load {
    address: u32,
    file_offset: u32,
    file_size: u32,
    memory_size: u32,
}

fn header(entry: u32, loads: &[Load]) -> Vec<u8> {
    let mut out = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for half in [2_u16, 3] {
        out.extend(half.to_le_bytes());
    }
    for word in [1, entry, 52, 0, 0] {
        out.extend(word.to_le_bytes());
    }
    for half in [52_u16, 32, loads.len() as u16, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    // PT_LOAD, readable, writable and executable: paging comes later.
    for load in loads {
        let place = [load.file_offset, load.address, load.address, load.file_size, load.memory_size];
        for word in [1].into_iter().chain(place).chain([7, PAGE as u32]) {
            out.extend(word.to_le_bytes());
        }
    }
    out.resize(PAGE, 0);
    out
}

/// The entry, which fills `filled` bytes of its memory up to `behind`, and what follows it up to `end`.
fn loads(base: u32, filled: usize, behind: usize, end: usize) -> Result<[Load; 2], BiosError> {
    let word = |size: usize| u32::try_from(size).map_err(|_| BiosError::TooLarge(end));
    let address = base.checked_add(word(behind)?).ok_or(BiosError::TooLarge(end))?;
    let rest = word(end.saturating_sub(behind))?;
    let file_offset = word(PAGE.saturating_add(filled))?;
    Ok([
        Load {
            address: base,
            file_offset: PAGE as u32,
            file_size: word(filled)?,
            memory_size: word(behind)?,
        },
        Load { address, file_offset, file_size: rest, memory_size: rest },
    ])
}

/// Makes the Multiboot image of `entry` (the linked `weft-bios`), `dvmm` (the monitor's ELF file) and
/// `roots` (an encoded root set).
pub fn bios(entry: &[u8], dvmm: &[u8], roots: &[u8]) -> Result<Vec<u8>, BiosError> {
    weft_loader::elf::Dvmm::parse(dvmm).map_err(BiosError::Monitor)?;
    RootSet::parse(roots).map_err(BiosError::Roots)?;
    let Segment { base, filled, mut memory } = segment(entry)?;
    let behind = memory.len();
    let file = object::File::parse(entry)?;
    let symbol = file.symbol_by_name("weft_payload").ok_or(BiosError::Shape("no weft_payload"))?;
    let at = symbol.address().checked_sub(u64::from(base)).and_then(|at| usize::try_from(at).ok());
    let at = at.ok_or(BiosError::Shape("weft_payload is misplaced"))?;
    if memory.get(at..at.saturating_add(TAG.len())) != Some(TAG) {
        return Err(BiosError::Shape("weft_payload has no tag"));
    }
    let payload = append(&mut memory, base, dvmm)?;
    let root_set = append(&mut memory, base, roots)?;
    let fields = [payload, root_set].concat();
    let words = at + TAG.len();
    for (index, word) in fields.into_iter().enumerate() {
        let place = memory.get_mut(words + 4 * index..words + 4 * index + 4);
        place.ok_or(BiosError::Shape("weft_payload is cut off"))?.copy_from_slice(&word.to_le_bytes());
    }
    let start = u32::try_from(file.entry()).map_err(|_| BiosError::Shape("entry point"))?;
    let mut image = header(start, &loads(base, filled, behind, memory.len())?);
    image.extend(memory.get(..filled).unwrap_or_default());
    image.extend(memory.get(behind..).unwrap_or_default());
    let magic = 0x1bad_b002_u32.to_le_bytes();
    let window = image.get(..MULTIBOOT_WINDOW).unwrap_or(&image);
    if !window.chunks_exact(4).any(|word| word == magic) {
        return Err(BiosError::Shape("no Multiboot header in the first 8 KiB"));
    }
    Ok(image)
}
