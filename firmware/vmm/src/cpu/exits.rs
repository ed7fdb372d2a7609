//! From exit code to action. Next RIPs come from the processor where it saves them, else from the fixed
//! lengths of the instructions concerned.

use super::cpuid::{self, Context, HostCpuid};
use super::msr::{MsrError, WriteEnv};
use super::{Exception, RunState};
use crate::cpu::clock::Now;
use crate::cpu::lapic::Action;
use crate::machine::Machine;
use alloc::format;
use alloc::string::String;
use weft_platform::{Access, GuestMemory, MemError};
use weft_types::Gpa;
use weft_x86defs::vmcb::{Vmcb, vintr};
use weft_x86defs::{Gprs, bits, exit};

/// What the handling of an exit may use.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The guest's memory.
    pub mem: &'a dyn GuestMemory,
    /// The processor below.
    pub host: &'a dyn HostCpuid,
    /// The moment.
    pub now: Now,
    /// XCR0 as it stands in the processor.
    pub xcr0: u64,
    /// The guest's own CR3, where the processor's names shadow tables.
    pub guest_cr3: Option<u64>,
}

/// What follows from an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on.
    Resume,
    /// The vCPU halted.
    Halt,
    /// The guest touched memory that has no mapping: map it and go on.
    Map {
        /// Address.
        gpa: Gpa,
        /// What it did.
        access: Access,
    },
    /// A page is needed first; the instruction runs again.
    Need(MemError),
    /// A device on another node was asked: call [`Machine::retry_exit`] when it has answered.
    Remote,
    /// The guest set XCR0: the processor must take it over.
    SetXcr0(u64),
    /// The guest reset itself.
    Reset,
    /// The guest switched itself off.
    PowerOff,
    /// The guest is stopped with this report.
    Stop(String),
}

/// Classes in which exits are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ExitClass {
    /// Physical interrupts and NMIs.
    Interrupt,
    /// Interrupt windows.
    Window,
    /// CPUID.
    Cpuid,
    /// MSR accesses.
    Msr,
    /// Ports.
    Port,
    /// Halts.
    Halt,
    /// Nested faults on memory.
    Memory,
    /// Nested faults on devices.
    Device,
    /// Everything else.
    Other,
    /// Page faults, where tables are shadowed.
    PageFault,
    /// Control registers and INVLPG, where tables are shadowed.
    Control,
}

/// Number of [`ExitClass`] values.
pub const EXIT_CLASSES: usize = 11;

/// Names of the classes in their order.
pub const EXIT_NAMES: [&str; EXIT_CLASSES] = [
    "interrupt",
    "window",
    "cpuid",
    "msr",
    "port",
    "halt",
    "memory",
    "device",
    "other",
    "page-fault",
    "control",
];

pub(super) fn class_of(code: u64) -> ExitClass {
    match code {
        exit::INTR | exit::NMI => ExitClass::Interrupt,
        exit::VINTR => ExitClass::Window,
        exit::CPUID => ExitClass::Cpuid,
        exit::MSR => ExitClass::Msr,
        exit::IOIO => ExitClass::Port,
        exit::HLT => ExitClass::Halt,
        // Told apart where the address is known.
        exit::NPF => ExitClass::Device,
        code if code == exit::EXCEPTION + 14 => ExitClass::PageFault,
        exit::CR_READ..exit::DR_READ | exit::INVLPG => ExitClass::Control,
        _rare => ExitClass::Other,
    }
}

/// Moves past an instruction of `length` bytes.
pub(crate) fn advance(vmcb: &mut Vmcb, length: u64) {
    let next = vmcb.control.next_rip;
    vmcb.save.rip = if next != 0 { next } else { vmcb.save.rip.wrapping_add(length) };
    vmcb.control.interrupt_shadow &= !1;
}

/// Code size of the vCPU, from CS and EFER.
pub(crate) fn in_long_mode(vmcb: &Vmcb) -> bool {
    vmcb.save.efer & bits::EFER_LMA != 0 && vmcb.save.cs.attrib & 0x200 != 0
}

impl Machine {
    /// Decides what an exit of vCPU `index` means and does it.
    pub fn handle_exit(&mut self, index: usize, vmcb: &mut Vmcb, gprs: &mut Gprs, env: Env<'_>) -> Outcome {
        self.count(class_of(vmcb.control.exit_code));
        self.retry_exit(index, vmcb, gprs, env)
    }

    /// [`Machine::handle_exit`] for an exit that it could not complete before.
    pub fn retry_exit(&mut self, index: usize, vmcb: &mut Vmcb, gprs: &mut Gprs, env: Env<'_>) -> Outcome {
        let code = vmcb.control.exit_code;
        let Some(vcpu) = self.vcpus.get_mut(index) else {
            return Outcome::Stop(format!("exit of vCPU {index}, which does not exist"));
        };
        vcpu.sync(vmcb);
        match code {
            exit::INTR | exit::NMI | exit::SMI | exit::INIT => Outcome::Resume,
            exit::VINTR => {
                vmcb.control.vintr &= !vintr::V_IRQ;
                Outcome::Resume
            }
            exit::INTN => self.software_interrupt(index, vmcb, env),
            exit::CPUID => self.cpuid(index, vmcb, gprs, env),
            exit::MSR => self.msr(index, vmcb, gprs, env),
            exit::IOIO => self.port(index, vmcb),
            // Another processor's INIT came in between: the halt is not that of what starts next.
            exit::HLT if vcpu.is_reset() => Outcome::Resume,
            exit::HLT => {
                advance(vmcb, 1);
                vcpu.lapic.halted();
                vcpu.run_state = RunState::Halted;
                Outcome::Halt
            }
            exit::NPF => self.nested_fault(index, vmcb, gprs, env),
            exit::IRET => {
                vcpu.iret(vmcb);
                Outcome::Resume
            }
            exit::VMMCALL => {
                // No hypercall is offered: KVM_ENOSYS.
                vmcb.save.rax = (-1000i64) as u64;
                advance(vmcb, 3);
                Outcome::Resume
            }
            exit::XSETBV => set_xcr0(vcpu, vmcb, gprs, env),
            exit::INVD | exit::WBINVD => {
                // Memory is coherent here, and no device of the guest bypasses caches.
                advance(vmcb, 2);
                Outcome::Resume
            }
            exit::RDTSC | exit::RDTSCP => self.read_counter(index, vmcb, gprs, env),
            exit::RDPMC => {
                vcpu.raise(Exception::GP);
                Outcome::Resume
            }
            exit::VMRUN
            | exit::VMLOAD
            | exit::VMSAVE
            | exit::STGI
            | exit::CLGI
            | exit::SKINIT
            | exit::INVLPGA
            | exit::MONITOR
            | exit::MWAIT
            | exit::MWAIT_ARMED
            | exit::RDPRU => {
                vcpu.raise(Exception::UD);
                Outcome::Resume
            }
            code if code == exit::EXCEPTION + 1 => {
                vcpu.raise(Exception { vector: 1, error: None });
                Outcome::Resume
            }
            code if code == exit::EXCEPTION + 17 => {
                vcpu.raise(Exception { vector: 17, error: Some(0) });
                Outcome::Resume
            }
            exit::SHUTDOWN => Outcome::Stop(report("triple fault", vmcb, gprs)),
            code if code == exit::INVALID || code == exit::INVALID & 0xffff_ffff => {
                Outcome::Stop(report("the processor refuses the guest's state", vmcb, gprs))
            }
            code => Outcome::Stop(report(&format!("exit {code:#x} is not understood"), vmcb, gprs)),
        }
    }

    fn cpuid(&mut self, index: usize, vmcb: &mut Vmcb, gprs: &mut Gprs, env: Env<'_>) -> Outcome {
        let context = Context {
            apic_id: self.place().apic_id(index as u32),
            package_vcpus: self.place().package_vcpus(index),
            core_bits: self.place().core_bits(),
            cr4: vmcb.save.cr4,
            xcr0: env.xcr0,
        };
        let (leaf, subleaf) = (vmcb.save.rax as u32, gprs.by_encoding[Gprs::RCX] as u32);
        let answer = cpuid::answer(env.host, context, leaf, subleaf);
        vmcb.save.rax = u64::from(answer.eax);
        gprs.by_encoding[Gprs::RBX] = u64::from(answer.ebx);
        gprs.by_encoding[Gprs::RCX] = u64::from(answer.ecx);
        gprs.by_encoding[Gprs::RDX] = u64::from(answer.edx);
        advance(vmcb, 2);
        Outcome::Resume
    }

    fn msr(&mut self, index: usize, vmcb: &mut Vmcb, gprs: &mut Gprs, env: Env<'_>) -> Outcome {
        let number = gprs.by_encoding[Gprs::RCX] as u32;
        let base_unix_ns = self.base_unix_ns();
        let vcpu = &mut self.vcpus[index];
        let result = if vmcb.control.exit_info1 & 1 == 0 {
            vcpu.read_msr(number, vmcb, env.now).map(|value| {
                vmcb.save.rax = value & 0xffff_ffff;
                gprs.by_encoding[Gprs::RDX] = value >> 32;
                Action::None
            })
        } else {
            let value = gprs.by_encoding[Gprs::RDX] << 32 | vmcb.save.rax & 0xffff_ffff;
            vcpu.write_msr(number, value, vmcb, WriteEnv { mem: env.mem, now: env.now, base_unix_ns })
        };
        match result {
            Ok(action) => {
                advance(vmcb, 2);
                self.apic_action(index, action);
                Outcome::Resume
            }
            Err(MsrError::Refused) => {
                vcpu.raise(Exception::GP);
                Outcome::Resume
            }
            Err(MsrError::Memory(error)) => Outcome::Need(error),
        }
    }
}

fn set_xcr0(vcpu: &mut super::Vcpu, vmcb: &mut Vmcb, gprs: &Gprs, env: Env<'_>) -> Outcome {
    let value = gprs.by_encoding[Gprs::RDX] << 32 | vmcb.save.rax & 0xffff_ffff;
    let offered = u64::from(env.host.cpuid(0xd, 0).eax) & cpuid::XCR0_OFFERED;
    let avx_without_sse = value & 6 == 4;
    let register = gprs.by_encoding[Gprs::RCX] as u32;
    if register != 0 || vmcb.save.cpl != 0 || value & 1 == 0 || value & !offered != 0 || avx_without_sse {
        vcpu.raise(Exception::GP);
        return Outcome::Resume;
    }
    advance(vmcb, 3);
    Outcome::SetXcr0(value)
}

/// Registers and reason, for the report that stops a guest.
pub(crate) fn report(reason: &str, vmcb: &Vmcb, gprs: &Gprs) -> String {
    let (c, s, g) = (&vmcb.control, &vmcb.save, &gprs.by_encoding);
    format!(
        "{reason}; exit {:#x} info {:#x} {:#x} delivery {:#x} rip {:#x} cs {:#x} cpl {} rflags {:#x} cr0 {:#x} cr2 {:#x} cr3 {:#x} cr4 {:#x} efer {:#x} rax {:#x} rcx {:#x} rdx {:#x} rbx {:#x} rsp {:#x} rbp {:#x} rsi {:#x} rdi {:#x} r8 {:#x} r9 {:#x} r10 {:#x} r11 {:#x} r12 {:#x} r13 {:#x} r14 {:#x} r15 {:#x}",
        c.exit_code,
        c.exit_info1,
        c.exit_info2,
        c.exit_int_info,
        s.rip,
        s.cs.selector,
        s.cpl,
        s.rflags,
        s.cr0,
        s.cr2,
        s.cr3,
        s.cr4,
        s.efer,
        s.rax,
        g[1],
        g[2],
        g[3],
        s.rsp,
        g[5],
        g[6],
        g[7],
        g[8],
        g[9],
        g[10],
        g[11],
        g[12],
        g[13],
        g[14],
        g[15],
    )
}
