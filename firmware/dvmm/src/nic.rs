//! Finding and starting the NICs.

use alloc::boxed::Box;
use alloc::vec::Vec;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::pci::bus::{DeviceFunction, PciRoot};
use weft_drivers::e1000::{DMA_BYTES, E1000, Family};
use weft_drivers::virtio::VirtioNic;
use weft_drivers::{Driver, driver_for};
use weft_hal::dma::Dma;
use weft_hal::pci::{self, Bar, Function};
use weft_hal::println;
use weft_hal::virtio::{PciConfig, VirtioHal};
use weft_platform::Nic;
use weft_wire::agent::NicReport;

/// A NIC that works.
pub(crate) struct Port {
    pub(crate) nic: Box<dyn Nic + Send>,
    pub(crate) report: NicReport,
}

/// Functions that have a driver, their registers made reachable. Before other processors start.
pub(crate) fn scan() -> Vec<Function> {
    let mut functions = pci::scan();
    functions.retain(|function| driver_for(function.id.0, function.id.1).is_some());
    pci::map_windows(&functions);
    functions
}

/// Starts the NICs of `functions`, in the order of their PCI addresses.
pub(crate) fn start(functions: &[Function]) -> Vec<Port> {
    let mut ports = Vec::new();
    for function in functions {
        let Some(driver) = driver_for(function.id.0, function.id.1) else { continue };
        match open(function, driver) {
            Ok(nic) => {
                let report = NicReport {
                    mac: nic.mac(),
                    driver: driver.name().into(),
                    pci_id: function.id,
                    link_up: true,
                    address: [0; 4],
                };
                ports.push(Port { nic, report });
            }
            Err(error) => {
                println!("weft: NIC {:04x}:{:04x} does not start: {error}", function.id.0, function.id.1)
            }
        }
    }
    ports
}

fn open(function: &Function, driver: Driver) -> Result<Box<dyn Nic + Send>, &'static str> {
    match driver {
        Driver::VirtioNet => {
            function.address.enable();
            let place = DeviceFunction {
                bus: function.address.bus,
                device: function.address.device,
                function: function.address.function,
            };
            let transport = PciTransport::new::<VirtioHal, _>(&mut PciRoot::new(PciConfig), place)
                .map_err(|_| "no virtio 1.0 interface")?;
            let nic = VirtioNic::<VirtioHal, _>::new(transport).map_err(|_| "the device refuses")?;
            Ok(Box::new(nic))
        }
        Driver::E1000 | Driver::E1000e => {
            let family = if driver == Driver::E1000 { Family::Pci } else { Family::PciExpress };
            let window = Bar::open(function.address, 0).ok_or("no register window")?;
            let memory = Dma::new(DMA_BYTES).ok_or("no memory for its rings")?;
            let nic =
                E1000::new(family, window, memory).map_err(|_| "the device does not come out of reset")?;
            Ok(Box::new(nic))
        }
    }
}
