//! The DSDT: the devices that no bus reveals, and the sleep type of soft-off.
//!
//! The console has an Interrupt resource of its own because a machine without a legacy controller has
//! no preallocated ISA interrupts. Every virtio slot that is occupied is an `LNRO0005` device.

use acpi_tables::Aml;
use acpi_tables::aml::{
    Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package, ResourceTemplate, Scope,
};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Proximity;
use super::table::Table;
use crate::layout;

const CONSUMER: bool = true;
const EDGE: bool = true;
const LEVEL: bool = false;
const ACTIVE_HIGH: bool = false;
const EXCLUSIVE: bool = false;

/// The whole table.
pub(super) fn build(nodes: &[Proximity], virtio_slots: u16) -> Vec<u8> {
    let mut aml = Vec::new();
    let mut devices = console();
    for slot in (0..layout::VIRTIO_SLOTS).filter(|slot| virtio_slots & (1 << slot) != 0) {
        devices.extend(virtio(slot));
    }
    let mut uid = 0;
    for (domain, node) in (0u32..).zip(nodes) {
        for _ in 0..node.cpus {
            devices.extend(processor(uid, domain));
            uid += 1;
        }
    }
    aml.extend(Scope::raw("\\_SB_".into(), devices));
    Name::new("\\_S5_".into(), &Package::new(vec![&layout::SLEEP_TYPE_OFF, &0u8, &0u8, &0u8]))
        .to_aml_bytes(&mut aml);
    let mut table = Table::new(b"DSDT", 2);
    table.bytes(&aml);
    table.finish()
}

fn bytes(object: &dyn Aml) -> Vec<u8> {
    let mut out = Vec::new();
    object.to_aml_bytes(&mut out);
    out
}

fn console() -> Vec<u8> {
    let ports = IO::new(layout::COM1_PORT, layout::COM1_PORT, 1, layout::COM1_PORTS as u8);
    let line = Interrupt::new(CONSUMER, LEVEL, ACTIVE_HIGH, EXCLUSIVE, u32::from(layout::COM1_GSI));
    bytes(&Device::new(
        "COM1".into(),
        vec![
            &Name::new("_HID".into(), &EISAName::new("PNP0501")),
            &Name::new("_UID".into(), &0u8),
            &Name::new("_DDN".into(), &"COM1"),
            &Name::new("_CRS".into(), &ResourceTemplate::new(vec![&ports, &line])),
        ],
    ))
}

fn virtio(slot: u8) -> Vec<u8> {
    let base = layout::virtio_window(slot).0 as u32;
    let registers = Memory32Fixed::new(true, base, layout::VIRTIO_STRIDE as u32);
    let gsi = u32::from(layout::VIRTIO_GSI + slot);
    let line = Interrupt::new(CONSUMER, EDGE, ACTIVE_HIGH, EXCLUSIVE, gsi);
    let name: String = format!("VR{slot:02X}");
    bytes(&Device::new(
        name.as_str().into(),
        vec![
            &Name::new("_HID".into(), &"LNRO0005"),
            &Name::new("_UID".into(), &slot),
            &Name::new("_CCA".into(), &1u8),
            &Name::new("_CRS".into(), &ResourceTemplate::new(vec![&registers, &line])),
        ],
    ))
}

fn processor(uid: u32, domain: u32) -> Vec<u8> {
    let name: String = format!("C{uid:03X}");
    bytes(&Device::new(
        name.as_str().into(),
        vec![
            &Name::new("_HID".into(), &"ACPI0007"),
            &Name::new("_UID".into(), &uid),
            &Name::new("_PXM".into(), &domain),
        ],
    ))
}
