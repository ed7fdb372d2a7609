//! A rollout on a whole node: it restarts into another image and back, and its server is stopped before and started after.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use weft_hw_tests::stack::{Stack, image};
use weft_lab::{Firmware, NodeSpec, Rom};

/// For each wait; so long only where this machine has other work.
const PATIENCE: Duration = Duration::from_secs(400);
const PATIENCE_S: &str = "400";

/// Waits until the shell of the server's instance of this number answers. What is typed before it waits for a line is lost.
fn answers(stack: &Stack, instance: u64) {
    let (line, answer) = (format!("echo shell-$(({instance} + 0))\n"), format!("(?m)^shell-{instance}"));
    let end = Instant::now() + PATIENCE;
    loop {
        let mut console =
            stack.access.weft(&["vs", "console", "shell", "--timeout", "10", "--wait-for", &answer]);
        let mut child = console.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("weft starts");
        child.stdin.take().expect("a pipe").write_all(line.as_bytes()).expect("typed");
        if child.wait().expect("weft ends").success() {
            break;
        }
        assert!(Instant::now() < end, "the shell of instance {instance} does not answer");
    }
    assert_eq!(stack.server("shell").expect("there")["instance"], instance);
}

#[test]
fn a_node_and_its_server_are_taken_to_another_image_and_back() {
    let stack = Stack::boot("rollout", |keys| {
        let firmware = Firmware::SecureBoot { variables: keys.variable_store()? };
        Ok(NodeSpec { firmware, rom: Rom::None, ..NodeSpec::new(1) })
    })
    .expect("a ready node");
    let weft = |arguments: &[&str]| stack.weft(arguments).expect("weft does it");
    let before = stack.listed_node().expect("listed");
    weft(&["vs", "create", "shell", "--memory", "128M", "--append=quiet", "--start", "--wait"]);
    answers(&stack, 1);

    let another = image::another(stack.keys()).expect("another image");
    weft(&["image", "publish", &another.file.display().to_string()]);
    let start = ["image", "rollout", "start", &another.digest, "--all", "--timeout", PATIENCE_S];
    // A node that runs a server is let alone unless that may be stopped.
    let refused = stack.access.weft(&start).output().expect("weft runs");
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("shell"),
        "{refused:?}"
    );
    let follow = |begun: &serde_json::Value| {
        let number = begun[0]["number"].to_string();
        weft(&["image", "rollout", "watch", &number, "--timeout", PATIENCE_S]);
        number
    };
    let begun = stack.access.ask(&[&start[..], &["--drain", "stop"]].concat()).expect("it begins");
    let number = follow(&begun);
    let after = stack.listed_node().expect("listed");
    assert_eq!(after["image"], another.digest.as_str(), "{after}");
    for field in ["fingerprint", "trusted_boot"] {
        assert_eq!(after[field], before[field], "{field}: {after}");
    }
    answers(&stack, 2);

    follow(&stack.access.ask(&["image", "rollout", "back", &number]).expect("it begins"));
    let back = stack.listed_node().expect("listed");
    for field in ["image", "generation", "fingerprint", "trusted_boot"] {
        assert_eq!(back[field], before[field], "{field}: {back}");
    }
    answers(&stack, 3);
}
