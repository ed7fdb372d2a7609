//! What nodes stand in: data centers hold virtual mainframes, those hold frames, and frames hold nodes. A node that
//! stands in no frame is in the free pool.

use serde::{Deserialize, Serialize};

use crate::{LabelChange, Labels, Selection};

/// A data center, a virtual mainframe or a frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Container {
    /// Unique among those of its kind.
    pub name: String,
    /// `empty`, or `in-use`: something stands in it.
    pub state: String,
    /// Identity.
    pub id: String,
    /// `datacenter`, `mainframe`, `frame`.
    pub kind: String,
    /// Name of what it stands in; empty for a data center.
    pub parent: String,
    /// Names of what stands in it: virtual mainframes, frames, or nodes.
    pub children: Vec<String>,
    /// Labels.
    pub labels: Labels,
    /// Definition generation.
    pub generation: u64,
}

/// A new data center, virtual mainframe or frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContainerCreate {
    /// Unique among those of its kind: letters, digits, `-`, 1–63.
    pub name: String,
    /// What it stands in, by name or id: the data center of a virtual mainframe, the virtual mainframe of a frame.
    #[serde(default)]
    pub parent: String,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
}

/// A change of a data center, virtual mainframe or frame; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContainerEdit {
    /// New name; empty: as it is.
    #[serde(default)]
    pub name: String,
    /// What it is to stand in, by name or id; empty: where it stands.
    #[serde(default)]
    pub parent: String,
    /// Labels to set and to remove.
    #[serde(default)]
    pub labels: LabelChange,
    /// The generation that the change was made of: refused where it has another one by now. 0: whatever it is.
    #[serde(default)]
    pub generation: u64,
}

/// A move of nodes into a frame, or out of theirs, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeMove {
    /// Which.
    pub select: Selection,
    /// The frame, by name or id; empty with `free`.
    #[serde(default)]
    pub frame: String,
    /// Into the free pool.
    #[serde(default)]
    pub free: bool,
}

/// A move of a stopped virtual server to another node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsMove {
    /// The node, by name or id.
    pub node: String,
}
