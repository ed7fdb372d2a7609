//! Limits and addresses of the engine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Settings. The default serves port 80 on all addresses with limits for a few thousand nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Where connections arrive. Port 0 picks one, for tests.
    pub listen: SocketAddr,
    /// Bind to this interface (`SO_BINDTODEVICE`).
    pub device: Option<String>,
    /// Threads.
    pub workers: usize,
    /// Connections at once; more wait unaccepted.
    pub max_connections: usize,
    /// Connections at once from one address; more are closed.
    pub max_per_source: usize,
    /// Bytes of request line and header.
    pub max_head_bytes: usize,
    /// Requests on one connection.
    pub max_requests: u32,
    /// From the first byte of a head to its end, milliseconds.
    pub head_timeout_ms: u64,
    /// Between requests, milliseconds.
    pub idle_timeout_ms: u64,
    /// Longest wait for the client to take any byte, milliseconds.
    pub stall_timeout_ms: u64,
    /// Slowest reader that is borne, bytes a second, judged over whole answers after the stall time.
    pub min_rate_bytes_s: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80),
            device: None,
            workers: 2,
            max_connections: 8192,
            max_per_source: 64,
            max_head_bytes: 8192,
            max_requests: 1000,
            head_timeout_ms: 10_000,
            idle_timeout_ms: 30_000,
            stall_timeout_ms: 20_000,
            min_rate_bytes_s: 4096,
        }
    }
}

impl HttpConfig {
    /// Settings for a server on `listen`, all else default.
    #[must_use]
    pub fn on(listen: SocketAddr) -> Self {
        Self { listen, ..Self::default() }
    }
}
