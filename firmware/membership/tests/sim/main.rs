//! Whole partitions on simulated time: loss, delay, duplication, cuts, crashes, restarts, clocks of different
//! rate. Invariants are checked after every event; a failing seed prints what happened.
//!
//! One seed: `WEFT_SEED=17 cargo test -p weft-membership --test sim storms`. More of them: `WEFT_SEEDS=500`.

mod world;

use rand::RngExt as _;
use weft_membership::{RecordId, Refusal};
use world::{CALM, Faults, S, World};

fn fail(world: &World, seed: u64, why: &str) -> ! {
    let skipped = world.trace.len().saturating_sub(60);
    for line in world.trace.iter().skip(skipped) {
        println!("{line}");
    }
    panic!("seed {seed}: {why}");
}

fn run(world: &mut World, seed: u64, for_ns: u64) {
    if let Err(broken) = world.run(for_ns) {
        fail(world, seed, &broken);
    }
}

/// The configuration that a partition is founded with.
const FIRST: RecordId = RecordId { epoch: 1, counter: 1 };

/// Runs until all is whole, at most so long; how long it took.
fn until_whole(world: &mut World, seed: u64, at_most_ns: u64, record: RecordId) -> u64 {
    let start = world.now;
    while !world.is_whole(record) {
        if world.now - start > at_most_ns {
            fail(world, seed, &format!("progress: not whole {} s after the faults stopped", at_most_ns / S));
        }
        run(world, seed, S / 10);
    }
    world.now - start
}

fn seeds(default: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("WEFT_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("WEFT_SEEDS").unwrap_or(default)).collect(),
    }
}

#[test]
fn a_partition_of_each_size_is_founded_and_stays_whole() {
    for nodes in [1, 2, 3, 5, 16, 64] {
        let mut world = World::new(7, nodes, CALM);
        let took = until_whole(&mut world, 7, 20 * S, FIRST);
        let (events, frames) = (world.events, world.frames);
        run(&mut world, 7, 30 * S);
        assert!(world.is_whole(FIRST), "{nodes} nodes");
        println!(
            "{nodes} nodes: whole after {} ms, {} frames/s and node afterwards",
            took / world::MS,
            (world.frames - frames) / 30 / nodes as u64
        );
        assert!(world.events > events);
    }
}

#[test]
fn a_configuration_given_to_any_node_reaches_all() {
    for nodes in [1, 2, 3, 8] {
        let mut world = World::new(3, nodes, CALM);
        until_whole(&mut world, 3, 20 * S, FIRST);
        // Nobody needs the appliance for it.
        world.served.clear();
        for given in 0..nodes {
            let id = world.sign();
            world.configure(given, id);
            until_whole(&mut world, 3, 5 * S, id);
        }
    }
}

#[test]
fn a_minority_refuses_and_adopts_on_return() {
    let mut world = World::new(5, 5, CALM);
    until_whole(&mut world, 5, 20 * S, FIRST);
    world.sides = vec![1, 1, 0, 0, 0];
    world.served.clear();
    run(&mut world, 5, 15 * S);
    let id = world.sign();
    world.configure(0, id);
    run(&mut world, 5, S);
    let reason = world.slots[0].refusals.last().cloned();
    assert_eq!(reason, Some(Refusal::NoMajority { reached: 2, of: 5 }));
    world.configure(3, id);
    run(&mut world, 5, 5 * S);
    let committed: Vec<bool> = world.slots.iter().map(|slot| slot.committed == Some(id)).collect();
    assert_eq!(committed, [false, false, true, true, true]);
    world.sides = vec![0; 5];
    until_whole(&mut world, 5, 20 * S, id);
}

#[test]
fn two_nodes_go_on_alone_only_with_the_appliance() {
    let mut world = World::new(9, 2, CALM);
    until_whole(&mut world, 9, 20 * S, FIRST);
    world.crash(1);
    run(&mut world, 9, 15 * S);
    let id = world.sign();
    world.configure(0, id);
    run(&mut world, 9, 5 * S);
    assert_eq!(world.slots[0].committed, Some(id), "the appliance breaks the tie");
    world.boot(1);
    until_whole(&mut world, 9, 20 * S, id);
    world.crash(1);
    world.served.clear();
    run(&mut world, 9, 15 * S);
    let id = world.sign();
    world.configure(0, id);
    run(&mut world, 9, S);
    assert_eq!(world.slots[0].refusals.last(), Some(&Refusal::NoMajority { reached: 1, of: 2 }));
}

#[test]
fn a_power_cut_of_all_is_survived() {
    for nodes in [1, 2, 3, 7] {
        let mut world = World::new(11, nodes, CALM);
        until_whole(&mut world, 11, 20 * S, FIRST);
        let id = world.sign();
        world.configure(0, id);
        until_whole(&mut world, 11, 10 * S, id);
        (0..nodes).for_each(|index| world.crash(index));
        run(&mut world, 11, 5 * S);
        (0..nodes).for_each(|index| world.boot(index));
        until_whole(&mut world, 11, 20 * S, id);
    }
}

#[test]
fn five_percent_loss_is_no_death() {
    for nodes in [2, 4, 12] {
        let lossy =
            Faults { loss_permille: 50, duplicate_permille: 20, delay_ms: (1, 30), drift_permille: 5 };
        let mut world = World::new(13, nodes, lossy);
        until_whole(&mut world, 13, 30 * S, FIRST);
        let epochs = |world: &World| world.slots[0].membership.as_ref().and_then(|m| m.agreed_epoch());
        let before = epochs(&world);
        run(&mut world, 13, 600 * S);
        assert_eq!(epochs(&world), before, "{nodes} nodes: the view changed in ten minutes of loss");
        assert!(world.is_whole(FIRST));
    }
}

/// Random faults for a while, then none.
#[expect(clippy::result_large_err, reason = "a failed world is told, not handed on")]
fn storm(seed: u64, sabotage: impl Fn(&mut World)) -> Result<World, (World, String)> {
    let mut world = World::new(seed, 2, CALM);
    let sizes = [2, 2, 3, 3, 4, 5, 5, 7, 9, 16];
    let nodes = sizes[world.rng.random_range(0..sizes.len())];
    let faults = Faults {
        loss_permille: world.rng.random_range(0..150),
        duplicate_permille: world.rng.random_range(0..100),
        delay_ms: (1, world.rng.random_range(2..200)),
        drift_permille: 10,
    };
    world = World::new(seed, nodes, faults);
    sabotage(&mut world);
    for _ in 0..world.rng.random_range(5..25) {
        let index = world.rng.random_range(0..nodes);
        match world.rng.random_range(0..10) {
            0 | 1 => {
                world.sides = (0..nodes).map(|_| world.rng.random_range(0..2)).collect();
            }
            2 => world.sides = vec![0; nodes],
            3 | 4 => world.crash(index),
            5 | 6 => world.boot(index),
            7 => {
                world.served = (0..nodes).filter(|_| world.rng.random_bool(0.5)).collect();
            }
            8 => world.served = (0..nodes).collect(),
            _ => {
                let id = world.sign();
                world.configure(index, id);
            }
        }
        let pause = world.rng.random_range(S / 10..8 * S);
        if let Err(broken) = world.run(pause) {
            return Err((world, broken));
        }
    }
    world.sides = vec![0; nodes];
    world.served = (0..nodes).collect();
    world.faults = CALM;
    for index in 0..nodes {
        if world.slots[index].membership.is_none() {
            world.boot(index);
        }
    }
    Ok(world)
}

#[test]
fn storms_break_nothing_and_end() {
    let (mut longest, mut events) = (0, 0);
    let seeds = seeds(60);
    for seed in &seeds {
        let mut world = match storm(*seed, |_| ()) {
            Ok(world) => world,
            Err((world, broken)) => fail(&world, *seed, &broken),
        };
        run(&mut world, *seed, 20 * S);
        // A refused configuration is given again, as the appliance does.
        let id = world.sign();
        world.configure(0, id);
        longest = longest.max(until_whole(&mut world, *seed, 40 * S, id));
        events += world.events;
    }
    println!(
        "{} seeds, {events} events, whole at most {} ms after the last configuration",
        seeds.len(),
        longest / world::MS
    );
}

/// The checkers must see a broken protocol.
#[test]
fn an_appliance_that_forgets_is_found() {
    let found = (1..=60).any(|seed| {
        storm(seed, |world| world.forgetful = true)
            .is_err_and(|(_, broken)| broken.starts_with("one decision") || broken.starts_with("nothing"))
    });
    assert!(found, "an appliance that stores no vote breaks agreement, and no seed showed it");
}

/// A clock that runs at a seventh of the rate breaks what leases assume, and the checkers must see it.
#[test]
fn clocks_beyond_the_assumption_are_found() {
    let mut world = World::new(21, 3, CALM);
    world.slots[1].rate = 150;
    run(&mut world, 21, 30 * S);
    world.sides = vec![0, 1, 0];
    let broken = world.run(60 * S).expect_err("a lease that outlives its grant");
    assert!(broken.starts_with("lease"), "{broken}");
}
