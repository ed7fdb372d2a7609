//! Drift: where nodes are not as the appliance's store wants them.

use serde::{Deserialize, Serialize};

/// One difference between what a node says and what is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Drift {
    /// What it is called, for example `web.state`, `node-1.image`, `node-1.1f2e3d4c.unknown`.
    pub name: String,
    /// `held` (a node restored to an older store is told nothing until a person answers), `open`, `settling` (the
    /// appliance brings it back by itself), `away` (its node is not heard any more), `settled`.
    pub state: String,
    /// `state`, `generation`, `instance`, `unknown`, `approval`, `image`, `record`, `partition`, `operator`.
    pub kind: String,
    /// Node that says so, by name.
    pub node: String,
    /// Virtual server concerned, by name; by its id where the store does not have it.
    pub vs: String,
    /// Partition concerned, by name.
    pub partition: String,
    /// When this appliance noticed it first.
    pub since: String,
    /// What the store wants.
    pub wanted: String,
    /// What the node says.
    pub seen: String,
    /// What the appliance does by itself.
    pub does: String,
    /// What a person can do.
    pub next: String,
    /// Answers that it takes: `accept`, `enforce`.
    pub answers: Vec<String>,
    /// When it was settled, empty where it is not.
    pub ended: String,
    /// How it was settled.
    pub outcome: String,
}

/// What a person says to a drift.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DriftAnswer {
    /// `accept`: what is becomes what is wanted. `enforce`: what is wanted is made so.
    pub action: String,
    /// Name of the drift.
    pub name: String,
}
