//! Every record and message between node and appliance, and between nodes.
//!
//! - [`agent`]: messages of the agent channel (Noise over TCP, length-prefixed frames);
//! - [`cluster`]: partitions, spanning servers, and the record that a partition agrees on;
//! - [`codec`]: bounded, canonical encoding of them;
//! - [`figures`]: what a member of a spanning server counts;
//! - [`load`]: what a node and the servers on it use;
//! - [`operator`]: what an operator asks a node by itself, with a credential, and what it signs;
//! - [`record`]: signed configuration records and their envelope;
//! - [`span`]: between the members of a virtual server that spans nodes;
//! - [`vcpu`]: a virtual processor on its way from one member to another;
//! - [`ports`]: the well-known ports.
//!
//! All bytes come from outside: every decoder bounds lengths before allocating, rejects trailing bytes
//! and non-canonical encodings, and returns an error instead of panicking.
#![no_std]
extern crate alloc;

pub mod agent;
pub mod cluster;
pub mod codec;
pub mod figures;
pub mod load;
pub mod operator;
pub mod record;
pub mod span;
pub mod vcpu;

/// Ports of appliance and nodes. A delegation may name others for the appliance.
pub mod ports {
    /// TFTP, UDP (RFC 1350).
    pub const TFTP: u16 = 69;
    /// Boot HTTP, TCP.
    pub const HTTP: u16 = 80;
    /// Agent channel, TCP.
    pub const AGENT: u16 = 4470;
    /// Membership between nodes, UDP.
    pub const PEER: u16 = 4471;
    /// A node, for operators with a credential, TCP.
    pub const OPERATOR: u16 = 4472;
    /// API and page over TLS, TCP.
    pub const API: u16 = 8443;
}
