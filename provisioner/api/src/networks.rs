//! Virtual switches, their ports and gateway ports, VNICs and VHBAs of virtual servers, and NICs of nodes.

use serde::{Deserialize, Serialize};

use crate::{LabelChange, Labels};

/// A virtual switch, a port, a gateway port, a VNIC or a VHBA. What is not of its kind is empty; what the caller may not see
/// is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NetObject {
    /// Unique among those of its kind. A server's own devices are called after it: `web.0`.
    pub name: String,
    /// `applied`: the nodes do it; `not applied`: it is kept and has no effect yet, and `reason` says why.
    pub state: String,
    /// How it is applied, or why it is not.
    pub reason: String,
    /// Identity.
    pub id: String,
    /// `switch`, `port`, `gateway`, `vnic`, `vhba`.
    pub kind: String,
    /// Of a port or a gateway port: its switch. Of a VNIC: the switch of its port.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub switch: String,
    /// Of a port: gateway ports that it leads to, the primary one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// Of a port: `failover` takes the primary one while it is there, `balance` all of them, `affinity` that of the node
    /// that the server runs on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pathing: String,
    /// Of a gateway port: its node. Of a VNIC or a VHBA: the node that the server lies on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Of a gateway port: MAC of the node's NIC that it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nic: String,
    /// Of a VNIC or a VHBA: its virtual server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// Of a VNIC: its MAC, drawn from a pool.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Of a VHBA: its World Wide Node Name, drawn from a pool.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wwnn: String,
    /// Of a VNIC: the port that it is on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub port: String,
    /// It came with its server and goes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// Of a switch: its ports. Of a port: the VNIC on it. Of a gateway port: ports that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    /// Labels.
    pub labels: Labels,
    /// Definition generation.
    pub generation: u64,
}

/// A new one. Only fields of its kind may be named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NetCreate {
    /// Unique among those of its kind: letters, digits, `-`, 1–63.
    pub name: String,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// Switch of a port or a gateway port, by name or id.
    #[serde(default)]
    pub switch: String,
    /// Gateway ports that a port leads to, at most 8, the primary one first.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// How a port chooses among them: `failover` (where it is left out), `balance` or `affinity`.
    #[serde(default)]
    pub pathing: String,
    /// Node of a gateway port.
    #[serde(default)]
    pub node: String,
    /// MAC of its NIC; may be left out where the node has one NIC.
    #[serde(default)]
    pub nic: String,
    /// Virtual server of a VNIC or a VHBA.
    #[serde(default)]
    pub server: String,
    /// Port that a VNIC is to be on.
    #[serde(default)]
    pub port: String,
    /// Pool that the MAC or the WWNN is drawn from; the default one where it is left out.
    #[serde(default)]
    pub pool: String,
}

/// A change of one; what is left out stays. Only fields of its kind may be named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NetEdit {
    /// New name; empty: as it is.
    #[serde(default)]
    pub name: String,
    /// Labels to set and to remove.
    #[serde(default)]
    pub labels: LabelChange,
    /// The generation that the change was made of: refused where it has another one by now. 0: whatever it is.
    #[serde(default)]
    pub generation: u64,
    /// Gateway ports that a port leads to, the primary one first.
    #[serde(default)]
    pub gateways: Option<Vec<String>>,
    /// How a port chooses among them; empty: as it is.
    #[serde(default)]
    pub pathing: String,
    /// Node that a gateway port is to be on; empty: as it is.
    #[serde(default)]
    pub node: String,
    /// MAC of the NIC that it is to be; empty: as it is, or the one of the new node.
    #[serde(default)]
    pub nic: String,
    /// Port that a VNIC is to be on; empty: on none.
    #[serde(default)]
    pub port: Option<String>,
    /// In place of a port: the first free one, by name, whose primary gateway port is this.
    #[serde(default)]
    pub gateway: String,
}

/// A NIC of a node, as the node reports it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeNic {
    /// The node's name, `/`, and the MAC.
    pub name: String,
    /// `up` or `no link`.
    pub state: String,
    /// The node that has it.
    pub node: String,
    /// Hardware address.
    pub mac: String,
    /// Driver.
    pub driver: String,
    /// `1af4:1000`.
    pub pci_id: String,
    /// IPv4 address.
    pub address: String,
    /// The gateway port that it is; empty: none.
    pub gateway: String,
    /// The node booted from it, and bridges its servers to it.
    pub bridged: bool,
}
