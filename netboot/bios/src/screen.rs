//! Words for people: VGA text mode and the first serial port at once.

use core::fmt;

use crate::serial::Serial;

const COLUMNS: usize = 80;
const ROWS: usize = 25;
const VGA: *mut u16 = 0xb8000 as *mut u16;

/// Both outputs.
pub(crate) struct Console {
    serial: Serial,
    row: usize,
    column: usize,
}

impl Console {
    /// Clears the screen and programs the port.
    pub(crate) fn open() -> Self {
        let mut console = Self { serial: Serial::open(), row: 0, column: 0 };
        for cell in 0..ROWS * COLUMNS {
            console.cell(cell, b' ');
        }
        console
    }

    fn cell(&mut self, index: usize, byte: u8) {
        if index < ROWS * COLUMNS {
            // SAFETY: text memory of a BIOS machine lies at this address and is mapped; the index is
            // within the screen. Where there is no such adapter, the write goes nowhere.
            unsafe { VGA.add(index).write_volatile(0x0700 | u16::from(byte)) }
        }
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.serial.write_str(text)?;
        for byte in text.bytes() {
            if byte == b'\n' || self.column == COLUMNS {
                self.row = (self.row + 1) % ROWS;
                self.column = 0;
            }
            if byte != b'\n' {
                self.cell(self.row * COLUMNS + self.column, byte);
                self.column += 1;
            }
        }
        Ok(())
    }
}
