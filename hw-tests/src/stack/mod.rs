//! The whole stack in a lab: keys of this machine, the signed image, the appliance, nodes that boot.
//!
//! - [`keys`], [`image`]: this machine's lab keys, and the image signed by them;
//! - [`appliance`]: the appliance, driven only through its own program;
//! - [`nodes`]: boot stages, and approval by a node's own console;
//! - [`progress`]: what is said meanwhile.

pub mod appliance;
pub mod image;
pub mod keys;
pub mod nodes;
pub mod progress;

pub use appliance::Access;
pub use keys::LabKeys;
pub use progress::Progress;
