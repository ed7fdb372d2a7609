//! Jobs: several actions as one unit that waits for the nodes, and is undone as a whole.

use serde::{Deserialize, Serialize};

use crate::{LabelChange, PartitionCreate, Plan, VsCreate};

/// Most steps of a job.
pub const MAX_STEPS: usize = 64;
/// Most objects of a step.
pub const MAX_STEP_NAMES: usize = 100;
/// Time that nodes are given for a step where none is named, seconds.
pub const STEP_TIMEOUT_S: u32 = 120;
/// Longest time for a step, seconds.
pub const MAX_STEP_TIMEOUT_S: u32 = 3600;
/// Longest name, reason or comment of a job, bytes.
pub const MAX_JOB_TEXT: usize = 256;

/// What became of a decision on a job: the job, or in a dry run the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum JobDecided {
    /// It was made.
    Job(Job),
    /// It was only planned.
    Plan(Plan),
}

/// A new job. Its steps are done in order, each once the nodes have followed the one before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JobCreate {
    /// For people, at most 256 bytes; empty: `job-N`.
    #[serde(default)]
    pub name: String,
    /// Seconds for the nodes to follow each step, 1–3600; 0: 120.
    #[serde(default)]
    pub timeout_s: u32,
    /// 1–64.
    pub steps: Vec<JobStepCreate>,
}

/// A step of a new job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JobStepCreate {
    /// `vs create`, `vs start`, `vs stop`, `vs reset`, `vs delete`, `vs label`, `vs move`, `node approve`, `node forget`,
    /// `partition create`, `partition delete`.
    pub action: String,
    /// Virtual servers, nodes or partitions by name or id, 1–100, in one transaction; for `vs create` and `partition create`
    /// none.
    #[serde(default)]
    pub names: Vec<String>,
    /// For `vs create`: what is created.
    #[serde(default)]
    pub create: Option<VsCreate>,
    /// For `vs label`: which labels change.
    #[serde(default)]
    pub labels: Option<LabelChange>,
    /// For `node approve`: fingerprints as on the nodes' own consoles, in any order.
    #[serde(default)]
    pub fingerprints: Vec<String>,
    /// For `partition create`: the partition.
    #[serde(default)]
    pub partition: Option<PartitionCreate>,
    /// For `vs move`: the node.
    #[serde(default)]
    pub node: String,
    /// Seconds for the nodes to follow, 1–3600; 0: as the job says.
    #[serde(default)]
    pub timeout_s: u32,
}

/// A job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// Given by the operator, or `job-N`.
    pub name: String,
    /// `running`, `undoing` (what was done is taken back), `stuck` (an undo failed: retry, skip or abandon), `done`, `undone`
    /// (all is as it was before), `abandoned`.
    pub state: String,
    /// Its number; they grow.
    pub number: u64,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub at: String,
    /// When it ended, empty before.
    pub ended: String,
    /// Why it is undone or stuck, empty where it is not.
    pub reason: String,
    /// What the person said who abandoned it.
    pub comment: String,
    /// Steps that are done.
    pub done: u32,
    /// In order.
    pub steps: Vec<JobStep>,
}

/// A step of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobStep {
    /// What it does, for example `vs stop`.
    pub name: String,
    /// `waiting`, `running` (the change is made, the nodes have not followed), `done`, `failed`, `undoing`, `undone`, `stuck`,
    /// `skipped` (a person said that it stays as it is).
    pub state: String,
    /// Its place, from 1.
    pub number: u32,
    /// Names of the objects that it is about.
    pub objects: Vec<String>,
    /// Its transaction, 0 where it made none.
    pub transaction: u64,
    /// The transaction that took it back, 0 where none did.
    pub undone_by: u64,
    /// What it waits for now, in words.
    pub waits: Vec<String>,
    /// Why it failed, is stuck or was skipped.
    pub reason: String,
    /// Seconds for the nodes to follow.
    pub timeout_s: u32,
    /// When it began, empty before.
    pub started: String,
    /// When it came to its state, empty before it began.
    pub changed: String,
}

/// What a job would do. Nothing of it is done by asking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobPlan {
    /// Given by the operator.
    pub name: String,
    /// `planned`, or `conflict`: at least one step would be refused, or another job holds what this one is about.
    pub state: String,
    /// The steps, each planned on what the earlier ones leave.
    pub steps: Vec<JobStepPlan>,
}

/// What a step of a job would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobStepPlan {
    /// What it does, for example `vs stop`.
    pub name: String,
    /// `planned`, `nothing` (all is so already; the nodes are waited for all the same), `conflict`.
    pub state: String,
    /// Its place, from 1.
    pub number: u32,
    /// What it waits for afterwards, in words.
    pub waits: Vec<String>,
    /// Seconds for the nodes to follow.
    pub timeout_s: u32,
    /// The plan of its transaction.
    pub plan: Plan,
}

/// Why a person decides on a stuck job as he does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JobDecision {
    /// 1–256 bytes.
    pub reason: String,
}
