//! The setup header of a bzImage: read, checked, and reduced to what loading needs.
//!
//! Required: boot protocol 2.12 or newer (its flag says that there is a 64-bit entry; Linux 3.8), a
//! kernel that loads high, a preferred address above 1 MiB. The header's own rounding is accepted: the
//! last paragraph of the payload may be cut short by the end of the file, and a signature may follow.

use core::fmt;

use super::Source;

/// Position of the setup header in the image and in the zero page.
pub const HEADER_OFFSET: usize = 0x1f1;
/// Bytes of the image that are read to judge it.
pub const HEAD_BYTES: usize = 0x300;
/// First position that the setup header cannot reach.
const HEADER_LIMIT: usize = 0x290;
/// Offset of the 64-bit entry from the load address.
pub const ENTRY_64: u64 = 0x200;
const PROTOCOL_MIN: u16 = 0x020c;
const LOADED_HIGH: u8 = 1;
const XLF_KERNEL_64: u16 = 1;
/// Most bytes of memory that a kernel may ask for while it starts.
const MEMORY_LIMIT: u64 = 1 << 30;

/// Why an image is no kernel that can be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
    /// The file is shorter than a setup header.
    Short {
        /// Its bytes.
        bytes: u64,
    },
    /// One of the two magic numbers is wrong.
    NotLinux,
    /// The boot protocol is too old.
    Protocol {
        /// Version, major in the high byte.
        version: u16,
    },
    /// The kernel does not load high or has no 64-bit entry.
    Not64Bit,
    /// The header's own length is outside its bounds.
    HeaderLength {
        /// First position after the header.
        end: usize,
    },
    /// The payload is empty or longer than the file.
    Payload {
        /// Bytes promised.
        bytes: u64,
        /// Bytes in the file.
        available: u64,
    },
    /// The address that the kernel prefers is below 1 MiB, unaligned or too high.
    LoadAddress {
        /// Address.
        address: u64,
    },
    /// The memory that the kernel asks for is less than its payload or absurdly large.
    MemoryBytes {
        /// Bytes asked for.
        bytes: u64,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { bytes } => write!(f, "{bytes} bytes are too short for a kernel"),
            Self::NotLinux => write!(f, "not a Linux bzImage"),
            Self::Protocol { version } => {
                let (major, minor) = (version >> 8, version & 0xff);
                write!(f, "boot protocol {major}.{minor} is older than 2.12")
            }
            Self::Not64Bit => write!(f, "the kernel has no 64-bit entry"),
            Self::HeaderLength { end } => write!(f, "the setup header ends at {end:#x}"),
            Self::Payload { bytes, available } => {
                write!(f, "{bytes} bytes of kernel are promised, {available} are there")
            }
            Self::LoadAddress { address } => write!(f, "load address {address:#x} is not possible"),
            Self::MemoryBytes { bytes } => write!(f, "asks for {bytes} bytes of memory to start"),
        }
    }
}

impl core::error::Error for HeaderError {}

/// What loading needs to know of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KernelHeader {
    /// The start of the image, as found.
    pub head: [u8; HEAD_BYTES],
    /// First position after the setup header within `head`.
    pub header_end: usize,
    /// Position of the part that is loaded.
    pub payload_offset: u64,
    /// Its bytes.
    pub payload_bytes: u64,
    /// Where it goes.
    pub load_address: u64,
    /// Memory that the kernel uses from there before it reads the memory map, bytes.
    pub memory_bytes: u64,
    /// Highest address that a byte of the initial RAM disk may have.
    pub initrd_last_byte: u32,
    /// Longest command line, its final zero apart, bytes.
    pub command_line_bytes: u32,
}

/// Little-endian fields of the image's head, which always has them all.
struct Fields<'a>(&'a [u8; HEAD_BYTES]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        if let Some(part) = self.0.get(at..at + N) {
            out.copy_from_slice(part);
        }
        out
    }
    fn u8(&self, at: usize) -> u8 {
        self.bytes::<1>(at)[0]
    }
    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }
    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }
}

impl KernelHeader {
    /// Reads and checks the header.
    pub fn read(kernel: &dyn Source) -> Result<Self, HeaderError> {
        let bytes = kernel.size_bytes();
        let mut head = [0; HEAD_BYTES];
        if !kernel.read(0, &mut head) {
            return Err(HeaderError::Short { bytes });
        }
        Self::parse(head, bytes)
    }

    /// Checks the start of an image of `file_bytes`.
    pub fn parse(head: [u8; HEAD_BYTES], file_bytes: u64) -> Result<Self, HeaderError> {
        let fields = Fields(&head);
        if fields.u16(0x1fe) != 0xaa55 || fields.bytes::<4>(0x202) != *b"HdrS" {
            return Err(HeaderError::NotLinux);
        }
        let version = fields.u16(0x206);
        if version < PROTOCOL_MIN {
            return Err(HeaderError::Protocol { version });
        }
        if fields.u8(0x211) & LOADED_HIGH == 0 || fields.u16(0x236) & XLF_KERNEL_64 == 0 {
            return Err(HeaderError::Not64Bit);
        }
        let header_end = 0x202 + usize::from(fields.u8(0x201));
        if !(0x264..=HEADER_LIMIT).contains(&header_end) {
            return Err(HeaderError::HeaderLength { end: header_end });
        }
        let (payload_offset, payload_bytes) = payload(&fields, file_bytes)?;
        let load_address = fields.u64(0x258);
        if !(0x10_0000..1 << 32).contains(&load_address) || load_address % 4096 != 0 {
            return Err(HeaderError::LoadAddress { address: load_address });
        }
        let memory_bytes = u64::from(fields.u32(0x260));
        if memory_bytes < payload_bytes || memory_bytes > MEMORY_LIMIT {
            return Err(HeaderError::MemoryBytes { bytes: memory_bytes });
        }
        Ok(Self {
            header_end,
            payload_offset,
            payload_bytes,
            load_address,
            memory_bytes,
            initrd_last_byte: fields.u32(0x22c),
            command_line_bytes: fields.u32(0x238).min(1 << 16),
            head,
        })
    }
}

fn payload(fields: &Fields<'_>, file_bytes: u64) -> Result<(u64, u64), HeaderError> {
    let sectors = match fields.u8(0x1f1) {
        0 => 4,
        count => u64::from(count),
    };
    let offset = (sectors + 1) * 512;
    let bytes = u64::from(fields.u32(0x1f4)) * 16;
    let available = file_bytes.saturating_sub(offset);
    if bytes <= ENTRY_64 || bytes > available.saturating_add(15) {
        return Err(HeaderError::Payload { bytes, available });
    }
    Ok((offset, bytes.min(available)))
}
