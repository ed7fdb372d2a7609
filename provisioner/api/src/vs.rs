//! Virtual servers.

use serde::{Deserialize, Serialize};

use crate::{FieldChange, Labels};

/// A virtual server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Vs {
    /// Unique name.
    pub name: String,
    /// `stopped`, `starting`, `fetching`, `running`, `off`, `failed`, `unknown` (node away).
    pub state: String,
    /// Identity.
    pub id: String,
    /// `running` or `stopped`.
    pub desired: String,
    /// Node that runs it.
    pub node: String,
    /// Processors.
    pub vcpus: u16,
    /// MiB.
    pub memory_mib: u32,
    /// Digest of the kernel.
    pub kernel: String,
    /// Digest of the initial ram disk, empty where none.
    pub initrd: String,
    /// Added command line.
    pub append: String,
    /// MACs.
    pub macs: Vec<String>,
    /// Definition generation.
    pub generation: u64,
    /// Starts so far.
    pub instance: u64,
    /// Why it failed.
    pub reason: String,
    /// Exits since start.
    pub exits: u64,
    /// Partition of a server that spans nodes, else empty.
    #[serde(default)]
    pub partition: String,
    /// What each node gives to a server that spans nodes, in the order of its NUMA nodes.
    #[serde(default)]
    pub places: Vec<VsPlace>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// World Wide Node Name. Reserved: no storage uses it yet.
    #[serde(default)]
    pub wwnn: String,
    /// Host name that the guest is given on its kernel's command line, else empty.
    #[serde(default)]
    pub hostname: String,
    /// IPv4 address with its prefix that the guest is given likewise, else empty.
    #[serde(default)]
    pub address: String,
    /// Gateway to go with the address, else empty.
    #[serde(default)]
    pub gateway: String,
    /// Of a server that spans nodes: virtual processors stay on their nodes. Otherwise they may leave them for the one whose pages they
    /// wait for.
    #[serde(default)]
    pub pinned: bool,
    /// Processors of its nodes that its virtual processors are to have: `0=1,1=3`; empty: the nodes choose.
    #[serde(default)]
    pub affinity: String,
    /// Where its virtual processors were when its nodes last reported; of a single server only, not in lists.
    #[serde(default)]
    pub processors: Vec<VsProcessor>,
    /// What was changed since it was started and is not applied: `before` is what it runs with, `after` what its next
    /// start takes.
    #[serde(default)]
    pub pending: Vec<FieldChange>,
}

/// A virtual processor, and where it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsProcessor {
    /// Its number, from 0.
    pub vcpu: u16,
    /// Node.
    pub node: String,
    /// Processor of the node, from 0.
    pub processor: u16,
}

/// What one node gives to a server that spans nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsPlace {
    /// Node.
    pub node: String,
    /// Number of its first virtual processor.
    pub first_vcpu: u16,
    /// Virtual processors; 0: memory only.
    pub vcpus: u16,
    /// MiB.
    pub memory_mib: u32,
    /// State there, as that of the whole.
    pub state: String,
    /// Why it failed there.
    pub reason: String,
}

/// A new virtual server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsCreate {
    /// Unique name: letters, digits, `-`, 1–63.
    pub name: String,
    /// Node by name or id; empty: the approved node with most free memory.
    #[serde(default)]
    pub node: String,
    /// Template by name or id: what is 0 or empty below is as it says; labels given here are added to its own.
    #[serde(default)]
    pub template: String,
    /// Processors, 1–32.
    #[serde(default)]
    pub vcpus: u16,
    /// MiB, at least 64.
    #[serde(default)]
    pub memory_mib: u32,
    /// Digest of an uploaded kernel; empty: the appliance's default guest.
    #[serde(default)]
    pub kernel: String,
    /// Digest of an uploaded initial ram disk; empty: none, or the default guest's.
    #[serde(default)]
    pub initrd: String,
    /// Added command line.
    #[serde(default)]
    pub append: String,
    /// Partition whose nodes it is to span, by name or id; empty: one node runs it.
    #[serde(default)]
    pub partition: String,
    /// Labels, at most 32: keys of 1–63 `a-z 0-9 . _ / -`, values of at most 63 `a-z A-Z 0-9 . _ / -`.
    #[serde(default)]
    pub labels: Labels,
    /// Host name that its guest is given: 1–63 letters, digits, `-`.
    #[serde(default)]
    pub hostname: String,
    /// IPv4 address with its prefix that its guest is given: `10.0.0.5/24`.
    #[serde(default)]
    pub address: String,
    /// Gateway to go with the address.
    #[serde(default)]
    pub gateway: String,
    /// Of a server that spans nodes: virtual processors stay on their nodes. Otherwise they may leave them for the one whose pages they
    /// wait for.
    #[serde(default)]
    pub pinned: bool,
    /// Processors of its nodes that its virtual processors are to have: `0=1,1=3`; empty: the nodes choose.
    #[serde(default)]
    pub affinity: String,
    /// Pool that its MAC is drawn from, by name or id; empty: `default-mac`.
    #[serde(default)]
    pub mac_pool: String,
    /// Pool that its WWNN is drawn from, by name or id; empty: `default-wwnn`.
    #[serde(default)]
    pub wwnn_pool: String,
}
