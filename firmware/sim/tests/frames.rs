//! The protocol over the link layer that ships, on a wire that loses, repeats, reorders and bends frames.

use std::cell::Cell;
use std::rc::Rc;

use weft_sim::frames::{Damage, Frames};
use weft_sim::scenario;
use weft_sim::world::{Fault, run_over};

#[test]
fn seeds_over_frames_that_are_lost_doubled_bent_and_out_of_order_break_no_invariant() {
    let (spoiled, mut runs, mut cuts) = (Rc::new(Cell::new(0)), 0, 0);
    for seed in 0..110 {
        let setup = scenario::from_seed(seed);
        if setup.members > 4 || setup.faults.iter().any(|(_, fault)| matches!(fault, Fault::Crash(_))) {
            continue;
        }
        let lost = [0, 1, 5][usize::try_from(seed % 3).unwrap()];
        let least_ns = setup.delays.least_ns;
        let damage = Damage { lost, doubled: 2, bent: lost, least_ns, most_ns: least_ns + 50_000 };
        let link = Rc::clone(&spoiled);
        let result = run_over(&setup, &|setup| {
            Box::new(Frames::new(setup.members, damage, setup.seed ^ 0x6672_616d, Rc::clone(&link)))
        });
        if let Err(failure) = result {
            panic!("{failure}");
        }
        runs += 1;
        cuts += setup.faults.len();
    }
    println!("{runs} runs, {cuts} cuts, {} frames spoiled", spoiled.get());
    assert!(runs > 50 && cuts > 5 && spoiled.get() > 1000);
}
