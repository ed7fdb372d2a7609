//! The link layer that ships, between the members: messages become authenticated frames, and the wire loses,
//! repeats, delays, reorders and bends them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use weft_coherence::codec::{CONTROL_BYTES, Control};
use weft_coherence::{Class, Member};
use weft_transport::interconnect as link;

use crate::link::{Link, Packet};
use crate::rng::Random;

/// What happens to frames, of 100.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    /// Lost.
    pub lost: u64,
    /// Arriving twice.
    pub doubled: u64,
    /// Changed in one byte.
    pub bent: u64,
    /// Least delay, nanoseconds.
    pub least_ns: u64,
    /// Most; frames overtake each other within.
    pub most_ns: u64,
}

/// The links of all members over one bad wire.
pub struct Frames {
    links: Vec<link::Links>,
    damage: Damage,
    random: Random,
    turn: u64,
    wire: BTreeMap<(u64, u64), (usize, Vec<u8>)>,
    /// Messages that wait for credit.
    waiting: BTreeMap<(Member, Member, Class), VecDeque<Packet>>,
    ready: VecDeque<Packet>,
    cut: Option<BTreeSet<Member>>,
    /// Frames that the wire spoiled.
    spoiled: Rc<Cell<u64>>,
}

fn class_of(class: Class) -> link::Class {
    match class {
        Class::Request => link::Class::Request,
        Class::Forward => link::Class::Forward,
        Class::Response => link::Class::Response,
    }
}

fn class_from(class: link::Class) -> Class {
    match class {
        link::Class::Request => Class::Request,
        link::Class::Forward => Class::Forward,
        link::Class::Response => Class::Response,
    }
}

impl Frames {
    /// Idle links. `spoiled` counts what the wire did to frames.
    pub fn new(members: u8, damage: Damage, seed: u64, spoiled: Rc<Cell<u64>>) -> Self {
        let peers: Vec<_> = (0..members).map(link::Peer).collect();
        let links = |own: &link::Peer| {
            let config = link::Config {
                identity: link::Identity { vs: 1, epoch: 7 },
                key: [3; 32],
                own: *own,
                frame: 1500,
                credit: [8, 8, 16],
                release_by_hand: false,
            };
            link::Links::new(config, &peers, 0)
        };
        Self {
            links: peers.iter().map(links).collect(),
            damage,
            random: Random(seed),
            turn: 0,
            wire: BTreeMap::new(),
            waiting: BTreeMap::new(),
            ready: VecDeque::new(),
            cut: None,
            spoiled,
        }
    }

    fn put(&mut self, now_ns: u64, from: usize, to: usize, mut frame: Vec<u8>) {
        let member = |index: usize| Member(u8::try_from(index).unwrap_or(u8::MAX));
        let severed =
            self.cut.as_ref().is_some_and(|side| side.contains(&member(from)) != side.contains(&member(to)));
        if severed || self.random.chance(self.damage.lost) {
            self.spoiled.set(self.spoiled.get() + 1);
            return;
        }
        if self.random.chance(self.damage.doubled) {
            self.fly(now_ns, to, frame.clone());
        }
        if self.random.chance(self.damage.bent) {
            let at = usize::try_from(self.random.below(frame.len() as u64)).unwrap_or(0);
            frame[at] ^= 1 << self.random.below(8);
            self.spoiled.set(self.spoiled.get() + 1);
        }
        self.fly(now_ns, to, frame);
    }

    fn fly(&mut self, now_ns: u64, to: usize, frame: Vec<u8>) {
        let at = now_ns + self.random.between(self.damage.least_ns, self.damage.most_ns);
        self.turn += 1;
        self.wire.insert((at, self.turn), (to, frame));
    }

    /// Lets every link do what is due.
    fn pump(&mut self, now_ns: u64) {
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= now_ns) {
            let (to, frame) = entry.remove();
            let ready = &mut self.ready;
            let receiver = Member(u8::try_from(to).unwrap_or(u8::MAX));
            self.links[to].on_frame(now_ns, &frame, &mut |from, class, control, payload| {
                let bytes: [u8; CONTROL_BYTES] = control.try_into().expect("a control message");
                ready.push_back(Packet {
                    from: Member(from.0),
                    to: receiver,
                    class: class_from(class),
                    control: Control(bytes),
                    payload: payload.to_vec(),
                });
            });
        }
        self.take_waiting(now_ns);
        for from in 0..self.links.len() {
            self.links[from].poll(now_ns);
            let mut frames = Vec::new();
            self.links[from].poll_transmit(now_ns, &mut |to, head, piece| {
                assert!(piece.is_none(), "payloads are copied");
                frames.push((usize::from(to.0), head.to_vec()));
                true
            });
            for (to, frame) in frames {
                self.put(now_ns, from, to, frame);
            }
        }
    }

    fn take_waiting(&mut self, now_ns: u64) {
        for ((from, to, class), queue) in &mut self.waiting {
            while let Some(packet) = queue.front() {
                let payload = match packet.payload.as_slice() {
                    [] => link::Payload::None,
                    bytes => link::Payload::Bytes(bytes),
                };
                let links = &mut self.links[usize::from(from.0)];
                match links.send(now_ns, link::Peer(to.0), class_of(*class), &packet.control.0, payload) {
                    Ok(()) => queue.pop_front(),
                    Err(link::SendError::Full) => break,
                    Err(error) => panic!("{error}"),
                };
            }
        }
    }
}

impl Link for Frames {
    fn send(&mut self, now_ns: u64, packet: Packet) {
        self.waiting.entry((packet.from, packet.to, packet.class)).or_default().push_back(packet);
        self.pump(now_ns);
    }

    fn next_ns(&self) -> Option<u64> {
        let links = self.links.iter().map(link::Links::next_ns).filter(|at| *at != u64::MAX);
        let ready = (!self.ready.is_empty()).then_some(0);
        self.wire.keys().next().map(|(at, _)| *at).into_iter().chain(links).chain(ready).min()
    }

    fn receive(&mut self, now_ns: u64) -> Option<Packet> {
        if self.ready.is_empty() {
            self.pump(now_ns);
        }
        self.ready.pop_front()
    }

    fn cut(&mut self, _now_ns: u64, side: Option<BTreeSet<Member>>) {
        self.cut = side;
    }
}
