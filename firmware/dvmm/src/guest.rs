//! One virtual server that runs here, or the part of it that does: its machine, its memory, its vCPUs' hardware
//! halves.
//!
//! - [`memory`]: all of it ([`whole`]), or the pages that are here of one that spans nodes ([`member`]);
//! - [`join`]: what members tell each other until they run, and when they end;
//! - [`load`]: how a guest comes into being; [`slot`]: what a processor does with a vCPU in its turn;
//! - [`processors`]: who runs which vCPU; [`affinity`]: who is to; [`moves`]: vCPUs that go to another node.
//!
//! Locks, in the order in which they are taken: a vCPU (held by the processor that runs it), the machine, the
//! span, the tables. None is held while the guest runs but the vCPU's own.

use crate::shadow::{ShadowPaging, Tables};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use spin::{Mutex, MutexGuard};
use weft_hal::frames::TableFrames;
use weft_hal::{cpu, time};
use weft_paging::shadow::Counters;
use weft_types::VsId;
use weft_vmm::cpu::clock::Now;
use weft_vmm::cpu::exits::EXIT_NAMES;
use weft_vmm::machine::Machine;
use weft_wire::load::{EXIT_REASONS, ServerLoad, Traffic};

mod affinity;
mod delay;
mod filler;
mod join;
mod load;
mod member;
mod memory;
mod moves;
mod processors;
mod slot;
mod whole;

pub(crate) use load::{GuestConfig, NET_SLOT, Share};
pub(crate) use member::Member;
pub(crate) use slot::Slot;

use join::Join;
use memory::{DEVICES, Memory, View};
use moves::Arrivals;
use processors::Processors;
use slot::Vcpu;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It switched itself off.
    PowerOff,
    /// It reset itself.
    Reset,
    /// The operator's wish.
    Stopped,
    /// The monitor stopped it.
    Failed(String),
}

/// A running guest.
pub(crate) struct Guest {
    pub(crate) id: VsId,
    pub(crate) instance: u64,
    pub(crate) machine: Mutex<Machine>,
    memory: Memory,
    tables: Arc<Tables>,
    vcpus: Vec<Mutex<Vcpu>>,
    /// Where the guest's tables are shadowed.
    shadow: Option<Arc<ShadowPaging>>,
    processors: Arc<Processors>,
    join: Join,
    end: Mutex<Option<End>>,
    stopping: AtomicBool,
    /// vCPUs of this node that will not run again.
    parked: AtomicUsize,
    /// Ticks a second of the guest's counter.
    tsc_hz: AtomicU64,
    /// The member that is each vCPU's home, where they may leave it.
    origins: Option<Vec<u8>>,
    arrivals: Arrivals,
    /// Time that processors spent on its vCPUs.
    busy_ns: AtomicU64,
}

impl Guest {
    /// The guest's memory, as the monitor reaches it.
    fn view(&self, waiter: u16) -> View<'_> {
        self.memory.view(waiter, self.shadow.as_deref())
    }

    /// The node's part of a server that spans nodes.
    pub(crate) fn member(&self) -> Option<&Member> {
        self.memory.member()
    }

    /// vCPUs that run here, and the processor of each.
    pub(crate) fn homes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.processors.local()
    }

    /// Pages that came late and pages that were lost, where that is tested.
    pub(crate) fn late_pages(&self) -> Option<(u64, u64)> {
        match &self.memory {
            Memory::Whole(whole) => whole.late_counts(),
            Memory::Spanning(_) => None,
        }
    }

    /// What shadow tables did, vCPU by vCPU.
    pub(crate) fn shadow_counters(&self) -> Vec<Counters> {
        self.shadow.as_ref().map_or_else(Vec::new, |shadow| shadow.counters())
    }

    /// What the guest's counter shows, in nanoseconds: nearly the same on all its nodes.
    pub(crate) fn clock_ns(&self) -> u64 {
        let hz = u128::from(self.tsc_hz.load(Ordering::Relaxed).max(1));
        let ticks = u128::from(self.processors.guest_tsc(cpu::rdtsc()));
        (ticks * 1_000_000_000 / hz) as u64
    }

    fn now(&self) -> Now {
        let tsc = cpu::rdtsc();
        Now {
            ns: time::ns_at(tsc),
            guest_tsc: self.processors.guest_tsc(tsc),
            tsc_hz: self.tsc_hz.load(Ordering::Relaxed),
        }
    }

    /// Ends the guest on all processors, and on all nodes. The first reason stands.
    pub(crate) fn stop(&self, end: End) {
        if let Some(member) = self.member() {
            member.tell_end(&end);
        }
        self.stop_here(end);
    }

    fn stop_here(&self, end: End) {
        self.end.lock().get_or_insert(end);
        self.stopping.store(true, Ordering::Release);
        self.processors.wake_all();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// How it ended, once no processor runs it any more.
    pub(crate) fn ended(&self) -> Option<End> {
        if self.parked.load(Ordering::Acquire) < self.processors.local().count() {
            return None;
        }
        self.end.lock().clone()
    }

    /// Wakes the processors of vCPUs that have something new.
    pub(crate) fn deliver_kicks(&self, kicks: u64) {
        for (index, _) in self.processors.local() {
            if kicks >> index & 1 == 1 {
                self.processors.wake(index);
            }
        }
    }

    /// Exits so far, by [`weft_vmm::cpu::exits::ExitClass`].
    pub(crate) fn exits(&self) -> Vec<u64> {
        self.machine.lock().exits().to_vec()
    }

    /// Counts time that a processor spent on a vCPU.
    pub(crate) fn count_busy(&self, spent_ns: u64) {
        self.busy_ns.fetch_add(spent_ns, Ordering::Relaxed);
    }

    /// What it uses of the node; what passed its interfaces is for the bridge to say.
    pub(crate) fn server_load(&self) -> ServerLoad {
        ServerLoad {
            vs: self.id,
            instance: self.instance,
            busy_ns: self.busy_ns.load(Ordering::Relaxed),
            exits: self.exits(),
            memory_kib: self.memory.taken() / 1024,
            network: Traffic::default(),
            processors: self.homes().map(|(vcpu, home)| (vcpu as u16, home as u16)).collect(),
        }
    }

    /// Gives console input to the guest; returns how much it took.
    pub(crate) fn console_input(&self, bytes: &[u8]) -> usize {
        let mut machine = self.machine.lock();
        let taken = machine.console_input(bytes, &self.view(DEVICES));
        self.release(machine);
        taken
    }

    /// Moves frames between the guest's ports and the node's bridge, and serves devices with more to do.
    /// `exchange` gets each frame of the guest with its port's number, and is then asked for frames.
    pub(crate) fn exchange_frames(&self, ports: u16, bridge: &mut dyn Exchange) {
        if let Memory::Whole(whole) = &self.memory {
            whole.poll();
        }
        let mut machine = self.machine.lock();
        for port in 0..ports {
            let slot = NET_SLOT + port as u8;
            while let Some(frame) = machine.take_frame(slot) {
                bridge.from_guest(port, &frame);
            }
            while let Some(frame) = bridge.to_guest(port) {
                if !machine.deliver_frame(slot, &frame) {
                    break;
                }
            }
        }
        if self.member().is_none_or(|member| !member.devices_parked()) {
            machine.serve(&self.view(DEVICES));
        }
        self.release(machine);
    }

    /// Gives the machine's lock up after its devices or interrupts may have changed: messages leave, in their
    /// order, and vCPUs with something new are woken. Returns those, one bit each.
    fn release(&self, mut machine: MutexGuard<'_, Machine>) -> u64 {
        let outgoing = machine.take_outgoing();
        if let Some(member) = self.member() {
            member.devices_done();
            for message in outgoing {
                member.send(message.to as u8, &message.message, &[]);
            }
        }
        let kicks = machine.take_kicks();
        drop(machine);
        self.deliver_kicks(kicks);
        kicks
    }

    /// Whether one of these vCPUs, other than `index`, shares this processor.
    fn shares_processor(&self, index: usize, vcpus: u64) -> bool {
        let others = self.processors.local().filter(|(vcpu, home)| *vcpu != index && *home == cpu::index());
        others.into_iter().any(|(vcpu, _)| vcpus >> vcpu & 1 == 1)
    }
}

/// The node's bridge, as a guest's ports see it.
pub(crate) trait Exchange {
    /// Takes a frame that the guest sent.
    fn from_guest(&mut self, port: u16, frame: &[u8]);
    /// The next frame for the guest.
    fn to_guest(&mut self, port: u16) -> Option<Vec<u8>>;
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(tables) = self.tables.lock().take() {
            tables.free(&mut TableFrames, &mut |_store, _leaf| {});
        }
        if let Some(shadow) = &self.shadow {
            shadow.free();
        }
    }
}

/// The report has each class under its own name.
const _: () = {
    let mut class = 0;
    assert!(EXIT_NAMES.len() == EXIT_REASONS.len());
    while class < EXIT_NAMES.len() {
        let (ours, told) = (EXIT_NAMES[class].as_bytes(), EXIT_REASONS[class].as_bytes());
        assert!(ours.len() == told.len() && ours[0] == told[0]);
        class += 1;
    }
};
