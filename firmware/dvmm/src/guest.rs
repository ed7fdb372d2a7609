//! One virtual server that runs here, or the part of it that does: its machine, its memory, its vCPUs' hardware
//! halves.
//!
//! - [`memory`]: all of it ([`whole`]), or the pages that are here of one that spans nodes ([`member`]);
//! - [`join`]: what members tell each other until they run, and when they end;
//! - [`load`]: how a guest comes into being; [`processors`]: who runs which vCPU; [`moves`]: vCPUs that go to another node.
//!
//! Locks, in the order in which they are taken: a vCPU (held by the processor that runs it), the machine, the
//! span, the tables. None is held while the guest runs but the vCPU's own.

use crate::alarm::{Alarm, TIMER_BIT};
use crate::host_cpuid::ThisProcessor;
use crate::manage;
use crate::shadow::{ShadowPaging, Tables};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use spin::{Mutex, MutexGuard};
use weft_hal::fpu::FpuState;
use weft_hal::frames::TableFrames;
use weft_hal::svm::VcpuHardware;
use weft_hal::{cpu, desc, time};
use weft_node::span::wander::{Doing, Wander};
use weft_paging::shadow::Counters;
use weft_platform::{Access, MemError};
use weft_types::{Gpa, VsId};
use weft_vmm::cpu::clock::Now;
use weft_vmm::cpu::counter;
use weft_vmm::cpu::cpuid::HostCpuid;
use weft_vmm::cpu::events::Entry;
use weft_vmm::cpu::exits::{EXIT_NAMES, Env, Outcome};
use weft_vmm::machine::Machine;
use weft_wire::load::{EXIT_REASONS, ServerLoad, Traffic};
use weft_x86defs::vmcb::Vmcb;

mod affinity;
mod delay;
mod filler;
mod join;
mod load;
mod member;
mod memory;
mod moves;
mod processors;
mod whole;

pub(crate) use load::{GuestConfig, NET_SLOT, Share};
pub(crate) use member::Member;

use join::Join;
use memory::{DEVICES, Memory, Touched, View};
use moves::Arrivals;
use processors::Processors;

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

/// A vCPU's hardware half, and where the handling of its last exit stands.
struct Vcpu {
    hardware: VcpuHardware,
    /// The exit waits for a page or a device: it is handled again instead of entering.
    unfinished: bool,
    /// Pages were asked for on behalf of the instruction at this address.
    asked_at: Option<u64>,
    /// It will not run again.
    parked: bool,
    /// Its last exit was a halt.
    halted: bool,
    /// It interrupted a vCPU that shares its processor, and may wait for what that one does.
    yields: bool,
    wander: Wander,
}

/// What to do with a vCPU after an exit.
enum After {
    /// Go on.
    Enter,
    /// Something that was asked for is awaited.
    Wait,
    /// The guest ends.
    End(End),
}

/// What a slot of a vCPU came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// It ran until the processor was wanted elsewhere.
    Ran,
    /// It waits; it has something to do by itself at this time.
    Waits(Option<u64>),
    /// The guest has ended and this vCPU will not run again.
    Ended,
    /// It is on another node, or another processor's.
    Gone,
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
        Now {
            ns: time::now_ns(),
            guest_tsc: self.processors.guest_tsc(cpu::rdtsc()),
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

    /// Takes a vCPU off this processor for good. Counted once, however often its processor comes by.
    fn park(&self, vcpu: &mut Vcpu) -> Slot {
        vcpu.hardware.unload();
        if !core::mem::replace(&mut vcpu.parked, true) {
            self.parked.fetch_add(1, Ordering::AcqRel);
        }
        Slot::Ended
    }

    /// Takes a vCPU's extended state out of its processor, so that another vCPU can have it.
    pub(crate) fn unload(&self, index: usize) {
        self.vcpus[index].lock().hardware.unload();
    }

    /// Runs a vCPU on its processor until its slot is over, something else wants the processor, or it waits.
    /// `yields`: or until anybody is woken.
    pub(crate) fn run_slot(&self, index: usize, slot_end_ns: u64, yields: bool, alarm: &mut Alarm) -> Slot {
        let mut vcpu = self.vcpus[index].lock();
        loop {
            if self.is_stopping() {
                return self.park(&mut vcpu);
            }
            if self.processors.home(index) != Some(cpu::index()) || self.is_pinned_elsewhere(index, &mut vcpu)
            {
                return Slot::Gone;
            }
            let now = self.now();
            if now.ns >= slot_end_ns {
                return vcpu.ran(now.ns);
            }
            // Whoever has a vCPU of a spanning server sees to its timers: frames that are lost are sent again.
            let members = self.member().map_or(u64::MAX, |member| member.poll(now.ns));
            if !self.join.is_released() {
                return Slot::Waits(Some(members));
            }
            if self.processors.is_parked(index) {
                vcpu.wander.turn(now.ns, Doing::AwaitsPage);
                return Slot::Waits(Some(members));
            }
            if vcpu.unfinished {
                vcpu.hardware.load();
                match self.handle(index, &mut vcpu, true) {
                    After::Enter => {}
                    After::Wait => {
                        vcpu.wander.turn(now.ns, Doing::AwaitsPage);
                        return Slot::Waits(Some(members));
                    }
                    After::End(end) => self.stop(end),
                }
                continue;
            }
            if self.moves_on(index, &mut vcpu, now.ns) {
                return Slot::Gone;
            }
            let due = match self.enter(index, &mut vcpu.hardware, now) {
                Ok(due) => due,
                Err(due) => {
                    vcpu.wander.turn(now.ns, Doing::Idle);
                    return Slot::Waits(Some(due.map_or(members, |due| due.min(members))));
                }
            };
            vcpu.wander.turn(now.ns, Doing::Runs);
            let slot_end = slot_end_ns.min(members);
            alarm.set(now.ns, due.map_or(slot_end, |due| due.min(slot_end)));
            self.run(index, &mut vcpu);
            cpu::take_interrupts();
            if self.is_stopping() {
                continue;
            }
            match self.handle(index, &mut vcpu, false) {
                // What is awaited is looked for at the top.
                After::Enter | After::Wait => {}
                After::End(end) => self.stop(end),
            }
            let elsewhere = cpu::index() == 0 && manage::is_notified();
            let pending = alarm.take_pending();
            let woken = (yields && pending & WAKE_BIT != 0) || core::mem::take(&mut vcpu.yields);
            if pending & !SCHEDULE_BITS != 0 || woken || elsewhere {
                return vcpu.ran(time::now_ns());
            }
        }
    }

    fn run(&self, index: usize, vcpu: &mut Vcpu) {
        let hardware = &mut vcpu.hardware;
        let own = match &self.shadow {
            None => 0,
            Some(shadow) => shadow.enter(index, hardware, &self.tables, &self.view(index as u16)),
        };
        // Noted first and read after: whoever takes a right away from now on sees that this vCPU is inside.
        let mut nested = self.memory.generation();
        loop {
            self.processors.entering(index, nested);
            let again = self.memory.generation();
            if again == nested {
                break;
            }
            self.processors.left(index);
            nested = again;
        }
        let (vmcb, _) = hardware.state();
        vmcb.control.tsc_offset = self.processors.tsc_offset();
        if self.processors.reads_leave() {
            counter::intercept(vmcb);
        }
        // Both only grow, so that their sum changes when one of them does.
        hardware.run(own + nested);
        self.processors.left(index);
        if let Some(shadow) = &self.shadow {
            shadow.left(index);
        }
        if vcpu.hardware.is_overwritten() {
            self.stop(End::Failed(overwritten(vcpu.hardware.state().0)));
        }
        self.retire(index, vcpu);
        if let Some(member) = self.member() {
            member.left();
        }
    }

    /// Lets pages go that were held for an instruction which is done: the vCPU stands elsewhere.
    fn retire(&self, index: usize, vcpu: &mut Vcpu) {
        let (vmcb, _) = vcpu.hardware.state();
        let rip = vmcb.save.rip;
        if vcpu.asked_at.is_some_and(|at| at != rip) {
            vcpu.asked_at = None;
            self.memory.retired(index as u16);
        }
    }

    /// Prepares an entry: `Ok` to run until the time given, `Err` to wait until it.
    fn enter(&self, index: usize, hardware: &mut VcpuHardware, now: Now) -> Result<Option<u64>, Option<u64>> {
        let mut machine = self.machine.lock();
        let (vmcb, gprs) = hardware.state();
        let entry = machine.prepare(index, vmcb, gprs, now);
        let due = machine.due_ns(index);
        let tsc_aux = machine.tsc_aux(index);
        drop(machine);
        match entry {
            Entry::Wait => return Err(due),
            Entry::RunFromReset => {
                hardware.reset_fpu();
                if let Some(shadow) = &self.shadow {
                    shadow.adopt(index, hardware, &self.tables, &self.view(index as u16));
                }
            }
            Entry::Run => {}
        }
        hardware.set_tsc_aux(tsc_aux);
        hardware.load();
        Ok(due)
    }

    /// Handles the exit of a vCPU; `again`: one that could not be completed before.
    fn handle(&self, index: usize, vcpu: &mut Vcpu, again: bool) -> After {
        let mem = self.view(index as u16);
        let guest_cr3 = self.shadow.as_ref().and_then(|shadow| shadow.guest_cr3(index));
        let host: &dyn HostCpuid = match self.join.common_processor() {
            Some(common) => common,
            None => &ThisProcessor,
        };
        let env = Env { mem: &mem, host, now: self.now(), xcr0: FpuState::live_xcr0(), guest_cr3 };
        let mut machine = self.machine.lock();
        let hardware = &mut vcpu.hardware;
        let of_paging =
            self.shadow.as_ref().and_then(|s| s.exit(index, &mut machine, hardware, env, &self.tables));
        let outcome = of_paging.unwrap_or_else(|| {
            let (vmcb, gprs) = hardware.state();
            if again {
                machine.retry_exit(index, vmcb, gprs, env)
            } else {
                machine.handle_exit(index, vmcb, gprs, env)
            }
        });
        let kicks = self.release(machine);
        vcpu.yields = self.shares_processor(index, kicks);
        vcpu.unfinished = false;
        vcpu.halted = outcome == Outcome::Halt;
        if self.member().is_some() && matches!(outcome, Outcome::Map { .. } | Outcome::Need(_)) {
            let (vmcb, _) = vcpu.hardware.state();
            vcpu.asked_at = Some(vmcb.save.rip);
        }
        match outcome {
            Outcome::Resume | Outcome::Halt => After::Enter,
            Outcome::Need(MemError::Need { .. }) | Outcome::Remote => {
                vcpu.unfinished = true;
                if again { After::Wait } else { After::Enter }
            }
            Outcome::Need(MemError::Unbacked { gpa }) => {
                After::End(End::Failed(alloc::format!("the monitor needs {gpa:?}, which is no memory")))
            }
            Outcome::SetXcr0(value) => {
                FpuState::set_live_xcr0(value);
                After::Enter
            }
            Outcome::Map { gpa, access } => match self.map(index, gpa, access) {
                Ok(Touched::Mapped) => After::Enter,
                Ok(Touched::Parked) => After::Wait,
                Err(reason) => After::End(End::Failed(reason)),
            },
            Outcome::Reset => After::End(End::Reset),
            Outcome::PowerOff => After::End(End::PowerOff),
            Outcome::Stop(report) => After::End(End::Failed(report)),
        }
    }

    fn map(&self, index: usize, gpa: Gpa, access: Access) -> Result<Touched, String> {
        match (&self.memory, &self.shadow) {
            (Memory::Whole(whole), Some(shadow)) => {
                if !whole.want(index as u16, gpa, access) {
                    return Ok(Touched::Parked);
                }
                let alone = whole.is_late();
                shadow.map(gpa, access, alone, &self.tables, whole.ram()).map(|()| Touched::Mapped)
            }
            (memory, _) => memory.touch(index, gpa, access),
        }
    }
}

impl Vcpu {
    fn new(hardware: VcpuHardware) -> Self {
        let wander = Wander::new(0, time::now_ns());
        Self {
            hardware,
            unfinished: false,
            asked_at: None,
            parked: false,
            halted: false,
            yields: false,
            wander,
        }
    }

    /// Its slot is over.
    fn ran(&mut self, now_ns: u64) -> Slot {
        self.wander.turn(now_ns, if self.halted { Doing::Idle } else { Doing::AwaitsProcessor });
        Slot::Ran
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

/// Seen under QEMU 7.2: a second exit right after the first, taken with the monitor's state already loaded.
fn overwritten(vmcb: &Vmcb) -> String {
    let c = &vmcb.control;
    alloc::format!(
        "the processor left the monitor's state in place of the guest's, which is lost: a defect of the processor or \
         emulator (exit {:#x} {:#x} {:#x} {:#x}, rip {:#x})",
        c.exit_code,
        c.exit_info1,
        c.exit_info2,
        c.exit_int_info,
        vmcb.save.rip
    )
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

/// Pending bit of a wake-up from another processor.
const WAKE_BIT: u32 = 1 << (desc::VECTOR_WAKE - desc::VECTOR_TIMER);
/// Pending bits that do not end a slot: a wake-up for this vCPU is seen at its next entry anyway.
const SCHEDULE_BITS: u32 = WAKE_BIT | TIMER_BIT | 1 << 15;
