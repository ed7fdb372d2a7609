//! The UEFI path under OVMF.

use std::path::Path;

use weft_format::RootSet;
use weft_netboot::authenticode::AuthenticodeError;
use weft_netboot::secureboot;
use weft_signing::Holder;

use crate::files::{authenticode, flip, folder, image, offer, owner, serve, shared, try_authenticode};
use crate::machine::{Machine, VARIABLES, field, require, variables};

/// OVMF's own PXE: no option ROM.
pub(crate) const OWN_PXE: &str = "virtio-net-pci,romfile=";
/// QEMU's default: iPXE's ROM.
const IPXE: &str = "virtio-net-pci";
pub(crate) const END: &str = "weft test end";
pub(crate) const REFUSED: &str = "weft-refuse:";
const FIRMWARE_REFUSED: [&str; 2] = ["Access Denied", "Security Violation"];

pub(crate) fn boot(vars: &Path, folder: &Path, image: &[u8], device: &str) -> String {
    let offered = offer(folder, image);
    let mut ends = vec![END, REFUSED];
    ends.extend(FIRMWARE_REFUSED);
    Machine::uefi(vars).network(&offered, "weft.efi", device).run(&ends)
}

pub(crate) fn plain_variables(folder: &Path) -> std::path::PathBuf {
    variables(folder, &require(VARIABLES, "ovmf"))
}

#[track_caller]
pub(crate) fn assert_contains(output: &str, wanted: &str) {
    assert!(output.contains(wanted), "no {wanted:?} in:\n{output}");
}

#[test]
fn secure_boot_by_own_pxe_hands_over_and_keeps_floor_key_and_counter() {
    let folder = folder();
    let owner = owner(folder.path());
    let vars = variables(folder.path(), &owner.store);

    let first = boot(&vars, folder.path(), &authenticode(&owner, &image(5, 3, 2)), OWN_PXE);
    assert_contains(&first, "weft verified test-5 generation 5");
    assert_eq!(field(&first, "magic"), "true");
    assert_eq!(field(&first, "boot-path"), "1");
    assert_eq!(field(&first, "flags"), "15", "Secure Boot, node key, first boot, entropy");
    assert_eq!(field(&first, "rsdp"), "true");
    assert_eq!(field(&first, "smbios"), "true");
    assert_eq!(field(&first, "times"), "true");
    assert_eq!(field(&first, "server"), "[10, 0, 2, 2]");
    assert_eq!(field(&first, "mac"), "[52, 54, 00, 12, 34, 56]");
    assert_eq!(field(&first, "cmdline"), "");
    assert_eq!(field(&first, "boots"), "1");
    assert_eq!(field(&first, "floor"), "3");
    assert!(field(&first, "regions").contains("sorted true loader true"), "{first}");
    assert_ne!(field(&first, "screen"), "0x0");

    let older = boot(&vars, folder.path(), &authenticode(&owner, &image(2, 1, 2)), OWN_PXE);
    assert_contains(&older, "weft-refuse: below-floor:");

    // The floor is the least acceptable generation, so that generation 4 may follow 5.
    let second = boot(&vars, folder.path(), &authenticode(&owner, &image(4, 1, 2)), OWN_PXE);
    assert_eq!(field(&second, "flags"), "11", "no longer the first boot");
    assert_eq!(field(&second, "boots"), "2");
    assert_eq!(field(&second, "floor"), "3", "a floor never sinks");
    assert_eq!(field(&second, "key"), field(&first, "key"));
}

#[test]
fn ipxe_rom_starts_the_image_with_secure_boot_off() {
    let folder = folder();
    let output = boot(&plain_variables(folder.path()), folder.path(), &image(1, 1, 2), IPXE);
    assert_contains(&output, "iPXE");
    assert_eq!(field(&output, "flags"), "14");
    assert_eq!(field(&output, "server"), "[10, 0, 2, 2]");
    assert_eq!(field(&output, "mac"), "[52, 54, 00, 12, 34, 56]");
    assert_eq!(field(&output, "root-set").split(' ').next(), Some("128"));
}

#[test]
fn http_boot_starts_the_image_under_secure_boot() {
    let folder = folder();
    let owner = owner(folder.path());
    let port = serve(authenticode(&owner, &image(1, 1, 2)));
    let vars = folder.path().join("http.fd");
    let uri = format!("http://10.0.2.2:{port}/weft.efi");
    let tools = weft_netboot::build::target_dir().join("tools");
    secureboot::set_boot_uri(&owner.store, &uri, &vars, &tools).expect("a boot entry");
    let nothing = offer(folder.path(), b"not an image");
    let machine = Machine::uefi(&vars).network(&nothing, "weft.efi", OWN_PXE);
    let output = machine.run(&[END, REFUSED]);
    assert_contains(&output, "Start HTTP Boot");
    assert_eq!(field(&output, "flags"), "15");
    assert_eq!(field(&output, "server"), "[10, 0, 2, 2]");
    assert_eq!(field(&output, "mac"), "[52, 54, 00, 12, 34, 56]");
}

#[test]
fn a_refused_image_leaves_no_trace() {
    let folder = folder();
    let vars = plain_variables(folder.path());
    let good = image(7, 7, 2);
    let refusals = [
        ("payload-digest", flip(&good, ".dvmm")),
        ("too-few-signatures", image(7, 7, 1)),
        ("unsigned", shared().built.efi.clone()),
    ];
    for (code, bytes) in refusals {
        let output = boot(&vars, folder.path(), &bytes, OWN_PXE);
        assert_contains(&output, &format!("weft-refuse: {code}:"));
        assert!(!output.contains("weft dvmm"), "{output}");
    }
    // Had one of them written the floor, generation 6 would be below it.
    let output = boot(&vars, folder.path(), &image(6, 1, 2), OWN_PXE);
    assert_eq!(field(&output, "boots"), "1");
    assert_eq!(field(&output, "floor"), "1");
}

#[test]
fn the_ipxe_rom_is_no_way_round_secure_boot() {
    let folder = folder();
    let owner = owner(folder.path());
    let good = authenticode(&owner, &image(1, 1, 2));
    // The firmware runs the card's unsigned ROM, but the ROM asks the firmware to load the image.
    let vars = variables(folder.path(), &owner.store);
    let offered = offer(folder.path(), &flip(&good, ".dvmm"));
    let ends = ["Could not boot image", "weft uefi entry"];
    let output = Machine::uefi(&vars).network(&offered, "weft.efi", IPXE).run(&ends);
    assert_contains(&output, "Could not boot image");
    let output = boot(&vars, folder.path(), &good, IPXE);
    assert_contains(&output, "iPXE");
    assert_eq!(field(&output, "flags"), "15");
}

#[test]
fn under_secure_boot_the_firmware_refuses_a_foreign_key_and_a_changed_bit() {
    let folder = folder();
    let ours = folder.path().join("ours");
    let theirs = folder.path().join("theirs");
    let (ours, theirs) = (owner(&ours), owner(&theirs));
    let good = image(1, 1, 2);
    let refused = [
        ("foreign key", authenticode(&theirs, &good)),
        ("changed bit", flip(&authenticode(&ours, &good), ".dvmm")),
        ("no Authenticode", good),
    ];
    for (what, bytes) in refused {
        let vars = variables(folder.path(), &ours.store);
        let output = boot(&vars, folder.path(), &bytes, OWN_PXE);
        let words = FIRMWARE_REFUSED.iter().any(|words| output.contains(words));
        assert!(words && !output.contains("weft uefi entry"), "{what} was not refused:\n{output}");
    }
}

#[test]
fn authenticode_is_refused_below_k_and_for_roots_of_others() {
    let folder = folder();
    let owner = owner(folder.path());
    let roots = &shared().roots;
    let below = try_authenticode(&owner, &image(1, 1, 1), roots);
    assert!(matches!(below, Err(AuthenticodeError::Manifest(_))), "{below:?}");
    let stranger = Holder::generate("stranger").expect("a key");
    let others = RootSet::new(1, 1, &[*stranger.public_key()], true).expect("a root set");
    let foreign = try_authenticode(&owner, &image(1, 1, 2), &others);
    assert!(matches!(foreign, Err(AuthenticodeError::Manifest(_))), "{foreign:?}");
    assert!(try_authenticode(&owner, &image(1, 1, 2), roots).is_ok());
}
