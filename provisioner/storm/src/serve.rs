//! This project's three servers in one process, with limits that a storm from one address fits into.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weft_boothttp::{Blob, HttpConfig};
use weft_dhcp::{DhcpConfig, DhcpEvent, LeaseJournal, Net, Observer, Ports};
use weft_tftp::{Bytes, TftpConfig};

/// Name of the content in all services.
pub const NAME: &str = "weft.efi";

/// Running servers.
pub struct Servers {
    /// DHCP.
    pub dhcp: weft_dhcp::Engine,
    /// TFTP.
    pub tftp: weft_tftp::Engine,
    /// HTTP.
    pub http: weft_boothttp::Engine,
}

/// Where to serve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Address of the servers.
    pub address: Ipv4Addr,
    /// Network with the pool: the upper half of it is handed out.
    pub prefix: u8,
    /// Interface for DHCP, if it is to hear broadcasts.
    pub device: Option<String>,
    /// DHCP ports.
    pub dhcp_ports: Ports,
    /// TFTP port.
    pub tftp_port: u16,
    /// HTTP port.
    pub http_port: u16,
    /// Length of the content.
    pub size_bytes: usize,
}

struct Files {
    bytes: Bytes,
    blob: Blob,
}

impl weft_tftp::Content for Files {
    fn open(&self, _: SocketAddr, name: &str) -> Option<Bytes> {
        (name == NAME).then(|| self.bytes.clone())
    }
}

impl weft_boothttp::Content for Files {
    fn open(&self, _: SocketAddr, path: &str) -> Option<Blob> {
        (path == NAME).then(|| self.blob.clone())
    }
}

struct Silent;

impl Observer for Silent {
    fn event(&self, event: DhcpEvent) {
        match event {
            DhcpEvent::StoreFailed { error } => eprintln!("lease not kept: {error}"),
            DhcpEvent::PoolExhausted { .. } => eprintln!("pool exhausted"),
            DhcpEvent::Throttled => eprintln!("throttled"),
            DhcpEvent::Offered { .. }
            | DhcpEvent::Leased { .. }
            | DhcpEvent::Proxied { .. }
            | DhcpEvent::Unsupported { .. }
            | DhcpEvent::Released { .. }
            | DhcpEvent::Declined { .. }
            | DhcpEvent::RogueServer { .. }
            | DhcpEvent::PeerServer { .. }
            | DhcpEvent::JournalDamaged { .. } => {}
        }
    }
}

impl Servers {
    /// Starts all three; leases are kept in `journal`.
    ///
    /// # Errors
    /// What could not be started.
    pub fn start(settings: &Settings, journal: &Path) -> anyhow::Result<Self> {
        let content = crate::content(settings.size_bytes);
        let folder = journal.parent().unwrap_or(Path::new("."));
        let blob = Blob::copied(&content, folder, "00ff")?;
        let files = Arc::new(Files { bytes: Bytes::from(content), blob });
        let at = |port| SocketAddr::from((settings.address, port));
        let mut tftp = TftpConfig::on(at(settings.tftp_port));
        // All nodes come from one address here.
        (tftp.max_per_source, tftp.max_half_open_per_source) = (usize::MAX, usize::MAX);
        let mut http = HttpConfig::on(at(settings.http_port));
        http.max_per_source = usize::MAX;
        let dhcp = dhcp_config(settings);
        let (store, recovery) = LeaseJournal::open(journal)?;
        Ok(Self {
            dhcp: weft_dhcp::Engine::start(dhcp, Box::new(store), &recovery, Arc::new(Silent))?,
            tftp: weft_tftp::Engine::start(tftp, files.clone())?,
            http: weft_boothttp::Engine::start(http, files)?,
        })
    }
}

fn dhcp_config(settings: &Settings) -> DhcpConfig {
    let net = Net { address: settings.address, prefix: settings.prefix };
    let last = net.broadcast().to_bits() - 1;
    let size = (last - (settings.address.to_bits() & net.mask().to_bits())) / 2;
    let first = Ipv4Addr::from_bits(last - size.min((1 << 20) - 2));
    let mut dhcp = DhcpConfig::full(settings.address, settings.prefix, first, Ipv4Addr::from_bits(last));
    dhcp.device = settings.device.clone();
    dhcp.relays = vec![net];
    dhcp.ports = settings.dhcp_ports;
    dhcp.rogue.interval_s = 0;
    // A bench measures the server, not its brakes.
    dhcp.limits.max_per_circuit = usize::MAX;
    (dhcp.limits.packets_per_s, dhcp.limits.packets_burst) = (1_000_000, 1_000_000);
    (dhcp.limits.new_clients_per_s, dhcp.limits.new_clients_burst) = (1_000_000, 1_000_000);
    dhcp.limits.max_pending = 16_384;
    dhcp
}
