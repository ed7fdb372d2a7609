//! Start and end: clear refusals, a clean stop.

use std::process::Stdio;
use std::time::{Duration, Instant};

use weft_signing::document;

use crate::common::{Appliance, Made, command, digests, hex, prepared, roots, sim};

fn refusal(mut command: std::process::Command) -> String {
    let done = command.stdout(Stdio::null()).output().expect("weft runs");
    assert!(!done.status.success());
    String::from_utf8_lossy(&done.stderr).into_owned()
}

#[test]
fn it_refuses_to_start_with_clear_words() {
    let (folder, key, delegation) = prepared();
    let data = folder.path().join("data");

    let mut none = command(&data);
    none.args(["--address", "192.0.2.1"]);
    assert!(refusal(none).contains("lo has no address 192.0.2.1"));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let mut busy = std::process::Command::new(crate::common::WEFT);
    busy.args(["appliance", "run", "--interface", "lo", "--dhcp", "off", "--api-listen", "127.0.0.1:0"])
        .args(["--tftp-port", "0", "--http-port", &port, "--agent-port", "0", "--data"])
        .arg(&data);
    let text = refusal(busy);
    assert!(text.contains(&port) && text.contains("another program has the port"), "{text}");

    let file = folder.path().join("a-file");
    std::fs::write(&file, "").expect("written");
    assert!(refusal(command(&file.join("data"))).contains("cannot make"));

    let mut full = command(&data);
    full.args(["--dhcp", "full"]);
    assert!(!refusal(full).is_empty());

    let first = Appliance::start(&folder, key, &delegation);
    let text = refusal(command(&data));
    assert!(text.contains("another appliance runs on"), "{text}");
    drop(first);
}

#[test]
fn a_lab_root_is_refused_without_lab() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = folder.path().join("lab.bin");
    std::fs::write(&lab, document::root_set(&roots(true))).expect("written");
    let init = |lab_too: bool| {
        let mut init = std::process::Command::new(crate::common::WEFT);
        init.args(["appliance", "init", "--data"]).arg(folder.path().join("data")).arg("--roots").arg(&lab);
        if lab_too {
            init.arg("--lab");
        }
        init
    };
    assert!(refusal(init(false)).contains("lab root set"));
    assert!(init(true).output().expect("weft runs").status.success());
    assert!(refusal(command(&folder.path().join("data"))).contains("lab root set"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_cleanly_and_the_next_start_has_everything() {
    let (folder, mut appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    let pid = rustix::process::Pid::from_child(&appliance.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    let end = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = appliance.child.try_wait().expect("waited") {
            break status;
        }
        assert!(Instant::now() < end, "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(status.success(), "{status}");
    while session.next().await.is_ok() {}
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    assert_eq!(client.node(&node).await["state"], "approved");
    assert_eq!(client.get("/api/v1/images").await[0]["digest"], hex(&digests(&file).1));
    client.event("appliance.stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_files_are_taken_while_it_runs_and_older_ones_are_not() {
    let (folder, appliance, client, _) = Appliance::with_image().await;
    let config = client.get("/api/v1/config").await;
    assert_eq!(config["delegation_version"], 1);
    let mut next = appliance.delegation.clone();
    next.version = 2;
    let install = |delegation: &weft_format::delegation::Delegation| {
        let blank = document::delegation(delegation).expect("encoded");
        let signed = [1u8, 2].iter().fold(blank, |bytes, number| {
            let holder = weft_signing::Holder::from_seed("h", [*number; 32].into()).expect("a key");
            document::sign(&bytes, &holder, &roots(false)).expect("signed")
        });
        let path = folder.path().join("next.bin");
        std::fs::write(&path, signed).expect("written");
        std::process::Command::new(crate::common::WEFT)
            .args(["appliance", "init", "--data"])
            .arg(&appliance.data)
            .arg("--delegation")
            .arg(&path)
            .output()
            .expect("weft runs")
    };
    assert!(install(&next).status.success());
    client.until("/api/v1/config", "version 2", |config| config["delegation_version"] == 2).await;
    let older = install(&appliance.delegation);
    assert!(!older.status.success());
    assert!(String::from_utf8_lossy(&older.stderr).contains("older"), "{older:?}");
    // The images made in these tests differ only as told.
    assert_ne!(digests(&Made::default().file()).1, [0; 32]);
}
