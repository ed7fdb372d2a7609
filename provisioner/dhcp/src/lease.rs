//! Leases, and where they are kept.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::HwAddr;

/// An address given to a client, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// Whose.
    pub hw: HwAddr,
    /// When it ends, seconds since 1970.
    pub expires_s: u64,
    /// What became of it.
    pub state: LeaseState,
}

/// What became of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Granted.
    Bound,
    /// Given back by the client.
    Released,
    /// The client found somebody else there; the address rests until `expires_s`.
    Declined,
}

/// Called once the lease is durable, or is known not to be.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Keeps leases. [`crate::LeaseJournal`] is the one that ships.
pub trait LeaseStore: Send + 'static {
    /// Makes `lease` durable and then calls `done`, from any thread. Does not block. Leases are kept in the order in which they
    /// were submitted; the last for an address counts.
    fn submit(&self, lease: Lease, done: Done);
}

/// Why a lease is not durable. No ACK is sent for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the file system.
    #[error("lease journal: file system full")]
    Full,
    /// The file system failed otherwise.
    #[error("lease journal: {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What came back.
        #[source]
        source: Arc<io::Error>,
    },
    /// Another process holds the journal.
    #[error("lease journal: in use by another process")]
    Locked,
    /// Not a journal, or of a later version.
    #[error("lease journal: not a journal of this version")]
    Format,
    /// Too many leases wait to be written.
    #[error("lease journal: too many leases waiting")]
    Busy,
    /// The journal was closed.
    #[error("lease journal: closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(action: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { action, source: Arc::new(source) },
        }
    }
}
