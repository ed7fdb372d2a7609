//! Templates, copies, and several servers made at once.

use serde::{Deserialize, Serialize};

use crate::{Labels, VsCreate};

/// A template of virtual servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Template {
    /// Unique name.
    pub name: String,
    /// `ready`, or `incomplete`: a partition that it names is gone.
    pub state: String,
    /// Identity.
    pub id: String,
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
    /// Partition of servers that span nodes, else empty.
    pub partition: String,
    /// Labels; servers made from it get them.
    pub labels: Labels,
    /// Definition generation.
    pub generation: u64,
}

/// A new template: of a server, or as it is described here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateCreate {
    /// Unique name: letters, digits, `-`, 1–63.
    pub name: String,
    /// Server by name or id whose definition it takes, without what is the server's own: name, identifiers, host name,
    /// address, node. Empty: the fields below.
    #[serde(default)]
    pub from: String,
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
    /// Partition whose nodes servers are to span, by name or id.
    #[serde(default)]
    pub partition: String,
    /// Labels, in place of those of the server where any are given.
    #[serde(default)]
    pub labels: Labels,
}

/// A copy of a virtual server. It has identifiers of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsCopy {
    /// Unique name of the copy.
    pub name: String,
    /// Node by name or id; empty: the approved node with most free memory, or the partition that the server spans.
    #[serde(default)]
    pub node: String,
    /// Host name that its guest is given; empty: the copy's own name where the server's guest is given one.
    #[serde(default)]
    pub hostname: String,
    /// IPv4 address with its prefix that its guest is given, `10.0.0.5/24`; empty: none, also where the server has one.
    #[serde(default)]
    pub address: String,
    /// Gateway to go with the address.
    #[serde(default)]
    pub gateway: String,
    /// Pool of its MAC; empty: the pool of the server's.
    #[serde(default)]
    pub mac_pool: String,
    /// Pool of its WWNN; empty: the pool of the server's.
    #[serde(default)]
    pub wwnn_pool: String,
}

/// Several servers at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsSeries {
    /// How many, 1–1000.
    pub count: u32,
    /// Number of the first, 1 where it is left out.
    #[serde(default = "one")]
    pub first: u32,
    /// What each of them is. `{n}` in name and host name stands for its number; without it, `-NUMBER` is put behind. An
    /// address is that of the first, the others follow it.
    pub vs: VsCreate,
}

fn one() -> u32 {
    1
}
