//! smoltcp over the [`Bridge`]: DHCPv4, TCP and UDP sockets, all without blocking.
//!
//! DHCP: RFC 2131, vendor class `weft-node` (option 60). `siaddr` and the server identifier of the answer
//! are kept, since the node looks for its appliance there. One [`Stack::poll`] handles a bounded number of
//! frames, so that a flood cannot hold the processor.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::{dhcpv4, tcp, udp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DhcpOption, EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address,
};

use crate::bridge::{BoxedNic, Bridge};

/// Frames for the node's own stack handled in one poll.
const INGRESS_BUDGET: usize = 64;
/// Rounds of sending in one poll.
const EGRESS_BUDGET: usize = 8;
/// Most sockets apart from DHCP's.
pub const MAX_SOCKETS: usize = 16;
/// First and last ephemeral port (RFC 6335).
const EPHEMERAL: core::ops::RangeInclusive<u16> = 49152..=65535;
/// A TCP peer that answers nothing for so long is gone.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that was taken and says nothing is asked so often whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// DISCOVER is repeated so often.
const DISCOVER_EVERY: Duration = Duration::from_secs(2);
/// Largest DHCP answer that is kept for its `siaddr`.
const DHCP_PACKET: usize = 1500;
/// DHCP option 60.
const OPTION_VENDOR_CLASS: u8 = 60;
/// What the node calls itself to DHCP servers.
pub const VENDOR_CLASS: &[u8] = b"weft-node";

static DHCP_OPTIONS: [DhcpOption<'static>; 1] =
    [DhcpOption { kind: OPTION_VENDOR_CLASS, data: VENDOR_CLASS }];

/// An IPv4 address and port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Endpoint {
    /// Address.
    pub address: [u8; 4],
    /// Port.
    pub port: u16,
}

/// What DHCP gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The node's address.
    pub address: [u8; 4],
    /// Bits of the network prefix.
    pub prefix: u8,
    /// Default router.
    pub router: Option<[u8; 4]>,
    /// Server identifier (option 54).
    pub server: [u8; 4],
    /// `siaddr`, where the server set it.
    pub next_server: Option<[u8; 4]>,
}

/// Why a socket call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketError {
    /// [`MAX_SOCKETS`] are open.
    TooMany,
    /// Nothing to read or no room to write now.
    WouldBlock,
    /// The connection is not open (yet or any more).
    NotConnected,
    /// The peer reset the connection, or it timed out.
    Reset,
    /// Address or port that cannot be used.
    Address,
    /// The datagram does not fit.
    Length,
}

/// State of a TCP connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcpState {
    /// Waits for the peer.
    Connecting,
    /// Open for sending; perhaps still for receiving.
    Open,
    /// Over.
    Closed,
}

/// Handle of a TCP socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tcp(SocketHandle);

/// Handle of a UDP socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Udp(SocketHandle);

/// The IP stack.
pub struct Stack {
    bridge: Bridge,
    interface: Interface,
    sockets: SocketSet<'static>,
    dhcp: SocketHandle,
    lease: Option<Lease>,
    next_port: u16,
    open: usize,
}

fn instant(now_ns: u64) -> Instant {
    // Microseconds of 292,000 years fit.
    Instant::from_micros((now_ns / 1000) as i64)
}

fn v4(address: [u8; 4]) -> IpAddress {
    IpAddress::Ipv4(Ipv4Address::from_octets(address))
}

fn octets(address: IpAddress) -> [u8; 4] {
    match address {
        IpAddress::Ipv4(address) => address.octets(),
    }
}

fn tcp_socket(receive_bytes: usize, send_bytes: usize) -> tcp::Socket<'static> {
    let buffer = |bytes: usize| tcp::SocketBuffer::new(vec![0; bytes.clamp(2048, 1 << 20)]);
    let mut socket = tcp::Socket::new(buffer(receive_bytes), buffer(send_bytes));
    socket.set_nagle_enabled(false);
    socket.set_timeout(Some(TCP_TIMEOUT));
    socket
}

fn dhcp_socket() -> dhcpv4::Socket<'static> {
    let mut socket = dhcpv4::Socket::new();
    let mut retry = dhcpv4::RetryConfig::default();
    retry.discover_timeout = DISCOVER_EVERY;
    retry.initial_request_timeout = DISCOVER_EVERY;
    socket.set_retry_config(retry);
    socket.set_outgoing_options(&DHCP_OPTIONS);
    // One buffer for the life of the stack: the socket wants it for ever.
    socket.set_receive_packet_buffer(Box::leak(Box::new([0; DHCP_PACKET])));
    socket
}

impl Stack {
    /// A stack over `nic`. `seed` (random) hides sequence numbers and ports from strangers.
    pub fn new(nic: BoxedNic, now_ns: u64, seed: u64) -> Self {
        let mut bridge = Bridge::new(nic);
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(bridge.mac())));
        config.random_seed = seed;
        let interface = Interface::new(config, &mut bridge, instant(now_ns));
        let mut sockets = SocketSet::new(Vec::new());
        let dhcp = sockets.add(dhcp_socket());
        let span = u64::from(EPHEMERAL.end() - EPHEMERAL.start());
        let offset = u16::try_from((seed >> 17) % span).unwrap_or(0);
        Self { bridge, interface, sockets, dhcp, lease: None, next_port: EPHEMERAL.start() + offset, open: 0 }
    }

    /// The bridge underneath.
    pub fn bridge(&mut self) -> &mut Bridge {
        &mut self.bridge
    }

    /// The lease, while there is one.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Moves frames in and out. `true`: there is more to do at once.
    pub fn poll(&mut self, now_ns: u64) -> bool {
        let now = instant(now_ns);
        self.interface.poll_maintenance(now);
        let mut more = true;
        for _ in 0..INGRESS_BUDGET {
            match self.interface.poll_ingress_single(now, &mut self.bridge, &mut self.sockets) {
                PollIngressSingleResult::None => {
                    more = false;
                    break;
                }
                PollIngressSingleResult::PacketProcessed | PollIngressSingleResult::SocketStateChanged => {}
            }
        }
        for _ in 0..EGRESS_BUDGET {
            match self.interface.poll_egress(now, &mut self.bridge, &mut self.sockets) {
                PollResult::None => break,
                PollResult::SocketStateChanged => {}
            }
        }
        self.poll_dhcp();
        more || self.bridge.has_own()
    }

    /// When [`Stack::poll`] wants to be called again, frames apart.
    pub fn poll_at(&mut self, now_ns: u64) -> Option<u64> {
        let at = self.interface.poll_at(instant(now_ns), &self.sockets)?;
        Some(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000))
    }

    fn poll_dhcp(&mut self) {
        let socket = self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.dhcp);
        match socket.poll() {
            None => {}
            Some(dhcpv4::Event::Deconfigured) => {
                self.lease = None;
                self.interface.update_ip_addrs(|addresses| addresses.clear());
                self.interface.routes_mut().remove_default_ipv4_route();
            }
            Some(dhcpv4::Event::Configured(config)) => {
                let next_server = config
                    .packet
                    .map(|packet| packet.server_ip().octets())
                    .filter(|address| *address != [0; 4]);
                let lease = Lease {
                    address: config.address.address().octets(),
                    prefix: config.address.prefix_len(),
                    router: config.router.map(|router| router.octets()),
                    server: config.server.identifier.octets(),
                    next_server,
                };
                let cidr = IpCidr::Ipv4(config.address);
                self.interface.update_ip_addrs(|addresses| {
                    addresses.clear();
                    // Room for two, and the list is empty.
                    addresses.push(cidr).unwrap_or(());
                });
                match config.router {
                    // The table has room for two routes.
                    Some(router) => drop(self.interface.routes_mut().add_default_ipv4_route(router)),
                    None => drop(self.interface.routes_mut().remove_default_ipv4_route()),
                }
                self.lease = Some(lease);
            }
        }
    }

    fn ephemeral_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
        port
    }

    fn count_socket(&mut self) -> Result<(), SocketError> {
        if self.open >= MAX_SOCKETS {
            return Err(SocketError::TooMany);
        }
        self.open += 1;
        Ok(())
    }

    /// A TCP connection to `peer`, with `receive_bytes` and `send_bytes` of buffer.
    pub fn tcp_connect(
        &mut self,
        peer: Endpoint,
        receive_bytes: usize,
        send_bytes: usize,
    ) -> Result<Tcp, SocketError> {
        self.count_socket()?;
        let mut socket = tcp_socket(receive_bytes, send_bytes);
        let local = self.ephemeral_port();
        let remote = IpEndpoint::new(v4(peer.address), peer.port);
        match socket.connect(self.interface.context(), remote, local) {
            Ok(()) => Ok(Tcp(self.sockets.add(socket))),
            Err(_) => {
                self.open -= 1;
                Err(SocketError::Address)
            }
        }
    }

    /// A socket that takes one connection to `port`; it is [`TcpState::Connecting`] until then. Several may listen.
    pub fn tcp_listen(
        &mut self,
        port: u16,
        receive_bytes: usize,
        send_bytes: usize,
    ) -> Result<Tcp, SocketError> {
        self.count_socket()?;
        let mut socket = tcp_socket(receive_bytes, send_bytes);
        // A peer that is there answers, whatever its program does; one that is gone is noticed.
        socket.set_keep_alive(Some(KEEP_ALIVE));
        match socket.listen(port) {
            Ok(()) => Ok(Tcp(self.sockets.add(socket))),
            Err(_) => {
                self.open -= 1;
                Err(SocketError::Address)
            }
        }
    }

    /// Where a connection stands.
    pub fn tcp_state(&self, handle: Tcp) -> TcpState {
        match self.sockets.get::<tcp::Socket<'_>>(handle.0).state() {
            tcp::State::SynSent | tcp::State::SynReceived | tcp::State::Listen => TcpState::Connecting,
            tcp::State::Established
            | tcp::State::CloseWait
            | tcp::State::FinWait1
            | tcp::State::FinWait2
            | tcp::State::Closing
            | tcp::State::LastAck => TcpState::Open,
            tcp::State::Closed | tcp::State::TimeWait => TcpState::Closed,
        }
    }

    /// The peer of a connection.
    pub fn tcp_peer(&self, handle: Tcp) -> Option<Endpoint> {
        let endpoint = self.sockets.get::<tcp::Socket<'_>>(handle.0).remote_endpoint()?;
        Some(Endpoint { address: octets(endpoint.addr), port: endpoint.port })
    }

    /// This side of a connection.
    pub fn tcp_local(&self, handle: Tcp) -> Option<Endpoint> {
        let endpoint = self.sockets.get::<tcp::Socket<'_>>(handle.0).local_endpoint()?;
        Some(Endpoint { address: octets(endpoint.addr), port: endpoint.port })
    }

    /// Queues bytes; returns how many were taken.
    pub fn tcp_send(&mut self, handle: Tcp, data: &[u8]) -> Result<usize, SocketError> {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle.0);
        if !socket.may_send() {
            return Err(match self.tcp_state(handle) {
                TcpState::Connecting => SocketError::WouldBlock,
                TcpState::Open => SocketError::NotConnected,
                TcpState::Closed => SocketError::Reset,
            });
        }
        match socket.send_slice(data) {
            Ok(0) if !data.is_empty() => Err(SocketError::WouldBlock),
            Ok(sent) => Ok(sent),
            Err(_) => Err(SocketError::Reset),
        }
    }

    /// Takes received bytes; 0 after the peer's end of stream.
    pub fn tcp_receive(&mut self, handle: Tcp, out: &mut [u8]) -> Result<usize, SocketError> {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle.0);
        if socket.can_recv() {
            return socket.recv_slice(out).map_err(|_| SocketError::Reset);
        }
        match socket.state() {
            tcp::State::SynSent | tcp::State::SynReceived | tcp::State::Listen => {
                Err(SocketError::WouldBlock)
            }
            tcp::State::CloseWait | tcp::State::LastAck | tcp::State::Closing | tcp::State::TimeWait => Ok(0),
            tcp::State::Closed => Err(SocketError::Reset),
            tcp::State::Established | tcp::State::FinWait1 | tcp::State::FinWait2 => {
                Err(SocketError::WouldBlock)
            }
        }
    }

    /// Whether a read would return at once, and whether a write would take a byte.
    pub fn tcp_ready(&self, handle: Tcp) -> (bool, bool) {
        let socket = self.sockets.get::<tcp::Socket<'_>>(handle.0);
        let readable = socket.can_recv() || (!socket.may_recv() && !self.tcp_connecting(handle));
        (readable, socket.can_send())
    }

    fn tcp_connecting(&self, handle: Tcp) -> bool {
        self.tcp_state(handle) == TcpState::Connecting
    }

    /// Ends this side's stream; the peer sees its end after the queued bytes.
    pub fn tcp_shutdown(&mut self, handle: Tcp) {
        self.sockets.get_mut::<tcp::Socket<'_>>(handle.0).close();
    }

    /// Resets the connection and forgets it. The reset leaves with this call.
    pub fn tcp_close(&mut self, handle: Tcp, now_ns: u64) {
        self.sockets.get_mut::<tcp::Socket<'_>>(handle.0).abort();
        self.interface.poll_egress(instant(now_ns), &mut self.bridge, &mut self.sockets);
        self.sockets.remove(handle.0);
        self.open = self.open.saturating_sub(1);
    }

    /// A UDP socket on a fresh ephemeral port.
    pub fn udp_open(&mut self) -> Result<Udp, SocketError> {
        self.count_socket()?;
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 8 * 1500]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        let port = self.ephemeral_port();
        match socket.bind(port) {
            Ok(()) => Ok(Udp(self.sockets.add(socket))),
            Err(_) => {
                self.open -= 1;
                Err(SocketError::Address)
            }
        }
    }

    /// A UDP socket on a given port, with room for `datagrams` of `bytes` each way.
    pub fn udp_open_at(&mut self, port: u16, datagrams: usize, bytes: usize) -> Result<Udp, SocketError> {
        self.count_socket()?;
        let room = || vec![0; datagrams.saturating_mul(bytes).clamp(2048, 1 << 20)];
        let slots = || vec![udp::PacketMetadata::EMPTY; datagrams.clamp(1, 1024)];
        let buffer = || udp::PacketBuffer::new(slots(), room());
        let mut socket = udp::Socket::new(buffer(), buffer());
        match socket.bind(port) {
            Ok(()) => Ok(Udp(self.sockets.add(socket))),
            Err(_) => {
                self.open -= 1;
                Err(SocketError::Address)
            }
        }
    }

    /// Largest IP packet, bytes.
    pub fn mtu(&self) -> usize {
        self.bridge.mtu()
    }

    /// The local port of a UDP socket.
    pub fn udp_port(&self, handle: Udp) -> u16 {
        self.sockets.get::<udp::Socket<'_>>(handle.0).endpoint().port
    }

    /// Sends one datagram.
    pub fn udp_send(&mut self, handle: Udp, to: Endpoint, data: &[u8]) -> Result<(), SocketError> {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(handle.0);
        if data.len() > socket.payload_send_capacity() {
            return Err(SocketError::Length);
        }
        match socket.send_slice(data, IpEndpoint::new(v4(to.address), to.port)) {
            Ok(()) => Ok(()),
            Err(udp::SendError::BufferFull) => Err(SocketError::WouldBlock),
            Err(udp::SendError::Unaddressable) => Err(SocketError::Address),
        }
    }

    /// Takes one datagram; one longer than `out` is dropped.
    pub fn udp_receive(&mut self, handle: Udp, out: &mut [u8]) -> Result<(usize, Endpoint), SocketError> {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(handle.0);
        match socket.recv_slice(out) {
            Ok((len, meta)) => {
                let from = Endpoint { address: octets(meta.endpoint.addr), port: meta.endpoint.port };
                Ok((len, from))
            }
            Err(udp::RecvError::Exhausted) => Err(SocketError::WouldBlock),
            Err(udp::RecvError::Truncated) => Err(SocketError::Length),
        }
    }

    /// Whether a datagram waits, and whether one more fits.
    pub fn udp_ready(&self, handle: Udp) -> (bool, bool) {
        let socket = self.sockets.get::<udp::Socket<'_>>(handle.0);
        (socket.can_recv(), socket.can_send())
    }

    /// Closes a UDP socket.
    pub fn udp_close(&mut self, handle: Udp) {
        self.sockets.remove(handle.0);
        self.open = self.open.saturating_sub(1);
    }
}
