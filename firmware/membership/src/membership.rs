//! Agreement with time: beats, leases, suspicion, catching up.
//!
//! ```text
//! booted ──record──▶ asking ──founding, or admitted by the others──▶ member ◀──▶ minority
//! ```
//! A *member* has agreed to the newest epoch that it knows; in a *minority* it cannot renew its lease, so
//! nothing spans over it, and it keeps asking those it misses. All frames carry the newest agreed counter of
//! their sender: whoever hears of a newer one asks for it before it proposes anything.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use weft_types::NodeId;

use crate::agreement::Agreement;
use crate::decision::{Decision, Epoch, RecordId};
use crate::effect::{Config, Effect, Judge, Refusal, Standing, View};
use crate::frames::{self, Assembly, Header};
use crate::lease::Lease;
use crate::message::Message;
use crate::suspicion::Suspicion;
use crate::talk::{Output, Talk};
use crate::timing::{MS, Timing};

/// Between two questions to members that are missed.
const ASK_NS: u64 = 1_000 * MS;
/// Whoever knows of a newer epoch waits so long for it before it proposes all the same.
const CATCH_UP_NS: u64 = 2_000 * MS;

#[derive(Debug, Default)]
pub(crate) struct Peer {
    heard_ns: Option<u64>,
    left: bool,
    assembly: Assembly,
}

#[derive(Debug)]
pub(crate) struct Record {
    id: RecordId,
    members: Vec<NodeId>,
    bytes: Arc<[u8]>,
}

/// See the module.
pub struct Membership {
    pub(crate) me: NodeId,
    pub(crate) timing: Timing,
    pub(crate) judge: alloc::boxed::Box<dyn Judge + Send>,
    pub(crate) rng: SmallRng,
    pub(crate) agreement: Agreement,
    pub(crate) lease: Lease,
    pub(crate) suspicion: Suspicion,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    pub(crate) records: Vec<Record>,
    /// A configuration given to this node, and when it is given up.
    pub(crate) configuring: Option<(RecordId, u64)>,
    /// The newest counter heard of, and since when.
    pub(crate) ahead: (u64, u64),
    /// The last probe of the coordinator.
    pub(crate) probe: Option<(Epoch, u64)>,
    pub(crate) beat_at_ns: u64,
    pub(crate) ask_at_ns: u64,
    pub(crate) nudge_at_ns: Option<u64>,
    pub(crate) number: u32,
    pub(crate) view: Option<View>,
    pub(crate) committed: Option<RecordId>,
    pub(crate) majority: bool,
    pub(crate) leaving: bool,
    pub(crate) dropped: u64,
    pub(crate) effects: Vec<Effect>,
}

impl core::fmt::Debug for Membership {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Membership").field("me", &self.me).field("view", &self.view).finish_non_exhaustive()
    }
}

impl Membership {
    /// A node that has just booted and knows no partition.
    pub fn new(config: &Config, judge: alloc::boxed::Box<dyn Judge + Send>, now_ns: u64) -> Self {
        let Config { me, incarnation, seed, timing } = *config;
        let mut rng = SmallRng::seed_from_u64(seed);
        let suspicion = Suspicion::new(me, incarnation, &timing, rng.random());
        Self {
            me,
            timing,
            judge,
            rng,
            agreement: Agreement::new(me, incarnation),
            lease: Lease::new(timing, now_ns),
            suspicion,
            peers: BTreeMap::new(),
            records: Vec::new(),
            configuring: None,
            ahead: (0, 0),
            probe: None,
            beat_at_ns: now_ns,
            ask_at_ns: now_ns,
            nudge_at_ns: None,
            number: 0,
            view: None,
            committed: None,
            majority: false,
            leaving: false,
            dropped: 0,
            effects: Vec::new(),
        }
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// Whose word counts for records from now on.
    pub fn set_judge(&mut self, judge: alloc::boxed::Box<dyn Judge + Send>) {
        self.judge = judge;
    }

    /// Who is in, as far as this node knows.
    pub fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// The epoch that this node has agreed to and is part of.
    pub fn agreed_epoch(&self) -> Option<Epoch> {
        self.agreement.agreed().map(|decision| decision.epoch)
    }

    /// Until then nobody restarts elsewhere what spans over this node. Past it, spanning servers must not run.
    pub fn lease_until_ns(&self) -> u64 {
        self.lease.until_ns()
    }

    /// Before then no spanning server may start: someone who was shut out may still run it.
    pub fn quiet_until_ns(&self) -> u64 {
        self.lease.quiet_until_ns()
    }

    /// Whether a server over these nodes may run here now.
    pub fn may_span(&self, now_ns: u64, nodes: impl IntoIterator<Item = NodeId>) -> bool {
        let Some(decision) = self.agreement.agreed() else { return false };
        now_ns < self.lease.until_ns() && nodes.into_iter().all(|node| decision.view.contains(&node))
    }

    /// Other members of the agreed view that do not seem to live.
    pub fn silent(&self) -> Vec<NodeId> {
        let view = self.agreement.agreed().map_or(&[][..], |decision| &decision.view);
        let live = self.agreement.live();
        view.iter().copied().filter(|node| *node != self.me && !live.contains(node)).collect()
    }

    /// Frames and packets that were not as they should be.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What the appliance is told.
    pub fn standing(&self) -> Standing {
        let committed = self.agreement.committed();
        Standing {
            incarnation: self.agreement.incarnation_of(self.me),
            unfounded: self.agreement.is_unfounded(),
            voter: self.agreement.is_voter(),
            epoch: committed.map_or(Epoch::default(), |decision| decision.epoch),
            record: committed.map_or(RecordId::default(), |decision| decision.record),
            agreed: self.agreement.agreed().is_some(),
        }
    }

    /// When to tick.
    pub fn next_ns(&self) -> u64 {
        let mut next = self.suspicion.next_ns().min(self.beat_at_ns).min(self.ask_at_ns);
        for due in [self.nudge_at_ns, self.configuring.map(|(_, due)| due)].into_iter().flatten() {
            next = next.min(due);
        }
        next
    }

    /// What is to be done since the last call, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.effects)
    }

    /// A frame from a member, authenticated.
    pub fn message(&mut self, now_ns: u64, from: NodeId, bytes: &[u8]) {
        let Some(frame) = frames::parse(bytes).filter(|_| from != self.me) else {
            self.dropped = self.dropped.saturating_add(1);
            return;
        };
        let before = self.agreement.incarnation_of(from);
        let Some(peer) = self.peers.get_mut(&from) else {
            self.dropped = self.dropped.saturating_add(1);
            return;
        };
        if !self.agreement.heard(from, frame.header.incarnation) {
            return;
        }
        if frame.header.incarnation > before {
            *peer = Peer::default();
        }
        peer.heard_ns = Some(now_ns);
        let whole = peer.assembly.add(&frame);
        self.hear_of(now_ns, from, frame.header.agreed);
        if let Some(bytes) = whole {
            match Message::decode(&bytes) {
                Some(message) => self.on_message(now_ns, from, frame.header.agreed, message),
                None => self.dropped = self.dropped.saturating_add(1),
            }
        }
        self.settle(now_ns);
    }

    fn agreed_counter(&self) -> u64 {
        self.agreement.committed().map_or(0, |decision| decision.epoch.counter)
    }

    /// A sender knows of a newer epoch: ask it.
    fn hear_of(&mut self, now_ns: u64, from: NodeId, counter: u64) {
        if counter <= self.agreed_counter() {
            return;
        }
        let waiting = now_ns.saturating_sub(self.ahead.1) < self.timing.nudge_ns;
        if counter > self.ahead.0 || !waiting {
            self.ahead = (counter.max(self.ahead.0), now_ns);
            self.send(from, &Message::Ask);
        }
    }

    fn on_message(&mut self, now_ns: u64, from: NodeId, known: u64, message: Message) {
        match message {
            Message::Talk(talk) => {
                let mut out = Vec::new();
                self.agreement.on_talk(from, talk, self.lease.remaining(now_ns), &mut out);
                self.put(now_ns, out);
            }
            Message::Beat { epoch, stamp_ns, echo, promised } => {
                self.agreement.saw(promised);
                self.on_beat(now_ns, from, epoch, stamp_ns, echo);
            }
            Message::Pulse { epoch, stamp_ns, remaining_ms, probe_ns } => {
                if self.agreed_epoch() == Some(epoch) {
                    self.lease.shared(now_ns, stamp_ns, remaining_ms);
                    self.probe = Some((epoch, probe_ns));
                }
            }
            Message::Ask => self.tell(now_ns, from, known),
            Message::Want(id) => {
                if let Some(record) = self.records.iter().find(|record| record.id == id) {
                    let message = Message::Record(record.bytes.to_vec());
                    self.send(from, &message);
                }
            }
            Message::Record(bytes) => {
                if self.take_record(&bytes).is_err() {
                    self.dropped = self.dropped.saturating_add(1);
                }
            }
            Message::Swim(packet) => {
                let members = self.peers.keys().copied().chain([self.me]).collect();
                if !self.suspicion.packet(now_ns, from, &members, &packet) {
                    self.dropped = self.dropped.saturating_add(1);
                }
            }
            Message::Leave => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.left = true;
                }
            }
        }
    }

    /// Tells a member that knows less what was agreed.
    fn tell(&mut self, now_ns: u64, to: NodeId, known: u64) {
        let Some(committed) = self.agreement.committed().filter(|held| held.epoch.counter > known) else {
            return;
        };
        if committed.epoch.is_founding() {
            return;
        }
        let decision = alloc::boxed::Box::new(committed.clone());
        let quiet_ms = self.lease.remaining(now_ns).quiet_ms;
        self.send(to, &Message::Talk(Talk::Commit { decision, quiet_ms }));
    }

    fn on_beat(&mut self, now_ns: u64, from: NodeId, epoch: Epoch, stamp_ns: u64, echo: Option<u64>) {
        let Some(decision) = self.agreement.agreed().cloned() else { return };
        if decision.coordinator() != Some(self.me) {
            return;
        }
        if epoch != decision.epoch {
            self.tell(now_ns, from, epoch.counter);
            return;
        }
        if let Some(probe) = echo
            && decision.includes(from, self.agreement.incarnation_of(from))
        {
            self.lease.granted(now_ns, epoch, from, probe);
        }
        self.renew(now_ns, &decision);
        let remaining_ms = self.lease.share_ms(now_ns);
        self.send(from, &Message::Pulse { epoch, stamp_ns, remaining_ms, probe_ns: now_ns });
    }

    /// Whether this node may grant: it has promised nobody a later epoch.
    fn may_grant(&self, epoch: Epoch) -> bool {
        self.agreement.acceptor().promised().counter <= epoch.counter && !self.leaving
    }

    fn renew(&mut self, now_ns: u64, decision: &Decision) {
        let grants = self.may_grant(decision.epoch);
        self.lease.renew(now_ns, self.me, decision, grants);
    }

    /// Time passes.
    pub fn tick(&mut self, now_ns: u64) {
        if self.leaving {
            self.beat_at_ns = u64::MAX;
            self.ask_at_ns = u64::MAX;
            self.nudge_at_ns = None;
            self.configuring = None;
            return;
        }
        self.suspicion.tick(now_ns);
        self.flush_packets();
        if now_ns >= self.beat_at_ns {
            self.beat_at_ns = now_ns.saturating_add(self.timing.beat_ns);
            self.beat(now_ns);
        }
        if now_ns >= self.ask_at_ns {
            self.ask_at_ns = now_ns.saturating_add(ASK_NS);
            self.ask(now_ns);
        }
        if let Some((id, _)) = self.configuring.filter(|(_, due)| now_ns >= *due) {
            self.configuring = None;
            self.agreement.withdraw(id);
            self.prune();
            self.effects.push(Effect::Refused { id: Some(id), reason: Refusal::Timeout });
        }
        if self.nudge_at_ns.is_some_and(|due| now_ns >= due) {
            self.nudge_at_ns = None;
            self.nudge(now_ns);
        }
        self.settle(now_ns);
    }

    fn beat(&mut self, now_ns: u64) {
        let Some(decision) = self.agreement.agreed().cloned() else { return };
        let Some(coordinator) = decision.coordinator() else { return };
        if coordinator == self.me {
            self.renew(now_ns, &decision);
            return;
        }
        let epoch = decision.epoch;
        let probe = self.probe.filter(|(of, _)| *of == epoch).map(|(_, probe)| probe);
        let echo = probe.filter(|_| self.may_grant(epoch));
        if echo.is_some() {
            self.lease.grant(now_ns);
        }
        let promised = self.agreement.acceptor().promised().counter;
        self.send(coordinator, &Message::Beat { epoch, stamp_ns: now_ns, echo, promised });
    }

    /// Asks those that are missed, and for a record that is missing.
    fn ask(&mut self, now_ns: u64) {
        let silence = self.timing.silence_ns;
        let missed = |peer: &Peer| peer.heard_ns.is_none_or(|at| now_ns.saturating_sub(at) >= silence);
        let alone = self.agreement.agreed().is_none();
        let asked: Vec<NodeId> =
            self.peers.iter().filter(|(_, peer)| alone || missed(peer)).map(|(node, _)| *node).collect();
        for node in asked {
            self.send(node, &Message::Ask);
        }
        let greeted: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in greeted {
            let incarnation = self.agreement.incarnation_of(node);
            if incarnation != 0 {
                self.suspicion.announce(now_ns, node, incarnation);
            }
        }
        self.flush_packets();
        if let Some(record) = self.agreement.committed().map(|held| held.record)
            && !self.agreement.holds(record)
        {
            // This node is no peer of its own: nothing is sent to it.
            let live: Vec<NodeId> = self.agreement.live().iter().copied().collect();
            for node in live {
                self.send(node, &Message::Want(record));
            }
        }
    }

    fn nudge(&mut self, now_ns: u64) {
        let behind = self.ahead.0 > self.agreed_counter();
        if behind && now_ns.saturating_sub(self.ahead.1) < CATCH_UP_NS && !self.agreement.is_proposing() {
            return;
        }
        let mut out = Vec::new();
        self.agreement.nudge(self.lease.remaining(now_ns), &mut out);
        self.put(now_ns, out);
        // Someone else proposes: give it what this node was given.
        let Some((id, _)) = self.configuring else { return };
        if self.agreement.is_proposing() || self.agreement.is_wanted() {
            return;
        }
        let bytes = self.records.iter().find(|record| record.id == id).map(|record| record.bytes.to_vec());
        let coordinator = self.agreement.agreed().and_then(Decision::coordinator);
        if let (Some(bytes), Some(coordinator)) = (bytes, coordinator.filter(|node| *node != self.me)) {
            self.send(coordinator, &Message::Record(bytes));
        }
    }

    pub(crate) fn put(&mut self, now_ns: u64, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send(to, talk) => self.send(to, &Message::Talk(talk)),
                Output::Witness(talk) => {
                    if let Ok(bytes) = postcard::to_allocvec(&talk) {
                        self.effects.push(Effect::Witness(bytes));
                    }
                }
                Output::Learnt { quiet_ms, .. } => {
                    self.lease.keep_quiet(now_ns, quiet_ms);
                    self.learnt();
                }
                Output::Want(id, from) => self.send(from, &Message::Want(id)),
            }
        }
    }

    /// The agreed decision is another one.
    pub(crate) fn learnt(&mut self) {
        let nodes: Vec<NodeId> = self
            .agreement
            .committed()
            .map(|decision| decision.voters.iter().map(|voter| voter.node).collect())
            .unwrap_or_default();
        self.meet(&nodes);
        self.prune();
    }

    fn meet(&mut self, nodes: &[NodeId]) {
        for node in nodes.iter().filter(|node| **node != self.me) {
            self.peers.entry(*node).or_default();
        }
        // Members of no record and no decision in hand are strangers.
        let mut known = BTreeSet::new();
        known.extend(self.records.iter().flat_map(|record| record.members.iter().copied()));
        for decision in
            [self.agreement.committed(), self.agreement.acceptor().accepted()].into_iter().flatten()
        {
            known.extend(decision.voters.iter().chain(&decision.base.voters).map(|voter| voter.node));
        }
        self.peers.retain(|node, _| known.contains(node));
    }

    pub(crate) fn take_record(&mut self, bytes: &[u8]) -> Result<RecordId, Refusal> {
        let (id, members) = self.judge.judge(bytes).map_err(Refusal::Record)?;
        if !self.agreement.holds(id) {
            self.agreement.hold(id, members.clone());
            self.records.push(Record { id, members: members.clone(), bytes: bytes.into() });
            self.meet(&members);
            self.prune();
        }
        Ok(id)
    }

    pub(crate) fn prune(&mut self) {
        let agreement = &self.agreement;
        self.records.retain(|record| agreement.holds(record.id));
    }

    pub(crate) fn send(&mut self, to: NodeId, message: &Message) {
        if self.leaving || !self.peers.contains_key(&to) {
            return;
        }
        let header =
            Header { incarnation: self.agreement.incarnation_of(self.me), agreed: self.agreed_counter() };
        self.number = self.number.wrapping_add(1);
        let frames = message.encode().and_then(|bytes| frames::cut(header, self.number, &bytes));
        let frames = frames.into_iter().flatten();
        self.effects.extend(frames.map(|bytes| Effect::Send { to, bytes }));
    }

    pub(crate) fn flush_packets(&mut self) {
        for (to, packet) in self.suspicion.take_packets() {
            self.send(to, &Message::Swim(packet));
        }
    }

    /// Who lives: whoever was heard of late, by this node or by the others.
    fn live(&self, now_ns: u64) -> BTreeSet<NodeId> {
        let up = self.suspicion.up();
        let silence = self.timing.silence_ns;
        let lives = |node: &NodeId, peer: &Peer| {
            let heard = peer.heard_ns.is_some_and(|at| now_ns.saturating_sub(at) < silence);
            !peer.left && (heard || (peer.heard_ns.is_some() && up.contains(node)))
        };
        let mut live = BTreeSet::new();
        live.extend(self.peers.iter().filter(|(node, peer)| lives(node, peer)).map(|(node, _)| *node));
        live
    }

    /// Brings everything that follows from the state up to date.
    pub(crate) fn settle(&mut self, now_ns: u64) {
        self.flush_packets();
        let live = self.live(now_ns);
        self.agreement.set_live(live);
        self.tell_view();
        self.tell_record();
        let majority = self.agreement.agreed().is_some() && self.agreement.has_majority();
        if majority != self.majority {
            self.majority = majority;
            self.effects.push(Effect::Majority(majority));
        }
        let busy = self.agreement.is_wanted() || self.agreement.is_proposing() || self.configuring.is_some();
        if busy && self.nudge_at_ns.is_none() && !self.leaving {
            let jitter = self.rng.random_range(0..=self.timing.nudge_ns);
            self.nudge_at_ns = Some(now_ns.saturating_add(self.timing.nudge_ns).saturating_add(jitter));
        }
    }

    fn tell_view(&mut self) {
        let view = self.agreement.committed().and_then(|decision| {
            Some(View {
                epoch: decision.epoch,
                record: decision.record,
                members: decision.view.clone(),
                coordinator: decision.coordinator()?,
                agreed: self.agreement.agreed().is_some(),
            })
        });
        if view != self.view {
            self.view = view.clone();
            self.effects.extend(view.map(Effect::ViewChanged));
        }
    }

    fn tell_record(&mut self) {
        let Some(agreed) = self.agreement.agreed() else { return };
        let (id, epoch) = (agreed.record, agreed.epoch);
        if self.committed == Some(id) {
            return;
        }
        let Some(record) = self.records.iter().find(|record| record.id == id) else { return };
        let effect = Effect::Committed { id, epoch, record: record.bytes.clone() };
        self.committed = Some(id);
        if self.configuring.is_some_and(|(given, _)| given <= id) {
            self.configuring = None;
        }
        self.effects.push(effect);
    }
}
