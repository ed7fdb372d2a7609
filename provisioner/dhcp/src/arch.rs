//! Client system architectures, option 93 (RFC 4578 section 2.1, and IANA's "Processor Architecture Types").

/// How a kind of client boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// A PC BIOS.
    Bios,
    /// UEFI.
    Uefi,
    /// Something else: Open Firmware, U-Boot, OPAL …
    Other,
}

/// An entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arch {
    /// The value of option 93.
    pub code: u16,
    /// What it is.
    pub name: &'static str,
    /// How it boots.
    pub firmware: Firmware,
    /// Whether it fetches by HTTP.
    pub http: bool,
    /// Whether it runs x86-64 programs of its firmware's kind: what this project has an image for.
    pub x86_64: bool,
}

const fn arch(code: u16, name: &'static str, firmware: Firmware, http: bool, x86_64: bool) -> Arch {
    Arch { code, name, firmware, http, x86_64 }
}

/// All values that are assigned.
///
/// RFC 4578 as printed calls 7 "EFI BC" and 9 "EFI x86-64"; its erratum and all firmware have it the other way round. Both
/// are given the x86-64 image, so neither reading leaves a machine without.
pub const ALL: &[Arch] = &[
    arch(0, "x86 BIOS", Firmware::Bios, false, true),
    arch(1, "NEC/PC98", Firmware::Other, false, false),
    arch(2, "Itanium", Firmware::Uefi, false, false),
    arch(3, "DEC Alpha", Firmware::Other, false, false),
    arch(4, "Arc x86", Firmware::Other, false, false),
    arch(5, "Intel Lean Client", Firmware::Other, false, false),
    arch(6, "x86 UEFI", Firmware::Uefi, false, false),
    arch(7, "x64 UEFI", Firmware::Uefi, false, true),
    arch(8, "EFI Xscale", Firmware::Uefi, false, false),
    arch(9, "EBC", Firmware::Uefi, false, true),
    arch(10, "ARM 32-bit UEFI", Firmware::Uefi, false, false),
    arch(11, "ARM 64-bit UEFI", Firmware::Uefi, false, false),
    arch(12, "PowerPC Open Firmware", Firmware::Other, false, false),
    arch(13, "PowerPC ePAPR", Firmware::Other, false, false),
    arch(14, "POWER OPAL v3", Firmware::Other, false, false),
    arch(15, "x86 UEFI boot from HTTP", Firmware::Uefi, true, false),
    arch(16, "x64 UEFI boot from HTTP", Firmware::Uefi, true, true),
    arch(17, "EBC boot from HTTP", Firmware::Uefi, true, true),
    arch(18, "ARM UEFI 32 boot from HTTP", Firmware::Uefi, true, false),
    arch(19, "ARM UEFI 64 boot from HTTP", Firmware::Uefi, true, false),
    arch(20, "pc/at bios boot from HTTP", Firmware::Bios, true, true),
    arch(21, "ARM 32 uboot", Firmware::Other, false, false),
    arch(22, "ARM 64 uboot", Firmware::Other, false, false),
    arch(23, "ARM uboot 32 boot from HTTP", Firmware::Other, true, false),
    arch(24, "ARM uboot 64 boot from HTTP", Firmware::Other, true, false),
    arch(25, "RISC-V 32-bit UEFI", Firmware::Uefi, false, false),
    arch(26, "RISC-V 32-bit UEFI boot from HTTP", Firmware::Uefi, true, false),
    arch(27, "RISC-V 64-bit UEFI", Firmware::Uefi, false, false),
    arch(28, "RISC-V 64-bit UEFI boot from HTTP", Firmware::Uefi, true, false),
    arch(29, "RISC-V 128-bit UEFI", Firmware::Uefi, false, false),
    arch(30, "RISC-V 128-bit UEFI boot from HTTP", Firmware::Uefi, true, false),
    arch(31, "s390 Basic", Firmware::Other, false, false),
    arch(32, "s390 Extended", Firmware::Other, false, false),
    arch(33, "MIPS 32-bit UEFI", Firmware::Uefi, false, false),
    arch(34, "MIPS 64-bit UEFI", Firmware::Uefi, false, false),
    arch(35, "Sunway 32-bit UEFI", Firmware::Uefi, false, false),
    arch(36, "Sunway 64-bit UEFI", Firmware::Uefi, false, false),
    arch(37, "LoongArch 32-bit UEFI", Firmware::Uefi, false, false),
    arch(38, "LoongArch 32-bit UEFI boot from HTTP", Firmware::Uefi, true, false),
    arch(39, "LoongArch 64-bit UEFI", Firmware::Uefi, false, false),
    arch(40, "LoongArch 64-bit UEFI boot from HTTP", Firmware::Uefi, true, false),
    arch(41, "arm rpiboot", Firmware::Other, false, false),
];

/// The entry for `code`.
#[must_use]
pub fn find(code: u16) -> Option<&'static Arch> {
    ALL.iter().find(|arch| arch.code == code)
}
