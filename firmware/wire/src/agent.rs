//! The agent channel: TCP, Noise IK (`Noise_IK_25519_ChaChaPoly_BLAKE2s`), the node as initiator.
//!
//! On the wire each Noise message is preceded by its length (u16, big-endian). Plain text of a transport
//! message is one postcard value of [`ToServer`] or [`ToNode`], at most [`MAX_MESSAGE`] bytes.
//!
//! ```text
//! node                                   appliance
//!  │ Noise IK message 1 (empty payload) ──▶│   the appliance learns the node's static key
//!  │◀── Noise IK message 2 (empty payload) │
//!  │ Hello ───────────────────────────────▶│
//!  │◀─────────────────────────── Welcome   │   quarantined or not
//!  │◀────── Record(Standing), Record(Config)│  once approved; again on each change
//!  │ RecordResult, VsStatus, Heartbeat ───▶│
//!  │ Log, Event, Console, SpanFigures, Load ▶│
//!  │◀──────────── ConsoleInput, Command    │
//! ```

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use weft_types::{BlobDigest, PartitionId, VsId};

use crate::cluster::{ClusterReport, ClusterResult};
use crate::figures::SpanFigures;
use crate::load::NodeLoad;
use crate::operator::Wanted;

/// Noise pattern of the channel.
pub const NOISE_PARAMS: &str = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
/// Mixed into the handshake; both sides must have it.
pub const NOISE_PROLOGUE: &[u8] = b"weft agent v1";
/// Version that `Hello` and `Welcome` carry.
pub const PROTOCOL: u16 = 1;
/// Largest plain text of a transport message, bytes.
pub const MAX_MESSAGE: usize = 20 * 1024;
/// Most bytes of guest console output in one message.
pub const MAX_CONSOLE_OUTPUT: usize = 4096;
/// Most bytes of console input in one message.
pub const MAX_CONSOLE_INPUT: usize = 1024;
/// Longest text for a person (reasons, events), bytes.
pub const MAX_TEXT: usize = 1024;
/// Heartbeat interval, milliseconds.
pub const HEARTBEAT_MS: u64 = 1000;
/// A side that heard nothing for so long closes the connection, milliseconds.
pub const DEAD_AFTER_MS: u64 = 8000;

/// Kinds of [`ToServer`]. New ones come last: who does not know a kind ignores its messages
/// ([`crate::codec::DecodeError::Unknown`]).
pub const TO_SERVER_KINDS: u32 = 13;

/// From node to appliance.
#[expect(clippy::large_enum_variant, reason = "one Hello a connection; a box would be its only one")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToServer {
    /// First message.
    Hello(Hello),
    /// Each [`HEARTBEAT_MS`].
    Heartbeat(Heartbeat),
    /// A line of the node's log.
    Log(LogLine),
    /// Something happened.
    Event(NodeEvent),
    /// What became of a record.
    RecordResult(RecordResult),
    /// State of a virtual server, on each change and after each `Welcome`.
    VsStatus(VsStatus),
    /// Guest console output. `offset` counts bytes since the instance started, so that gaps show.
    Console {
        /// Server.
        vs: VsId,
        /// Instance it belongs to.
        instance: u64,
        /// Position of the first byte.
        offset: u64,
        /// At most 4096 bytes.
        bytes: Vec<u8>,
    },
    /// How a partition stands, as this member sees it.
    Cluster(ClusterReport),
    /// A candidate asks for the appliance's vote.
    ClusterTalk {
        /// The partition.
        partition: PartitionId,
        /// A `weft_membership::Talk`, postcard, at most [`crate::cluster::MAX_TALK`] bytes.
        talk: Vec<u8>,
    },
    /// What became of a configuration given to this member for all.
    ClusterResult(ClusterResult),
    /// Figures of this node's part of a server that spans nodes, about once a second while it runs.
    SpanFigures(Box<SpanFigures>),
    /// An operator changed what a server should do while the appliance was away. Told after each `Welcome`, until a
    /// configuration says as much or something later.
    Wanted(Wanted),
    /// Load of the node and of the servers on it, with each [`ToServer::Heartbeat`].
    Load(Box<NodeLoad>),
}

/// From appliance to node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNode {
    /// Answer to `Hello`.
    Welcome(Welcome),
    /// A signed record: envelope, payload, signature, as bytes.
    Record(Vec<u8>),
    /// Keys typed at a guest's console, at most 1024 bytes.
    ConsoleInput {
        /// Server.
        vs: VsId,
        /// Bytes.
        bytes: Vec<u8>,
    },
    /// A small request outside the configuration.
    Command(Command),
    /// Keeps the channel alive.
    Ping,
    /// A signed cluster record: envelope, payload, signature, as bytes.
    Cluster(Vec<u8>),
}

/// Small requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Restart the node (network-boots again).
    Reboot,
}

/// Who the node is and what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u16,
    /// Boots of this key; 0 on a node that keeps no key.
    pub boot_counter: u64,
    /// Drawn for this boot; records must carry it.
    pub boot_nonce: [u8; 16],
    /// How it booted.
    pub boot: BootReport,
    /// What is in it.
    pub inventory: Inventory,
    /// Epoch and counter of the last record applied in this boot, zeros where none.
    pub last_record: (u64, u64),
}

/// How a node booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootReport {
    /// UEFI or BIOS.
    pub path: BootKind,
    /// Secure Boot was on. With UEFI and a kept key this makes a *trusted boot*.
    pub secure_boot: bool,
    /// SHA-256 of the whole manifest section, zeros where there is no manifest.
    pub manifest_digest: BlobDigest,
    /// Image digest that the manifest names.
    pub image_digest: BlobDigest,
    /// Generation of the image.
    pub generation: u64,
    /// Floor that this node holds.
    pub floor: u64,
    /// Version of the delegation in use.
    pub delegation_version: u64,
    /// Boot stages with the time since the first instruction of the boot entry, microseconds.
    pub stages: Vec<(Stage, u64)>,
}

/// Firmware family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootKind {
    /// UEFI stub.
    Uefi,
    /// BIOS Multiboot.
    Bios,
}

/// Stages of a node's boot that the node itself sees. (DHCP, TFTP and the like before the first
/// instruction are seen by the appliance.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// First instruction of the entry.
    Entry,
    /// Manifest verified.
    Verified,
    /// First instruction of the DVMM.
    Started,
    /// All processors up.
    Processors,
    /// NIC and IP address ready.
    Network,
    /// Delegation fetched and verified.
    Delegation,
    /// Agent channel open.
    Channel,
}

/// Inventory of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// CPUID brand string.
    pub cpu_model: String,
    /// Logical processors up.
    pub cpus: u16,
    /// Time-stamp counter, kHz.
    pub tsc_khz: u64,
    /// Usable memory, KiB.
    pub memory_kib: u64,
    /// SVM features in use ("npt", "nrips", …), at most 32.
    pub features: Vec<String>,
    /// NICs, at most 16.
    pub nics: Vec<NicReport>,
    /// System vendor, product and serial from SMBIOS, empty where unknown.
    pub system: [String; 3],
    /// SMBIOS UUID, zero where unknown. A hint, no identity.
    pub uuid: [u8; 16],
}

/// A NIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicReport {
    /// Hardware address.
    pub mac: [u8; 6],
    /// Driver name.
    pub driver: String,
    /// PCI vendor and device.
    pub pci_id: (u16, u16),
    /// Link state.
    pub link_up: bool,
    /// IPv4 address, zero where none.
    pub address: [u8; 4],
}

/// Periodic report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Since the DVMM started, milliseconds.
    pub uptime_ms: u64,
    /// Memory of the node that the monitor itself takes, KiB.
    pub monitor_kib: u64,
    /// Memory given to guests, KiB.
    pub guest_kib: u64,
    /// Free memory, KiB.
    pub free_kib: u64,
    /// Guest exits since start.
    pub exits: u64,
    /// Share of the last interval in which processors did not halt, 1/1000 of all processors.
    pub busy_permille: u16,
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Since the DVMM started, milliseconds.
    pub uptime_ms: u64,
    /// Severity.
    pub level: Level,
    /// At most 512 bytes.
    pub text: String,
}

/// Severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// For developers.
    Debug,
    /// Normal.
    Info,
    /// Odd but handled.
    Warn,
    /// Something failed.
    Error,
}

/// What happened on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEvent {
    /// Since the DVMM started, milliseconds.
    pub uptime_ms: u64,
    /// Severity.
    pub level: Level,
    /// Stable name, `area.what`, for example `vs.triple-fault`.
    pub kind: String,
    /// The virtual server concerned.
    pub vs: Option<VsId>,
    /// For a person, at most 1024 bytes.
    pub text: String,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordResult {
    /// Epoch and counter of the record.
    pub record: (u64, u64),
    /// `Ok`, or why it was refused.
    pub result: Result<(), String>,
}

/// A virtual server as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsStatus {
    /// Server.
    pub vs: VsId,
    /// Generation of the definition in use.
    pub generation: u64,
    /// Instance in use.
    pub instance: u64,
    /// State.
    pub state: VsState,
    /// Why, for `Failed`, and for `Stopped` where the node holds it back (at most 1024 bytes), else empty.
    pub reason: String,
    /// Guest exits since its start.
    pub exits: u64,
}

/// State of a virtual server on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VsState {
    /// Off.
    Stopped,
    /// Kernel and initramfs are on their way.
    Fetching,
    /// Runs.
    Running,
    /// The guest switched itself off.
    Off,
    /// Stopped by the monitor or never started; see the reason.
    Failed,
}

/// Answer to `Hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`PROTOCOL`].
    pub protocol: u16,
    /// The node waits for approval; no record will come before.
    pub quarantined: bool,
    /// Why, for the node's own console ("waiting for approval", "identity used twice").
    pub reason: String,
}
