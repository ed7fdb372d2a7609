//! What the appliance knows now, in memory: rows of the store and, beside each, what is live.
//!
//! The store is the truth for what must last; this is written after it. Readers take the lock for a
//! moment and never across an await.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use weft_api::LogEntry;
use weft_store::{ImageRow, NodeRow, VsRow};
use weft_wire::agent::{BootKind, BootReport, Heartbeat, Inventory, ToNode, VsStatus};

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
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<String, NodeEntry>,
    pub(crate) servers: BTreeMap<String, VsEntry>,
    pub(crate) images: BTreeMap<String, ImageRow>,
    /// Bytes by digest.
    pub(crate) blobs: BTreeMap<String, u64>,
    /// Digests of the default guest: kernel, initial ram disk.
    pub(crate) default_guest: (String, String),
    /// Files offered to booting nodes.
    pub(crate) boot_files: Arc<BTreeMap<String, bytes::Bytes>>,
}

/// A name that leads nowhere, or to several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Missing,
    Ambiguous,
}

impl World {
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

    /// A virtual server by name, id, or unique prefix.
    pub(crate) fn server(&self, name: &str) -> Result<&VsEntry, Lookup> {
        if let Some(vs) = self.servers.values().find(|vs| vs.row.name == name) {
            return Ok(vs);
        }
        unique(self.servers.values().filter(|vs| prefix(&vs.row.id, name)))
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

fn prefix(id: &str, given: &str) -> bool {
    given.len() >= 4 && id.starts_with(given)
}

fn unique<'a, T>(mut found: impl Iterator<Item = &'a T>) -> Result<&'a T, Lookup> {
    let first = found.next().ok_or(Lookup::Missing)?;
    if found.next().is_some() {
        return Err(Lookup::Ambiguous);
    }
    Ok(first)
}
