//! What a member tells the appliance of itself: everything that engine and links count, in one message.

use alloc::vec::Vec;

use weft_coherence::{Latency, Page};
use weft_types::VsId;
use weft_wire::figures::{
    HotPageFigures, LinkFigures, MAX_HOT_PAGES, MAX_LINKS, MAX_STRETCHES, MAX_VCPUS, PageFigures, SpanCounts,
    SpanFigures, Stretch, VcpuHome,
};

use super::{Span, SpanHost};

impl<H: SpanHost> Span<H> {
    /// The member's figures as they stand. `homes` are the vCPUs that run here, and the processor of each.
    pub fn figures(
        &self,
        vs: VsId,
        instance: u64,
        now_ns: u64,
        homes: impl Iterator<Item = (usize, usize)>,
    ) -> SpanFigures {
        let number = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
        let engine = self.engine();
        let (writable, readable) = engine.rights();
        let counters = engine.counters();
        let extra = self.counters();
        SpanFigures {
            vs,
            instance,
            member: self.me,
            uptime_ms: now_ns / 1_000_000,
            vcpus: homes
                .map(|(vcpu, cpu)| VcpuHome { vcpu: number(vcpu), cpu: number(cpu) })
                .take(MAX_VCPUS)
                .collect(),
            memory: engine
                .located()
                .map(|range| Stretch { first: range.first.0, pages: range.pages })
                .take(MAX_STRETCHES)
                .collect(),
            pages: PageFigures { writable, readable, frames: engine.frames_used() },
            counts: self.span_counts(),
            links: self.others().filter_map(|member| self.link_figures(member)).take(MAX_LINKS).collect(),
            frames_dropped: self.link_drops().total(),
            clock_steps: extra.clock_steps,
            clock_step_max: extra.clock_step_max,
            read_latency: trimmed(&counters.read_latency),
            write_latency: trimmed(&counters.write_latency),
            hottest: self.hot_pages(),
        }
    }

    fn span_counts(&self) -> SpanCounts {
        let counted = self.engine_counters();
        SpanCounts {
            remote_read: counted.remote_read,
            remote_write: counted.remote_write,
            upgrade: counted.upgrade,
            zero: counted.zero,
            diff: counted.diff,
            whole: counted.whole,
            own: counted.own,
            prefetched: counted.prefetched,
            prefetch_used: counted.prefetch_used,
            migrated: counted.migrated,
            lost: counted.lost,
            deferred: counted.deferred,
            tokens: counted.tokens,
            dropped: counted.dropped,
            returned: counted.returned,
            messages_sent: counted.sent,
            messages_received: counted.received,
            control_bytes: counted.control_bytes,
            content_bytes: self.counters().content_bytes,
        }
    }

    fn link_figures(&self, member: u8) -> Option<LinkFigures> {
        let stats = self.link_stats(member)?;
        Some(LinkFigures {
            member,
            frames_sent: stats.frames_sent,
            frames_received: stats.frames_received,
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            retransmits: stats.retransmits,
            timeouts: stats.timeouts,
            rtt_ns: stats.rtt_ns,
            rtt_least_ns: stats.rtt_least_ns,
        })
    }

    /// Pages that this member fetched most often, and those located here whose writer changed most often.
    fn hot_pages(&self) -> Vec<HotPageFigures> {
        let mut pages: Vec<HotPageFigures> = Vec::new();
        for fault in self.engine().most_faulted() {
            let Page(page) = fault.page;
            pages.push(HotPageFigures { page, reads: fault.reads, writes: fault.writes, moves: 0 });
        }
        for hot in self.engine().hottest() {
            let Page(page) = hot.page;
            match pages.iter_mut().find(|entry| entry.page == page) {
                Some(entry) => entry.moves = hot.moves,
                None => pages.push(HotPageFigures { page, moves: hot.moves, ..HotPageFigures::default() }),
            }
        }
        let heat = |page: &HotPageFigures| page.reads.saturating_add(page.writes).saturating_add(page.moves);
        weft_types::sort_few_by_key(&mut pages, |page| core::cmp::Reverse(heat(page)));
        pages.truncate(MAX_HOT_PAGES);
        pages
    }
}

/// A histogram without the zeros at its end.
fn trimmed(latency: &Latency) -> Vec<u64> {
    let end = latency.buckets.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1);
    latency.buckets.iter().take(end).copied().collect()
}

/// The histogram fits the message.
const _: () = assert!(weft_coherence::BUCKETS <= weft_wire::figures::MAX_BUCKETS);
