//! Building and assembling the one boot image.
//!
//! | module | does |
//! |---|---|
//! | [`build`] | compiles the bare-metal programs, reproducibly |
//! | [`assemble`] | joins stub or BIOS entry, monitor and root set into one file |
//! | [`authenticode`] | signs the finished image with the db key, refused below k |
//! | [`secureboot`] | makes Secure Boot keys and enrolls them into a variable store |
//! | [`reproduce`] | builds twice in different folders and compares |
//! | [`image`] | all of the above but keys: from source to unsigned boot files |
//!
//! The order of work is build, assemble, manifest signatures (`weft-signing`), Authenticode last.

pub mod assemble;
pub mod authenticode;
pub mod build;
pub mod image;
pub mod reproduce;
pub mod secureboot;
mod tool;

pub use tool::ToolError;
