//! A store that is older than what a node knows must not end what it has never heard of: the node is listened to
//! first, and told nothing where guests would end, until a person has answered for each of them.
//!
//! A node names the last record that it took. Where that is of an earlier epoch than the store's, the store was restored
//! since (docs/store.md), and has not spoken to this node yet. As nothing is sent while a node is held, it names the same
//! record again to an appliance that was killed meanwhile, and is held again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use weft_wire::agent::{VsState, VsStatus};
use weft_wire::cluster::ClusterReport;

use crate::core::Core;
use crate::nodes::node_event;
use crate::spanning::lies_on;
use crate::world::{NodeEntry, World};

/// Servers that a node says it has and the store has not, at most: more than a node runs.
const MAX_STRANGERS: usize = 64;
/// Heartbeats after which a node has said what it has: the first may come before that, the second is a second later.
const BEATS: u8 = 2;
/// A node that sends none is listened to for so long.
const LISTEN: Duration = Duration::from_secs(5);

/// Whether a node is told what is wanted of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It is.
    #[default]
    No,
    /// Not before it has said what it has.
    Listening {
        /// Since when.
        since: Instant,
        /// Heartbeats since.
        beats: u8,
    },
    /// Not before a person has answered for each guest that would end.
    Held {
        /// Ids of those that may end.
        ends: BTreeSet<String>,
    },
}

impl Hold {
    /// For a node that knows records of an earlier epoch than the store's.
    pub(crate) fn of(older_store: bool) -> Self {
        if older_store { Self::Listening { since: Instant::now(), beats: 0 } } else { Self::No }
    }

    /// It is told nothing.
    pub(crate) fn holds(&self) -> bool {
        *self != Self::No
    }
}

/// Whether a guest is there, or about to be.
pub(super) fn lives(status: &VsStatus) -> bool {
    matches!(status.state, VsState::Fetching | VsState::Running)
}

/// Ids of what would end on a node if it were told what is wanted.
fn would_end(world: &World, node: &NodeEntry) -> BTreeSet<String> {
    let id = node.row.id.as_str();
    let strangers = node.strangers.iter().filter(|(_, status)| lives(status)).map(|(id, _)| id.clone());
    let stopped = world.servers.values().filter(|entry| !entry.row.running && lies_on(&entry.row, id));
    let stopped = stopped.filter(|entry| {
        let part = entry.parts.get(id).or(entry.ahead.as_ref()).or(entry.status.as_ref());
        part.is_some_and(lives)
    });
    let foreign = node.foreign.as_ref().map(|report| report.partition.to_string());
    strangers.chain(stopped.map(|entry| entry.row.id.clone())).chain(foreign).collect()
}

impl World {
    /// Whether a member of a partition is told nothing: what one is told all would hear.
    pub(crate) fn partition_held(&self, members: &[String]) -> bool {
        members
            .iter()
            .any(|id| self.nodes.get(id).is_some_and(|node| node.live.is_some() && node.hold.holds()))
    }
}

impl NodeEntry {
    /// Takes note of a server that the store does not have on this node.
    pub(crate) fn stranger(&mut self, id: &str, status: VsStatus) {
        if self.strangers.len() < MAX_STRANGERS || self.strangers.contains_key(id) {
            self.strangers.insert(id.to_string(), status);
        }
    }

    /// Takes note of a partition that the store does not have.
    pub(crate) fn foreign_partition(&mut self, report: &ClusterReport) {
        self.foreign = Some(Box::new(report.clone()));
    }
}

impl Core {
    /// A heartbeat of a node that is listened to.
    pub(crate) fn beat_heard(&self, id: &str) {
        let done = {
            let mut world = self.world();
            match world.nodes.get_mut(id).map(|node| &mut node.hold) {
                Some(Hold::Listening { beats, .. }) => {
                    *beats = beats.saturating_add(1);
                    *beats >= BEATS
                }
                Some(Hold::No | Hold::Held { .. }) | None => false,
            }
        };
        if done {
            self.listened(id);
        }
    }

    /// Ends the listening to nodes that send no heartbeats.
    pub(super) fn listened_long_enough(&self) {
        let ids: Vec<String> = {
            let world = self.world();
            let long = |node: &&NodeEntry| match &node.hold {
                Hold::Listening { since, .. } => node.live.is_some() && since.elapsed() > LISTEN,
                Hold::No | Hold::Held { .. } => false,
            };
            world.nodes.values().filter(long).map(|node| node.row.id.clone()).collect()
        };
        ids.iter().for_each(|id| self.listened(id));
        // What was held may have ended by itself, or be wanted by now.
        let held: Vec<String> = {
            let world = self.world();
            let held = world.nodes.values().filter(|node| matches!(node.hold, Hold::Held { .. }));
            held.map(|node| node.row.id.clone()).collect()
        };
        held.iter().for_each(|id| self.answered_for(id, None));
    }

    /// A node has said what it has: it is told what is wanted, or held.
    fn listened(&self, id: &str) {
        let held = {
            let mut world = self.world();
            let Some(node) = world.nodes.get(id) else { return };
            let ends = would_end(&world, node);
            let name = node.row.name.clone();
            let Some(node) = world.nodes.get_mut(id) else { return };
            node.hold = if ends.is_empty() { Hold::No } else { Hold::Held { ends: BTreeSet::new() } };
            (!ends.is_empty()).then_some((name, ends.len()))
        };
        match held {
            None => self.push(id),
            Some((name, guests)) => {
                let text = format!(
                    "the store is older than what the node knows, and has not {guests} of what runs there: the node is \
                     told nothing until a person has answered; see weft drift list"
                );
                self.emit(node_event("drift.held", "warn", &name, text));
            }
        }
    }

    /// This may end, or is wanted by now: a node for which nothing is left to answer is told what is wanted.
    pub(super) fn answered_for(&self, node: &str, id: Option<&str>) {
        let released = {
            let mut world = self.world();
            if let Some(Hold::Held { ends }) = world.nodes.get_mut(node).map(|node| &mut node.hold) {
                ends.extend(id.map(ToString::to_string));
            }
            let Some(entry) = world.nodes.get(node) else { return };
            let left = match &entry.hold {
                Hold::Held { ends } => would_end(&world, entry).difference(ends).count(),
                Hold::No | Hold::Listening { .. } => return,
            };
            if left == 0
                && let Some(entry) = world.nodes.get_mut(node)
            {
                entry.hold = Hold::No;
            }
            left == 0
        };
        if released {
            self.push(node);
        }
    }
}
