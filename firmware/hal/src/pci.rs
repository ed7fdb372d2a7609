//! PCI configuration by ports 0xCF8/0xCFC (PCI Local Bus 3.0, 3.2.2.3.2), BARs, interrupts by message (6.8).

use crate::{ioapic, phys, port};
use alloc::vec::Vec;
use spin::Mutex;
use weft_platform::{Mmio, NarrowMmio};
use weft_types::Hpa;

static CONFIG: Mutex<()> = Mutex::new(());

/// A function's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// Bus.
    pub bus: u8,
    /// Device, 0–31.
    pub device: u8,
    /// Function, 0–7.
    pub function: u8,
}

/// A function found.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Where.
    pub address: Address,
    /// Vendor and device.
    pub id: (u16, u16),
    /// Class, subclass.
    pub class: (u8, u8),
}

impl Address {
    fn select(self, offset: u8) -> u32 {
        1 << 31
            | u32::from(self.bus) << 16
            | u32::from(self.device & 31) << 11
            | u32::from(self.function & 7) << 8
            | u32::from(offset & 0xfc)
    }

    /// Reads a configuration word.
    pub fn read(self, offset: u8) -> u32 {
        let _guard = CONFIG.lock();
        port::write32(0xcf8, self.select(offset));
        port::read32(0xcfc)
    }

    /// Writes a configuration word.
    pub fn write(self, offset: u8, value: u32) {
        let _guard = CONFIG.lock();
        port::write32(0xcf8, self.select(offset));
        port::write32(0xcfc, value);
    }

    /// Lets the function decode memory and I/O and master the bus.
    pub fn enable(self) {
        let command = self.read(4);
        self.write(4, command & 0xffff | 0b111);
    }

    /// Memory BAR `index`: address and size, `None` for I/O or absent ones.
    pub fn memory_bar(self, index: u8) -> Option<(u64, u64)> {
        let offset = 0x10 + index * 4;
        let low = self.read(offset);
        if low == 0 || low & 1 != 0 {
            return None;
        }
        let wide = low >> 1 & 3 == 2;
        let high = if wide { self.read(offset + 4) } else { 0 };
        self.write(offset, u32::MAX);
        let mask = self.read(offset) & !15;
        self.write(offset, low);
        let size = u64::from(!mask).wrapping_add(1);
        Some((u64::from(low & !15) | u64::from(high) << 32, size.min(1 << 24)))
    }
}

/// Capability identifiers.
const CAPABILITY_MSI: u8 = 5;
const CAPABILITY_MSIX: u8 = 0x11;
/// Most capabilities that a list has: they are four bytes or more, in 192 bytes.
const MAX_CAPABILITIES: usize = 48;
/// Messages to this address are interrupts (Intel SDM volume 3, 11.11); bits 12–19 are the APIC.
const MESSAGE_BASE: u32 = 0xfee0_0000;

/// How a function's interrupt reaches a processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// By a message of its own table, entry 0.
    MsiX,
    /// By a message.
    Msi,
    /// By a line to an IOAPIC.
    Line,
}

impl Address {
    /// Where the first capability of a kind is.
    pub fn capability(self, id: u8) -> Option<u8> {
        if self.read(4) >> 20 & 1 == 0 {
            return None;
        }
        let mut at = self.read(0x34) as u8 & !3;
        for _ in 0..MAX_CAPABILITIES {
            if at < 0x40 {
                return None;
            }
            let [found, next, ..] = self.read(at).to_le_bytes();
            if found == id {
                return Some(at);
            }
            at = next & !3;
        }
        None
    }

    /// Routes the function's interrupt to a vector of the processor with this APIC identifier, the best way that
    /// it offers of those wanted.
    pub fn route_interrupt(self, apic: u32, vector: u8, wanted: &[Interrupt]) -> Option<Interrupt> {
        let routed = |way: &Interrupt| match way {
            Interrupt::MsiX => self.route_msix(apic, vector),
            Interrupt::Msi => self.route_msi(apic, vector),
            Interrupt::Line => self.route_line(apic),
        };
        wanted.iter().copied().find(|way| routed(way).is_some())
    }

    fn route_msix(self, apic: u32, vector: u8) -> Option<()> {
        let apic = u8::try_from(apic).ok()?;
        let at = self.capability(CAPABILITY_MSIX)?;
        let place = self.read(at.checked_add(4)?);
        let mut table = Bar::open_part(self, place as u8 & 7, u64::from(place & !7), 16)?;
        // Entries masked as a whole while the first is written; the others stay masked.
        let control = self.read(at);
        self.write(at, control | 0b11 << 30);
        table.write32(0, MESSAGE_BASE | u32::from(apic) << 12);
        table.write32(4, 0);
        table.write32(8, u32::from(vector));
        table.write32(12, 0);
        self.write(at, control & !(1 << 30) | 1 << 31);
        self.silence_line();
        Some(())
    }

    fn route_msi(self, apic: u32, vector: u8) -> Option<()> {
        let apic = u8::try_from(apic).ok()?;
        let at = self.capability(CAPABILITY_MSI)?;
        let control = self.read(at);
        let wide = control >> 23 & 1 == 1;
        let data = at.checked_add(if wide { 12 } else { 8 })?;
        self.write(at + 4, MESSAGE_BASE | u32::from(apic) << 12);
        if wide {
            self.write(at + 8, 0);
        }
        let kept = self.read(data) & 0xffff_0000;
        self.write(data, kept | u32::from(vector));
        // One message, enabled.
        self.write(at, control & !(0b111 << 20) | 1 << 16);
        self.silence_line();
        Some(())
    }

    /// The line that firmware named, for which there is one place in this monitor.
    fn route_line(self, apic: u32) -> Option<()> {
        let [line, pin, ..] = self.read(0x3c).to_le_bytes();
        if pin == 0 || line == 0xff {
            return None;
        }
        ioapic::route(line, u8::try_from(apic).ok()?)?;
        let command = self.read(4);
        self.write(4, command & 0xfbff);
        Some(())
    }

    fn silence_line(self) {
        let command = self.read(4);
        self.write(4, command & 0xffff | 1 << 10);
    }
}

/// All functions on all buses.
pub fn scan() -> Vec<Function> {
    let mut found = Vec::new();
    for bus in 0..=255u8 {
        for device in 0..32 {
            for function in 0..8 {
                let address = Address { bus, device, function };
                let id = address.read(0);
                if id & 0xffff == 0xffff {
                    if function == 0 {
                        break;
                    }
                    continue;
                }
                let class = address.read(8);
                found.push(Function {
                    address,
                    id: (id as u16, (id >> 16) as u16),
                    class: ((class >> 24) as u8, (class >> 16) as u8),
                });
                if function == 0 && address.read(0xc) & 0x80_0000 == 0 {
                    break;
                }
            }
        }
    }
    found
}

/// Makes all memory BARs of the functions given reachable (see [`phys::map_device`]).
pub fn map_windows(functions: &[Function]) {
    for function in functions {
        let mut index = 0;
        while index < 6 {
            let wide = function.address.read(0x10 + index * 4) & 0b111 == 0b100;
            if let Some((base, size)) = function.address.memory_bar(index)
                && !phys::map_device(Hpa(base), size)
            {
                crate::println!("weft: no memory to map the registers of {:?}", function.address);
            }
            index += if wide { 2 } else { 1 };
        }
    }
}

/// [`Mmio`] window over a memory BAR or a part of one.
pub struct Bar {
    base: Hpa,
    size: usize,
}

impl Bar {
    /// Opens BAR `index` of a function and enables the function. One window a device: the caller holds the
    /// only one.
    pub fn open(address: Address, index: u8) -> Option<Self> {
        let (base, size) = address.memory_bar(index)?;
        address.enable();
        Some(Self { base: Hpa(base), size: size as usize })
    }

    /// Opens `length` bytes from `offset` of BAR `index`. Parts that a caller opens do not overlap.
    pub fn open_part(address: Address, index: u8, offset: u64, length: u64) -> Option<Self> {
        let (base, size) = address.memory_bar(index)?;
        offset.checked_add(length).filter(|end| *end <= size)?;
        address.enable();
        Some(Self { base: Hpa(base + offset), size: length as usize })
    }

    fn register(&self, offset: usize, width: usize) -> *mut u8 {
        let fits = offset.checked_add(width).is_some_and(|end| end <= self.size);
        assert!(offset.is_multiple_of(width) && fits, "register {offset:#x} outside the window");
        phys::pointer(Hpa(self.base.0 + offset as u64))
    }
}

impl Mmio for Bar {
    fn size(&self) -> usize {
        self.size
    }

    fn read32(&self, offset: usize) -> u32 {
        // SAFETY: `register` checked the bounds; the window is a device's BAR, mapped by rule P.
        unsafe { self.register(offset, 4).cast::<u32>().read_volatile() }
    }

    fn write32(&mut self, offset: usize, value: u32) {
        // SAFETY: as for `read32`.
        unsafe { self.register(offset, 4).cast::<u32>().write_volatile(value) };
    }
}

impl NarrowMmio for Bar {
    fn read8(&self, offset: usize) -> u8 {
        // SAFETY: as for `read32`.
        unsafe { self.register(offset, 1).read_volatile() }
    }

    fn write8(&mut self, offset: usize, value: u8) {
        // SAFETY: as for `read32`.
        unsafe { self.register(offset, 1).write_volatile(value) };
    }

    fn read16(&self, offset: usize) -> u16 {
        // SAFETY: as for `read32`.
        unsafe { self.register(offset, 2).cast::<u16>().read_volatile() }
    }

    fn write16(&mut self, offset: usize, value: u16) {
        // SAFETY: as for `read32`.
        unsafe { self.register(offset, 2).cast::<u16>().write_volatile(value) };
    }
}

// SAFETY: a window has no state but its address; `&mut` guards writes.
unsafe impl Send for Bar {}
