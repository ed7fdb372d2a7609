//! Who waits, and which pages are held for whose instruction.
//!
//! One instruction may need several pages at once. Those granted to its waiter stay until it retires, but no
//! longer than a bound in time; an instruction that lost pages too often asks for the token.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::types::{Page, Right, Waiter};

/// One page kept for a waiter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Hold {
    page: Page,
    right: Right,
    /// Not kept longer.
    until: u64,
    /// Kept as long even if the instruction retires.
    least: u64,
    retired: bool,
}

/// One waiter.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct State {
    holds: Vec<Hold>,
    parked: Option<Page>,
    failures: u8,
    wants_token: bool,
}

/// All waiters that ever wanted a page.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Waiters {
    limit: usize,
    holds: usize,
    all: BTreeMap<Waiter, State>,
}

impl Waiters {
    pub(crate) fn new(limit: usize, holds: usize) -> Self {
        Self { limit, holds, all: BTreeMap::new() }
    }

    /// Whether `waiter` may take part.
    pub(crate) fn admits(&self, waiter: Waiter) -> bool {
        usize::from(waiter.0) < self.limit
    }

    /// Keeps a page for a waiter. A longer hold of the same page stays.
    pub(crate) fn hold(&mut self, waiter: Waiter, page: Page, right: Right, least: u64, until: u64) {
        let limit = self.holds;
        let state = self.all.entry(waiter).or_default();
        if let Some(hold) = state.holds.iter_mut().find(|hold| hold.page == page) {
            hold.right = hold.right.max(right);
            if core::mem::take(&mut hold.retired) {
                (hold.until, hold.least) = (until, least.min(until));
            }
            return;
        }
        if state.holds.len() >= limit {
            state.holds.remove(0);
        }
        state.holds.push(Hold { page, right, until, least: least.min(until), retired: false });
    }

    /// Until when the page is kept against somebody who wants `right`; `None`: it is not.
    pub(crate) fn held_until(
        &self,
        page: Page,
        right: Right,
        now: u64,
        token: Option<(Waiter, u64)>,
    ) -> Option<u64> {
        let kept = |waiter: &Waiter, hold: &Hold| match token {
            Some((holder, until)) if holder == *waiter => hold.until.max(until),
            Some(_) | None => hold.until,
        };
        let all =
            self.all.iter().flat_map(|(waiter, state)| state.holds.iter().map(move |hold| (waiter, hold)));
        let conflict = all
            .filter(|(_, hold)| hold.page == page && (right == Right::Write || hold.right == Right::Write));
        conflict.map(|(waiter, hold)| kept(waiter, hold)).filter(|until| *until > now).max()
    }

    /// The page goes although it was kept for some: their names, with the failures of each.
    pub(crate) fn lose(&mut self, page: Page, right: Right) -> Vec<(Waiter, u8)> {
        let mut losers = Vec::new();
        for (waiter, state) in &mut self.all {
            let before = state.holds.len();
            let mut unretired = false;
            state.holds.retain(|hold| {
                let goes = hold.page == page && (right == Right::Write || hold.right == Right::Write);
                unretired |= goes && !hold.retired;
                !goes
            });
            if state.holds.len() < before && unretired {
                state.failures = state.failures.saturating_add(1);
                losers.push((*waiter, state.failures));
            }
        }
        losers
    }

    /// The instruction is done: what it held until now.
    pub(crate) fn retire(&mut self, waiter: Waiter, now: u64) -> Vec<Page> {
        let Some(state) = self.all.get_mut(&waiter) else { return Vec::new() };
        let pages = state.holds.iter().map(|hold| hold.page).collect();
        state.holds.retain_mut(|hold| {
            (hold.until, hold.retired) = (hold.least, true);
            hold.least > now
        });
        state.failures = 0;
        state.wants_token = false;
        pages
    }

    /// The waiter waits for this page now; the page it waited for before.
    pub(crate) fn park(&mut self, waiter: Waiter, page: Page) -> Option<Page> {
        self.all.entry(waiter).or_default().parked.replace(page)
    }

    /// The page that the waiter waits for.
    pub(crate) fn parked_at(&self, waiter: Waiter) -> Option<Page> {
        self.all.get(&waiter)?.parked
    }

    /// The waiter waits no more.
    pub(crate) fn unpark(&mut self, waiter: Waiter) -> Option<Page> {
        self.all.get_mut(&waiter)?.parked.take()
    }

    /// Whether any waiter is parked.
    pub(crate) fn parked(&self) -> usize {
        self.all.values().filter(|state| state.parked.is_some()).count()
    }

    /// Notes that the waiter wants the token.
    pub(crate) fn want_token(&mut self, waiter: Waiter) {
        self.all.entry(waiter).or_default().wants_token = true;
    }

    /// Whether any waiter wants the token.
    pub(crate) fn anybody_wants_token(&self) -> bool {
        self.all.values().any(|state| state.wants_token)
    }

    /// The waiter that wants the token and has failed most.
    pub(crate) fn next_for_token(&mut self) -> Option<Waiter> {
        let wanting = self.all.iter().filter(|(_, state)| state.wants_token);
        let (waiter, _) = wanting.max_by_key(|(_, state)| state.failures)?;
        let waiter = *waiter;
        self.all.get_mut(&waiter)?.wants_token = false;
        Some(waiter)
    }
}
