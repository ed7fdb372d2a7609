//! Every record and message between node and appliance.
//!
//! - [`agent`]: messages of the agent channel (Noise over TCP, length-prefixed frames);
//! - [`codec`]: bounded, canonical encoding of them;
//! - [`record`]: signed configuration records and their envelope;
//! - [`ports`]: the well-known ports.
//!
//! All bytes come from outside: every decoder bounds lengths before allocating, rejects trailing bytes
//! and non-canonical encodings, and returns an error instead of panicking.
#![no_std]
extern crate alloc;

pub mod agent;
pub mod codec;
pub mod record;

/// Ports of an appliance, as seen by nodes. A delegation may name others.
pub mod ports {
    /// TFTP, UDP (RFC 1350).
    pub const TFTP: u16 = 69;
    /// Boot HTTP, TCP.
    pub const HTTP: u16 = 80;
    /// Agent channel, TCP.
    pub const AGENT: u16 = 4470;
    /// API and page over TLS, TCP.
    pub const API: u16 = 8443;
}
