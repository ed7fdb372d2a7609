//! Nodes on their way: stages told as they happen, approval by the fingerprint on the node's own console.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;
use weft_lab::Node;

use super::appliance::Access;
use super::progress::Progress;
use crate::workspace::output;

/// What the monitor prints before its fingerprint.
const FINGERPRINT: &str = "fingerprint ";
/// What a node prints that goes no further by itself.
const LAST_WORDS: &[&str] = &["fatal exception", "refused"];
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What was told about one node so far.
#[derive(Default)]
struct Told {
    stages: BTreeSet<String>,
    state: String,
    /// Lines of its console that were shown.
    lines: usize,
    approved: bool,
    /// Its console said that it is over.
    dead: bool,
}

/// Waits until every node is ready, tells its stages and approves it on the way.
pub fn bring_up(
    access: &Access,
    nodes: &[Node],
    patience: Duration,
    progress: &Progress,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let mut told: Vec<Told> = nodes.iter().map(|_| Told::default()).collect();
    loop {
        let listed = access.ask(&["node", "list"])?;
        let listed = listed.as_array().cloned().unwrap_or_default();
        for (node, told) in nodes.iter().zip(&mut told) {
            tell_console(node, told, progress);
            let mac = node.spec().mac_text();
            let Some(seen) = listed.iter().find(|seen| seen["mac"].as_str() == Some(&mac)) else { continue };
            tell_seen(node, seen, told, progress);
            if text(seen, "state") == "quarantined" && !told.approved {
                told.approved = approve(access, node, seen, progress)?;
            }
        }
        if told.iter().all(|told| told.state == "ready") {
            return Ok(());
        }
        if Instant::now() > deadline || told.iter().any(|told| told.dead) {
            return give_up(access, nodes, &told);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until a node asks to be let in and approves it; what the appliance answered is acknowledged by then.
pub fn approve_when_it_asks(access: &Access, node: &Node, patience: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let (mac, progress) = (node.spec().mac_text(), Progress::start());
    loop {
        let listed = access.ask(&["node", "list"])?;
        let mut nodes = listed.as_array().into_iter().flatten();
        let seen = nodes.find(|seen| seen["mac"].as_str() == Some(&mac) && seen["state"] == "quarantined");
        if let Some(seen) = seen
            && approve(access, node, seen, &progress)?
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "{} did not ask to be let in; its console ends:\n{}",
                name(node),
                node.serial().last_lines(10)
            );
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn name(node: &Node) -> &str {
    &node.spec().name
}

/// What the boot entry and the monitor say on the serial console.
fn tell_console(node: &Node, told: &mut Told, progress: &Progress) {
    let console = node.serial().text();
    let whole = console.rfind('\n').map_or("", |end| console.get(..end).unwrap_or_default());
    let lines: Vec<&str> = whole.lines().map(str::trim).filter(|line| line.starts_with("weft")).collect();
    for line in lines.iter().skip(told.lines) {
        progress.say(&format!("{}  console: {line}", name(node)));
    }
    told.lines = lines.len();
    told.dead = lines.iter().any(|line| LAST_WORDS.iter().any(|words| line.contains(words)));
}

fn tell_seen(node: &Node, seen: &Value, told: &mut Told, progress: &Progress) {
    for stage in seen["stages"].as_array().into_iter().flatten() {
        let stage_name = text(stage, "stage").to_owned();
        let since = stage["since_first_ms"].as_u64().unwrap_or_default();
        if told.stages.insert(stage_name.clone()) {
            progress.say(&format!("{}  stage {stage_name} (+{since} ms)", name(node)));
        }
    }
    let state = text(seen, "state");
    if state != told.state {
        progress.say(&format!("{}  is {state}", name(node)));
        told.state = state.to_owned();
    }
}

/// The fingerprint that a node has shown on its own console.
pub fn fingerprint(node: &Node) -> Option<String> {
    let console = node.serial().text();
    let (_, after) = console.lines().rev().find_map(|line| line.split_once(FINGERPRINT))?;
    after.split_whitespace().next().map(str::to_owned)
}

/// Approves a node by what *its own console* shows; the appliance compares. False while the console shows nothing.
fn approve(access: &Access, node: &Node, seen: &Value, progress: &Progress) -> anyhow::Result<bool> {
    let Some(fingerprint) = fingerprint(node) else { return Ok(false) };
    let known_as = text(seen, "name");
    let mut approve = access.weft(&["node", "approve", known_as, "--fingerprint", &fingerprint]);
    output(&mut approve)?;
    progress.say(&format!("{}  approved as {known_as} by fingerprint {fingerprint}", name(node)));
    Ok(true)
}

fn give_up(access: &Access, nodes: &[Node], told: &[Told]) -> anyhow::Result<()> {
    for (node, told) in nodes.iter().zip(told).filter(|(_, told)| told.state != "ready") {
        let stage = told.stages.iter().cloned().collect::<Vec<_>>().join(", ");
        eprintln!("{}: state {:?}, stages: {stage}; its console ends:", name(node), told.state);
        eprintln!("{}", node.serial().last_lines(10));
    }
    // What it finds helps; that it finds a failure is no news.
    let _failure_expected = access.weft(&["doctor"]).status();
    bail!("not every node became ready")
}
