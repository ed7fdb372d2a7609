//! Nested page tables: guest physical to host physical, four levels, 4 KiB and 2 MiB leaves.
//!
//! Invariants:
//! - A leaf is user-accessible: the processor makes nested accesses as user accesses.
//! - Intermediate entries grant everything; the leaf alone says what is allowed.
//! - The window (shadow tables, docs/shadow.md) is reached from its own root alone; no guest memory lies in it.
//! - Each table frame came from the store that is given to every call, and goes back to it by
//!   [`NestedTables::free`]. Frames that leaves name are never owned here.
//! - [`NestedTables::generation`] grows with each removal or downgrade. A processor may run the guest
//!   only after it has flushed translations older than the generation.
//!
//! Source: APM volume 2, sections 5.3 and 15.25.

use core::fmt;

use weft_platform::FrameStore;
use weft_types::{Gpa, Hpa, PAGE_SIZE};
use weft_x86defs::bits::{PTE_A, PTE_ADDRESS, PTE_D, PTE_NX, PTE_P, PTE_PS, PTE_U, PTE_W};

const ENTRIES: usize = 512;
/// First address that four levels do not reach.
const LIMIT: u64 = 1 << 48;
/// Intermediate entries: present, writable, user, accessed.
const TABLE: u64 = PTE_P | PTE_W | PTE_U | PTE_A;

/// Size of a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageSize {
    /// 4 KiB.
    Small,
    /// 2 MiB.
    Large,
}

impl PageSize {
    /// Bytes that the leaf covers.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Small => PAGE_SIZE,
            Self::Large => PAGE_SIZE * ENTRIES as u64,
        }
    }

    /// Level of the table that holds the leaf (1 is the lowest).
    const fn level(self) -> u32 {
        match self {
            Self::Small => 1,
            Self::Large => 2,
        }
    }
}

/// What the guest may do with a page. Reading is always allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// To write.
    pub write: bool,
    /// To fetch instructions.
    pub execute: bool,
}

impl Rights {
    /// Read, write and execute: ordinary memory.
    pub const ALL: Self = Self { write: true, execute: true };
    /// Read and execute.
    pub const READ_ONLY: Self = Self { write: false, execute: true };

    const fn bits(self) -> u64 {
        let write = if self.write { PTE_W } else { 0 };
        let no_execute = if self.execute { 0 } else { PTE_NX };
        PTE_P | PTE_U | PTE_A | write | no_execute
    }

    const fn from_entry(entry: u64) -> Self {
        Self { write: entry & PTE_W != 0, execute: entry & PTE_NX == 0 }
    }

    /// Whether `self` takes away something that `old` gave.
    const fn narrower_than(self, old: Self) -> bool {
        (old.write && !self.write) || (old.execute && !self.execute)
    }
}

/// A leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// First guest address of the leaf.
    pub gpa: Gpa,
    /// First host address of the leaf.
    pub hpa: Hpa,
    /// Bytes covered.
    pub size: PageSize,
    /// What is allowed.
    pub rights: Rights,
    /// Whether the processor wrote through the leaf.
    pub dirty: bool,
}

/// Why a mapping was not made or changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// The store has no frame for a table.
    NoFrame,
    /// A leaf or a table of smaller leaves is there already.
    Occupied {
        /// Address asked for.
        gpa: Gpa,
    },
    /// An address is not a multiple of the leaf's size, or above 48 bits (guest) or 52 bits (host).
    Address {
        /// Guest address.
        gpa: Gpa,
        /// Host address.
        hpa: Hpa,
    },
    /// Nothing is mapped there.
    NotMapped {
        /// Address asked for.
        gpa: Gpa,
    },
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFrame => write!(f, "no frame left for a page table"),
            Self::Occupied { gpa } => write!(f, "{gpa:?} is mapped already"),
            Self::Address { gpa, hpa } => write!(f, "{gpa:?} to {hpa:?} is misaligned or out of range"),
            Self::NotMapped { gpa } => write!(f, "{gpa:?} is not mapped"),
        }
    }
}

impl core::error::Error for MapError {}

/// Where a walk ended.
enum Slot {
    /// At a present leaf.
    Leaf { table: Hpa, index: usize, entry: u64, size: PageSize },
    /// At an entry that is not present.
    Absent,
}

/// The tables of one guest.
#[derive(Debug)]
pub struct NestedTables {
    root: Hpa,
    window: Option<Window>,
    table_frames: u64,
    generation: u64,
}

/// A second root: all of the first one's mappings, and the window.
#[derive(Debug)]
struct Window {
    root: Hpa,
    base: Gpa,
}

fn index(gpa: Gpa, level: u32) -> usize {
    ((gpa.0 >> (12 + 9 * (level - 1))) & 511) as usize
}

impl NestedTables {
    /// Empty tables, or `None` when the store has no frame for the root.
    pub fn new<S: FrameStore + ?Sized>(store: &mut S) -> Option<Self> {
        Some(Self { root: store.alloc()?, window: None, table_frames: 1, generation: 0 })
    }

    /// Address of the top table, for the control block's nested CR3.
    pub fn root(&self) -> Hpa {
        self.root
    }

    /// Gives the tables a second root, which also maps a window from `base` on; `base` is a multiple of 512 GiB
    /// above all that the guest has. The first root never leads there.
    pub fn add_window<S: FrameStore + ?Sized>(&mut self, store: &mut S, base: Gpa) -> Result<(), MapError> {
        let slot = base.0 & ((1 << 39) - 1);
        let taken = (index(base, 4)..ENTRIES).any(|at| store.entry(self.root, at) & PTE_P != 0);
        if slot != 0 || base.0 == 0 || base.0 >= LIMIT {
            return Err(MapError::Address { gpa: base, hpa: Hpa(0) });
        }
        if taken || self.window.is_some() {
            return Err(MapError::Occupied { gpa: base });
        }
        let root = store.alloc().ok_or(MapError::NoFrame)?;
        self.table_frames += 1;
        for at in 0..ENTRIES {
            store.set_entry(root, at, store.entry(self.root, at));
        }
        self.window = Some(Window { root, base });
        Ok(())
    }

    /// Maps a frame at `gpa` of the window: for reading and writing, as a walk of tables does, not for fetching.
    pub fn map_in_window<S: FrameStore + ?Sized>(
        &mut self,
        store: &mut S,
        gpa: Gpa,
        hpa: Hpa,
    ) -> Result<(), MapError> {
        match &self.window {
            Some(window) if gpa.0 >= window.base.0 && gpa.0 < LIMIT => {
                let rights = Rights { write: true, execute: false };
                self.map_from(store, window.root, gpa, hpa, PageSize::Small, rights)
            }
            Some(_) | None => Err(MapError::Address { gpa, hpa }),
        }
    }

    /// Address of the top table that also leads to the window.
    pub fn window_root(&self) -> Option<Hpa> {
        self.window.as_ref().map(|window| window.root)
    }

    /// Frames that the tables themselves take.
    pub fn table_frames(&self) -> u64 {
        self.table_frames
    }

    /// Grows with each removal or downgrade; see the module's invariants.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Maps one leaf.
    pub fn map<S: FrameStore + ?Sized>(
        &mut self,
        store: &mut S,
        gpa: Gpa,
        hpa: Hpa,
        size: PageSize,
        rights: Rights,
    ) -> Result<(), MapError> {
        if gpa.0 >= self.window.as_ref().map_or(LIMIT, |window| window.base.0) {
            return Err(MapError::Address { gpa, hpa });
        }
        self.map_from(store, self.root, gpa, hpa, size, rights)
    }

    fn map_from<S: FrameStore + ?Sized>(
        &mut self,
        store: &mut S,
        root: Hpa,
        gpa: Gpa,
        hpa: Hpa,
        size: PageSize,
        rights: Rights,
    ) -> Result<(), MapError> {
        let mask = size.bytes() - 1;
        if gpa.0 & mask != 0 || hpa.0 & mask != 0 || hpa.0 & !PTE_ADDRESS != 0 {
            return Err(MapError::Address { gpa, hpa });
        }
        let mut table = root;
        for level in (size.level() + 1..=4).rev() {
            let at = index(gpa, level);
            let entry = store.entry(table, at);
            table = if entry & PTE_P == 0 {
                let next = store.alloc().ok_or(MapError::NoFrame)?;
                self.table_frames += 1;
                store.set_entry(table, at, next.0 | TABLE);
                if let Some(window) = &self.window
                    && table == self.root
                {
                    store.set_entry(window.root, at, next.0 | TABLE);
                }
                next
            } else if entry & PTE_PS != 0 {
                return Err(MapError::Occupied { gpa });
            } else {
                Hpa(entry & PTE_ADDRESS)
            };
        }
        let at = index(gpa, size.level());
        if store.entry(table, at) & PTE_P != 0 {
            return Err(MapError::Occupied { gpa });
        }
        let large = if size == PageSize::Large { PTE_PS } else { 0 };
        store.set_entry(table, at, hpa.0 | rights.bits() | large);
        Ok(())
    }

    /// Removes the leaf that covers `gpa` and returns what it was.
    pub fn unmap<S: FrameStore + ?Sized>(&mut self, store: &mut S, gpa: Gpa) -> Result<Mapping, MapError> {
        match self.find(store, gpa) {
            Slot::Leaf { table, index, entry, size } => {
                store.set_entry(table, index, 0);
                self.generation += 1;
                Ok(mapping(gpa, entry, size))
            }
            Slot::Absent => Err(MapError::NotMapped { gpa }),
        }
    }

    /// Changes the rights of the leaf that covers `gpa`, clears its dirty bit, and returns what it was.
    pub fn protect<S: FrameStore + ?Sized>(
        &mut self,
        store: &mut S,
        gpa: Gpa,
        rights: Rights,
    ) -> Result<Mapping, MapError> {
        match self.find(store, gpa) {
            Slot::Leaf { table, index, entry, size } => {
                let old = mapping(gpa, entry, size);
                let value = (entry & (PTE_ADDRESS | PTE_PS)) | rights.bits();
                store.set_entry(table, index, value);
                if rights.narrower_than(old.rights) || old.dirty {
                    self.generation += 1;
                }
                Ok(old)
            }
            Slot::Absent => Err(MapError::NotMapped { gpa }),
        }
    }

    /// The leaf that covers `gpa`.
    pub fn query<S: FrameStore + ?Sized>(&self, store: &S, gpa: Gpa) -> Option<Mapping> {
        match self.find(store, gpa) {
            Slot::Leaf { entry, size, .. } => Some(mapping(gpa, entry, size)),
            Slot::Absent => None,
        }
    }

    /// The host address behind `gpa`, if mapped.
    pub fn resolve<S: FrameStore + ?Sized>(&self, store: &S, gpa: Gpa) -> Option<Hpa> {
        let leaf = self.query(store, gpa)?;
        leaf.hpa.checked_add(gpa.0.checked_sub(leaf.gpa.0)?)
    }

    /// Calls `each` with every leaf, in order of guest address.
    pub fn for_each<S: FrameStore + ?Sized>(&self, store: &S, each: &mut dyn FnMut(Mapping)) {
        visit(store, self.root, 4, Gpa(0), each);
    }

    /// Gives every table frame back, after calling `leaf` with every mapping so that its owner can
    /// free what it named.
    pub fn free<S: FrameStore + ?Sized>(self, store: &mut S, leaf: &mut dyn FnMut(&mut S, Mapping)) {
        if let Some(window) = self.window {
            for at in index(window.base, 4)..ENTRIES {
                let entry = store.entry(window.root, at);
                if entry & PTE_P != 0 {
                    release(store, Hpa(entry & PTE_ADDRESS), 3, Gpa(0), &mut |_store, _frame| {});
                }
            }
            store.free(window.root);
        }
        release(store, self.root, 4, Gpa(0), leaf);
    }

    fn find<S: FrameStore + ?Sized>(&self, store: &S, gpa: Gpa) -> Slot {
        if gpa.0 >= LIMIT {
            return Slot::Absent;
        }
        let mut table = self.root;
        for level in (1..=4).rev() {
            let index = index(gpa, level);
            let entry = store.entry(table, index);
            if entry & PTE_P == 0 {
                return Slot::Absent;
            }
            if let Some(size) = leaf_size(entry, level) {
                return Slot::Leaf { table, index, entry, size };
            }
            table = Hpa(entry & PTE_ADDRESS);
        }
        Slot::Absent
    }
}

/// The size of a present entry's leaf, or `None` when it names a table.
fn leaf_size(entry: u64, level: u32) -> Option<PageSize> {
    match level {
        1 => Some(PageSize::Small),
        2 if entry & PTE_PS != 0 => Some(PageSize::Large),
        _ => None,
    }
}

fn mapping(gpa: Gpa, entry: u64, size: PageSize) -> Mapping {
    let mask = size.bytes() - 1;
    Mapping {
        gpa: Gpa(gpa.0 & !mask),
        hpa: Hpa(entry & PTE_ADDRESS & !mask),
        size,
        rights: Rights::from_entry(entry),
        dirty: entry & PTE_D != 0,
    }
}

fn child(base: Gpa, level: u32, index: usize) -> Gpa {
    Gpa(base.0 | ((index as u64) << (12 + 9 * (level - 1))))
}

fn visit<S: FrameStore + ?Sized>(
    store: &S,
    table: Hpa,
    level: u32,
    base: Gpa,
    each: &mut dyn FnMut(Mapping),
) {
    for index in 0..ENTRIES {
        let entry = store.entry(table, index);
        if entry & PTE_P == 0 {
            continue;
        }
        let gpa = child(base, level, index);
        match leaf_size(entry, level) {
            Some(size) => each(mapping(gpa, entry, size)),
            None => visit(store, Hpa(entry & PTE_ADDRESS), level - 1, gpa, each),
        }
    }
}

fn release<S: FrameStore + ?Sized>(
    store: &mut S,
    table: Hpa,
    level: u32,
    base: Gpa,
    leaf: &mut dyn FnMut(&mut S, Mapping),
) {
    for index in 0..ENTRIES {
        let entry = store.entry(table, index);
        if entry & PTE_P == 0 {
            continue;
        }
        let gpa = child(base, level, index);
        match leaf_size(entry, level) {
            Some(size) => leaf(store, mapping(gpa, entry, size)),
            None => release(store, Hpa(entry & PTE_ADDRESS), level - 1, gpa, leaf),
        }
    }
    store.free(table);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Frames;
    use std::vec::Vec;

    #[test]
    fn a_small_page_is_found_at_each_of_its_bytes_and_nowhere_else() {
        let mut store = Frames::new(64);
        let mut tables = NestedTables::new(&mut store).unwrap();
        tables.map(&mut store, Gpa(0x12_3000), Hpa(0x7_0000_1000), PageSize::Small, Rights::ALL).unwrap();
        assert_eq!(tables.resolve(&store, Gpa(0x12_3fff)), Some(Hpa(0x7_0000_1fff)));
        assert_eq!(tables.resolve(&store, Gpa(0x12_4000)), None);
        assert_eq!(tables.resolve(&store, Gpa(0x12_2fff)), None);
        assert_eq!(tables.query(&store, Gpa(1 << 50)), None);
    }

    #[test]
    fn every_level_of_a_walk_is_open_to_the_user_bit() {
        let mut store = Frames::new(64);
        let mut tables = NestedTables::new(&mut store).unwrap();
        tables.map(&mut store, Gpa(0x4020_1000), Hpa(0x9000), PageSize::Small, Rights::READ_ONLY).unwrap();
        let mut table = tables.root();
        for level in (1..=4).rev() {
            let entry = store.entry(table, index(Gpa(0x4020_1000), level));
            assert_eq!(entry & (PTE_P | PTE_U), PTE_P | PTE_U, "level {level}");
            assert_eq!(entry & PTE_W != 0, level > 1, "level {level}");
            table = Hpa(entry & PTE_ADDRESS);
        }
    }

    #[test]
    fn a_large_page_excludes_small_ones_and_the_reverse() {
        let mut store = Frames::new(64);
        let mut tables = NestedTables::new(&mut store).unwrap();
        tables.map(&mut store, Gpa(0x20_0000), Hpa(0x4000_0000), PageSize::Large, Rights::ALL).unwrap();
        assert_eq!(tables.resolve(&store, Gpa(0x3f_ffff)), Some(Hpa(0x401f_ffff)));
        let small = tables.map(&mut store, Gpa(0x20_1000), Hpa(0x1000), PageSize::Small, Rights::ALL);
        assert_eq!(small, Err(MapError::Occupied { gpa: Gpa(0x20_1000) }));
        tables.map(&mut store, Gpa(0x40_1000), Hpa(0x1000), PageSize::Small, Rights::ALL).unwrap();
        let large = tables.map(&mut store, Gpa(0x40_0000), Hpa(0x4000_0000), PageSize::Large, Rights::ALL);
        assert_eq!(large, Err(MapError::Occupied { gpa: Gpa(0x40_0000) }));
    }

    #[test]
    fn misaligned_and_far_addresses_are_refused() {
        let mut store = Frames::new(64);
        let mut tables = NestedTables::new(&mut store).unwrap();
        for (gpa, hpa, size) in [
            (0x1001, 0x1000, PageSize::Small),
            (0x1000, 0x1001, PageSize::Small),
            (0x1000, 0x20_0000, PageSize::Large),
            (LIMIT, 0x1000, PageSize::Small),
            (0x1000, 1 << 52, PageSize::Small),
        ] {
            let got = tables.map(&mut store, Gpa(gpa), Hpa(hpa), size, Rights::ALL);
            assert_eq!(got, Err(MapError::Address { gpa: Gpa(gpa), hpa: Hpa(hpa) }));
        }
    }

    #[test]
    fn taking_rights_away_moves_the_generation_and_granting_does_not() {
        let mut store = Frames::new(64);
        let mut tables = NestedTables::new(&mut store).unwrap();
        let gpa = Gpa(0x5000);
        tables.map(&mut store, gpa, Hpa(0x6000), PageSize::Small, Rights::READ_ONLY).unwrap();
        tables.protect(&mut store, gpa, Rights::ALL).unwrap();
        assert_eq!(tables.generation(), 0);
        assert_eq!(tables.protect(&mut store, gpa, Rights::READ_ONLY).unwrap().rights, Rights::ALL);
        assert_eq!(tables.generation(), 1);
        assert_eq!(tables.query(&store, gpa).unwrap().rights, Rights::READ_ONLY);
        assert_eq!(tables.unmap(&mut store, gpa).unwrap().hpa, Hpa(0x6000));
        assert_eq!(tables.generation(), 2);
        assert_eq!(tables.unmap(&mut store, gpa), Err(MapError::NotMapped { gpa }));
        assert_eq!(tables.protect(&mut store, gpa, Rights::ALL), Err(MapError::NotMapped { gpa }));
    }

    #[test]
    fn running_out_of_frames_is_an_error_and_loses_none() {
        let mut store = Frames::new(3);
        let mut tables = NestedTables::new(&mut store).unwrap();
        let got = tables.map(&mut store, Gpa(0), Hpa(0x1000), PageSize::Small, Rights::ALL);
        assert_eq!(got, Err(MapError::NoFrame));
        assert_eq!(tables.table_frames(), 3);
        tables.free(&mut store, &mut |_, leaf| panic!("{leaf:?} was never mapped"));
        assert_eq!(store.used(), 0);
    }

    #[test]
    fn the_window_is_reached_from_its_own_root_alone() {
        let mut store = Frames::new(64);
        let mut tables = NestedTables::new(&mut store).unwrap();
        let base = Gpa(1 << 39);
        tables.map(&mut store, Gpa(0x1000), Hpa(0x6000), PageSize::Small, Rights::ALL).unwrap();
        assert_eq!(
            tables.map_in_window(&mut store, base, Hpa(0x7000)),
            Err(MapError::Address { gpa: base, hpa: Hpa(0x7000) })
        );
        assert!(tables.add_window(&mut store, Gpa(1 << 38)).is_err());
        tables.add_window(&mut store, base).unwrap();
        tables.map_in_window(&mut store, Gpa(base.0 + 0x1000), Hpa(0x7000)).unwrap();
        tables.map(&mut store, Gpa(0x4000_2000), Hpa(0x8000), PageSize::Small, Rights::ALL).unwrap();
        assert_eq!(tables.resolve(&store, Gpa(base.0 + 0x1000)), None);
        let at = |root: Hpa, gpa: u64| {
            let view = NestedTables { root, window: None, table_frames: 0, generation: 0 };
            view.query(&store, Gpa(gpa)).map(|leaf| (leaf.hpa.0, leaf.rights))
        };
        let window = tables.window_root().unwrap();
        assert_eq!(at(window, base.0 + 0x1000), Some((0x7000, Rights { write: true, execute: false })));
        assert_eq!(at(window, 0x1000), Some((0x6000, Rights::ALL)), "mapped before");
        assert_eq!(at(window, 0x4000_2000), Some((0x8000, Rights::ALL)), "mapped after");
        assert_eq!(at(tables.root(), base.0 + 0x1000), None);
        let inside = tables.map(&mut store, Gpa(base.0 + 0x5000), Hpa(0x9000), PageSize::Small, Rights::ALL);
        assert!(matches!(inside, Err(MapError::Address { .. })), "guest memory in the window");
        let mut leaves = Vec::new();
        tables.free(&mut store, &mut |_, leaf| leaves.push(leaf.gpa.0));
        assert_eq!(leaves, [0x1000, 0x4000_2000]);
        assert_eq!(store.used(), 0);
    }

    #[test]
    fn leaves_are_listed_in_order_and_freeing_returns_every_table() {
        let mut store = Frames::new(64);
        let mut tables = NestedTables::new(&mut store).unwrap();
        let addresses = [0x0, 0x1000, 0x20_0000, 0x1_0000_0000, 0x80_0000_0000];
        for gpa in addresses.iter().rev() {
            tables.map(&mut store, Gpa(*gpa), Hpa(0x20_0000), PageSize::Small, Rights::ALL).unwrap();
        }
        let mut seen = Vec::new();
        tables.for_each(&store, &mut |leaf| seen.push(leaf.gpa.0));
        assert_eq!(seen, addresses);
        assert_eq!(tables.table_frames(), store.used() as u64);
        let mut freed = Vec::new();
        tables.free(&mut store, &mut |_, leaf| freed.push(leaf.gpa.0));
        assert_eq!(freed, addresses);
        assert_eq!(store.used(), 0);
    }
}
