//! Local APIC of a vCPU, in x2APIC mode from the start: registers are MSRs 0x800–0x8ff, so that no access
//! needs an instruction to be decoded. APM volume 2, 16.3–16.12; Intel SDM volume 3A, 11.12.
//!
//! Invariants: a vector is in service only after it was acknowledged; the priority of what is delivered is
//! above the task priority and above everything in service.
//!
//! *Rest.* Where pages are far away, one tick of the guest's kernel may take longer than the time between two: it would
//! do nothing but tick. A timer that rests fires again only after a multiple of the time from its last interrupt's
//! delivery to the next deadline's setting. The guest sees a late interrupt, as from a busy processor.

use super::clock::Now;

/// Access that the guest must not make: it gets #GP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// What a register write asks of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Deliver an interrupt command.
    Command(Command),
    /// End of interrupt for a vector that was level-triggered or not: the IOAPIC decides.
    EndOfInterrupt(u8),
}

/// How an interrupt is delivered (ICR bits 10:8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To each target.
    Fixed,
    /// To one of the targets.
    LowestPriority,
    /// Non-maskable.
    Nmi,
    /// INIT.
    Init,
    /// Start-up.
    StartUp,
}

/// To whom (ICR bits 19:18 and 11, destination).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One APIC, or all by `0xffff_ffff`.
    Physical(u32),
    /// Cluster and member bits.
    Logical(u32),
    /// The sender.
    Own,
    /// All.
    All,
    /// All but the sender.
    Others,
}

/// An interrupt command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// How.
    pub delivery: Delivery,
    /// Vector (start-up: page number).
    pub vector: u8,
    /// To whom.
    pub target: Target,
}

const LVT_TIMER: usize = 0;
const LVT_COUNT: usize = 6;
const LVT_MASKED: u32 = 1 << 16;

/// The local APIC.
#[derive(Clone, Debug)]
pub struct Lapic {
    pub(super) id: u32,
    pub(super) task_priority: u8,
    pub(super) spurious: u32,
    pub(super) error: u32,
    pub(super) in_service: [u32; 8],
    pub(super) requested: [u32; 8],
    pub(super) command: u64,
    /// Timer, thermal, performance, LINT0, LINT1, error.
    pub(super) lvt: [u32; LVT_COUNT],
    pub(super) timer_initial: u32,
    pub(super) timer_divide: u32,
    timer_started_ns: u64,
    /// When the timer fires, in nanoseconds of the node's clock.
    pub(super) timer_due_ns: Option<u64>,
    pub(super) deadline_tsc: u64,
    /// Whether the timer rests after each interrupt.
    rests: bool,
    /// When its last interrupt was delivered, until the guest sets the next.
    pub(super) delivered_ns: Option<u64>,
    /// It does not fire before.
    pub(super) rest_until_ns: u64,
}

/// How long a timer rests, in times of what its interrupt took, and at most.
const REST: u64 = 12;
const MAX_REST_NS: u64 = 80_000_000;

/// Frequency of the emulated timer's clock: 1 GHz, so that a tick is a nanosecond.
const TIMER_NS: u64 = 1;

fn highest(set: &[u32; 8]) -> Option<u8> {
    set.iter()
        .enumerate()
        .rev()
        .find(|(_, w)| **w != 0)
        .map(|(i, w)| (i * 32) as u8 + (31 - w.leading_zeros()) as u8)
}

fn put(set: &mut [u32; 8], vector: u8, on: bool) {
    if let Some(word) = set.get_mut(usize::from(vector / 32)) {
        let bit = 1 << (vector % 32);
        *word = if on { *word | bit } else { *word & !bit };
    }
}

impl Lapic {
    /// After reset.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            task_priority: 0,
            spurious: 0xff,
            error: 0,
            in_service: [0; 8],
            requested: [0; 8],
            command: 0,
            lvt: [LVT_MASKED; LVT_COUNT],
            timer_initial: 0,
            timer_divide: 0,
            timer_started_ns: 0,
            timer_due_ns: None,
            deadline_tsc: 0,
            rests: false,
            delivered_ns: None,
            rest_until_ns: 0,
        }
    }

    /// Lets the timer rest after each interrupt.
    pub fn set_rests(&mut self, rests: bool) {
        self.rests = rests;
    }

    /// Whether the timer rests after each interrupt.
    pub fn rests(&self) -> bool {
        self.rests
    }

    /// Identifier.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Logical identifier: cluster in the upper half, one bit of 16 in the lower (SDM 11.12.10.2).
    pub fn logical_id(&self) -> u32 {
        self.id >> 4 << 16 | 1 << (self.id & 15)
    }

    /// Whether a destination names this APIC.
    pub fn is_target(&self, target: Target, sender: u32) -> bool {
        match target {
            Target::Physical(id) => id == self.id || id == u32::MAX,
            Target::Logical(mask) => {
                mask == u32::MAX
                    || (mask >> 16 == self.logical_id() >> 16 && mask & self.logical_id() & 0xffff != 0)
            }
            Target::Own => self.id == sender,
            Target::All => true,
            Target::Others => self.id != sender,
        }
    }

    /// Asks for a vector; below 16 it is an error of the sender and ignored.
    pub fn request(&mut self, vector: u8) {
        if vector >= 16 && self.spurious & 0x100 != 0 {
            put(&mut self.requested, vector, true);
        }
    }

    /// Task priority, bits 7:4 of which CR8 shows.
    pub fn task_priority(&self) -> u8 {
        self.task_priority
    }

    /// Sets the task priority.
    pub fn set_task_priority(&mut self, value: u8) {
        self.task_priority = value;
    }

    fn processor_priority(&self) -> u8 {
        let service = highest(&self.in_service).unwrap_or(0);
        if self.task_priority >> 4 >= service >> 4 { self.task_priority } else { service & 0xf0 }
    }

    /// The vector to deliver next, if its priority is high enough.
    pub fn pending(&self) -> Option<u8> {
        highest(&self.requested).filter(|v| v >> 4 > self.processor_priority() >> 4)
    }

    /// Moves a vector from requested to in service.
    pub fn acknowledge(&mut self, vector: u8, now: Now) {
        put(&mut self.requested, vector, false);
        put(&mut self.in_service, vector, true);
        if self.rests && vector == self.lvt[LVT_TIMER] as u8 {
            self.delivered_ns = Some(now.ns);
        }
    }

    /// The guest halts: if the handler set no deadline, what sets the next one is not that handler.
    pub fn halted(&mut self) {
        self.delivered_ns = None;
    }

    /// Takes a delivery back that never reached the guest.
    pub fn take_back(&mut self, vector: u8) {
        put(&mut self.in_service, vector, false);
        put(&mut self.requested, vector, true);
    }

    /// Fires the timer if it is due.
    pub fn advance(&mut self, now: Now) {
        let due = self.timer_due_ns.filter(|due| (*due).max(self.rest_until_ns) <= now.ns);
        let Some(due) = due else { return };
        let entry = self.lvt[LVT_TIMER];
        if entry & LVT_MASKED == 0 {
            self.request(entry as u8);
        }
        self.timer_due_ns = None;
        match self.timer_mode() {
            TimerMode::Periodic if self.timer_initial != 0 => {
                let period = self.period_ns();
                let missed = (now.ns - due) / period;
                self.timer_started_ns = due + missed * period;
                self.timer_due_ns = Some(self.timer_started_ns + period);
            }
            TimerMode::Deadline => self.deadline_tsc = 0,
            TimerMode::Periodic | TimerMode::OneShot => {}
        }
    }

    /// When [`Lapic::advance`] has something to do, nanoseconds of the node's clock.
    pub fn due_ns(&self) -> Option<u64> {
        self.timer_due_ns.map(|due| due.max(self.rest_until_ns))
    }

    fn timer_mode(&self) -> TimerMode {
        match self.lvt[LVT_TIMER] >> 17 & 3 {
            0 => TimerMode::OneShot,
            1 => TimerMode::Periodic,
            _deadline_or_reserved => TimerMode::Deadline,
        }
    }

    fn divider(&self) -> u64 {
        let code = self.timer_divide & 3 | self.timer_divide >> 1 & 4;
        if code == 7 { 1 } else { 2 << code }
    }

    fn period_ns(&self) -> u64 {
        // At least 50 µs, so that a guest cannot keep a processor busy with its timer alone.
        (u64::from(self.timer_initial) * self.divider() * TIMER_NS).max(50_000)
    }

    fn remaining(&self, now: Now) -> u32 {
        match self.timer_due_ns {
            Some(due) if self.timer_mode() != TimerMode::Deadline => {
                (due.saturating_sub(now.ns) / (self.divider() * TIMER_NS)) as u32
            }
            Some(_) | None => 0,
        }
    }

    /// Sets the TSC deadline (MSR 0x6e0).
    pub fn set_deadline(&mut self, tsc: u64, now: Now) {
        if self.timer_mode() != TimerMode::Deadline {
            return;
        }
        if let Some(delivered) = self.delivered_ns.take() {
            let rest = now.ns.saturating_sub(delivered).saturating_mul(REST).min(MAX_REST_NS);
            self.rest_until_ns = now.ns.saturating_add(rest);
        }
        self.deadline_tsc = tsc;
        self.timer_due_ns = (tsc != 0).then(|| now.ns_of_guest_tsc(tsc));
    }

    /// The TSC deadline as last set.
    pub fn deadline(&self) -> u64 {
        self.deadline_tsc
    }

    /// Reads register `index` (MSR number minus 0x800).
    pub fn read(&self, index: u32, now: Now) -> Result<u64, Refused> {
        let word = match index {
            0x02 => self.id,
            0x03 => 0x0005_0014,
            0x08 => u32::from(self.task_priority),
            0x0a => u32::from(self.processor_priority()),
            0x0d => self.logical_id(),
            0x0f => self.spurious,
            0x10..=0x17 => self.in_service[(index - 0x10) as usize],
            // Trigger mode: the IOAPIC keeps track of levels.
            0x18..=0x1f => 0,
            0x20..=0x27 => self.requested[(index - 0x20) as usize],
            0x28 => self.error,
            0x30 => return Ok(self.command),
            0x32 => self.lvt[0],
            0x33 => self.lvt[1],
            0x34 => self.lvt[2],
            0x35 => self.lvt[3],
            0x36 => self.lvt[4],
            0x37 => self.lvt[5],
            0x38 => self.timer_initial,
            0x39 => self.remaining(now),
            0x3e => self.timer_divide,
            _absent => return Err(Refused),
        };
        Ok(u64::from(word))
    }

    /// Writes register `index` (MSR number minus 0x800).
    pub fn write(&mut self, index: u32, value: u64, now: Now) -> Result<Action, Refused> {
        if index != 0x30 && value >> 32 != 0 {
            return Err(Refused);
        }
        let word = value as u32;
        match index {
            0x08 => self.task_priority = word as u8,
            0x0b => {
                if word != 0 {
                    return Err(Refused);
                }
                if let Some(vector) = highest(&self.in_service) {
                    put(&mut self.in_service, vector, false);
                    return Ok(Action::EndOfInterrupt(vector));
                }
            }
            0x0f => self.spurious = word & 0x1ff,
            0x28 => {
                if word != 0 {
                    return Err(Refused);
                }
                self.error = 0;
            }
            0x30 => {
                self.command = value & !(1 << 12);
                return Ok(decode_command(value).map_or(Action::None, Action::Command));
            }
            0x32 => {
                let before = self.timer_mode();
                self.lvt[0] = word & 0x7_00ff | word & LVT_MASKED;
                if before != self.timer_mode() {
                    self.timer_due_ns = None;
                    self.deadline_tsc = 0;
                }
            }
            0x33..=0x37 => self.lvt[(index - 0x32) as usize] = word & 0x1_a7ff,
            0x38 => self.start_timer(word, now),
            0x3e => self.timer_divide = word & 0xb,
            0x3f => {
                return Ok(Action::Command(Command {
                    delivery: Delivery::Fixed,
                    vector: word as u8,
                    target: Target::Own,
                }));
            }
            _read_only_or_absent => return Err(Refused),
        }
        Ok(Action::None)
    }

    fn start_timer(&mut self, initial: u32, now: Now) {
        if self.timer_mode() == TimerMode::Deadline {
            return;
        }
        self.timer_initial = initial;
        self.timer_started_ns = now.ns;
        self.timer_due_ns = (initial != 0).then(|| match self.timer_mode() {
            TimerMode::Periodic => now.ns + self.period_ns(),
            TimerMode::OneShot | TimerMode::Deadline => {
                now.ns + u64::from(initial) * self.divider() * TIMER_NS
            }
        });
    }

    /// The non-maskable interrupt that LINT1 would take, as the IOAPIC's ExtINT has no meaning here.
    pub fn is_enabled(&self) -> bool {
        self.spurious & 0x100 != 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimerMode {
    OneShot,
    Periodic,
    Deadline,
}

fn decode_command(value: u64) -> Option<Command> {
    let delivery = match value >> 8 & 7 {
        0 => Delivery::Fixed,
        1 => Delivery::LowestPriority,
        4 => Delivery::Nmi,
        // INIT with level de-assert is history and does nothing.
        5 if value & (1 << 14) == 0 && value & (1 << 15) != 0 => return None,
        5 => Delivery::Init,
        6 => Delivery::StartUp,
        _smi_or_reserved => return None,
    };
    let destination = (value >> 32) as u32;
    let target = match value >> 18 & 3 {
        0 if value & (1 << 11) != 0 => Target::Logical(destination),
        0 => Target::Physical(destination),
        1 => Target::Own,
        2 => Target::All,
        _others => Target::Others,
    };
    Some(Command { delivery, vector: value as u8, target })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(ns: u64) -> Now {
        Now { ns, guest_tsc: ns * 2, tsc_hz: 2_000_000_000 }
    }

    fn enabled() -> Lapic {
        let mut apic = Lapic::new(3);
        apic.write(0x0f, 0x1ff, now(0)).unwrap();
        apic
    }

    #[test]
    fn the_highest_vector_comes_first_and_blocks_lower_ones_until_its_end() {
        let mut apic = enabled();
        apic.request(0x31);
        apic.request(0x55);
        assert_eq!(apic.pending(), Some(0x55));
        apic.acknowledge(0x55, now(0));
        assert_eq!(apic.pending(), None);
        assert_eq!(apic.write(0x0b, 0, now(0)), Ok(Action::EndOfInterrupt(0x55)));
        assert_eq!(apic.pending(), Some(0x31));
    }

    #[test]
    fn task_priority_holds_interrupts_back() {
        let mut apic = enabled();
        apic.write(0x08, 0x50, now(0)).unwrap();
        apic.request(0x55);
        assert_eq!(apic.pending(), None);
        apic.write(0x08, 0x40, now(0)).unwrap();
        assert_eq!(apic.pending(), Some(0x55));
    }

    #[test]
    fn a_disabled_apic_takes_nothing() {
        let mut apic = Lapic::new(0);
        apic.request(0x40);
        assert_eq!(apic.pending(), None);
    }

    #[test]
    fn the_deadline_timer_fires_once_at_its_deadline() {
        let mut apic = enabled();
        apic.write(0x32, 0x4_00ec, now(0)).unwrap();
        apic.set_deadline(2_000_000, now(0));
        assert_eq!(apic.due_ns(), Some(1_000_000));
        apic.advance(now(999_999));
        assert_eq!(apic.pending(), None);
        apic.advance(now(1_000_000));
        assert_eq!(apic.pending(), Some(0xec));
        assert_eq!(apic.due_ns(), None);
        assert_eq!(apic.deadline(), 0);
    }

    #[test]
    fn a_timer_that_rests_leaves_the_guest_a_multiple_of_what_its_interrupt_took() {
        let mut apic = enabled();
        apic.set_rests(true);
        apic.write(0x32, 0x4_00ec, now(0)).unwrap();
        apic.set_deadline(2_000, now(0));
        apic.advance(now(1_000));
        apic.acknowledge(0xec, now(1_000));
        apic.write(0x0b, 0, now(1_100)).unwrap();
        // The guest's handler took 10 µs and wants to come again at once.
        apic.set_deadline(2 * 11_001, now(11_000));
        assert_eq!(apic.due_ns(), Some(11_000 + REST * 10_000));
        apic.advance(now(11_000 + REST * 10_000 - 1));
        assert_eq!(apic.pending(), None);
        apic.advance(now(11_000 + REST * 10_000));
        assert_eq!(apic.pending(), Some(0xec));
        // Setting it again outside of its interrupt changes nothing.
        apic.set_deadline(2 * 200_000, now(100_000));
        assert_eq!(apic.due_ns(), Some(200_000));
    }

    #[test]
    fn a_handler_that_sets_no_deadline_ends_with_the_halt() {
        let mut apic = enabled();
        apic.set_rests(true);
        apic.write(0x32, 0x4_00ec, now(0)).unwrap();
        apic.acknowledge(0xec, now(20_000));
        apic.halted();
        apic.set_deadline(2 * 90_010_000, now(90_000_000));
        assert_eq!(apic.due_ns(), Some(90_010_000));
    }

    #[test]
    fn the_periodic_timer_keeps_its_phase_after_a_late_look() {
        let mut apic = enabled();
        apic.write(0x3e, 0xb, now(0)).unwrap();
        apic.write(0x32, 0x2_0030, now(0)).unwrap();
        apic.write(0x38, 100_000, now(0)).unwrap();
        apic.advance(now(350_000));
        assert_eq!(apic.pending(), Some(0x30));
        assert_eq!(apic.due_ns(), Some(400_000));
    }

    #[test]
    fn registers_that_do_not_exist_are_refused() {
        let mut apic = enabled();
        for index in [0x00, 0x04, 0x09, 0x0c, 0x0e, 0x29, 0x31, 0x40, 0xff] {
            assert_eq!(apic.read(index, now(0)), Err(Refused), "{index:#x}");
            assert_eq!(apic.write(index, 0, now(0)), Err(Refused), "{index:#x}");
        }
        assert_eq!(apic.write(0x08, 1 << 32, now(0)), Err(Refused));
    }

    #[test]
    fn logical_destinations_name_cluster_members() {
        let apic = Lapic::new(17);
        assert_eq!(apic.logical_id(), 1 << 16 | 2);
        assert!(apic.is_target(Target::Logical(1 << 16 | 3), 0));
        assert!(!apic.is_target(Target::Logical(1 << 16 | 1), 0));
        assert!(!apic.is_target(Target::Logical(2), 0));
    }

    #[test]
    fn commands_are_decoded_by_mode_and_shorthand() {
        let startup = decode_command(5 << 32 | 0x608 | 1 << 14).unwrap();
        assert_eq!(startup, Command { delivery: Delivery::StartUp, vector: 8, target: Target::Physical(5) });
        let others = decode_command(3 << 18 | 0xfb).unwrap();
        assert_eq!(others.target, Target::Others);
        assert_eq!(decode_command(0x8500), None);
        assert_eq!(decode_command(0x200), None);
    }
}
