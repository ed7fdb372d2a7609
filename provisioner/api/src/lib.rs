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
//! | `GET /api/v1/nodes/{name}/log?lines=N&grep=T&level=L&since=T&until=T&before=SEQ` | [`LogEntry`] |
//! | `POST /api/v1/nodes/{name}/labels` [`LabelChange`] | |
//! | `GET|PUT|DELETE /api/v1/nodes/{name}/bmc` [`BmcSet`] | [`Bmc`]: its management controller |
//! | `GET /api/v1/nodes/{name}/power`, `POST /api/v1/groups/nodes/power` [`NodePower`] | [`PowerState`]; [`Plan`] |
//! | `POST /api/v1/operators` [`OperatorCreate`] | [`Operator`]: a certificate, with which nodes let it in |
//! | `GET /api/v1/vs`, `POST /api/v1/vs` [`VsCreate`], `GET|DELETE /api/v1/vs/{name}` | [`Vs`] |
//! | `PATCH /api/v1/vs/{name}` [`VsEdit`] | |
//! | `POST /api/v1/vs/{name}/start`, `…/stop`, `…/reset` | |
//! | `POST /api/v1/vs/{name}/labels` [`LabelChange`] | |
//! | `POST /api/v1/vs/{name}/copy` [`VsCopy`] | [`Vs`] |
//! | `POST /api/v1/groups/vs/create` [`VsSeries`] | [`Plan`] of one transaction, done |
//! | `GET /api/v1/templates`, `POST /api/v1/templates` [`TemplateCreate`], `GET|DELETE /api/v1/templates/{name}` | [`Template`] |
//! | `POST /api/v1/templates/{name}/labels` [`LabelChange`] | |
//! | `GET /api/v1/pools`, `POST /api/v1/pools` [`PoolCreate`], `GET|DELETE /api/v1/pools/{name}` | [`Pool`] |
//! | `POST /api/v1/pools/{name}/extend` [`PoolExtend`] | |
//! | `GET /api/v1/licences`, `POST /api/v1/licences` [`LicenceAdd`], `GET|DELETE /api/v1/licences/{id}` | [`Licence`] |
//! | `POST /api/v1/groups/vs` [`VsGroup`], `POST /api/v1/groups/nodes` [`NodeGroup`] | [`Plan`] of one transaction, done |
//! | `POST /api/v1/groups/vs/move` [`VsGroupMove`], `POST /api/v1/groups/vs/labels`, `POST /api/v1/groups/nodes/labels` [`GroupLabels`] | likewise |
//! | `GET /api/v1/datacenters`, `POST /api/v1/datacenters` [`ContainerCreate`], `GET|DELETE /api/v1/datacenters/{name}` | [`Container`]; `mainframes` and `frames` likewise |
//! | `POST /api/v1/datacenters/{name}/edit` [`ContainerEdit`] | |
//! | `POST /api/v1/groups/nodes/move` [`NodeMove`] | [`Plan`] of one transaction, done |
//! | `POST /api/v1/vs/{name}/move` [`VsMove`] | |
//! | `GET /api/v1/switches`, `POST /api/v1/switches` [`NetCreate`], `GET|DELETE /api/v1/switches/{name}` | [`NetObject`]; `gateways`, `ports`, `vnics` and `vhbas` likewise |
//! | `POST /api/v1/switches/{name}/edit` [`NetEdit`] | |
//! | `GET /api/v1/nics` | [`NodeNic`] |
//! | `GET /api/v1/manifest?kind=K&name=N` | [`Manifest`]: what is wanted, as one document |
//! | `POST /api/v1/manifest` [`Apply`] | [`Plan`] of one transaction, done |
//! | `GET /api/v1/topology` | [`Topology`] |
//! | `GET /api/v1/topology/targets?kind=K&name=N` | [`Targets`] |
//! | `GET /api/v1/vs/{name}/span` | [`Span`]: a server that spans nodes, as it works |
//! | `GET /api/v1/vs/{name}/console` (WebSocket) | binary frames: history first, then live; client frames are input |
//! | `GET /api/v1/images`, `POST /api/v1/images` (body: image file) | [`Image`] |
//! | `POST /api/v1/images/{digest}/activate`, `…/revoke` | |
//! | `GET /api/v1/rollouts?before=N&limit=N`, `POST /api/v1/rollouts` [`RolloutCreate`] | [`Rollout`], newest first; 202 and its address |
//! | `GET /api/v1/rollouts/{number}`, `POST …/pause`, `…/resume`, `…/abort`, `…/back` | [`Rollout`] |
//! | `PUT /api/v1/images/{digest}/bios` (body: Multiboot file) | companion for BIOS nodes, [`Image`] |
//! | `PUT /api/v1/blobs` (body: file) → `{digest, size}` | guest kernels and initramfs |
//! | `GET /api/v1/events?after=SEQ&limit=N` | [`Event`] |
//! | `GET /api/v1/events/search?grep=T&node=N&vs=V&kind=K&since=T&until=T` | [`EventPage`] |
//! | `GET /api/v1/events/stream?after=SEQ`, `?from=TX` | the same as SSE, `id:` = `seq`; `event: missed` has an [`EventGap`] |
//! | `GET /api/v1/transactions?before=N&limit=N&object=NAME&actor=NAME` | [`Transaction`], newest first |
//! | `GET /api/v1/transactions/{number}` | [`TransactionDetail`] |
//! | `POST /api/v1/transactions/{number}/undo` | [`Plan`], done; with `?dry_run=true` only made |
//! | `GET /api/v1/jobs?before=N&limit=N`, `POST /api/v1/jobs` [`JobCreate`] | [`Job`], newest first; 202 and its address |
//! | `GET /api/v1/jobs/{number}`, `POST …/cancel`, `…/retry` | [`Job`] |
//! | `POST /api/v1/jobs/{number}/skip`, `…/abandon` [`JobDecision`] | [`Job`] |
//! | `GET /api/v1/accounts`, `POST /api/v1/accounts` [`AccountCreate`], `GET|DELETE /api/v1/accounts/{name}` | [`Account`] |
//! | `POST /api/v1/accounts/{name}/role` [`RoleChange`], `…/password` [`PasswordReset`] | |
//! | `GET /api/v1/sessions`, `DELETE /api/v1/sessions/{name}` | [`SessionInfo`] |
//! | `GET /api/v1/tokens`, `POST /api/v1/tokens` [`TokenCreate`], `DELETE /api/v1/tokens/{name}` | [`Token`] |
//! | `GET /api/v1/auth/policies`, `POST /api/v1/auth/policies` [`AuthPolicyCreate`], `GET|DELETE /api/v1/auth/policies/{name}` | [`AuthPolicy`] |
//! | `GET /api/v1/auth/can-i?verb=V&kind=K&name=N`, `POST /api/v1/auth/can-i` [`Questions`] | [`Answer`] |
//! | `GET /api/v1/auth/schema` | [`AuthSchema`] |
//! | `GET /api/v1/doctor` | [`Finding`] |
//! | `GET /api/v1/drift?all=true`, `POST /api/v1/drift` [`DriftAnswer`] | [`Drift`]; [`Plan`] |
//! | `GET /api/v1/config` | [`ApplianceConfig`] |
//! | `GET /api/v1/openapi.json`, `GET /healthz`, `GET /readyz`, `GET /metrics` | |
//!
//! Lists of nodes and virtual servers take `?selector=key=value,key!=value,key,!key` ([`Selector`]).
//!
//! Changes of nodes, virtual servers, partitions and images take `?dry_run=true`: the answer is then 200 with the
//! [`Plan`], and nothing is changed. Where a route has no dry run, it refuses one.
//!
//! `GET` of one object that has a history answers with an `ETag`: its generation and a digest of what is wanted of it. A
//! change of that object takes it as `If-Match`, and answers 412 with what changed since where it is another by now.
//!
//! A change takes an `Idempotency-Key` ([`takes_key`]): asked for again with it within a day, it is not done again and is answered
//! as the first time, with `Idempotency-Replayed: true`.
//!
//! Errors are [`Problem`] (RFC 9457) with the HTTP status.

mod appliance;
mod auth;
mod backup;
mod containers;
mod drift;
mod editing;
mod groups;
mod jobs;
mod keys;
mod load;
mod manifest;
mod networks;
mod pools;
mod power;
mod rollouts;
mod selector;
mod span;
mod templates;
mod topology;
mod transactions;
mod vs;

pub use appliance::{Appliance, ApplianceState};
pub use auth::{
    Account, AccountCreate, Answer, AuthPolicy, AuthPolicyCreate, AuthSchema, MAX_QUESTIONS, PasswordReset,
    Question, Questions, RoleChange, SessionInfo, Token, TokenCreate, TokenScope,
};
pub use backup::BackupCreate;
pub use containers::{Container, ContainerCreate, ContainerEdit, NodeMove, VsMove};
pub use drift::{Drift, DriftAnswer};
pub use editing::VsEdit;
pub use groups::{GroupLabels, LabelChange, MAX_GROUP, NodeGroup, Selection, VsGroup, VsGroupMove};
pub use jobs::{
    Job, JobCreate, JobDecided, JobDecision, JobPlan, JobStep, JobStepCreate, JobStepPlan, MAX_JOB_TEXT,
    MAX_STEP_NAMES, MAX_STEP_TIMEOUT_S, MAX_STEPS, STEP_TIMEOUT_S,
};
pub use keys::{MAX_KEY, is_key, takes_key};
pub use load::{Metric, NodeLoad, Series, VsLoad};
pub use manifest::{
    Apply, DatacenterSpec, FrameSpec, GatewaySpec, MAX_MANIFEST_BYTES, MAX_MANIFEST_OBJECTS, MainframeSpec,
    Manifest, NodeSpec, PartitionSpec, PortSpec, SwitchSpec, TemplateSpec, VhbaSpec, VnicSpec, VsManifest,
};
pub use networks::{NetCreate, NetEdit, NetObject, NodeNic};
pub use pools::{Licence, LicenceAdd, Pool, PoolCreate, PoolExtend, PoolRange};
pub use power::{Bmc, BmcSet, MAX_POWER, NodePower, PowerState};
pub use rollouts::{MAX_ROLLOUT, ROLLOUT_TIMEOUT_S, Rollout, RolloutCreate, RolloutDecided, RolloutNode};
pub use selector::{
    Labels, MAX_CONDITIONS, MAX_LABEL_PART, MAX_LABELS, Selector, SelectorError, check_key, check_value,
    parse_label,
};
pub use span::{
    Span, SpanBucket, SpanCounts, SpanLatency, SpanLink, SpanNode, SpanPage, SpanPages, SpanRange, SpanRates,
    SpanVcpu,
};
pub use templates::{Template, TemplateCreate, VsCopy, VsSeries};
pub use topology::{
    Target, Targets, Topology, TopologyBox, TopologyGateway, TopologyNode, TopologyPartition, TopologyPlace,
    TopologyPort, TopologyServer, TopologyShare, TopologySwitch, TopologyVnic,
};
pub use transactions::{
    ChangedObject, Conflict, FieldChange, ObjectChange, Plan, Transaction, TransactionDetail,
};
pub use vs::{Vs, VsCreate, VsPlace, VsProcessor};

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
    /// Digest of the image that was chosen for it, empty: it boots the active one.
    #[serde(default)]
    pub chosen_image: String,
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
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// Name of the frame that it stands in; empty: the free pool, or not approved yet.
    #[serde(default)]
    pub frame: String,
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

/// A partition: nodes that agree with one another, and over which virtual servers can span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Partition {
    /// Unique name.
    pub name: String,
    /// `forming` (nothing is agreed yet), `whole`, `degraded` (a majority agrees, not all), `minority` (those
    /// that are heard are too few), `unknown` (none is heard).
    pub state: String,
    /// Identity.
    pub id: String,
    /// Counter of the agreed epoch.
    pub epoch: u64,
    /// Node that coordinates it.
    pub coordinator: String,
    /// Newest configuration, epoch and counter.
    pub configuration: String,
    /// Configuration that the members agreed on.
    pub agreed: String,
    /// Members in the order in which they coordinate.
    pub members: Vec<PartitionMember>,
    /// Virtual servers that span it.
    pub servers: Vec<String>,
}

/// A node of a partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartitionMember {
    /// Node.
    pub node: String,
    /// `agreed`, `joining` (waits to be admitted), `minority` (cannot reach enough others), `lost` (the others
    /// miss it), `unknown` (the appliance does not hear it).
    pub state: String,
    /// Counter of the epoch that it knows.
    pub epoch: u64,
    /// Configuration that it knows.
    pub configuration: String,
    /// What is left of its lease, milliseconds.
    pub lease_ms: u32,
}

/// A new partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartitionCreate {
    /// Unique name: letters, digits, `-`, 1–63.
    pub name: String,
    /// Nodes by name or id, 1–64, in the order in which they are to coordinate.
    pub nodes: Vec<String>,
}

/// Keys of an operator who is to speak to nodes by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperatorCreate {
    /// For logs and events: 1–63 letters, digits, `- . _ @`.
    pub name: String,
    /// `observe`: look; `operate`: look, start and stop.
    pub role: String,
    /// Days for which it holds, 1–90.
    pub days: u32,
    /// X25519 public key of the operator's end of the channel, 64 hexadecimal digits.
    pub channel_key: String,
    /// Ed25519 public key of what the operator signs, 64 hexadecimal digits.
    pub sign_key: String,
}

/// An operator's certificate, and the nodes that it is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Operator {
    /// As asked.
    pub name: String,
    /// `issued`.
    pub state: String,
    /// As asked.
    pub role: String,
    /// When it ends.
    pub expires: String,
    /// The cluster, 32 hexadecimal digits.
    pub cluster: String,
    /// Id of its channel key, by which a delegation revokes it.
    pub key: String,
    /// The certificate, hexadecimal. No secret.
    pub certificate: String,
    /// Approved nodes.
    pub nodes: Vec<OperatorNode>,
}

/// A node as an operator finds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperatorNode {
    /// Operator's name.
    pub name: String,
    /// As in [`Node`].
    pub state: String,
    /// 32 hexadecimal digits.
    pub id: String,
    /// X25519 public key, 64 hexadecimal digits.
    pub key: String,
    /// Last IPv4 address, empty where unknown.
    pub address: String,
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
    /// The transaction that it tells of, 0 where it tells of none.
    #[serde(default)]
    pub transaction: u64,
}

/// Events that fit a search, and where it goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPage {
    /// `more`: there are further ones to look at; `end`: all were looked at.
    pub state: String,
    /// Those that fit, oldest first.
    pub events: Vec<Event>,
    /// With `more`: the `before` of the next page, or its `after` where this one had one; else 0.
    pub next: u64,
    /// Events that were looked at for this page.
    pub looked_at: u64,
}

/// What a reader of the event stream missed: it was away for longer than events are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventGap {
    /// First number that is missing.
    pub first: u64,
    /// Last number that is missing.
    pub last: u64,
    /// Why, for a person.
    pub text: String,
    /// What to do.
    pub next: String,
}

/// A line of a node's log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogEntry {
    /// Grows by one with each line of this node; 0 where it is not known.
    #[serde(default)]
    pub seq: u64,
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
    /// With status 412: what of the object changed since the version that was asked for, field by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<FieldChange>,
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
