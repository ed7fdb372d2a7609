//! The file of a backup.
//!
//! ```text
//! tar: manifest.json, then each part in the manifest's order        [sealed by a passphrase, where wanted]
//! ```
//! The manifest says format, version of the rows, and size and SHA-256 of each part. A file is good when its parts are those
//! of the manifest, in that order, each with its digest, and nothing follows. Names of parts come from a short list
//! ([`is_part`]), so that no file can say where it is written.
//!
//! - [`write()`]: a backup from its parts, as a stream;
//! - [`read()`]: judges the manifest, then hands out part after part; [`verify`] hands out none;
//! - [`sealed`]: the same stream under a passphrase.

mod error;
mod manifest;
mod read;
pub mod sealed;
mod write;

pub use error::BackupError;
pub use manifest::{FORMAT, Listed, Manifest, STORE, is_part, small_parts};
pub use read::{Ask, read, verify};
pub use write::{Part, Source, write};

use ring::digest::{Context, SHA256};

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of what is read until the end, hexadecimal, and its size.
pub fn digest_of(mut from: impl std::io::Read) -> std::io::Result<(String, u64)> {
    let mut context = Context::new(&SHA256);
    let mut size = 0u64;
    let mut piece = vec![0; 256 * 1024];
    loop {
        let count = from.read(&mut piece)?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        context.update(bytes);
        size = size.saturating_add(bytes.len() as u64);
    }
    Ok((hex(context.finish().as_ref()), size))
}
