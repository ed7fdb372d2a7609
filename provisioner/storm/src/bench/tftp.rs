//! One transfer of 32 MiB, block size 1468, at windows of 1, 8 and 32, by the same client from each server.

use std::collections::BTreeMap;
use std::process::Command;

use super::lab::{Lab, SERVER, Server};
use super::peers::Peers;
use super::report::{Better, Figure, Samples, figure, publish};
use crate::serve::NAME;

const WINDOWS: [u16; 3] = [1, 8, 32];

pub(crate) fn run(quick: bool, runs: u32) -> anyhow::Result<()> {
    let size = if quick { 4 << 20 } else { 32 << 20 };
    let (rounds, count) = (runs, if quick { 2 } else { 3 });
    let lab = Lab::new()?;
    let peers = Peers::fetch()?;
    let root = lab.folder.path().join("tftp");
    std::fs::create_dir(&root)?;
    std::fs::write(root.join(NAME), crate::content(size))?;
    let names = ["weft", "dnsmasq", "tftpd-hpa", "atftpd"];
    let mut speeds: BTreeMap<(&str, u16), Vec<f64>> = BTreeMap::new();
    let mut memory: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    // In turns, so that what else the machine does strikes all alike.
    for _ in 0..rounds {
        for name in names {
            let server = match name {
                "weft" => lab.weft(size)?,
                _ => peer(&lab, &peers, name, &root)?,
            };
            for window in WINDOWS {
                let (from, window_text) = (format!("{SERVER}:69"), window.to_string());
                let (size_text, count_text) = (size.to_string(), count.to_string());
                let words = ["fetch", &from, NAME, "1468", &window_text, &size_text, &count_text];
                let seconds: Vec<f64> = serde_json::from_str(&lab.nodes(&words)?)?;
                let speed = seconds.iter().map(|s| size as f64 / s / 1e6);
                speeds.entry((name, window)).or_default().extend(speed);
            }
            memory.entry(name).or_default().push(server.peak_mib());
        }
    }
    let speeds: BTreeMap<_, _> = speeds.into_iter().map(|(key, values)| (key, Samples::of(values))).collect();
    let memory: BTreeMap<_, _> = memory.into_iter().map(|(key, values)| (key, Samples::of(values))).collect();
    publish("tftp", &figures(size, &names, &speeds, &memory))
}

fn figures(
    size: usize,
    names: &[&str],
    speeds: &BTreeMap<(&str, u16), Samples>,
    memory: &BTreeMap<&str, Samples>,
) -> Vec<Figure> {
    let mut figures = Vec::new();
    for window in WINDOWS {
        for peer in names.iter().skip(1) {
            let title = format!("tftp {} MiB, window {window}", size >> 20);
            let (Some(ours), Some(theirs)) = (speeds.get(&("weft", window)), speeds.get(&(*peer, window)))
            else {
                continue;
            };
            figures.push(figure(title, "MB/s", ours, (peer, theirs), Better::More));
        }
    }
    for peer in names.iter().skip(1) {
        if let (Some(ours), Some(theirs)) = (memory.get("weft"), memory.get(peer)) {
            figures.push(figure("peak memory".into(), "MiB", ours, (peer, theirs), Better::Less));
        }
    }
    figures
}

/// A peer that serves the files in `root`.
pub(crate) fn peer(lab: &Lab, peers: &Peers, name: &str, root: &std::path::Path) -> anyhow::Result<Server> {
    let base = |program: &str| -> Command {
        let mut command = lab.there("env");
        command.arg(format!("LD_LIBRARY_PATH={}", peers.libraries())).arg(peers.program(program));
        command
    };
    let command = match name {
        "dnsmasq" => {
            let mut command = base("dnsmasq");
            command.args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--port=0",
                "--user=root",
                "--enable-tftp",
            ]);
            command.args(["--tftp-max=4000", "--no-ping", "--pid-file=", "--dhcp-lease-max=1000000"]);
            command.arg(format!("--tftp-root={}", root.display()));
            command.args(["--dhcp-range=10.72.0.0,10.79.255.0,255.240.0.0,1h", "--dhcp-boot=weft.efi"]);
            command.arg(format!("--dhcp-leasefile={}", lab.folder.path().join("dnsmasq.leases").display()));
            command
        }
        "tftpd-hpa" => {
            let mut command = base("in.tftpd");
            command.args(["--listen", "--foreground", "--user", "root", "--secure"]).arg(root);
            command
        }
        _ => {
            let mut command = base("atftpd");
            command.args([
                "--daemon",
                "--no-fork",
                "--user",
                "root",
                "--group",
                "root",
                "--maxthread",
                "4000",
            ]);
            command.args(["--logfile", "/dev/null"]).arg(root);
            command
        }
    };
    lab.start(command)
}
