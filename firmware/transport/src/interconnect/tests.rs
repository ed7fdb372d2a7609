//! Links over a wire of their own that loses, doubles, bends and mixes up frames, from seeds.

use super::*;
use alloc::sync::Arc;
use alloc::vec;
use weft_platform::SendPage;

const KEY: [u8; 32] = [0x42; 32];
const ID: Identity = Identity { vs: 0x77, epoch: 3 };

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What a wire does to frames, in thousandths.
#[derive(Clone, Copy, Debug)]
struct Faults {
    loss: u64,
    double: u64,
    bend: u64,
    late: u64,
}

const CALM: Faults = Faults { loss: 0, double: 0, bend: 0, late: 0 };

struct Page(Vec<u8>);

impl SendPage for Page {
    fn device_address(&self) -> u64 {
        0x1000
    }
    fn size(&self) -> usize {
        self.0.len()
    }
    fn read(&self, offset: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.0[offset..offset + out.len()]);
    }
}

fn config(own: u8, frame: usize) -> Config {
    Config { identity: ID, key: KEY, own: Peer(own), frame, credit: DEFAULT_CREDIT, release_by_hand: false }
}

/// What the `count`th message from a member says: its class, control bytes, payload.
fn message(from: u8, to: u8, count: u32) -> (Class, Vec<u8>, Vec<u8>) {
    let mut random = Random(u64::from(from) << 40 | u64::from(to) << 32 | u64::from(count) | 1 << 50);
    for _ in 0..9 {
        random.below(2);
    }
    let class = Class::ALL[random.below(3) as usize];
    let mut control = count.to_le_bytes().to_vec();
    control.resize(4 + random.below(45) as usize, from);
    let length = [0, 1, 64, 700, 4095, 4096][random.below(6) as usize];
    let payload = (0..length).map(|_| random.below(256) as u8).collect();
    (class, control, payload)
}

struct Wire {
    now: u64,
    random: Random,
    faults: Faults,
    flying: Vec<(u64, usize, Vec<u8>)>,
    members: Vec<Links>,
    sent: Vec<Vec<u32>>,
    got: Vec<Vec<u32>>,
    most_waiting: usize,
    most_early: usize,
}

impl Wire {
    fn new(seed: u64, faults: Faults, frames: &[usize]) -> Self {
        let count = frames.len();
        let peers: Vec<Peer> = (0..count as u8).map(Peer).collect();
        let member = |(own, frame): (u8, &usize)| Links::new(config(own, *frame), &peers, 0);
        Self {
            now: 1,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            faults,
            flying: Vec::new(),
            members: (0..).zip(frames).map(member).collect(),
            sent: vec![vec![0; count]; count],
            got: vec![vec![0; count]; count],
            most_waiting: 0,
            most_early: 0,
        }
    }

    /// Each member offers messages until it is refused or has sent `limit`.
    fn offer(&mut self, limit: u32) {
        for from in 0..self.members.len() {
            for to in (0..self.members.len()).filter(|to| *to != from) {
                while self.sent[from][to] < limit {
                    let count = self.sent[from][to];
                    let (class, control, bytes) = message(from as u8, to as u8, count);
                    let payload = match bytes.len() {
                        0 => Payload::None,
                        4096 => {
                            let page = Arc::new(Page(bytes));
                            Payload::Page(Piece { page, offset: 0, length: 4096 })
                        }
                        _ => Payload::Bytes(&bytes),
                    };
                    match self.members[from].send(self.now, Peer(to as u8), class, &control, payload) {
                        Ok(()) => self.sent[from][to] += 1,
                        Err(SendError::Full) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    }

    fn transmit(&mut self) {
        let Self { members, random, faults, flying, now, .. } = self;
        for member in members.iter_mut() {
            member.poll(*now);
            member.poll_transmit(*now, &mut |to, head, piece| {
                let mut frame = head.to_vec();
                if let Some(piece) = piece {
                    let at = frame.len();
                    frame.resize(at + piece.length, 0);
                    piece.page.read(piece.offset, &mut frame[at..]);
                }
                if random.below(1000) < faults.loss {
                    return true;
                }
                for _ in 0..1 + u64::from(random.below(1000) < faults.double) {
                    let mut frame = frame.clone();
                    if random.below(1000) < faults.bend {
                        let at = random.below(frame.len() as u64) as usize;
                        frame[at] ^= 1 << random.below(8);
                    }
                    let late = if random.below(1000) < faults.late { random.below(2_000_000) } else { 0 };
                    let jitter = if faults.late > 0 { random.below(5000) } else { 0 };
                    flying.push((*now + 40_000 + jitter + late, usize::from(to.0), frame));
                }
                true
            });
        }
    }

    fn arrive(&mut self) {
        let now = self.now;
        self.flying.sort_by_key(|(at, ..)| *at);
        let due = self.flying.iter().take_while(|(at, ..)| *at <= now).count();
        for (_, to, frame) in self.flying.drain(..due).collect::<Vec<_>>() {
            let got = &mut self.got[to];
            self.members[to].on_frame(now, &frame, &mut |from, class, control, payload| {
                let count = &mut got[usize::from(from.0)];
                let expected = message(from.0, to as u8, *count);
                assert_eq!((class, control, payload), (expected.0, &expected.1[..], &expected.2[..]));
                *count += 1;
            });
        }
    }

    /// Goes to the next moment at which something happens.
    fn advance(&mut self) {
        let timers = self.members.iter().map(Links::next_ns).min().unwrap_or(u64::MAX);
        let frames = self.flying.iter().map(|(at, ..)| *at).min().unwrap_or(u64::MAX);
        self.now = timers.min(frames).max(self.now + 1000);
    }

    fn run(&mut self, limit: u32) {
        let pairs = self.members.len() * (self.members.len() - 1);
        let wanted = limit * pairs as u32;
        for _ in 0..400_000 {
            self.offer(limit);
            self.transmit();
            self.advance();
            self.arrive();
            for (own, member) in self.members.iter().enumerate() {
                for peer in (0..self.members.len()).filter(|peer| *peer != own) {
                    let stats = member.stats(Peer(peer as u8)).expect("a member");
                    self.most_waiting = self.most_waiting.max(stats.waiting_frames);
                    self.most_early = self.most_early.max(stats.early_frames);
                }
            }
            let quiet = self.members.iter().all(|m| m.links.iter().all(|l| l.stats().waiting_frames == 0));
            if self.got.iter().flatten().sum::<u32>() == wanted && quiet {
                return;
            }
            assert!(self.now < 60_000_000_000, "no end: {:?}", self.got);
        }
        panic!("no end: {:?}", self.got);
    }

    fn stats(&self, own: usize, peer: u8) -> Stats {
        self.members[own].stats(Peer(peer)).expect("a member")
    }
}

#[test]
fn messages_arrive_once_and_in_order_over_bad_wires() {
    let bad = [
        Faults { loss: 10, double: 0, bend: 0, late: 0 },
        Faults { loss: 50, double: 10, bend: 10, late: 50 },
        Faults { loss: 0, double: 300, bend: 0, late: 300 },
        Faults { loss: 200, double: 100, bend: 100, late: 200 },
    ];
    for (seed, faults) in (1..).zip(bad.into_iter().cycle().take(12)) {
        let mut wire = Wire::new(seed, faults, &[1440, 1440, MAX_FRAME]);
        wire.run(120);
        assert!(wire.most_early <= WINDOW, "{}", wire.most_early);
        // Three frames a message at most.
        let credit: usize = DEFAULT_CREDIT.iter().map(|c| usize::from(*c) * 3).sum();
        assert!(wire.most_waiting <= credit, "{}", wire.most_waiting);
    }
}

#[test]
fn five_percent_loss_slows_but_never_silences() {
    let mut calm = Wire::new(9, CALM, &[1440, 1440]);
    calm.run(1000);
    let mut lossy = Wire::new(9, Faults { loss: 50, ..CALM }, &[1440, 1440]);
    let mut heard = 0;
    let mut longest = 0;
    while lossy.got.iter().flatten().sum::<u32>() < 2000 {
        lossy.offer(1000);
        lossy.transmit();
        lossy.advance();
        lossy.arrive();
        let now_heard = lossy.members[0].heard_ns(Peer(1)).expect("a member");
        longest = longest.max(now_heard.saturating_sub(heard));
        heard = now_heard;
    }
    assert!(lossy.now < calm.now * 20, "{} against {}", lossy.now, calm.now);
    assert!(longest < 50_000_000, "silent for {longest} ns");
    assert!(lossy.stats(0, 1).retransmits < 400, "{:?}", lossy.stats(0, 1));
}

#[test]
fn a_calm_wire_needs_no_repetition_and_few_acknowledgements() {
    let mut wire = Wire::new(5, CALM, &[1440, 1440]);
    wire.run(500);
    for (own, peer) in [(0, 1), (1, 0)] {
        let stats = wire.stats(own, peer);
        assert_eq!((stats.retransmits, stats.timeouts, stats.duplicates), (0, 0, 0));
        assert!(stats.acks_sent * 4 < stats.frames_sent, "{stats:?}");
        let rtt = stats.rtt_ns.expect("measured");
        assert!((70_000..200_000).contains(&rtt), "{rtt}");
        assert_eq!(wire.members[own].drops(), Drops::default());
    }
}

/// Two members, and one frame from the first to the second for each message that it was given.
fn pair(frame: usize) -> (Links, Links) {
    let peers = [Peer(0), Peer(1)];
    (Links::new(config(0, frame), &peers, 0), Links::new(config(1, frame), &peers, 0))
}

fn frames(links: &mut Links, now: u64) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    links.poll(now);
    links.poll_transmit(now, &mut |_, head, piece| {
        let mut frame = head.to_vec();
        if let Some(piece) = piece {
            let mut bytes = vec![0; piece.length];
            piece.page.read(piece.offset, &mut bytes);
            frame.extend(bytes);
        }
        out.push(frame);
        true
    });
    out
}

fn page(byte: u8) -> Payload<'static> {
    Payload::Page(Piece { page: Arc::new(Page(vec![byte; 4096])), offset: 0, length: 4096 })
}

/// One exchange at the start of a link, over a wire that carries frames of `wire` bytes.
fn learn(a: &mut Links, b: &mut Links, wire: usize) {
    for _ in 0..2 {
        for frame in frames(a, 0).into_iter().filter(|frame| frame.len() <= wire) {
            b.on_frame(0, &frame, &mut |_, _, _, _| panic!("a message"));
        }
        for frame in frames(b, 0).into_iter().filter(|frame| frame.len() <= wire) {
            a.on_frame(0, &frame, &mut |_, _, _, _| panic!("a message"));
        }
    }
}

#[test]
fn long_frames_are_used_once_one_has_come_through_and_not_before() {
    let used = |links: &Links, peer| links.stats(Peer(peer)).expect("a member").frame;
    let (mut a, mut b) = pair(9000);
    assert_eq!((used(&a, 1), used(&b, 0)), (BASE_FRAME, BASE_FRAME));
    learn(&mut a, &mut b, usize::MAX);
    assert_eq!((used(&a, 1), used(&b, 0)), (MAX_FRAME, MAX_FRAME));
    assert_eq!((frames(&mut a, 1).len(), a.next_ns()), (0, u64::MAX), "and nothing is asked again");

    let (mut a, mut b) = pair(9000);
    learn(&mut a, &mut b, 1500);
    assert_eq!((used(&a, 1), used(&b, 0)), (BASE_FRAME, BASE_FRAME));
    a.send(0, Peer(1), Class::Response, &[1; MAX_CONTROL], page(1)).expect("room");
    let sent = frames(&mut a, 0);
    assert!(sent.len() == 3 && sent.iter().all(|frame| frame.len() <= BASE_FRAME), "what passes is used");
    // A way that opens later is found, and one that does not costs next to nothing.
    let (mut a, mut b) = pair(9000);
    let (mut now, mut probes) = (0, 0);
    while now < 60_000_000_000 {
        probes += frames(&mut a, now).len();
        now = a.next_ns().max(now + 1);
    }
    assert!((8..12).contains(&probes), "{probes}");
    let late = frames(&mut a, now);
    b.on_frame(now, &late[0], &mut |_, _, _, _| {});
    for frame in frames(&mut b, now) {
        a.on_frame(now, &frame, &mut |_, _, _, _| {});
    }
    assert_eq!(used(&a, 1), MAX_FRAME);
}

#[test]
fn a_way_that_becomes_narrower_is_told_and_neither_one_that_stays_nor_a_dead_peer_is() {
    for (longest, told) in [(1500, true), (usize::MAX, false), (0, false)] {
        let (mut a, mut b) = pair(9000);
        learn(&mut a, &mut b, usize::MAX);
        a.send(1, Peer(1), Class::Response, &[1; MAX_CONTROL], page(1)).expect("room");
        let mut now = 1;
        while now < 20_000_000_000 {
            for frame in frames(&mut a, now).into_iter().filter(|frame| frame.len() <= longest) {
                b.on_frame(now, &frame, &mut |_, _, _, _| {});
            }
            // Its signs of life.
            if longest > 0 && b.room(Peer(0), Class::Request) > 0 {
                b.send(now, Peer(0), Class::Request, b"here", Payload::None).expect("room");
            }
            for frame in frames(&mut b, now).into_iter().filter(|frame| frame.len() <= longest) {
                a.on_frame(now, &frame, &mut |_, _, _, _| {});
            }
            now = a.next_ns().min(b.next_ns()).clamp(now + 1, now + 1_000_000_000);
        }
        assert_eq!((a.is_narrowed(Peer(1)), b.is_narrowed(Peer(0))), (told, false));
    }
}

#[test]
fn a_page_is_three_frames_at_1500_and_one_at_jumbo() {
    // Ethernet's 1500 bytes, the same under IPv4 and UDP, and 9000.
    for (frame, wanted) in [(1500, 3), (1472, 3), (9000, 1), (8972, 1)] {
        let (mut a, mut b) = pair(frame);
        learn(&mut a, &mut b, usize::MAX);
        a.send(0, Peer(1), Class::Response, &[1; MAX_CONTROL], page(1)).expect("room");
        let sent = frames(&mut a, 1);
        assert_eq!(sent.len(), wanted, "{frame}");
        assert!(sent.iter().all(|bytes| bytes.len() <= frame));
        let messages: usize = sent.iter().map(|bytes| bytes.len() - HEADER).sum();
        assert!(messages * 100 <= 4096 * 105, "{messages} bytes, link headers apart");
    }
}

#[test]
fn foreign_forged_replayed_and_broken_frames_are_counted_and_dropped() {
    let (mut a, mut b) = pair(1440);
    a.send(0, Peer(1), Class::Request, b"hello", Payload::Bytes(&[7; 100])).expect("room");
    let frame = frames(&mut a, 0).remove(0);
    let mut got = 0;
    let mut take = |b: &mut Links, frame: &[u8]| b.on_frame(10, frame, &mut |_, _, _, _| got += 1);
    let mut with = |b: &mut Links, at: usize, value: u8| {
        let mut changed = frame.clone();
        changed[at] = value;
        take(b, &changed);
    };
    with(&mut b, 0, 9); // version
    with(&mut b, 1, 0xff); // flags
    with(&mut b, 2, 8); // from
    with(&mut b, 3, 8); // to
    with(&mut b, 4, 9); // server
    with(&mut b, 8, 9); // epoch
    with(&mut b, 12, 9); // number
    with(&mut b, 50, frame[50] ^ 1); // tag
    with(&mut b, 100, 1); // payload
    take(&mut b, &frame[..frame.len() - 1]);
    take(&mut b, &[]);
    let expected = Drops {
        short: 2,
        version: 1,
        malformed: 1,
        other_server: 1,
        other_epoch: 1,
        stranger: 2,
        forged: 3,
        ..Drops::default()
    };
    assert_eq!(b.drops(), expected);
    assert_eq!(b.heard_ns(Peer(0)), Some(0), "none of them proves life");
    take(&mut b, &frame);
    take(&mut b, &frame);
    assert_eq!(b.drops(), Drops { replayed: 1, ..expected });
    assert_eq!(b.heard_ns(Peer(0)), Some(10));
    // One's own frame, sent back.
    a.on_frame(10, &frame, &mut |_, _, _, _| panic!("reflected"));
    assert_eq!(a.drops().stranger, 1);
    assert_eq!(got, 1);
}

#[test]
fn a_key_of_another_epoch_or_member_opens_nothing() {
    let peers = [Peer(0), Peer(1), Peer(2)];
    let mut forger = Links::new(Config { key: [1; 32], ..config(0, 1440) }, &peers, 0);
    forger.send(0, Peer(1), Class::Request, b"x", Payload::None).expect("room");
    let (_, mut b) = pair(1440);
    for frame in frames(&mut forger, 0) {
        b.on_frame(1, &frame, &mut |_, _, _, _| panic!("accepted"));
    }
    assert_eq!(b.drops(), Drops { forged: 1, ..Drops::default() });
}

#[test]
fn credit_bounds_each_class_apart_and_comes_back_when_it_is_given() {
    let peers = [Peer(0), Peer(1)];
    let with = |own| Config { credit: [2, 3, 4], release_by_hand: true, ..config(own, 1440) };
    let (mut a, mut b) = (Links::new(with(0), &peers, 0), Links::new(with(1), &peers, 0));
    let send = |a: &mut Links, class| a.send(0, Peer(1), class, b"c", Payload::None);
    for (class, count) in [(Class::Request, 2), (Class::Forward, 3), (Class::Response, 4)] {
        for _ in 0..count {
            assert_eq!(send(&mut a, class), Ok(()));
        }
        assert_eq!(send(&mut a, class), Err(SendError::Full));
    }
    let mut got = 0;
    for frame in frames(&mut a, 0) {
        b.on_frame(1, &frame, &mut |_, _, _, _| got += 1);
    }
    assert_eq!(got, 9);
    for frame in frames(&mut b, 1) {
        a.on_frame(2, &frame, &mut |_, _, _, _| {});
    }
    let rooms = |a: &Links| Class::ALL.map(|class| a.room(Peer(1), class));
    assert_eq!(rooms(&a), [0, 0, 4], "delivered responses give credit back by themselves");
    b.release(2, Peer(0), Class::Request, 1);
    b.release(2, Peer(0), Class::Forward, 9);
    // This frame is lost: nothing is in flight that would bring another, so the sender asks.
    frames(&mut b, 1_000_000);
    assert_eq!(rooms(&a), [0, 0, 4]);
    assert_eq!(frames(&mut a, 2_000_000).len(), 0);
    let at = a.next_ns();
    let probe = frames(&mut a, at);
    assert_eq!(probe.len(), 1);
    b.on_frame(8_000_000, &probe[0], &mut |_, _, _, _| {});
    for frame in frames(&mut b, 8_000_000) {
        a.on_frame(9_000_000, &frame, &mut |_, _, _, _| {});
    }
    assert_eq!(rooms(&a), [1, 3, 4]);
}

#[test]
fn a_page_is_held_until_it_is_acknowledged() {
    let (mut a, mut b) = pair(MAX_FRAME);
    learn(&mut a, &mut b, usize::MAX);
    let page = Arc::new(Page(vec![5; 4096]));
    let piece = Piece { page: page.clone(), offset: 0, length: 4096 };
    a.send(0, Peer(1), Class::Response, b"p", Payload::Page(piece)).expect("room");
    let lost = frames(&mut a, 0);
    assert_eq!((lost.len(), Arc::strong_count(&page)), (1, 2));
    let at = a.next_ns();
    let again = frames(&mut a, at);
    assert_eq!(again.len(), 1);
    b.on_frame(1, &again[0], &mut |_, _, _, payload| assert_eq!(payload, [5; 4096]));
    assert_eq!(Arc::strong_count(&page), 2);
    let at = b.next_ns();
    for frame in frames(&mut b, at) {
        a.on_frame(2, &frame, &mut |_, _, _, _| {});
    }
    assert_eq!(Arc::strong_count(&page), 1);
}

#[test]
fn a_dead_peer_costs_ever_fewer_frames() {
    let (mut a, _) = pair(1440);
    for _ in 0..10 {
        a.send(0, Peer(1), Class::Request, b"hello", Payload::None).expect("room");
    }
    let mut now = 0;
    let mut sent = 0;
    while now < 10_000_000_000 {
        sent += frames(&mut a, now).len();
        now = a.next_ns().max(now + 1);
    }
    assert!((50..1000).contains(&sent), "{sent} frames in 10 s");
    assert_eq!(a.room(Peer(1), Class::Request), DEFAULT_CREDIT[0] - 10);
}

#[test]
fn a_back_end_without_room_is_offered_the_same_message_later() {
    let (mut a, mut b) = pair(1440);
    a.send(0, Peer(1), Class::Request, b"hello", Payload::None).expect("room");
    assert!(!a.poll_transmit(0, &mut |_, _, _| false));
    assert_eq!(a.next_ns(), 0);
    let mut got = 0;
    for frame in frames(&mut a, 1) {
        b.on_frame(1, &frame, &mut |_, _, control, _| {
            assert_eq!(control, b"hello");
            got += 1;
        });
    }
    assert_eq!(got, 1);
}

#[test]
fn messages_that_cannot_be_are_refused() {
    let (mut a, _) = pair(1440);
    let mut send =
        |peer, control: &[u8], payload: Payload<'_>| a.send(0, peer, Class::Request, control, payload);
    assert_eq!(send(Peer(1), &[0; MAX_CONTROL + 1], Payload::None), Err(SendError::Length));
    assert_eq!(send(Peer(1), &[], Payload::None), Err(SendError::Length));
    assert_eq!(send(Peer(1), &[], Payload::Bytes(&[0; MAX_PAYLOAD + 1])), Err(SendError::Length));
    let piece = Piece { page: Arc::new(Page(vec![0; 4096])), offset: 1, length: 4096 };
    assert_eq!(send(Peer(1), &[], Payload::Page(piece)), Err(SendError::Length));
    assert_eq!(send(Peer(0), b"x", Payload::None), Err(SendError::NoPeer));
    assert_eq!(send(Peer(2), b"x", Payload::None), Err(SendError::NoPeer));
}
