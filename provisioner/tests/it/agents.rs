//! Nodes: quarantine, approval, records, clones, garbage.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_server::simnode::{Heard, SimError};
use weft_types::VsId;
use weft_wire::agent::{BootKind, Command, ToNode, VsState};
use weft_wire::record::{Desired, Verdict};

use crate::common::{Appliance, Made, digests, sim};

fn vs_id(text: &str) -> VsId {
    let mut id = [0; 16];
    for (slot, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("hexadecimal");
    }
    VsId(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_waits_without_records_until_its_fingerprint_is_approved() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    assert!(session.welcome.quarantined);
    assert_eq!(session.welcome.reason, "waiting for approval");
    let shown = client.node(&node).await;
    assert_eq!(shown["state"], "quarantined");
    assert_eq!(shown["fingerprint"], node.fingerprint());
    assert_eq!(shown["trusted_boot"], true);
    assert_eq!(shown["memory_kib"], 2 * 1024 * 1024);

    // Nothing but pings comes.
    let quiet = tokio::time::timeout(Duration::from_secs(3), async {
        loop {
            match session.next().await.expect("a message") {
                Heard::Message(ToNode::Ping) => {}
                other => return other,
            }
        }
    });
    assert!(quiet.await.is_err(), "a quarantined node was sent something");

    let wrong = json!({"fingerprint": "0000-0000-0000-0000-0000-0000-0000-0000"});
    let (status, reply) = client.json("POST", "/api/v1/nodes/node-1/approve", &wrong).await;
    assert_eq!((status, reply["code"].as_str()), (409, Some("fingerprint-differs")));
    assert_eq!(client.node(&node).await["state"], "quarantined");

    client.approve(&node).await;
    loop {
        match session.next().await.expect("a record") {
            Heard::Standing(standing) => {
                assert_eq!(standing.verdict, Verdict::Good);
                assert_eq!(standing.manifest_digest.0, digests(&file).0);
                break;
            }
            Heard::Message(ToNode::Ping) => {}
            other => panic!("{other:?}"),
        }
    }
    let config = session.next_config().await.expect("a configuration");
    assert_eq!(config.name, "node-1");
    assert_eq!(client.node(&node).await["state"], "ready");
    let stages = client.node(&node).await["stages"].clone();
    assert!(
        stages.as_array().is_some_and(|all| all.iter().any(|stage| stage["stage"] == "channel")),
        "{stages}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn intent_reaches_the_node_as_signed_records_on_change_and_on_reconnect() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let mut node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    assert!(session.next_config().await.expect("empty").servers.is_empty());

    let (status, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    assert_eq!(status, 200, "{blob}");
    let wanted =
        json!({"name": "db", "vcpus": 2, "memory_mib": 256, "kernel": blob["digest"], "append": "quiet"});
    let (status, vs) = client.json("POST", "/api/v1/vs", &wanted).await;
    assert_eq!(status, 201, "{vs}");
    assert_eq!(vs["node"], "node-1");
    assert!(vs["macs"][0].as_str().is_some_and(|mac| mac.starts_with("02:57:")), "{vs}");
    let config = session.next_config().await.expect("created");
    assert_eq!(config.servers[0].desired, Desired::Stopped);
    assert_eq!(config.servers[0].kernel.size, 8);

    assert_eq!(client.send("POST", "/api/v1/vs/db/start", Vec::new()).await.0, 204);
    let config = session.next_config().await.expect("started");
    assert_eq!((config.servers[0].desired, config.servers[0].instance), (Desired::Running, 1));
    assert_eq!(client.get("/api/v1/vs/db").await["state"], "starting");
    let id = vs_id(vs["id"].as_str().expect("an id"));
    session.status(id, 2, 1, VsState::Running).await.expect("sent");
    client.until("/api/v1/vs/db", "running", |vs| vs["state"] == "running").await;

    let last = *session.numbers.last().expect("numbers");
    drop(session);
    client.until("/api/v1/nodes/node-1", "lost", |node| node["state"] == "lost").await;
    assert_eq!(client.get("/api/v1/vs/db").await["state"], "unknown");

    // A crash of the appliance and a new boot of the node: same intent, later numbers.
    let appliance = appliance.crash_and_restart(&folder);
    node.reboot();
    let mut session = appliance.connect(&node).await;
    assert!(!session.welcome.quarantined, "approval is kept");
    let config = session.next_config().await.expect("again");
    assert_eq!((config.servers[0].desired, config.servers[0].instance), (Desired::Running, 1));
    assert!(session.numbers[0] > last, "{:?} after {last:?}", session.numbers[0]);

    let client = appliance.login().await;
    assert_eq!(client.send("DELETE", "/api/v1/nodes/node-1", Vec::new()).await.0, 409);
    assert_eq!(client.send("DELETE", "/api/v1/vs/db", Vec::new()).await.0, 204);
    assert!(session.next_config().await.expect("deleted").servers.is_empty());
    assert_eq!(client.send("POST", "/api/v1/nodes/node-1/reboot", Vec::new()).await.0, 204);
    loop {
        if session.next().await.expect("a message") == Heard::Message(ToNode::Command(Command::Reboot)) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn record_numbers_never_come_back_however_often_the_appliance_is_killed() {
    let (folder, mut appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("first");
    let mut all = session.numbers.clone();
    drop(session);
    for _ in 0..3 {
        appliance = appliance.crash_and_restart(&folder);
        // The same boot goes on: its gate would refuse an old number.
        let mut session = appliance.connect_after(&node, *all.last().expect("numbers")).await;
        let client = appliance.login().await;
        session.next_config().await.expect("on reconnect");
        for _ in 0..3 {
            assert_eq!(client.send("POST", "/api/v1/nodes/node-1/push", Vec::new()).await.0, 204);
            session.next_config().await.expect("pushed");
        }
        all.extend(&session.numbers);
    }
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_live_holder_of_an_identity_puts_both_into_quarantine() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut first = appliance.connect(&node).await;
    client.approve(&node).await;
    first.next_config().await.expect("approved");

    let mut copy = node.clone();
    copy.reboot();
    let beating = tokio::spawn(async move {
        for n in 0..10 {
            first.beat(n * 500).await.expect("alive");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        first
    });
    let second = appliance.connect(&copy).await;
    assert!(second.welcome.quarantined);
    assert_eq!(second.welcome.reason, "identity used twice");
    assert_eq!(client.node(&node).await["state"], "conflict");
    assert_eq!(client.event("node.conflict").await["state"], "error");
    let doctor = client.get("/api/v1/doctor").await;
    assert!(
        doctor
            .as_array()
            .is_some_and(|all| all.iter().any(|f| f["name"] == "node-1" && f["state"] == "fail"))
    );
    let mut first = beating.await.expect("the first holder lives");
    loop {
        match first.next().await.expect("a message") {
            Heard::Standing(standing) if standing.verdict == Verdict::Quarantined => break,
            Heard::Config(_) => panic!("a configuration in conflict"),
            Heard::Standing(_) | Heard::Message(_) | Heard::Refused(_) => {}
        }
    }
    // A person decides.
    client.approve(&node).await;
    first.next_config().await.expect("approved again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_boot_counter_is_a_copy_also_after_a_crash_of_the_appliance() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let mut node = sim(1, &file);
    let copy = node.clone();
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    drop(session);
    node.reboot();
    drop(appliance.connect(&node).await);
    let appliance = appliance.crash_and_restart(&folder);
    let stale = appliance.connect(&copy).await;
    assert!(stale.welcome.quarantined);
    let client = appliance.login().await;
    assert_eq!(client.node(&node).await["state"], "conflict");
    // The rightful holder is held back too, until a person decides.
    let right = appliance.connect(&node).await;
    assert!(right.welcome.quarantined);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cycle_is_no_conflict() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let mut node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    // The old connection stays open and silent, as after pulling the plug.
    session.fall_silent();
    node.reboot();
    let mut again = appliance.connect(&node).await;
    assert!(!again.welcome.quarantined, "{}", again.welcome.reason);
    again.next_config().await.expect("configured");
    assert_eq!(client.node(&node).await["state"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_kept_key_is_approved_for_one_boot_and_keeps_its_name() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let mut node = sim(1, &file);
    node.boot_counter = 0;
    node.boot.path = BootKind::Bios;
    node.boot.secure_boot = false;
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    assert_eq!(client.node(&node).await["trusted_boot"], false);
    let bmc = json!({"kind": "ipmi", "address": "127.0.0.1:1", "account": "a", "password": "p"});
    let (status, reply) = client.json("PUT", "/api/v1/nodes/node-1/bmc", &bmc).await;
    assert_eq!(status, 204, "{reply}");
    drop(session);
    client.until("/api/v1/nodes/node-1", "lost", |node| node["state"] == "lost").await;
    node.reboot();
    let session = appliance.connect(&node).await;
    assert!(session.welcome.quarantined, "a new key needs a new approval");
    let shown = client.node(&node).await;
    assert_eq!((shown["name"].as_str(), shown["state"].as_str()), (Some("node-1"), Some("quarantined")));
    assert_eq!(client.get("/api/v1/nodes").await.as_array().map(Vec::len), Some(1));
    // Its management controller is the machine's, and is not asked for one that waits.
    assert_eq!(client.get("/api/v1/nodes/node-1/bmc").await["address"], "127.0.0.1:1");
    let on = json!({"action": "on", "select": {"names": ["node-1"]}});
    let (status, refused) = client.json("POST", "/api/v1/groups/nodes/power", &on).await;
    assert!(
        status == 409 && refused["title"].as_str().is_some_and(|text| text.contains("approval")),
        "{refused}"
    );
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    let _session = appliance.connect(&node).await;
    let kept = client.get(&format!("/api/v1/nodes/{}/bmc", node.id())).await;
    assert_eq!(kept["address"], "127.0.0.1:1");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_agents_are_dropped_and_good_ones_served_meanwhile() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let long = [&0xffffu16.to_be_bytes()[..], &[7; 2000]].concat();
    let wrong_noise = [&96u16.to_be_bytes()[..], &[7; 96]].concat();
    let zero = vec![0; 64];
    for bytes in [long, wrong_noise, zero, b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut stream = TcpStream::connect(appliance.agent).await.expect("connects");
        stream.write_all(&bytes).await.expect("sent");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection stays open after {} bytes of garbage", bytes.len());
        assert!(rest.is_empty());
    }
    // One that says nothing is let go as well.
    let mut silent = TcpStream::connect(appliance.agent).await.expect("connects");
    let node = sim(1, &file);
    let session = appliance.connect(&node).await;
    assert!(session.welcome.quarantined);
    let ended = tokio::time::timeout(Duration::from_secs(60), silent.read_u8()).await;
    assert!(matches!(ended, Ok(Err(_))), "a silent connection is kept");
    // Each is counted once it is let go.
    let end = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let request = client.build("GET", "/metrics").body(Default::default()).expect("a request");
        let text = String::from_utf8_lossy(client.request(request).await.body()).into_owned();
        assert!(text.ends_with("# EOF\n"));
        if text.contains("weft_agent_handshakes_failed_total 5\n") {
            break;
        }
        assert!(std::time::Instant::now() < end, "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_open_and_hold_nonsense_end_the_session_alone() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    for bytes in [vec![0xff; 100], Vec::new(), vec![0; weft_wire::agent::MAX_MESSAGE]] {
        let mut session = appliance.connect(&node).await;
        session.send_raw(&bytes).await.expect("sent");
        let ended = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                if let Err(error) = session.next().await {
                    return error;
                }
            }
        });
        assert!(matches!(ended.await.expect("the session ends"), SimError::Channel(_)));
        client.until("/api/v1/nodes/node-1", "away", |node| node["uptime_ms"] == 0).await;
    }
    let session = appliance.connect(&node).await;
    assert_eq!(session.welcome.reason, "waiting for approval");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_cannot_speak_for_servers_that_are_not_its_own() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let (one, other) = (sim(1, &file), sim(2, &file));
    let mut first = appliance.connect(&one).await;
    let mut second = appliance.connect(&other).await;
    client.approve(&one).await;
    client.approve(&other).await;
    first.next_config().await.expect("first");
    second.next_config().await.expect("second");
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted =
        json!({"name": "db", "node": "node-1", "vcpus": 1, "memory_mib": 64, "kernel": blob["digest"]});
    let (_, vs) = client.json("POST", "/api/v1/vs", &wanted).await;
    client.send("POST", "/api/v1/vs/db/start", Vec::new()).await;
    let id = vs_id(vs["id"].as_str().expect("an id"));
    second.status(id, 2, 1, VsState::Failed).await.expect("sent");
    second.console(id, 1, 0, b"forged").await.expect("sent");
    second.beat(77).await.expect("sent");
    client.until("/api/v1/nodes/node-2", "heard", |node| node["uptime_ms"] == 77).await;
    assert_eq!(client.get("/api/v1/vs/db").await["state"], "starting");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_what_was_never_published_gets_no_configuration() {
    let (_folder, appliance, client, _) = Appliance::with_image().await;
    let other = Made { payload: b"from elsewhere ".repeat(2000), ..Made::default() };
    let node = sim(1, &other.file());
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    loop {
        match session.next().await.expect("a message") {
            Heard::Standing(standing) => {
                assert_eq!(standing.verdict, Verdict::Quarantined);
                break;
            }
            Heard::Message(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // Publishing it changes the judgement.
    assert_eq!(client.send("POST", "/api/v1/images", other.file()).await.0, 201);
    session.next_config().await.expect("configured");
}

/// Dials as a node does: again and again, a little later each time. (Unoptimised, a machine does some
/// hundred handshakes in the time that one is given.)
async fn dial(
    appliance: &Appliance,
    node: &weft_server::simnode::SimNode,
) -> weft_server::simnode::SimSession {
    for attempt in 1..=20 {
        match node.connect(appliance.agent, &appliance.channel_key, &appliance.delegation, (0, 0)).await {
            Ok(session) => return session,
            Err(_) => tokio::time::sleep(Duration::from_millis(300 * attempt)).await,
        }
    }
    panic!("{} is lost", node.id());
}

/// Two hundred nodes at once, and the appliance killed under them.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_nodes_comes_back_after_a_crash_and_none_is_lost() {
    const CROWD: u8 = 200;
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let nodes: Vec<_> = (0..CROWD)
        .map(|number| {
            let mut node = sim(number, &file);
            node.source = std::net::Ipv4Addr::new(127, 0, 1, number);
            node
        })
        .collect();
    let sessions = futures_util::future::join_all(nodes.iter().map(|node| dial(&appliance, node))).await;
    assert!(sessions.iter().all(|session| session.welcome.quarantined));
    for node in &nodes {
        client.approve(node).await;
    }
    drop(sessions);
    let appliance = appliance.crash_and_restart(&folder);
    let began = std::time::Instant::now();
    let arrive = async |node: &weft_server::simnode::SimNode| {
        let mut session = dial(&appliance, node).await;
        assert!(!session.welcome.quarantined, "{}", session.welcome.reason);
        session.next_config().await.expect("configured");
        let numbers = session.numbers.len();
        // Those that came first live on while the others arrive.
        tokio::spawn(async move {
            while session.beat(1).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        numbers
    };
    let mut numbers = futures_util::future::join_all(nodes.iter().map(arrive)).await;
    println!("{CROWD} nodes were configured {} ms after the first dialled", began.elapsed().as_millis());
    let client = appliance.login().await;
    let listed = client.get("/api/v1/nodes").await;
    let ready = listed.as_array().expect("a list").iter().filter(|node| node["state"] == "ready").count();
    assert_eq!(ready, usize::from(CROWD));
    numbers.dedup();
    assert_eq!(numbers, [2], "a standing and a configuration each");
}
