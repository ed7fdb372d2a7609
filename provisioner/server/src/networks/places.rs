//! Switches and VNICs in the map, and where a VNIC could go.

use std::collections::HashMap;

use weft_api::{Target, Targets, TopologyGateway, TopologyPort, TopologySwitch, TopologyVnic};
use weft_store::{NetKind, NetRow};

use super::rules::{no_free_port, port_taken, taken_ports};
use super::{Links, applied, is_own};
use crate::accounts::Caller;
use crate::auth::{Object, ObjectKind, Sight};
use crate::core::Core;
use crate::error::Error;
use crate::topology::{again, target};
use crate::view::natural;
use crate::world::World;

/// Switches with their ports and gateway ports, and VNICs that are not as they came.
pub(crate) fn topology(world: &World, sight: &mut Sight) -> (Vec<TopologySwitch>, Vec<TopologyVnic>) {
    let links = Links::of(world);
    let show_vnic = |row: &NetRow| {
        let (done, reason) = applied(world, row);
        TopologyVnic {
            name: row.name.clone(),
            state: if done { "applied" } else { "not applied" }.to_string(),
            reason,
            id: row.id.clone(),
            server: row.server.clone(),
            port: row.port.clone(),
        }
    };
    let vnics = world.kept_nets(NetKind::Vnic, |row| !is_own(row) || !row.port.is_empty());
    let mut vnics: Vec<TopologyVnic> = vnics.filter(|row| sight.net(world, row)).map(show_vnic).collect();
    vnics.sort_by_key(|vnic| natural(&vnic.name));
    let mut gateways: HashMap<&str, Vec<TopologyGateway>> = HashMap::new();
    for row in world.kept_nets(NetKind::Gateway, |_| true).filter(|row| sight.net(world, row)) {
        let shown = TopologyGateway {
            name: row.name.clone(),
            id: row.id.clone(),
            node: row.node.clone(),
            nic: row.nic.clone(),
        };
        gateways.entry(row.switch.as_str()).or_default().push(shown);
    }
    let rows: Vec<&NetRow> = world.kept_nets(NetKind::Switch, |_| true).collect();
    let mut switches = Vec::new();
    for row in rows {
        if !sight.net(world, row) {
            continue;
        }
        let ports = links.to(&row.id).filter(|port| sight.net(world, port));
        let show_port = |port: &NetRow| TopologyPort {
            name: port.name.clone(),
            id: port.id.clone(),
            gateways: port.gateways.clone(),
            pathing: port.pathing.clone(),
            vnic: links.to(&port.id).next().map(|vnic| vnic.id.clone()).unwrap_or_default(),
        };
        let mut ports: Vec<TopologyPort> = ports.map(show_port).collect();
        ports.sort_by_key(|port| natural(&port.name));
        let mut gateways = gateways.remove(row.id.as_str()).unwrap_or_default();
        gateways.sort_by_key(|gateway| natural(&gateway.name));
        let (_, reason) = applied(world, row);
        switches.push(TopologySwitch {
            name: row.name.clone(),
            state: "not applied".to_string(),
            reason,
            id: row.id.clone(),
            ports,
            gateways,
        });
    }
    switches.sort_by_key(|switch| natural(&switch.name));
    (switches, vnics)
}

/// Ports, gateway ports, and no port at all.
fn targets(world: &World, sight: &mut Sight, vnic: &NetRow, may: &Result<(), Error>) -> Vec<Target> {
    let links = Links::of(world);
    let allowed = || may.as_ref().copied().map_err(again);
    let of = |kind: NetKind, sight: &mut Sight| {
        let mut rows: Vec<&NetRow> =
            world.kept_nets(kind, |_| true).filter(|row| sight.net(world, row)).collect();
        rows.sort_by_key(|row| natural(&row.name));
        rows
    };
    let mut all: Vec<Target> = of(NetKind::Port, sight)
        .into_iter()
        .map(|port| {
            let other = links.to(&port.id).find(|other| other.id != vnic.id);
            let taken = || other.map_or(Ok(()), |other| Err(port_taken(world, port, other)));
            target("port", (&port.name, &port.id), vnic.port == port.id, allowed().and_then(|()| taken()))
        })
        .collect();
    let taken = taken_ports(world, &vnic.id);
    // Of each gateway port: ports that lead to it first, and whether one is free.
    let mut ports: HashMap<&str, (usize, bool)> = HashMap::new();
    for port in world.kept_nets(NetKind::Port, |_| true) {
        let Some(first) = port.gateways.first() else { continue };
        let (all, free) = ports.entry(first.as_str()).or_default();
        *all = all.saturating_add(1);
        *free |= !taken.contains(port.id.as_str());
    }
    all.extend(of(NetKind::Gateway, sight).into_iter().map(|gateway| {
        let on = world.networks.get(&vnic.port);
        let here = on.is_some_and(|port| port.gateways.first() == Some(&gateway.id));
        let free = || match ports.get(gateway.id.as_str()) {
            Some((_, true)) => Ok(()),
            found => Err(no_free_port(world, gateway, found.map_or(0, |(all, _)| *all))),
        };
        target("gateway", (&gateway.name, &gateway.id), here, allowed().and_then(|()| free()))
    }));
    all.push(target("none", ("none", ""), vnic.port.is_empty(), allowed()));
    all
}

impl Core {
    /// Where a VNIC could go.
    pub(crate) fn port_targets(&self, caller: &Caller, name: &str) -> Result<Targets, Error> {
        self.allow_named(caller, "view", ObjectKind::Vnic, name)?;
        let row = self.find_net(NetKind::Vnic, name)?;
        let object =
            Object { labels: Some(&row.labels), ..Object::new(ObjectKind::Vnic, &row.id, &row.name) };
        let may = self.allow(caller, "edit", &object);
        let mut sight = Sight::of(self, caller);
        let targets = targets(&self.world(), &mut sight, &row, &may);
        Ok(Targets { kind: "vnic".to_string(), name: row.name.clone(), id: row.id.clone(), targets })
    }
}
