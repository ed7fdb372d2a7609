//! Addresses, identifiers and bounded values that every node crate shares.
//!
//! Nothing here knows hardware, a protocol or a clock. Addresses of the three spaces are separate
//! types so that they cannot be mixed: guest physical ([`Gpa`]), guest virtual ([`Gva`]) and host
//! physical ([`Hpa`]).
#![no_std]

mod addr;
pub mod handoff;
mod id;
mod number;
mod order;

pub use addr::{Gpa, Gva, Hpa, PAGE_SIZE};
pub use id::{BlobDigest, ClusterId, Epoch, Fingerprint, NodeId, PartitionId, VsId};
pub use number::ConfigNumber;
pub use order::sort_few_by_key;
