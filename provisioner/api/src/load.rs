//! What nodes and virtual servers use: `GET /api/v1/load/…` for now, `GET /api/v1/…/{name}/series` for how it went.

use serde::{Deserialize, Serialize};

/// How the load of one object went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Series {
    /// `node`, `vs` or `partition`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Between two values, seconds: 1 or 60. A value of 60 s is the mean of what was known of that minute.
    pub step_s: u32,
    /// Time of the last value, seconds since 1970. The appliance's clock at its start, counted on from there: it
    /// never jumps, and is what `since` takes. The value before is `step_s` earlier, and so on.
    pub last: u64,
    /// One for each metric, all with the same number of values.
    pub metrics: Vec<Metric>,
}

/// One metric of a [`Series`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metric {
    /// `processor`, `memory`, …: docs/load.md has them all.
    pub name: String,
    /// `ratio`, `processors`, `bytes`, `bytes/s`, or `1/s`.
    pub unit: String,
    /// Oldest first; null where nothing is known: the object was silent.
    pub values: Vec<Option<f64>>,
}

/// What a node uses now. Null where it has not told for a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeLoad {
    /// Node.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Logical processors.
    pub processors: u16,
    /// Share of the time in which its processors did not halt, 0 to 1.
    pub processor: Option<f64>,
    /// Usable memory, bytes.
    pub memory_total: u64,
    /// Memory given to guests, bytes.
    pub memory_guests: Option<f64>,
    /// Memory that the monitor takes, bytes.
    pub memory_monitor: Option<f64>,
    /// Received by its NIC, bytes a second.
    pub network_in: Option<f64>,
    /// Sent by its NIC, bytes a second.
    pub network_out: Option<f64>,
    /// Exits of its guests, a second.
    pub exits: Option<f64>,
    /// Faults of its guests that needed another node, a second.
    pub remote_faults: Option<f64>,
    /// Virtual servers that run there.
    pub servers: u32,
}

/// What a virtual server uses now, all its nodes together. Null where one of them has not told for a while, or it
/// does not run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsLoad {
    /// Server.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Its nodes.
    pub nodes: Vec<String>,
    /// Virtual processors.
    pub vcpus: u16,
    /// Processors in use: 1.5 is one and a half.
    pub processor: Option<f64>,
    /// Memory that it may have, bytes.
    pub memory_limit: u64,
    /// Memory of its nodes that its pages take, bytes.
    pub memory: Option<f64>,
    /// Received by its interfaces, bytes a second.
    pub network_in: Option<f64>,
    /// Sent by its interfaces, bytes a second.
    pub network_out: Option<f64>,
    /// Exits, a second.
    pub exits: Option<f64>,
    /// Faults that needed another node, a second; null also where it does not span nodes.
    pub remote_faults: Option<f64>,
    /// Messages between its nodes, a second; likewise.
    pub messages: Option<f64>,
}
