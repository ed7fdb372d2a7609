//! Host tests of what both entries share.

mod elf;
mod firmware;
mod image;
mod load;
mod netinfo;
mod regions;
mod sample;
mod verify;
