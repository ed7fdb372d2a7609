//! Pools of identifiers, and licences that extend them.

use serde::{Deserialize, Serialize};

/// A pool of identifiers, which virtual servers are given when they are made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pool {
    /// Unique name.
    pub name: String,
    /// `ok`, `low` (less than a tenth is free), `exhausted` (nothing can be drawn).
    pub state: String,
    /// Identity.
    pub id: String,
    /// `mac` or `wwnn`.
    pub kind: String,
    /// The operator's own OUI, `00:1b:21`; empty: only locally administered identifiers are in it.
    pub oui: String,
    /// Servers draw from it where no pool is named.
    pub default: bool,
    /// Identifiers in it, those of licences included.
    pub size: u64,
    /// Drawn so far: by servers that are there, and by servers that were deleted. None is drawn twice.
    pub drawn: u64,
    /// Had by servers that are there.
    pub in_use: u64,
    /// Can be drawn now.
    pub free: u64,
    /// Its ranges.
    pub ranges: Vec<PoolRange>,
    /// Definition generation.
    pub generation: u64,
}

/// A range of a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolRange {
    /// `FIRST-LAST`.
    pub range: String,
    /// Identifiers in it.
    pub size: u64,
    /// Drawn so far.
    pub drawn: u64,
    /// Identity of the licence that brought it; empty: the pool's own.
    pub licence: String,
}

/// A new pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolCreate {
    /// Unique name: letters, digits, `-`, 1–63.
    pub name: String,
    /// `mac` or `wwnn`.
    pub kind: String,
    /// Ranges `FIRST-LAST`, 1–64, each within 24 bits: `02:00:00:00:10:00-02:00:00:00:10:ff`.
    pub ranges: Vec<String>,
    /// The operator's own OUI, where ranges are not locally administered.
    #[serde(default)]
    pub oui: String,
}

/// More ranges for a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolExtend {
    /// Ranges as in [`PoolCreate`].
    pub ranges: Vec<String>,
}

/// A licence: identifiers that a holder of the root set added to a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Licence {
    /// Who it is for.
    pub name: String,
    /// `valid`; `expired` or `not-yet`: nothing is drawn by it, and what was drawn stays.
    pub state: String,
    /// Identity.
    pub id: String,
    /// `mac` or `wwnn`.
    pub kind: String,
    /// Pool that it extends.
    pub pool: String,
    /// `FIRST-LAST`.
    pub range: String,
    /// Identifiers in it.
    pub size: u64,
    /// Drawn so far.
    pub drawn: u64,
    /// First moment of validity.
    pub not_before: String,
    /// End of validity.
    pub expires: String,
    /// Signatures by key id.
    pub signers: Vec<String>,
    /// When it was added.
    pub added: String,
}

/// A licence to be added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LicenceAdd {
    /// The signed document, hexadecimal.
    pub document: String,
    /// Pool by name or id; empty: the default pool of its kind.
    #[serde(default)]
    pub pool: String,
}
