//! The parts of a storm as processes, so that servers and nodes can live in namespaces of their own and be killed.
//!
//! `serve SETTINGS-JSON JOURNAL` prints `ready` and serves until killed; `swarm PLAN-JSON` prints the report as JSON;
//! `fetch SERVER NAME BLKSIZE WINDOW SIZE COUNT` prints the seconds that each fetch took as a JSON list.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::serve::Servers;
use crate::tftp::{Fetch, fetch};

/// Runs one part as told by the arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match part(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!(
                "usage: serve SETTINGS JOURNAL | swarm PLAN | fetch SERVER NAME BLKSIZE WINDOW SIZE COUNT"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the part, if the arguments name one.
///
/// # Errors
/// What the part failed at.
pub fn part(words: &[&str]) -> anyhow::Result<bool> {
    match words {
        ["serve", settings, journal] => {
            let _ = crate::raise_descriptor_limit();
            let _servers = Servers::start(&serde_json::from_str(settings)?, Path::new(journal))?;
            println!("ready");
            loop {
                std::thread::park();
            }
        }
        ["swarm", plan] => {
            let report = crate::swarm::run(&serde_json::from_str(plan)?)?;
            println!("{}", serde_json::to_string(&report)?);
        }
        ["fetch", server, name, blksize, window, size, count] => {
            let content = crate::content(size.parse()?);
            let what = Fetch {
                server: server.parse()?,
                name,
                blksize: blksize.parse()?,
                window: window.parse()?,
                loss: 0,
                tries: crate::tftp::TRIES,
                expected: &content,
            };
            println!("{}", serde_json::to_string(&times(&what, count.parse().context("count")?)?)?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn times(what: &Fetch<'_>, count: u32) -> anyhow::Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        if let Err(stage) = fetch(what) {
            bail!("fetch failed: {stage}");
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}
