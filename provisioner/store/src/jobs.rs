//! Jobs as they are kept: steps in order, how far each came, and which transactions it made.
//!
//! A step's row is written in the batch of the very change that the step makes ([`crate::Batch::put_job`]): after a crash
//! either both are there or neither.

use hiqlite::{Param, Params};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::open::Store;
use crate::rollouts::RolloutRow;

/// Stands for the number of the transaction that a row is written with.
pub const THIS_TRANSACTION: u64 = u64::MAX;

/// State of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Its steps are done one after the other.
    #[default]
    Running,
    /// What was done is undone, the last step first.
    Undoing,
    /// An undo failed; a person must decide.
    Stuck,
    /// Each step is done.
    Done,
    /// All is as it was before.
    Undone,
    /// A person left it as it was.
    Abandoned,
    /// A rollout that begins with no further node, as a person asked for.
    Paused,
    /// A rollout of which a node failed: it stands where it is; a person must decide.
    Stopped,
}

impl JobState {
    /// Nothing more will be done.
    pub const fn ended(self) -> bool {
        match self {
            Self::Done | Self::Undone | Self::Abandoned => true,
            Self::Running | Self::Undoing | Self::Stuck | Self::Paused | Self::Stopped => false,
        }
    }

    /// As the database and the interface call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Stuck => "stuck",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Abandoned => "abandoned",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// State of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not begun.
    #[default]
    Waiting,
    /// Its change is made, and the nodes have not followed yet.
    Running,
    /// The nodes say that it is so.
    Done,
    /// It did not come to be; its change, if it made one, still stands.
    Failed,
    /// Its change is taken back, and the nodes have not followed yet.
    Undoing,
    /// It is as it was before the step.
    Undone,
    /// Its undo failed.
    Stuck,
    /// A person said that it stays as it is.
    Skipped,
}

impl StepState {
    /// As the interface calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
            Self::Skipped => "skipped",
        }
    }
}

/// An object that a step is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobObject {
    /// `vs`, `node`.
    pub kind: String,
    /// Its identity; empty where an earlier step makes it.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// What nodes are to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitFor {
    /// The guest runs.
    Running,
    /// The guest is off.
    Off,
    /// The guest is off, and its node was told that it is no more.
    Gone,
    /// Its nodes have taken what they were told of it.
    Told,
    /// The node is here and has taken its configuration.
    Ready,
    /// The node has restarted into an image, is here and has taken its configuration.
    Boots,
    /// The members of the partition have agreed on its configuration.
    Agreed,
}

/// One thing that a step waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitRow {
    /// What.
    pub wait: WaitFor,
    /// Of which virtual server or node.
    pub object: JobObject,
    /// Ids of the nodes that report it.
    pub nodes: Vec<String>,
    /// They agree on it as members of a partition.
    pub spans: bool,
    /// Of a restart: digest of the image.
    #[serde(default)]
    pub image: String,
    /// Of a restart: the boot that is to end, by its nonce; empty where the node was not seen since.
    #[serde(default)]
    pub before: String,
}

/// A step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// What was asked for, of the server's making.
    pub spec: serde_json::Value,
    /// Kind of its transaction, for example `vs stop`.
    pub verb: String,
    /// What it is about.
    pub objects: Vec<JobObject>,
    /// How far it came.
    pub state: StepState,
    /// Time for the nodes, seconds.
    pub timeout_s: u32,
    /// A pause is kept before it.
    #[serde(default)]
    pub opens: bool,
    /// Its transaction, 0 where it made none.
    pub transaction: u64,
    /// The transaction that took it back, 0 where none did.
    pub undo: u64,
    /// What it waits for.
    pub waits: Vec<WaitRow>,
    /// Why it failed, is stuck or was skipped.
    pub reason: String,
    /// When it began, RFC 3339, empty before.
    pub started: String,
    /// When it came to its state.
    pub changed: String,
}

/// A job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// Grows by one.
    pub number: u64,
    /// Given by the operator.
    pub name: String,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub at: String,
    /// When it ended, empty before.
    pub ended: String,
    /// State.
    pub state: JobState,
    /// Why it is undone or stuck.
    pub reason: String,
    /// What the person said who abandoned it.
    pub comment: String,
    /// In order.
    pub steps: Vec<StepRow>,
    /// What it rolls out, where it is a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutRow>,
}

impl JobRow {
    /// Puts the number of the transaction that it was written with where it belongs; 0 where there was none.
    #[must_use]
    pub fn with_transaction(mut self, number: u64) -> Self {
        for step in &mut self.steps {
            for place in [&mut step.transaction, &mut step.undo] {
                if *place == THIS_TRANSACTION {
                    *place = number;
                }
            }
        }
        self
    }
}

struct Doc(i64, String);

impl From<&mut hiqlite::Row<'_>> for Doc {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self(row.get("number"), row.get("doc"))
    }
}

impl Store {
    async fn job_docs(&self, sql: &'static str, params: Params) -> Result<Vec<JobRow>, StoreError> {
        let rows: Vec<Doc> = self.db.query_map(sql, params).await?;
        let parse = |Doc(number, doc): &Doc| {
            serde_json::from_str(doc)
                .map_err(|_| StoreError::Damaged { table: "jobs", key: number.to_string() })
        };
        rows.iter().map(parse).collect()
    }

    /// Jobs that have not ended, oldest first.
    pub async fn open_jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        self.job_docs("SELECT number, doc FROM jobs WHERE ended = 0 ORDER BY number", Params::new()).await
    }

    /// Up to `limit` jobs with numbers below `before`, newest first.
    pub async fn jobs(&self, before: u64, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        self.job_docs(
            "SELECT number, doc FROM jobs WHERE number < $1 ORDER BY number DESC LIMIT $2",
            vec![Param::from(before), Param::from(i64::from(limit))],
        )
        .await
    }

    /// Likewise, those that are rollouts.
    pub async fn rollouts(&self, before: u64, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        self.job_docs(
            "SELECT number, doc FROM jobs WHERE number < $1 AND json_extract(doc, '$.rollout') IS NOT NULL \
             ORDER BY number DESC LIMIT $2",
            vec![Param::from(before), Param::from(i64::from(limit))],
        )
        .await
    }

    /// One job; `None` where there is no such number.
    pub async fn job(&self, number: u64) -> Result<Option<JobRow>, StoreError> {
        let Ok(number) = i64::try_from(number) else { return Ok(None) };
        let found = self
            .job_docs("SELECT number, doc FROM jobs WHERE number = $1", vec![Param::from(number)])
            .await?;
        Ok(found.into_iter().next())
    }

    /// Number of the newest job, 0 where there is none.
    pub async fn last_job(&self) -> Result<u64, StoreError> {
        crate::open::number(&self.db, "SELECT coalesce(max(number), 0) AS n FROM jobs").await
    }
}
