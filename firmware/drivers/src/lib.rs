//! Network drivers of the node.
//!
//! - [`e1000`]: Intel 8254x and 82574 over the `Mmio` and `DmaBuf` traits; runs in host tests against a
//!   model of the registers;
//! - [`virtio`]: virtio-net on modern PCI, the same way;
//! - [`driver_for`]: which PCI function takes which driver.
//!
//! What a device writes is outside data: lengths and flags are checked before use, and no reference is ever
//! made into memory that a device sees.
#![no_std]
extern crate alloc;

pub mod e1000;
pub mod virtio;

/// A driver of this crate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    /// Intel 8254x, PCI.
    E1000,
    /// Intel 82574, PCI Express.
    E1000e,
    /// virtio network device with the modern interface, transitional or not.
    VirtioNet,
}

impl Driver {
    /// Name as in the inventory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::VirtioNet => "virtio-net",
        }
    }
}

/// PCI vendor, device, driver.
const TABLE: [(u16, u16, Driver); 9] = [
    (0x8086, 0x100e, Driver::E1000),  // 82540EM
    (0x8086, 0x100f, Driver::E1000),  // 82545EM, copper
    (0x8086, 0x1004, Driver::E1000),  // 82543GC, copper
    (0x8086, 0x1015, Driver::E1000),  // 82540EM, LOM
    (0x8086, 0x1026, Driver::E1000),  // 82545GM, copper
    (0x8086, 0x10d3, Driver::E1000e), // 82574L
    (0x8086, 0x10f6, Driver::E1000e), // 82574L, on board
    (0x1af4, 0x1000, Driver::VirtioNet),
    (0x1af4, 0x1041, Driver::VirtioNet),
];

/// The driver of a PCI function, if there is one.
pub fn driver_for(vendor: u16, device: u16) -> Option<Driver> {
    TABLE.iter().find(|(v, d, _)| (*v, *d) == (vendor, device)).map(|(_, _, driver)| *driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_device_has_one_driver() {
        for (position, (vendor, device, driver)) in TABLE.iter().enumerate() {
            assert_eq!(driver_for(*vendor, *device), Some(*driver));
            let again = TABLE.iter().skip(position + 1).any(|(v, d, _)| (v, d) == (vendor, device));
            assert!(!again, "{vendor:04x}:{device:04x} appears twice");
        }
    }

    #[test]
    fn an_unknown_device_has_none() {
        assert_eq!(driver_for(0x10ec, 0x8139), None);
        assert_eq!(driver_for(0x1af4, 0x1001), None);
    }
}
