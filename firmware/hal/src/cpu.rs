//! Instructions that read or set processor state.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

/// CPUID.
pub fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    __cpuid_count(leaf, subleaf)
}

/// Reads an MSR that exists.
///
/// # Safety
/// The processor must have it.
pub unsafe fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller vouches for the MSR.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// Writes an MSR.
///
/// # Safety
/// The processor must have it, and the value must keep the promises of the crate's documentation.
pub unsafe fn wrmsr(msr: u32, value: u64) {
    // SAFETY: the caller vouches for MSR and value.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack, preserves_flags));
    }
}

/// Time-stamp counter.
pub fn rdtsc() -> u64 {
    // SAFETY: every x86-64 processor has it and the monitor does not set CR4.TSD.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Opens the interrupt window, sleeps until an interrupt, closes it.
pub fn halt() {
    // SAFETY: the IDT is loaded (`desc::init`); handlers only set flags.
    unsafe { asm!("sti", "hlt", "cli", options(nomem, nostack)) };
}

/// Lets pending interrupts in, without sleeping.
pub fn take_interrupts() {
    // SAFETY: as for `halt`.
    unsafe { asm!("sti", "nop", "cli", options(nomem, nostack)) };
}

/// Stops this processor for good.
pub fn stop() -> ! {
    loop {
        // SAFETY: with interrupts off only an NMI or a reset ends the halt.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Index of this CPU, 0 for the one that booted (rule C).
pub fn index() -> usize {
    let index: u64;
    // SAFETY: `desc::init` set GS base to a block whose first word is the index (rule C).
    unsafe { asm!("mov {}, gs:[0]", out(reg) index, options(nostack, preserves_flags, readonly)) };
    index as usize
}

/// Resets the machine: by the keyboard controller, the chipset's reset port, at last a triple fault.
pub fn reset() -> ! {
    crate::port::write8(0xcf9, 0x02);
    crate::port::write8(0xcf9, 0x06);
    crate::port::write8(0x64, 0xfe);
    let none = [0u8; 10];
    // SAFETY: an empty IDT makes the trap that follows a triple fault, which resets the machine;
    // nothing runs after it.
    unsafe { asm!("lidt [{}]", "int3", in(reg) none.as_ptr(), options(nostack)) };
    stop()
}

/// Brand string (CPUID 8000_0002–8000_0004), without padding.
pub fn brand() -> alloc::string::String {
    let mut text = alloc::vec::Vec::with_capacity(48);
    if cpuid(0x8000_0000, 0).eax >= 0x8000_0004 {
        for leaf in 0x8000_0002..=0x8000_0004u32 {
            let r = cpuid(leaf, 0);
            for word in [r.eax, r.ebx, r.ecx, r.edx] {
                text.extend_from_slice(&word.to_le_bytes());
            }
        }
    }
    let printable: alloc::string::String = text
        .iter()
        .take_while(|b| **b != 0)
        .filter(|b| (0x20..0x7f).contains(*b))
        .map(|b| char::from(*b))
        .collect();
    alloc::string::String::from(printable.trim())
}
