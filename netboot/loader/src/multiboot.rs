//! Multiboot 1 information, as iPXE and QEMU leave it. Multiboot Specification 0.6.96, section 3.3.
//!
//! Nothing here is trusted: the boot loader and the network below it may have written anything.

use weft_types::handoff::{MAX_CMDLINE, RegionKind};

use crate::phys::PhysRead;
use crate::regions::{RegionSet, TooMany};

/// In EAX at the entry when a Multiboot loader started us.
pub const BOOT_MAGIC: u32 = 0x2bad_b002;
/// Most modules that are looked at.
const MAX_MODULES: u32 = 16;
/// Most bytes of the memory map.
const MAX_MAP_BYTES: u32 = 64 << 10;

const FLAG_CMDLINE: u32 = 1 << 2;
const FLAG_MODULES: u32 = 1 << 3;
const FLAG_MAP: u32 = 1 << 6;

/// Why the information is of no use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MultibootError {
    /// An address that cannot be read, or a length out of bounds.
    Unreadable,
    /// The loader gave no memory map.
    NoMemoryMap,
    /// The memory map has too many entries.
    TooMany,
}

impl From<TooMany> for MultibootError {
    fn from(_: TooMany) -> Self {
        Self::TooMany
    }
}

/// A stretch of memory that the loader filled for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Module {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// The information structure.
pub struct Info<'a, P> {
    memory: &'a P,
    address: u64,
    flags: u32,
}

impl<'a, P: PhysRead> Info<'a, P> {
    /// The structure at `address` (EBX at the entry).
    pub fn new(memory: &'a P, address: u64) -> Result<Self, MultibootError> {
        let flags = memory.u32(address).ok_or(MultibootError::Unreadable)?;
        Ok(Self { memory, address, flags })
    }

    fn word(&self, offset: u64) -> Result<u32, MultibootError> {
        let address = self.address.checked_add(offset).ok_or(MultibootError::Unreadable)?;
        self.memory.u32(address).ok_or(MultibootError::Unreadable)
    }

    /// The command line, cut at [`MAX_CMDLINE`]; empty where there is none.
    pub fn cmdline(&self) -> Result<&'a [u8], MultibootError> {
        if self.flags & FLAG_CMDLINE == 0 {
            return Ok(&[]);
        }
        let start = u64::from(self.word(16)?);
        let mut len = 0;
        while len < MAX_CMDLINE {
            let byte = self.memory.bytes(start + len as u64, 1).ok_or(MultibootError::Unreadable)?;
            if byte == [0] {
                break;
            }
            len += 1;
        }
        self.memory.bytes(start, len).ok_or(MultibootError::Unreadable)
    }

    /// Number of modules, at most 16.
    pub fn module_count(&self) -> Result<u32, MultibootError> {
        if self.flags & FLAG_MODULES == 0 {
            return Ok(0);
        }
        Ok(self.word(20)?.min(MAX_MODULES))
    }

    /// The module `index`, below [`Info::module_count`].
    pub fn module(&self, index: u32) -> Result<Module, MultibootError> {
        let table = u64::from(self.word(24)?);
        let at = table + u64::from(index) * 16;
        let start = self.memory.u32(at).ok_or(MultibootError::Unreadable)?;
        let end = self.memory.u32(at + 4).ok_or(MultibootError::Unreadable)?;
        let size = end.checked_sub(start).ok_or(MultibootError::Unreadable)?;
        Ok(Module { start: u64::from(start), size: u64::from(size) })
    }

    /// The bytes of a module that is at most `limit` bytes long.
    pub fn module_bytes(&self, module: Module, limit: usize) -> Result<&'a [u8], MultibootError> {
        let size = usize::try_from(module.size).map_err(|_| MultibootError::Unreadable)?;
        if size > limit {
            return Err(MultibootError::Unreadable);
        }
        self.memory.bytes(module.start, size).ok_or(MultibootError::Unreadable)
    }

    /// Adds the memory map to `regions`.
    pub fn memory_map(&self, regions: &mut RegionSet) -> Result<(), MultibootError> {
        if self.flags & FLAG_MAP == 0 {
            return Err(MultibootError::NoMemoryMap);
        }
        let length = self.word(44)?;
        let start = u64::from(self.word(48)?);
        if length > MAX_MAP_BYTES {
            return Err(MultibootError::Unreadable);
        }
        let end = start + u64::from(length);
        let mut at = start;
        while at < end {
            let read = |offset| self.memory.u64(at + offset).ok_or(MultibootError::Unreadable);
            let size = self.memory.u32(at).ok_or(MultibootError::Unreadable)?;
            if size < 20 {
                return Err(MultibootError::Unreadable);
            }
            let kind = self.memory.u32(at + 20).ok_or(MultibootError::Unreadable)?;
            regions.add(read(4)?, read(12)?, region_kind(kind))?;
            at += 4 + u64::from(size);
        }
        Ok(())
    }
}

/// ACPI specification 6.5, table 15.4. Every kind but two is left alone.
fn region_kind(kind: u32) -> RegionKind {
    match kind {
        1 => RegionKind::Usable,
        3 => RegionKind::AcpiTables,
        _ => RegionKind::Reserved,
    }
}
