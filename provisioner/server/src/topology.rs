//! Virtual on physical as one document, and where an object could be moved to.
//!
//! Reasons of targets come from the checks that moves themselves make ([`crate::moves`]): nothing is told twice.

use std::collections::{BTreeMap, HashMap};

use weft_api::{
    Target, Targets, Topology, TopologyBox, TopologyNode, TopologyPartition, TopologyPlace, TopologyServer,
    TopologyShare,
};
use weft_store::{ContainerRow, Level, PlaceRow, VsRow};

use crate::accounts::Caller;
use crate::auth::{Object, ObjectKind, Sight};
use crate::containers::show_container;
use crate::core::Core;
use crate::error::Error;
use crate::moves::{check_arrives, check_frames, check_leaves, check_movable};
use crate::partitions::{PartitionEntry, free_node};
use crate::servers::{Free, invalid, state};
use crate::view::{natural, nics};
use crate::world::{NodeEntry, VsEntry, World};

/// What each node gives to a server.
fn shares(row: &VsRow) -> Vec<PlaceRow> {
    if row.partition.is_empty() {
        let row = row.in_force();
        vec![PlaceRow { node: row.node, vcpus: row.vcpus, memory_mib: row.memory_mib }]
    } else {
        row.places.clone()
    }
}

fn places(row: &VsRow) -> Vec<TopologyPlace> {
    let mut first = 0u16;
    let place = |place: PlaceRow| {
        let shown = TopologyPlace {
            node: place.node,
            first_vcpu: first,
            vcpus: place.vcpus,
            memory_mib: place.memory_mib,
        };
        first = first.saturating_add(place.vcpus);
        shown
    };
    shares(row).into_iter().map(place).collect()
}

fn show_box(world: &World, row: &ContainerRow) -> TopologyBox {
    let shown = show_container(world, row, |_, _| false);
    TopologyBox {
        name: shown.name,
        state: shown.state,
        id: shown.id,
        parent: row.parent.clone(),
        labels: shown.labels,
    }
}

fn show_node(node: &NodeEntry, partition: Option<&String>, free: &Free) -> TopologyNode {
    let row = &node.row;
    let inventory = node.report.as_ref().map(|report| &report.inventory);
    TopologyNode {
        name: row.name.clone(),
        state: node.state().to_string(),
        id: row.id.clone(),
        approved: row.approved,
        frame: node.frame().to_string(),
        partition: partition.cloned().unwrap_or_default(),
        cpus: inventory.map_or(0, |inventory| inventory.cpus),
        cpu_model: inventory.map(|inventory| inventory.cpu_model.clone()).unwrap_or_default(),
        memory_mib: inventory.map_or(0, |inventory| inventory.memory_kib / 1024),
        free_mib: free.mib(&row.id),
        nics: inventory.map(nics).unwrap_or_default(),
        servers: Vec::new(),
        labels: row.labels.clone(),
    }
}

fn show_server(world: &World, vs: &VsEntry) -> TopologyServer {
    // As it lies on its nodes now.
    let in_force = vs.row.in_force();
    TopologyServer {
        name: vs.row.name.clone(),
        state: state(world, vs).to_string(),
        id: vs.row.id.clone(),
        vcpus: in_force.vcpus,
        memory_mib: in_force.memory_mib,
        partition: vs.row.partition.clone(),
        affinity: vs.row.affinity.clone(),
        places: places(&vs.row),
        labels: vs.row.labels.clone(),
    }
}

/// All that this sight sees.
pub(crate) fn topology(world: &World, sight: &mut Sight) -> Topology {
    let mut boxes = |level: Level| -> Vec<TopologyBox> {
        let rows = world.containers.values().filter(|row| row.level == level && sight.container(row));
        let mut boxes: Vec<_> = rows.map(|row| show_box(world, row)).collect();
        boxes.sort_by_key(|one| natural(&one.name));
        boxes
    };
    let [datacenters, mainframes, frames] =
        [Level::Datacenter, Level::Mainframe, Level::Frame].map(&mut boxes);
    let seen: Vec<&PartitionEntry> =
        world.partitions.values().filter(|entry| sight.partition(&entry.row)).collect();
    let mut partition_of: HashMap<&str, &String> = HashMap::new();
    for entry in &seen {
        partition_of.extend(entry.row.members.iter().map(|id| (id.as_str(), &entry.row.id)));
    }
    let free = Free::of(world);
    let nodes = world.nodes.values().filter(|node| sight.node(&node.row));
    let mut nodes: Vec<TopologyNode> =
        nodes.map(|node| show_node(node, partition_of.get(node.row.id.as_str()).copied(), &free)).collect();
    let mut servers: Vec<TopologyServer> =
        world.servers.values().filter(|vs| sight.vs(&vs.row)).map(|vs| show_server(world, vs)).collect();
    servers.sort_by_key(|vs| natural(&vs.name));
    let mut on: HashMap<&str, Vec<TopologyShare>> = HashMap::new();
    for vs in &servers {
        for place in &vs.places {
            let share =
                TopologyShare { server: vs.id.clone(), vcpus: place.vcpus, memory_mib: place.memory_mib };
            on.entry(place.node.as_str()).or_default().push(share);
        }
    }
    for node in &mut nodes {
        node.servers = on.remove(node.id.as_str()).unwrap_or_default();
    }
    nodes.sort_by_key(|node| natural(&node.name));
    let mut over: HashMap<&str, Vec<String>> = HashMap::new();
    for vs in servers.iter().filter(|vs| !vs.partition.is_empty()) {
        over.entry(vs.partition.as_str()).or_default().push(vs.id.clone());
    }
    let show = |entry: &&PartitionEntry| TopologyPartition {
        name: entry.row.name.clone(),
        state: crate::partitions::show(world, entry).state,
        id: entry.row.id.clone(),
        members: entry.row.members.clone(),
        servers: over.remove(entry.row.id.as_str()).unwrap_or_default(),
    };
    let mut partitions: Vec<TopologyPartition> = seen.iter().map(show).collect();
    partitions.sort_by_key(|partition| natural(&partition.name));
    let (switches, vnics) = crate::networks::topology(world, sight);
    Topology { transaction: 0, datacenters, mainframes, frames, nodes, partitions, servers, switches, vnics }
}

/// A place with what the checks say of it.
pub(crate) fn target(kind: &str, (name, id): (&str, &str), here: bool, checked: Result<(), Error>) -> Target {
    let (state, reason, next) = match checked {
        _ if here => ("here", "it is there already".to_string(), String::new()),
        Ok(()) => ("legal", String::new(), String::new()),
        Err(error) => {
            let problem = error.problem();
            ("refused", problem.title, problem.next)
        }
    };
    Target {
        name: name.to_string(),
        state: state.to_string(),
        kind: kind.to_string(),
        id: id.to_string(),
        reason,
        next,
    }
}

/// A refusal for each of several places.
pub(crate) fn again(error: &Error) -> Error {
    let problem = error.problem();
    Error::refused(problem.status, "refused", problem.title, problem.next)
}

/// Frames and the free pool, for nodes that move together.
fn frame_targets(
    world: &World,
    sight: &mut Sight,
    nodes: &[&NodeEntry],
    may: &Result<(), Error>,
) -> Vec<Target> {
    let check = |frame: &str| {
        may.as_ref().map_err(again)?;
        nodes.iter().try_for_each(|node| check_movable(node))?;
        let moved: BTreeMap<String, String> =
            nodes.iter().map(|node| (node.row.id.clone(), frame.to_string())).collect();
        check_frames(world, &moved)
    };
    let here = |frame: &str| nodes.iter().all(|node| node.row.approved && node.row.frame == frame);
    let mut all: Vec<Target> = world
        .containers
        .values()
        .filter(|row| row.level == Level::Frame && sight.container(row))
        .map(|row| target("frame", (&row.name, &row.id), here(&row.id), check(&row.id)))
        .collect();
    all.sort_by_key(|target| natural(&target.name));
    all.push(target("free", ("free", ""), here(""), check("")));
    all
}

fn partition_targets(
    world: &World,
    sight: &mut Sight,
    node: &NodeEntry,
    may_create: Result<(), Error>,
) -> Vec<Target> {
    let fixed = |entry: &PartitionEntry| {
        Error::refused(
            409,
            "members-fixed",
            format!("the members of {} are chosen when it is made", entry.row.name),
            "make another of free nodes: weft partition create NAME --nodes NODE,NODE",
        )
    };
    let mut all: Vec<Target> = world
        .partitions
        .values()
        .filter(|entry| sight.partition(&entry.row))
        .map(|entry| {
            let here = entry.row.members.contains(&node.row.id);
            target("partition", (&entry.row.name, &entry.row.id), here, Err(fixed(entry)))
        })
        .collect();
    all.sort_by_key(|target| natural(&target.name));
    let new = may_create.and_then(|()| free_node(world, &node.row.id).map(drop));
    all.push(target("partition", ("new", ""), false, new));
    all
}

/// Nodes, for a server.
fn node_targets(world: &World, sight: &mut Sight, vs: &VsEntry, may: &Result<(), Error>) -> Vec<Target> {
    let leaves = may.as_ref().map_err(again).and_then(|()| check_leaves(world, vs));
    let free = Free::of(world);
    let mut on: HashMap<&str, Vec<&VsEntry>> = HashMap::new();
    for other in world.servers.values().filter(|other| other.row.partition.is_empty()) {
        on.entry(other.row.node.as_str()).or_default().push(other);
    }
    let check = |node: &NodeEntry| {
        leaves.as_ref().map_err(again)?;
        // The node's own servers are all that its check looks at.
        let mut alone = World::default();
        let own = on.get(node.row.id.as_str()).into_iter().flatten();
        alone.servers.extend(own.map(|vs| (vs.row.id.clone(), VsEntry::from_row(vs.row.clone()))));
        let named = NodeEntry { row: node.row.clone(), ..NodeEntry::default() };
        alone.nodes.insert(node.row.id.clone(), named);
        check_arrives(&alone, &vs.row, node, &free)
    };
    let mut all: Vec<Target> = world
        .nodes
        .values()
        .filter(|node| sight.node(&node.row))
        .map(|node| {
            let here = shares(&vs.row).iter().any(|place| place.node == node.row.id);
            target("node", (&node.row.name, &node.row.id), here, check(node))
        })
        .collect();
    all.sort_by_key(|target| natural(&target.name));
    all
}

impl Core {
    /// Where an object could be moved to: a node, all members of a partition, or a virtual server.
    pub(crate) fn targets(&self, caller: &Caller, kind: &str, name: &str) -> Result<Targets, Error> {
        let mut sight = Sight::of(self, caller);
        let may = |object: &Object<'_>| self.allow(caller, "move", object);
        let of_node = |node: &NodeEntry| {
            may(&Object {
                labels: Some(&node.row.labels),
                ..Object::new(ObjectKind::Node, &node.row.id, &node.row.name)
            })
        };
        let shown = |name: &str, id: &str, targets: Vec<Target>| Targets {
            kind: kind.to_string(),
            name: name.to_string(),
            id: id.to_string(),
            targets,
        };
        match kind {
            "node" => {
                self.allow_named(caller, "view", ObjectKind::Node, name)?;
                let node = self.find_node(name)?;
                let allowed = of_node(&node);
                let may_create = self.allow(caller, "create", &Object::new(ObjectKind::Partition, "", ""));
                let world = self.world();
                let mut targets = frame_targets(&world, &mut sight, &[&node], &allowed);
                targets.extend(partition_targets(&world, &mut sight, &node, may_create));
                Ok(shown(&node.row.name, &node.row.id, targets))
            }
            "partition" => {
                self.allow_named(caller, "view", ObjectKind::Partition, name)?;
                let row = self.find_partition(name)?.row;
                let members: Vec<NodeEntry> =
                    row.members.iter().map(|id| self.find_node(id)).collect::<Result<_, _>>()?;
                let allowed = members.iter().try_for_each(of_node);
                let all: Vec<&NodeEntry> = members.iter().collect();
                Ok(shown(&row.name, &row.id, frame_targets(&self.world(), &mut sight, &all, &allowed)))
            }
            "vs" => {
                self.allow_named(caller, "view", ObjectKind::Vs, name)?;
                let vs = self.find_vs(name)?;
                let allowed = may(&Object {
                    labels: Some(&vs.row.labels),
                    ..Object::new(ObjectKind::Vs, &vs.row.id, &vs.row.name)
                });
                let targets = node_targets(&self.world(), &mut sight, &vs, &allowed);
                Ok(shown(&vs.row.name, &vs.row.id, targets))
            }
            "vcpu" => self.processor_targets(caller, name),
            "vnic" => self.port_targets(caller, name),
            _ => Err(invalid(format!("a {kind} is not moved"), "kind is node, partition, vs, vcpu or vnic")),
        }
    }
}
