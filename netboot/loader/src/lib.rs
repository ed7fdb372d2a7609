//! Loading a DVMM whose image was verified: the part that the UEFI stub and the BIOS entry share.
//!
//! Everything here is a pure function over byte slices, so that it runs in host tests exactly as it
//! ships. The walk is: [`elf::Dvmm::parse`] → [`regions::RegionSet`] → [`load::Plan`] (how many bytes)
//! → the entry allocates one block below 4 GiB, the *arena* → [`load::load`] fills it with segments,
//! page tables, stack, manifest and root set → [`handoff::encode`] writes the hand-off → the entry
//! jumps. The contract with the DVMM is `weft_types::handoff`.
//!
//! The modules [`multiboot`] and [`tables`] read what a BIOS boot loader and the firmware left in
//! memory. They treat it as outside bytes: every length and address is checked.
#![no_std]

pub mod elf;
pub mod handoff;
pub mod image;
pub mod load;
pub mod multiboot;
pub mod netinfo;
pub mod paging;
pub mod phys;
pub mod refuse;
pub mod regions;
pub mod tables;
pub mod verify;
