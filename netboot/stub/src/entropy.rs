//! Random bytes for the node's key and for the DVMM.
//!
//! SHA-256 over all sources that answer: the firmware's generator (EFI_RNG_PROTOCOL), the processor's
//! RDSEED and RDRAND, and the jitter of 64 time-stamp readings around firmware calls. At least one of
//! the first two must answer; jitter alone makes no key.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};

use uefi::boot;
use uefi::proto::rng::Rng;
use weft_format::digest::sha256_parts;
use weft_loader::refuse::Refusal;

use crate::cpu::tsc;

const WORDS: usize = 8;
const TRIES: u32 = 64;

/// Raw material, gathered once.
pub(crate) struct Pool {
    firmware: [u8; 64],
    processor: [u8; WORDS * 16],
    jitter: [u8; 64 * 8],
}

impl Pool {
    /// Asks every source.
    pub(crate) fn gather() -> Result<Self, Refusal> {
        let mut pool = Self { firmware: [0; 64], processor: [0; WORDS * 16], jitter: [0; 64 * 8] };
        let firmware = firmware(&mut pool.firmware);
        let processor = processor(&mut pool.processor);
        for slot in pool.jitter.chunks_exact_mut(8) {
            let _ = boot::calculate_crc32(&tsc().to_le_bytes());
            slot.copy_from_slice(&tsc().to_le_bytes());
        }
        if firmware || processor { Ok(pool) } else { Err(Refusal::NoEntropy) }
    }

    /// 32 bytes for one purpose; different purposes give unrelated bytes.
    pub(crate) fn draw(&self, purpose: &[u8]) -> [u8; 32] {
        sha256_parts(&[b"weft boot entropy v1", purpose, &self.firmware, &self.processor, &self.jitter])
    }
}

fn firmware(out: &mut [u8]) -> bool {
    let Ok(handle) = boot::get_handle_for_protocol::<Rng>() else { return false };
    let Ok(mut rng) = boot::open_protocol_exclusive::<Rng>(handle) else { return false };
    rng.get_rng(None, out).is_ok()
}

fn processor(out: &mut [u8]) -> bool {
    let rdrand = __cpuid(1).ecx & (1 << 30) != 0;
    let rdseed = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & (1 << 18) != 0;
    let (seeds, words) = out.split_at_mut(WORDS * 8);
    let seeded = rdseed && seeds.chunks_exact_mut(8).all(|slot| put(slot, rdseed_word));
    let drawn = rdrand && words.chunks_exact_mut(8).all(|slot| put(slot, rdrand_word));
    seeded || drawn
}

fn put(slot: &mut [u8], word: fn() -> Option<u64>) -> bool {
    let Some(value) = (0..TRIES).find_map(|_| word()) else { return false };
    slot.copy_from_slice(&value.to_le_bytes());
    true
}

fn rdseed_word() -> Option<u64> {
    let (value, ok): (u64, u8);
    // SAFETY: called only after CPUID named the instruction; it changes nothing but its outputs.
    unsafe { asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack)) }
    (ok == 1).then_some(value)
}

fn rdrand_word() -> Option<u64> {
    let (value, ok): (u64, u8);
    // SAFETY: called only after CPUID named the instruction; it changes nothing but its outputs.
    unsafe { asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack)) }
    // A generator that is stuck at all ones is a known defect of some processors.
    (ok == 1 && value != u64::MAX).then_some(value)
}
