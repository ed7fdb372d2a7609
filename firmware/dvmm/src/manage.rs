//! Management on the first processor: the runtime (network, agent, node state machine) and what it wants
//! of the guests. Called from the processor's loop; nothing here waits.

use crate::entropy::NodeEntropy;
use crate::guest::{End, Exchange, Guest, GuestConfig, Share};
use crate::shadow::Paging;
use crate::{facts, measure, nic, schedule, shadow, span};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Mutex;
use weft_hal::pci::Function;
use weft_hal::{apic, cpu, frames, guest_ram, println, serial, smp, svm, time};
use weft_node::runtime::{Command, Parts, Runtime};
use weft_node::{Event, Limits, StopCause};
use weft_types::VsId;
use weft_types::handoff::{FLAG_ENTROPY, Handoff};
use weft_vmm::cpu::exits::EXIT_NAMES;
use weft_wire::agent::{Heartbeat, Level};
use weft_wire::load::{MAX_SERVERS, NodeLoad};
use weft_wire::record::VsSpec;

/// Memory that the monitor keeps for itself, MiB.
const OWN_MIB: u64 = 40;
/// Kernels and ram disks that are kept though nobody waits for them, bytes.
const BLOB_CACHE: u64 = 16 << 20;
/// How often guests are looked at that moved console bytes or frames a short while ago; they tell of new ones.
const BUSY_POLL_NS: u64 = 500_000;
const BUSY_FOR_NS: u64 = 20_000_000;
/// How often figures for the heartbeat are taken.
const FIGURES_NS: u64 = 500_000_000;
/// Console bytes moved at a time.
const CONSOLE_CHUNK: usize = 4096;
/// Console input that waits for a guest, bytes.
const MAX_INPUT: usize = 16 * 1024;
const MAX_FRAME: usize = 1522;

struct Running {
    guest: Arc<Guest>,
    ports: u16,
    console_seen: u64,
    input: Vec<u8>,
}

struct Manager {
    runtime: Runtime,
    running: Vec<Running>,
    can_run_guests: bool,
    active_ns: u64,
    figures_ns: u64,
    busy_before: u64,
    ended_exits: u64,
}

static MANAGER: Mutex<Option<Manager>> = Mutex::new(None);
/// A guest has something for management.
static OUTPUT: AtomicBool = AtomicBool::new(false);

/// A vCPU left something for management: the first processor looks soon. From any processor.
pub(crate) fn notify() {
    if !OUTPUT.swap(true, Ordering::AcqRel) && cpu::index() != 0 {
        apic::wake(smp::apic_id(0));
    }
}

/// Whether a guest has something for management.
pub(crate) fn is_notified() -> bool {
    OUTPUT.load(Ordering::Acquire)
}

/// Whether there is something for [`poll`] at once: a guest's, or frames of the network.
pub(crate) fn is_wanted() -> bool {
    is_notified() || nic::wire().is_some_and(|port| port.has_others())
}

/// Starts the NICs and sets the runtime up.
pub(crate) fn start(
    handoff: &Handoff,
    functions: &[Function],
    features: Option<svm::Features>,
    tsc_started: u64,
) {
    let ports = nic::start(functions);
    let reports = ports.iter().map(|port| port.report.clone()).collect();
    let boot_port = ports.iter().position(|port| port.nic.mac() == handoff.boot_mac).unwrap_or(0);
    let Some(port) = ports.into_iter().nth(boot_port) else {
        println!("weft: no NIC with a driver: this node cannot reach an appliance");
        return;
    };
    let facts = facts::gather(handoff, reports, features, schedule::cpu_count(), tsc_started);
    let seed: &[u8] = if handoff.flags & FLAG_ENTROPY != 0 { &handoff.entropy } else { &[] };
    let free_mib = frames::counts().0 / 256;
    let runtime = Runtime::new(Parts {
        facts,
        limits: Limits { guest_memory_mib: free_mib.saturating_sub(OWN_MIB), blob_cache_bytes: BLOB_CACHE },
        nic: nic::share(port),
        entropy: Box::new(NodeEntropy::new(seed)),
        console: Box::new(|text: &[u8]| serial::print(format_args!("{}", String::from_utf8_lossy(text)))),
        now_ns: time::now_ns(),
    });
    *MANAGER.lock() = Some(Manager {
        runtime,
        running: Vec::new(),
        can_run_guests: features.is_some(),
        active_ns: 0,
        figures_ns: 0,
        busy_before: 0,
        ended_exits: 0,
    });
}

/// Does what is to be done now; returns when it wants to be called again, nanoseconds of the node's clock.
pub(crate) fn poll() -> u64 {
    let now = time::now_ns();
    MANAGER.lock().as_mut().map_or(u64::MAX, |manager| manager.poll(now))
}

/// The processor of each vCPU, where it is to have one.
fn affinity(spec: &VsSpec) -> Vec<Option<usize>> {
    (0..spec.vcpus).map(|vcpu| spec.processor_of(vcpu).map(usize::from)).collect()
}

impl Manager {
    fn poll(&mut self, now: u64) -> u64 {
        if OUTPUT.swap(false, Ordering::AcqRel) {
            self.active_ns = now;
        }
        let mut wanted = self.runtime.poll(now);
        for command in self.runtime.take_commands() {
            self.command(now, command);
            wanted = now;
        }
        for index in 0..self.running.len() {
            self.serve(now, index);
        }
        self.collect_ended(now);
        if now >= self.figures_ns + FIGURES_NS {
            self.figures(now);
        }
        if wanted <= now {
            self.active_ns = now;
        }
        let busy = now < self.active_ns + BUSY_FOR_NS && !self.running.is_empty();
        wanted.min(if busy { now + BUSY_POLL_NS } else { self.figures_ns + FIGURES_NS })
    }

    fn command(&mut self, now: u64, command: Command) {
        match command {
            Command::StartVs { spec, kernel, initrd } => {
                let (vs, instance) = (spec.id, spec.instance);
                let kernel = kernel.as_deref().map(Vec::as_slice);
                let event = match self.start(&spec, kernel, initrd.as_deref().map(Vec::as_slice)) {
                    Ok(()) => Event::VsStarted { vs, instance },
                    Err(reason) => Event::VsStopped { vs, instance, cause: StopCause::Failed(reason) },
                };
                self.runtime.event(now, event);
            }
            Command::StopVs { vs, instance } => {
                match self.find(vs).filter(|r| r.guest.instance == instance) {
                    Some(running) => running.guest.stop(End::Stopped),
                    None => {
                        self.runtime.event(now, Event::VsStopped { vs, instance, cause: StopCause::Stopped })
                    }
                }
            }
            Command::PinVs(spec) => {
                let pinned = self.find(spec.id).map(|running| running.guest.pin(&affinity(&spec)));
                if let Some(Err(reason)) = pinned {
                    let text = format!("its processors stay where they are: {reason}");
                    self.runtime.report(now, Level::Warn, "vs.affinity", Some(spec.id), &text);
                }
            }
            Command::ConsoleInput { vs, bytes } => {
                if let Some(running) = self.find(vs) {
                    let room = MAX_INPUT.saturating_sub(running.input.len());
                    running.input.extend(bytes.into_iter().take(room));
                }
            }
            Command::Reboot => cpu::reset(),
        }
    }

    fn find(&mut self, vs: VsId) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.guest.id == vs)
    }

    fn start(&mut self, spec: &VsSpec, kernel: Option<&[u8]>, initrd: Option<&[u8]>) -> Result<(), String> {
        if !self.can_run_guests {
            return Err("this node's processor cannot run guests: see the node's log".into());
        }
        let own = self.runtime.id();
        let affinity = affinity(spec);
        let share = match &spec.span {
            None => None,
            Some(span) => {
                let index = span.index_of(own).ok_or("this node has no place in it")?;
                Some(Share { span, index })
            }
        };
        let config = GuestConfig {
            id: spec.id,
            instance: spec.instance,
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            macs: &spec.macs,
            kernel,
            initrd,
            append: &spec.append,
            unix_ns: self.runtime.unix_ns().unwrap_or(0),
            affinity: &affinity,
            paging: if share.is_some() { Paging::Shadow } else { shadow::default_paging() },
            share,
        };
        let guest = Arc::new(Guest::load(&config)?);
        span::add(&guest);
        schedule::add(guest.clone());
        let ports = if kernel.is_some() { spec.macs.len() as u16 } else { 0 };
        self.running.push(Running { guest, ports, console_seen: 0, input: Vec::new() });
        Ok(())
    }

    /// Moves console bytes and frames of one guest.
    fn serve(&mut self, now: u64, index: usize) {
        let Some(running) = self.running.get_mut(index) else { return };
        if !running.input.is_empty() {
            let taken = running.guest.console_input(&running.input);
            running.input.drain(..taken.min(running.input.len()));
        }
        let vs = running.guest.id;
        let mut ports = GuestPorts { runtime: &mut self.runtime, vs, moved: false };
        running.guest.exchange_frames(running.ports, &mut ports);
        if ports.moved {
            self.active_ns = now;
        }
        let mut machine = running.guest.machine.lock();
        let (from, bytes) = machine.console_output(running.console_seen, CONSOLE_CHUNK);
        let faults = machine.take_faults();
        drop(machine);
        if !bytes.is_empty() {
            running.console_seen = from + bytes.len() as u64;
            self.active_ns = now;
            self.runtime.event(now, Event::ConsoleOutput { vs, bytes });
        }
        for (slot, fault) in faults {
            let text = format!("virtio slot {slot} is stopped until its driver resets it: {fault}");
            self.runtime.report(now, Level::Warn, "vs.device-fault", Some(vs), &text);
        }
    }

    fn collect_ended(&mut self, now: u64) {
        let mut index = 0;
        while let Some(running) = self.running.get(index) {
            let Some(end) = running.guest.ended() else {
                index += 1;
                continue;
            };
            let running = self.running.swap_remove(index);
            schedule::remove(&running.guest);
            span::remove(&running.guest);
            let (vs, instance) = (running.guest.id, running.guest.instance);
            self.ended_exits += running.guest.exits().iter().sum::<u64>();
            self.runtime.log(now, Level::Info, &exit_counts(&running.guest));
            // The last words of a guest.
            let mut machine = running.guest.machine.lock();
            let (_, bytes) = machine.console_output(running.console_seen, CONSOLE_CHUNK);
            drop(machine);
            if !bytes.is_empty() {
                self.runtime.event(now, Event::ConsoleOutput { vs, bytes });
            }
            drop(running);
            let cause = match end {
                End::PowerOff => StopCause::Off,
                End::Reset => StopCause::Reset,
                End::Stopped => StopCause::Stopped,
                End::Failed(report) => StopCause::Failed(report),
            };
            self.runtime.event(now, Event::VsStopped { vs, instance, cause });
        }
    }

    /// Figures of a guest that spans nodes, where they are due.
    fn span_figures(&mut self, now: u64, index: usize) {
        let guest = &self.running[index].guest;
        let Some(member) = guest.member() else { return };
        if self.runtime.node().wants_figures(now, guest.id, guest.instance) {
            let figures = member.figures(guest.id, guest.instance, guest.homes());
            self.runtime.event(now, Event::SpanFigures(Box::new(figures)));
        }
    }

    fn figures(&mut self, now: u64) {
        measure::report_idle(now);
        let (free, total) = frames::counts();
        let guests_kib = guest_ram::given_bytes() / 1024;
        let mut exits = self.ended_exits;
        let mut servers = Vec::with_capacity(self.running.len());
        for index in 0..self.running.len() {
            let guest = &self.running[index].guest;
            let mut load = guest.server_load();
            let (vs, count) = (guest.id, load.exits.iter().sum());
            exits += count;
            load.network = self.runtime.traffic(vs);
            servers.push(load);
            self.runtime.event(now, Event::VsExits { vs, exits: count });
            self.span_figures(now, index);
        }
        let busy = schedule::busy_ns();
        let span = (now - self.figures_ns).max(1) * schedule::cpu_count() as u64;
        let busy_permille = ((busy - self.busy_before) * 1000 / span).min(1000) as u16;
        (self.figures_ns, self.busy_before) = (now, busy);
        let heartbeat = Heartbeat {
            uptime_ms: now / 1_000_000,
            monitor_kib: (total - free) * 4 - guests_kib.min((total - free) * 4),
            guest_kib: guests_kib,
            free_kib: free * 4,
            exits,
            busy_permille,
        };
        self.runtime.set_heartbeat(heartbeat);
        let port = nic::wire().map(|port| port.counters()).unwrap_or_default();
        servers.truncate(MAX_SERVERS);
        self.runtime.set_load(Box::new(NodeLoad {
            uptime_ms: heartbeat.uptime_ms,
            cpus: schedule::cpu_count() as u16,
            busy_ns: busy,
            monitor_kib: heartbeat.monitor_kib,
            guest_kib: heartbeat.guest_kib,
            free_kib: heartbeat.free_kib,
            nic: port.all,
            nic_dropped: port.links_dropped + port.others_dropped,
            servers,
        }));
    }
}

/// One line: what a guest's exits were for.
fn exit_counts(guest: &Guest) -> String {
    let mut text = format!("guest {} exits:", guest.id);
    for (name, count) in EXIT_NAMES.iter().zip(guest.machine.lock().exits()) {
        text.push_str(&format!(" {name} {count}"));
    }
    text
}

struct GuestPorts<'a> {
    runtime: &'a mut Runtime,
    vs: VsId,
    /// A frame came from the guest.
    moved: bool,
}

impl Exchange for GuestPorts<'_> {
    fn from_guest(&mut self, port: u16, frame: &[u8]) {
        self.moved = true;
        // A frame that is refused is counted by the bridge.
        let _ = self.runtime.guest_tx(self.vs, port, frame);
    }

    fn to_guest(&mut self, port: u16) -> Option<Vec<u8>> {
        if !self.runtime.guest_rx_ready(self.vs, port) {
            return None;
        }
        let mut frame = alloc::vec![0; MAX_FRAME];
        let length = self.runtime.guest_rx(self.vs, port, &mut frame)?;
        frame.truncate(length);
        Some(frame)
    }
}
