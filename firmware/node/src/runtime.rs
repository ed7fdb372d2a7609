//! Everything of the node that is not the monitor itself, behind one object for the boot processor's loop.
//!
//! ```text
//! loop {
//!     deadline = runtime.poll(now);             // bounded work, never blocks
//!     for command in runtime.take_commands() {} // start, stop, feed a guest, reboot
//!     … run guests; runtime.event(…) for what they did; guest_tx/guest_rx for their frames …
//!     halt until an interrupt or the deadline
//! }
//! ```

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use weft_abi::enter;
use weft_agent::{Agent, AgentEvent, Facts, Phase};
use weft_platform::Entropy;
use weft_transport::bridge::{BoxedNic, Bridge, Dropped, GuestTxError};
use weft_transport::stack::{Lease, Stack};
use weft_types::{NodeId, VsId};
use weft_wire::agent::{Command as WireCommand, Heartbeat, Level, NicReport, ToServer};
use weft_wire::load::{NodeLoad, Traffic};
use weft_wire::record::VsSpec;

use crate::blobs::Blob;
use crate::cluster::{Cluster, ClusterEvent};
use crate::config::check_config;
use crate::door::Door;
use crate::kernel::{Console, NodeKernel};
use crate::links::Peers;
use crate::notes::Notes;
use crate::step::{Effect, Effects, Event, Limits, Node, StopCause, log_line};

/// How soon a NIC that had no room is asked again.
const BACKLOG_NS: u64 = 1_000_000;

/// What a runtime is made of.
pub struct Parts {
    /// What the boot entry and the hardware tell.
    pub facts: Facts,
    /// What guests may have.
    pub limits: Limits,
    /// The NIC that reaches the appliance.
    pub nic: BoxedNic,
    /// Cryptographic randomness.
    pub entropy: Box<dyn Entropy + Send>,
    /// The node's own console.
    pub console: Console,
    /// Time now.
    pub now_ns: u64,
}

/// What the monitor is to do.
#[expect(
    clippy::large_enum_variant,
    reason = "made and consumed at once; a box would be one more allocation that can fail"
)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Start a server. Answer with [`Event::VsStarted`], or [`Event::VsStopped`] where that fails.
    StartVs {
        /// What it is.
        spec: VsSpec,
        /// Its kernel; `None` on the further members of a server that spans nodes.
        kernel: Option<Blob>,
        /// Its initial ram disk.
        initrd: Option<Blob>,
    },
    /// Stop a server. Answer with [`Event::VsStopped`].
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
    /// Restart the machine.
    Reboot,
}

/// See the module.
pub struct Runtime {
    pub(crate) kernel: NodeKernel,
    pub(crate) agent: Agent,
    pub(crate) node: Node,
    commands: Vec<Command>,
    reported: (Option<Lease>, bool),
    nics: Vec<NicReport>,
    pub(crate) cluster: Cluster,
    pub(crate) peers: Option<Peers>,
    pub(crate) door: Door,
    pub(crate) notes: Notes,
}

impl Runtime {
    /// A runtime with the built-in default configuration. Prints the fingerprint.
    pub fn new(parts: Parts) -> Self {
        let Parts { facts, limits, nic, mut entropy, console, now_ns } = parts;
        let mut seed = [0; 8];
        entropy.fill(&mut seed);
        let stack = Stack::new(nic, now_ns, u64::from_ne_bytes(seed));
        let mut kernel = NodeKernel::new(stack, now_ns, entropy, console);
        let nics = facts.inventory.nics.clone();
        let agent = enter(&mut kernel, || Agent::new(facts));
        let node = Node::new(agent.id(), limits);
        let cluster = Cluster::new(agent.id(), agent.incarnation(), u64::from_ne_bytes(seed));
        Self {
            kernel,
            agent,
            node,
            commands: Vec::new(),
            reported: (None, false),
            nics,
            cluster,
            peers: None,
            door: Door::default(),
            notes: Notes::default(),
        }
    }

    /// The node's identity.
    pub fn id(&self) -> NodeId {
        self.agent.id()
    }

    /// Where the agent is.
    pub fn phase(&self) -> Phase {
        self.agent.phase()
    }

    /// Address and servers by DHCP.
    pub fn lease(&mut self) -> Option<Lease> {
        self.kernel.stack().lease().copied()
    }

    /// Nanoseconds since 1970, once the appliance has told the time.
    pub fn unix_ns(&self) -> Option<u64> {
        use weft_abi::Kernel as _;
        self.kernel.realtime_ns()
    }

    /// The state machine, to look at.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Does what can be done now, bounded. Returns when it wants to be called again, frames and events
    /// apart; `now_ns` or less: at once.
    pub fn poll(&mut self, now_ns: u64) -> u64 {
        let mut more = self.kernel.poll(now_ns);
        self.report_nic();
        let agent = &mut self.agent;
        enter(&mut self.kernel, || agent.poll());
        more |= self.kernel.take_moved();
        while let Some(event) = self.agent.next_event() {
            more = true;
            self.on_agent(now_ns, event);
        }
        more |= self.poll_cluster(now_ns);
        more |= self.poll_door(now_ns);
        let room = self.agent.room() / 2;
        for message in self.node.console_messages(room) {
            more = true;
            self.agent.send(message);
        }
        more |= self.kernel.poll(now_ns);
        if more {
            return now_ns;
        }
        let stack = self.kernel.stack().poll_at(now_ns).unwrap_or(u64::MAX);
        // While the NIC takes nothing the stack cannot send what is due: no reason to spin.
        if self.bridge().has_backlog() {
            return now_ns.saturating_add(BACKLOG_NS);
        }
        let own = self.cluster.next_ns().min(self.node.next_ns()).min(self.door.next_ns());
        stack.min(self.agent.next_ns(now_ns)).min(own)
    }

    /// What the monitor is to do since the last call, in order.
    pub fn take_commands(&mut self) -> Vec<Command> {
        core::mem::take(&mut self.commands)
    }

    /// Something happened in the monitor.
    pub fn event(&mut self, now_ns: u64, event: Event) {
        if let Event::VsStopped { vs, .. } = &event {
            self.bridge().remove_ports(*vs);
        }
        let mut effects = Effects::new();
        self.node.step(now_ns, event, &mut effects);
        self.apply(now_ns, effects);
    }

    /// A line for the node's console and the appliance's log.
    pub fn log(&mut self, now_ns: u64, level: Level, text: &str) {
        use weft_abi::Kernel as _;
        self.kernel.console(format!("weft: {text}\n").as_bytes());
        self.tell(ToServer::Log(log_line(now_ns, level, text)));
    }

    /// An event for the appliance, for example `vs.triple-fault` or `node.fault`.
    pub fn report(&mut self, now_ns: u64, level: Level, kind: &str, vs: Option<VsId>, text: &str) {
        self.tell(ToServer::Event(weft_wire::agent::NodeEvent {
            uptime_ms: now_ns / 1_000_000,
            level,
            kind: weft_wire::codec::clip(kind, 64).into(),
            vs,
            text: weft_wire::codec::clip(text, weft_wire::agent::MAX_TEXT).into(),
        }));
    }

    /// Figures for the next heartbeats; the uptime is filled in.
    pub fn set_heartbeat(&mut self, heartbeat: Heartbeat) {
        self.agent.set_heartbeat(heartbeat);
    }

    /// Load to tell with the next heartbeat.
    pub fn set_load(&mut self, load: Box<NodeLoad>) {
        self.agent.set_load(load);
    }

    /// What passed the interfaces of a guest since it was started.
    pub fn traffic(&mut self, vs: VsId) -> Traffic {
        self.bridge().traffic(vs)
    }

    /// Tells the NIC that its interrupt was seen.
    pub fn acknowledge_interrupt(&mut self) {
        self.bridge().acknowledge_interrupt();
    }

    /// Takes a frame from interface `index` of a guest.
    pub fn guest_tx(&mut self, vs: VsId, index: u16, frame: &[u8]) -> Result<(), GuestTxError> {
        self.bridge().guest_tx(vs, index, frame)
    }

    /// Copies the next frame for interface `index` of a guest into `out`.
    pub fn guest_rx(&mut self, vs: VsId, index: u16, out: &mut [u8]) -> Option<usize> {
        self.bridge().guest_rx(vs, index, out)
    }

    /// Whether a frame waits for interface `index` of a guest.
    pub fn guest_rx_ready(&mut self, vs: VsId, index: u16) -> bool {
        self.bridge().guest_rx_ready(vs, index)
    }

    /// Frames that were dropped.
    pub fn dropped(&mut self) -> Dropped {
        self.bridge().dropped()
    }

    fn bridge(&mut self) -> &mut Bridge {
        self.kernel.stack().bridge()
    }

    /// Keeps the inventory's link state and address true.
    fn report_nic(&mut self) {
        let lease = self.kernel.stack().lease().copied();
        let bridge = self.bridge();
        let (link_up, mac) = (bridge.link_up(), bridge.mac());
        if self.reported == (lease, link_up) {
            return;
        }
        self.reported = (lease, link_up);
        for nic in self.nics.iter_mut().filter(|nic| nic.mac == mac) {
            nic.link_up = link_up;
            nic.address = lease.map_or([0; 4], |lease| lease.address);
        }
        self.agent.set_nics(self.nics.clone());
    }

    fn on_agent(&mut self, now_ns: u64, event: AgentEvent) {
        match event {
            AgentEvent::Connected => {
                self.cluster_event(now_ns, ClusterEvent::Online(true));
                self.event(now_ns, Event::Connected);
            }
            AgentEvent::Disconnected => {
                self.event(now_ns, Event::Disconnected);
                self.cluster_event(now_ns, ClusterEvent::Online(false));
            }
            AgentEvent::Cluster { envelope, payload, record } => {
                if let Some(trust) = self.agent.cluster_trust() {
                    let event = ClusterEvent::Record { envelope, payload, record, trust };
                    self.cluster_event(now_ns, event);
                }
            }
            AgentEvent::Time(unix_s) => self.kernel.set_time(unix_s),
            AgentEvent::ConsoleInput { vs, bytes } => self.event(now_ns, Event::ConsoleInput { vs, bytes }),
            AgentEvent::Command(WireCommand::Reboot) => self.commands.push(Command::Reboot),
            AgentEvent::BlobReady(digest, bytes) => self.event(now_ns, Event::BlobReady { digest, bytes }),
            AgentEvent::BlobFailed(digest, reason) => {
                self.event(now_ns, Event::BlobFailed { digest, reason });
            }
            AgentEvent::Config { record, config } => {
                let checked = check_config(&config).map_err(|error| format!("{error}"));
                let agent = &mut self.agent;
                enter(&mut self.kernel, || agent.record_result(record, checked.clone()));
                if checked.is_ok() {
                    self.event(now_ns, Event::Config(config));
                }
            }
        }
    }

    pub(crate) fn apply(&mut self, now_ns: u64, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::FetchBlob(blob) => self.agent.fetch(blob),
                Effect::CancelBlob(digest) => self.agent.cancel_fetch(digest),
                Effect::StartVs { spec, kernel, initrd } => self.start(now_ns, spec, kernel, initrd),
                Effect::StopVs { vs, instance } => self.commands.push(Command::StopVs { vs, instance }),
                Effect::PinVs(spec) => self.commands.push(Command::PinVs(spec)),
                Effect::ConsoleInput { vs, bytes } => self.commands.push(Command::ConsoleInput { vs, bytes }),
                Effect::Send(message) => self.tell(message),
                Effect::Log(level, text) => self.log(now_ns, level, &text),
            }
        }
    }

    fn start(&mut self, now_ns: u64, spec: VsSpec, kernel: Option<Blob>, initrd: Option<Blob>) {
        let mut refused = None;
        // Devices are where the kernel is loaded.
        let macs = if kernel.is_some() { spec.macs.as_slice() } else { &[] };
        for (index, mac) in macs.iter().enumerate() {
            // At most four, by `check_config`.
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            if let Err(error) = self.bridge().add_port(spec.id, index, *mac) {
                refused = Some(format!("its MAC {mac:02x?} cannot be used on this node: {error:?}"));
            }
        }
        match refused {
            None => self.commands.push(Command::StartVs { spec, kernel, initrd }),
            Some(reason) => self.fail_start(now_ns, &spec, reason),
        }
    }

    fn fail_start(&mut self, now_ns: u64, spec: &VsSpec, reason: String) {
        let cause = StopCause::Failed(reason);
        self.event(now_ns, Event::VsStopped { vs: spec.id, instance: spec.instance, cause });
    }
}
