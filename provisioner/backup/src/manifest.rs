//! What a backup says of itself.

use serde::{Deserialize, Serialize};

/// The format that this program writes and reads.
pub const FORMAT: &str = "weft backup v1";
/// Name of the first entry.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The part that has the rows and history.
pub const STORE: &str = "store.db";
/// Parts without which there is no appliance.
const NEEDED: [&str; 4] = [STORE, "keys/channel.key", "keys/record.key", "keys/seal.key"];
/// Parts that may be there too; files and blobs go by their digest.
const KNOWN: [&str; 6] = [
    "trust/roots.bin",
    "trust/delegation.bin",
    "trust/revocations.bin",
    "tls/cert.pem",
    "tls/key.pem",
    "leases",
];

/// Parts that are copied from the data folder as they are: small ones, by their paths there.
pub fn small_parts() -> impl Iterator<Item = &'static str> {
    NEEDED.into_iter().filter(|name| *name != STORE).chain(KNOWN)
}

/// The first entry of a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// When it was made, RFC 3339.
    pub made: String,
    /// Version of the program that made it.
    pub program: String,
    /// Schema version of the rows.
    pub schema: i64,
    /// Identity of the cluster, 32 hexadecimal digits.
    pub cluster: String,
    /// Number of the last transaction in it.
    pub transaction: u64,
    /// Sequence number of the last event in it.
    pub event: u64,
    /// Files of images and guests that the rows name and that were left out.
    pub left_out: u64,
    /// What follows, in this order.
    pub parts: Vec<Listed>,
}

/// A part, as the manifest lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name, which is its path in the data folder, but for [`STORE`].
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// What keeps it from being a backup that can be restored.
    pub(crate) fn fault(&self) -> Option<String> {
        let mut names = std::collections::BTreeSet::new();
        for part in &self.parts {
            if !is_part(&part.path) {
                return Some(format!("there is no part {:?}", part.path));
            }
            if !names.insert(part.path.as_str()) {
                return Some(format!("{} is listed twice", part.path));
            }
        }
        let missing = NEEDED.iter().find(|name| !names.contains(*name));
        missing.map(|name| format!("{name} is missing"))
    }
}

/// Whether a part of a backup can have this name.
pub fn is_part(path: &str) -> bool {
    let digest =
        |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    NEEDED.contains(&path)
        || KNOWN.contains(&path)
        || path.strip_prefix("files/").or_else(|| path.strip_prefix("blobs/")).is_some_and(digest)
}
