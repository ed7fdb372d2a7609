//! A learning Ethernet switch with faults, as a state machine: frames and the time go in, frames come out.
//!
//! Faults belong to ports: a frame meets those of the port it comes from and those of the port it goes to. They
//! are drawn from a generator seeded per port, so that the same frames in the same order meet the same fate.
//! Order is kept between two ports unless reordering is drawn. Everything is bounded: a full queue drops.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Number of a port.
pub type PortId = u16;

/// Most frames in the switch at once.
pub const MAX_QUEUED: usize = 8192;
/// Most addresses learnt.
pub const MAX_ADDRESSES: usize = 4096;
/// Longest frame carried, bytes.
pub const MAX_FRAME: usize = 9216;
/// Shortest frame that has addresses and a type, bytes.
const MIN_FRAME: usize = 14;
/// Extra delay of a frame that is to arrive late.
const REORDER_DELAY: Duration = Duration::from_millis(5);

/// What goes wrong at a port; shares are out of 1000 frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// Frames lost.
    pub loss: u16,
    /// Frames delivered twice.
    pub duplicate: u16,
    /// Frames with one bit changed.
    pub corrupt: u16,
    /// Frames that arrive after later ones.
    pub reorder: u16,
    /// Least delay, microseconds.
    pub delay_min_us: u64,
    /// Greatest delay, microseconds.
    pub delay_max_us: u64,
}

/// Counters of the whole switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Frames that came in.
    pub received: u64,
    /// Frames handed out.
    pub delivered: u64,
    /// Lost by fault.
    pub lost: u64,
    /// Dropped between partitioned ports.
    pub partitioned: u64,
    /// Doubled by fault.
    pub duplicated: u64,
    /// Changed by fault.
    pub corrupted: u64,
    /// Delayed past later frames by fault.
    pub reordered: u64,
    /// Dropped because the queue was full or the frame's length impossible.
    pub refused: u64,
}

#[derive(Debug)]
struct Port {
    faults: Faults,
    /// Ports in different groups do not reach each other.
    group: u32,
    random: SplitMix,
}

/// A frame on its way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Queued {
    due: Duration,
    order: u64,
    to: PortId,
    frame: Vec<u8>,
}

/// The switch.
#[derive(Debug)]
pub struct Switch {
    seed: u64,
    ports: BTreeMap<PortId, Port>,
    addresses: BTreeMap<[u8; 6], PortId>,
    queue: BinaryHeap<Reverse<Queued>>,
    /// When the latest in-order frame from one port to another is due.
    last_due: BTreeMap<(PortId, PortId), Duration>,
    order: u64,
    stats: Stats,
}

impl Switch {
    /// A switch without ports.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ports: BTreeMap::new(),
            addresses: BTreeMap::new(),
            queue: BinaryHeap::new(),
            last_due: BTreeMap::new(),
            order: 0,
            stats: Stats::default(),
        }
    }

    /// Adds a port without faults, in group 0.
    pub fn add_port(&mut self, id: PortId) {
        let random = SplitMix(self.seed ^ u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        self.ports.insert(id, Port { faults: Faults::default(), group: 0, random });
    }

    /// Sets what goes wrong at a port; false if there is none such.
    pub fn set_faults(&mut self, id: PortId, faults: Faults) -> bool {
        self.ports.get_mut(&id).map(|port| port.faults = faults).is_some()
    }

    /// Puts a port into a group; only ports of one group reach each other. False if there is none such.
    pub fn set_group(&mut self, id: PortId, group: u32) -> bool {
        self.ports.get_mut(&id).map(|port| port.group = group).is_some()
    }

    /// Counters so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Takes a frame that arrived at `from`.
    pub fn input(&mut self, now: Duration, from: PortId, frame: &[u8]) {
        self.stats.received += 1;
        let (Some(to), Some(source)) = (address(frame, 0), address(frame, 6)) else {
            self.stats.refused += 1;
            return;
        };
        if frame.len() < MIN_FRAME || frame.len() > MAX_FRAME || !self.ports.contains_key(&from) {
            self.stats.refused += 1;
            return;
        }
        if !is_group(source) && (self.addresses.len() < MAX_ADDRESSES || self.addresses.contains_key(&source))
        {
            self.addresses.insert(source, from);
        }
        let known = self.addresses.get(&to).copied().filter(|_| !is_group(to));
        let targets: Vec<PortId> = match known {
            Some(port) => vec![port],
            None => self.ports.keys().copied().collect(),
        };
        for target in targets.into_iter().filter(|target| *target != from) {
            self.forward(now, from, target, frame);
        }
    }

    /// A frame that is due, and where it goes.
    pub fn output(&mut self, now: Duration) -> Option<(PortId, Vec<u8>)> {
        if self.queue.peek().is_none_or(|Reverse(next)| next.due > now) {
            return None;
        }
        let Reverse(next) = self.queue.pop()?;
        self.stats.delivered += 1;
        Some((next.to, next.frame))
    }

    /// When the next frame is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.queue.peek().map(|Reverse(next)| next.due)
    }

    fn forward(&mut self, now: Duration, from: PortId, to: PortId, frame: &[u8]) {
        let group = |id: &PortId| self.ports.get(id).map(|port| port.group);
        if group(&from) != group(&to) {
            self.stats.partitioned += 1;
            return;
        }
        let mut frame = frame.to_vec();
        let mut delay = Duration::ZERO;
        let (mut copies, mut late) = (1, false);
        for id in [from, to] {
            let Some(port) = self.ports.get_mut(&id) else { return };
            let (faults, random) = (port.faults, &mut port.random);
            if random.hits(faults.loss) {
                self.stats.lost += 1;
                return;
            }
            if random.hits(faults.duplicate) {
                self.stats.duplicated += 1;
                copies += 1;
            }
            if random.hits(faults.corrupt) {
                self.stats.corrupted += 1;
                random.flip_a_bit(&mut frame);
            }
            if random.hits(faults.reorder) {
                self.stats.reordered += 1;
                late = true;
            }
            delay += random.between(faults.delay_min_us, faults.delay_max_us);
        }
        for _ in 0..copies {
            self.enqueue(now + delay, late, from, to, frame.clone());
        }
    }

    fn enqueue(&mut self, due: Duration, late: bool, from: PortId, to: PortId, frame: Vec<u8>) {
        if self.queue.len() >= MAX_QUEUED {
            self.stats.refused += 1;
            return;
        }
        let last = self.last_due.entry((from, to)).or_default();
        let due = if late {
            due + REORDER_DELAY
        } else {
            *last = due.max(*last);
            *last
        };
        self.order += 1;
        self.queue.push(Reverse(Queued { due, order: self.order, to, frame }));
    }
}

fn address(frame: &[u8], at: usize) -> Option<[u8; 6]> {
    frame.get(at..at + 6)?.try_into().ok()
}

/// Broadcast and multicast.
fn is_group(address: [u8; 6]) -> bool {
    address[0] & 1 == 1
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose victims.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn hits(&mut self, permille: u16) -> bool {
        permille > 0 && self.next() % 1000 < u64::from(permille)
    }

    fn between(&mut self, least: u64, most: u64) -> Duration {
        if most == 0 {
            return Duration::ZERO;
        }
        let span = most.saturating_sub(least).saturating_add(1);
        Duration::from_micros(least.saturating_add(self.next() % span))
    }

    /// Leaves the addresses alone, so that the frame still arrives.
    fn flip_a_bit(&mut self, frame: &mut [u8]) {
        let body = frame.get_mut(MIN_FRAME..).unwrap_or_default();
        let bits = u64::try_from(body.len() * 8).unwrap_or(0);
        if bits == 0 {
            return;
        }
        let bit = usize::try_from(self.next() % bits).unwrap_or(0);
        if let Some(byte) = body.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const ALL: [u8; 6] = [0xff; 6];

    fn frame(to: [u8; 6], from: [u8; 6], body: u8) -> Vec<u8> {
        [&to[..], &from[..], &[8, 0], &[body; 50]].concat()
    }

    fn three_ports(seed: u64) -> Switch {
        let mut switch = Switch::new(seed);
        for port in 0..3 {
            switch.add_port(port);
        }
        switch
    }

    fn drain(switch: &mut Switch) -> Vec<(PortId, Vec<u8>)> {
        std::iter::from_fn(|| switch.output(Duration::MAX)).collect()
    }

    #[test]
    fn unknown_addresses_are_flooded_and_known_ones_are_not() {
        let mut switch = three_ports(1);
        switch.input(Duration::ZERO, 0, &frame(B, A, 1));
        let flooded: Vec<PortId> = drain(&mut switch).into_iter().map(|(port, _)| port).collect();
        assert_eq!(flooded, [1, 2]);
        switch.input(Duration::ZERO, 1, &frame(A, B, 2));
        assert_eq!(drain(&mut switch), [(0, frame(A, B, 2))]);
        switch.input(Duration::ZERO, 0, &frame(ALL, A, 3));
        assert_eq!(drain(&mut switch).len(), 2);
    }

    #[test]
    fn a_partition_cuts_and_heals() {
        let mut switch = three_ports(1);
        assert!(switch.set_group(2, 7));
        switch.input(Duration::ZERO, 0, &frame(ALL, A, 1));
        assert_eq!(drain(&mut switch).len(), 1);
        assert_eq!(switch.stats().partitioned, 1);
        assert!(switch.set_group(2, 0));
        switch.input(Duration::ZERO, 0, &frame(ALL, A, 1));
        assert_eq!(drain(&mut switch).len(), 2);
        assert!(!switch.set_group(9, 0), "no such port");
    }

    fn run(seed: u64, faults: Faults) -> (Vec<(PortId, Vec<u8>)>, Stats) {
        let mut switch = three_ports(seed);
        switch.set_faults(1, faults);
        switch.input(Duration::ZERO, 1, &frame(ALL, B, 0));
        for n in 0..200 {
            switch.input(Duration::from_micros(n), 0, &frame(B, A, n as u8));
        }
        (drain(&mut switch), switch.stats())
    }

    #[test]
    fn the_same_seed_meets_the_same_faults() {
        let faults = Faults {
            loss: 200,
            duplicate: 100,
            corrupt: 100,
            reorder: 100,
            delay_min_us: 5,
            delay_max_us: 900,
        };
        let (frames, stats) = run(7, faults);
        assert_eq!((frames.clone(), stats), run(7, faults));
        assert_ne!(frames, run(8, faults).0);
        for count in [stats.lost, stats.duplicated, stats.corrupted, stats.reordered] {
            assert!(count > 0, "{stats:?}");
        }
    }

    #[test]
    fn without_faults_order_and_bytes_are_kept() {
        let (frames, _) = run(7, Faults::default());
        let bodies: Vec<u8> = frames.iter().skip(2).map(|(_, frame)| frame[20]).collect();
        assert_eq!(bodies, (0..200).map(|n| n as u8).collect::<Vec<u8>>());
    }

    #[test]
    fn random_delay_alone_does_not_reorder() {
        let (frames, _) = run(3, Faults { delay_min_us: 1, delay_max_us: 5000, ..Faults::default() });
        let bodies: Vec<u8> =
            frames.iter().filter(|(port, _)| *port == 1).map(|(_, frame)| frame[20]).collect();
        assert!(bodies.is_sorted());
        assert_eq!(bodies.len(), 200);
    }

    #[test]
    fn impossible_frames_and_full_queues_are_refused() {
        let mut switch = three_ports(1);
        switch.input(Duration::ZERO, 0, &[1, 2, 3]);
        switch.input(Duration::ZERO, 0, &vec![2; MAX_FRAME + 1]);
        switch.input(Duration::ZERO, 9, &frame(ALL, A, 1));
        assert_eq!(switch.stats().refused, 3);
        for _ in 0..MAX_QUEUED {
            switch.input(Duration::ZERO, 0, &frame(ALL, A, 1));
        }
        assert_eq!(drain(&mut switch).len(), MAX_QUEUED);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let mut switch = three_ports(1);
        for n in 0..=MAX_ADDRESSES as u32 + 10 {
            let n = n.to_be_bytes();
            switch.input(Duration::ZERO, 0, &frame(A, [2, 1, n[0], n[1], n[2], n[3]], 1));
            drain(&mut switch);
        }
        assert_eq!(switch.addresses.len(), MAX_ADDRESSES);
    }
}
