//! The appliance's durable store: nodes, virtual servers, images, counters, accounts, history.
//!
//! SQLite under a Raft log (`hiqlite`): one voter, on one appliance. A write is in the log and synced to
//! the disk before the call returns, so what was acknowledged survives `kill -9` and power loss.
//!
//! Invariants:
//! - Every change of an object travels in one [`Batch`] with its history row and its events; all of it
//!   happens or none of it.
//! - Statements that write never call `now()` or `random()`: a voter that replays the log must come to
//!   the same rows. Times and identifiers are arguments.
//! - A record counter and a guest MAC are on disk before anything uses them, and neither comes back
//!   ([`Store::next_record`], [`Store::draw_mac`]).
//! - History and events are only ever added to.
//!
//! One process per data folder: [`Store::open`] holds a lock.

mod batch;
mod counters;
mod error;
mod open;
mod read;
mod rows;
mod schema;

pub use batch::Batch;
pub use counters::RecordNumber;
pub use error::StoreError;
pub use open::Store;
pub use rows::{
    BlobRow, EventRow, ImageRow, ImageState, NewEvent, NodeRow, SessionRow, TransactionRow, UserRow, VsRow,
};
