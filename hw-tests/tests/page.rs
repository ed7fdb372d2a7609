//! The page in a real browser, in front of a whole node: approved by what its own console shows, a guest's shell used.

use std::time::Duration;

use weft_hw_tests::stack::{Ground, Options, nodes};
use weft_hw_tests::workspace::{command, web};
use weft_lab::{Firmware, NodeSpec};

/// What the guest's shell says when it waits for a command.
const PROMPT: &str = "guest:/#";
/// Between a node that asks to be let in and its fingerprint on its own console.
const LOOKS: u32 = 100;

#[test]
fn an_operator_admits_a_node_and_uses_a_guest_in_the_browser() {
    let mut ground = Ground::open("page", &Options::default()).expect("an appliance");
    // With room for all servers that the script makes.
    let spec = NodeSpec { firmware: Firmware::Bios, memory_mib: 2048, ..NodeSpec::new(1) };
    let mut node = ground.lab.node(spec).expect("a node");
    node.power_on().expect("on");
    let waits = ground.await_listed(&node, "there", |seen| seen["state"] == "quarantined").expect("it asks");
    let fingerprint = (0..LOOKS)
        .find_map(|_| {
            std::thread::sleep(Duration::from_millis(200));
            nodes::fingerprint(&node)
        })
        .expect("its fingerprint");
    // As the owner of the machine hands the first password over; the page has it changed.
    let fresh = ground.lab.folder().join("fresh-password");
    std::fs::write(&fresh, "a password of the test").expect("written");

    let mut browser = command(&["node", "e2e/run.mjs"]);
    browser
        .current_dir(web())
        .env("WEFT_URL", &ground.access.url)
        .env("WEFT_CA", &ground.access.certificate)
        .env("WEFT_PASSWORD_FILE", &ground.access.password)
        .env("WEFT_NEW_PASSWORD_FILE", &fresh)
        .env("WEFT_NODE", waits["name"].as_str().expect("a name"))
        .env("WEFT_FINGERPRINT", fingerprint)
        .env("WEFT_GUEST_PROMPT", PROMPT);
    let done = browser.output().expect("node runs");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    assert!(text.contains("ok   its console is a shell"), "{text}");
}
