//! Guests that boot again by themselves. By a reset, which their monitor starts anew; by kexec, where it is not asked and
//! processors are taken over while they stand somewhere in the old kernel; in the soak over two nodes as well.

use std::time::Duration;

use weft_hw_tests::bare::Bare;
use weft_hw_tests::members::{Machine, Member, Pair};
use weft_hw_tests::{defect, permit, workspace};
use weft_images::guest::{Guest, USERLAND_UP};
use weft_images::kexec::{self, AGAIN};

const PATIENCE: Duration = Duration::from_secs(900);
/// The second kernel names its processors.
const APPEND: &[&str] = &["loglevel=7"];

fn guest() -> Guest {
    let target = workspace::root().join("target");
    kexec::build(&target.join("kexec"), &target.join("guest")).expect("the guest")
}

/// How the guest's memory is mapped: in the soak by nested paging as well.
fn modes() -> &'static [&'static str] {
    if weft_hw_tests::is_soak() { &["shadow=all", ""] } else { &["shadow=all"] }
}

/// Whether two kernels ran one after the other, each with this line, and the second ended well.
fn booted_twice(said: &str, line: &str) -> bool {
    let Some((before, after)) = said.split_once(AGAIN) else { return false };
    [before, after].iter().all(|kernel| kernel.contains(line))
        && after.contains(USERLAND_UP)
        && after.contains("weft guest: PowerOff")
}

#[test]
fn a_guest_resets_itself_as_linux_does_without_firmware() {
    let _permit = permit::nodes().expect("a permit");
    let guest = guest();
    let folder = tempfile::tempdir().expect("a folder");
    for options in modes() {
        let panics = Bare {
            options,
            kernel: &guest.kernel,
            initrd: None,
            memory_mib: 128,
            vcpus: 2,
            append: &["quiet", "panic=1"],
        };
        let said = defect::again(String::clone, || panics.run(folder.path(), PATIENCE).expect("it ends"));
        assert!(said.contains("Rebooting in 1 seconds"), "{options}: {said}");
        assert!(said.contains("weft guest: Reset after"), "{options}: {said}");
    }
}

#[test]
fn a_guest_with_two_processors_boots_again_by_itself() {
    let _permit = permit::nodes().expect("a permit");
    let guest = guest();
    for options in modes() {
        let folder = tempfile::tempdir().expect("a folder");
        let again = Bare {
            options,
            kernel: &guest.kernel,
            initrd: Some(&guest.initrd),
            memory_mib: 384,
            vcpus: 2,
            append: APPEND,
        };
        let said = defect::again(String::clone, || again.run(folder.path(), PATIENCE).expect("it ends"));
        assert!(booted_twice(&said, "smp: Brought up 1 node, 2 CPUs"), "{options}: {said}");
    }
    // The same over two nodes takes minutes.
    if weft_hw_tests::is_soak() {
        for (vcpus, line) in [(0, "smp: Brought up 2 nodes, 1 CPU"), (1, "smp: Brought up 2 nodes, 2 CPUs")] {
            over_two_nodes(&guest, vcpus, line);
        }
    }
}

/// With this many processors on the second node.
fn over_two_nodes(guest: &Guest, vcpus: u8, line: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = Pair {
        members: [Member { vcpus: 1, memory_mib: 192 }, Member { vcpus, memory_mib: 192 }],
        machines: [Machine::SMALL; 2],
        kernel: &guest.kernel,
        initrd: &guest.initrd,
        append: APPEND,
        second: "",
        pinned: false,
        faults: None,
    };
    let said = pair.run(folder.path(), PATIENCE, |_| false).expect("it ends");
    assert!(booted_twice(&said.first, line), "{}", said.evidence());
}
