//! PCI configuration by ports 0xCF8/0xCFC (PCI Local Bus 3.0, 3.2.2.3.2).

use crate::{phys, port};
use alloc::vec::Vec;
use spin::Mutex;
use weft_platform::Mmio;
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

/// [`Mmio`] window over a memory BAR.
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

    fn register(&self, offset: usize) -> *mut u32 {
        assert!(offset % 4 == 0 && offset + 4 <= self.size, "register {offset:#x} outside the window");
        phys::pointer(Hpa(self.base.0 + offset as u64)).cast()
    }
}

impl Mmio for Bar {
    fn size(&self) -> usize {
        self.size
    }

    fn read32(&self, offset: usize) -> u32 {
        // SAFETY: `register` checked the bounds; the window is a device's BAR, mapped by rule P.
        unsafe { self.register(offset).read_volatile() }
    }

    fn write32(&mut self, offset: usize, value: u32) {
        // SAFETY: as for `read32`.
        unsafe { self.register(offset).write_volatile(value) };
    }
}

// SAFETY: a window has no state but its address; `&mut` guards writes.
unsafe impl Send for Bar {}
