//! The loop of each processor: management (on the first), then the vCPUs whose turn it is for a slot, then sleep until
//! something is due. vCPUs have hard affinity: on a node they stay where they were placed. Whose turn a slot is, on this node and
//! on those that it shares servers with, is decided by [`weft_node::turns`].

use crate::alarm::Alarm;
use crate::guest::{Guest, Slot};
use crate::{local, manage, nic, span};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use spin::Mutex;
use weft_hal::{apic, cpu, smp, time};
use weft_node::turns::Turns;

/// Shortest slot on the first processor, whatever else it has to do.
const LEAST_SLOT_NS: u64 = 100_000;
/// Looks at the NIC before guests run, at most.
const LOOKS: usize = 4;
/// Longest sleep.
const SLEEP_NS: u64 = 1_000_000_000;

static CPUS: AtomicUsize = AtomicUsize::new(1);
static GUESTS: Mutex<Vec<Arc<Guest>>> = Mutex::new(Vec::new());
/// Grows with each change of `GUESTS`, so that processors look again.
static CHANGES: AtomicU64 = AtomicU64::new(0);
static BUSY_NS: AtomicU64 = AtomicU64::new(0);
static WAKE_UPS: AtomicU64 = AtomicU64::new(0);

/// Says how many processors there are.
pub(crate) fn set_cpu_count(cpus: usize) {
    CPUS.store(cpus, Ordering::Release);
}

/// Number of processors.
pub(crate) fn cpu_count() -> usize {
    CPUS.load(Ordering::Acquire)
}

/// Nanoseconds in which processors did not halt, all together.
pub(crate) fn busy_ns() -> u64 {
    BUSY_NS.load(Ordering::Relaxed)
}

/// How often the first processor was woken out of its sleep.
pub(crate) fn wake_ups() -> u64 {
    WAKE_UPS.load(Ordering::Relaxed)
}

/// Processors for vCPUs: those that they are to have, and for the others the least loaded, the first one last, since it has
/// other duties.
pub(crate) fn place(pins: &[Option<usize>]) -> Vec<usize> {
    let mut load = alloc::vec![0usize; cpu_count()];
    for guest in GUESTS.lock().iter() {
        for (_, home) in guest.homes() {
            load[home] += 1;
        }
    }
    for pin in pins.iter().flatten() {
        load[*pin] += 1;
    }
    let mut choose = || {
        let best = (0..load.len()).rev().min_by_key(|i| load[*i]).unwrap_or(0);
        load[best] += 1;
        best
    };
    pins.iter().map(|pin| pin.unwrap_or_else(&mut choose)).collect()
}

/// Puts a loaded guest on its processors.
pub(crate) fn add(guest: Arc<Guest>) {
    GUESTS.lock().push(guest);
    announce();
}

/// Takes a guest that has ended out of the list.
pub(crate) fn remove(guest: &Arc<Guest>) {
    GUESTS.lock().retain(|other| !Arc::ptr_eq(other, guest));
    announce();
}

/// Has every processor look again at what lives on it.
pub(crate) fn announce() {
    CHANGES.fetch_add(1, Ordering::AcqRel);
    for index in 0..cpu_count() {
        if index != cpu::index() {
            apic::wake(smp::apic_id(index));
        }
    }
}

/// vCPUs that live on a processor.
fn residents(index: usize) -> Vec<(Arc<Guest>, usize)> {
    let guests = GUESTS.lock();
    let on_this = |guest: &Arc<Guest>| {
        let homes: Vec<usize> =
            guest.homes().filter(|(_, home)| *home == index).map(|(vcpu, _)| vcpu).collect();
        homes.into_iter().map(|vcpu| (guest.clone(), vcpu)).collect::<Vec<_>>()
    };
    guests.iter().flat_map(on_this).collect()
}

/// The processor's loop.
pub(crate) fn run(index: usize) -> ! {
    let mut processor = Processor::new(index);
    loop {
        processor.look_for_changes();
        let mut due = time::now_ns() + SLEEP_NS;
        if processor.run_turn(&mut due) || processor.is_behind() {
            processor.count_busy();
            continue;
        }
        // Also what the guests left since.
        let wanted = processor.duties.as_mut().map_or(u64::MAX, Duties::serve);
        processor.count_busy();
        if !processor.is_behind() && processor.alarm.sleep_until(due.min(wanted)) {
            processor.awake_ns = time::now_ns();
            if index == 0 {
                WAKE_UPS.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What a processor's loop keeps.
struct Processor {
    index: usize,
    alarm: Alarm,
    /// Of the first processor only.
    duties: Option<Duties>,
    /// `CHANGES` when the lists were made.
    seen: u64,
    /// vCPUs that live here.
    mine: Vec<(Arc<Guest>, usize)>,
    /// Turns of all servers of the node, and the one whose clock numbers them.
    turns: Turns,
    leader: Option<Arc<Guest>>,
    /// Whose extended state the processor holds.
    loaded: Option<(Arc<Guest>, usize)>,
    /// Grows with each slot that nobody claimed.
    unclaimed: usize,
    /// Up to when its time is counted.
    awake_ns: u64,
}

impl Processor {
    fn new(index: usize) -> Self {
        Self {
            index,
            alarm: Alarm::new(),
            duties: (index == 0).then(Duties::new),
            seen: u64::MAX,
            mine: Vec::new(),
            turns: Turns::default(),
            leader: None,
            loaded: None,
            unclaimed: 0,
            awake_ns: time::now_ns(),
        }
    }

    /// Counts the time since it woke up, or since it was counted last.
    fn count_busy(&mut self) {
        let now = time::now_ns();
        BUSY_NS.fetch_add(now.saturating_sub(self.awake_ns), Ordering::Relaxed);
        self.awake_ns = now;
    }

    fn is_behind(&self) -> bool {
        CHANGES.load(Ordering::Acquire) != self.seen
    }

    fn look_for_changes(&mut self) {
        let changes = CHANGES.load(Ordering::Acquire);
        if changes == self.seen {
            return;
        }
        self.seen = changes;
        self.mine = residents(self.index);
        let guests = GUESTS.lock();
        self.turns = Turns::new(guests.iter().map(|guest| (guest.id, guest.member().is_some())));
        let leader = self.turns.leader();
        self.leader = guests.iter().find(|guest| Some(guest.id) == leader).cloned();
    }

    /// Runs vCPUs for a slot: those whose turn it is, else whoever can use it. Whether any ran.
    fn run_turn(&mut self, due: &mut u64) -> bool {
        let clock = self.leader.as_ref().map_or_else(time::now_ns, |guest| guest.clock_ns());
        let turn = self.turns.at(clock);
        let end = time::now_ns() + turn.left_ns;
        let all = core::mem::take(&mut self.mine);
        let (claiming, others): (Vec<_>, Vec<_>) =
            all.iter().enumerate().partition(|(_, (guest, _))| Some(guest.id) == turn.server);
        let mut ended = Vec::new();
        let mut ran = false;
        for (position, (guest, vcpu)) in &claiming {
            let share = time::now_ns() + turn.left_ns / claiming.len() as u64;
            match self.run_one(guest, *vcpu, share.min(end), false, due) {
                Slot::Ran => ran = true,
                Slot::Waits(_) => {}
                Slot::Ended | Slot::Gone => ended.push(*position),
            }
        }
        if !ran && !others.is_empty() {
            self.unclaimed = self.unclaimed.wrapping_add(1);
            for step in 0..others.len() {
                let (position, (guest, vcpu)) = others[(self.unclaimed + step) % others.len()];
                match self.run_one(guest, *vcpu, end, !claiming.is_empty(), due) {
                    Slot::Ran => {
                        ran = true;
                        break;
                    }
                    Slot::Waits(_) => {}
                    Slot::Ended | Slot::Gone => ended.push(position),
                }
            }
        }
        drop((claiming, others));
        let mut position = 0;
        self.mine = all;
        self.mine.retain(|_| {
            position += 1;
            !ended.contains(&(position - 1))
        });
        ran
    }

    /// Runs one vCPU until `end_ns` at most. `yields`: until somebody is woken, who may have the turn.
    fn run_one(&mut self, guest: &Arc<Guest>, vcpu: usize, end_ns: u64, yields: bool, due: &mut u64) -> Slot {
        let wanted = self.duties.as_mut().map_or(u64::MAX, Duties::serve);
        *due = wanted.min(*due);
        let start = time::now_ns();
        // On the first processor the NIC's interrupt ends a slot too, and where there is none `wanted` is its next look.
        let slot_end = wanted.min(end_ns).max(start + LEAST_SLOT_NS);
        let is_other =
            |(held, held_vcpu): &mut (Arc<Guest>, usize)| !Arc::ptr_eq(held, guest) || *held_vcpu != vcpu;
        if let Some((held, held_vcpu)) = self.loaded.take_if(is_other) {
            held.unload(held_vcpu);
        }
        self.loaded.get_or_insert_with(|| (guest.clone(), vcpu));
        let slot = guest.run_slot(vcpu, slot_end, yields, &mut self.alarm);
        match slot {
            Slot::Ran => {}
            Slot::Waits(when) => *due = when.map_or(*due, |when| when.min(*due)),
            Slot::Ended | Slot::Gone => self.loaded = None,
        }
        guest.count_busy(time::now_ns().saturating_sub(start));
        if slot == Slot::Ended || guest.machine.lock().has_output() {
            manage::notify();
        }
        slot
    }
}

/// What the first processor does beside running guests.
struct Duties {
    watch: nic::Watch,
    /// When management wants to be called again.
    management_ns: u64,
}

impl Duties {
    fn new() -> Self {
        Self { watch: nic::Watch::new(), management_ns: 0 }
    }

    /// Serves the NIC: frames of spanning servers first, and management only where there is something for it, as it
    /// takes longer. Returns when it wants to be called again.
    fn serve(&mut self) -> u64 {
        let mut wanted = 0;
        for _ in 0..LOOKS {
            let now = time::now_ns();
            self.watch.begin(now);
            let links = span::poll();
            if now >= self.management_ns || manage::is_wanted() {
                self.management_ns = manage::poll().min(local::poll());
            }
            let waiting = self.watch.end();
            wanted = links.min(self.management_ns).min(self.watch.next_look_ns(now));
            if !waiting && wanted > now {
                break;
            }
        }
        wanted
    }
}
