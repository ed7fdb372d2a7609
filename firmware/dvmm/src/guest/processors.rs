//! Which processors run a guest's vCPUs, which vCPUs wait for pages, and the guest's time.
//!
//! Invariants:
//! - A vCPU's entry number is odd exactly while a processor may be inside the guest for it. Taking translations
//!   or time away from a guest is over once every number that was odd has changed, or its processor entered
//!   after the change: such a processor has flushed and has loaded the new time.
//! - A vCPU is marked as parked before its page is asked for, so that an answer that comes at once is not lost.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use weft_hal::{apic, cpu, smp};
use weft_vmm::cpu::counter;

/// No processor of this node.
const ELSEWHERE: usize = usize::MAX;

/// See the module.
pub(crate) struct Processors {
    /// The processor that runs each vCPU; [`ELSEWHERE`] for those on other nodes.
    homes: Vec<AtomicUsize>,
    /// The processor that each is to have here, [`ELSEWHERE`] where any does.
    pins: Vec<AtomicUsize>,
    /// vCPUs that are to have a certain processor of their home, wherever that is.
    stays: AtomicU64,
    entries: Vec<AtomicU64>,
    /// Generation of the nested tables at the last entry.
    generations: Vec<AtomicU64>,
    parked: AtomicU64,
    /// This node's counter when the guest was set up, and what the guest's showed then.
    tsc_began: u64,
    tsc_offset: AtomicU64,
    /// Guest ticks for each of this node's.
    tsc_ratio: AtomicU64,
    /// Grows with each step of the guest's time.
    time_steps: AtomicU64,
}

impl Processors {
    /// vCPUs with these homes and pins; guest time starts now.
    pub(crate) fn new(homes: Vec<Option<usize>>, pins: &[Option<usize>]) -> Self {
        let counters = || homes.iter().map(|_| AtomicU64::new(0)).collect();
        let places = |places: &[Option<usize>]| {
            places.iter().map(|place| AtomicUsize::new(place.unwrap_or(ELSEWHERE))).collect()
        };
        Self {
            entries: counters(),
            generations: counters(),
            parked: AtomicU64::new(0),
            tsc_began: cpu::rdtsc(),
            tsc_offset: AtomicU64::new(0),
            tsc_ratio: AtomicU64::new(counter::EQUAL),
            time_steps: AtomicU64::new(0),
            pins: places(pins),
            stays: AtomicU64::new(0),
            homes: places(&homes),
        }
    }

    /// The processor that runs a vCPU here.
    pub(crate) fn home(&self, vcpu: usize) -> Option<usize> {
        self.homes.get(vcpu).map(|home| home.load(Ordering::Acquire)).filter(|home| *home != ELSEWHERE)
    }

    /// Gives a vCPU to a processor of this node, or to another node. Nobody is inside the guest for it.
    pub(crate) fn set_home(&self, vcpu: usize, home: Option<usize>) {
        if let Some(place) = self.homes.get(vcpu) {
            place.store(home.unwrap_or(ELSEWHERE), Ordering::Release);
        }
    }

    /// The processor that a vCPU is to have here.
    pub(crate) fn pin(&self, vcpu: usize) -> Option<usize> {
        self.pins.get(vcpu).map(|pin| pin.load(Ordering::Acquire)).filter(|pin| *pin != ELSEWHERE)
    }

    /// Whether a vCPU is to have a certain processor of its home, on whichever node.
    pub(crate) fn stays(&self, vcpu: usize) -> bool {
        self.stays.load(Ordering::Acquire) & bit(vcpu) != 0
    }

    /// Says which vCPUs are to have a certain processor, those of other nodes too.
    pub(crate) fn set_stays(&self, affinity: &[Option<usize>]) {
        let stays = affinity.iter().enumerate().filter(|(_, pin)| pin.is_some());
        self.stays.store(stays.map(|(vcpu, _)| bit(vcpu)).fold(0, |all, one| all | one), Ordering::Release);
    }

    /// Says which processor a vCPU is to have here. The one that has it gives it up when it comes to it, and is woken.
    pub(crate) fn set_pin(&self, vcpu: usize, pin: Option<usize>) {
        if let Some(place) = self.pins.get(vcpu) {
            place.store(pin.unwrap_or(ELSEWHERE), Ordering::Release);
            self.wake(vcpu);
        }
    }

    /// vCPUs that run here, and the processor of each.
    pub(crate) fn local(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.homes.len()).filter_map(|vcpu| self.home(vcpu).map(|home| (vcpu, home)))
    }

    /// Wakes the processor of a vCPU.
    pub(crate) fn wake(&self, vcpu: usize) {
        if let Some(home) = self.home(vcpu)
            && home != cpu::index()
        {
            apic::wake(smp::apic_id(home));
        }
    }

    /// Wakes the processors of all vCPUs that run here.
    pub(crate) fn wake_all(&self) {
        for (vcpu, _) in self.local() {
            self.wake(vcpu);
        }
    }

    /// Marks a vCPU as waiting for a page.
    pub(crate) fn park(&self, vcpu: usize) {
        self.parked.fetch_or(bit(vcpu), Ordering::AcqRel);
    }

    /// Lets a vCPU try again.
    pub(crate) fn unpark(&self, vcpu: usize) {
        if self.parked.fetch_and(!bit(vcpu), Ordering::AcqRel) & bit(vcpu) != 0 {
            self.wake(vcpu);
        }
    }

    /// Whether a vCPU waits for a page.
    pub(crate) fn is_parked(&self, vcpu: usize) -> bool {
        self.parked.load(Ordering::Acquire) & bit(vcpu) != 0
    }

    /// Notes that a processor is about to run a vCPU by tables of this generation.
    pub(crate) fn entering(&self, vcpu: usize, generation: u64) {
        if let (Some(entry), Some(seen)) = (self.entries.get(vcpu), self.generations.get(vcpu)) {
            seen.store(generation, Ordering::Relaxed);
            entry.fetch_add(1, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
    }

    /// Notes that the processor has left the guest.
    pub(crate) fn left(&self, vcpu: usize) {
        if let Some(entry) = self.entries.get(vcpu) {
            entry.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn is_inside(&self, vcpu: usize) -> bool {
        self.entries.get(vcpu).is_some_and(|entry| entry.load(Ordering::SeqCst) & 1 == 1)
    }

    /// Asks every processor inside the guest by older tables to leave it.
    pub(crate) fn expel(&self, generation: u64) {
        fence(Ordering::SeqCst);
        for (vcpu, _) in self.local() {
            if self.is_behind(vcpu, generation) {
                self.wake(vcpu);
            }
        }
    }

    /// Asks every processor to leave the guest, so that instructions which are done show it.
    pub(crate) fn nudge(&self) {
        for (vcpu, _) in self.local() {
            if self.is_inside(vcpu) {
                self.wake(vcpu);
            }
        }
    }

    fn is_behind(&self, vcpu: usize, generation: u64) -> bool {
        self.is_inside(vcpu)
            && self.generations.get(vcpu).is_some_and(|seen| seen.load(Ordering::Relaxed) < generation)
    }

    /// The generation that no processor inside the guest is behind of, given the present one.
    pub(crate) fn flushed_up_to(&self, generation: u64) -> u64 {
        let inside = self.local().filter(|(vcpu, _)| self.is_inside(*vcpu));
        let seen = inside.filter_map(|(vcpu, _)| self.generations.get(vcpu));
        seen.map(|seen| seen.load(Ordering::Relaxed)).min().unwrap_or(generation).min(generation)
    }

    /// Waits until no processor is inside the guest by older tables. They only have to leave it, which takes no
    /// lock.
    pub(crate) fn await_flush(&self, generation: u64) {
        while self.flushed_up_to(generation) < generation {
            core::hint::spin_loop();
        }
    }

    /// What the guest's counter shows when this processor's shows `tsc`.
    pub(crate) fn guest_tsc(&self, tsc: u64) -> u64 {
        let ratio = self.tsc_ratio.load(Ordering::Relaxed);
        let passed = counter::scaled(tsc.wrapping_sub(self.tsc_began), ratio);
        passed.wrapping_add(self.tsc_offset.load(Ordering::Acquire))
    }

    /// Offset for the control block; of no meaning where the frequencies differ.
    pub(crate) fn tsc_offset(&self) -> u64 {
        self.tsc_offset.load(Ordering::Acquire).wrapping_sub(self.tsc_began)
    }

    /// Says how fast the guest's counter runs beside this node's. Before the guest runs.
    pub(crate) fn set_tsc_ratio(&self, ratio: counter::Ratio) {
        self.tsc_ratio.store(ratio, Ordering::Relaxed);
    }

    /// Whether the guest must not read this node's counter itself.
    pub(crate) fn reads_leave(&self) -> bool {
        self.tsc_ratio.load(Ordering::Relaxed) != counter::EQUAL
    }

    /// Steps the guest's time forward to at least `guest_tsc`, and waits until no processor runs it by the old
    /// one: they only have to leave the guest, which an interrupt makes them do.
    pub(crate) fn advance_tsc(&self, guest_tsc: u64) {
        let behind = guest_tsc.wrapping_sub(self.guest_tsc(cpu::rdtsc()));
        if behind as i64 <= 0 {
            return;
        }
        self.tsc_offset.fetch_add(behind, Ordering::SeqCst);
        self.time_steps.fetch_add(1, Ordering::SeqCst);
        for (vcpu, home) in self.local() {
            let Some(entry) = self.entries.get(vcpu) else { continue };
            let seen = entry.load(Ordering::SeqCst);
            if seen & 1 == 0 || home == cpu::index() {
                continue;
            }
            self.wake(vcpu);
            while entry.load(Ordering::SeqCst) == seen {
                core::hint::spin_loop();
            }
        }
    }
}

fn bit(vcpu: usize) -> u64 {
    1u64.checked_shl(vcpu as u32).unwrap_or(0)
}
