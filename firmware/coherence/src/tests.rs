use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use weft_platform::Access;
use weft_types::Epoch;

use crate::codec::{self, Message};
use crate::*;

fn config(me: u8, members: u8) -> Config {
    let range =
        |locator: u8| Range { first: Page(u64::from(locator) * 100), pages: 100, locator: Member(locator) };
    Config {
        me: Member(me),
        members,
        epoch: Epoch { counter: 7, ..Epoch::default() },
        ranges: (0..members).map(range).collect(),
        limits: Limits { hold_least_ns: 0, ..Limits::default() },
    }
}

/// Members whose flushes are done at once and whose messages arrive in the order of sending. A page's
/// contents are one number.
struct Group {
    engines: Vec<Engine>,
    frames: Vec<BTreeMap<Page, u64>>,
    mapped: Vec<BTreeMap<Page, bool>>,
    wire: Vec<(Member, Member, codec::Control, Option<u64>)>,
    log: Vec<Message>,
    unparked: Vec<(usize, Waiter)>,
    now: u64,
}

impl Group {
    fn new(members: u8) -> Self {
        let engines: Vec<_> = (0..members).map(|me| Engine::new(config(me, members)).unwrap()).collect();
        let empty = |_| BTreeMap::new();
        Self {
            frames: (0..members).map(empty).collect(),
            mapped: (0..members).map(|_| BTreeMap::new()).collect(),
            engines,
            wire: Vec::new(),
            log: Vec::new(),
            unparked: Vec::new(),
            now: 0,
        }
    }

    fn perform(&mut self, me: usize, effects: Vec<Effect>, came: Option<u64>) {
        for effect in effects {
            match effect {
                Effect::Send { to, control, page, class } => {
                    let (_, message) = codec::decode(&control.0).unwrap();
                    assert_eq!(class, message.class());
                    self.log.push(message);
                    let contents = page.map(|payload| self.frames[me][&payload.page]);
                    self.wire.push((Member(me as u8), to, control, contents));
                }
                Effect::MapGuest { page, write } => {
                    assert!(self.frames[me].contains_key(&page));
                    self.mapped[me].insert(page, write);
                }
                Effect::UnmapGuest { page, ticket } => {
                    assert!(self.mapped[me].remove(&page).is_some());
                    self.flushed(me, ticket);
                }
                Effect::ProtectGuest { page, ticket } => {
                    assert_eq!(self.mapped[me].insert(page, false), Some(true));
                    self.flushed(me, ticket);
                }
                Effect::Install { page, source } => {
                    let contents = match source {
                        Source::Zero | Source::SharedZero => 0,
                        Source::Whole | Source::Diff => came.unwrap(),
                    };
                    self.frames[me].insert(page, contents);
                }
                Effect::DropFrame { page } => assert!(self.frames[me].remove(&page).is_some()),
                Effect::Unpark { waiter } => self.unparked.push((me, waiter)),
                Effect::MakeTwin { .. } | Effect::DropTwin { .. } | Effect::Ready | Effect::Hot { .. } => {}
                Effect::Stop { cause } => panic!("member {me} stops: {cause:?}"),
            }
        }
    }

    fn flushed(&mut self, me: usize, ticket: Ticket) {
        let mut out = Vec::new();
        self.engines[me].flushed(self.now, ticket, &mut out);
        self.perform(me, out, None);
    }

    fn run(&mut self) {
        while !self.wire.is_empty() {
            let (from, to, control, contents) = self.wire.remove(0);
            let arrived = if contents.is_some() { Arrived::Whole } else { Arrived::Nothing };
            let mut out = Vec::new();
            let to = usize::from(to.0);
            self.engines[to].message(self.now, from, &control.0, arrived, &mut out);
            self.perform(to, out, contents);
        }
    }

    fn want(&mut self, me: usize, page: u64, access: Access) -> Wanted {
        let mut out = Vec::new();
        let want = Want { waiter: Waiter(0), page: Page(page), access, walk: false };
        let wanted = self.engines[me].want(self.now, want, &mut out);
        self.perform(me, out, None);
        wanted
    }

    fn retire(&mut self, me: usize) {
        let mut out = Vec::new();
        self.engines[me].retired(self.now, Waiter(0), &mut out);
        self.perform(me, out, None);
        self.run();
    }

    /// One instruction that needs one page.
    fn access(&mut self, me: usize, page: u64, access: Access) {
        if self.want(me, page, access) == Wanted::Parked {
            self.run();
            assert_eq!(self.unparked.pop(), Some((me, Waiter(0))));
            assert_eq!(self.want(me, page, access), Wanted::Held);
        }
        assert!(self.mapped[me].get(&Page(page)).copied() >= Some(access == Access::Write));
    }

    fn read(&mut self, me: usize, page: u64) -> u64 {
        self.access(me, page, Access::Read);
        let value = self.frames[me][&Page(page)];
        self.retire(me);
        value
    }

    fn write(&mut self, me: usize, page: u64, value: u64) {
        self.access(me, page, Access::Write);
        self.frames[me].insert(Page(page), value);
        self.retire(me);
    }

    fn messages(&mut self) -> usize {
        core::mem::take(&mut self.log)
            .iter()
            .filter(|message| !matches!(message, Message::Done { .. } | Message::Taken { .. }))
            .count()
    }
}

#[test]
fn two_members_see_what_the_other_wrote() {
    let mut group = Group::new(2);
    for page in [5, 105] {
        assert_eq!((group.read(0, page), group.read(1, page)), (0, 0));
        for round in 1..20 {
            group.write(0, page, round);
            assert_eq!(group.read(1, page), round);
            group.write(1, page, round + 100);
            assert_eq!(group.read(0, page), round + 100);
            group.write(1, page, round + 200);
            group.write(0, page, round + 300);
            assert_eq!(group.read(0, page), round + 300);
        }
    }
    assert!(group.engines.iter().all(Engine::is_idle));
}

#[test]
fn faults_cost_the_messages_that_the_design_says() {
    let mut group = Group::new(6);
    group.write(0, 5, 1);
    assert_eq!(group.messages(), 0, "locator and owner are one: nothing is sent");
    // Readers who do not write: from now on the page is shared.
    group.read(1, 5);
    group.read(0, 5);
    group.messages();
    group.write(1, 5, 2);
    assert_eq!(group.messages(), 2, "the locator owns the page");
    group.read(2, 5);
    assert_eq!(group.messages(), 3, "requester, locator, owner, requester");
    group.read(3, 5);
    group.read(4, 5);
    group.messages();
    group.write(2, 5, 3);
    // Sharers: 1 (the owner), 3 and 4.
    assert_eq!(group.messages(), 2 + 2 * 3, "an upgrade carries no data");
    group.read(3, 5);
    group.read(4, 5);
    group.messages();
    group.write(5, 5, 4);
    assert_eq!(group.messages(), 3 + 2 * 2, "sharers 3 and 4 beside the owner");
    group.read(1, 305);
    assert_eq!(group.messages(), 2, "an untouched page needs no owner");
}

#[test]
fn a_page_that_each_reads_and_then_writes_costs_one_fault_a_turn() {
    let mut group = Group::new(3);
    group.write(0, 5, 0);
    for turn in 1..20 {
        let me = turn % 3;
        assert_eq!(group.read(me, 5), turn as u64 - 1);
        assert_eq!(group.mapped[me].get(&Page(5)), Some(&false), "whether it is written will be seen");
        group.messages();
        group.write(me, 5, turn as u64);
        assert_eq!(group.messages(), 0, "it came to be written");
    }
    assert!(group.engines.iter().all(|engine| engine.counters().upgrade == 0));
    assert_eq!(group.engines[0].counters().migrated, 19);
}

#[test]
fn a_page_that_is_only_read_is_shared_and_migrates_again_when_readers_write() {
    let mut group = Group::new(3);
    group.write(0, 5, 7);
    for reader in [1, 2, 0, 1, 2, 0] {
        assert_eq!(group.read(reader, 5), 7);
    }
    assert_eq!(group.engines[0].counters().migrated, 2, "given away twice, and unwritten the first time");
    group.messages();
    for reader in [1, 2, 0] {
        assert_eq!(group.read(reader, 5), 7);
    }
    assert_eq!(group.messages(), 0, "each has its copy");
    // Two members that read it and then write it, in turn.
    for turn in 0..6 {
        let me = 1 + turn % 2;
        group.read(me, 5);
        group.write(me, 5, turn as u64);
    }
    assert!(group.engines[0].counters().migrated > 2);
}

#[test]
fn a_page_held_for_an_instruction_stays_until_it_retires_or_too_long() {
    let mut group = Group::new(2);
    group.access(0, 5, Access::Write);
    assert_eq!(group.want(1, 5, Access::Write), Wanted::Parked);
    group.run();
    assert_eq!(group.mapped[0].get(&Page(5)), Some(&true), "held");
    group.retire(0);
    assert_eq!(group.unparked.pop(), Some((1, Waiter(0))));
    // Member 1 holds it now and never retires.
    assert_eq!(group.want(0, 5, Access::Read), Wanted::Parked);
    group.run();
    let end = group.engines[1].next_ns().unwrap();
    assert_eq!(end, Limits::default().hold_ns);
    group.now = end;
    let mut out = vec![];
    group.engines[1].tick(end, &mut out);
    group.perform(1, out, None);
    group.run();
    assert_eq!(group.unparked.pop(), Some((0, Waiter(0))));
    assert_eq!(group.engines[1].counters().broken, 1);
}

#[test]
fn loaded_pages_are_found_wherever_they_are_located() {
    let mut group = Group::new(3);
    for page in 50..250 {
        group.frames[0].insert(Page(page), page);
    }
    let mut out = Vec::new();
    group.engines[0].adopt(Page(50), 200, &mut out);
    assert!(!out.contains(&Effect::Ready), "two locators have not confirmed");
    group.perform(0, out, None);
    group.run();
    assert!(group.engines.iter().all(Engine::is_idle));
    for page in 50..250 {
        assert_eq!(group.read(2, page), page);
        assert_eq!(group.read(1, page), page);
        assert_eq!(group.read(0, page), page);
    }
}

#[test]
fn messages_of_another_epoch_or_without_sense_change_nothing() {
    let mut engine = Engine::new(config(0, 2)).unwrap();
    let mut out = Vec::new();
    let get = Message::Get {
        page: Page(5),
        right: Right::Read,
        base: None,
        have: false,
        urgent: false,
        prefetch: false,
    };
    let old = codec::Header::new(Epoch { counter: 6, ..Epoch::default() }, 0);
    engine.message(0, Member(1), &codec::encode(&old, &get).0, Arrived::Nothing, &mut out);
    assert_eq!((engine.counters().other_epoch, out.len()), (1, 0));
    let now = codec::Header::new(Epoch { counter: 7, ..Epoch::default() }, 0);
    for senseless in [
        Message::Done { page: Page(5), unwritten: false },
        Message::Ack { page: Page(5), version: 1 },
        Message::Get {
            page: Page(105),
            right: Right::Read,
            base: None,
            have: false,
            urgent: false,
            prefetch: false,
        },
        Message::Grant { page: Page(105), right: Right::Read, version: 0, acks: 0, zero: true },
        Message::Taken { page: Page(5), version: 1 },
        Message::Fetch {
            page: Page(5),
            right: Right::Read,
            requester: Member(1),
            version: 1,
            base: None,
            acks: 0,
            urgent: false,
        },
        Message::Token,
    ] {
        engine.message(0, Member(1), &codec::encode(&now, &senseless).0, Arrived::Nothing, &mut out);
        assert_eq!(out, [], "{senseless:?}");
    }
    assert_eq!((engine.counters().impossible, engine.counters().overtaken), (6, 1));
    engine.message(0, Member(9), &codec::encode(&now, &get).0, Arrived::Nothing, &mut out);
    engine.message(0, Member(1), &[0; 3], Arrived::Nothing, &mut out);
    assert_eq!((engine.counters().malformed, out.len(), engine.stopped()), (2, 0, None));
}

#[test]
fn a_peer_that_asks_for_more_than_all_may_stops_the_server_and_not_the_node() {
    let limits = Limits { records: 8, ..Limits::default() };
    let mut engine = Engine::new(Config { limits, ..config(0, 2) }).unwrap();
    let header = codec::Header::new(Epoch { counter: 7, ..Epoch::default() }, 0);
    let mut out = Vec::new();
    for page in 0..20 {
        let get = Message::Get {
            page: Page(page),
            right: Right::Read,
            base: None,
            have: false,
            urgent: false,
            prefetch: false,
        };
        engine.message(0, Member(1), &codec::encode(&header, &get).0, Arrived::Nothing, &mut out);
    }
    assert_eq!(engine.stopped(), Some(Cause::Flooded));
    assert_eq!(out.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count(), 8);
    assert_eq!(out.last(), Some(&Effect::Stop { cause: Cause::Flooded }), "no effect follows");
}

/// Lets the next page to arrive be unreadable, `times` times.
fn spoil(group: &mut Group, times: usize) -> Option<Cause> {
    let mut left = times;
    while !group.wire.is_empty() {
        let (from, to, control, contents) = group.wire.remove(0);
        let spoilt = contents.is_some() && left > 0;
        left -= usize::from(spoilt);
        let arrived = match contents {
            None => Arrived::Nothing,
            Some(_) if spoilt && left.is_multiple_of(2) => Arrived::Diff { base: 77 },
            Some(_) if spoilt => Arrived::Malformed,
            Some(_) => Arrived::Whole,
        };
        let mut out = Vec::new();
        let to = usize::from(to.0);
        group.engines[to].message(group.now, from, &control.0, arrived, &mut out);
        if let Some(Effect::Stop { cause }) = out.last() {
            return Some(*cause);
        }
        group.perform(to, out, contents);
    }
    None
}

#[test]
fn contents_that_do_not_fit_are_asked_for_once_more() {
    for access in [Access::Read, Access::Write] {
        let mut group = Group::new(3);
        group.write(0, 205, 41);
        assert_eq!(group.want(1, 205, access), Wanted::Parked);
        assert_eq!(spoil(&mut group, 1), None);
        assert_eq!(group.unparked.pop(), Some((1, Waiter(0))));
        assert_eq!(group.frames[1][&Page(205)], 41);
        assert!(group.engines.iter().all(Engine::is_idle));
        assert_eq!(group.engines[1].counters().again, 1);

        let mut group = Group::new(3);
        group.write(0, 205, 41);
        group.want(1, 205, access);
        assert_eq!(spoil(&mut group, 2), Some(Cause::NoContents(Page(205))));
    }
}

#[test]
fn a_prefetch_of_a_busy_page_is_refused_and_asked_again_for_who_waits() {
    let mut group = Group::new(3);
    // Member 2 is about to write page 7; its completion is on its way.
    for page in 4..10 {
        group.write(0, page, page);
    }
    assert_eq!(group.want(2, 7, Access::Write), Wanted::Parked);
    for page in [5, 6] {
        // A stream at member 1 asks for page 7 early, which is busy.
        group.want(1, page, Access::Read);
    }
    group.want(1, 7, Access::Read);
    group.run();
    assert_eq!(group.engines[1].counters().prefetch_refused, 1);
    group.retire(2);
    assert_eq!(group.mapped[1].get(&Page(7)), Some(&false), "it was asked for again");
    assert_eq!(group.frames[1][&Page(7)], 7);
}
