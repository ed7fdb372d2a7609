//! The map as a transaction left it: the rows of now, with each later change taken off, the newest first.
//!
//! History has what was wanted, not what was reported: whether a node was here, or a guest ran, it does not tell.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use weft_api::Topology;
use weft_store::{StoreError, TransactionRow};

use crate::accounts::Caller;
use crate::auth::Sight;
use crate::core::Core;
use crate::error::Error;
use crate::networks::kind_of;
use crate::partitions::PartitionEntry;
use crate::topology::topology;
use crate::transactions::row_of_history;
use crate::world::{NodeEntry, VsEntry, World};

/// Changes of objects that are taken off at most.
const MAX_BACK: u32 = 20_000;

/// An object as it was before a change; gone where it was not there.
fn set_back<R: DeserializeOwned + serde::Serialize, T>(
    all: &mut BTreeMap<String, T>,
    change: &TransactionRow,
    entry: impl Fn(R) -> T,
) -> Result<(), StoreError> {
    match row_of_history::<R>(&change.kind, &change.before)? {
        Some(row) => _ = all.insert(change.object.clone(), entry(row)),
        None => _ = all.remove(&change.object),
    }
    Ok(())
}

/// What is wanted now, and nothing that was reported.
fn rows_of_now(world: &World) -> World {
    let nodes = world.nodes.values().filter(|node| node.row.approved);
    World {
        nodes: nodes.map(|node| (node.row.id.clone(), NodeEntry::from_row(node.row.clone()))).collect(),
        servers: world
            .servers
            .iter()
            .map(|(id, vs)| (id.clone(), VsEntry::from_row(vs.row.clone())))
            .collect(),
        partitions: world
            .partitions
            .iter()
            .map(|(id, entry)| (id.clone(), PartitionEntry::from_row(entry.row.clone())))
            .collect(),
        containers: world.containers.clone(),
        networks: world.networks.clone(),
        ..World::default()
    }
}

impl Core {
    /// The map as transaction `number` left it. What the caller may not see now, it does not see then.
    pub(crate) async fn topology_at(&self, caller: &Caller, number: u64) -> Result<Topology, Error> {
        let _change = self.change.lock().await;
        let last = self.store.last_transaction().await;
        if number > last {
            return Err(Error::refused(
                404,
                "transaction-not-found",
                format!("there is no transaction {number}"),
                format!("the newest is {last}: weft tx list"),
            ));
        }
        let later = self.store.map_changes_after(number, MAX_BACK.saturating_add(1)).await?;
        if later.len() > MAX_BACK as usize {
            return Err(Error::refused(
                422,
                "too-far-back",
                format!("more than {MAX_BACK} objects were changed since transaction {number}"),
                format!("look at a later one; each change is in: weft tx show {number}"),
            ));
        }
        let mut past = rows_of_now(&self.world());
        for change in &later {
            match change.kind.as_str() {
                "node" => set_back(&mut past.nodes, change, NodeEntry::from_row)?,
                "vs" => set_back(&mut past.servers, change, VsEntry::from_row)?,
                "partition" => set_back(&mut past.partitions, change, PartitionEntry::from_row)?,
                kind if kind_of(kind).is_some() => set_back(&mut past.networks, change, |row| row)?,
                _ => set_back(&mut past.containers, change, |row| row)?,
            }
        }
        let mut sight = Sight::of(self, caller);
        {
            let now = self.world();
            past.nodes.retain(|id, _| sight.changed(&now, "node", id));
            past.servers.retain(|id, _| sight.changed(&now, "vs", id));
            past.partitions.retain(|id, _| sight.changed(&now, "partition", id));
            past.networks.retain(|id, row| sight.changed(&now, row.kind.word(), id));
            past.containers.retain(|id, row| sight.changed(&now, row.level.word(), id));
        }
        let mut shown = topology(&past, &mut sight);
        shown.transaction = number;
        shown.nodes.iter_mut().for_each(|node| node.state = "approved".to_string());
        shown.partitions.iter_mut().for_each(|partition| partition.state = "defined".to_string());
        for vs in &mut shown.servers {
            let ran = past.servers.get(&vs.id).is_some_and(|entry| entry.row.running);
            vs.state = if ran { "running" } else { "stopped" }.to_string();
        }
        Ok(shown)
    }
}
