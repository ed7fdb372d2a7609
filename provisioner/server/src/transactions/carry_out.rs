//! Makes a decided change: store, then memory, then nodes. The caller holds `change` since it decided.

use std::collections::{BTreeMap, BTreeSet};

use weft_api::Plan;
use weft_store::{Batch, ImageState, NodeRow, PartitionRow, VsRow};
use weft_wire::cluster::ClusterPayload;

use super::draft::{Change, Draft};
use super::kept::Kept;
use super::kinds::Kind;
use crate::auth::asking;
use crate::core::Core;
use crate::drift::Hold;
use crate::error::Error;
use crate::moves::both_nodes;
use crate::partitions::PartitionEntry;
use crate::pools::DrawnId;
use crate::world::{Ask, NodeEntry, VsEntry, World};

/// What must be had before a change is written.
#[derive(Default)]
struct Prepared {
    /// Next configurations of partitions whose servers change: before and after.
    configured: Vec<(PartitionRow, PartitionRow)>,
    /// Signed farewells to members of partitions that are dissolved.
    farewells: Vec<(PartitionRow, Vec<u8>)>,
    /// Identifiers of new servers.
    drawn: Vec<DrawnId>,
}

impl Core {
    /// Makes a change, or says only what it would do. A change that alters nothing is not written.
    pub(crate) async fn carry_out(&self, actor: &str, mut draft: Draft, dry: bool) -> Result<Plan, Error> {
        if let Some(expected) = asking::expected() {
            self.check_version(&expected).await?;
        }
        crate::networks::follow(&self.world(), &mut draft.changes);
        let mut plan = draft.plan(&self.world());
        if draft.changes.len() > 1 || draft.kind == Kind::Apply {
            self.check_together(&draft)?;
        }
        self.allow_draft(&draft)?;
        if draft.drawing() != [0, 0] {
            self.world().identifiers.check_room(&draft.sources, draft.drawing())?;
        }
        if dry {
            return Ok(plan);
        }
        if draft.changes.is_empty() {
            // Their files may not have been read when it was done.
            if matches!(draft.kind, Kind::ImageActivate | Kind::ImageRevoke) {
                self.load_boot_files()?;
            }
            return Ok(plan);
        }
        plan.transaction = self.make(actor, draft).await?.unwrap_or(0);
        plan.state = "done".to_string();
        Ok(plan)
    }

    /// What each object was checked for alone, for all of them at once: the next configurations of partitions.
    fn check_together(&self, draft: &Draft) -> Result<(), Error> {
        for id in draft.spanned() {
            let (changed, deleted) = draft.servers_of(&id);
            self.checked_config(&self.find_partition(&id)?.row, &changed, &deleted)?;
        }
        for row in draft.founded() {
            self.checked_config(row, &draft.servers_of(&row.id).0, &[])?;
        }
        Ok(())
    }

    async fn make(&self, actor: &str, mut draft: Draft) -> Result<Option<u64>, Error> {
        let prepared = self.prepare(&mut draft).await?;
        let number = self.commit(batch(actor, &draft, &prepared)).await?;
        {
            let mut world = self.world();
            for (_, next) in &prepared.configured {
                if let Some(entry) = world.partitions.get_mut(&next.id) {
                    // A vote may have been stored in between only under the lock that this change holds.
                    entry.row = next.clone();
                }
            }
        }
        draft.changes.iter().for_each(|change| self.remember(change));
        let offers = |change: &Change| match change {
            Change::Image { .. } => true,
            Change::Node { before, after, .. } => {
                let image = |row: &Option<NodeRow>| row.as_ref().map(|row| row.image.clone());
                image(before).unwrap_or_default() != image(after).unwrap_or_default()
            }
            Change::Vs { .. } | Change::Partition { .. } | Change::Kept(_) => false,
        };
        let images = draft.changes.iter().any(offers);
        let loaded = if images { self.load_boot_files() } else { Ok(()) };
        // What is done is done, also where a file cannot be read: nodes hear of it.
        self.push_changes(&draft, &prepared);
        loaded.map(|()| number)
    }

    /// Draws identifiers, and signs what members of partitions are to hear.
    async fn prepare(&self, draft: &mut Draft) -> Result<Prepared, Error> {
        let mut prepared = Prepared::default();
        let draws = draft.draws();
        let sources = draft.sources.clone();
        for change in &mut draft.changes {
            match change {
                Change::Vs { before: None, after: Some(row) } if draws => {
                    prepared.drawn.extend(self.world().identifiers.draw(&sources, row)?);
                }
                Change::Kept(Kept::Net { before: None, after: Some(row) }) if draws => {
                    prepared.drawn.extend(self.world().identifiers.draw_net(&sources, row)?);
                }
                _ => {}
            }
        }
        let servers: BTreeMap<String, Vec<VsRow>> =
            draft.founded().map(|row| (row.id.clone(), draft.servers_of(&row.id).0)).collect();
        for change in &mut draft.changes {
            match change {
                Change::Partition { after: Some(row), .. } => {
                    let servers = servers.get(&row.id).map(Vec::as_slice).unwrap_or_default();
                    *row = self.next_config(row, servers, &[]).await?;
                }
                Change::Partition { before: Some(row), after: None } => {
                    let (_, record) = self.sign_cluster(&row.id, &ClusterPayload::Dissolved).await?;
                    prepared.farewells.push((row.clone(), record));
                }
                Change::Vs { .. }
                | Change::Partition { .. }
                | Change::Node { .. }
                | Change::Image { .. }
                | Change::Kept(_) => {}
            }
        }
        for id in draft.spanned() {
            let before = self.find_partition(&id)?.row;
            let (changed, deleted) = draft.servers_of(&id);
            let next = self.next_config(&before, &changed, &deleted).await?;
            prepared.configured.push((before, next));
        }
        Ok(prepared)
    }

    /// Brings memory to what is written.
    fn remember(&self, change: &Change) {
        match change {
            Change::Vs { after: Some(row), .. } => {
                let mut world = self.world();
                let entry =
                    world.servers.entry(row.id.clone()).or_insert_with(|| VsEntry::from_row(row.clone()));
                let moved = entry.row.node != row.node && row.partition.is_empty();
                entry.row = row.clone();
                if let Some(ahead) = entry.ahead.take_if(|ahead| ahead.instance <= row.instance) {
                    entry.status = Some(ahead);
                }
                if moved {
                    // What its earlier node said is not of this one.
                    entry.status = None;
                    entry.ahead = None;
                }
                if row.partition.is_empty() {
                    recall(&mut world, row);
                }
            }
            Change::Vs { before: Some(row), after: None } => {
                self.world().servers.remove(&row.id);
                self.consoles.forget(&row.id);
                self.history.forget_vs(&row.id);
            }
            Change::Vs { before: None, after: None } => {}
            Change::Node { held, after, forget, .. } => self.remember_node(&held.id, after.as_ref(), *forget),
            Change::Partition { before, after } => {
                let mut world = self.world();
                match (before, after) {
                    (_, Some(row)) => {
                        world.partitions.insert(row.id.clone(), PartitionEntry::from_row(row.clone()));
                    }
                    (Some(row), None) => {
                        world.partitions.remove(&row.id);
                    }
                    (None, None) => {}
                }
            }
            Change::Image { after, .. } => {
                self.world().images.insert(after.digest.clone(), after.clone());
            }
            Change::Kept(kept) => kept.remember(&mut self.world()),
        }
    }

    fn remember_node(&self, id: &str, after: Option<&NodeRow>, forget: bool) {
        let mut world = self.world();
        match after {
            Some(row) => {
                let entry =
                    world.nodes.entry(id.to_string()).or_insert_with(|| NodeEntry::from_row(row.clone()));
                if !entry.row.approved {
                    entry.log.iter().for_each(|line| self.history.line(id, line));
                }
                if row.approved && std::mem::take(&mut entry.beyond) {
                    // It knows more than this store, and is told nothing before it was listened to: it comes back at once, or
                    // says more on the connection that it has.
                    entry.hold = Hold::of(true);
                    if let Some(live) = &entry.live {
                        let _ = live.asks.try_send(Ask::Close(None));
                    }
                }
                entry.row = row.clone();
            }
            None => {
                self.history.forget_node(id);
                if forget {
                    world.bmcs.remove(id);
                    let live = world.nodes.remove(id).and_then(|node| node.live);
                    if let Some(live) = live {
                        let _ = live.asks.try_send(Ask::Close(None));
                    }
                } else if let Some(entry) = world.nodes.get_mut(id) {
                    entry.row.approved = false;
                    entry.row.approved_boot_only = false;
                    entry.row.conflict.clear();
                    entry.row.frame.clear();
                }
            }
        }
    }

    /// Lets nodes know, each once.
    fn push_changes(&self, draft: &Draft, prepared: &Prepared) {
        if !draft.kind.told_to_nodes() {
            return;
        }
        for (_, next) in &prepared.configured {
            self.push_partition(next);
        }
        for (row, record) in &prepared.farewells {
            row.members.iter().for_each(|id| self.send_cluster(id, record.clone()));
        }
        let mut nodes = BTreeSet::new();
        for change in draft.changes.iter().filter(|change| draft.tells(change)) {
            match change {
                Change::Vs { before, after } => {
                    nodes.extend(both_nodes(before.as_ref(), after.as_ref()));
                }
                Change::Node { held, .. } => _ = nodes.insert(&held.id),
                Change::Partition { after: Some(row), .. } => self.push_partition(row),
                Change::Partition { after: None, .. } | Change::Kept(_) => {}
                // Nodes judge what they run by their standing; what is offered to others is not their affair.
                Change::Image { after, .. } => {
                    if after.state == ImageState::Revoked {
                        self.push_all();
                    }
                }
            }
        }
        nodes.into_iter().for_each(|id| self.push(id));
    }
}

fn batch(actor: &str, draft: &Draft, prepared: &Prepared) -> Batch {
    let mut batch = draft.told.iter().cloned().fold(draft.kind.batch(actor), Batch::event);
    if draft.undoes > 0 {
        batch = batch.because(format!("undo of {}", draft.undoes)).undoing(draft.undoes);
    }
    if let Some(job) = &draft.job {
        let what = if draft.undoes > 0 { format!(": undo of {}", draft.undoes) } else { String::new() };
        batch = batch.because(format!("job {}{what}", job.number)).put_job((**job).clone());
    }
    for change in &draft.changes {
        if let Change::Node { held, forget: true, .. } = change {
            batch = batch.drop_bmc(&held.id);
        }
        batch = match change {
            Change::Vs { before, after: Some(row) } => batch.put_vs(before.as_ref(), row),
            Change::Vs { before: Some(row), after: None } => batch.delete_vs(row),
            Change::Node { before, after: Some(row), .. } => batch.put_node(before.as_ref(), row),
            Change::Node { before: Some(row), after: None, .. } => batch.delete_node(row),
            Change::Partition { before, after: Some(row) } => batch.put_partition(before.as_ref(), row),
            Change::Partition { before: Some(row), after: None } => batch.delete_partition(row),
            Change::Image { before, after } => batch.put_image(Some(before), after),
            Change::Kept(kept) => kept.put(batch),
            // A node that waits in memory only has no row.
            Change::Vs { before: None, after: None }
            | Change::Node { before: None, after: None, .. }
            | Change::Partition { before: None, after: None } => batch,
        };
    }
    for DrawnId { kind, n, vs } in &prepared.drawn {
        batch = batch.draw(kind.word(), *n, vs);
    }
    for (before, next) in &prepared.configured {
        batch = batch.put_partition(Some(before), next);
    }
    batch
}

impl Draft {
    fn servers(&self) -> impl Iterator<Item = (Option<&VsRow>, Option<&VsRow>)> {
        self.changes.iter().filter_map(|change| match change {
            Change::Vs { before, after } => Some((before.as_ref(), after.as_ref())),
            Change::Node { .. } | Change::Partition { .. } | Change::Image { .. } | Change::Kept(_) => None,
        })
    }

    /// Partitions whose members are to hear of a server that changes, each once.
    fn spanned(&self) -> Vec<String> {
        if !self.kind.told_to_nodes() {
            return Vec::new();
        }
        let told = self.changes.iter().filter(|change| self.tells(change));
        let rows = told.filter_map(|change| match change {
            Change::Vs { before, after } => after.as_ref().or(before.as_ref()),
            Change::Node { .. } | Change::Partition { .. } | Change::Image { .. } | Change::Kept(_) => None,
        });
        // One that is made or dissolved along with them is told of them by that.
        let own = |id: &String| {
            self.changes.iter().any(|change| match change {
                Change::Partition { before, after } => {
                    before.iter().chain(after).any(|partition| partition.id == *id)
                }
                Change::Vs { .. } | Change::Node { .. } | Change::Image { .. } | Change::Kept(_) => false,
            })
        };
        let mut ids: Vec<String> = rows
            .map(|row| row.partition.clone())
            .filter(|partition| !partition.is_empty() && !own(partition))
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Partitions that are there afterwards and change themselves.
    fn founded(&self) -> impl Iterator<Item = &PartitionRow> {
        self.changes.iter().filter_map(|change| match change {
            Change::Partition { after, .. } => after.as_ref(),
            Change::Vs { .. } | Change::Node { .. } | Change::Image { .. } | Change::Kept(_) => None,
        })
    }

    /// Servers of a partition that change, and the ids of those that are deleted.
    fn servers_of(&self, partition: &str) -> (Vec<VsRow>, Vec<String>) {
        let of = |row: &&VsRow| row.partition == partition;
        let changed = self.servers().filter_map(|(_, after)| after).filter(of).cloned();
        let deleted = self.servers().filter(|(_, after)| after.is_none()).filter_map(|(before, _)| before);
        (changed.collect(), deleted.filter(of).map(|row| row.id.clone()).collect())
    }
}

/// What a node said of a server that the store did not have is of the one that it has again.
fn recall(world: &mut World, row: &VsRow) {
    let said = world.nodes.get_mut(&row.node).and_then(|node| node.strangers.remove(&row.id));
    let (Some(said), Some(entry)) = (said, world.servers.get_mut(&row.id)) else { return };
    if said.instance > row.instance {
        entry.ahead = Some(said);
    } else {
        entry.status = Some(said);
    }
}
