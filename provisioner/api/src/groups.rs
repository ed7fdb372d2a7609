//! Changes of several objects at once, and of their labels.

use serde::{Deserialize, Serialize};

use crate::Labels;

/// Most objects of one call.
pub const MAX_GROUP: usize = 1000;

/// Objects: exactly one of `names`, `selector` and `all` says which.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Selection {
    /// By name or id, 1–1000.
    #[serde(default)]
    pub names: Vec<String>,
    /// By labels: `key=value,key!=value,key,!key`, all of which must hold.
    #[serde(default)]
    pub selector: String,
    /// All there are.
    #[serde(default)]
    pub all: bool,
    /// That none fits is no error.
    #[serde(default)]
    pub allow_empty: bool,
}

/// A change of several virtual servers, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsGroup {
    /// `start`, `stop`, `reset`, `delete`.
    pub action: String,
    /// Which.
    pub select: Selection,
}

/// A change of several nodes, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeGroup {
    /// `approve`, `forget`.
    pub action: String,
    /// Which.
    pub select: Selection,
    /// To approve: fingerprints as on the nodes' own consoles, in any order; each node must find its own among them.
    #[serde(default)]
    pub fingerprints: Vec<String>,
}

/// A move of several stopped virtual servers to one node, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsGroupMove {
    /// Which.
    pub select: Selection,
    /// The node, by name or id.
    pub node: String,
}

/// A change of the labels of several objects, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupLabels {
    /// Which.
    pub select: Selection,
    /// What becomes of the labels of each.
    pub labels: LabelChange,
}

/// A change of an object's labels; those that are not named stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LabelChange {
    /// Labels to have: keys of 1–63 `a-z 0-9 . _ / -`, values of at most 63 `a-z A-Z 0-9 . _ / -`; an object has at most 32.
    #[serde(default)]
    pub set: Labels,
    /// Keys not to have any more.
    #[serde(default)]
    pub remove: Vec<String>,
}
