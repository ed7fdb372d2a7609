//! A rollout on a whole node: it restarts into another image and back, and its server is stopped before and started after.

use weft_hw_tests::stack::{Stack, image};
use weft_images::guest;
use weft_lab::{Firmware, NodeSpec, Rom};

/// Seconds for each wait; so long only where this machine has other work.
const PATIENCE_S: &str = "400";

/// The node's server with an instance of this number in its userland, which that instance has said by itself.
fn boots(stack: &Stack, instance: u64) {
    let up = format!("(?s)({}.*){{{instance}}}", guest::USERLAND_UP);
    let console = ["vs", "console", "shell", "--timeout", PATIENCE_S, "--wait-for", &up];
    stack.weft(&console).expect("it boots");
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
    boots(&stack, 1);

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
        let number = begun["number"].to_string();
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
    boots(&stack, 2);

    follow(&stack.access.ask(&["image", "rollout", "back", &number]).expect("it begins"));
    let back = stack.listed_node().expect("listed");
    for field in ["image", "generation", "fingerprint", "trusted_boot"] {
        assert_eq!(back[field], before[field], "{field}: {back}");
    }
    boots(&stack, 3);
}
