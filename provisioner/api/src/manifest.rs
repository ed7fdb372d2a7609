//! What is wanted of the hardware, as one document: exported by `weft get`, compared by `weft diff`, made so by `weft apply`.
//!
//! Objects are known by their names. What a document leaves out of an object stays as it is; of a new one it is what it
//! would be by its own verb. Labels that are given are all that the object is to have.

use serde::{Deserialize, Serialize};

use crate::Labels;

/// Most objects of one document.
pub const MAX_MANIFEST_OBJECTS: usize = 2000;
/// Longest document, bytes.
pub const MAX_MANIFEST_BYTES: usize = 1024 * 1024;

/// A document: a list for each kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Data centers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacenters: Option<Vec<DatacenterSpec>>,
    /// Virtual mainframes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mainframes: Option<Vec<MainframeSpec>>,
    /// Frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<Vec<FrameSpec>>,
    /// Approved nodes: where they stand, and their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeSpec>>,
    /// Partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Vec<PartitionSpec>>,
    /// Templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<Vec<TemplateSpec>>,
    /// Virtual switches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches: Option<Vec<SwitchSpec>>,
    /// Gateway ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<Vec<GatewaySpec>>,
    /// Ports of virtual switches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<PortSpec>>,
    /// Virtual servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vs: Option<Vec<VsManifest>>,
    /// VNICs; those that servers came with as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vnics: Option<Vec<VnicSpec>>,
    /// VHBAs; those that servers came with as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vhbas: Option<Vec<VhbaSpec>>,
}

impl Manifest {
    /// How many objects it names.
    pub fn objects(&self) -> usize {
        fn of<T>(list: &Option<Vec<T>>) -> usize {
            list.as_ref().map_or(0, Vec::len)
        }
        [
            of(&self.datacenters),
            of(&self.mainframes),
            of(&self.frames),
            of(&self.nodes),
            of(&self.partitions),
            of(&self.templates),
            of(&self.switches),
            of(&self.gateways),
            of(&self.ports),
            of(&self.vs),
            of(&self.vnics),
            of(&self.vhbas),
        ]
        .into_iter()
        .sum()
    }
}

/// A data center.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DatacenterSpec {
    /// Name.
    pub name: String,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A virtual mainframe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MainframeSpec {
    /// Name.
    pub name: String,
    /// Data center that it stands in, by name; a new one must say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacenter: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FrameSpec {
    /// Name.
    pub name: String,
    /// Virtual mainframe that it stands in, by name; a new one must say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mainframe: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// An approved node. None is made and none is forgotten in this way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Name.
    pub name: String,
    /// Frame that it stands in, by name; empty: the free pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A partition. One that is there keeps its members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PartitionSpec {
    /// Name.
    pub name: String,
    /// Nodes by name, in the order in which they are to coordinate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<String>>,
}

/// A template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    /// Name.
    pub name: String,
    /// Processors, 1–32; of a new one 1 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u16>,
    /// MiB, at least 64; of a new one 256 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Digest of an uploaded kernel; of a new one the appliance's default guest where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Digest of an uploaded initial ram disk; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<String>,
    /// Added command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub append: Option<String>,
    /// Partition whose nodes servers are to span, by name; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A virtual server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VsManifest {
    /// Name.
    pub name: String,
    /// It is to run. Of a new one `false` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<bool>,
    /// Node that it lies on, by name; one that is there moves while it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Partition whose nodes it spans, by name. One that is there keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Virtual processors stay on their nodes. One that is there keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// Processors of its nodes that its virtual processors are to have: `0=1,1=3`; empty: the nodes choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// Processors, 1–32; of a new one 1 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u16>,
    /// MiB, at least 64; of a new one 256 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Digest of an uploaded kernel; of a new one the appliance's default guest where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Digest of an uploaded initial ram disk; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<String>,
    /// Added command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub append: Option<String>,
    /// Host name that its guest is given; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// IPv4 address with its prefix that its guest is given; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Gateway to go with the address; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A virtual switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SwitchSpec {
    /// Name.
    pub name: String,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A gateway port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GatewaySpec {
    /// Name.
    pub name: String,
    /// Virtual switch that it belongs to, by name; a new one must say it, and keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// Node whose NIC it is, by name; a new one must say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// MAC of the NIC; may be left out where the node has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A port of a virtual switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    /// Name.
    pub name: String,
    /// Virtual switch that it belongs to, by name; a new one must say it, and keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// Gateway ports that it leads to, by name, the primary one first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<Vec<String>>,
    /// `failover`, `balance` or `affinity`; of a new one `failover` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pathing: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A VNIC. Its MAC is drawn, and in no document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VnicSpec {
    /// Name; `SERVER.0` is the one that the server came with.
    pub name: String,
    /// Virtual server that it is of, by name; a new one must say it, and keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Port that it is on, by name; empty: on none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A VHBA. Its WWNN is drawn, and in no document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VhbaSpec {
    /// Name; `SERVER.0` is the one that the server came with.
    pub name: String,
    /// Virtual server that it is of, by name; a new one must say it, and keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// A document that is to be made so, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The document.
    pub manifest: Manifest,
    /// Selector: what has these labels, is of a kind that the document has a list of, and is not in it, is deleted. Empty:
    /// nothing is. Nodes and partitions never are.
    #[serde(default)]
    pub prune: String,
}
