//! Refusals that a sound machine never sees: firmware that keeps no variables, a floor that somebody else wrote,
//! processors without what a node needs.

use std::path::{Path, PathBuf};

use crate::files::{folder, image, offer};
use crate::flash;
use crate::machine::{LONG_PATIENCE, Machine, field};
use crate::uefi::{END, OWN_PXE, REFUSED, assert_contains, boot, plain_variables};

/// A store into which the firmware wrote what it wants to keep, by a first start that boots nothing.
fn settled(folder: &Path) -> PathBuf {
    let store = plain_variables(folder);
    let offered = offer(folder, b"not an image");
    let ends = ["failed to load Boot", "failed to start Boot"];
    Machine::uefi(&store).network(&offered, "weft.efi", OWN_PXE).run_for(LONG_PATIENCE, &ends);
    store
}

#[test]
fn firmware_that_cannot_keep_the_floor_starts_nothing() {
    let folder = folder();
    let settled = settled(folder.path());
    let full = flash::full(&settled, &folder.path().join("full.fd"));
    let offered = offer(folder.path(), &image(5, 3, 2));
    let machine = Machine::uefi(&full).network(&offered, "weft.efi", OWN_PXE);
    let output = machine.run_for(LONG_PATIENCE, &[END, REFUSED]);
    assert_contains(&output, "weft-refuse: variable-write:");
    assert!(!output.contains("weft dvmm"), "{output}");
    // The same store with room left starts it: nothing but the room was missing.
    let output = boot(&settled, folder.path(), &image(5, 3, 2), OWN_PXE);
    assert_eq!(field(&output, "floor"), "3");
}

#[test]
fn a_floor_that_an_operating_system_could_change_is_not_believed() {
    let folder = folder();
    let settled = settled(folder.path());
    let stranger = flash::with_floor_of_a_stranger(&settled, &folder.path().join("stranger.fd"));
    let output = boot(&stranger, folder.path(), &image(5, 3, 2), OWN_PXE);
    assert_contains(&output, "weft-refuse: variable-form:");
    assert!(!output.contains("weft verified"), "{output}");
}

fn on_processor(cpu: &str, folder: &Path) -> String {
    let offered = offer(folder, &image(1, 1, 2));
    let machine = Machine::uefi(&plain_variables(folder)).with(&["-cpu", cpu]);
    machine.network(&offered, "weft.efi", OWN_PXE).run(&[END, REFUSED])
}

#[test]
fn a_machine_without_a_source_of_random_bytes_makes_no_key() {
    let folder = folder();
    let output = on_processor("max,+svm,rdrand=off,rdseed=off", folder.path());
    assert_contains(&output, "weft-refuse: no-entropy:");
}

#[test]
fn a_processor_without_no_execute_pages_runs_no_monitor() {
    let folder = folder();
    let output = on_processor("max,+svm,nx=off", folder.path());
    assert_contains(&output, "weft-refuse: no-nx:");
}
