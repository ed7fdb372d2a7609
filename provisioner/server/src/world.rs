//! What the appliance knows now, in memory: rows of the store and, beside each, what is live.
//!
//! The store is the truth for what must last; this is written after it. Readers take the lock for a
//! moment and never across an await.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use weft_api::LogEntry;
use weft_store::{BmcRow, ContainerRow, ImageRow, NetRow, NodeRow, TemplateRow, VsRow};
use weft_wire::agent::{BootKind, BootReport, Heartbeat, Inventory, ToNode, VsStatus};

use weft_wire::cluster::ClusterReport;

use crate::boot_files::BootFiles;
use crate::drift::Hold;
use crate::error::Error;
use crate::jobs::JobEntry;
use crate::partitions::PartitionEntry;
use crate::pools::Identifiers;
use crate::span::MemberFigures;

/// Log lines kept for each node.
pub(crate) const LOG_LINES: usize = 1000;
/// Nodes that wait for approval, at most.
pub(crate) const MAX_UNAPPROVED: usize = 1024;

/// What a node said of itself at its last `Hello`; stands in `NodeRow::report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Drawn by the node for its boot.
    pub(crate) boot_nonce: [u8; 16],
    /// How it booted.
    pub(crate) boot: BootReport,
    /// What it has.
    pub(crate) inventory: Inventory,
    /// Boot stages with their times.
    #[serde(default)]
    pub(crate) stages: Vec<weft_api::BootStage>,
}

impl Report {
    pub(crate) fn of(row: &NodeRow) -> Option<Self> {
        serde_json::from_value(row.report.clone()).ok()
    }

    /// UEFI with Secure Boot and a kept key.
    pub(crate) fn trusted(&self, boot_counter: u64) -> bool {
        self.boot.path == BootKind::Uefi && self.boot.secure_boot && boot_counter > 0
    }
}

/// What a session is asked to do.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Send a message.
    Send(ToNode),
    /// Sign and send standing and configuration anew.
    Push,
    /// End, after this message where there is one.
    Close(Option<ToNode>),
}

/// A live session.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// Grows with each session of this process.
    pub(crate) session: u64,
    pub(crate) asks: mpsc::Sender<Ask>,
    /// When it last said anything.
    pub(crate) heard: Instant,
}

/// A node: its row and what is live.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeEntry {
    pub(crate) row: NodeRow,
    pub(crate) report: Option<Report>,
    pub(crate) live: Option<Live>,
    /// The last session ended without being asked to.
    pub(crate) lost: bool,
    pub(crate) beat: Heartbeat,
    pub(crate) last_seen: String,
    pub(crate) log: VecDeque<LogEntry>,
    /// Why the last record was refused, empty where it was applied.
    pub(crate) refused: String,
    /// Which of its configurations it has taken.
    pub(crate) taken: Taken,
    /// Whether it is told what is wanted of it.
    pub(crate) hold: Hold,
    /// What it says of servers that the store does not have on it.
    pub(crate) strangers: BTreeMap<String, VsStatus>,
    /// What it says of a partition that the store does not have.
    pub(crate) foreign: Option<Box<ClusterReport>>,
    /// The last record that it said it had taken when it came: epoch and counter.
    pub(crate) knew: (u64, u64),
    /// While it waits for approval: that record is later than any that this store has numbered for it.
    pub(crate) beyond: bool,
}

/// Records whose answer is remembered at once; a node answers in their order.
const ANSWERS: usize = 16;

/// What a node is to be told, and what of it it has taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// Changes that it was to hear of since the appliance started.
    wanted: u64,
    /// Configurations on their way: number of the record, and the changes that it covers.
    sent: VecDeque<((u64, u64), u64)>,
    /// Changes up to which it has taken all; `None`: nothing in this session.
    taken: Option<u64>,
}

impl Taken {
    /// One more change that it is to hear of.
    pub(crate) fn want(&mut self) {
        self.wanted = self.wanted.saturating_add(1);
    }

    /// The changes that a configuration made now covers.
    pub(crate) fn covers(&self) -> u64 {
        self.wanted
    }

    pub(crate) fn sent(&mut self, record: (u64, u64), covers: u64) {
        if self.sent.len() >= ANSWERS {
            self.sent.pop_front();
        }
        self.sent.push_back((record, covers));
    }

    /// The node took a record.
    pub(crate) fn answered(&mut self, record: (u64, u64)) {
        let Some(at) = self.sent.iter().position(|(sent, _)| *sent == record) else { return };
        self.taken = self.sent.drain(..=at).next_back().map(|(_, covers)| covers);
    }

    /// A new session: what it took in an earlier one it may have lost.
    pub(crate) fn anew(&mut self) {
        self.sent.clear();
        self.taken = None;
    }

    /// It has taken nothing in this session.
    pub(crate) fn nothing(&self) -> bool {
        self.taken.is_none()
    }

    /// It has taken all that it was to hear of.
    pub(crate) fn all(&self) -> bool {
        self.taken.is_some_and(|taken| taken >= self.wanted)
    }
}

impl NodeEntry {
    pub(crate) fn from_row(row: NodeRow) -> Self {
        Self { report: Report::of(&row), last_seen: row.last_seen.clone(), row, ..Self::default() }
    }

    /// Name of its state, as the interface says it.
    pub(crate) fn state(&self) -> &'static str {
        if !self.row.conflict.is_empty() {
            "conflict"
        } else if !self.row.approved {
            "quarantined"
        } else if self.live.is_some() {
            "ready"
        } else if self.lost {
            "lost"
        } else {
            "approved"
        }
    }

    /// Id of the frame that it stands in, empty for the free pool. What waits for approval stands nowhere.
    pub(crate) fn frame(&self) -> &str {
        if self.row.approved { &self.row.frame } else { "" }
    }

    /// Records go to it.
    pub(crate) fn trusted_with_records(&self) -> bool {
        self.row.approved && self.row.conflict.is_empty()
    }
}

/// A virtual server: its row and what its node last said.
#[derive(Clone, Debug, Default)]
pub(crate) struct VsEntry {
    pub(crate) row: VsRow,
    pub(crate) status: Option<VsStatus>,
    /// What its node last said of a start that is later than any that was wanted here.
    pub(crate) ahead: Option<VsStatus>,
    /// Of a server that spans nodes: what each of them said of its part. `status` is that of the whole.
    pub(crate) parts: BTreeMap<String, VsStatus>,
    /// Likewise, its figures.
    pub(crate) figures: BTreeMap<String, MemberFigures>,
}

impl VsEntry {
    pub(crate) fn from_row(row: VsRow) -> Self {
        Self { row, ..Self::default() }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<String, NodeEntry>,
    pub(crate) servers: BTreeMap<String, VsEntry>,
    pub(crate) partitions: BTreeMap<String, PartitionEntry>,
    /// Data centers, virtual mainframes, frames.
    pub(crate) containers: BTreeMap<String, ContainerRow>,
    /// Virtual switches and what is on them, as far as they have rows ([`crate::networks`]).
    pub(crate) networks: BTreeMap<String, NetRow>,
    /// Management controllers by node id.
    pub(crate) bmcs: BTreeMap<String, BmcRow>,
    pub(crate) images: BTreeMap<String, ImageRow>,
    pub(crate) templates: BTreeMap<String, TemplateRow>,
    /// Pools, licences, and what was drawn.
    pub(crate) identifiers: Identifiers,
    /// Bytes by digest.
    pub(crate) blobs: BTreeMap<String, u64>,
    /// Digests of the default guest: kernel, initial ram disk.
    pub(crate) default_guest: (String, String),
    /// Deleted servers that a job waits for: the nodes on which they still live.
    pub(crate) leaving: BTreeMap<String, BTreeSet<String>>,
    /// Jobs that have not ended.
    pub(crate) jobs: BTreeMap<u64, JobEntry>,
    /// Files offered to booting nodes.
    pub(crate) boot_files: Arc<BootFiles>,
}

/// A name that leads nowhere, or to several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Missing,
    Ambiguous,
}

impl Lookup {
    /// Why a name of such a thing leads nowhere.
    pub(crate) fn refusal(self, what: &str, name: &str) -> Error {
        let (code, list) = if what == "node" {
            ("node-not-found", "weft node list")
        } else {
            ("vs-not-found", "weft vs list")
        };
        match self {
            Self::Missing => Error::not_found(code, what, name, list),
            Self::Ambiguous => Error::ambiguous(what, name),
        }
    }
}

impl World {
    /// What is decided on, for plans of changes that follow one another: without logs, images and jobs.
    pub(crate) fn sketch(&self) -> Self {
        let node = |node: &NodeEntry| NodeEntry { log: VecDeque::new(), ..node.clone() };
        Self {
            nodes: self.nodes.iter().map(|(id, entry)| (id.clone(), node(entry))).collect(),
            servers: self.servers.clone(),
            partitions: self.partitions.clone(),
            containers: self.containers.clone(),
            networks: self.networks.clone(),
            templates: self.templates.clone(),
            blobs: self.blobs.clone(),
            default_guest: self.default_guest.clone(),
            ..Self::default()
        }
    }

    /// A node by name, id, or a prefix of its id (4 digits or more) that no other has.
    pub(crate) fn node(&self, name: &str) -> Result<&NodeEntry, Lookup> {
        if let Some(node) = self.nodes.get(name) {
            return Ok(node);
        }
        if let Some(node) = self.nodes.values().find(|node| node.row.name == name) {
            return Ok(node);
        }
        unique(self.nodes.values().filter(|node| prefix(&node.row.id, name)))
    }

    /// A virtual server by id, name, or unique prefix: nobody takes the place of another by its id as a name.
    pub(crate) fn server(&self, name: &str) -> Result<&VsEntry, Lookup> {
        if let Some(vs) = self.servers.get(name) {
            return Ok(vs);
        }
        if let Some(vs) = self.servers.values().find(|vs| vs.row.name == name) {
            return Ok(vs);
        }
        unique(self.servers.values().filter(|vs| prefix(&vs.row.id, name)))
    }

    /// A partition by id, name, or unique prefix.
    pub(crate) fn partition(&self, name: &str) -> Result<&PartitionEntry, Lookup> {
        if let Some(entry) = self.partitions.get(name) {
            return Ok(entry);
        }
        if let Some(entry) = self.partitions.values().find(|entry| entry.row.name == name) {
            return Ok(entry);
        }
        unique(self.partitions.values().filter(|entry| prefix(&entry.row.id, name)))
    }

    /// An image by digest, unique prefix, or build id.
    pub(crate) fn image(&self, name: &str) -> Result<&ImageRow, Lookup> {
        if let Some(image) = self.images.get(name) {
            return Ok(image);
        }
        match unique(self.images.values().filter(|image| image.name == name)) {
            Err(Lookup::Missing) => unique(self.images.values().filter(|image| prefix(&image.digest, name))),
            found => found,
        }
    }

    /// `node-N` with the least N that is free.
    pub(crate) fn free_node_name(&self) -> String {
        let taken: std::collections::BTreeSet<&str> =
            self.nodes.values().map(|node| node.row.name.as_str()).collect();
        let mut n = 1u64;
        loop {
            let name = format!("node-{n}");
            if !taken.contains(name.as_str()) {
                return name;
            }
            n = n.saturating_add(1);
        }
    }
}

pub(crate) fn prefix(id: &str, given: &str) -> bool {
    given.len() >= 4 && id.starts_with(given)
}

pub(crate) fn unique<'a, T>(mut found: impl Iterator<Item = &'a T>) -> Result<&'a T, Lookup> {
    let first = found.next().ok_or(Lookup::Missing)?;
    if found.next().is_some() {
        return Err(Lookup::Ambiguous);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_taken_all_once_it_answered_the_last_configuration_of_this_session() {
        let mut taken = Taken::default();
        assert!(!taken.all());
        taken.sent((1, 1), taken.covers());
        taken.answered((1, 1));
        assert!(taken.all());
        taken.want();
        taken.sent((1, 3), taken.covers());
        taken.want();
        taken.sent((1, 5), taken.covers());
        // The answer to an earlier record, and to one of another kind.
        taken.answered((1, 3));
        taken.answered((1, 4));
        assert!(!taken.all());
        taken.answered((1, 5));
        assert!(taken.all());
        // One that was sent again covers what the first one did.
        taken.want();
        taken.sent((1, 7), taken.covers());
        taken.sent((1, 9), taken.covers());
        taken.answered((1, 9));
        assert!(taken.all());
        taken.anew();
        taken.answered((1, 7));
        assert!(!taken.all());
    }

    #[test]
    fn a_node_that_answers_nothing_is_remembered_little_of() {
        let mut taken = Taken::default();
        for record in 0..1000 {
            taken.want();
            taken.sent((1, record), taken.covers());
        }
        assert_eq!(taken.sent.len(), ANSWERS);
        taken.answered((1, 999));
        assert!(taken.all() && taken.sent.is_empty());
    }
}
