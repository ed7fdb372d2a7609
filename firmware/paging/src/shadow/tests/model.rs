//! Random histories against the reference: a walk of the guest's tables.
//!
//! What x86 promises about an address is a walk in which each entry has the value of some moment since the last
//! flush that covers the address. The reference keeps each entry's history and computes that set; the shadow must
//! answer from it. A fault that the guest sees must be one of the tables as they are now. Stores by a processor
//! that has not flushed yet go unseen by the tracker.

use super::*;
use weft_platform::{Access as MemAccess, MemError};

const TABLES: [(u64, u32); 10] = [
    (0x1000, 4),
    (0x2000, 4),
    (0x3000, 3),
    (0x4000, 3),
    (0x5000, 2),
    (0x6000, 2),
    (0x7000, 1),
    (0x8000, 1),
    (0x9000, 1),
    (0xa000, 1),
];
/// Entries of each table that are used.
const PLACES: [u64; 3] = [0, 1, 300];
const VCPUS: usize = 2;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

struct World {
    rig: Rig,
    random: Random,
    time: u64,
    /// Values of each entry, with the time from which on they stood.
    history: BTreeMap<u64, Vec<(u64, u64)>>,
    root: [u64; VCPUS],
    /// When each vCPU flushed everything, and single addresses.
    flushed_all: [u64; VCPUS],
    flushed_one: [BTreeMap<u64, u64>; VCPUS],
}

fn address(places: [u64; 4]) -> Gva {
    let [four, three, two, one] = places;
    let low = four << 39 | three << 30 | two << 21 | one << 12;
    Gva(if four >= 256 { low | 0xffff << 48 } else { low })
}

impl World {
    fn new(seed: u64) -> Self {
        let rig = Rig::new(VCPUS, 20 + seed % 40, 0x10_0000);
        let mut world = Self {
            rig,
            random: Random(seed),
            time: 1,
            history: BTreeMap::new(),
            root: [0x1000; VCPUS],
            flushed_all: [0; VCPUS],
            flushed_one: [BTreeMap::new(), BTreeMap::new()],
        };
        for (table, level) in TABLES {
            for place in PLACES {
                let value = world.value(level);
                world.note(table + 8 * place, value);
                world.rig.mem.put(table + 8 * place, &value.to_le_bytes());
            }
        }
        for vcpu in 0..VCPUS {
            world.load(vcpu, 0x1000);
        }
        world
    }

    fn note(&mut self, at: u64, value: u64) {
        self.history.entry(at).or_default().push((self.time, value));
    }

    /// A random entry of a table at `level`.
    fn value(&mut self, level: u32) -> u64 {
        let mut flags = PTE_P;
        for (bit, of) in [(PTE_W, 4), (PTE_U, 4), (PTE_A, 3), (PTE_D, 3)] {
            flags |= if self.random.below(of) > 0 { bit } else { 0 };
        }
        for (bit, of) in [(PTE_NX, 6), (PTE_P, 8), (PTE_G, 4)] {
            flags ^= if self.random.below(of) == 0 { bit } else { 0 };
        }
        let roll = self.random.below(16);
        if roll == 0 {
            return 1 << 39 | self.random.below(4) << 12 | flags;
        }
        if level == 1 || (roll < 4 && level < 4) {
            let size = 12 + 9 * (level - 1);
            let large = if level > 1 { PTE_PS } else { 0 };
            return (1 + self.random.below(60)) << size | large | flags;
        }
        let below: Vec<u64> = TABLES.iter().filter(|(_, l)| l + 1 == level).map(|(t, _)| *t).collect();
        self.random.of(&below) | flags
    }

    fn places(&mut self) -> [u64; 4] {
        [(); 4].map(|()| self.random.of(&PLACES))
    }

    fn since(&self, vcpu: usize, gva: Gva) -> u64 {
        self.flushed_one[vcpu].get(&gva.0).copied().unwrap_or(0).max(self.flushed_all[vcpu])
    }

    /// All leaves that the processor may use for an address.
    fn allowed(&self, vcpu: usize, places: [u64; 4]) -> Vec<Seen> {
        let mut found = Vec::new();
        let all = Seen { gpa: 0, write: true, user: true, execute: true };
        self.collect(self.since(vcpu, address(places)), self.root[vcpu], places, 4, all, &mut found);
        found
    }

    fn collect(
        &self,
        since: u64,
        table: u64,
        places: [u64; 4],
        level: u32,
        rights: Seen,
        found: &mut Vec<Seen>,
    ) {
        let Some(history) = self.history.get(&(table + 8 * places[4 - level as usize])) else { return };
        for (at, (_, value)) in history.iter().enumerate() {
            let until = history.get(at + 1).map_or(u64::MAX, |(time, _)| *time);
            let state = state(0);
            if until <= since
                || value & PTE_P == 0
                || value & crate::walk::reserved_bits(&state, *value, level) != 0
            {
                continue;
            }
            let mut next = rights;
            next.write &= value & PTE_W != 0;
            next.user &= value & PTE_U != 0;
            next.execute &= value & PTE_NX == 0;
            if crate::walk::is_leaf(*value, level) {
                let mask = (1u64 << (12 + 9 * (level - 1))) - 1;
                next.gpa = (value & PTE_ADDRESS & !mask) | (address(places).0 & mask);
                found.push(next);
                // A clean page may be remembered as read-only.
                found.push(Seen { write: false, ..next });
            } else {
                self.collect(since, value & PTE_ADDRESS, places, level - 1, next, found);
            }
        }
    }

    fn load(&mut self, vcpu: usize, root: u64) {
        self.root[vcpu] = root;
        self.rig.with(vcpu, |shadow, context| shadow.load_root(context, root));
        self.flushed_all[vcpu] = self.time;
        self.enter(vcpu);
    }

    /// The vCPU runs again: its processor has flushed.
    fn enter(&mut self, vcpu: usize) {
        self.rig.flushed[vcpu] = self.rig.nested;
    }

    fn store(&mut self) {
        let (table, level) = self.random.of(&TABLES);
        let place = self.random.of(&PLACES);
        let vcpu = self.random.below(VCPUS as u64) as usize;
        let value = self.value(level);
        self.rig.store_entry(vcpu, table, place, value);
        self.note(table + 8 * place, value);
    }

    fn access(&mut self, vcpu: usize) {
        let places = self.places();
        let gva = address(places);
        let kind = self.random.of(&[Read, Write, Fetch]);
        let privilege = self.random.of(&[Supervisor, User]);
        let state = state(self.root[vcpu]);
        for _ in 0..64 {
            if let Some(seen) = self.rig.look(vcpu, gva) {
                let allowed = self.allowed(vcpu, places);
                assert!(allowed.contains(&seen), "{gva:?} gives {seen:x?}, allowed {allowed:x?}");
                let permitted = (seen.user || privilege == Supervisor)
                    && (kind != Write || seen.write)
                    && (kind != Fetch || seen.execute);
                if permitted {
                    return;
                }
            }
            let before = self.snapshot();
            match self.rig.fault(vcpu, &state, gva, kind, privilege) {
                Ok(_) => self.note_marks(&before),
                Err(Fault::Guest { .. }) => {
                    let now = crate::walk::translate(&self.rig.mem, &state, gva, kind, privilege);
                    assert!(now.is_err(), "{gva:?} {kind:?} {privilege:?} was refused");
                    self.enter(vcpu);
                    return;
                }
                Err(Fault::Memory(MemError::Need { gpa, access })) => {
                    assert_eq!(access, MemAccess::Read);
                    self.note_marks(&before);
                    self.rig.mem.missing.remove(&gpa.0);
                }
                Err(error) => panic!("{error:?}"),
            }
            self.enter(vcpu);
        }
        panic!("{gva:?} faults for ever");
    }

    fn snapshot(&self) -> Vec<u64> {
        self.history.keys().map(|at| self.rig.mem.peek(*at)).collect()
    }

    /// Takes the accessed and dirty bits that a walk has set into the history.
    fn note_marks(&mut self, before: &[u64]) {
        let changed: Vec<(u64, u64)> = self
            .history
            .keys()
            .zip(before)
            .filter_map(|(at, old)| {
                let new = self.rig.mem.peek(*at);
                assert_eq!((old ^ new) & !(PTE_A | PTE_D), 0, "only marks are written");
                assert_eq!(old & !new, 0, "marks are never cleared");
                (new != *old).then_some((*at, new))
            })
            .collect();
        for (at, value) in changed {
            self.note(at, value);
        }
    }

    fn step(&mut self) {
        self.time += 1;
        let vcpu = self.random.below(VCPUS as u64) as usize;
        match self.random.below(20) {
            0..=5 => self.store(),
            6 | 7 => {
                let places = self.places();
                let gva = address(places);
                self.rig.with(vcpu, |shadow, context| shadow.invalidate(context, gva));
                self.flushed_one[vcpu].insert(gva.0, self.time);
                self.enter(vcpu);
            }
            8 => {
                let root = self.random.of(&[0x1000, 0x2000]);
                self.load(vcpu, root);
            }
            9 if self.random.below(8) == 0 => {
                self.rig.with(vcpu, |shadow, context| shadow.flush_all(context));
                self.flushed_all[vcpu] = self.time;
                self.enter(vcpu);
            }
            10 => {
                // A page goes to another node.
                let (table, _) = self.random.of(&TABLES);
                if self.rig.flushed.iter().all(|seen| *seen >= self.rig.nested) {
                    self.rig.tracker.lose(Gpa(table));
                    self.rig.mem.missing.insert(table);
                }
            }
            11 => self.enter(vcpu),
            _ => self.access(vcpu),
        }
    }
}

#[test]
fn every_translation_is_one_that_the_processor_may_have() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        for _ in 0..1200 {
            world.step();
        }
        let counters = world.rig.shadows[0].counters();
        assert!(counters.fills > 10 && counters.reflected > 10, "seed {seed}: {counters:?}");
    }
}

/// Straight after a flush there is one answer: that of the tables as they are, with A and D set in them.
#[test]
fn after_a_flush_the_tables_as_they_are_decide() {
    for seed in 100..130 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            for _ in 0..world.random.below(12) {
                world.step();
            }
            world.rig.mem.missing.clear();
            let (vcpu, places) = (world.random.below(2) as usize, world.places());
            world.time += 1;
            // Stores that are still on their way are seen by both.
            (0..VCPUS).for_each(|vcpu| world.enter(vcpu));
            let root = world.root[vcpu];
            world.load(vcpu, root);
            let (gva, state) = (address(places), state(root));
            let now = crate::walk::translate(&world.rig.mem, &state, gva, Write, Supervisor);
            let seen = world.rig.look(vcpu, gva).filter(|seen| seen.write);
            match (now, seen) {
                (Ok(found), Some(seen)) => assert_eq!(seen.gpa, found.gpa.0),
                (Err(_), None) => {}
                (Err(error), Some(seen)) => panic!("seed {seed} {gva:?}: {seen:x?} but {error}"),
                (Ok(found), None) => {
                    let before = world.snapshot();
                    assert_eq!(world.rig.fault(vcpu, &state, gva, Write, Supervisor), Ok(Filled::Made));
                    world.note_marks(&before);
                    world.enter(vcpu);
                    assert_eq!(world.rig.look(vcpu, gva).unwrap().gpa, found.gpa.0);
                    let path = crate::walk::trace(&world.rig.mem, &state, gva, Write, Supervisor).unwrap();
                    let (leaf, above) = path.steps().split_last().unwrap();
                    assert_eq!(leaf.entry & (PTE_A | PTE_D), PTE_A | PTE_D);
                    assert!(above.iter().all(|step| step.entry & PTE_A != 0));
                }
            }
        }
    }
}
