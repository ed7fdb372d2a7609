//! Virtual switches, gateway ports, ports, VNICs and VHBAs of a document.

use std::collections::BTreeSet;

use weft_api::{GatewaySpec, Manifest, PortSpec, Selector, SwitchSpec, VhbaSpec, VnicSpec};
use weft_store::{NetKind, NetRow};

use super::decide::{Decided, Decision};
use crate::auth::Sight;
use crate::error::Error;
use crate::networks::{Wanted, check_net, decide_net, identity, is_own, net_event, object_kind};
use crate::partitions::name_of;
use crate::transactions::{Change, Kept};
use crate::view::natural;
use crate::world::World;

fn of_switch(one: &SwitchSpec) -> Wanted {
    Wanted { name: Some(one.name.clone()), labels: one.labels.clone(), ..Wanted::default() }
}

fn of_gateway(one: &GatewaySpec) -> Wanted {
    Wanted {
        name: Some(one.name.clone()),
        labels: one.labels.clone(),
        switch: one.switch.clone(),
        node: one.node.clone(),
        nic: one.nic.clone(),
        ..Wanted::default()
    }
}

fn of_port(one: &PortSpec) -> Wanted {
    Wanted {
        name: Some(one.name.clone()),
        labels: one.labels.clone(),
        switch: one.switch.clone(),
        gateways: one.gateways.clone(),
        pathing: one.pathing.clone(),
        ..Wanted::default()
    }
}

fn of_vnic(one: &VnicSpec) -> Wanted {
    Wanted {
        name: Some(one.name.clone()),
        labels: one.labels.clone(),
        server: one.server.clone(),
        port: one.port.clone(),
        ..Wanted::default()
    }
}

fn of_vhba(one: &VhbaSpec) -> Wanted {
    Wanted {
        name: Some(one.name.clone()),
        labels: one.labels.clone(),
        server: one.server.clone(),
        ..Wanted::default()
    }
}

/// What a document wants of a kind, where it has a list of it.
fn wanted(manifest: &Manifest, kind: NetKind) -> Option<Vec<Wanted>> {
    match kind {
        NetKind::Switch => manifest.switches.as_ref().map(|all| all.iter().map(of_switch).collect()),
        NetKind::Gateway => manifest.gateways.as_ref().map(|all| all.iter().map(of_gateway).collect()),
        NetKind::Port => manifest.ports.as_ref().map(|all| all.iter().map(of_port).collect()),
        NetKind::Vnic => manifest.vnics.as_ref().map(|all| all.iter().map(of_vnic).collect()),
        NetKind::Vhba => manifest.vhbas.as_ref().map(|all| all.iter().map(of_vhba).collect()),
    }
}

/// A name that stands twice in one of its lists, and the kind.
pub(super) fn twice(manifest: &Manifest) -> Option<(String, NetKind)> {
    NetKind::ALL.into_iter().find_map(|kind| {
        let mut seen = BTreeSet::new();
        let names = wanted(manifest, kind)?.into_iter().filter_map(|one| one.name);
        names.into_iter().find(|name| !seen.insert(name.clone())).map(|name| (name, kind))
    })
}

impl Decision<'_> {
    /// Those of some kinds, in this order.
    pub(super) fn networks(&mut self, manifest: &Manifest, kinds: &[NetKind]) -> Result<(), Error> {
        for kind in kinds {
            for one in wanted(manifest, *kind).into_iter().flatten() {
                let name = one.name.clone().unwrap_or_default();
                let decided = self.network(*kind, &name, one);
                self.take(kind.word(), &name, decided)?;
            }
        }
        Ok(())
    }

    fn network(&self, kind: NetKind, name: &str, one: Wanted) -> Decided {
        self.seen(object_kind(kind), name)?;
        let before = identity(&self.world, kind, name);
        decide_net(self.core, &self.world, self.actor, (kind, before), &one)
    }

    /// Deletes those with the labels that the document has a list for and does not name.
    pub(super) fn prune_networks(
        &mut self,
        manifest: &Manifest,
        selector: &Selector,
        sight: &mut Option<Sight>,
        kinds: &[NetKind],
    ) -> Result<(), Error> {
        for kind in kinds {
            let Some(wanted) = wanted(manifest, *kind) else { continue };
            let kept: BTreeSet<String> = wanted.into_iter().filter_map(|one| one.name).collect();
            let rows = self.world.networks.values().filter(|row| row.kind == *kind && !is_own(row));
            let gone: Vec<NetRow> = rows
                .filter(|row| selector.matches(&row.labels) && !kept.contains(&row.name))
                .filter(|row| sight.as_mut().is_none_or(|sight| sight.net(&self.world, row)))
                .cloned()
                .collect();
            for row in gone {
                let name = row.name.clone();
                let told = net_event(&self.world, self.actor, &row, "deleted");
                let decided = check_net(&self.world, Some(&row), None).map(|()| {
                    Some((Change::Kept(Kept::Net { before: Some(Box::new(row)), after: None }), told))
                });
                self.take(kind.word(), &name, decided)?;
            }
        }
        Ok(())
    }
}

/// Those of a kind that are seen, as rows.
fn rows(world: &World, sight: &mut Option<Sight>, kind: NetKind, name: &str) -> Vec<NetRow> {
    // What a server came with and nobody changed says nothing; where it is asked for by name it is told.
    let all: Vec<NetRow> = if name.is_empty() {
        world.kept_nets(kind, |_| true).cloned().collect()
    } else {
        identity(world, kind, name).into_iter().collect()
    };
    let seen = |row: &NetRow| sight.as_mut().is_none_or(|sight| sight.net(world, row));
    let mut rows: Vec<NetRow> = all.into_iter().filter(seen).collect();
    rows.sort_by_key(|row| natural(&row.name));
    rows
}

/// Adds the lists of networks to a document.
pub(super) fn export(
    world: &World,
    sight: &mut Option<Sight>,
    (wants, name): (impl Fn(&str) -> bool, &str),
    made: &mut Manifest,
) {
    let net = |id: &str| world.networks.get(id).map(|row| row.name.clone()).unwrap_or_default();
    let server = |id: &str| world.servers.get(id).map(|vs| vs.row.name.clone());
    let mut of = |list: &str, kind: NetKind| wants(list).then(|| rows(world, sight, kind, name));
    made.switches = of("switches", NetKind::Switch).map(|rows| {
        rows.into_iter().map(|row| SwitchSpec { name: row.name, labels: Some(row.labels) }).collect()
    });
    made.gateways = of("gateways", NetKind::Gateway).map(|rows| {
        let one = |row: NetRow| GatewaySpec {
            switch: Some(net(&row.switch)),
            node: Some(name_of(world, &row.node)),
            nic: Some(row.nic),
            name: row.name,
            labels: Some(row.labels),
        };
        rows.into_iter().map(one).collect()
    });
    made.ports = of("ports", NetKind::Port).map(|rows| {
        let one = |row: NetRow| PortSpec {
            switch: Some(net(&row.switch)),
            gateways: Some(row.gateways.iter().map(|id| net(id)).collect()),
            pathing: Some(row.pathing),
            name: row.name,
            labels: Some(row.labels),
        };
        rows.into_iter().map(one).collect()
    });
    made.vnics = of("vnics", NetKind::Vnic).map(|rows| {
        let one = |row: NetRow| VnicSpec {
            server: server(&row.server),
            port: Some(net(&row.port)),
            name: row.name,
            labels: Some(row.labels),
        };
        rows.into_iter().map(one).collect()
    });
    made.vhbas = of("vhbas", NetKind::Vhba).map(|rows| {
        let one =
            |row: NetRow| VhbaSpec { server: server(&row.server), name: row.name, labels: Some(row.labels) };
        rows.into_iter().map(one).collect()
    });
}
