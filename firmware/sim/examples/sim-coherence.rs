//! Runs the coherence protocol over many seeds, or replays one.
//!
//! `./just sim coherence --seeds 1000 [--from N]` or `./just sim coherence --seed N`; `--verbose` tells about each run.

use std::process::ExitCode;
use std::time::Instant;

use weft_sim::{scenario, world};

fn number(name: &str) -> Option<u64> {
    let mut args = std::env::args().skip_while(|arg| arg != name);
    args.next()?;
    args.next()?.parse().ok()
}

fn main() -> ExitCode {
    let (from, count) = match number("--seed") {
        Some(seed) => (seed, 1),
        None => (number("--from").unwrap_or(0), number("--seeds").unwrap_or(500)),
    };
    let verbose = std::env::args().any(|arg| arg == "--verbose");
    let (mut events, mut stopped, start) = (0, 0_u64, Instant::now());
    for seed in from..from + count {
        let begin = Instant::now();
        match world::run(&scenario::from_seed(seed)) {
            Ok(report) => {
                events += report.events;
                stopped += u64::from(report.stopped);
                if verbose {
                    println!("seed {seed}: {} events in {:?}", report.events, begin.elapsed());
                }
            }
            Err(failure) => {
                println!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!(
        "{count} runs from seed {from}: {events} events, {stopped} runs with a lost member, {took:.1} s"
    );
    ExitCode::SUCCESS
}
