//! Waiting longer after each failure, with jitter, so that a thousand nodes do not come back at once.

/// First wait, milliseconds.
const FIRST_MS: u64 = 250;
/// Longest wait, milliseconds.
const LONGEST_MS: u64 = 15_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { failures: 0, random: seed | 1 }
    }

    /// Things went well: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait, nanoseconds: between half and all of what doubles with each failure.
    pub(crate) fn next_ns(&mut self) -> u64 {
        let whole = FIRST_MS.saturating_mul(1 << self.failures.min(10)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        // xorshift64 (Marsaglia 2003): spread, not secrecy.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (whole / 2 + self.random % (whole / 2)) * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_spread() {
        let (mut one, mut other) = (Backoff::new(7), Backoff::new(8));
        let waits: alloc::vec::Vec<u64> = (0..40).map(|_| one.next_ns() / 1_000_000).collect();
        assert!(waits.iter().all(|wait| (FIRST_MS / 2..=LONGEST_MS).contains(wait)));
        assert!(waits.iter().skip(8).all(|wait| *wait >= LONGEST_MS / 2));
        assert!(waits.iter().zip(0..40).any(|(wait, _)| *wait != other.next_ns() / 1_000_000));
        one.reset();
        assert!(one.next_ns() / 1_000_000 < FIRST_MS);
    }
}
