//! Rollouts: an image that nodes get one after the other.

use serde::{Deserialize, Serialize};

use crate::{Plan, Selection};

/// Most nodes of a rollout.
pub const MAX_ROLLOUT: usize = 128;
/// Time for a node to come back, and for its servers to stop and start, where none is named, seconds.
pub const ROLLOUT_TIMEOUT_S: u32 = 600;

/// What became of a decision on a rollout: the rollout, or in a dry run the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum RolloutDecided {
    /// It was made.
    Rollout(Rollout),
    /// It was only planned.
    Plan(Plan),
}

/// A new rollout: the canary first, alone; then the others; it stops by itself where one fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RolloutCreate {
    /// Digest of a published image, its first digits, or its name.
    pub image: String,
    /// Which nodes, 128 at most.
    pub select: Selection,
    /// The node that goes first, alone; empty: the first by name.
    #[serde(default)]
    pub canary: String,
    /// Nodes that restart at once, behind the canary; 0: 1.
    #[serde(default)]
    pub max_unavailable: u32,
    /// What becomes of servers that run on a node: `refuse` (it is not begun) or `stop` (they are stopped, and started again
    /// afterwards); empty: `refuse`.
    #[serde(default)]
    pub drain: String,
    /// Seconds for a node to come back, and for servers to stop and to start, 1–3600; 0: 600.
    #[serde(default)]
    pub timeout_s: u32,
}

/// A rollout. It is a job too, of the same number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rollout {
    /// `test-9`, or `back-of-7`.
    pub name: String,
    /// `running`, `paused` (no further node is begun), `stopped` (a node failed; a person decides), `done`, `aborted`.
    pub state: String,
    /// Its number; they grow.
    pub number: u64,
    /// Digest of the image; of a way back, that of its first node.
    pub image: String,
    /// Its name.
    pub image_name: String,
    /// Its generation.
    pub generation: u64,
    /// The rollout that it takes back, 0 where none.
    pub back_of: u64,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub at: String,
    /// When it ended, empty before.
    pub ended: String,
    /// Why it is stopped, empty where it is not; at its end what is to be said of it.
    pub reason: String,
    /// What can be done now.
    pub next: String,
    /// Name of the node that goes first.
    pub canary: String,
    /// Nodes that restart at once.
    pub max_unavailable: u32,
    /// `refuse` or `stop`.
    pub drain: String,
    /// Seconds for each step of a node.
    pub timeout_s: u32,
    /// Nodes that are done.
    pub done: u32,
    /// In their order.
    pub nodes: Vec<RolloutNode>,
}

/// A node of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RolloutNode {
    /// Its name.
    pub name: String,
    /// `waiting`, `draining`, `restarting`, `starting` (its servers), `done`, `failed`.
    pub state: String,
    /// Its id.
    pub id: String,
    /// Digest of the image that it gets.
    pub image: String,
    /// Digest of the image that it ran before.
    pub image_before: String,
    /// Servers that were stopped for it and those beside it.
    pub servers: Vec<String>,
    /// What is waited for, or why it failed.
    pub reason: String,
}
