//! What is injected before an entry, in this order: an event whose delivery was cut off by the last exit, an
//! exception, an NMI, an interrupt. At most one; for the rest a window is asked for.
//!
//! Interrupts go in by EVENTINJ, never by V_IRQ: an interrupt whose delivery meets a nested fault is then
//! reported in EXITINTINFO as it was injected. V_IRQ only finds the window. APM volume 2, 15.20 and 15.21.

use super::clock::Now;
use super::{Exception, RunState, Vcpu, setup};
use weft_x86defs::vmcb::{Vmcb, event, intercept1, vintr};
use weft_x86defs::{Gprs, bits};

/// What the vCPU's processor does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Run the guest.
    Run,
    /// Run the guest, with extended state as after reset.
    RunFromReset,
    /// Nothing to run until [`Vcpu::due_ns`] or an event from elsewhere.
    Wait,
}

fn exception_event(e: Exception) -> u64 {
    let code = e.error.map_or(0, |code| event::ERROR_CODE | u64::from(code) << 32);
    event::VALID | event::TYPE_EXCEPTION << event::TYPE_SHIFT | code | u64::from(e.vector)
}

impl Vcpu {
    /// When this vCPU has something to do by itself, nanoseconds of the node's clock.
    pub fn due_ns(&self) -> Option<u64> {
        self.lapic.due_ns()
    }

    /// Whether an interrupt or NMI waits that a halted vCPU would wake up for.
    fn has_wake_up(&self, vmcb: &Vmcb) -> bool {
        (self.nmi_pending && !self.nmi_blocked)
            || (vmcb.save.rflags & bits::RFLAGS_IF != 0 && self.lapic.pending().is_some())
    }

    /// Prepares the VMCB for the next entry.
    pub fn prepare(&mut self, vmcb: &mut Vmcb, gprs: &mut Gprs, now: Now) -> Entry {
        self.lapic.advance(now);
        if let Some(page) = self.start_up.take() {
            setup::start_up(vmcb, gprs, page);
            return Entry::RunFromReset;
        }
        match self.run_state {
            RunState::WaitForStartUp => return Entry::Wait,
            RunState::Halted if !self.has_wake_up(vmcb) => return Entry::Wait,
            RunState::Halted => self.run_state = RunState::Running,
            RunState::Running => {}
        }
        let task_priority = u64::from(self.lapic.task_priority() >> 4);
        vmcb.control.vintr = vintr::V_INTR_MASKING | task_priority;
        vmcb.control.intercept1 &= !intercept1::VINTR;
        vmcb.control.event_inj = 0;
        self.inject(vmcb);
        Entry::Run
    }

    fn inject(&mut self, vmcb: &mut Vmcb) {
        let interrupted = core::mem::take(&mut vmcb.control.exit_int_info);
        let kind = interrupted >> event::TYPE_SHIFT & 7;
        // A software interrupt is executed again: its instruction did not complete.
        if interrupted & event::VALID != 0 && kind != event::TYPE_SOFTWARE && self.exception.is_none() {
            vmcb.control.event_inj = interrupted;
        } else if let Some(exception) = self.exception.take() {
            vmcb.control.event_inj = exception_event(exception);
        } else if self.nmi_pending && !self.nmi_blocked {
            self.nmi_pending = false;
            self.nmi_blocked = true;
            vmcb.control.intercept1 |= intercept1::IRET;
            vmcb.control.event_inj = event::VALID | event::TYPE_NMI << event::TYPE_SHIFT | 2;
        }
        let Some(vector) = self.lapic.pending() else { return };
        let open = vmcb.save.rflags & bits::RFLAGS_IF != 0 && vmcb.control.interrupt_shadow & 1 == 0;
        if open && vmcb.control.event_inj & event::VALID == 0 {
            self.lapic.acknowledge(vector);
            vmcb.control.event_inj =
                event::VALID | event::TYPE_INTERRUPT << event::TYPE_SHIFT | u64::from(vector);
        } else {
            vmcb.control.vintr |=
                vintr::V_IRQ | vintr::V_IGN_TPR | 0xf << vintr::PRIORITY_SHIFT | 1 << vintr::VECTOR_SHIFT;
            vmcb.control.intercept1 |= intercept1::VINTR;
        }
    }

    /// Takes over what the guest did to CR8.
    pub(super) fn sync_task_priority(&mut self, vmcb: &Vmcb) {
        let cr8 = (vmcb.control.vintr & 0xf) as u8;
        if cr8 != self.lapic.task_priority() >> 4 {
            self.lapic.set_task_priority(cr8 << 4);
        }
    }

    /// The guest begins an IRET: NMIs may come again from the entry after the next on.
    pub(super) fn iret(&mut self, vmcb: &mut Vmcb) {
        self.nmi_blocked = false;
        vmcb.control.intercept1 &= !intercept1::IRET;
    }

    /// Queues an exception for the next entry.
    pub(super) fn raise(&mut self, exception: Exception) {
        self.exception = Some(exception);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { ns: 0, guest_tsc: 0, tsc_hz: 1_000_000_000 };

    fn vcpu() -> (Vcpu, Vmcb) {
        let mut vcpu = Vcpu::new(0);
        vcpu.lapic.write(0x0f, 0x1ff, NOW).unwrap();
        let mut vmcb = Vmcb::zeroed();
        vmcb.save.rflags = bits::RFLAGS_FIXED | bits::RFLAGS_IF;
        (vcpu, vmcb)
    }

    fn prepare(vcpu: &mut Vcpu, vmcb: &mut Vmcb) -> Entry {
        vcpu.prepare(vmcb, &mut Gprs::default(), NOW)
    }

    #[test]
    fn an_interrupt_goes_in_when_the_guest_is_open() {
        let (mut vcpu, mut vmcb) = vcpu();
        vcpu.lapic.request(0x41);
        assert_eq!(prepare(&mut vcpu, &mut vmcb), Entry::Run);
        assert_eq!(vmcb.control.event_inj, event::VALID | 0x41);
        assert_eq!(vcpu.lapic.pending(), None);
    }

    #[test]
    fn a_closed_guest_gets_a_window_instead() {
        let (mut vcpu, mut vmcb) = vcpu();
        vmcb.save.rflags &= !bits::RFLAGS_IF;
        vcpu.lapic.request(0x41);
        assert_eq!(prepare(&mut vcpu, &mut vmcb), Entry::Run);
        assert_eq!(vmcb.control.event_inj, 0);
        assert_ne!(vmcb.control.vintr & vintr::V_IRQ, 0);
        assert_ne!(vmcb.control.intercept1 & intercept1::VINTR, 0);
        assert_eq!(vcpu.lapic.pending(), Some(0x41));
    }

    #[test]
    fn a_cut_off_delivery_comes_before_everything_else() {
        let (mut vcpu, mut vmcb) = vcpu();
        vmcb.control.exit_int_info = event::VALID | 0x55;
        vcpu.lapic.request(0x41);
        prepare(&mut vcpu, &mut vmcb);
        assert_eq!(vmcb.control.event_inj, event::VALID | 0x55);
        assert_ne!(vmcb.control.vintr & vintr::V_IRQ, 0);
        // It is not injected again.
        prepare(&mut vcpu, &mut vmcb);
        assert_eq!(vmcb.control.event_inj, event::VALID | 0x41);
    }

    #[test]
    fn a_software_interrupt_is_left_to_be_executed_again() {
        let (mut vcpu, mut vmcb) = vcpu();
        vmcb.control.exit_int_info = event::VALID | event::TYPE_SOFTWARE << event::TYPE_SHIFT | 0x80;
        prepare(&mut vcpu, &mut vmcb);
        assert_eq!(vmcb.control.event_inj, 0);
    }

    #[test]
    fn stale_bits_without_the_valid_bit_are_nothing() {
        let (mut vcpu, mut vmcb) = vcpu();
        vmcb.control.exit_int_info = 0x0000_0311;
        prepare(&mut vcpu, &mut vmcb);
        assert_eq!(vmcb.control.event_inj, 0);
    }

    #[test]
    fn a_halted_vcpu_sleeps_until_something_can_be_delivered() {
        let (mut vcpu, mut vmcb) = vcpu();
        vcpu.run_state = RunState::Halted;
        assert_eq!(prepare(&mut vcpu, &mut vmcb), Entry::Wait);
        vmcb.save.rflags &= !bits::RFLAGS_IF;
        vcpu.lapic.request(0x41);
        assert_eq!(prepare(&mut vcpu, &mut vmcb), Entry::Wait);
        vcpu.nmi();
        assert_eq!(prepare(&mut vcpu, &mut vmcb), Entry::Run);
        assert_eq!(vmcb.control.event_inj >> event::TYPE_SHIFT & 7, event::TYPE_NMI);
    }

    #[test]
    fn a_second_nmi_waits_for_iret() {
        let (mut vcpu, mut vmcb) = vcpu();
        vcpu.nmi();
        prepare(&mut vcpu, &mut vmcb);
        vcpu.nmi();
        prepare(&mut vcpu, &mut vmcb);
        assert_eq!(vmcb.control.event_inj, 0);
        vcpu.iret(&mut vmcb);
        prepare(&mut vcpu, &mut vmcb);
        assert_ne!(vmcb.control.event_inj, 0);
    }

    #[test]
    fn start_up_is_real_mode_at_its_page() {
        let mut vcpu = Vcpu::new(1);
        let mut vmcb = Vmcb::zeroed();
        assert_eq!(prepare(&mut vcpu, &mut vmcb), Entry::Wait);
        vcpu.start_up(0x9a);
        vcpu.start_up(0x11);
        assert_eq!(prepare(&mut vcpu, &mut vmcb), Entry::RunFromReset);
        assert_eq!((vmcb.save.cs.base, vmcb.save.cs.selector, vmcb.save.rip), (0x9a000, 0x9a00, 0));
        assert_eq!(vmcb.save.cr0, bits::CR0_ET);
    }
}
