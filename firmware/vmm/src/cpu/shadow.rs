//! A vCPU whose tables are shadowed: page faults, control registers and INVLPG exit, and the processor's CR3 is
//! not the guest's.
//!
//! ```text
//!            CR0.PG set, EFER.LME                    Direct: the processor walks the guest's own tables
//!   Direct ──────────────────────▶ Shadowed          (or none, in real and protected mode) under the nested
//!          ◀──────────────────────                   root without the window.
//!            CR0.PG cleared, INIT                    Shadowed: it walks ours, under the root with the window.
//! ```
//!
//! Only four-level long mode is shadowed. 32-bit and PAE paging run Direct: right, and slow only where guest
//! tables are shared between nodes, which no guest does in such a mode for long. Direct never has the window, so
//! that a guest that ignores CR3 by CR0.PG = 0, or that points CR3 at the window, reaches nothing there.
//!
//! Every page fault is walked again in software before the guest sees it: what it sees is decided by its own
//! tables as they are, never by the shadow. Source: APM volume 2, 15.12.15 (#PF), 8.2.9 (#DF), 3.1.

use super::exits::{Env, Outcome, advance, in_long_mode, report};
use super::mmio::{self, FetchFailure};
use super::{Exception, cpuid};
use crate::decode::{self, Insn, MAX_BYTES, Operation, Plain, Segment};
use crate::machine::Machine;
use alloc::format;
use alloc::string::String;
use weft_paging::shadow::{Access, Context, Fault, Filled, Shadow};
use weft_paging::walk::WalkState;
use weft_platform::MemError;
use weft_types::{Gva, Hpa};
use weft_x86defs::vmcb::{Vmcb, event, intercept1};
use weft_x86defs::{Gprs, bits, exit};

/// Intercepts of #PF.
const PAGE_FAULT: u32 = 1 << 14;
const READ_CR0: u32 = 1;
const READ_CR3: u32 = 1 << 3;
const WRITE_CR0: u32 = 1 << 16;
const WRITE_CR3: u32 = 1 << 19;
const WRITE_CR4: u32 = 1 << 20;
/// EXITINFO1 of a MOV-CR exit with decode assists: the low bits name the register.
const MOV_ASSIST: u64 = 1 << 63;
/// Faults in a row, at one place, that found nothing to do: then processor and walk disagree.
const MOST_REPEATS: u32 = 64;

/// CR4 bits that guests may set: VME to PCE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE, SMEP, SMAP.
const CR4_WRITABLE: u64 = 0x7ff | bits::CR4_FSGSBASE | bits::CR4_OSXSAVE | bits::CR4_SMEP | bits::CR4_SMAP;
/// CR4 bits whose change flushes all translations.
const CR4_FLUSHES: u64 = bits::CR4_PGE | bits::CR4_PSE | bits::CR4_PAE | bits::CR4_SMEP;
const CR0_DEFINED: u64 = 0xe005_003f;

/// Which tables the processor walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The guest's own, or none.
    Direct,
    /// The shadow's.
    Shadowed,
}

/// The two roots of the nested tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Without the window.
    pub plain: Hpa,
    /// With the window.
    pub window: Hpa,
}

/// Paging of one vCPU.
#[derive(Debug)]
pub struct ShadowCpu {
    tables: Shadow,
    roots: Roots,
    decode_assists: bool,
    mode: Mode,
    /// The guest's own registers; CR4 and EFER are the VMCB's.
    cr0: u64,
    cr3: u64,
    /// EFER.NXE as of the last entry: entries depend on it.
    no_execute: bool,
    /// Place of the last fault that found nothing to do, and how often in a row.
    repeated: (u64, u64, u32),
}

/// What an exit asks for.
enum Effect {
    Resume,
    Raise(Exception),
    Need(MemError),
    Stop(String),
}

impl ShadowCpu {
    /// A vCPU after power-on; [`ShadowCpu::adopt`] follows once its registers are set.
    pub fn new(tables: Shadow, roots: Roots, decode_assists: bool) -> Self {
        Self {
            tables,
            roots,
            decode_assists,
            mode: Mode::Direct,
            cr0: 0,
            cr3: 0,
            no_execute: false,
            repeated: (0, 0, 0),
        }
    }

    /// The tables.
    pub fn tables(&self) -> &Shadow {
        &self.tables
    }

    /// The guest's own CR3 while the processor holds another.
    pub fn guest_cr3(&self) -> Option<u64> {
        (self.mode == Mode::Shadowed).then_some(self.cr3)
    }

    /// Takes over the registers of the VMCB as the guest's: after power-on and start-up.
    pub fn adopt(&mut self, vmcb: &mut Vmcb, context: &mut Context<'_>) {
        self.cr0 = vmcb.save.cr0;
        self.cr3 = vmcb.save.cr3;
        self.tables.drop_all(context);
        self.no_execute = vmcb.save.efer & bits::EFER_NXE != 0;
        if self.cr0 & bits::CR0_PG != 0 && vmcb.save.efer & bits::EFER_LMA != 0 {
            self.mode = Mode::Shadowed;
            self.tables.load_root(context, self.cr3);
        } else {
            self.mode = Mode::Direct;
        }
        self.apply(vmcb);
    }

    /// Gives the registers back to the VMCB as the guest's, and forgets all tables: the vCPU leaves this node.
    pub fn leave(&mut self, vmcb: &mut Vmcb, context: &mut Context<'_>) {
        if self.mode == Mode::Shadowed {
            vmcb.save.cr3 = self.cr3;
            self.mode = Mode::Direct;
        }
        self.tables.drop_all(context);
        self.apply(vmcb);
    }

    /// Last step before an entry: the VMCB names the right tables. Returns the number that must not differ from
    /// that of the last entry without a flush in between.
    pub fn enter(&mut self, vmcb: &mut Vmcb, context: &mut Context<'_>) -> u64 {
        let no_execute = vmcb.save.efer & bits::EFER_NXE != 0;
        if no_execute != self.no_execute {
            self.no_execute = no_execute;
            self.tables.drop_all(context);
        }
        if self.mode == Mode::Shadowed && self.tables.root().is_none() {
            self.tables.load_root(context, self.cr3);
        }
        self.apply(vmcb);
        self.tables.generation()
    }

    /// Writes what follows from the mode to the VMCB.
    fn apply(&self, vmcb: &mut Vmcb) {
        let c = &mut vmcb.control;
        let all = READ_CR0 | READ_CR3 | WRITE_CR0 | WRITE_CR3 | WRITE_CR4;
        match self.mode {
            Mode::Direct => {
                c.n_cr3 = self.roots.plain.0;
                c.intercept_exceptions &= !PAGE_FAULT;
                c.intercept1 &= !intercept1::INVLPG;
                c.intercept_cr = c.intercept_cr & !all | WRITE_CR0 | WRITE_CR4;
                vmcb.save.cr0 = self.cr0;
            }
            Mode::Shadowed => {
                let Some(root) = self.tables.root() else { return };
                c.n_cr3 = self.roots.window.0;
                c.intercept_exceptions |= PAGE_FAULT;
                c.intercept1 |= intercept1::INVLPG;
                // The guest's CR0 differs from the processor's in WP alone.
                let read_cr0 = if self.cr0 & bits::CR0_WP == 0 { READ_CR0 } else { 0 };
                c.intercept_cr =
                    c.intercept_cr & !all | READ_CR3 | WRITE_CR0 | WRITE_CR3 | WRITE_CR4 | read_cr0;
                vmcb.save.cr0 = self.cr0 | bits::CR0_WP;
                vmcb.save.cr3 = root.0;
            }
        }
    }

    fn handle(
        &mut self,
        vmcb: &mut Vmcb,
        gprs: &mut Gprs,
        env: Env<'_>,
        context: &mut Context<'_>,
    ) -> Option<Effect> {
        let code = vmcb.control.exit_code;
        if code == exit::EXCEPTION + 14 {
            return Some(self.page_fault(vmcb, gprs, env, context));
        }
        let effect = match code {
            exit::CR_READ..exit::DR_READ => self.control_register(vmcb, gprs, env, context),
            exit::INVLPG => self.invalidate(vmcb, gprs, env, context),
            _others => return None,
        };
        Some(effect.unwrap_or_else(|effect| effect))
    }

    fn page_fault(
        &mut self,
        vmcb: &mut Vmcb,
        gprs: &Gprs,
        env: Env<'_>,
        context: &mut Context<'_>,
    ) -> Effect {
        let (code, gva) = (vmcb.control.exit_info1, Gva(vmcb.control.exit_info2));
        let save = &vmcb.save;
        // At CPL 3 a supervisor access is an implicit one, for which AC does not count.
        let alignment_check = save.cpl < 3 && save.rflags & bits::RFLAGS_AC != 0;
        let state = WalkState {
            cr0: self.cr0,
            cr3: self.cr3,
            cr4: save.cr4,
            efer: save.efer,
            alignment_check,
            physical_bits: cpuid::physical_bits(env.host),
        };
        match self.tables.fault(context, &state, Access::from_code(gva, code)) {
            Ok(Filled::Made | Filled::Raced) => Effect::Resume,
            Ok(Filled::There) => self.nothing_to_do(vmcb, gprs),
            Err(Fault::Guest { gva, code }) => reflect(vmcb, gprs, gva, code),
            Err(Fault::Memory(error @ MemError::Need { .. })) => Effect::Need(error),
            Err(error @ (Fault::Memory(_) | Fault::WriteProtection | Fault::NonCanonical)) => {
                Effect::Stop(self.report(&format!("{error}"), vmcb, gprs))
            }
        }
    }

    /// A fault for which the tables are complete: the processor kept an older entry, which it forgets by a flush.
    fn nothing_to_do(&mut self, vmcb: &Vmcb, gprs: &Gprs) -> Effect {
        self.tables.flush_processor();
        let place = (vmcb.save.rip, vmcb.control.exit_info2);
        let (rip, gva, count) = self.repeated;
        let count = if (rip, gva) == place { count + 1 } else { 0 };
        self.repeated = (place.0, place.1, count);
        if count < MOST_REPEATS {
            return Effect::Resume;
        }
        Effect::Stop(self.report("page faults without an end", vmcb, gprs))
    }

    fn report(&self, reason: &str, vmcb: &Vmcb, gprs: &Gprs) -> String {
        format!("{}; guest cr0 {:#x} cr3 {:#x}", report(reason, vmcb, gprs), self.cr0, self.cr3)
    }

    fn invalidate(
        &mut self,
        vmcb: &mut Vmcb,
        gprs: &Gprs,
        env: Env<'_>,
        context: &mut Context<'_>,
    ) -> Result<Effect, Effect> {
        if self.decode_assists && vmcb.control.next_rip != 0 {
            self.tables.invalidate(context, Gva(vmcb.control.exit_info1));
            advance(vmcb, 0);
            return Ok(Effect::Resume);
        }
        let insn = self.instruction(vmcb, gprs, env)?;
        let Operation::InvalidatePage { memory } = insn.operation else {
            return Err(self.unexpected(vmcb, gprs));
        };
        let next = vmcb.save.rip.wrapping_add(u64::from(insn.length));
        let base = |segment| match segment {
            Segment::Es => vmcb.save.es.base,
            Segment::Cs => vmcb.save.cs.base,
            Segment::Ss => vmcb.save.ss.base,
            Segment::Ds => vmcb.save.ds.base,
            Segment::Fs => vmcb.save.fs.base,
            Segment::Gs => vmcb.save.gs.base,
        };
        let gva = memory.linear(mmio::mode(vmcb), |encoding| gprs.get(vmcb, encoding), next, base);
        self.tables.invalidate(context, Gva(gva));
        step(vmcb, insn);
        Ok(Effect::Resume)
    }

    fn control_register(
        &mut self,
        vmcb: &mut Vmcb,
        gprs: &mut Gprs,
        env: Env<'_>,
        context: &mut Context<'_>,
    ) -> Result<Effect, Effect> {
        let code = vmcb.control.exit_code;
        let write = code >= exit::CR_WRITE;
        let number = (code & 15) as u8;
        let assisted = vmcb.control.exit_info1 & MOV_ASSIST != 0 && vmcb.control.next_rip != 0;
        let (operation, length) = if assisted {
            let encoding = (vmcb.control.exit_info1 & 15) as u8;
            let bytes = if in_long_mode(vmcb) { 8 } else { 4 };
            let register = decode::Register { encoding, bytes, high: false };
            let operation = if write {
                Operation::WriteControl { number, register }
            } else {
                Operation::ReadControl { number, register }
            };
            (operation, 0)
        } else {
            let insn = self.instruction(vmcb, gprs, env)?;
            (insn.operation, insn.length)
        };
        match operation {
            Operation::ReadControl { number: 0, register } | Operation::StoreStatus { register } => {
                let full = gprs.get(vmcb, register.encoding);
                gprs.set(vmcb, register.encoding, register.merge(full, self.cr0));
            }
            Operation::ReadControl { number: 3, register } => {
                let full = gprs.get(vmcb, register.encoding);
                gprs.set(vmcb, register.encoding, register.merge(full, self.cr3));
            }
            Operation::WriteControl { number: named, register } if named == number => {
                let value = register.extract(gprs.get(vmcb, register.encoding));
                self.write(named, value, vmcb, gprs, env, context)?;
            }
            Operation::LoadStatus { register } => {
                // PE is set by LMSW, never cleared.
                let value = register.extract(gprs.get(vmcb, register.encoding)) & 0xf;
                let value = self.cr0 & !0xe | value;
                self.write(0, value, vmcb, gprs, env, context)?;
            }
            Operation::Plain(Plain::Clts) => {
                let value = self.cr0 & !bits::CR0_TS;
                self.write(0, value, vmcb, gprs, env, context)?;
            }
            _others => return Err(self.unexpected(vmcb, gprs)),
        }
        if !assisted {
            vmcb.control.next_rip = 0;
        }
        advance(vmcb, u64::from(length));
        Ok(Effect::Resume)
    }

    fn write(
        &mut self,
        number: u8,
        value: u64,
        vmcb: &mut Vmcb,
        gprs: &Gprs,
        env: Env<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Effect> {
        match number {
            0 => self.write_cr0(value, vmcb, gprs, context),
            3 => self.write_cr3(value, env, context),
            4 => self.write_cr4(value, vmcb, env, context),
            _others => Err(self.unexpected(vmcb, gprs)),
        }
    }

    fn write_cr0(
        &mut self,
        value: u64,
        vmcb: &mut Vmcb,
        gprs: &Gprs,
        context: &mut Context<'_>,
    ) -> Result<(), Effect> {
        let has = |bit| value & bit != 0;
        let invalid = value >> 32 != 0
            || (has(bits::CR0_PG) && !has(bits::CR0_PE))
            || (has(bits::CR0_NW) && !has(bits::CR0_CD));
        if invalid {
            return Err(Effect::Raise(Exception::GP));
        }
        let value = value & CR0_DEFINED | bits::CR0_ET;
        let (before, after) = (self.cr0 & bits::CR0_PG != 0, has(bits::CR0_PG));
        let save = &mut vmcb.save;
        if !before && after {
            if self.mode == Mode::Direct {
                self.cr3 = save.cr3;
            }
            if save.efer & bits::EFER_LME != 0 {
                // Long mode begins in compatibility mode, with PAE.
                if save.cr4 & bits::CR4_PAE == 0 || save.cs.attrib & 0x200 != 0 {
                    return Err(Effect::Raise(Exception::GP));
                }
                if save.cr4 & bits::CR4_LA57 != 0 {
                    return Err(Effect::Stop(self.report("five-level paging is not offered", vmcb, gprs)));
                }
                save.efer |= bits::EFER_LMA;
                self.mode = Mode::Shadowed;
                self.tables.load_root(context, self.cr3);
            }
        } else if before && !after {
            if save.efer & bits::EFER_LMA != 0 && save.cs.attrib & 0x200 != 0 {
                return Err(Effect::Raise(Exception::GP));
            }
            save.efer &= !bits::EFER_LMA;
            if self.mode == Mode::Shadowed {
                save.cr3 = self.cr3;
                self.mode = Mode::Direct;
                self.tables.flush_processor();
            }
        }
        self.cr0 = value;
        self.apply(vmcb);
        Ok(())
    }

    fn write_cr3(&mut self, value: u64, env: Env<'_>, context: &mut Context<'_>) -> Result<(), Effect> {
        if value.checked_shr(cpuid::physical_bits(env.host)).is_some_and(|beyond| beyond != 0) {
            return Err(Effect::Raise(Exception::GP));
        }
        self.cr3 = value;
        self.tables.load_root(context, value);
        Ok(())
    }

    fn write_cr4(
        &mut self,
        value: u64,
        vmcb: &mut Vmcb,
        env: Env<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Effect> {
        let leaf7 = env.host.cpuid(7, 0).ebx;
        let offered = |bit: u32, flag: u64| if leaf7 & 1 << bit != 0 { flag } else { 0 };
        let features =
            offered(0, bits::CR4_FSGSBASE) | offered(7, bits::CR4_SMEP) | offered(20, bits::CR4_SMAP);
        let always = CR4_WRITABLE & !(bits::CR4_FSGSBASE | bits::CR4_SMEP | bits::CR4_SMAP);
        let leaves_long_mode = vmcb.save.efer & bits::EFER_LMA != 0 && value & bits::CR4_PAE == 0;
        if value & !(always | features) != 0 || leaves_long_mode {
            return Err(Effect::Raise(Exception::GP));
        }
        let changed = vmcb.save.cr4 ^ value;
        vmcb.save.cr4 = value;
        if changed & CR4_FLUSHES != 0 && self.mode == Mode::Shadowed {
            self.tables.flush_all(context);
        } else {
            self.tables.flush_processor();
        }
        Ok(())
    }

    fn unexpected(&self, vmcb: &Vmcb, gprs: &Gprs) -> Effect {
        Effect::Stop(self.report("an instruction that should not have left the guest", vmcb, gprs))
    }

    /// The instruction that left the guest.
    fn instruction(&self, vmcb: &mut Vmcb, gprs: &Gprs, env: Env<'_>) -> Result<Insn, Effect> {
        let mut code = [0; MAX_BYTES];
        let fetched = match mmio::fetch(vmcb, env, &mut code) {
            Ok(fetched) => fetched,
            Err(FetchFailure::Need(error)) => return Err(Effect::Need(error)),
            Err(FetchFailure::Fault(gva, code)) => return Err(reflect(vmcb, gprs, Gva(gva), code)),
            Err(FetchFailure::Lost) => {
                return Err(Effect::Stop(self.report("the instruction cannot be fetched", vmcb, gprs)));
            }
        };
        let bytes = code.get(..fetched).unwrap_or(&[]);
        decode::decode(bytes, mmio::mode(vmcb))
            .map_err(|error| Effect::Stop(self.report(&format!("{bytes:02x?}: {error}"), vmcb, gprs)))
    }
}

fn step(vmcb: &mut Vmcb, insn: Insn) {
    vmcb.control.next_rip = 0;
    advance(vmcb, u64::from(insn.length));
}

/// Gives a page fault to the guest; one that cut off the delivery of another becomes a double fault.
/// APM volume 2, table 8-3.
fn reflect(vmcb: &mut Vmcb, gprs: &Gprs, gva: Gva, code: u64) -> Effect {
    let first = vmcb.control.exit_int_info;
    let exception = first & event::VALID != 0 && first >> event::TYPE_SHIFT & 7 == event::TYPE_EXCEPTION;
    let vector = first & 0xff;
    if exception && vector == 8 {
        return Effect::Stop(report("triple fault: no way to deliver a double fault", vmcb, gprs));
    }
    vmcb.control.exit_int_info = 0;
    vmcb.save.cr2 = gva.0;
    if exception && vector == 14 {
        return Effect::Raise(Exception { vector: 8, error: Some(0) });
    }
    Effect::Raise(Exception { vector: 14, error: Some(code as u32) })
}

impl Machine {
    /// Handles an exit that shadow tables cause; `None` for all others, which [`Machine::handle_exit`] handles.
    /// `env.guest_cr3` is [`ShadowCpu::guest_cr3`].
    pub fn handle_paging_exit(
        &mut self,
        index: usize,
        vmcb: &mut Vmcb,
        gprs: &mut Gprs,
        env: Env<'_>,
        cpu: &mut ShadowCpu,
        context: &mut Context<'_>,
    ) -> Option<Outcome> {
        self.vcpus.get_mut(index)?.sync(vmcb);
        let effect = cpu.handle(vmcb, gprs, env, context)?;
        self.count(super::exits::class_of(vmcb.control.exit_code));
        let vcpu = self.vcpus.get_mut(index)?;
        Some(match effect {
            Effect::Resume => Outcome::Resume,
            Effect::Raise(exception) => {
                vcpu.raise(exception);
                Outcome::Resume
            }
            Effect::Need(error) => Outcome::Need(error),
            Effect::Stop(report) => Outcome::Stop(report),
        })
    }
}

#[cfg(test)]
#[path = "shadow_tests.rs"]
mod tests;
