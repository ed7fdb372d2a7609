//! Whole nodes on networks as they are: somebody else's DHCP server, a second appliance, power that fails in the middle.

use std::time::Duration;

use serde_json::Value;
use weft_hw_tests::peers;
use weft_hw_tests::stack::{Dhcp, Ground, Options, appliance, nodes};
use weft_lab::{Faults, Firmware, NodeSpec, Rom};

/// Ends on events; so long only where this machine has other work.
const PATIENCE: Duration = Duration::from_secs(240);
/// The further host of these tests.
const OTHER: &str = "10.77.0.2";

fn bios(index: u8) -> NodeSpec {
    NodeSpec { firmware: Firmware::Bios, ..NodeSpec::new(index) }
}

fn own_pxe(index: u8) -> NodeSpec {
    NodeSpec { rom: Rom::None, ..NodeSpec::new(index) }
}

/// Boots a node where dnsmasq gives addresses and knows nothing of Weft.
fn becomes_ready_beside_dnsmasq(name: &str, spec: NodeSpec) {
    let mut ground = Ground::open(name, &Options { dhcp: Dhcp::Beside(OTHER), ..Options::default() })
        .expect("an appliance that gives no addresses");
    let leases = ground.lab.folder().join("dnsmasq.leases");
    let mut host = ground.lab.host("dhcp", &format!("{OTHER}/24")).expect("a host");
    let log = peers::start_dnsmasq_for_addresses(&mut host, &leases).expect("dnsmasq");
    let mut node = ground.lab.node(spec).expect("a node");
    node.power_on().expect("on");
    ground.bring_up(std::slice::from_ref(&node)).expect("a ready node");

    let listed = ground.listed(&node).expect("asked").expect("listed");
    let address = listed["address"].as_str().unwrap_or_default().to_owned();
    let granted = std::fs::read_to_string(&leases).expect("dnsmasq's leases");
    let mac = node.spec().mac_text();
    let own =
        granted.lines().find(|line| line.contains(&mac)).unwrap_or_else(|| panic!("no {mac} in {granted}"));
    assert!(!address.is_empty() && own.split(' ').any(|field| field == address), "{own} is not {address}");
    let rogues = ground.events("dhcp.rogue").expect("events");
    assert!(rogues.is_empty(), "an allowed server raises no alarm: {rogues:?}");
    let said = std::fs::read_to_string(log).expect("dnsmasq's log");
    assert!(said.contains("DHCPACK"), "{said}");
}

#[test]
fn nodes_become_ready_beside_a_dhcp_server_that_gives_addresses_only() {
    let all = [("proxy-bios", bios(1)), ("proxy-uefi", own_pxe(1))];
    // BIOS always; firmware's own PXE in the soak.
    let count = if weft_hw_tests::is_soak() { all.len() } else { 1 };
    for (name, spec) in all.into_iter().take(count) {
        eprintln!("cell {name}");
        becomes_ready_beside_dnsmasq(name, spec);
    }
}

#[test]
fn a_second_dhcp_server_raises_an_alarm_and_takes_no_node_away() {
    let mut ground = Ground::open("rogue", &Options::default()).expect("an appliance");
    let mut node = ground.lab.node(bios(1)).expect("a node");
    node.power_on().expect("on");
    ground.bring_up(std::slice::from_ref(&node)).expect("a ready node");
    let before = ground.listed(&node).expect("asked").expect("listed");

    let mut host = ground.lab.host("other", &format!("{OTHER}/24")).expect("a host");
    let options = Options { dhcp: Dhcp::Range("10.77.0.10-10.77.0.40"), ..Options::default() };
    appliance::start_second(&ground.lab, &mut host, &ground.keys, &options).expect("a second appliance");
    // It probes each minute.
    let alarm = ground.await_event("dhcp.rogue", OTHER, PATIENCE).expect("an alarm");
    assert_eq!(alarm["state"], "error", "{alarm}");

    // Cut off and back again: it returns to the appliance that approved it, as what it was.
    let port = node.spec().name.clone();
    ground.lab.set_group(&port, 1).expect("cut");
    ground.await_listed(&node, "lost", |seen| seen["state"] == "lost").expect("missed");
    ground.lab.set_group(&port, 0).expect("healed");
    let after = ground.await_listed(&node, "ready", |seen| seen["state"] == "ready").expect("back");
    for field in ["id", "name", "address", "fingerprint"] {
        assert_eq!(after[field], before[field], "{field}");
    }
}

#[test]
fn a_node_that_lost_power_in_the_middle_of_its_image_boots_when_power_is_back() {
    let mut ground = Ground::open("power", &Options::default()).expect("an appliance");
    let mut node = ground.lab.node(own_pxe(1)).expect("a node");
    // So slow that the image takes its time.
    let slow = Faults { delay_min_us: 50_000, delay_max_us: 50_000, ..Faults::default() };
    ground.lab.set_faults(&node.spec().name, slow).expect("set");
    node.power_on().expect("on");
    ground.await_listed(&node, "fetching", fetching).expect("a transfer");
    await_frames(&ground, 100);
    node.power_off();
    let said = node.serial().text();
    assert!(!said.lines().any(|line| line.trim().starts_with("weft")), "the image had arrived: {said}");

    // The appliance notices by itself that nobody takes the rest, and says so.
    let end = std::time::Instant::now() + PATIENCE;
    let ended = "of weft.efi ended after ";
    let bytes = loop {
        let findings = doctor(&ground);
        if let Some((_, after)) = findings.split_once(ended) {
            break after.split(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count");
        }
        assert!(std::time::Instant::now() < end, "the transfer never ended: {findings}");
        std::thread::sleep(Duration::from_millis(500));
    };
    assert!(bytes > 0, "it was under way");

    ground.lab.set_faults(&node.spec().name, Faults::default()).expect("set");
    node.power_on().expect("on again");
    ground.bring_up(std::slice::from_ref(&node)).expect("a ready node");
    let findings = doctor(&ground);
    assert!(!findings.contains(ended), "nothing is left of it: {findings}");
}

/// What the appliance finds wrong; it need not be all well.
fn doctor(ground: &Ground) -> String {
    let output = ground.access.weft(&["doctor", "--output", "json"]).output().expect("weft doctor runs");
    String::from_utf8(output.stdout).expect("text")
}

/// Whether the appliance has seen it load something.
fn fetching(seen: &Value) -> bool {
    seen["stages"].as_array().is_some_and(|all| all.iter().any(|one| one["stage"] == "fetch"))
}

/// Waits until the wire has carried so many frames more.
fn await_frames(ground: &Ground, more: u64) {
    let carried = || ground.lab.stats().expect("counters").delivered;
    let (goal, end) = (carried() + more, std::time::Instant::now() + PATIENCE);
    while carried() < goal {
        assert!(std::time::Instant::now() < end, "the wire is silent");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nodes_become_ready_though_the_appliance_was_killed_while_they_booted() {
    let options = Options::default();
    let mut ground = Ground::open("killed", &options).expect("an appliance");
    let mut first = ground.lab.node(own_pxe(1)).expect("a node");
    let mut second = ground.lab.node(bios(2)).expect("another");
    first.power_on().expect("on");
    ground.await_listed(&first, "quarantined", |seen| seen["state"] == "quarantined").expect("it asks");
    // Far away, so that its image is still on its way.
    let far = Faults { delay_min_us: 400_000, delay_max_us: 400_000, ..Faults::default() };
    ground.lab.set_faults(&second.spec().name, far).expect("set");
    second.power_on().expect("on");
    // A ROM that gets no script gives up for good, as firmware does; from the script on, iPXE tries again.
    let end = std::time::Instant::now() + PATIENCE;
    while !second.serial().text().contains("/weft.bios") {
        assert!(std::time::Instant::now() < end, "no image: {}", second.serial().last_lines(5));
        std::thread::sleep(Duration::from_millis(50));
    }
    // It stays on its way until the appliance is gone, however long that takes.
    ground.lab.set_group(&second.spec().name, 1).expect("cut");
    nodes::approve_when_it_asks(&ground.access, &first, PATIENCE).expect("approved");
    // As soon as the approval is acknowledged.
    ground.lab.program("appliance").expect("the appliance").kill();
    ground.lab.set_group(&second.spec().name, 0).expect("healed");
    let said = second.serial().text();
    assert!(!said.lines().any(|line| line.trim().starts_with("weft")), "the image had arrived: {said}");
    ground.lab.set_faults(&second.spec().name, Faults::default()).expect("set");
    appliance::start_again(&mut ground.lab, &ground.guest, &options).expect("the appliance again");

    // Nobody approves the first once more.
    let ready = |seen: &Value| seen["state"] == "ready";
    ground.await_listed(&first, "ready", ready).expect("approved still");
    ground.bring_up(std::slice::from_ref(&second)).expect("the other, too");
    ground.await_listed(&first, "ready", ready).expect("ready still");
}
