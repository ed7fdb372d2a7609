//! A bounded set of pages with a version each; the oldest goes first.

use alloc::collections::BTreeMap;
use core::hash::{Hash, Hasher};

use crate::types::Page;

/// Pages in the order in which they came.
#[derive(Clone)]
pub(crate) struct Cache {
    limit: usize,
    next: u64,
    pages: BTreeMap<Page, (u32, u64)>,
    order: BTreeMap<u64, Page>,
}

impl Cache {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, next: 0, pages: BTreeMap::new(), order: BTreeMap::new() }
    }

    pub(crate) fn get(&self, page: Page) -> Option<u32> {
        self.pages.get(&page).map(|(version, _)| *version)
    }

    /// Puts a page in, as the newest. Returns the page that had to go for it: the page itself where
    /// nothing may be kept.
    pub(crate) fn insert(&mut self, page: Page, version: u32) -> Option<Page> {
        self.remove(page);
        if self.limit == 0 {
            return Some(page);
        }
        let gone = if self.pages.len() >= self.limit { self.pop_oldest() } else { None };
        self.next = self.next.wrapping_add(1);
        self.pages.insert(page, (version, self.next));
        self.order.insert(self.next, page);
        gone
    }

    pub(crate) fn remove(&mut self, page: Page) -> Option<u32> {
        let (version, turn) = self.pages.remove(&page)?;
        self.order.remove(&turn);
        Some(version)
    }

    /// A mark for [`Cache::pop_before`].
    pub(crate) fn mark(&self) -> u64 {
        self.next
    }

    /// The oldest page, if it came before the mark was taken.
    pub(crate) fn pop_before(&mut self, mark: u64) -> Option<Page> {
        let old = self.order.first_key_value().is_some_and(|(turn, _)| *turn <= mark);
        if old { self.pop_oldest() } else { None }
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<Page> {
        let (_, page) = self.order.pop_first()?;
        self.pages.remove(&page);
        Some(page)
    }

    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    fn canonical(&self) -> impl Iterator<Item = (Page, Option<u32>)> {
        self.order.values().map(|page| (*page, self.get(*page)))
    }
}

// Equal where the pages, versions and their order are equal; the running number is not part of it.
impl PartialEq for Cache {
    fn eq(&self, other: &Self) -> bool {
        self.limit == other.limit && self.canonical().eq(other.canonical())
    }
}

impl Eq for Cache {}

impl Hash for Cache {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for entry in self.canonical() {
            entry.hash(state);
        }
        self.len().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_a_new_version_makes_a_page_young() {
        let mut cache = Cache::new(2);
        assert_eq!(cache.insert(Page(1), 1), None);
        assert_eq!(cache.insert(Page(2), 1), None);
        assert_eq!(cache.insert(Page(1), 2), None);
        assert_eq!(cache.insert(Page(3), 1), Some(Page(2)));
        assert_eq!((cache.get(Page(1)), cache.get(Page(2)), cache.len()), (Some(2), None, 2));
        let mark = cache.mark();
        assert_eq!(cache.insert(Page(4), 1), Some(Page(1)));
        assert_eq!((cache.pop_before(mark), cache.pop_before(mark)), (Some(Page(3)), None));
        assert_eq!(Cache::new(0).insert(Page(4), 1), Some(Page(4)));
    }
}
