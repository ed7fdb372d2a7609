//! Physical memory by its map. The only place where a physical address becomes a pointer.

use weft_types::Hpa;
use weft_types::handoff::{DVMM_BASE, PHYSMAP_BASE};
use weft_x86defs::bits;

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

/// Bytes of a page of the second level.
const LARGE: u64 = 2 << 20;
const ENTRIES_BITS: u32 = 9;

/// Makes sure that the physical map reaches a device's window, which firmware may place far above all memory.
/// `false` when there is no memory for tables. Called before other processors start, since those copy the
/// root table.
pub fn map_device(base: Hpa, size: u64) -> bool {
    let first = base.0 / LARGE;
    let last = base.0.saturating_add(size.max(1) - 1) / LARGE;
    (first..=last).all(|page| map_large(page * LARGE))
}

fn map_large(address: u64) -> bool {
    let virtual_address = PHYSMAP_BASE.wrapping_add(address);
    let root: u64;
    // SAFETY: reading CR3 has no effect.
    unsafe { core::arch::asm!("mov {}, cr3", out(reg) root, options(nomem, nostack, preserves_flags)) };
    let mut table = Hpa(root & bits::PTE_ADDRESS);
    for level in [4u32, 3, 2] {
        let index = (virtual_address >> (12 + ENTRIES_BITS * (level - 1))) & 511;
        // SAFETY: `table` is an active table of the monitor (rule P), changed only here and only on the first
        // processor; entries that are present stay as they are, so no translation in use changes.
        let entry = unsafe { &mut *pointer(table).cast::<u64>().add(index as usize) };
        if *entry & bits::PTE_P == 0 {
            *entry = if level == 2 {
                let flags =
                    bits::PTE_P | bits::PTE_W | bits::PTE_PS | bits::PTE_PCD | bits::PTE_PWT | bits::PTE_NX;
                address | flags
            } else {
                let Some(frame) = crate::frames::alloc() else { return false };
                frame.0 | bits::PTE_P | bits::PTE_W
            };
        }
        if *entry & bits::PTE_PS != 0 {
            return true;
        }
        table = Hpa(*entry & bits::PTE_ADDRESS);
    }
    true
}
