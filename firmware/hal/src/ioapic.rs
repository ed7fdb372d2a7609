//! One line of an IOAPIC, for a NIC that cannot send messages (Intel 82093AA; ACPI 6.5, 5.2.12.3 and .5).
//!
//! A PCI line stays up until its device is served, so the interrupt handler masks the pin and [`unmask`] opens it
//! again after the device was: the line cannot hold the processor. All accesses are on the first processor with
//! interrupts off (or in the handler itself), so the index register has no race.

use crate::acpi::{IoApic, Override, Platform};
use crate::{desc, phys};
use core::sync::atomic::{AtomicU64, Ordering};
use weft_types::Hpa;

const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;
const LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

static PLATFORM: spin::Once<(alloc::vec::Vec<IoApic>, alloc::vec::Vec<Override>)> = spin::Once::new();
/// Address of the IOAPIC in use; 0 for none.
static BASE: AtomicU64 = AtomicU64::new(0);
/// Register and value (masked) of the pin in use.
static PIN: AtomicU64 = AtomicU64::new(0);

/// Keeps what the firmware tables say. Before [`route`].
pub fn init(platform: &Platform) {
    PLATFORM.call_once(|| (platform.ioapics.clone(), platform.overrides.clone()));
}

fn read(base: Hpa, register: u32) -> u32 {
    let at = phys::pointer(base).cast::<u32>();
    // SAFETY: the address is an IOAPIC's by firmware's tables, below 4 GiB and so mapped (rule P); index and
    // data registers are at 0 and 16. The module's documentation says why there is no race.
    unsafe {
        at.write_volatile(register);
        at.add(4).read_volatile()
    }
}

fn write(base: Hpa, register: u32, value: u32) {
    let at = phys::pointer(base).cast::<u32>();
    // SAFETY: as for `read`; values concern the redirection of one pin only.
    unsafe {
        at.write_volatile(register);
        at.add(4).write_volatile(value);
    }
}

/// Routes an ISA or PCI interrupt number, as firmware wrote it into a function's line register, to the vector for
/// lines of the processor with this APIC identifier. The pin starts masked.
pub(crate) fn route(line: u8, apic: u8) -> Option<()> {
    let (ioapics, overrides) = PLATFORM.get()?;
    let known = overrides.iter().find(|entry| entry.source == line);
    let global = known.map_or(u32::from(line), |entry| entry.global);
    // PCI lines are level-triggered and active low unless the tables say otherwise.
    let flags = known.map_or(0, |entry| entry.flags);
    let polarity = if flags & 0b11 == 0b01 { 0 } else { LOW };
    let trigger = if flags >> 2 & 0b11 == 0b01 { 0 } else { LEVEL };
    let within = |ioapic: &&IoApic| {
        let pins = (read(ioapic.base, VERSION) >> 16 & 0xff) + 1;
        (ioapic.first..ioapic.first.saturating_add(pins)).contains(&global)
    };
    let ioapic = ioapics.iter().filter(|ioapic| ioapic.base.0 != 0).find(within)?;
    let register = REDIRECTION + 2 * (global - ioapic.first);
    let value = u32::from(desc::VECTOR_LINE) | polarity | trigger | MASKED;
    write(ioapic.base, register, value);
    write(ioapic.base, register + 1, u32::from(apic) << 24);
    PIN.store(u64::from(register) << 32 | u64::from(value), Ordering::Release);
    BASE.store(ioapic.base.0, Ordering::Release);
    Some(())
}

fn set(mask: u32) {
    let base = BASE.load(Ordering::Acquire);
    if base != 0 {
        let pin = PIN.load(Ordering::Acquire);
        write(Hpa(base), (pin >> 32) as u32, pin as u32 & !MASKED | mask);
    }
}

/// Closes the line, from the interrupt handler.
pub(crate) fn mask() {
    set(MASKED);
}

/// Opens the line. On the processor that it was routed to, after the device was served.
pub fn unmask() {
    set(0);
}
