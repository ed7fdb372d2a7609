//! The server as a state machine: packets and time in, effects out.
//!
//! Clients are told apart by hardware address, not by option 61: one machine asks as PXE ROM, as iPXE and as node image, each with
//! another identifier, and must get one address, not three.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, SocketAddrV4};

use dhcproto::v4::MessageType;

use crate::boot::{self, Boot};
use crate::bucket::Bucket;
use crate::config::{ConfigError, DhcpConfig, Mode};
use crate::event::{ClientStage, DhcpEvent};
use crate::hw::HwAddr;
use crate::lease::{Lease, LeaseState};
use crate::packet::{PacketError, Request};
use crate::pool::{NoAddress, Pool, State};
use crate::reply::{self, Content};
use crate::rogue::Sightings;

/// How often the same complaint is made, milliseconds.
const COMPLAIN_MS: u64 = 60_000;

/// Where a packet arrived and from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Source of the datagram.
    pub source: SocketAddrV4,
    /// It came to the PXE port (4011) and not to the server port.
    pub pxe_port: bool,
}

/// Where a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the client port, by local broadcast.
    Broadcast,
    /// To this address and port.
    Unicast(SocketAddrV4),
}

/// A packet to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The packet.
    pub bytes: Vec<u8>,
    /// Where to.
    pub to: Destination,
    /// Send it from the PXE port.
    pub from_pxe_port: bool,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send at once.
    Send(Reply),
    /// Make the lease durable; only then send the reply and tell the event. If that fails, drop both.
    Persist {
        /// The lease.
        lease: Lease,
        /// The ACK, if one is due.
        then: Option<Reply>,
        /// What to tell.
        event: DhcpEvent,
    },
    /// Tell the appliance.
    Event(DhcpEvent),
}

/// The state.
pub struct Server {
    config: DhcpConfig,
    pools: Vec<Pool>,
    reserved: HashMap<HwAddr, Ipv4Addr>,
    packets: Bucket,
    newcomers: Bucket,
    complaints: BTreeMap<&'static str, u64>,
    pub(crate) sightings: Sightings,
    hasher: RandomState,
    /// Packets dropped, by reason.
    dropped: BTreeMap<&'static str, u64>,
    /// The hardware address of our own probes, which are not answered.
    own: Option<HwAddr>,
}

impl Server {
    /// A server with the leases that were kept.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn new(config: DhcpConfig, leases: &[Lease], now_ms: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        let reserved: HashMap<HwAddr, Ipv4Addr> =
            config.reservations.iter().map(|r| (r.mac, r.address)).collect();
        let mut pools: Vec<Pool> = config
            .subnets
            .iter()
            .map(|subnet| {
                let taken = reserved.values().copied().chain([config.server]);
                Pool::new(subnet.clone(), &config.limits, taken)
            })
            .collect();
        for lease in leases {
            let until = lease.expires_s.saturating_mul(1000);
            let foreign = reserved.iter().any(|(hw, a)| *a == lease.address && *hw != lease.hw);
            let Some(pool) = pools.iter_mut().find(|pool| pool.subnet.net.contains(lease.address)) else {
                continue;
            };
            if foreign || reserved.get(&lease.hw).is_some_and(|address| *address != lease.address) {
                continue;
            }
            pool.bind(lease.hw, lease.address, 0, until);
            match lease.state {
                LeaseState::Bound => {}
                LeaseState::Released => pool.release(lease.address, now_ms),
                LeaseState::Declined => {
                    pool.decline(lease.address, until);
                }
            }
        }
        let limits = &config.limits;
        let mut server = Self {
            packets: Bucket::new(limits.packets_per_s, limits.packets_burst),
            newcomers: Bucket::new(limits.new_clients_per_s, limits.new_clients_burst),
            sightings: Sightings::new(config.server, config.rogue.allowed.clone()),
            config,
            pools,
            reserved,
            complaints: BTreeMap::new(),
            hasher: RandomState::new(),
            dropped: BTreeMap::new(),
            own: None,
        };
        server.tick(now_ms);
        Ok(server)
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> &DhcpConfig {
        &self.config
    }

    /// Our probes come from here: they are not answered.
    pub fn set_probe_address(&mut self, hw: HwAddr) {
        self.own = Some(hw);
    }

    /// Leases in force, and addresses at rest.
    #[must_use]
    pub fn leases(&self) -> Vec<Lease> {
        let mut leases: Vec<Lease> = self
            .pools
            .iter()
            .flat_map(Pool::entries)
            .filter_map(|(address, entry)| {
                let state = match entry.state {
                    State::Bound => LeaseState::Bound,
                    State::Declined => LeaseState::Declined,
                    State::Offered | State::Free => return None,
                };
                Some(Lease { address, hw: entry.hw, expires_s: entry.until_ms / 1000, state })
            })
            .collect();
        leases.sort_by_key(|lease| lease.address);
        leases
    }

    /// Packets dropped, by reason.
    #[must_use]
    pub fn dropped(&self) -> &BTreeMap<&'static str, u64> {
        &self.dropped
    }

    /// Ends what is over. Call about once a second; [`Self::handle`] does so as well.
    pub fn tick(&mut self, now_ms: u64) {
        for pool in &mut self.pools {
            pool.expire(now_ms);
        }
    }

    /// Handles one datagram. `now_ms`: milliseconds since 1970, never backwards.
    pub fn handle(&mut self, now_ms: u64, packet: &[u8], meta: Meta) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !self.packets.take(now_ms) {
            self.drop("rate");
            self.complain(now_ms, "rate", DhcpEvent::Throttled, &mut effects);
            return effects;
        }
        self.tick(now_ms);
        match Request::parse(packet) {
            Ok(request) if self.own == Some(request.hw) => {}
            Ok(request) => self.request(now_ms, &request, meta, &mut effects),
            Err(PacketError::NotARequest) => self.drop("not a request"),
            Err(error) => {
                self.drop("malformed");
                tracing::debug!(%error, source = %meta.source, "DHCP packet dropped");
            }
        }
        effects
    }

    fn request(&mut self, now_ms: u64, request: &Request, meta: Meta, effects: &mut Vec<Effect>) {
        if request.hops > 16 {
            return self.drop("hops");
        }
        if !request.giaddr.is_unspecified()
            && !self.config.relays.iter().any(|net| net.contains(request.giaddr))
        {
            // A relay that nobody listed: its address would be where our replies go.
            return self.drop("unknown relay");
        }
        let boot = boot::decide(request, &self.config.boot, self.config.server);
        if boot == Boot::Unsupported {
            self.complain(
                now_ms,
                "unsupported",
                DhcpEvent::Unsupported { client: request.client() },
                effects,
            );
        }
        let mut turn = Turn { now_ms, request, meta, boot, effects };
        match (self.config.mode, request.kind) {
            (Mode::Proxy, MessageType::Discover | MessageType::Request | MessageType::Inform) => {
                self.proxy(&mut turn)
            }
            (Mode::Proxy, _) => {}
            (Mode::Full, MessageType::Request | MessageType::Inform) if meta.pxe_port => {
                self.proxy(&mut turn)
            }
            (Mode::Full, _) if meta.pxe_port => self.drop("wrong port"),
            (Mode::Full, MessageType::Discover) => self.discover(&mut turn),
            (Mode::Full, MessageType::Request) => self.full_request(&mut turn),
            (Mode::Full, MessageType::Decline) => self.decline(&mut turn),
            (Mode::Full, MessageType::Release) => self.release(&mut turn),
            (Mode::Full, MessageType::Inform) => self.inform(&mut turn),
            (Mode::Full, _) => self.drop("not from a client"),
        }
    }

    /// The pool for a packet: by link selection, relay, present address, or the local one.
    fn pool_index(&self, request: &Request) -> Option<usize> {
        let hint = if request.giaddr.is_unspecified() {
            self.config.server
        } else {
            request.link_selection.unwrap_or(request.giaddr)
        };
        self.pools.iter().position(|pool| pool.subnet.net.contains(hint))
    }

    fn circuit(&self, request: &Request) -> u64 {
        if request.giaddr.is_unspecified() {
            return 0;
        }
        self.hasher.hash_one((request.giaddr, &request.relay_info)).max(1)
    }

    fn discover(&mut self, turn: &mut Turn<'_>) {
        let request = turn.request;
        let Some(index) = self.pool_index(request) else { return self.drop("no subnet") };
        let circuit = self.circuit(request);
        let fixed = self.reserved.get(&request.hw).copied();
        let hold = turn.now_ms.saturating_add(self.config.limits.offer_hold_ms);
        let known = self.pools.get(index).is_some_and(|pool| pool.of(&request.hw).is_some());
        if fixed.is_none() && !known && !self.newcomers.take(turn.now_ms) {
            self.drop("newcomers");
            return self.complain(turn.now_ms, "newcomers", DhcpEvent::Throttled, turn.effects);
        }
        let Some(pool) = self.pools.get_mut(index) else { return };
        let found = match fixed {
            Some(address) if pool.subnet.net.contains(address) => Ok(address),
            Some(_) => return self.drop("reservation elsewhere"),
            None => pool.offer(request.hw, request.requested, circuit, hold),
        };
        match found {
            Ok(address) => {
                let lease_s = self.lease_time(index, request.hw);
                self.reply(turn, MessageType::Offer, address, Some(index), Some(lease_s));
                let boot_file = turn.boot.name().map(str::to_owned);
                turn.effects.push(Effect::Event(DhcpEvent::Offered {
                    client: request.client(),
                    address,
                    boot_file,
                }));
            }
            Err(why) => {
                self.drop(match why {
                    NoAddress::Exhausted => "pool exhausted",
                    NoAddress::Quota => "pool quota",
                });
                let pool = self.pools.get(index).map_or(Ipv4Addr::UNSPECIFIED, |pool| pool.subnet.first);
                self.complain(turn.now_ms, "pool", DhcpEvent::PoolExhausted { pool }, turn.effects);
            }
        }
    }

    fn full_request(&mut self, turn: &mut Turn<'_>) {
        let request = turn.request;
        let Some(index) = self.pool_index(request) else { return self.drop("no subnet") };
        match (request.server_id, request.requested) {
            (Some(id), _) if id != self.config.server => {
                // SELECTING another server: it exists, and our offer is void.
                if let Some(event) = self.sightings.seen(turn.now_ms, id, "a client took its offer") {
                    turn.effects.push(Effect::Event(event));
                }
                if let Some(pool) = self.pools.get_mut(index)
                    && let Some((address, entry)) = pool.of(&request.hw)
                    && entry.state == State::Offered
                {
                    pool.release(address, turn.now_ms);
                }
            }
            (Some(_), Some(address)) => self.grant(turn, index, address, true),
            (Some(_), None) => self.drop("no requested address"),
            (None, Some(address)) if request.ciaddr.is_unspecified() => {
                self.grant(turn, index, address, false)
            }
            (None, _) if !request.ciaddr.is_unspecified() => self.grant(turn, index, request.ciaddr, false),
            (None, _) => self.drop("no requested address"),
        }
    }

    /// SELECTING, INIT-REBOOT, RENEWING or REBINDING of `address`. Silent where this server has no record, unless selected.
    fn grant(&mut self, turn: &mut Turn<'_>, index: usize, address: Ipv4Addr, selected: bool) {
        let hw = turn.request.hw;
        let fixed = self.reserved.get(&hw).copied();
        let Some(pool) = self.pools.get(index) else { return };
        let mine = match (fixed, pool.of(&hw)) {
            (Some(fixed), _) => fixed == address,
            (None, Some((own, entry))) => own == address && entry.state != State::Declined,
            (None, None) => false,
        };
        if !mine {
            // RFC 2131 section 4.3.2: wrong network or somebody else's address: NAK. No record: silence.
            let wrong = !pool.subnet.net.contains(address);
            let others = pool.at(address).is_some_and(|entry| entry.hw != hw && entry.state == State::Bound);
            let known = fixed.is_some() || pool.of(&hw).is_some();
            if selected || wrong || others || known {
                self.reply(turn, MessageType::Nak, Ipv4Addr::UNSPECIFIED, Some(index), None);
            } else {
                self.drop("no record");
            }
            return;
        }
        let lease_s = self.lease_time(index, hw);
        let until_ms = turn.now_ms.saturating_add(u64::from(lease_s).saturating_mul(1000));
        let circuit = self.circuit(turn.request);
        let Some(bytes) = self.packet(turn, MessageType::Ack, address, Some(index), Some(lease_s)) else {
            return self.drop("reply too long");
        };
        let Some(to) = self.destination(turn, MessageType::Ack) else { return self.drop("no way back") };
        if let Some(pool) = self.pools.get_mut(index) {
            pool.bind(hw, address, circuit, until_ms);
        }
        // Rounded up: what is on disk never ends before what the client was told.
        let lease = Lease { address, hw, expires_s: until_ms.div_ceil(1000), state: LeaseState::Bound };
        let boot_file = turn.boot.name().map(str::to_owned);
        let event = DhcpEvent::Leased { client: turn.request.client(), address, boot_file };
        let reply = Reply { bytes, to, from_pxe_port: turn.meta.pxe_port };
        turn.effects.push(Effect::Persist { lease, then: Some(reply), event });
    }

    fn decline(&mut self, turn: &mut Turn<'_>) {
        let request = turn.request;
        let (Some(index), Some(address)) = (self.pool_index(request), request.requested) else {
            return self.drop("decline");
        };
        let until =
            turn.now_ms.saturating_add(u64::from(self.config.limits.decline_hold_s).saturating_mul(1000));
        let Some(pool) = self.pools.get_mut(index) else { return };
        // Only the holder may decline, and only to us.
        let holder = pool.of(&request.hw).is_some_and(|(own, _)| own == address);
        if request.server_id != Some(self.config.server) || !holder || !pool.decline(address, until) {
            return self.drop("decline");
        }
        let lease =
            Lease { address, hw: request.hw, expires_s: until.div_ceil(1000), state: LeaseState::Declined };
        let event = DhcpEvent::Declined { hw: request.hw, address };
        turn.effects.push(Effect::Persist { lease, then: None, event });
    }

    fn release(&mut self, turn: &mut Turn<'_>) {
        let request = turn.request;
        // RFC 2131 section 4.4.6: unicast from the address itself; anything else may be somebody else's joke.
        let relayed = !request.giaddr.is_unspecified();
        if request.ciaddr.is_unspecified() || (!relayed && *turn.meta.source.ip() != request.ciaddr) {
            return self.drop("release");
        }
        let Some(pool) = self.pools.iter_mut().find(|pool| pool.subnet.net.contains(request.ciaddr)) else {
            return self.drop("release");
        };
        match pool.of(&request.hw) {
            Some((address, entry)) if address == request.ciaddr && entry.state == State::Bound => {
                pool.release(address, turn.now_ms);
                let lease = Lease {
                    address,
                    hw: request.hw,
                    expires_s: turn.now_ms / 1000,
                    state: LeaseState::Released,
                };
                let event = DhcpEvent::Released { hw: request.hw, address };
                turn.effects.push(Effect::Persist { lease, then: None, event });
            }
            _ => self.drop("release"),
        }
    }

    fn inform(&mut self, turn: &mut Turn<'_>) {
        let index = self.pools.iter().position(|pool| pool.subnet.net.contains(turn.request.ciaddr));
        if index.is_none() {
            return self.drop("inform");
        }
        self.reply(turn, MessageType::Ack, Ipv4Addr::UNSPECIFIED, index, None);
    }

    /// Boot information only.
    fn proxy(&mut self, turn: &mut Turn<'_>) {
        let request = turn.request;
        let wanted = match request.stage() {
            ClientStage::Pxe | ClientStage::HttpBoot | ClientStage::Ipxe => turn.boot.name(),
            ClientStage::Node | ClientStage::Other => None,
        };
        let Some(boot_file) = wanted.map(str::to_owned) else { return self.drop("nothing to boot") };
        let kind = match request.kind {
            MessageType::Discover if !turn.meta.pxe_port => MessageType::Offer,
            MessageType::Discover => return self.drop("wrong port"),
            // Port 67 hears the choice between address servers, which is none of a proxy's business, unless it is named.
            MessageType::Request if !turn.meta.pxe_port && request.server_id != Some(self.config.server) => {
                if let Some(id) = request.server_id
                    && let Some(event) = self.sightings.seen(turn.now_ms, id, "a client took its offer")
                {
                    turn.effects.push(Effect::Event(event));
                }
                return;
            }
            _ => MessageType::Ack,
        };
        let before = turn.effects.len();
        self.reply(turn, kind, Ipv4Addr::UNSPECIFIED, None, None);
        if turn.effects.len() > before {
            turn.effects.push(Effect::Event(DhcpEvent::Proxied { client: request.client(), boot_file }));
        }
    }

    fn reply(
        &mut self,
        turn: &mut Turn<'_>,
        kind: MessageType,
        yiaddr: Ipv4Addr,
        pool: Option<usize>,
        lease_s: Option<u32>,
    ) {
        let Some(to) = self.destination(turn, kind) else { return self.drop("no way back") };
        match self.packet(turn, kind, yiaddr, pool, lease_s) {
            Some(bytes) => {
                turn.effects.push(Effect::Send(Reply { bytes, to, from_pxe_port: turn.meta.pxe_port }));
            }
            None => self.drop("reply too long"),
        }
    }

    fn packet(
        &self,
        turn: &Turn<'_>,
        kind: MessageType,
        yiaddr: Ipv4Addr,
        pool: Option<usize>,
        lease_s: Option<u32>,
    ) -> Option<Vec<u8>> {
        let subnet = pool.and_then(|index| self.pools.get(index)).map(|pool| &pool.subnet);
        let content = Content { kind, yiaddr, subnet, lease_s, boot: &turn.boot };
        reply::build(turn.request, &self.config, &content)
    }

    /// RFC 2131 section 4.1. A client without an address is answered by broadcast whether or not it asked for that: the
    /// alternative needs an ARP entry for a host that does not answer ARP yet.
    fn destination(&self, turn: &Turn<'_>, kind: MessageType) -> Option<Destination> {
        let request = turn.request;
        let ports = self.config.ports;
        if !request.giaddr.is_unspecified() {
            return Some(Destination::Unicast(SocketAddrV4::new(request.giaddr, ports.relay)));
        }
        if kind == MessageType::Nak {
            return Some(Destination::Broadcast);
        }
        let source = turn.meta.source;
        if turn.meta.pxe_port {
            // Asked from an address that the client has: there, to the asking port, if it is a neighbour.
            return self.is_local(*source.ip()).then_some(Destination::Unicast(source));
        }
        if request.ciaddr.is_unspecified() {
            return Some(Destination::Broadcast);
        }
        // To the address in the packet only where it is also the sender's, or one that we lease to this very client.
        let leased = self
            .pools
            .iter()
            .any(|pool| pool.of(&request.hw).is_some_and(|(address, _)| address == request.ciaddr));
        let own = *source.ip() == request.ciaddr && self.is_local(request.ciaddr);
        (leased || own).then_some(Destination::Unicast(SocketAddrV4::new(request.ciaddr, ports.client)))
    }

    /// On a served subnet; a proxy without subnets takes the sender's word, and its answers go nowhere but there.
    fn is_local(&self, address: Ipv4Addr) -> bool {
        let host = !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast();
        let served = self
            .pools
            .iter()
            .any(|pool| pool.subnet.net.contains(address) && address != pool.subnet.net.broadcast());
        host && (served || (self.pools.is_empty() && self.config.mode == Mode::Proxy && address.is_private()))
    }

    fn lease_time(&self, index: usize, hw: HwAddr) -> u32 {
        let Some(pool) = self.pools.get(index) else { return self.config.limits.first_lease_s };
        let known = self.reserved.contains_key(&hw) || pool.of(&hw).is_some_and(|(_, entry)| entry.known);
        let first = self.config.limits.first_lease_s.max(60);
        if known { pool.subnet.lease_s } else { first.min(pool.subnet.lease_s) }
    }

    fn drop(&mut self, reason: &'static str) {
        let count = self.dropped.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    fn complain(&mut self, now_ms: u64, what: &'static str, event: DhcpEvent, effects: &mut Vec<Effect>) {
        let due = self.complaints.get(what).is_none_or(|last| now_ms >= last.saturating_add(COMPLAIN_MS));
        if due {
            self.complaints.insert(what, now_ms);
            effects.push(Effect::Event(event));
        }
    }
}

/// One request on its way through.
struct Turn<'a> {
    now_ms: u64,
    request: &'a Request,
    meta: Meta,
    boot: Boot,
    effects: &'a mut Vec<Effect>,
}
