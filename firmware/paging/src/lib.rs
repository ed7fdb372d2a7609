//! Nested page tables and guest page walks. Pure: table frames are reached through
//! [`FrameStore`](weft_platform::FrameStore), guest memory through
//! [`GuestMemory`](weft_platform::GuestMemory).
//!
//! - [`nested`]: guest physical to host physical, the tables that the processor walks.
//! - [`walk`]: guest virtual to guest physical, the tables that the guest wrote, for fetching an
//!   instruction that the monitor must decode.
//! - [`shadow`]: guest virtual to guest physical again, in tables of ours, so that the processor need not walk
//!   those of the guest.
#![no_std]

extern crate alloc;

pub mod nested;
pub mod shadow;
pub mod walk;

pub use nested::{MapError, Mapping, NestedTables, PageSize, Rights};
pub use walk::{Privilege, Translation, WalkAccess, WalkError, WalkState, fetch, translate};

#[cfg(test)]
extern crate std;
#[cfg(test)]
pub(crate) mod fake;
