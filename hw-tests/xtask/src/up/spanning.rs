//! `up --spanning`: one Linux over all nodes of the lab. Driven by the `weft` program alone, as a person would.
//!
//! ```text
//! nodes ready ─▶ partition create p1 ─▶ whole ─▶ vs create big ─▶ running ─▶ its kernel names all processors
//! ```
//! Emulated nodes are slow and a guest over two of them is slower: each stage is told, and so is each silence, and the
//! whole ends after [`PATIENCE`] with what is known about the cause.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use weft_hw_tests::stack::{Access, Progress};
use weft_hw_tests::workspace::output;
use weft_images::guest;

use super::{UpArguments, guest_files};

/// The partition that is made.
pub(super) const PARTITION: &str = "p1";
/// The server that spans it.
pub(super) const SERVER: &str = "big";
/// Time for the guest from its definition to its processors.
const PATIENCE: Duration = Duration::from_secs(600);
/// Seconds for the nodes to agree on their partition.
const AGREEMENT_S: &str = "120";
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A guest that prints nothing for so long is spoken for.
const SILENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at the server while its console is silent.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Lines of the guest's kernel that are shown as stages.
const MILESTONES: [&str; 7] = [
    "Linux version",
    "Booting paravirtualized kernel",
    "smp: Bringing up secondary CPUs",
    "smp: Brought up",
    "clocksource: Switched to",
    "Freeing unused kernel image",
    guest::USERLAND_UP,
];
/// Longest line shown.
const LINE: usize = 110;
/// Bytes that are taken as a line where none ends.
const PIECE: u64 = 4096;

/// Makes the partition and the server and waits until its kernel has named the processors of all nodes.
pub(super) fn start(access: &Access, arguments: &UpArguments, progress: &Progress) -> anyhow::Result<()> {
    let nodes = ready_nodes(access)?;
    ensure!(nodes.len() >= 2, "a server spans two nodes or more, and {} are ready", nodes.len());
    let listed = nodes.join(",");
    progress.say(&format!("{PARTITION}  is made of {}", nodes.join(" and ")));
    let create = ["partition", "create", PARTITION, "--nodes", &listed, "--wait", "--timeout", AGREEMENT_S];
    output(&mut access.weft(&create))?;
    progress.say(&format!("{PARTITION}  is whole: its nodes agree"));

    let deadline = Instant::now() + PATIENCE;
    let (vcpus, memory) = (arguments.vcpus().to_string(), format!("{}M", arguments.guest_mib()));
    let mut create = access.weft(&["vs", "create", SERVER, "--partition", PARTITION, "--vcpus", &vcpus]);
    create.args(["--memory", &memory, "--start", "--no-wait"]);
    create.arg(format!("--append={}", arguments.append()));
    for (option, file) in guest_files(arguments, progress)? {
        create.arg(option).arg(file);
    }
    output(&mut create)?;
    progress.say(&format!("{SERVER}  is defined: {vcpus} processors, {} MiB", arguments.guest_mib()));
    let places = await_running(access, progress, deadline)?;
    if arguments.tells_its_processors() {
        return await_processors(access, progress, deadline, places, arguments.vcpus());
    }
    // Somebody else's guest says other words, and one that was told to be quiet says none.
    progress.say(&format!(
        "{SERVER}  boots; what it prints is not watched, since it may not be Linux's own words"
    ));
    Ok(())
}

/// Names of the nodes that are ready, as the appliance knows them.
fn ready_nodes(access: &Access) -> anyhow::Result<Vec<String>> {
    let listed = access.ask(&["node", "list"])?;
    let ready = listed.as_array().into_iter().flatten().filter(|node| node["state"] == "ready");
    let mut names: Vec<String> = ready.filter_map(|node| node["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

/// The server as the appliance sees it; one that ended is an error with its reason.
fn look(access: &Access) -> anyhow::Result<Value> {
    let seen = access.ask(&["vs", "show", SERVER])?;
    let state = seen["state"].as_str().unwrap_or_default();
    if ["failed", "off"].contains(&state) {
        let reason =
            seen["reason"].as_str().filter(|reason| !reason.is_empty()).unwrap_or("no reason is known");
        bail!(
            "{SERVER} is {state}: {reason}; see ./just weft vs console {SERVER} and ./just weft event list"
        );
    }
    Ok(seen)
}

/// Waits until all members run their part. Returns how many there are.
fn await_running(access: &Access, progress: &Progress, deadline: Instant) -> anyhow::Result<usize> {
    let mut told = String::new();
    loop {
        let seen = look(access)?;
        let state = seen["state"].as_str().unwrap_or_default();
        let places = seen["places"].as_array().map(Vec::as_slice).unwrap_or_default();
        if state != told {
            let place = |place: &Value| {
                let node = place["node"].as_str().unwrap_or_default();
                format!("{node} gives {} processors and {} MiB", place["vcpus"], place["memory_mib"])
            };
            // Who gives what is settled at its definition.
            for share in places.iter().filter(|_| told.is_empty()).map(place) {
                progress.say(&format!("{SERVER}  {share}"));
            }
            progress.say(&format!("{SERVER}  is {state}"));
            state.clone_into(&mut told);
        }
        if state == "running" {
            return Ok(places.len());
        }
        if Instant::now() > deadline {
            let reason = seen["reason"].as_str().unwrap_or_default();
            bail!(
                "{SERVER} is still {state} after {} s {reason}; see ./just weft doctor",
                PATIENCE.as_secs()
            );
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A program that ends with its reader.
struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, which is as well.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn words(nodes: usize, vcpus: u16) -> String {
    let plural = |many: bool| if many { "s" } else { "" };
    format!("smp: Brought up {nodes} node{}, {vcpus} CPU{}", plural(nodes > 1), plural(vcpus > 1))
}

/// Follows the console until the kernel has said that it has all processors.
fn await_processors(
    access: &Access,
    progress: &Progress,
    deadline: Instant,
    nodes: usize,
    vcpus: u16,
) -> anyhow::Result<()> {
    let wanted = words(nodes, vcpus);
    let patience_s = deadline.saturating_duration_since(Instant::now()).as_secs().max(1).to_string();
    let mut console =
        access.weft(&["vs", "console", SERVER, "--timeout", &patience_s, "--wait-for", &wanted]);
    let child = console.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("weft vs console")?;
    let mut watcher = Watcher(child);
    let lines = lines_of(watcher.0.stdout.take().context("the console's output")?);
    progress.say(&format!("{SERVER}  boots; waiting for its \"{wanted}\", up to {patience_s} s"));
    let (mut last, mut spoken) = (String::from("nothing yet"), Instant::now());
    loop {
        match lines.recv_timeout(CHECK_EVERY) {
            Ok(line) => {
                if MILESTONES.iter().any(|words| line.contains(words)) {
                    progress.say(&format!("{SERVER}  console: {line}"));
                }
                (last, spoken) = (line, Instant::now());
            }
            Err(RecvTimeoutError::Timeout) => {
                let seen = look(access)?;
                if spoken.elapsed() >= SILENCE {
                    let exits = seen["exits"].as_u64().unwrap_or_default();
                    progress
                        .say(&format!("{SERVER}  still boots, {exits} exits so far; it last said: {last}"));
                    spoken = Instant::now();
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = watcher.0.wait().context("weft vs console")?;
    if !status.success() {
        look(access)?;
        bail!("{SERVER} did not say \"{wanted}\"; it last said: {last}; see ./just weft vs console {SERVER}");
    }
    progress.say(&format!("{SERVER}  is one Linux with the processors of {nodes} nodes"));
    Ok(())
}

/// Whole lines of a console, as they come; the channel closes at its end.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (send, receive) = sync_channel(64);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut bytes = Vec::new();
        // A guest may print without ever ending a line.
        while reader.by_ref().take(PIECE).read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line: String = String::from_utf8_lossy(&bytes).trim().chars().take(LINE).collect();
            bytes.clear();
            if !line.is_empty() && send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_kernel() {
        assert_eq!(words(2, 4), "smp: Brought up 2 nodes, 4 CPUs");
        assert_eq!(words(1, 1), "smp: Brought up 1 node, 1 CPU");
    }
}
