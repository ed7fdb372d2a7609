use super::*;
use alloc::collections::{BTreeMap as Map, BTreeSet as Set};
use alloc::vec;
extern crate std;
use weft_types::{PAGE_SIZE, VsId};
use weft_wire::figures::{HotPageFigures, Stretch, VcpuHome};

/// Memory in a map; flushes that take until the next look.
#[derive(Default)]
struct Host {
    frames: Map<u64, Box<[u8; PAGE_BYTES]>>,
    /// Mapped pages, and whether for writing.
    mapped: Map<u64, bool>,
    tsc: u64,
    begun: u64,
    over: u64,
    unparked: Set<u16>,
}

impl SpanHost for Host {
    fn guest_tsc(&self) -> u64 {
        self.tsc
    }
    fn advance_tsc(&mut self, tsc: u64) {
        self.tsc = self.tsc.max(tsc);
    }
    fn read(&self, page: Page, out: &mut [u8; PAGE_BYTES]) -> bool {
        self.frames.get(&page.0).map(|frame| out.copy_from_slice(&**frame)).is_some()
    }
    fn write(&mut self, page: Page, data: &[u8; PAGE_BYTES]) -> Result<(), NoFrame> {
        self.frames.insert(page.0, Box::new(*data));
        Ok(())
    }
    fn share_zero(&mut self, page: Page) -> Result<(), NoFrame> {
        self.write(page, &[0; PAGE_BYTES])
    }
    fn drop_frame(&mut self, page: Page) {
        assert!(!self.mapped.contains_key(&page.0), "a frame that the guest reaches is given back");
        self.frames.remove(&page.0);
    }
    fn map(&mut self, page: Page, write: bool) -> Result<(), NoFrame> {
        assert!(self.frames.contains_key(&page.0), "no frame to map");
        self.mapped.insert(page.0, write);
        Ok(())
    }
    fn unmap(&mut self, page: Page) {
        self.mapped.remove(&page.0);
    }
    fn protect(&mut self, page: Page) {
        self.mapped.insert(page.0, false);
    }
    fn begin_flush(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }
    fn flushes_over(&self) -> u64 {
        self.over
    }
    fn free_frames(&self) -> u64 {
        10_000
    }
    fn unpark(&mut self, waiter: u16) {
        self.unparked.insert(waiter);
    }
}

/// A generator of numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Members and a wire that loses, doubles and bends a share of the frames.
struct Cluster {
    spans: Vec<Span<Host>>,
    now: u64,
    random: Random,
    /// Frames of a hundred that the wire harms.
    harm: u64,
    cut: bool,
}

const PAGES: u64 = 64;

fn cluster(members: u8, seed: u64, harm: u64) -> Cluster {
    let share = PAGES / u64::from(members);
    let ranges: Vec<_> = (0..members)
        .map(|member| coherence::Range {
            first: Page(u64::from(member) * share),
            pages: share,
            locator: Member(member),
        })
        .collect();
    let spans = (0..members)
        .map(|me| {
            let config = SpanConfig {
                me,
                members,
                tag: 7,
                epoch: 1,
                key: [9; 32],
                ranges: ranges.clone(),
                frames: 1000,
                wire_frame: 1500,
            };
            Span::new(&config, Host::default(), 0).unwrap()
        })
        .collect();
    Cluster { spans, now: 0, random: Random(seed), harm, cut: false }
}

impl Cluster {
    /// A little time passes: flushes end, frames travel.
    fn step(&mut self) {
        self.now += 20_000;
        let mut wire = Vec::new();
        for (from, span) in self.spans.iter_mut().enumerate() {
            span.host().tsc += 20_000;
            let begun = span.host().begun;
            span.host().over = begun;
            span.flushed(self.now);
            span.poll(self.now);
            span.transmit(self.now, &mut |to, head, piece| {
                assert!(piece.is_none());
                wire.push((from, to, head.to_vec()));
                true
            });
        }
        for (_, to, mut frame) in wire {
            if self.cut {
                continue;
            }
            let harmed = self.random.below(100) < self.harm;
            let span = &mut self.spans[usize::from(to)];
            match (harmed, self.random.below(3)) {
                (true, 0) => continue,
                (true, 1) => span.frame(self.now, &frame),
                (true, _) => {
                    let at = self.random.below(frame.len() as u64) as usize;
                    frame[at] ^= 1 << self.random.below(8);
                }
                (false, _) => {}
            }
            span.frame(self.now, &frame);
        }
    }

    /// Adds one to the counter in a page, as a processor of a member would: false while the page is awaited.
    fn increment(&mut self, member: usize, page: u64) -> bool {
        let span = &mut self.spans[member];
        if !span.want(self.now, 0, Gpa(page * PAGE_SIZE), Access::Write) {
            return false;
        }
        assert_eq!(span.host().mapped.get(&page), Some(&true), "held but not mapped to write");
        let frame = span.host().frames.get_mut(&page).unwrap();
        let count = u64::from_le_bytes(frame[..8].try_into().unwrap()) + 1;
        frame[..8].copy_from_slice(&count.to_le_bytes());
        span.retired(self.now, 0);
        true
    }

    fn run(&mut self, increments: u64) {
        let members = self.spans.len();
        let mut left = vec![increments; members];
        let mut page: Vec<u64> = (0..members).map(|_| self.random.below(PAGES)).collect();
        for _ in 0..20_000 {
            for member in 0..members {
                if left[member] > 0 && self.increment(member, page[member]) {
                    left[member] -= 1;
                    page[member] = self.random.below(8) * self.random.below(8);
                }
            }
            if left.iter().all(|left| *left == 0) {
                return;
            }
            self.step();
        }
        for span in &mut self.spans {
            std::eprintln!(
                "{:?} {:?} {:?} {:?} {:?}",
                span.take_events(),
                span.counters(),
                span.engine_counters(),
                span.link_stats(1 - span.me),
                span.link_drops()
            );
        }
        panic!("no progress: {left:?} left");
    }

    fn total(&mut self) -> u64 {
        let mut sum = 0;
        // Members share the pages evenly; what is left over is nobody's.
        let members = self.spans.len() as u64;
        for page in 0..PAGES / members * members {
            for _ in 0..100_000 {
                if self.spans[0].want(self.now, 1, Gpa(page * PAGE_SIZE), Access::Read) {
                    break;
                }
                self.step();
            }
            let frame = &self.spans[0].host().frames[&page];
            sum += u64::from_le_bytes(frame[..8].try_into().unwrap());
            let now = self.now;
            self.spans[0].retired(now, 1);
        }
        sum
    }
}

#[test]
fn no_increment_is_lost_on_a_good_wire() {
    let mut cluster = cluster(2, 1, 0);
    cluster.run(300);
    assert_eq!(cluster.total(), 600);
}

#[test]
fn no_increment_is_lost_while_the_wire_harms_every_tenth_frame() {
    for seed in 0..4 {
        let mut cluster = cluster(3, seed, 10);
        cluster.run(100);
        assert_eq!(cluster.total(), 300, "seed {seed}");
        assert!(cluster.spans.iter().all(|span| !span.is_stopped()), "seed {seed}");
    }
}

#[test]
fn messages_beside_pages_arrive_once_in_order_and_after_their_time() {
    let mut cluster = cluster(2, 5, 10);
    cluster.spans[0].host().tsc = 5_000_000_000;
    for vector in 0..100 {
        let message = SpanMessage::EndOfInterrupt { vector };
        cluster.spans[0].send(0, 1, &message, b"beside");
    }
    let mut got = Vec::new();
    for _ in 0..10_000 {
        cluster.step();
        got.extend(cluster.spans[1].take_events());
    }
    let sent: Vec<_> = (0..100)
        .map(|vector| SpanEvent::Message {
            from: 0,
            message: SpanMessage::EndOfInterrupt { vector },
            payload: b"beside".to_vec(),
        })
        .collect();
    assert_eq!(got, sent);
    assert!(cluster.spans[1].host().tsc >= 5_000_000_000, "time has passed the sender's");
    assert!(cluster.spans[1].counters().clock_steps > 0);
}

#[test]
fn figures_say_what_a_member_did_and_which_pages_it_fought_over() {
    let mut cluster = cluster(2, 1, 0);
    cluster.run(300);
    let told: Vec<_> = (0..2)
        .map(|member| {
            let homes = [(2 * member, 1), (2 * member + 1, 0)].into_iter();
            cluster.spans[member].figures(VsId([7; 16]), 3, cluster.now, homes)
        })
        .collect();
    for (member, figures) in told.iter().enumerate() {
        let engine = cluster.spans[member].engine();
        assert_eq!((figures.vs, figures.instance, usize::from(figures.member)), (VsId([7; 16]), 3, member));
        assert_eq!(figures.vcpus[1], VcpuHome { vcpu: 2 * member as u16 + 1, cpu: 0 });
        assert_eq!(figures.uptime_ms, cluster.now / 1_000_000);
        let rights =
            |right| (0..PAGES).filter(|page| engine.right(Page(*page)) == Some(right)).count() as u64;
        let share = PAGES / 2;
        assert_eq!(figures.memory, [Stretch { first: member as u64 * share, pages: share }]);
        assert_eq!(figures.pages.writable, rights(coherence::Right::Write));
        assert_eq!(figures.pages.readable, rights(coherence::Right::Read));
        assert!(figures.pages.frames > 0);
        assert_eq!(figures.counts.remote_write, figures.write_latency.iter().sum::<u64>());
        assert!(figures.counts.remote_write > 20 && figures.counts.messages_sent > 100);
        assert_ne!(figures.write_latency.last(), Some(&0), "without zeros at its end");
        assert_eq!(figures.links.len(), 1);
        assert!(usize::from(figures.links[0].member) == 1 - member && figures.links[0].bytes_sent > 1000);
        assert!(figures.links[0].rtt_ns.is_some());
        let seen: u64 = figures.hottest.iter().map(|page| u64::from(page.reads + page.writes)).sum();
        assert!(seen > 0 && seen <= figures.counts.remote_read + figures.counts.remote_write);
        let heat = |page: &HotPageFigures| page.reads + page.writes + page.moves;
        assert!(figures.hottest.is_sorted_by_key(|page| core::cmp::Reverse(heat(page))));
    }
    // All pages of the run are in the first half: their moves are seen where they are located.
    let moves = |member: usize| told[member].hottest.iter().map(|page| page.moves).sum::<u32>();
    assert!(moves(0) > 20 && told[0].hottest.iter().all(|page| page.page < PAGES));
}

#[test]
fn what_the_loader_put_at_one_member_is_found_by_the_other() {
    let mut cluster = cluster(2, 3, 0);
    for page in [Page(3), Page(40)] {
        let mut contents = [0; PAGE_BYTES];
        contents[0] = page.0 as u8;
        cluster.spans[0].host().write(page, &contents).unwrap();
        cluster.spans[0].adopt(0, page, 1);
    }
    (0..10).for_each(|_| cluster.step());
    assert!(cluster.spans[0].take_events().contains(&SpanEvent::Adopted));
    for page in [3u64, 40] {
        for _ in 0..100 {
            if cluster.spans[1].want(cluster.now, 0, Gpa(page * PAGE_SIZE), Access::Read) {
                break;
            }
            cluster.step();
        }
        assert_eq!(cluster.spans[1].host().frames[&page][0], page as u8);
    }
}

#[test]
fn a_member_that_is_silent_too_long_stops_the_server_with_the_cause() {
    let mut cluster = cluster(2, 3, 0);
    (0..100).for_each(|_| cluster.step());
    cluster.cut = true;
    let silent_from = cluster.now;
    while cluster.now < silent_from + SILENCE_NS / 2 {
        cluster.step();
    }
    assert!(!cluster.spans[0].is_stopped(), "not yet");
    while cluster.now < silent_from + 2 * SILENCE_NS {
        cluster.step();
    }
    for (me, other) in [(0, 1), (1, 0)] {
        let events = cluster.spans[me].take_events();
        assert_eq!(events, [SpanEvent::Stop(format!("member {other} of the server is lost"))]);
    }
}

#[test]
fn frames_of_another_key_or_epoch_change_nothing() {
    let mut good = cluster(2, 3, 0);
    let mut forged = cluster(2, 3, 0);
    let config = SpanConfig {
        me: 0,
        members: 2,
        tag: 7,
        epoch: 1,
        key: [8; 32],
        ranges: vec![coherence::Range { first: Page(0), pages: PAGES, locator: Member(0) }],
        frames: 1000,
        wire_frame: 1500,
    };
    forged.spans[0] = Span::new(&config, Host::default(), 0).unwrap();
    let older = SpanConfig { epoch: 0, key: [9; 32], ..config };
    forged.spans[1] = Span::new(&older, Host::default(), 0).unwrap();
    for from in 0..2 {
        forged.spans[from].send(0, 1 - from as u8, &SpanMessage::Alive, &[]);
        let frames = &mut Vec::new();
        forged.spans[from].transmit(0, &mut |_, head, _| {
            frames.push(head.to_vec());
            true
        });
        for frame in frames {
            good.spans[1].frame(0, frame);
        }
    }
    assert!(good.spans[1].take_events().is_empty());
    assert!(good.spans[1].link_drops().total() > 0);
}
