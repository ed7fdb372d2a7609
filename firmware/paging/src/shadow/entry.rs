//! One entry: what the shadow holds for what the guest wrote.

use crate::walk::{WalkState, is_leaf, reserved_bits};
use weft_types::Gpa;
use weft_x86defs::bits::{PTE_A, PTE_ADDRESS, PTE_D, PTE_NX, PTE_P, PTE_PCD, PTE_PS, PTE_PWT, PTE_U, PTE_W};

/// Bits of a leaf that are taken over: memory type included (bit 7 is the PAT bit at level 1, the size above).
const LEAF: u64 = PTE_ADDRESS | PTE_P | PTE_U | PTE_PWT | PTE_PCD | PTE_PS | PTE_NX;
/// Rights of an entry that names a table.
const TABLE: u64 = PTE_P | PTE_W | PTE_U | PTE_NX;

/// The shadow of a guest's leaf; 0 where there must be none: not present, never accessed, reserved bits. Writable
/// only when dirty. Never global: a flush of the processor flushes all.
pub(super) fn leaf(guest: u64) -> u64 {
    if guest & PTE_P == 0 || guest & PTE_A == 0 {
        return 0;
    }
    let write = if guest & PTE_W != 0 && guest & PTE_D != 0 { PTE_W | PTE_D } else { 0 };
    guest & LEAF | PTE_A | write
}

/// The shadow of a guest's entry that names a table whose own shadow is at `window`.
pub(super) fn table(guest: u64, window: Gpa) -> u64 {
    guest & TABLE | PTE_A | window.0
}

/// Whether a shadow entry names a table.
pub(super) fn names_table(shadow: u64, level: u32) -> bool {
    shadow & PTE_P != 0 && !is_leaf(shadow, level)
}

/// Whether `new` takes nothing away that `old` gave: the processor need not flush.
pub(super) fn widens(old: u64, new: u64) -> bool {
    let same = PTE_ADDRESS | PTE_PWT | PTE_PCD | PTE_PS;
    old & PTE_P == 0
        || ((old ^ new) & same == 0 && old & !new & (PTE_P | PTE_W | PTE_U) == 0 && new & !old & PTE_NX == 0)
}

/// Whether a leaf may be shadowed before anybody asked for it: the processor, too, may remember any translation
/// that is present and accessed.
pub(super) fn may_be_remembered(state: &WalkState, guest: u64, level: u32) -> bool {
    guest & PTE_P != 0 && is_leaf(guest, level) && guest & reserved_bits(state, guest, level) == 0
}
