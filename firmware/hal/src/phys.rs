//! Physical memory by its map. The only place where a physical address becomes a pointer.

use weft_types::handoff::{DVMM_BASE, PHYSMAP_BASE};
use weft_types::Hpa;

/// Pointer to physical memory. Dereferencing it is the caller's responsibility (rules F and D).
pub fn pointer(address: Hpa) -> *mut u8 {
    (PHYSMAP_BASE + address.0) as *mut u8
}

/// Physical address of memory that belongs to the DVMM: heap and stacks (physical map) or its image.
pub fn address_of(pointer: *const u8, image_base: Hpa) -> Hpa {
    let address = pointer as u64;
    if address >= DVMM_BASE {
        Hpa(address - DVMM_BASE + image_base.0)
    } else {
        assert!(address >= PHYSMAP_BASE, "pointer outside the monitor's memory");
        Hpa(address - PHYSMAP_BASE)
    }
}

/// Copies `out.len()` bytes of firmware tables (RSDP, ACPI, SMBIOS) at `address`.
pub fn read_firmware(address: Hpa, out: &mut [u8]) {
    for (i, byte) in out.iter_mut().enumerate() {
        // SAFETY: rule P; firmware memory is mapped, and reading it has no effect. Bytes are read one
        // by one and volatile, so that no assumption about alignment or constancy is made.
        *byte = unsafe { pointer(Hpa(address.0 + i as u64)).read_volatile() };
    }
}
