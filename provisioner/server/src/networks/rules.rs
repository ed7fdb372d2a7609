//! What may stand as it is: asked by changes, their dry runs, their undos, documents, and the list of targets alike.

use std::collections::BTreeSet;

use weft_store::{NetKind, NetRow};

use super::{is_own, nics_of, words};
use crate::containers::some;
use crate::error::Error;
use crate::pools::IdKind;
use crate::servers::invalid;
use crate::world::World;

/// Most of a kind, devices that servers have by themselves not counted.
const MAX_OF_KIND: usize = 16_384;
/// Gateway ports that a port leads to.
const MAX_GATEWAYS: usize = 8;
/// Devices of a kind that a server has, its own one counted.
const MAX_DEVICES: usize = 8;
/// Ways to choose among gateway ports; the first where none is named.
pub(super) const PATHINGS: [&str; 3] = ["failover", "balance", "affinity"];

fn in_use(title: String, next: String) -> Error {
    Error::refused(409, "in-use", title, next)
}

fn gone(what: &str, row: &NetRow) -> Error {
    Error::refused(
        409,
        "parent-gone",
        format!("the {what} that {} was of is gone", row.name),
        "undo that it was deleted first: weft tx list",
    )
}

fn names<'a>(rows: impl Iterator<Item = &'a NetRow>) -> Vec<String> {
    let mut names: Vec<String> = rows.map(|row| row.name.clone()).collect();
    names.sort();
    names
}

/// Whether one may stand as `after`, where it stood as `before`; also for undos.
pub(crate) fn check_net(world: &World, before: Option<&NetRow>, after: Option<&NetRow>) -> Result<(), Error> {
    let Some(row) = after else { return before.map_or(Ok(()), |row| check_unheld(world, row)) };
    let what = words(row.kind);
    if world.kept_nets(row.kind, |other| other.name == row.name && other.id != row.id).next().is_some() {
        return Err(Error::refused(
            409,
            "taken",
            format!("there is a {what} {}", row.name),
            "choose another name",
        ));
    }
    if before.is_none() && world.kept_nets(row.kind, |_| true).nth(MAX_OF_KIND.saturating_sub(1)).is_some() {
        let next = format!("delete one: weft {} list", row.kind.word());
        return Err(Error::refused(409, "too-many", format!("there are {MAX_OF_KIND} {what}s"), next));
    }
    match row.kind {
        NetKind::Switch => Ok(()),
        NetKind::Port => check_port(world, row),
        NetKind::Gateway => check_gateway(world, before, row),
        NetKind::Vnic | NetKind::Vhba => {
            check_device(world, before, row)?;
            check_plugged(world, row)
        }
    }
}

fn check_switch(world: &World, row: &NetRow) -> Result<(), Error> {
    match world.networks.get(&row.switch) {
        Some(switch) if switch.kind == NetKind::Switch => Ok(()),
        _ => Err(gone("virtual switch", row)),
    }
}

fn check_port(world: &World, row: &NetRow) -> Result<(), Error> {
    check_switch(world, row)?;
    if !PATHINGS.contains(&row.pathing.as_str()) {
        return Err(invalid(format!("there is no pathing {}", row.pathing), PATHINGS.join(", ")));
    }
    if row.gateways.len() > MAX_GATEWAYS {
        let title = format!("{} gateway ports for {}", row.gateways.len(), row.name);
        return Err(invalid(title, format!("a port leads to at most {MAX_GATEWAYS}")));
    }
    let mut seen = BTreeSet::new();
    for id in &row.gateways {
        let gateway = world.networks.get(id).filter(|other| other.kind == NetKind::Gateway);
        let Some(gateway) = gateway else { return Err(gone("gateway port", row)) };
        if !seen.insert(id) {
            return Err(invalid(
                format!("{} is named twice for {}", gateway.name, row.name),
                "name each gateway port once, the primary one first",
            ));
        }
        if gateway.switch != row.switch {
            let (other, own) = (world.net_name(&gateway.switch), world.net_name(&row.switch));
            return Err(Error::refused(
                409,
                "another-switch",
                format!(
                    "gateway port {} is of switch {other}, and port {} of switch {own}: a gateway port belongs to one switch",
                    gateway.name, row.name
                ),
                format!(
                    "name one of {own}: weft gateway list; or make one: weft gateway create NAME --switch {own} --node NODE"
                ),
            ));
        }
    }
    Ok(())
}

fn check_gateway(world: &World, before: Option<&NetRow>, row: &NetRow) -> Result<(), Error> {
    check_switch(world, row)?;
    let Some(node) = world.nodes.get(&row.node).filter(|node| node.row.approved) else {
        let name = world.nodes.get(&row.node).map_or(&row.node, |node| &node.row.name);
        return Err(Error::refused(
            409,
            "node-not-approved",
            format!("the node {name} of gateway port {} is not approved", row.name),
            "approve it first: weft node list",
        ));
    };
    let mut others =
        world.kept_nets(NetKind::Gateway, |other| other.node == row.node && other.nic == row.nic);
    if let Some(other) = others.find(|other| other.id != row.id) {
        return Err(Error::refused(
            409,
            "nic-taken",
            format!("the NIC {} of {} is gateway port {} already", row.nic, node.row.name, other.name),
            format!(
                "name another NIC: weft nic list; or delete that one first: weft gateway delete {}",
                other.name
            ),
        ));
    }
    // One whose machine lost the NIC stays, and is shown without it.
    let moved = before.is_none_or(|before| (&before.node, &before.nic) != (&row.node, &row.nic));
    let nics = nics_of(node);
    if moved && !nics.contains(&row.nic) {
        let has =
            if nics.is_empty() { "reports none".to_string() } else { format!("has {}", nics.join(", ")) };
        return Err(Error::refused(
            409,
            "no-such-nic",
            format!("{} has no NIC {}: it {has}", node.row.name, row.nic),
            "name one that it has: weft nic list",
        ));
    }
    Ok(())
}

fn check_device(world: &World, before: Option<&NetRow>, row: &NetRow) -> Result<(), Error> {
    let Some(server) = world.servers.get(&row.server) else { return Err(gone("virtual server", row)) };
    if before.is_some() {
        return Ok(());
    }
    let own = world.net_by_id(&format!("{}-{}", row.kind.word(), row.server)).is_some();
    let more = world.kept_nets(row.kind, |other| other.server == row.server && !is_own(other)).count();
    if more.saturating_add(usize::from(own)) >= MAX_DEVICES {
        return Err(Error::refused(
            409,
            "too-many",
            format!("{} has {MAX_DEVICES} {}s", server.row.name, words(row.kind)),
            format!("delete one first: weft {} list", row.kind.word()),
        ));
    }
    Ok(())
}

/// Whether the port that a VNIC is on is there, and its own.
fn check_plugged(world: &World, row: &NetRow) -> Result<(), Error> {
    if row.port.is_empty() {
        return Ok(());
    }
    let Some(port) = world.networks.get(&row.port).filter(|port| port.kind == NetKind::Port) else {
        return Err(Error::refused(
            409,
            "parent-gone",
            format!("the port that {} was on is gone", row.name),
            "undo that it was deleted first: weft tx list",
        ));
    };
    let mut others = world.kept_nets(NetKind::Vnic, |other| other.port == row.port && other.id != row.id);
    match others.next() {
        Some(other) => Err(port_taken(world, port, other)),
        None => Ok(()),
    }
}

/// A port with another VNIC.
pub(super) fn port_taken(world: &World, port: &NetRow, other: &NetRow) -> Error {
    Error::refused(
        409,
        "port-taken",
        format!("VNIC {} is on port {}, and a port takes one", other.name, port.name),
        format!(
            "take it off first: weft vnic edit {} --detach; or make another port: weft port create NAME --switch {}",
            other.name,
            world.net_name(&port.switch)
        ),
    )
}

/// Whether the identifier of one that comes back is of a pool that is still there.
pub(crate) fn check_pooled(world: &World, row: &NetRow) -> Result<(), Error> {
    let has = [(IdKind::Mac, &row.mac), (IdKind::Wwnn, &row.wwnn)];
    let lost = has
        .into_iter()
        .find(|(kind, text)| !text.is_empty() && world.identifiers.pool_of(*kind, text).is_none());
    match lost {
        Some((_, text)) => Err(Error::refused(
            409,
            "pool-gone",
            format!("{text} of {} is of no pool any more", row.name),
            "undo that its pool was deleted or its licence removed first: weft tx list",
        )),
        None => Ok(()),
    }
}

/// Whether one may go.
fn check_unheld(world: &World, row: &NetRow) -> Result<(), Error> {
    let on = |port: &str| names(world.kept_nets(NetKind::Vnic, |vnic| vnic.port == port));
    match row.kind {
        NetKind::Switch => {
            let ports: Vec<&NetRow> = world.kept_nets(NetKind::Port, |port| port.switch == row.id).collect();
            let vnics: Vec<String> = ports.iter().flat_map(|port| on(&port.id)).collect();
            if let Some(first) = vnics.first() {
                return Err(in_use(
                    format!("VNICs are on ports of virtual switch {}: {}", row.name, some(&vnics)),
                    format!("take them off first: weft vnic edit {first} --detach"),
                ));
            }
            let ports = names(ports.into_iter());
            if let Some(first) = ports.first() {
                return Err(in_use(
                    format!("virtual switch {} has ports: {}", row.name, some(&ports)),
                    format!("delete them first: weft port delete {first}"),
                ));
            }
            let gateways = names(world.kept_nets(NetKind::Gateway, |gateway| gateway.switch == row.id));
            match gateways.first() {
                Some(first) => Err(in_use(
                    format!("virtual switch {} has gateway ports: {}", row.name, some(&gateways)),
                    format!("delete them first: weft gateway delete {first}"),
                )),
                None => Ok(()),
            }
        }
        NetKind::Port => match on(&row.id).first() {
            Some(vnic) => Err(in_use(
                format!("VNIC {vnic} is on port {}", row.name),
                format!("take it off first: weft vnic edit {vnic} --detach"),
            )),
            None => Ok(()),
        },
        NetKind::Gateway => {
            let ports = names(world.kept_nets(NetKind::Port, |port| port.gateways.contains(&row.id)));
            match ports.first() {
                Some(first) => Err(in_use(
                    format!("ports lead to gateway port {}: {}", row.name, some(&ports)),
                    format!("have them lead elsewhere first: weft port edit {first} --gateways OTHER"),
                )),
                None => Ok(()),
            }
        }
        NetKind::Vnic | NetKind::Vhba if is_own(row) => {
            let server = world.servers.get(&row.server).map_or(&row.name, |vs| &vs.row.name);
            Err(in_use(
                format!("{} came with virtual server {server}, and goes with it", row.name),
                format!("delete the server: weft vs delete {server}"),
            ))
        }
        NetKind::Vnic | NetKind::Vhba => Ok(()),
    }
}

/// Ports with a VNIC on them, but for this one.
pub(crate) fn taken_ports<'a>(world: &'a World, vnic: &str) -> BTreeSet<&'a str> {
    world
        .kept_nets(NetKind::Vnic, |row| !row.port.is_empty())
        .filter(|row| row.id != vnic)
        .map(|row| row.port.as_str())
        .collect()
}

/// The first free port, by name, whose primary gateway port is this one.
pub(crate) fn free_port(world: &World, gateway: &NetRow, vnic: &str) -> Result<NetRow, Error> {
    let taken = taken_ports(world, vnic);
    let leads = |row: &NetRow| row.gateways.first() == Some(&gateway.id);
    let mut ports: Vec<&NetRow> = world.kept_nets(NetKind::Port, leads).collect();
    ports.sort_by_key(|row| crate::view::natural(&row.name));
    let all = ports.len();
    let free = ports.into_iter().find(|row| !taken.contains(row.id.as_str())).cloned();
    free.ok_or_else(|| no_free_port(world, gateway, all))
}

/// `all`: ports that lead to it first.
pub(crate) fn no_free_port(world: &World, gateway: &NetRow, all: usize) -> Error {
    let switch = world.net_name(&gateway.switch);
    let why = if all == 0 {
        format!("no port leads to gateway port {} first", gateway.name)
    } else {
        format!("each port that leads to gateway port {} first has a VNIC", gateway.name)
    };
    Error::refused(
        409,
        "no-free-port",
        why,
        format!("make one: weft port create NAME --switch {switch} --gateways {}", gateway.name),
    )
}
