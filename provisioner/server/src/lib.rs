//! The appliance's API, agent endpoint and reconciler.
//!
//! | module | what |
//! |---|---|
//! | [`core`](mod@core) | store, world, trust; the one way in which anything changes |
//! | `agent`, `heard` | nodes that dial in, and what they say |
//! | `nodes`, `servers`, `records` | identity and approval; intent; signed records |
//! | `networks` | virtual switches, ports, gateway ports, VNICs, VHBAs, NICs |
//! | `containers`, `moves`, `topology`, `past` | what nodes stand in; what lies where, where it may go, and where it was |
//! | `pools`, `templates`, `creation` | identifiers; what new servers are made of; making them |
//! | `power` | management controllers of nodes |
//! | `transactions` | changes decided, shown, made and taken back |
//! | `jobs` | several changes as one unit that waits for the nodes |
//! | `images`, `blobs` | what is published and fetched |
//! | `load`, `metrics` | what nodes and servers use, now and before; for other systems |
//! | `backup`, `restore` | one file of everything, and back |
//! | `boots`, `doctor` | machines on their way; where they stopped |
//! | `drift` | where nodes are not as they are wanted |
//! | `accounts`, `auth`, [`http`] | who asks; what it may do; the interface itself |
//! | [`trust`], [`keys`] | what root holders signed; this appliance's own keys |
//!
//! The engines for DHCP, TFTP and boot HTTP are wired to this crate by the program itself.

mod accounts;
mod affinity;
pub mod agent;
mod apply;
mod auth;
mod backup;
mod blobs;
mod boot_files;
mod boots;
mod cluster;
mod console;
mod containers;
pub mod core;
mod creation;
mod doctor;
mod drift;
mod editing;
mod error;
mod groups;
mod guest_settings;
mod heard;
mod history;
pub mod http;
mod images;
mod jobs;
pub mod keys;
mod labels;
mod load;
mod metrics;
mod moves;
mod networks;
mod nodes;
mod observe;
mod operators;
mod partitions;
mod past;
pub mod peers;
mod pools;
mod power;
mod reboots;
mod records;
mod restore;
mod search;
mod servers;
#[cfg(feature = "simnode")]
pub mod simnode;
mod span;
mod spanning;
mod templates;
mod topology;
mod transactions;
pub mod trust;
mod util;
mod versions;
mod view;
mod world;

pub use accounts::{ADMIN, password_path};
pub use boots::{DhcpSeen, Program};
pub use error::Error;
pub use restore::{RestoreError, restore};

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
