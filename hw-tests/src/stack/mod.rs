//! The whole stack in a lab: keys of this machine, the signed image, the appliance, nodes that boot.
//!
//! - [`keys`], [`image`]: this machine's lab keys, and the image signed by them;
//! - [`appliance`]: the appliance, driven only through its own program;
//! - [`nodes`]: boot stages, and approval by a node's own console;
//! - [`whole`]: all of it at once, for tests;
//! - [`progress`]: what is said meanwhile.

pub mod appliance;
pub mod image;
pub mod keys;
pub mod nodes;
pub mod progress;
pub mod whole;

pub use appliance::{Access, Dhcp, Options};
pub use keys::LabKeys;
pub use progress::Progress;
pub use whole::{Ground, Stack};
