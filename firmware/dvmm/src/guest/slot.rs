//! What a processor does with a vCPU in its turn: enter the guest, handle what made it leave, wait.

use super::memory::{Memory, Touched};
use super::{End, Guest};
use crate::alarm::{Alarm, TIMER_BIT};
use crate::host_cpuid::ThisProcessor;
use crate::manage;
use alloc::string::String;
use core::sync::atomic::Ordering;
use weft_hal::fpu::FpuState;
use weft_hal::svm::VcpuHardware;
use weft_hal::{cpu, desc, time};
use weft_node::span::wander::{Doing, Wander};
use weft_platform::{Access, MemError};
use weft_types::Gpa;
use weft_vmm::cpu::clock::Now;
use weft_vmm::cpu::counter;
use weft_vmm::cpu::cpuid::HostCpuid;
use weft_vmm::cpu::events::Entry;
use weft_vmm::cpu::exits::{Env, Outcome};
use weft_x86defs::vmcb::Vmcb;

/// A vCPU's hardware half, and where the handling of its last exit stands.
pub(super) struct Vcpu {
    pub(super) hardware: VcpuHardware,
    /// The exit waits for a page or a device: it is handled again instead of entering.
    pub(super) unfinished: bool,
    /// Pages were asked for on behalf of the instruction at this address.
    pub(super) asked_at: Option<u64>,
    /// It will not run again.
    pub(super) parked: bool,
    /// Its last exit was a halt.
    pub(super) halted: bool,
    /// It interrupted a vCPU that shares its processor, and may wait for what that one does.
    pub(super) yields: bool,
    pub(super) wander: Wander,
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
            let program = vcpu.hardware.state().0.save.cpl == 3;
            vcpu.wander.left(program);
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
    pub(super) fn new(hardware: VcpuHardware) -> Self {
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

/// Pending bit of a wake-up from another processor.
const WAKE_BIT: u32 = 1 << (desc::VECTOR_WAKE - desc::VECTOR_TIMER);
/// Pending bits that do not end a slot: a wake-up for this vCPU is seen at its next entry anyway.
const SCHEDULE_BITS: u32 = WAKE_BIT | TIMER_BIT | 1 << 15;
