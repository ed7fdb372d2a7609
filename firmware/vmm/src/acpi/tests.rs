//! Tests of the ACPI tables: found by walking from the root pointer, as a guest does.

use super::*;
use std::string::String;

const ONE: [Proximity; 1] = [Proximity { cpus: 2, ram_bytes: 512 << 20 }];

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn table_at(blob: &[u8], address: u64) -> &[u8] {
    let from = &blob[(address - layout::ACPI.0) as usize..];
    &from[..u32_at(from, 4) as usize]
}

/// All tables by signature, the DSDT through the FADT.
fn tables(blob: &[u8]) -> Vec<(String, &[u8])> {
    let xsdt = table_at(blob, u64_at(blob, 24));
    let mut found = vec![xsdt];
    for entry in xsdt[36..].chunks_exact(8) {
        found.push(table_at(blob, u64_at(entry, 0)));
    }
    let fadt = found.iter().find(|table| table.starts_with(b"FACP")).unwrap();
    found.push(table_at(blob, u64_at(fadt, 140)));
    found.into_iter().map(|table| (String::from_utf8(table[..4].to_vec()).unwrap(), table)).collect()
}

fn table<'a>(blob: &'a [u8], name: &str) -> &'a [u8] {
    tables(blob).into_iter().find(|(found, _)| found == name).unwrap().1
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[test]
fn every_table_is_reached_from_the_root_and_sums_to_zero() {
    let blob = build(&ONE, &Distances::unknown(1), 0b111).unwrap();
    assert_eq!(&blob[..8], b"RSD PTR ");
    assert_eq!((sum(&blob[..20]), sum(&blob[..36])), (0, 0));
    let found = tables(&blob);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["XSDT", "FACP", "APIC", "SRAT", "SLIT", "DSDT"]);
    for (name, table) in found {
        assert_eq!(sum(table), 0, "{name}");
    }
}

#[test]
fn the_machine_is_hardware_reduced_with_its_reset_and_sleep_ports() {
    let blob = build(&ONE, &Distances::unknown(1), 0).unwrap();
    let fadt = table(&blob, "FACP");
    assert_eq!(fadt.len(), 276);
    assert_eq!(u32_at(fadt, 112) & (1 << 20 | 1 << 10), 1 << 20 | 1 << 10);
    assert_eq!((u64_at(fadt, 120), fadt[128]), (0x602, 1));
    assert_eq!((u64_at(fadt, 248), u64_at(fadt, 260)), (0x600, 0x601));
    assert_eq!(fadt[109] & 0b10_0011, 0b10_0000, "no legacy devices, no 8042, no CMOS clock");
}

#[test]
fn processors_and_the_controller_are_listed_without_a_legacy_one() {
    let blob = build(&ONE, &Distances::unknown(1), 0).unwrap();
    let madt = table(&blob, "APIC");
    assert_eq!(u32_at(madt, 40) & 1, 0, "PCAT_COMPAT");
    assert_eq!(madt[44..60], [0, 8, 0, 0, 1, 0, 0, 0, 0, 8, 1, 1, 1, 0, 0, 0]);
    assert_eq!(madt[60..], [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
}

#[test]
fn memory_of_two_nodes_is_split_around_the_device_hole() {
    let nodes = [Proximity { cpus: 1, ram_bytes: 2 << 30 }, Proximity { cpus: 3, ram_bytes: 2 << 30 }];
    let blob = build(&nodes, &Distances::unknown(0), 0).unwrap();
    let srat = table(&blob, "SRAT");
    let memory: Vec<(u32, u64, u64)> = srat[48 + 4 * 16..]
        .chunks_exact(40)
        .map(|entry| (u32_at(entry, 2), u64_at(entry, 8), u64_at(entry, 16)))
        .collect();
    assert_eq!(memory, [(0, 0, 2 << 30), (1, 2 << 30, 1 << 30), (1, layout::HIGH_RAM, 1 << 30)]);
    let cpus: Vec<(u8, u8)> = srat[48..48 + 64].chunks_exact(16).map(|entry| (entry[2], entry[3])).collect();
    assert_eq!(cpus, [(0, 0), (1, 4), (1, 5), (1, 6)], "a node is a package");
    assert_eq!(table(&blob, "SLIT")[44..], [10, 40, 40, 10]);
}

#[test]
fn only_occupied_slots_are_described_each_at_its_fixed_place() {
    let blob = build(&ONE, &Distances::unknown(1), 1 << 9).unwrap();
    let dsdt = table(&blob, "DSDT");
    assert!(position(dsdt, b"VR08").is_none());
    assert!(position(dsdt, b"VR09").is_some());
    assert_eq!(dsdt.windows(8).filter(|window| window == b"LNRO0005").count(), 1);
    assert!(position(dsdt, &0xfe00_9000u32.to_le_bytes()).is_some());
    let edge = [0x89, 6, 0, 0b0011, 1, 25, 0, 0, 0];
    assert!(position(dsdt, &edge).is_some(), "edge, active high, GSI 25");
    let level = [0x89, 6, 0, 0b0001, 1, 4, 0, 0, 0];
    assert!(position(dsdt, &level).is_some(), "the console's level on GSI 4");
}

#[test]
fn sizes_out_of_bounds_are_refused() {
    let node = ONE[0];
    assert_eq!(build(&[], &Distances::unknown(0), 0), Err(AcpiError::Nodes { count: 0 }));
    assert_eq!(build(&[node; 65], &Distances::unknown(0), 0), Err(AcpiError::Nodes { count: 65 }));
    assert_eq!(
        build(&[Proximity { cpus: 0, ..node }], &Distances::unknown(0), 0),
        Err(AcpiError::Cpus { count: 0 })
    );
    assert_eq!(
        build(&[Proximity { cpus: 256, ..node }], &Distances::unknown(0), 0),
        Err(AcpiError::Cpus { count: 256 })
    );
    let sparse = [Proximity { cpus: 200, ..node }, Proximity { cpus: 1, ..node }];
    assert_eq!(
        build(&sparse, &Distances::unknown(0), 0),
        Err(AcpiError::Cpus { count: 201 }),
        "the second package starts at 256"
    );
    let huge = [Proximity { ram_bytes: u64::MAX, ..node }; 2];
    assert_eq!(build(&huge, &Distances::unknown(0), 0), Err(AcpiError::Ram { bytes: u64::MAX }));
}

#[test]
fn the_largest_machine_fits_its_place() {
    let mut nodes = [Proximity { cpus: 4, ram_bytes: 1 << 30 }; MAX_NODES];
    assert_eq!(
        build(&nodes, &Distances::unknown(0), 0),
        Err(AcpiError::Cpus { count: 256 }),
        "one would have the id that means all"
    );
    nodes[MAX_NODES - 1].cpus = 3;
    let blob = build(&nodes, &Distances::unknown(0), u16::MAX).unwrap();
    assert!(blob.len() as u64 <= layout::ACPI_END - layout::ACPI.0);
    if let Ok(folder) = std::env::var("WEFT_ACPI_DUMP") {
        for (name, table) in tables(&blob) {
            std::fs::write(std::format!("{folder}/{name}.aml"), table).unwrap();
        }
    }
}

#[test]
fn distances_grow_with_the_round_trip_and_stay_within_the_table() {
    let us = |us: u64| Some(us * 1000);
    let trips = [[None, us(100), us(3)], [us(90), None, None], [us(2), us(u64::MAX / 1000), None]];
    let distances = Distances::measured(3, |from, to| trips[from][to]);
    let node = Proximity { cpus: 1, ram_bytes: 256 << 20 };
    let near = build(&[node; 3], &Distances::unknown(3), 0).unwrap();
    let blob = build(&[node; 3], &distances, 0).unwrap();
    assert_eq!(table(&blob, "SLIT")[44..], [10, 76, 46, 76, 10, 254, 46, 254, 10]);
    assert_eq!(blob.len(), near.len(), "they may be written again in place");
}
