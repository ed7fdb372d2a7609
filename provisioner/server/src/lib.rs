//! The appliance's API, agent endpoint and reconciler.
//!
//! | module | what |
//! |---|---|
//! | [`core`](mod@core) | store, world, trust; the one way in which anything changes |
//! | `agent`, `heard` | nodes that dial in, and what they say |
//! | `nodes`, `servers`, `records` | identity and approval; intent; signed records |
//! | `images`, `blobs` | what is published and fetched |
//! | `boots`, `doctor` | machines on their way; where they stopped |
//! | `accounts`, [`http`] | who may ask; the interface itself |
//! | [`trust`], [`keys`] | what root holders signed; this appliance's own keys |
//!
//! The engines for DHCP, TFTP and boot HTTP are wired to this crate by the program itself.

mod accounts;
pub mod agent;
mod blobs;
mod boots;
mod console;
pub mod core;
mod doctor;
mod error;
mod heard;
pub mod http;
mod images;
pub mod keys;
mod metrics;
mod nodes;
mod observe;
mod records;
mod servers;
#[cfg(feature = "simnode")]
pub mod simnode;
pub mod trust;
mod util;
mod view;
mod world;

pub use accounts::{ADMIN, password_path};
pub use boots::DhcpSeen;
pub use error::Error;

/// An error and its sources on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text.push_str(": ");
        text.push_str(&next.to_string());
        source = next.source();
    }
    text
}
