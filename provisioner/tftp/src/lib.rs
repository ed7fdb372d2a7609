//! A read-only TFTP server that serves byte strings from memory.
//!
//! RFC 1350 with the options of RFC 2347 (negotiation), 2348 (`blksize`), 2349 (`tsize`, `timeout`) and
//! 7440 (`windowsize`). Neighbours: the appliance implements [`Content`] and owns an [`Engine`]; nobody else
//! sees a socket.
//!
//! ```text
//!  datagram on port 69 ─▶ codec::Request ─▶ Content::open ─▶ worker socket (the server's TID)
//!                                                              │ transfer::Transfer (sans-IO)
//!                                          ACK, ERROR ───────▶ │ Step ─▶ DATA, OACK, ERROR
//! ```
//!
//! Invariants:
//! - A transfer is a few hundred bytes of state and a reference to shared content. It has no thread, no task and no
//!   socket of its own: a fixed set of sockets carries all of them, told apart by the client's address and port.
//! - Number, time, retries, and transfers per source are bounded ([`TftpConfig`]).
//! - Names never reach a file system; see [`codec::clean_name`].
//! - An acknowledgement that tells nothing new sends nothing (the sorcerer's apprentice of RFC 1123 section 4.2.3.1).

pub mod codec;
mod config;
mod engine;
mod linger;
mod poll;
mod port;
mod socket;
mod stats;
pub mod transfer;
mod worker;

use std::net::SocketAddr;
use std::time::Duration;

pub use bytes::Bytes;
pub use config::TftpConfig;
pub use engine::{Engine, StartError};
pub use stats::Snapshot;
pub use transfer::FailReason;

/// What the engine serves. Called on the engine's own threads: answer from memory, do not block.
pub trait Content: Send + Sync + 'static {
    /// The bytes behind `name` for this peer, or `None` ("file not found"). `name` has been checked by
    /// [`codec::clean_name`]: relative, printable ASCII, without `..`, backslash, colon or empty parts.
    fn open(&self, peer: SocketAddr, name: &str) -> Option<Bytes>;

    /// Called once when a transfer starts and once when it ends.
    fn event(&self, event: &TransferEvent) {
        let _ = event;
    }
}

/// Something that happened to one transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferEvent {
    /// The client's address and TID.
    pub peer: SocketAddr,
    /// The name it asked for, checked.
    pub name: String,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A read request was accepted.
    Started {
        /// Length of the content.
        size_bytes: u64,
        /// Bytes a block.
        blksize: u16,
        /// Blocks a window.
        windowsize: u16,
    },
    /// The last block was acknowledged.
    Completed {
        /// Length of the content.
        size_bytes: u64,
        /// From the read request to the last acknowledgement.
        elapsed: Duration,
    },
    /// It ended otherwise.
    Failed {
        /// Why.
        reason: FailReason,
        /// Bytes that were acknowledged.
        acked_bytes: u64,
    },
    /// The content was not there.
    NotFound,
    /// A limit refused it.
    Refused,
}
