//! The boot services: DHCP, TFTP and HTTP on the served interface, and their metrics.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use weft_boothttp::HttpConfig;
use weft_dhcp::{DhcpConfig, LeaseJournal, LeaseStore, Recovery};
use weft_server::core::Core;
use weft_tftp::TftpConfig;

use super::content::{Content, Current};
use super::interface::Place;
use super::leases::SharedLeases;
use super::no_router::NoRouter;
use super::observer::Observer;
use super::{DhcpMode, Failure, RunArguments};

/// Running engines; they stop when dropped.
pub(crate) struct Engines {
    dhcp: Option<weft_dhcp::Engine>,
    tftp: weft_tftp::Engine,
    http: weft_boothttp::Engine,
    _no_router: Option<NoRouter>,
}

fn in_use(error: &(dyn std::error::Error + 'static), what: &str) -> String {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return advice(io, what);
        }
        source = error.source();
    }
    String::new()
}

/// What to do about a port that cannot be had.
pub(crate) fn advice(error: &io::Error, what: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("another program has the port; stop it first ({what})"),
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need root or CAP_NET_BIND_SERVICE and CAP_NET_RAW ({what})")
        }
        io::ErrorKind::AddrNotAvailable => "the address is not on this machine".to_string(),
        _ => String::new(),
    }
}

fn dhcp_config(
    arguments: &RunArguments,
    place: &Place,
    http_port: u16,
) -> Result<Option<DhcpConfig>, Failure> {
    let mut config = match arguments.dhcp {
        DhcpMode::Off => return Ok(None),
        DhcpMode::Proxy => DhcpConfig::proxy(place.address),
        DhcpMode::Full => {
            let range = arguments.range.ok_or_else(|| {
                Failure::new("--dhcp full needs to know which addresses to give out", "--range FIRST-LAST")
            })?;
            DhcpConfig::full(place.address, place.prefix, range.first, range.last)
        }
    };
    config.device = Some(place.interface.clone());
    for subnet in &mut config.subnets {
        subnet.router = arguments.router;
        subnet.dns.clone_from(&arguments.dns);
    }
    config.reservations.clone_from(&arguments.reserve);
    config.relays.clone_from(&arguments.relay);
    config.rogue.allowed.clone_from(&arguments.allow_dhcp);
    config.boot.http_base = format!("http://{}:{http_port}", place.address);
    config.validate().map_err(|error| Failure::of(&error, "see --range, --reserve, --relay"))?;
    Ok(Some(config))
}

/// Where the appliance gives out addresses, it also says that there is no IPv6 router. Not vital.
fn no_router(arguments: &RunArguments, place: &Place) -> Option<NoRouter> {
    if arguments.dhcp != DhcpMode::Full {
        return None;
    }
    NoRouter::start(&place.interface)
        .inspect_err(|error| tracing::warn!(%error, "iPXE will wait for an IPv6 router that is not there"))
        .ok()
}

impl Engines {
    /// Starts all three.
    pub(crate) fn start(
        core: &Arc<Core>,
        arguments: &RunArguments,
        place: &Place,
        http_port: u16,
        data: &Path,
    ) -> Result<Self, Failure> {
        let mut engines = Self::files(&Current::new(Arc::clone(core)), arguments, place, http_port)?;
        if let Some(config) = dhcp_config(arguments, place, http_port)? {
            engines.dhcp = Some(start_dhcp(config, core, data)?);
        }
        engines._no_router = no_router(arguments, place);
        Ok(engines)
    }

    /// Starts TFTP and HTTP alone, for whatever core serves at the time.
    pub(crate) fn files(
        core: &Arc<Current>,
        arguments: &RunArguments,
        place: &Place,
        http_port: u16,
    ) -> Result<Self, Failure> {
        let content = Arc::new(Content::new(Arc::clone(core)));
        let at = |port| SocketAddr::from((place.address, port));
        let tftp =
            TftpConfig { device: Some(place.interface.clone()), ..TftpConfig::on(at(arguments.tftp_port)) };
        let tftp = weft_tftp::Engine::start(tftp, Arc::clone(&content) as _)
            .map_err(|error| Failure::of(&error, in_use(&error, "tftpd, dnsmasq?")))?;
        let http = HttpConfig { device: Some(place.interface.clone()), ..HttpConfig::on(at(http_port)) };
        let http = weft_boothttp::Engine::start(http, content)
            .map_err(|error| Failure::of(&error, in_use(&error, "a web server?")))?;
        Ok(Self { dhcp: None, tftp, http, _no_router: None })
    }

    /// Where they listen, for people.
    pub(crate) fn describe(&self) -> String {
        let dhcp = self.dhcp.as_ref().map_or_else(|| "off".to_string(), |dhcp| dhcp.local_addr().to_string());
        format!("DHCP {dhcp}, TFTP {}, HTTP {}", self.tftp.local_addr(), self.http.local_addr())
    }

    /// Their counters as OpenMetrics text.
    pub(crate) fn metrics(&self) -> String {
        let mut out = String::new();
        let mut counter = |name: &str, help: &str, value: u64| {
            let _ = writeln!(out, "# TYPE {name} counter\n# HELP {name} {help}\n{name}_total {value}");
        };
        let tftp = self.tftp.stats();
        counter("weft_tftp_requests", "Read requests.", tftp.requests);
        counter("weft_tftp_completed", "Transfers completed.", tftp.completed);
        counter("weft_tftp_failed", "Transfers that ended otherwise.", tftp.failed);
        counter("weft_tftp_refused", "Requests refused by a limit.", tftp.refused);
        counter("weft_tftp_blocks_resent", "Blocks sent again.", tftp.blocks_resent);
        let http = self.http.stats();
        counter("weft_boot_http_requests", "Requests understood.", http.requests);
        counter("weft_boot_http_errors", "Requests refused.", http.errors);
        counter("weft_boot_http_body_bytes", "Bytes of body sent.", http.body_bytes);
        if let Some(dhcp) = &self.dhcp {
            let dhcp = dhcp.stats();
            counter("weft_dhcp_received", "Packets received.", dhcp.received);
            counter("weft_dhcp_sent", "Packets sent.", dhcp.sent);
            counter("weft_dhcp_leases_persisted", "Leases made durable.", dhcp.persisted);
            counter("weft_dhcp_store_errors", "Leases that could not be made durable.", dhcp.store_errors);
        }
        let _ = writeln!(out, "# TYPE weft_tftp_active gauge\n# HELP weft_tftp_active Transfers now.");
        let _ = writeln!(out, "weft_tftp_active {}", tftp.active);
        let _ = writeln!(
            out,
            "# TYPE weft_boot_http_active gauge\n# HELP weft_boot_http_active Connections now."
        );
        let _ = writeln!(out, "weft_boot_http_active {}", http.active);
        out
    }
}

/// What only the one of several appliances that leads serves.
pub(crate) struct SharedDhcp {
    _dhcp: Option<weft_dhcp::Engine>,
    /// At the service address; each appliance has its own at its own address too.
    _files: Option<Engines>,
    _no_router: Option<NoRouter>,
}

impl SharedDhcp {
    /// Starts DHCP, with leases that all appliances know, and files at the address `at` where that is not this one's own.
    pub(crate) async fn start(
        core: &Arc<Core>,
        arguments: &RunArguments,
        at: &Place,
        http_port: u16,
        current: &Arc<Current>,
    ) -> Result<Self, Failure> {
        let files = match arguments.service_address {
            Some(_) => Some(Engines::files(current, arguments, at, http_port)?),
            None => None,
        };
        let Some(config) = dhcp_config(arguments, at, http_port)? else {
            return Ok(Self { _dhcp: None, _files: files, _no_router: None });
        };
        let observer = Arc::new(Observer(Arc::clone(core)));
        let started = if config.mode == weft_dhcp::Mode::Proxy {
            weft_dhcp::Engine::start_proxy(config, observer)
        } else {
            let (leases, recovery) = SharedLeases::open(core, &arguments.data.data)
                .await
                .map_err(|error| Failure::of(&error, "the addresses that were given are not known"))?;
            weft_dhcp::Engine::start(config, Box::new(leases), &recovery, observer)
        };
        let dhcp = started.map_err(|error| Failure::of(&error, in_use(&error, "dhcpd, dnsmasq?")))?;
        Ok(Self { _dhcp: Some(dhcp), _files: files, _no_router: no_router(arguments, at) })
    }
}

fn start_dhcp(config: DhcpConfig, core: &Arc<Core>, data: &Path) -> Result<weft_dhcp::Engine, Failure> {
    let observer = Arc::new(Observer(Arc::clone(core)));
    if config.mode == weft_dhcp::Mode::Proxy {
        return weft_dhcp::Engine::start_proxy(config, observer)
            .map_err(|error| Failure::of(&error, in_use(&error, "dhcpd, dnsmasq? on this machine?")));
    }
    let (journal, recovery): (LeaseJournal, Recovery) = LeaseJournal::open(&data.join("leases"))
        .map_err(|error| Failure::of(&error, "is the data folder writable?"))?;
    let store: Box<dyn LeaseStore> = Box::new(journal);
    weft_dhcp::Engine::start(config, store, &recovery, observer)
        .map_err(|error| Failure::of(&error, in_use(&error, "dhcpd, dnsmasq?")))
}

/// A TCP listener that hears one interface only.
pub(crate) fn listen_on(place: &Place, port: u16) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(place.interface.as_bytes()))?;
    socket.bind(&SocketAddr::from((place.address, port)).into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}
