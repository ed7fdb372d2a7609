//! Limits and addresses of the engine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Settings. The default serves port 69 on all addresses with limits for a few thousand nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TftpConfig {
    /// Where read requests arrive. Port 0 picks one, for tests.
    pub listen: SocketAddr,
    /// Bind every socket to this interface (`SO_BINDTODEVICE`).
    pub device: Option<String>,
    /// Threads. Each owns its sockets and transfers.
    pub workers: usize,
    /// Sockets (server TIDs) a thread.
    pub sockets_per_worker: usize,
    /// Largest IP datagram that the wire carries; `blksize` is answered so that a block fits.
    pub mtu: u16,
    /// Largest `windowsize` granted, at most 64.
    pub max_window: u16,
    /// Transfers at once.
    pub max_transfers: usize,
    /// Transfers at once for one source address.
    pub max_per_source: usize,
    /// Transfers of one source address that it has not acknowledged once yet.
    pub max_half_open_per_source: usize,
    /// First and shortest retransmission time, milliseconds.
    pub initial_rto_ms: u64,
    /// Lower bound of the measured retransmission time.
    pub min_rto_ms: u64,
    /// Upper bound of the retransmission time.
    pub max_rto_ms: u64,
    /// Retransmissions of the same block before giving up.
    pub max_retries: u32,
    /// Retransmissions before the first acknowledgement: what a forged source address can be made to receive.
    pub max_half_open_retries: u32,
    /// A transfer lasts no longer than this.
    pub max_transfer_s: u64,
    /// Answers to datagrams that belong to no transfer, a second, for each socket.
    pub max_stray_errors_per_s: u32,
    /// Longest time that a thread looks for the next acknowledgement before it sleeps, microseconds; 0 for never. Only
    /// after acknowledgements that came faster than that.
    pub linger_us: u64,
}

impl Default for TftpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 69),
            device: None,
            workers: 2,
            sockets_per_worker: 8,
            mtu: 1500,
            max_window: 64,
            max_transfers: 8192,
            max_per_source: 16,
            max_half_open_per_source: 8,
            initial_rto_ms: 1000,
            min_rto_ms: 200,
            max_rto_ms: 8000,
            max_retries: 6,
            max_half_open_retries: 3,
            max_transfer_s: 600,
            max_stray_errors_per_s: 32,
            linger_us: 100,
        }
    }
}

impl TftpConfig {
    /// Settings for a server on `listen`, all else default.
    #[must_use]
    pub fn on(listen: SocketAddr) -> Self {
        Self { listen, ..Self::default() }
    }

    /// Largest `blksize` whose datagram fits the MTU: minus IPv4 or IPv6 header, UDP 8, TFTP 4.
    #[must_use]
    pub fn max_blksize(&self) -> u16 {
        let ip = if self.listen.is_ipv6() { 40 } else { 20 };
        self.mtu.saturating_sub(ip + 8 + 4).clamp(crate::codec::MIN_BLKSIZE, crate::codec::MAX_BLKSIZE)
    }
}
