//! A processor's timer as its loop uses it. Setting the timer is slow, and most exits change nothing about it.

use weft_hal::{apic, desc, time};

/// Pending bit of the timer.
pub(crate) const TIMER_BIT: u32 = 1;

/// See the module. One for each processor, which alone uses it.
pub(crate) struct Alarm {
    /// When the timer fires, nanoseconds of the node's clock.
    armed_ns: Option<u64>,
}

impl Alarm {
    /// A timer that is not set.
    pub(crate) const fn new() -> Self {
        Self { armed_ns: None }
    }

    /// Has the timer fire at `at_ns`.
    pub(crate) fn set(&mut self, now_ns: u64, at_ns: u64) {
        if self.armed_ns != Some(at_ns) {
            apic::set_timer(at_ns.saturating_sub(now_ns));
            self.armed_ns = Some(at_ns);
        }
    }

    /// Interrupts since the last call, one bit each.
    pub(crate) fn take_pending(&mut self) -> u32 {
        let pending = desc::take_pending();
        if pending & TIMER_BIT != 0 {
            // Be it a little early: it is set again.
            self.armed_ns = None;
        }
        pending
    }

    /// Sleeps until `due_ns` or an interrupt. One that came since the last look ends the sleep at once. Whether it
    /// slept.
    pub(crate) fn sleep_until(&mut self, due_ns: u64) -> bool {
        if self.take_pending() != 0 {
            return false;
        }
        let now = time::now_ns();
        if due_ns <= now {
            return false;
        }
        self.set(now, due_ns);
        weft_hal::svm::before_sleep();
        weft_hal::cpu::halt();
        self.take_pending();
        true
    }
}
