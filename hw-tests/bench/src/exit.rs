//! `exit`: how often a guest leaves to its monitor until its userland runs, by reason, and what leaving for a
//! CPUID costs. The guest powers off at once, so that both sides count the same life. KVM's exits are counted
//! by its own tracepoint; the cost is taken in another boot without tracing.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use weft_images::cpuid_cost::PER_BLOCK;

use crate::ours::Ours;
use crate::peer::{self, Peer};
use weft_hw_tests::report::{Figure, figure, publish};

/// Classes of ours in the order of the log line, and KVM's exit codes that belong to each. Nested faults on
/// memory and on devices have one code.
const CLASSES: [(&str, &[&str], &[u64]); 8] = [
    ("interrupt", &["interrupt"], &[0x60, 0x61]),
    ("window", &["window"], &[0x64]),
    ("cpuid", &["cpuid"], &[0x72]),
    ("msr", &["msr"], &[0x7c]),
    ("port", &["port"], &[0x7b]),
    ("halt", &["halt"], &[0x78]),
    ("memory and device", &["memory", "device"], &[0x400]),
    ("other", &["other"], &[]),
];
const PATIENCE: Duration = Duration::from_secs(90);

/// What one side measured.
#[derive(Debug, Default)]
struct Side {
    /// Exits of each run by class.
    counts: Vec<Vec<f64>>,
    /// Ticks of one CPUID, each block of each run.
    cost: Vec<f64>,
}

pub(crate) fn run(runs: u8) -> anyhow::Result<()> {
    let (bare, switch) = bare_loop()?;
    eprintln!("an entry: bare {bare:?}, world switch {switch:?} ticks");
    let ours = ours(runs)?;
    let theirs = theirs(runs)?;
    publish("exit", &figures(&ours, &theirs, (&bare, &switch)))
}

fn figures(ours: &Side, theirs: &Side, (bare, switch): (&[f64], &[f64])) -> Vec<Figure> {
    let total = |side: &Side| -> Vec<f64> { side.counts.iter().map(|counts| counts.iter().sum()).collect() };
    let mut figures =
        vec![figure("exits until userland and off", "exits", &total(ours), peer::NAME, &total(theirs))];
    for (index, (name, ..)) in CLASSES.iter().enumerate() {
        let of =
            |side: &Side| -> Vec<f64> { side.counts.iter().filter_map(|c| c.get(index).copied()).collect() };
        figures.push(figure(&format!("exits: {name}"), "exits", &of(ours), peer::NAME, &of(theirs)));
    }
    figures.push(figure("cost of a CPUID exit", "ticks", &ours.cost, peer::NAME, &theirs.cost));
    figures.push(figure("cost of a CPUID exit", "ticks", &ours.cost, "bare VMRUN loop", bare));
    figures.push(figure("the world switch alone", "ticks", switch, "bare VMRUN loop", bare));
    figures
}

fn ours(runs: u8) -> anyhow::Result<Side> {
    let mut ours = Ours::start()?;
    ours.power_on()?;
    ours.bring_up()?;
    let mut side = Side::default();
    for run in 0..runs {
        let name = format!("count-{run}");
        ours.start_guest(&name, "quiet weft.poweroff")?;
        let line = ours.wait_for(" exits: ")?;
        eprintln!("ours, run {run}: {line}");
        side.counts.push(our_counts(&line).context("the monitor counts exits by class")?);
        ours.delete_guest(&name)?;
        let name = format!("cost-{run}");
        ours.start_guest(&name, "quiet weft.cpuid")?;
        let words = ours.console(&name, "(cpuid took [0-9]+ ticks\\s+(.*\\s+)?){20}")?;
        let ticks = cost(&words)?;
        eprintln!("ours, run {run}: ticks of a CPUID {ticks:?}");
        side.cost.extend(ticks);
        ours.delete_guest(&name)?;
    }
    Ok(side)
}

fn theirs(runs: u8) -> anyhow::Result<Side> {
    let mut peer = Peer::start()?;
    let mut side = Side::default();
    for run in 0..runs {
        peer.power_on("weft.poweroff weft.trace")?;
        peer.wait_for("weft peer: end")?;
        let counts = peer_counts(&peer.console());
        eprintln!("peer, run {run}: {counts:?}");
        ensure!(counts.iter().sum::<f64>() > 0.0, "KVM counted no exits:\n{}", peer.console());
        side.counts.push(counts);
        peer.power_on("weft.cpuid weft.poweroff")?;
        peer.wait_for("weft peer: end")?;
        let ticks = cost(&peer.console())?;
        eprintln!("peer, run {run}: ticks of a CPUID {ticks:?}");
        side.cost.extend(ticks);
        peer.power_off();
    }
    Ok(side)
}

/// `weft: guest … exits: interrupt 1 window 2 …`
fn our_counts(line: &str) -> Option<Vec<f64>> {
    let words: Vec<&str> = line.split(" exits: ").nth(1)?.split_whitespace().collect();
    let of = |name: &str| -> Option<f64> {
        words.chunks_exact(2).find(|pair| pair.first() == Some(&name))?.get(1)?.parse().ok()
    };
    CLASSES.iter().map(|(_, names, _)| names.iter().map(|name| of(name)).sum()).collect()
}

/// Lines `weft peer: trace { exit_reason: 123 } hitcount: 74957`.
fn peer_counts(console: &str) -> Vec<f64> {
    let mut counts = vec![0.0; CLASSES.len()];
    for line in console.lines().filter_map(|line| line.split_once("{ exit_reason:")) {
        let mut words = line.1.split_whitespace();
        let code = words.next().and_then(|word| word.parse::<u64>().ok());
        let count = words.last().and_then(|word| word.parse::<f64>().ok());
        let (Some(code), Some(count)) = (code, count) else { continue };
        let class = CLASSES.iter().position(|(.., codes)| codes.contains(&code)).unwrap_or(CLASSES.len() - 1);
        if let Some(slot) = counts.get_mut(class) {
            *slot += count;
        }
    }
    counts
}

/// Ticks of one instruction, by block.
fn cost(console: &str) -> anyhow::Result<Vec<f64>> {
    let blocks = console.split("cpuid took ").skip(1);
    let ticks: Vec<f64> = blocks
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        .map(|ticks| ticks / f64::from(PER_BLOCK))
        .collect();
    ensure!(!ticks.is_empty(), "the guest measured nothing:\n{console}");
    Ok(ticks)
}

/// Starts the image by QEMU's own Multiboot loader with the words that make it measure itself: ticks of an
/// entry by the bare instruction, and by the world switch.
fn bare_loop() -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let image = weft_hw_tests::stack::image::build()?;
    let log = image.bios.with_file_name("bench-vmrun.log");
    let _absent = std::fs::remove_file(&log);
    let mut child = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg,thread=multi", "-cpu", "max,+svm", "-m", "512", "-M", "q35", "-nodefaults"])
        .args(["-display", "none", "-append", "bench=vmrun", "-kernel"])
        .arg(&image.bios)
        .arg("-initrd")
        .arg(image.bios.with_file_name("manifest"))
        .arg("-serial")
        .arg(format!("file:{}", log.display()))
        .stdin(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + PATIENCE;
    let mut figures = (Vec::new(), Vec::new());
    while figures.0.len() < 5 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
        figures = bare_figures(&String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()));
    }
    child.kill()?;
    child.wait()?;
    ensure!(figures.0.len() == 5, "the node did not measure itself; see {}", log.display());
    Ok(figures)
}

/// Lines `weft bench: 20000 entries exit 0x72 bare 1387883224 switch 1344460274 ticks`.
fn bare_figures(text: &str) -> (Vec<f64>, Vec<f64>) {
    let mut figures = (Vec::new(), Vec::new());
    let lines =
        text.lines().filter(|line| line.starts_with("weft bench:") && line.trim_end().ends_with("ticks"));
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |name: &str| -> Option<f64> {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1)?.parse().ok()
        };
        let entries = words.get(2).and_then(|word| word.parse::<f64>().ok());
        if let (Some(entries), Some(bare), Some(switch)) = (entries, after("bare"), after("switch")) {
            figures.0.push(bare / entries);
            figures.1.push(switch / entries);
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_line_is_read_by_class() {
        let line = "weft: guest 12 exits: interrupt 1 window 2 cpuid 3 msr 4 port 5 halt 6 memory 7 device 8 other 9";
        assert_eq!(our_counts(line).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 15.0, 9.0]);
        assert_eq!(our_counts("weft: guest 12 exits: interrupt 1"), None);
    }

    #[test]
    fn the_peers_codes_go_into_the_same_classes() {
        let text = "weft peer: trace # trigger info: hist:keys=exit_reason\nweft peer: trace { exit_reason:        123 } hitcount:          7\nweft peer: trace { exit_reason:       1024 } hitcount:          3\nweft peer: trace { exit_reason:         48 } hitcount:          1\n";
        assert_eq!(peer_counts(text), [0.0, 0.0, 0.0, 0.0, 7.0, 0.0, 3.0, 1.0]);
    }

    #[test]
    fn costs_are_per_instruction() {
        assert_eq!(
            cost("weft guest: 1000 cpuid took 31000 ticks\nx\nweft guest: 1000 cpuid took 30000 ticks")
                .unwrap(),
            [31.0, 30.0]
        );
        assert!(cost("nothing").is_err());
        let (bare, switch) = bare_figures(
            "weft bench: 10 entries exit 0x72 bare 100 switch 200 ticks\nweft bench: 10 entries exit",
        );
        assert_eq!((bare, switch), (vec![10.0], vec![20.0]));
    }
}
