//! The state machine: events in, effects out. No clock, no randomness, no input or output.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use weft_types::{BlobDigest, NodeId, VsId};
use weft_wire::agent::{Level, LogLine, MAX_TEXT, NodeEvent, ToServer};
use weft_wire::codec::clip;
use weft_wire::figures::SpanFigures;
use weft_wire::record::{BlobRef, Desired, NodeConfig, VsSpec};

use crate::blobs::{Blob, Blobs};
use crate::cluster::Reach;
use crate::config::{ConfigError, check_config};
use crate::restarts::Restarts;
use crate::server::{Phase, Server};

/// Counts of exits that grow are told this often.
const EXITS_EVERY_NS: u64 = 2_000_000_000;
/// Why a spanning guest is not started once more after a reset: each life needs an epoch of its own.
const OUT_OF_LIVES: &str = "the guest has reset itself 65,535 times: stop it and start it again";
/// Figures of spanning servers are told this often.
const FIGURES_EVERY_NS: u64 = 1_000_000_000;

/// What the node has to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Memory that guests may have together, MiB.
    pub guest_memory_mib: u64,
    /// Bytes of kernels and ram disks that are kept though nobody waits for them.
    pub blob_cache_bytes: u64,
}

/// Why the monitor stopped a virtual server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StopCause {
    /// The guest switched itself off.
    Off,
    /// The guest reset itself: it is started again as the same instance.
    Reset,
    /// The node asked for it.
    Stopped,
    /// The monitor gave up on it.
    Failed(String),
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A verified configuration that [`check_config`] accepts.
    Config(NodeConfig),
    /// A blob arrived, its digest compared.
    BlobReady {
        /// Which.
        digest: BlobDigest,
        /// It.
        bytes: Vec<u8>,
    },
    /// A blob will not come.
    BlobFailed {
        /// Which.
        digest: BlobDigest,
        /// Why, for a person.
        reason: String,
    },
    /// The monitor runs a server's first instruction.
    VsStarted {
        /// Which.
        vs: VsId,
        /// Instance of the [`Effect::StartVs`].
        instance: u64,
    },
    /// The monitor has stopped a server and given up its memory; also when a start failed.
    VsStopped {
        /// Which.
        vs: VsId,
        /// Instance of the [`Effect::StartVs`].
        instance: u64,
        /// Why.
        cause: StopCause,
    },
    /// A guest printed.
    ConsoleOutput {
        /// Which.
        vs: VsId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Someone typed at a guest's console.
    ConsoleInput {
        /// Which.
        vs: VsId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Guest exits since the instance started.
    VsExits {
        /// Which.
        vs: VsId,
        /// How many.
        exits: u64,
    },
    /// Figures of this node's part of a server that spans nodes; see [`Node::wants_figures`].
    SpanFigures(Box<SpanFigures>),
    /// The spanning servers that the members agreed on and that have a share here.
    Spanning(Vec<VsSpec>),
    /// What they may count on.
    Reach(Reach),
    /// Time passed; see [`Node::next_ns`].
    Tick,
    /// The channel to the appliance is open.
    Connected,
    /// The channel is gone. Everything goes on.
    Disconnected,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Fetch a blob.
    FetchBlob(BlobRef),
    /// A blob is not needed any more.
    CancelBlob(BlobDigest),
    /// Start a server. Answered by [`Event::VsStarted`] or [`Event::VsStopped`].
    StartVs {
        /// What it is.
        spec: VsSpec,
        /// Its kernel; `None` on the further members of a server that spans nodes, which load nothing.
        kernel: Option<Blob>,
        /// Its initial ram disk.
        initrd: Option<Blob>,
    },
    /// Stop a server. Answered by [`Event::VsStopped`].
    StopVs {
        /// Which.
        vs: VsId,
        /// Instance that is to stop.
        instance: u64,
    },
    /// Give a running server's processors the affinity of this specification.
    PinVs(Box<VsSpec>),
    /// Feed a guest's console.
    ConsoleInput {
        /// Which.
        vs: VsId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Tell the appliance.
    Send(ToServer),
    /// Note in the node's log.
    Log(Level, String),
}

/// Effects of a step, in order.
pub type Effects = Vec<Effect>;

/// The state machine.
#[derive(Debug)]
pub struct Node {
    pub(crate) me: NodeId,
    limits: Limits,
    /// Of the appliance's configuration for this node.
    own: Vec<VsSpec>,
    /// Of the configuration that the partition agreed on.
    spanning: Vec<VsSpec>,
    reach: Reach,
    pub(crate) servers: Vec<Server>,
    pub(crate) blobs: Blobs,
    pub(crate) connected: bool,
}

pub(crate) fn event(now_ns: u64, level: Level, kind: &str, vs: VsId, text: &str) -> Effect {
    Effect::Send(ToServer::Event(NodeEvent {
        uptime_ms: now_ns / 1_000_000,
        level,
        kind: kind.into(),
        vs: Some(vs),
        text: clip(text, MAX_TEXT).into(),
    }))
}

impl Node {
    /// A node with the built-in default configuration: no servers, no keys.
    pub const fn new(me: NodeId, limits: Limits) -> Self {
        Self {
            me,
            limits,
            own: Vec::new(),
            spanning: Vec::new(),
            reach: Reach::NONE,
            servers: Vec::new(),
            blobs: Blobs::new(limits.blob_cache_bytes),
            connected: false,
        }
    }

    /// One event.
    pub fn step(&mut self, now_ns: u64, event: Event, effects: &mut Effects) {
        match event {
            Event::Config(config) => {
                let own = config.servers.clone();
                let configured = check_config(&config).map(|()| self.own = own);
                self.configured(configured, effects);
            }
            Event::Spanning(servers) => {
                let config = NodeConfig { name: String::new(), servers: servers.clone() };
                let configured = check_config(&config).map(|()| self.spanning = servers);
                self.configured(configured, effects);
            }
            Event::Reach(reach) => self.reach = reach,
            Event::Tick => {}
            Event::BlobReady { digest, bytes } => self.blobs.arrived(digest, bytes),
            Event::BlobFailed { digest, reason } => self.blob_failed(digest, &reason, effects),
            Event::VsStarted { vs, instance } => self.started(now_ns, vs, instance, effects),
            Event::VsStopped { vs, instance, cause } => self.stopped(now_ns, vs, instance, cause, effects),
            Event::ConsoleOutput { vs, bytes } => {
                if let Some(server) = self.server(vs) {
                    server.console.add(&bytes);
                }
            }
            Event::ConsoleInput { vs, bytes } => {
                if self.server(vs).is_some_and(|server| server.phase == Phase::Running) {
                    effects.push(Effect::ConsoleInput { vs, bytes });
                }
            }
            Event::VsExits { vs, exits } => self.exits(now_ns, vs, exits, effects),
            Event::SpanFigures(figures) => {
                if self.wants_figures(now_ns, figures.vs, figures.instance) {
                    self.figures(now_ns, figures, effects);
                }
            }
            Event::Connected => {
                self.connected = true;
                // First: the appliance looks at no state of an instance that it has not heard of.
                self.tell_wanted(effects);
                for server in &mut self.servers {
                    server.console.rewind();
                    effects.push(Effect::Send(ToServer::VsStatus(server.status())));
                }
            }
            Event::Disconnected => self.connected = false,
        }
        self.settle(now_ns, effects);
    }

    /// When to tick: a lease runs out under a server, a quiet time ends that one waits for, or a guest that resets itself
    /// in a loop may start again.
    pub fn next_ns(&self) -> u64 {
        let held = self.servers.iter().filter_map(Server::waits_until_ns).min();
        let spanning = self.servers.iter().filter(|server| server.agreed);
        let due = spanning.filter_map(|server| {
            if server.is_live() {
                return Some(self.reach.lease_until_ns).filter(|_| server.phase != Phase::Stopping);
            }
            let waits = self.reach.quiet_until_ns < self.reach.lease_until_ns && server.should_start();
            waits.then_some(self.reach.quiet_until_ns)
        });
        due.chain(held).min().unwrap_or(u64::MAX)
    }

    /// Guest console output that the appliance has not seen, at most `messages` of it.
    pub fn console_messages(&mut self, messages: usize) -> Vec<ToServer> {
        let mut out = Vec::new();
        if !self.connected {
            return out;
        }
        for server in &mut self.servers {
            while out.len() < messages {
                let Some((offset, bytes)) = server.console.next() else { break };
                out.push(ToServer::Console { vs: server.spec.id, instance: server.instance, offset, bytes });
            }
        }
        out
    }

    /// Memory promised to guests, MiB.
    pub fn guest_memory_mib(&self) -> u64 {
        self.servers
            .iter()
            .filter(|server| server.is_live())
            .map(|server| u64::from(server.running_mib))
            .sum()
    }

    /// Bytes of kernels and ram disks held.
    pub fn blob_bytes(&self) -> u64 {
        self.blobs.held_bytes()
    }

    /// State of each server.
    pub fn statuses(&self) -> Vec<weft_wire::agent::VsStatus> {
        self.servers.iter().map(Server::status).collect()
    }

    fn server(&mut self, vs: VsId) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.spec.id == vs)
    }

    /// Takes over both configurations, unless the new one was refused. What this node was told for itself
    /// counts before what the partition agreed on.
    fn configured(&mut self, configured: Result<(), ConfigError>, effects: &mut Effects) {
        if let Err(error) = configured {
            effects.push(Effect::Log(Level::Error, format!("configuration refused: {error}")));
            return;
        }
        let mut wanted: Vec<(VsSpec, bool)> = self.own.iter().map(|spec| (spec.clone(), false)).collect();
        for spec in &self.spanning {
            if !wanted.iter().any(|(own, _)| own.id == spec.id) {
                wanted.push((spec.clone(), true));
            }
        }
        for server in &mut self.servers {
            if !wanted.iter().any(|(spec, _)| spec.id == server.spec.id) {
                server.leaving = true;
                server.spec.desired = Desired::Stopped;
            }
        }
        for (spec, agreed) in wanted {
            match self.server(spec.id) {
                Some(server) => {
                    server.leaving = false;
                    server.agreed = agreed;
                    if spec.generation >= server.spec.generation {
                        effects.extend(server.pins(&spec).map(Effect::PinVs));
                        server.spec = spec;
                        server.wanted_by = None;
                    }
                }
                None => {
                    let mut server = Server::new(spec);
                    server.agreed = agreed;
                    self.servers.push(server);
                }
            }
        }
    }

    fn blob_failed(&mut self, digest: BlobDigest, reason: &str, effects: &mut Effects) {
        self.blobs.failed(digest);
        for server in &mut self.servers {
            if server.phase == Phase::Fetching && server.uses(digest) {
                fail(server, &format!("file {digest} was not had: {reason}"), effects);
            }
        }
    }

    /// The appliance hears the count while it grows, not too often.
    fn exits(&mut self, now_ns: u64, vs: VsId, exits: u64, effects: &mut Effects) {
        let connected = self.connected;
        let Some(server) = self.server(vs) else { return };
        server.exits = exits;
        let (told, told_ns) = server.exits_told;
        if connected && exits != told && now_ns.saturating_sub(told_ns) >= EXITS_EVERY_NS {
            server.exits_told = (exits, now_ns);
            effects.push(Effect::Send(ToServer::VsStatus(server.status())));
        }
    }

    /// Whether figures of an instance are to be told now: it runs, somebody listens, and the last ones are old.
    pub fn wants_figures(&self, now_ns: u64, vs: VsId, instance: u64) -> bool {
        let running = |server: &&Server| {
            server.spec.id == vs && server.instance == instance && server.phase == Phase::Running
        };
        let server = self.servers.iter().find(running).filter(|_| self.connected);
        server.is_some_and(|server| now_ns >= server.figures_due_ns)
    }

    fn figures(&mut self, now_ns: u64, figures: Box<SpanFigures>, effects: &mut Effects) {
        let Some(server) = self.server(figures.vs) else { return };
        server.figures_due_ns = now_ns.saturating_add(FIGURES_EVERY_NS);
        effects.push(Effect::Send(ToServer::SpanFigures(figures)));
    }

    fn started(&mut self, now_ns: u64, vs: VsId, instance: u64, effects: &mut Effects) {
        let Some(server) = self.server(vs) else { return };
        if server.phase == Phase::Starting && server.instance == instance {
            server.phase = Phase::Running;
            server.restarts.started(now_ns);
            effects.push(Effect::Send(ToServer::VsStatus(server.status())));
        }
    }

    fn stopped(&mut self, now_ns: u64, vs: VsId, instance: u64, cause: StopCause, effects: &mut Effects) {
        let Some(server) = self.server(vs) else { return };
        if !server.is_live() || server.instance != instance {
            return;
        }
        let asked = server.phase == Phase::Stopping;
        server.phase = Phase::Stopped;
        if let Some(reason) = server.lost.take() {
            fail(server, &reason, effects);
            return;
        }
        match cause {
            StopCause::Stopped => {}
            StopCause::Off => {
                if !asked {
                    server.phase = Phase::Off;
                }
            }
            StopCause::Reset => {
                effects.push(event(now_ns, Level::Info, "vs.reset", vs, "the guest reset itself"));
                if !server.count_reset() {
                    fail(server, OUT_OF_LIVES, effects);
                    return;
                }
                if !asked {
                    server.reason = hold_back(&mut server.restarts, now_ns);
                }
            }
            StopCause::Failed(reason) => {
                if asked {
                    effects.push(event(now_ns, Level::Warn, "vs.failed", vs, &reason));
                } else {
                    fail(server, &reason, effects);
                    return;
                }
            }
        }
        effects.push(Effect::Send(ToServer::VsStatus(server.status())));
    }

    /// Brings what is towards what should be, as far as it goes without waiting.
    pub(crate) fn settle(&mut self, now_ns: u64, effects: &mut Effects) {
        self.stop_lost(now_ns, effects);
        self.stop_unwanted(effects);
        self.servers.retain(|server| !server.leaving || server.is_live());
        for index in 0..self.servers.len() {
            self.bring_up(now_ns, index, effects);
        }
        let servers = &self.servers;
        let needed =
            |digest| servers.iter().any(|server| server.phase == Phase::Fetching && server.uses(digest));
        for digest in self.blobs.sweep(needed) {
            effects.push(Effect::CancelBlob(digest));
        }
    }

    /// Stops spanning servers that may not go on: a member is gone, or this node's lease has run out.
    fn stop_lost(&mut self, now_ns: u64, effects: &mut Effects) {
        let reach = &self.reach;
        for server in self.servers.iter_mut().filter(|server| server.agreed) {
            let runs = matches!(server.phase, Phase::Starting | Phase::Running);
            let Some(reason) = reach.objection(now_ns, &server.running).filter(|_| runs) else { continue };
            server.phase = Phase::Stopping;
            server.lost = Some(reason);
            effects.push(Effect::StopVs { vs: server.spec.id, instance: server.instance });
        }
    }

    fn stop_unwanted(&mut self, effects: &mut Effects) {
        for server in &mut self.servers {
            let unwanted = server.leaving || server.spec.desired != Desired::Running;
            if server.should_stop() {
                server.phase = Phase::Stopping;
                effects.push(Effect::StopVs { vs: server.spec.id, instance: server.instance });
            } else if unwanted
                && !server.is_live()
                && (server.phase != Phase::Stopped || !server.reason.is_empty())
            {
                server.restarts = Restarts::default();
                server.phase = Phase::Stopped;
                server.reason = String::new();
                effects.push(Effect::Send(ToServer::VsStatus(server.status())));
            }
        }
    }

    fn bring_up(&mut self, now_ns: u64, index: usize, effects: &mut Effects) {
        let free = self.limits.guest_memory_mib.saturating_sub(self.guest_memory_mib());
        let reach = &self.reach;
        let Some(server) = self.servers.get_mut(index) else { return };
        server.restarts.expire(now_ns);
        if server.agreed {
            let nodes = places(&server.spec);
            if now_ns < reach.quiet_until_ns || reach.objection(now_ns, &nodes).is_some() {
                return;
            }
        }
        if server.should_start() {
            if server.waits_until_ns().is_some() {
                return;
            }
            if server.spec.instance > server.instance {
                server.console.clear();
                server.exits = 0;
                server.restarts = Restarts::default();
            }
            server.instance = server.spec.instance;
            server.reason = String::new();
            server.phase = Phase::Fetching;
            effects.push(Effect::Send(ToServer::VsStatus(server.status())));
        }
        if server.phase != Phase::Fetching {
            return;
        }
        let share = match share(&server.spec, self.me) {
            Ok(share) => share,
            Err(reason) => {
                fail(server, &reason, effects);
                return;
            }
        };
        let wanted_mib = u64::from(share.memory_mib);
        if wanted_mib > free {
            let reason = format!("it needs {wanted_mib} MiB, and {free} MiB are free on this node");
            fail(server, &reason, effects);
            return;
        }
        // Also while it waits: its definition may have changed.
        let (kernel, initrd) =
            if share.loads { (Some(server.spec.kernel), server.spec.initrd) } else { (None, None) };
        for blob in kernel.iter().chain(&initrd) {
            if self.blobs.want(*blob) {
                effects.push(Effect::FetchBlob(*blob));
            }
        }
        let mut held = |blob: Option<BlobRef>| match blob {
            None => Some(None),
            Some(blob) => self.blobs.get(blob.digest).map(Some),
        };
        let (Some(kernel), Some(initrd)) = (held(kernel), held(initrd)) else { return };
        server.instance = server.spec.instance;
        server.running_mib = share.memory_mib;
        server.running = places(&server.spec);
        server.phase = Phase::Starting;
        effects.push(Effect::StartVs { spec: server.to_start(), kernel, initrd });
    }
}

/// Notes a reset; the reason for which the guest is not started again at once, empty where it is.
fn hold_back(restarts: &mut Restarts, now_ns: u64) -> String {
    match restarts.reset(now_ns) {
        0 => String::new(),
        wait_ns => format!(
            "the guest reset itself {} times in a row; it is started again in {} s",
            restarts.in_a_row(),
            wait_ns / 1_000_000_000
        ),
    }
}

/// The nodes that a server lies over.
fn places(spec: &VsSpec) -> Vec<NodeId> {
    spec.span.iter().flat_map(|span| span.places.iter().map(|place| place.node)).collect()
}

/// What a node gives to a server.
struct Share {
    /// Memory, MiB.
    memory_mib: u32,
    /// The guest's kernel is loaded here.
    loads: bool,
}

/// The node's share of a server: all of it, or its place in one that spans nodes.
fn share(spec: &VsSpec, me: NodeId) -> Result<Share, String> {
    let Some(span) = &spec.span else { return Ok(Share { memory_mib: spec.memory_mib, loads: true }) };
    span.check(spec.vcpus, spec.memory_mib).map_err(|error| format!("{error}"))?;
    let index = span.index_of(me).ok_or("this node has no place in it")?;
    let memory_mib = span.places.get(index).map_or(0, |place| place.memory_mib);
    Ok(Share { memory_mib, loads: index == 0 })
}

/// The appliance makes its events from states; this node adds only what no state says.
fn fail(server: &mut Server, reason: &str, effects: &mut Effects) {
    server.phase = Phase::Failed;
    server.reason = clip(reason, MAX_TEXT).into();
    effects.push(Effect::Send(ToServer::VsStatus(server.status())));
}

/// A log line as the appliance takes it.
pub(crate) fn log_line(now_ns: u64, level: Level, text: &str) -> LogLine {
    LogLine { uptime_ms: now_ns / 1_000_000, level, text: clip(text, 512).into() }
}
