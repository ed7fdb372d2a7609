//! Shadow tables against what x86 promises: single rules by name here, random histories in [`model`].

use super::*;
use crate::fake::{Frames, Memory};
use crate::walk::{Privilege, WalkAccess, WalkState};
use std::collections::BTreeMap;
use std::vec::Vec;
use weft_types::{Gva, PAGE_SIZE};
use weft_x86defs::bits::*;

mod model;

/// First address beyond the guest's physical width.
const WINDOW: Gpa = Gpa(1 << 39);
const RW: u64 = PTE_P | PTE_W | PTE_U;
const MARKED: u64 = RW | PTE_A | PTE_D;

pub(super) fn state(cr3: u64) -> WalkState {
    WalkState {
        cr0: CR0_PG | CR0_WP | 1,
        cr3,
        cr4: CR4_PAE,
        efer: EFER_LMA | EFER_NXE,
        alignment_check: false,
        physical_bits: 39,
    }
}

/// What the processor finds in the shadow tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) gpa: u64,
    pub(super) write: bool,
    pub(super) user: bool,
    pub(super) execute: bool,
}

/// One vCPU: its shadow, and the tracker that it shares.
pub(super) struct Rig {
    pub(super) store: Frames,
    pub(super) mem: Memory,
    pub(super) tracker: WriteTracker,
    pub(super) shadows: Vec<Shadow>,
    /// Generation of the nested tables, and what each vCPU has flushed.
    pub(super) nested: u64,
    pub(super) flushed: Vec<u64>,
    /// Generation in which each page became read-only.
    protected_at: BTreeMap<u64, u64>,
}

struct Mine<'a> {
    tracker: &'a mut WriteTracker,
    protected_at: &'a mut BTreeMap<u64, u64>,
    nested: &'a mut u64,
    flushed: &'a [u64],
    vcpu: usize,
}

impl Tracker for Mine<'_> {
    fn watch(&mut self, page: Gpa) -> Stamp {
        if self.tracker.watch(page, self.vcpu) {
            *self.nested += 1;
            self.protected_at.insert(page.0, *self.nested);
        }
        Stamp(*self.nested)
    }

    fn settled(&self, stamp: Stamp) -> bool {
        self.flushed.iter().enumerate().all(|(vcpu, seen)| vcpu == self.vcpu || *seen >= stamp.0)
    }

    fn take_lost(&mut self) -> Option<Gpa> {
        self.tracker.take_lost(self.vcpu)
    }

    fn release(&mut self) {
        self.tracker.release(self.vcpu);
    }
}

impl Rig {
    pub(super) fn new(vcpus: usize, frames: u64, bytes: usize) -> Self {
        let mut store = Frames::new(frames * vcpus as u64);
        let shadows = (0..vcpus)
            .map(|_| {
                let frames = (0..frames).map(|_| store.alloc().unwrap()).collect();
                Shadow::new(Pool::new(frames, WINDOW).unwrap())
            })
            .collect();
        Self {
            store,
            mem: Memory::new(bytes),
            tracker: WriteTracker::new(vcpus),
            shadows,
            nested: 0,
            flushed: std::vec![0; vcpus],
            protected_at: BTreeMap::new(),
        }
    }

    pub(super) fn with<T>(
        &mut self,
        vcpu: usize,
        work: impl FnOnce(&mut Shadow, &mut Context<'_>) -> T,
    ) -> T {
        let Self { store, mem, tracker, shadows, nested, flushed, protected_at } = self;
        let seen = flushed.clone();
        let mut mine = Mine { tracker, protected_at, nested, flushed: &seen, vcpu };
        let mut context = Context { store, mem, tracker: &mut mine };
        let result = work(&mut shadows[vcpu], &mut context);
        // Nothing is stored by this vCPU before it runs again, and then it has flushed.
        flushed[vcpu] = *nested;
        result
    }

    /// A store of the guest to one of its entries, through the nested tables. The processor that stores may do so
    /// unseen by a translation that it has not flushed yet.
    pub(super) fn store_entry(&mut self, vcpu: usize, table: u64, index: u64, value: u64) {
        let stale = self.protected_at.get(&table).is_some_and(|since| self.flushed[vcpu] < *since);
        if !stale {
            self.tracker.lose(Gpa(table));
        }
        self.mem.put(table + 8 * index, &value.to_le_bytes());
    }

    pub(super) fn guest_entry(&self, table: u64, index: u64) -> u64 {
        self.mem.read_u64(Gpa(table + 8 * index)).unwrap()
    }

    /// The processor's walk of the shadow tables.
    pub(super) fn look(&self, vcpu: usize, gva: Gva) -> Option<Seen> {
        let shadow = &self.shadows[vcpu];
        let mut frame = shadow.root?;
        let mut seen = Seen { gpa: 0, write: true, user: true, execute: true };
        for level in (1..=4u32).rev() {
            let shift = 12 + 9 * (level - 1);
            let value = shadow.pool.entry(&self.store, frame, (gva.0 >> shift & 511) as usize);
            if value & PTE_P == 0 {
                return None;
            }
            assert_ne!(value & PTE_A, 0, "the processor would write to the table");
            seen.write &= value & PTE_W != 0;
            seen.user &= value & PTE_U != 0;
            seen.execute &= value & PTE_NX == 0;
            if entry::names_table(value, level) {
                frame = shadow.pool.at_window(Gpa(value & PTE_ADDRESS)).expect("a table of the pool");
                continue;
            }
            let mask = (1u64 << shift) - 1;
            seen.gpa = (value & PTE_ADDRESS & !mask) | (gva.0 & mask);
            assert!(seen.gpa < WINDOW.0, "a leaf names the window");
            return Some(seen);
        }
        None
    }

    pub(super) fn fault(
        &mut self,
        vcpu: usize,
        state: &WalkState,
        gva: Gva,
        kind: WalkAccess,
        privilege: Privilege,
    ) -> Result<Filled, Fault> {
        self.with(vcpu, |shadow, context| shadow.fault(context, state, Access { gva, kind, privilege }))
    }
}

const GVA: Gva = Gva(0xffff_8000_0040_3000);

/// [`GVA`] leads through 0x1000, 0x2000, 0x3000 and 0x4000 to `leaf`.
fn one_path(leaf: u64) -> (Rig, WalkState) {
    let rig = Rig::new(1, 64, 0x10_0000);
    rig.mem.put(0x1000 + 8 * 256, &(0x2000u64 | RW).to_le_bytes());
    rig.mem.put(0x2000, &(0x3000u64 | RW).to_le_bytes());
    rig.mem.put(0x3000 + 8 * 2, &(0x4000u64 | RW).to_le_bytes());
    rig.mem.put(0x4000 + 8 * 3, &leaf.to_le_bytes());
    let mut rig = rig;
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    rig.flushed[0] = rig.nested;
    (rig, state(0x1000))
}

use Privilege::{Supervisor, User};
use WalkAccess::{Fetch, Read, Write};

#[test]
fn a_read_sets_accessed_on_the_way_and_leaves_the_page_read_only_until_it_is_written() {
    let (mut rig, state) = one_path(0x5000 | RW);
    assert_eq!(rig.fault(0, &state, GVA, Read, User), Ok(Filled::Made));
    let seen = rig.look(0, GVA).unwrap();
    assert_eq!(seen, Seen { gpa: 0x5000, write: false, user: true, execute: true });
    for (table, index) in [(0x1000, 256), (0x2000, 0), (0x3000, 2), (0x4000, 3)] {
        assert_eq!(rig.guest_entry(table, index) & (PTE_A | PTE_D), PTE_A, "{table:#x}");
    }
    assert_eq!(rig.fault(0, &state, GVA, Write, User), Ok(Filled::Made));
    assert!(rig.look(0, GVA).unwrap().write);
    assert_eq!(rig.guest_entry(0x4000, 3) & PTE_D, PTE_D);
    assert_eq!(rig.guest_entry(0x3000, 2) & PTE_D, 0, "D belongs to leaves");
    assert_eq!(rig.fault(0, &state, GVA, Write, User), Ok(Filled::There));
}

#[test]
fn a_fault_of_the_guest_keeps_its_code_and_changes_nothing() {
    let (mut rig, state) = one_path(0x5000 | PTE_P);
    let code = PF_PRESENT | PF_USER | PF_WRITE;
    assert_eq!(rig.fault(0, &state, GVA, Write, User), Err(Fault::Guest { gva: GVA, code }));
    assert_eq!(rig.guest_entry(0x1000, 256) & PTE_A, 0);
    assert_eq!(rig.look(0, GVA), None);
    assert_eq!(rig.shadows[0].counters().reflected, 1);
}

#[test]
fn no_leaf_of_any_size_names_the_window() {
    for leaf in [WINDOW.0, WINDOW.0 | 0x5000, 1 << 40, 1 << 51] {
        let (mut rig, state) = one_path(leaf | MARKED);
        let code = PF_PRESENT | PF_RESERVED;
        let fault = Err(Fault::Guest { gva: GVA, code });
        assert_eq!(rig.fault(0, &state, GVA, Read, Supervisor), fault);
        for (table, index, mask) in [(0x3000, 2, 0x1f_ffff), (0x2000, 0, 0x3fff_ffff)] {
            rig.store_entry(0, table, index, leaf & !mask | MARKED | PTE_PS);
            if leaf & !mask != 0 {
                assert_eq!(rig.fault(0, &state, GVA, Read, Supervisor), fault, "{table:#x}");
            }
        }
        // A table in the window is refused, too.
        rig.store_entry(0, 0x2000, 0, leaf & PTE_ADDRESS | MARKED);
        assert_eq!(rig.fault(0, &state, GVA, Read, Supervisor), fault);
        assert_eq!(rig.look(0, GVA), None);
    }
}

#[test]
fn neighbours_that_reach_beyond_the_width_are_not_remembered() {
    let (mut rig, state) = one_path(0x5000 | MARKED);
    rig.store_entry(0, 0x4000, 4, WINDOW.0 | MARKED);
    rig.store_entry(0, 0x4000, 5, 0x6000 | MARKED);
    rig.store_entry(0, 0x4000, 6, 0x7000 | RW);
    rig.fault(0, &state, GVA, Read, Supervisor).unwrap();
    assert_eq!(rig.look(0, Gva(GVA.0 + 0x1000)), None, "in the window");
    assert_eq!(rig.look(0, Gva(GVA.0 + 0x2000)).unwrap().gpa, 0x6000);
    assert_eq!(rig.look(0, Gva(GVA.0 + 0x3000)), None, "never accessed");
}

#[test]
fn large_pages_keep_their_size() {
    let (mut rig, state) = one_path(0);
    rig.store_entry(0, 0x3000, 2, 0x4060_0000 | RW | PTE_PS);
    assert_eq!(rig.fault(0, &state, GVA, Write, Supervisor), Ok(Filled::Made));
    assert_eq!(rig.look(0, Gva(0xffff_8000_005f_f123)).unwrap().gpa, 0x407f_f123);
    assert_eq!(rig.guest_entry(0x3000, 2) & PTE_D, PTE_D);
}

#[test]
fn a_changed_entry_counts_after_invlpg_of_its_page() {
    let (mut rig, state) = one_path(0x5000 | MARKED);
    rig.fault(0, &state, GVA, Write, User).unwrap();
    rig.store_entry(0, 0x4000, 3, 0x6000 | MARKED);
    let before = rig.shadows[0].generation();
    rig.with(0, |shadow, context| shadow.invalidate(context, Gva(GVA.0 + 0xfff)));
    assert!(rig.shadows[0].generation() > before);
    assert_eq!(rig.look(0, GVA), None);
    rig.fault(0, &state, GVA, Read, User).unwrap();
    assert_eq!(rig.look(0, GVA).unwrap().gpa, 0x6000);
}

#[test]
fn taking_write_access_away_counts_after_a_load_of_cr3() {
    let (mut rig, state) = one_path(0x5000 | MARKED);
    rig.fault(0, &state, GVA, Write, User).unwrap();
    rig.store_entry(0, 0x4000, 3, 0x5000 | MARKED & !PTE_W);
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    assert!(!rig.look(0, GVA).unwrap().write);
    rig.store_entry(0, 0x3000, 2, 0x4000 | PTE_P | PTE_A);
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    assert!(!rig.look(0, GVA).unwrap().user, "rights of tables count");
    assert_eq!(rig.fault(0, &state, GVA, Read, Supervisor), Ok(Filled::There));
}

#[test]
fn a_cleared_accessed_bit_is_set_again_after_a_flush() {
    let (mut rig, state) = one_path(0x5000 | MARKED);
    rig.fault(0, &state, GVA, Write, User).unwrap();
    for (table, index, value) in [(0x4000, 3, 0x5000 | RW), (0x3000, 2, 0x4000 | RW)] {
        rig.store_entry(0, table, index, value);
        rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
        assert_eq!(rig.look(0, GVA), None);
        rig.fault(0, &state, GVA, Read, User).unwrap();
        assert_ne!(rig.guest_entry(table, index) & PTE_A, 0);
    }
}

#[test]
fn tables_of_a_root_are_found_again_without_a_fault() {
    let (mut rig, state_one) = one_path(0x5000 | MARKED);
    rig.mem.put(0x6000 + 8 * 256, &(0x2000u64 | RW).to_le_bytes());
    rig.fault(0, &state_one, GVA, Read, User).unwrap();
    rig.with(0, |shadow, context| shadow.load_root(context, 0x6000));
    assert_eq!(rig.look(0, GVA), None);
    rig.fault(0, &state(0x6000), GVA, Read, User).unwrap();
    let frames = rig.shadows[0].frames().0;
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    assert_eq!(rig.look(0, GVA).unwrap().gpa, 0x5000);
    // Both roots share what is below them: a change seen under one is seen under the other.
    assert_eq!(frames, 5);
    rig.store_entry(0, 0x4000, 3, 0);
    rig.with(0, |shadow, context| shadow.load_root(context, 0x6000));
    assert_eq!(rig.look(0, GVA), None);
}

#[test]
fn a_table_that_is_elsewhere_loses_its_entries_at_a_flush_and_is_asked_for_by_a_fault() {
    let (mut rig, state) = one_path(0x5000 | MARKED);
    rig.fault(0, &state, GVA, Read, User).unwrap();
    rig.tracker.lose(Gpa(0x4000));
    rig.mem.missing = [0x4000].into();
    assert!(rig.look(0, GVA).is_some(), "stays until a flush");
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    assert_eq!(rig.look(0, GVA), None);
    let need = weft_platform::MemError::Need { gpa: Gpa(0x4000), access: weft_platform::Access::Read };
    assert_eq!(rig.fault(0, &state, GVA, Read, User), Err(Fault::Memory(need)));
    rig.mem.missing.clear();
    assert_eq!(rig.fault(0, &state, GVA, Read, User), Ok(Filled::Made));
}

#[test]
fn a_full_pool_is_built_again_and_no_fault_is_lost() {
    let mut rig = Rig::new(1, 16, 0x10_0000);
    rig.mem.put(0x1000, &(0x2000u64 | RW).to_le_bytes());
    rig.mem.put(0x2000, &(0x3000u64 | RW).to_le_bytes());
    for table in 0..60u64 {
        let at = 0x4_0000 + table * PAGE_SIZE;
        rig.mem.put(0x3000 + 8 * table, &(at | RW).to_le_bytes());
        rig.mem.put(at, &(0x5000u64 | RW).to_le_bytes());
    }
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    for round in 0..3u64 {
        for table in 0..60u64 {
            let gva = Gva(table << 21);
            rig.fault(0, &state(0x1000), gva, Write, User).unwrap();
            assert_eq!(rig.look(0, gva).unwrap().gpa, 0x5000, "round {round}");
        }
    }
    assert!(rig.shadows[0].counters().overflows > 10);
    assert!(rig.tracker.watched() <= 16);
}

#[test]
fn a_write_without_write_protection_is_refused_with_its_reason() {
    let (mut rig, mut state) = one_path(0x5000 | PTE_P);
    state.cr0 &= !CR0_WP;
    assert_eq!(rig.fault(0, &state, GVA, Write, Supervisor), Err(Fault::WriteProtection));
    assert_eq!(rig.fault(0, &state, GVA, Fetch, Supervisor), Ok(Filled::Made));
}

#[test]
fn a_page_that_another_processor_may_still_write_unseen_is_read_again() {
    let mut rig = Rig::new(2, 64, 0x10_0000);
    for (table, index, value) in
        [(0x1000, 256, 0x2000), (0x2000, 0, 0x3000), (0x3000, 2, 0x4000), (0x4000, 3, 0x5000)]
    {
        rig.mem.put(table + 8 * index, &(value | MARKED).to_le_bytes());
    }
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    rig.fault(0, &state(0x1000), GVA, Read, User).unwrap();
    // The other one has not flushed since: nobody hears of its store.
    rig.store_entry(1, 0x4000, 3, 0x6000 | MARKED);
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    assert_eq!(rig.look(0, GVA), None);
    rig.flushed[1] = rig.nested;
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    let before = rig.shadows[0].counters().resyncs;
    rig.with(0, |shadow, context| shadow.load_root(context, 0x1000));
    assert_eq!(rig.shadows[0].counters().resyncs, before, "settled pages are not read again");
}

#[test]
fn pools_of_wrong_size_or_place_are_refused() {
    let frames = |count: u64| (0..count).map(|n| weft_types::Hpa(n * PAGE_SIZE)).collect::<Vec<_>>();
    assert_eq!(Pool::new(frames(7), WINDOW).unwrap_err(), PoolError::Size { frames: 7 });
    assert_eq!(Pool::new(frames(16), Gpa(0x123)).unwrap_err(), PoolError::Window { window: Gpa(0x123) });
    let high = Gpa((1 << 52) - PAGE_SIZE);
    assert_eq!(Pool::new(frames(16), high).unwrap_err(), PoolError::Window { window: high });
}
