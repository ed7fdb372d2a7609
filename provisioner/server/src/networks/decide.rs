//! From names to a row: the same for single verbs and for documents.

use weft_api::Labels;
use weft_store::{NetKind, NetRow, NewEvent};

use super::rules::PATHINGS;
use super::{check_net, free_port, is_own, lost, net_event, nics_of, object_kind, words};
use crate::auth::ObjectKind;
use crate::core::Core;
use crate::error::Error;
use crate::labels::check_labels;
use crate::servers::{PLACEHOLDER_MAC, check_name, invalid};
use crate::transactions::{Change, Kept};
use crate::util::{hex, random};
use crate::world::World;

/// Stands for a WWNN that is drawn when its VHBA is made.
const PLACEHOLDER_WWNN: &str = "30:57:ff:ff:ff:ff:ff:ff";

/// What is wanted of one, by names. `None`: as it is, or as a new one is where nobody says otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) name: Option<String>,
    pub(crate) labels: Option<Labels>,
    pub(crate) switch: Option<String>,
    pub(crate) gateways: Option<Vec<String>>,
    pub(crate) pathing: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) nic: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) port: Option<String>,
    /// In place of a port.
    pub(crate) gateway: Option<String>,
    /// Of identifiers.
    pub(crate) pool: Option<String>,
}

impl Wanted {
    /// Fields that are named, and the kinds that have them.
    fn fields(&self) -> [(&'static str, bool, &'static [NetKind]); 9] {
        use NetKind::{Gateway, Port, Vhba, Vnic};
        [
            ("switch", self.switch.is_some(), &[Port, Gateway]),
            ("gateways", self.gateways.is_some(), &[Port]),
            ("pathing", self.pathing.is_some(), &[Port]),
            ("node", self.node.is_some(), &[Gateway]),
            ("nic", self.nic.is_some(), &[Gateway]),
            ("server", self.server.is_some(), &[Vnic, Vhba]),
            ("port", self.port.is_some(), &[Vnic]),
            ("gateway", self.gateway.is_some(), &[Vnic]),
            ("pool", self.pool.is_some(), &[Vnic, Vhba]),
        ]
    }

    fn check_fields(&self, kind: NetKind) -> Result<(), Error> {
        let foreign = self.fields().into_iter().find(|(_, named, kinds)| *named && !kinds.contains(&kind));
        match foreign {
            Some((field, ..)) => {
                Err(invalid(format!("a {} has no {field}", words(kind)), format!("leave {field} out")))
            }
            None => Ok(()),
        }
    }
}

/// Something new must say what it is of.
fn missing(kind: NetKind, what: &str) -> Error {
    let word = kind.word();
    invalid(
        format!("it is not said which {what} the {} is of", words(kind)),
        format!("weft {word} create NAME --{what} {}", what.to_uppercase()),
    )
}

struct Resolve<'a> {
    core: &'a Core,
    world: &'a World,
}

impl Resolve<'_> {
    fn net(&self, kind: NetKind, name: &str) -> Result<NetRow, Error> {
        // One that the same document makes is not there for rights yet.
        if self.core.found(object_kind(kind), name)?.is_some() {
            self.core.allow_named_by("view", object_kind(kind), name)?;
        }
        self.world.net(kind, name).map(|row| row.into_owned()).map_err(|lookup| lost(lookup, kind, name))
    }

    fn node(&self, name: &str) -> Result<String, Error> {
        self.core.allow_named_by("view", ObjectKind::Node, name)?;
        let node = self.world.node(name).map_err(|lookup| lookup.refusal("node", name))?;
        Ok(node.row.id.clone())
    }

    fn server(&self, name: &str) -> Result<String, Error> {
        if self.core.found(ObjectKind::Vs, name)?.is_some() {
            self.core.allow_named_by("view", ObjectKind::Vs, name)?;
        }
        let vs = self.world.server(name).map_err(|lookup| lookup.refusal("virtual server", name))?;
        Ok(vs.row.id.clone())
    }

    /// The NIC of a gateway port: the one that is named, or the only one of its node.
    fn nic(&self, node: &str, named: Option<&String>) -> Result<String, Error> {
        if let Some(mac) = named {
            return Ok(mac.to_ascii_lowercase());
        }
        let Some(entry) = self.world.nodes.get(node) else { return Ok(String::new()) };
        let nics = nics_of(entry);
        match nics.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Error::refused(
                409,
                "no-such-nic",
                format!("{} reports no NIC", entry.row.name),
                "name one that it will have: --nic MAC; or wait until it has booted",
            )),
            several => Err(invalid(
                format!("{} has several NICs: {}", entry.row.name, several.join(", ")),
                format!("name one of them: --nic {}", several.first().cloned().unwrap_or_default()),
            )),
        }
    }
}

/// A new one, before anything is said of it.
fn blank(kind: NetKind) -> NetRow {
    let text = |of: NetKind, text: &str| if kind == of { text.to_string() } else { String::new() };
    NetRow {
        id: hex(&random::<16>()),
        kind,
        pathing: text(NetKind::Port, PATHINGS[0]),
        mac: text(NetKind::Vnic, PLACEHOLDER_MAC),
        wwnn: text(NetKind::Vhba, PLACEHOLDER_WWNN),
        generation: 1,
        ..NetRow::default()
    }
}

/// The row as it is wanted, each name looked up.
fn wanted_row(
    core: &Core,
    world: &World,
    kind: NetKind,
    before: Option<&NetRow>,
    wanted: &Wanted,
) -> Result<NetRow, Error> {
    wanted.check_fields(kind)?;
    let resolve = Resolve { core, world };
    let mut row = before.cloned().unwrap_or_else(|| blank(kind));
    name_and_label(&mut row, wanted)?;
    if matches!(kind, NetKind::Port | NetKind::Gateway) {
        place_on_switch(&resolve, &mut row, before, wanted)?;
    }
    if let Some(names) = &wanted.gateways {
        row.gateways = names
            .iter()
            .map(|name| resolve.net(NetKind::Gateway, name).map(|row| row.id))
            .collect::<Result<_, _>>()?;
    }
    if let Some(pathing) = wanted.pathing.as_ref().filter(|pathing| !pathing.is_empty()) {
        row.pathing.clone_from(pathing);
    }
    if kind == NetKind::Gateway {
        place_on_nic(&resolve, &mut row, before, wanted)?;
    }
    if matches!(kind, NetKind::Vnic | NetKind::Vhba) {
        give_to_server(&resolve, &mut row, before, wanted)?;
    }
    match (&wanted.port, &wanted.gateway) {
        (Some(_), Some(_)) => {
            return Err(invalid("a port and a gateway port were named", "name one of them"));
        }
        (Some(name), None) if name.is_empty() => row.port.clear(),
        (Some(name), None) => row.port = resolve.net(NetKind::Port, name)?.id,
        (None, Some(name)) => {
            let gateway = resolve.net(NetKind::Gateway, name)?;
            row.port = free_port(world, &gateway, &row.id)?.id;
        }
        (None, None) => {}
    }
    Ok(row)
}

fn name_and_label(row: &mut NetRow, wanted: &Wanted) -> Result<(), Error> {
    if let Some(name) = wanted.name.as_ref().filter(|name| **name != row.name) {
        if is_own(row) {
            return Err(Error::refused(
                409,
                "own-device",
                format!("{} is called after its virtual server", row.name),
                "rename the server: weft vs set NAME --name NEW",
            ));
        }
        check_name(name)?;
        row.name.clone_from(name);
    }
    if let Some(labels) = &wanted.labels {
        check_labels(labels)?;
        row.labels.clone_from(labels);
    }
    Ok(())
}

/// The switch of a port or gateway port, which it keeps for its life.
fn place_on_switch(
    resolve: &Resolve<'_>,
    row: &mut NetRow,
    before: Option<&NetRow>,
    wanted: &Wanted,
) -> Result<(), Error> {
    let switch = wanted.switch.as_deref().filter(|name| !name.is_empty());
    let id = switch.map(|name| resolve.net(NetKind::Switch, name)).transpose()?.map(|switch| switch.id);
    match (id, before) {
        (Some(id), Some(before)) if id != before.switch => Err(Error::refused(
            409,
            "switch-fixed",
            format!("{} is of switch {} for its life", before.name, resolve.world.net_name(&before.switch)),
            format!("make another: weft {} create NAME --switch SWITCH", row.kind.word()),
        )),
        (Some(id), _) => {
            row.switch = id;
            Ok(())
        }
        (None, Some(_)) => Ok(()),
        (None, None) => Err(missing(row.kind, "switch")),
    }
}

/// The node and NIC of a gateway port.
fn place_on_nic(
    resolve: &Resolve<'_>,
    row: &mut NetRow,
    before: Option<&NetRow>,
    wanted: &Wanted,
) -> Result<(), Error> {
    let node = wanted.node.as_deref().filter(|name| !name.is_empty());
    let nic = wanted.nic.as_ref().filter(|mac| !mac.is_empty());
    match node {
        Some(name) => {
            let node = resolve.node(name)?;
            if nic.is_some() || node != row.node {
                row.nic = resolve.nic(&node, nic)?;
            }
            row.node = node;
        }
        None if before.is_none() => return Err(missing(row.kind, "node")),
        None if nic.is_some() => row.nic = resolve.nic(&row.node, nic)?,
        None => {}
    }
    Ok(())
}

/// The server of a VNIC or VHBA, which it stays with for its life.
fn give_to_server(
    resolve: &Resolve<'_>,
    row: &mut NetRow,
    before: Option<&NetRow>,
    wanted: &Wanted,
) -> Result<(), Error> {
    let server = wanted.server.as_deref().filter(|name| !name.is_empty());
    let id = server.map(|name| resolve.server(name)).transpose()?;
    match (id, before) {
        (Some(id), Some(before)) if id != before.server => Err(Error::refused(
            409,
            "server-fixed",
            format!("{} stays with its virtual server for its life", before.name),
            format!("make another: weft {} create NAME --server SERVER", row.kind.word()),
        )),
        (Some(id), _) => {
            row.server = id;
            Ok(())
        }
        (None, Some(_)) => Ok(()),
        (None, None) => Err(missing(row.kind, "server")),
    }
}

/// What a wish does in this world; `None` where all is so already.
pub(crate) fn decide_net(
    core: &Core,
    world: &World,
    actor: &str,
    (kind, before): (NetKind, Option<NetRow>),
    wanted: &Wanted,
) -> Result<Option<(Change, NewEvent)>, Error> {
    let mut after = wanted_row(core, world, kind, before.as_ref(), wanted)?;
    if before.as_ref() == Some(&after) {
        return Ok(None);
    }
    if let Some(before) = &before {
        after.generation = before.generation.saturating_add(1);
    }
    check_net(world, before.as_ref(), Some(&after))?;
    let what = if before.is_none() { "created" } else { "changed" };
    let told = net_event(world, actor, &after, what);
    Ok(Some((Change::Kept(Kept::Net { before: before.map(Box::new), after: Some(Box::new(after)) }), told)))
}
