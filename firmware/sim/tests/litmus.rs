//! Litmus tests of the x86 memory order over members: what x86-TSO forbids is never seen, what it allows is.
//!
//! Source: Sewell, Sarkar, Owens, Zappa Nardelli, Myreen: *x86-TSO: a rigorous and usable programmer's model for x86
//! multiprocessors* (2010). Each test runs with its variables in one page, in two pages of different locators, and
//! across page boundaries.

use std::collections::BTreeSet;

use weft_coherence::{Limits, Member};
use weft_sim::link::Delays;
use weft_sim::program::Op;
use weft_sim::rng::Random;
use weft_sim::scenario::ranges;
use weft_sim::world::{Setup, run};

/// Where the variables are.
const PLACES: [(u64, u64); 3] = [(0x100, 0x200), (0x100, 0x4100), (0x0ffd, 0x4ffd)];

fn setup(seed: u64, threads: &[Vec<Op>], together: bool) -> Setup {
    let mut random = Random(seed);
    let r = &mut random;
    let members = u8::try_from(threads.len()).unwrap();
    let mut vcpus = Vec::new();
    for (member, thread) in (0..).zip(threads) {
        let mut program = Vec::new();
        // Some threads have the pages already, some start late.
        if r.chance(50) {
            program.extend([Op::Load(0x800), Op::Load(0x4800), Op::Load(0x1800), Op::Load(0x5800)]);
        }
        let most = r.pick(&[200, 3_000, 100_000]);
        program.push(Op::Think(r.below(most)));
        program.extend(thread);
        vcpus.push((Member(if together { 0 } else { member }), program));
    }
    let least_ns = r.pick(&[0, 1_000]);
    Setup {
        seed,
        members,
        ranges: ranges(members, 4),
        limits: vec![Limits {
            hold_ns: r.pick(&[0, 20_000]),
            hold_least_ns: 0,
            prefetches: 0,
            ..Limits::default()
        }],
        vcpus,
        loaded: Vec::new(),
        local: Vec::new(),
        delays: Delays {
            least_ns,
            most_ns: least_ns + r.pick(&[100, 20_000]),
            lost_percent: 0,
            resend_ns: 0,
            classes_in_order: false,
        },
        flush_ns: (100, 1_000),
        wake_ns: (0, 2_000),
        drain_ns: r.pick(&[300, 3_000, 100_000]),
        faults: Vec::new(),
        death: None,
        old_epoch_percent: 0,
        canary: None,
        deadline_ns: 1_000_000_000,
    }
}

/// All outcomes over seeds: the last loads of each thread, and both variables at the end.
fn outcomes(threads: impl Fn(u64, u64) -> Vec<Vec<Op>>, loads: &[usize]) -> BTreeSet<Vec<u64>> {
    let mut seen = BTreeSet::new();
    for (x, y) in PLACES {
        for seed in 0..300 {
            // Mostly each thread on a member of its own, sometimes all on one.
            let report = run(&setup(seed, &threads(x, y), seed % 3 == 0))
                .unwrap_or_else(|failure| panic!("{failure}"));
            let mut outcome = Vec::new();
            for (results, loads) in report.results.iter().zip(loads) {
                outcome.extend_from_slice(&results[results.len() - loads..]);
            }
            outcome.extend([report.memory.word(x), report.memory.word(y)]);
            seen.insert(outcome);
        }
    }
    assert!(seen.len() > 1, "the threads never met otherwise: {seen:?}");
    seen
}

fn never(seen: &BTreeSet<Vec<u64>>, forbidden: &[u64]) {
    assert!(!seen.iter().any(|outcome| outcome.starts_with(forbidden)), "{forbidden:?} in {seen:?}");
}

#[test]
fn message_passing_keeps_its_order() {
    let plain = outcomes(
        |x, y| vec![vec![Op::Store(x, 1), Op::Store(y, 1)], vec![Op::Load(y), Op::Load(x)]],
        &[0, 2],
    );
    never(&plain, &[1, 0]);
    assert!(plain.iter().any(|outcome| outcome.starts_with(&[1, 1])));
    let locked = outcomes(
        |x, y| vec![vec![Op::Exchange(x, 1), Op::Add(y, 1)], vec![Op::Load(y), Op::Fence, Op::Load(x)]],
        &[0, 2],
    );
    never(&locked, &[1, 0]);
}

#[test]
fn store_buffers_show_and_fences_and_locked_instructions_empty_them() {
    let plain = outcomes(
        |x, y| vec![vec![Op::Store(x, 1), Op::Load(y)], vec![Op::Store(y, 1), Op::Load(x)]],
        &[1, 1],
    );
    // Between members the flush that takes a page empties the buffer first; within one, it shows.
    assert!(plain.iter().any(|outcome| outcome.starts_with(&[0, 0])), "x86 allows it: {plain:?}");
    let fenced = outcomes(
        |x, y| {
            vec![vec![Op::Store(x, 1), Op::Fence, Op::Load(y)], vec![Op::Store(y, 1), Op::Fence, Op::Load(x)]]
        },
        &[1, 1],
    );
    never(&fenced, &[0, 0]);
    let locked = outcomes(
        |x, y| vec![vec![Op::Exchange(x, 1), Op::Load(y)], vec![Op::Exchange(y, 1), Op::Load(x)]],
        &[1, 1],
    );
    never(&locked, &[0, 0]);
}

#[test]
fn loads_are_not_delayed_behind_stores() {
    let seen = outcomes(
        |x, y| vec![vec![Op::Load(x), Op::Store(y, 1)], vec![Op::Load(y), Op::Store(x, 1)]],
        &[1, 1],
    );
    never(&seen, &[1, 1]);
}

#[test]
fn all_readers_see_independent_writes_in_one_order() {
    for fence in [false, true] {
        let reader = |a, b| {
            if fence { vec![Op::Load(a), Op::Fence, Op::Load(b)] } else { vec![Op::Load(a), Op::Load(b)] }
        };
        let seen = outcomes(
            |x, y| vec![vec![Op::Store(x, 1)], vec![Op::Store(y, 1)], reader(x, y), reader(y, x)],
            &[0, 0, 2, 2],
        );
        never(&seen, &[1, 0, 1, 0]);
    }
}

#[test]
fn crossing_stores_leave_one_order() {
    for locked in [false, true] {
        let store = |at, value| if locked { Op::Exchange(at, value) } else { Op::Store(at, value) };
        let seen =
            outcomes(|x, y| vec![vec![store(x, 1), store(y, 2)], vec![store(y, 1), store(x, 2)]], &[0, 0]);
        never(&seen, &[1, 1]);
    }
}
