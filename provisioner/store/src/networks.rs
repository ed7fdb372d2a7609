//! Virtual switches, their ports and gateway ports, VNICs and VHBAs: rows, and what a batch does with them.

use std::collections::BTreeMap;

use hiqlite::Param;
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, json};

/// What such an object is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetKind {
    /// A virtual switch: holds ports and gateway ports.
    #[default]
    Switch,
    /// A gateway port: a NIC of a node as a way out of a switch.
    Gateway,
    /// A port of a switch: holds a VNIC, and leads to gateway ports.
    Port,
    /// A network device of a virtual server.
    Vnic,
    /// A storage adapter of a virtual server.
    Vhba,
}

impl NetKind {
    /// All of them, what others need first.
    pub const ALL: [Self; 5] = [Self::Switch, Self::Gateway, Self::Port, Self::Vnic, Self::Vhba];

    /// As history and the interface call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Gateway => "gateway",
            Self::Port => "port",
            Self::Vnic => "vnic",
            Self::Vhba => "vhba",
        }
    }
}

/// One of them. Fields that are not of its kind are empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetRow {
    /// 32 hexadecimal digits; of a server's own device the kind, `-`, and the server's id.
    pub id: String,
    /// Which of them.
    pub kind: NetKind,
    /// Unique among those of its kind.
    pub name: String,
    /// Id of the switch that a port or a gateway port is of.
    #[serde(default)]
    pub switch: String,
    /// Ids of the gateway ports that a port leads to, the primary one first.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// How a port chooses among them: `failover`, `balance` or `affinity`.
    #[serde(default)]
    pub pathing: String,
    /// Id of the node that a gateway port is on.
    #[serde(default)]
    pub node: String,
    /// MAC of the NIC that it is.
    #[serde(default)]
    pub nic: String,
    /// Id of the virtual server that a VNIC or a VHBA is of.
    #[serde(default)]
    pub server: String,
    /// MAC of a VNIC, drawn once.
    #[serde(default)]
    pub mac: String,
    /// World Wide Node Name of a VHBA, drawn once.
    #[serde(default)]
    pub wwnn: String,
    /// Id of the port that a VNIC is on.
    #[serde(default)]
    pub port: String,
    /// Labels of the operator's making.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Grows with each change.
    pub generation: u64,
}

impl Batch {
    /// Adds or replaces one. A name that another of its kind has aborts the batch, and so does a port that another VNIC
    /// is on, or a NIC that is another gateway port.
    #[must_use]
    pub fn put_net(mut self, before: Option<&NetRow>, row: &NetRow) -> Self {
        let taken = match row.kind {
            NetKind::Vnic => row.port.clone(),
            NetKind::Gateway => format!("{} {}", row.node, row.nic),
            NetKind::Switch | NetKind::Port | NetKind::Vhba => String::new(),
        };
        self.push(
            "INSERT INTO networks (id, kind, name, taken, doc) VALUES ($1, $2, $3, nullif($4, ''), $5) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, taken = excluded.taken, doc = excluded.doc",
            vec![
                Param::from(row.id.as_str()),
                Param::from(row.kind.word()),
                Param::from(row.name.as_str()),
                Param::from(taken),
                Param::from(json(row)),
            ],
        );
        self.history(row.kind.word(), &row.id, before.map(json), Some(json(row)));
        self
    }

    /// Deletes one. Its identifier stays drawn.
    #[must_use]
    pub fn delete_net(mut self, row: &NetRow) -> Self {
        self.push("DELETE FROM networks WHERE id = $1", vec![Param::from(row.id.as_str())]);
        self.history(row.kind.word(), &row.id, Some(json(row)), None);
        self
    }
}
