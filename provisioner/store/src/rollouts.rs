//! What a job has that rolls an image out: which nodes get which image, and how.

use serde::{Deserialize, Serialize};

/// What becomes of the guests of a node that is to restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Drain {
    /// No node with a running guest is restarted.
    #[default]
    Refuse,
    /// They are stopped, and started again afterwards.
    Stop,
}

impl Drain {
    /// As the interface calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Stop => "stop",
        }
    }
}

/// A rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutRow {
    /// Digest of the image that its nodes get; of a way back, of the first node.
    pub image: String,
    /// Digest of the image that was active when it began, empty where none was.
    pub base: String,
    /// Digest of the image that is made active at its end, empty where none is.
    pub activates: String,
    /// The rollout that it takes back, 0 where none.
    pub back_of: u64,
    /// Id of the node that goes first, alone.
    pub canary: String,
    /// Nodes that restart at once.
    pub max_unavailable: u32,
    /// What becomes of guests.
    pub drain: Drain,
    /// In their order.
    pub nodes: Vec<RolloutNodeRow>,
}

/// A node of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutNodeRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Digest of the image that it gets.
    pub image: String,
    /// Digest of the image that it ran when the rollout began.
    pub before: String,
    /// Image that was chosen for it when the rollout began, empty where none was.
    pub chosen: String,
    /// With which others it restarts, from 0.
    pub batch: u32,
}
