//! The hardware layer: the one crate of the node with unsafe code.
//!
//! Everything above it is safe Rust over this crate's functions. What the soundness rests on:
//!
//! - **P (physical map).** The boot entry maps all physical memory at `PHYSMAP_BASE`; [`phys`] is the only
//!   place that turns a physical address into a pointer.
//! - **F (frames).** [`frames`] hands out each free frame once; who holds a frame owns its bytes. Guest
//!   frames are reached by copy only, never by reference, since a guest changes them at any time.
//! - **D (DMA).** Memory that a device sees is a [`dma::Dma`] or a page that its driver holds until the
//!   device is done; the monitor reaches it by volatile copy.
//! - **C (per-CPU).** `gs:[0]` holds the CPU's index from [`desc::init`] on; a guest runs between two
//!   instructions that put the host's GS back before anything else can look at it.
//!
//! Decisions do not live here: see `platform` for the traits that this crate implements.
#![no_std]

extern crate alloc;

pub mod acpi;
pub mod apic;
pub mod boot;
pub mod cpu;
pub mod desc;
pub mod dma;
pub mod entropy;
pub mod fpu;
pub mod frames;
pub mod guest_ram;
mod heap;
pub mod ioapic;
pub mod pci;
pub mod phys;
pub mod port;
pub mod screen;
pub mod serial;
pub mod smbios;
pub mod smp;
pub mod sparse_ram;
pub mod svm;
pub mod time;

pub use heap::used_bytes as heap_used_bytes;
