//! What voters and candidates say, and what [`crate::Agreement`] wants done.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};
use weft_types::NodeId;

use crate::decision::{Decision, Epoch, RecordId};

/// How long others may still rely on what this node granted, milliseconds. See [`crate::lease`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Remaining {
    /// Of leases granted by this node.
    pub granted_ms: u32,
    /// Of the quiet time that an earlier decision asked for.
    pub quiet_ms: u32,
}

impl Remaining {
    /// The longer of each.
    pub fn max(self, other: Self) -> Self {
        Self {
            granted_ms: self.granted_ms.max(other.granted_ms),
            quiet_ms: self.quiet_ms.max(other.quiet_ms),
        }
    }
}

/// What voters and candidates tell each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Talk {
    /// Asks for a promise.
    Prepare(Epoch),
    /// Gives it, with what the voter holds.
    Promise {
        /// The epoch asked for.
        epoch: Epoch,
        /// What the voter accepted last.
        accepted: Option<Box<Decision>>,
        /// The newest that it knows to be agreed, where that is something else.
        committed: Option<Box<Decision>>,
        /// What it granted.
        remaining: Remaining,
    },
    /// Asks for a vote.
    Accept(Box<Decision>),
    /// Gives it.
    Accepted {
        /// The epoch of the decision.
        epoch: Epoch,
        /// What the voter granted.
        remaining: Remaining,
    },
    /// Says no to [`Talk::Prepare`] or [`Talk::Accept`].
    Refused {
        /// The epoch asked for.
        epoch: Epoch,
        /// The later one that has the voter's promise.
        promised: Epoch,
    },
    /// A decision was agreed.
    Commit {
        /// It.
        decision: Box<Decision>,
        /// No spanning server may start for so long, milliseconds.
        quiet_ms: u32,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell another member.
    Send(NodeId, Talk),
    /// Ask the appliance, where it is a voter.
    Witness(Talk),
    /// A decision is agreed as far as this node knows.
    Learnt {
        /// It.
        decision: Decision,
        /// No spanning server may start for so long, milliseconds.
        quiet_ms: u32,
    },
    /// A record is missing; this node has it.
    Want(RecordId, NodeId),
}
