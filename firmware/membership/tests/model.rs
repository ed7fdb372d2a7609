//! The shipping agreement under the model checker: every order of delivery, loss, crash and restart, for few
//! nodes and few steps.
//!
//! Invariants, checked in each state:
//! - *one decision of an epoch*: nobody ever learns two decisions of one counter, and so neither two
//!   coordinators nor two configurations of it;
//! - *nothing agreed is lost*: of two agreed decisions the later has the same or a later record, and follows
//!   the earlier;
//! - *one vote of an epoch*: no node, over all its boots, lets two candidates of one counter count on it.
//!
//! A state is all nodes and the frames on their way. A frame may arrive at any time; one that is lost is one
//! that has not arrived when the search ends.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, Model, Property};
use weft_membership::{Acceptor, Agreement, Decision, Later, Output, RecordId, Remaining, Talk, Voter};
use weft_types::NodeId;

const NONE: Remaining = Remaining { granted_ms: 0, quiet_ms: 0 };

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Frame {
    from: NodeId,
    incarnation: u64,
    to: NodeId,
    talk: Talk,
}

/// Where the appliance's vote comes from and goes to.
const WITNESS: NodeId = NodeId([0xff; 16]);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    nodes: Vec<Agreement>,
    incarnations: Vec<u64>,
    /// The appliance's memory, which outlives everything.
    witness: Acceptor,
    frames: BTreeSet<Frame>,
    crashes: u8,
    nudges: u8,
    offers: u8,
    /// What anybody ever learnt, by counter: kept for the invariants.
    learnt: BTreeMap<u64, Decision>,
    /// Votes that were given, by (node, counter): candidates that may count on it.
    votes: BTreeMap<(NodeId, u64), BTreeSet<NodeId>>,
    broken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Deliver(Frame),
    Nudge(usize),
    Crash(usize),
    Offer(usize),
}

#[derive(Clone)]
struct Cluster {
    members: u8,
    crashes: u8,
    /// Who may crash.
    mortal: Vec<usize>,
    nudges: u8,
    /// Two nodes that never hear each other.
    cut: Option<[usize; 2]>,
    offers: u8,
    /// How suspicion may err: each node's idea of who lives, fixed for a run.
    live: Vec<Vec<u8>>,
    /// A fault that the checker must find.
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A restarted node claims to be the boot that it was before.
    SameIncarnation,
}

fn node(index: usize) -> NodeId {
    NodeId([u8::try_from(index + 1).expect("few"); 16])
}

fn record(counter: u64) -> RecordId {
    RecordId { epoch: 1, counter }
}

impl Cluster {
    fn members(&self) -> Vec<NodeId> {
        (0..usize::from(self.members)).map(node).collect()
    }

    fn founding(&self) -> Decision {
        let voters = self.members().into_iter().map(|node| Voter { node, incarnation: 1 }).collect();
        Decision::founding(1, record(1), voters)
    }

    fn boot(&self, index: usize, incarnation: u64) -> Agreement {
        let mut agreement = Agreement::new(node(index), incarnation);
        agreement.hold(record(1), self.members());
        agreement.set_live(self.live[index].iter().map(|other| node(usize::from(*other))).collect());
        agreement.set_witness(true);
        agreement
    }

    fn apply(&self, state: &mut State, index: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send(to, talk) => {
                    state.note_vote(node(index), &talk);
                    let incarnation = state.incarnations[index];
                    let cut = |pair: [usize; 2]| pair.map(node).contains(&to) && pair.contains(&index);
                    if !self.cut.is_some_and(cut) {
                        state.frames.insert(Frame { from: node(index), incarnation, to, talk });
                    }
                }
                Output::Witness(talk) => {
                    let incarnation = state.incarnations[index];
                    state.frames.insert(Frame { from: node(index), incarnation, to: WITNESS, talk });
                }
                Output::Learnt { decision, .. } => state.note_learnt(&decision),
                // All records are in all hands, but for the offered one, which is given with the decision.
                Output::Want(wanted, _) => state.nodes[index].hold(wanted, self.members()),
            }
        }
    }

    fn deliver(&self, state: &mut State, frame: Frame) {
        if frame.to == WITNESS {
            let answer = match frame.talk {
                Talk::Prepare(epoch) => match state.witness.prepare(epoch) {
                    Ok(()) => Talk::Promise {
                        epoch,
                        accepted: state.witness.accepted().map(|held| Box::new(held.clone())),
                        committed: None,
                        remaining: NONE,
                    },
                    Err(Later(promised)) => Talk::Refused { epoch, promised },
                },
                Talk::Accept(decision) => match state.witness.accept(&decision) {
                    Ok(()) => Talk::Accepted { epoch: decision.epoch, remaining: NONE },
                    Err(Later(promised)) => Talk::Refused { epoch: decision.epoch, promised },
                },
                Talk::Promise { .. } | Talk::Accepted { .. } | Talk::Refused { .. } | Talk::Commit { .. } => {
                    return;
                }
            };
            state.note_vote(WITNESS, &answer);
            state.frames.insert(Frame { from: WITNESS, incarnation: 1, to: frame.from, talk: answer });
            return;
        }
        let Some(index) = (0..state.nodes.len()).find(|index| node(*index) == frame.to) else { return };
        let mut out = Vec::new();
        let target = &mut state.nodes[index];
        if frame.from == WITNESS {
            target.on_witness(frame.talk, NONE, &mut out);
        } else if target.heard(frame.from, frame.incarnation) {
            target.on_talk(frame.from, frame.talk, NONE, &mut out);
        }
        self.apply(state, index, out);
    }
}

impl State {
    fn note_learnt(&mut self, decision: &Decision) {
        let counter = decision.epoch.counter;
        self.broken |= self.learnt.get(&counter).is_some_and(|known| known != decision);
        self.learnt.insert(counter, decision.clone());
    }

    /// What a vote may count for is a candidate that got it.
    fn note_vote(&mut self, voter: NodeId, talk: &Talk) {
        let epoch = match talk {
            Talk::Promise { epoch, .. } | Talk::Accepted { epoch, .. } => *epoch,
            Talk::Prepare(_) | Talk::Accept(_) | Talk::Refused { .. } | Talk::Commit { .. } => return,
        };
        self.votes.entry((voter, epoch.counter)).or_default().insert(epoch.proposer);
    }

    fn keeps_what_was_agreed(&self) -> bool {
        let decisions: Vec<&Decision> = self.learnt.values().collect();
        decisions.windows(2).all(|pair| pair[0].record <= pair[1].record)
    }

    /// A boot that knows nothing may answer anew, but then its answer counts for nobody: it is no voter. Two
    /// candidates of one counter never both hold a majority, which `broken` sees; here: of one boot.
    fn votes_once(&self) -> bool {
        self.crashes > 0 || self.votes.values().all(|candidates| candidates.len() == 1)
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let founding = self.founding();
        let count = usize::from(self.members);
        let mut nodes: Vec<Agreement> = (0..count).map(|index| self.boot(index, 1)).collect();
        for agreement in &mut nodes {
            assert!(agreement.found(&founding));
            for member in self.members() {
                agreement.heard(member, 1);
            }
        }
        let mut witness = Acceptor::default();
        witness.learn(&founding, true);
        vec![State {
            nodes,
            incarnations: vec![1; count],
            witness,
            frames: BTreeSet::new(),
            crashes: 0,
            nudges: 0,
            offers: 0,
            learnt: BTreeMap::new(),
            votes: BTreeMap::new(),
            broken: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for frame in &state.frames {
            actions.push(Action::Deliver(frame.clone()));
        }
        for index in 0..state.nodes.len() {
            let agreement = &state.nodes[index];
            let moves = agreement.is_proposing() || agreement.is_wanted();
            if state.nudges < self.nudges && moves {
                actions.push(Action::Nudge(index));
            }
            if state.crashes < self.crashes && self.mortal.contains(&index) {
                actions.push(Action::Crash(index));
            }
            if state.offers < self.offers {
                actions.push(Action::Offer(index));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Deliver(frame) => {
                state.frames.remove(&frame);
                self.deliver(&mut state, frame);
            }
            Action::Nudge(index) => {
                state.nudges += 1;
                let mut out = Vec::new();
                state.nodes[index].nudge(NONE, &mut out);
                self.apply(&mut state, index, out);
            }
            Action::Crash(index) => {
                state.crashes += 1;
                if self.fault != Fault::SameIncarnation {
                    state.incarnations[index] += 1;
                }
                state.nodes[index] = self.boot(index, state.incarnations[index]);
                // Its first words reach everyone: what they say is only that it booted.
                let incarnation = state.incarnations[index];
                for other in 0..state.nodes.len() {
                    state.nodes[other].heard(node(index), incarnation);
                }
                if self.fault == Fault::SameIncarnation {
                    // As if it had kept its place, but not its memory.
                    let founding = self.founding();
                    assert!(state.nodes[index].found(&founding));
                }
                for other in 0..state.nodes.len() {
                    let known = state.incarnations[other];
                    state.nodes[index].heard(node(other), known);
                }
            }
            Action::Offer(index) => {
                state.offers += 1;
                let next = record(1 + u64::from(state.offers));
                state.nodes[index].hold(next, self.members());
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one decision of an epoch", |_, state: &State| !state.broken),
            Property::always("nothing agreed is lost", |_, state: &State| state.keeps_what_was_agreed()),
            Property::always("one vote of an epoch", |_, state: &State| state.votes_once()),
            Property::sometimes("something is agreed", |_, state: &State| !state.learnt.is_empty()),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        !state.broken
    }
}

fn everyone(members: u8) -> Vec<Vec<u8>> {
    vec![(0..members).collect(); usize::from(members)]
}

fn check(cluster: Cluster, name: &str) -> usize {
    let checker = cluster.checker().threads(2).spawn_bfs().join();
    println!("{name}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
    checker.unique_state_count()
}

#[test]
fn two_nodes_and_the_appliance_agree_whatever_is_lost() {
    let cluster = Cluster {
        members: 2,
        crashes: 0,
        mortal: vec![],
        nudges: 2,
        cut: None,
        offers: 1,
        // Each believes the other dead: both propose.
        live: vec![vec![0], vec![1]],
        fault: Fault::None,
    };
    assert!(check(cluster, "two candidates") > 1000);
}

#[test]
fn two_nodes_survive_restarts_at_every_step() {
    let cluster = Cluster {
        members: 2,
        crashes: 1,
        mortal: vec![0, 1],
        nudges: 2,
        cut: None,
        offers: 1,
        live: everyone(2),
        fault: Fault::None,
    };
    assert!(check(cluster, "two nodes, a restart") > 1000);
}

#[test]
fn three_nodes_with_two_candidates_agree() {
    let cluster = Cluster {
        members: 3,
        crashes: 0,
        mortal: vec![],
        nudges: 2,
        cut: None,
        offers: 0,
        live: vec![vec![0, 1], vec![1, 2], vec![2]],
        fault: Fault::None,
    };
    assert!(check(cluster, "three nodes, two candidates") > 1000);
}

#[test]
fn three_nodes_survive_a_restart_at_every_step() {
    let cluster = Cluster {
        members: 3,
        crashes: 1,
        // The voter that both candidates need.
        mortal: vec![2],
        nudges: 4,
        cut: Some([0, 1]),
        offers: 1,
        live: vec![vec![0, 2], vec![1, 2], vec![2]],
        fault: Fault::None,
    };
    assert!(check(cluster, "three nodes, a restart") > 1000);
}

#[test]
fn a_node_that_forgot_its_votes_but_not_its_place_is_found() {
    let cluster = Cluster {
        members: 2,
        crashes: 1,
        mortal: vec![0, 1],
        nudges: 2,
        cut: None,
        offers: 1,
        live: vec![vec![0], vec![1]],
        fault: Fault::SameIncarnation,
    };
    let failure = stateright::HasDiscoveries::AnyFailures;
    let checker = cluster.checker().threads(2).finish_when(failure).spawn_bfs().join();
    let found: Vec<_> = checker.discoveries().into_keys().collect();
    assert!(
        found.contains(&"one decision of an epoch") || found.contains(&"nothing agreed is lost"),
        "the checker must find the fault: {found:?}"
    );
}
