//! The node: what it should run, what it runs, and how one becomes the other.
//!
//! - [`Node`]: the state machine, `step(now, event, effects)`, without input or output of its own;
//! - [`runtime`]: puts IP stack, system calls, agent and state machine together for the boot processor's
//!   loop.
#![no_std]
extern crate alloc;

mod blobs;
mod config;
mod console;
pub mod kernel;
pub mod runtime;
mod server;
mod step;

pub use blobs::Blob;
pub use config::{ConfigError, MAX_SERVERS, check_config};
pub use step::{Effect, Effects, Event, Limits, Node, StopCause};

#[cfg(test)]
mod tests;
