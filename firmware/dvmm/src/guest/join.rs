//! What the members of a spanning server tell each other until they run, and when they end.
//!
//! ```text
//!  each further member ──Ready, its features, round trips──▶ first
//!  first, when all are ready and know its pages ──Run, the common features──▶ all; vCPUs run
//!  whoever ends ──End──▶ all
//! ```
//!
//! A member is ready when it has measured the way to each other one, or soon after; the first one writes what all
//! measured into the guest's tables before the guest reads them.

use super::memory::DEVICES;
use super::{End, Guest, Member};
use crate::local;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::{Mutex, Once};
use weft_hal::time;
use weft_vmm::acpi::{self, Distances, Proximity};
use weft_vmm::cpu::counter;
use weft_vmm::cpu::exits::Outcome;
use weft_vmm::cpu::features::{self, CommonProcessor};
use weft_vmm::layout;
use weft_vmm::machine::remote::Received;
use weft_wire::span::{EndKind, Features, Joining, SpanMessage};

/// How long a member waits for answers of all others before it is ready without.
const PATIENCE_NS: u64 = 1_000_000_000;

/// From what the first member makes the guest's tables again.
pub(super) struct Firmware {
    pub(super) nodes: Vec<Proximity>,
    pub(super) virtio_slots: u16,
}

/// Where a guest stands between loaded and running.
pub(super) struct Join {
    released: AtomicBool,
    /// What each further member that is ready said.
    ready: Mutex<Vec<Option<Joining>>>,
    own: Features,
    common: Once<CommonProcessor>,
    began_ns: u64,
    announced: AtomicBool,
    firmware: Option<Firmware>,
}

impl Join {
    /// A guest of one node runs at once.
    pub(super) fn alone() -> Self {
        Self {
            released: AtomicBool::new(true),
            ready: Mutex::new(Vec::new()),
            own: Features::default(),
            common: Once::new(),
            began_ns: time::now_ns(),
            announced: AtomicBool::new(true),
            firmware: None,
        }
    }

    /// One of `count` members, whose processors have these features. The one that loads the guest has its firmware.
    pub(super) fn members(count: usize, own: Features, firmware: Option<Firmware>) -> Self {
        Self {
            released: AtomicBool::new(false),
            ready: Mutex::new(alloc::vec![None; count]),
            own,
            announced: AtomicBool::new(false),
            firmware,
            ..Self::alone()
        }
    }

    /// Whether vCPUs may run.
    pub(super) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    /// What the guest is told of its processors, if that is not the node's own.
    pub(super) fn common_processor(&self) -> Option<&CommonProcessor> {
        self.common.get()
    }

    /// This member's part of what the first one waits for, once it is there.
    fn joining(&self, member: &Member) -> Option<Joining> {
        let round_trips_us = member.round_trips_us();
        let me = usize::from(member.me());
        let measured = round_trips_us.iter().enumerate().all(|(other, us)| other == me || *us != 0);
        let whole = measured || time::now_ns() > self.began_ns + PATIENCE_NS;
        whole.then(|| Joining { features: self.own.clone(), round_trips_us })
    }

    /// Tells the first member once that this one is ready, when it is.
    fn announce(&self, member: &Member) {
        if member.me() == 0 || self.announced.load(Ordering::Acquire) {
            return;
        }
        if let Some(joining) = self.joining(member) {
            self.announced.store(true, Ordering::Release);
            member.send(0, &SpanMessage::Ready, &joining.encode().unwrap_or_default());
        }
    }
}

impl Guest {
    /// Deals with what other members said, and with what became of this member.
    pub(crate) fn serve_member(&self) {
        let Some(member) = self.member() else { return };
        let _order = member.serve_in_order();
        self.join.announce(member);
        if let Some(cause) = member.take_failure() {
            self.stop(End::Failed(cause));
        }
        while let Some(next) = member.next_message() {
            let (from, message, payload) = next;
            match message {
                SpanMessage::Ready => self.note_ready(from, &payload),
                SpanMessage::Run { tsc_hz } if from == 0 => {
                    let common = Features::decode(&payload).unwrap_or_default();
                    self.start(tsc_hz, common);
                }
                SpanMessage::End(kind) => self.stop_here(ended(kind)),
                SpanMessage::Moves { vcpu, part, parts } => {
                    self.arrives(member, from, usize::from(vcpu), (part, parts), &payload);
                }
                message => {
                    let mut machine = self.machine.lock();
                    let received = machine.receive(usize::from(from), message, &self.view(DEVICES));
                    self.release(machine);
                    match received {
                        Received::Done => {}
                        Received::Need(_) => {
                            member.postpone((from, message, payload));
                            return;
                        }
                        Received::Ends(Outcome::Reset) => self.stop(End::Reset),
                        Received::Ends(_off) => self.stop(End::PowerOff),
                        Received::Refused => member.count_refused(),
                    }
                }
            }
        }
        self.start_when_all_are_ready(member);
    }

    fn note_ready(&self, from: u8, payload: &[u8]) {
        let joining = Joining::decode(payload).unwrap_or_default();
        if let Some(slot) = self.join.ready.lock().get_mut(usize::from(from)) {
            *slot = Some(joining);
        }
    }

    fn start_when_all_are_ready(&self, member: &Member) {
        if member.me() != 0 || self.join.is_released() || !member.is_adopted() {
            return;
        }
        let mut ready = self.join.ready.lock();
        if let Some(mine) = ready.first_mut() {
            *mine = self.join.joining(member);
        }
        let Some(all) = ready.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else { return };
        let own = self.join.own.clone();
        let common = all.iter().fold(own, |common, other| features::common(&common, &other.features));
        let trips: Vec<Vec<u32>> = all.iter().map(|joining| joining.round_trips_us.clone()).collect();
        drop(ready);
        self.tell_distances(member, &trips);
        let run = SpanMessage::Run { tsc_hz: time::tsc_hz() };
        member.send_all(&run, &common.encode().unwrap_or_default());
        self.start(time::tsc_hz(), common);
    }

    /// Writes the guest's tables again, with what members measured. No vCPU runs yet.
    fn tell_distances(&self, member: &Member, trips_us: &[Vec<u32>]) {
        let Some(firmware) = &self.join.firmware else { return };
        let round_trip = |from: usize, to: usize| {
            let us = trips_us.get(from).and_then(|row| row.get(to)).copied().unwrap_or(0);
            (us != 0).then(|| u64::from(us) * 1000)
        };
        let distances = Distances::measured(firmware.nodes.len(), round_trip);
        // They were built from the same before; only the distances differ.
        let Ok(tables) = acpi::build(&firmware.nodes, &distances, firmware.virtio_slots) else { return };
        if member.fill(|memory| memory.write(layout::ACPI, &tables)).is_err() {
            self.stop(End::Failed("the guest's tables are not where they were loaded".into()));
        }
    }

    fn start(&self, tsc_hz: u64, common: Features) {
        self.tsc_hz.store(tsc_hz, Ordering::Relaxed);
        let right = counter::ratio(tsc_hz, time::tsc_hz());
        self.processors.set_tsc_ratio(right / 1000 * local::drift_permille() + right % 1000);
        self.join.common.call_once(|| CommonProcessor(common));
        self.join.released.store(true, Ordering::Release);
        self.processors.wake_all();
    }
}

/// What another member's end is here.
fn ended(kind: EndKind) -> End {
    match kind {
        EndKind::PowerOff => End::PowerOff,
        EndKind::Reset => End::Reset,
        EndKind::Stopped => End::Stopped,
        // The span told the cause already; this is for one without.
        EndKind::Failed => End::Failed("another member of the server failed".into()),
    }
}

/// What this member's end is for the others, and the words that go with it.
pub(super) fn end_message(end: &End) -> (SpanMessage, &[u8]) {
    let (kind, words): (_, &[u8]) = match end {
        End::PowerOff => (EndKind::PowerOff, b""),
        End::Reset => (EndKind::Reset, b""),
        End::Stopped => (EndKind::Stopped, b""),
        End::Failed(cause) => (EndKind::Failed, cause.as_bytes()),
    };
    (SpanMessage::End(kind), words)
}
