//! What is kept. Each row stands in its table as key columns and one JSON document, so that history
//! holds the same document before and after.

use serde::{Deserialize, Serialize};

/// A node by its key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeRow {
    /// 32 hexadecimal digits.
    pub id: String,
    /// X25519 public key, 64 hexadecimal digits.
    pub key: String,
    /// Unique name.
    pub name: String,
    /// An operator compared the fingerprint.
    pub approved: bool,
    /// Approval holds for this boot only (a node without trusted boot makes a key per boot).
    pub approved_boot_only: bool,
    /// Why the identity is held back, empty where it is not.
    pub conflict: String,
    /// Highest boot counter heard.
    pub boot_counter: u64,
    /// MAC that booted.
    pub mac: String,
    /// Last address.
    pub address: String,
    /// First heard of.
    pub first_seen: String,
    /// Last heard of, as of the last change worth keeping.
    pub last_seen: String,
    /// Last report of the node, JSON of the server's making.
    pub report: serde_json::Value,
}

/// A virtual server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VsRow {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// Node id that runs it.
    pub node: String,
    /// Should run.
    pub running: bool,
    /// Processors.
    pub vcpus: u16,
    /// MiB.
    pub memory_mib: u32,
    /// Kernel digest.
    pub kernel: String,
    /// Kernel bytes.
    pub kernel_size: u64,
    /// Initial ram disk digest, empty where none.
    pub initrd: String,
    /// Its bytes.
    pub initrd_size: u64,
    /// Added command line.
    pub append: String,
    /// MACs, drawn once.
    pub macs: Vec<String>,
    /// Grows with each change.
    pub generation: u64,
    /// Grows with each start.
    pub instance: u64,
}

/// State of a published image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageState {
    /// Offered to nodes.
    Active,
    /// Kept.
    #[default]
    Published,
    /// Never to run again.
    Revoked,
}

/// A published image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageRow {
    /// Image digest.
    pub digest: String,
    /// Build id.
    pub name: String,
    /// State.
    pub state: ImageState,
    /// Generation.
    pub generation: u64,
    /// Least acceptable generation.
    pub floor: u64,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub file: String,
    /// SHA-256 of the BIOS companion, empty where none.
    pub bios_file: String,
    /// SHA-256 of the manifest bytes, as nodes report it.
    pub manifest: String,
    /// First second after validity, since 1970.
    pub expiry: u64,
    /// Earlier manifests of the same image, by SHA-256, with their expiry: nodes may still run them.
    #[serde(default)]
    pub earlier: Vec<(String, u64)>,
    /// Signing key ids.
    pub signers: Vec<String>,
    /// When it was published.
    pub at: String,
}

/// A blob on disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlobRow {
    /// SHA-256.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// When.
    pub at: String,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserRow {
    /// Name.
    pub name: String,
    /// Argon2id, PHC string.
    pub hash: String,
    /// The password must be changed first.
    pub must_change: bool,
    /// The password dies at its first use.
    pub one_time: bool,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    /// SHA-256 of the token.
    pub token_hash: String,
    /// Account.
    pub user: String,
    /// Seconds since 1970.
    pub expires: u64,
}

/// An event to be added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// RFC 3339.
    pub at: String,
    /// `area.what`.
    pub name: String,
    /// `debug`, `info`, `warn`, `error`.
    pub state: String,
    /// Node name, empty where none.
    pub node: String,
    /// Virtual server name, empty where none.
    pub vs: String,
    /// User, node or `appliance`.
    pub actor: String,
    /// For a person.
    pub text: String,
}

/// An event with its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Grows by one.
    pub seq: u64,
    /// What.
    pub event: NewEvent,
}

/// A change, kept for ever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TransactionRow {
    /// Grows.
    pub id: u64,
    /// RFC 3339.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Why.
    pub cause: String,
    /// Table.
    pub kind: String,
    /// Key.
    pub object: String,
    /// JSON before, `null` where it was not.
    pub before: String,
    /// JSON after, `null` where it is no more.
    pub after: String,
}
