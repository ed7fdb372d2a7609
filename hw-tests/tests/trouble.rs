//! The appliance in trouble while nodes boot: no room on its disk, and killed while it writes leases. Nothing that it
//! acknowledged is lost, and nodes come back.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use weft_hw_tests::stack::{Ground, Options, appliance};
use weft_hw_tests::workspace;
use weft_lab::{Firmware, Node, NodeSpec};

/// Ends on events; so long only where this machine has other work.
const PATIENCE: Duration = Duration::from_secs(240);
/// MiB of the small disk: the store keeps 64 of them free of uploads.
const DISK_MIB: u32 = 160;

fn bios(index: u8) -> NodeSpec {
    NodeSpec { firmware: Firmware::Bios, ..NodeSpec::new(index) }
}

/// Writes a file until the disk has no byte left.
fn fill(file: &Path) {
    let mut filler = File::create(file).expect("made");
    let piece = vec![0x77; 1 << 16];
    for size in [piece.len(), 512, 1] {
        while filler.write_all(&piece[..size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_stops_new_nodes_with_clear_words_and_room_lets_them_in() {
    let options = Options { disk_mib: Some(DISK_MIB), ..Options::default() };
    let mut ground = Ground::open("full", &options).expect("an appliance on a small disk");
    let mut first = ground.lab.node(bios(1)).expect("a node");
    first.power_on().expect("on");
    ground.bring_up(std::slice::from_ref(&first)).expect("a ready node");
    let before = ground.listed(&first).expect("asked").expect("listed");

    let filler = ground.access.data().join("filler");
    fill(&filler);
    let mut second = ground.lab.node(bios(2)).expect("another");
    second.power_on().expect("on");
    // Room for leases was set aside, so that it gets as far as asking; letting it in cannot be written down.
    let asks = |seen: &serde_json::Value| seen["state"] == "quarantined";
    let seen = ground.await_listed(&second, "quarantined", asks).expect("it asks");
    let name = seen["name"].as_str().expect("a name");
    let fingerprint = seen["fingerprint"].as_str().expect("a fingerprint");
    let kernel = ground.guest.kernel.display().to_string();
    let approve = ["node", "approve", name, "--fingerprint", fingerprint];
    let create = ["vs", "create", "refused", "--memory", "64M", "--kernel", &kernel];
    for arguments in [approve.as_slice(), &create] {
        let output = ground.access.weft(arguments).output().expect("weft runs");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.contains("make room"), "{arguments:?}: {words}");
    }
    let output = ground.access.weft(&["doctor"]).output().expect("weft doctor runs");
    let findings = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && findings.contains("0 MiB are left on the disk"), "{findings}");
    // What was not acknowledged was not done.
    ground.await_listed(&second, "quarantined", asks).expect("it still asks");
    assert_eq!(ground.access.ask(&["vs", "list"]).expect("asked").as_array().map(Vec::len), Some(0));
    // Who was in stays in.
    ground.await_listed(&first, "ready", |seen| seen["state"] == "ready").expect("the first is well");

    std::fs::remove_file(&filler).expect("removed");
    ground.bring_up(std::slice::from_ref(&second)).expect("there is room again");
    let after = ground.listed(&first).expect("asked").expect("listed");
    for field in ["id", "name", "address", "fingerprint", "state"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    workspace::output(&mut ground.access.weft(&["vs", "create", "accepted", "--memory", "64M"]))
        .expect("the store takes changes again");
}

/// The address that the ROM says it was given, once it says so.
fn acknowledged(node: &Node) -> Option<String> {
    let text = node.serial().text();
    let line = text.lines().rev().find_map(|line| line.trim().strip_prefix("net0: 10.77."))?;
    // Up to the mask: of an address that is still being written, the end is missing.
    Some(format!("10.77.{}", line.split_once('/')?.0))
}

#[test]
fn a_lease_that_was_acknowledged_outlives_an_appliance_killed_in_the_middle() {
    let options = Options::default();
    let mut ground = Ground::open("leases", &options).expect("an appliance");
    let mut leased: Vec<(Node, String)> = Vec::new();
    // Killed as each ROM asks, once just before and once just after it is answered.
    for index in 1..=3 {
        let mut node = ground.lab.node(bios(index)).expect("a node");
        node.power_on().expect("on");
        let end = Instant::now() + PATIENCE;
        if index == 1 {
            node.wait_for("Configuring", PATIENCE).expect("its ROM asks");
        } else {
            while acknowledged(&node).is_none() {
                assert!(Instant::now() < end, "no lease: {}", node.serial().last_lines(5));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        ground.lab.program("appliance").expect("the appliance").kill();
        node.power_off();
        appliance::start_again(&mut ground.lab, &ground.guest, &options).expect("the appliance again");
        if let Some(address) = acknowledged(&node) {
            assert!(leased.iter().all(|(_, other)| *other != address), "{address} was given twice");
            leased.push((node, address));
        }
    }
    assert!(leased.len() >= 2, "two leases at least were acknowledged");
    // Everybody gets back what he had, and boots with it.
    for (node, address) in &mut leased {
        node.power_on().expect("on");
        ground.bring_up(std::slice::from_ref(node)).expect("a ready node");
        let listed = ground.listed(node).expect("asked").expect("listed");
        assert_eq!(listed["address"], **address, "{listed}");
        node.power_off();
    }
}
