//! How the first processor starts: 64-bit mode, paging on, flat segments, interrupts off.
//!
//! Source: boot.rst, "64-bit boot protocol": `__BOOT_CS` is 0x10, `__BOOT_DS` 0x18; the kernel, the
//! zero page and the command line are identity-mapped; rsi holds the zero page's address.

use weft_platform::{GuestMemory, MemError};
use weft_types::{Gpa, PAGE_SIZE};
use weft_x86defs::bits::{
    CR0_ET, CR0_NE, CR0_PE, CR0_PG, CR0_WP, CR4_PAE, EFER_LMA, EFER_LME, PTE_A, PTE_D, PTE_P, PTE_PS, PTE_W,
    RFLAGS_FIXED,
};
use weft_x86defs::vmcb::Segment;

use super::bzimage::ENTRY_64;
use crate::layout;

const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
const CODE_DESCRIPTOR: u64 = 0x00af_9b00_0000_ffff;
const DATA_DESCRIPTOR: u64 = 0x00cf_9300_0000_ffff;
/// Null, unused, code, data.
const GDT: [u64; 4] = [0, 0, CODE_DESCRIPTOR, DATA_DESCRIPTOR];
/// GiB that the page tables map.
const MAPPED_GIB: u64 = 4;

const fn flat(selector: u16, descriptor: u64) -> Segment {
    let attrib = (((descriptor >> 40) & 0xff) | (((descriptor >> 52) & 0xf) << 8)) as u16;
    Segment { selector, attrib, limit: u32::MAX, base: 0 }
}

/// Registers of the first processor. Those not named are zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryState {
    /// First instruction.
    pub rip: u64,
    /// Address of the zero page.
    pub rsi: u64,
    /// Flags: interrupts off.
    pub rflags: u64,
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// EFER, without the bit that SVM itself wants.
    pub efer: u64,
    /// Base of the descriptor table.
    pub gdt_base: u64,
    /// Limit of the descriptor table.
    pub gdt_limit: u32,
    /// Code segment.
    pub cs: Segment,
    /// Segment for ds, es, fs, gs and ss.
    pub data: Segment,
}

/// Writes the descriptor table and the page tables.
pub fn write(mem: &dyn GuestMemory) -> Result<(), MemError> {
    put_table(mem, layout::BOOT_GDT, &GDT)?;
    let top = layout::BOOT_TABLES.0;
    let next = top + PAGE_SIZE;
    let table = PTE_P | PTE_W | PTE_A;
    put_table(mem, Gpa(top), &page(|index| if index == 0 { next | table } else { 0 }))?;
    put_table(
        mem,
        Gpa(next),
        &page(|gib| if gib < MAPPED_GIB { (next + (1 + gib) * PAGE_SIZE) | table } else { 0 }),
    )?;
    for gib in 0..MAPPED_GIB {
        let leaves = page(|index| (gib << 30 | index << 21) | table | PTE_D | PTE_PS);
        put_table(mem, Gpa(next + (1 + gib) * PAGE_SIZE), &leaves)?;
    }
    Ok(())
}

fn page(entry: impl Fn(u64) -> u64) -> [u64; 512] {
    core::array::from_fn(|index| entry(index as u64))
}

fn put_table(mem: &dyn GuestMemory, to: Gpa, entries: &[u64]) -> Result<(), MemError> {
    let mut bytes = [0; PAGE_SIZE as usize];
    for (place, entry) in bytes.chunks_exact_mut(8).zip(entries) {
        place.copy_from_slice(&entry.to_le_bytes());
    }
    let (used, _) = bytes.split_at((entries.len() * 8).min(bytes.len()));
    mem.write(to, used)
}

/// The registers for a kernel that lies at `kernel`.
pub fn state(kernel: Gpa) -> EntryState {
    EntryState {
        rip: kernel.0.saturating_add(ENTRY_64),
        rsi: layout::BOOT_PARAMS.0,
        rflags: RFLAGS_FIXED,
        cr0: CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG,
        cr3: layout::BOOT_TABLES.0,
        cr4: CR4_PAE,
        efer: EFER_LME | EFER_LMA,
        gdt_base: layout::BOOT_GDT.0,
        gdt_limit: (GDT.len() * 8 - 1) as u32,
        cs: flat(CODE, CODE_DESCRIPTOR),
        data: flat(DATA, DATA_DESCRIPTOR),
    }
}
