//! Guests on shadow tables, on one node: Debian's kernel and self-checking programs, with pages that come late and are
//! lost again, and a guest that looks for the monitor's tables.

use std::time::Duration;

use weft_hw_tests::bare::Bare;
use weft_hw_tests::{defect, permit, workspace};
use weft_images::guest::{self, USERLAND_UP};
use weft_images::{stress, window};

const PATIENCE: Duration = Duration::from_secs(900);

#[test]
fn no_paging_mode_leads_to_the_monitors_tables() {
    let _permit = permit::nodes().expect("a permit");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("window");
    std::fs::write(&file, window::kernel(folder.path()).expect("assembled")).expect("written");
    let looker =
        Bare { options: "shadow=all", kernel: &file, initrd: None, memory_mib: 64, vcpus: 1, append: &[] };
    let said = looker.run(folder.path(), PATIENCE).expect("it ends");
    assert!(said.contains(window::NOTHING_READ) && said.contains("PowerOff"), "{said}");
}

#[test]
fn the_stress_guest_finds_nothing_wrong_on_shadow_tables() {
    let _permit = permit::nodes().expect("a permit");
    let target = workspace::root().join("target");
    let guest = stress::build(&target.join("stress"), &target.join("guest")).expect("the stress guest");
    // All of the kernel's functions take two minutes; a thousand show the same.
    let traced = if weft_hw_tests::is_soak() { "ftrace:1" } else { "ftrace:1:*_get*" };
    let items = ["storm:1", "litmus:1", "modules:2", traced, "perl:2000", "openmp:64:1", "stress-ng:1"];
    let run = stress::run_option(&items);
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = Bare {
        options: "shadow=all",
        kernel: &guest.kernel,
        initrd: Some(&guest.initrd),
        memory_mib: 768,
        vcpus: 2,
        append: &["quiet", &run],
    };
    let said = defect::again(String::clone, || loaded.run(folder.path(), PATIENCE).expect("it ends"));
    assert_eq!(stress::summary(&said), Some((items.len() as u32, 0)), "{said}");
}

#[test]
fn a_guest_whose_pages_come_late_and_are_lost_again_reaches_its_userland() {
    let _permit = permit::nodes().expect("a permit");
    let guest = guest::build(&workspace::root().join("target/guest")).expect("the guest");
    let folder = tempfile::tempdir().expect("a folder");
    let patient = Bare {
        options: "pages=late",
        kernel: &guest.kernel,
        initrd: Some(&guest.initrd),
        memory_mib: 256,
        vcpus: 2,
        append: &["quiet", "weft.poweroff"],
    };
    let said = defect::again(String::clone, || patient.run(folder.path(), PATIENCE).expect("it ends"));
    assert!(said.contains(USERLAND_UP) && said.contains("PowerOff"), "{said}");
    let late = said.split("pages late ").nth(1).and_then(|rest| rest.split(' ').next());
    let late: u64 = late.expect("a count").parse().expect("a number");
    assert!(late > 1000, "{late} pages were late");
}
