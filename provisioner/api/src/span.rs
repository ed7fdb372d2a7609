//! A virtual server that spans nodes, as it works: `GET /api/v1/vs/{name}/span`.

use serde::{Deserialize, Serialize};

/// A virtual server that spans nodes, as it works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Span {
    /// The server.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Instance that the figures are of.
    pub instance: u64,
    /// Its nodes, in the order of its NUMA nodes.
    pub nodes: Vec<SpanNode>,
    /// Pages that made most trouble, most first, of all nodes together.
    pub hottest: Vec<SpanPage>,
}

/// One node's part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanNode {
    /// Node.
    pub node: String,
    /// State there.
    pub state: String,
    /// How old its figures are, milliseconds; null where it has told none of this instance.
    pub age_ms: Option<u64>,
    /// Virtual processors there.
    pub vcpus: Vec<SpanVcpu>,
    /// Guest memory whose locator is there, MiB.
    pub memory_mib: u32,
    /// The same as guest physical addresses.
    pub memory: Vec<SpanRange>,
    /// Pages there.
    pub pages: SpanPages,
    /// Counts since the start of the instance.
    pub counts: SpanCounts,
    /// The same for each second, between the last two reports; null where there are no two, or the last is old.
    pub rates: Option<SpanRates>,
    /// Read faults that needed another node, since the start.
    pub read_latency: SpanLatency,
    /// Write faults likewise.
    pub write_latency: SpanLatency,
    /// Links to the other nodes.
    pub links: Vec<SpanLink>,
    /// Frames that came over the wire and were dropped.
    pub frames_dropped: u64,
    /// Times that guest time was stepped forward there.
    pub clock_steps: u64,
    /// Largest step, ticks of the guest's counter.
    pub clock_step_max: u64,
}

/// A virtual processor and where it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanVcpu {
    /// Its number in the guest.
    pub vcpu: u16,
    /// Processor of the node.
    pub cpu: u16,
}

/// A stretch of guest physical memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanRange {
    /// First address, `0x1000`.
    pub first: String,
    /// Address after the last.
    pub end: String,
}

/// Pages at one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanPages {
    /// Pages located there.
    pub located: u64,
    /// Pages that may be written there.
    pub writable: u64,
    /// Pages that may only be read there.
    pub readable: u64,
    /// Frames in use: pages, old contents and twins.
    pub frames: u64,
}

macro_rules! counted {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What a node counted for a spanning server.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct SpanCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same for each second.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct SpanRates {
            $($(#[$doc])* pub $name: f64,)*
        }

        impl SpanCounts {
            /// What was added since `before`, for each second, to a tenth. `None` where no time passed.
            pub fn rates(&self, before: &Self, elapsed_ms: u64) -> Option<SpanRates> {
                (elapsed_ms > 0).then(|| SpanRates {
                    $($name: per_second(self.$name.saturating_sub(before.$name), elapsed_ms),)*
                })
            }
        }
    };
}

counted! {
    /// Read faults answered from elsewhere.
    remote_read,
    /// Write faults answered from elsewhere.
    remote_write,
    /// Copies that were there and became writable.
    upgrade,
    /// Pages that came as nothing but zeros.
    zero,
    /// Pages that came as changes.
    diff,
    /// Pages that came whole.
    whole,
    /// Faults answered there without a message.
    own,
    /// Pages asked for ahead.
    prefetched,
    /// Those of them that were used.
    prefetch_used,
    /// Pages given to a reader to write.
    migrated,
    /// Pages taken from there for others to write.
    lost,
    /// Takings that waited for an instruction.
    deferred,
    /// Times that an instruction got the token.
    tokens,
    /// Clean copies dropped for want of frames.
    dropped,
    /// Owned pages that left for want of frames.
    returned,
    /// Messages sent.
    messages_sent,
    /// Messages received.
    messages_received,
    /// Bytes of control messages sent.
    control_bytes,
    /// Bytes of page contents sent, as encoded.
    content_bytes,
    /// Bytes of frames sent to other nodes, headers and repetitions included.
    bytes_sent,
    /// Bytes of frames received from them.
    bytes_received,
}

/// Counts are far below 2⁵³, where every number is one of a double's.
fn per_second(count: u64, elapsed_ms: u64) -> f64 {
    let rate = count as f64 * 1000.0 / elapsed_ms as f64;
    (rate * 10.0).round() / 10.0
}

/// How long faults took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanLatency {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer, nanoseconds, found within a power of two; 0 where there were none.
    pub p50_ns: u64,
    /// 99 of 100 took no longer, likewise.
    pub p99_ns: u64,
    /// The histogram, from its first bucket that is not empty to its last.
    pub buckets: Vec<SpanBucket>,
}

/// Times from `from_ns` to twice that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanBucket {
    /// Least time in it, nanoseconds.
    pub from_ns: u64,
    /// How many.
    pub count: u64,
}

impl SpanLatency {
    /// From counts by power of two: count `n` is of times from 2ⁿ ns to below 2ⁿ⁺¹ ns.
    pub fn of(counts: &[u64]) -> Self {
        let counts = counts.get(..63).unwrap_or(counts);
        let count = counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
        let bucket = |(power, count): (usize, &u64)| SpanBucket { from_ns: 1 << power, count: *count };
        let first = counts.iter().position(|count| *count != 0).unwrap_or(counts.len());
        let end = counts.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1);
        let shown = counts.iter().enumerate().take(end).skip(first);
        Self {
            count,
            p50_ns: quantile(counts, count, 50),
            p99_ns: quantile(counts, count, 99),
            buckets: shown.map(bucket).collect(),
        }
    }
}

/// The time that `percent` of the faults did not exceed, taking those of a bucket as evenly spread.
fn quantile(counts: &[u64], all: u64, percent: u64) -> u64 {
    let wanted = u128::from(all) * u128::from(percent);
    let mut below = 0u128;
    for (power, count) in counts.iter().enumerate() {
        let inside = u128::from(*count) * 100;
        if inside > 0 && below + inside >= wanted {
            let from = 1u128 << power;
            let at = from + from * (wanted - below) / inside;
            return u64::try_from(at).unwrap_or(u64::MAX);
        }
        below += inside;
    }
    0
}

/// The link to another node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanLink {
    /// The other node.
    pub node: String,
    /// Frames sent, repetitions and acknowledgements included.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Bytes of frames sent.
    pub bytes_sent: u64,
    /// Bytes of frames received.
    pub bytes_received: u64,
    /// Frames sent again.
    pub retransmits: u64,
    /// Times that nothing was acknowledged in time.
    pub timeouts: u64,
    /// Round trip, smoothed, nanoseconds; null where none was measured.
    pub rtt_ns: Option<u64>,
    /// Shortest round trip, nanoseconds.
    pub rtt_least_ns: Option<u64>,
}

/// A page that makes trouble.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanPage {
    /// Its guest physical address, `0x1000`.
    pub address: String,
    /// Node that locates it; empty where that is not known yet.
    pub node: String,
    /// What is there: `low` (below 1 MiB: boot structures, firmware tables), `kernel` (the kernel's image, known
    /// where it was told `nokaslr`), else `ram`.
    pub region: String,
    /// Remote read faults on it, of all nodes, since it was counted.
    pub reads: u64,
    /// Remote write faults likewise.
    pub writes: u64,
    /// Changes of its writer.
    pub moves: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_what_was_added() {
        let before = SpanCounts { remote_read: 100, messages_sent: 7, ..SpanCounts::default() };
        let now = SpanCounts { remote_read: 350, messages_sent: 7, lost: 1, ..SpanCounts::default() };
        let rates = now.rates(&before, 1250).expect("time passed");
        assert_eq!((rates.remote_read, rates.messages_sent, rates.lost), (200.0, 0.0, 0.8));
        assert_eq!(now.rates(&before, 0), None);
        assert_eq!(before.rates(&now, 1000).map(|rates| rates.remote_read), Some(0.0), "never negative");
    }

    #[test]
    fn quantiles_lie_within_their_power_of_two() {
        assert_eq!(SpanLatency::of(&[]), SpanLatency::default());
        let mut counts = [0; 40];
        (counts[10], counts[12], counts[20]) = (98, 1, 1);
        let latency = SpanLatency::of(&counts);
        assert_eq!(latency.count, 100);
        assert!((1024..2048).contains(&latency.p50_ns), "{latency:?}");
        assert!((4096..=8192).contains(&latency.p99_ns), "{latency:?}");
        assert_eq!(latency.buckets.len(), 11, "from the first that is not empty to the last");
        assert_eq!(latency.buckets.last(), Some(&SpanBucket { from_ns: 1 << 20, count: 1 }));
        assert_eq!(SpanLatency::of(&[u64::MAX; 64]).count, u64::MAX, "no overflow");
    }
}
