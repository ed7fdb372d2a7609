//! Rows of `dsm` that programs of the guest measure themselves, and those that divide what the nodes counted by what the guest did.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::bail;
use weft_hw_tests::members::{count, linux, said_by};
use weft_images::guest::Guest;
use weft_lab::Lifetime;
use weft_lab::process::Process;

use crate::pair::{self, number};
use weft_hw_tests::report::{Figure, figure};

const TCP: &str = "TCP between two Linux";
const NOTHING: &str = "none";
const PATIENCE: Duration = Duration::from_secs(300);
/// Rows of what the guest times itself, and what each begins with. All have their page come over.
const ACCESSES: [(&str, &str); 3] = [
    ("read of a page written elsewhere", "remote: read: median"),
    ("write to a page written elsewhere", "remote: write: median"),
    ("increment in such a page", "remote: increment: median"),
];
/// Rows of what is counted outside: a program of the guest, and how often it does the thing; `None`: once for each timer
/// interrupt that it tells.
const EVENTS: [(&str, &str, Option<f64>); 3] = [
    ("remote faults an idle wake-up", "events:idle:60", None),
    ("remote faults a tick, all computing", "events:busy:60", None),
    ("remote faults a TLB shoot-down", "events:shootdown:1000", Some(1000.0)),
];

/// What was measured, run by run.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    accesses: [Vec<f64>; 3],
    tcp_us: Vec<f64>,
    events: [Vec<f64>; 3],
}

impl Remote {
    /// One run of each.
    pub(crate) fn add(&mut self, guest: &Guest) -> anyhow::Result<()> {
        let said = pair::over_two(guest, true, &["quiet", "weft.run=remote:1024"])?.first;
        for (column, (_, what)) in self.accesses.iter_mut().zip(ACCESSES) {
            column.push(number(&said, what)?);
        }
        self.tcp_us.push(tcp_us(guest)?);
        // What starting and ending takes is in each run.
        let (without, _) = faults(guest, "events:idle:0")?;
        for (column, (_, run, times)) in self.events.iter_mut().zip(EVENTS) {
            let (with, said) = faults(guest, run)?;
            let times = times.map_or_else(|| timer_interrupts(&said), Ok)?;
            column.push((with - without).max(0.0) / times);
        }
        Ok(())
    }

    pub(crate) fn figures(&self) -> Vec<Figure> {
        let accesses = ACCESSES.iter().zip(&self.accesses);
        let mut all: Vec<Figure> =
            accesses.map(|((name, _), ours)| figure(name, "us", ours, TCP, &self.tcp_us)).collect();
        let events = EVENTS.iter().zip(&self.events);
        all.extend(events.map(|((name, ..), ours)| figure(name, "faults", ours, NOTHING, &[0.0])));
        all
    }
}

/// Remote faults of both nodes in a guest's whole life, and what it said.
fn faults(guest: &Guest, run: &str) -> anyhow::Result<(f64, String)> {
    let said = pair::over_two(guest, true, &["quiet", &format!("weft.run={run}")])?;
    let mut sum = 0;
    for node in [&said.first, &said.second] {
        sum += count(node, "coherence", "remote_read")? + count(node, "coherence", "remote_write")?;
    }
    Ok((sum as f64, said.first))
}

/// `events: idle 60: 812 timer interrupts, …`
fn timer_interrupts(said: &str) -> anyhow::Result<f64> {
    let line = said.lines().rev().find(|line| line.starts_with("events: ")).unwrap_or("");
    Ok(number(line.splitn(3, ' ').nth(2).unwrap_or(""), ": ")?.max(1.0))
}

/// The median of 8 bytes out and a page back by TCP, between two Linux on the same machines with the same wire.
fn tcp_us(guest: &Guest) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut machines = Vec::new();
    for index in 0..2 {
        let run = format!("weft.run=tcp:{}", index + 1);
        let command = linux(folder.path(), index, guest, &["quiet", &run])?;
        let log = folder.path().join(format!("qemu-{index}.log"));
        machines.push(Process::start(command, Stdio::null(), &log, Lifetime::Test)?);
    }
    let end = Instant::now() + PATIENCE;
    let said = loop {
        let said = said_by(folder.path(), 1);
        if said.contains("weft stress: ") && said.contains(" passed, ") {
            break said;
        }
        if Instant::now() > end {
            bail!("the two did not talk by TCP:\n{said}\n{}", said_by(folder.path(), 0));
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    machines.iter_mut().for_each(Process::kill);
    number(&said, "tcp: 4096 bytes back: median")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_interrupts_are_read() {
        let said = "events: busy 60: 812 timer interrupts, 3 shoot-down interrupts\nPASS";
        assert_eq!(timer_interrupts(said).ok(), Some(812.0));
    }
}
