//! Tests of the guest page walk.

use super::*;
use crate::fake::Memory;
use weft_platform::Access;

const RW: u64 = PTE_P | PTE_W | PTE_U;

fn long_state() -> WalkState {
    WalkState {
        cr0: CR0_PG | CR0_WP | 1,
        cr3: 0x1000,
        cr4: CR4_PAE,
        efer: EFER_LMA | EFER_NXE,
        alignment_check: false,
        physical_bits: 40,
    }
}

fn entry(mem: &Memory, table: u64, index: u64, value: u64) {
    mem.put(table + 8 * index, &value.to_le_bytes());
}

/// Linear 0xffff_8000_0040_3000 at 0x5000, the rest of its table empty.
const GVA: Gva = Gva(0xffff_8000_0040_3000);

fn four_levels(leaf: u64) -> Memory {
    let mem = Memory::new(0x10_0000);
    entry(&mem, 0x1000, 256, 0x2000 | RW);
    entry(&mem, 0x2000, 0, 0x3000 | RW);
    entry(&mem, 0x3000, 2, 0x4000 | RW);
    entry(&mem, 0x4000, 3, leaf);
    mem
}

fn walk(
    mem: &Memory,
    state: &WalkState,
    gva: Gva,
    access: WalkAccess,
    who: Privilege,
) -> Result<u64, WalkError> {
    translate(mem, state, gva, access, who).map(|t| t.gpa.0)
}

use Privilege::{Supervisor, User};
use WalkAccess::{Fetch, Read, Write};

#[test]
fn a_page_of_long_mode_is_found_with_its_offset() {
    let mem = four_levels(0x5000 | RW);
    let found = translate(&mem, &long_state(), Gva(GVA.0 + 0x123), Read, User).unwrap();
    assert_eq!(found, Translation { gpa: Gpa(0x5123), remaining: 0x1000 - 0x123 });
}

#[test]
fn large_pages_of_2_mib_and_1_gib_are_found() {
    let mem = four_levels(0);
    entry(&mem, 0x3000, 2, 0x4060_0000 | RW | PTE_PS);
    assert_eq!(walk(&mem, &long_state(), GVA, Read, User), Ok(0x4060_3000));
    entry(&mem, 0x2000, 0, 0x8000_0000 | RW | PTE_PS);
    assert_eq!(walk(&mem, &long_state(), GVA, Read, User), Ok(0x8040_3000));
}

#[test]
fn each_refusal_has_the_processors_error_code() {
    let state = long_state();
    let pf = |code| Err(WalkError::PageFault { gva: GVA, code });
    let absent = four_levels(0);
    assert_eq!(walk(&absent, &state, GVA, Read, Supervisor), pf(0));
    assert_eq!(walk(&absent, &state, GVA, Write, User), pf(PF_WRITE | PF_USER));
    assert_eq!(walk(&absent, &state, GVA, Fetch, Supervisor), pf(PF_FETCH));
    let kernel = four_levels(0x5000 | PTE_P | PTE_W);
    assert_eq!(walk(&kernel, &state, GVA, Read, User), pf(PF_PRESENT | PF_USER));
    let read_only = four_levels(0x5000 | PTE_P | PTE_U);
    assert_eq!(walk(&read_only, &state, GVA, Write, Supervisor), pf(PF_PRESENT | PF_WRITE));
    let data = four_levels(0x5000 | RW | PTE_NX);
    assert_eq!(walk(&data, &state, GVA, Fetch, User), pf(PF_PRESENT | PF_USER | PF_FETCH));
    let wide = four_levels(0x5000 | RW | 1 << 45);
    assert_eq!(walk(&wide, &state, GVA, Read, Supervisor), pf(PF_PRESENT | PF_RESERVED));
    let no_nx = WalkState { efer: EFER_LMA, ..state };
    assert_eq!(walk(&data, &no_nx, GVA, Fetch, Supervisor), pf(PF_PRESENT | PF_RESERVED));
}

#[test]
fn write_protection_of_the_supervisor_follows_cr0() {
    let mem = four_levels(0x5000 | PTE_P | PTE_U);
    let state = WalkState { cr0: CR0_PG | 1, ..long_state() };
    assert_eq!(walk(&mem, &state, GVA, Write, Supervisor), Ok(0x5000));
    assert!(walk(&mem, &state, GVA, Write, User).is_err());
}

#[test]
fn smep_and_smap_keep_the_supervisor_off_user_pages() {
    let mem = four_levels(0x5000 | RW);
    let state = WalkState { cr4: CR4_PAE | CR4_SMEP | CR4_SMAP, ..long_state() };
    assert!(walk(&mem, &state, GVA, Fetch, Supervisor).is_err());
    assert!(walk(&mem, &state, GVA, Read, Supervisor).is_err());
    let allowed = WalkState { alignment_check: true, ..state };
    assert_eq!(walk(&mem, &allowed, GVA, Read, Supervisor), Ok(0x5000));
    assert!(walk(&mem, &allowed, GVA, Fetch, Supervisor).is_err());
    assert_eq!(walk(&mem, &state, GVA, Fetch, User), Ok(0x5000));
}

#[test]
fn reserved_bits_of_large_pages_fault() {
    let state = long_state();
    let reserved = Err(WalkError::PageFault { gva: GVA, code: PF_PRESENT | PF_RESERVED });
    let mem = four_levels(0);
    entry(&mem, 0x3000, 2, 0x4060_0000 | RW | PTE_PS | 1 << 13);
    assert_eq!(walk(&mem, &state, GVA, Read, Supervisor), reserved);
    entry(&mem, 0x3000, 2, 0x4060_0000 | RW | PTE_PS | 1 << 12);
    assert_eq!(walk(&mem, &state, GVA, Read, Supervisor), Ok(0x4060_3000));
    entry(&mem, 0x1000, 256, 0x2000 | RW | PTE_PS);
    assert_eq!(walk(&mem, &state, GVA, Read, Supervisor), reserved);
}

#[test]
fn addresses_that_are_not_canonical_are_told_apart() {
    let mem = four_levels(0x5000 | RW);
    let gva = Gva(0x0000_8000_0000_0000);
    assert_eq!(walk(&mem, &long_state(), gva, Read, User), Err(WalkError::NonCanonical { gva }));
    let five = WalkState { cr4: CR4_PAE | CR4_LA57, ..long_state() };
    assert_eq!(walk(&mem, &five, gva, Read, User), Err(WalkError::PageFault { gva, code: PF_USER }));
}

#[test]
fn without_paging_addresses_are_physical() {
    let mem = Memory::new(0x1000);
    let state = WalkState { cr0: 1, cr4: 0, efer: 0, ..long_state() };
    assert_eq!(walk(&mem, &state, Gva(0x1_0000_0123), Fetch, Supervisor), Ok(0x123));
}

#[test]
fn legacy_tables_of_32_bits_are_walked() {
    let mem = Memory::new(0x1_0000);
    let state = WalkState { cr4: CR4_PSE, efer: 0, ..long_state() };
    mem.put(0x1000 + 4, &(0x2000u32 | 7).to_le_bytes());
    mem.put(0x2000 + 4 * 5, &(0x7000u32 | 7).to_le_bytes());
    assert_eq!(walk(&mem, &state, Gva(0x0040_5010), Write, User), Ok(0x7010));
    assert_eq!(
        walk(&mem, &state, Gva(0x0040_6000), Fetch, User),
        Err(WalkError::PageFault { gva: Gva(0x0040_6000), code: PF_USER })
    );
    mem.put(0x1000 + 8, &(0x0080_2083u32 | 4).to_le_bytes());
    assert_eq!(walk(&mem, &state, Gva(0x0080_1234), Read, User), Ok(0x1_0080_1234));
}

#[test]
fn pae_tables_are_walked_without_rights_in_the_top_entry() {
    let mem = Memory::new(0x1_0000);
    let state = WalkState { efer: EFER_NXE, cr3: 0x1020, ..long_state() };
    entry(&mem, 0x1020, 3, 0x2000 | PTE_P);
    entry(&mem, 0x2000, 1, 0x3000 | RW);
    entry(&mem, 0x3000, 2, 0x9000 | RW);
    assert_eq!(walk(&mem, &state, Gva(0xc020_2abc), Write, User), Ok(0x9abc));
    assert!(walk(&mem, &state, Gva(0x0020_2abc), Write, User).is_err());
}

#[test]
fn fetch_crosses_pages_and_stops_short_where_the_next_one_faults() {
    let mem = four_levels(0x5000 | RW);
    mem.put(0x5ffd, &[1, 2, 3]);
    let at = Gva(GVA.0 + 0xffd);
    let mut out = [0; 15];
    assert_eq!(fetch(&mem, &long_state(), at, Supervisor, &mut out), Ok(3));
    assert_eq!(out[..4], [1, 2, 3, 0]);
    entry(&mem, 0x4000, 4, 0x8000 | RW);
    mem.put(0x8000, &[4, 5]);
    assert_eq!(fetch(&mem, &long_state(), at, Supervisor, &mut out), Ok(15));
    assert_eq!(out[..6], [1, 2, 3, 4, 5, 0]);
    let gone = Gva(GVA.0 + 0x2000);
    let error = fetch(&mem, &long_state(), gone, Supervisor, &mut out).unwrap_err();
    assert_eq!(error, WalkError::PageFault { gva: gone, code: PF_FETCH });
}

#[test]
fn a_page_or_table_that_is_elsewhere_is_asked_for() {
    let mut mem = four_levels(0x5000 | RW);
    let mut out = [0; 15];
    for page in [0x1000, 0x2000, 0x3000, 0x4000, 0x5000] {
        mem.missing = [page].into();
        let need = MemError::Need { gpa: Gpa(page), access: Access::Read };
        assert_eq!(fetch(&mem, &long_state(), GVA, Supervisor, &mut out), Err(WalkError::Memory(need)));
    }
    mem.missing.clear();
    assert_eq!(fetch(&mem, &long_state(), GVA, Supervisor, &mut out), Ok(15));
}

#[test]
fn tables_outside_memory_are_an_error_of_memory() {
    let mem = four_levels(0x5000 | RW);
    entry(&mem, 0x2000, 0, 0xff_ffff_f000 | RW);
    let got = translate(&mem, &long_state(), GVA, Read, Supervisor);
    assert!(matches!(got, Err(WalkError::Memory(MemError::Unbacked { .. }))));
}
