//! Memory larger than its nodes, contention without mercy, and what faults cost in bytes.

use weft_coherence::{Limits, Member, Page, Range};
use weft_sim::compare::compare;
use weft_sim::link::Delays;
use weft_sim::program::{Op, scan};
use weft_sim::world::{Report, Setup, run};

fn setup(members: u8, pages_each: u64, limits: Limits, vcpus: Vec<(Member, Vec<Op>)>) -> Setup {
    let range = |member: u8| Range {
        first: Page(u64::from(member) * pages_each),
        pages: pages_each,
        locator: Member(member),
    };
    Setup {
        seed: 1,
        members,
        ranges: (0..members).map(range).collect(),
        limits: vec![limits],
        vcpus,
        loaded: Vec::new(),
        local: Vec::new(),
        delays: Delays {
            least_ns: 30_000,
            most_ns: 60_000,
            lost_percent: 1,
            resend_ns: 1_000_000,
            classes_in_order: false,
        },
        flush_ns: (500, 3_000),
        wake_ns: (100, 5_000),
        drain_ns: 300,
        faults: Vec::new(),
        death: None,
        old_epoch_percent: 1,
        canary: None,
        deadline_ns: 100_000_000_000,
    }
}

fn good(setup: &Setup) -> Report {
    run(setup).unwrap_or_else(|failure| panic!("{failure}"))
}

fn sum(report: &Report, name: &str) -> u64 {
    let each = report.counters.iter().flat_map(weft_coherence::Counters::each);
    each.filter(|(other, _)| *other == name).map(|(_, count)| count).sum()
}

#[test]
fn each_vcpu_scans_all_of_a_memory_larger_than_its_node() {
    for members in [2_u8, 3] {
        let pages_each = 100;
        let all = (0, u64::from(members) * pages_each);
        let program = |member: u64| {
            // One after another, so that each has all of the memory to itself.
            let mut program = vec![Op::Think(member * 3_000_000_000)];
            program.extend(scan(all, member * pages_each, true));
            program.extend(scan(all, member * pages_each, false));
            program
        };
        let vcpus = (0..members).map(|member| (Member(member), program(u64::from(member)))).collect();
        // A fifth more than the member's share of the guest's memory.
        let limits = Limits { frames: 120, ..Limits::default() };
        let report = good(&setup(members, pages_each, limits, vcpus));
        assert!(sum(&report, "returned") > 0, "owned pages had to leave");
        assert!(sum(&report, "starved") > 0);
        for page in 0..all.1 {
            let words: u64 = (0..16).map(|word| report.memory.word(page * 4096 + 8 * word)).sum();
            assert_eq!(words, u64::from(members), "every vCPU added one to page {page}");
        }
    }
}

#[test]
fn a_tight_loop_on_one_page_and_one_across_two_pages_lets_every_vcpu_progress() {
    for members in [2_u8, 4] {
        // A pause longer than the least time for which a page stays lets the others in every time.
        let shared: Vec<Op> = (0..60).flat_map(|_| [Op::Add(8, 1), Op::Think(20_000)]).collect();
        let across: Vec<Op> = (0..60).flat_map(|_| [Op::Add(4093, 1), Op::Think(20_000)]).collect();
        let mut vcpus = Vec::new();
        for member in 0..members {
            vcpus.push((Member(member), shared.clone()));
            vcpus.push((Member(member), across.clone()));
        }
        for hold_ns in [0, 1_000_000] {
            let limits = Limits { hold_ns, hold_least_ns: 0, ..Limits::default() };
            let report = good(&setup(members, 4, limits, vcpus.clone()));
            assert!(report.done.iter().all(|done| *done == 120));
            assert_eq!(report.memory.word(8), 60 * u64::from(members));
            assert_eq!(report.memory.word(4093), 60 * u64::from(members));
            let worst = report.longest_ns.iter().max().unwrap();
            println!(
                "{members} members, holds of {hold_ns} ns: {} ms, worst {worst} ns, {} tokens",
                report.time_ns / 1_000_000,
                sum(&report, "tokens")
            );
            assert!(*worst < 200_000_000, "fairness: one instruction took {worst} ns");
        }
    }
}

#[test]
fn untouched_pages_cost_no_frame_and_no_data() {
    // Member 1 reads 64 pages of member 0 that nobody wrote.
    let limits = Limits { prefetches: 0, ..Limits::default() };
    let report = good(&setup(2, 64, limits, vec![(Member(1), scan((0, 64), 0, false))]));
    assert_eq!((sum(&report, "zero"), sum(&report, "pages_sent")), (64, 0));
    // 2 messages and a completion for each.
    assert_eq!(sum(&report, "sent"), 3 * 64);
}

#[test]
fn the_time_of_a_write_does_not_grow_with_the_sharers() {
    let time = |sharers: u8| {
        let mut vcpus: Vec<_> = (2..2 + sharers).map(|member| (Member(member), vec![Op::Load(0)])).collect();
        vcpus.push((Member(1), vec![Op::Store(0, 1), Op::Think(10_000_000), Op::Think(1), Op::Store(0, 2)]));
        for (_, program) in vcpus.iter_mut().take(usize::from(sharers)) {
            program.insert(0, Op::Think(5_000_000));
        }
        let limits = Limits { prefetches: 0, ..Limits::default() };
        let delays = Delays {
            least_ns: 50_000,
            most_ns: 50_000,
            lost_percent: 0,
            resend_ns: 0,
            classes_in_order: false,
        };
        let exact = Setup {
            delays,
            flush_ns: (1_000, 1_000),
            wake_ns: (0, 0),
            drain_ns: 0,
            ..setup(9, 4, limits, vcpus)
        };
        let report = good(&exact);
        (report.longest_ns[usize::from(sharers)], sum(&report, "sent"))
    };
    // The first write is the untouched page's: one round trip. An upgrade with sharers takes three delays and a flush.
    assert_eq!(time(0).0, 100_000);
    let flat: Vec<_> = (1..=7).map(|sharers| time(sharers).0).collect();
    assert_eq!(flat, [151_000; 7]);
    // Each sharer more costs its read (3 messages and a completion) and 2 for its invalidation.
    assert_eq!(time(7).1 - time(6).1, 6);
}

#[test]
fn pages_hinted_as_local_need_one_transfer_to_be_read_and_written() {
    let program: Vec<Op> =
        (0..32).flat_map(|page| [Op::Load(page * 4096), Op::Add(page * 4096, 1)]).collect();
    let limits = Limits { prefetches: 0, ..Limits::default() };
    let plain = setup(2, 32, limits, vec![(Member(1), program)]);
    let hinted = Setup { local: vec![(Member(1), Page(0), 32)], ..plain.clone() };
    let sent = |setup: &Setup| sum(&good(setup), "sent");
    assert_eq!((sent(&plain), sent(&hinted)), (6 * 32, 3 * 32));
}

#[test]
fn a_stream_is_fetched_before_it_is_asked_for_and_chance_is_not() {
    let writes = scan((0, 256), 0, true);
    let mut reader = vec![Op::Think(900_000_000)];
    reader.extend(scan((0, 256), 0, false));
    let limits = Limits::default();
    let with = good(&setup(2, 256, limits, vec![(Member(0), writes.clone()), (Member(1), reader.clone())]));
    let (asked, used) = (sum(&with, "prefetched"), sum(&with, "prefetch_used"));
    assert!(asked > 200 && used * 10 >= asked * 9, "{used} of {asked} were used");
    let without = Limits { prefetches: 0, ..limits };
    let slow = good(&setup(2, 256, without, vec![(Member(0), writes), (Member(1), reader)]));
    let took = |report: &Report| report.time_ns - 900_000_000;
    assert!(took(&with) * 3 < took(&slow), "{} ns with, {} ns without", took(&with), took(&slow));
    // Every third page of a hundred, backwards.
    let jumps = (0..80).map(|n| Op::Load((250 - 3 * n) * 4096)).collect();
    let report = good(&setup(2, 256, limits, vec![(Member(1), jumps)]));
    assert_eq!(sum(&report, "prefetched"), 0);
}

#[test]
fn the_design_sends_less_than_relayed_pages_and_serial_invalidations() {
    // Four members read a table that one of them changes now and then, and pass pages on from hand to hand.
    let program = |member: u64| {
        let mut list = vec![Op::Think(50_000 * member)];
        for round in 0..40 {
            list.extend((0..4).map(|page| Op::Load(page * 4096 + 8 * round)));
            if round % 4 == member {
                list.extend((0..4).map(|page| Op::Store(page * 4096 + 8 * round, round)));
            }
            list.push(Op::Add((4 + round % 3) * 4096 + 8 * member, 1));
            list.push(Op::Think(400_000));
        }
        list
    };
    let vcpus = (0..4).map(|member| (Member(member), program(u64::from(member)))).collect();
    let limits = Limits { prefetches: 0, ..Limits::default() };
    let comparison = compare(&good(&setup(4, 8, limits, vcpus)));
    println!("{comparison}");
    let (ours, giant) = (comparison.ours, comparison.giant);
    assert!(comparison.faults > 300);
    assert!(ours.bytes * 4 < giant.bytes, "{comparison}");
    assert!(ours.in_a_row < giant.in_a_row, "{comparison}");
}

#[test]
fn a_warm_page_travels_as_a_difference() {
    // Two members take turns in writing single words of eight pages.
    let program = |member: u64| {
        let mut list = Vec::new();
        for round in 0..30 {
            list.extend((0..8).map(|page| Op::Add(page * 4096 + 64 * round + 8 * member, 1 + round)));
            list.push(Op::Think(500_000));
        }
        list
    };
    let limits = Limits { prefetches: 0, hot: 20, ..Limits::default() };
    let report = good(&setup(2, 8, limits, vec![(Member(0), program(0)), (Member(1), program(1))]));
    let (diff, whole, bytes) = (sum(&report, "diff"), sum(&report, "whole"), sum(&report, "payload_sent"));
    assert!(diff > 10 * whole, "{diff} as differences, {whole} whole");
    let each = (bytes - whole * 4097) / diff;
    assert!(each * 10 < 3 * 4096, "{each} bytes for a warm page");
    assert!(report.hot > 0, "pages that move all the time are reported");
}
