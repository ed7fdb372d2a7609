//! What is injected before an entry, in this order: an event whose delivery was cut off by the last exit, an
//! exception, an NMI, an interrupt. At most one; for the rest a window is asked for.
//!
//! Interrupts are offered by V_IRQ, never injected by EVENTINJ: what an exit finds undelivered (V_IRQ still set, or its
//! vector in EXITINTINFO) was not taken and is requested again. QEMU's emulation keeps the vector of an injected
//! interrupt at hand and may deliver it a second time, at any instruction, with interrupts closed or not; an
//! offered one it takes once. APM volume 2, 15.20 and 15.21.

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

/// Vector of a virtual interrupt that only finds the window: it is intercepted.
const WINDOW: u8 = 1;

/// A virtual interrupt above every task priority, which the emulated APIC has looked at.
fn virtual_interrupt(vector: u8) -> u64 {
    vintr::V_IRQ | vintr::V_IGN_TPR | 0xf << vintr::PRIORITY_SHIFT | u64::from(vector) << vintr::VECTOR_SHIFT
}

/// Whether EXITINTINFO tells of an interrupt's delivery. QEMU calls the delivery of a virtual interrupt that of an
/// exception; exceptions have vectors below 32.
fn is_delivery_of(vector: u8, exit_int_info: u64) -> bool {
    let kind = exit_int_info >> event::TYPE_SHIFT & 7;
    let fits = kind == event::TYPE_INTERRUPT || (kind == event::TYPE_EXCEPTION && vector >= 32);
    exit_int_info & event::VALID != 0 && fits && exit_int_info & 0xff == u64::from(vector)
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
        self.settle(vmcb);
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
        self.inject(vmcb, now);
        Entry::Run
    }

    fn inject(&mut self, vmcb: &mut Vmcb, now: Now) {
        let interrupted = core::mem::take(&mut vmcb.control.exit_int_info);
        let kind = interrupted >> event::TYPE_SHIFT & 7;
        // Software interrupts, INT3 and INTO are executed again: their instruction did not complete.
        let by_instruction = kind == event::TYPE_SOFTWARE
            || (kind == event::TYPE_EXCEPTION && matches!(interrupted & 0xff, 3 | 4));
        if interrupted & event::VALID != 0 && !by_instruction && self.exception.is_none() {
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
            self.lapic.acknowledge(vector, now);
            self.offered = Some(vector);
            vmcb.control.vintr |= virtual_interrupt(vector);
        } else {
            vmcb.control.vintr |= virtual_interrupt(WINDOW);
            vmcb.control.intercept1 |= intercept1::VINTR;
        }
    }

    /// Takes over what the guest left behind at an exit: whether it took the interrupt that was offered, and CR8.
    pub(super) fn sync(&mut self, vmcb: &mut Vmcb) {
        self.settle(vmcb);
        let cr8 = (vmcb.control.vintr & 0xf) as u8;
        if cr8 != self.lapic.task_priority() >> 4 {
            self.lapic.set_task_priority(cr8 << 4);
        }
    }

    /// Requests the interrupt again that the last entry offered and the guest did not take.
    pub(super) fn settle(&mut self, vmcb: &mut Vmcb) {
        let Some(vector) = self.offered.take() else { return };
        let is_cut_off = is_delivery_of(vector, vmcb.control.exit_int_info);
        if is_cut_off {
            vmcb.control.exit_int_info = 0;
        }
        if is_cut_off || vmcb.control.vintr & vintr::V_IRQ != 0 {
            self.lapic.take_back(vector);
        }
        vmcb.control.vintr &= !vintr::V_IRQ;
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

    fn is_offered(vmcb: &Vmcb, vector: u8) -> bool {
        vmcb.control.vintr & vintr::V_IRQ != 0
            && vmcb.control.vintr >> vintr::VECTOR_SHIFT & 0xff == u64::from(vector)
            && vmcb.control.intercept1 & intercept1::VINTR == 0
    }

    #[test]
    fn an_interrupt_goes_in_when_the_guest_is_open() {
        let (mut vcpu, mut vmcb) = vcpu();
        vcpu.lapic.request(0x41);
        assert_eq!(prepare(&mut vcpu, &mut vmcb), Entry::Run);
        assert!(is_offered(&vmcb, 0x41));
        assert_eq!(vcpu.lapic.pending(), None);
        // The processor clears V_IRQ when it delivers.
        vmcb.control.vintr &= !vintr::V_IRQ;
        vcpu.sync(&mut vmcb);
        assert_eq!(vcpu.lapic.pending(), None);
        assert_eq!(vcpu.lapic.read(0x12, NOW), Ok(1 << 1), "it is in service");
    }

    #[test]
    fn an_interrupt_that_was_not_taken_is_offered_again() {
        let (mut vcpu, mut vmcb) = vcpu();
        vcpu.lapic.request(0x41);
        prepare(&mut vcpu, &mut vmcb);
        vcpu.sync(&mut vmcb);
        assert_eq!(vmcb.control.vintr & vintr::V_IRQ, 0);
        assert_eq!(vcpu.lapic.pending(), Some(0x41));
        // A higher one that came between goes first, and an entry that never ran loses nothing.
        vcpu.lapic.request(0x61);
        prepare(&mut vcpu, &mut vmcb);
        assert!(is_offered(&vmcb, 0x61));
        prepare(&mut vcpu, &mut vmcb);
        assert!(is_offered(&vmcb, 0x61));
        vmcb.control.vintr &= !vintr::V_IRQ;
        vcpu.sync(&mut vmcb);
        assert_eq!(vcpu.lapic.pending(), None, "the lower one waits for the end of the higher");
        vcpu.lapic.write(0x0b, 0, NOW).unwrap();
        assert_eq!(vcpu.lapic.pending(), Some(0x41));
    }

    #[test]
    fn an_interrupt_whose_delivery_was_cut_off_is_offered_again() {
        let (mut vcpu, mut vmcb) = vcpu();
        for (still_set, kind) in [(false, event::TYPE_INTERRUPT), (true, event::TYPE_EXCEPTION)] {
            vcpu.lapic.request(0x41);
            prepare(&mut vcpu, &mut vmcb);
            vmcb.control.exit_int_info = event::VALID | kind << event::TYPE_SHIFT | 0x41;
            if !still_set {
                vmcb.control.vintr &= !vintr::V_IRQ;
            }
            vcpu.sync(&mut vmcb);
            assert_eq!(vmcb.control.exit_int_info, 0);
            assert_eq!(vcpu.lapic.pending(), Some(0x41));
        }
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
        assert_ne!(vmcb.control.intercept1 & intercept1::VINTR, 0);
        // It is not injected again.
        prepare(&mut vcpu, &mut vmcb);
        assert_eq!(vmcb.control.event_inj, 0);
        assert!(is_offered(&vmcb, 0x41));
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
