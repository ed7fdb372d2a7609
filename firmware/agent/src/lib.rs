//! The node's management agent, written against the Hermit calls only (`weft_abi::sys`).
//!
//! ```text
//! Address ─▶ Delegation ─▶ Dialling ─▶ Shaking ─▶ Greeting ─▶ Online
//!    ▲ no lease   │ tftp, verify  │ tcp      │ noise    │ hello     │
//!    └────────────┴───────────────┴── Waiting (backoff, jitter) ◀───┘ any failure
//! ```
//! It never gives up and never blocks: [`Agent::poll`] does what can be done now. While it is away from the
//! appliance the node goes on with what it has; the built-in default is to run nothing and to hold no keys.
//!
//! Trust: the root set comes with the image; the delegation must be signed under it and is never older than
//! one seen in this boot; the appliance must prove the delegated channel key; a record must pass
//! `weft_format`'s gate, and a configuration counts only after a good `Standing` on the same connection,
//! because a diskless node has no clock of its own to judge expiry by. Each refusal is said in words on the
//! node's console.
#![no_std]
extern crate alloc;

mod backoff;
mod channel;
mod cluster;
mod delegation;
mod facts;
mod fetch;
mod machine;
pub mod operator;
mod outgoing;
mod records;

pub use cluster::ClusterTrust;
pub use facts::Facts;
pub use machine::{Agent, AgentEvent, Phase};

/// The identity of a node key: the first 16 bytes of SHA-256 over a tag and the public key.
pub fn node_id(public_key: &[u8; 32]) -> weft_types::NodeId {
    let digest = weft_format::digest::sha256_parts(&[b"weft node key v1", public_key]);
    let mut id = [0; 16];
    id.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
    weft_types::NodeId(id)
}
