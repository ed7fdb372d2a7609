//! Random bytes: RDSEED or RDRAND where the processor has them, mixed with what the firmware gave and with
//! the counter's jitter, through a ChaCha20-based generator kept by the caller.

use crate::cpu;
use core::arch::asm;

/// Up to `out.len()` bytes from the processor's generator; `false` where it has none or it failed.
pub fn hardware(out: &mut [u8]) -> bool {
    if cpu::cpuid(1, 0).ecx & 1 << 30 == 0 {
        return false;
    }
    for chunk in out.chunks_mut(8) {
        let Some(word) = (0..16).find_map(|_| rdrand()) else { return false };
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    true
}

fn rdrand() -> Option<u64> {
    let (value, ok): (u64, u8);
    // SAFETY: CPUID was checked by the caller; the instruction touches a register and flags only.
    unsafe { asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack)) };
    (ok == 1).then_some(value)
}
