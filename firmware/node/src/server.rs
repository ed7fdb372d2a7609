//! One virtual server on its node.
//!
//! ```text
//!           wanted                blobs here            monitor says so
//! Stopped ─────────▶ Fetching ───────────────▶ Starting ───────────────▶ Running
//!    ▲                   │ no memory, no blob       │                        │
//!    │                   ▼                          ▼                        ├─ guest off ──▶ Off
//!    │                 Failed ◀──────── failed ─────┴────────────────────────┤
//!    └──────────────── Stopping ◀── not wanted, or a newer instance ─────────┘
//! ```
//! `Off` and `Failed` stay until the operator asks for a newer instance. A guest that resets itself goes through `Stopped`,
//! where one that does so in a loop waits ([`Restarts`]).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use weft_types::{BlobDigest, NodeId};
use weft_wire::agent::{VsState, VsStatus};
use weft_wire::record::{Desired, VsSpec};

use crate::console::History;
use crate::restarts::Restarts;

/// Where it is. See the module's diagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Stopped,
    Fetching,
    Starting,
    Running,
    /// The monitor was told to stop it.
    Stopping,
    Off,
    Failed,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Server {
    /// As last configured.
    pub(crate) spec: VsSpec,
    /// Instance that runs, or ran last; 0 before the first.
    pub(crate) instance: u64,
    /// Memory of the instance that runs, MiB.
    pub(crate) running_mib: u32,
    pub(crate) phase: Phase,
    pub(crate) reason: String,
    pub(crate) exits: u64,
    /// The count that the appliance was last told for its own sake, and when.
    pub(crate) exits_told: (u64, u64),
    /// When figures of its part here are due, where it spans nodes.
    pub(crate) figures_due_ns: u64,
    pub(crate) restarts: Restarts,
    /// Times that the guest of an instance reset itself, and which instance that was.
    pub(crate) resets: (u64, u16),
    pub(crate) console: History,
    /// It comes from the partition's configuration, and runs only while the partition lets it.
    pub(crate) agreed: bool,
    /// Nodes that the instance lies over that runs.
    pub(crate) running: Vec<NodeId>,
    /// Why it is being stopped, where nobody asked for it.
    pub(crate) lost: Option<String>,
    /// The operator who changed what it should do, while the appliance has not heard of it.
    pub(crate) wanted_by: Option<String>,
    /// Absent from the configuration: forget it once it has stopped.
    pub(crate) leaving: bool,
}

impl Server {
    pub(crate) fn new(spec: VsSpec) -> Self {
        Self {
            spec,
            instance: 0,
            running_mib: 0,
            phase: Phase::Stopped,
            reason: String::new(),
            exits: 0,
            exits_told: (0, 0),
            figures_due_ns: 0,
            restarts: Restarts::default(),
            resets: (0, 0),
            console: History::default(),
            agreed: false,
            running: Vec::new(),
            lost: None,
            wanted_by: None,
            leaving: false,
        }
    }

    /// Whether the monitor holds something of it.
    pub(crate) const fn is_live(&self) -> bool {
        match self.phase {
            Phase::Starting | Phase::Running | Phase::Stopping => true,
            Phase::Stopped | Phase::Fetching | Phase::Off | Phase::Failed => false,
        }
    }

    /// Whether it should be brought up: wanted, and not already up, done or failed in this instance.
    pub(crate) fn should_start(&self) -> bool {
        if self.leaving || self.spec.desired != Desired::Running {
            return false;
        }
        match self.phase {
            Phase::Stopped => true,
            Phase::Off | Phase::Failed => self.spec.instance > self.instance,
            Phase::Fetching | Phase::Starting | Phase::Running | Phase::Stopping => false,
        }
    }

    /// Whether what runs should stop: not wanted, or a newer instance is.
    pub(crate) fn should_stop(&self) -> bool {
        let unwanted =
            self.leaving || self.spec.desired != Desired::Running || self.spec.instance > self.instance;
        match self.phase {
            Phase::Starting | Phase::Running => unwanted,
            Phase::Stopped | Phase::Fetching | Phase::Stopping | Phase::Off | Phase::Failed => false,
        }
    }

    /// What the monitor is told where a newer specification gives what runs another affinity.
    pub(crate) fn pins(&self, newer: &VsSpec) -> Option<Box<VsSpec>> {
        let live = matches!(self.phase, Phase::Starting | Phase::Running);
        let same = newer.instance == self.instance && newer.vcpus == self.spec.vcpus;
        (live && same && newer.affinity != self.spec.affinity).then(|| Box::new(newer.clone()))
    }

    /// Until when it is held back after its guest's own resets, if it is. A newer instance is not.
    pub(crate) fn waits_until_ns(&self) -> Option<u64> {
        let waits = self.should_start() && self.spec.instance == self.instance;
        waits.then_some(self.restarts.until_ns()).filter(|until| *until > 0)
    }

    /// What the monitor is told to start. Members forget the state of their links with each life of a guest, so that each has
    /// an epoch of its own, and with it keys that were never used; all of them count the same resets.
    pub(crate) fn to_start(&self) -> VsSpec {
        let mut spec = self.spec.clone();
        if let Some(span) = &mut spec.span {
            let (instance, resets) = self.resets;
            let lives = if instance == self.spec.instance { resets } else { 0 };
            span.epoch = span.epoch << 16 | u64::from(lives);
        }
        spec
    }

    /// The guest reset itself. `false`: it has no life left, since each needs an epoch of its own where it spans nodes.
    pub(crate) fn count_reset(&mut self) -> bool {
        let (instance, resets) = self.resets;
        let before = if instance == self.instance { resets } else { 0 };
        let next = before.checked_add(1);
        self.resets = (self.instance, next.unwrap_or(before));
        next.is_some() || self.spec.span.is_none()
    }

    pub(crate) fn uses(&self, digest: BlobDigest) -> bool {
        self.spec.kernel.digest == digest || self.spec.initrd.is_some_and(|blob| blob.digest == digest)
    }

    pub(crate) fn status(&self) -> VsStatus {
        let state = match self.phase {
            Phase::Stopped => VsState::Stopped,
            Phase::Fetching | Phase::Starting => VsState::Fetching,
            Phase::Running | Phase::Stopping => VsState::Running,
            Phase::Off => VsState::Off,
            Phase::Failed => VsState::Failed,
        };
        VsStatus {
            vs: self.spec.id,
            generation: self.spec.generation,
            instance: self.instance,
            state,
            reason: self.reason.clone(),
            exits: self.exits,
        }
    }
}
