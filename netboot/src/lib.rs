//! Building and assembling the one boot image.
//!
//! | module | does |
//! |---|---|
//! | [`build`] | compiles the bare-metal programs, reproducibly |
//! | [`assemble`] | joins stub or BIOS entry, monitor and root set into one file |
//! | [`lab`] | a throw-away root set and a manifest, for one machine's own images |
//!
//! The order of work is build, assemble, manifest signatures (`weft-signing`), Authenticode last.

pub mod assemble;
pub mod build;
pub mod lab;
