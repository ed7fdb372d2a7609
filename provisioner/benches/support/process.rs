//! What the kernel counts of a process.

use std::fs;

/// A number of a file of `/proc`: what follows this word.
fn number(file: &str, word: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let rest =
        text.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("{file}: {word}"));
    rest.split_whitespace()
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("{file}: {rest}"))
}

/// Bytes that it had written to the disk so far.
pub(crate) fn written(pid: u32) -> u64 {
    number(&format!("/proc/{pid}/io"), "write_bytes:")
}
