//! Sockets, the clock, and the way from a synced lease to its ACK.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

use crate::config::{ConfigError, DhcpConfig, Mode};
use crate::event::{DhcpEvent, Observer};
use crate::hw::HwAddr;
use crate::journal::Recovery;
use crate::lease::{Lease, LeaseStore, StoreError};
use crate::rogue;
use crate::server::{Destination, Effect, Meta, Reply, Server};

/// Packets taken before other work gets its turn.
const TURN: usize = 64;
/// Longer packets are not sound anyway.
const BUFFER: usize = 2048;
/// Bytes that may wait to be received.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Replies that may wait for room in the socket.
const OUTBOX: usize = 16_384;
/// A failing store is reported so often.
const COMPLAIN: Duration = Duration::from_secs(1);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that cannot work.
    #[error("DHCP settings")]
    Config(#[from] ConfigError),
    /// A socket.
    #[error("cannot open DHCP port {port}")]
    Socket {
        /// Which port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread or its runtime.
    #[error("cannot start the DHCP thread")]
    Thread(#[source] io::Error),
}

/// What the service did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets the kernel refused to send.
    pub send_errors: u64,
    /// Leases made durable.
    pub persisted: u64,
    /// Leases that could not be made durable.
    pub store_errors: u64,
    /// Leases being written.
    pub pending: u64,
    /// Packets dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// A running service. Stops when dropped.
pub struct Engine {
    shared: Arc<Shared>,
    local: SocketAddrV4,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    server: Mutex<Server>,
    counts: Mutex<Snapshot>,
    observer: Arc<dyn Observer>,
    clock: Clock,
}

/// Milliseconds since 1970 that never go back.
struct Clock {
    start_ms: u64,
    start: Instant,
}

impl Clock {
    fn now_ms(&self) -> u64 {
        self.start_ms.saturating_add(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Shared {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Engine {
    /// Starts serving. `recovery` is what [`crate::LeaseJournal::open`] found.
    ///
    /// # Errors
    /// Settings, sockets or threads.
    pub fn start(
        config: DhcpConfig,
        store: Box<dyn LeaseStore>,
        recovery: &Recovery,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartError> {
        let start_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let clock = Clock { start_ms, start: Instant::now() };
        let mut server = Server::new(config.clone(), &recovery.leases, clock.now_ms())?;
        // Derived, not random: a prober must not use up another server's pool.
        let [a, b, c, d] = config.server.octets();
        let probe_hw = HwAddr::ethernet([0x02, 0x57, a, b, c, d]);
        server.set_probe_address(probe_hw);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let guard = runtime.enter();
        let fail = |port| move |source| StartError::Socket { port, source };
        let main = bind(&config, config.ports.server, false).map_err(fail(config.ports.server))?;
        let pxe = bind(&config, config.ports.pxe, false).map_err(fail(config.ports.pxe))?;
        let probe = probe_socket(&config);
        drop(guard);
        let local = match main.local_addr() {
            Ok(SocketAddr::V4(address)) => address,
            Ok(SocketAddr::V6(_)) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, config.ports.server),
            Err(source) => return Err(StartError::Socket { port: config.ports.server, source }),
        };
        if recovery.damaged > 0 {
            observer.event(DhcpEvent::JournalDamaged { records: recovery.damaged });
        }
        let shared =
            Arc::new(Shared { server: Mutex::new(server), counts: Mutex::default(), observer, clock });
        let (stop, stopped) = watch::channel(false);
        let (synced, outcomes) = mpsc::unbounded_channel();
        let service = Service {
            shared: Arc::clone(&shared),
            client_port: config.ports.client,
            server_port: config.ports.server,
            max_pending: config.limits.max_pending,
            probe_interval: Duration::from_secs(config.rogue.interval_s),
            main,
            pxe,
            probe,
            probe_hw,
            probe_xid: 0,
            store,
            synced,
            pending: 0,
            outbox: VecDeque::new(),
            complained: None,
        };
        let thread = std::thread::Builder::new()
            .name("dhcp".into())
            .spawn(move || runtime.block_on(service.run(outcomes, stopped)))
            .map_err(StartError::Thread)?;
        Ok(Self { shared, local, stop, thread: Some(thread) })
    }

    /// The server port's address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddrV4 {
        self.local
    }

    /// Leases in force.
    #[must_use]
    pub fn leases(&self) -> Vec<Lease> {
        self.shared.server().leases()
    }

    /// Other servers seen in the last `window`, and whether each is allowed.
    #[must_use]
    pub fn other_servers(&self, window: Duration) -> Vec<(Ipv4Addr, bool)> {
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        self.shared.server().sightings.list(self.shared.clock.now_ms().saturating_sub(window))
    }

    /// Changes settings other than ports and device while serving; leases stay.
    ///
    /// # Errors
    /// Settings that cannot work; the old ones stay in force.
    pub fn reconfigure(&self, config: DhcpConfig) -> Result<(), ConfigError> {
        let mut server = self.shared.server();
        let mut next = Server::new(config, &server.leases(), self.shared.clock.now_ms())?;
        let [a, b, c, d] = next.config().server.octets();
        next.set_probe_address(HwAddr::ethernet([0x02, 0x57, a, b, c, d]));
        *server = next;
        Ok(())
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        let mut snapshot = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        snapshot.dropped = self.shared.server().dropped().clone();
        snapshot
    }

    /// Stops; leases that wait are written. Dropping does the same.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bind(config: &DhcpConfig, port: u16, shared_port: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(device) = &config.device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    socket.set_broadcast(true)?;
    socket.set_reuse_address(shared_port)?;
    // Without an interface only the loopback tests and relays reach us; broadcasts need the wildcard address.
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    // A rack's worth of DISCOVERs at once. Beyond the system's limit only with privilege, which port 67 needs anyway.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    UdpSocket::from_std(socket.into())
}

/// The client port, for probes. A DHCP client of this host may hold it too.
fn probe_socket(config: &DhcpConfig) -> Option<UdpSocket> {
    // Without an interface there is no wire to probe.
    if config.rogue.interval_s == 0 || config.device.is_none() {
        return None;
    }
    match bind(config, config.ports.client, true) {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::warn!(%error, "DHCP: cannot probe for other servers");
            None
        }
    }
}

/// What became of a lease, and what follows from it.
struct Outcome {
    result: Result<(), StoreError>,
    then: Option<Reply>,
    event: DhcpEvent,
}

struct Service {
    shared: Arc<Shared>,
    client_port: u16,
    server_port: u16,
    max_pending: usize,
    probe_interval: Duration,
    main: UdpSocket,
    pxe: UdpSocket,
    probe: Option<UdpSocket>,
    probe_hw: HwAddr,
    probe_xid: u32,
    store: Box<dyn LeaseStore>,
    /// Unbounded, but at most `max_pending` are on their way.
    synced: mpsc::UnboundedSender<Outcome>,
    pending: usize,
    /// Replies from the server port that found no room; sent in order as soon as there is some.
    outbox: VecDeque<Reply>,
    complained: Option<Instant>,
}

impl Service {
    async fn run(mut self, mut outcomes: mpsc::UnboundedReceiver<Outcome>, mut stop: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        // The first probe waits until the sockets have been polled once.
        let mut next_probe = Instant::now() + Duration::from_secs(1);
        let mut buffer = vec![0u8; BUFFER];
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                Some(outcome) = outcomes.recv() => {
                    self.outcome(outcome);
                    while let Ok(more) = outcomes.try_recv() {
                        self.outcome(more);
                    }
                }
                ready = self.main.readable() => if ready.is_ok() { self.receive(&mut buffer, false) },
                ready = self.main.writable(), if !self.outbox.is_empty() => if ready.is_ok() { self.flush() },
                ready = self.pxe.readable() => if ready.is_ok() { self.receive(&mut buffer, true) },
                ready = readable(self.probe.as_ref()) => if ready.is_ok() { self.probe_answers(&mut buffer) },
                _ = tick.tick() => {
                    self.shared.server().tick(self.shared.clock.now_ms());
                    if self.probe.is_some() && Instant::now() >= next_probe {
                        next_probe = Instant::now() + self.probe_interval;
                        self.send_probe();
                    }
                }
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8], pxe_port: bool) {
        for _ in 0..TURN {
            let socket = if pxe_port { &self.pxe } else { &self.main };
            // Errors are ICMP answers to something sent before; nothing follows from them.
            let Ok((len, SocketAddr::V4(source))) = socket.try_recv_from(buffer) else { return };
            self.shared.count(|counts| counts.received = counts.received.saturating_add(1));
            let packet = buffer.get(..len).unwrap_or_default();
            let now_ms = self.shared.clock.now_ms();
            let effects = self.shared.server().handle(now_ms, packet, Meta { source, pxe_port });
            for effect in effects {
                self.effect(effect);
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send(reply) => self.send(reply),
            Effect::Event(event) => self.shared.observer.event(event),
            Effect::Persist { lease, then, event } => {
                if self.pending >= self.max_pending {
                    return self.store_failed(StoreError::Busy);
                }
                self.pending = self.pending.saturating_add(1);
                let synced = self.synced.clone();
                self.store.submit(
                    lease,
                    Box::new(move |result| {
                        // Nobody listens any more: the service stopped, and no ACK is due.
                        let _ = synced.send(Outcome { result, then, event });
                    }),
                );
            }
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.pending = self.pending.saturating_sub(1);
        let pending = self.pending as u64;
        match outcome.result {
            Ok(()) => {
                if let Some(reply) = outcome.then {
                    self.send(reply);
                }
                // Counted before it is told, as everywhere: who hears of it finds it in the counts.
                self.shared.count(|counts| {
                    counts.persisted = counts.persisted.saturating_add(1);
                    counts.pending = pending;
                });
                self.shared.observer.event(outcome.event);
            }
            Err(error) => self.store_failed(error),
        }
    }

    fn store_failed(&mut self, error: StoreError) {
        self.shared.count(|counts| counts.store_errors = counts.store_errors.saturating_add(1));
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN) {
            self.complained = Some(Instant::now());
            tracing::error!(%error, "DHCP: lease not kept, no ACK sent");
            self.shared.observer.event(DhcpEvent::StoreFailed { error });
        }
    }

    fn send(&mut self, reply: Reply) {
        // Behind others that wait, or at once.
        let waits = !reply.from_pxe_port && !self.outbox.is_empty();
        if (waits || !self.try_send(&reply)) && !reply.from_pxe_port && self.outbox.len() < OUTBOX {
            self.outbox.push_back(reply);
        }
    }

    fn flush(&mut self) {
        while let Some(reply) = self.outbox.pop_front() {
            if !self.try_send(&reply) {
                self.outbox.push_front(reply);
                return;
            }
        }
    }

    /// `false` if there is no room now. What the kernel refuses otherwise is lost, as on a wire: the client asks again.
    fn try_send(&self, reply: &Reply) -> bool {
        let to = match reply.to {
            Destination::Broadcast => SocketAddrV4::new(Ipv4Addr::BROADCAST, self.client_port),
            Destination::Unicast(address) => address,
        };
        let socket = if reply.from_pxe_port { &self.pxe } else { &self.main };
        match socket.try_send_to(&reply.bytes, to.into()) {
            Ok(_) => self.shared.count(|counts| counts.sent = counts.sent.saturating_add(1)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => self.shared.count(|counts| counts.send_errors = counts.send_errors.saturating_add(1)),
        }
        true
    }

    fn send_probe(&mut self) {
        let Some(socket) = &self.probe else { return };
        self.probe_xid = RandomState::new().hash_one(self.probe_xid) as u32;
        let packet = rogue::probe(self.probe_xid, self.probe_hw);
        let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, self.server_port);
        if let Err(error) = socket.try_send_to(&packet, to.into()) {
            tracing::debug!(%error, "DHCP probe");
        }
    }

    fn probe_answers(&mut self, buffer: &mut [u8]) {
        let Some(socket) = &self.probe else { return };
        for _ in 0..TURN {
            let Ok((len, SocketAddr::V4(source))) = socket.try_recv_from(buffer) else { return };
            let packet = buffer.get(..len).unwrap_or_default();
            let Some(server) = rogue::answerer(packet, self.probe_xid, *source.ip()) else { continue };
            let now_ms = self.shared.clock.now_ms();
            let seen = self.shared.server().sightings.seen(now_ms, server, "answered a probe");
            if let Some(event) = seen {
                self.shared.observer.event(event);
            }
        }
    }
}

async fn readable(socket: Option<&UdpSocket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.readable().await,
        None => std::future::pending().await,
    }
}

/// In proxy mode nothing is leased, yet the engine wants a store.
impl Engine {
    /// Starts a proxy, which keeps nothing.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start_proxy(mut config: DhcpConfig, observer: Arc<dyn Observer>) -> Result<Self, StartError> {
        config.mode = Mode::Proxy;
        Self::start(config, Box::new(Nothing), &Recovery::default(), observer)
    }
}

struct Nothing;

impl LeaseStore for Nothing {
    fn submit(&self, _: Lease, done: crate::lease::Done) {
        done(Err(StoreError::Closed));
    }
}
