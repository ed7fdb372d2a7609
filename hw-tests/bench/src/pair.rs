//! A guest on two nodes, each with one of its processors, and the same guest on one node with both; what they print.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use weft_hw_tests::bare::Bare;
use weft_hw_tests::members::{Machine, Member, Pair, Said};
use weft_hw_tests::workspace::root;
use weft_images::guest::Guest;
use weft_images::stress;

const PATIENCE: Duration = Duration::from_secs(1800);
/// Memory of the guest, half of it on each node.
const MEMORY_MIB: u32 = 640;

/// The guest whose programs measure themselves.
pub(crate) fn guest() -> anyhow::Result<Guest> {
    let target = root().join("target");
    Ok(stress::build(&target.join("stress"), &target.join("guest"))?)
}

/// Runs it over two nodes; `pinned`: its processors stay there.
pub(crate) fn over_two(guest: &Guest, pinned: bool, append: &[&str]) -> anyhow::Result<Said> {
    let folder = tempfile::tempdir()?;
    let pair = Pair {
        members: [Member { vcpus: 1, memory_mib: MEMORY_MIB / 2 }; 2],
        machines: [Machine::SMALL; 2],
        kernel: &guest.kernel,
        initrd: &guest.initrd,
        append,
        second: "",
        pinned,
        faults: None,
    };
    let said = pair.run(folder.path(), PATIENCE, |_| false)?;
    ensure!(said.first.contains("weft guest: PowerOff"), "the guest did not end well:\n{}", said.first);
    Ok(said)
}

/// Runs it on one node.
pub(crate) fn on_one(guest: &Guest, append: &[&str], folder: &Path) -> anyhow::Result<String> {
    let bare = Bare {
        options: "",
        kernel: &guest.kernel,
        initrd: Some(&guest.initrd),
        memory_mib: MEMORY_MIB,
        vcpus: 2,
        append,
    };
    bare.run(folder, PATIENCE)
}

/// The number after `what` in the last line that has it.
pub(crate) fn number(said: &str, what: &str) -> anyhow::Result<f64> {
    let rest = said.lines().rev().find_map(|line| line.split_once(what)).map(|(_, rest)| rest);
    let rest = rest.with_context(|| format!("no {what} in:\n{said}"))?.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest.get(..end).unwrap_or("").parse().with_context(|| format!("no number after {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_last_line_that_has_them() {
        let said = "a: 1 ms\na: 22.5 ms\nb 7";
        assert_eq!((number(said, "a:").ok(), number(said, "b").ok()), (Some(22.5), Some(7.0)));
        assert!(number(said, "c").is_err());
    }
}
