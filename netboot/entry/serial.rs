//! The first serial port, 115200 8N1. National Semiconductor 16550 data sheet.
//!
//! Output only. Where there is no port every wait is bounded, so that a machine without one loses
//! milliseconds, not its boot.

use core::fmt;

use crate::cpu::{in8, out8};

const BASE: u16 = 0x3f8;
/// Reads of the line status before a byte is dropped.
const PATIENCE: u32 = 100_000;

/// The port.
pub(crate) struct Serial(());

impl Serial {
    /// Programs the port: no interrupts, divisor 1, 8 data bits, FIFOs on, DTR and RTS up.
    pub(crate) fn open() -> Self {
        for (offset, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 0xc7), (4, 3)] {
            // SAFETY: COM1's registers are at this fixed address on a PC; where there is none, the
            // write goes nowhere.
            unsafe { out8(BASE + offset, value) }
        }
        Self(())
    }

    fn byte(&mut self, byte: u8) {
        for _ in 0..PATIENCE {
            // SAFETY: reading the line status has no effect that matters to an output-only port.
            if unsafe { in8(BASE + 5) } & 0x20 != 0 {
                break;
            }
        }
        // SAFETY: the transmitter is empty, or the port is dead and the byte is lost.
        unsafe { out8(BASE, byte) }
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.byte(b'\r');
            }
            self.byte(byte);
        }
        Ok(())
    }
}
