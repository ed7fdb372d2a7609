//! What a step changes, decided as the single verbs decide, on a copy of the world: the present one for the step itself, or
//! what earlier steps would leave for a plan.

use weft_api::JobStepCreate;
use weft_store::{JobObject, NewEvent, StepRow, VsRow, WaitRow};

use super::check::{kind, of_nodes, of_partitions};
use super::waits;
use crate::auth::{Object, ObjectKind};
use crate::core::Core;
use crate::error::Error;
use crate::groups::{Group, NODES, PARTITIONS, SERVERS};
use crate::nodes::decide_approve;
use crate::pools::Sources;
use crate::servers::Verb;
use crate::transactions::{Change, Draft, Kind};
use crate::world::{Lookup, NodeEntry, VsEntry, World};

/// What was asked for in a step.
pub(super) fn spec(step: &StepRow) -> Result<JobStepCreate, Error> {
    serde_json::from_value(step.spec.clone()).map_err(|_| {
        Error::refused(
            409,
            "step-unknown",
            format!("this version of the appliance does not know such a step: {}", step.verb),
            "cancel the job, and do it with this version",
        )
    })
}

fn server(world: &World, object: &JobObject) -> Result<VsEntry, Error> {
    let found = if object.id.is_empty() {
        world.server(&object.name)
    } else {
        world.servers.get(&object.id).ok_or(Lookup::Missing)
    };
    found.cloned().map_err(|lookup| lookup.refusal("virtual server", &object.name))
}

fn node(world: &World, object: &JobObject) -> Result<NodeEntry, Error> {
    world.nodes.get(&object.id).cloned().ok_or_else(|| Lookup::Missing.refusal("node", &object.name))
}

/// A step as it was decided: its changes or refusals, and what nodes are to report once it is made.
pub(super) struct Decided {
    pub(super) group: Group,
    pub(super) waits: Vec<WaitRow>,
    /// Where new servers draw their identifiers from.
    pub(super) sources: Sources,
}

impl Decided {
    /// The change that the step is.
    pub(super) fn draft(self) -> Draft {
        Draft { sources: self.sources, ..Draft::of(self.group.kind, self.group.decided) }
    }
}

impl Core {
    /// Decides on a step.
    pub(super) fn decide_step(&self, world: &World, actor: &str, step: &StepRow) -> Result<Decided, Error> {
        let wanted = spec(step)?;
        let kind = kind(&wanted.action)?;
        let noun = match kind {
            kind if of_nodes(kind) => &NODES,
            kind if of_partitions(kind) => &PARTITIONS,
            _ => &SERVERS,
        };
        let mut group = Group::new(noun, kind);
        // Of several that move, each beside those before it.
        let mut moving = None;
        let mut same = Vec::new();
        for object in &step.objects {
            let decided = match kind {
                Kind::VsCreate => match &wanted.create {
                    Some(create) => {
                        self.allow_sources(&create.template, [&create.mac_pool, &create.wwnn_pool])?;
                        self.decide_create(world, actor, create).map(Some)
                    }
                    None => Ok(None),
                },
                // Members are named beside it, so that no other job takes them.
                Kind::PartitionCreate if object.kind != "partition" => continue,
                Kind::PartitionCreate => match &wanted.partition {
                    Some(create) => self.decide_partition(world, actor, create).map(Some),
                    None => Ok(None),
                },
                Kind::PartitionDelete => {
                    if let Ok(entry) = world.partition(&object.name) {
                        let row = &entry.row;
                        self.allow_kind(kind, &Object::new(ObjectKind::Partition, &row.id, &row.name))?;
                    }
                    self.decide_partition_delete(world, actor, &object.name).map(Some)
                }
                Kind::VsMove => match server(world, object) {
                    Ok(vs) if !group.seen.insert(vs.row.id.clone()) => continue,
                    Ok(vs) => {
                        let judged = Object {
                            labels: Some(&vs.row.labels),
                            ..Object::new(ObjectKind::Vs, &vs.row.id, &vs.row.name)
                        };
                        self.allow_kind(kind, &judged)?;
                        let beside = moving.get_or_insert_with(|| world.sketch());
                        let decided = self.decide_step_move(beside, actor, &vs.row, &wanted.node);
                        if let Ok(Some((change, _))) = &decided {
                            change.leave(beside);
                        }
                        decided
                    }
                    Err(error) => Err(error),
                },
                Kind::NodeApprove | Kind::NodeForget => match node(world, object) {
                    Ok(node) if !group.seen.insert(node.row.id.clone()) => continue,
                    Ok(node) if kind == Kind::NodeApprove => {
                        self.allow_node(kind, &node)?;
                        decide_approve(actor, node, &wanted.fingerprints).map(Some)
                    }
                    Ok(node) => {
                        self.allow_node(kind, &node)?;
                        self.decide_forget(world, actor, node).map(Some)
                    }
                    Err(error) => Err(error),
                },
                _ => match server(world, object) {
                    Ok(vs) if !group.seen.insert(vs.row.id.clone()) => continue,
                    Ok(vs) => {
                        let row = vs.row.clone();
                        let object = Object {
                            labels: Some(&row.labels),
                            ..Object::new(ObjectKind::Vs, &row.id, &row.name)
                        };
                        self.allow_kind(kind, &object)?;
                        let decided = match Verb::of_kind(kind) {
                            Some(verb) => self.decide_vs(actor, vs, verb),
                            None => self.decide_label_vs(
                                actor,
                                vs.row,
                                &wanted.labels.clone().unwrap_or_default(),
                            ),
                        };
                        if matches!(decided, Ok(None)) {
                            same.extend(waits::of_same(kind, &row));
                        }
                        decided
                    }
                    Err(error) => Err(error),
                },
            };
            group.add(&object.name, decided)?;
        }
        let changes: Vec<Change> = group.decided.iter().map(|(change, _)| change.clone()).collect();
        let mut waits = waits::of_changes(kind, &changes);
        waits.extend(same);
        let sources = match &wanted.create {
            Some(create) => self.world().sources(&create.mac_pool, &create.wwnn_pool)?,
            None => Sources::default(),
        };
        Ok(Decided { group, waits, sources })
    }
}

impl Core {
    fn decide_step_move(
        &self,
        world: &World,
        actor: &str,
        row: &VsRow,
        node: &str,
    ) -> Result<Option<(Change, NewEvent)>, Error> {
        self.allow_named_by("view", ObjectKind::Node, node)?;
        let target = world.node(node).map_err(|lookup| lookup.refusal("node", node))?.row.id.clone();
        self.decide_vs_move(world, actor, row, &target)
    }

    fn allow_node(&self, kind: Kind, node: &NodeEntry) -> Result<(), Error> {
        let row = &node.row;
        let object =
            Object { labels: Some(&row.labels), ..Object::new(ObjectKind::Node, &row.id, &row.name) };
        self.allow_kind(kind, &object)
    }
}
