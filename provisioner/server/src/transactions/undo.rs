//! Takes a transaction back: the fields that it changed get their earlier values, on the objects as they are now.
//!
//! ```text
//! history of N ─▶ kind allows it? ─▶ later changes of the same fields? ─▶ may the earlier state be had? ─▶ Draft
//! ```
//! What is in the way becomes a list of conflicts. Counters (generation, instance) go on upwards, so that nodes take the
//! earlier state for what it is: a newer wish.

use std::collections::BTreeSet;

use weft_api::{Conflict, Plan};
use weft_store::{ImageRow, ImageState, NewEvent, NodeRow, PartitionRow, TransactionRow, VsRow};

use super::conflicts::{conflicts, undone};
use super::diff::{Document, changed, document, document_of, is_label, name, row_of, with_fields};
use super::draft::{Change, Draft};
use super::kept;
use super::kinds::{Kind, Undo, undo_of};
use super::show::MAX_UNDOS;
use crate::core::{Core, event};
use crate::editing::check_edit;
use crate::error::Error;
use crate::moves::{check_moved_back, check_vs_move};
use crate::nodes::check_unused;
use crate::partitions::check_unspanned;
use crate::pools::Sources;
use crate::servers::start_afresh;
use crate::world::World;

/// Later changes of one object that are looked through.
const MAX_LATER: u32 = 1_000;
/// Conflicts that are told.
const MAX_CONFLICTS: usize = 20;

/// What became of the wish to take a transaction back.
pub(crate) enum Undoing {
    /// The change that does it, and what it does not give back.
    Can { draft: Draft, lost: &'static str },
    /// In a dry run: why it cannot be.
    Cannot(Plan),
}

/// One object's part of what is taken back.
pub(super) struct Part {
    kind: String,
    pub(super) id: String,
    name: String,
    /// As it is to be again; `None`: it is to go.
    pub(super) target: Option<Document>,
    /// As the transaction left it.
    left: Option<Document>,
    pub(super) fields: BTreeSet<String>,
    /// The newest that history has of it: counters go on from there.
    pub(super) newest: Option<Document>,
}

impl Part {
    fn of(row: &TransactionRow) -> Result<Self, Error> {
        let (before, after) = (document(&row.kind, &row.before)?, document(&row.kind, &row.after)?);
        Ok(Self {
            kind: row.kind.clone(),
            id: row.object.clone(),
            name: name(before.as_ref(), after.as_ref(), &row.object),
            fields: changed(&row.kind, before.as_ref(), after.as_ref()),
            newest: after.clone().or_else(|| before.clone()),
            target: before,
            left: after,
        })
    }

    fn conflict(&self, text: String) -> Conflict {
        let (kind, name) = (self.kind.clone(), self.name.clone());
        Conflict { kind, name, field: String::new(), transaction: 0, text }
    }
}

impl Core {
    /// Takes a transaction back, or says only what that would do.
    pub(crate) async fn undo(&self, actor: &str, number: u64, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        match self.decide_undo(actor, number, dry).await? {
            Undoing::Can { draft, lost } => {
                let plan = self.carry_out(actor, draft, dry).await?;
                Ok(Plan { lost: lost.to_string(), ..plan })
            }
            Undoing::Cannot(plan) => Ok(plan),
        }
    }

    /// Whether a transaction is taken back already.
    pub(crate) async fn is_undone(&self, number: u64) -> Result<bool, Error> {
        Ok(undone(&self.store.undos(number, MAX_UNDOS).await?).contains(&number))
    }

    /// What takes a transaction back. The caller holds `change`. A refusal is an error, in a dry run a plan.
    pub(crate) async fn decide_undo(&self, actor: &str, number: u64, dry: bool) -> Result<Undoing, Error> {
        let rows = self.rows_of(number).await?;
        let verb = rows.first().map(|row| row.verb.clone()).unwrap_or_default();
        let (by, lost) = match undo_of(&verb) {
            Undo::Reversible { by } => (by, ""),
            Undo::Compensable { by, lost } => (by, lost),
            Undo::Irreversible { .. } if dry => return Ok(Undoing::Cannot(irreversible(number, &verb))),
            Undo::Irreversible { why, next } => {
                let title = format!("transaction {number} ({verb}) cannot be undone: {why}");
                return Err(Error::refused(409, "irreversible", title, next));
            }
        };
        let mut found = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        // Each is set back on what those before it leave; of several kinds, what stands on others first.
        let mut world = self.sketch();
        let mut ordered: Vec<&TransactionRow> = rows.iter().collect();
        if by == Kind::Apply {
            ordered.reverse();
        }
        // Devices that went with their servers come back after them.
        ordered.sort_by_key(|row| matches!(row.kind.as_str(), "vnic" | "vhba") && row.after == "null");
        for row in ordered {
            let mut part = Part::of(row)?;
            if part.fields.is_empty() {
                continue;
            }
            found.extend(self.later_conflicts(row, &mut part).await?);
            if found.is_empty() {
                match self.set_back(&world, &part, &rows) {
                    Ok(change) => {
                        change.leave(&mut world);
                        changes.push(change);
                    }
                    Err(Error::Refused { title, next, .. }) => {
                        found.push(part.conflict(format!("{title}; {next}")))
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if found.is_empty() {
            match check_moved_back(&world, &changes) {
                Ok(()) => {}
                Err(Error::Refused { title, next, .. }) => {
                    found.push(Conflict { text: format!("{title}; {next}"), ..Conflict::default() });
                }
                Err(error) => return Err(error),
            }
        }
        if !found.is_empty() {
            found.truncate(MAX_CONFLICTS);
            return if dry {
                Ok(Undoing::Cannot(in_conflict(number, by, found)))
            } else {
                Err(refusal(number, &found))
            };
        }
        if changes.is_empty() && !dry {
            return Err(Error::refused(
                409,
                "nothing-to-undo",
                format!("transaction {number} ({verb}) changed nothing that could be set back"),
                format!("see what it changed: weft tx show {number}"),
            ));
        }
        let told = told(actor, number, &verb, &changes);
        let draft = Draft { kind: by, undoes: number, changes, told, sources: Sources::default(), job: None };
        Ok(Undoing::Can { draft, lost })
    }

    /// What came later, and whether the object still is what the transaction left.
    async fn later_conflicts(&self, row: &TransactionRow, part: &mut Part) -> Result<Vec<Conflict>, Error> {
        let later = self.store.changes_after(&row.kind, &row.object, row.number, MAX_LATER).await?;
        if later.len() >= MAX_LATER as usize {
            return Ok(vec![part.conflict(format!("{} was changed {MAX_LATER} times since", part.name))]);
        }
        if let Some(last) = later.first() {
            let (before, after) = (document(&last.kind, &last.before)?, document(&last.kind, &last.after)?);
            part.newest = after.or(before);
        }
        let found = conflicts(row, &later)?;
        if !found.is_empty() {
            return Ok(found);
        }
        let now = document_now(&self.world(), &part.kind, &part.id);
        let value = |document: &Option<Document>, field: &String| {
            document.as_ref().and_then(|document| document.get(field)).cloned()
        };
        let moved = now.is_some() != part.left.is_some()
            || part.fields.iter().any(|field| value(&now, field) != value(&part.left, field));
        let text = || format!("{} is no longer what transaction {} left", part.name, row.number);
        Ok(if moved { vec![part.conflict(text())] } else { Vec::new() })
    }

    /// The change that sets one object back, in a world that those before it leave. Refused where the earlier state cannot
    /// be had now.
    fn set_back(&self, world: &World, part: &Part, rows: &[TransactionRow]) -> Result<Change, Error> {
        match part.kind.as_str() {
            "vs" => self.set_back_vs(world, part),
            "node" => set_back_node(world, part),
            "partition" => set_back_partition(world, part),
            "image" => self.set_back_image(part, rows),
            "pool" => self.set_back_pool(part).map(Change::Kept),
            "licence" => self.set_back_licence(part).map(Change::Kept),
            "template" => kept::set_back_template(world, part).map(Change::Kept),
            "datacenter" | "mainframe" | "frame" => kept::set_back_container(world, part).map(Change::Kept),
            "switch" | "port" | "gateway" | "vnic" | "vhba" => {
                self.set_back_net(world, part).map(Change::Kept)
            }
            kind => Err(Error::refused(
                409,
                "irreversible",
                format!("a {kind} is not set back"),
                "see weft tx show",
            )),
        }
    }

    fn set_back_vs(&self, world: &World, part: &Part) -> Result<Change, Error> {
        let before = world.servers.get(&part.id).map(|entry| entry.row.clone());
        let Some(target) = &part.target else {
            if let Some(row) = &before {
                self.check_spanned(row, false)?;
            }
            return Ok(Change::Vs { before, after: None });
        };
        let mut row: VsRow = match &before {
            Some(row) => with_fields(row, target, &part.fields)?,
            None => {
                let mut row: VsRow = row_of(target.clone())?;
                if let Some(newest) = part.newest.clone() {
                    let newest: VsRow = row_of(newest)?;
                    row.generation = row.generation.max(newest.generation);
                    row.instance = row.instance.max(newest.instance);
                }
                row.started = None;
                row
            }
        };
        if let Some(now) = &before {
            check_edit(world, now, &mut row)?;
        }
        if !part.fields.iter().all(|field| is_label(field)) {
            row.generation = row.generation.saturating_add(1);
        }
        if row.running && !before.as_ref().is_some_and(|before| before.running) {
            start_afresh(&mut row);
        }
        if before.is_none() {
            self.check_return(world, &row)?;
        }
        if let Some(now) = before.as_ref().filter(|now| now.node != row.node && row.partition.is_empty()) {
            check_vs_move(world, now, &row)?;
        }
        self.check_spanned(&row, true)?;
        Ok(Change::Vs { before, after: Some(row) })
    }

    fn set_back_image(&self, part: &Part, rows: &[TransactionRow]) -> Result<Change, Error> {
        let before = self.find_image(&part.id)?;
        let missing = || Error::refused(409, "irreversible", "a published image stays", "weft image revoke");
        let target = part.target.as_ref().ok_or_else(missing)?;
        let after: ImageRow = with_fields(&before, target, &part.fields)?;
        if after.state == ImageState::Active && before.state != ImageState::Active {
            self.check_offer(&before)?;
            // Another one of this transaction is set back along with it.
            let other = |image: &&ImageRow| {
                image.state == ImageState::Active && rows.iter().all(|row| row.object != image.digest)
            };
            if let Some(other) = self.world().images.values().find(other) {
                return Err(Error::refused(
                    409,
                    "image-active",
                    format!("{} (generation {}) is active now", other.name, other.generation),
                    format!("to offer {} instead: weft image activate {}", before.name, before.digest),
                ));
            }
        }
        Ok(Change::Image { before, after })
    }
}

/// An object as the store has it now.
pub(crate) fn document_now(world: &World, kind: &str, id: &str) -> Option<Document> {
    match kind {
        "vs" => world.servers.get(id).map(|entry| document_of(&entry.row)),
        // One that is not approved is in memory only.
        "node" => world.nodes.get(id).filter(|node| node.row.approved).map(|node| document_of(&node.row)),
        "partition" => world.partitions.get(id).map(|entry| document_of(&entry.row)),
        "image" => world.images.get(id).map(document_of),
        kind => kept::document_now(world, kind, id),
    }
}

fn set_back_node(world: &World, part: &Part) -> Result<Change, Error> {
    let held = world.nodes.get(&part.id).map(|node| node.row.clone());
    let before = held.clone().filter(|row| row.approved);
    let Some(target) = &part.target else {
        check_unused(world, &part.id, &part.name)?;
        let held = held.unwrap_or_default();
        return Ok(Change::Node { held, before, after: None, forget: false });
    };
    let row: NodeRow = match &held {
        Some(row) => with_fields(row, target, &part.fields)?,
        None => {
            let mut row: NodeRow = row_of(target.clone())?;
            if let Some(newest) = part.newest.clone() {
                // An older copy of the node would pass as the node itself.
                row.boot_counter = row.boot_counter.max(row_of::<NodeRow>(newest)?.boot_counter);
            }
            row
        }
    };
    // A conflict that came while the node was not approved is in memory only.
    if row.approved && held.as_ref().is_some_and(|held| !held.approved && !held.conflict.is_empty()) {
        return Err(Error::refused(
            409,
            "node-conflict",
            format!("two machines showed the identity of {}", part.name),
            format!(
                "compare fingerprints, then: weft node approve {} --fingerprint FINGERPRINT",
                held.map(|held| held.name).unwrap_or_default()
            ),
        ));
    }
    let taken = world.nodes.values().any(|node| node.row.name == row.name && node.row.id != row.id);
    if taken {
        return Err(Error::refused(
            409,
            "taken",
            format!("another node is called {}", row.name),
            "forget that one first, or approve this one anew: weft node list",
        ));
    }
    Ok(Change::Node { held: held.unwrap_or_else(|| row.clone()), before, after: Some(row), forget: false })
}

fn set_back_partition(world: &World, part: &Part) -> Result<Change, Error> {
    let before = world.partitions.get(&part.id).map(|entry| entry.row.clone());
    match (&before, &part.target) {
        (Some(row), None) => {
            check_unspanned(world, row)?;
            Ok(Change::Partition { before, after: None })
        }
        (Some(row), Some(target)) => {
            let after: PartitionRow = with_fields(row, target, &part.fields)?;
            Ok(Change::Partition { before, after: Some(after) })
        }
        (None, _) => {
            let title = format!("{} is dissolved", part.name);
            Err(Error::refused(409, "irreversible", title, "make another: weft partition create"))
        }
    }
}

fn irreversible(number: u64, verb: &str) -> Plan {
    let undo = undo_of(verb);
    Plan {
        name: verb.to_string(),
        state: "irreversible".to_string(),
        undoes: number,
        undo: undo.word().to_string(),
        reason: undo.reason().to_string(),
        ..Plan::default()
    }
}

/// What an undo that conflicts would have been about: the conflicts, and no effects, as there will be none.
fn in_conflict(number: u64, by: Kind, found: Vec<Conflict>) -> Plan {
    Plan {
        name: by.name().to_string(),
        state: "conflict".to_string(),
        undoes: number,
        undo: by.undo().word().to_string(),
        conflicts: found,
        ..Plan::default()
    }
}

fn refusal(number: u64, found: &[Conflict]) -> Error {
    let reasons: Vec<&str> = found.iter().map(|conflict| conflict.text.as_str()).collect();
    let newest = found.iter().map(|conflict| conflict.transaction).max().unwrap_or(0);
    let next = if newest > 0 {
        format!("undo what came later first, the newest before the others: weft tx undo {newest}")
    } else {
        format!("see what is in the way: weft tx undo {number} --dry-run")
    };
    Error::refused(
        409,
        "undo-conflict",
        format!("transaction {number} is not undone: {}", reasons.join("; ")),
        next,
    )
}

/// An event for each server and node that is set back.
fn told(actor: &str, number: u64, verb: &str, changes: &[Change]) -> Vec<NewEvent> {
    let about = |vs: &str, node: &str| NewEvent {
        actor: actor.to_string(),
        vs: vs.to_string(),
        node: node.to_string(),
        ..event("transaction.undone", "info", format!("transaction {number} ({verb}) is undone"))
    };
    let of = |change: &Change| match change {
        Change::Vs { before, after } => {
            after.as_ref().or(before.as_ref()).map(|row| about(row.name.as_str(), ""))
        }
        Change::Node { held, .. } => Some(about("", held.name.as_str())),
        Change::Partition { .. } | Change::Image { .. } | Change::Kept(_) => None,
    };
    let all: Vec<NewEvent> = changes.iter().filter_map(of).collect();
    if all.is_empty() { vec![about("", "")] } else { all }
}
