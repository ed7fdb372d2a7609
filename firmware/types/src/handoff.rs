//! What a boot entry (UEFI stub or BIOS Multiboot entry) hands to the DVMM.
//!
//! The entry verifies the manifest, loads the DVMM's ELF segments at their linked virtual addresses
//! ([`DVMM_BASE`]), and builds first page tables: the identity of the low 4 GiB (only for the jump), all
//! of physical memory at [`PHYSMAP_BASE`], and the DVMM's segments. It then jumps to the ELF entry point
//! with interrupts off, a valid stack, and in `rdi` the address *within the physical map* of a
//! [`Handoff`]. All pointers inside are physical addresses.

/// Where all of physical memory is mapped, writable and not executable.
pub const PHYSMAP_BASE: u64 = 0xffff_8000_0000_0000;
/// Where the DVMM is linked.
pub const DVMM_BASE: u64 = 0xffff_ffff_8000_0000;
/// First word of every hand-off.
pub const HANDOFF_MAGIC: u64 = u64::from_le_bytes(*b"WEFTHAND");
/// Version of this layout; the entry and the DVMM travel in one image, so that they agree always.
pub const HANDOFF_VERSION: u32 = 1;
/// Most memory regions that a hand-off carries.
pub const MAX_REGIONS: usize = 256;
/// Longest command line, bytes.
pub const MAX_CMDLINE: usize = 512;
/// Largest manifest section, bytes.
pub const MANIFEST_SIZE: usize = 4096;

/// Which entry loaded the DVMM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum BootPath {
    /// The UEFI stub.
    Uefi = 1,
    /// The BIOS Multiboot entry.
    Bios = 2,
}

/// Use of a memory region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum RegionKind {
    /// Free to use.
    Usable = 1,
    /// Firmware, devices, holes: never touched.
    Reserved = 2,
    /// ACPI tables: read, then usable.
    AcpiTables = 3,
    /// Holds the DVMM, its first page tables, its stack or the hand-off: in use until the DVMM
    /// says otherwise.
    Loader = 4,
}

/// One stretch of physical memory. Regions are sorted and do not overlap.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Region {
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// A [`RegionKind`] as a number.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

/// A linear frame buffer, or all zero where there is none.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FrameBuffer {
    /// Physical address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// Visible pixels across.
    pub width: u32,
    /// Visible pixels down.
    pub height: u32,
    /// Pixels from one line to the next.
    pub stride: u32,
    /// 0 = red first, 1 = blue first (32 bits a pixel both).
    pub blue_first: u32,
}

/// `Handoff::flags`: the firmware had Secure Boot on when it started the stub.
pub const FLAG_SECURE_BOOT: u32 = 1;
/// `Handoff::flags`: `node_key` and `boot_counter` come from boot-services-only variables.
pub const FLAG_NODE_KEY: u32 = 2;
/// `Handoff::flags`: this was the node's first boot; the key is new.
pub const FLAG_FIRST_BOOT: u32 = 4;
/// `Handoff::flags`: `entropy` was filled by the firmware's generator.
pub const FLAG_ENTROPY: u32 = 8;

/// The hand-off itself.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Handoff {
    /// [`HANDOFF_MAGIC`].
    pub magic: u64,
    /// [`HANDOFF_VERSION`].
    pub version: u32,
    /// A [`BootPath`] as a number.
    pub boot_path: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// Valid entries of `regions`.
    pub region_count: u32,
    /// ACPI RSDP, 0 where none was found.
    pub rsdp: u64,
    /// SMBIOS entry point, 0 where none was found.
    pub smbios: u64,
    /// Time-stamp counter at the first instruction of the entry.
    pub tsc_entry: u64,
    /// Time-stamp counter when the manifest had been verified.
    pub tsc_verified: u64,
    /// Time-stamp counter at the jump.
    pub tsc_jump: u64,
    /// Root page table that is active at the jump.
    pub page_table: u64,
    /// Physical start of the DVMM's segments.
    pub dvmm_base: u64,
    /// Bytes that they take.
    pub dvmm_size: u64,
    /// Physical address of the manifest section (`MANIFEST_SIZE` bytes).
    pub manifest: u64,
    /// Physical address of the root set's bytes.
    pub root_set: u64,
    /// Bytes of the root set.
    pub root_set_size: u64,
    /// Screen.
    pub screen: FrameBuffer,
    /// X25519 secret key of the node (with `FLAG_NODE_KEY`).
    pub node_key: [u8; 32],
    /// Boots of this node so far, this one included (with `FLAG_NODE_KEY`).
    pub boot_counter: u64,
    /// Least generation that this node still starts.
    pub floor: u64,
    /// Random bytes from the firmware (with `FLAG_ENTROPY`).
    pub entropy: [u8; 32],
    /// IPv4 address of the server that the firmware booted from, zero where unknown.
    pub boot_server: [u8; 4],
    /// Hardware address of the NIC that the firmware booted from, zero where unknown.
    pub boot_mac: [u8; 6],
    /// Valid bytes of `cmdline`.
    pub cmdline_len: u16,
    /// Command line (BIOS: from Multiboot; UEFI: empty under Secure Boot).
    pub cmdline: [u8; MAX_CMDLINE],
    /// Memory.
    pub regions: [Region; MAX_REGIONS],
}

const _: () = assert!(core::mem::size_of::<Region>() == 24);
const _: () = assert!(core::mem::size_of::<Handoff>().is_multiple_of(8));
