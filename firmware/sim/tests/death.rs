//! A member dies at every step of the protocol: the others stop with the cause, and until then nothing breaks.

use weft_coherence::Member;
use weft_sim::scenario;
use weft_sim::world::{Setup, run};

#[test]
fn a_death_at_any_event_stops_the_others_and_breaks_nothing() {
    let mut deaths = 0;
    for seed in [1, 3, 7, 19] {
        let setup = Setup { faults: Vec::new(), ..scenario::from_seed(seed) };
        let whole = run(&setup).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(!whole.stopped);
        let step = whole.events / 250 + 1;
        for member in (0..setup.members.min(3)).map(Member) {
            for after in (1..whole.events).step_by(usize::try_from(step).unwrap()) {
                let report = run(&Setup { death: Some((after, member)), ..setup.clone() });
                let report =
                    report.unwrap_or_else(|failure| panic!("member {member} after {after}: {failure}"));
                assert!(report.stopped);
                deaths += 1;
            }
        }
    }
    assert!(deaths > 1000, "{deaths}");
}
