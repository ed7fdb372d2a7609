//! How large frames to a peer may be. Nobody on the way tells, so the sender finds out (the idea of RFC 8899): frames of
//! [`BASE_FRAME`] pass everywhere, and longer ones are used once the peer has answered a probe that was as long.
//!
//! ```text
//!          probe of the own largest frame             answered
//! base ───────────────────────────────▶ asked ─────────────────────▶ largest
//!   ▲                                     │ unanswered: soon again, then seldom
//!   └─────────────────────────────────────┘
//! ```
//! The way may become narrower later. Frames in flight keep their numbers and cannot be cut up anew, so who sends
//! them again and again in vain to a peer that is heard says so ([`Links::is_narrowed`](super::Links::is_narrowed)).

/// Bytes from the link header on that any Ethernet carries, also under IPv4 and UDP.
pub const BASE_FRAME: usize = 1472;
/// Ethernet's own; who has no more is not asked for more.
const USUAL_FRAME: usize = 1500;
/// Probes that follow one another soon.
const SOON: u32 = 5;
const SOON_NS: u64 = 100_000_000;
const SELDOM_NS: u64 = 10_000_000_000;

/// See the module.
pub(crate) struct FrameSize {
    /// What this member's back end sends, clamped.
    largest: usize,
    confirmed: bool,
    probes: u32,
    probe_ns: u64,
    /// The peer's probe came and was not answered yet.
    answer: bool,
}

impl FrameSize {
    /// `largest`: the back end's.
    pub(crate) fn new(largest: usize, now_ns: u64) -> Self {
        Self { largest, confirmed: largest <= USUAL_FRAME, probes: 0, probe_ns: now_ns, answer: false }
    }

    /// Bytes of a frame, from the link header on.
    pub(crate) fn frame(&self) -> usize {
        if self.confirmed { self.largest } else { self.largest.min(BASE_FRAME) }
    }

    /// When a probe is due.
    pub(crate) fn probe_at(&self) -> Option<u64> {
        (!self.confirmed).then_some(self.probe_ns)
    }

    /// How long a probe is to be, where one is due.
    pub(crate) fn probe(&self, now_ns: u64) -> Option<usize> {
        self.probe_at().filter(|at| *at <= now_ns).map(|_| self.largest)
    }

    /// A probe has left.
    pub(crate) fn probed(&mut self, now_ns: u64) {
        self.probes = self.probes.saturating_add(1);
        self.probe_ns = now_ns.saturating_add(if self.probes < SOON { SOON_NS } else { SELDOM_NS });
    }

    /// The peer's probe has come.
    pub(crate) fn asked(&mut self) {
        self.answer = true;
    }

    /// Whether an answer is due.
    pub(crate) fn owes_answer(&self) -> bool {
        self.answer
    }

    /// The answer has left.
    pub(crate) fn has_answered(&mut self) {
        self.answer = false;
    }

    /// The peer has answered. Whether frames may be longer now than before.
    pub(crate) fn answered(&mut self) -> bool {
        let asked = self.probes > 0;
        asked && !core::mem::replace(&mut self.confirmed, true)
    }
}
