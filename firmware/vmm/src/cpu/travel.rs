//! A vCPU as bytes, and back: [`VcpuState`] is what one member gives to another. Everything that the guest could tell
//! apart is in it; what belongs to the node (intercepts, tables, its clock) is not.
//!
//! One list of places serves both ways: each is visited as a word of 64 bits, to be read or to be set.

use super::clock::Now;
use super::lapic::Lapic;
use super::{Exception, RunState, Vcpu};
use weft_wire::vcpu::VcpuState;
use weft_x86defs::Gprs;
use weft_x86defs::vmcb::{Segment, Vmcb, intercept1};

/// Registers of a vCPU outside of its machine: the control block, and what it has no room for.
pub struct Registers<'a> {
    /// The control block.
    pub vmcb: &'a mut Vmcb,
    /// General registers.
    pub gprs: &'a mut Gprs,
    /// DR0 to DR3.
    pub debug: &'a mut [u64; 4],
}

type Visit<'a> = &'a mut dyn FnMut(&mut u64);

fn word32(value: &mut u32, visit: Visit<'_>) {
    let mut word = u64::from(*value);
    visit(&mut word);
    *value = word as u32;
}

fn byte(value: &mut u8, visit: Visit<'_>) {
    let mut word = u64::from(*value);
    visit(&mut word);
    *value = word as u8;
}

/// Flags of one word.
fn flags(values: [&mut bool; 3], visit: Visit<'_>) {
    let mut word = values.iter().enumerate().map(|(bit, value)| u64::from(**value) << bit).sum();
    visit(&mut word);
    for (bit, value) in values.into_iter().enumerate() {
        *value = word >> bit & 1 == 1;
    }
}

/// A vector with its error code: one more than the vector, which is 0 for none, and the code with its presence above it.
fn exception(value: &mut Option<Exception>, visit: Visit<'_>) {
    let mut word = value.map_or(0, |exception| {
        let code = exception.error.map_or(0, |code| 1 << 9 | u64::from(code) << 32);
        (u64::from(exception.vector) + 1) | code
    });
    visit(&mut word);
    let vector = (word & 0x1ff).checked_sub(1).map(|vector| vector as u8);
    let error = (word & 1 << 9 != 0).then_some((word >> 32) as u32);
    *value = vector.map(|vector| Exception { vector, error });
}

/// A page of start-up: one more, 0 for none.
fn start_up(value: &mut Option<u8>, visit: Visit<'_>) {
    let mut word = value.map_or(0, |page| u64::from(page) + 1);
    visit(&mut word);
    *value = word.checked_sub(1).map(|page| page as u8);
}

fn run_state(value: &mut RunState, visit: Visit<'_>) {
    let mut word = match value {
        RunState::Running => 0,
        RunState::Halted => 1,
        RunState::WaitForStartUp => 2,
    };
    visit(&mut word);
    *value = match word {
        0 => RunState::Running,
        1 => RunState::Halted,
        _waits => RunState::WaitForStartUp,
    };
}

/// A moment of the node's clock, as what is left until then; 0 for none.
fn moment(value: &mut Option<u64>, now_ns: u64, visit: Visit<'_>) {
    let mut word = value.map_or(0, |at| at.saturating_sub(now_ns).max(1));
    visit(&mut word);
    *value = (word != 0).then(|| now_ns.saturating_add(word));
}

fn segment(segment: &mut Segment, visit: Visit<'_>) {
    let shape = u64::from(segment.selector) | u64::from(segment.attrib) << 16;
    let mut word = shape | u64::from(segment.limit) << 32;
    visit(&mut word);
    (segment.selector, segment.attrib) = (word as u16, (word >> 16) as u16);
    segment.limit = (word >> 32) as u32;
    visit(&mut segment.base);
}

impl Vcpu {
    /// Visits everything of the vCPU that travels, in the order of [`VcpuState::registers`].
    fn visit(&mut self, registers: &mut Registers<'_>, now: Now, visit: Visit<'_>) {
        let Registers { vmcb, gprs, debug } = registers;
        let Vmcb { control: c, save: s } = &mut **vmcb;
        for register in gprs.by_encoding.iter_mut().chain(debug.iter_mut()) {
            visit(register);
        }
        for register in [
            &mut s.rax,
            &mut s.rsp,
            &mut s.rip,
            &mut s.rflags,
            &mut s.cr0,
            &mut s.cr2,
            &mut s.cr3,
            &mut s.cr4,
            &mut s.efer,
            &mut s.dr6,
            &mut s.dr7,
            &mut s.star,
            &mut s.lstar,
            &mut s.cstar,
            &mut s.sfmask,
            &mut s.kernel_gs_base,
            &mut s.sysenter_cs,
            &mut s.sysenter_esp,
            &mut s.sysenter_eip,
            &mut s.g_pat,
            &mut s.dbgctl,
            &mut c.interrupt_shadow,
            &mut c.exit_int_info,
            &mut self.mtrr_default,
            &mut self.system_time.0,
            &mut self.system_time_msr,
        ] {
            visit(register);
        }
        for one in [
            &mut s.es,
            &mut s.cs,
            &mut s.ss,
            &mut s.ds,
            &mut s.fs,
            &mut s.gs,
            &mut s.gdtr,
            &mut s.ldtr,
            &mut s.idtr,
            &mut s.tr,
        ] {
            segment(one, visit);
        }
        byte(&mut s.cpl, visit);
        run_state(&mut self.run_state, visit);
        start_up(&mut self.start_up, visit);
        flags([&mut self.nmi_pending, &mut self.nmi_blocked, &mut self.passes_interrupt], visit);
        exception(&mut self.exception, visit);
        word32(&mut self.tsc_aux, visit);
        word32(&mut self.remote_reads, visit);
        self.level_vectors.iter_mut().for_each(|word| word32(word, visit));
        self.lapic.visit(now, visit);
    }

    /// The vCPU as bytes; extended state, moves and what was learned of its places are the caller's to add.
    pub(crate) fn pack(&mut self, mut registers: Registers<'_>, now: Now) -> VcpuState {
        self.settle(registers.vmcb);
        let mut state = VcpuState::default();
        let mut places = state.registers.iter_mut();
        self.visit(&mut registers, now, &mut |word| {
            if let Some(place) = places.next() {
                *place = *word;
            }
        });
        state
    }

    /// Makes this the vCPU of that state.
    pub(crate) fn unpack(&mut self, state: &VcpuState, mut registers: Registers<'_>, now: Now) {
        let mut words = state.registers.iter();
        self.visit(&mut registers, now, &mut |word| *word = words.next().copied().unwrap_or_default());
        self.offered = None;
        let control = &mut registers.vmcb.control;
        control.event_inj = 0;
        // The end of an NMI is seen by its IRET.
        control.intercept1 &= !intercept1::IRET;
        if self.nmi_blocked {
            control.intercept1 |= intercept1::IRET;
        }
    }
}

impl Lapic {
    fn visit(&mut self, now: Now, visit: Visit<'_>) {
        byte(&mut self.task_priority, visit);
        visit(&mut self.command);
        visit(&mut self.deadline_tsc);
        moment(&mut self.timer_due_ns, now.ns, visit);
        let mut rests = (self.rest_until_ns > now.ns).then_some(self.rest_until_ns);
        moment(&mut rests, now.ns, visit);
        self.rest_until_ns = rests.unwrap_or(0);
        // What was delivered elsewhere was delivered by another clock.
        self.delivered_ns = None;
        let own = [&mut self.spurious, &mut self.error, &mut self.timer_initial, &mut self.timer_divide];
        let sets = self.lvt.iter_mut().chain(&mut self.in_service).chain(&mut self.requested);
        own.into_iter().chain(sets).for_each(|word| word32(word, visit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_wire::vcpu::REGISTERS;
    use weft_x86defs::bits;

    fn at(ns: u64) -> Now {
        Now { ns, guest_tsc: ns, tsc_hz: 1_000_000_000 }
    }

    struct Whole {
        vcpu: Vcpu,
        vmcb: Vmcb,
        gprs: Gprs,
        debug: [u64; 4],
    }

    impl Whole {
        fn new() -> Self {
            let (vcpu, vmcb) = (Vcpu::new(1), Vmcb::zeroed());
            Self { vcpu, vmcb, gprs: Gprs::default(), debug: [0; 4] }
        }

        /// A vCPU with something in every place.
        fn busy() -> Self {
            let mut this = Self::new();
            let mut n = 0;
            let mut registers =
                Registers { vmcb: &mut this.vmcb, gprs: &mut this.gprs, debug: &mut this.debug };
            this.vcpu.visit(&mut registers, at(5), &mut |word| {
                n += 1;
                *word = 2 * n + 1;
            });
            assert_eq!(n as usize, REGISTERS, "as many as there is room for");
            this.vcpu.run_state = RunState::Running;
            this.vcpu.start_up = None;
            this.vmcb.save.rflags = bits::RFLAGS_FIXED | bits::RFLAGS_IF;
            (this.vmcb.control.interrupt_shadow, this.vmcb.control.exit_int_info) = (0, 0);
            this.vcpu.exception = Some(Exception::GP);
            (this.vcpu.nmi_pending, this.vcpu.nmi_blocked) = (true, false);
            (this.vcpu.lapic.in_service, this.vcpu.lapic.requested) = ([0; 8], [0; 8]);
            this.vcpu.lapic.spurious = 0x1ff;
            this.vcpu.lapic.task_priority = 0;
            this.vcpu.lapic.request(0x62);
            this.vcpu.lapic.lvt[0] = 0x4_0041;
            this.vcpu.lapic.rest_until_ns = 0;
            this.vcpu.lapic.set_deadline(2_000, at(500));
            this
        }

        fn pack(&mut self, now: Now) -> VcpuState {
            let registers = Registers { vmcb: &mut self.vmcb, gprs: &mut self.gprs, debug: &mut self.debug };
            self.vcpu.pack(registers, now)
        }

        fn unpack(&mut self, state: &VcpuState, now: Now) {
            let registers = Registers { vmcb: &mut self.vmcb, gprs: &mut self.gprs, debug: &mut self.debug };
            self.vcpu.unpack(state, registers, now);
        }
    }

    #[test]
    fn a_vcpu_arrives_as_it_left() {
        let mut left = Whole::busy();
        let state = left.pack(at(1_000));
        let state = VcpuState::decode(&state.encode()).unwrap();
        let mut there = Whole::new();
        there.unpack(&state, at(7_000_000));
        assert_eq!(there.vcpu.lapic.due_ns(), Some(7_001_000), "times are relative");
        assert_eq!(there.pack(at(7_000_000)), state);
        assert_eq!(there.vcpu.exception, Some(Exception::GP));
        assert_eq!((there.gprs, there.debug), (left.gprs, left.debug));
        assert_eq!((there.vmcb.save.tr, there.vmcb.save.cpl), (left.vmcb.save.tr, left.vmcb.save.cpl));
    }

    #[test]
    fn an_interrupt_that_was_offered_and_not_taken_goes_along() {
        let mut left = Whole::busy();
        // Exception, then NMI, then the interrupt is offered.
        for _ in 0..3 {
            left.vcpu.prepare(&mut left.vmcb, &mut left.gprs, at(1_000));
        }
        let state = left.pack(at(1_000));
        let mut there = Whole::new();
        there.unpack(&state, at(9));
        assert_eq!(there.vcpu.lapic.requested[3], 4, "requested again");
        assert_eq!(there.vcpu.lapic.in_service, [0; 8]);
        assert!(there.vcpu.nmi_blocked && !there.vcpu.nmi_pending);
        assert_ne!(there.vmcb.control.intercept1 & intercept1::IRET, 0);
    }

    #[test]
    fn what_is_not_there_stays_away() {
        let mut waiting = Whole::new();
        waiting.vcpu.start_up(0);
        let state = waiting.pack(at(1));
        let mut there = Whole::new();
        there.unpack(&state, at(2));
        assert_eq!((there.vcpu.start_up, there.vcpu.exception), (Some(0), None));
        assert_eq!((there.vcpu.run_state, there.vcpu.lapic.due_ns()), (RunState::Running, None));
    }
}
