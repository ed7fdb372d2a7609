//! Virtual servers and images.

use crate::double::{Double, ready_node, server};
use crate::run::Shell;

#[test]
fn create_uploads_files_first_and_names_them_by_digest() {
    let double = Double::start();
    let shell = Shell::new(&double);
    let kernel = shell.file("vmlinuz", &vec![0x90; 300_000]);
    let initrd = shell.file("initrd", b"small");
    let result = shell.run(&[
        "vs",
        "create",
        "web",
        "--vcpus",
        "2",
        "--memory",
        "1G",
        "--kernel",
        &kernel,
        "--initrd",
        &initrd,
        "--append",
        "--quiet x",
    ]);
    assert_eq!(result.code, 0, "{}", result.err);
    let heard = double.world().heard.clone();
    assert_eq!(heard[0], "PUT /api/v1/blobs (300000 bytes)");
    assert_eq!(heard[1], "PUT /api/v1/blobs small");
    let body: serde_json::Value =
        serde_json::from_str(heard[2].strip_prefix("POST /api/v1/vs ").expect("the creation")).expect("JSON");
    assert_eq!(body["memory_mib"], 1024);
    assert_eq!(body["kernel"], "aa".repeat(32));
    assert_eq!(body["initrd"], "bb".repeat(32));
    assert_eq!(body["append"], "--quiet x");
    assert_eq!(heard.len(), 3, "it is not started: {heard:?}");
}

#[test]
fn a_digest_is_not_uploaded() {
    let double = Double::start();
    let digest = "AB".repeat(32);
    let result = Shell::new(&double).run(&["vs", "create", "web", "--kernel", &digest]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(double.world().heard[0].contains(&digest.to_lowercase()), "{:?}", double.world().heard);
}

fn span() -> weft_api::Span {
    let rates = weft_api::SpanRates { remote_read: 123.4, messages_sent: 10_000.0, ..Default::default() };
    let mut counts = [0; 30];
    (counts[18], counts[24]) = (99, 1);
    let node = |name: &str, vcpu| weft_api::SpanNode {
        node: name.into(),
        state: "running".into(),
        age_ms: Some(300),
        vcpus: vec![weft_api::SpanVcpu { vcpu, cpu: 1 }],
        memory_mib: 150,
        rates: Some(rates),
        read_latency: weft_api::SpanLatency::of(&counts),
        links: vec![weft_api::SpanLink { rtt_ns: Some(250_000), ..Default::default() }],
        ..Default::default()
    };
    let silent = weft_api::SpanNode { node: "node-3".into(), state: "fetching".into(), ..Default::default() };
    let page = weft_api::SpanPage {
        address: "0x1c05000".into(),
        node: "node-2".into(),
        region: "ram".into(),
        reads: 77,
        ..Default::default()
    };
    weft_api::Span {
        name: "big".into(),
        state: "running".into(),
        instance: 1,
        nodes: vec![node("node-1", 0), node("node-2\u{1b}", 1), silent],
        hottest: vec![page],
    }
}

#[test]
fn a_spanning_server_shows_its_nodes_and_hottest_pages() {
    let double = Double::start();
    let mut big = server("big", "running");
    big.partition = "p1".into();
    double.world().vs = vec![big];
    double.world().spans = [span(), span(), span()].into();
    let shell = Shell::new(&double);
    let result = shell.run(&["vs", "span", "big"]);
    assert_eq!(result.code, 0, "{}", result.err);
    let lines: Vec<Vec<&str>> = result.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let at = |line: usize, title: &str| {
        // Every cell is one word but MEMORY's and PAGES', which stand before what is looked for.
        let titles = &lines[0];
        let from_end = titles.iter().rev().position(|word| *word == title).expect(title);
        lines[line][lines[line].len() - 1 - from_end]
    };
    assert_eq!((at(1, "READ/S"), at(1, "MESSAGES/S"), at(1, "RTT")), ("123", "10.0k", "250us"));
    assert_eq!(lines[1][2], "0@1");
    assert_eq!(at(3, "RTT"), "-", "it has said nothing yet");
    assert!(result.out.contains("hottest pages\n") && !result.out.contains('\u{1b}'), "{}", result.out);
    assert!(lines.contains(&vec!["0x1c05000", "node-2", "ram", "77", "0", "0"]), "{}", result.out);

    let result = shell.run(&["vs", "span", "big", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&result.out).expect("JSON alone on standard output");
    assert_eq!(value["nodes"][0]["rates"]["remote_read"], 123.4);
    assert_eq!(value["nodes"][2]["rates"], serde_json::Value::Null);

    let result = shell.run(&["vs", "show", "big"]);
    assert!(result.out.contains("0x1c05000"), "{}", result.out);
    let result = shell.run(&["vs", "show", "big"]);
    assert_eq!(result.code, 0, "its figures are no condition: {}", result.err);
    assert!(result.err.contains("does not span nodes"), "{}", result.err);
}

#[test]
fn span_watch_looks_again_until_it_cannot() {
    let double = Double::start();
    double.world().spans = [span(), span()].into();
    let result = Shell::new(&double).run(&["vs", "span", "big", "--watch", "-o", "json"]);
    assert_eq!(result.code, 4, "refused at the third look: {}", result.err);
    let looks: Vec<serde_json::Value> =
        result.out.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    assert_eq!(looks.len(), 2);
}

#[test]
fn start_waits_for_the_state() {
    let double = Double::start();
    double.world().states = ["starting", "fetching", "running"].into();
    let result = Shell::new(&double).run(&["vs", "create", "web", "--start", "--wait", "-o", "json"]);
    assert_eq!(result.code, 0, "{}", result.err);
    let value: serde_json::Value = serde_json::from_str(&result.out).expect("JSON alone on standard output");
    assert_eq!(value[0]["state"], "running");
}

#[test]
fn start_without_a_terminal_returns_at_once() {
    let double = Double::start();
    double.world().vs = vec![server("web", "stopped")];
    double.world().states = ["starting"].into();
    let result = Shell::new(&double).run(&["vs", "start", "web"]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(result.out.contains("starting"), "{}", result.out);
}

#[test]
fn a_start_that_fails_gives_the_reason() {
    let double = Double::start();
    double.world().vs = vec![server("web", "stopped")];
    double.world().states = ["starting", "failed"].into();
    let result = Shell::new(&double).run(&["vs", "start", "web", "--wait"]);
    assert_eq!(result.code, 1);
    assert!(result.err.contains("web failed: triple fault"), "{}", result.err);
}

#[test]
fn waiting_too_long_is_seven() {
    let double = Double::start();
    double.world().vs = vec![server("web", "starting")];
    let result = Shell::new(&double).run(&["vs", "start", "web", "--wait", "--timeout", "1"]);
    assert_eq!(result.code, 7, "{}", result.err);
    assert!(result.err.contains("still starting after 1 s"), "{}", result.err);
}

#[test]
fn an_image_is_published_with_its_companion_and_activated() {
    let double = Double::start();
    let shell = Shell::new(&double);
    let (image, bios) = (shell.file("weft.efi", &[7; 5000]), shell.file("weft.mb", b"bios"));
    let result = shell.run(&["image", "publish", &image, "--bios", &bios, "--activate", "-o", "json"]);
    assert_eq!(result.code, 0, "{}", result.err);
    let digest = "ab".repeat(32);
    assert_eq!(
        double.world().heard,
        [
            "POST /api/v1/images (5000 bytes)".to_owned(),
            format!("PUT /api/v1/images/{digest}/bios bios"),
            format!("POST /api/v1/images/{digest}/activate"),
        ]
    );
}

#[test]
fn an_image_is_found_by_its_first_digits_or_not_at_all() {
    let double = Double::start();
    let image = |digest: &str| weft_api::Image {
        name: digest[..4].into(),
        digest: digest.repeat(16),
        ..weft_api::Image::default()
    };
    double.world().images = vec![image("abcd"), image("abce")];
    let shell = Shell::new(&double);
    assert_eq!(shell.run(&["image", "activate", "abcd"]).code, 0);
    assert_eq!(shell.run(&["image", "revoke", "abc", "--yes"]).code, 2, "two fit");
    assert_eq!(shell.run(&["image", "activate", "ff"]).code, 3);
    assert_eq!(double.world().heard, [format!("POST /api/v1/images/{}/activate", "abcd".repeat(16))]);
}

#[test]
fn push_goes_to_every_ready_node() {
    let double = Double::start();
    let mut away = ready_node("node-2");
    away.state = "lost".into();
    double.world().nodes = vec![ready_node("node-1"), away];
    let shell = Shell::new(&double);
    assert_eq!(shell.run(&["config", "push"]).code, 0);
    assert_eq!(shell.run(&["config", "push", "node-2"]).code, 0);
    assert_eq!(double.world().heard, ["POST /api/v1/nodes/node-1/push", "POST /api/v1/nodes/node-2/push"]);
}

#[test]
fn verbs_without_an_appliance_need_none() {
    let double = Double::start();
    let mut shell = Shell::logged_out(&double);
    shell.url = "http://127.0.0.1:9".into();
    let image = shell.file("not-an-image", b"MZ nothing");
    let result = shell.run(&["image", "inspect", &image]);
    assert_eq!((result.code, result.out.as_str()), (4, ""), "{}", result.err);
    assert_eq!(shell.run(&["image", "inspect", "/does/not/exist"]).code, 2);
    let help = shell.run(&["image", "build", "--help"]);
    assert!(help.out.contains("unsigned manifest"), "{}", help.out);
}
