//! The few instructions that both entries need beside the jump.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc};

/// Time-stamp counter.
pub(crate) fn tsc() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and it changes nothing.
    unsafe { _rdtsc() }
}

/// Whether the processor has no-execute pages: CPUID 8000_0001, EDX bit 20.
pub(crate) fn has_no_execute() -> bool {
    extended_features() & (1 << 20) != 0
}

/// Whether the processor has 1 GiB pages: CPUID 8000_0001, EDX bit 26.
pub(crate) fn has_huge_pages() -> bool {
    extended_features() & (1 << 26) != 0
}

fn extended_features() -> u32 {
    if __cpuid(0x8000_0000).eax < 0x8000_0001 { 0 } else { __cpuid(0x8000_0001).edx }
}

/// Writes a byte to an I/O port.
///
/// # Safety
/// The port's device must allow the write at this time.
pub(crate) unsafe fn out8(port: u16, value: u8) {
    // SAFETY: the caller vouches for the device; no memory is touched.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) }
}

/// Reads a byte from an I/O port.
///
/// # Safety
/// The port's device must allow the read at this time.
pub(crate) unsafe fn in8(port: u16) -> u8 {
    let value;
    // SAFETY: the caller vouches for the device; no memory is touched.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) }
    value
}
