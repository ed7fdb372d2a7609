//! DHCP for netbooted nodes: a full server with durable leases, proxyDHCP beside an existing server, and service to relays.
//!
//! RFC 2131, 2132, 3046 (option 82), 3396 (long options), 3527 (link selection), 4578 (PXE options 93, 94, 97), 6842 (client
//! identifier echoed), PXE 2.1 (options 43, 60; port 4011), UEFI 2.x (`HTTPClient`), iPXE (option 175).
//!
//! ```text
//!  datagram ─▶ packet::Request::parse ─▶ Server::handle (sans-IO, time is an argument)
//!                                          │ Effect::Send     ─────────────────────────▶ socket
//!                                          │ Effect::Persist  ─▶ LeaseStore ─ synced ──▶ socket
//!                                          └ Effect::Event    ─────────────────────────▶ Observer
//! ```
//!
//! Invariants:
//! - An ACK that grants a lease leaves only after that lease is on disk ([`LeaseStore`]).
//! - An address is bound to one hardware address at a time.
//! - Replies go to a relay that the operator listed, to an address that this server leased, to the asker's own address on a
//!   served subnet, or to the local broadcast address: nobody can be made the target of a flood from outside.
//! - Memory is bounded by the pools, whatever arrives.

pub mod arch;
pub mod boot;
mod bucket;
mod config;
mod engine;
mod event;
mod hw;
pub mod journal;
mod lease;
pub mod packet;
mod pool;
mod reply;
pub mod rogue;
mod server;

pub use config::{
    BootConfig, ConfigError, DhcpConfig, Limits, Mode, Net, Ports, Reservation, RogueConfig, Subnet,
};
pub use engine::{Engine, Snapshot, StartError};
pub use event::{ClientInfo, ClientStage, DhcpEvent, Observer};
pub use hw::HwAddr;
pub use journal::{LeaseJournal, Recovery};
pub use lease::{Done, Lease, LeaseState, LeaseStore, StoreError};
pub use server::{Destination, Effect, Meta, Reply, Server};
