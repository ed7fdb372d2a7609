//! `./just bench fleet`: an appliance with many nodes, which are simulated down to the agent's protocol and no further.
//!
//! - nodes that only live: processor time, memory, and bytes written to the disk, beside the same appliance before any
//!   node was there;
//! - a change of a server on each node, in one transaction: until the last node heard of it, beside a change of one.
//!
//! The nodes are in this process; what they take is not counted.

mod support;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;
use weft_hw_tests::report::{Figure, figure, publish};
use weft_server::simnode::{Heard, SimNode, SimSession};
use weft_wire::agent::VsState;
use weft_wire::record::Desired;

use support::common::{Appliance, Client, digests};
use support::process::{processor_ms, resident_kib, written};
use support::{Asked, arguments, steady::Steady};

/// Nodes, one size after the other.
const SIZES: [usize; 2] = [100, 300];
/// A change is heard within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node heard what becomes of its server.
struct Told {
    node: usize,
    runs: bool,
    at: Instant,
}

/// Lives, and follows what it is told.
async fn follow(mut session: SimSession, node: usize, told: mpsc::UnboundedSender<Told>) {
    session.live();
    loop {
        match session.next().await {
            Ok(Heard::Config(config)) => {
                let at = Instant::now();
                for vs in config.servers {
                    let runs = vs.desired == Desired::Running;
                    let state = if runs { VsState::Running } else { VsState::Stopped };
                    let _ = told.send(Told { node, runs, at });
                    if session.status(vs.id, vs.generation, vs.instance, state).await.is_err() {
                        return;
                    }
                }
            }
            Ok(Heard::Standing(_) | Heard::Message(_)) => {}
            Ok(Heard::Refused(error)) => panic!("node {node}: {error}"),
            // Who is gone hears of no change, and that is found.
            Err(_) => return,
        }
    }
}

/// The appliance, and its nodes.
struct Fleet {
    appliance: Appliance,
    client: Client,
    file: Vec<u8>,
    kernel: String,
    nodes: usize,
    told: mpsc::UnboundedSender<Told>,
    heard: mpsc::UnboundedReceiver<Told>,
}

impl Fleet {
    /// One more node with a server, stopped.
    async fn grow(&mut self) {
        let number = self.nodes;
        let [.., a, b] = u32::try_from(number).expect("few").to_be_bytes();
        let (manifest, image) = digests(&self.file);
        let mut node = SimNode::new([2, 0, 0, 0, a, b], manifest, image);
        node.source = Ipv4Addr::new(127, 1, a, b.max(1));
        let mut session = self.appliance.connect(&node).await;
        self.client.approve(&node).await;
        session.next_config().await.expect("an empty configuration");
        tokio::spawn(follow(session, number, self.told.clone()));
        let wanted = json!({"name": format!("fleet-{number}"), "node": node.id().to_string(), "vcpus": 1,
            "memory_mib": 64, "kernel": self.kernel, "labels": {"of": "fleet"}});
        let (status, reply) = self.client.json("POST", "/api/v1/vs", &wanted).await;
        assert_eq!(status, 201, "{reply}");
        self.nodes += 1;
    }

    /// When the last of these nodes heard that its server is to run, or is not to.
    async fn all_heard(&mut self, count: usize, runs: bool) -> Instant {
        let mut waiting: Vec<bool> = (0..self.nodes).map(|node| node < count).collect();
        let mut last = None;
        while waiting.contains(&true) {
            let told = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
            let told = told.expect("all nodes hear of it").expect("nodes are there");
            if told.runs == runs && std::mem::take(&mut waiting[told.node]) {
                last = last.max(Some(told.at));
            }
        }
        last.expect("nodes are there")
    }

    /// Milliseconds from asking for a change until the last node that it is about heard of it.
    async fn change(&mut self, client: &mut Steady, count: usize, runs: bool) -> f64 {
        let action = if runs { "start" } else { "stop" };
        let (path, body) = if count == 1 {
            (format!("/api/v1/vs/fleet-0/{action}"), String::new())
        } else {
            let body = json!({"action": action, "select": {"selector": "of=fleet"}});
            ("/api/v1/groups/vs".to_string(), body.to_string())
        };
        let began = Instant::now();
        let (status, reply) = client.ask("POST", &path, body).await;
        assert!(matches!(status, 200 | 204), "{}", String::from_utf8_lossy(&reply));
        let heard = self.all_heard(count, runs).await;
        heard.saturating_duration_since(began).as_secs_f64() * 1000.0
    }
}

/// What an appliance takes: processor time and bytes written in a second, and memory.
#[derive(Default)]
struct Rest {
    processor_ms: Vec<f64>,
    kib: Vec<f64>,
    bytes: Vec<f64>,
}

impl Rest {
    async fn of(fleet: &Fleet, asked: Asked) -> Self {
        let window = Duration::from_secs(if asked.quick { 10 } else { 20 });
        let pid = fleet.appliance.child.id();
        // What came with the last change is over.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut rest = Self::default();
        for _ in 0..asked.runs {
            let (processor, bytes, began) = (processor_ms(pid), written(pid), Instant::now());
            tokio::time::sleep(window).await;
            let seconds = began.elapsed().as_secs_f64();
            rest.processor_ms.push((processor_ms(pid) - processor) as f64 / seconds);
            rest.bytes.push((written(pid) - bytes) as f64 / seconds);
            rest.kib.push(resident_kib(pid) as f64);
        }
        rest
    }
}

/// How much each is above the middle of what was before, for each hundred nodes.
fn for_each_hundred(with: &[f64], without: &[f64], nodes: usize) -> Vec<f64> {
    let mut sorted = without.to_vec();
    sorted.sort_by(f64::total_cmp);
    let base = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    with.iter().map(|value| (value - base) * 100.0 / nodes as f64).collect()
}

async fn of_size(fleet: &mut Fleet, before: &Rest, nodes: usize, asked: Asked) -> Vec<Figure> {
    while fleet.nodes < nodes {
        fleet.grow().await;
    }
    let with = Rest::of(fleet, asked).await;
    let beside = "before any node";
    let mut figures = vec![
        figure(
            &format!("{nodes} nodes: processor"),
            "ms/s",
            &with.processor_ms,
            beside,
            &before.processor_ms,
        ),
        figure(&format!("{nodes} nodes: memory"), "KiB", &with.kib, beside, &before.kib),
        figure(&format!("{nodes} nodes: written"), "bytes/s", &with.bytes, beside, &before.bytes),
    ];
    for (what, unit, with, without) in [
        ("processor", "ms/s", &with.processor_ms, &before.processor_ms),
        ("memory", "KiB", &with.kib, &before.kib),
    ] {
        let each = for_each_hundred(with, without, nodes);
        figures.push(figure(&format!("… {what} for each 100"), unit, &each, "none", &[]));
    }
    let mut client = Steady::open(&fleet.client).await;
    let (mut all, mut one) = (Vec::new(), Vec::new());
    for _ in 0..asked.runs.max(3) {
        for runs in [true, false] {
            one.push(fleet.change(&mut client, 1, runs).await);
        }
        for runs in [true, false] {
            all.push(fleet.change(&mut client, nodes, runs).await);
        }
    }
    figures.push(figure(
        &format!("{nodes} nodes: all heard a change"),
        "ms",
        &all,
        "one of them, of its own",
        &one,
    ));
    figures
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let asked = arguments();
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let (status, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    assert_eq!(status, 200, "{blob}");
    let kernel = blob["digest"].as_str().expect("a digest").to_string();
    let (told, heard) = mpsc::unbounded_channel();
    let mut fleet = Fleet { appliance, client, file, kernel, nodes: 0, told, heard };
    let before = Rest::of(&fleet, asked).await;
    let mut figures = Vec::new();
    for nodes in if asked.quick { &SIZES[..1] } else { &SIZES[..] } {
        figures.extend(of_size(&mut fleet, &before, *nodes, asked).await);
    }
    publish("fleet", &figures).expect("target/bench/fleet.json");
}
