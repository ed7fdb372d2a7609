//! Agreement on epochs, without time: who proposes, who votes, what is agreed.
//!
//! ```text
//! candidate                       voters                          everyone
//!     │ Prepare(epoch) ─────────────▶ │ promise once a counter         │
//!     │◀──────── Promise(held so far) │                                │
//!     │   majority: what may have been agreed goes first,              │
//!     │   else what is wanted: newest record, live members             │
//!     │ Accept(decision) ───────────▶ │ only with the record in hand   │
//!     │◀───────────────────── Accepted │                                │
//!     │   majority of the base's and of its own voters                 │
//!     │ Commit(decision) ─────────────┼───────────────────────────────▶│
//! ```
//! The candidate is the first live member in the configured order whose incarnation may vote. Two candidates
//! at once cost time, never agreement. Everything here is a plain value with [`Hash`], so that a model checker
//! can walk all of its states.
//!
//! Neighbours: [`crate::acceptor`] votes; [`crate::Membership`] adds time, leases and suspicion.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use weft_types::NodeId;

use crate::acceptor::{Acceptor, Later};
use crate::decision::{Base, Decision, Epoch, Incarnation, RecordId, Voter, has_witness, is_majority};
use crate::talk::{Output, Remaining, Talk};

/// Most records remembered: agreed, accepted, offered, and one that is on its way.
const MAX_HELD: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Prepare,
    Accept,
}

/// An attempt of this node to have an epoch agreed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Round {
    epoch: Epoch,
    phase: Phase,
    promises: Vec<Voter>,
    promised_by_witness: bool,
    votes: Vec<Voter>,
    voted_by_witness: bool,
    /// The highest that a voter accepted, and who told of it.
    best: Option<(Box<Decision>, NodeId)>,
    base: Base,
    decision: Option<Box<Decision>>,
    remaining: Remaining,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agreement {
    me: NodeId,
    incarnation: Incarnation,
    acceptor: Acceptor,
    /// Newest incarnation heard of each node.
    known: BTreeMap<NodeId, Incarnation>,
    live: BTreeSet<NodeId>,
    /// The appliance can be asked.
    witness: bool,
    /// Highest counter seen anywhere.
    seen: u64,
    /// Records in hand with their members in order, oldest first.
    held: Vec<(RecordId, Vec<NodeId>)>,
    round: Option<Round>,
}

impl Agreement {
    /// A node that has just booted: it knows nothing and does not vote.
    pub fn new(me: NodeId, incarnation: Incarnation) -> Self {
        Self {
            me,
            incarnation,
            acceptor: Acceptor::default(),
            known: BTreeMap::from([(me, incarnation)]),
            live: BTreeSet::from([me]),
            witness: false,
            seen: 0,
            held: Vec::new(),
            round: None,
        }
    }

    /// What this node remembers as a voter.
    pub fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    /// The newest decision known to be agreed.
    pub fn committed(&self) -> Option<&Decision> {
        self.acceptor.committed()
    }

    /// The decision that this node has agreed to and is part of.
    pub fn agreed(&self) -> Option<&Decision> {
        self.committed().filter(|decision| decision.includes(self.me, self.incarnation))
    }

    /// Whether it waits to be admitted: no decision that it knows names its incarnation.
    pub fn is_voter(&self) -> bool {
        self.committed().is_some_and(|decision| decision.incarnation(self.me) == self.incarnation)
    }

    /// Whether it may take a founding. See [`Acceptor::is_unfounded`].
    pub fn is_unfounded(&self) -> bool {
        self.acceptor.is_unfounded(self.me, self.incarnation)
    }

    /// Newest incarnation heard of a node, 0 where none.
    pub fn incarnation_of(&self, node: NodeId) -> Incarnation {
        self.known.get(&node).copied().unwrap_or(0)
    }

    /// Whether a round of this node is under way.
    pub fn is_proposing(&self) -> bool {
        self.round.is_some()
    }

    /// Nodes believed to be alive, this one included.
    pub fn live(&self) -> &BTreeSet<NodeId> {
        &self.live
    }

    /// Whether this record is in hand.
    pub fn holds(&self, record: RecordId) -> bool {
        self.held.iter().any(|(held, _)| *held == record)
    }

    /// The newest record in hand that is later than the agreed one.
    pub fn offered(&self) -> Option<RecordId> {
        let agreed = self.committed().map(|decision| decision.record);
        self.held.iter().map(|(id, _)| *id).max().filter(|id| agreed.is_none_or(|agreed| *id > agreed))
    }

    /// Takes a verified record in hand. It is proposed once this node is the candidate.
    pub fn hold(&mut self, record: RecordId, members: Vec<NodeId>) {
        if self.holds(record) {
            return;
        }
        self.held.push((record, members));
        while self.held.len() > MAX_HELD {
            let needed = |id: RecordId| {
                let of = |decision: Option<&Decision>| decision.is_some_and(|held| held.record == id);
                id == record || of(self.acceptor.committed()) || of(self.acceptor.accepted())
            };
            let Some(position) = self.held.iter().position(|(id, _)| !needed(*id)) else { break };
            self.held.remove(position);
        }
    }

    /// Gives up an offered record that was not agreed in time. What was accepted by someone may still be.
    pub fn withdraw(&mut self, record: RecordId) {
        let of = |decision: Option<&Decision>| decision.is_some_and(|held| held.record == record);
        let proposed = self.round.as_ref().is_some_and(|round| of(round.decision.as_deref()));
        if !of(self.acceptor.committed()) && !of(self.acceptor.accepted()) && !proposed {
            self.held.retain(|(id, _)| *id != record);
        }
    }

    /// Takes the appliance's founding. `true` if it was taken.
    pub fn found(&mut self, decision: &Decision) -> bool {
        let taken = self.acceptor.found(decision, self.me, self.incarnation);
        if taken {
            self.seen = self.seen.max(decision.epoch.counter);
            self.round = None;
        }
        taken
    }

    /// Heard from a node. `false` if from a boot that is over.
    pub fn heard(&mut self, from: NodeId, incarnation: Incarnation) -> bool {
        let known = self.known.entry(from).or_insert(0);
        if incarnation == 0 || incarnation < *known {
            return false;
        }
        *known = incarnation;
        true
    }

    /// Nodes believed to be alive. This one always is.
    pub fn set_live(&mut self, live: BTreeSet<NodeId>) {
        self.live = live;
        self.live.insert(self.me);
    }

    /// Whether the appliance can be asked for its vote.
    pub fn set_witness(&mut self, present: bool) {
        self.witness = present;
    }

    /// Heard of this counter.
    pub fn saw(&mut self, counter: u64) {
        self.seen = self.seen.max(counter);
    }

    /// Members in agreement that live, and all configured ones; `None` before this node knows any.
    pub fn strength(&self) -> Option<(usize, usize)> {
        let committed = self.committed()?;
        Some((self.living(committed).len(), committed.voters.len()))
    }

    /// Whether a majority is believed to be alive, the appliance counted where it is a voter.
    pub fn has_majority(&self) -> bool {
        self.committed()
            .is_some_and(|committed| is_majority(&committed.voters, &self.living(committed), self.witness))
    }

    fn living(&self, committed: &Decision) -> Vec<Voter> {
        let lives = |voter: &&Voter| {
            voter.incarnation != 0
                && self.live.contains(&voter.node)
                && self.incarnation_of(voter.node) == voter.incarnation
        };
        committed.voters.iter().filter(lives).copied().collect()
    }

    /// Whether this node should propose: it is first in line, and something is to be agreed.
    pub fn is_wanted(&self) -> bool {
        let Some(committed) = self.committed() else { return false };
        let first = self.living(committed).first().is_some_and(|first| first.node == self.me);
        if !first || !self.has_majority() {
            return false;
        }
        let unsettled = self.acceptor.accepted().is_some_and(|held| held.epoch > committed.epoch);
        let (record, voters, view) = self.wish(committed);
        unsettled
            || self.seen > committed.epoch.counter
            || record != committed.record
            || voters != committed.voters
            || view != committed.view
    }

    /// What should be in force: the newest record, each member's newest incarnation, those that live.
    fn wish(&self, committed: &Decision) -> (RecordId, Vec<Voter>, Vec<NodeId>) {
        let newest = self.held.iter().max_by_key(|(id, _)| *id).filter(|(id, _)| *id > committed.record);
        let (record, members) = match newest {
            Some((id, members)) => (*id, members.clone()),
            None => (committed.record, committed.voters.iter().map(|voter| voter.node).collect()),
        };
        let voters: Vec<Voter> = members
            .into_iter()
            .map(|node| {
                let incarnation = self.incarnation_of(node).max(committed.incarnation(node));
                Voter { node, incarnation }
            })
            .collect();
        let view = self.view_of(&voters);
        (record, voters, view)
    }

    /// Those of `voters` that live and may vote. Who has just answered lives.
    fn view_of(&self, voters: &[Voter]) -> Vec<NodeId> {
        let answered =
            |voter: &Voter| self.round.as_ref().is_some_and(|round| round.promises.contains(voter));
        let lives =
            |voter: &&Voter| voter.incarnation != 0 && (self.live.contains(&voter.node) || answered(voter));
        voters.iter().filter(lives).map(|voter| voter.node).collect()
    }

    /// Time to move on: starts a round if one is wanted, or asks again those who have not answered.
    pub fn nudge(&mut self, own: Remaining, out: &mut Vec<Output>) {
        if self.round.is_some() && self.has_majority() {
            self.ask(out);
            return;
        }
        self.round = None;
        if self.is_wanted() {
            self.start(own, out);
        }
    }

    fn start(&mut self, own: Remaining, out: &mut Vec<Output>) {
        let Some(committed) = self.acceptor.committed() else { return };
        let base = committed.as_base();
        let highest = self.seen.max(self.acceptor.promised().counter).max(base.epoch.counter);
        let Some(counter) = highest.checked_add(1) else { return };
        let epoch = Epoch { counter, proposer: self.me };
        let best = self.acceptor.accepted().map(|held| (Box::new(held.clone()), self.me));
        // A counter above all that was promised.
        let promised = self.acceptor.prepare(epoch);
        assert!(promised.is_ok(), "a new counter is above all promises of this node");
        self.seen = counter;
        self.round = Some(Round {
            epoch,
            phase: Phase::Prepare,
            promises: vec![self.own_vote()],
            promised_by_witness: false,
            votes: Vec::new(),
            voted_by_witness: false,
            best,
            base,
            decision: None,
            remaining: own,
        });
        self.ask(out);
        self.on_promises(own, out);
    }

    fn own_vote(&self) -> Voter {
        Voter { node: self.me, incarnation: self.incarnation }
    }

    /// Asks everyone whose answer is missing.
    fn ask(&mut self, out: &mut Vec<Output>) {
        let Some(round) = &self.round else { return };
        let (talk, answered, witness) = match (&round.phase, &round.decision) {
            (Phase::Accept, Some(decision)) => {
                (Talk::Accept(decision.clone()), &round.votes, round.voted_by_witness)
            }
            (Phase::Prepare, _) | (Phase::Accept, None) => {
                (Talk::Prepare(round.epoch), &round.promises, round.promised_by_witness)
            }
        };
        let best = round.best.iter().map(|(best, _)| &best.voters);
        let sets = || {
            let own = round.decision.iter().map(|decision| &decision.voters);
            core::iter::once(&round.base.voters).chain(best.clone()).chain(own)
        };
        let mut asked = BTreeSet::new();
        asked.extend(
            sets()
                .flatten()
                .filter(|voter| voter.incarnation != 0 && voter.node != self.me && !answered.contains(voter))
                .map(|voter| voter.node),
        );
        out.extend(asked.into_iter().map(|node| Output::Send(node, talk.clone())));
        if !witness && sets().any(|voters| has_witness(voters)) {
            out.push(Output::Witness(talk));
        }
    }

    /// Moves to the second phase once the promises suffice.
    fn on_promises(&mut self, own: Remaining, out: &mut Vec<Output>) {
        let Some(round) = &self.round else { return };
        let Some(committed) = self.acceptor.committed() else { return };
        if round.phase != Phase::Prepare {
            return;
        }
        let majority = |voters: &[Voter]| is_majority(voters, &round.promises, round.promised_by_witness);
        let mut base = round.base.clone();
        // What someone built upon was agreed.
        for later in [Some(committed.as_base()), round.best.as_ref().map(|(best, _)| best.base.clone())] {
            if let Some(later) = later.filter(|later| later.epoch > base.epoch) {
                base = later;
            }
        }
        if !majority(&base.voters) {
            if base != round.base {
                self.rebase(base);
            }
            return;
        }
        let open = round.best.as_ref().filter(|(best, _)| best.epoch > base.epoch);
        let (record, voters, view) = match open {
            // It may have been agreed: it goes first, unchanged but for who lives.
            Some((best, teller)) => {
                if !majority(&best.voters) {
                    return;
                }
                if !self.holds(best.record) {
                    out.push(Output::Want(best.record, *teller));
                    return;
                }
                (best.record, best.voters.clone(), self.view_of(&best.voters))
            }
            // The agreed decision itself must be in hand, else what is wanted cannot be known.
            None if committed.epoch == base.epoch => self.wish(committed),
            None => return,
        };
        if view.is_empty() {
            return;
        }
        let decision = Box::new(Decision { epoch: round.epoch, record, view, voters, base });
        self.propose(decision, own, out);
    }

    fn rebase(&mut self, base: Base) {
        if let Some(round) = &mut self.round {
            round.base = base;
        }
    }

    fn propose(&mut self, decision: Box<Decision>, own: Remaining, out: &mut Vec<Output>) {
        let vote = self.own_vote();
        if self.acceptor.accept(&decision).is_err() {
            self.round = None;
            return;
        }
        let Some(round) = &mut self.round else { return };
        round.phase = Phase::Accept;
        round.base = decision.base.clone();
        round.decision = Some(decision);
        round.votes.push(vote);
        round.remaining = round.remaining.max(own);
        self.ask(out);
        self.on_votes(out);
    }

    /// Commits once the votes suffice.
    fn on_votes(&mut self, out: &mut Vec<Output>) {
        let Some(round) = &self.round else { return };
        let Some(decision) = round.decision.as_deref() else { return };
        let majority = |voters: &[Voter]| is_majority(voters, &round.votes, round.voted_by_witness);
        if !majority(&decision.base.voters) || !majority(&decision.voters) {
            return;
        }
        let quiet_ms = self.quiet_ms(round, decision);
        let decision = decision.clone();
        let talk = Talk::Commit { decision: Box::new(decision.clone()), quiet_ms };
        let mut told = BTreeSet::new();
        told.extend(decision.voters.iter().map(|voter| voter.node));
        told.extend(decision.base.voters.iter().map(|voter| voter.node));
        told.remove(&self.me);
        out.extend(told.into_iter().map(|node| Output::Send(node, talk.clone())));
        self.round = None;
        self.learn(&decision, quiet_ms, out);
    }

    /// How long spanning servers must not start: as long as somebody who is shut out may still rely on a
    /// lease.
    fn quiet_ms(&self, round: &Round, decision: &Decision) -> u32 {
        let nobody_lost = self.acceptor.committed().is_some_and(|before| {
            before.epoch == decision.base.epoch
                && !before.epoch.is_founding()
                && before.view.iter().all(|node| decision.view.contains(node))
        });
        if nobody_lost {
            round.remaining.quiet_ms
        } else {
            round.remaining.granted_ms.max(round.remaining.quiet_ms)
        }
    }

    fn learn(&mut self, decision: &Decision, quiet_ms: u32, out: &mut Vec<Output>) {
        let bound = decision.incarnation(self.me) == self.incarnation;
        if !self.acceptor.learn(decision, bound) {
            return;
        }
        self.seen = self.seen.max(decision.epoch.counter);
        if self.round.as_ref().is_some_and(|round| round.epoch.counter <= decision.epoch.counter) {
            self.round = None;
        }
        out.push(Output::Learnt { decision: decision.clone(), quiet_ms });
    }

    /// A member said something; `own` is what this node granted so far. The sender's incarnation was
    /// [`Self::heard`]. Unsound decisions are dropped.
    pub fn on_talk(&mut self, from: NodeId, talk: Talk, own: Remaining, out: &mut Vec<Output>) {
        let incarnation = self.incarnation_of(from);
        let voter = Voter { node: from, incarnation };
        match talk {
            Talk::Prepare(epoch) => self.on_prepare(from, epoch, own, out),
            Talk::Accept(decision) => self.on_accept(from, &decision, own, out),
            Talk::Promise { epoch, accepted, committed, remaining } => {
                self.on_promise(Some(voter), epoch, [accepted, committed], remaining, own, out);
            }
            Talk::Accepted { epoch, remaining } => self.on_accepted(Some(voter), epoch, remaining, out),
            Talk::Refused { epoch, promised } => self.on_refused(epoch, promised),
            Talk::Commit { decision, quiet_ms } => {
                if decision.is_sound() {
                    self.learn(&decision, quiet_ms, out);
                }
            }
        }
    }

    /// The appliance answered as a voter. It grants no leases.
    pub fn on_witness(&mut self, talk: Talk, own: Remaining, out: &mut Vec<Output>) {
        match talk {
            Talk::Promise { epoch, accepted, committed, .. } => {
                self.on_promise(None, epoch, [accepted, committed], Remaining::default(), own, out);
            }
            Talk::Accepted { epoch, .. } => self.on_accepted(None, epoch, Remaining::default(), out),
            Talk::Refused { epoch, promised } => self.on_refused(epoch, promised),
            // The appliance proposes nothing.
            Talk::Prepare(_) | Talk::Accept(_) | Talk::Commit { .. } => {}
        }
    }

    fn on_prepare(&mut self, from: NodeId, epoch: Epoch, own: Remaining, out: &mut Vec<Output>) {
        if epoch.proposer != from {
            return;
        }
        self.seen = self.seen.max(epoch.counter);
        let talk = match self.acceptor.prepare(epoch) {
            Ok(()) => self.promise(epoch, own),
            Err(Later(promised)) => Talk::Refused { epoch, promised },
        };
        self.give_way(epoch);
        out.push(Output::Send(from, talk));
    }

    fn promise(&self, epoch: Epoch, remaining: Remaining) -> Talk {
        let boxed = |decision: Option<&Decision>| decision.map(|held| Box::new(held.clone()));
        let accepted = self.acceptor.accepted();
        let committed = self.acceptor.committed().filter(|held| accepted != Some(held));
        Talk::Promise { epoch, accepted: boxed(accepted), committed: boxed(committed), remaining }
    }

    /// A round of this node cannot succeed any more once this node has promised a later epoch.
    fn give_way(&mut self, epoch: Epoch) {
        if self.round.as_ref().is_some_and(|round| round.epoch.counter < epoch.counter) {
            self.round = None;
        }
    }

    fn on_accept(&mut self, from: NodeId, decision: &Decision, own: Remaining, out: &mut Vec<Output>) {
        if !decision.is_sound() || decision.epoch.proposer != from {
            return;
        }
        let epoch = decision.epoch;
        self.seen = self.seen.max(epoch.counter);
        if !self.holds(decision.record) {
            out.push(Output::Want(decision.record, from));
            return;
        }
        let talk = match self.acceptor.accept(decision) {
            Ok(()) => Talk::Accepted { epoch, remaining: own },
            Err(Later(promised)) => Talk::Refused { epoch, promised },
        };
        self.give_way(epoch);
        out.push(Output::Send(from, talk));
    }

    fn on_promise(
        &mut self,
        voter: Option<Voter>,
        epoch: Epoch,
        held: [Option<Box<Decision>>; 2],
        remaining: Remaining,
        own: Remaining,
        out: &mut Vec<Output>,
    ) {
        if held.iter().flatten().any(|decision| !decision.is_sound()) {
            return;
        }
        let [accepted, committed] = held;
        // A founding is agreed by being made.
        let founding = accepted.clone().filter(|held| held.epoch.is_founding());
        let Some(round) = &mut self.round else { return };
        if round.epoch != epoch || round.phase != Phase::Prepare {
            return;
        }
        match voter {
            Some(voter) if round.promises.contains(&voter) => {}
            Some(voter) => round.promises.push(voter),
            None => round.promised_by_witness = true,
        }
        round.remaining = round.remaining.max(remaining);
        let teller = voter.map_or(self.me, |voter| voter.node);
        if let Some(accepted) = accepted
            && round.best.as_ref().is_none_or(|(best, _)| best.epoch < accepted.epoch)
        {
            round.best = Some((accepted, teller));
            // Its voters are to be asked too.
            self.ask(out);
        }
        for agreed in [founding, committed].into_iter().flatten() {
            self.learn(&agreed, remaining.quiet_ms, out);
        }
        self.on_promises(own, out);
    }

    fn on_accepted(
        &mut self,
        voter: Option<Voter>,
        epoch: Epoch,
        remaining: Remaining,
        out: &mut Vec<Output>,
    ) {
        let Some(round) = &mut self.round else { return };
        if round.epoch != epoch || round.phase != Phase::Accept {
            return;
        }
        match voter {
            Some(voter) if round.votes.contains(&voter) => {}
            Some(voter) => round.votes.push(voter),
            None => round.voted_by_witness = true,
        }
        round.remaining = round.remaining.max(remaining);
        self.on_votes(out);
    }

    fn on_refused(&mut self, epoch: Epoch, promised: Epoch) {
        self.seen = self.seen.max(promised.counter);
        if self.round.as_ref().is_some_and(|round| round.epoch == epoch) {
            self.round = None;
        }
    }
}
