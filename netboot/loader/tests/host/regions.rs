use proptest::prelude::*;
use weft_loader::regions::{MAX_INPUTS, RegionSet, TooMany};
use weft_types::handoff::{MAX_REGIONS, Region, RegionKind};

const EMPTY: [Region; MAX_REGIONS] = [Region { base: 0, size: 0, kind: 0, reserved: 0 }; MAX_REGIONS];

fn set(entries: &[(u64, u64, RegionKind)]) -> RegionSet {
    let mut set = RegionSet::new();
    for (base, size, kind) in entries {
        set.add(*base, *size, *kind).expect("room");
    }
    set
}

fn resolved(set: &RegionSet) -> Vec<(u64, u64, u32)> {
    let mut out = EMPTY;
    let count = set.resolve(&mut out).expect("room");
    out[..count].iter().map(|r| (r.base, r.size, r.kind)).collect()
}

use RegionKind::{AcpiTables, Loader, Reserved, Usable};

#[test]
fn unsorted_neighbours_of_one_kind_become_one() {
    let set = set(&[(0x3000, 0x1000, Usable), (0x1000, 0x2000, Usable), (0x8000, 0x1000, Reserved)]);
    assert_eq!(resolved(&set), [(0x1000, 0x3000, 1), (0x8000, 0x1000, 2)]);
}

#[test]
fn where_entries_disagree_the_one_that_forbids_more_wins() {
    let set = set(&[
        (0, 0x10000, Usable),
        (0x2000, 0x2000, AcpiTables),
        (0x3000, 0x2000, Reserved),
        (0x4000, 0x1000, Loader),
    ]);
    let wanted =
        [(0, 0x2000, 1), (0x2000, 0x1000, 3), (0x3000, 0x1000, 2), (0x4000, 0x1000, 4), (0x5000, 0xb000, 1)];
    assert_eq!(resolved(&set), wanted);
}

#[test]
fn partial_pages_are_never_usable() {
    let set = set(&[(0x1001, 0x2fff, Usable), (0x5fff, 2, Reserved), (0x9001, 0xffe, Usable)]);
    assert_eq!(resolved(&set), [(0x2000, 0x2000, 1), (0x5000, 0x2000, 2)]);
}

#[test]
fn the_end_of_the_address_space_is_no_trap() {
    let set =
        set(&[(u64::MAX - 0x1fff, u64::MAX, Reserved), (u64::MAX, 1, Usable), (u64::MAX - 1, 9, Loader)]);
    assert_eq!(resolved(&set).first().map(|r| r.0), Some(u64::MAX - 0x1fff));
}

#[test]
fn top_of_memory_ignores_reserved_stretches() {
    let set =
        set(&[(0, 0x10_0000, Usable), (0xfe00_0000, 0x1000, Reserved), (0x10_0000, 0x2000, AcpiTables)]);
    assert_eq!(set.top(), 0x10_2000);
}

#[test]
fn a_place_is_the_highest_that_nothing_touches() {
    let mut set = set(&[(0x1000, 0xff000, Usable), (0x20_0000, 0x1000, Usable)]);
    assert_eq!(set.place(0x4000, 1 << 32), Some(0xfc000));
    assert_eq!(set.place(0x4000, 0x80000), Some(0x7c000), "below the limit");
    set.add(0xfe000, 0x1000, Reserved).expect("room");
    set.add(0xf9800, 0x100, Loader).expect("room");
    assert_eq!(set.place(0x4000, 1 << 32), Some(0xfa000));
    assert_eq!(set.place(0x5000, 1 << 32), Some(0xf4000));
    assert_eq!(set.place(0x10_0000, 1 << 32), None);
}

#[test]
fn too_many_entries_are_refused() {
    let mut set = RegionSet::new();
    for i in 0..MAX_INPUTS as u64 {
        set.add(i * 0x2000, 0x1000, Usable).expect("room");
    }
    assert_eq!(set.add(1 << 60, 0x1000, Usable), Err(TooMany));
    assert_eq!(set.resolve(&mut { EMPTY }), Err(TooMany), "more than a hand-off carries");
}

fn kind() -> impl Strategy<Value = RegionKind> {
    prop_oneof![Just(Usable), Just(Reserved), Just(AcpiTables), Just(Loader)]
}

proptest! {
    #[test]
    fn each_page_has_the_kind_that_forbids_most(
        entries in prop::collection::vec((0_u64..64, 1_u64..16, kind()), 1..12),
    ) {
        let entries: Vec<_> = entries.into_iter().map(|(b, s, k)| (b << 12, s << 12, k)).collect();
        let regions = resolved(&set(&entries));
        for pair in regions.windows(2) {
            prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0);
            prop_assert!(pair[0].0 + pair[0].1 < pair[1].0 || pair[0].2 != pair[1].2, "not joined");
        }
        for page in (0..80_u64).map(|page| page << 12) {
            let order = [Usable, AcpiTables, Reserved, Loader];
            let holds = |e: &&(u64, u64, RegionKind)| e.0 <= page && page < e.0 + e.1;
            let wanted = order.iter().rev().find(|k| entries.iter().filter(holds).any(|e| e.2 == **k));
            let found = regions.iter().find(|r| r.0 <= page && page < r.0 + r.1).map(|r| r.2);
            prop_assert_eq!(found, wanted.map(|k| *k as u32));
        }
    }
}
