//! The loop of each processor: management (on the first), then each vCPU that lives here for a slot, then
//! sleep until something is due. vCPUs have hard affinity: they stay where they were placed.

use crate::guest::{Guest, Slot};
use crate::manage;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use spin::Mutex;
use weft_hal::{apic, cpu, desc, smp, time};

/// Longest slot of a vCPU on a processor without other duties.
const SLOT_NS: u64 = 5_000_000;
/// Longest slot on the first processor, which also serves the network.
const FIRST_SLOT_NS: u64 = 1_000_000;
/// Longest sleep.
const SLEEP_NS: u64 = 1_000_000_000;

static CPUS: AtomicUsize = AtomicUsize::new(1);
static GUESTS: Mutex<Vec<Arc<Guest>>> = Mutex::new(Vec::new());
/// Grows with each change of `GUESTS`, so that processors look again.
static CHANGES: AtomicU64 = AtomicU64::new(0);
static BUSY_NS: AtomicU64 = AtomicU64::new(0);

/// Says how many processors there are.
pub(crate) fn set_cpu_count(cpus: usize) {
    CPUS.store(cpus, Ordering::Release);
}

/// Number of processors.
pub(crate) fn cpu_count() -> usize {
    CPUS.load(Ordering::Acquire)
}

/// Nanoseconds that processors have spent on guests, all together.
pub(crate) fn busy_ns() -> u64 {
    BUSY_NS.load(Ordering::Relaxed)
}

/// Processors for `vcpus` vCPUs: the least loaded, the first one last, since it has other duties.
pub(crate) fn place(vcpus: usize) -> Vec<usize> {
    let mut load = alloc::vec![0usize; cpu_count()];
    for guest in GUESTS.lock().iter() {
        for home in &guest.homes {
            load[*home] += 1;
        }
    }
    (0..vcpus)
        .map(|_| {
            let best = (0..load.len()).rev().min_by_key(|i| load[*i]).unwrap_or(0);
            load[best] += 1;
            best
        })
        .collect()
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

fn announce() {
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
            guest.homes.iter().enumerate().filter(|(_, h)| **h == index).map(|(i, _)| i).collect();
        homes.into_iter().map(|vcpu| (guest.clone(), vcpu)).collect::<Vec<_>>()
    };
    guests.iter().flat_map(on_this).collect()
}

/// The processor's loop.
pub(crate) fn run(index: usize) -> ! {
    let slot_ns = if index == 0 { FIRST_SLOT_NS } else { SLOT_NS };
    let mut seen = u64::MAX;
    let mut mine = Vec::new();
    // Whose extended state the processor holds.
    let mut loaded: Option<(Arc<Guest>, usize)> = None;
    loop {
        let changes = CHANGES.load(Ordering::Acquire);
        if changes != seen {
            seen = changes;
            mine = residents(index);
        }
        let mut due = time::now_ns() + SLEEP_NS;
        if index == 0 {
            due = due.min(manage::poll());
        }
        let mut ran = false;
        let mut ended = Vec::new();
        for (position, (guest, vcpu)) in mine.iter().enumerate() {
            let start = time::now_ns();
            let other = loaded.take_if(|(held, held_vcpu)| !Arc::ptr_eq(held, guest) || held_vcpu != vcpu);
            if let Some((held, held_vcpu)) = other {
                held.unload(held_vcpu);
            }
            loaded.get_or_insert_with(|| (guest.clone(), *vcpu));
            match guest.run_slot(*vcpu, start + slot_ns) {
                Slot::Ran => ran = true,
                Slot::Waits(when) => due = when.map_or(due, |when| when.min(due)),
                Slot::Ended => {
                    loaded = None;
                    ended.push(position);
                }
            }
            BUSY_NS.fetch_add(time::now_ns() - start, Ordering::Relaxed);
        }
        for position in ended.into_iter().rev() {
            mine.remove(position);
        }
        if !ran && CHANGES.load(Ordering::Acquire) == seen {
            sleep_until(due);
        }
    }
}

/// Halts until an interrupt; one that came since the last look ends the halt at once.
fn sleep_until(due_ns: u64) {
    if desc::take_pending() != 0 {
        return;
    }
    let now = time::now_ns();
    if due_ns > now {
        apic::set_timer(due_ns - now);
        cpu::halt();
        desc::take_pending();
    }
}
