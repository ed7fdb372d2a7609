//! From a parsed DVMM to memory that is ready for the jump.
//!
//! All that the DVMM starts with lies in one block, the arena: segments (first, so that the DVMM's
//! virtual and physical addresses differ by a constant), stack, hand-off, manifest, root set, page
//! tables. The arena lies below 4 GiB, so that the identity reaches it.

use core::fmt;

use weft_types::PAGE_SIZE;
use weft_types::handoff::{DVMM_BASE, Handoff, MANIFEST_SIZE, PHYSMAP_BASE};

use crate::elf::{Dvmm, ElfError};
use crate::handoff::encode;
use crate::paging::{PageSize, PagingError, Rights, Tables};

/// Bytes of the boot stack.
pub const STACK_SIZE: u64 = 64 << 10;
/// The arena must end at or below this address.
pub const ARENA_LIMIT: u64 = 4 << 30;
/// Physical memory that the identity covers, and the least that the physical map covers.
pub const LOW_MEMORY: u64 = 4 << 30;
/// Highest physical address that the physical map covers; memory above stays unused.
pub const MAX_PHYSICAL: u64 = 1 << 44;
/// Largest root set, bytes.
pub const MAX_ROOT_SET: usize = 16 << 10;

const GIB: u64 = 1 << 30;
const RW: Rights = Rights { write: true, execute: false };
const RWX: Rights = Rights { write: true, execute: true };

/// Why a DVMM was not loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// The ELF file.
    Elf(ElfError),
    /// The page tables.
    Paging(PagingError),
    /// The arena is not the planned one, is misaligned or not below [`ARENA_LIMIT`].
    Arena,
    /// The manifest is longer than [`MANIFEST_SIZE`] or the root set than [`MAX_ROOT_SET`].
    Inputs,
}

impl From<ElfError> for LoadError {
    fn from(error: ElfError) -> Self {
        Self::Elf(error)
    }
}

impl From<PagingError> for LoadError {
    fn from(error: PagingError) -> Self {
        Self::Paging(error)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf(error) => write!(f, "{error}"),
            Self::Paging(error) => write!(f, "page tables: {error:?}"),
            Self::Arena => f.write_str("memory block for the monitor does not fit"),
            Self::Inputs => f.write_str("manifest or root set is too long"),
        }
    }
}

impl core::error::Error for LoadError {}

/// What goes into the arena.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The monitor.
    pub dvmm: &'a Dvmm<'a>,
    /// The manifest, as signed.
    pub manifest: &'a [u8],
    /// The root set's bytes.
    pub root_set: &'a [u8],
    /// First byte past the highest memory that the physical map must reach.
    pub top: u64,
    /// Whether the processor has 1 GiB pages (CPUID 8000_0001 EDX bit 26).
    pub huge_pages: bool,
    /// Address of the code that switches page tables; it stays reachable at the same address.
    pub jump_code: u64,
}

/// Where each part lies, as offsets from the start of the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    stack: u64,
    handoff: u64,
    manifest: u64,
    root_set: u64,
    tables: u64,
    /// Bytes to allocate, whole pages.
    pub size_bytes: u64,
}

/// What the entry needs for the hand-off and the jump. Addresses are physical but where said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// Value for CR3.
    pub page_table: u64,
    /// Virtual address to jump to.
    pub entry: u64,
    /// Virtual address for RSP: 16-byte aligned less 8, as after a call.
    pub stack_pointer: u64,
    /// Where the hand-off goes.
    pub handoff: u64,
    /// Its virtual address, for RDI.
    pub handoff_va: u64,
    /// First byte of the DVMM.
    pub dvmm_base: u64,
    /// Bytes of the DVMM.
    pub dvmm_size: u64,
    /// The manifest.
    pub manifest: u64,
    /// The root set.
    pub root_set: u64,
}

fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE_SIZE)
}

fn mapped_top(top: u64) -> u64 {
    top.clamp(LOW_MEMORY, MAX_PHYSICAL).next_multiple_of(GIB)
}

/// An upper bound of the tables that [`map_all`] makes.
fn table_pages(inputs: &Inputs<'_>) -> u64 {
    let huge = mapped_top(inputs.top) / GIB;
    let upper = mapped_top(inputs.top).div_ceil(512 * GIB);
    let directories = if inputs.huge_pages { 0 } else { huge + LOW_MEMORY / GIB };
    // The root, the identity's and the DVMM's upper tables, the jump code's two, and the DVMM's own.
    1 + 1 + upper + directories + 2 + 2 + inputs.dvmm.span_bytes.div_ceil(PageSize::Large.bytes()) + 1
}

impl Plan {
    /// Lays the arena out.
    pub fn new(inputs: &Inputs<'_>) -> Result<Self, LoadError> {
        if inputs.manifest.len() > MANIFEST_SIZE || inputs.root_set.len() > MAX_ROOT_SET {
            return Err(LoadError::Inputs);
        }
        let stack = inputs.dvmm.span_bytes;
        let handoff = stack + STACK_SIZE;
        let manifest = handoff + pages(size_of::<Handoff>() as u64);
        let root_set = manifest + pages(MANIFEST_SIZE as u64);
        let tables = root_set + pages(MAX_ROOT_SET as u64);
        let size_bytes = tables + table_pages(inputs) * PAGE_SIZE;
        Ok(Self { stack, handoff, manifest, root_set, tables, size_bytes })
    }
}

fn part(arena: &mut [u8], offset: u64, bytes: usize) -> Result<&mut [u8], LoadError> {
    let start = usize::try_from(offset).map_err(|_| LoadError::Arena)?;
    let end = start.checked_add(bytes).ok_or(LoadError::Arena)?;
    arena.get_mut(start..end).ok_or(LoadError::Arena)
}

/// Fills the arena, which lies at the physical address `base`. The hand-off page stays zero.
pub fn load(inputs: &Inputs<'_>, plan: &Plan, base: u64, arena: &mut [u8]) -> Result<Loaded, LoadError> {
    let fits = Plan::new(inputs)? == *plan
        && arena.len() as u64 == plan.size_bytes
        && base.is_multiple_of(PAGE_SIZE)
        && base.checked_add(plan.size_bytes).is_some_and(|end| end <= ARENA_LIMIT);
    if !fits {
        return Err(LoadError::Arena);
    }
    arena.fill(0);
    for segment in inputs.dvmm.segments() {
        let contents = inputs.dvmm.contents(segment)?;
        part(arena, segment.vaddr - DVMM_BASE, contents.len())?.copy_from_slice(contents);
    }
    part(arena, plan.manifest, inputs.manifest.len())?.copy_from_slice(inputs.manifest);
    part(arena, plan.root_set, inputs.root_set.len())?.copy_from_slice(inputs.root_set);
    let tables_size = usize::try_from(plan.size_bytes - plan.tables).map_err(|_| LoadError::Arena)?;
    let memory = part(arena, plan.tables, tables_size)?;
    let mut tables = Tables::new(base + plan.tables, memory)?;
    map_all(inputs, base, &mut tables)?;
    Ok(Loaded {
        page_table: tables.root(),
        entry: inputs.dvmm.entry,
        stack_pointer: PHYSMAP_BASE + base + plan.stack + STACK_SIZE - 8,
        handoff: base + plan.handoff,
        handoff_va: PHYSMAP_BASE + base + plan.handoff,
        dvmm_base: base,
        dvmm_size: inputs.dvmm.span_bytes,
        manifest: base + plan.manifest,
        root_set: base + plan.root_set,
    })
}

impl Loaded {
    /// Fills in the hand-off's addresses.
    pub fn describe(&self, handoff: &mut Handoff, root_set_size: usize) {
        handoff.page_table = self.page_table;
        handoff.dvmm_base = self.dvmm_base;
        handoff.dvmm_size = self.dvmm_size;
        handoff.manifest = self.manifest;
        handoff.root_set = self.root_set;
        handoff.root_set_size = root_set_size as u64;
    }

    /// Writes the hand-off to its place in the arena at `base`.
    pub fn write_handoff(&self, handoff: &Handoff, base: u64, arena: &mut [u8]) -> Result<(), LoadError> {
        let offset = self.handoff.checked_sub(base).ok_or(LoadError::Arena)?;
        encode(handoff, part(arena, offset, size_of::<Handoff>())?).map_err(|_| LoadError::Arena)
    }
}

fn map_all(inputs: &Inputs<'_>, base: u64, tables: &mut Tables<'_>) -> Result<(), PagingError> {
    let size = if inputs.huge_pages { PageSize::Huge } else { PageSize::Large };
    tables.map_range(0, 0, LOW_MEMORY, size, RWX)?;
    if inputs.jump_code >= LOW_MEMORY {
        // Code at the end of a page may reach into the next.
        let page = inputs.jump_code & !(PageSize::Large.bytes() - 1);
        tables.map_range(page, page, 2 * PageSize::Large.bytes(), PageSize::Large, RWX)?;
    }
    tables.map_range(PHYSMAP_BASE, 0, mapped_top(inputs.top), size, RW)?;
    for segment in inputs.dvmm.segments() {
        let rights = Rights { write: segment.write, execute: segment.execute };
        let pa = base + (segment.vaddr - DVMM_BASE);
        tables.map_range(segment.vaddr, pa, segment.page_bytes(), PageSize::Small, rights)?;
    }
    Ok(())
}
