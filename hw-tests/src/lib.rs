//! Whole-node tests: power-on, boot, guests, faults. The tests are in `tests/`; this library holds what they share.
//!
//! - [`peers`]: other people's servers, unpacked beside the build and run inside a lab, never installed;
//! - [`stack`]: keys, image, appliance and nodes together, as `./just up` shows them;
//! - [`tidy`]: rules of dependency and of style;
//! - [`workspace`]: folders, and running programs;
//! - [`permit`]: at most one test at a time has busy emulated nodes.

pub mod peers;
pub mod permit;
pub mod stack;
pub mod tidy;
pub mod workspace;
