//! One node's part of a virtual server that spans nodes: the coherence engine, the links to the other
//! members, and the messages that are not about pages, behind one object for the monitor. Sans-IO.
//!
//! ```text
//! vCPU faults ─▶ want ─▶ engine ─▶ effects ─▶ host (frames, nested tables, flushes)
//!                                        └──▶ links ─▶ transmit ─▶ wire
//! wire ─▶ frame ─▶ links ─▶ guest time ─▶ engine, or an event for the machine
//! ```
//!
//! Invariants:
//! - A member's guest time has passed the sender's before anything of a message takes effect, so that what a
//!   guest reads here was never written in its future.
//! - Contents are copied out, and acknowledgements leave, only after the engine was told that the flush for
//!   them is over.
//! - Messages to one member keep their order, also while the link has no credit for them.
//! - What a peer sends is judged by its own decoders; what makes no sense is counted and dropped.
//!
//! Files: [`host`] what the monitor provides, [`apply`] effects to deeds, [`control`] the bytes of messages,
//! [`figures`] what the appliance is told, [`wander`] where a vCPU should run.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use weft_coherence::content::PAGE_BYTES;
use weft_coherence::{self as coherence, Effect, Engine, Member, Page, Ticket, Waiter};
use weft_platform::{Access, Piece};
use weft_transport::interconnect::{self as link, Links, Peer};
use weft_types::{Epoch, Gpa, NodeId};
use weft_wire::span::{EndKind, MAX_SPAN_PAYLOAD, SpanMessage, cause_text};

mod apply;
mod control;
mod figures;
pub mod host;
pub mod wander;

pub use host::{NoFrame, SpanHost};

/// How long a member may be silent before it counts as lost. Where membership watches, its leases run out before this.
const SILENCE_NS: u64 = 10_000_000_000;
/// How long a page waits for the instruction that asked for it, and the token for its holder's.
const HOLD_NS: u64 = 5_000_000;
const TOKEN_NS: u64 = 50_000_000;
/// How often a member says that it lives.
const ALIVE_NS: u64 = 500_000_000;
/// Messages that wait for credit, per member. Beyond it the server stops: the engine bounds what it asks.
const MAX_QUEUE: usize = 4096;

/// Takes a frame for a member: its first bytes, and the rest where it lies. `false`: no room now.
pub type Sink<'a> = dyn FnMut(u8, &[u8], Option<&Piece>) -> bool + 'a;

/// What one member is told of the server.
#[derive(Clone, Debug)]
pub struct SpanConfig {
    /// This member's number.
    pub me: u8,
    /// How many members there are.
    pub members: u8,
    /// Tag of the virtual server on the wire.
    pub tag: u32,
    /// Epoch of the server.
    pub epoch: u64,
    /// Key of this epoch's links.
    pub key: [u8; 32],
    /// Guest memory and who locates it.
    pub ranges: Vec<coherence::Range>,
    /// Frames that this member may use.
    pub frames: u64,
    /// Largest frame of the wire, from the link header on, bytes.
    pub wire_frame: usize,
}

/// What happened that the monitor has to deal with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpanEvent {
    /// A message that is not about pages.
    Message {
        /// Who sent it.
        from: u8,
        /// What it says.
        message: SpanMessage,
        /// What came beside it.
        payload: Vec<u8>,
    },
    /// The pages that the loader put here are known to all.
    Adopted,
    /// The server cannot go on.
    Stop(String),
}

/// Figures that are not the engine's or the links'.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpanCounters {
    /// Messages that made no sense.
    pub refused: u64,
    /// Times that guest time was stepped forward, and by how much at most, ticks.
    pub clock_steps: u64,
    /// Largest step, ticks.
    pub clock_step_max: u64,
    /// Page contents sent, by encoded bytes.
    pub content_bytes: u64,
}

/// A message that waits for credit.
struct Queued {
    class: link::Class,
    control: Vec<u8>,
    payload: Vec<u8>,
}

/// See the module.
pub struct Span<H> {
    host: H,
    engine: Engine,
    links: Links,
    me: u8,
    members: u8,
    queues: Vec<VecDeque<Queued>>,
    twins: BTreeMap<Page, (u32, Box<[u8; PAGE_BYTES]>)>,
    /// Flushes that the engine waits for, with the number that covers each.
    flushes: VecDeque<(u64, Ticket)>,
    events: Vec<SpanEvent>,
    effects: Vec<Effect>,
    stopped: bool,
    alive_ns: u64,
    counters: SpanCounters,
    /// Messages about pages from each member, the older the less.
    heard: Vec<u64>,
}

impl<H: SpanHost> Span<H> {
    /// A member that has no pages yet.
    pub fn new(config: &SpanConfig, host: H, now_ns: u64) -> Result<Self, String> {
        // A processor that was told of its page may be a while from running: it runs other guests in slots.
        let limits = coherence::Limits {
            frames: config.frames,
            hold_ns: HOLD_NS,
            token_ns: TOKEN_NS,
            ..coherence::Limits::default()
        };
        let engine = Engine::new(coherence::Config {
            me: Member(config.me),
            members: config.members,
            epoch: Epoch { counter: config.epoch, proposer: NodeId([0; 16]) },
            ranges: config.ranges.clone(),
            limits,
        })
        .map_err(|error| format!("{error}"))?;
        let identity = link::Identity { vs: config.tag, epoch: config.epoch as u32 };
        let links = Links::new(
            link::Config {
                identity,
                key: config.key,
                own: Peer(config.me),
                frame: config.wire_frame,
                credit: link::DEFAULT_CREDIT,
                release_by_hand: false,
            },
            &(0..config.members).map(Peer).collect::<Vec<_>>(),
            now_ns,
        );
        Ok(Self {
            host,
            engine,
            links,
            me: config.me,
            members: config.members,
            queues: (0..config.members).map(|_| VecDeque::new()).collect(),
            twins: BTreeMap::new(),
            flushes: VecDeque::new(),
            events: Vec::new(),
            effects: Vec::new(),
            stopped: false,
            alive_ns: now_ns,
            counters: SpanCounters::default(),
            heard: alloc::vec![0; usize::from(config.members)],
        })
    }

    /// The member before this one that sends most about pages here.
    pub fn busiest_before(&mut self) -> Option<u8> {
        let before = (0..self.me).zip(&self.heard);
        let busiest = before.max_by_key(|(_, heard)| **heard).map(|(member, _)| member);
        self.heard.iter_mut().for_each(|heard| *heard /= 2);
        busiest
    }

    /// What the monitor provides, for what the engine has no say in.
    pub fn host(&mut self) -> &mut H {
        &mut self.host
    }

    /// Which links these are.
    pub fn identity(&self) -> link::Identity {
        self.links.identity()
    }

    /// Asks for a page. `true`: it is here with that right, until the lock of the caller is given up at
    /// least. `false`: the waiter is told by [`SpanHost::unpark`] when to try again.
    pub fn want(&mut self, now_ns: u64, waiter: u16, gpa: Gpa, access: Access) -> bool {
        if self.stopped {
            return false;
        }
        let want = coherence::Want { waiter: Waiter(waiter), page: Page::of(gpa), access, walk: false };
        let wanted = self.engine.want(now_ns, want, &mut self.effects);
        self.settle(now_ns, &[]);
        wanted == coherence::Wanted::Held
    }

    /// The instruction for which a waiter held pages has retired.
    pub fn retired(&mut self, now_ns: u64, waiter: u16) {
        self.engine.retired(now_ns, Waiter(waiter), &mut self.effects);
        self.settle(now_ns, &[]);
    }

    /// Notes `pages` pages from `first` on, which the loader filled here; [`SpanEvent::Adopted`] follows when
    /// all members know.
    pub fn adopt(&mut self, now_ns: u64, first: Page, pages: u32) {
        self.engine.adopt(first, pages, &mut self.effects);
        self.settle(now_ns, &[]);
    }

    /// Sends a message that is not about pages.
    pub fn send(&mut self, now_ns: u64, to: u8, message: &SpanMessage, payload: &[u8]) {
        let control = control::encode(self.host.guest_tsc(), message);
        self.enqueue(now_ns, to, control::class(message), control, payload.to_vec());
    }

    /// Takes a frame from the wire, from the link header on.
    pub fn frame(&mut self, now_ns: u64, frame: &[u8]) {
        let mut arrived = Vec::new();
        self.links.on_frame(now_ns, frame, &mut |peer, _class, control, payload| {
            arrived.push((peer, control.to_vec(), payload.to_vec()));
        });
        for (peer, control, payload) in arrived {
            self.message(now_ns, peer.0, &control, &payload);
        }
        self.pump(now_ns);
    }

    fn message(&mut self, now_ns: u64, from: u8, control: &[u8], payload: &[u8]) {
        if self.stopped {
            return;
        }
        match control::decode(control) {
            Ok(control::Decoded::Coherence { tsc }) => {
                self.step_clock(tsc);
                if let Some(heard) = self.heard.get_mut(usize::from(from)) {
                    *heard = heard.saturating_add(1);
                }
                let arrived = coherence::content::arrived(payload);
                self.engine.message(now_ns, Member(from), control, arrived, &mut self.effects);
                self.settle(now_ns, payload);
            }
            Ok(control::Decoded::Span { tsc, message }) => {
                self.step_clock(tsc);
                match message {
                    SpanMessage::Alive => {}
                    // A peer chooses the length; whoever is late keeps many of them.
                    _ if payload.len() > MAX_SPAN_PAYLOAD => self.counters.refused += 1,
                    SpanMessage::End(EndKind::Failed) => {
                        self.end(format!("member {from}: {}", cause_text(payload)));
                    }
                    message => {
                        let payload = payload.to_vec();
                        self.events.push(SpanEvent::Message { from, message, payload });
                    }
                }
            }
            Err(_malformed) => self.counters.refused += 1,
        }
    }

    fn step_clock(&mut self, tsc: u64) {
        let behind = tsc.saturating_sub(self.host.guest_tsc());
        if behind > 0 {
            self.host.advance_tsc(tsc);
            self.counters.clock_steps += 1;
            self.counters.clock_step_max = self.counters.clock_step_max.max(behind);
        }
    }

    /// Tells the engine of flushes that are over. Called after each exit while [`Span::awaits_flush`].
    pub fn flushed(&mut self, now_ns: u64) {
        self.settle(now_ns, &[]);
    }

    /// Whether the engine waits for a flush.
    pub fn awaits_flush(&self) -> bool {
        !self.flushes.is_empty()
    }

    /// Timers: retransmission, the engine's own, signs of life.
    pub fn poll(&mut self, now_ns: u64) {
        if self.stopped {
            self.links.poll(now_ns);
            self.pump(now_ns);
            return;
        }
        self.engine.frame_pressure(now_ns, self.host.free_frames(), &mut self.effects);
        self.engine.tick(now_ns, &mut self.effects);
        self.settle(now_ns, &[]);
        if now_ns >= self.alive_ns {
            self.alive_ns = now_ns + ALIVE_NS;
            for member in self.others() {
                self.send(now_ns, member, &SpanMessage::Alive, &[]);
            }
            self.look_for_lost(now_ns);
        }
        self.links.poll(now_ns);
        self.pump(now_ns);
    }

    fn others(&self) -> impl Iterator<Item = u8> + use<H> {
        let me = self.me;
        (0..self.members).filter(move |member| *member != me)
    }

    fn look_for_lost(&mut self, now_ns: u64) {
        for member in self.others() {
            let heard = self.links.heard_ns(Peer(member)).unwrap_or(now_ns);
            if now_ns.saturating_sub(heard) > SILENCE_NS {
                self.engine.member_lost(Member(member), &mut self.effects);
                self.end(format!("member {member} of the server is lost"));
                return;
            }
            if self.links.is_narrowed(Peer(member)) {
                self.end(format!(
                    "long frames do not reach member {member} of the server any more, short ones do"
                ));
                return;
            }
        }
    }

    /// When [`Span::poll`] has something to do.
    pub fn next_ns(&self, now_ns: u64) -> u64 {
        if self.stopped {
            return self.links.next_ns();
        }
        let engine = self.engine.next_ns().unwrap_or(u64::MAX);
        self.links.next_ns().min(engine).min(self.alive_ns.max(now_ns))
    }

    /// Hands due frames to `sink`; see [`Links::poll_transmit`].
    pub fn transmit(&mut self, now_ns: u64, sink: &mut Sink<'_>) -> bool {
        self.links.poll_transmit(now_ns, &mut |peer, head, piece| sink(peer.0, head, piece))
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<SpanEvent> {
        core::mem::take(&mut self.events)
    }

    /// Ends this member's part and tells the others why.
    pub fn end(&mut self, cause: String) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        self.effects.clear();
        self.events.push(SpanEvent::Stop(cause));
    }

    /// Whether the part has ended.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The engine's figures.
    pub fn engine_counters(&self) -> &coherence::Counters {
        self.engine.counters()
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Figures of the link to a member.
    pub fn link_stats(&self, member: u8) -> Option<link::Stats> {
        self.links.stats(Peer(member))
    }

    /// Frames that the links dropped.
    pub fn link_drops(&self) -> link::Drops {
        self.links.drops()
    }

    /// Further figures.
    pub fn counters(&self) -> SpanCounters {
        self.counters
    }

    fn enqueue(&mut self, now_ns: u64, to: u8, class: link::Class, control: Vec<u8>, payload: Vec<u8>) {
        let Some(queue) = self.queues.get_mut(usize::from(to)) else { return };
        if queue.len() >= MAX_QUEUE {
            self.end(format!("member {to} takes no messages"));
            return;
        }
        queue.push_back(Queued { class, control, payload });
        self.pump_one(now_ns, to);
    }

    fn pump(&mut self, now_ns: u64) {
        for member in 0..self.members {
            self.pump_one(now_ns, member);
        }
    }

    fn pump_one(&mut self, now_ns: u64, to: u8) {
        let Some(queue) = self.queues.get_mut(usize::from(to)) else { return };
        while let Some(next) = queue.front_mut() {
            control::stamp(&mut next.control, self.host.guest_tsc());
            let payload = match next.payload.as_slice() {
                [] => link::Payload::None,
                bytes => link::Payload::Bytes(bytes),
            };
            match self.links.send(now_ns, Peer(to), next.class, &next.control, payload) {
                Ok(()) => {
                    queue.pop_front();
                }
                Err(link::SendError::Full) => return,
                Err(error @ (link::SendError::Length | link::SendError::NoPeer)) => {
                    queue.pop_front();
                    self.stopped = true;
                    self.events.push(SpanEvent::Stop(format!("message to member {to}: {error}")));
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
