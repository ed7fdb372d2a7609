//! Counters, shared by all threads.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)* }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Datagrams on the request port.
    requests,
    /// Requests that were not well-formed reads of octets.
    bad_requests,
    /// Requests for content that is not there.
    not_found,
    /// Requests refused by a limit.
    refused,
    /// Requests repeated from a TID whose transfer lives.
    duplicates,
    /// Transfers started.
    started,
    /// Transfers whose last block was acknowledged.
    completed,
    /// Transfers that ended otherwise.
    failed,
    /// Transfers now.
    active,
    /// DATA blocks sent, repeats included.
    blocks_sent,
    /// DATA blocks sent again.
    blocks_resent,
    /// Acknowledgements that told nothing new.
    useless_acks,
    /// Datagrams on a transfer socket that belong to no transfer.
    strays,
    /// Datagrams the kernel refused to send.
    send_errors,
}

/// Add one.
pub(crate) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Add `n`.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
