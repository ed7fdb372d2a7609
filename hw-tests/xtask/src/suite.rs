//! `test`: runs every runner and adds up what each counted. A runner that ran nothing has failed, and so has one
//! that ended badly without counting a failure.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Context;
use clap::Args;

use weft_hw_tests::workspace::{self, build_page, command, describe, web};

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Only runners whose name contains this
    runner: Option<String>,
}

/// What a runner counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

struct Runner {
    name: &'static str,
    command: Command,
    /// What one line of its output counts, without colours.
    count: fn(&str) -> Option<Count>,
}

fn runners() -> Vec<Runner> {
    let mut page = command(&["npm", "test", "--silent"]);
    page.current_dir(web());
    // Without --package: all default members, the whole-node tests among them, built with one set of features.
    let rust = command(&["cargo", "test", "--quiet", "--no-fail-fast"]);
    vec![
        Runner { name: "page", command: page, count: count_vitest },
        Runner { name: "rust", command: rust, count: count_cargo },
        // After the others, which have built the image of this folder.
        Runner { name: "reproduce", command: reproduce(), count: count_plain },
    ]
}

/// Two builds in different folders give the same image.
fn reproduce() -> Command {
    command(&["cargo", "run", "--quiet", "--bin", "weft-netboot", "--", "reproduce"])
}

/// Runs all tests, prints the sum as the last line.
pub(crate) fn test(arguments: &TestArguments) -> anyhow::Result<ExitCode> {
    prepare()?;
    let wanted = arguments.runner.as_deref().unwrap_or_default();
    let runners: Vec<Runner> = runners().into_iter().filter(|runner| runner.name.contains(wanted)).collect();
    anyhow::ensure!(!runners.is_empty(), "no runner is called {wanted}");
    sum(runners)
}

/// Runs the tests that take long: requests made from the interface's document, and every combination of firmware, ROM, NIC
/// and DHCP mode.
pub(crate) fn soak() -> anyhow::Result<ExitCode> {
    prepare()?;
    let mut cargo = command(&["cargo", "test", "--no-fail-fast", "--package", "weft-hw-tests"]);
    cargo.env("WEFT_SOAK", "1");
    // The interface under requests that are made from its document, for half an hour.
    let mut interface = command(&["cargo", "test", "--test", "it", "fuzzed", "--", "--nocapture"]);
    interface.env("WEFT_SOAK", "1");
    sum(vec![
        Runner { name: "interface", command: interface, count: count_cargo },
        Runner { name: "soak", command: cargo, count: count_cargo },
    ])
}

/// The page is part of the appliance's program, and whole-node tests start programs of other crates.
fn prepare() -> anyhow::Result<()> {
    build_page()?;
    workspace::run(&mut command(&["cargo", "build", "--quiet"]))
}

fn sum(runners: Vec<Runner>) -> anyhow::Result<ExitCode> {
    let mut total = Count::default();
    let mut lines = Vec::new();
    for mut runner in runners {
        let started = Instant::now();
        let count = run(&mut runner)?;
        let seconds = started.elapsed().as_secs();
        lines
            .push(format!("{}: {} passed, {} failed ({seconds} s)", runner.name, count.passed, count.failed));
        total.passed += count.passed;
        total.failed += count.failed;
    }
    println!("\n{}", lines.join("\n"));
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(runner: &mut Runner) -> anyhow::Result<Count> {
    let what = describe(&runner.command);
    println!("── {}: {what}", runner.name);
    let mut child = runner
        .command
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {what}"))?;
    let mut counted = Count::default();
    let pipe = child.stdout.take().context("a pipe")?;
    let mut out = std::io::stdout();
    for line in BufReader::new(pipe).split(b'\n') {
        let line = line.with_context(|| format!("cannot read from {what}"))?;
        out.write_all(&line).and_then(|()| out.write_all(b"\n")).context("cannot print")?;
        if let Some(count) = (runner.count)(&plain(&String::from_utf8_lossy(&line))) {
            counted.passed += count.passed;
            counted.failed += count.failed;
        }
    }
    let ended_well = child.wait().with_context(|| format!("cannot await {what}"))?.success();
    Ok(judge(counted, ended_well))
}

/// A bad end without a failure, and no test at all, count as one failure.
fn judge(counted: Count, ended_well: bool) -> Count {
    let nothing_ran = counted.passed + counted.failed == 0;
    let silent = counted.failed == 0 && (!ended_well || nothing_ran);
    Count { failed: counted.failed + u64::from(silent), ..counted }
}

/// `test result: ok. 9 passed; 0 failed; …`
fn count_cargo(line: &str) -> Option<Count> {
    let rest = line.trim().strip_prefix("test result: ")?;
    let mut count = Count::default();
    for part in rest.split(['.', ';']) {
        match part.trim().split_once(' ') {
            Some((number, "passed")) => count.passed = number.parse().ok()?,
            Some((number, "failed")) => count.failed = number.parse().ok()?,
            Some(_) | None => {}
        }
    }
    Some(count)
}

/// `2 passed, 0 failed`
fn count_plain(line: &str) -> Option<Count> {
    let (passed, failed) = line.trim().strip_suffix(" failed")?.split_once(" passed, ")?;
    Some(Count { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

/// `      Tests  1 failed | 11 passed (12)`
fn count_vitest(line: &str) -> Option<Count> {
    let rest = line.trim().strip_prefix("Tests ")?;
    let mut count = Count::default();
    for part in rest.split(['|', '(']) {
        match part.trim().split_once(' ') {
            Some((number, "passed")) => count.passed = number.parse().ok()?,
            Some((number, "failed")) => count.failed = number.parse().ok()?,
            Some(_) | None => {}
        }
    }
    Some(count)
}

/// Without colour codes.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut parts = line.split("\u{1b}[");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        out.push_str(part.get(end..).unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_lines_are_read() {
        let line = "test result: FAILED. 9 passed; 2 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.1s";
        assert_eq!(count_cargo(line), Some(Count { passed: 9, failed: 2 }));
        assert_eq!(count_cargo("running 9 tests"), None);
    }

    #[test]
    fn vitest_lines_are_read() {
        let line = plain("\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m1 failed\u{1b}[22m | 11 passed (12)");
        assert_eq!(count_vitest(&line), Some(Count { passed: 11, failed: 1 }));
        assert_eq!(count_vitest(" Test Files  3 passed (3)"), None);
    }

    #[test]
    fn nothing_is_passed_over_in_silence() {
        assert_eq!(judge(Count::default(), true).failed, 1);
        assert_eq!(judge(Count { passed: 5, failed: 0 }, false).failed, 1);
        assert_eq!(judge(Count { passed: 5, failed: 0 }, true).failed, 0);
        assert_eq!(judge(Count { passed: 5, failed: 2 }, false).failed, 2);
    }
}
