//! Nodes, clocks, a network and an appliance, all simulated; every choice from one seed.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use weft_membership::{
    Config, Effect, Founder, Judge, Membership, RecordId, Refusal, Standing, Talk, Timing,
};
use weft_types::NodeId;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const S: u64 = 1_000 * MS;

/// What the network and the clocks do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) loss_permille: u32,
    pub(crate) duplicate_permille: u32,
    pub(crate) delay_ms: (u64, u64),
    /// How far clocks run apart, parts in a thousand.
    pub(crate) drift_permille: u32,
}

pub(crate) const CALM: Faults =
    Faults { loss_permille: 0, duplicate_permille: 0, delay_ms: (1, 3), drift_permille: 5 };

#[derive(Debug)]
enum Happening {
    Wake {
        node: usize,
        boot: u64,
    },
    Frame {
        from: usize,
        to: usize,
        bytes: Vec<u8>,
    },
    /// The appliance looks after its nodes.
    Appliance,
    Question {
        from: usize,
        boot: u64,
        talk: Vec<u8>,
    },
    Answer {
        to: usize,
        boot: u64,
        talk: Vec<u8>,
    },
    /// What the appliance says to a node.
    Word {
        to: usize,
        boot: u64,
        record: Vec<u8>,
        founding: Option<Box<weft_membership::Decision>>,
    },
}

pub(crate) struct Slot {
    pub(crate) membership: Option<Membership>,
    pub(crate) boot: u64,
    booted_at: u64,
    /// Parts in a thousand of true time.
    pub(crate) rate: u64,
    wake_at: u64,
    pub(crate) committed: Option<RecordId>,
    pub(crate) refusals: Vec<Refusal>,
}

struct Plain;

impl Judge for Plain {
    fn judge(&self, record: &[u8]) -> Result<(RecordId, Vec<NodeId>), String> {
        postcard::from_bytes(record).map_err(|error| error.to_string())
    }
}

pub(crate) fn node(index: usize) -> NodeId {
    NodeId([u8::try_from(index + 1).expect("few"); 16])
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) rng: SmallRng,
    pub(crate) slots: Vec<Slot>,
    pub(crate) faults: Faults,
    /// Which nodes hear each other: those of one number.
    pub(crate) sides: Vec<u8>,
    /// Nodes that reach the appliance.
    pub(crate) served: BTreeSet<usize>,
    pub(crate) founder: Founder,
    /// A fault: the appliance stores nothing and forgets at each look.
    pub(crate) forgetful: bool,
    pub(crate) newest: RecordId,
    queue: BTreeMap<(u64, u64), Happening>,
    number: u64,
    pub(crate) events: u64,
    pub(crate) frames: u64,
    /// What anybody said was agreed: (record, members, proposer) by counter.
    agreed: BTreeMap<u64, (RecordId, Vec<NodeId>, NodeId)>,
    pub(crate) trace: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: usize, faults: Faults) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let slots = (0..nodes)
            .map(|_| {
                let drift = u64::from(faults.drift_permille);
                Slot {
                    membership: None,
                    boot: 0,
                    booted_at: 0,
                    rate: rng.random_range(1000 - drift..=1000 + drift),
                    wake_at: 0,
                    committed: None,
                    refusals: Vec::new(),
                }
            })
            .collect();
        let mut world = Self {
            now: 0,
            rng,
            slots,
            faults,
            sides: vec![0; nodes],
            served: (0..nodes).collect(),
            founder: Founder::default(),
            forgetful: false,
            newest: RecordId { epoch: 1, counter: 1 },
            queue: BTreeMap::new(),
            number: 0,
            events: 0,
            frames: 0,
            agreed: BTreeMap::new(),
            trace: Vec::new(),
        };
        world.put(0, Happening::Appliance);
        for index in 0..nodes {
            world.boot(index);
        }
        world
    }

    fn put(&mut self, at: u64, happening: Happening) {
        self.number += 1;
        self.queue.insert((at, self.number), happening);
    }

    fn note(&mut self, words: String) {
        self.trace.push(format!("{:>9} ms {words}", self.now / MS));
    }

    pub(crate) fn members(&self) -> Vec<NodeId> {
        (0..self.slots.len()).map(node).collect()
    }

    pub(crate) fn record(&self, id: RecordId) -> Vec<u8> {
        postcard::to_allocvec(&(id, self.members())).expect("short")
    }

    /// The clock of a node: its own zero, its own rate.
    pub(crate) fn local(&self, index: usize) -> u64 {
        let slot = &self.slots[index];
        10 * S + (self.now - slot.booted_at) / 1000 * slot.rate
    }

    fn global(&self, index: usize, local: u64) -> u64 {
        let slot = &self.slots[index];
        slot.booted_at + (local.saturating_sub(10 * S) / slot.rate + 1) * 1000
    }

    pub(crate) fn boot(&mut self, index: usize) {
        let seed = self.rng.random();
        self.slots[index].boot += 1;
        self.slots[index].booted_at = self.now;
        let incarnation = self.slots[index].boot;
        let config = Config { me: node(index), incarnation, seed, timing: Timing::default() };
        let membership = Membership::new(&config, Box::new(Plain), self.local(index));
        self.slots[index].membership = Some(membership);
        self.slots[index].committed = None;
        self.note(format!("node {index} boots ({incarnation})"));
        self.settle(index);
    }

    pub(crate) fn crash(&mut self, index: usize) {
        self.slots[index].membership = None;
        self.note(format!("node {index} dies"));
    }

    pub(crate) fn configure(&mut self, index: usize, id: RecordId) {
        let bytes = self.record(id);
        let now = self.local(index);
        self.note(format!("node {index} is given configuration {}", id.counter));
        if let Some(membership) = &mut self.slots[index].membership {
            membership.configure(now, &bytes);
        }
        self.settle(index);
    }

    /// A new configuration, signed by the appliance.
    pub(crate) fn sign(&mut self) -> RecordId {
        self.newest.counter += 1;
        self.newest
    }

    /// Effects of a node, and when it wants to wake.
    fn settle(&mut self, index: usize) {
        let Some(membership) = &mut self.slots[index].membership else { return };
        let effects = membership.take_effects();
        let next = membership.next_ns();
        let boot = self.slots[index].boot;
        for effect in effects {
            match effect {
                Effect::Send { to, bytes } => self.send(index, to, bytes),
                Effect::Witness(talk) => {
                    if self.served.contains(&index) {
                        let at = self.now + 2 * MS;
                        self.put(at, Happening::Question { from: index, boot, talk });
                    }
                }
                Effect::ViewChanged(view) => {
                    self.note(format!(
                        "node {index}: epoch {:#x} of {:?}, members {:?}, configuration {}, {}",
                        view.epoch.counter,
                        view.epoch.proposer.0[0].wrapping_sub(1),
                        view.members.iter().map(|node| node.0[0] - 1).collect::<Vec<_>>(),
                        view.record.counter,
                        if view.agreed { "agreed" } else { "not agreed" }
                    ));
                }
                Effect::Committed { id, .. } => self.slots[index].committed = Some(id),
                Effect::Refused { reason, .. } => {
                    self.note(format!("node {index} refuses: {reason}"));
                    self.slots[index].refusals.push(reason);
                }
                Effect::Majority(_) => {}
            }
        }
        let wake_at = self.global(index, next).max(self.now + 1);
        if next != u64::MAX && wake_at != self.slots[index].wake_at {
            self.slots[index].wake_at = wake_at;
            self.put(wake_at, Happening::Wake { node: index, boot });
        }
    }

    fn send(&mut self, from: usize, to: NodeId, bytes: Vec<u8>) {
        let to = usize::from(to.0[0]) - 1;
        self.frames += 1;
        if self.rng.random_range(0..1000) < self.faults.loss_permille {
            return;
        }
        let copies = 1 + u32::from(self.rng.random_range(0..1000) < self.faults.duplicate_permille);
        for _ in 0..copies {
            let (least, most) = self.faults.delay_ms;
            let at = self.now + self.rng.random_range(least * MS..=most * MS);
            self.put(at, Happening::Frame { from, to, bytes: bytes.clone() });
        }
    }

    pub(crate) fn standings(&self) -> Vec<(NodeId, Standing)> {
        let of = |index: &usize| Some((node(*index), self.slots[*index].membership.as_ref()?.standing()));
        self.served.iter().filter_map(of).collect()
    }

    /// What a real appliance does whenever a node reports.
    fn look(&mut self) {
        self.put(self.now + 500 * MS, Happening::Appliance);
        if self.forgetful {
            self.founder = Founder::default();
        }
        let members = self.members();
        let founding = self.founder.consider(&members, &self.standings(), self.newest);
        for index in 0..self.slots.len() {
            let served = self.served.contains(&index);
            let now = self.local(index);
            if let Some(membership) = &mut self.slots[index].membership {
                membership.set_witness(now, served);
            }
            self.settle(index);
            if served {
                let boot = self.slots[index].boot;
                let record = self.record(self.newest);
                let word =
                    Happening::Word { to: index, boot, record, founding: founding.clone().map(Box::new) };
                let at = self.now + self.rng.random_range(MS..=20 * MS);
                self.put(at, word);
            }
        }
    }

    fn with(&mut self, index: usize, boot: u64, act: impl FnOnce(&mut Membership, u64)) {
        if self.slots[index].boot != boot {
            return;
        }
        let now = self.local(index);
        if let Some(membership) = &mut self.slots[index].membership {
            act(membership, now);
        }
        self.settle(index);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake { node, boot } => self.with(node, boot, |membership, now| membership.tick(now)),
            Happening::Frame { from, to, bytes } => {
                // A cut counts when the frame would arrive.
                if self.sides[from] == self.sides[to] {
                    let boot = self.slots[to].boot;
                    self.with(to, boot, |membership, now| membership.message(now, node(from), &bytes));
                }
            }
            Happening::Appliance => self.look(),
            Happening::Question { from, boot, talk } => {
                let talk: Talk = postcard::from_bytes(&talk).expect("a node's question");
                if let Some(answer) = self.founder.answer(&talk).filter(|_| self.served.contains(&from)) {
                    let talk = postcard::to_allocvec(&answer).expect("short");
                    self.put(self.now + 2 * MS, Happening::Answer { to: from, boot, talk });
                }
            }
            Happening::Answer { to, boot, talk } => {
                self.with(to, boot, |membership, now| membership.witness_answer(now, &talk));
            }
            Happening::Word { to, boot, record, founding } => self.with(to, boot, |membership, now| {
                if membership.standing().unfounded || !membership.standing().agreed {
                    membership.introduce(now, &record).expect("a good record");
                    if let Some(founding) = founding {
                        membership.found(now, &founding);
                    }
                }
            }),
        }
    }

    /// Runs for so long. `Err`: an invariant was broken, by name.
    pub(crate) fn run(&mut self, for_ns: u64) -> Result<(), String> {
        let end = self.now + for_ns;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let (at, _) = *entry.key();
            let happening = entry.remove();
            self.now = self.now.max(at);
            self.events += 1;
            self.happen(happening);
            self.check()?;
        }
        self.now = end;
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        for slot in &self.slots {
            let Some(view) = slot.membership.as_ref().and_then(Membership::view) else { continue };
            let counter = view.epoch.counter;
            let said = (view.record, view.members.clone(), view.epoch.proposer);
            let known = self.agreed.entry(counter).or_insert_with(|| said.clone());
            if *known != said {
                return Err(format!("one decision of an epoch: {counter:#x} is {known:?} and {said:?}"));
            }
            let earlier = self.agreed.range(..counter).next_back();
            if earlier.is_some_and(|(_, (record, ..))| *record > view.record) {
                return Err(format!("nothing agreed is lost: {counter:#x} has an older configuration"));
            }
        }
        self.check_leases()
    }

    /// Whoever may start spanning servers without a node, that node must not run them any more.
    fn check_leases(&self) -> Result<(), String> {
        let running = |index: usize| {
            let membership = self.slots[index].membership.as_ref()?;
            let view = membership.view()?;
            let runs = membership.may_span(self.local(index), view.members.iter().copied());
            runs.then_some((membership, view))
        };
        let all: Vec<_> = (0..self.slots.len()).filter_map(|index| Some((index, running(index)?))).collect();
        for (starter, (membership, view)) in &all {
            if self.local(*starter) < membership.quiet_until_ns() {
                continue;
            }
            for (other, (_, held)) in &all {
                if held.epoch < view.epoch && !view.members.contains(&node(*other)) {
                    return Err(format!("lease: {starter} may start what {other} still runs"));
                }
            }
        }
        Ok(())
    }

    /// Whether all nodes that run agree on one view of all of them, on the newest given configuration, and
    /// hold leases.
    pub(crate) fn is_whole(&self, record: RecordId) -> bool {
        let running: Vec<NodeId> =
            (0..self.slots.len()).filter(|i| self.slots[*i].membership.is_some()).map(node).collect();
        let epochs: BTreeSet<_> = self
            .slots
            .iter()
            .filter_map(|slot| slot.membership.as_ref())
            .map(|membership| membership.agreed_epoch())
            .collect();
        epochs.len() == 1
            && !epochs.contains(&None)
            && (0..self.slots.len()).all(|index| {
                let slot = &self.slots[index];
                slot.membership.as_ref().is_none_or(|membership| {
                    slot.committed == Some(record)
                        && membership.view().is_some_and(|view| view.members == running)
                        && membership.may_span(self.local(index), running.iter().copied())
                })
            })
    }
}
