//! Virtual on physical as one document, and where an object could be moved to.

use serde::{Deserialize, Serialize};

use crate::{Labels, Nic};

/// All that the caller may see: what stands in what, and what lies on what. Objects name one another by id; what an id
/// names that is not in the document, the caller may not see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Topology {
    /// The transaction that left it so: the newest, or the one that was asked for.
    pub transaction: u64,
    /// Data centers, by name.
    pub datacenters: Vec<TopologyBox>,
    /// Virtual mainframes, by name.
    pub mainframes: Vec<TopologyBox>,
    /// Frames, by name.
    pub frames: Vec<TopologyBox>,
    /// Nodes, by name: those that are approved, and those that wait for it.
    pub nodes: Vec<TopologyNode>,
    /// Partitions, by name.
    pub partitions: Vec<TopologyPartition>,
    /// Virtual servers, by name.
    pub servers: Vec<TopologyServer>,
    /// Virtual switches, by name.
    pub switches: Vec<TopologySwitch>,
    /// VNICs that are on a port, or that a server has besides the one that it came with. One that is as it came is not
    /// listed: its id is `vnic-` and that of its server, and it is called after it, `web.0`.
    pub vnics: Vec<TopologyVnic>,
}

/// A data center, a virtual mainframe or a frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyBox {
    /// Name.
    pub name: String,
    /// `empty`, or `in-use`.
    pub state: String,
    /// Identity.
    pub id: String,
    /// Id of what it stands in; empty for a data center.
    pub parent: String,
    /// Labels.
    pub labels: Labels,
}

/// A node with what it has, and what lies on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyNode {
    /// Name.
    pub name: String,
    /// As in the list of nodes.
    pub state: String,
    /// Identity.
    pub id: String,
    /// Approved: it is in a frame or in the free pool. Else it waits, and stands nowhere.
    pub approved: bool,
    /// Id of the frame that it stands in; empty: the free pool, or not approved yet.
    pub frame: String,
    /// Id of the partition that it is a member of; empty: none.
    pub partition: String,
    /// Logical processors, 0 where not known.
    pub cpus: u16,
    /// Processor model.
    pub cpu_model: String,
    /// Usable memory, MiB.
    pub memory_mib: u64,
    /// Memory that no server is placed on, MiB.
    pub free_mib: u64,
    /// NICs.
    pub nics: Vec<Nic>,
    /// What lies on it.
    pub servers: Vec<TopologyShare>,
    /// Labels.
    pub labels: Labels,
}

/// What a node gives to a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyShare {
    /// Id of the server.
    pub server: String,
    /// Virtual processors.
    pub vcpus: u16,
    /// MiB.
    pub memory_mib: u32,
}

/// A partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyPartition {
    /// Name.
    pub name: String,
    /// As in the list of partitions.
    pub state: String,
    /// Identity.
    pub id: String,
    /// Ids of its nodes, in the order in which they coordinate.
    pub members: Vec<String>,
    /// Ids of the servers that span it.
    pub servers: Vec<String>,
}

/// A virtual server and where it lives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyServer {
    /// Name.
    pub name: String,
    /// As in the list of servers.
    pub state: String,
    /// Identity.
    pub id: String,
    /// Processors.
    pub vcpus: u16,
    /// MiB.
    pub memory_mib: u32,
    /// Id of the partition that it spans; empty: it lies on one node.
    pub partition: String,
    /// Processors that its virtual ones are to have: `0=1,1=3`; empty: its nodes choose.
    pub affinity: String,
    /// Where it lies: its node, or each node that it spans, the one that it boots on first.
    pub places: Vec<TopologyPlace>,
    /// Labels.
    pub labels: Labels,
}

/// A node's part of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyPlace {
    /// Id of the node.
    pub node: String,
    /// First of its virtual processors there.
    pub first_vcpu: u16,
    /// How many.
    pub vcpus: u16,
    /// MiB.
    pub memory_mib: u32,
}

/// A virtual switch with what it has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologySwitch {
    /// Name.
    pub name: String,
    /// `not applied`: nodes have no virtual switch yet.
    pub state: String,
    /// Why.
    pub reason: String,
    /// Identity.
    pub id: String,
    /// Its ports, by name.
    pub ports: Vec<TopologyPort>,
    /// Its gateway ports, by name.
    pub gateways: Vec<TopologyGateway>,
}

/// A port of a switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyPort {
    /// Name.
    pub name: String,
    /// Identity.
    pub id: String,
    /// Ids of the gateway ports that it leads to, the primary one first.
    pub gateways: Vec<String>,
    /// `failover`, `balance` or `affinity`.
    pub pathing: String,
    /// Id of the VNIC on it; empty: it is free.
    pub vnic: String,
}

/// A gateway port of a switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyGateway {
    /// Name.
    pub name: String,
    /// Identity.
    pub id: String,
    /// Id of its node.
    pub node: String,
    /// MAC of the NIC that it is.
    pub nic: String,
}

/// A VNIC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyVnic {
    /// Name.
    pub name: String,
    /// `applied` or `not applied`.
    pub state: String,
    /// How, or why not.
    pub reason: String,
    /// Identity.
    pub id: String,
    /// Id of its server.
    pub server: String,
    /// Id of the port that it is on; empty: on none.
    pub port: String,
}

/// Where an object could be moved to, and why not elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Targets {
    /// `node`, `partition`, `vs`, `vcpu` or `vnic`.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The object's identity.
    pub id: String,
    /// Each place, by kind and name.
    pub targets: Vec<Target>,
}

/// A place that an object could be moved to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Target {
    /// Its name; `free` for the free pool, `new` for a partition that is still to be made, `any` for whichever processor, `none` for
    /// no port; of a processor the node's name, `/`, and its number.
    pub name: String,
    /// `legal`; `here`: it is there already; `refused`: `reason` says why, and `next` what to do.
    pub state: String,
    /// `frame`, `free`, `partition`, `node`, `processor`, `any`, `port`, `gateway`, `none`.
    pub kind: String,
    /// Its identity, empty for the free pool, a new partition, and what is no object; of a processor the node's id, `/`, and its number.
    pub id: String,
    /// Why not; empty where it is legal.
    pub reason: String,
    /// What to do about it.
    pub next: String,
}
