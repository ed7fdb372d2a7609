//! Virtual servers of a document.

use weft_api::{LabelChange, Labels, VsCreate, VsEdit, VsManifest};
use weft_store::VsRow;

use super::decide::{Decided, Decision, SIZE};
use crate::auth::ObjectKind;
use crate::creation::define;
use crate::editing::{edited, keep_started, relabels};
use crate::error::Error;
use crate::moves::{check_arrives, check_leaves};
use crate::servers::{Free, start_afresh};
use crate::transactions::Change;
use crate::world::VsEntry;

/// The change that leaves exactly these labels.
fn exactly(wanted: Option<&Labels>, now: &Labels) -> LabelChange {
    let Some(wanted) = wanted else { return LabelChange::default() };
    let new = wanted.iter().filter(|(key, value)| now.get(*key) != Some(*value));
    LabelChange {
        set: new.map(|(key, value)| (key.clone(), value.clone())).collect(),
        remove: now.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect(),
    }
}

/// A thing that was chosen when the server was made and is asked to be another.
fn fixed(what: &str, is: &str) -> Error {
    Error::refused(
        409,
        "vs-fixed",
        format!("its {what} is {}, and stays so for its life", if is.is_empty() { "none" } else { is }),
        format!("leave {what} out, or copy the server"),
    )
}

impl Decision<'_> {
    pub(super) fn server(&self, wanted: &VsManifest) -> Decided {
        self.seen(ObjectKind::Vs, &wanted.name)?;
        if let Some(node) = wanted.node.as_deref().filter(|node| !node.is_empty()) {
            self.seen(ObjectKind::Node, node)?;
        }
        let partition = wanted.partition.as_deref().map(|name| self.partition_id(name)).transpose()?;
        match self.world.servers.values().find(|vs| vs.row.name == wanted.name) {
            Some(entry) => self.changed(wanted, entry, partition.as_deref()),
            None => self.made(wanted),
        }
    }

    fn made(&self, wanted: &VsManifest) -> Decided {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let create = VsCreate {
            name: wanted.name.clone(),
            node: text(&wanted.node),
            vcpus: wanted.vcpus.unwrap_or(SIZE.0),
            memory_mib: wanted.memory_mib.unwrap_or(SIZE.1),
            kernel: text(&wanted.kernel),
            initrd: text(&wanted.initrd),
            append: text(&wanted.append),
            partition: text(&wanted.partition),
            labels: wanted.labels.clone().unwrap_or_default(),
            hostname: text(&wanted.hostname),
            address: text(&wanted.address),
            gateway: text(&wanted.gateway),
            pinned: wanted.pinned.unwrap_or(false),
            affinity: text(&wanted.affinity),
            ..VsCreate::default()
        };
        let mut row = define(&self.world, &create, &Free::of(&self.world), &[])?;
        if wanted.running == Some(true) {
            start_afresh(&mut row);
        }
        let told = self.core.vs_event(self.actor, &row, "vs.created", "created");
        Ok(Some((Change::Vs { before: None, after: Some(row) }, told)))
    }

    fn changed(&self, wanted: &VsManifest, entry: &VsEntry, partition: Option<&str>) -> Decided {
        let before = &entry.row;
        if partition.is_some_and(|id| id != before.partition) {
            let now = self.world.partitions.get(&before.partition);
            return Err(fixed("partition", now.map(|entry| entry.row.name.as_str()).unwrap_or_default()));
        }
        if wanted.pinned.is_some_and(|pinned| pinned != before.pinned) {
            return Err(fixed("pinned", if before.pinned { "true" } else { "false" }));
        }
        let labels = exactly(wanted.labels.as_ref(), &before.labels);
        let edit = VsEdit {
            name: None,
            vcpus: wanted.vcpus,
            memory_mib: wanted.memory_mib,
            kernel: wanted.kernel.clone(),
            initrd: wanted.initrd.clone(),
            append: wanted.append.clone(),
            hostname: wanted.hostname.clone(),
            address: wanted.address.clone(),
            gateway: wanted.gateway.clone(),
            affinity: wanted.affinity.clone(),
            labels: labels.clone(),
        };
        let mut row = edited(&self.world, before, &edit)?;
        self.place_anew(wanted, entry, &mut row)?;
        match wanted.running {
            Some(true) if !before.running => start_afresh(&mut row),
            Some(false) if before.running => {
                row.running = false;
                keep_started(before, &mut row);
            }
            Some(_) | None => {}
        }
        if row == *before {
            return Ok(None);
        }
        let alone = VsRow { labels: before.labels.clone(), ..row.clone() } == *before;
        if !alone {
            row.generation = before.generation.saturating_add(1);
        }
        let (name, text) = match (before.running, row.running) {
            (false, true) => ("vs.start", "start"),
            (true, false) => ("vs.stop", "stop"),
            _ if alone && relabels(&labels) => ("vs.labelled", "labels are as the document says"),
            _ => ("vs.changed", "changed as the document says"),
        };
        let told = self.core.vs_event(self.actor, &row, name, text);
        Ok(Some((Change::Vs { before: Some(before.clone()), after: Some(row) }, told)))
    }

    /// Moves a stopped server where the document names another node.
    fn place_anew(&self, wanted: &VsManifest, entry: &VsEntry, row: &mut VsRow) -> Result<(), Error> {
        let Some(name) = wanted.node.as_deref().filter(|name| !name.is_empty()) else { return Ok(()) };
        let node = self.world.nodes.values().find(|node| node.row.name == name);
        let missing = || Error::not_found("node-not-found", "node", name, "weft node list");
        let node = node.ok_or_else(missing)?;
        if row.partition.is_empty() && node.row.id == row.node {
            return Ok(());
        }
        check_leaves(&self.world, entry)?;
        check_arrives(&self.world, row, node, &Free::of(&self.world))?;
        row.node.clone_from(&node.row.id);
        Ok(())
    }
}
