//! A small HTTP/1.1 server for boot content: the image, guest kernels and initial ram disks, by digest or by name.
//!
//! RFC 9110 and 9112, as much as firmware, iPXE and the node's own client use: GET and HEAD, keep-alive, one byte range,
//! `ETag` and `If-None-Match`. Neighbours: the appliance implements [`Content`] and owns an [`Engine`].
//!
//! ```text
//!  accept ─▶ head: request line and header, bounded in bytes, number and time
//!         ─▶ Content::open ─▶ answer: 200, 206, 304, 404, 416 … ─▶ body, sendfile(2)
//! ```
//!
//! Invariants:
//! - A connection holds one buffer of [`HttpConfig::max_head_bytes`]; bodies are never copied into this process's memory:
//!   the kernel sends from the file, and content that was given as bytes lives in a memory file.
//! - Every wait has an end: for the head, for room to write, for the next request ([`HttpConfig`]).
//! - Requests with a body, other methods, and anything ambiguous are refused and the connection closed.
//! - Names never reach a file system; see [`head::clean_path`].

mod answer;
mod body;
mod config;
mod connection;
mod engine;
pub mod head;
pub mod range;
mod stats;

use std::net::SocketAddr;
use std::time::Duration;

pub use body::{Blob, BlobError};
pub use bytes::Bytes;
pub use config::HttpConfig;
pub use engine::{Engine, StartError};
pub use stats::Snapshot;

/// What the engine serves. Called on the engine's own threads: answer from memory, do not block.
pub trait Content: Send + Sync + 'static {
    /// The blob behind `path` for this peer, or `None` (404). `path` has been checked by [`head::clean_path`]: relative,
    /// decoded, printable ASCII, without `..`, backslash, colon or empty parts; the query is cut off.
    fn open(&self, peer: SocketAddr, path: &str) -> Option<Blob>;

    /// Called once for each answer, after its last byte or its failure.
    fn event(&self, event: &AnswerEvent) {
        let _ = event;
    }
}

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerEvent {
    /// The client.
    pub peer: SocketAddr,
    /// The path, checked; empty where the request was not understood.
    pub path: String,
    /// HTTP status.
    pub status: u16,
    /// Bytes of body that were sent.
    pub sent_bytes: u64,
    /// Bytes of body that were to be sent.
    pub size_bytes: u64,
    /// From the request's head to the last byte.
    pub elapsed: Duration,
}
