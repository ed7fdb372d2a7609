//! Figures of one member of a virtual server that spans nodes, as its node tells the appliance about once a second.
//!
//! All counts are since the start of the instance; who wants rates takes two of these and the time between
//! them ([`SpanFigures::uptime_ms`], the node's own clock). A figure that comes late or not at all harms nobody:
//! the next one has everything.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use weft_types::VsId;

use crate::cluster::MAX_MEMBERS;

/// Most processors of one virtual server.
pub const MAX_VCPUS: usize = 32;
/// Most links of one member: one to each other member.
pub const MAX_LINKS: usize = MAX_MEMBERS - 1;
/// Most buckets of a latency histogram.
pub const MAX_BUCKETS: usize = 40;
/// Most stretches of guest memory of one member: below and above the hole for devices.
pub const MAX_STRETCHES: usize = 4;
/// Most pages among the hottest.
pub const MAX_HOT_PAGES: usize = 16;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanFigures {
    /// Server.
    pub vs: VsId,
    /// Instance in use.
    pub instance: u64,
    /// Number of the member, which is its place in the server's span.
    pub member: u8,
    /// When they were taken, milliseconds since the DVMM started.
    pub uptime_ms: u64,
    /// Virtual processors that run here, at most [`MAX_VCPUS`].
    pub vcpus: Vec<VcpuHome>,
    /// Guest memory that this member locates, at most [`MAX_STRETCHES`].
    pub memory: Vec<Stretch>,
    /// Guest pages.
    pub pages: PageFigures,
    /// What the coherence engine counted.
    pub counts: SpanCounts,
    /// Links to the other members, at most [`MAX_LINKS`].
    pub links: Vec<LinkFigures>,
    /// Frames that came over the wire and were dropped.
    pub frames_dropped: u64,
    /// Times that guest time was stepped forward.
    pub clock_steps: u64,
    /// Largest step, ticks of the guest's counter.
    pub clock_step_max: u64,
    /// Times of read faults that needed another member: count `n` is of those below 2ⁿ⁺¹ ns and not below 2ⁿ. At
    /// most [`MAX_BUCKETS`]; what is missing at the end is zero.
    pub read_latency: Vec<u64>,
    /// The same for write faults, upgrades included.
    pub write_latency: Vec<u64>,
    /// Pages that made most trouble, most first, at most [`MAX_HOT_PAGES`].
    pub hottest: Vec<HotPageFigures>,
}

/// A virtual processor and where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuHome {
    /// Its number in the guest.
    pub vcpu: u16,
    /// Processor of the node.
    pub cpu: u16,
}

/// Consecutive guest pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// First page: guest physical address over 4096.
    pub first: u64,
    /// How many.
    pub pages: u64,
}

/// Guest pages at one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageFigures {
    /// Pages that may be written here.
    pub writable: u64,
    /// Pages that may be read here and not written.
    pub readable: u64,
    /// Frames in use: pages, old contents and twins.
    pub frames: u64,
}

/// What a member's coherence engine counted. docs/coherence.md says what each is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanCounts {
    /// Read faults answered from elsewhere.
    pub remote_read: u64,
    /// Write faults answered from elsewhere.
    pub remote_write: u64,
    /// Copies that were here and became writable.
    pub upgrade: u64,
    /// Pages that came as nothing but zeros.
    pub zero: u64,
    /// Pages that came as changes.
    pub diff: u64,
    /// Pages that came whole.
    pub whole: u64,
    /// Faults answered here without a message.
    pub own: u64,
    /// Pages asked for ahead.
    pub prefetched: u64,
    /// Those of them that were used.
    pub prefetch_used: u64,
    /// Pages given to a reader to write.
    pub migrated: u64,
    /// Pages taken from here for others to write.
    pub lost: u64,
    /// Takings that waited for an instruction.
    pub deferred: u64,
    /// Times that an instruction got the token.
    pub tokens: u64,
    /// Clean copies dropped for want of frames.
    pub dropped: u64,
    /// Owned pages that left for want of frames.
    pub returned: u64,
    /// Messages sent.
    pub messages_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Bytes of control messages sent.
    pub control_bytes: u64,
    /// Bytes of page contents sent, as encoded.
    pub content_bytes: u64,
}

/// A link to another member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFigures {
    /// The other member.
    pub member: u8,
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
    /// Smoothed round trip, nanoseconds.
    pub rtt_ns: Option<u64>,
    /// Shortest round trip, nanoseconds.
    pub rtt_least_ns: Option<u64>,
}

/// A page that makes trouble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotPageFigures {
    /// Number of the page: guest physical address over 4096.
    pub page: u64,
    /// Remote read faults of this member on it, since it was among those counted.
    pub reads: u32,
    /// Remote write faults likewise.
    pub writes: u32,
    /// Changes of its writer, at most, where this member locates it; else zero.
    pub moves: u32,
}

impl SpanFigures {
    /// The first field that is longer than it may be.
    pub(crate) fn too_long(&self) -> Option<&'static str> {
        let bounds = [
            (self.vcpus.len(), MAX_VCPUS, "span.vcpus"),
            (self.memory.len(), MAX_STRETCHES, "span.memory"),
            (self.links.len(), MAX_LINKS, "span.links"),
            (self.read_latency.len(), MAX_BUCKETS, "span.read_latency"),
            (self.write_latency.len(), MAX_BUCKETS, "span.write_latency"),
            (self.hottest.len(), MAX_HOT_PAGES, "span.hottest"),
        ];
        bounds.into_iter().find(|(len, max, _)| len > max).map(|(_, _, field)| field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::ToServer;
    use crate::codec::{DecodeError, decode_to_server, encode_to_server};
    use alloc::boxed::Box;
    use alloc::vec;

    /// Figures as long as they may be, of the largest numbers.
    fn largest() -> SpanFigures {
        let most = u64::MAX;
        let link = LinkFigures {
            member: u8::MAX,
            frames_sent: most,
            frames_received: most,
            bytes_sent: most,
            bytes_received: most,
            retransmits: most,
            timeouts: most,
            rtt_ns: Some(most),
            rtt_least_ns: Some(most),
        };
        let page = HotPageFigures { page: most, reads: u32::MAX, writes: u32::MAX, moves: u32::MAX };
        SpanFigures {
            vs: VsId([0xff; 16]),
            instance: most,
            member: u8::MAX,
            uptime_ms: most,
            vcpus: vec![VcpuHome { vcpu: u16::MAX, cpu: u16::MAX }; MAX_VCPUS],
            memory: vec![Stretch { first: most, pages: most }; MAX_STRETCHES],
            links: vec![link; MAX_LINKS],
            read_latency: vec![most; MAX_BUCKETS],
            write_latency: vec![most; MAX_BUCKETS],
            hottest: vec![page; MAX_HOT_PAGES],
            frames_dropped: most,
            clock_steps: most,
            clock_step_max: most,
            ..SpanFigures::default()
        }
    }

    fn decoded(figures: SpanFigures) -> Result<ToServer, DecodeError> {
        decode_to_server(
            &encode_to_server(&ToServer::SpanFigures(Box::new(figures))).expect("it fits a message"),
        )
    }

    #[test]
    fn the_largest_figures_fit_a_message_and_come_back() {
        assert_eq!(decoded(largest()), Ok(ToServer::SpanFigures(Box::new(largest()))));
    }

    #[test]
    fn each_list_beyond_its_bound_is_refused_by_name() {
        let mut longer = vec![largest(); 6];
        longer[0].vcpus.push(VcpuHome { vcpu: 0, cpu: 0 });
        longer[1].links.push(LinkFigures::default());
        longer[2].read_latency.push(1);
        longer[3].write_latency.push(1);
        longer[4].hottest.push(HotPageFigures::default());
        longer[5].memory.push(Stretch::default());
        let names = [
            "span.vcpus",
            "span.links",
            "span.read_latency",
            "span.write_latency",
            "span.hottest",
            "span.memory",
        ];
        for (figures, name) in longer.into_iter().zip(names) {
            assert_eq!(decoded(figures), Err(DecodeError::FieldTooLong(name)));
        }
    }
}
