//! Benches beside peers, each pair in one run on one machine.
//!
//! Servers live in one network namespace, nodes in another, a veth pair (MTU 1500) between them: usual ports, no traffic outside.
//! Peers are unpacked from Debian's packages into `target/peers` and never installed. This needs root, or sudo for the namespaces.

mod dhcp;
mod lab;
mod peers;
mod report;
mod storm;
mod tftp;

use std::process::ExitCode;

pub use peers::unpack;

/// Which bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bench {
    /// One 32 MiB transfer at windows 1, 8, 32.
    Tftp,
    /// 2,000 nodes at once.
    Storm,
    /// The highest rate of leases.
    Dhcp,
}

/// Runs a bench, or the part of one that the arguments name. `--quick` for a look, `--runs=N` for other than three rounds, or
/// than one where it is quick.
#[must_use]
pub fn main(bench: Bench) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let quick = words.contains(&"--quick");
    let runs = words.iter().find_map(|word| word.strip_prefix("--runs=")?.parse().ok());
    let runs = runs.unwrap_or(if quick { 1 } else { 3 });
    let outcome = match crate::command::part(&words) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => match bench {
            Bench::Tftp => tftp::run(quick, runs),
            Bench::Storm => storm::run(quick, runs),
            Bench::Dhcp => dhcp::run(quick, runs),
        },
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
