//! A server that spans nodes, as it works: what simulated members tell, seen by API, command line and page.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use weft_server::simnode::SimSession;
use weft_types::VsId;
use weft_wire::agent::{ToServer, VsState, VsStatus};
use weft_wire::figures::{
    HotPageFigures, LinkFigures, PageFigures, SpanCounts, SpanFigures, Stretch, VcpuHome,
};

use crate::browser::run;
use crate::common::{Appliance, Client, PASSWORD, WEFT};
use crate::partitions::{Two, config, two};

/// A server over both nodes, started. `node-2` is its first member.
pub(crate) async fn started(client: &Client, sessions: &mut [SimSession; 2]) -> VsId {
    let (status, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    assert_eq!(status, 200, "{blob}");
    let wanted = json!({"name": "big", "vcpus": 2, "memory_mib": 512, "kernel": blob["digest"],
        "partition": "p1"});
    let (status, vs) = client.json("POST", "/api/v1/vs", &wanted).await;
    assert_eq!(status, 201, "{vs}");
    assert_eq!(client.send("POST", "/api/v1/vs/big/start", Vec::new()).await.0, 204);
    let id = loop {
        if let Some(server) = config(&mut sessions[0]).await.servers.first() {
            break server.id;
        }
    };
    for session in sessions {
        let (state, reason) = (VsState::Running, String::new());
        let status = VsStatus { vs: id, generation: 2, instance: 1, state, reason, exits: 1 };
        session.send(&ToServer::VsStatus(status)).await.expect("sent");
    }
    client.until("/api/v1/vs/big", "running", |vs| vs["state"] == "running").await;
    id
}

/// What a member tells in its `second` second.
fn figures(vs: VsId, member: u8, second: u64) -> SpanFigures {
    let mut read_latency = vec![0; 18];
    read_latency[17] = 200 * second;
    SpanFigures {
        vs,
        instance: 1,
        member,
        uptime_ms: 10_000 + 1000 * second,
        vcpus: vec![VcpuHome { vcpu: u16::from(member), cpu: 1 }],
        memory: vec![Stretch { first: u64::from(member) * 0x1_0000, pages: 0x1_0000 }],
        pages: PageFigures { writable: 300, readable: 40, frames: 345 },
        counts: SpanCounts {
            remote_read: 200 * second,
            whole: 150 * second,
            messages_sent: 1000 * second,
            ..SpanCounts::default()
        },
        links: vec![LinkFigures {
            member: 1 - member.min(1),
            bytes_sent: 80_000 * second,
            rtt_ns: Some(250_000),
            ..LinkFigures::default()
        }],
        frames_dropped: 0,
        clock_steps: 3,
        clock_step_max: 900,
        read_latency,
        write_latency: Vec::new(),
        hottest: vec![HotPageFigures {
            page: 0x1_0005,
            reads: 10 + u32::from(member),
            writes: 2,
            moves: 9 * u32::from(member),
        }],
    }
}

async fn tell(session: &mut SimSession, figures: SpanFigures) {
    session.send(&ToServer::SpanFigures(Box::new(figures))).await.expect("sent");
}

/// `node-2` goes on from its third second; of `node-1` nothing is new.
async fn tell_until(
    mut sessions: [SimSession; 2],
    vs: VsId,
    mut stop: oneshot::Receiver<()>,
) -> [SimSession; 2] {
    for second in 4.. {
        tell(&mut sessions[1], figures(vs, 0, second)).await;
        tell(&mut sessions[0], figures(vs, 1, 1)).await;
        if tokio::time::timeout(Duration::from_millis(500), &mut stop).await.is_ok() {
            break;
        }
    }
    sessions
}

/// Runs the command line against the appliance, over its socket.
pub(crate) async fn weft(folder: &std::path::Path, appliance: &Appliance, args: &[&str]) -> String {
    let password = folder.join("cli-password");
    std::fs::write(&password, PASSWORD).expect("written");
    let mut text = String::new();
    let login = ["login", "--password-file", password.to_str().expect("a path")];
    for words in [&login[..], args] {
        let done = Command::new(WEFT)
            .args(words)
            .arg("--url")
            .arg(format!("unix:{}", appliance.data.join("api.sock").display()))
            .arg("--token-file")
            .arg(folder.join("cli-token"))
            .env("HOME", folder)
            .output()
            .expect("weft runs");
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        text = String::from_utf8(done.stdout).expect("text");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn members_figures_are_seen_by_api_and_command_line() {
    let Two { client, mut sessions, appliance, folder, nodes, .. } = two().await;
    let vs = started(&client, &mut sessions).await;
    let path = "/api/v1/vs/big/span";
    let silent = client.get(path).await;
    assert_eq!(silent["nodes"].as_array().map(Vec::len), Some(2));
    assert_eq!((&silent["nodes"][0]["age_ms"], &silent["nodes"][0]["rates"]), (&Value::Null, &Value::Null));
    // The first member is node-2, whose session is the second.
    tell(&mut sessions[1], figures(vs, 0, 1)).await;
    tell(&mut sessions[0], figures(vs, 1, 1)).await;
    client
        .until(path, "figures of both", |span| {
            !span["nodes"][1]["age_ms"].is_null() && !span["nodes"][0]["age_ms"].is_null()
        })
        .await;
    tell(&mut sessions[1], figures(vs, 0, 3)).await;
    // What is not this node's to say, or not of this start, changes nothing.
    tell(&mut sessions[0], figures(vs, 0, 90)).await;
    tell(&mut sessions[0], SpanFigures { instance: 2, ..figures(vs, 1, 90) }).await;
    tell(&mut sessions[0], figures(vs, 7, 90)).await;
    let span = client.until(path, "rates", |span| !span["nodes"][0]["rates"].is_null()).await;
    let first = &span["nodes"][0];
    assert_eq!((first["node"].as_str(), first["state"].as_str()), (Some("node-2"), Some("running")));
    assert_eq!(first["rates"]["remote_read"], 200.0);
    assert_eq!(first["rates"]["messages_sent"], 1000.0);
    assert_eq!(first["rates"]["bytes_sent"], 80_000.0);
    assert_eq!(first["vcpus"][0], json!({"vcpu": 0, "cpu": 1}));
    assert_eq!(first["pages"], json!({"located": 0x1_0000, "writable": 300, "readable": 40, "frames": 345}));
    assert_eq!(first["memory"][0], json!({"first": "0x0", "end": "0x10000000"}));
    assert_eq!(first["read_latency"]["buckets"], json!([{"from_ns": 1 << 17, "count": 600}]));
    assert!(first["read_latency"]["p50_ns"].as_u64().is_some_and(|ns| (1 << 17..1 << 18).contains(&ns)));
    assert_eq!(
        (&first["links"][0]["node"], &first["links"][0]["rtt_ns"]),
        (&json!("node-1"), &json!(250_000))
    );
    assert_eq!(span["nodes"][1]["counts"]["remote_read"], 200);
    let page = json!({"address": "0x10005000", "node": "node-1", "region": "ram", "reads": 21, "writes": 4,
        "moves": 9});
    assert_eq!(span["hottest"], json!([page]));

    // They tell on: what was said some seconds ago gives no rates.
    let (stop, stopped) = oneshot::channel();
    let telling = tokio::spawn(tell_until(sessions, vs, stopped));
    let said = weft(folder.path(), &appliance, &["vs", "span", "big", "-o", "json"]).await;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["hottest"], span["hottest"]);
    assert_eq!(said["nodes"][0]["rates"]["whole"], 150.0);
    let shown = weft(folder.path(), &appliance, &["vs", "show", "big"]).await;
    for word in ["READ/S", "hottest pages", "0x10005000", "250us"] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
    drop(stop);
    let mut sessions = telling.await.expect("the nodes live");

    // A message of a later version harms nobody.
    sessions[0].send_raw(&[99, 1, 2, 3]).await.expect("sent");
    tell(&mut sessions[0], figures(vs, 1, 2)).await;
    client.until(path, "more", |span| span["nodes"][1]["counts"]["remote_read"] == 400).await;
    assert_eq!(client.node(&nodes[0]).await["state"], "ready");
    // What does not span has no such figures.
    let alone = json!({"name": "alone", "vcpus": 1, "memory_mib": 128, "kernel": client.get("/api/v1/vs/big").await["kernel"]});
    assert_eq!(client.json("POST", "/api/v1/vs", &alone).await.0, 201);
    let (status, problem) = client.send("GET", "/api/v1/vs/alone/span", Vec::new()).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("not-spanning")));
    assert_eq!(client.send("GET", "/api/v1/vs/none/span", Vec::new()).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_a_spanning_server_live() {
    let Two { client, mut sessions, appliance, folder, .. } = two().await;
    let vs = started(&client, &mut sessions).await;
    let served = tokio::spawn(async move {
        let [mut one, mut two] = sessions;
        for second in 1..u64::MAX {
            tell(&mut two, figures(vs, 0, second)).await;
            tell(&mut one, figures(vs, 1, second)).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let variables = [("WEFT_VS", "big")];
    println!("{}", run("e2e/span.mjs", &appliance, folder.path(), &variables).await);
    served.abort();
}
