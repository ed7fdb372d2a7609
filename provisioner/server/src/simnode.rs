//! A node without a machine: the real Noise channel, the real messages, the real record gate.
//!
//! For tests, and for storms of more nodes than one machine can emulate. It does what it is told and
//! reports what it receives; what a monitor does with a configuration is not its affair.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use weft_format::delegation::Delegation;
use weft_format::gate::RecordGate;
use weft_format::manifest::ManifestError;
use weft_format::pe::{self, MANIFEST_SECTION};
use weft_format::{RecordError, RootSet};
use weft_types::{BlobDigest, Fingerprint, NodeId, VsId};
use weft_wire::agent::{
    BootKind, BootReport, HEARTBEAT_MS, Heartbeat, Hello, Inventory, NicReport, PROTOCOL, RecordResult,
    Stage, ToNode, ToServer, VsState, VsStatus, Welcome,
};
use weft_wire::cluster::{ClusterEnvelope, ClusterPayload};
use weft_wire::codec::{decode_to_node, encode_to_server};
use weft_wire::load::NodeLoad;
use weft_wire::record::{NodeConfig, Payload, Standing};

use crate::agent::{Channel, ChannelError, Reader, Writer};
use crate::keys::x25519_public;
use crate::nodes::node_id;
use crate::trust::RingVerifier;
use crate::util::random;

/// What the monitor of a simulated node takes.
const MONITOR_KIB: u64 = 20 * 1024;
/// How often a session says that it is there.
const PULSE: Duration = Duration::from_secs(1);

/// Why a simulated node stopped.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The channel.
    #[error("channel: {0}")]
    Channel(String),
    /// A message that the protocol does not allow here.
    #[error("unexpected: {0}")]
    Unexpected(String),
}

impl From<ChannelError> for SimError {
    fn from(error: ChannelError) -> Self {
        Self::Channel(crate::chain(&error))
    }
}

/// What a node keeps and what it is.
#[derive(Clone, Debug)]
pub struct SimNode {
    key: [u8; 32],
    /// Boots of this key.
    pub boot_counter: u64,
    /// Nonce of this boot.
    pub boot_nonce: [u8; 16],
    /// Address to dial from: many nodes on one machine need one each, as limits count by source.
    pub source: Ipv4Addr,
    /// How it says it booted.
    pub boot: BootReport,
    /// What it says it has.
    pub inventory: Inventory,
}

/// What the appliance sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A record that the gate let through.
    Standing(Standing),
    /// A record that the gate let through.
    Config(NodeConfig),
    /// A record that the gate refused.
    Refused(RecordError),
    /// Anything else.
    Message(ToNode),
}

/// An open session. Until it is dropped it lives, also where nobody uses it for long: once a second it says again who
/// it is, which changes nothing. What it tells, it tells where it is asked to.
pub struct SimSession {
    reader: Reader,
    writer: Arc<Mutex<Writer>>,
    pulse: JoinHandle<()>,
    gate: RecordGate,
    delegation: Delegation,
    /// How the appliance greeted.
    pub welcome: Welcome,
    /// Epoch and counter of each record that the gate let through, in order.
    pub numbers: Vec<(u64, u64)>,
    /// What it uses, told with each heartbeat: counters that the test moves on.
    pub load: NodeLoad,
}

impl SimNode {
    /// A node with a new key, at its first boot, running the image with this manifest.
    pub fn new(mac: [u8; 6], manifest_digest: [u8; 32], image_digest: [u8; 32]) -> Self {
        let nic = NicReport {
            mac,
            driver: "sim".to_string(),
            pci_id: (0x1af4, 0x1000),
            link_up: true,
            address: [127, 0, 0, 1],
        };
        Self {
            key: random(),
            boot_counter: 1,
            boot_nonce: random(),
            source: Ipv4Addr::LOCALHOST,
            boot: BootReport {
                path: BootKind::Uefi,
                secure_boot: true,
                manifest_digest: BlobDigest(manifest_digest),
                image_digest: BlobDigest(image_digest),
                generation: 7,
                floor: 5,
                delegation_version: 1,
                stages: vec![(Stage::Entry, 0), (Stage::Started, 40_000), (Stage::Channel, 900_000)],
            },
            inventory: Inventory {
                cpu_model: "simulated".to_string(),
                cpus: 2,
                tsc_khz: 1_000_000,
                memory_kib: 2 * 1024 * 1024,
                features: vec!["npt".to_string()],
                nics: vec![nic],
                system: [String::new(), String::new(), String::new()],
                uuid: [0; 16],
            },
        }
    }

    /// Power off and on.
    pub fn reboot(&mut self) {
        if self.boot_counter == 0 {
            self.key = random();
        } else {
            self.boot_counter = self.boot_counter.saturating_add(1);
        }
        self.boot_nonce = random();
    }

    /// Boots this image, judged as a real node judges it; its floor rises to what the image asks for.
    pub fn boot_into(&mut self, image: &[u8], roots: &RootSet) -> Result<(), ManifestError> {
        let manifest = weft_format::verify_image(image, roots, &RingVerifier, self.boot.floor)?;
        let section = pe::section_data(image, MANIFEST_SECTION).map_err(ManifestError::Image)?;
        self.boot.manifest_digest = BlobDigest(weft_format::sha256(section));
        self.boot.image_digest = BlobDigest(manifest.image_digest);
        self.boot.generation = manifest.generation;
        self.boot.floor = self.boot.floor.max(manifest.least_generation);
        Ok(())
    }

    /// Its identity.
    pub fn id(&self) -> NodeId {
        node_id(&x25519_public(&self.key).unwrap_or_default())
    }

    /// Its fingerprint, as on its console.
    pub fn fingerprint(&self) -> String {
        Fingerprint(self.id()).to_string()
    }

    /// Dials, and says `Hello`.
    pub async fn connect(
        &self,
        appliance: SocketAddr,
        appliance_key: &[u8; 32],
        delegation: &Delegation,
        last_record: (u64, u64),
    ) -> Result<SimSession, SimError> {
        let socket = TcpSocket::new_v4().map_err(ChannelError::from)?;
        socket.bind(SocketAddr::from((self.source, 0))).map_err(ChannelError::from)?;
        let stream = socket.connect(appliance).await.map_err(ChannelError::from)?;
        let mut channel = Channel::dial(stream, &self.key, appliance_key).await?;
        let hello = ToServer::Hello(Hello {
            protocol: PROTOCOL,
            boot_counter: self.boot_counter,
            boot_nonce: self.boot_nonce,
            boot: self.boot.clone(),
            inventory: self.inventory.clone(),
            last_record,
        });
        let hello = encoded(&hello)?;
        channel.writer.send(&hello).await?;
        match receive(&mut channel.reader).await? {
            ToNode::Welcome(welcome) => {
                let writer = Arc::new(Mutex::new(channel.writer));
                Ok(SimSession {
                    reader: channel.reader,
                    pulse: tokio::spawn(pulse(Arc::downgrade(&writer), hello)),
                    writer,
                    gate: RecordGate::new(self.id(), self.boot_nonce),
                    delegation: delegation.clone(),
                    welcome,
                    numbers: Vec::new(),
                    load: NodeLoad {
                        cpus: self.inventory.cpus,
                        monitor_kib: MONITOR_KIB,
                        free_kib: self.inventory.memory_kib.saturating_sub(MONITOR_KIB),
                        ..NodeLoad::default()
                    },
                })
            }
            other => Err(SimError::Unexpected(format!("{other:?}"))),
        }
    }
}

fn encoded(message: &ToServer) -> Result<Vec<u8>, SimError> {
    encode_to_server(message).map_err(|error| SimError::Unexpected(error.to_string()))
}

async fn receive(reader: &mut Reader) -> Result<ToNode, SimError> {
    let plain = reader.receive().await?;
    decode_to_node(&plain).map_err(|error| SimError::Unexpected(error.to_string()))
}

/// What a node with this load tells each second.
fn beats(load: &NodeLoad) -> [ToServer; 2] {
    let beat = Heartbeat {
        uptime_ms: load.uptime_ms,
        monitor_kib: load.monitor_kib,
        guest_kib: load.guest_kib,
        free_kib: load.free_kib,
        ..Heartbeat::default()
    };
    [ToServer::Heartbeat(beat), ToServer::Load(Box::new(load.clone()))]
}

/// Tells each second that a node lives, as long as there is a session.
async fn live(writer: Weak<Mutex<Writer>>, mut load: NodeLoad) {
    let second = Duration::from_millis(HEARTBEAT_MS);
    loop {
        tokio::time::sleep(second).await;
        load.uptime_ms = load.uptime_ms.saturating_add(HEARTBEAT_MS);
        let Some(writer) = writer.upgrade() else { return };
        let mut writer = writer.lock().await;
        for message in beats(&load) {
            let Ok(plain) = encoded(&message) else { return };
            if writer.send(&plain).await.is_err() {
                return;
            }
        }
    }
}

/// Sends the same each [`PULSE`], as long as there is a session.
async fn pulse(writer: Weak<Mutex<Writer>>, plain: Vec<u8>) {
    loop {
        tokio::time::sleep(PULSE).await;
        let Some(writer) = writer.upgrade() else { return };
        if writer.lock().await.send(&plain).await.is_err() {
            return;
        }
    }
}

impl Drop for SimSession {
    fn drop(&mut self) {
        self.pulse.abort();
    }
}

impl SimSession {
    /// From now on it says only what it is asked to, as a node whose plug was pulled: after a while it is given up.
    pub fn fall_silent(&mut self) {
        self.pulse.abort();
    }

    /// From now on it tells its heartbeat and its load each second, as a node does, and not again who it is.
    pub fn live(&mut self) {
        self.pulse.abort();
        self.pulse = tokio::spawn(live(Arc::downgrade(&self.writer), self.load.clone()));
    }

    /// Sends any message.
    pub async fn send(&mut self, message: &ToServer) -> Result<(), SimError> {
        self.send_raw(&encoded(message)?).await
    }

    /// Sends plain text that need not be a message.
    pub async fn send_raw(&mut self, plain: &[u8]) -> Result<(), SimError> {
        Ok(self.writer.lock().await.send(plain).await?)
    }

    /// A heartbeat, with the load as it stands.
    pub async fn beat(&mut self, uptime_ms: u64) -> Result<(), SimError> {
        self.load.uptime_ms = uptime_ms;
        for message in beats(&self.load) {
            self.send(&message).await?;
        }
        Ok(())
    }

    /// State of a virtual server.
    pub async fn status(
        &mut self,
        vs: VsId,
        generation: u64,
        instance: u64,
        state: VsState,
    ) -> Result<(), SimError> {
        let status = VsStatus { vs, generation, instance, state, reason: String::new(), exits: 1 };
        self.send(&ToServer::VsStatus(status)).await
    }

    /// Console output.
    pub async fn console(
        &mut self,
        vs: VsId,
        instance: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), SimError> {
        let message = ToServer::Console { vs, instance, offset, bytes: bytes.to_vec() };
        self.send(&message).await
    }

    /// The next thing that the appliance sends; records are judged, and the judgement is reported.
    pub async fn next(&mut self) -> Result<Heard, SimError> {
        let message = receive(&mut self.reader).await?;
        let ToNode::Record(bytes) = message else { return Ok(Heard::Message(message)) };
        match self.gate.accept(&bytes, &self.delegation, &RingVerifier) {
            Ok((envelope, payload)) => {
                let record = (envelope.epoch, envelope.counter);
                self.numbers.push(record);
                self.send(&ToServer::RecordResult(RecordResult { record, result: Ok(()) })).await?;
                Ok(match payload {
                    Payload::Standing(standing) => Heard::Standing(standing),
                    Payload::Config(config) => Heard::Config(config),
                })
            }
            Err(error) => Ok(Heard::Refused(error)),
        }
    }

    /// Skips to the next configuration.
    pub async fn next_config(&mut self) -> Result<NodeConfig, SimError> {
        loop {
            match self.next().await? {
                Heard::Config(config) => return Ok(config),
                Heard::Refused(error) => return Err(SimError::Unexpected(error.to_string())),
                Heard::Standing(_) | Heard::Message(_) => {}
            }
        }
    }

    /// Skips to the next word about a partition, and judges its signature.
    pub async fn next_cluster(&mut self) -> Result<(ClusterEnvelope, ClusterPayload), SimError> {
        loop {
            if let Heard::Message(ToNode::Cluster(bytes)) = self.next().await? {
                let key = |id| weft_format::gate::record_key(&self.delegation, id);
                return weft_format::verify_cluster(&bytes, key, &RingVerifier)
                    .map_err(|error| SimError::Unexpected(error.to_string()));
            }
        }
    }
}
