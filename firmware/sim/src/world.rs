//! All members, the network between them, and time: one event after another, each followed by the checks
//! (`checks.rs`). What vCPUs do is in `guest.rs`.

use std::collections::{BTreeMap, BTreeSet};

use weft_coherence::codec;
use weft_coherence::{Config, Counters, Engine, Limits, Member, Page, Range, Ticket};
use weft_types::Epoch;

use crate::link::{Delays, Link, Packet, Wire};
use crate::memory::Memory;
use crate::node::{Broken, Node, Outcome, broken};
use crate::program::{Op, Vcpu};
use crate::rng::Random;

/// A defect that the checks must find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Canary {
    /// The node calls `flushed` at the start of the flush.
    EarlyFlush,
    /// The requester is told to wait for one acknowledgement less.
    SkippedAck,
    /// A sharer acknowledges an invalidation that it never sees.
    LostInvalidate,
    /// A difference names the wrong contents.
    WrongBase,
}

/// What goes wrong from outside, and when.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A member dies.
    Crash(Member),
    /// The network is cut for a while.
    Cut(BTreeSet<Member>, u64),
}

/// One run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Draws everything that is random.
    pub seed: u64,
    /// Members.
    pub members: u8,
    /// Guest memory.
    pub ranges: Vec<Range>,
    /// Bounds of each member; the last one holds for those after it.
    pub limits: Vec<Limits>,
    /// The vCPUs: where, and what they do.
    pub vcpus: Vec<(Member, Vec<Op>)>,
    /// Pages that the loader fills at member 0.
    pub loaded: Vec<(Page, u32)>,
    /// Pages hinted as used by one member only.
    pub local: Vec<(Member, Page, u64)>,
    /// The network.
    pub delays: Delays,
    /// How long a flush takes, from and to, nanoseconds.
    pub flush_ns: (u64, u64),
    /// How long it takes until an unparked vCPU runs.
    pub wake_ns: (u64, u64),
    /// How long a store stays in its buffer; 0: it takes effect at once.
    pub drain_ns: u64,
    /// Faults from outside.
    pub faults: Vec<(u64, Fault)>,
    /// A member that dies after so many events.
    pub death: Option<(u64, Member)>,
    /// Of 100 messages, how many are repeated as messages of an older epoch.
    pub old_epoch_percent: u64,
    /// A defect.
    pub canary: Option<Canary>,
    /// Simulated time in which all programs must end.
    pub deadline_ns: u64,
}

/// What a run that broke nothing did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events.
    pub events: u64,
    /// Simulated time.
    pub time_ns: u64,
    /// Instructions done by each vCPU.
    pub done: Vec<u64>,
    /// Longest time that an instruction of each vCPU took.
    pub longest_ns: Vec<u64>,
    /// What the vCPUs loaded, in order.
    pub results: Vec<Vec<u64>>,
    /// What each member counted.
    pub counters: Vec<Counters>,
    /// Whether members stopped because one was lost.
    pub stopped: bool,
    /// Every page that became reachable for a guest: which, where, whether to write.
    pub served: Vec<(Page, Member, bool)>,
    /// Reports of pages that move too often.
    pub hot: u64,
    /// What the memory holds at the end.
    pub memory: Memory,
}

/// A run that broke an invariant.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub broken: Broken,
    /// Of which run.
    pub seed: u64,
    /// What happened last, oldest first.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {}: {}: {}", self.seed, self.broken.invariant, self.broken.what)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Step(usize),
    Drain(usize),
    Flushed(Member, Ticket),
    Fault(Fault),
    Heal,
    Lost(Member, Member),
}

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) random: Random,
    pub(crate) now: u64,
    pub(crate) turn: u64,
    pub(crate) queue: BTreeMap<(u64, u64), Event>,
    pub(crate) link: Box<dyn Link>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) golden: Memory,
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) report: Report,
    pub(crate) skipped: bool,
}

/// Runs a setup; a failing one is run again to tell what led to it.
pub fn run(setup: &Setup) -> Result<Report, Box<Failure>> {
    run_over(setup, &|setup| Box::new(Wire::new(setup.delays, setup.seed ^ 0x6c69_6e6b)))
}

/// As [`run`], over another link layer.
pub fn run_over(setup: &Setup, link: &dyn Fn(&Setup) -> Box<dyn Link>) -> Result<Report, Box<Failure>> {
    let once = |trace: bool| {
        let mut world = World::new(setup, link(setup), trace);
        let result = world.run();
        (world, result)
    };
    let (world, result) = once(false);
    match result {
        Ok(()) => Ok(world.report),
        Err(_) => {
            let (world, result) = once(true);
            let broken =
                result.err().unwrap_or_else(|| broken("determinism", "the second run was good".to_owned()));
            let lines = world.trace.unwrap_or_default();
            let trace = lines[lines.len().saturating_sub(400)..].to_vec();
            Err(Box::new(Failure { broken, seed: setup.seed, trace }))
        }
    }
}

pub(crate) const EPOCH: u64 = 7;
/// A run with more events goes round in circles.
const MOST_EVENTS: u64 = 2_000_000;

impl World {
    fn new(setup: &Setup, link: Box<dyn Link>, trace: bool) -> Self {
        let nodes = (0..setup.members).map(|me| {
            let limits =
                setup.limits.get(usize::from(me)).or(setup.limits.last()).copied().unwrap_or_default();
            let config = Config {
                me: Member(me),
                members: setup.members,
                epoch: Epoch { counter: EPOCH, ..Epoch::default() },
                ranges: setup.ranges.clone(),
                limits,
            };
            let mut engine = Engine::new(config).expect("the setup is sound");
            for (_, first, pages) in setup.local.iter().filter(|(member, ..)| *member == Member(me)) {
                engine.hint_local(*first, *pages);
            }
            Node::new(Member(me), engine)
        });
        let mut counts = BTreeMap::new();
        let vcpus = setup.vcpus.iter().map(|(member, program)| {
            let next = counts.entry(*member).or_insert(0);
            let waiter = weft_coherence::Waiter(*next);
            *next += 1;
            Vcpu::new(*member, waiter, program.clone())
        });
        Self {
            random: Random(setup.seed),
            now: 0,
            turn: 0,
            queue: BTreeMap::new(),
            link,
            nodes: nodes.collect(),
            vcpus: vcpus.collect(),
            golden: Memory::default(),
            trace: trace.then(Vec::new),
            report: Report::default(),
            skipped: false,
            setup: setup.clone(),
        }
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>10} {}", self.now, line()));
        }
    }

    pub(crate) fn at(&mut self, delay: u64, event: Event) {
        self.turn += 1;
        self.queue.insert((self.now + delay, self.turn), event);
    }

    fn run(&mut self) -> Result<(), Broken> {
        self.load()?;
        for (at, fault) in self.setup.faults.clone() {
            self.at(at, Event::Fault(fault));
        }
        while let Some(next) = self.next_ns() {
            if next > self.setup.deadline_ns || self.report.events > MOST_EVENTS {
                return Err(broken("progress", self.stuck()));
            }
            self.now = self.now.max(next);
            self.report.events += 1;
            if let Some((_, member)) = self.setup.death.filter(|(after, _)| *after == self.report.events) {
                self.event(Event::Fault(Fault::Crash(member)))?;
            }
            self.one_event()?;
            self.check()?;
            if self.finished() {
                break;
            }
        }
        self.finish()
    }

    pub(crate) fn stuck(&self) -> String {
        let waiting = self.vcpus.iter().filter(|vcpu| !vcpu.program.is_empty());
        let list: Vec<_> = waiting
            .map(|v| format!("vCPU {} of member {} at {:?}", v.waiter.0, v.member, v.program.front()))
            .collect();
        format!("not done in time: {}", list.join("; "))
    }

    fn next_ns(&self) -> Option<u64> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let ticks = self.nodes.iter().filter(|node| !node.crashed).filter_map(|node| node.engine.next_ns());
        queued.into_iter().chain(self.link.next_ns()).chain(ticks).min()
    }

    fn one_event(&mut self) -> Result<(), Broken> {
        if let Some(packet) = self.link.receive(self.now) {
            return self.deliver(packet);
        }
        if let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let event = entry.remove();
            return self.event(event);
        }
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if !node.crashed && node.engine.next_ns().is_some_and(|at| at <= self.now) {
                let mut out = Vec::new();
                node.engine.tick(self.now, &mut out);
                self.perform(index, out, &[])?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Step(vcpu) => self.step(vcpu),
            Event::Drain(vcpu) => self.drain(vcpu, 1),
            Event::Flushed(member, ticket) => self.flushed(member, ticket),
            Event::Fault(Fault::Crash(member)) => {
                self.note(|| format!("member {member} crashes"));
                self.nodes[usize::from(member.0)].crashed = true;
                for other in (0..self.setup.members).map(Member).filter(|other| *other != member) {
                    let delay = self.random.between(1_000, 5_000_000);
                    self.at(delay, Event::Lost(other, member));
                }
                Ok(())
            }
            Event::Fault(Fault::Cut(side, length)) => {
                self.note(|| format!("cut off: {side:?}"));
                self.link.cut(self.now, Some(side));
                self.at(length, Event::Heal);
                Ok(())
            }
            Event::Heal => {
                self.link.cut(self.now, None);
                Ok(())
            }
            Event::Lost(member, lost) => {
                let index = usize::from(member.0);
                let mut out = Vec::new();
                self.nodes[index].engine.member_lost(lost, &mut out);
                self.perform(index, out, &[])
            }
        }
    }

    fn load(&mut self) -> Result<(), Broken> {
        let mut out = Vec::new();
        for (first, count) in self.setup.loaded.clone() {
            for page in first.0..first.0 + u64::from(count) {
                for word in 0..64 {
                    let value = self.random.bits();
                    for (i, byte) in (0..).zip(value.to_le_bytes()) {
                        self.golden.set_byte(page * 4096 + word * 64 + i, byte);
                    }
                }
                self.nodes[0].load(Page(page), self.golden.page(Page(page)));
            }
            self.nodes[0].engine.adopt(first, count, &mut out);
        }
        let waits = !out.is_empty();
        self.perform(0, out, &[])?;
        if !waits {
            self.start();
        }
        Ok(())
    }

    fn start(&mut self) {
        for vcpu in 0..self.vcpus.len() {
            let delay = self.random.below(2_000);
            self.at(delay, Event::Step(vcpu));
        }
    }

    fn deliver(&mut self, packet: Packet) -> Result<(), Broken> {
        let Packet { from, to, control, mut payload, .. } = packet;
        let (sender, index) = (&self.nodes[usize::from(from.0)], usize::from(to.0));
        if sender.crashed || self.nodes[index].crashed {
            return Ok(());
        }
        let mut bytes = control.0;
        self.note(|| format!("{from} → {to} {control:?} +{}", payload.len()));
        if let Ok((header, message)) = codec::decode(&bytes)
            && let Some(message) = self.corrupt(&message, to, &mut payload)
        {
            match message {
                Some(message) => bytes = codec::encode(&header, &message).0,
                None => return Ok(()),
            }
        }
        if self.random.chance(self.setup.old_epoch_percent) {
            self.old_epoch(from, index, &bytes, &payload)?;
        }
        let mut out = Vec::new();
        let arrived = weft_coherence::content::arrived(&payload);
        let senseless = |node: &Node| {
            let c = node.engine.counters();
            c.impossible + c.malformed + c.again
        };
        let before = senseless(&self.nodes[index]);
        self.nodes[index].engine.message(self.now, from, &bytes, arrived, &mut out);
        if senseless(&self.nodes[index]) > before && self.setup.canary.is_none() {
            return Err(broken("no senseless message", format!("{from} → {to} {control:?}")));
        }
        self.perform(index, out, &payload)
    }

    /// A message of an older epoch must change nothing.
    fn old_epoch(&mut self, from: Member, index: usize, bytes: &[u8], payload: &[u8]) -> Result<(), Broken> {
        let Ok((mut header, message)) = codec::decode(bytes) else { return Ok(()) };
        if self.random.chance(50) {
            header.counter -= 1;
        } else {
            header.proposer[0] ^= 1;
        }
        let node = &mut self.nodes[index];
        let before = node.engine.counters().other_epoch;
        let mut out = Vec::new();
        let arrived = weft_coherence::content::arrived(payload);
        node.engine.message(self.now, from, &codec::encode(&header, &message).0, arrived, &mut out);
        let counted = node.engine.counters().other_epoch > before || node.stopped.is_some();
        if !out.is_empty() || !counted {
            return Err(broken("epoch fencing", format!("{message:?} led to {out:?}")));
        }
        Ok(())
    }

    pub(crate) fn perform(
        &mut self,
        index: usize,
        effects: Vec<weft_coherence::Effect>,
        payload: &[u8],
    ) -> Result<(), Broken> {
        for effect in &effects {
            self.note(|| format!("    {index}: {effect:?}"));
            if let weft_coherence::Effect::MapGuest { page, write } = effect {
                self.report.served.push((*page, self.nodes[index].me, *write));
            }
        }
        let outcomes = self.nodes[index].perform(effects, payload)?;
        let me = Member(u8::try_from(index).unwrap_or(u8::MAX));
        for outcome in outcomes {
            match outcome {
                Outcome::Send(packet) => self.link.send(self.now, packet),
                Outcome::Flush(ticket) => {
                    let delay = self.random.between(self.setup.flush_ns.0, self.setup.flush_ns.1);
                    self.at(delay, Event::Flushed(me, ticket));
                    if self.setup.canary == Some(Canary::EarlyFlush) {
                        let mut out = Vec::new();
                        self.nodes[index].engine.flushed(self.now, ticket, &mut out);
                        self.perform(index, out, &[])?;
                    }
                }
                Outcome::Unpark(waiter) => {
                    let found = self.vcpus.iter().position(|v| v.member == me && v.waiter == waiter);
                    let Some(vcpu) = found.filter(|vcpu| self.vcpus[*vcpu].parked) else {
                        return Err(broken("unpark", format!("of waiter {waiter:?}, who is not parked")));
                    };
                    self.vcpus[vcpu].parked = false;
                    let delay = self.random.between(self.setup.wake_ns.0, self.setup.wake_ns.1);
                    self.at(delay, Event::Step(vcpu));
                }
                Outcome::Ready => self.start(),
            }
        }
        Ok(())
    }
}
