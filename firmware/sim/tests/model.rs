//! The shipping engine under a model checker: every order of messages, flushes and instructions on small sizes.
//!
//! Messages arrive exactly once and in any order at all; a page's contents are the number of the write that made
//! them. Checked in every state: one writer or many readers, no stale read, no acknowledgement before the flush,
//! and, where nothing can happen any more, all programs ended.

use std::collections::BTreeMap;

use stateright::{Checker, Model, Property};
use weft_coherence::codec::{self, Control, Message};
use weft_coherence::{
    Access, Arrived, Config, Effect, Engine, Limits, Member, Page, Range, Right, Source, Ticket, Waiter,
    Want, Wanted,
};
use weft_types::Epoch;

/// What a page's frame or twin holds: the number of a write; 0 is the beginning.
type Contents = u8;

/// A page beside a message: its contents, and what the receiver must have where it is a difference.
type Beside = Option<(Contents, Option<(u32, Contents)>)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Flying {
    from: u8,
    to: u8,
    control: Control,
    beside: Beside,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Guest {
    frames: BTreeMap<Page, Contents>,
    twins: BTreeMap<Page, (u32, Contents)>,
    /// Whether to write, and whether a flush is under way.
    mapped: BTreeMap<Page, (bool, bool)>,
    flushes: Vec<Ticket>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Vcpu {
    member: usize,
    at: usize,
    parked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    engines: Vec<Engine>,
    guests: Vec<Guest>,
    vcpus: Vec<Vcpu>,
    flying: Vec<Flying>,
    memory: BTreeMap<Page, Contents>,
    writes: Contents,
    /// Faults and ticks so far: without a bound, vCPUs could take a page from each other for ever.
    faults: u8,
    broken: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Deliver(usize),
    Flushed(usize, Ticket),
    Step(usize),
    Tick(usize),
}

/// A configuration: where each vCPU is and what it does, one page for each instruction.
struct System {
    members: u8,
    pages: u64,
    limits: Limits,
    programs: Vec<(usize, Vec<(u64, Access)>)>,
    loaded: bool,
    /// Faults that vCPUs may have beyond one for each instruction.
    more_faults: usize,
    /// The canary: the flush is reported before it is done.
    early_flush: bool,
}

fn limits() -> Limits {
    Limits { hold_ns: 0, hold_least_ns: 0, prefetches: 0, bases: 1, twins: 1, ..Limits::default() }
}

impl System {
    fn perform(&self, state: &mut State, me: usize, effects: Vec<Effect>, beside: Beside) {
        for effect in effects {
            self.perform_one(state, me, effect, beside);
        }
    }

    fn perform_one(&self, state: &mut State, me: usize, effect: Effect, beside: Beside) {
        let guest = &mut state.guests[me];
        match effect {
            Effect::Send { to, control, page, .. } => {
                let (_, message) = codec::decode(&control.0).expect("it was encoded");
                let reached = message.page().and_then(|page| guest.mapped.get(&page));
                let early = match message {
                    Message::Ack { .. } | Message::Data { right: Right::Write, .. } => reached.is_some(),
                    Message::Data { .. } => reached.is_some_and(|(write, _)| *write),
                    _ => false,
                };
                if early {
                    state.broken = Some("sent before the flush");
                }
                let beside = page.map(|payload| {
                    let base = payload.base.map(|base| {
                        let (version, contents) = guest.twins[&payload.page];
                        assert_eq!(version, base);
                        (base, contents)
                    });
                    (guest.frames[&payload.page], base)
                });
                let flying = Flying { from: me as u8, to: to.0, control, beside };
                state.flying.push(flying);
                state.flying.sort();
            }
            Effect::MapGuest { page, write } => {
                if guest.mapped.insert(page, (write, false)).is_some_and(|(_, flushing)| flushing) {
                    state.broken = Some("mapped before the flush is done");
                }
            }
            Effect::UnmapGuest { page, ticket } | Effect::ProtectGuest { page, ticket } => {
                guest.mapped.get_mut(&page).expect("it is mapped").1 = true;
                guest.flushes.push(ticket);
                guest.flushes.sort();
                if self.early_flush {
                    let mut out = Vec::new();
                    state.engines[me].flushed(0, ticket, &mut out);
                    self.perform(state, me, out, None);
                }
            }
            Effect::Install { page, source } => {
                let contents = match source {
                    Source::Zero | Source::SharedZero => 0,
                    Source::Whole | Source::Diff => beside.expect("a page came").0,
                };
                let old = guest.frames.insert(page, contents);
                let base = beside.and_then(|(_, base)| base);
                if source == Source::Diff && old != base.map(|(_, contents)| contents) {
                    state.broken = Some("a difference to other contents");
                }
            }
            Effect::DropFrame { page } => {
                guest.frames.remove(&page).expect("it has one");
            }
            Effect::MakeTwin { page, version } => {
                guest.twins.insert(page, (version, guest.frames[&page]));
            }
            Effect::DropTwin { page } => {
                guest.twins.remove(&page).expect("it has one");
            }
            Effect::Unpark { waiter } => state.vcpus[usize::from(waiter.0)].parked = false,
            Effect::Ready | Effect::Hot { .. } => {}
            Effect::Stop { .. } => state.broken = Some("stopped"),
        }
    }

    fn step(&self, state: &mut State, index: usize) {
        let vcpu = state.vcpus[index].clone();
        let (page, access) = self.programs[index].1[vcpu.at];
        let (page, write) = (Page(page), access == Access::Write);
        let me = vcpu.member;
        let waiter = Waiter(index as u16);
        let reaches = |state: &State| state.guests[me].mapped.get(&page).is_some_and(|(w, _)| *w || !write);
        if !reaches(state) {
            state.faults += 1;
            let mut out = Vec::new();
            let want = Want { waiter, page, access, walk: false };
            let wanted = state.engines[me].want(0, want, &mut out);
            state.vcpus[index].parked = wanted == Wanted::Parked;
            self.perform(state, me, out, None);
            if wanted == Wanted::Parked || !reaches(state) {
                if wanted == Wanted::Held {
                    state.broken = Some("held is not mapped");
                }
                return;
            }
        }
        if write {
            state.writes += 1;
            state.guests[me].frames.insert(page, state.writes);
            state.memory.insert(page, state.writes);
        } else if state.guests[me].frames.get(&page) != Some(state.memory.get(&page).unwrap_or(&0)) {
            state.broken = Some("a stale read");
        }
        state.vcpus[index].at += 1;
        let mut out = Vec::new();
        state.engines[me].retired(0, waiter, &mut out);
        self.perform(state, me, out, None);
    }

    fn ended(&self, state: &State) -> bool {
        state.vcpus.iter().zip(&self.programs).all(|(vcpu, (_, program))| vcpu.at == program.len())
    }
}

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let range = Range { first: Page(0), pages: self.pages, locator: Member(0) };
        let engine = |me: u8| {
            let config = Config {
                me: Member(me),
                members: self.members,
                epoch: Epoch::default(),
                ranges: vec![range],
                limits: self.limits,
            };
            Engine::new(config).expect("sound")
        };
        let vcpu = |(member, _): &(usize, _)| Vcpu { member: *member, at: 0, parked: false };
        let mut state = State {
            engines: (0..self.members).map(engine).collect(),
            guests: vec![Guest::default(); usize::from(self.members)],
            vcpus: self.programs.iter().map(vcpu).collect(),
            flying: Vec::new(),
            memory: BTreeMap::new(),
            writes: 0,
            faults: 0,
            broken: None,
        };
        if self.loaded {
            state.guests[0].frames.insert(Page(0), 100);
            state.memory.insert(Page(0), 100);
            let mut out = Vec::new();
            state.engines[0].adopt(Page(0), 1, &mut out);
            assert_eq!(out, [Effect::Ready], "its locator is the loader's member");
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        for (index, flying) in state.flying.iter().enumerate() {
            if index == 0 || state.flying[index - 1] != *flying {
                actions.push(Action::Deliver(index));
            }
        }
        for (member, guest) in state.guests.iter().enumerate() {
            actions.extend(guest.flushes.iter().map(|ticket| Action::Flushed(member, *ticket)));
            if state.engines[member].next_ns().is_some() {
                actions.push(Action::Tick(member));
            }
        }
        for (index, vcpu) in state.vcpus.iter().enumerate() {
            if !vcpu.parked && vcpu.at < self.programs[index].1.len() {
                actions.push(Action::Step(index));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let mut out = Vec::new();
        match action {
            Action::Deliver(index) => {
                let Flying { from, to, control, beside } = state.flying.remove(index);
                let arrived = match beside {
                    None => Arrived::Nothing,
                    Some((_, Some((base, _)))) => Arrived::Diff { base },
                    Some((0, None)) => Arrived::Zero,
                    Some((_, None)) => Arrived::Whole,
                };
                let me = usize::from(to);
                state.engines[me].message(0, Member(from), &control.0, arrived, &mut out);
                if state.engines[me].counters().impossible > 0 {
                    state.broken = Some("a senseless message");
                }
                self.perform(&mut state, me, out, beside);
            }
            Action::Flushed(me, ticket) => {
                let guest = &mut state.guests[me];
                guest.flushes.retain(|other| *other != ticket);
                let page = Page(ticket.0);
                if state.engines[me].right(page).is_some() {
                    guest.mapped.insert(page, (false, false));
                } else {
                    guest.mapped.remove(&page);
                }
                if !self.early_flush {
                    state.engines[me].flushed(0, ticket, &mut out);
                    self.perform(&mut state, me, out, None);
                }
            }
            Action::Step(index) => self.step(&mut state, index),
            Action::Tick(me) => {
                state.faults += 1;
                let now = state.engines[me].next_ns().unwrap_or(0);
                state.engines[me].tick(now, &mut out);
                self.perform(&mut state, me, out, None);
            }
        }
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        let ops: usize = self.programs.iter().map(|(_, program)| program.len()).sum();
        usize::from(state.faults) <= ops + self.more_faults
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing broken", |_, state: &State| state.broken.is_none()),
            Property::always("single writer", |system: &System, state: &State| {
                (0..system.pages).map(Page).all(|page| {
                    let reaching: Vec<_> =
                        state.guests.iter().filter_map(|guest| guest.mapped.get(&page)).collect();
                    reaching.len() < 2 || reaching.iter().all(|(write, _)| !write)
                })
            }),
            Property::always("at the end all is done", |system: &System, state: &State| {
                let mut actions = Vec::new();
                system.actions(state, &mut actions);
                !actions.is_empty()
                    || state.broken.is_some()
                    || (system.ended(state) && state.engines.iter().all(Engine::is_idle))
            }),
            Property::sometimes("programs end", |system: &System, state: &State| system.ended(state)),
        ]
    }
}

fn system(members: u8, pages: u64, programs: &[(usize, &[(u64, Access)])]) -> System {
    let programs = programs.iter().map(|(member, program)| (*member, program.to_vec())).collect();
    System { members, pages, limits: limits(), programs, loaded: false, more_faults: 2, early_flush: false }
}

fn exhaust(name: &str, system: System) {
    let checker = system.checker().spawn_bfs().join();
    println!("{name}: {} states", checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.is_done(), "all states were seen");
}

const R: Access = Access::Read;
const W: Access = Access::Write;

#[test]
fn two_members_one_page_every_pair_of_programs() {
    let programs: [&[(u64, Access)]; 6] =
        [&[(0, R)], &[(0, W)], &[(0, R), (0, W)], &[(0, W), (0, R)], &[(0, W), (0, W)], &[(0, R), (0, R)]];
    for a in programs {
        for b in programs {
            for loaded in [false, true] {
                exhaust("2 members, 1 page", System { loaded, ..system(2, 1, &[(0, a), (1, b)]) });
            }
        }
    }
}

#[test]
fn three_members_one_page() {
    for (a, b, c) in [(R, W, W), (W, R, R), (W, W, W), (R, R, W)] {
        for loaded in [false, true] {
            let programs: [(usize, &[_]); 3] = [(0, &[(0, a)]), (1, &[(0, b), (0, W)]), (2, &[(0, c)])];
            exhaust("3 members, 1 page", System { loaded, ..system(3, 1, &programs) });
        }
    }
    let programs: [(usize, &[_]); 2] = [(1, &[(0, W), (0, R)]), (2, &[(0, R), (0, W)])];
    exhaust("3 members, locator apart", system(3, 1, &programs));
}

#[test]
fn two_members_two_pages_and_two_vcpus_on_one() {
    let programs: [(usize, &[_]); 2] = [(0, &[(0, W), (1, R)]), (1, &[(1, W), (0, R)])];
    exhaust("2 members, 2 pages", system(2, 2, &programs));
    let programs: [(usize, &[_]); 3] = [(0, &[(0, W)]), (1, &[(0, R), (0, W)]), (1, &[(0, W)])];
    exhaust("2 vCPUs on one member", system(2, 1, &programs));
}

#[test]
fn holds_that_end_at_any_time() {
    let programs: [(usize, &[_]); 2] = [(0, &[(0, W), (0, W)]), (1, &[(0, R), (0, W)])];
    let limits = Limits { hold_ns: 1, ..limits() };
    exhaust("2 members with holds", System { limits, ..system(2, 1, &programs) });
}

#[test]
fn the_checker_finds_a_flush_reported_too_early() {
    let programs: [(usize, &[_]); 2] = [(0, &[(0, W)]), (1, &[(0, W)])];
    let canary = System { early_flush: true, ..system(2, 1, &programs) };
    let checker = canary.checker().spawn_bfs().join();
    assert!(checker.discovery("nothing broken").is_some());
}
