//! Keeps the memory of one guest coherent over the nodes that it runs on.
//!
//! A directory protocol: for every 4 KiB page one writer or many readers, so that the guest sees the memory
//! order of one machine. The crate decides and touches nothing: no page bytes, no tables, no clock, no network.
//! What happened goes in, [`Effect`]s come out, and the same code runs in the node, in the simulator and in the
//! model checker.
//!
//! ```text
//!   requester ──Get──▶ locator ──Fetch──▶ owner ──Data──▶ requester ──Done──▶ locator
//!                         └──Invalidate──▶ sharers ──Ack──▶ requester ──Taken──▶ owner
//! ```
//! Invariants, each checked by the simulator after every event:
//! - *single writer*: who may write a page is the only one who may reach it;
//! - *flush first*: no acknowledgement, copy or message before the flush of the right that it gives away;
//! - *one transfer at a time*: the locator starts the next transfer of a page when the requester of the last one
//!   confirmed it, so that messages of different pairs and classes may overtake each other freely;
//! - *last copy*: the former owner keeps its frame until the requester confirmed;
//! - *epochs*: a message of another epoch changes nothing;
//! - *bounds*: memory is bounded by the [`Limits`] and by 1 byte for each guest page, 13 more at its locator.
//!
//! Modules: [`codec`] and [`content`] are the bytes on the wire; `requester`, `locator` and `holder` are the three
//! parts that a member plays for a page; `waiters` and `token` let every instruction finish; `pressure` finds
//! frames; `stream` looks ahead; `hot` finds pages that move too often.
#![no_std]
extern crate alloc;

mod cache;
pub mod codec;
mod config;
pub mod content;
mod counters;
mod directory;
mod effect;
mod engine;
mod holder;
mod hot;
mod layout;
mod local;
mod locator;
mod pressure;
mod requester;
mod stream;
mod token;
mod types;
mod waiters;

#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, Limits, MAX_PAGES, MAX_RANGES, Range};
pub use counters::{BUCKETS, Counters, Latency};
pub use effect::{Cause, Effect, Payload, Source};
pub use engine::{Engine, Want, Wanted};
pub use hot::{FaultPage, HotPage};
pub use types::{Arrived, Class, MAX_MEMBERS, Member, Members, Page, Right, Ticket, Waiter};
pub use weft_platform::Access;
