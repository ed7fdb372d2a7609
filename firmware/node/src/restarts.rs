//! How soon a guest that reset itself is started again.
//!
//! A reboot is started at once. A guest that resets itself again and again before it did anything would otherwise take the
//! node's time, and bury its events, without end: each further one waits twice as long, up to [`MAX_WAIT_NS`].
//! One run of [`STEADY_NS`] is proof enough that it works, and the count begins anew.

/// A run this long is no part of a loop.
pub(crate) const STEADY_NS: u64 = 60_000_000_000;
/// Resets in a row that are started again at once: installers and firmware updates reset more than once.
pub(crate) const FREE: u32 = 3;
/// Wait after the first reset that is not.
const FIRST_WAIT_NS: u64 = 1_000_000_000;
/// Longest wait.
pub(crate) const MAX_WAIT_NS: u64 = 60_000_000_000;

/// Resets of one server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Restarts {
    started_ns: u64,
    in_a_row: u32,
    until_ns: u64,
}

impl Restarts {
    /// Its first instruction runs.
    pub(crate) fn started(&mut self, now_ns: u64) {
        self.started_ns = now_ns;
    }

    /// The guest reset itself. Returns how long it waits, 0 for not at all.
    pub(crate) fn reset(&mut self, now_ns: u64) -> u64 {
        if now_ns.saturating_sub(self.started_ns) >= STEADY_NS {
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let wait_ns = match self.in_a_row.checked_sub(FREE + 1) {
            None => 0,
            Some(doublings) => {
                let times = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
                FIRST_WAIT_NS.saturating_mul(times).min(MAX_WAIT_NS)
            }
        };
        self.until_ns = if wait_ns == 0 { 0 } else { now_ns.saturating_add(wait_ns) };
        wait_ns
    }

    /// How many resets followed each other without a steady run between.
    pub(crate) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Until when it waits; 0 for not.
    pub(crate) fn until_ns(&self) -> u64 {
        self.until_ns
    }

    /// Ends a wait whose time has come. What else a server waits for is not this module's.
    pub(crate) fn expire(&mut self, now_ns: u64) {
        if self.until_ns <= now_ns {
            self.until_ns = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn waits_double_up_to_a_bound_and_never_end() {
        let mut restarts = Restarts::default();
        let mut now = 5 * SECOND;
        let waits: [u64; 12] = core::array::from_fn(|_| {
            restarts.started(now);
            now += SECOND / 2;
            let wait = restarts.reset(now);
            assert_eq!(restarts.until_ns(), if wait == 0 { 0 } else { now + wait });
            now += wait;
            restarts.expire(now);
            assert_eq!(restarts.until_ns(), 0);
            wait / SECOND
        });
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        for _ in 0..200 {
            restarts.started(now);
            assert_eq!(restarts.reset(now), MAX_WAIT_NS);
        }
    }

    #[test]
    fn a_steady_run_wipes_the_slate_clean() {
        let mut restarts = Restarts::default();
        for _ in 0..20 {
            restarts.started(0);
            restarts.reset(1);
        }
        restarts.started(SECOND);
        assert_eq!(restarts.reset(SECOND + STEADY_NS), 0);
        assert_eq!(restarts.in_a_row(), 1);
    }
}
