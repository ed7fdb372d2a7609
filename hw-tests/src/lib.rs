//! Whole-node tests: power-on, boot, guests, faults. The tests are in `tests/`; this library holds what they share.
//!
//! - [`bare`]: a node with one guest and no appliance;
//! - [`defect`]: what the emulator ends by a defect of its own is run again;
//! - [`members`]: nodes that run one guest together, likewise;
//! - [`package`]: the Debian package of the appliance;
//! - [`peers`]: other people's servers, unpacked beside the build and run inside a lab, never installed;
//! - [`report`]: figures of benches;
//! - [`stack`]: keys, image, appliance and nodes together, as `./just up` shows them;
//! - [`tidy`]: rules of dependency and of style;
//! - [`workspace`]: folders, and running programs;
//! - [`permit`]: at most one test at a time has busy emulated nodes.

pub mod bare;
pub mod defect;
pub mod members;
pub mod package;
pub mod peers;
pub mod permit;
pub mod report;
pub mod stack;
pub mod tidy;
pub mod workspace;

/// Whether the long tests run: `./just soak`.
pub fn is_soak() -> bool {
    std::env::var_os("WEFT_SOAK").is_some()
}
