//! Whether to look for the next datagram again before going to sleep.
//!
//! In a lock-step transfer the answer to a block comes within tens of microseconds on a fast wire. Going to sleep and being
//! woken costs as much again, on a virtual machine more than that. So a thread whose last waits were all short keeps
//! looking for a bounded time. It must not do so where looking is in vain: with most firmware, whose waits are long, and where
//! the client shares the processor or others want it. A look in vain is therefore followed by ordinary waits, each time
//! twice as many, up to some thousands: what is lost that way is below one part in a hundred.

use std::time::Duration;

/// Short waits in a row after which lingering begins.
const ENOUGH: u32 = 8;
/// Ordinary waits after the first look in vain.
const REST: u32 = 16;
/// Most ordinary waits.
const MAX_REST: u32 = 4096;
/// Looks with success in a row after which a look in vain counts as the first again. At some tens of microseconds each this is
/// longer than a time slice: who competes for the processor with something busy never gets there.
const GOOD: u32 = 256;

/// How the last waits went, in short.
#[derive(Debug)]
pub(crate) struct Linger {
    /// Longest time to look; zero for never.
    limit: Duration,
    quick: u32,
    found: u32,
    rest: u32,
    next_rest: u32,
}

impl Linger {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, quick: 0, found: 0, rest: 0, next_rest: REST }
    }

    /// How long to look before the next sleep.
    pub(crate) fn time(&self) -> Duration {
        if self.quick >= ENOUGH && self.rest == 0 { self.limit } else { Duration::ZERO }
    }

    /// A wait ended after this time.
    pub(crate) fn waited(&mut self, time: Duration) {
        let (looked, short) = (!self.time().is_zero(), time < self.limit);
        match (looked, short) {
            (true, true) => {
                self.found = self.found.saturating_add(1);
                if self.found >= GOOD {
                    self.next_rest = REST;
                }
            }
            (true, false) => {
                self.found = 0;
                self.rest = self.next_rest;
                self.next_rest = self.next_rest.saturating_mul(2).min(MAX_REST);
            }
            (false, _) => self.rest = self.rest.saturating_sub(1),
        }
        self.quick = if short { self.quick.saturating_add(1) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    /// Looks in vain among `waits` where a look always is, and every other wait is short.
    fn vain(linger: &mut Linger, waits: u32) -> u32 {
        let mut looks = 0;
        for _ in 0..waits {
            let look = !linger.time().is_zero();
            looks += u32::from(look);
            linger.waited(if look { us(300) } else { us(20) });
        }
        looks
    }

    #[test]
    fn only_quick_answers_in_a_row_make_a_thread_linger() {
        let mut linger = Linger::new(us(100));
        for _ in 0..ENOUGH {
            assert_eq!(linger.time(), Duration::ZERO);
            linger.waited(us(40));
        }
        assert_eq!(linger.time(), us(100));
    }

    #[test]
    fn looks_in_vain_become_rare() {
        let mut linger = Linger::new(us(100));
        assert!((1..=10).contains(&vain(&mut linger, 5000)));
        assert_eq!(vain(&mut linger, 40_000), 9, "one in some four thousand");
    }

    #[test]
    fn success_is_forgiving() {
        let mut linger = Linger::new(us(100));
        vain(&mut linger, 20_000);
        for _ in 0..2 * MAX_REST {
            linger.waited(us(40));
        }
        linger.waited(us(300));
        (0..REST).for_each(|_| linger.waited(us(40)));
        assert_eq!(linger.time(), us(100), "one lost datagram among many found");
    }

    #[test]
    fn slow_clients_never_cost_a_look() {
        let mut linger = Linger::new(us(100));
        for _ in 0..1000 {
            linger.waited(us(150));
            assert_eq!(linger.time(), Duration::ZERO);
        }
    }

    #[test]
    fn a_limit_of_zero_means_never() {
        let mut linger = Linger::new(Duration::ZERO);
        (0..100).for_each(|_| linger.waited(Duration::ZERO));
        assert_eq!(linger.time(), Duration::ZERO);
    }
}
