//! What an operator says to a node by itself, while the appliance is away.
//!
//! ```text
//! operator                                       node
//!  │ Noise IK message 1, payload: certificate ────▶│   signature, cluster, time, revocation, sessions
//!  │◀──────── Noise IK message 2, payload: refusal │   empty: come in
//!  │ Ask ─────────────────────────────────────────▶│   the first one proves that message 1 is no replay
//!  │◀─────────────────────────────────────── Answer│   one for each, in order
//! ```
//! Frames and pattern are the agent channel's ([`crate::agent`]), the prologue is another, and the node responds with
//! its own key. The appliance signs a [`Certificate`] while it is there. An [`Amendment`] is signed by the operator: it
//! changes what servers of a partition should do, as (tag, postcard, Ed25519 signature over both).
//!
//! What the members of a partition agree on is then an *amended record*: [`AMENDED_TAG`]; length and bytes of the
//! certificate; length and bytes of the signed amendment; the appliance's record as it is. Lengths are u16,
//! little-endian. `weft_format::operator` reads and writes all of them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use weft_types::{BlobDigest, ClusterId, NodeId, PartitionId, VsId};

use crate::agent::{Level, VsState};

/// Mixed into the handshake; both sides must have it.
pub const OPERATOR_PROLOGUE: &[u8] = b"weft operator v1";
/// Domain tag of signatures over certificates.
pub const CERTIFICATE_DOMAIN: &[u8; 16] = b"weft operator v1";
/// Domain tag of signatures over amendments.
pub const AMENDMENT_DOMAIN: &[u8; 16] = b"weft amendment 1";
/// Opens an amended record.
pub const AMENDED_TAG: &[u8; 16] = b"weft amended v1\0";
/// Layout of certificate and amendment, the one that is spoken.
pub const OPERATOR_VERSION: u16 = 1;
/// Longest name of an operator, bytes.
pub const MAX_OPERATOR_NAME: usize = 63;
/// Longest certificate, bytes, signature included.
pub const MAX_CERTIFICATE: usize = 320;
/// Longest amendment, bytes, signature included.
pub const MAX_AMENDMENT: usize = 1024;
/// Most servers that one amendment changes: all that a partition can have.
pub const MAX_CHANGES: usize = crate::cluster::MAX_SPANNING;
/// Longest question, bytes.
pub const MAX_ASK: usize = MAX_AMENDMENT + 64;
/// Longest text of an answer, bytes.
pub const MAX_NOTE: usize = 256;
/// Most entries of one answer about events.
pub const MAX_NOTES: usize = 32;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Look.
    Observe,
    /// Look, start and stop.
    Operate,
}

/// Whom a node may let in. Signed by a delegated record key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// [`OPERATOR_VERSION`]. The first field in every layout.
    pub version: u16,
    /// First 8 bytes of SHA-256 over the signing key.
    pub key_id: [u8; 8],
    /// The cluster that it holds for.
    pub cluster: ClusterId,
    /// X25519 public key of the operator's end of the channel. Its key id is what a delegation revokes.
    pub channel_key: [u8; 32],
    /// Ed25519 public key of the operator's amendments.
    pub sign_key: [u8; 32],
    /// First second of validity, since 1970.
    pub not_before: u64,
    /// First second after validity, since 1970.
    pub expiry: u64,
    /// What it allows.
    pub role: Role,
    /// Who it is, for logs and events: 1 to [`MAX_OPERATOR_NAME`] of `a-z A-Z 0-9 - . _ @`.
    pub name: String,
}

/// What a server should do from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub vs: VsId,
    /// Above that of the definition it changes.
    pub generation: u64,
    /// As in [`crate::record::VsSpec::instance`]: greater where the guest is to start afresh.
    pub instance: u64,
    /// Whether it should run.
    pub running: bool,
}

/// What an operator changes about a configuration of the appliance. It says all that differs, not only what is new, so
/// that the latest amendment stands alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment {
    /// [`OPERATOR_VERSION`]. The first field in every layout.
    pub version: u16,
    /// The cluster.
    pub cluster: ClusterId,
    /// The partition.
    pub partition: PartitionId,
    /// The appliance's configuration that it amends, epoch and counter.
    pub base: (u64, u64),
    /// 1 for the first of a base; one more than that of the amendment in force.
    pub number: u8,
    /// 1 to [`MAX_CHANGES`].
    pub changes: Vec<Change>,
}

/// From operator to node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// How things stand. Answered by [`Answer::View`].
    View,
    /// What happened last. Answered by [`Answer::Notes`].
    Notes,
    /// Start or stop a server that is this node's alone.
    Want {
        /// Which.
        vs: VsId,
        /// Whether it should run.
        running: bool,
    },
    /// A signed [`Amendment`] for all members of the partition.
    Amend(Vec<u8>),
}

/// From node to operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// How things stand.
    View(Box<NodeView>),
    /// What happened last, oldest first, at most [`MAX_NOTES`].
    Notes(Vec<Note>),
    /// It is done; where members had to agree, they have.
    Done,
    /// It is not done, and why.
    Refused(String),
}

/// A node as it sees itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Which.
    pub node: NodeId,
    /// The channel to the appliance is open.
    pub online: bool,
    /// Since the node started.
    pub uptime_ms: u64,
    /// Memory that guests have, MiB.
    pub guest_memory_mib: u64,
    /// The partition that it is in.
    pub partition: Option<PartitionView>,
    /// Its own servers and those of the partition.
    pub servers: Vec<ServerView>,
}

/// A partition as a member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionView {
    /// Which.
    pub id: PartitionId,
    /// Its name.
    pub name: String,
    /// Configured members, in order.
    pub members: Vec<NodeId>,
    /// Those of the agreed view, the coordinator first; empty where this node has agreed to none.
    pub view: Vec<NodeId>,
    /// A majority answers.
    pub majority: bool,
    /// Counter of the agreed epoch.
    pub epoch: u64,
    /// Epoch and counter of the configuration in force.
    pub record: (u64, u64),
    /// What its amendment changes; empty where it is the appliance's own word.
    pub changes: Vec<Change>,
}

/// A server as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerView {
    /// Which.
    pub id: VsId,
    /// Its name.
    pub name: String,
    /// It should run.
    pub wanted: bool,
    /// What this node has of it; `None` where that is nothing.
    pub state: Option<VsState>,
    /// Why it is not running, where it should, cut to [`MAX_NOTE`].
    pub reason: String,
    /// As configured.
    pub generation: u64,
    /// As configured.
    pub instance: u64,
    /// It ended by itself: a start needs a newer instance.
    pub ended: bool,
    /// It spans nodes of the partition.
    pub spans: bool,
    /// The node that loads its files.
    pub loader: NodeId,
    /// Files that a start needs and this node does not hold. Always empty where another node loads it.
    pub missing: Vec<BlobDigest>,
}

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Grows by one with each.
    pub seq: u64,
    /// Milliseconds since the node started.
    pub uptime_ms: u64,
    /// How bad.
    pub level: Level,
    /// What, as in [`crate::agent::NodeEvent`], or `log`.
    pub kind: String,
    /// For a person, cut to [`MAX_NOTE`].
    pub text: String,
}

/// What an operator changed about a server, for the appliance to take over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Which.
    pub vs: VsId,
    /// Above the appliance's own where it has not heard of the change.
    pub generation: u64,
    /// Its instance.
    pub instance: u64,
    /// Whether it should run.
    pub running: bool,
    /// Name of the operator.
    pub by: String,
}
