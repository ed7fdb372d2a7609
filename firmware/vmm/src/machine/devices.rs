//! The machine's devices: one console stream, virtio slots, frames of its network ports.

use super::Machine;
use crate::devices::virtio::{Fault, Signal, Slot, Slots};
use crate::layout;
use alloc::vec::Vec;
use weft_platform::{GuestMemory, MemError};

/// Console output that is kept for a reader who is late, bytes.
pub(super) const CONSOLE_BYTES: usize = 64 * 1024;
/// Reports of broken rules that are kept for the reader.
const MAX_FAULTS: usize = 16;
/// Bytes taken from a device's own output at a time.
const CHUNK: usize = 4096;

impl Machine {
    /// Characters typed at the console; returns how many were taken. They go to the console that printed
    /// last: serial or virtio.
    pub fn console_input(&mut self, bytes: &[u8], mem: &dyn GuestMemory) -> usize {
        if self.virtio_console_last
            && let Some((slot, console)) = self.slots.console()
        {
            let taken = console.device_mut().input(bytes);
            self.process(slot, mem);
            return taken;
        }
        let taken = self.uart.input(bytes);
        self.update_uart_line();
        taken
    }

    /// Console output from position `from` on, at most `limit` bytes, and the position of its first byte.
    pub fn console_output(&mut self, from: u64, limit: usize) -> (u64, Vec<u8>) {
        loop {
            let (start, bytes) = self.uart.output().read_from(self.uart_seen, CHUNK);
            if bytes.is_empty() {
                break;
            }
            self.uart_seen = start + bytes.len() as u64;
            self.virtio_console_last = false;
            self.console.push(&bytes);
        }
        while let Some((_, console)) = self.slots.console() {
            let (start, bytes) = console.device().output().read_from(self.virtio_seen, CHUNK);
            if bytes.is_empty() {
                break;
            }
            self.virtio_seen = start + bytes.len() as u64;
            self.virtio_console_last = true;
            self.console.push(&bytes);
        }
        self.console.read_from(from, limit)
    }

    /// Whether somebody should look: console bytes, frames, faults or slots with more to do.
    pub fn has_output(&mut self) -> bool {
        let console =
            |slots: &mut Slots, seen| slots.console().is_some_and(|(_, c)| c.device().output().end() != seen);
        let frames = |slots: &mut Slots| {
            (0..layout::VIRTIO_SLOTS).any(|slot| match slots.get_mut(slot) {
                Some(Slot::Net(port)) => port.device_mut().has_outgoing(),
                Some(Slot::Empty | Slot::Console(_) | Slot::Rng(_)) | None => false,
            })
        };
        self.busy_slots != 0
            || !self.faults.is_empty()
            || self.uart.output().end() != self.uart_seen
            || console(&mut self.slots, self.virtio_seen)
            || frames(&mut self.slots)
    }

    /// The next frame that the port in a slot sends.
    pub fn take_frame(&mut self, slot: u8) -> Option<Vec<u8>> {
        match self.slots.get_mut(slot) {
            Some(Slot::Net(port)) => {
                // Room for what the guest's ring still holds.
                self.busy_slots |= 1u16.checked_shl(u32::from(slot)).unwrap_or(0);
                port.device_mut().take()
            }
            Some(Slot::Empty | Slot::Console(_) | Slot::Rng(_)) | None => None,
        }
    }

    /// Queues a frame for the port in a slot; false when it was dropped. [`Machine::serve`] hands it over.
    pub fn deliver_frame(&mut self, slot: u8, frame: &[u8]) -> bool {
        let Some(Slot::Net(port)) = self.slots.get_mut(slot) else { return false };
        let taken = port.device_mut().deliver(frame);
        self.busy_slots |= 1u16.checked_shl(u32::from(slot)).unwrap_or(0);
        taken
    }

    /// Serves the slots that have more to do: input that came, output whose buffers were short.
    pub fn serve(&mut self, mem: &dyn GuestMemory) {
        let busy = core::mem::take(&mut self.busy_slots);
        for slot in (0..layout::VIRTIO_SLOTS).filter(|slot| busy >> slot & 1 == 1) {
            self.process(slot, mem);
        }
    }

    /// Slot and kind of rules that the guest broke since the last call.
    pub fn take_faults(&mut self) -> Vec<(u8, Fault)> {
        core::mem::take(&mut self.faults)
    }

    pub(crate) fn uart_read(&mut self, offset: u16) -> u8 {
        let value = self.uart.read(offset);
        self.update_uart_line();
        value
    }

    pub(crate) fn uart_write(&mut self, offset: u16, value: u8) {
        self.uart.write(offset, value);
        self.update_uart_line();
    }

    fn update_uart_line(&mut self) {
        self.tell_line_status(self.uart.line_status());
        let high = self.uart.interrupt();
        self.with_ioapic(|ioapic, send| ioapic.set_line(layout::COM1_GSI, high, send));
    }

    pub(crate) fn virtio_read(&mut self, slot: u8, offset: u64, bytes: u8) -> u64 {
        self.slots.read(slot, offset, bytes)
    }

    pub(crate) fn virtio_write(
        &mut self,
        slot: u8,
        offset: u64,
        bytes: u8,
        value: u64,
        mem: &dyn GuestMemory,
    ) -> Result<(), MemError> {
        let signal = match self.slots.write(slot, offset, bytes, value, mem) {
            // An address outside of memory is the guest's mistake; its device needs a reset.
            Err(MemError::Unbacked { .. }) => Signal::default(),
            other => other?,
        };
        self.signal(slot, signal);
        Ok(())
    }

    fn process(&mut self, slot: u8, mem: &dyn GuestMemory) {
        match self.slots.process(slot, mem) {
            Ok(signal) => self.signal(slot, signal),
            // A page is elsewhere: the slot stays busy and is served again.
            Err(MemError::Need { .. }) => self.busy_slots |= 1 << slot,
            Err(MemError::Unbacked { .. }) => {}
        }
    }

    fn signal(&mut self, slot: u8, signal: Signal) {
        if signal.more {
            self.busy_slots |= 1 << slot;
        }
        if let Some(fault) = signal.fault.filter(|_| self.faults.len() < MAX_FAULTS) {
            self.faults.push((slot, fault));
        }
        if signal.interrupt {
            self.with_ioapic(|ioapic, send| ioapic.pulse(layout::VIRTIO_GSI + slot, send));
        }
    }
}
