//! The pages that change their writer most often, as their locator sees it, and those that this member has to
//! ask others for most often; both in bounded memory.
//!
//! Space-saving (Metwally, Agrawal, El Abbadi: *Efficient computation of frequent and top-k elements in data
//! streams*, 2005): a page that is not in the table takes the place of the rarest one, and its count with it. A page
//! with more than 1/32 of all moves is always in the table; a count is too high by at most the least count.

use alloc::vec::Vec;

use crate::effect::Effect;
use crate::engine::Engine;
use crate::types::{Member, Page, Right};

/// Pages counted at a time.
const ENTRIES: usize = 32;

/// One page and its moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HotPage {
    /// Which.
    pub page: Page,
    /// How often its writer changed, at most.
    pub moves: u32,
    /// How much of that may be another page's.
    pub error: u32,
}

/// One page and the faults of this member that needed another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultPage {
    /// Which.
    pub page: Page,
    /// Read faults since the page has been in the table.
    pub reads: u32,
    /// Write faults likewise.
    pub writes: u32,
    /// How many there may have been before, at most.
    pub missed: u32,
}

impl FaultPage {
    /// All of them that were seen.
    pub fn seen(&self) -> u32 {
        self.reads.saturating_add(self.writes)
    }
}

/// An entry of a table.
trait Entry: Copy {
    /// One that takes the place of another with that count.
    fn new(page: Page, inherited: u32) -> Self;
    fn page(&self) -> Page;
    /// What decides who has to go.
    fn count(&self) -> u32;
}

impl Entry for HotPage {
    fn new(page: Page, inherited: u32) -> Self {
        Self { page, moves: inherited, error: inherited }
    }

    fn page(&self) -> Page {
        self.page
    }

    fn count(&self) -> u32 {
        self.moves
    }
}

impl Entry for FaultPage {
    fn new(page: Page, inherited: u32) -> Self {
        Self { page, reads: 0, writes: 0, missed: inherited }
    }

    fn page(&self) -> Page {
        self.page
    }

    fn count(&self) -> u32 {
        self.seen().saturating_add(self.missed)
    }
}

/// The entry of a page, made where there is none.
fn entry<E: Entry>(pages: &mut Vec<E>, page: Page) -> Option<&mut E> {
    let at = match pages.iter().position(|entry| entry.page() == page) {
        Some(at) => at,
        None if pages.len() < ENTRIES => {
            pages.push(E::new(page, 0));
            pages.len().checked_sub(1)?
        }
        None => {
            let (at, rarest) = pages.iter_mut().enumerate().min_by_key(|(_, entry)| entry.count())?;
            *rarest = E::new(page, rarest.count());
            at
        }
    };
    pages.get_mut(at)
}

/// The tables.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Hot {
    pages: Vec<HotPage>,
    faults: Vec<FaultPage>,
}

impl Hot {
    /// Counts a move. Returns the new count.
    fn add(&mut self, page: Page) -> u32 {
        let Some(entry) = entry(&mut self.pages, page) else { return 0 };
        entry.moves = entry.moves.saturating_add(1);
        entry.moves
    }

    /// Counts a fault that needed another member.
    pub(crate) fn fault(&mut self, page: Page, right: Right) {
        let Some(entry) = entry(&mut self.faults, page) else { return };
        let count = match right {
            Right::Read => &mut entry.reads,
            Right::Write => &mut entry.writes,
        };
        *count = count.saturating_add(1);
    }
}

impl Engine {
    /// The pages located here that changed their writer most often, most first.
    pub fn hottest(&self) -> Vec<HotPage> {
        let mut pages = self.hot.pages.clone();
        weft_types::sort_few_by_key(&mut pages, |entry| core::cmp::Reverse(entry.moves));
        pages
    }

    /// The pages that this member had to ask others for most often, most first.
    pub fn most_faulted(&self) -> Vec<FaultPage> {
        let mut pages = self.hot.faults.clone();
        weft_types::sort_few_by_key(&mut pages, |entry| core::cmp::Reverse(entry.seen()));
        pages
    }

    pub(crate) fn note_move(&mut self, page: Page, from: Member, to: Member, out: &mut Vec<Effect>) {
        let moves = self.hot.add(page);
        if self.limits.hot > 0 && moves.is_multiple_of(self.limits.hot) {
            out.push(Effect::Hot { page, from, to, moves });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_pages_stay_in_the_table_among_many_rare_ones() {
        let mut hot = Hot::default();
        for round in 0..1000 {
            hot.add(Page(1));
            hot.add(Page(2));
            hot.add(Page(100 + round));
        }
        assert_eq!(hot.pages.len(), ENTRIES);
        for page in [1, 2] {
            let entry = hot.pages.iter().find(|entry| entry.page == Page(page)).unwrap();
            assert!(entry.moves - entry.error <= 1000 && entry.moves >= 1000);
        }
    }
    #[test]
    fn faults_are_counted_by_their_kind_and_rare_pages_leave() {
        let mut hot = Hot::default();
        for round in 0..1000 {
            hot.fault(Page(1), Right::Read);
            hot.fault(Page(2), Right::Write);
            hot.fault(Page(2), Right::Read);
            hot.fault(Page(100 + round), Right::Read);
        }
        assert_eq!(hot.faults.len(), ENTRIES);
        let of = |page| *hot.faults.iter().find(|entry| entry.page == Page(page)).unwrap();
        assert_eq!(of(1), FaultPage { page: Page(1), reads: 1000, writes: 0, missed: 0 });
        assert_eq!((of(2).reads, of(2).writes, of(2).seen()), (1000, 1000, 2000));
        let rare = hot.faults.iter().filter(|entry| entry.page.0 >= 100);
        assert!(
            rare.clone().all(|entry| entry.seen() == 1 && entry.missed > 0),
            "they took each other's place"
        );
    }
}
