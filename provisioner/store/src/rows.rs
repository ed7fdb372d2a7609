//! What is kept. Each row stands in its table as key columns and one JSON document, so that history
//! holds the same document before and after. A field that came later has a default, so that older documents load.

use std::collections::BTreeMap;

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
    /// Labels of the operator's making.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Id of the frame that it stands in, empty: the free pool.
    #[serde(default)]
    pub frame: String,
    /// Digest of the image that was chosen for it, empty: it boots the active one.
    #[serde(default)]
    pub image: String,
}

/// What a container is; each but the first stands in one of the level before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Holds virtual mainframes.
    Datacenter,
    /// A virtual mainframe: holds frames.
    Mainframe,
    /// Holds nodes.
    #[default]
    Frame,
}

impl Level {
    /// As history and the interface call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Datacenter => "datacenter",
            Self::Mainframe => "mainframe",
            Self::Frame => "frame",
        }
    }
}

/// A data center, a virtual mainframe, or a frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerRow {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Which of them.
    pub level: Level,
    /// Unique among those of its level.
    pub name: String,
    /// Id of what it stands in, empty for a data center.
    pub parent: String,
    /// Labels of the operator's making.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Grows with each change.
    pub generation: u64,
}

/// How a node's power is reached: its management controller.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BmcRow {
    /// Id of the node.
    pub node: String,
    /// Its name when this was set.
    pub name: String,
    /// `redfish` or `ipmi`.
    pub kind: String,
    /// Host, and port where it is not the protocol's own.
    pub address: String,
    /// Account on the controller.
    pub account: String,
    /// Its password, sealed by the appliance's key. Not part of the history, and shown by nothing.
    #[serde(default)]
    pub password: String,
    /// What is trusted: `sha256:` and digits, or PEM; empty for IPMI.
    #[serde(default)]
    pub certificate: String,
    /// Which of the controller's systems, empty where it has one.
    #[serde(default)]
    pub system: String,
    /// Grows with each change, also where only the password changed.
    pub generation: u64,
}

impl std::fmt::Debug for BmcRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BmcRow {{ node: {}, kind: {}, address: {} }}", self.node, self.kind, self.address)
    }
}

/// What was asked of a node's management controller, as history keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AskedRow {
    /// Id of the node.
    pub node: String,
    /// Its name.
    pub name: String,
    /// By which protocol.
    pub by: String,
    /// For example `power off`.
    pub asked: String,
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
    /// Partition id of a server that spans nodes, else empty; `node` is then its first node.
    #[serde(default)]
    pub partition: String,
    /// What each node gives to a server that spans nodes, in order.
    #[serde(default)]
    pub places: Vec<PlaceRow>,
    /// Key of the interconnect of this start, 64 hexadecimal digits, else empty. Not part of the history.
    #[serde(default)]
    pub link_key: String,
    /// Labels of the operator's making; no node hears of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// World Wide Node Name, drawn once and reserved for storage; empty where the server is older than these names.
    #[serde(default)]
    pub wwnn: String,
    /// Host name that the guest is given, else empty.
    #[serde(default)]
    pub hostname: String,
    /// IPv4 address with its prefix that the guest is given, else empty.
    #[serde(default)]
    pub address: String,
    /// Gateway to go with the address, else empty.
    #[serde(default)]
    pub gateway: String,
    /// Virtual processors stay on their nodes.
    #[serde(default)]
    pub pinned: bool,
    /// Processors of its nodes that virtual processors are to have: `0=1,1=3`. Empty: the nodes choose.
    #[serde(default)]
    pub affinity: String,
    /// What the present start was made with, where the definition was changed since: the next start takes the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<StartedRow>,
}

impl VsRow {
    /// As it is for its nodes now: one that was changed while it runs is as it was started.
    #[must_use]
    pub fn in_force(&self) -> Self {
        let Some(started) = self.started.clone() else { return self.clone() };
        Self {
            vcpus: started.vcpus,
            memory_mib: started.memory_mib,
            kernel: started.kernel,
            kernel_size: started.kernel_size,
            initrd: started.initrd,
            initrd_size: started.initrd_size,
            append: started.append,
            hostname: started.hostname,
            address: started.address,
            gateway: started.gateway,
            started: None,
            ..self.clone()
        }
    }
}

/// What a virtual server was started with: the part of its definition that only a start can take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StartedRow {
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
    /// Host name that the guest is given, else empty.
    pub hostname: String,
    /// IPv4 address with its prefix that the guest is given, else empty.
    pub address: String,
    /// Gateway to go with the address, else empty.
    pub gateway: String,
}

impl StartedRow {
    /// Of a server that is started as it is now.
    #[must_use]
    pub fn of(row: &VsRow) -> Self {
        Self {
            vcpus: row.vcpus,
            memory_mib: row.memory_mib,
            kernel: row.kernel.clone(),
            kernel_size: row.kernel_size,
            initrd: row.initrd.clone(),
            initrd_size: row.initrd_size,
            append: row.append.clone(),
            hostname: row.hostname.clone(),
            address: row.address.clone(),
            gateway: row.gateway.clone(),
        }
    }
}

/// What a node gives to a server that spans nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaceRow {
    /// Node id.
    pub node: String,
    /// Virtual processors.
    pub vcpus: u16,
    /// MiB.
    pub memory_mib: u32,
}

/// A partition: nodes that agree with one another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionRow {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// Node ids in the order in which they coordinate.
    pub members: Vec<String>,
    /// Epoch and counter of the newest configuration.
    pub number: (u64, u64),
    /// The newest configuration as signed, hexadecimal. Holds keys: not part of the history.
    pub record: String,
    /// Key of membership, 64 hexadecimal digits. Not part of the history.
    pub key: String,
    /// What the appliance promised as a voter: bytes of the server's making, hexadecimal. Not part of the
    /// history.
    pub founder: String,
}

/// A pool of identifiers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolRow {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// `mac` or `wwnn`.
    pub kind: String,
    /// The operator's own OUI, else empty: only locally administered identifiers are in it then.
    pub oui: String,
    /// Its own ranges, `FIRST-LAST`. Those of licences stand in the licences.
    pub ranges: Vec<String>,
    /// Grows with each change.
    pub generation: u64,
}

/// A licence: identifiers that a holder of the root set added to a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LicenceRow {
    /// 32 hexadecimal digits, of the issuer's drawing.
    pub id: String,
    /// Who it is for.
    pub name: String,
    /// `mac` or `wwnn`.
    pub kind: String,
    /// Id of the pool that it extends.
    pub pool: String,
    /// `FIRST-LAST`.
    pub range: String,
    /// Whether the appliance chose the range: the licence names a count only.
    pub counted: bool,
    /// First second of validity, since 1970.
    pub not_before: u64,
    /// First second after validity, since 1970.
    pub expiry: u64,
    /// Signing key ids.
    pub signers: Vec<String>,
    /// When it was added.
    pub at: String,
}

/// A template of virtual servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateRow {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// Processors.
    pub vcpus: u16,
    /// MiB.
    pub memory_mib: u32,
    /// Kernel digest.
    pub kernel: String,
    /// Initial ram disk digest, empty where none.
    pub initrd: String,
    /// Added command line.
    pub append: String,
    /// Partition id of servers that span nodes, else empty.
    pub partition: String,
    /// Labels; servers made from it get them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Grows with each change.
    pub generation: u64,
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
    /// `viewer`, `operator`, `auditor`, `administrator`, or `none`: only what own policies permit.
    #[serde(default)]
    pub role: String,
    /// When it was made, empty where that is not known.
    #[serde(default)]
    pub at: String,
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
    /// When it was opened, empty where that is not known.
    #[serde(default)]
    pub at: String,
    /// Address that logged in, empty where that is not known.
    #[serde(default)]
    pub source: String,
}

/// A token of the interface: it acts for an account, within its scope where it has one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenRow {
    /// Unique name.
    pub name: String,
    /// SHA-256 of the token. Not part of the history.
    pub token_hash: String,
    /// Account.
    pub account: String,
    /// When it was made.
    pub at: String,
    /// Seconds since 1970.
    pub expires: u64,
    /// What it is for; `None`: all that its account may.
    #[serde(default)]
    pub scope: Option<ScopeRow>,
}

/// The one object that a token is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRow {
    /// Kind, `vs` or `node`.
    pub kind: String,
    /// Identity: another object that gets the same name is not meant.
    pub id: String,
    /// Name when the token was made, for people.
    pub name: String,
    /// What may be done with it.
    pub verbs: Vec<String>,
}

/// A policy of the operator's making about who may do what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuthPolicyRow {
    /// Unique name.
    pub name: String,
    /// Cedar, one or several statements.
    pub text: String,
    /// When it was added.
    pub at: String,
    /// Who added it.
    pub author: String,
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
    /// The transaction that it tells of, 0 where it tells of none. Filled in when it is written.
    #[serde(default)]
    pub transaction: u64,
}

/// An event with its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Grows by one.
    pub seq: u64,
    /// What.
    pub event: NewEvent,
}

/// One object's part of a transaction, kept for ever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TransactionRow {
    /// Grows.
    pub id: u64,
    /// The transaction; grows with each batch that changes an object.
    pub number: u64,
    /// RFC 3339.
    pub at: String,
    /// Who.
    pub actor: String,
    /// What was done, for example `vs delete`.
    pub verb: String,
    /// Why.
    pub cause: String,
    /// The transaction that this one takes back, 0 where none.
    pub undoes: u64,
    /// The job that made it, 0 where none did.
    pub job: u64,
    /// Table.
    pub kind: String,
    /// Key.
    pub object: String,
    /// JSON before, `null` where it was not.
    pub before: String,
    /// JSON after, `null` where it is no more.
    pub after: String,
}
