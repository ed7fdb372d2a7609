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

/// Processor time that it took so far, of all its threads, ms. The kernel counts it to people in ticks of 10 ms.
#[allow(dead_code, reason = "not each bench asks for it")]
pub(crate) fn processor_ms(pid: u32) -> u64 {
    let file = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    // Behind the name, which may have anything in it, the first field is the third.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<u64> =
        rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(ticks.len(), 2, "{file}: {text}");
    ticks.iter().sum::<u64>() * 10
}

/// Memory that it has, KiB.
#[allow(dead_code, reason = "not each bench asks for it")]
pub(crate) fn resident_kib(pid: u32) -> u64 {
    number(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Bytes that it had written to the disk so far.
pub(crate) fn written(pid: u32) -> u64 {
    number(&format!("/proc/{pid}/io"), "write_bytes:")
}
