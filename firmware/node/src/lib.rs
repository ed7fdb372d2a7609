//! The node: what it should run, what it runs, and how one becomes the other.
//!
//! - [`Node`]: the state machine, `step(now, event, effects)`, without input or output of its own;
//! - [`cluster`]: membership in a partition, in the same style; [`peers`]: its sealed datagrams;
//! - the door for operators that come while the appliance is away (docs/operator-access.md);
//! - [`runtime`]: puts IP stack, system calls, agent and state machine together for the boot processor's
//!   loop.
#![no_std]
extern crate alloc;

mod amended;
mod answers;
mod blobs;
pub mod cluster;
mod config;
mod console;
mod door;
pub mod kernel;
mod links;
mod notes;
pub mod peers;
mod restarts;
pub mod runtime;
mod server;
pub mod span;
mod step;
pub mod turns;
mod wanted;

pub use blobs::Blob;
pub use config::{ConfigError, MAX_SERVERS, check_config};
pub use step::{Effect, Effects, Event, Limits, Node, StopCause};

#[cfg(test)]
mod tests;
