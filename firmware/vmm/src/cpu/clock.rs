//! Guest time: the TSC that it reads and the kvmclock page that tells it how to turn that into nanoseconds.
//!
//! One base for all vCPUs: guest TSC 0 is time 0, so that the pages of two vCPUs can never disagree. Pages
//! are written at registration only. Layout: Linux `arch/x86/include/asm/pvclock-abi.h`.

use weft_platform::{GuestMemory, MemError};
use weft_types::Gpa;

/// The moment at which something is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds of the node's clock.
    pub ns: u64,
    /// What the guest's RDTSC would return.
    pub guest_tsc: u64,
    /// Counter ticks a second.
    pub tsc_hz: u64,
}

impl Now {
    /// The node time at which the guest's counter reaches `tsc`; now for the past.
    pub fn ns_of_guest_tsc(&self, tsc: u64) -> u64 {
        let ahead = tsc.saturating_sub(self.guest_tsc);
        let ns = u128::from(ahead) * 1_000_000_000 / u128::from(self.tsc_hz.max(1));
        self.ns.saturating_add(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// The reader computes `((tsc << shift) * mul) >> 32`, a negative shift being one to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Multiplier.
    pub mul: u32,
    /// Shift.
    pub shift: i8,
}

impl Scale {
    /// The scale of a counter of `hz` ticks a second.
    pub fn new(hz: u64) -> Self {
        let mut ticks = hz.max(1);
        let mut shift = 0i8;
        while ticks > 2_000_000_000 {
            ticks >>= 1;
            shift -= 1;
        }
        while ticks <= 1_000_000_000 {
            ticks <<= 1;
            shift += 1;
        }
        Self { mul: ((1_000_000_000u128 << 32) / u128::from(ticks)) as u32, shift }
    }
}

/// `flags`: reads of all vCPUs agree, no global last value is needed.
const TSC_STABLE: u8 = 1;

/// Writes the 32-byte time page at `gpa`.
pub fn write_system_time(mem: &dyn GuestMemory, gpa: Gpa, hz: u64) -> Result<(), MemError> {
    let scale = Scale::new(hz);
    let version = mem.read_u32(gpa)? & !1;
    let mut page = [0u8; 32];
    page[0..4].copy_from_slice(&version.wrapping_add(2).to_le_bytes());
    // tsc_timestamp and system_time are both 0: the base.
    page[24..28].copy_from_slice(&scale.mul.to_le_bytes());
    page[28] = scale.shift as u8;
    page[29] = TSC_STABLE;
    mem.write(gpa, &page)
}

/// Writes the 12-byte wall clock at `gpa`: the time since 1970 at guest time 0.
pub fn write_wall_clock(mem: &dyn GuestMemory, gpa: Gpa, base_unix_ns: u64) -> Result<(), MemError> {
    let version = mem.read_u32(gpa)? & !1;
    let mut page = [0u8; 12];
    page[0..4].copy_from_slice(&version.wrapping_add(2).to_le_bytes());
    page[4..8].copy_from_slice(&((base_unix_ns / 1_000_000_000) as u32).to_le_bytes());
    page[8..12].copy_from_slice(&((base_unix_ns % 1_000_000_000) as u32).to_le_bytes());
    mem.write(gpa, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_ns(scale: Scale, tsc: u64) -> u64 {
        let shifted = if scale.shift >= 0 { tsc << scale.shift } else { tsc >> -scale.shift };
        ((u128::from(shifted) * u128::from(scale.mul)) >> 32) as u64
    }

    #[test]
    fn an_hour_is_an_hour_at_every_frequency() {
        for hz in [999_999_999, 1_000_000_000, 1_000_000_001, 2_299_998_123, 4_500_000_000, 33_000_000] {
            let ns = to_ns(Scale::new(hz), hz * 3600);
            let error = ns.abs_diff(3600 * 1_000_000_000);
            assert!(error < 10_000, "{hz} Hz: {error} ns off");
        }
    }

    #[test]
    fn a_deadline_in_the_past_is_now() {
        let now = Now { ns: 5, guest_tsc: 100, tsc_hz: 1_000_000_000 };
        assert_eq!(now.ns_of_guest_tsc(50), 5);
        assert_eq!(now.ns_of_guest_tsc(160), 65);
        assert_eq!(now.ns_of_guest_tsc(u64::MAX), u64::MAX - 100 + 5);
    }
}
