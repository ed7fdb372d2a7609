//! Load of nodes and servers: what simulated nodes tell with their heartbeats, seen by API, command line, OpenMetrics
//! and page.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use weft_server::simnode::SimSession;
use weft_types::VsId;
use weft_wire::agent::{ToServer, VsState};
use weft_wire::figures::{SpanCounts, SpanFigures};
use weft_wire::load::{ServerLoad, Traffic};

use crate::browser::run;
use crate::common::Client;
use crate::partitions::{Two, two};
use crate::rights::{account, policy};
use crate::span::{started, weft};

/// Moves what a node counts on by a second and tells it: 60 % of two processors, of which each server takes a half
/// of one.
async fn second(session: &mut SimSession, second: u64, servers: &[VsId]) {
    let load = &mut session.load;
    load.busy_ns += 1_200_000_000;
    load.guest_kib = 256 * 1024 * servers.len() as u64;
    load.nic = load.nic.plus(Traffic { frames_in: 10, bytes_in: 6000, frames_out: 4, bytes_out: 400 });
    for vs in servers {
        if !load.servers.iter().any(|part| part.vs == *vs) {
            let exits = vec![0; 11];
            load.servers.push(ServerLoad { vs: *vs, instance: 1, exits, ..ServerLoad::default() });
        }
    }
    load.servers.retain(|part| servers.contains(&part.vs));
    for part in &mut load.servers {
        part.busy_ns += 500_000_000;
        part.memory_kib = 256 * 1024;
        part.network = part.network.plus(Traffic { bytes_out: 300, frames_out: 3, ..Traffic::default() });
        part.exits.iter_mut().zip([50, 0, 0, 0, 5, 100]).for_each(|(count, new)| *count += new);
    }
    session.beat(60_000 + 1000 * second).await.expect("sent");
}

async fn faults(session: &mut SimSession, vs: VsId, member: u8, second: u64) {
    let counts = SpanCounts {
        remote_read: 200 * second,
        remote_write: 50 * second,
        messages_sent: 700 * second,
        messages_received: 300 * second,
        ..SpanCounts::default()
    };
    let uptime_ms = 60_000 + 1000 * second;
    let figures = SpanFigures { vs, instance: 1, member, uptime_ms, counts, ..SpanFigures::default() };
    session.send(&ToServer::SpanFigures(Box::new(figures))).await.expect("sent");
}

/// What a node does while a test looks.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    /// Uses as much each second as [`second`] says.
    Works,
    /// Nothing: it tells the counters of the count before the first.
    Rests,
    /// Lives, and tells nothing.
    Silent,
}

/// Nodes that tell on while a test looks: what was said some seconds ago says nothing about now, and to look may take
/// any time.
struct Telling {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<[SimSession; 2]>,
}

impl Telling {
    /// From the count `from` on; `node-2` is the first member.
    fn start(mut sessions: [SimSession; 2], from: u64, big: VsId, does: [Does; 2]) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            for count in from.. {
                for ((session, does), member) in sessions.iter_mut().zip(does).zip([1, 0]) {
                    match does {
                        Does::Works => {
                            second(session, count, &[big]).await;
                            faults(session, big, member, count).await;
                        }
                        Does::Rests => {
                            session.beat(60_000 + 1000 * count).await.expect("sent");
                            faults(session, big, member, from - 1).await;
                        }
                        Does::Silent => {}
                    }
                }
                if tokio::time::timeout(Duration::from_millis(500), &mut stopped).await.is_ok() {
                    break;
                }
            }
            sessions
        });
        Self { stop, task }
    }

    async fn stop(self) -> [SimSession; 2] {
        drop(self.stop);
        self.task.await.expect("the nodes live")
    }
}

fn values<'a>(series: &'a Value, metric: &str) -> &'a Vec<Value> {
    let metrics = series["metrics"].as_array().expect("metrics");
    let found = metrics.iter().find(|one| one["name"] == metric);
    found.unwrap_or_else(|| panic!("no {metric} in {series}"))["values"].as_array().expect("values")
}

/// The last value that is known.
fn known(series: &Value, metric: &str) -> f64 {
    let last = values(series, metric).iter().rev().find_map(Value::as_f64);
    last.unwrap_or_else(|| panic!("{metric} is not known in {series}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nodes_tell_is_a_series_with_gaps_where_they_are_silent() {
    let Two { client, mut sessions, appliance: _appliance, folder: _folder, .. } = two().await;
    let big = started(&client, &mut sessions).await;
    let telling = Telling::start(sessions, 1, big, [Does::Works; 2]);
    let ends = |series: &Value, metric: &str, known: bool| {
        values(series, metric).last().is_some_and(|value| value.is_f64() == known)
    };
    client.until("/api/v1/vs/big/series", "at work", |vs| ends(vs, "remote-faults", true)).await;
    let node =
        client.until("/api/v1/nodes/node-1/series", "at work", |node| ends(node, "messages", true)).await;
    assert_eq!(
        (&node["kind"], &node["name"], &node["step_s"]),
        (&json!("node"), &json!("node-1"), &json!(1))
    );
    assert_eq!(values(&node, "processor").len(), 300);
    for (metric, expected) in [
        ("processor", 0.6),
        ("memory-guests", 256.0 * 1024.0 * 1024.0),
        ("network-in", 6000.0),
        ("frames-out", 4.0),
        ("exits", 155.0),
        ("remote-faults", 250.0),
        ("messages", 1000.0),
    ] {
        assert_eq!(known(&node, metric), expected, "{metric}");
    }
    // All its nodes together; and the partition all of its own.
    let vs = client.get("/api/v1/vs/big/series?metric=processor,exits-halt,remote-faults").await;
    let names: Vec<&str> =
        vs["metrics"].as_array().expect("metrics").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["processor", "exits-halt", "remote-faults"]);
    assert_eq!(vs["metrics"][0]["unit"], "processors");
    assert_eq!((known(&vs, "processor"), known(&vs, "exits-halt")), (1.0, 200.0));
    assert_eq!(known(&vs, "remote-faults"), 500.0);
    let partition = client.get("/api/v1/partitions/p1/series").await;
    assert_eq!((known(&partition, "processor"), known(&partition, "network-in")), (0.6, 12_000.0));

    // One node falls silent: it, the server over both, and the partition have a gap; the other node goes on.
    let last = node["last"].as_u64().expect("a time");
    let telling = Telling::start(telling.stop().await, 500, big, [Does::Silent, Does::Works]);
    for (path, silent) in
        [("nodes/node-1", true), ("vs/big", true), ("partitions/p1", true), ("nodes/node-2", false)]
    {
        let path = format!("/api/v1/{path}/series?metric=processor&since={last}");
        let later = client.until(&path, "as the nodes tell", |later| ends(later, "processor", !silent)).await;
        let len = values(&later, "processor").len() as u64;
        assert_eq!(len, later["last"].as_u64().expect("a time") - last, "only what is later");
    }
    // It comes back: what it counted meanwhile is no rate of now.
    let telling = Telling::start(telling.stop().await, 1000, big, [Does::Works; 2]);
    let path = format!("/api/v1/nodes/node-1/series?since={last}");
    let back = client.until(&path, "back", |back| ends(back, "processor", true)).await;
    assert!(values(&back, "processor").iter().any(Value::is_null), "the gap stays");
    let rates: Vec<f64> = values(&back, "network-in").iter().filter_map(Value::as_f64).collect();
    assert!(rates.iter().all(|rate| *rate == 6000.0), "{rates:?}");
    telling.stop().await;
    // By the minute nothing is known yet, and it says so.
    let coarse = client.get("/api/v1/nodes/node-1/series?step=60").await;
    assert_eq!((values(&coarse, "processor").len(), &coarse["step_s"]), (360, &json!(60)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_refused_with_the_next_step() {
    let Two { client, sessions: _sessions, appliance: _appliance, folder: _folder, .. } = two().await;
    for (path, status, code, next) in [
        ("nodes/node-1/series?step=5", 422, "bad-step", "step=60"),
        (
            "nodes/node-1/series?metric=processor,speed",
            422,
            "bad-metric",
            "known here: processor, memory-guests",
        ),
        ("vs/none/series", 404, "vs-not-found", "weft vs list"),
        ("nodes/none/series", 404, "node-not-found", "weft node list"),
        ("partitions/none/series", 404, "partition-not-found", "weft partition list"),
    ] {
        let (answered, problem) = client.send("GET", &format!("/api/v1/{path}"), Vec::new()).await;
        assert_eq!((answered, problem["code"].as_str()), (status, Some(code)), "{path}");
        assert!(problem["next"].as_str().is_some_and(|text| text.contains(next)), "{path}: {problem}");
    }
    let long = format!("/api/v1/nodes/node-1/series?metric={}", "processor,".repeat(100));
    assert_eq!(client.send("GET", &long, Vec::new()).await.0, 422);
    // A time of another run, later than now: all there is.
    let all = client.get("/api/v1/nodes/node-1/series?metric=exits&since=99999999999").await;
    assert_eq!(values(&all, "exits").len(), 300);
    assert!(values(&all, "exits").iter().all(Value::is_null), "it has told nothing yet");
}

/// Reads OpenMetrics by the parser of its reference implementation: family → type, unit, samples.
fn parsed(text: &str) -> Value {
    const READ: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.name not in families, 'twice: ' + family.name
    families[family.name] = {'type': family.type, 'unit': family.unit, 'help': family.documentation,
        'samples': [[sample.name, sample.labels, sample.value] for sample in family.samples]}
json.dump(families, sys.stdout)
";
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 of hw-tests/packages.txt");
    python.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let done = python.wait_with_output().expect("it ends");
    assert!(done.status.success(), "{}\n{text}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// One server, and nothing else.
const ONE: &str = r#"permit (principal == Account::"ann", action == Action::"view", resource is Vs)
    when { resource.name == "idle" };"#;

async fn metrics(client: &Client) -> String {
    let request = client.build("GET", "/metrics").body(Default::default()).expect("a request");
    let answer = client.request(request).await;
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().expect("text");
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    String::from_utf8(answer.into_body().to_vec()).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parser_of_openmetrics_reads_the_whole_cluster_at_one_address() {
    let Two { client, mut sessions, appliance: _appliance, folder: _folder, .. } = two().await;
    let big = started(&client, &mut sessions).await;
    for count in 1..=3 {
        for (session, member) in sessions.iter_mut().zip([1, 0]) {
            second(session, count, &[big]).await;
            faults(session, big, member, count).await;
        }
    }
    let telling = Telling::start(sessions, 4, big, [Does::Rests; 2]);
    client
        .until("/api/v1/vs/big/span", "all of it", |span| {
            [0, 1].iter().all(|member| span["nodes"][member]["counts"]["messages_sent"] == 2100)
        })
        .await;
    let families = parsed(&metrics(&client).await);
    let families = families.as_object().expect("families");
    let names: Vec<&String> = families.keys().filter(|name| !name.starts_with("weft_")).collect();
    assert!(names.is_empty(), "without the prefix: {names:?}");
    let sample = |family: &str, labels: Value| {
        let samples = families[family]["samples"].as_array().expect("samples");
        let found = samples.iter().find(|sample| sample[1] == labels);
        found.unwrap_or_else(|| panic!("no {labels} in {samples:?}"))[2].as_f64().expect("a number")
    };
    assert_eq!(families["weft_node_processor_busy_seconds"]["type"], "counter");
    assert_eq!(families["weft_node_processor_busy_seconds"]["unit"], "seconds");
    assert_eq!(sample("weft_node_processor_busy_seconds", json!({"node": "node-1"})), 3.6);
    assert_eq!(sample("weft_node_up", json!({"node": "node-2"})), 1.0);
    assert_eq!(sample("weft_node_network_bytes", json!({"node": "node-1", "direction": "in"})), 18_000.0);
    assert_eq!(
        sample("weft_node_memory_bytes", json!({"node": "node-1", "use": "guests"})),
        f64::from(256 << 20)
    );
    let on = |node: &str, more: Value| {
        let mut labels = json!({"vs": "big", "node": node});
        labels.as_object_mut().expect("labels").extend(more.as_object().expect("labels").clone());
        labels
    };
    assert_eq!(sample("weft_vs_running", json!({"vs": "big"})), 1.0);
    assert_eq!(sample("weft_vs_processor_seconds", on("node-1", json!({}))), 1.5);
    assert_eq!(sample("weft_vs_exits", on("node-2", json!({"reason": "halt"}))), 300.0);
    assert_eq!(sample("weft_vs_remote_faults", on("node-2", json!({"access": "write"}))), 150.0);
    assert_eq!(sample("weft_vs_messages", on("node-1", json!({"direction": "out"}))), 2100.0);
    // Labels that may be there, so that their number stays that of nodes, servers and fixed words.
    let allowed = ["node", "vs", "use", "direction", "reason", "access", "state"];
    for (name, family) in families {
        assert!(family["help"].as_str().is_some_and(|help| !help.is_empty()), "{name} has no help");
        for sample in family["samples"].as_array().expect("samples") {
            let labels = sample[1].as_object().expect("labels");
            assert!(labels.keys().all(|label| allowed.contains(&label.as_str())), "{sample}");
        }
    }
    // Who says nothing any more has no counters, and is known to be away.
    let _silent = telling.stop().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let silent = parsed(&metrics(&client).await);
    assert_eq!(silent["weft_node_up"]["samples"][0][2], 0.0);
    assert_eq!(silent["weft_node_processor_busy_seconds"]["samples"], json!([]));
    assert_eq!(silent["weft_vs_exits"]["samples"], json!([]));
    // Only who may see the appliance reads it.
    let nobody = Client { token: String::new(), ..client };
    assert_eq!(nobody.send("GET", "/metrics", Vec::new()).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_a_line_for_each_node_and_server_that_one_may_see() {
    let Two { client, mut sessions, appliance, folder, .. } = two().await;
    let big = started(&client, &mut sessions).await;
    let kernel = client.get("/api/v1/vs/big").await["kernel"].clone();
    let wanted = json!({"name": "idle", "vcpus": 2, "memory_mib": 128, "kernel": kernel});
    assert_eq!(client.json("POST", "/api/v1/vs", &wanted).await.0, 201);
    let telling = Telling::start(sessions, 1, big, [Does::Works; 2]);
    client.until("/api/v1/load/vs", "at work", |all| all[0]["remote_faults"].is_f64()).await;
    client.until("/api/v1/load/nodes", "at work", |all| all[1]["remote_faults"].is_f64()).await;
    // One shot where nobody watches; servers that use most first.
    let shown = weft(folder.path(), &appliance, &["top"]).await;
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..5], ["NODE", "STATE", "CPU", "CPUS", "MEMORY"]);
    assert_eq!(lines[1][..7], ["node-1", "ready", "60%", "2", "276M/2.0G", "5.9K", "400"], "{shown}");
    assert_eq!(lines[5][..4], ["big", "running", "1.00/2", "512M/512M"], "{shown}");
    assert_eq!(lines[5][7..], ["500", "node-2,node-1"], "{shown}");
    assert_eq!(lines[6][..4], ["idle", "stopped", "-", "-"], "{shown}");
    let said: Value =
        serde_json::from_str(&weft(folder.path(), &appliance, &["top", "-o", "json"]).await).expect("JSON");
    assert_eq!((&said["nodes"][1]["name"], &said["nodes"][1]["processor"]), (&json!("node-2"), &json!(0.6)));
    assert_eq!(
        (&said["servers"][0]["processor"], &said["servers"][1]["processor"]),
        (&json!(1.0), &Value::Null)
    );
    telling.stop().await;

    // Who may see one server sees it, and no other's load.
    policy(&client, "idle", ONE).await;
    let one = account(&client, "ann", "none").await;
    let seen = one.get("/api/v1/load/vs").await;
    let names: Vec<&str> =
        seen.as_array().expect("servers").iter().filter_map(|vs| vs["name"].as_str()).collect();
    assert_eq!(names, ["idle"]);
    assert_eq!(one.send("GET", "/api/v1/load/nodes", Vec::new()).await.0, 403);
    assert_eq!(one.send("GET", "/api/v1/vs/idle/series", Vec::new()).await.0, 200);
    for path in ["vs/big", "nodes/node-1", "partitions/p1"] {
        let (status, problem) = one.send("GET", &format!("/api/v1/{path}/series"), Vec::new()).await;
        assert!([403, 404].contains(&status), "{path}: {status} {problem}");
    }
}

/// A server of `node-1` alone, started, as its node hears of it.
async fn alone(client: &Client, session: &mut SimSession) -> VsId {
    let kernel = client.get("/api/v1/vs/big").await["kernel"].clone();
    let wanted = json!({"name": "alone", "vcpus": 2, "memory_mib": 512, "kernel": kernel, "node": "node-1"});
    assert_eq!(client.json("POST", "/api/v1/vs", &wanted).await.0, 201);
    assert_eq!(client.send("POST", "/api/v1/vs/alone/start", Vec::new()).await.0, 204);
    loop {
        let config = session.next_config().await.expect("a configuration");
        if let Some(vs) = config.servers.iter().find(|vs| vs.name == "alone" && vs.instance == 1) {
            session.status(vs.id, vs.generation, 1, VsState::Running).await.expect("sent");
            return vs.id;
        }
    }
}

/// As [`second`], with ups and downs.
async fn wave(session: &mut SimSession, count: u64, servers: &[VsId]) {
    let turn = |period: f64| (count as f64 / period).sin().mul_add(0.4, 0.55);
    let of = |most: f64, period: f64| (most * turn(period)) as u64;
    let load = &mut session.load;
    let new = Traffic {
        frames_in: of(300.0, 7.0),
        bytes_in: of(400_000.0, 7.0),
        frames_out: of(90.0, 5.0),
        bytes_out: of(60_000.0, 5.0),
    };
    load.nic = load.nic.plus(new);
    load.busy_ns += of(1_300_000_000.0, 9.0);
    for part in &mut load.servers {
        part.busy_ns += of(500_000_000.0, 9.0);
        part.memory_kib = (120 * 1024 + 700 * count).min(400 * 1024);
        part.network = part.network.plus(new);
        let new = [
            (3000.0, 8.0),
            (100.0, 3.0),
            (40.0, 5.0),
            (20.0, 6.0),
            (900.0, 5.0),
            (2200.0, 9.0),
            (700.0, 13.0),
        ];
        part.exits.iter_mut().zip(new).for_each(|(count, (most, period))| *count += of(most, period));
    }
    second(session, count, servers).await;
}

/// The page in Chromium; `WEFT_SHOTS` lets the nodes work for longer, so that screenshots show something.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_load_live_and_where_a_node_was_silent() {
    let Two { client, mut sessions, appliance, folder, .. } = two().await;
    let big = started(&client, &mut sessions).await;
    let alone = alone(&client, &mut sessions[0]).await;
    let seconds = if std::env::var_os("WEFT_SHOTS").is_some() { 150 } else { 6 };
    for count in 1..=seconds {
        // A short silence, which the charts keep.
        if !(80..95).contains(&count) {
            wave(&mut sessions[0], count, &[alone, big]).await;
            wave(&mut sessions[1], count, &[big]).await;
            faults(&mut sessions[0], big, 1, count).await;
            faults(&mut sessions[1], big, 0, count).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let [mut one, silent] = sessions;
    let served = tokio::spawn(async move {
        for count in seconds + 1.. {
            wave(&mut one, count, &[alone, big]).await;
            faults(&mut one, big, 1, count).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    client.until("/api/v1/load/nodes", "node-2 is silent", |nodes| nodes[1]["processor"].is_null()).await;
    let variables = [
        ("WEFT_NODE", "node-1"),
        ("WEFT_SILENT", "node-2"),
        ("WEFT_VS", "big"),
        ("WEFT_ALONE", "alone"),
        ("WEFT_PARTITION", "p1"),
    ];
    println!("{}", run("e2e/load.mjs", &appliance, folder.path(), &variables).await);
    served.abort();
    drop(silent);
}
