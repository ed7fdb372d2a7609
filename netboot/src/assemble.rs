//! Joining the parts into one file.
//!
//! The output depends on the inputs alone: no time stamps, no paths, zero padding.

mod bios;
mod elf;
mod uefi;

pub use bios::{BiosError, bios};
pub use elf::loadable;
pub use uefi::{UefiError, uefi};
