//! What [`crate::Membership`] is given and what it wants done.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use weft_types::NodeId;

use crate::decision::{Epoch, Incarnation, RecordId};
use crate::timing::Timing;

/// Looks at the bytes of a record: signature, cluster, partition, bounds. Says what it is and who its members
/// are, in order, or why it counts for nothing.
pub trait Judge {
    /// See the trait.
    fn judge(&self, record: &[u8]) -> Result<(RecordId, Vec<NodeId>), String>;
}

/// What a membership is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// This boot of it: greater than that of every earlier boot, not 0.
    pub incarnation: Incarnation,
    /// For jitter and for the failure detector's choices.
    pub seed: u64,
    /// Periods.
    pub timing: Timing,
}

/// Who is in, as far as this node has agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The epoch.
    pub epoch: Epoch,
    /// The configuration in force.
    pub record: RecordId,
    /// Live members in the configured order.
    pub members: Vec<NodeId>,
    /// The first of them.
    pub coordinator: NodeId,
    /// This node is one of them. Without that it has agreed to nothing, and nothing may span over it.
    pub agreed: bool,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no record of this partition, in words.
    Record(String),
    /// It is not later than the one in force.
    Stale {
        /// It.
        given: RecordId,
        /// In force.
        agreed: RecordId,
    },
    /// This node has agreed to nothing yet, so it cannot say who the majority is.
    NotMember,
    /// Too few members answer.
    NoMajority {
        /// Members that answer, this one included.
        reached: usize,
        /// Configured members.
        of: usize,
    },
    /// Nobody said no, but too few said yes in time. It may still be agreed later.
    Timeout,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(reason) => f.write_str(reason),
            Self::Stale { given, agreed } => {
                write!(f, "configuration {given} does not follow {agreed}, which is in force")
            }
            Self::NotMember => f.write_str("this node has not joined the partition yet"),
            Self::NoMajority { reached, of } => {
                write!(f, "no majority: {reached} of {of} members answer")
            }
            Self::Timeout => f.write_str("too few members agreed in time"),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a frame to a member, authenticated, at most [`crate::frames::MAX_FRAME`] bytes. It may be lost.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Ask the appliance for its vote; answered by [`crate::Membership::witness_answer`], or never.
    Witness(Vec<u8>),
    /// Who is in has changed, or whether this node is.
    ViewChanged(View),
    /// A configuration is agreed, and here it is.
    Committed {
        /// Which.
        id: RecordId,
        /// The epoch that agreed on it.
        epoch: Epoch,
        /// Its bytes.
        record: Arc<[u8]>,
    },
    /// A configuration given to this node is refused.
    Refused {
        /// Which, where it could be read.
        id: Option<RecordId>,
        /// Why.
        reason: Refusal,
    },
    /// A majority of members can be reached from here, or no longer.
    Majority(bool),
}

/// What a node tells the appliance about itself, so that it can found a partition anew when too few remember
/// what was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// This boot.
    pub incarnation: Incarnation,
    /// It may take a founding. See [`crate::Acceptor::is_unfounded`].
    pub unfounded: bool,
    /// The newest decision that it knows lets it vote.
    pub voter: bool,
    /// The newest epoch that it knows to be agreed.
    pub epoch: Epoch,
    /// The configuration of that.
    pub record: RecordId,
    /// It has agreed to that epoch.
    pub agreed: bool,
}
