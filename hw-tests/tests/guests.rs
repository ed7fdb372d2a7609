//! Guests on one node: several at once, with several processors, and some that attack the monitor. An attacker
//! ends alone; its neighbour and its node notice nothing.

use std::time::{Duration, Instant};

use serde_json::Value;
use weft_hw_tests::defect;
use weft_hw_tests::stack::Stack;
use weft_images::guest::USERLAND_UP;
use weft_images::hostile::{Attack, kernel};
use weft_lab::{Firmware, NodeSpec};

const BOOT_S: &str = "240";

/// Rounds of the patient attackers: some seconds here, minutes in the soak. Each goes through all attacks once.
fn rounds() -> u32 {
    if weft_hw_tests::is_soak() { 500 } else { 10 }
}

#[test]
fn attackers_end_alone_beside_a_guest_with_two_processors() {
    let stack = Stack::boot("guests", |_| Ok(NodeSpec { firmware: Firmware::Bios, ..NodeSpec::new(1) }))
        .expect("a ready node");
    let weft = |arguments: &[&str]| stack.weft(arguments).expect("weft does it");
    weft(&[
        "vs",
        "create",
        "neighbour",
        "--vcpus",
        "2",
        "--memory",
        "256M",
        "--append=quiet",
        "--start",
        "--wait",
    ]);
    let up = format!("{USERLAND_UP}.*\\n");
    weft(&["vs", "console", "neighbour", "--timeout", BOOT_S, "--wait-for", &up]);

    let first = processors(&stack);
    assert_eq!(first.len(), 2, "{first:?}");
    // Changed about, both on one, and each on its own again, under a guest that runs on.
    let swapped: Vec<_> = first.iter().map(|(vcpu, processor)| (*vcpu, 1 - processor)).collect();
    for (round, wanted) in [swapped, vec![(0, 1), (1, 1)], first].into_iter().enumerate() {
        pin(&stack, &wanted);
        answers(&stack, round);
    }

    let begun = Instant::now();
    let folder = tempfile::tempdir().expect("a folder");
    // Attacks that a monitor survives by answering them, then some that it may only answer by stopping the guest.
    // The third has a second processor that does nothing but interrupt the first.
    for (seed, fatal, processors) in [(1, false, 1), (2, false, 1), (3, false, 2), (4, true, 1)] {
        let name = format!("attacker-{seed}");
        let file = folder.path().join(&name);
        std::fs::write(&file, kernel(Attack { seed, slots: 5000, rounds: rounds(), fatal, processors }))
            .expect("written");
        let file = file.display().to_string();
        let vcpus = processors.to_string();
        let mut runs = 0;
        let ended = defect::again(Value::to_string, || {
            runs += 1;
            if runs > 1 {
                weft(&["vs", "delete", &name]);
            }
            weft(&[
                "vs", "create", &name, "--memory", "64M", "--vcpus", &vcpus, "--kernel", &file, "--start",
            ]);
            stack.await_state(&name, &["off", "failed"], Duration::from_secs(1200)).expect("an end")
        });
        let reason = ended["reason"].as_str().unwrap_or_default();
        if fatal {
            assert_eq!(ended["state"], "failed", "{ended}");
            assert!(reason.contains("rip 0x"), "the report names the place: {ended}");
        } else {
            assert_eq!(ended["state"], "off", "{ended}");
        }
    }

    stack.await_ready_since(begun).expect("the node lives on");
    let neighbour = stack.server("neighbour").expect("the neighbour");
    assert_eq!(neighbour["state"], "running", "{neighbour}");
    answers(&stack, 3);
}

/// The neighbour's virtual processors, and the processor of the node that each has.
fn processors(stack: &Stack) -> Vec<(u64, u64)> {
    let server = stack.access.ask(&["vs", "show", "neighbour"]).expect("the neighbour");
    let all = server["processors"].as_array().cloned().unwrap_or_default();
    let number = |one: &Value, what: &str| one[what].as_u64().expect("a number");
    all.iter().map(|one| (number(one, "vcpu"), number(one, "processor"))).collect()
}

/// Gives the neighbour's virtual processors these processors, and waits until the node says that they have them.
fn pin(stack: &Stack, wanted: &[(u64, u64)]) {
    let pairs: Vec<_> = wanted.iter().map(|(vcpu, processor)| format!("{vcpu}={processor}")).collect();
    stack.weft(&["vs", "set", "neighbour", "--affinity", &pairs.join(",")]).expect("weft does it");
    let end = Instant::now() + Duration::from_secs(60);
    while processors(stack) != wanted {
        assert!(Instant::now() < end, "never {wanted:?}: {:?}", processors(stack));
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The neighbour answers after both of its processors have computed. `round` tells this answer from earlier ones.
fn answers(stack: &Stack, round: usize) {
    let answer = format!("(?m)^round {round}: 2");
    let mut console = stack.access.weft(&[
        "vs",
        "console",
        "neighbour",
        "--send-after",
        USERLAND_UP,
        "--wait-for",
        &answer,
        "--timeout",
        "60",
    ]);
    console.stdin(std::process::Stdio::piped());
    let mut child = console.spawn().expect("weft starts");
    let typed = format!(
        "f() {{ i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; }}; f & f & wait; \
         echo round {round}: $(grep -c ^processor /proc/cpuinfo)\n"
    );
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), typed.as_bytes()).expect("typed");
    assert!(child.wait().expect("weft ends").success(), "the neighbour does not answer");
}
