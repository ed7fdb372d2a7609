//! Management controllers of nodes, and power by them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Selection;

/// Most nodes whose power is changed at once.
pub const MAX_POWER: usize = 128;

/// A node's management controller, to be set. What it is to be, whole.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BmcSet {
    /// `redfish` or `ipmi`.
    pub kind: String,
    /// Host, or host and port: `bmc-1`, `10.0.0.9:8443`, `[fe80::1]:443`.
    pub address: String,
    /// Account on the controller.
    pub account: String,
    /// Its password. Empty: the one that is set already, for the same controller only.
    #[serde(default)]
    pub password: String,
    /// For Redfish what is trusted: `sha256:` and 64 hexadecimal digits, or certificates in PEM. Empty for IPMI.
    #[serde(default)]
    pub certificate: String,
    /// For Redfish the id of one of the controller's systems. Empty where it has one, and for IPMI.
    #[serde(default)]
    pub system: String,
}

impl fmt::Debug for BmcSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BmcSet {{ kind: {}, address: {}, account: {} }}", self.kind, self.address, self.account)
    }
}

/// A node's management controller. Its password is told to nobody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bmc {
    /// The node's name.
    pub name: String,
    /// `set`.
    pub state: String,
    /// `redfish` or `ipmi`.
    pub kind: String,
    /// Host, or host and port.
    pub address: String,
    /// Account on the controller.
    pub account: String,
    /// What is trusted: `sha256:` and digits, or PEM; empty for IPMI.
    pub certificate: String,
    /// Which of the controller's systems; empty where it has one.
    pub system: String,
}

/// How a node's power stands, as its management controller says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PowerState {
    /// The node's name.
    pub name: String,
    /// `on`, `off`, `unknown`.
    pub state: String,
    /// `redfish` or `ipmi`.
    pub kind: String,
}

/// A change of nodes' power by their management controllers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodePower {
    /// `on`, `off`, `reset`.
    pub action: String,
    /// To power off: the machine's system is asked, and may take its time or not heed it.
    #[serde(default)]
    pub graceful: bool,
    /// Which, 128 at most.
    pub select: Selection,
}
