//! The verbs of one object, and what becomes of devices whose server changes.

use std::collections::BTreeSet;

use weft_api::{NetCreate, NetEdit, Plan};
use weft_store::{NetKind, NetRow, NewEvent};

use super::{Wanted, check_net, decide_net, is_own, lost, own_name};
use crate::core::{Core, event};
use crate::error::Error;
use crate::labels::relabelled;
use crate::pools::Sources;
use crate::servers::{check_name, invalid};
use crate::transactions::{Change, Draft, Kept, Kind};
use crate::world::World;

/// A server's own device is named after it, so its event is about the server.
pub(crate) fn net_event(world: &World, actor: &str, row: &NetRow, what: &str) -> NewEvent {
    let server = is_own(row).then(|| world.servers.get(&row.server)).flatten();
    NewEvent {
        actor: actor.to_string(),
        vs: server.map(|vs| vs.row.name.clone()).unwrap_or_default(),
        ..event(&format!("{}.{what}", row.kind.word()), "info", row.name.clone())
    }
}

/// Kinds of transactions: create, edit, delete.
const fn kinds(kind: NetKind) -> [Kind; 3] {
    match kind {
        NetKind::Switch => [Kind::SwitchCreate, Kind::SwitchEdit, Kind::SwitchDelete],
        NetKind::Port => [Kind::PortCreate, Kind::PortEdit, Kind::PortDelete],
        NetKind::Gateway => [Kind::GatewayCreate, Kind::GatewayEdit, Kind::GatewayDelete],
        NetKind::Vnic => [Kind::VnicCreate, Kind::VnicEdit, Kind::VnicDelete],
        NetKind::Vhba => [Kind::VhbaCreate, Kind::VhbaEdit, Kind::VhbaDelete],
    }
}

/// What is named; empty means that it is not.
fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_string())
}

impl Core {
    pub(crate) fn find_net(&self, kind: NetKind, name: &str) -> Result<NetRow, Error> {
        let world = self.world();
        world.net(kind, name).map(|row| row.into_owned()).map_err(|lookup| lost(lookup, kind, name))
    }

    /// Makes one: the plan, and its id where it is made.
    pub(crate) async fn net_create(
        &self,
        actor: &str,
        kind: NetKind,
        wanted: &NetCreate,
        dry: bool,
    ) -> Result<(Plan, Option<NetRow>), Error> {
        check_name(&wanted.name)?;
        let NetCreate { name, labels, switch, gateways, pathing, node, nic, server, port, pool } = wanted;
        let wish = Wanted {
            name: Some(name.clone()),
            labels: Some(labels.clone()),
            switch: named(switch),
            gateways: (!gateways.is_empty()).then(|| gateways.clone()),
            pathing: named(pathing),
            node: named(node),
            nic: named(nic),
            server: named(server),
            port: named(port),
            gateway: None,
            pool: named(pool),
        };
        let _change = self.change.lock().await;
        let decided = decide_net(self, &self.sketch(), actor, (kind, None), &wish)?;
        let id = decided.as_ref().and_then(|(change, _)| match change {
            Change::Kept(Kept::Net { after: Some(row), .. }) => Some(row.id.clone()),
            _ => None,
        });
        let sources = self.sources_of(kind, pool)?;
        let [create, _, _] = kinds(kind);
        let draft = Draft { sources, ..Draft::of(create, decided) };
        let plan = self.carry_out(actor, draft, dry).await?;
        Ok((plan, id.and_then(|id| self.world().networks.get(&id).cloned())))
    }

    fn sources_of(&self, kind: NetKind, pool: &str) -> Result<Sources, Error> {
        let world = self.world();
        match kind {
            NetKind::Vhba => world.sources("", pool),
            NetKind::Switch | NetKind::Port | NetKind::Gateway | NetKind::Vnic => world.sources(pool, ""),
        }
    }

    /// Changes one.
    pub(crate) async fn net_edit(
        &self,
        actor: &str,
        (kind, name): (NetKind, &str),
        wanted: &NetEdit,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let before = self.find_net(kind, name)?;
        let NetEdit { name, labels, generation, gateways, pathing, node, nic, port, gateway } = wanted;
        let relabel = !labels.set.is_empty() || !labels.remove.is_empty();
        if *wanted == (NetEdit { generation: *generation, ..NetEdit::default() }) {
            return Err(invalid("nothing is to change", "give a name, labels, or what it is connected to"));
        }
        if *generation > 0 && *generation != before.generation {
            return Err(Error::refused(
                409,
                "changed-meanwhile",
                format!("{} has generation {} by now, not {generation}", before.name, before.generation),
                format!("look at it again: weft {} show {}", kind.word(), before.name),
            ));
        }
        let wish = Wanted {
            name: named(name),
            labels: if relabel { Some(relabelled(&before.labels, labels)?) } else { None },
            gateways: gateways.clone(),
            pathing: named(pathing),
            node: named(node),
            nic: named(nic),
            port: port.clone(),
            gateway: named(gateway),
            ..Wanted::default()
        };
        let decided = decide_net(self, &self.sketch(), actor, (kind, Some(before)), &wish)?;
        let [_, edit, _] = kinds(kind);
        self.carry_out(actor, Draft::of(edit, decided), dry).await
    }

    /// Deletes one that nothing is on.
    pub(crate) async fn net_delete(
        &self,
        actor: &str,
        kind: NetKind,
        name: &str,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let row = self.find_net(kind, name)?;
        let told = {
            let world = self.world();
            check_net(&world, Some(&row), None)?;
            net_event(&world, actor, &row, "deleted")
        };
        let [_, _, delete] = kinds(kind);
        let change = Change::Kept(Kept::Net { before: Some(Box::new(row)), after: None });
        self.carry_out(actor, Draft::new(delete, vec![change], told), dry).await
    }
}

/// What becomes of the devices of servers that change: those of one that is deleted go with it, and its own ones are
/// called after it.
pub(crate) fn follow(world: &World, changes: &mut Vec<Change>) {
    let gone: BTreeSet<String> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Vs { before: Some(row), after: None } => Some(row.id.clone()),
            _ => None,
        })
        .collect();
    // What was to become of a device is nothing where its server goes.
    changes.retain(|change| match change {
        Change::Kept(Kept::Net { before: Some(_), after: Some(row) }) => !gone.contains(&row.server),
        _ => true,
    });
    let more = following(world, changes);
    changes.extend(more);
}

fn following(world: &World, changes: &[Change]) -> Vec<Change> {
    let decided = |row: &NetRow| {
        changes.iter().any(|change| match change {
            Change::Kept(Kept::Net { before, after }) => {
                before.iter().chain(after).any(|other| other.id == row.id)
            }
            _ => false,
        })
    };
    let mut more = Vec::new();
    for change in changes {
        let Change::Vs { before: Some(old), after } = change else { continue };
        let renamed = after.as_ref().filter(|new| new.name != old.name);
        if after.is_some() && renamed.is_none() {
            continue;
        }
        for row in world.networks.values().filter(|row| row.server == old.id && !decided(row)) {
            let next = match renamed {
                Some(new) if is_own(row) => Some(Box::new(NetRow {
                    name: own_name(&new.name),
                    generation: row.generation.saturating_add(1),
                    ..row.clone()
                })),
                Some(_) => continue,
                None => None,
            };
            more.push(Change::Kept(Kept::Net { before: Some(Box::new(row.clone())), after: next }));
        }
    }
    more
}

/// Whether a change of a device follows from one of its server in the same transaction.
pub(crate) fn follows(changes: &[Change], change: &Change) -> bool {
    let Change::Kept(Kept::Net { before: Some(row), after }) = change else { return false };
    changes.iter().any(|other| match other {
        Change::Vs { before: Some(old), after: None } => after.is_none() && old.id == row.server,
        Change::Vs { before: Some(old), after: Some(new) } => {
            let name = own_name(&new.name);
            let only = after.as_ref().is_some_and(|next| {
                **next == NetRow { name, generation: next.generation, ..(**row).clone() }
            });
            old.id == row.server && only && is_own(row)
        }
        _ => false,
    })
}
