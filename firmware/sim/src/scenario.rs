//! From a seed to a run: every seed is another cluster, network, program and set of faults.

use std::collections::BTreeSet;

use weft_coherence::{Limits, Member, Page, Range};

use crate::link::Delays;
use crate::program::{self, Style};
use crate::rng::Random;
use crate::world::{Fault, Setup};

/// The run of a seed.
pub fn from_seed(seed: u64) -> Setup {
    let mut random = Random(seed);
    let r = &mut random;
    let most = r.pick(&[2, 2, 2, 3, 3, 4, 8, 16, 64]);
    let members = u8::try_from(most).unwrap_or(2);
    let pages_each = r.pick(&[1, 2, 3, 8]);
    let ranges = ranges(members, pages_each);
    let vcpus_each = if members > 8 { 1 } else { r.between(1, 3) };
    let style = Style {
        length: 400 / u64::from(members).max(4) + r.below(60),
        pages: (0, r.pick(&[1, 2, 4, u64::from(members) * pages_each]).min(u64::from(members) * pages_each)),
        hot_percent: r.pick(&[0, 20, 80]),
        think_ns: r.pick(&[100, 5_000, 200_000]),
        straddle: r.chance(60),
    };
    let mut vcpus = Vec::new();
    for member in 0..members {
        for _ in 0..vcpus_each {
            vcpus.push((Member(member), program::random(&style, r)));
        }
    }
    let hold_ns = r.pick(&[0, 20_000, 200_000, 1_000_000]);
    let limits = Limits {
        hold_ns,
        hold_least_ns: r.pick(&[0, 2_000, 20_000]).min(hold_ns),
        frames: frames(members, pages_each, r),
        prefetches: r.pick(&[0, 2, 32]),
        bases: r.pick(&[0, 1, 4, 1024]),
        twins: r.pick(&[0, 1, 4, 1024]),
        token_ns: r.pick(&[20_000_000, 50_000_000]),
        ..Limits::default()
    };
    let loaded = if r.chance(70) {
        let first = r.below(style.pages.1);
        let count = r.between(1, style.pages.1 - first).min(limits.frames);
        vec![(Page(first), u32::try_from(count).unwrap_or(1))]
    } else {
        Vec::new()
    };
    Setup {
        seed,
        members,
        ranges,
        limits: vec![limits],
        vcpus,
        loaded,
        local: if r.chance(15) { vec![(Member(0), Page(0), pages_each)] } else { Vec::new() },
        delays: delays(r),
        flush_ns: r.pick(&[(0, 0), (500, 3_000), (1_000, 100_000)]),
        wake_ns: r.pick(&[(0, 100), (1_000, 20_000), (1_000, 400_000)]),
        drain_ns: r.pick(&[0, 300, 5_000]),
        faults: faults(members, r),
        death: None,
        old_epoch_percent: 3,
        canary: None,
        deadline_ns: 60_000_000_000,
    }
}

/// Plenty, or little more than each member's share of the guest's memory.
fn frames(members: u8, pages_each: u64, r: &mut Random) -> u64 {
    if r.chance(60) {
        return u64::MAX;
    }
    // A member keeps an eighth free of the pages of others, and an instruction needs up to four at once.
    let share = pages_each + pages_each / 2;
    (share + 4 + r.below(3)).max(8) + u64::from(members) / 16
}

/// Guest memory of equal shares, one for each member.
pub fn ranges(members: u8, pages_each: u64) -> Vec<Range> {
    let range = |member: u8| Range {
        first: Page(u64::from(member) * pages_each),
        pages: pages_each,
        locator: Member(member),
    };
    (0..members).map(range).collect()
}

fn delays(r: &mut Random) -> Delays {
    let least_ns = r.pick(&[0, 5_000, 30_000]);
    Delays {
        least_ns,
        most_ns: least_ns + r.pick(&[0, 10_000, 300_000]),
        lost_percent: r.pick(&[0, 0, 1, 5]),
        resend_ns: 2_000_000,
        classes_in_order: r.chance(30),
    }
}

fn faults(members: u8, r: &mut Random) -> Vec<(u64, Fault)> {
    let mut list = Vec::new();
    if r.chance(20) {
        let side: BTreeSet<Member> = (0..members).map(Member).filter(|_| r.chance(50)).collect();
        list.push((r.below(5_000_000), Fault::Cut(side, r.between(1_000, 20_000_000))));
    }
    if r.chance(15) {
        let member = Member(u8::try_from(r.below(u64::from(members))).unwrap_or(0));
        list.push((r.below(10_000_000), Fault::Crash(member)));
    }
    list
}
