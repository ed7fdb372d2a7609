//! Places a Linux kernel in guest memory and says how its first processor starts.
//!
//! The kernel is a bzImage, entered at its 64-bit entry point with identity-mapped page tables; no
//! firmware runs in the guest. The boot structures lie where [`layout`](crate::layout) says, the
//! kernel at the address that it prefers, the initial RAM disk at the top of low RAM.
//!
//! Everything in the image is taken as an allegation: each field is checked before it is used. Running
//! [`load`] again after [`MemError::Need`] gives the same memory, so it may be restarted.
//!
//! - [`bzimage`]: the setup header.
//! - [`bootparams`]: the zero page and the memory map in it.
//! - [`entry`]: descriptor table, page tables and registers at the entry.
//!
//! Source: Linux, Documentation/arch/x86/boot.rst and zero-page.rst.

use core::fmt;

use weft_platform::{GuestMemory, MemError};
use weft_types::{Gpa, PAGE_SIZE};

use crate::layout;

pub mod bootparams;
pub mod bzimage;
pub mod entry;
mod mptable;
mod reset_vector;

pub use bzimage::{HeaderError, KernelHeader};
pub use entry::EntryState;

/// Bytes that are copied at once.
const CHUNK: usize = 4096;

/// A file that is read by position: a slice, or frames that hold a download.
pub trait Source {
    /// Length, bytes.
    fn size_bytes(&self) -> u64;
    /// Copies from `offset`; false when the range is not all inside the file.
    fn read(&self, offset: u64, out: &mut [u8]) -> bool;
}

impl Source for &[u8] {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> bool {
        let part =
            usize::try_from(offset).ok().and_then(|start| self.get(start..start.checked_add(out.len())?));
        part.inspect(|part| out.copy_from_slice(part)).is_some()
    }
}

/// What to load.
pub struct LoadConfig<'a> {
    /// Memory of the guest, bytes.
    pub ram_bytes: u64,
    /// bzImage.
    pub kernel: &'a dyn Source,
    /// Initial RAM disk.
    pub initrd: Option<&'a dyn Source>,
    /// Kernel command line, without a zero byte.
    pub command_line: &'a [u8],
    /// ACPI tables for [`layout::ACPI`], root pointer first.
    pub acpi: &'a [u8],
}

/// Why a guest was not loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// The image is no kernel that can be started.
    Header(HeaderError),
    /// The memory size is not allowed; see [`layout::ram_size_is_valid`].
    RamSize {
        /// Bytes asked for.
        bytes: u64,
    },
    /// The kernel needs memory up to `end`, and low RAM ends before.
    KernelTooLarge {
        /// First byte after what the kernel needs.
        end: u64,
        /// End of low RAM.
        ram_end: u64,
    },
    /// The initial RAM disk does not fit between the kernel and the end of what the kernel can reach.
    InitrdTooLarge {
        /// Its bytes.
        bytes: u64,
        /// Bytes that there are.
        room: u64,
    },
    /// The command line is longer than the kernel or the layout allows, or holds a zero byte.
    CommandLine {
        /// Its bytes.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The ACPI tables do not fit their place.
    Acpi {
        /// Their bytes.
        bytes: usize,
    },
    /// The file ended, or failed to be read, inside what its header promises.
    Source {
        /// Position, bytes.
        offset: u64,
    },
    /// Guest memory was not reached.
    Memory(MemError),
}

impl From<MemError> for LoadError {
    fn from(error: MemError) -> Self {
        Self::Memory(error)
    }
}

impl From<HeaderError> for LoadError {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "kernel image: {error}"),
            Self::RamSize { bytes } => write!(f, "memory of {bytes} bytes is not allowed"),
            Self::KernelTooLarge { end, ram_end } => {
                write!(f, "the kernel needs memory up to {end:#x}, low memory ends at {ram_end:#x}")
            }
            Self::InitrdTooLarge { bytes, room } => {
                write!(f, "the initial RAM disk has {bytes} bytes, there is room for {room}")
            }
            Self::CommandLine { bytes, limit } => {
                write!(f, "the command line has {bytes} bytes or a zero in it, {limit} are allowed")
            }
            Self::Acpi { bytes } => write!(f, "ACPI tables of {bytes} bytes do not fit"),
            Self::Source { offset } => write!(f, "the file cannot be read at {offset}"),
            Self::Memory(error) => write!(f, "guest memory not reached: {error:?}"),
        }
    }
}

impl core::error::Error for LoadError {}

/// Where the parts of a guest lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Kernel, first byte.
    pub kernel: Gpa,
    /// Initial RAM disk, first byte, and its bytes; (0, 0) without one.
    pub initrd: (Gpa, u64),
}

/// Places kernel, initial RAM disk, command line, ACPI tables and boot structures, and returns the
/// registers of the first processor.
pub fn load(mem: &dyn GuestMemory, config: &LoadConfig<'_>) -> Result<EntryState, LoadError> {
    let header = KernelHeader::read(config.kernel)?;
    let placement = place(&header, config)?;
    copy(mem, config.kernel, header.payload_offset, header.payload_bytes, placement.kernel)?;
    if let Some(initrd) = config.initrd {
        copy(mem, initrd, 0, placement.initrd.1, placement.initrd.0)?;
    }
    mem.write(layout::COMMAND_LINE, config.command_line)?;
    let end = layout::COMMAND_LINE.0 + config.command_line.len() as u64;
    mem.write(Gpa(end), &[0])?;
    mem.write(layout::ACPI, config.acpi)?;
    mptable::write(mem, config.acpi.len())?;
    reset_vector::write(mem)?;
    let page = bootparams::build(&header, config, &placement);
    mem.write(layout::BOOT_PARAMS, page.as_slice())?;
    entry::write(mem)?;
    Ok(entry::state(placement.kernel))
}

/// Decides where everything goes, or why it does not fit.
fn place(header: &KernelHeader, config: &LoadConfig<'_>) -> Result<Placement, LoadError> {
    if !layout::ram_size_is_valid(config.ram_bytes) {
        return Err(LoadError::RamSize { bytes: config.ram_bytes });
    }
    let limit = layout::COMMAND_LINE_BYTES.min(header.command_line_bytes as usize + 1);
    let bytes = config.command_line.len();
    if bytes >= limit || config.command_line.contains(&0) {
        return Err(LoadError::CommandLine { bytes, limit: limit - 1 });
    }
    if config.acpi.len() as u64 > reset_vector::PLACE.0 - layout::ACPI.0 {
        return Err(LoadError::Acpi { bytes: config.acpi.len() });
    }
    let ram_end = layout::ram(config.ram_bytes)[0].end;
    let kernel_end = header.load_address.saturating_add(header.memory_bytes);
    if kernel_end > ram_end {
        return Err(LoadError::KernelTooLarge { end: kernel_end, ram_end });
    }
    let initrd = match config.initrd {
        None => (Gpa(0), 0),
        Some(initrd) => place_initrd(initrd.size_bytes(), kernel_end, header, ram_end)?,
    };
    Ok(Placement { kernel: Gpa(header.load_address), initrd })
}

fn place_initrd(
    bytes: u64,
    kernel_end: u64,
    header: &KernelHeader,
    ram_end: u64,
) -> Result<(Gpa, u64), LoadError> {
    let top = ram_end.min(u64::from(header.initrd_last_byte) + 1) & !(PAGE_SIZE - 1);
    let bottom = kernel_end.next_multiple_of(PAGE_SIZE);
    let room = top.saturating_sub(bottom);
    if bytes > room {
        return Err(LoadError::InitrdTooLarge { bytes, room });
    }
    Ok((Gpa((top - bytes) & !(PAGE_SIZE - 1)), bytes))
}

fn copy(
    mem: &dyn GuestMemory,
    source: &dyn Source,
    offset: u64,
    bytes: u64,
    to: Gpa,
) -> Result<(), LoadError> {
    let mut buffer = [0; CHUNK];
    let mut done = 0;
    while done < bytes {
        let count = (bytes - done).min(CHUNK as u64);
        let (part, _) = buffer.split_at_mut(count as usize);
        let at = offset.saturating_add(done);
        if !source.read(at, part) {
            return Err(LoadError::Source { offset: at });
        }
        mem.write(Gpa(to.0.saturating_add(done)), part)?;
        done += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
