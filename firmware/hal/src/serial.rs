//! The node's own console: COM1, 115200 8N1, and the screen where there is one. Output only.

use crate::port;
use core::fmt::{self, Write};
use spin::Mutex;

const COM1: u16 = 0x3f8;
/// Polls for room in the transmitter before a byte is dropped; no console may stop a node.
const PATIENCE: u32 = 100_000;

struct Com1;

static PORT: Mutex<Com1> = Mutex::new(Com1);

/// Sets speed and format.
pub fn init() {
    for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 3)] {
        port::write8(COM1 + register, value);
    }
}

impl Com1 {
    fn byte(&mut self, byte: u8) {
        for _ in 0..PATIENCE {
            if port::read8(COM1 + 5) & 0x20 != 0 {
                port::write8(COM1, byte);
                return;
            }
        }
    }
}

impl Write for Com1 {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for byte in s.bytes() {
            if byte == b'\n' {
                self.byte(b'\r');
            }
            self.byte(byte);
        }
        crate::screen::print(s);
        Ok(())
    }
}

/// Prints formatted text.
pub fn print(args: fmt::Arguments<'_>) {
    // Writing to COM1 cannot fail.
    let _ = PORT.lock().write_fmt(args);
}

/// Prints although another CPU may have died with the lock held.
pub fn print_fatal(args: fmt::Arguments<'_>) {
    for _ in 0..1_000_000 {
        if let Some(mut com) = PORT.try_lock() {
            let _ = com.write_fmt(args);
            return;
        }
        core::hint::spin_loop();
    }
    let _ = Com1.write_fmt(args);
}

/// Prints a line on the node's console.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => { $crate::serial::print(format_args!("{}\n", format_args!($($arg)*))) };
}
