//! Three appliances, and a whole node that knows their service address alone: the leader is killed, and node and guest go
//! on with the next one.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use weft_hw_tests::stack::{Ground, Options, appliance};
use weft_hw_tests::workspace::{output, program};
use weft_images::guest::USERLAND_UP;
use weft_lab::{Host, NodeSpec};

const PATIENCE: Duration = Duration::from_secs(240);
const PATIENCE_S: &str = "240";
const SERVICE: &str = "10.77.0.100/24";
/// Every appliance listens there for its own machine.
const API: &str = "https://127.0.0.1:8443";

/// Runs `weft appliance` with these words on that data folder.
fn own(mut command: Command, words: &[&str], data: &Path) {
    command.arg("appliance").args(words).arg("--data").arg(data);
    output(&mut command).expect("weft does it");
}

/// A further appliance: invited by the first, joined, running.
fn join(ground: &mut Ground, name: &str, address: &str, options: &Options) -> Host {
    let weft = program("weft").display().to_string();
    let folder = ground.lab.folder().to_path_buf();
    let file = folder.join(format!("{name}-invitation")).display().to_string();
    own(ground.lab.command_inside(&weft), &["invite", "--out", &file], &appliance::data(&folder));
    let mut host = ground.lab.host(name, &format!("{address}/24")).expect("a host");
    let data = folder.join(format!("{name}-data"));
    let at = format!("{address}:7070");
    own(host.command(&weft), &["join", "--name", name, "--address", &at, "--invitation", &file], &data);
    appliance::start_on(&mut host, &data, &ground.guest, options).expect("it starts");
    host
}

/// The command line on the machine of an appliance.
fn at(ground: &Ground, host: &Host, arguments: &[&str]) -> Command {
    let mut command = host.command(&program("weft").display().to_string());
    ground.access.point(command.args(arguments), API);
    command
}

/// Waits until what a verb lists there, or at the first appliance, is so. One that does not answer is asked again.
fn until(
    ground: &mut Ground,
    host: Option<&Host>,
    arguments: &[&str],
    what: &str,
    is_so: impl Fn(&[Value]) -> bool,
) {
    let end = Instant::now() + PATIENCE;
    let arguments = [arguments, &["--output", "json"]].concat();
    loop {
        let mut command = match host {
            Some(host) => at(ground, host, &arguments),
            None => ground.access.weft(&arguments),
        };
        let seen = output(&mut command);
        let listed: Option<Vec<Value>> = seen.as_ref().ok().and_then(|text| serde_json::from_str(text).ok());
        if listed.as_deref().is_some_and(&is_so) {
            return;
        }
        if Instant::now() > end {
            ground.lab.keep();
            panic!("never {what}: {seen:?}");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_node_and_its_guest_go_on_with_the_next_leader() {
    let mut ground = Ground::open("appliances", &Options::default()).expect("an appliance");
    let options = Options { service: Some(SERVICE), ..Options::default() };
    let data = appliance::data(ground.lab.folder());
    ground.lab.program("appliance").expect("it runs").stop(Duration::from_secs(20));
    let found = ["found", "--name", "north", "--address", "10.77.0.1:7070"];
    own(ground.lab.command_inside(&program("weft").display().to_string()), &found, &data);
    appliance::start_again(&mut ground.lab, &ground.guest, &options).expect("the first of several");
    let leads = |all: &[Value]| all.iter().any(|one| one["state"] == "leads");
    until(&mut ground, None, &["appliance", "list"], "one that leads", leads);
    let south = join(&mut ground, "south", "10.77.0.2", &options);
    let _east = join(&mut ground, "east", "10.77.0.3", &options);
    let voters = |all: &[Value]| all.len() == 3 && all.iter().all(|one| one["voter"] == true);
    until(&mut ground, Some(&south), &["appliance", "list"], "three with a vote", voters);

    let mut node = ground.lab.node(NodeSpec::new(1)).expect("a node");
    node.power_on().expect("on");
    let nodes = std::slice::from_ref(&node);
    // A busy machine may choose another leader: then nobody answers for a moment.
    ground.bring_up(nodes).or_else(|_| ground.bring_up(nodes)).expect("a ready node");
    let shell = ["vs", "create", "shell", "--memory", "128M", "--append=quiet", "--start", "--wait"];
    output(&mut ground.access.weft(&shell)).expect("it starts");
    let up = ["vs", "console", "shell", "--wait-for", USERLAND_UP, "--timeout", PATIENCE_S];
    output(ground.access.weft(&up).stdin(Stdio::null())).expect("it boots");

    ground.lab.program("appliance").expect("it runs").kill();
    let next = |all: &[Value]| all.iter().any(|one| one["state"] == "leads" && one["name"] != "north");
    until(&mut ground, Some(&south), &["appliance", "list"], "another that leads", next);
    let ready = |all: &[Value]| all.len() == 1 && all[0]["state"] == "ready";
    until(&mut ground, Some(&south), &["node", "list"], "a ready node", ready);
    // The guest went on, and its console is reached through the new leader.
    let answer = ["vs", "console", "shell", "--wait-for", "(?m)^alive: 42", "--timeout", PATIENCE_S];
    let mut console = at(&ground, &south, &answer);
    let mut child = console.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("weft starts");
    child.stdin.take().expect("a pipe").write_all(b"echo alive: $((6 * 7))\n").expect("typed");
    assert!(child.wait().expect("weft ends").success(), "the guest does not answer");
    // The node takes the new leader's records, and fetches from the service address.
    let second = ["vs", "create", "second", "--memory", "128M", "--append=quiet", "--start", "--wait"];
    output(&mut at(&ground, &south, &second)).expect("it starts");
    let up = ["vs", "console", "second", "--wait-for", USERLAND_UP, "--timeout", PATIENCE_S];
    output(at(&ground, &south, &up).stdin(Stdio::null())).expect("it boots");
}
