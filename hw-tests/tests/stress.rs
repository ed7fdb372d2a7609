//! The stress guest: on plain QEMU, which shows that what it checks holds where Weft is not involved, and as a guest
//! of one node with two processors.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use weft_hw_tests::stack::Stack;
use weft_hw_tests::{defect, permit, workspace};
use weft_images::guest::Guest;
use weft_images::stress;
use weft_lab::{Firmware, NodeSpec};

/// Everything that the image can run, each as short as it gets.
const ALL: &[&str] = &[
    "litmus:1",
    "fill:32",
    "clocks:1",
    "openmp:64:1",
    "loops:1",
    "pingpong:1",
    "storm:1",
    "perl:2000",
    "python:200",
    "memtester:2",
    "sysbench:1",
    "stress-ng:1",
    "modules:2",
    "ftrace:1",
];
const PATIENCE: Duration = Duration::from_secs(900);

fn image() -> Guest {
    let target = workspace::root().join("target");
    stress::build(&target.join("stress"), &target.join("guest")).expect("the stress guest")
}

#[test]
fn every_check_of_the_stress_guest_holds_on_plain_qemu_and_an_unknown_one_fails() {
    let _permit = permit::nodes().expect("a permit");
    let guest = image();
    let size = std::fs::metadata(&guest.initrd).expect("a ram disk").len();
    assert!(size < 80 << 20, "{size} bytes");

    let folder = tempfile::tempdir().expect("a folder");
    let console = folder.path().join("console");
    // Without a monitor beneath it the emulator may hang where code changes (docs/status.md).
    let items = ALL.iter().copied().filter(|item| *item != "ftrace:1");
    let items: Vec<&str> = items.chain(["nothing"]).collect();
    let mut qemu = Command::new("setpriv");
    qemu.args([
        "--pdeathsig",
        "KILL",
        "qemu-system-x86_64",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
    ]);
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024", "-no-reboot"]);
    qemu.arg("-kernel").arg(&guest.kernel).arg("-initrd").arg(&guest.initrd);
    qemu.arg("-append").arg(format!("console=ttyS0 quiet {}", stress::run_option(&items)));
    qemu.arg("-serial").arg(format!("file:{}", console.display()));
    let mut machine = qemu.stdin(Stdio::null()).spawn().expect("QEMU starts");
    let end = Instant::now() + PATIENCE;
    // It switches itself off.
    while machine.try_wait().expect("asked").is_none() {
        if Instant::now() > end {
            machine.kill().expect("ended");
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    machine.wait().expect("ended");
    let said = String::from_utf8_lossy(&std::fs::read(&console).expect("a console")).into_owned();
    assert_eq!(stress::summary(&said), Some((items.len() as u32 - 1, 1)), "{said}");
    assert!(said.contains("FAIL nothing"), "{said}");
}

#[test]
fn the_stress_guest_finds_nothing_wrong_on_a_node_with_two_processors() {
    let guest = image();
    let stack = Stack::boot("stress", |_| {
        Ok(NodeSpec { firmware: Firmware::Bios, memory_mib: 2048, ..NodeSpec::new(1) })
    })
    .expect("a ready node");
    let (kernel, initrd) = (guest.kernel.display().to_string(), guest.initrd.display().to_string());
    let append = format!("--append=quiet {}", stress::run_option(ALL));
    let create = ["vs", "create", "stress", "--vcpus", "2", "--memory", "768M", "--kernel", &kernel];
    let start = ["--initrd", &initrd, &append, "--start", "--wait"];
    let mut runs = 0;
    let off = defect::again(Value::to_string, || {
        runs += 1;
        if runs > 1 {
            stack.weft(&["vs", "delete", "stress"]).expect("deleted");
        }
        stack.weft(&[create.as_slice(), &start].concat()).expect("created");
        stack.await_state("stress", &["off", "failed"], PATIENCE).expect("an end")
    });
    let ended = format!("{}[0-9]+ passed, [0-9]+ failed", stress::SUMMARY);
    let said = stack
        .weft(&["vs", "console", "stress", "--timeout", "30", "--wait-for", &ended])
        .expect("it comes to its end");
    assert_eq!(stress::summary(&said), Some((ALL.len() as u32, 0)), "{said}");
    // By itself, and as a guest that is well.
    assert_eq!(off["state"], "off", "{off}");
}
