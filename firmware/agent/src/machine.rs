//! The agent's state machine. See the crate's diagram.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use weft_abi::{Address, sys};
use weft_format::Delegation;
use weft_transport::noise::public_key;
use weft_types::{BlobDigest, Fingerprint, NodeId, VsId};
use weft_wire::agent::{
    Command, DEAD_AFTER_MS, HEARTBEAT_MS, Heartbeat, Hello, MAX_TEXT, PROTOCOL, RecordResult, Stage, ToNode,
    ToServer, Welcome,
};
use weft_wire::cluster::{ClusterEnvelope, ClusterPayload};
use weft_wire::codec::clip;
use weft_wire::load::NodeLoad;
use weft_wire::record::{BlobRef, NodeConfig};

use crate::backoff::Backoff;
use crate::channel::{Link, LinkState};
use crate::cluster::ClusterTrust;
use crate::delegation::{Transfer, candidates, judge};
use crate::facts::{Facts, manifest};
use crate::fetch::{Fetcher, Outcome};
use crate::node_id;
use crate::outgoing::Outgoing;
use crate::records::{Accepted, Judge};

const MS: u64 = 1_000_000;
/// A dial, handshake or greeting that takes longer has failed.
const GREETING_NS: u64 = 6_000 * MS;
/// A server that does not give the delegation in this time is left: the first time, and when one is held.
const FIRST_FETCH_NS: u64 = 20_000 * MS;
const REFETCH_NS: u64 = 2_000 * MS;
/// A connection that lives so long was a success: the next wait is short. One that is greeted and closed
/// at once is not.
const SETTLED_NS: u64 = 5_000 * MS;

/// What the node is told.
#[derive(Debug)]
pub enum AgentEvent {
    /// The appliance greeted us.
    Connected,
    /// The connection is gone.
    Disconnected,
    /// A configuration passed the gate. Whoever applies it answers by [`Agent::record_result`].
    Config {
        /// Epoch and counter.
        record: (u64, u64),
        /// It.
        config: NodeConfig,
    },
    /// A cluster record with a good signature, of this boot's cluster.
    Cluster {
        /// Which partition, and its place in the order.
        envelope: ClusterEnvelope,
        /// What it says.
        payload: ClusterPayload,
        /// All of it, for other members.
        record: Vec<u8>,
    },
    /// The appliance told the time, seconds since 1970.
    Time(u64),
    /// Keys for a guest's console.
    ConsoleInput {
        /// Which.
        vs: VsId,
        /// What.
        bytes: Vec<u8>,
    },
    /// A small request.
    Command(Command),
    /// A blob is here, its digest compared.
    BlobReady(BlobDigest, Vec<u8>),
    /// A blob will not come, and why.
    BlobFailed(BlobDigest, String),
}

/// Where the agent is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Waits for an address.
    Address,
    /// Fetches the delegation.
    Delegation,
    /// Dials, shakes hands, greets.
    Connecting,
    /// Greeted, and perhaps in quarantine.
    Online,
    /// Waits before it tries again.
    Waiting,
}

enum State {
    Address,
    Delegation { servers: VecDeque<[u8; 4]>, transfer: Option<Transfer> },
    Connecting { targets: VecDeque<Target>, link: Option<Box<Connecting>> },
    Online(Box<Online>),
    Waiting { until_ns: u64 },
}

#[derive(Clone, Copy)]
struct Target {
    peer: Address,
    http: Address,
    key: [u8; 32],
}

struct Connecting {
    link: Link,
    target: Target,
    greeted: bool,
    deadline_ns: u64,
}

struct Online {
    link: Link,
    /// From then on the connection counts as a success.
    settled_at_ns: u64,
    heartbeat_at_ns: u64,
    dead_at_ns: u64,
}

/// The agent.
pub struct Agent {
    facts: Facts,
    pub(crate) secret: [u8; 32],
    id: NodeId,
    nonce: [u8; 16],
    stages: Vec<(Stage, u64)>,
    state: State,
    pub(crate) delegation: Option<Delegation>,
    /// Server that gave the delegation.
    home: Option<[u8; 4]>,
    pub(crate) judge: Judge,
    /// A good standing was said on this connection.
    approved: bool,
    http: Option<Address>,
    fetcher: Fetcher,
    backoff: Backoff,
    outgoing: Outgoing,
    events: VecDeque<AgentEvent>,
    heartbeat: Heartbeat,
    /// Taken since the last heartbeat.
    load: Option<Box<NodeLoad>>,
    last_words: String,
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Only a missing kernel refuses, and then nothing else works either.
    let filled = sys::entropy(&mut bytes);
    assert!(filled.is_ok(), "the kernel below the agent gives randomness");
    bytes
}

impl Agent {
    /// An agent; runs inside `weft_abi::enter`, since it draws its nonce (and its key, where none is kept).
    /// Says the fingerprint on the console.
    pub fn new(facts: Facts) -> Self {
        let secret = facts.node_key.unwrap_or_else(random);
        let id = node_id(&public_key(&secret));
        let nonce = random();
        sys::print(&format!("weft: fingerprint {}\n", Fingerprint(id)));
        let stages = facts.stages.clone();
        let judge = Judge::new(id, nonce, manifest(&facts.manifest));
        Self {
            facts,
            secret,
            id,
            nonce,
            stages,
            state: State::Address,
            delegation: None,
            home: None,
            judge,
            approved: false,
            http: None,
            fetcher: Fetcher::new(u64::from_ne_bytes(random())),
            backoff: Backoff::new(u64::from_ne_bytes(random())),
            outgoing: Outgoing::default(),
            events: VecDeque::new(),
            heartbeat: Heartbeat::default(),
            load: None,
            last_words: String::new(),
        }
    }

    /// The node's identity.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// This boot as a number that grows from boot to boot of one key: the boot counter, then chance, for a
    /// machine whose counter could not be kept.
    pub fn incarnation(&self) -> u64 {
        let [a, b, c, d, ..] = self.nonce;
        let chance = u64::from(u32::from_le_bytes([a, b, c, d]) >> 1);
        (self.facts.boot_counter.clamp(1, u64::from(u32::MAX)) << 32) | chance
    }

    /// Where the agent is.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Address => Phase::Address,
            State::Delegation { .. } => Phase::Delegation,
            State::Connecting { .. } => Phase::Connecting,
            State::Online(_) => Phase::Online,
            State::Waiting { .. } => Phase::Waiting,
        }
    }

    /// Figures for the next heartbeats.
    pub fn set_heartbeat(&mut self, heartbeat: Heartbeat) {
        self.heartbeat = heartbeat;
    }

    /// Load to tell with the next heartbeat; what was not told yet is replaced.
    pub fn set_load(&mut self, load: Box<NodeLoad>) {
        self.load = Some(load);
    }

    /// The NICs changed: for the next greeting.
    pub fn set_nics(&mut self, nics: Vec<weft_wire::agent::NicReport>) {
        self.facts.inventory.nics = nics;
    }

    /// Messages that still fit the queue.
    pub fn room(&self) -> usize {
        self.outgoing.room()
    }

    /// Queues a message. While there is no channel, state is not kept: it is told anew after a greeting.
    pub fn send(&mut self, message: ToServer) {
        self.outgoing.push(message);
    }

    /// Answers a configuration record.
    pub fn record_result(&mut self, record: (u64, u64), result: Result<(), String>) {
        if let Err(reason) = &result {
            self.say(&format!("record {}.{} refused: {reason}", record.0, record.1));
        }
        let result = result.map_err(|reason| String::from(clip(&reason, MAX_TEXT)));
        self.send(ToServer::RecordResult(RecordResult { record, result }));
    }

    /// Asks for a blob; answered by an event.
    pub fn fetch(&mut self, blob: BlobRef) {
        if !self.fetcher.want(blob) {
            let reason = String::from("too many files are waited for");
            self.events.push_back(AgentEvent::BlobFailed(blob.digest, reason));
        }
    }

    /// A blob is not needed any more.
    pub fn cancel_fetch(&mut self, digest: BlobDigest) {
        self.fetcher.cancel(digest);
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<AgentEvent> {
        self.events.pop_front()
    }

    /// When to poll again, packets apart.
    pub fn next_ns(&self, now_ns: u64) -> u64 {
        let state = match &self.state {
            State::Address => now_ns.saturating_add(100 * MS),
            State::Delegation { transfer: Some(transfer), .. } => transfer.next_ns(),
            State::Delegation { transfer: None, .. } => now_ns,
            State::Connecting { link: Some(connecting), .. } => connecting.deadline_ns,
            State::Connecting { link: None, .. } => now_ns,
            State::Online(online) => online.heartbeat_at_ns.min(online.dead_at_ns),
            State::Waiting { until_ns } => *until_ns,
        };
        let fetch = self.http.and(self.fetcher.next_ns(now_ns)).unwrap_or(u64::MAX);
        state.min(fetch)
    }

    /// Does what can be done now. Runs inside `weft_abi::enter`.
    pub fn poll(&mut self) {
        let now_ns = sys::monotonic_ns();
        // Each round is one transition; a handful is more than any chain of them that needs no waiting.
        for _ in 0..8 {
            let state = core::mem::replace(&mut self.state, State::Address);
            let before = core::mem::discriminant(&state);
            self.state = match state {
                State::Address => self.on_address(now_ns),
                State::Delegation { servers, transfer } => self.on_delegation(now_ns, servers, transfer),
                State::Connecting { targets, link } => self.on_connecting(now_ns, targets, link),
                State::Online(online) => self.on_online(now_ns, online),
                State::Waiting { until_ns } if now_ns < until_ns => State::Waiting { until_ns },
                State::Waiting { .. } => State::Address,
            };
            if core::mem::discriminant(&self.state) == before {
                break;
            }
        }
        match self.fetcher.poll(now_ns, self.http) {
            Some(Outcome::Ready(digest, bytes)) => {
                self.events.push_back(AgentEvent::BlobReady(digest, bytes))
            }
            Some(Outcome::Failed(digest, reason)) => {
                self.say(&format!("file {digest} was not had: {reason}"));
                self.events.push_back(AgentEvent::BlobFailed(digest, reason));
            }
            None => {}
        }
    }

    /// Says something on the console, but not the same twice in a row.
    fn say(&mut self, words: &str) {
        if self.last_words != words {
            sys::print(&format!("weft: {words}\n"));
            self.last_words = words.into();
        }
    }

    fn stage(&mut self, stage: Stage, now_ns: u64, words: &str) {
        if self.stages.iter().all(|(seen, _)| *seen != stage) {
            self.stages.push((stage, self.facts.clock_zero_us.saturating_add(now_ns / 1000)));
        }
        self.say(&format!("stage {words}"));
    }

    fn wait(&mut self, now_ns: u64) -> State {
        State::Waiting { until_ns: now_ns.saturating_add(self.backoff.next_ns()) }
    }

    fn on_address(&mut self, now_ns: u64) -> State {
        let Ok([a, b, c, d]) = sys::resolve(sys::names::SELF) else { return State::Address };
        if self.stages.iter().all(|(seen, _)| *seen != Stage::Network) {
            self.stage(Stage::Network, now_ns, &format!("network {a}.{b}.{c}.{d}"));
        }
        let servers = candidates(&self.facts).into();
        State::Delegation { servers, transfer: None }
    }

    fn on_delegation(
        &mut self,
        now_ns: u64,
        mut servers: VecDeque<[u8; 4]>,
        transfer: Option<Transfer>,
    ) -> State {
        let Some(mut transfer) = transfer else {
            let Some(server) = servers.pop_front() else {
                return self.without_delegation(now_ns);
            };
            let patience = if self.delegation.is_some() { REFETCH_NS } else { FIRST_FETCH_NS };
            let transfer = Transfer::start(server, now_ns, now_ns.saturating_add(patience)).ok();
            return State::Delegation { servers, transfer };
        };
        let outcome = match transfer.poll(now_ns) {
            None => return State::Delegation { servers, transfer: Some(transfer) },
            Some(outcome) => outcome,
        };
        let least = self.delegation.as_ref().map_or(0, |held| held.version);
        let [a, b, c, d] = transfer.server;
        match outcome.and_then(|bytes| judge(&bytes, &self.facts.root_set, least)) {
            Ok(delegation) => {
                let version = delegation.version;
                self.delegation = Some(delegation);
                self.home = Some(transfer.server);
                self.stage(Stage::Delegation, now_ns, &format!("delegation {version} from {a}.{b}.{c}.{d}"));
                self.dial()
            }
            Err(reason) => {
                self.say(&format!("delegation from {a}.{b}.{c}.{d} refused: {reason}"));
                State::Delegation { servers, transfer: None }
            }
        }
    }

    /// No server gave a new delegation: the one held still counts.
    fn without_delegation(&mut self, now_ns: u64) -> State {
        if self.delegation.is_some() {
            return self.dial();
        }
        self.say("no appliance found, running the built-in default configuration");
        self.wait(now_ns)
    }

    fn dial(&self) -> State {
        let usable = self.delegation.iter().flat_map(Delegation::usable);
        let targets = usable.filter_map(|appliance| {
            let ip = appliance.address.or(self.home)?;
            Some(Target {
                peer: Address { ip, port: appliance.agent_port },
                http: Address { ip, port: appliance.http_port },
                key: appliance.channel_key,
            })
        });
        State::Connecting { targets: targets.collect(), link: None }
    }

    fn on_connecting(
        &mut self,
        now_ns: u64,
        mut targets: VecDeque<Target>,
        link: Option<Box<Connecting>>,
    ) -> State {
        let Some(mut connecting) = link else {
            let Some(target) = targets.pop_front() else {
                return self.wait(now_ns);
            };
            let deadline_ns = now_ns.saturating_add(GREETING_NS);
            let link = match Link::dial(target.peer, &self.secret, &target.key, random()) {
                Ok(link) => Some(Box::new(Connecting { link, target, greeted: false, deadline_ns })),
                Err(reason) => {
                    self.refused(target, &reason);
                    None
                }
            };
            return State::Connecting { targets, link };
        };
        match self.greet(now_ns, &mut connecting) {
            Ok(Some(welcome)) => self.welcomed(now_ns, *connecting, &welcome),
            Ok(None) if now_ns < connecting.deadline_ns => {
                State::Connecting { targets, link: Some(connecting) }
            }
            Ok(None) => {
                self.refused(connecting.target, "no answer in time");
                State::Connecting { targets, link: None }
            }
            Err(reason) => {
                self.refused(connecting.target, &reason);
                State::Connecting { targets, link: None }
            }
        }
    }

    fn refused(&mut self, target: Target, reason: &str) {
        let [a, b, c, d] = target.peer.ip;
        self.say(&format!("appliance {a}.{b}.{c}.{d} port {}: {reason}", target.peer.port));
    }

    fn greet(&mut self, now_ns: u64, connecting: &mut Connecting) -> Result<Option<Welcome>, String> {
        connecting.link.poll()?;
        match connecting.link.state() {
            LinkState::Dialling | LinkState::Shaking => return Ok(None),
            LinkState::Open => {}
        }
        if !connecting.greeted {
            connecting.greeted = true;
            self.stage(Stage::Channel, now_ns, "channel open");
            let version = self.delegation.as_ref().map_or(0, |held| held.version);
            let hello = Hello {
                protocol: PROTOCOL,
                boot_counter: self.facts.boot_counter,
                boot_nonce: self.nonce,
                boot: self.facts.report(version, self.stages.clone()),
                inventory: self.facts.inventory.clone(),
                last_record: self.judge.last_record(),
            };
            connecting.link.send(&ToServer::Hello(hello))?;
            connecting.link.poll()?;
        }
        match connecting.link.next() {
            None => Ok(None),
            Some(ToNode::Welcome(welcome)) if welcome.protocol == PROTOCOL => Ok(Some(welcome)),
            Some(ToNode::Welcome(welcome)) => {
                Err(format!("it speaks protocol {}, this node speaks {PROTOCOL}", welcome.protocol))
            }
            Some(ToNode::Ping) => Ok(None),
            Some(
                ToNode::Record(_) | ToNode::ConsoleInput { .. } | ToNode::Command(_) | ToNode::Cluster(_),
            ) => Err("it spoke before it greeted".into()),
        }
    }

    fn welcomed(&mut self, now_ns: u64, connecting: Connecting, welcome: &Welcome) -> State {
        self.http = Some(connecting.target.http);
        self.judge.new_connection();
        self.approved = false;
        self.outgoing.keep_words();
        if welcome.quarantined {
            self.judge.withdraw();
            self.say(&format!("quarantined: {}", welcome.reason));
        } else {
            self.say("stage ready");
        }
        self.events.push_back(AgentEvent::Connected);
        State::Online(Box::new(Online {
            link: connecting.link,
            settled_at_ns: now_ns.saturating_add(SETTLED_NS),
            heartbeat_at_ns: now_ns,
            dead_at_ns: now_ns.saturating_add(DEAD_AFTER_MS * MS),
        }))
    }

    fn on_online(&mut self, now_ns: u64, mut online: Box<Online>) -> State {
        match self.converse(now_ns, &mut online) {
            Ok(()) => State::Online(online),
            Err(reason) => {
                self.say(&format!("connection to the appliance lost: {reason}"));
                self.events.push_back(AgentEvent::Disconnected);
                self.wait(now_ns)
            }
        }
    }

    fn converse(&mut self, now_ns: u64, online: &mut Online) -> Result<(), String> {
        online.link.poll()?;
        if online.link.take_heard() {
            online.dead_at_ns = now_ns.saturating_add(DEAD_AFTER_MS * MS);
        }
        while let Some(message) = online.link.next() {
            self.on_message(message)?;
        }
        if now_ns >= online.dead_at_ns {
            return Err(format!("nothing heard for {DEAD_AFTER_MS} ms"));
        }
        if now_ns >= online.settled_at_ns {
            self.backoff.reset();
        }
        if now_ns >= online.heartbeat_at_ns {
            online.heartbeat_at_ns = now_ns.saturating_add(HEARTBEAT_MS * MS);
            self.heartbeat.uptime_ms = now_ns / MS;
            self.outgoing.push_front(ToServer::Heartbeat(self.heartbeat));
            // Only to who may believe it, and each once.
            if let Some(load) = self.load.take().filter(|_| self.approved) {
                self.outgoing.push(ToServer::Load(load));
            }
        }
        while online.link.has_room() {
            let Some(message) = self.outgoing.pop() else { break };
            online.link.send(&message)?;
        }
        online.link.flush()
    }

    fn on_message(&mut self, message: ToNode) -> Result<(), String> {
        match message {
            // The appliance changed its mind about us, and says why.
            ToNode::Welcome(welcome) => {
                if welcome.quarantined {
                    self.judge.withdraw();
                    self.say(&format!("quarantined: {}", welcome.reason));
                }
                Ok(())
            }
            ToNode::Record(bytes) => {
                self.on_record(&bytes);
                Ok(())
            }
            ToNode::ConsoleInput { vs, bytes } => {
                self.events.push_back(AgentEvent::ConsoleInput { vs, bytes });
                Ok(())
            }
            ToNode::Command(command) => {
                self.events.push_back(AgentEvent::Command(command));
                Ok(())
            }
            ToNode::Ping => Ok(()),
            ToNode::Cluster(bytes) => {
                self.on_cluster(bytes);
                Ok(())
            }
        }
    }

    /// By whom a cluster record must be signed, and for which cluster; `None` before the appliance has vouched
    /// for this node in this boot.
    pub fn cluster_trust(&self) -> Option<ClusterTrust> {
        let delegation = self.delegation.clone()?;
        Some(ClusterTrust::new(delegation, self.judge.cluster()?))
    }

    fn on_cluster(&mut self, record: Vec<u8>) {
        let judged = match self.cluster_trust() {
            Some(trust) if self.approved => trust.judge(&record),
            Some(_) | None => Err("the appliance has not yet confirmed that this image may run".into()),
        };
        match judged {
            Ok((envelope, payload)) => {
                self.events.push_back(AgentEvent::Cluster { envelope, payload, record });
            }
            Err(reason) => self.say(&format!("cluster record refused: {reason}")),
        }
    }

    fn on_record(&mut self, bytes: &[u8]) {
        let Some(delegation) = &self.delegation else { return };
        let (record, judged) = self.judge.judge(bytes, delegation);
        match judged {
            Ok(Accepted::Good(unix_s)) => {
                if !core::mem::replace(&mut self.approved, true) {
                    self.say("stage approved");
                }
                self.events.push_back(AgentEvent::Time(unix_s));
                self.record_result(record, Ok(()));
            }
            Ok(Accepted::Config(config)) => self.events.push_back(AgentEvent::Config { record, config }),
            Err(reason) => self.record_result(record, Err(reason)),
        }
    }
}
