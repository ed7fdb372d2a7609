//! A document as changes: each object is decided on the world that those before it leave.

use std::collections::{BTreeMap, BTreeSet};

use weft_api::{
    Conflict, Labels, Manifest, NodeSpec, PartitionCreate, PartitionSpec, Selector, TemplateCreate,
    TemplateSpec, VsCreate,
};
use weft_store::{ContainerRow, Level, NetKind, NewEvent, NodeRow, TemplateRow};

use crate::auth::{ObjectKind, Sight, asking, objects, verbs_of};
use crate::containers::{MAX_OF_LEVEL, above, check_container, container_event, lost, object_kind, words};
use crate::core::Core;
use crate::error::Error;
use crate::labels::check_labels;
use crate::moves::{check_frames, check_movable, frame_words};
use crate::nodes::node_event;
use crate::partitions::name_of;
use crate::servers::{check, check_name, invalid};
use crate::templates::{check_template, new_template, template_event};
use crate::transactions::{Change, Kept};
use crate::util::{hex, random};
use crate::world::{Lookup, World};

/// Refusals that are told.
const MAX_REFUSED: usize = 50;
/// Processors and memory of what a document describes no size of.
pub(super) const SIZE: (u16, u32) = (1, 256);

/// What becomes of one object: nothing, or a change and its event.
pub(super) type Decided = Result<Option<(Change, NewEvent)>, Error>;

/// What was decided so far.
pub(super) struct Decision<'a> {
    pub(super) core: &'a Core,
    pub(super) actor: &'a str,
    /// As the changes so far would leave it.
    pub(super) world: World,
    pub(super) decided: Vec<(Change, NewEvent)>,
    pub(super) refused: Vec<Conflict>,
}

/// The object of a name among those of its kind; ids and their beginnings are no names here.
fn container(world: &World, level: Level, name: &str) -> Option<ContainerRow> {
    world.containers.values().find(|row| row.level == level && row.name == name).cloned()
}

/// Names that stand twice in a list.
fn twice<'a>(names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = BTreeSet::new();
    let mut names = names;
    names.find(|name| !seen.insert(*name))
}

impl<'a> Decision<'a> {
    pub(super) fn new(core: &'a Core, actor: &'a str) -> Self {
        Self { core, actor, world: core.sketch(), decided: Vec::new(), refused: Vec::new() }
    }

    /// Takes a decision over. A refusal is kept and the rest looked at; what is no refusal, or no leave to see, ends all.
    pub(super) fn take(&mut self, kind: &'static str, name: &str, decided: Decided) -> Result<(), Error> {
        match decided {
            Ok(Some((change, told))) => {
                // Who may make no such change at all is told so here, before a long document is gone through.
                if let Some(caller) = asking::current() {
                    for object in objects(&change) {
                        verbs_of(&change)
                            .into_iter()
                            .try_for_each(|verb| self.core.allow_some(&caller, verb, object.kind))?;
                    }
                }
                change.leave(&mut self.world);
                self.decided.push((change, told));
            }
            Ok(None) => {}
            Err(Error::Refused { title, next, status, .. }) if status != 403 => {
                if self.refused.len() < MAX_REFUSED {
                    let text = format!("{kind} {name}: {title}; {next}");
                    let (kind, name) = (kind.to_string(), name.to_string());
                    self.refused.push(Conflict { kind, name, text, ..Conflict::default() });
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether who asks may see the object of this name; one that is made here is not there yet.
    pub(super) fn seen(&self, kind: ObjectKind, name: &str) -> Result<(), Error> {
        self.core.allow_named_by("view", kind, name)
    }

    /// All of a document, what others need first.
    pub(super) fn all(&mut self, manifest: &Manifest) -> Result<(), Error> {
        for (kind, list) in [
            (
                "datacenters",
                manifest.datacenters.as_ref().and_then(|all| twice(all.iter().map(|one| &one.name))),
            ),
            (
                "mainframes",
                manifest.mainframes.as_ref().and_then(|all| twice(all.iter().map(|one| &one.name))),
            ),
            ("frames", manifest.frames.as_ref().and_then(|all| twice(all.iter().map(|one| &one.name)))),
            ("nodes", manifest.nodes.as_ref().and_then(|all| twice(all.iter().map(|one| &one.name)))),
            (
                "partitions",
                manifest.partitions.as_ref().and_then(|all| twice(all.iter().map(|one| &one.name))),
            ),
            ("templates", manifest.templates.as_ref().and_then(|all| twice(all.iter().map(|one| &one.name)))),
            ("vs", manifest.vs.as_ref().and_then(|all| twice(all.iter().map(|one| &one.name)))),
        ] {
            if let Some(name) = list {
                return Err(invalid(format!("{name} stands twice among {kind}"), "name it once"));
            }
        }
        if let Some((name, kind)) = super::networks::twice(manifest) {
            let kind = kind.word();
            return Err(invalid(format!("{name} stands twice among those of kind {kind}"), "name it once"));
        }
        for one in manifest.datacenters.iter().flatten() {
            let decided = self.container(Level::Datacenter, &one.name, None, one.labels.as_ref());
            self.take("datacenter", &one.name, decided)?;
        }
        for one in manifest.mainframes.iter().flatten() {
            let parent = one.datacenter.as_deref();
            let decided = self.container(Level::Mainframe, &one.name, parent, one.labels.as_ref());
            self.take("mainframe", &one.name, decided)?;
        }
        for one in manifest.frames.iter().flatten() {
            let parent = one.mainframe.as_deref();
            let decided = self.container(Level::Frame, &one.name, parent, one.labels.as_ref());
            self.take("frame", &one.name, decided)?;
        }
        self.nodes(manifest.nodes.as_deref().unwrap_or_default())?;
        for one in manifest.partitions.iter().flatten() {
            let decided = self.partition(one);
            self.take("partition", &one.name, decided)?;
        }
        for one in manifest.templates.iter().flatten() {
            let decided = self.template(one);
            self.take("template", &one.name, decided)?;
        }
        self.networks(manifest, &[NetKind::Switch, NetKind::Gateway, NetKind::Port])?;
        for one in manifest.vs.iter().flatten() {
            let decided = self.server(one);
            self.take("vs", &one.name, decided)?;
        }
        self.networks(manifest, &[NetKind::Vnic, NetKind::Vhba])?;
        Ok(())
    }

    fn container(&self, level: Level, name: &str, parent: Option<&str>, labels: Option<&Labels>) -> Decided {
        check_name(name)?;
        labels.map_or(Ok(()), check_labels)?;
        self.seen(object_kind(level), name)?;
        let before = container(&self.world, level, name);
        let parent = match (above(level), parent) {
            (None, _) => String::new(),
            (Some(above), Some(parent)) => {
                self.seen(object_kind(above), parent)?;
                let found = container(&self.world, above, parent);
                found.ok_or_else(|| lost(Lookup::Missing, above, parent))?.id
            }
            (Some(above), None) => match &before {
                Some(row) => row.parent.clone(),
                None => {
                    let title = format!("it is not said which {} it stands in", words(above));
                    return Err(invalid(title, format!("add {}: NAME", above.word())));
                }
            },
        };
        let mut after = ContainerRow {
            id: before.as_ref().map_or_else(|| hex(&random::<16>()), |row| row.id.clone()),
            level,
            name: name.to_string(),
            parent,
            labels: labels.or(before.as_ref().map(|row| &row.labels)).cloned().unwrap_or_default(),
            generation: before.as_ref().map_or(1, |row| row.generation),
        };
        if before.as_ref() == Some(&after) {
            return Ok(None);
        }
        if before.is_none() {
            let count = self.world.containers.values().filter(|row| row.level == level).count();
            if count >= MAX_OF_LEVEL {
                let title = format!("there are {MAX_OF_LEVEL} {}s", words(level));
                return Err(Error::refused(409, "too-many", title, "delete one first"));
            }
        } else {
            after.generation = after.generation.saturating_add(1);
        }
        check_container(&self.world, before.as_ref(), Some(&after))?;
        let what = if before.is_none() { "created" } else { "changed" };
        let told = container_event(self.actor, level, what, name.to_string());
        Ok(Some((Change::Kept(Kept::Container { before, after: Some(after) }), told)))
    }

    /// Nodes move together: members of a partition stand in one frame.
    fn nodes(&mut self, wanted: &[NodeSpec]) -> Result<(), Error> {
        let mut moved = BTreeMap::new();
        for one in wanted {
            let decided = self.node(one);
            if let Ok(Some((Change::Node { after: Some(row), held, .. }, _))) = &decided
                && row.frame != held.frame
            {
                moved.insert(row.id.clone(), row.frame.clone());
            }
            self.take("node", &one.name, decided)?;
        }
        if let Err(error) = check_frames(&self.world, &moved) {
            let first = moved.keys().next().map(|id| name_of(&self.world, id)).unwrap_or_default();
            self.take("node", &first, Err(error))?;
        }
        Ok(())
    }

    fn node(&self, wanted: &NodeSpec) -> Decided {
        self.seen(ObjectKind::Node, &wanted.name)?;
        wanted.labels.as_ref().map_or(Ok(()), check_labels)?;
        let missing = || Error::not_found("node-not-found", "node", &wanted.name, "weft node list");
        let node = self.world.nodes.values().find(|node| node.row.name == wanted.name).ok_or_else(missing)?;
        check_movable(node)?;
        let before = node.row.clone();
        let frame = match wanted.frame.as_deref() {
            None => before.frame.clone(),
            Some("") => String::new(),
            Some(name) => {
                self.seen(ObjectKind::Frame, name)?;
                let found = container(&self.world, Level::Frame, name);
                found.ok_or_else(|| lost(Lookup::Missing, Level::Frame, name))?.id
            }
        };
        let labels = wanted.labels.clone().unwrap_or_else(|| before.labels.clone());
        if frame == before.frame && labels == before.labels {
            return Ok(None);
        }
        let (name, text) = if frame == before.frame {
            ("node.labelled", crate::labels::text(&labels))
        } else {
            ("node.moved", format!("moved to {}", frame_words(&self.world, &frame)))
        };
        let told = NewEvent { actor: self.actor.to_string(), ..node_event(name, "info", &before.name, text) };
        let after = Some(NodeRow { frame, labels, ..before.clone() });
        Ok(Some((Change::Node { held: before.clone(), before: Some(before), after, forget: false }, told)))
    }

    fn partition(&self, wanted: &PartitionSpec) -> Decided {
        self.seen(ObjectKind::Partition, &wanted.name)?;
        let there = self.world.partitions.values().find(|entry| entry.row.name == wanted.name);
        let nodes = wanted.nodes.clone().unwrap_or_default();
        for node in &nodes {
            self.seen(ObjectKind::Node, node)?;
        }
        if let Some(entry) = there {
            let members: Vec<String> = entry.row.members.iter().map(|id| name_of(&self.world, id)).collect();
            if wanted.nodes.is_none() || nodes == members {
                return Ok(None);
            }
            return Err(Error::refused(
                409,
                "members-fixed",
                format!("its members are {}, and stay so for its life", members.join(", ")),
                "leave nodes out, or make another partition",
            ));
        }
        let create = PartitionCreate { name: wanted.name.clone(), nodes };
        let (change, told) = self.core.decide_partition(&self.world, self.actor, &create)?;
        Ok(Some((change, told)))
    }

    /// The id of a partition by name.
    pub(super) fn partition_id(&self, name: &str) -> Result<String, Error> {
        if name.is_empty() {
            return Ok(String::new());
        }
        self.seen(ObjectKind::Partition, name)?;
        let found = self.world.partitions.values().find(|entry| entry.row.name == name);
        let missing = || Error::not_found("partition-not-found", "partition", name, "weft partition list");
        found.map(|entry| entry.row.id.clone()).ok_or_else(missing)
    }

    fn template(&self, wanted: &TemplateSpec) -> Decided {
        self.seen(ObjectKind::Template, &wanted.name)?;
        let TemplateSpec { name, vcpus, memory_mib, kernel, initrd, append, partition, labels } = wanted;
        let before = self.world.templates.values().find(|row| row.name == *name).cloned();
        let own = partition.as_deref().map(|name| self.partition_id(name)).transpose()?;
        let Some(before) = before else {
            let create = TemplateCreate {
                name: name.clone(),
                vcpus: vcpus.unwrap_or(SIZE.0),
                memory_mib: memory_mib.unwrap_or(SIZE.1),
                kernel: kernel.clone().unwrap_or_default(),
                initrd: initrd.clone().unwrap_or_default(),
                append: append.clone().unwrap_or_default(),
                partition: partition.clone().unwrap_or_default(),
                labels: labels.clone().unwrap_or_default(),
                ..TemplateCreate::default()
            };
            let row = new_template(&self.world, &create)?;
            check_template(&self.world, &row)?;
            let told = template_event(self.actor, "template.created", row.name.clone());
            return Ok(Some((Change::Kept(Kept::Template { before: None, after: Some(row) }), told)));
        };
        let mut after = TemplateRow {
            vcpus: vcpus.unwrap_or(before.vcpus),
            memory_mib: memory_mib.unwrap_or(before.memory_mib),
            kernel: kernel.clone().unwrap_or_else(|| before.kernel.clone()),
            initrd: initrd.clone().unwrap_or_else(|| before.initrd.clone()),
            append: append.clone().unwrap_or_else(|| before.append.clone()),
            partition: own.unwrap_or_else(|| before.partition.clone()),
            labels: labels.clone().unwrap_or_else(|| before.labels.clone()),
            ..before.clone()
        };
        if after == before {
            return Ok(None);
        }
        check(&VsCreate {
            name: after.name.clone(),
            vcpus: after.vcpus,
            memory_mib: after.memory_mib,
            append: after.append.clone(),
            labels: after.labels.clone(),
            ..VsCreate::default()
        })?;
        check_template(&self.world, &after)?;
        after.generation = after.generation.saturating_add(1);
        let told = template_event(self.actor, "template.changed", after.name.clone());
        let change = Kept::Template { before: Some(before), after: Some(after) };
        Ok(Some((Change::Kept(change), told)))
    }

    /// Deletes what has the labels, is of a kind that the document has a list of, and is not in it: what is in others
    /// first.
    pub(super) fn prune(
        &mut self,
        manifest: &Manifest,
        selector: &Selector,
        mut sight: Option<Sight>,
    ) -> Result<(), Error> {
        fn names<'a, T>(list: &'a [T], name: impl Fn(&'a T) -> &'a String) -> BTreeSet<&'a String> {
            list.iter().map(name).collect()
        }
        self.prune_networks(manifest, selector, &mut sight, &[NetKind::Vnic, NetKind::Vhba])?;
        if let Some(list) = &manifest.vs {
            let kept = names(list, |one| &one.name);
            let rows = self.world.servers.values().map(|entry| entry.row.clone());
            let gone: Vec<_> = rows
                .filter(|row| selector.matches(&row.labels) && !kept.contains(&row.name))
                .filter(|row| sight.as_mut().is_none_or(|sight| sight.vs(row)))
                .collect();
            for row in gone {
                let (name, told) =
                    (row.name.clone(), self.core.vs_event(self.actor, &row, "vs.deleted", "deleted"));
                self.take("vs", &name, Ok(Some((Change::Vs { before: Some(row), after: None }, told))))?;
            }
        }
        let behind = [NetKind::Port, NetKind::Gateway, NetKind::Switch];
        self.prune_networks(manifest, selector, &mut sight, &behind)?;
        if let Some(list) = &manifest.templates {
            let kept = names(list, |one| &one.name);
            let rows = self.world.templates.values().cloned();
            let gone: Vec<_> = rows
                .filter(|row| selector.matches(&row.labels) && !kept.contains(&row.name))
                .filter(|row| sight.as_mut().is_none_or(|sight| sight.template(row)))
                .collect();
            for row in gone {
                let name = row.name.clone();
                let told = template_event(self.actor, "template.deleted", name.clone());
                let change = Kept::Template { before: Some(row), after: None };
                self.take("template", &name, Ok(Some((Change::Kept(change), told))))?;
            }
        }
        let levels = [
            (Level::Frame, manifest.frames.as_ref().map(|all| names(all, |one| &one.name))),
            (Level::Mainframe, manifest.mainframes.as_ref().map(|all| names(all, |one| &one.name))),
            (Level::Datacenter, manifest.datacenters.as_ref().map(|all| names(all, |one| &one.name))),
        ];
        for (level, kept) in levels {
            let Some(kept) = kept else { continue };
            let rows = self.world.containers.values().filter(|row| row.level == level).cloned();
            let gone: Vec<_> = rows
                .filter(|row| selector.matches(&row.labels) && !kept.contains(&row.name))
                .filter(|row| sight.as_mut().is_none_or(|sight| sight.container(row)))
                .collect();
            for row in gone {
                let name = row.name.clone();
                let told = container_event(self.actor, level, "deleted", name.clone());
                let decided = check_container(&self.world, Some(&row), None)
                    .map(|()| Some((Change::Kept(Kept::Container { before: Some(row), after: None }), told)));
                self.take(level.word(), &name, decided)?;
            }
        }
        Ok(())
    }
}
