//! Virtual servers that span nodes, as they work: what each member last said of its part, and the report before
//! that, so that there are rates. In memory only; a member says everything again within a second.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use weft_api::{
    Span, SpanCounts, SpanLatency, SpanLink, SpanNode, SpanPage, SpanPages, SpanRange, SpanRates, SpanVcpu,
    VsPlace,
};
use weft_wire::figures::{MAX_HOT_PAGES, SpanFigures};

use crate::core::Core;
use crate::error::Error;
use crate::servers::state;
use crate::spanning::{lies_on, show_places};
use crate::world::{VsEntry, World};

/// Bytes of a guest page.
const PAGE: u64 = 4096;
/// End of what boot structures and firmware tables are in.
const LOW_END: u64 = 1 << 20;
/// Rates of figures older than this say nothing about now.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// Bytes of a kernel file that tell where it wants to be.
const KERNEL_HEAD: u64 = 0x264;

/// What one member said.
#[derive(Clone, Debug)]
pub(crate) struct MemberFigures {
    last: Box<SpanFigures>,
    heard: Instant,
    /// Counts of the report before, and the member's clock then, milliseconds.
    before: Option<(SpanCounts, u64)>,
}

impl MemberFigures {
    /// The next report of a member, after this one if there was one.
    pub(crate) fn next(earlier: Option<&Self>, figures: Box<SpanFigures>) -> Self {
        let follows =
            |old: &&Self| old.last.instance == figures.instance && old.last.uptime_ms < figures.uptime_ms;
        let before = earlier.filter(follows).map(|old| (counts(&old.last), old.last.uptime_ms));
        Self { last: figures, heard: Instant::now(), before }
    }

    /// What it said, unless it is silent since.
    pub(crate) fn fresh(&self) -> Option<&SpanFigures> {
        Some(&*self.last).filter(|_| self.heard.elapsed() < STALE_AFTER)
    }

    /// Remote faults and messages, each for a second.
    pub(crate) fn remote(&self) -> Option<[f32; 2]> {
        let rates = self.rates()?;
        let faults = rates.remote_read + rates.remote_write;
        Some([faults as f32, (rates.messages_sent + rates.messages_received) as f32])
    }

    fn rates(&self) -> Option<SpanRates> {
        let (before, then_ms) = self.before.as_ref().filter(|_| self.heard.elapsed() < STALE_AFTER)?;
        counts(&self.last).rates(before, self.last.uptime_ms.saturating_sub(*then_ms))
    }
}

impl Core {
    /// Figures of a node's part of a spanning server.
    pub(crate) fn span_figures(&self, id: &str, figures: Box<SpanFigures>) {
        let mut world = self.world();
        let Some(entry) = world.servers.get_mut(&figures.vs.to_string()) else { return };
        let row = &entry.row;
        let place = row.places.get(usize::from(figures.member)).is_some_and(|place| place.node == id);
        if row.partition.is_empty() || !lies_on(row, id) || !place || figures.instance != row.instance {
            return;
        }
        let next = MemberFigures::next(entry.figures.get(id), figures);
        entry.figures.insert(id.to_string(), next);
    }

    /// A spanning server as it works.
    pub(crate) fn show_span(&self, name: &str) -> Result<Span, Error> {
        let entry = self.find_vs(name)?;
        if entry.row.partition.is_empty() {
            return Err(Error::refused(
                409,
                "not-spanning",
                format!("{} does not span nodes", entry.row.name),
                format!("see weft vs show {}", entry.row.name),
            ));
        }
        let kernel = kernel_of(&entry, &self.blob_folder());
        Ok(show(&self.world(), &entry, kernel.as_ref()))
    }
}

/// Where the guest's kernel is: known where it does not choose a place by chance.
fn kernel_of(entry: &VsEntry, blobs: &Path) -> Option<Range<u64>> {
    let row = entry.row.in_force();
    if !row.append.split_ascii_whitespace().any(|word| word == "nokaslr") {
        return None;
    }
    let mut head = Vec::new();
    let file = std::fs::File::open(blobs.join(&row.kernel)).ok()?;
    file.take(KERNEL_HEAD).read_to_end(&mut head).ok()?;
    kernel_range(&head)
}

/// Where a bzImage unpacks itself (Linux, Documentation/arch/x86/boot.rst: pref_address, init_size; protocol 2.10).
fn kernel_range(head: &[u8]) -> Option<Range<u64>> {
    let bytes = |at: usize| head.get(at..);
    if !bytes(0x202)?.starts_with(b"HdrS") {
        return None;
    }
    let version = u16::from_le_bytes(*bytes(0x206)?.first_chunk()?);
    let address = u64::from_le_bytes(*bytes(0x258)?.first_chunk()?);
    let size = u64::from(u32::from_le_bytes(*bytes(0x260)?.first_chunk()?));
    (version >= 0x20a && size > 0).then(|| address..address.saturating_add(size))
}

/// The server with all its parts.
fn show(world: &World, entry: &VsEntry, kernel: Option<&Range<u64>>) -> Span {
    let places = show_places(world, entry);
    let names: Vec<String> = places.iter().map(|place| place.node.clone()).collect();
    let said: Vec<Option<&MemberFigures>> = entry
        .row
        .places
        .iter()
        .map(|place| entry.figures.get(&place.node).filter(|of| of.last.instance == entry.row.instance))
        .collect();
    Span {
        name: entry.row.name.clone(),
        state: state(world, entry).to_string(),
        instance: entry.row.instance,
        nodes: places.into_iter().zip(&said).map(|(place, said)| show_node(place, *said, &names)).collect(),
        hottest: hottest(&said, &names, kernel),
    }
}

fn show_node(place: VsPlace, said: Option<&MemberFigures>, names: &[String]) -> SpanNode {
    let shown = SpanNode {
        node: place.node,
        state: place.state,
        memory_mib: place.memory_mib,
        ..SpanNode::default()
    };
    let Some(said) = said else { return shown };
    let last = &said.last;
    let name = |member: u8| names.get(usize::from(member)).cloned().unwrap_or_default();
    SpanNode {
        age_ms: Some(u64::try_from(said.heard.elapsed().as_millis()).unwrap_or(u64::MAX)),
        vcpus: last.vcpus.iter().map(|home| SpanVcpu { vcpu: home.vcpu, cpu: home.cpu }).collect(),
        memory: last.memory.iter().map(|part| range(&addresses(part.first, part.pages))).collect(),
        pages: SpanPages {
            located: last.memory.iter().fold(0, |sum, part| sum.saturating_add(part.pages)),
            writable: last.pages.writable,
            readable: last.pages.readable,
            frames: last.pages.frames,
        },
        counts: counts(last),
        rates: said.rates(),
        read_latency: SpanLatency::of(&last.read_latency),
        write_latency: SpanLatency::of(&last.write_latency),
        links: last
            .links
            .iter()
            .map(|link| SpanLink {
                node: name(link.member),
                frames_sent: link.frames_sent,
                frames_received: link.frames_received,
                bytes_sent: link.bytes_sent,
                bytes_received: link.bytes_received,
                retransmits: link.retransmits,
                timeouts: link.timeouts,
                rtt_ns: link.rtt_ns,
                rtt_least_ns: link.rtt_least_ns,
            })
            .collect(),
        frames_dropped: last.frames_dropped,
        clock_steps: last.clock_steps,
        clock_step_max: last.clock_step_max,
        ..shown
    }
}

fn addresses(first: u64, pages: u64) -> Range<u64> {
    let at = first.saturating_mul(PAGE);
    at..at.saturating_add(pages.saturating_mul(PAGE))
}

fn range(addresses: &Range<u64>) -> SpanRange {
    SpanRange { first: format!("{:#x}", addresses.start), end: format!("{:#x}", addresses.end) }
}

fn counts(figures: &SpanFigures) -> SpanCounts {
    let of = &figures.counts;
    let sum = |bytes: fn(&weft_wire::figures::LinkFigures) -> u64| {
        figures.links.iter().fold(0u64, |sum, link| sum.saturating_add(bytes(link)))
    };
    SpanCounts {
        remote_read: of.remote_read,
        remote_write: of.remote_write,
        upgrade: of.upgrade,
        zero: of.zero,
        diff: of.diff,
        whole: of.whole,
        own: of.own,
        prefetched: of.prefetched,
        prefetch_used: of.prefetch_used,
        migrated: of.migrated,
        lost: of.lost,
        deferred: of.deferred,
        tokens: of.tokens,
        dropped: of.dropped,
        returned: of.returned,
        messages_sent: of.messages_sent,
        messages_received: of.messages_received,
        control_bytes: of.control_bytes,
        content_bytes: of.content_bytes,
        bytes_sent: sum(|link| link.bytes_sent),
        bytes_received: sum(|link| link.bytes_received),
    }
}

/// The pages that made most trouble, of all members together.
fn hottest(said: &[Option<&MemberFigures>], names: &[String], kernel: Option<&Range<u64>>) -> Vec<SpanPage> {
    let mut all: BTreeMap<u64, SpanPage> = BTreeMap::new();
    for page in said.iter().flatten().flat_map(|said| &said.last.hottest) {
        let shown = all.entry(page.page).or_default();
        shown.reads = shown.reads.saturating_add(u64::from(page.reads));
        shown.writes = shown.writes.saturating_add(u64::from(page.writes));
        // The locator alone counts moves.
        shown.moves = shown.moves.max(u64::from(page.moves));
    }
    let place = |(page, shown): (u64, SpanPage)| {
        let at = page.saturating_mul(PAGE);
        let has = |said: &Option<&MemberFigures>| {
            let mut memory = said.iter().flat_map(|said| &said.last.memory);
            memory.any(|part| addresses(part.first, part.pages).contains(&at))
        };
        let locator = said.iter().position(has).and_then(|index| names.get(index));
        let region = match kernel {
            _ if at < LOW_END => "low",
            Some(kernel) if kernel.contains(&at) => "kernel",
            Some(_) | None => "ram",
        };
        SpanPage {
            address: format!("{at:#x}"),
            node: locator.cloned().unwrap_or_default(),
            region: region.to_string(),
            ..shown
        }
    };
    let mut pages: Vec<SpanPage> = all.into_iter().map(place).collect();
    let heat = |page: &SpanPage| page.reads.saturating_add(page.writes).saturating_add(page.moves);
    pages.sort_by_key(|page| std::cmp::Reverse(heat(page)));
    pages.truncate(MAX_HOT_PAGES);
    pages
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_wire::figures::{HotPageFigures, LinkFigures, Stretch};

    fn report(uptime_ms: u64, remote_read: u64, bytes_sent: u64) -> Box<SpanFigures> {
        let mut figures = SpanFigures { instance: 1, uptime_ms, ..SpanFigures::default() };
        figures.counts.remote_read = remote_read;
        figures.links = vec![LinkFigures { bytes_sent, ..LinkFigures::default() }; 2];
        Box::new(figures)
    }

    #[test]
    fn rates_need_two_reports_of_one_run() {
        let first = MemberFigures::next(None, report(1000, 10, 0));
        assert_eq!(first.rates(), None);
        let second = MemberFigures::next(Some(&first), report(3000, 50, 1000));
        let rates = second.rates().expect("two reports");
        assert_eq!((rates.remote_read, rates.bytes_sent), (20.0, 1000.0));
        // The node has started anew, or the server has.
        assert_eq!(MemberFigures::next(Some(&second), report(500, 3, 0)).rates(), None);
        let mut other = report(4000, 60, 0);
        other.instance = 2;
        assert_eq!(MemberFigures::next(Some(&second), other).rates(), None);
        let old = Instant::now().checked_sub(STALE_AFTER).expect("the machine is up longer");
        assert_eq!(MemberFigures { heard: old, ..second }.rates(), None, "it says nothing of now");
    }

    #[test]
    fn pages_of_all_members_are_added_and_placed() {
        let page = |page, reads, moves| HotPageFigures { page, reads, writes: 1, moves };
        let member = |first, hottest| {
            let memory = vec![Stretch { first, pages: 0x1_0000 }];
            MemberFigures::next(None, Box::new(SpanFigures { memory, hottest, ..SpanFigures::default() }))
        };
        let a = member(0, vec![page(0x10_0000, 1, 0), page(0x9f, 5, 7), page(0x1005, 100, 0)]);
        let b = member(0x1_0000, vec![page(0x1_0001, 50, 2), page(0x1005, 100, 0)]);
        let names = ["node-1".to_string(), "node-2".to_string()];
        let pages = hottest(
            &[Some(&a), None, Some(&b)],
            &[&names[..], &names[..1]].concat(),
            Some(&(0x100_0000..0x200_0000)),
        );
        let told: Vec<_> = pages
            .iter()
            .map(|page| (page.address.as_str(), page.region.as_str(), page.reads, page.writes, page.moves))
            .collect();
        assert_eq!(
            told,
            [
                ("0x1005000", "kernel", 200, 2, 0),
                ("0x10001000", "ram", 50, 1, 2),
                ("0x9f000", "low", 5, 1, 7),
                ("0x100000000", "ram", 1, 1, 0),
            ]
        );
        let nodes: Vec<&str> = pages.iter().map(|page| page.node.as_str()).collect();
        assert_eq!(nodes, ["node-1", "node-1", "node-1", ""], "the last one is in nobody's memory");
    }

    #[test]
    fn a_kernel_says_where_it_will_be() {
        let mut head = vec![0; 0x264];
        head[0x202..0x206].copy_from_slice(b"HdrS");
        head[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
        head[0x258..0x260].copy_from_slice(&0x100_0000u64.to_le_bytes());
        head[0x260..0x264].copy_from_slice(&0x200_0000u32.to_le_bytes());
        assert_eq!(kernel_range(&head), Some(0x100_0000..0x300_0000));
        assert_eq!(kernel_range(&head[..0x262]), None);
        head[0x206..0x208].copy_from_slice(&0x209u16.to_le_bytes());
        assert_eq!(kernel_range(&head), None, "older kernels do not say");
        assert_eq!(kernel_range(b"a kernel"), None);
    }
}
