//! Words for people: the firmware's console and the first serial port.
//!
//! Where the firmware's console already reaches a serial port, the port is left to it, so that each
//! line appears once.

use core::fmt;

use uefi::runtime::{self, VariableVendor};
use uefi::{cstr16, system};
use weft_loader::netinfo::path_has_uart;

use crate::serial::Serial;

/// Both outputs.
pub(crate) struct Console {
    serial: Option<Serial>,
}

/// Whether the variable `ConOut` names a serial port (UEFI specification 2.10, section 3.3).
fn firmware_has_serial() -> bool {
    let mut buffer = [0; 1024];
    let variable = runtime::get_variable(cstr16!("ConOut"), &VariableVendor::GLOBAL_VARIABLE, &mut buffer);
    variable.is_ok_and(|(path, _)| path_has_uart(path))
}

impl Console {
    /// Programs the serial port unless the firmware has it.
    pub(crate) fn open() -> Self {
        Self { serial: if firmware_has_serial() { None } else { Some(Serial::open()) } }
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(serial) = &mut self.serial {
            serial.write_str(text)?;
        }
        // A firmware console that fails must not stop a boot.
        let _ = system::with_stdout(|stdout| stdout.write_str(text));
        Ok(())
    }
}
