//! Moves: nodes between frames and the free pool, stopped servers between nodes.
//!
//! The rules are here once. A move, its dry run, its undo, and the list of targets ([`crate::topology`]) all ask them.
//!
//! - A virtual server lies in one frame: all members of a partition stand in the same frame, or all in none.
//! - A server lives on one node at a time: it moves when its node says that it does not run there.

use std::collections::{BTreeMap, BTreeSet};

use weft_api::{NodeMove, Plan};
use weft_store::{Level, NewEvent, NodeRow, VsRow};
use weft_wire::agent::VsState;

use crate::affinity::check_affinity;
use crate::auth::ObjectKind;
use crate::containers::lost;
use crate::core::Core;
use crate::error::Error;
use crate::groups::Group;
use crate::nodes::node_event;
use crate::partitions::name_of;
use crate::servers::{Free, check_size, invalid, no_room};
use crate::transactions::{Change, Draft, Kind};
use crate::world::{NodeEntry, VsEntry, World};

/// A frame for a person, by its id.
pub(crate) fn frame_words(world: &World, frame: &str) -> String {
    if frame.is_empty() {
        "the free pool".to_string()
    } else {
        format!("frame {}", world.container_name(frame))
    }
}

/// Whether nodes may stand in these frames, by node id: each frame is there, and no partition lies in two.
pub(crate) fn check_frames(world: &World, moved: &BTreeMap<String, String>) -> Result<(), Error> {
    let is_frame = |id: &str| world.containers.get(id).is_some_and(|row| row.level == Level::Frame);
    if let Some((node, _)) = moved.iter().find(|(_, frame)| !frame.is_empty() && !is_frame(frame)) {
        return Err(Error::refused(
            409,
            "frame-gone",
            format!("the frame that {} stood in is gone", name_of(world, node)),
            "undo that it was deleted first: weft tx list",
        ));
    }
    for entry in world.partitions.values() {
        let members = &entry.row.members;
        let Some(mover) = members.iter().find(|id| moved.contains_key(*id)) else { continue };
        let goal = moved.get(mover).map(String::as_str).unwrap_or_default();
        let frame = |id: &String| match moved.get(id) {
            Some(frame) => frame.as_str(),
            None => world.nodes.get(id).map(|node| node.row.frame.as_str()).unwrap_or_default(),
        };
        let Some(other) = members.iter().find(|id| frame(id) != goal) else { continue };
        let (partition, all) = (&entry.row.name, members.iter().map(|id| name_of(world, id)));
        let to = if goal.is_empty() {
            "--free".to_string()
        } else {
            format!("--frame {}", world.container_name(goal))
        };
        return Err(Error::refused(
            409,
            "partition-in-two-frames",
            format!(
                "{} is a member of partition {partition} with {}, which stands in {}: the servers of a partition lie \
                 in one frame",
                name_of(world, mover),
                name_of(world, other),
                frame_words(world, frame(other)),
            ),
            format!(
                "move all members together: weft node move {} {to}; or delete it first: weft partition delete {partition}",
                all.collect::<Vec<_>>().join(" "),
            ),
        ));
    }
    Ok(())
}

/// Whether nodes stand together, so that they can make a partition.
pub(crate) fn check_together(world: &World, members: &[String]) -> Result<(), Error> {
    let frame = |id: &String| world.nodes.get(id).map(|node| node.row.frame.as_str()).unwrap_or_default();
    let Some(first) = members.first() else { return Ok(()) };
    let Some(other) = members.iter().find(|id| frame(id) != frame(first)) else { return Ok(()) };
    let (one, two) = (name_of(world, first), name_of(world, other));
    Err(Error::refused(
        409,
        "partition-in-two-frames",
        format!(
            "{one} stands in {} and {two} in {}: the servers of a partition lie in one frame",
            frame_words(world, frame(first)),
            frame_words(world, frame(other)),
        ),
        format!("move one of them first: weft node move {two} --frame FRAME"),
    ))
}

/// Whether a node can stand in a frame, or in the free pool, as far as it alone is concerned.
pub(crate) fn check_movable(node: &NodeEntry) -> Result<(), Error> {
    if node.row.approved {
        return Ok(());
    }
    let name = &node.row.name;
    Err(Error::refused(
        409,
        "node-not-approved",
        format!("{name} waits for approval, and what waits stands nowhere"),
        format!("approve it first: weft node approve {name}"),
    ))
}

/// Whether a server can leave its node: it lies on one, and does not run there.
pub(crate) fn check_leaves(world: &World, vs: &VsEntry) -> Result<(), Error> {
    let name = &vs.row.name;
    if !vs.row.partition.is_empty() {
        let partition = world.partitions.get(&vs.row.partition).map(|entry| entry.row.name.as_str());
        return Err(Error::refused(
            409,
            "vs-spans",
            format!("{name} spans partition {}, whose members share it out", partition.unwrap_or_default()),
            format!("to have it elsewhere, copy it: weft vs copy {name} NAME --node NODE"),
        ));
    }
    if vs.row.running {
        return Err(Error::refused(
            409,
            "vs-running",
            format!("{name} is to run on {}", name_of(world, &vs.row.node)),
            format!("stop it first: weft vs stop {name}"),
        ));
    }
    check_still(world, vs)
}

/// Whether a server that is not wanted running runs nowhere any more, as far as its node has said.
pub(crate) fn check_still(world: &World, vs: &VsEntry) -> Result<(), Error> {
    let name = &vs.row.name;
    // What its node last said of this start. One that never started runs nowhere; of one that its node, which is here and
    // has taken its configuration, says nothing of, there is nothing.
    let over = |state: VsState| matches!(state, VsState::Stopped | VsState::Off | VsState::Failed);
    let ended = match vs.status.as_ref().filter(|status| status.instance == vs.row.instance) {
        Some(status) => over(status.state),
        None => world.nodes.get(&vs.row.node).is_some_and(|node| node.live.is_some() && node.taken.all()),
    };
    if vs.row.instance == 0 || ended {
        return Ok(());
    }
    let node = name_of(world, &vs.row.node);
    Err(Error::refused(
        409,
        "vs-may-run",
        format!("{node} has not said yet that {name} stopped"),
        format!("wait for it: weft vs show {name}; where the node is lost: weft doctor"),
    ))
}

/// Whether a server can lie on a node. `world` must have the node, and all servers that lie on it.
pub(crate) fn check_arrives(world: &World, row: &VsRow, node: &NodeEntry, free: &Free) -> Result<(), Error> {
    let name = &node.row.name;
    if !node.trusted_with_records() {
        return Err(Error::refused(
            409,
            "node-not-approved",
            format!("{name} is {}", node.state()),
            format!("approve it first: weft node approve {name}"),
        ));
    }
    let (room, need) = (free.mib(&node.row.id), u64::from(row.memory_mib));
    if room < need {
        return Err(no_room(&format!("{name} has {room} MiB free, {} needs {need}", row.name)));
    }
    let there = VsRow { node: node.row.id.clone(), ..row.clone() };
    check_affinity(world, &there)?;
    check_size(world, &there, &[])
}

/// What a move of nodes does, in words.
pub(crate) fn effects(world: &World, before: Option<&NodeRow>, after: Option<&NodeRow>) -> Option<String> {
    let (before, after) = (before?, after?);
    let from = frame_words(world, &before.frame);
    let to = frame_words(world, &after.frame);
    (from != to).then(|| format!("{} moves from {from} to {to}; what runs on it goes on", after.name))
}

impl Core {
    /// Moves nodes into a frame or the free pool.
    pub(crate) async fn node_move(&self, actor: &str, wanted: &NodeMove, dry: bool) -> Result<Plan, Error> {
        if wanted.free != wanted.frame.is_empty() {
            return Err(invalid("it is not clear where to", "name a frame, or say free: one of the two"));
        }
        let _change = self.change.lock().await;
        let frame = if wanted.free {
            String::new()
        } else {
            self.allow_named_by("view", ObjectKind::Frame, &wanted.frame)?;
            let world = self.world();
            let found = world.container(Level::Frame, &wanted.frame);
            found.map(|row| row.id.clone()).map_err(|lookup| lost(lookup, Level::Frame, &wanted.frame))?
        };
        let (names, mut gate) = self.chosen_nodes("move", &wanted.select)?;
        let mut group = Group::new(&crate::groups::NODES, Kind::NodeMove);
        let mut moved = BTreeMap::new();
        for name in &names {
            let decided = match self.find_node(name) {
                Ok(node) if !group.seen.insert(node.row.id.clone()) => continue,
                Ok(node) => self.pass_node(gate.as_mut(), &node).and_then(|()| {
                    check_movable(&node)?;
                    if node.row.frame == frame {
                        return Ok(None);
                    }
                    moved.insert(node.row.id.clone(), frame.clone());
                    Ok(Some(self.decide_move(actor, &node.row, &frame)))
                }),
                Err(error) => Err(error),
            };
            group.add(name, decided)?;
        }
        let together = check_frames(&self.world(), &moved).map(|()| None);
        group.add("", together)?;
        self.change_group(actor, group, dry).await
    }

    fn decide_move(&self, actor: &str, row: &NodeRow, frame: &str) -> (Change, NewEvent) {
        let text = format!("moved to {}", frame_words(&self.world(), frame));
        let told = NewEvent { actor: actor.to_string(), ..node_event("node.moved", "info", &row.name, text) };
        let after = NodeRow { frame: frame.to_string(), ..row.clone() };
        let change =
            Change::Node { held: row.clone(), before: Some(row.clone()), after: Some(after), forget: false };
        (change, told)
    }

    /// Moves a stopped server to another node.
    pub(crate) async fn vs_move(
        &self,
        actor: &str,
        name: &str,
        node: &str,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        self.allow_named_by("view", ObjectKind::Node, node)?;
        let vs = self.find_vs(name)?;
        let target = self.find_node(node)?.row.id;
        let decided = self.decide_vs_move(&self.sketch(), actor, &vs.row, &target)?;
        self.carry_out(actor, Draft::of(Kind::VsMove, decided), dry).await
    }

    /// What a move of a server is, in this world; `None` where it lies there already.
    pub(crate) fn decide_vs_move(
        &self,
        world: &World,
        actor: &str,
        row: &VsRow,
        target: &str,
    ) -> Result<Option<(Change, NewEvent)>, Error> {
        if row.partition.is_empty() && row.node == target {
            return Ok(None);
        }
        let after =
            VsRow { node: target.to_string(), generation: row.generation.saturating_add(1), ..row.clone() };
        check_vs_move(world, row, &after)?;
        let text = format!("moved to {}", name_of(world, target));
        let told = self.vs_event(actor, &after, "vs.moved", &text);
        Ok(Some((Change::Vs { before: Some(row.clone()), after: Some(after) }, told)))
    }
}

/// Whether a server may go from where it lies to where it would lie; also for undos.
pub(crate) fn check_vs_move(world: &World, before: &VsRow, after: &VsRow) -> Result<(), Error> {
    let gone = || Error::refused(409, "node-gone", "that node is no longer known", "weft node list");
    let vs = world.servers.get(&before.id).ok_or_else(gone)?;
    check_leaves(world, vs)?;
    let node = world.nodes.get(&after.node).ok_or_else(gone)?;
    check_arrives(world, after, node, &Free::of(world))
}

/// Whether an undo may leave nodes in the frames that they had.
pub(crate) fn check_moved_back(world: &World, changes: &[Change]) -> Result<(), Error> {
    let mut moved = BTreeMap::new();
    for change in changes {
        if let Change::Node { before, after: Some(after), .. } = change
            && before.as_ref().is_none_or(|before| before.frame != after.frame)
        {
            moved.insert(after.id.clone(), after.frame.clone());
        }
    }
    check_frames(world, &moved)
}

/// Nodes that change what they are told when servers move.
pub(crate) fn both_nodes<'a>(before: Option<&'a VsRow>, after: Option<&'a VsRow>) -> BTreeSet<&'a String> {
    let rows = before.into_iter().chain(after);
    rows.filter(|row| row.partition.is_empty()).map(|row| &row.node).collect()
}
