//! What an operator sets.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::HwAddr;

/// Who hands out addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// This server: leases, reservations, boot information.
    #[default]
    Full,
    /// Another server; this one adds boot information only (ports 67 and 4011).
    Proxy,
}

/// Settings of the DHCP service on one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DhcpConfig {
    /// Full or proxy.
    #[serde(default)]
    pub mode: Mode,
    /// This appliance's address on the served interface: server identifier, `siaddr`.
    pub server: Ipv4Addr,
    /// Bind to this interface (`SO_BINDTODEVICE`). `None` only where all traffic is relayed or local.
    #[serde(default)]
    pub device: Option<String>,
    /// Subnets. The one that contains `server` is the local one; others are reached through relays. May be empty as a proxy.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
    /// Fixed addresses.
    #[serde(default)]
    pub reservations: Vec<Reservation>,
    /// Relays that are served: their `giaddr` lies in one of these. Empty: none.
    #[serde(default)]
    pub relays: Vec<Net>,
    /// What to boot.
    #[serde(default)]
    pub boot: BootConfig,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Looking for other servers.
    #[serde(default)]
    pub rogue: RogueConfig,
    /// Ports, other than the usual ones only in tests.
    #[serde(default)]
    pub ports: Ports,
}

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Net {
    /// Any address in it.
    pub address: Ipv4Addr,
    /// 0–32.
    pub prefix: u8,
}

impl Net {
    /// The mask.
    #[must_use]
    pub fn mask(&self) -> Ipv4Addr {
        let shift = 32u32.saturating_sub(self.prefix.into());
        Ipv4Addr::from_bits(u32::MAX.checked_shl(shift).unwrap_or(0))
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let mask = self.mask().to_bits();
        address.to_bits() & mask == self.address.to_bits() & mask
    }

    /// Its directed broadcast address.
    #[must_use]
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.mask().to_bits())
    }
}

/// A subnet and its pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    /// The network.
    pub net: Net,
    /// First address handed out.
    pub first: Ipv4Addr,
    /// Last address handed out.
    pub last: Ipv4Addr,
    /// Default gateway.
    #[serde(default)]
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<Ipv4Addr>,
    /// Lease time, seconds.
    #[serde(default = "default_lease_s")]
    pub lease_s: u32,
}

fn default_lease_s() -> u32 {
    3600
}

/// A fixed address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// Whose.
    pub mac: HwAddr,
    /// Which. It may lie outside the pool, but inside a subnet.
    pub address: Ipv4Addr,
}

/// What each kind of client is told to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootConfig {
    /// UEFI x86-64 over TFTP.
    pub uefi: String,
    /// UEFI HTTP boot: the path under `http_base`.
    pub http: String,
    /// BIOS: a loader that can do more than the ROM.
    pub bios: String,
    /// iPXE on BIOS: a script.
    pub ipxe_bios: String,
    /// iPXE on UEFI.
    pub ipxe_uefi: String,
    /// Where HTTP content lives; `http://SERVER` if empty.
    pub http_base: String,
    /// Where TFTP content lives; the appliance itself if absent.
    pub next_server: Option<Ipv4Addr>,
    /// File by option 93 value: overrides all of the above for clients that are not iPXE.
    pub by_arch: BTreeMap<u16, String>,
}

impl Default for BootConfig {
    fn default() -> Self {
        Self {
            uefi: "weft.efi".into(),
            http: "weft.efi".into(),
            bios: "ipxe/undionly.kpxe".into(),
            ipxe_bios: "boot.ipxe".into(),
            ipxe_uefi: "weft.efi".into(),
            http_base: String::new(),
            next_server: None,
            by_arch: BTreeMap::new(),
        }
    }
}

/// Bounds against clients that ask too much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Packets a second that are looked at, and how many at once.
    pub packets_per_s: u32,
    /// Burst of the above.
    pub packets_burst: u32,
    /// New hardware addresses a second.
    pub new_clients_per_s: u32,
    /// Burst of the above: a rack that is switched on.
    pub new_clients_burst: u32,
    /// An offer is held so long, milliseconds.
    pub offer_hold_ms: u64,
    /// Share of a pool that may be offered and not yet taken, 1/1000.
    pub max_offered_permille: u32,
    /// Share of a pool that only clients with an earlier lease get, 1/1000.
    pub known_permille: u32,
    /// First lease of an unknown client, seconds; renewing it gives the subnet's time.
    pub first_lease_s: u32,
    /// Leases behind one relay port (`giaddr` with option 82).
    pub max_per_circuit: usize,
    /// An address that a client declined rests so long, seconds.
    pub decline_hold_s: u32,
    /// Share of a pool that may rest so, 1/1000.
    pub max_declined_permille: u32,
    /// Leases being written; more requests are dropped until some are on disk.
    pub max_pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packets_per_s: 20_000,
            packets_burst: 20_000,
            new_clients_per_s: 1000,
            new_clients_burst: 4096,
            offer_hold_ms: 10_000,
            max_offered_permille: 500,
            known_permille: 100,
            first_lease_s: 600,
            max_per_circuit: 1024,
            decline_hold_s: 600,
            max_declined_permille: 250,
            max_pending: 8192,
        }
    }
}

/// Looking for other DHCP servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RogueConfig {
    /// Seconds between probes; 0: never probe (what passes by is still judged).
    pub interval_s: u64,
    /// Servers that may be there: the one that a proxy stands beside, other appliances.
    pub allowed: Vec<Ipv4Addr>,
}

impl Default for RogueConfig {
    fn default() -> Self {
        Self { interval_s: 60, allowed: Vec::new() }
    }
}

/// UDP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ports {
    /// Where requests arrive, 67.
    pub server: u16,
    /// Where relays hear answers, 67.
    pub relay: u16,
    /// Client, 68.
    pub client: u16,
    /// PXE boot server, 4011.
    pub pxe: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { server: 67, relay: 67, client: 68, pxe: 4011 }
    }
}

/// Settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A full server has addresses to give.
    #[error("a full DHCP server needs at least one subnet")]
    NoSubnet,
    /// Prefix beyond 32, or a pool outside its network or upside down.
    #[error("the pool {first}–{last} does not lie in its network")]
    Pool {
        /// First address.
        first: Ipv4Addr,
        /// Last address.
        last: Ipv4Addr,
    },
    /// More than 2^20 addresses.
    #[error("the pool {first}–{last} is larger than 1048576 addresses")]
    PoolTooLarge {
        /// First address.
        first: Ipv4Addr,
        /// Last address.
        last: Ipv4Addr,
    },
    /// Two subnets share addresses.
    #[error("subnets overlap at {0}")]
    Overlap(Ipv4Addr),
    /// A reservation outside all subnets, or two for one address or client.
    #[error("reservation of {0} is outside the subnets or made twice")]
    Reservation(Ipv4Addr),
    /// Lease time of zero.
    #[error("lease time must be at least 60 s")]
    LeaseTime,
    /// A boot file too long for the packet.
    #[error("boot file name longer than 127 bytes: {0}")]
    BootFile(String),
}

impl DhcpConfig {
    /// A full server on `server`/`prefix` with a pool.
    #[must_use]
    pub fn full(server: Ipv4Addr, prefix: u8, first: Ipv4Addr, last: Ipv4Addr) -> Self {
        let subnet = Subnet {
            net: Net { address: server, prefix },
            first,
            last,
            router: None,
            dns: Vec::new(),
            lease_s: default_lease_s(),
        };
        Self { subnets: vec![subnet], ..Self::proxy(server) }.with_mode(Mode::Full)
    }

    /// A proxy beside another server.
    #[must_use]
    pub fn proxy(server: Ipv4Addr) -> Self {
        Self {
            mode: Mode::Proxy,
            server,
            device: None,
            subnets: Vec::new(),
            reservations: Vec::new(),
            relays: Vec::new(),
            boot: BootConfig::default(),
            limits: Limits::default(),
            rogue: RogueConfig::default(),
            ports: Ports::default(),
        }
    }

    fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Checks that the settings can work.
    ///
    /// # Errors
    /// The first thing that cannot.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.mode == Mode::Full && self.subnets.is_empty() {
            return Err(ConfigError::NoSubnet);
        }
        for (i, subnet) in self.subnets.iter().enumerate() {
            let (first, last) = (subnet.first, subnet.last);
            if subnet.net.prefix > 32
                || !subnet.net.contains(first)
                || !subnet.net.contains(last)
                || first > last
            {
                return Err(ConfigError::Pool { first, last });
            }
            if last.to_bits().saturating_sub(first.to_bits()) >= 1 << 20 {
                return Err(ConfigError::PoolTooLarge { first, last });
            }
            if subnet.lease_s < 60 {
                return Err(ConfigError::LeaseTime);
            }
            for other in self.subnets.iter().skip(i.saturating_add(1)) {
                if other.net.contains(subnet.net.address) || subnet.net.contains(other.net.address) {
                    return Err(ConfigError::Overlap(other.net.address));
                }
            }
        }
        let mut macs = std::collections::HashSet::new();
        let mut addresses = std::collections::HashSet::new();
        for one in &self.reservations {
            let inside = self.subnets.iter().any(|subnet| subnet.net.contains(one.address));
            if !inside
                || !macs.insert(one.mac)
                || !addresses.insert(one.address)
                || one.address == self.server
            {
                return Err(ConfigError::Reservation(one.address));
            }
        }
        let boot = &self.boot;
        let named = [&boot.uefi, &boot.bios, &boot.ipxe_bios, &boot.ipxe_uefi, &boot.http, &boot.http_base];
        for name in named.into_iter().chain(boot.by_arch.values()) {
            if name.len() > 127 || name.bytes().any(|b| b == 0) {
                return Err(ConfigError::BootFile(name.clone()));
            }
        }
        Ok(())
    }
}
