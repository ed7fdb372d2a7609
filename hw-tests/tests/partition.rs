//! A partition of two nodes as an operator lives with it: a server over both is reset and reboots, obeys an operator while the
//! appliance is away, ends with the cause where a node dies or is cut off, and comes back.
//!
//! ```text
//! whole ─▶ big runs ─ reset, reboot ─▶ (soak: a second one beside it) ─▶ appliance off: stop, start
//!       ─▶ power cut ─▶ back ─▶ (soak: wire cut, healed)
//! ```

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use weft_hw_tests::stack::{Ground, Options, appliance};
use weft_hw_tests::workspace::{output, program};
use weft_images::guest::USERLAND_UP;
use weft_lab::{Node, NodeSpec};

const PATIENCE: Duration = Duration::from_secs(240);
const PATIENCE_S: &str = "240";
/// More than either node has.
const BIG_MEMORY: &str = "1280M";

/// A lab with a partition `p1` of both nodes.
struct Partition {
    // In this order: nodes end before the wire.
    nodes: Vec<Node>,
    ground: Ground,
}

impl Partition {
    fn form() -> Self {
        let mut ground = Ground::open("partition", &Options::default()).expect("an appliance");
        let mut nodes = Vec::new();
        for index in 1..=2 {
            // By UEFI, which keeps the node's key: one that boots again is the same member.
            let spec = NodeSpec { cpus: 1, ..NodeSpec::new(index) };
            let mut node = ground.lab.node(spec).expect("a node");
            node.power_on().expect("on");
            nodes.push(node);
        }
        ground.bring_up(&nodes).expect("ready nodes");
        let mut partition = Self { nodes, ground };
        let names: Vec<String> = (0..2).map(|number| partition.name(number)).collect();
        partition.weft(&["partition", "create", "p1", "--nodes", &names.join(","), "--wait"]);
        partition
    }

    /// Runs `weft`; its failure ends the test, with the lab's logs kept.
    fn weft(&mut self, arguments: &[&str]) -> String {
        let answer = output(self.ground.access.weft(arguments).stdin(Stdio::null()));
        if answer.is_err() {
            self.ground.lab.keep();
        }
        answer.expect("weft does it")
    }

    /// What the appliance calls a node.
    fn name(&self, number: usize) -> String {
        let seen = self.ground.listed(&self.nodes[number]).expect("asked").expect("listed");
        seen["name"].as_str().expect("a name").to_owned()
    }

    fn shown(&self, kind: &str, name: &str) -> Value {
        self.ground.access.ask(&[kind, "show", name]).expect("shown")
    }

    /// Waits until an object is so.
    fn until(&mut self, kind: &str, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = self.shown(kind, name);
            if is_so(&seen) {
                return seen;
            }
            if Instant::now() > end {
                self.ground.lab.keep();
                panic!("{name} is not {what}: {seen}");
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until the server has reached its userland so often since it was made.
    fn boots(&mut self, name: &str, times: usize) {
        let words = format!("(?s)({USERLAND_UP}.*){{{times}}}");
        self.weft(&["vs", "console", name, "--wait-for", &words, "--timeout", PATIENCE_S]);
    }

    /// Types a line at the server's prompt, and waits for an answer.
    fn types(&mut self, name: &str, line: &str, answer: &str) {
        let arguments = ["vs", "console", name, "--wait-for", answer, "--timeout", PATIENCE_S];
        let mut console = self.ground.access.weft(&arguments);
        let mut child = console.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("weft starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        pipe.write_all(line.as_bytes()).expect("typed");
        drop(pipe);
        assert!(child.wait().expect("weft ends").success(), "{name} does not answer to {line:?}");
    }

    /// The command line inside the lab, where nodes can be reached, with an operator's credential.
    fn operator(&self, credential: &str, node: &str, arguments: &[&str]) -> Command {
        let mut command = self.ground.lab.command_inside(&program("weft").display().to_string());
        command.args(["--credential", credential, "--at", node]).args(arguments);
        command
    }
}

fn state(seen: &Value) -> &str {
    seen["state"].as_str().unwrap_or_default()
}

/// The cause, where a server has failed.
fn failed(seen: &Value) -> Option<&str> {
    (state(seen) == "failed").then(|| seen["reason"].as_str().unwrap_or_default())
}

#[test]
fn a_server_over_two_nodes_is_reset_obeys_without_the_appliance_and_survives_neither_death_nor_cut() {
    let mut lab = Partition::form();
    lab.weft(&["vs", "create", "plain", "--memory", "128M", "--append=quiet", "--start", "--wait"]);
    // In the soak with a processor on each node; with one it is a machine that has little time.
    let vcpus = if weft_hw_tests::is_soak() { "2" } else { "1" };
    let big = ["vs", "create", "big", "--partition", "p1", "--memory", BIG_MEMORY, "--vcpus", vcpus];
    lab.weft(&[&big[..], &["--append=quiet", "--start", "--wait"]].concat());
    lab.boots("plain", 1);
    lab.boots("big", 1);
    assert_eq!(lab.shown("vs", "big")["places"].as_array().map(Vec::len), Some(2));

    lab.weft(&["vs", "reset", "big"]);
    lab.boots("big", 2);
    lab.types("big", "reboot -f\n", USERLAND_UP);
    let told = lab.until("vs", "big", "running", |seen| state(seen) == "running");
    assert_eq!(told["desired"], "running", "{told}");

    if weft_hw_tests::is_soak() {
        two_servers_share_the_processors(&mut lab);
    }
    an_operator_speaks_for_the_appliance(&mut lab);
    a_node_dies_and_comes_back(&mut lab);
    if weft_hw_tests::is_soak() {
        the_wire_is_cut_and_healed(&mut lab);
    }
    // Whoever spans nothing noticed nothing of all this.
    lab.types("plain", "echo alive: $((6 * 7))\n", "(?m)^alive: 42");
    let plain = lab.shown("vs", "plain");
    assert_eq!((state(&plain), &plain["instance"]), ("running", &Value::from(1)), "{plain}");
}

/// Each node has one processor, which both give twice, and the first one a third time to the server of its own.
fn two_servers_share_the_processors(lab: &mut Partition) {
    let twin = ["vs", "create", "twin", "--partition", "p1", "--memory", "192M", "--vcpus", "2"];
    lab.weft(&[&twin[..], &["--append=quiet", "--start", "--wait"]].concat());
    lab.boots("twin", 1);
    for name in ["big", "twin"] {
        lab.types(name, "f() { i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; }; f & f & wait; echo shared: $(grep -c ^processor /proc/cpuinfo)\n", "(?m)^shared: 2");
    }
    lab.weft(&["vs", "delete", "twin", "--yes"]);
}

fn an_operator_speaks_for_the_appliance(lab: &mut Partition) {
    let file = lab.ground.lab.folder().join("ann.json").display().to_string();
    lab.weft(&["operator", "issue", "ann", "--out", &file]);
    let (first, second) = (lab.name(0), lab.name(1));
    lab.ground.lab.program("appliance").expect("the appliance").kill();

    let listed = |lab: &Partition, node: &str| -> anyhow::Result<Value> {
        let text = output(&mut lab.operator(&file, node, &["vs", "list", "-o", "json"]))?;
        let listed: Value = serde_json::from_str(&text)?;
        let found = listed.as_array().into_iter().flatten().find(|seen| seen["name"] == "big").cloned();
        found.with_context(|| format!("big is not there: {listed}"))
    };
    // A node that does not answer in time has not said no.
    let until = |lab: &Partition, node: &str, wanted: &str| {
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = listed(lab, node);
            if seen.as_ref().is_ok_and(|seen| state(seen) == wanted) {
                return;
            }
            assert!(Instant::now() < end, "big is not {wanted}: {seen:?}");
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    let agreed = |lab: &Partition, node: &str, words: &[&str]| {
        for last in [false, false, true] {
            match output(&mut lab.operator(&file, node, words)) {
                Ok(_) => return,
                Err(error) if !last && error.to_string().contains("cannot reach") => {
                    std::thread::sleep(Duration::from_secs(2));
                }
                Err(error) => panic!("not agreed: {error:#}"),
            }
        }
    };
    agreed(lab, &second, &["configure", "--stop", "big"]);
    until(lab, &first, "stopped");
    until(lab, &second, "stopped");
    // Its files are in the memory of the node that loads them.
    agreed(lab, &first, &["vs", "start", "big"]);
    until(lab, &second, "running");

    appliance::start_again(&mut lab.ground.lab, &lab.ground.guest, &Options::default())
        .expect("the appliance");
    lab.ground.await_event("vs.wanted", "ann", PATIENCE).expect("it hears who it was");
    lab.until("vs", "big", "running", |seen| state(seen) == "running");
}

fn a_node_dies_and_comes_back(lab: &mut Partition) {
    let listed = lab.ground.listed(&lab.nodes[1]).expect("asked").expect("listed");
    let fingerprint = listed["fingerprint"].as_str().expect("a fingerprint").to_owned();
    lab.nodes[1].power_off();
    let seen = lab.until("vs", "big", "failed", |seen| failed(seen).is_some());
    // The node that is lost; or, where the view without it comes later than the lease ends, that too few answer. Some tenths of
    // a second lie between the two, which a busy machine may take.
    let told = |cause: &str| {
        cause.contains(&fingerprint) || cause.contains("the majority of the partition does not")
    };
    assert!(failed(&seen).is_some_and(told), "{seen}");
    // The others have agreed to go on without it: until then the appliance knows of no loss.
    lab.until("partition", "p1", "degraded", |seen| state(seen) == "degraded");
    lab.nodes[1].power_on().expect("on");
    back(lab);
}

fn the_wire_is_cut_and_healed(lab: &mut Partition) {
    let port = lab.nodes[1].spec().name.clone();
    // Each node notes the end of a guest on its own console.
    let ends = |lab: &Partition| lab.nodes[1].serial().text().matches(" exits: ").count();
    let before = ends(lab);
    lab.ground.lab.set_group(&port, 1).expect("cut off");
    lab.until("vs", "big", "failed", |seen| failed(seen).is_some());
    // The smaller side ends its part by itself.
    let end = Instant::now() + PATIENCE;
    while ends(lab) == before {
        assert!(Instant::now() < end, "it goes on: {}", lab.nodes[1].serial().last_lines(10));
        std::thread::sleep(Duration::from_millis(500));
    }
    lab.until("partition", "p1", "degraded", |seen| state(seen) == "degraded");
    lab.ground.lab.set_group(&port, 0).expect("healed");
    back(lab);
}

/// Waits until the partition is whole again, and starts what spans it.
fn back(lab: &mut Partition) {
    let node = lab.name(1);
    lab.until("node", &node, "ready", |seen| state(seen) == "ready");
    lab.until("partition", "p1", "whole", |seen| state(seen) == "whole");
    lab.weft(&["vs", "start", "big", "--wait", "--timeout", PATIENCE_S]);
    // What its console said before does not count.
    lab.types("big", "\n", USERLAND_UP);
    lab.types("big", "echo again: $((6 * 7))\n", "(?m)^again: 42");
}
