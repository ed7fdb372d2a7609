//! The network between members as the protocol sees it: exactly once, in order for each pair and class.
//!
//! [`Link`] is the seam: [`Wire`] gives each message a delay, so that messages of different pairs and classes
//! overtake each other; a link layer that loses, repeats and resends frames by itself can stand in its place.

use std::collections::{BTreeMap, BTreeSet};

use weft_coherence::codec::Control;
use weft_coherence::{Class, Member};

use crate::rng::Random;

/// One message with the bytes beside it.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Sender.
    pub from: Member,
    /// Receiver.
    pub to: Member,
    /// Buffers.
    pub class: Class,
    /// Control bytes.
    pub control: Control,
    /// A page's payload, or nothing.
    pub payload: Vec<u8>,
}

/// What carries messages.
pub trait Link {
    /// Takes a message.
    fn send(&mut self, now_ns: u64, packet: Packet);
    /// When the next message arrives.
    fn next_ns(&self) -> Option<u64>;
    /// A message that has arrived by now.
    fn receive(&mut self, now_ns: u64) -> Option<Packet>;
    /// Cuts the network into those for whom `side` is true and the others, or heals it.
    fn cut(&mut self, now_ns: u64, side: Option<BTreeSet<Member>>);
}

/// How long messages take.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// Least, nanoseconds.
    pub least_ns: u64,
    /// Most, usually.
    pub most_ns: u64,
    /// Of 100 messages, how many are lost once and arrive after a resend.
    pub lost_percent: u64,
    /// Time until a resend.
    pub resend_ns: u64,
    /// Whether the classes of one pair keep one order.
    pub classes_in_order: bool,
}

/// Delays drawn at random; order kept for each pair and class.
pub struct Wire {
    delays: Delays,
    random: Random,
    turn: u64,
    coming: BTreeMap<(u64, u64), Packet>,
    /// When the last message of a pair and class arrives.
    last: BTreeMap<(Member, Member, Option<Class>), u64>,
    cut: Option<BTreeSet<Member>>,
    /// Messages that wait for the network to heal.
    waiting: Vec<Packet>,
}

impl Wire {
    /// An idle network.
    pub fn new(delays: Delays, seed: u64) -> Self {
        Self {
            delays,
            random: Random(seed),
            turn: 0,
            coming: BTreeMap::new(),
            last: BTreeMap::new(),
            cut: None,
            waiting: Vec::new(),
        }
    }

    fn severed(&self, packet: &Packet) -> bool {
        self.cut.as_ref().is_some_and(|side| side.contains(&packet.from) != side.contains(&packet.to))
    }
}

impl Link for Wire {
    fn send(&mut self, now_ns: u64, packet: Packet) {
        if self.severed(&packet) {
            self.waiting.push(packet);
            return;
        }
        let mut at = now_ns + self.random.between(self.delays.least_ns, self.delays.most_ns);
        if self.random.chance(self.delays.lost_percent) {
            at += self.delays.resend_ns;
        }
        let class = (!self.delays.classes_in_order).then_some(packet.class);
        let last = self.last.entry((packet.from, packet.to, class)).or_default();
        at = at.max(*last);
        *last = at;
        self.turn += 1;
        self.coming.insert((at, self.turn), packet);
    }

    fn next_ns(&self) -> Option<u64> {
        self.coming.keys().next().map(|(at, _)| *at)
    }

    fn receive(&mut self, now_ns: u64) -> Option<Packet> {
        let entry = self.coming.first_entry().filter(|entry| entry.key().0 <= now_ns)?;
        Some(entry.remove())
    }

    fn cut(&mut self, now_ns: u64, side: Option<BTreeSet<Member>>) {
        self.cut = side;
        // What was on its way across is resent after the healing, in its order.
        let coming = std::mem::take(&mut self.coming);
        let mut held = std::mem::take(&mut self.waiting);
        for (key, packet) in coming {
            if self.severed(&packet) {
                held.push(packet);
            } else {
                self.coming.insert(key, packet);
            }
        }
        for packet in held {
            self.send(now_ns, packet);
        }
    }
}
