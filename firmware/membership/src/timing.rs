//! Periods and bounds of time, in one place.
//!
//! Clocks need not agree; their *rates* may differ by at most one part in fifty. A lease is held for less than
//! it is granted for ([`Timing::hold_ns`]), by more than that difference over the whole chain of three clocks.

/// Milliseconds in nanoseconds.
pub(crate) const MS: u64 = 1_000_000;

/// See the module. All in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two beats of a member.
    pub beat_ns: u64,
    /// A lease as granted.
    pub lease_ns: u64,
    /// Without a frame for so long, a member that others call dead is dead.
    pub silence_ns: u64,
    /// From seeing a need to proposing; also between repeated questions.
    pub nudge_ns: u64,
    /// A configuration that is not agreed in this time is refused.
    pub patience_ns: u64,
    /// Between two probes of the failure detector.
    pub probe_ns: u64,
    /// A suspected member has so long to answer.
    pub suspect_ns: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            beat_ns: 250 * MS,
            lease_ns: 6_000 * MS,
            silence_ns: 3_000 * MS,
            nudge_ns: 300 * MS,
            patience_ns: 10_000 * MS,
            probe_ns: 1_000 * MS,
            suspect_ns: 3_000 * MS,
        }
    }
}

impl Timing {
    /// A lease as held: what was granted, less one part in sixteen.
    pub const fn hold_ns(&self) -> u64 {
        self.lease_ns - self.lease_ns / 16
    }
}
