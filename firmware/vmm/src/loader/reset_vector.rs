//! What a guest finds where it looks for its firmware to be reset: one port write.
//!
//! Linux on ACPI without legacy hardware resets itself by UEFI's runtime services, and where there are none by a jump in real
//! mode to the reset vector. It does not come to the ACPI reset register by itself.
//!
//! Source: Linux, arch/x86/kernel/reboot.c; AMD64 Architecture Programmer's Manual, volume 2, 14.1.5.

use super::LoadError;
use crate::layout;
use weft_platform::GuestMemory;
use weft_types::Gpa;

/// F000:FFF0.
pub(super) const PLACE: Gpa = Gpa(0xf_fff0);

const CODE: [u8; 9] = {
    let [low, high] = layout::RESET_PORT.to_le_bytes();
    [
        0xba,
        low,
        high, // mov dx, RESET_PORT
        0xb0,
        layout::RESET_VALUE, // mov al, RESET_VALUE
        0xee,                // out dx, al
        0xf4,                // hlt
        0xeb,
        0xfd, // jmp to the hlt
    ]
};

/// Writes the code.
pub(super) fn write(mem: &dyn GuestMemory) -> Result<(), LoadError> {
    Ok(mem.write(PLACE, &CODE)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Memory;

    #[test]
    fn it_ends_below_one_mebibyte_and_jumps_to_its_halt() {
        let mem = Memory::new(1 << 20);
        write(&mem).unwrap();
        assert_eq!(mem.get(0xf_fff0, 3), [0xba, 0x02, 0x06]);
        // The jump is two bytes long and goes back over itself and the halt.
        let (at, code) = (CODE.len(), mem.get(0xf_fff0, CODE.len()));
        assert_eq!(code[at.wrapping_add_signed(code[at - 1] as i8 as isize)], 0xf4);
    }
}
