//! A permit for emulated nodes, so that parallel tests, also of several test programs, do not starve each other.
//!
//! Two cores carry about two busy nodes. Tests that time nodes out would fail for want of a processor otherwise.

use std::fs::File;
use std::path::Path;

/// Held while a test's nodes are on.
#[derive(Debug)]
pub struct Permit {
    _lock: File,
}

/// Waits until no other test of this checkout has nodes on.
pub fn nodes() -> std::io::Result<Permit> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.parent().unwrap_or(here).join("target/lab");
    std::fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("permit"))?;
    lock.lock()?;
    Ok(Permit { _lock: lock })
}
