//! Clock of the node: the time-stamp counter, measured once against the ACPI PM timer or the PIT.

use crate::{cpu, port};
use core::sync::atomic::{AtomicU64, Ordering};

/// ACPI PM timer ticks a second (ACPI 6.5, 4.8.3.3).
const PM_HZ: u64 = 3_579_545;
/// PIT ticks a second.
const PIT_HZ: u64 = 1_193_182;
/// Readings of which the best counts.
const READINGS: usize = 12;

static TSC_HZ: AtomicU64 = AtomicU64::new(1_000_000_000);
/// Nanoseconds a tick, times 2^32: time is read several times at each exit of a guest, where a division costs most.
static SCALE: AtomicU64 = AtomicU64::new(1 << 32);
static TSC_START: AtomicU64 = AtomicU64::new(0);

/// Measures the counter. `pm_timer` is the port of the ACPI PM timer where there is one. Time 0 is `tsc_start`.
pub fn init(pm_timer: Option<u16>, tsc_start: u64) {
    let hz = match pm_timer.and_then(against_pm_timer) {
        Some(hz) => hz,
        None => against_pit(),
    };
    TSC_HZ.store(hz, Ordering::Relaxed);
    SCALE.store((1_000_000_000 << 32) / hz.max(1), Ordering::Relaxed);
    TSC_START.store(tsc_start, Ordering::Relaxed);
}

fn against_pm_timer(port: u16) -> Option<u64> {
    let ticks = || u64::from(port::read32(port) & 0xff_ffff);
    let first = ticks();
    // A timer that does not count is no timer.
    (0..1_000_000).find(|_| ticks() != first)?;
    let (start, began) = at_once(&ticks)?;
    let wanted = PM_HZ / 50;
    while ticks().wrapping_sub(start) & 0xff_ffff < wanted {}
    let (end, ended) = at_once(&ticks)?;
    Some((ended - began) * PM_HZ / (end.wrapping_sub(start) & 0xff_ffff).max(1))
}

/// A reading of a timer with the counter's at the same time: of several the one that took least. Firmware (SMM), or who emulates the
/// machine, may take the processor away between two instructions for milliseconds, which would be percents of what is measured.
fn at_once(ticks: &dyn Fn() -> u64) -> Option<(u64, u64)> {
    let readings = (0..READINGS).map(|_| {
        let before = cpu::rdtsc();
        let read = ticks();
        let took = cpu::rdtsc().saturating_sub(before);
        (took, read, before + took / 2)
    });
    readings.min().map(|(_, read, counter)| (read, counter))
}

fn against_pit() -> u64 {
    let wanted: u16 = (PIT_HZ / 50) as u16;
    port::write8(0x61, port::read8(0x61) & !2 | 1);
    port::write8(0x43, 0b1011_0000);
    port::write8(0x42, wanted as u8);
    let tsc = cpu::rdtsc();
    port::write8(0x42, (wanted >> 8) as u8);
    let mut patience = 100_000_000u64;
    while port::read8(0x61) & 0x20 == 0 && patience > 0 {
        patience -= 1;
    }
    ((cpu::rdtsc() - tsc) * PIT_HZ / u64::from(wanted)).max(1)
}

/// Counter ticks a second.
pub fn tsc_hz() -> u64 {
    TSC_HZ.load(Ordering::Relaxed)
}

/// Nanoseconds between two counter values; within a microsecond an hour of what the measured frequency says.
pub fn ticks_to_ns(ticks: u64) -> u64 {
    (u128::from(ticks) * u128::from(SCALE.load(Ordering::Relaxed)) >> 32) as u64
}

/// Nanoseconds from the boot entry's first instruction to this value of the counter.
pub fn ns_at(tsc: u64) -> u64 {
    ticks_to_ns(tsc.saturating_sub(TSC_START.load(Ordering::Relaxed)))
}

/// Nanoseconds since the boot entry's first instruction.
pub fn now_ns() -> u64 {
    ns_at(cpu::rdtsc())
}

/// [`weft_platform::Clock`] over this module.
pub struct NodeClock;

impl weft_platform::Clock for NodeClock {
    fn now_ns(&self) -> u64 {
        now_ns()
    }
}
