//! First instruction of the DVMM and access to what the boot entry handed over.

use core::arch::global_asm;
use weft_types::Hpa;
use weft_types::handoff::{HANDOFF_MAGIC, HANDOFF_VERSION, Handoff, MAX_REGIONS, Region};

const BOOT_STACK: usize = 128 * 1024;

global_asm!(
    ".section .text.boot, \"ax\"",
    ".global _start",
    "_start:",
    "cli",
    "cld",
    "lea rsp, [rip + {stack} + {size}]",
    "xor ebp, ebp",
    "call {main}",
    "2: hlt",
    "jmp 2b",
    ".text",
    stack = sym STACK,
    size = const BOOT_STACK,
    main = sym enter,
);

#[repr(C, align(16))]
struct Stack([u8; BOOT_STACK]);
static mut STACK: Stack = Stack([0; BOOT_STACK]);

unsafe extern "Rust" {
    /// Defined by the image (`dvmm`): what runs first.
    safe fn dvmm_main(handoff: &'static Handoff) -> !;
}

extern "C" fn enter(handoff: *const Handoff) -> ! {
    crate::serial::init();
    // SAFETY: by the contract of `weft_types::handoff` the boot entry passes a pointer into the physical
    // map to a block that it does not use any more; the frame stays `Loader` memory for ever.
    let handoff: &'static Handoff = unsafe { &*handoff };
    assert!(
        handoff.magic == HANDOFF_MAGIC && handoff.version == HANDOFF_VERSION,
        "hand-off of another image"
    );
    assert!(handoff.region_count as usize <= MAX_REGIONS, "hand-off regions");
    dvmm_main(handoff)
}

/// The memory regions of the hand-off.
pub fn regions(handoff: &Handoff) -> &[Region] {
    handoff.regions.get(..handoff.region_count as usize).unwrap_or(&[])
}

/// Copies bytes that the entry left in `Loader` memory (manifest, root set).
pub fn loader_bytes(address: u64, size: usize) -> alloc::vec::Vec<u8> {
    let mut bytes = alloc::vec![0; size];
    crate::phys::read_firmware(Hpa(address), &mut bytes);
    bytes
}
