//! `boot`: from power-on to the first line of the guest's userland. Our node is one that the appliance never
//! saw: the time includes its approval by the fingerprint on its console and the creation of the guest, as
//! `./just up` does them. The peer needs neither.

use std::time::Instant;

use anyhow::Context;
use weft_images::guest::USERLAND_UP;

use crate::ours::Ours;
use crate::peer::{self, Peer};
use weft_hw_tests::report::{figure, publish};

/// Stages of ours, in the order of their ends.
const OURS: [&str; 5] =
    ["firmware, ROM and fetch", "entry to address", "channel open", "approved and ready", "guest's userland"];
const THEIRS: [&str; 4] =
    ["firmware, ROM, fetch and kernel", "modules and address", "guest fetched", "guest's userland"];

pub(crate) fn run(runs: u8) -> anyhow::Result<()> {
    let ours = ours(runs)?;
    let theirs = theirs(runs)?;
    let total =
        |samples: &[Vec<f64>]| -> Vec<f64> { samples.iter().filter_map(|s| s.last().copied()).collect() };
    let mut figures =
        vec![figure("power-on to guest's userland", "s", &total(&ours), peer::NAME, &total(&theirs))];
    for (index, stage) in OURS.iter().enumerate() {
        figures.push(figure(&format!("ours: {stage}"), "s", &stage_times(&ours, index), "none", &[]));
    }
    for (index, stage) in THEIRS.iter().enumerate() {
        figures.push(figure(&format!("peer: {stage}"), "s", &[], peer::NAME, &stage_times(&theirs, index)));
    }
    publish("boot", &figures)
}

/// What a stage took in each run: the difference of its end and the one before.
fn stage_times(samples: &[Vec<f64>], index: usize) -> Vec<f64> {
    let at = |ends: &Vec<f64>, index: usize| ends.get(index).copied().unwrap_or(0.0);
    samples
        .iter()
        .map(|ends| at(ends, index) - index.checked_sub(1).map_or(0.0, |before| at(ends, before)))
        .collect()
}

fn ours(runs: u8) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut ours = Ours::start()?;
    let mut samples = Vec::new();
    for run in 0..runs {
        let name = format!("boot-{run}");
        let started = ours.power_on()?;
        let mut ends = Vec::new();
        for pattern in ["weft bios entry", "weft: stage network", "weft: stage channel"] {
            ours.wait_for(pattern)?;
            ends.push(since(started));
        }
        ours.bring_up()?;
        ends.push(since(started));
        ours.start_guest(&name, "quiet")?;
        let words = ours.console(&name, &format!("{USERLAND_UP}.*\n"))?;
        ends.push(since(started));
        eprintln!("ours, run {run}: {ends:.1?} s, guest's own uptime {}", uptime(&words)?);
        samples.push(ends);
        ours.delete_guest(&name)?;
    }
    Ok(samples)
}

fn theirs(runs: u8) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut peer = Peer::start()?;
    let mut samples = Vec::new();
    for run in 0..runs {
        let started = peer.power_on("")?;
        let mut ends = Vec::new();
        let mut last = String::new();
        for pattern in ["weft peer: userland", "weft peer: address", "weft peer: guest", USERLAND_UP] {
            last = peer.wait_for(pattern)?;
            ends.push(since(started));
        }
        eprintln!("peer, run {run}: {ends:.1?} s, guest's own uptime {}", uptime(&last)?);
        samples.push(ends);
        peer.power_off();
    }
    Ok(samples)
}

fn since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64()
}

fn uptime(words: &str) -> anyhow::Result<&str> {
    let after = words.split(USERLAND_UP).nth(1).context("the guest's userland says its uptime")?;
    after.split_whitespace().next().context("the guest's userland says its uptime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_differences_of_their_ends() {
        let samples = vec![vec![2.0, 5.0], vec![3.0, 4.0]];
        assert_eq!(stage_times(&samples, 0), [2.0, 3.0]);
        assert_eq!(stage_times(&samples, 1), [3.0, 1.0]);
    }

    #[test]
    fn the_guests_uptime_is_found() {
        assert_eq!(uptime("x\nweft guest: userland up 3.21\n/ #").unwrap(), "3.21");
        assert!(uptime("weft guest").is_err());
    }
}
