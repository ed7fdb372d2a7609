//! Round-trip times and how long to wait for an acknowledgement: RFC 6298 with limits for a LAN.

/// Before the first sample: an emulated or busy peer may take long to answer.
const INITIAL_NS: u64 = 20_000_000;
/// Least wait: a processor that has to answer may be in the middle of a slot.
pub const MIN_TIMEOUT_NS: u64 = 5_000_000;
/// Longest wait, backing off included.
pub const MAX_TIMEOUT_NS: u64 = 250_000_000;
/// Most doublings.
const MAX_BACKOFF: u32 = 8;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    smoothed_ns: Option<u64>,
    variation_ns: u64,
    least_ns: Option<u64>,
    backoff: u32,
}

impl Rtt {
    /// A frame that was sent once was acknowledged `ns` later, of which the peer says that it let `delay_ns` pass.
    /// The delay is believed only as far as the shortest round trip allows (RFC 9002, 5.3). Ends backing off: a
    /// frame that was repeated says nothing about the peer's speed.
    pub(crate) fn sample(&mut self, ns: u64, delay_ns: u64) {
        // A sample of a minute says nothing about a LAN, and small numbers cannot overflow below.
        let ns = ns.min(60_000_000_000);
        let least = self.least_ns.map_or(ns, |least| least.min(ns));
        self.least_ns = Some(least);
        self.backoff = 0;
        let ns = ns.saturating_sub(delay_ns).max(least);
        match self.smoothed_ns {
            None => {
                self.smoothed_ns = Some(ns);
                self.variation_ns = ns / 2;
            }
            Some(smoothed) => {
                self.variation_ns = (self.variation_ns * 3 + smoothed.abs_diff(ns)) / 4;
                self.smoothed_ns = Some((smoothed * 7 + ns) / 8);
            }
        }
    }

    /// Nothing was, for a whole timeout.
    pub(crate) fn timed_out(&mut self) {
        self.backoff = (self.backoff + 1).min(MAX_BACKOFF);
    }

    /// How long to wait now.
    pub(crate) fn timeout_ns(&self) -> u64 {
        let base = self.smoothed_ns.map_or(INITIAL_NS, |smoothed| smoothed + 4 * self.variation_ns);
        (base.max(MIN_TIMEOUT_NS) << self.backoff).min(MAX_TIMEOUT_NS)
    }

    /// How long to wait for a frame that later ones overtook.
    pub(crate) fn overtaken_ns(&self) -> u64 {
        let slack = self.least_ns.unwrap_or(INITIAL_NS) / 4 + 2 * self.variation_ns;
        (self.smoothed_ns.unwrap_or(INITIAL_NS) + slack).min(self.timeout_ns())
    }

    pub(crate) fn smoothed_ns(&self) -> Option<u64> {
        self.smoothed_ns
    }

    pub(crate) fn least_ns(&self) -> Option<u64> {
        self.least_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_samples_within_its_limits() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout_ns(), INITIAL_NS);
        for _ in 0..100 {
            rtt.sample(50_000, 0);
        }
        assert_eq!(rtt.timeout_ns(), MIN_TIMEOUT_NS);
        for _ in 0..100 {
            rtt.sample(10_000_000, 0);
        }
        assert!((10_000_000..13_000_000).contains(&rtt.timeout_ns()), "{}", rtt.timeout_ns());
        rtt.sample(u64::MAX, 0);
        assert_eq!(rtt.timeout_ns(), MAX_TIMEOUT_NS);
        assert_eq!(rtt.least_ns(), Some(50_000));
    }

    #[test]
    fn silence_doubles_the_timeout_and_a_clean_sample_ends_that() {
        let mut rtt = Rtt::default();
        rtt.sample(1_000_000, 0);
        let first = rtt.timeout_ns();
        rtt.timed_out();
        assert_eq!(rtt.timeout_ns(), 2 * first);
        for _ in 0..40 {
            rtt.timed_out();
        }
        assert_eq!(rtt.timeout_ns(), MAX_TIMEOUT_NS);
        rtt.sample(1_000_000, 0);
        assert!(rtt.timeout_ns() <= first);
    }

    #[test]
    fn a_peer_that_claims_too_long_a_delay_is_not_believed() {
        let mut rtt = Rtt::default();
        rtt.sample(100_000, 90_000);
        assert_eq!(rtt.smoothed_ns(), Some(100_000));
        for _ in 0..100 {
            rtt.sample(300_000, 200_000);
        }
        assert_eq!((rtt.smoothed_ns(), rtt.least_ns()), (Some(100_000), Some(100_000)));
        rtt.sample(100_000, u64::MAX);
        assert_eq!(rtt.smoothed_ns(), Some(100_000));
    }
}
