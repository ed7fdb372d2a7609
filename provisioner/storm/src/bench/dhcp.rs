//! The highest rate of whole exchanges at which no more than one in a thousand is lost, by `perfdhcp`.
//!
//! This project's server has each lease on disk before its ACK. Kea's memfile writes without syncing, dnsmasq rewrites its file: both
//! acknowledge what a crash may lose.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Context;

use super::lab::{Lab, SERVER, Server, target};
use super::peers::Peers;
use super::report::{Better, Samples, figure, publish};
use super::tftp::peer;

const LADDER: [u32; 16] =
    [100, 250, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7500, 9000, 11_000, 13_000, 16_000, 20_000, 25_000];

/// What perfdhcp saw.
#[derive(Clone, Copy, Debug)]
struct Seen {
    exchanges_s: f64,
    drops_permille: f64,
}

/// A server's place on the ladder, and what it did there for the whole time.
struct Climber {
    name: &'static str,
    step: Option<usize>,
    sustained: Vec<f64>,
}

pub(crate) fn run(quick: bool, runs: u32) -> anyhow::Result<()> {
    let lab = Lab::new()?;
    let peers = Peers::fetch()?;
    let root = lab.folder.path().join("empty");
    std::fs::create_dir(&root)?;
    let (search_s, final_s) = if quick { (3, 5) } else { (6, 20) };
    let start = |name: &str| match name {
        "weft" => lab.weft(1000),
        "kea" => kea(&lab, &peers),
        _ => peer(&lab, &peers, "dnsmasq", &root),
    };
    let mut climbers = Vec::new();
    for name in ["weft", "kea", "dnsmasq"] {
        let mut step = None;
        for (next, rate) in LADDER.iter().enumerate() {
            let _server = start(name)?;
            let seen = measure(&lab, &peers, *rate, search_s, next as u32)?;
            say(name, *rate, search_s, &seen);
            if seen.drops_permille > 1.0 || seen.exchanges_s < f64::from(*rate) * 0.9 {
                break;
            }
            step = Some(next);
        }
        climbers.push(Climber { name, step, sustained: Vec::new() });
    }
    // In turns, so that what else the machine does strikes all alike.
    let wanted = runs as usize;
    for seed in 0..runs.saturating_mul(4) {
        for climber in &mut climbers {
            let Some(rate) = climber.step.and_then(|step| LADDER.get(step)).copied() else { continue };
            if climber.sustained.len() >= wanted {
                continue;
            }
            let _server = start(climber.name)?;
            let seen = measure(&lab, &peers, rate, final_s, 100 + seed)?;
            say(climber.name, rate, final_s, &seen);
            if seen.drops_permille > 1.0 {
                // Over the whole time a rate may prove too high: the next lower one then.
                climber.step = climber.step.and_then(|step| step.checked_sub(1));
                climber.sustained.clear();
            } else {
                climber.sustained.push(seen.exchanges_s);
            }
        }
    }
    let rates: BTreeMap<&str, Samples> =
        climbers.into_iter().map(|climber| (climber.name, Samples::of(climber.sustained))).collect();
    let mut figures = Vec::new();
    for peer in ["kea", "dnsmasq"] {
        if let (Some(ours), Some(theirs)) = (rates.get("weft"), rates.get(peer)) {
            let title = format!("exchanges a second, {final_s} s, ≤ 1 ‰ lost");
            figures.push(figure(title, "1/s", ours, (peer, theirs), Better::More));
        }
    }
    publish("dhcp", &figures)
}

fn say(name: &str, rate: u32, seconds: u32, seen: &Seen) {
    println!(
        "{name:8} asked {rate:6}/s for {seconds} s, got {:8.1}/s, {:.3} ‰ dropped",
        seen.exchanges_s, seen.drops_permille
    );
}

fn measure(lab: &Lab, peers: &Peers, rate: u32, seconds: u32, seed: u32) -> anyhow::Result<Seen> {
    let mut command = lab.here("env");
    command.arg(format!("LD_LIBRARY_PATH={}", peers.libraries())).arg(peers.program("perfdhcp"));
    command.args(["-4", "-l", "wc0", "-W", "1000000"]);
    command.args([
        "-R",
        "400000",
        "-r",
        &rate.to_string(),
        "-p",
        &seconds.to_string(),
        "-s",
        &seed.to_string(),
    ]);
    command.arg(SERVER.to_string());
    let output = command.output().context("perfdhcp")?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text, seconds)
        .with_context(|| format!("perfdhcp said: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Sent and received packets of both halves. perfdhcp's own rate counts its waiting at the end as well, so it is not used.
fn parse(text: &str, seconds: u32) -> Option<Seen> {
    let numbers = |prefix: &str| -> Vec<f64> {
        let values = text.lines().filter_map(|line| line.strip_prefix(prefix));
        values.filter_map(|value| value.split_whitespace().next()?.parse().ok()).collect()
    };
    let (sent, received) = (numbers("sent packets: "), numbers("received packets: "));
    // Of those discovered, how many were acknowledged in the end.
    let (first, last) = (sent.first()?, received.last()?);
    let drops_permille = if *first > 0.0 { (first - last).max(0.0) / first * 1000.0 } else { 1000.0 };
    Some(Seen { exchanges_s: last / f64::from(seconds), drops_permille })
}

fn kea(lab: &Lab, peers: &Peers) -> anyhow::Result<Server> {
    let folder = lab.folder.path();
    let leases = target().join("bench").join("kea-leases.csv");
    std::fs::create_dir_all(target().join("bench"))?;
    for suffix in ["", ".completed", ".1", ".2", ".output", ".pid"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", leases.display()));
    }
    let settings = format!(
        r#"{{ "Dhcp4": {{ "interfaces-config": {{ "interfaces": ["ws0"], "dhcp-socket-type": "udp" }},
          "multi-threading": {{ "enable-multi-threading": true, "thread-pool-size": 2, "packet-queue-size": 64 }},
          "lease-database": {{ "type": "memfile", "persist": true, "name": "{}", "lfc-interval": 0 }},
          "valid-lifetime": 3600,
          "subnet4": [ {{ "subnet": "10.64.0.0/12", "pools": [ {{ "pool": "10.72.0.0 - 10.79.255.0" }} ] }} ],
          "loggers": [ {{ "name": "kea-dhcp4", "severity": "ERROR", "output_options": [ {{ "output": "stdout" }} ] }} ] }} }}"#,
        leases.display()
    );
    let file = folder.join("kea.json");
    std::fs::write(&file, settings)?;
    let state = peers.hooks().join("var/run/kea");
    std::fs::create_dir_all(&state)?;
    let mut command: Command = lab.there("env");
    command.arg(format!("LD_LIBRARY_PATH={}", peers.libraries()));
    command.arg(format!("KEA_PIDFILE_DIR={}", folder.display()));
    command.arg(format!("KEA_LOCKFILE_DIR={}", folder.display()));
    command.arg(peers.program("kea-dhcp4")).arg("-c").arg(&file);
    lab.start(command)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn perfdhcp_output_is_read() {
        let text = "Rate: 998.5 4-way exchanges/second, expected rate: 1000\n\n***Statistics for: DISCOVER-OFFER***\n\
                    sent packets: 2000\nreceived packets: 2000\ndrops: 0\n\n***Statistics for: REQUEST-ACK***\n\
                    sent packets: 2000\nreceived packets: 1990\ndrops: 10\n";
        let seen = parse(text, 2).expect("sound");
        assert_eq!((seen.exchanges_s, seen.drops_permille), (995.0, 5.0));
        assert!(parse("Failed to open socket", 2).is_none());
    }
}
