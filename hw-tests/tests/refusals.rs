//! What whole nodes must refuse, and who is told: a foreign Secure Boot key, an identity that two nodes hold, a guest
//! whose kernel is not what was uploaded.

use std::path::Path;
use std::time::Duration;

use weft_hw_tests::stack::{Ground, Options, Stack};
use weft_hw_tests::workspace;
use weft_images::hostile::{Attack, kernel};
use weft_lab::{Firmware, NodeSpec, Rom};
use weft_netboot::secureboot;

/// Ends on events; so long only where this machine has other work.
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn firmware_with_another_owners_keys_does_not_start_the_image_and_doctor_says_where_it_stopped() {
    let mut ground = Ground::open("foreign", &Options::default()).expect("an appliance");
    let folder = tempfile::tempdir().expect("a folder");
    let keys = secureboot::make_keys(folder.path()).expect("another owner's keys");
    let variables = folder.path().join("variables.fd");
    let template = Path::new("/usr/share/OVMF/OVMF_VARS_4M.fd");
    secureboot::enroll(template, &keys, &variables, &workspace::target().join("tools")).expect("enrolled");

    let firmware = Firmware::SecureBoot { variables };
    let mut node =
        ground.lab.node(NodeSpec { firmware, rom: Rom::None, ..NodeSpec::new(1) }).expect("a node");
    node.power_on().expect("on");
    node.wait_for("Access Denied", PATIENCE).expect("the firmware refuses");
    let said = node.serial().text();
    assert!(!said.lines().any(|line| line.trim().starts_with("weft")), "it ran: {said}");

    // The appliance saw it fetch the image and heard nothing more.
    let name = format!("boot-{}", node.spec().mac_text().replace(':', ""));
    let end = std::time::Instant::now() + PATIENCE;
    let finding = loop {
        let output = ground.access.weft(&["doctor", "--output", "json"]).output().expect("weft doctor runs");
        let findings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let all = findings.as_array().expect("a list");
        if let Some(found) = all.iter().find(|one| one["name"] == *name && one["state"] == "fail") {
            break found.clone();
        }
        assert!(std::time::Instant::now() < end, "nothing is found: {findings}");
        std::thread::sleep(Duration::from_secs(1));
    };
    assert_eq!(finding["text"], "fetched the image and was never heard again");
    assert!(finding["next"].as_str().is_some_and(|next| next.contains("Secure Boot keys")), "{finding}");
}

#[test]
fn two_nodes_with_one_variable_store_are_both_put_aside_until_a_person_decides() {
    let mut ground = Ground::open("cloned", &Options::default()).expect("an appliance");
    let uefi = |index, variables| NodeSpec {
        firmware: Firmware::SecureBoot { variables },
        rom: Rom::None,
        ..NodeSpec::new(index)
    };
    let store = ground.keys.variable_store().expect("a store");
    let mut first = ground.lab.node(uefi(1, store)).expect("a node");
    first.power_on().expect("on");
    ground.bring_up(std::slice::from_ref(&first)).expect("a ready node");
    let before = ground.listed(&first).expect("asked").expect("listed");

    // Another machine with a copy of its flash.
    let copy = ground.lab.folder().join("copy.fd");
    std::fs::copy(ground.lab.folder().join("node-1.variables.fd"), &copy).expect("copied");
    let mut second = ground.lab.node(uefi(2, copy)).expect("another");
    second.power_on().expect("on");
    second.wait_for("quarantined: identity used twice", PATIENCE).expect("it is told so");
    let event = ground.await_event("node.conflict", "", PATIENCE).expect("an event");
    assert_eq!(event["state"], "error", "{event}");
    let listed = ground.access.ask(&["node", "list"]).expect("asked");
    let holders: Vec<_> = listed
        .as_array()
        .into_iter()
        .flatten()
        .filter(|node| node["fingerprint"] == before["fingerprint"])
        .collect();
    assert_eq!(holders.len(), 1, "one identity: {listed}");
    assert_eq!(holders[0]["state"], "conflict", "{listed}");

    // The copy goes; the person approves what is left.
    second.power_off();
    let name = before["name"].as_str().expect("a name");
    let fingerprint = before["fingerprint"].as_str().expect("a fingerprint");
    let approve = ["node", "approve", name, "--fingerprint", fingerprint];
    workspace::run(&mut ground.access.weft(&approve)).expect("approved again");
    ground
        .await_listed(&first, "ready", |seen| seen["state"] == "ready" && seen["name"] == name)
        .expect("ready again");
}

#[test]
fn a_guest_whose_kernel_changed_on_the_appliance_does_not_start() {
    let stack = Stack::boot("digest", |_| Ok(NodeSpec { firmware: Firmware::Bios, ..NodeSpec::new(1) }))
        .expect("a ready node");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kernel");
    let guest = kernel(Attack { seed: 1, slots: 10, rounds: 1, fatal: false, processors: 1 });
    std::fs::write(&file, &guest).expect("written");
    let file = file.display().to_string();
    let weft = |arguments: &[&str]| stack.weft(arguments).expect("weft does it");
    weft(&["vs", "create", "changed", "--memory", "64M", "--kernel", &file]);
    let begun = std::time::Instant::now();

    // One bit, where the file lies.
    let blob = stack.access.data().join("blobs").join(weft_images::sha256_hex(&guest));
    let mut bytes = std::fs::read(&blob).expect("the stored kernel");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).expect("written");
    weft(&["vs", "start", "changed"]);
    let failed = stack.await_state("changed", &["failed", "running", "off"], PATIENCE).expect("an end");
    assert_eq!(failed["state"], "failed", "{failed}");
    let reason = failed["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("digest"), "{failed}");
    stack.await_ready_since(begun).expect("the node lives on");

    // Mended, it starts; the node kept nothing of the wrong one.
    std::fs::write(&blob, guest).expect("written");
    weft(&["vs", "start", "changed"]);
    stack.await_state("changed", &["off"], PATIENCE).expect("it runs to its end");
}
