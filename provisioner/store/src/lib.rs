//! The appliance's durable store: nodes, virtual servers, images, counters, accounts, history.
//!
//! SQLite under a Raft log (`hiqlite`): one voter on one appliance, or several ([`Voters`]). A write is in the log and synced to
//! the disk, of a majority where there are several, before the call returns: what was acknowledged survives `kill -9` and
//! power loss.
//!
//! Invariants:
//! - Every change of an object travels in one [`Batch`] with its history row and its events; all of it
//!   happens or none of it. The rows of a batch have one transaction number.
//! - Statements that write never call `now()` or `random()`: a voter that replays the log must come to
//!   the same rows. Times and identifiers are arguments.
//! - A record counter and a server's identifier are on disk before anything uses them, and neither comes back
//!   ([`Store::next_record`], [`Batch::draw`]).
//! - One leads, and only it writes; what an earlier leader still sends is refused ([`Store::lead`]).
//! - History and events are only ever added to.
//! - What is on the disk is looked at before it is used ([`damage`]); copies of all rows are [`snapshot`]s.
//!
//! One process per data folder: [`Store::open`] holds a lock.

mod answers;
mod appliances;
mod batch;
mod batch_auth;
mod batch_backup;
mod batch_containers;
mod batch_power;
mod counters;
mod damage;
mod error;
mod history;
mod jobs;
mod networks;
mod open;
mod read;
mod rollouts;
mod rows;
mod schema;
mod snapshot;
mod voters;

pub use answers::{ANSWER_KEPT_S, AnswerRow, MAX_ANSWERS};
pub use appliances::{ApplianceRow, LeaseRow};
pub use batch::{Batch, Committed};
pub use batch_backup::BackupRow;
pub use counters::RecordNumber;
pub use error::StoreError;
pub use history::HistoryFilter;
pub use jobs::{JobObject, JobRow, JobState, StepRow, StepState, THIS_TRANSACTION, WaitFor, WaitRow};
pub use networks::{NetKind, NetRow};
pub use open::Store;
pub use rollouts::{Drain, RolloutNodeRow, RolloutRow};
pub use rows::{
    AskedRow, AuthPolicyRow, BlobRow, BmcRow, ContainerRow, EventRow, ImageRow, ImageState, Level,
    LicenceRow, NewEvent, NodeRow, PartitionRow, PlaceRow, PoolRow, ScopeRow, SessionRow, StartedRow,
    TemplateRow, TokenRow, TransactionRow, UserRow, VsRow,
};
pub use snapshot::{Snapshot, refound, restore, schema_version};
pub use voters::{API_SECRET, Holder, RAFT_SECRET, Standing, Voters, api_address};
