//! The protocol over many seeds. `WEFT_SEEDS` sets how many, `./just sim coherence` runs more.

use weft_sim::{scenario, world};

#[test]
fn seeds_break_no_invariant() {
    let count = std::env::var("WEFT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let mut events = 0;
    for seed in 0..count {
        match world::run(&scenario::from_seed(seed)) {
            Ok(report) => events += report.events,
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(events > 1000 * count, "{events} events in {count} runs");
}
