//! What a caller may see, for lists: each kind of object is judged by what its policies look at, not row by row.

use std::collections::HashMap;
use std::sync::Arc;

use weft_api::{ChangedObject, Event, Labels, Node, Partition};
use weft_store::{
    ContainerRow, ImageRow, Level, LicenceRow, NetRow, NodeRow, PartitionRow, PoolRow, TemplateRow, VsRow,
};

use super::found::not_found;
use super::judge::{Anyhow, Asker, Judge, Object};
use super::kinds::ObjectKind;
use super::rules::Rules;
use crate::accounts::Caller;
use crate::containers::object_kind;
use crate::core::Core;
use crate::error::Error;
use crate::world::World;

/// Events that name no server and no node, and the kind that one must see all of to see them.
const AREAS: [(&str, ObjectKind); 14] = [
    ("account.", ObjectKind::Account),
    ("token.", ObjectKind::Account),
    ("auth-policy.", ObjectKind::Account),
    ("template.", ObjectKind::Template),
    ("pool.", ObjectKind::Pool),
    ("licence.", ObjectKind::Licence),
    ("datacenter.", ObjectKind::Datacenter),
    ("mainframe.", ObjectKind::Mainframe),
    ("frame.", ObjectKind::Frame),
    ("switch.", ObjectKind::Switch),
    ("port.", ObjectKind::Port),
    ("gateway.", ObjectKind::Gateway),
    ("vnic.", ObjectKind::Vnic),
    ("vhba.", ObjectKind::Vhba),
];

/// One kind of object.
struct View {
    kind: ObjectKind,
    judge: Judge,
    any: Anyhow,
    /// By name, of those that events or others name.
    named: Option<HashMap<String, bool>>,
}

impl View {
    fn new(rules: &Rules, asker: &Asker, kind: ObjectKind) -> Self {
        let mut judge = rules.judge(asker, "view", kind);
        let any = judge.any();
        Self { kind, judge, any, named: None }
    }

    fn sees(&mut self, id: &str, name: &str, labels: Option<&Labels>) -> bool {
        match self.any {
            Anyhow::All(_) => true,
            Anyhow::None(_) => false,
            Anyhow::Depends(_) => {
                self.judge.decide(&Object { labels, ..Object::new(self.kind, id, name) }).allowed
            }
        }
    }

    /// By name. What is gone, and would have to be looked at, is not seen.
    fn sees_named<'a>(
        &mut self,
        name: &str,
        all: impl Iterator<Item = (&'a str, &'a str, Option<&'a Labels>)>,
    ) -> bool {
        match self.any {
            Anyhow::All(_) => true,
            Anyhow::None(_) => false,
            Anyhow::Depends(_) => {
                let named = self.named.take().unwrap_or_else(|| {
                    all.map(|(id, name, labels)| (name.to_string(), self.sees(id, name, labels))).collect()
                });
                let seen = named.get(name).copied().unwrap_or(false);
                self.named = Some(named);
                seen
            }
        }
    }
}

/// What a caller may see; a kind is judged when the first of it comes.
pub(crate) struct Sight {
    rules: Arc<Rules>,
    asker: Asker,
    views: HashMap<ObjectKind, View>,
}

impl Sight {
    pub(crate) fn of(core: &Core, caller: &Caller) -> Self {
        Self { rules: core.accounts.rules(), asker: caller.asker.clone(), views: HashMap::new() }
    }

    fn view(&mut self, kind: ObjectKind) -> &mut View {
        let Self { rules, asker, views } = self;
        views.entry(kind).or_insert_with(|| View::new(rules, asker, kind))
    }

    /// Whether all of a kind are seen, those too that are gone.
    fn sees_all(&mut self, kind: ObjectKind) -> bool {
        matches!(self.view(kind).any, Anyhow::All(_))
    }

    pub(crate) fn vs(&mut self, row: &VsRow) -> bool {
        self.view(ObjectKind::Vs).sees(&row.id, &row.name, Some(&row.labels))
    }

    pub(crate) fn node(&mut self, row: &NodeRow) -> bool {
        self.view(ObjectKind::Node).sees(&row.id, &row.name, Some(&row.labels))
    }

    pub(crate) fn partition(&mut self, row: &PartitionRow) -> bool {
        self.view(ObjectKind::Partition).sees(&row.id, &row.name, None)
    }

    pub(crate) fn image(&mut self, row: &ImageRow) -> bool {
        self.view(ObjectKind::Image).sees(&row.digest, &row.name, None)
    }

    pub(crate) fn template(&mut self, row: &TemplateRow) -> bool {
        self.view(ObjectKind::Template).sees(&row.id, &row.name, Some(&row.labels))
    }

    pub(crate) fn container(&mut self, row: &ContainerRow) -> bool {
        self.view(object_kind(row.level)).sees(&row.id, &row.name, Some(&row.labels))
    }

    /// A server's own device is seen where the server is.
    pub(crate) fn net(&mut self, world: &World, row: &NetRow) -> bool {
        let own = crate::networks::is_own(row).then(|| world.servers.get(&row.server)).flatten();
        own.is_none_or(|vs| self.vs(&vs.row))
            && self.view(crate::networks::object_kind(row.kind)).sees(&row.id, &row.name, Some(&row.labels))
    }

    pub(crate) fn pool(&mut self, row: &PoolRow) -> bool {
        self.view(ObjectKind::Pool).sees(&row.id, &row.name, None)
    }

    pub(crate) fn licence(&mut self, row: &LicenceRow) -> bool {
        self.view(ObjectKind::Licence).sees(&row.id, &row.id, None)
    }

    /// A server that is only named.
    pub(crate) fn vs_named(&mut self, world: &World, name: &str) -> bool {
        let all =
            world.servers.values().map(|vs| (vs.row.id.as_str(), vs.row.name.as_str(), Some(&vs.row.labels)));
        self.view(ObjectKind::Vs).sees_named(name, all)
    }

    /// A node that is only named.
    pub(crate) fn node_named(&mut self, world: &World, name: &str) -> bool {
        let rows = world.nodes.values().map(|node| &node.row);
        self.view(ObjectKind::Node)
            .sees_named(name, rows.map(|row| (row.id.as_str(), row.name.as_str(), Some(&row.labels))))
    }

    /// What stands in a container of this level, by name.
    pub(crate) fn inside(&mut self, world: &World, level: Level, name: &str) -> bool {
        let inner = match level {
            Level::Datacenter => Level::Mainframe,
            Level::Mainframe => Level::Frame,
            Level::Frame => return self.node_named(world, name),
        };
        let rows = world.containers.values().filter(|row| row.level == inner);
        self.view(object_kind(inner))
            .sees_named(name, rows.map(|row| (row.id.as_str(), row.name.as_str(), Some(&row.labels))))
    }

    /// Whether a node is seen, without the servers that are not. A machine that boots is known by nothing but its MAC.
    pub(crate) fn trim_node(&mut self, world: &World, node: &mut Node) -> bool {
        node.servers.retain(|name| self.vs_named(world, name));
        match world.nodes.get(&node.id) {
            Some(entry) => self.node(&entry.row),
            None => self.sees_all(ObjectKind::Node),
        }
    }

    /// A partition without the servers and nodes that are not seen.
    pub(crate) fn trim_partition(&mut self, world: &World, partition: &mut Partition) {
        partition.servers.retain(|name| self.vs_named(world, name));
        partition.members.retain(|member| self.node_named(world, &member.node));
    }

    /// What is said of a node that is not there.
    pub(crate) fn no_node(name: &str) -> Error {
        not_found(ObjectKind::Node, name)
    }

    /// Whether an event is seen, by what it is about: a server, else a node. The node of a server is left out where it is
    /// not seen.
    pub(crate) fn trim_event(&mut self, world: &World, event: &mut Event) -> bool {
        let area = AREAS.iter().find(|(area, _)| event.name.starts_with(area));
        if area.is_some_and(|(_, kind)| !self.sees_all(*kind)) {
            return false;
        }
        let node = event.node.is_empty() || self.node_named(world, &event.node);
        if event.vs.is_empty() {
            return node;
        }
        if !node {
            if event.actor == event.node {
                event.actor.clear();
            }
            event.node.clear();
        }
        self.vs_named(world, &event.vs)
    }

    /// An object of history.
    pub(crate) fn changed(&mut self, world: &World, kind: &str, id: &str) -> bool {
        match kind {
            "vs" => match world.servers.get(id) {
                Some(vs) => self.vs(&vs.row),
                None => self.sees_all(ObjectKind::Vs),
            },
            "node" | "bmc" | "power" => match world.nodes.get(id) {
                Some(node) => self.node(&node.row),
                None => self.sees_all(ObjectKind::Node),
            },
            "partition" => match world.partitions.get(id) {
                Some(entry) => self.partition(&entry.row),
                None => self.sees_all(ObjectKind::Partition),
            },
            "image" => match world.images.get(id) {
                Some(image) => self.image(image),
                None => self.sees_all(ObjectKind::Image),
            },
            "template" => match world.templates.get(id) {
                Some(row) => self.template(row),
                None => self.sees_all(ObjectKind::Template),
            },
            "datacenter" | "mainframe" | "frame" => match world.containers.get(id) {
                Some(row) => self.container(row),
                None => self.sees_all(ObjectKind::of(kind).unwrap_or(ObjectKind::Account)),
            },
            "switch" | "port" | "gateway" | "vnic" | "vhba" => match world.net_by_id(id) {
                Some(row) => self.net(world, &row),
                None => self.sees_all(ObjectKind::of(kind).unwrap_or(ObjectKind::Account)),
            },
            "pool" => match world.identifiers.pools.get(id) {
                Some(row) => self.pool(row),
                None => self.sees_all(ObjectKind::Pool),
            },
            "licence" => match world.identifiers.licences.get(id) {
                Some(row) => self.licence(row),
                None => self.sees_all(ObjectKind::Licence),
            },
            // They tell of nobody's objects.
            "blob" | "reservation" => true,
            // Accounts, tokens, policies, and whatever this version does not know.
            _ => self.sees_all(ObjectKind::Account),
        }
    }

    /// Leaves the objects of a transaction that are seen; `false`: none is.
    pub(crate) fn trim(&mut self, world: &World, objects: &mut Vec<ChangedObject>) -> bool {
        objects.retain(|object| self.changed(world, &object.kind, &object.id));
        !objects.is_empty()
    }
}
