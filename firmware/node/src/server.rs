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
//! `Off` and `Failed` stay until the operator asks for a newer instance.

use alloc::string::String;

use weft_types::BlobDigest;
use weft_wire::agent::{VsState, VsStatus};
use weft_wire::record::{Desired, VsSpec};

use crate::console::History;

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
    pub(crate) console: History,
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
            console: History::default(),
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
