//! Membership of a partition: who is in it, what its members agreed on, and for how long that holds.
//!
//! - [`Membership`]: messages, time and the appliance's words in, [`Effect`]s out; no clock, no input or output;
//! - [`Agreement`]: candidates, votes and commits, without time; [`Acceptor`]: a voter's memory, of which the
//!   appliance holds one too;
//! - [`Decision`], [`Epoch`]: what is agreed, and what a majority is;
//! - [`Founder`]: what the appliance does for a partition;
//! - [`lease`]: how long it may be relied on; [`suspicion`]: who answers.
//!
//! The design, and what was rejected, is in docs/membership.md.
#![no_std]
extern crate alloc;

pub mod acceptor;
pub mod agreement;
mod appliance;
pub mod decision;
pub mod effect;
pub mod founder;
pub mod frames;
pub mod lease;
mod membership;
pub mod message;
pub mod suspicion;
pub mod talk;
mod timing;

pub use acceptor::{Acceptor, Later};
pub use agreement::Agreement;
pub use decision::{
    Base, Decision, Epoch, Incarnation, MAX_VOTERS, RecordId, Voter, has_witness, is_majority,
};
pub use effect::{Config, Effect, Judge, Refusal, Standing, View};
pub use founder::Founder;
pub use membership::Membership;
pub use talk::{Output, Remaining, Talk};
pub use timing::Timing;
