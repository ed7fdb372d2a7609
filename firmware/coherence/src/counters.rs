//! What an engine counts. Read by the management plane; the protocol does not depend on it.

/// Buckets of a latency histogram: bucket `n` counts times below 2ⁿ⁺¹ ns and not below 2ⁿ.
pub const BUCKETS: usize = 40;

/// Faults of one class and how long they took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Latency {
    /// By the logarithm of the time in nanoseconds.
    pub buckets: [u64; BUCKETS],
    /// Sum of all times, nanoseconds.
    pub total_ns: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], total_ns: 0 }
    }
}

impl Latency {
    pub(crate) fn add(&mut self, ns: u64) {
        let bucket = usize::try_from(ns.max(1).ilog2()).unwrap_or(BUCKETS).min(BUCKETS - 1);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.total_ns = self.total_ns.saturating_add(ns);
    }

    /// How many times were added.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counts since the start of an engine. They saturate.
        #[derive(Clone, Default, PartialEq, Eq, Debug)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            /// Times of read faults that needed another member.
            pub read_latency: Latency,
            /// Times of write faults that needed another member, upgrades included.
            pub write_latency: Latency,
        }

        impl Counters {
            /// Every plain count with its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Faults that found the page here.
    local,
    /// Faults answered on this member without a message: pages located here that nobody has.
    own,
    /// Read faults answered from elsewhere.
    remote_read,
    /// Write faults answered from elsewhere.
    remote_write,
    /// Copies that were here already and became writable.
    upgrade,
    /// Pages given to a reader to write, since readers of it write it next; at their locator.
    migrated,
    /// Those of them that came here and were written.
    migrated_written,
    /// Pages that came as nothing but zeros.
    zero,
    /// Pages that came as changes.
    diff,
    /// Pages that came as 4096 bytes.
    whole,
    /// Faults during a walk of page tables.
    walk,
    /// Messages sent.
    sent,
    /// Messages received.
    received,
    /// Control bytes sent.
    control_bytes,
    /// Messages sent that carry a page.
    pages_sent,
    /// Bytes of whole pages received.
    payload_received,
    /// Bytes of payloads sent, as the node told by `add_payload`.
    payload_sent,
    /// Messages one after another on the way from this member's faults to their pages, in sum.
    hops,
    /// Pages taken from here for others to write.
    lost,
    /// Takings that waited for an instruction.
    deferred,
    /// Takings that an instruction had to give way to.
    broken,
    /// Times that an instruction got the token.
    tokens,
    /// Prefetches asked for.
    prefetched,
    /// Prefetched pages that were used.
    prefetch_used,
    /// Prefetches refused by the locator.
    prefetch_refused,
    /// Clean copies dropped for want of frames.
    dropped,
    /// Owned pages that left for want of frames.
    returned,
    /// Faults that had to wait for a frame.
    starved,
    /// Contents asked for a second time.
    again,
    /// Confirmations and refusals that came when they no longer mattered.
    overtaken,
    /// Messages of another epoch.
    other_epoch,
    /// Messages that do not decode, or from nobody.
    malformed,
    /// Messages that make no sense now.
    impossible,
}

/// Adds one, without wrapping.
pub(crate) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_their_power_of_two() {
        let mut latency = Latency::default();
        for ns in [0, 1, 2, 3, 1023, 1024, u64::MAX] {
            latency.add(ns);
        }
        let at = |n: usize| latency.buckets[n];
        assert_eq!((at(0), at(1), at(9), at(10), at(BUCKETS - 1)), (2, 2, 1, 1, 1));
        assert_eq!(latency.count(), 7);
    }
}
