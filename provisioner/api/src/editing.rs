//! Changes of what is there already.

use serde::{Deserialize, Serialize};

use crate::LabelChange;

/// A change of a virtual server; what is left out stays. A running server takes its new name and affinity at once,
/// and the rest at its next start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VsEdit {
    /// New name: letters, digits, `-`, 1–63.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Processors, 1–32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u16>,
    /// MiB, at least 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Digest of an uploaded kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Digest of an uploaded initial ram disk; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<String>,
    /// Added command line; empty: none.
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
    /// Processors of its nodes that its virtual processors are to have, at once: `0=1,1=3`; empty: the nodes choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// Labels to set and to remove.
    #[serde(default, skip_serializing_if = "no_labels")]
    pub labels: LabelChange,
}

fn no_labels(change: &LabelChange) -> bool {
    change.set.is_empty() && change.remove.is_empty()
}
