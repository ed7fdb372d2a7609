//! Appliances that hold one store.

use serde::{Deserialize, Serialize};

/// What an appliance is among the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ApplianceState {
    /// It decides, and speaks to the nodes.
    Leads,
    /// It has everything, and takes over where the others choose it.
    Follows,
    /// It gets everything, and has no vote yet.
    Learns,
    /// It was invited, and has not come yet.
    Invited,
    /// It does not answer.
    #[default]
    Unreachable,
}

/// One of the appliances that hold one store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Appliance {
    /// Its number; none comes back.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it is now.
    pub state: ApplianceState,
    /// Whether it has a vote.
    pub voter: bool,
    /// Its first port for the others.
    pub address: String,
    /// Where its interface and page are.
    pub urls: Vec<String>,
    /// The last record of the log that it shows.
    pub applied: u64,
    /// Records of the log that it does not show yet.
    pub behind: u64,
    /// Files of images and guests that it does not have yet.
    pub lacks: u64,
}
