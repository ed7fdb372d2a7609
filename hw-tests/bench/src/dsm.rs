//! `dsm`: what faults on pages of the other node cost while a guest runs over two: messages one after another, bytes, and
//! times beside the bare round trip of a request out and a page back by the same driver and link layer (`bench=link`).

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use weft_hw_tests::members::{count, link_bench};
use weft_lab::Lifetime;
use weft_lab::process::Process;

use crate::pair::{self, number};
use crate::remote::Remote;
use weft_hw_tests::report::{Figure, figure, publish};

const BARE: &str = "bare round trip, page back";
const AIM: &str = "the design's aim";
const RUN: &str = "weft.run=openmp:64:1,perl:1000,pingpong:2";
const PATIENCE: Duration = Duration::from_secs(180);
/// Control bytes of a message, its tag included.
const CONTROL: f64 = 58.0;

/// What was measured, run by run.
#[derive(Debug, Default)]
struct Runs {
    hops: Vec<f64>,
    messages: Vec<f64>,
    bytes: Vec<f64>,
    read_us: Vec<f64>,
    write_us: Vec<f64>,
    upgrades: Vec<f64>,
    migrated: Vec<f64>,
    bare_us: Vec<f64>,
}

pub(crate) fn run(runs: u8) -> anyhow::Result<()> {
    let guest = pair::guest()?;
    let (mut all, mut remote) = (Runs::default(), Remote::default());
    for run in 0..runs {
        all.bare_us.push(bare_us()?);
        let said = pair::over_two(&guest, true, &["quiet", RUN])?;
        let of = |name: &str| -> anyhow::Result<f64> {
            Ok((count(&said.first, "coherence", name)? + count(&said.second, "coherence", name)?) as f64)
        };
        let faults = of("remote_read")? + of("remote_write")?;
        all.hops.push(of("hops")? / faults);
        all.messages.push(of("sent")? / faults);
        let contents = number(&said.first, "content_bytes:")? + number(&said.second, "content_bytes:")?;
        all.bytes.push(contents / of("pages_sent")? / 4096.0);
        all.read_us.push(number(&said.first, "read latency, mean")?);
        all.write_us.push(number(&said.first, "write latency, mean")?);
        all.upgrades.push(of("upgrade")? / faults);
        all.migrated.push(of("migrated_written")? / of("migrated")?);
        remote.add(&guest)?;
        eprintln!("run {run}: {all:?} {remote:?}");
    }
    let mut figures = figures(&all);
    figures.extend(remote.figures());
    publish("dsm", &figures)
}

fn figures(all: &Runs) -> Vec<Figure> {
    vec![
        figure("messages on a fault's way", "messages", &all.hops, AIM, &[3.0]),
        figure("messages a fault, all", "messages", &all.messages, AIM, &[5.0]),
        figure("contents of a page sent / 4096", "share", &all.bytes, AIM, &[1.05]),
        figure("control message with its tag", "bytes", &[CONTROL], AIM, &[64.0]),
        figure("read fault, mean", "us", &all.read_us, BARE, &all.bare_us),
        figure("write fault, mean", "us", &all.write_us, BARE, &all.bare_us),
        figure("upgrades among faults", "share", &all.upgrades, "none", &[0.0]),
        figure("pages given to readers that wrote them", "share", &all.migrated, "all", &[1.0]),
    ]
}

/// The median of a request out and a page back, nothing else running.
fn bare_us() -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut nodes = Vec::new();
    for number in 0..2 {
        let log = folder.path().join(format!("qemu-{number}.log"));
        let command = link_bench(folder.path(), number)?;
        nodes.push(Process::start(command, Stdio::null(), &log, Lifetime::Test)?);
    }
    let end = Instant::now() + PATIENCE;
    let said = loop {
        let said = std::fs::read_to_string(folder.path().join("console-0")).unwrap_or_default();
        if said.contains("request out, page back:") {
            break said;
        }
        if Instant::now() > end {
            bail!("the link was not measured:\n{said}");
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    nodes.iter_mut().for_each(Process::kill);
    let line = said.lines().find(|line| line.contains("request out, page back:")).context("a line")?;
    number(line, "median")
}
