//! The state machine: events in, effects out. No clock, no randomness, no input or output.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use weft_types::{BlobDigest, VsId};
use weft_wire::agent::{Level, LogLine, MAX_TEXT, NodeEvent, ToServer};
use weft_wire::codec::clip;
use weft_wire::record::{BlobRef, Desired, NodeConfig, VsSpec};

use crate::blobs::{Blob, Blobs};
use crate::config::{ConfigError, check_config};
use crate::server::{Phase, Server};

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
        /// Its kernel.
        kernel: Blob,
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
    limits: Limits,
    servers: Vec<Server>,
    blobs: Blobs,
    connected: bool,
}

fn event(now_ns: u64, level: Level, kind: &str, vs: VsId, text: &str) -> Effect {
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
    pub const fn new(limits: Limits) -> Self {
        Self { limits, servers: Vec::new(), blobs: Blobs::new(limits.blob_cache_bytes), connected: false }
    }

    /// One event.
    pub fn step(&mut self, now_ns: u64, event: Event, effects: &mut Effects) {
        match event {
            Event::Config(config) => match self.configure(config) {
                Ok(()) => {}
                Err(error) => {
                    effects.push(Effect::Log(Level::Error, format!("configuration refused: {error}")))
                }
            },
            Event::BlobReady { digest, bytes } => self.blobs.arrived(digest, bytes),
            Event::BlobFailed { digest, reason } => self.blob_failed(digest, &reason, effects),
            Event::VsStarted { vs, instance } => self.started(vs, instance, effects),
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
            Event::VsExits { vs, exits } => {
                if let Some(server) = self.server(vs) {
                    server.exits = exits;
                }
            }
            Event::Connected => {
                self.connected = true;
                for server in &mut self.servers {
                    server.console.rewind();
                    effects.push(Effect::Send(ToServer::VsStatus(server.status())));
                }
            }
            Event::Disconnected => self.connected = false,
        }
        self.settle(effects);
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

    fn configure(&mut self, config: NodeConfig) -> Result<(), ConfigError> {
        check_config(&config)?;
        for server in &mut self.servers {
            if !config.servers.iter().any(|spec| spec.id == server.spec.id) {
                server.leaving = true;
                server.spec.desired = Desired::Stopped;
            }
        }
        for spec in config.servers {
            match self.server(spec.id) {
                Some(server) => {
                    server.leaving = false;
                    if spec.generation >= server.spec.generation {
                        server.spec = spec;
                    }
                }
                None => self.servers.push(Server::new(spec)),
            }
        }
        Ok(())
    }

    fn blob_failed(&mut self, digest: BlobDigest, reason: &str, effects: &mut Effects) {
        self.blobs.failed(digest);
        for server in &mut self.servers {
            if server.phase == Phase::Fetching && server.uses(digest) {
                fail(server, &format!("file {digest} was not had: {reason}"), effects);
            }
        }
    }

    fn started(&mut self, vs: VsId, instance: u64, effects: &mut Effects) {
        let Some(server) = self.server(vs) else { return };
        if server.phase == Phase::Starting && server.instance == instance {
            server.phase = Phase::Running;
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
        match cause {
            StopCause::Stopped => {}
            StopCause::Off => {
                if !asked {
                    server.phase = Phase::Off;
                }
            }
            StopCause::Reset => {
                effects.push(event(now_ns, Level::Info, "vs.reset", vs, "the guest reset itself"));
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
    fn settle(&mut self, effects: &mut Effects) {
        self.stop_unwanted(effects);
        self.servers.retain(|server| !server.leaving || server.is_live());
        for index in 0..self.servers.len() {
            self.bring_up(index, effects);
        }
        let servers = &self.servers;
        let needed =
            |digest| servers.iter().any(|server| server.phase == Phase::Fetching && server.uses(digest));
        for digest in self.blobs.sweep(needed) {
            effects.push(Effect::CancelBlob(digest));
        }
    }

    fn stop_unwanted(&mut self, effects: &mut Effects) {
        for server in &mut self.servers {
            let unwanted = server.leaving || server.spec.desired != Desired::Running;
            if server.should_stop() {
                server.phase = Phase::Stopping;
                effects.push(Effect::StopVs { vs: server.spec.id, instance: server.instance });
            } else if unwanted && !server.is_live() && server.phase != Phase::Stopped {
                server.phase = Phase::Stopped;
                server.reason = String::new();
                effects.push(Effect::Send(ToServer::VsStatus(server.status())));
            }
        }
    }

    fn bring_up(&mut self, index: usize, effects: &mut Effects) {
        let free = self.limits.guest_memory_mib.saturating_sub(self.guest_memory_mib());
        let Some(server) = self.servers.get_mut(index) else { return };
        if server.should_start() {
            if server.spec.instance > server.instance {
                server.console.clear();
                server.exits = 0;
            }
            server.instance = server.spec.instance;
            server.reason = String::new();
            server.phase = Phase::Fetching;
            effects.push(Effect::Send(ToServer::VsStatus(server.status())));
        }
        if server.phase != Phase::Fetching {
            return;
        }
        let wanted_mib = u64::from(server.spec.memory_mib);
        if wanted_mib > free {
            let reason = format!("it needs {wanted_mib} MiB, and {free} MiB are free on this node");
            fail(server, &reason, effects);
            return;
        }
        // Also while it waits: its definition may have changed.
        for blob in core::iter::once(&server.spec.kernel).chain(&server.spec.initrd) {
            if self.blobs.want(*blob) {
                effects.push(Effect::FetchBlob(*blob));
            }
        }
        let Some(kernel) = self.blobs.get(server.spec.kernel.digest) else { return };
        let initrd = match server.spec.initrd {
            None => None,
            Some(blob) => match self.blobs.get(blob.digest) {
                Some(bytes) => Some(bytes),
                None => return,
            },
        };
        server.instance = server.spec.instance;
        server.running_mib = server.spec.memory_mib;
        server.phase = Phase::Starting;
        effects.push(Effect::StartVs { spec: server.spec.clone(), kernel, initrd });
    }
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
