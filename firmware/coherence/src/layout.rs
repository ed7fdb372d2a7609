//! Guest pages as dense numbers: each range follows the one before it without its holes.

use alloc::vec::Vec;

use crate::config::Range;
use crate::types::{Member, Page};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Span {
    range: Range,
    /// Number of its first page among all pages.
    at: usize,
    /// Number of its first page among the pages of the same locator.
    at_locator: usize,
}

/// The guest's memory map, as `Config` checked it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Layout {
    spans: Vec<Span>,
    total: usize,
}

/// Where a page is in the dense numbering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Among all pages.
    pub(crate) index: usize,
    /// Among the pages of its locator.
    pub(crate) home_index: usize,
    /// Its locator.
    pub(crate) locator: Member,
}

impl Layout {
    pub(crate) fn new(ranges: &[Range]) -> Self {
        let mut spans: Vec<Span> = Vec::new();
        let mut total = 0_usize;
        for range in ranges {
            let pages = usize::try_from(range.pages).unwrap_or(usize::MAX);
            let same = spans.iter().filter(|span| span.range.locator == range.locator);
            let at_locator = same
                .map(|span| usize::try_from(span.range.pages).unwrap_or(usize::MAX))
                .fold(0, usize::saturating_add);
            spans.push(Span { range: *range, at: total, at_locator });
            total = total.saturating_add(pages);
        }
        Self { spans, total }
    }

    /// All pages.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The ranges, in their order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range> + '_ {
        self.spans.iter().map(|span| span.range)
    }

    /// Pages of one locator.
    pub(crate) fn located_at(&self, member: Member) -> usize {
        let mine = self.spans.iter().filter(|span| span.range.locator == member);
        mine.map(|span| usize::try_from(span.range.pages).unwrap_or(usize::MAX))
            .fold(0, usize::saturating_add)
    }

    /// Where `page` is; `None` in a hole and past the end.
    pub(crate) fn place(&self, page: Page) -> Option<Place> {
        let after = self.spans.partition_point(|span| span.range.first <= page);
        let span = self.spans.get(after.checked_sub(1)?)?;
        let offset = page.0.checked_sub(span.range.first.0).filter(|offset| *offset < span.range.pages)?;
        let offset = usize::try_from(offset).ok()?;
        Some(Place {
            index: span.at.checked_add(offset)?,
            home_index: span.at_locator.checked_add(offset)?,
            locator: span.range.locator,
        })
    }

    /// The page with a number; the reverse of [`Place::index`].
    pub(crate) fn page(&self, index: usize) -> Option<Page> {
        let after = self.spans.partition_point(|span| span.at <= index);
        let span = self.spans.get(after.checked_sub(1)?)?;
        let offset =
            u64::try_from(index.checked_sub(span.at)?).ok().filter(|offset| *offset < span.range.pages)?;
        Some(Page(span.range.first.0.checked_add(offset)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let range = |first, pages, locator| Range { first: Page(first), pages, locator: Member(locator) };
        Layout::new(&[range(0, 10, 0), range(16, 4, 1), range(256, 5, 0)])
    }

    #[test]
    fn pages_and_numbers_map_onto_each_other_and_holes_to_nothing() {
        let layout = layout();
        assert_eq!((layout.total(), layout.located_at(Member(0)), layout.located_at(Member(1))), (19, 15, 4));
        let mut numbers = Vec::new();
        for page in 0..300 {
            if let Some(place) = layout.place(Page(page)) {
                assert_eq!(layout.page(place.index), Some(Page(page)));
                numbers.push(place.index);
            }
        }
        assert_eq!(numbers, (0..19).collect::<Vec<_>>());
        assert_eq!(layout.place(Page(12)), None);
        assert_eq!(layout.page(19), None);
        assert_eq!(layout.place(Page(258)).map(|place| place.home_index), Some(12));
    }
}
