//! The virtual machine: exits, interrupts, clock, devices, guest loading; pure, no hardware.
//!
//! Guest memory is asked for, never assumed: every access may answer
//! [`Need`](weft_platform::MemError::Need), and what was begun is then run again from its start.
//!
//! - [`layout`]: the guest's address map.
//! - [`loader`]: kernel, initial RAM disk, boot structures.
//! - [`acpi`]: the tables that describe the machine.
//! - [`decode`]: the instructions that the monitor completes for the guest.
//! - [`devices`]: serial console, IOAPIC, virtio.
#![no_std]

extern crate alloc;

pub mod acpi;
pub mod cpu;
pub mod decode;
pub mod devices;
pub mod layout;
pub mod loader;
pub mod machine;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod fake;
