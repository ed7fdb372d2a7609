//! 2,000 nodes at once: DHCP and 1 MiB by TFTP with one datagram in a hundred lost, and 1 MiB by HTTP.

use std::net::{SocketAddr, SocketAddrV4};

use super::lab::{CLIENT, Lab, SERVER, Server};
use super::peers::Peers;
use super::report::{Better, Figure, Samples, figure, publish};
use super::tftp::peer;
use crate::serve::NAME;
use crate::swarm::{Plan, Report};

const SIZE: usize = 1 << 20;

pub(crate) fn run(quick: bool, runs: u32) -> anyhow::Result<()> {
    let nodes = if quick { 200 } else { 2000 };
    let count = u64::from(runs);
    let lab = Lab::new()?;
    let peers = Peers::fetch()?;
    let root = lab.folder.path().join("content");
    std::fs::create_dir(&root)?;
    std::fs::write(root.join(NAME), crate::content(SIZE))?;
    let boot = Plan {
        nodes,
        seed: 1,
        loss: 10,
        spread_ms: 2000,
        dhcp: Some((SocketAddrV4::new(SERVER, 67), SocketAddrV4::new(CLIENT, 67))),
        // What EDK2 asks for.
        tftp: Some((SocketAddr::from((SERVER, 69)), NAME.into(), 1468, 4)),
        http: None,
        size_bytes: SIZE,
        restarts: 0,
        patience_s: 30,
    };
    let web = Plan {
        dhcp: None,
        tftp: None,
        // All at once.
        spread_ms: 0,
        http: Some((SocketAddr::from((SERVER, 80)), format!("/{NAME}"))),
        ..boot.clone()
    };
    let mut figures = Vec::new();
    let ours = Side::run(&lab, &boot, count, || lab.weft(SIZE))?;
    let theirs = Side::run(&lab, &boot, count, || peer(&lab, &peers, "dnsmasq", &root))?;
    compare(&mut figures, "DHCP+TFTP", nodes, &ours, ("dnsmasq", &theirs));
    let ours = Side::run(&lab, &web, count, || lab.weft(SIZE))?;
    let theirs = Side::run(&lab, &web, count, || nginx(&lab, &peers, &root))?;
    compare(&mut figures, "HTTP", nodes, &ours, ("nginx", &theirs));
    publish("storm", &figures)
}

/// Runs of one server.
struct Side {
    reports: Vec<Report>,
    memory: Vec<f64>,
}

impl Side {
    fn run(
        lab: &Lab,
        plan: &Plan,
        count: u64,
        start: impl Fn() -> anyhow::Result<Server>,
    ) -> anyhow::Result<Self> {
        let mut side = Self { reports: Vec::new(), memory: Vec::new() };
        for seed in 1..=count {
            // A new server each time: no lease is left of the last run.
            let server = start()?;
            let plan = Plan { seed, ..plan.clone() };
            let report: Report =
                serde_json::from_str(&lab.nodes(&["swarm", &serde_json::to_string(&plan)?])?)?;
            if report.lost > 0 {
                println!("lost: {:?}", report.reasons);
            }
            side.memory.push(server.peak_mib());
            side.reports.push(report);
        }
        Ok(side)
    }

    fn of(&self, value: impl Fn(&Report) -> f64) -> Samples {
        Samples::of(self.reports.iter().map(value).collect())
    }
}

fn compare(figures: &mut Vec<Figure>, what: &str, nodes: u32, ours: &Side, (name, theirs): (&str, &Side)) {
    let mut add = |title: &str, unit, value: &dyn Fn(&Report) -> f64, better| {
        let title = format!("{nodes} nodes {what}: {title}");
        figures.push(figure(title, unit, &ours.of(value), (name, &theirs.of(value)), better));
    };
    add("lost", "nodes", &|r| r.lost as f64, Better::Less);
    add("p50", "ms", &|r| r.boot.p50_ms, Better::Less);
    add("p99", "ms", &|r| r.boot.p99_ms, Better::Less);
    add("rate", "nodes/s", &|r| r.boot.count as f64 / r.wall_s, Better::More);
    let (us, them) = (Samples::of(ours.memory.clone()), Samples::of(theirs.memory.clone()));
    figures.push(figure(format!("{nodes} nodes {what}: memory"), "MiB", &us, (name, &them), Better::Less));
}

fn nginx(lab: &Lab, peers: &Peers, root: &std::path::Path) -> anyhow::Result<Server> {
    let folder = lab.folder.path();
    let settings = format!(
        "daemon off; user root; worker_processes 2; worker_rlimit_nofile 20000; pid {0}/nginx.pid; error_log {0}/error.log;\n\
         events {{ worker_connections 8192; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {0}/t1; proxy_temp_path {0}/t2;\n\
         fastcgi_temp_path {0}/t3; uwsgi_temp_path {0}/t4; scgi_temp_path {0}/t5;\n\
         server {{ listen 80 backlog=4096; root {1}; }} }}\n",
        folder.display(),
        root.display()
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, settings)?;
    let mut command = lab.there("env");
    command.arg(format!("LD_LIBRARY_PATH={}", peers.libraries())).arg(peers.program("nginx"));
    command.arg("-c").arg(&file).arg("-p").arg(folder).arg("-e").arg(folder.join("error.log"));
    lab.start(command)
}
