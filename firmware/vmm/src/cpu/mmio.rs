//! Nested faults: memory that is not mapped yet, or a device's registers, for which the instruction is
//! fetched, decoded and completed. The address is the processor's (EXITINFO2); only the operand's register
//! and size come from the instruction.

use super::exits::{Env, ExitClass, Outcome, advance, in_long_mode, report};
use super::{Exception, cpuid};
use crate::decode::{self, MAX_BYTES, Mode, Operation, Source};
use crate::layout::{self, Region};
use crate::machine::Machine;
use alloc::format;
use weft_paging::walk::{self, Privilege, WalkAccess, WalkError, WalkState};
use weft_platform::{Access, GuestMemory, MemError};
use weft_types::{Gpa, Gva};
use weft_wire::span::DeviceAddress;
use weft_x86defs::vmcb::Vmcb;
use weft_x86defs::{Gprs, bits, exit};

/// Why an access to a device does not complete now.
enum Wait {
    /// A page of the guest is needed first.
    Page(MemError),
    /// The member that has the device was asked.
    Answer,
}

impl From<MemError> for Wait {
    fn from(error: MemError) -> Self {
        Self::Page(error)
    }
}

/// Why an instruction is not there to be decoded.
pub(super) enum FetchFailure {
    Need(MemError),
    Fault(u64, u64),
    Lost,
}

impl Machine {
    pub(super) fn nested_fault(
        &mut self,
        index: usize,
        vmcb: &mut Vmcb,
        gprs: &mut Gprs,
        env: Env<'_>,
    ) -> Outcome {
        let gpa = Gpa(vmcb.control.exit_info2);
        if self.is_ram(gpa) {
            self.recount(ExitClass::Device, ExitClass::Memory);
            // A walk of the guest's tables counts as a write, whatever the access.
            let write = vmcb.control.exit_info1 & (exit::NPF_WRITE | exit::NPF_TABLE_WALK) != 0;
            return Outcome::Map { gpa, access: if write { Access::Write } else { Access::Read } };
        }
        if vmcb.control.exit_info1 & exit::NPF_FETCH != 0 {
            return Outcome::Stop(report(
                &format!("instruction fetch at {gpa:?}, which is no memory"),
                vmcb,
                gprs,
            ));
        }
        if vmcb.control.exit_info1 & exit::NPF_TABLE_WALK != 0 {
            return Outcome::Stop(report(&format!("page table at {gpa:?}, which is no memory"), vmcb, gprs));
        }
        self.device_access(index, gpa, vmcb, gprs, env)
    }

    fn device_access(
        &mut self,
        index: usize,
        gpa: Gpa,
        vmcb: &mut Vmcb,
        gprs: &mut Gprs,
        env: Env<'_>,
    ) -> Outcome {
        let mut code = [0; MAX_BYTES];
        let fetched = match fetch(vmcb, env, &mut code) {
            Ok(fetched) => fetched,
            Err(FetchFailure::Need(error)) => return Outcome::Need(error),
            Err(FetchFailure::Fault(address, error)) => {
                // The guest took the page of the instruction away while it ran: it sees the fault itself.
                vmcb.save.cr2 = address;
                self.vcpus[index].raise(Exception { vector: 14, error: Some(error as u32) });
                return Outcome::Resume;
            }
            Err(FetchFailure::Lost) => {
                return Outcome::Stop(report("the instruction cannot be fetched", vmcb, gprs));
            }
        };
        let bytes = code.get(..fetched).unwrap_or(&[]);
        let insn = match decode::decode(bytes, mode(vmcb)) {
            Ok(insn) => insn,
            Err(error) => {
                return Outcome::Stop(report(
                    &format!("access to {gpa:?} by {bytes:02x?}: {error}"),
                    vmcb,
                    gprs,
                ));
            }
        };
        let done = match insn.operation {
            Operation::Load { bytes, register, signed, .. } => {
                self.mmio_read(index, gpa, bytes).map(|value| {
                    let value = if signed { extend(value, bytes) } else { value };
                    let full = gprs.get(vmcb, register.encoding);
                    gprs.set(vmcb, register.encoding, register.merge(full, value));
                })
            }
            Operation::Store { bytes, source, .. } => {
                let value = match source {
                    Source::Immediate(value) => value,
                    Source::Register(register) => register.extract(gprs.get(vmcb, register.encoding)),
                };
                self.mmio_write(gpa, bytes, value & decode::mask(bytes), env)
            }
            Operation::Exchange { register, .. } => {
                let full = gprs.get(vmcb, register.encoding);
                self.mmio_read(index, gpa, register.bytes).and_then(|old| {
                    self.mmio_write(gpa, register.bytes, register.extract(full), env)?;
                    gprs.set(vmcb, register.encoding, register.merge(full, old));
                    Ok(())
                })
            }
            Operation::ReadControl { .. }
            | Operation::WriteControl { .. }
            | Operation::ReadDebug { .. }
            | Operation::WriteDebug { .. }
            | Operation::InvalidatePage { .. }
            | Operation::LoadStatus { .. }
            | Operation::StoreStatus { .. }
            | Operation::Plain(_) => {
                return Outcome::Stop(report(&format!("access to {gpa:?} by {bytes:02x?}"), vmcb, gprs));
            }
        };
        match done {
            Ok(()) => {}
            Err(Wait::Page(need)) => return Outcome::Need(need),
            Err(Wait::Answer) => return Outcome::Remote,
        }
        vmcb.control.next_rip = 0;
        advance(vmcb, u64::from(insn.length));
        Outcome::Resume
    }

    fn mmio_read(&mut self, index: usize, gpa: Gpa, bytes: u8) -> Result<u64, Wait> {
        if self.place().has_devices() || !is_device(gpa) {
            return Ok(self.register_read(gpa, bytes));
        }
        self.remote_read(index, DeviceAddress::Memory(gpa.0), bytes).ok_or(Wait::Answer)
    }

    fn mmio_write(&mut self, gpa: Gpa, bytes: u8, value: u64, env: Env<'_>) -> Result<(), Wait> {
        if self.place().has_devices() || !is_device(gpa) {
            return Ok(self.register_write(gpa, bytes, value, env.mem)?);
        }
        self.remote_write(DeviceAddress::Memory(gpa.0), bytes, value);
        Ok(())
    }

    /// Where nothing answers, reads are ones, as on a bus.
    pub(crate) fn register_read(&mut self, gpa: Gpa, bytes: u8) -> u64 {
        match layout::region(gpa) {
            Region::IoApic { offset } => u64::from(self.ioapic.read(offset)),
            Region::Virtio { slot, offset } => self.virtio_read(slot, offset, bytes),
            // The local APIC is in x2APIC mode: its page answers nothing.
            Region::Lapic { .. } | Region::Hole => u64::MAX,
        }
    }

    pub(crate) fn register_write(
        &mut self,
        gpa: Gpa,
        bytes: u8,
        value: u64,
        mem: &dyn GuestMemory,
    ) -> Result<(), MemError> {
        match layout::region(gpa) {
            Region::IoApic { offset } => {
                self.with_ioapic(|ioapic, send| ioapic.write(offset, value as u32, send));
                Ok(())
            }
            Region::Virtio { slot, offset } => self.virtio_write(slot, offset, bytes, value, mem),
            Region::Lapic { .. } | Region::Hole => Ok(()),
        }
    }
}

/// Whether something answers at an address that is no memory.
fn is_device(gpa: Gpa) -> bool {
    matches!(layout::region(gpa), Region::IoApic { .. } | Region::Virtio { .. })
}

fn extend(value: u64, bytes: u8) -> u64 {
    let shift = 64 - u32::from(bytes) * 8;
    ((value << shift) as i64 >> shift) as u64
}

pub(super) fn mode(vmcb: &Vmcb) -> Mode {
    if in_long_mode(vmcb) {
        Mode::Bits64
    } else if vmcb.save.cs.attrib & 0x400 != 0 {
        Mode::Bits32
    } else {
        Mode::Bits16
    }
}

/// The instruction's bytes: from decode assists, else by a walk of the guest's tables.
pub(super) fn fetch(vmcb: &Vmcb, env: Env<'_>, out: &mut [u8; MAX_BYTES]) -> Result<usize, FetchFailure> {
    let assisted = usize::from(vmcb.control.fetched).min(MAX_BYTES);
    if assisted > 0 {
        *out = vmcb.control.fetched_bytes;
        return Ok(assisted);
    }
    let (state, gva, privilege) = at(vmcb, env);
    walk::fetch(env.mem, &state, gva, privilege, out).map_err(FetchFailure::from)
}

/// Where the instruction that left the guest begins.
pub(super) fn instruction(vmcb: &Vmcb, env: Env<'_>) -> Result<Gpa, FetchFailure> {
    let (state, gva, privilege) = at(vmcb, env);
    Ok(walk::translate(env.mem, &state, gva, WalkAccess::Fetch, privilege)?.gpa)
}

/// How the guest reaches its next instruction.
fn at(vmcb: &Vmcb, env: Env<'_>) -> (WalkState, Gva, Privilege) {
    let save = &vmcb.save;
    let base = if in_long_mode(vmcb) { 0 } else { save.cs.base };
    let state = WalkState {
        cr0: save.cr0,
        cr3: env.guest_cr3.unwrap_or(save.cr3),
        cr4: save.cr4,
        efer: save.efer,
        alignment_check: false,
        physical_bits: cpuid::physical_bits(env.host),
    };
    let privilege = if save.cpl == 3 { Privilege::User } else { Privilege::Supervisor };
    (state, Gva(base.wrapping_add(save.rip)), privilege)
}

impl From<WalkError> for FetchFailure {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Memory(error @ MemError::Need { .. }) => Self::Need(error),
            WalkError::PageFault { gva, code } => Self::Fault(gva.0, code | bits::PF_FETCH),
            WalkError::Memory(MemError::Unbacked { .. }) | WalkError::NonCanonical { .. } => Self::Lost,
        }
    }
}
