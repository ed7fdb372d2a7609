//! Ports: serial console, ACPI sleep and reset registers. All others read as ones and take what is written.

use super::exits::{Outcome, report};
use crate::layout;
use crate::machine::Machine;
use weft_wire::span::DeviceAddress;
use weft_x86defs::vmcb::Vmcb;
use weft_x86defs::{Gprs, exit};

/// Offset of the console's line status register.
const LINE_STATUS: u16 = 5;

impl Machine {
    pub(super) fn port(&mut self, index: usize, vmcb: &mut Vmcb) -> Outcome {
        let info = vmcb.control.exit_info1;
        if info & (exit::IOIO_STRING | exit::IOIO_REP) != 0 {
            return Outcome::Stop(report("string port instruction is not supported", vmcb, &Gprs::default()));
        }
        let port = (info >> exit::IOIO_PORT_SHIFT) as u16;
        let size = ((info / exit::IOIO_SIZE8) & 7) as u32;
        let mask = match size {
            1 => 0xff,
            2 => 0xffff,
            _four => 0xffff_ffff,
        };
        let outcome = if info & exit::IOIO_IN != 0 {
            let Some(value) = self.port_in(index, port, size) else { return Outcome::Remote };
            let value = value & mask;
            // A 32-bit result clears the upper half, smaller ones keep the rest of the register.
            vmcb.save.rax = if size == 4 { value } else { (vmcb.save.rax & !mask) | value };
            Outcome::Resume
        } else {
            self.port_out(port, size, vmcb.save.rax & mask)
        };
        // EXITINFO2 holds the next RIP.
        vmcb.save.rip = vmcb.control.exit_info2;
        vmcb.control.interrupt_shadow &= !1;
        outcome
    }

    /// Reads a port; `None` while the member that has it was asked.
    fn port_in(&mut self, index: usize, port: u16, size: u32) -> Option<u64> {
        if self.place().has_devices() || !is_device(port) {
            return Some(self.port_read(port, size));
        }
        if port == layout::COM1_PORT + LINE_STATUS && size == 1 {
            return Some(u64::from(self.line_status()));
        }
        self.remote_read(index, DeviceAddress::Port(port), size as u8)
    }

    fn port_out(&mut self, port: u16, size: u32, value: u64) -> Outcome {
        if self.place().has_devices() || !is_device(port) {
            return self.port_write(port, size, value);
        }
        self.remote_write(DeviceAddress::Port(port), size as u8, value);
        Outcome::Resume
    }

    pub(crate) fn port_read(&mut self, port: u16, size: u32) -> u64 {
        let offset = port.wrapping_sub(layout::COM1_PORT);
        if size == 1 && offset < layout::COM1_PORTS {
            let value = self.uart_read(offset);
            return u64::from(value);
        }
        match port {
            layout::SLEEP_CONTROL_PORT | layout::SLEEP_STATUS_PORT | layout::RESET_PORT => 0,
            _nothing_there => u64::MAX,
        }
    }

    pub(crate) fn port_write(&mut self, port: u16, size: u32, value: u64) -> Outcome {
        let offset = port.wrapping_sub(layout::COM1_PORT);
        if size == 1 && offset < layout::COM1_PORTS {
            self.uart_write(offset, value as u8);
            return Outcome::Resume;
        }
        match (port, value as u8) {
            (layout::RESET_PORT, layout::RESET_VALUE) => Outcome::Reset,
            (layout::SLEEP_CONTROL_PORT, layout::SLEEP_CONTROL_OFF) => Outcome::PowerOff,
            _nothing_there => Outcome::Resume,
        }
    }
}

/// Whether something answers at a port.
fn is_device(port: u16) -> bool {
    port.wrapping_sub(layout::COM1_PORT) < layout::COM1_PORTS
        || matches!(port, layout::SLEEP_CONTROL_PORT | layout::SLEEP_STATUS_PORT | layout::RESET_PORT)
}
