//! The BIOS path: QEMU's own Multiboot loader, and iPXE's PXE ROM under SeaBIOS.

use std::fs;
use std::path::Path;

use crate::files::{folder, image, shared};
use crate::machine::{Machine, field};

const ENDS: [&str; 2] = ["weft test end", "weft-refuse:"];

/// Writes the boot files and returns QEMU's arguments for its Multiboot loader.
fn place(folder: &Path, bios: &[u8], manifest: Option<&[u8]>) -> Vec<String> {
    let kernel = folder.join("weft.bios");
    fs::write(&kernel, bios).expect("a file");
    let mut args = vec!["-kernel".to_owned(), kernel.display().to_string()];
    if let Some(manifest) = manifest {
        let file = folder.join("manifest");
        fs::write(&file, manifest).expect("a file");
        args.extend(["-initrd".to_owned(), file.display().to_string()]);
    }
    args.extend(["-append", "server=10.7.0.1 mac=02:00:00:00:00:07"].map(str::to_owned));
    args
}

fn manifest(image: &[u8]) -> Vec<u8> {
    weft_signing::image::section(image).expect("a manifest").to_vec()
}

fn multiboot(cpu: &str, memory_mib: u32, args: &[String]) -> String {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Machine::bios(cpu, memory_mib).with(&args).run(&ENDS)
}

#[test]
fn multiboot_hands_over_with_and_without_huge_pages_and_above_4_gib() {
    let folder = folder();
    let args = place(folder.path(), &shared().built.bios, Some(&manifest(&image(1, 1, 2))));
    for (cpu, memory_mib) in [("max,+svm", 512), ("qemu64,+svm,-pdpe1gb", 5000)] {
        let output = multiboot(cpu, memory_mib, &args);
        assert_eq!(field(&output, "magic"), "true");
        assert_eq!(field(&output, "boot-path"), "2");
        assert_eq!(field(&output, "flags"), "0", "a BIOS keeps no key");
        assert_eq!(field(&output, "rsdp"), "true");
        assert_eq!(field(&output, "smbios"), "true");
        assert_eq!(field(&output, "times"), "true");
        assert_eq!(field(&output, "server"), "[10, 7, 0, 1]");
        assert_eq!(field(&output, "mac"), "[02, 00, 00, 00, 00, 07]");
        let regions = field(&output, "regions");
        assert!(regions.contains("sorted true loader true"), "{output}");
        let usable: u32 = regions.split(' ').rev().nth(1).and_then(|n| n.parse().ok()).expect("MiB");
        assert!(usable > memory_mib - 32 && usable <= memory_mib, "{output}");
    }
}

#[test]
fn multiboot_refuses_what_uefi_refuses() {
    let folder = folder();
    let good = manifest(&image(1, 1, 2));
    let bios = &shared().built.bios;
    let mut changed = bios.clone();
    let payload = changed.len() - 8192;
    changed[payload] ^= 1;
    let too_few = manifest(&image(1, 1, 1));
    let unsigned = vec![0; 4096];
    let refusals = [
        ("no-manifest", bios, None),
        ("unsigned", bios, Some(&unsigned)),
        ("too-few-signatures", bios, Some(&too_few)),
        ("payload-digest", &changed, Some(&good)),
    ];
    for (code, bios, manifest) in refusals {
        let args = place(folder.path(), bios, manifest.map(Vec::as_slice));
        let output = multiboot("max,+svm", 512, &args);
        assert!(output.contains(&format!("weft-refuse: {code}:")), "no {code} in:\n{output}");
        assert!(!output.contains("weft dvmm"), "{output}");
    }
}

#[test]
fn ipxe_from_the_bios_pxe_rom_starts_the_image() {
    let folder = folder();
    place(folder.path(), &shared().built.bios, Some(&manifest(&image(1, 1, 2))));
    let script = "#!ipxe\nkernel weft.bios server=${next-server} mac=${net0/mac}\ninitrd manifest\nboot\n";
    fs::write(folder.path().join("weft.ipxe"), script).expect("a file");
    let machine = Machine::bios("max,+svm", 512).network(folder.path(), "weft.ipxe", "virtio-net-pci");
    let output = machine.run(&ENDS);
    assert_eq!(field(&output, "boot-path"), "2");
    assert_eq!(field(&output, "server"), "[10, 0, 2, 2]");
    assert_eq!(field(&output, "mac"), "[52, 54, 00, 12, 34, 56]");
}
