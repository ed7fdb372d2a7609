//! Local APIC of the node: timer, wake-ups between CPUs, processor start. xAPIC by memory, x2APIC by MSR
//! where the processor has it. APM volume 2, chapter 16.

use crate::{cpu, desc, phys};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use weft_types::Hpa;
use weft_x86defs::msr;

const ID: u32 = 0x20;
const EOI: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const ICR_LOW: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;
const LVT_TIMER: u32 = 0x320;
const LVT_LINT0: u32 = 0x350;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;

static X2APIC: AtomicBool = AtomicBool::new(false);
/// Timer ticks (divided by 16) a second.
static TIMER_HZ: AtomicU64 = AtomicU64::new(0);

fn read(register: u32) -> u32 {
    if X2APIC.load(Ordering::Relaxed) {
        // SAFETY: in x2APIC mode these registers are MSRs 0x800 on.
        return unsafe { cpu::rdmsr(msr::X2APIC_FIRST + (register >> 4)) as u32 };
    }
    // SAFETY: the local APIC's page is mapped by the physical map (rule P: at least 4 GiB).
    unsafe { phys::pointer(Hpa(0xfee0_0000 + u64::from(register))).cast::<u32>().read_volatile() }
}

fn write(register: u32, value: u32) {
    if X2APIC.load(Ordering::Relaxed) {
        // SAFETY: as for `read`; the values written here concern interrupts only.
        unsafe { cpu::wrmsr(msr::X2APIC_FIRST + (register >> 4), u64::from(value)) };
        return;
    }
    // SAFETY: as for `read`.
    unsafe { phys::pointer(Hpa(0xfee0_0000 + u64::from(register))).cast::<u32>().write_volatile(value) };
}

/// Silences the two 8259 controllers that BIOS firmware leaves running.
pub fn mask_legacy_controllers() {
    crate::port::write8(0x21, 0xff);
    crate::port::write8(0xa1, 0xff);
}

/// Enables the local APIC of the calling CPU.
pub fn init() {
    // SAFETY: every x86-64 processor has APIC_BASE; bits 11 (enable) and 10 (x2APIC, only where CPUID
    // offers it) do not concern memory.
    unsafe {
        let mut base = cpu::rdmsr(msr::APIC_BASE) | 1 << 11;
        if cpu::cpuid(1, 0).ecx & 1 << 21 != 0 {
            base |= 1 << 10;
        }
        cpu::wrmsr(msr::APIC_BASE, base);
        X2APIC.store(base & 1 << 10 != 0, Ordering::Relaxed);
    }
    write(SPURIOUS, 0x100 | u32::from(desc::VECTOR_SPURIOUS));
    write(LVT_LINT0, 1 << 16);
    write(TIMER_DIVIDE, 0b0011);
    write(LVT_TIMER, u32::from(desc::VECTOR_TIMER));
}

/// Identifier of the calling CPU's local APIC.
pub fn id() -> u32 {
    let raw = read(ID);
    if X2APIC.load(Ordering::Relaxed) { raw } else { raw >> 24 }
}

/// Measures the timer against the clock. Once, after `time::init`.
pub fn calibrate() {
    write(LVT_TIMER, 1 << 16);
    write(TIMER_INITIAL, u32::MAX);
    let start = crate::time::now_ns();
    while crate::time::now_ns() < start + 5_000_000 {
        core::hint::spin_loop();
    }
    let elapsed_ns = crate::time::now_ns() - start;
    let ticks = u64::from(u32::MAX - read(TIMER_CURRENT));
    write(TIMER_INITIAL, 0);
    write(LVT_TIMER, u32::from(desc::VECTOR_TIMER));
    TIMER_HZ.store((ticks * 1_000_000_000 / elapsed_ns).max(1), Ordering::Relaxed);
}

/// Sets the calling CPU's timer to fire once, `ns` from now (at once for 0; at most some seconds).
pub fn set_timer(ns: u64) {
    let ticks = u128::from(ns) * u128::from(TIMER_HZ.load(Ordering::Relaxed)) / 1_000_000_000;
    write(TIMER_INITIAL, ticks.clamp(1, u128::from(u32::MAX)) as u32);
}

/// Acknowledges the interrupt in service.
pub fn end_of_interrupt() {
    write(EOI, 0);
}

fn send(target: u32, command: u32) {
    if X2APIC.load(Ordering::Relaxed) {
        // SAFETY: x2APIC's ICR is one MSR.
        unsafe { cpu::wrmsr(0x830, u64::from(target) << 32 | u64::from(command)) };
        return;
    }
    write(ICR_HIGH, target << 24);
    write(ICR_LOW, command);
    while read(ICR_LOW) & 1 << 12 != 0 {
        core::hint::spin_loop();
    }
}

/// Wakes a CPU up, by its APIC identifier.
pub fn wake(target: u32) {
    send(target, u32::from(desc::VECTOR_WAKE));
}

pub(crate) fn send_init(target: u32) {
    send(target, 0x4500);
}

pub(crate) fn send_startup(target: u32, page: u8) {
    send(target, 0x4600 | u32::from(page));
}
