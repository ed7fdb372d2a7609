//! A token bucket on the caller's clock.

/// Allows `rate` a second, and `burst` at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: u64,
    burst_milli: u64,
    milli: u64,
    last_ms: u64,
}

impl Bucket {
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        let burst_milli = u64::from(burst.max(1)).saturating_mul(1000);
        Self { rate: rate.into(), burst_milli, milli: burst_milli, last_ms: 0 }
    }

    pub(crate) fn take(&mut self, now_ms: u64) -> bool {
        let passed = now_ms.saturating_sub(self.last_ms);
        self.last_ms = self.last_ms.max(now_ms);
        self.milli = self.milli.saturating_add(passed.saturating_mul(self.rate)).min(self.burst_milli);
        match self.milli.checked_sub(1000) {
            Some(left) => {
                self.milli = left;
                true
            }
            None => false,
        }
    }
}
