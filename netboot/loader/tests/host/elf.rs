use proptest::prelude::*;
use weft_loader::elf::{Dvmm, ElfError, MAX_SEGMENTS, MAX_SPAN};
use weft_types::handoff::DVMM_BASE;

use crate::sample::{R, RW, RX, elf, load, usual};

fn error(loads: &[crate::sample::Load]) -> Option<ElfError> {
    Dvmm::parse(&elf(0, loads)).err()
}

#[test]
fn a_file_of_our_linker_script_is_accepted() {
    let file = elf(0x10, &usual());
    let dvmm = Dvmm::parse(&file).expect("a monitor");
    assert_eq!(dvmm.entry, DVMM_BASE + 0x10);
    assert_eq!(dvmm.span_bytes, 0x8000);
    let rights: Vec<_> = dvmm.segments().iter().map(|s| (s.write, s.execute)).collect();
    assert_eq!(rights, [(false, true), (false, false), (true, false)]);
    assert_eq!(dvmm.contents(&dvmm.segments()[1]), Ok(b"constants".as_slice()));
}

#[test]
fn every_truncation_is_refused() {
    let file = elf(0, &usual());
    for len in 0..file.len() {
        assert!(Dvmm::parse(&file[..len]).is_err(), "{len} bytes were accepted");
    }
}

#[test]
fn a_writable_and_executable_segment_is_refused() {
    assert_eq!(error(&[load(7, 0, b"x", 1)]), Some(ElfError::WriteExecute));
}

#[test]
fn segments_must_start_at_the_base_in_order_and_share_no_page() {
    assert_eq!(error(&[load(RX, 0x1000, b"x", 1)]), Some(ElfError::Placement));
    assert_eq!(error(&[load(RX, 0, b"x", 1), load(RW, 0x800, b"x", 1)]), Some(ElfError::Placement));
    let shared = [load(RX, 0, &[0; 0x1001], 0x1001), load(RW, 0x1000, b"x", 1)];
    assert_eq!(error(&shared), Some(ElfError::Placement));
    let mut below = load(R, 0, b"x", 1);
    below.vaddr = DVMM_BASE - 0x1000;
    assert_eq!(error(&[load(RX, 0, b"x", 1), below]), Some(ElfError::Placement));
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(error(&[load(RX, 0, b"xy", 1)]), Some(ElfError::Size));
    assert_eq!(error(&[load(RX, 0, b"x", MAX_SPAN + 1)]), Some(ElfError::Size));
    let far = [load(RX, 0, b"x", 1), load(RW, MAX_SPAN, b"x", 1)];
    assert_eq!(error(&far), Some(ElfError::Size));
    assert_eq!(error(&[load(RX, 0, b"x", u64::MAX)]), Some(ElfError::Size));
}

#[test]
fn counts_are_bounded() {
    assert_eq!(error(&[]), Some(ElfError::Count));
    let many: Vec<_> = (0..=MAX_SEGMENTS as u64).map(|i| load(RX, i * 0x1000, b"x", 1)).collect();
    assert_eq!(error(&many), Some(ElfError::Count));
    assert_eq!(error(&vec![load(RX, 0, b"", 0); 33]), Some(ElfError::Count));
}

#[test]
fn dynamic_linking_and_thread_local_storage_are_refused() {
    for kind in [2, 3, 7] {
        let mut loads = usual();
        loads[1].kind = kind;
        assert_eq!(error(&loads), Some(ElfError::Dynamic));
    }
}

#[test]
fn the_entry_must_be_code_that_the_file_holds() {
    for entry in [0x1800, 0x2000, 0x3000, 0x1_0000] {
        assert_eq!(Dvmm::parse(&elf(entry, &usual())).err(), Some(ElfError::Entry), "{entry:#x}");
    }
}

#[test]
fn other_kinds_of_elf_are_refused() {
    for (at, value) in [(0, 0), (4, 1), (5, 2), (16, 3), (18, 3), (54, 32)] {
        let mut file = elf(0, &usual());
        file[at] = value;
        assert_eq!(Dvmm::parse(&file).err(), Some(ElfError::Kind), "byte {at}");
    }
}

proptest! {
    #[test]
    fn no_change_of_bytes_makes_the_parser_panic_or_break_its_promises(
        changes in prop::collection::vec((0_usize..300, any::<u8>()), 1..12),
    ) {
        let mut file = elf(0, &usual());
        for (at, value) in changes {
            file[at] = value;
        }
        if let Ok(dvmm) = Dvmm::parse(&file) {
            let mut end = DVMM_BASE;
            for segment in dvmm.segments() {
                prop_assert!(segment.vaddr >= end && segment.vaddr % 4096 == 0);
                prop_assert!(!(segment.write && segment.execute));
                prop_assert!(dvmm.contents(segment).is_ok_and(|c| c.len() as u64 <= segment.mem_size));
                end = segment.vaddr + segment.page_bytes();
            }
            prop_assert_eq!(end, DVMM_BASE + dvmm.span_bytes);
            prop_assert!(dvmm.span_bytes <= MAX_SPAN);
        }
    }
}
