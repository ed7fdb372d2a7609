//! Virtual switches with their ports and gateway ports, VNICs and VHBAs of virtual servers, and NICs of nodes.
//!
//! ```text
//! virtual server ─ VNIC ─▶ port of a switch ─▶ gateway ports, the primary one first ─▶ a NIC of a node each
//! ```
//! Nodes have no virtual switch and no storage yet: all of it is kept and none of it is told to them, and [`show`] says so of
//! each. What nodes do is what they did before there were these objects: each server has one VNIC, bridged to the appliance's
//! network, and a WWNN that is reserved. Those two are the server's own. They have a row of their own only once they were
//! changed; until then they are read from the server's.

mod change;
mod decide;
mod places;
mod rules;
mod show;

use std::borrow::Cow;
use std::collections::HashMap;

use weft_api::NodeNic;
use weft_store::{NetKind, NetRow, VsRow};
use weft_wire::agent::NicReport;

use crate::auth::ObjectKind;
use crate::error::Error;
use crate::util::mac_text;
use crate::view::address;
use crate::world::{Lookup, NodeEntry, World};

pub(crate) use change::{follow, follows, net_event};
pub(crate) use decide::{Wanted, decide_net};
pub(crate) use places::topology;
pub(crate) use rules::{check_net, check_pooled, free_port};
pub(crate) use show::{Links, applied, effects, show_net};

/// As people read it.
pub(crate) const fn words(kind: NetKind) -> &'static str {
    object_kind(kind).words()
}

/// As rights call it.
pub(crate) const fn object_kind(kind: NetKind) -> ObjectKind {
    match kind {
        NetKind::Switch => ObjectKind::Switch,
        NetKind::Port => ObjectKind::Port,
        NetKind::Gateway => ObjectKind::Gateway,
        NetKind::Vnic => ObjectKind::Vnic,
        NetKind::Vhba => ObjectKind::Vhba,
    }
}

/// By its word.
pub(crate) fn kind_of(word: &str) -> Option<NetKind> {
    NetKind::ALL.into_iter().find(|kind| kind.word() == word)
}

/// What separates the name of a server from the number of its own device: no name that people give has it.
const OWN: &str = ".0";

/// Whether it came with its server and goes with it.
pub(crate) fn is_own(row: &NetRow) -> bool {
    row.id.contains('-')
}

/// What a server has by itself, as it is until it is changed. A server from before there were WWNNs has no VHBA.
fn own_row(kind: NetKind, vs: &VsRow) -> Option<NetRow> {
    let has = match kind {
        NetKind::Vnic => !vs.macs.is_empty(),
        NetKind::Vhba => !vs.wwnn.is_empty(),
        NetKind::Switch | NetKind::Port | NetKind::Gateway => false,
    };
    // Its identifier stays in the server's row, so that it is never in two places.
    has.then(|| NetRow {
        id: own_id(kind, &vs.id),
        kind,
        name: own_name(&vs.name),
        server: vs.id.clone(),
        generation: 1,
        ..NetRow::default()
    })
}

fn own_id(kind: NetKind, server: &str) -> String {
    format!("{}-{server}", kind.word())
}

/// What the devices of a server are called that came with it.
pub(crate) fn own_name(server: &str) -> String {
    format!("{server}{OWN}")
}

impl World {
    /// All of a kind, those of servers too that have no row of their own.
    pub(crate) fn nets(&self, kind: NetKind) -> impl Iterator<Item = Cow<'_, NetRow>> {
        let kept = self.networks.values().filter(move |row| row.kind == kind).map(Cow::Borrowed);
        let own = self.servers.values().filter_map(move |vs| {
            (!self.networks.contains_key(&own_id(kind, &vs.row.id))).then(|| own_row(kind, &vs.row))?
        });
        kept.chain(own.map(Cow::Owned))
    }

    /// Kept or a server's own, by id.
    pub(crate) fn net_by_id(&self, id: &str) -> Option<Cow<'_, NetRow>> {
        if let Some(row) = self.networks.get(id) {
            return Some(Cow::Borrowed(row));
        }
        let (word, server) = id.split_once('-')?;
        own_row(kind_of(word)?, &self.servers.get(server)?.row).map(Cow::Owned)
    }

    /// One of a kind by name, id, or unique prefix of its id.
    pub(crate) fn net(&self, kind: NetKind, name: &str) -> Result<Cow<'_, NetRow>, Lookup> {
        let kept = || self.networks.values().filter(|row| row.kind == kind);
        if let Some(row) = kept().find(|row| row.name == name) {
            return Ok(Cow::Borrowed(row));
        }
        if let Some(row) = self.net_by_id(name).filter(|row| row.kind == kind) {
            return Ok(row);
        }
        if let Some(server) = name.strip_suffix(OWN)
            && let Some(vs) = self.servers.values().find(|vs| vs.row.name == server)
            && let Some(row) = own_row(kind, &vs.row)
        {
            return Ok(Cow::Owned(row));
        }
        crate::world::unique(kept().filter(|row| crate::world::prefix(&row.id, name))).map(Cow::Borrowed)
    }

    /// The name of one; its id where it is gone.
    pub(crate) fn net_name(&self, id: &str) -> String {
        self.net_by_id(id).map_or_else(|| id.to_string(), |row| row.name.clone())
    }

    /// Those of a kind of which something holds.
    pub(crate) fn kept_nets<'a>(
        &'a self,
        kind: NetKind,
        holds: impl Fn(&NetRow) -> bool + 'a,
    ) -> impl Iterator<Item = &'a NetRow> {
        self.networks.values().filter(move |row| row.kind == kind && holds(row))
    }
}

/// The one of this name; ids and their beginnings are no names here.
pub(crate) fn identity(world: &World, kind: NetKind, name: &str) -> Option<NetRow> {
    world.net(kind, name).ok().filter(|row| row.name == name).map(Cow::into_owned)
}

/// One that a name does not lead to.
pub(crate) fn lost(lookup: Lookup, kind: NetKind, name: &str) -> Error {
    match lookup {
        Lookup::Missing => crate::auth::not_found(object_kind(kind), name),
        Lookup::Ambiguous => Error::ambiguous(words(kind), name),
    }
}

/// MACs of the NICs that a node reports.
pub(crate) fn nics_of(node: &NodeEntry) -> Vec<String> {
    let nics = node.report.iter().flat_map(|report| &report.inventory.nics);
    nics.map(|nic| mac_text(&nic.mac)).collect()
}

/// The gateway port that each NIC is, by node and MAC.
pub(crate) type Gateways<'a> = HashMap<(&'a str, &'a str), &'a NetRow>;

pub(crate) fn gateways(world: &World) -> Gateways<'_> {
    let rows = world.networks.values().filter(|row| row.kind == NetKind::Gateway);
    rows.map(|row| ((row.node.as_str(), row.nic.as_str()), row)).collect()
}

/// NICs of a node as the interface shows them, with gateway ports as far as they are `seen`.
pub(crate) fn show_nics(
    gateways: &Gateways<'_>,
    node: &NodeEntry,
    mut seen: impl FnMut(&NetRow) -> bool,
) -> Vec<NodeNic> {
    let show = |nic: &NicReport| {
        let mac = mac_text(&nic.mac);
        let gateway = gateways.get(&(node.row.id.as_str(), mac.as_str())).filter(|row| seen(row));
        NodeNic {
            name: format!("{}/{mac}", node.row.name),
            state: if nic.link_up { "up" } else { "no link" }.to_string(),
            node: node.row.name.clone(),
            driver: nic.driver.clone(),
            pci_id: format!("{:04x}:{:04x}", nic.pci_id.0, nic.pci_id.1),
            address: address(nic.address),
            gateway: gateway.map(|row| row.name.clone()).unwrap_or_default(),
            bridged: node.row.mac == mac,
            mac,
        }
    };
    node.report.iter().flat_map(|report| &report.inventory.nics).map(show).collect()
}
