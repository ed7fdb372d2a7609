//! The checks find defects: each canary breaks the invariant that guards against it.

use weft_sim::scenario;
use weft_sim::world::{Canary, Setup, run};

/// The names of the invariants that a defect broke over seeds, and one replayed trace.
fn caught(canary: Canary) -> (Vec<&'static str>, Vec<String>) {
    let (mut names, mut trace) = (Vec::new(), Vec::new());
    for seed in 0..200 {
        let setup = Setup { canary: Some(canary), faults: Vec::new(), ..scenario::from_seed(seed) };
        if setup.members > 8 {
            continue;
        }
        if let Err(failure) = run(&setup) {
            assert_eq!(failure.seed, seed);
            names.push(failure.broken.invariant);
            trace.clone_from(&failure.trace);
        }
    }
    names.sort_unstable();
    names.dedup();
    (names, trace)
}

#[test]
fn a_flush_reported_before_it_is_done_is_found() {
    let (names, trace) = caught(Canary::EarlyFlush);
    assert!(names.contains(&"acknowledgement after flush"), "{names:?}");
    assert!(trace.iter().any(|line| line.contains("UnmapGuest")), "the trace tells what led to it");
}

#[test]
fn a_writer_that_does_not_wait_for_all_sharers_is_found() {
    let (names, _) = caught(Canary::SkippedAck);
    assert!(names.contains(&"single writer"), "{names:?}");
}

#[test]
fn a_sharer_that_keeps_its_copy_is_found() {
    let (names, _) = caught(Canary::LostInvalidate);
    assert!(names.contains(&"single writer") || names.contains(&"no stale read"), "{names:?}");
}

#[test]
fn a_difference_to_other_contents_is_found() {
    let (names, _) = caught(Canary::WrongBase);
    assert!(names.contains(&"no stale read") || names.contains(&"no lost update"), "{names:?}");
}
