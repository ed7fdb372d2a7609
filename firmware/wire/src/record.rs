//! Configuration records: what the appliance signs and a node applies.
//!
//! A record is postcard inside an [`Envelope`]. The signature covers the bytes as sent, from the domain
//! tag to the end of the payload. Both sides work on those bytes; nothing is ever re-encoded.
//!
//! postcard names no fields: a field more or less anywhere in [`Payload`] makes all earlier bytes mean something
//! else. Each such change takes the next [`RECORD_VERSION`], and the next
//! [`CLUSTER_VERSION`](crate::cluster::CLUSTER_VERSION) where it touches what cluster records hold as well.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use weft_types::{BlobDigest, ClusterId, NodeId, VsId};

use crate::cluster::SpanSpec;

/// Domain tag of record signatures.
pub const RECORD_DOMAIN: &[u8; 16] = b"weft record v1\0\0";
/// Layout of envelope and payload, the one that is spoken. 2: a server says how it spans nodes
/// ([`VsSpec::span`]). 3: whether its processors stay ([`SpanSpec::pinned`]) and which
/// ones they are ([`VsSpec::affinity`]).
pub const RECORD_VERSION: u16 = 3;
/// No processor in particular ([`VsSpec::affinity`]).
pub const ANY_PROCESSOR: u16 = u16::MAX;
/// Largest record, bytes, envelope included.
pub const MAX_RECORD: usize = 16 * 1024;

/// What stands before the payload. Fixed-size fields only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`RECORD_VERSION`]. The first field in every layout.
    pub version: u16,
    /// First 8 bytes of SHA-256 over the signing key.
    pub key_id: [u8; 8],
    /// The one node that may apply it.
    pub node: NodeId,
    /// The cluster that speaks.
    pub cluster: ClusterId,
    /// Record epoch; grows when an appliance's store was restored.
    pub epoch: u64,
    /// Strictly grows within an epoch, per node; never used twice.
    pub counter: u64,
    /// The nonce that the node drew for this boot.
    pub boot_nonce: [u8; 16],
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Answer to the node's question whether it may run at all.
    Standing(Standing),
    /// The node's whole intended configuration.
    Config(NodeConfig),
}

/// The appliance's judgement of image and delegation; a diskless node has no clock of its own to judge
/// expiry by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Seconds since 1970 by the appliance's clock.
    pub unix_time_s: u64,
    /// The manifest digest that the node reported in its `Hello`.
    pub manifest_digest: BlobDigest,
    /// Version of the delegation that the node reported.
    pub delegation_version: u64,
    /// The judgement.
    pub verdict: Verdict,
}

/// May the image run here?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Yes.
    Good,
    /// Approval is missing: no record will come, the node waits.
    Quarantined,
    /// The image was revoked.
    Revoked,
    /// The manifest has expired.
    Expired,
}

/// All that a node is meant to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Name that the operator sees.
    pub name: String,
    /// Virtual servers of this node. One that is absent is to be stopped and forgotten.
    pub servers: Vec<VsSpec>,
}

/// A blob by digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// SHA-256.
    pub digest: BlobDigest,
    /// Bytes.
    pub size: u64,
}

/// One virtual server as intended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsSpec {
    /// Identity.
    pub id: VsId,
    /// Name, for logs.
    pub name: String,
    /// Grows with each change of this server's definition or intent.
    pub generation: u64,
    /// Grows when the guest is to be started afresh (start after stop, reset).
    pub instance: u64,
    /// Whether it should run.
    pub desired: Desired,
    /// Processors, 1–32.
    pub vcpus: u16,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Linux bzImage.
    pub kernel: BlobRef,
    /// Initial ram disk.
    pub initrd: Option<BlobRef>,
    /// Kernel command line, added to what the monitor needs.
    pub append: String,
    /// Network interfaces by MAC, at most 4.
    pub macs: Vec<[u8; 6]>,
    /// Processor that each virtual processor has, by number, on the node where it starts; [`ANY_PROCESSOR`] where the node
    /// chooses. Empty: the node chooses for all. A change alone moves what runs.
    pub affinity: Vec<u16>,
    /// Where its parts are, for a server that spans nodes; `None`: all of it is on the node that has this.
    pub span: Option<SpanSpec>,
}

impl VsSpec {
    /// The processor that a virtual processor is to have where it starts.
    pub fn processor_of(&self, vcpu: u16) -> Option<u16> {
        self.affinity.get(usize::from(vcpu)).copied().filter(|processor| *processor != ANY_PROCESSOR)
    }
}

/// Intended run state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desired {
    /// Off.
    Stopped,
    /// On.
    Running,
}
