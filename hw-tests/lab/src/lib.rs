//! The lab: whole nodes on an emulated wire, for tests and for `./just up`.
//!
//! ```text
//!   QEMU node ──unix datagrams──┐                        ┌── network namespace ───────────┐
//!   QEMU node ──unix datagrams──┤ wire (user-space       │ tap ── appliance, dnsmasq, …   │
//!   QEMU node ──unix datagrams──┘ switch, faults, pcap) ─┘                                │
//!   browser, CLI ──loopback TCP── forwarder of the wire ────▶ API of the appliance        │
//! ```
//!
//! - [`switch`]: the Ethernet switch as a pure state machine with seeded faults;
//! - [`wire`]: the process that runs it inside a namespace of its own, with one tap and a loopback forwarder;
//! - [`Lab`]: starts the wire, runs programs in its namespace, makes nodes, keeps artifacts;
//! - [`host`]: a further host on the wire, such as a second DHCP server;
//! - [`node`]: a QEMU machine: firmware, NIC, serial console, monitor socket;
//! - [`state`]: what a lab that outlives its maker writes down, for `status` and `down`.
//!
//! Nothing needs root where unprivileged user namespaces and /dev/net/tun are open, as on stock Debian. Every
//! name, socket and port is unique per lab. Only processes that a lab started are ever signalled.

pub mod emulator;
pub mod error;
pub mod host;
pub mod lab;
pub mod node;
pub mod pcap;
pub mod process;
pub mod qmp;
pub mod serial;
pub mod state;
pub mod switch;
pub mod wire;

pub use error::Error;
pub use host::Host;
pub use lab::{Lab, LabConfig, Lifetime};
pub use node::{Firmware, NicModel, Node, NodeSpec, Rom, processors};
pub use switch::Faults;
