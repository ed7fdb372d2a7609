//! As the interface shows them, and what is said of each: that nodes do it, or why they do not.

use std::collections::HashMap;

use weft_api::NetObject;
use weft_store::{NetKind, NetRow};

use super::is_own;
use crate::auth::Sight;
use crate::partitions::name_of;
use crate::view::natural;
use crate::world::World;

/// Nothing of a switch reaches a node.
const NO_SWITCH: &str = "nodes have no virtual switch yet";
/// Nothing of storage reaches a node.
const NO_STORAGE: &str = "nodes have no storage for virtual servers yet";

/// Whether nodes do what is wanted here, and how, or why not.
pub(crate) fn applied(world: &World, row: &NetRow) -> (bool, String) {
    match row.kind {
        NetKind::Switch => (false, format!("{NO_SWITCH}: nothing goes through it")),
        NetKind::Port => (false, format!("{NO_SWITCH}: nothing goes through this port")),
        NetKind::Gateway => (
            false,
            format!(
                "{NO_SWITCH}: {} bridges its servers to the NIC that it booted from",
                name_of(world, &row.node)
            ),
        ),
        NetKind::Vhba => (false, format!("{NO_STORAGE}: its WWNN is reserved")),
        NetKind::Vnic if !is_own(row) => {
            let server = world.servers.get(&row.server).map(|vs| vs.row.name.as_str()).unwrap_or_default();
            (
                false,
                format!("a node gives a virtual server one network device yet, {}", super::own_name(server)),
            )
        }
        NetKind::Vnic if !row.port.is_empty() => {
            (false, format!("{NO_SWITCH}: it stays bridged to the appliance's network by its node"))
        }
        NetKind::Vnic => (true, "bridged to the appliance's network by its node".to_string()),
    }
}

/// Who is connected to what, found once for a list.
pub(crate) struct Links<'a>(HashMap<&'a str, Vec<&'a NetRow>>);

impl<'a> Links<'a> {
    pub(crate) fn of(world: &'a World) -> Self {
        let mut links: HashMap<&str, Vec<&NetRow>> = HashMap::new();
        for row in world.networks.values() {
            let to = match row.kind {
                NetKind::Port => [&row.switch].into_iter().chain(&row.gateways),
                NetKind::Vnic => [&row.port].into_iter().chain(&row.gateways),
                NetKind::Switch | NetKind::Gateway | NetKind::Vhba => continue,
            };
            to.for_each(|id| links.entry(id.as_str()).or_default().push(row));
        }
        Self(links)
    }

    /// Ports of a switch or of a gateway port, the VNIC on a port.
    pub(crate) fn to(&self, id: &str) -> impl Iterator<Item = &'a NetRow> {
        self.0.get(id).into_iter().flatten().copied()
    }
}

/// One as the interface shows it, with the names of others as far as they are seen.
pub(crate) fn show_net(world: &World, links: &Links<'_>, row: &NetRow, sight: &mut Sight) -> NetObject {
    let children = links.to(&row.id).filter(|other| sight.net(world, other));
    let mut children: Vec<String> = children.map(|other| other.name.clone()).collect();
    children.sort_by_key(|name| natural(name));
    let mut net_name = |id: &str| {
        let found = world.networks.get(id)?;
        sight.net(world, found).then(|| found.name.clone())
    };
    let port = world.networks.get(&row.port);
    let switch = port.map_or(&row.switch, |port| &port.switch);
    let switch = net_name(switch).unwrap_or_default();
    let port = net_name(&row.port).unwrap_or_default();
    let gateways = row.gateways.iter().filter_map(|id| net_name(id)).collect();
    let vs = world.servers.get(&row.server);
    let seen_vs = vs.filter(|vs| sight.vs(&vs.row));
    let node = world.nodes.get(seen_vs.map_or(&row.node, |vs| &vs.row.node));
    let node = node.filter(|node| sight.node(&node.row));
    let own = is_own(row);
    let (mac, wwnn) = identifiers(world, row);
    let (applied, reason) = applied(world, row);
    NetObject {
        name: row.name.clone(),
        state: if applied { "applied" } else { "not applied" }.to_string(),
        reason,
        id: row.id.clone(),
        kind: row.kind.word().to_string(),
        switch,
        gateways,
        pathing: row.pathing.clone(),
        node: node.map(|node| node.row.name.clone()).unwrap_or_default(),
        nic: row.nic.clone(),
        server: seen_vs.map(|vs| vs.row.name.clone()).unwrap_or_default(),
        mac,
        wwnn,
        port,
        own,
        children,
        labels: row.labels.clone(),
        generation: row.generation,
    }
}

/// MAC and WWNN; a server's own devices have those of its row.
pub(crate) fn identifiers(world: &World, row: &NetRow) -> (String, String) {
    let vs = world.servers.get(&row.server).filter(|_| is_own(row));
    match (row.kind, vs) {
        (NetKind::Vnic, Some(vs)) => (vs.row.macs.first().cloned().unwrap_or_default(), String::new()),
        (NetKind::Vhba, Some(vs)) => (String::new(), vs.row.wwnn.clone()),
        _ => (row.mac.clone(), row.wwnn.clone()),
    }
}

/// What a change does, in words.
pub(crate) fn effects(world: &World, before: Option<&NetRow>, after: Option<&NetRow>) -> Vec<String> {
    let Some(row) = after.or(before) else { return Vec::new() };
    let name = &row.name;
    let server = || world.servers.get(&row.server).map_or(name, |vs| &vs.row.name);
    let mut told = Vec::new();
    match (before, after) {
        (None, Some(new)) => told.push(match new.kind {
            NetKind::Switch => format!("there is a virtual switch {name}"),
            NetKind::Gateway => format!(
                "the NIC {} of {} is gateway port {name} of switch {}",
                new.nic,
                name_of(world, &new.node),
                world.net_name(&new.switch)
            ),
            NetKind::Port => format!("switch {} has a port {name}", world.net_name(&new.switch)),
            NetKind::Vnic => format!("{} has another VNIC, {name}", server()),
            NetKind::Vhba => format!("{} has another VHBA, {name}", server()),
        }),
        (Some(_), None) => told.push(format!("{} {name} is gone", super::words(row.kind))),
        (Some(old), Some(new)) if old.name != new.name => {
            told.push(format!("{} is called {name}", old.name));
        }
        _ => {}
    }
    let port = |row: Option<&NetRow>| row.map(|row| row.port.clone()).unwrap_or_default();
    let (from, to) = (port(before), port(after));
    if from != to && after.is_some() {
        told.push(if to.is_empty() {
            format!("{name} leaves port {}", world.net_name(&from))
        } else {
            let switch = world.networks.get(&to).map(|port| world.net_name(&port.switch)).unwrap_or_default();
            format!("{name} goes on port {} of switch {switch}", world.net_name(&to))
        });
    }
    let gateways = |row: Option<&NetRow>| row.map(|row| row.gateways.clone()).unwrap_or_default();
    if after.is_some() && gateways(before) != gateways(after) {
        let names: Vec<String> = gateways(after).iter().map(|id| world.net_name(id)).collect();
        told.push(match names.split_first() {
            None => format!("{name} leads to no gateway port"),
            Some((first, [])) => format!("{name} leads to gateway port {first}"),
            Some((first, rest)) => {
                format!("{name} leads to gateway port {first}, then to {}", rest.join(", "))
            }
        });
    }
    if let Some(new) = after {
        // A server's own device goes on as it is, attached or not.
        let (done, why) = applied(world, new);
        if !done {
            told.push(format!("not applied: {why}"));
        }
    }
    told
}
