//! API types shared by server, command line and (through the OpenAPI document) the page.
//!
//! All times are RFC 3339 strings in UTC; all identifiers and digests are lower-case hexadecimal. Lists are
//! bare arrays, and each item carries `name` and `state`.
//!
//! | method and path | what |
//! |---|---|
//! | `POST /api/v1/login` `{user, password}` → `{token, must_change}` | session token, `Authorization: Bearer` or cookie `weft_session` |
//! | `POST /api/v1/logout`, `POST /api/v1/password` `{old, new}` | |
//! | `GET /api/v1/nodes`, `GET /api/v1/nodes/{name}` | [`Node`]; `{name}` is a name, id or unique id prefix |
//! | `POST /api/v1/nodes/{name}/approve` `{fingerprint}` | the fingerprint must match |
//! | `POST /api/v1/nodes/{name}/reboot`, `DELETE /api/v1/nodes/{name}` | forget |
//! | `POST /api/v1/nodes/{name}/push` | sign the node's configuration record anew and send it |
//! | `GET /api/v1/nodes/{name}/log?lines=N` | [`LogEntry`] |
//! | `GET /api/v1/vs`, `POST /api/v1/vs` [`VsCreate`], `GET|DELETE /api/v1/vs/{name}` | [`Vs`] |
//! | `POST /api/v1/vs/{name}/start`, `…/stop`, `…/reset` | |
//! | `GET /api/v1/vs/{name}/console` (WebSocket) | binary frames: history first, then live; client frames are input |
//! | `GET /api/v1/images`, `POST /api/v1/images` (body: image file) | [`Image`] |
//! | `POST /api/v1/images/{digest}/activate`, `…/revoke` | |
//! | `PUT /api/v1/images/{digest}/bios` (body: Multiboot file) | companion for BIOS nodes, [`Image`] |
//! | `PUT /api/v1/blobs` (body: file) → `{digest, size}` | guest kernels and initramfs |
//! | `GET /api/v1/events?after=SEQ&limit=N` | [`Event`] |
//! | `GET /api/v1/events/stream?after=SEQ` | the same as SSE, `id:` = `seq` |
//! | `GET /api/v1/doctor` | [`Finding`] |
//! | `GET /api/v1/config` | [`ApplianceConfig`] |
//! | `GET /api/v1/openapi.json`, `GET /healthz`, `GET /readyz`, `GET /metrics` | |
//!
//! Errors are [`Problem`] (RFC 9457) with the HTTP status.

use serde::{Deserialize, Serialize};

/// A node, known by its key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Operator's name, `node-1` by default.
    pub name: String,
    /// `booting` (seen by DHCP/TFTP only), `quarantined`, `approved` (but away), `ready`, `lost`, `conflict`.
    pub state: String,
    /// 32 hexadecimal digits; empty while only its MAC is known.
    pub id: String,
    /// `3f2a-…` as on the node's own console; empty while booting.
    pub fingerprint: String,
    /// MAC that booted, `02:00:00:00:00:01`.
    pub mac: String,
    /// IPv4 address, empty where unknown.
    pub address: String,
    /// `uefi`, `bios`, empty where unknown.
    pub boot_path: String,
    /// UEFI Secure Boot and a kept key.
    pub trusted_boot: bool,
    /// Image generation, 0 where unknown.
    pub generation: u64,
    /// Image digest.
    pub image: String,
    /// Logical processors.
    pub cpus: u16,
    /// Processor model.
    pub cpu_model: String,
    /// Usable memory, KiB.
    pub memory_kib: u64,
    /// Memory in use by the monitor, KiB.
    pub monitor_kib: u64,
    /// Memory of guests, KiB.
    pub guest_kib: u64,
    /// Exits since start.
    pub exits: u64,
    /// Busy share, 1/1000.
    pub busy_permille: u16,
    /// Since its start, milliseconds.
    pub uptime_ms: u64,
    /// Last heard of.
    pub last_seen: String,
    /// Boot stages in order.
    pub stages: Vec<BootStage>,
    /// NICs.
    pub nics: Vec<Nic>,
    /// Features of the processor in use.
    pub features: Vec<String>,
    /// Names of virtual servers placed on it.
    pub servers: Vec<String>,
}

/// A boot stage. `dhcp`, `tftp`, `http` are seen by the appliance; the rest is reported by the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BootStage {
    /// `dhcp`, `fetch`, `entry`, `verified`, `started`, `processors`, `network`, `delegation`, `channel`.
    pub stage: String,
    /// When the appliance saw it or was told.
    pub at: String,
    /// Milliseconds since the first stage of this boot.
    pub since_first_ms: u64,
}

/// A NIC of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Nic {
    /// Hardware address.
    pub mac: String,
    /// Driver.
    pub driver: String,
    /// `1af4:1000`.
    pub pci_id: String,
    /// Link.
    pub link_up: bool,
    /// IPv4 address.
    pub address: String,
}

/// A virtual server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Vs {
    /// Unique name.
    pub name: String,
    /// `stopped`, `starting`, `fetching`, `running`, `off`, `failed`, `unknown` (node away).
    pub state: String,
    /// Identity.
    pub id: String,
    /// `running` or `stopped`.
    pub desired: String,
    /// Node that runs it.
    pub node: String,
    /// Processors.
    pub vcpus: u16,
    /// MiB.
    pub memory_mib: u32,
    /// Digest of the kernel.
    pub kernel: String,
    /// Digest of the initial ram disk, empty where none.
    pub initrd: String,
    /// Added command line.
    pub append: String,
    /// MACs.
    pub macs: Vec<String>,
    /// Definition generation.
    pub generation: u64,
    /// Starts so far.
    pub instance: u64,
    /// Why it failed.
    pub reason: String,
    /// Exits since start.
    pub exits: u64,
}

/// A new virtual server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VsCreate {
    /// Unique name: letters, digits, `-`, 1–63.
    pub name: String,
    /// Node by name or id; empty: the approved node with most free memory.
    #[serde(default)]
    pub node: String,
    /// Processors, 1–32.
    pub vcpus: u16,
    /// MiB, at least 64.
    pub memory_mib: u32,
    /// Digest of an uploaded kernel; empty: the appliance's default guest.
    #[serde(default)]
    pub kernel: String,
    /// Digest of an uploaded initial ram disk; empty: none, or the default guest's.
    #[serde(default)]
    pub initrd: String,
    /// Added command line.
    #[serde(default)]
    pub append: String,
}

/// A published image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    /// Build id.
    pub name: String,
    /// `active`, `published`, `revoked`, `expired`.
    pub state: String,
    /// Image digest.
    pub digest: String,
    /// Generation.
    pub generation: u64,
    /// Least acceptable generation.
    pub floor: u64,
    /// Bytes.
    pub size: u64,
    /// Expiry.
    pub not_after: String,
    /// Signatures by key id.
    pub signers: Vec<String>,
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Grows by one.
    pub seq: u64,
    /// When.
    pub at: String,
    /// `area.what`.
    pub name: String,
    /// Severity: `debug`, `info`, `warn`, `error`.
    pub state: String,
    /// Node concerned, by name.
    pub node: String,
    /// Virtual server concerned, by name.
    pub vs: String,
    /// Who caused it: user, node, appliance.
    pub actor: String,
    /// For a person.
    pub text: String,
}

/// A line of a node's log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogEntry {
    /// When the appliance received it.
    pub at: String,
    /// Milliseconds since the node's start.
    pub uptime_ms: u64,
    /// Severity.
    pub level: String,
    /// Text.
    pub text: String,
}

/// What `doctor` found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// What it is about: a node, `appliance`, `image`, `network`.
    pub name: String,
    /// `ok`, `warn`, `fail`.
    pub state: String,
    /// What was seen.
    pub text: String,
    /// What to do.
    pub next: String,
}

/// The appliance's own settings as an operator sees them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplianceConfig {
    /// Cluster identity.
    pub cluster: String,
    /// Interface served.
    pub interface: String,
    /// Address on it.
    pub address: String,
    /// `full`, `proxy` or `off`.
    pub dhcp_mode: String,
    /// Active image digest.
    pub active_image: String,
    /// Delegation version.
    pub delegation_version: u64,
}

/// An error (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Stable name, for example `node-not-found`.
    pub code: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong.
    pub title: String,
    /// What to do.
    pub next: String,
}

/// Log-in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginRequest {
    /// Account.
    pub user: String,
    /// Password.
    pub password: String,
}

/// Answer to a log-in. The token is also set as cookie `weft_session`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginReply {
    /// Bearer token.
    pub token: String,
    /// Everything but `POST /api/v1/password` and log-out is refused until the password is changed.
    pub must_change: bool,
}

/// A change of the caller's own password. All other sessions of the account end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasswordChange {
    /// As it is.
    pub old: String,
    /// As it shall be, 12 to 256 characters.
    pub new: String,
}

/// Approval of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approve {
    /// As on the node's own console.
    pub fingerprint: String,
}

/// A stored blob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlobReply {
    /// SHA-256.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}
