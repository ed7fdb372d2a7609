//! Looks ahead along streams: a waiter that goes through memory page by page gets the next ones before it asks.
//!
//! Only detected streams are followed: two faults in order start with two pages, each further one doubles that, to a
//! limit. A page that came early is not mapped until somebody wants it; that fault is local and drives the stream
//! on. The locator refuses an early request for a page that is busy.

use alloc::vec::Vec;

use crate::codec::Message;
use crate::counters::count;
use crate::effect::Effect;
use crate::engine::Engine;
use crate::layout::Place;
use crate::local::{ACTIVE, FRAME};
use crate::types::{Page, Right};

/// Streams followed at a time.
const STREAMS: usize = 8;
/// Pages that a stream may leave out.
const SKIP: u64 = 2;
/// Pages ahead at most.
const AHEAD: u64 = 16;

/// One detected walk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Stream {
    next: Page,
    run: u32,
    /// First page not asked for yet.
    edge: Page,
}

/// All streams of a member; the one that moved last comes last.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Streams {
    all: Vec<Stream>,
}

impl Streams {
    /// A fault at a page: the pages to ask for, as first and end.
    fn fault(&mut self, page: Page) -> Option<(Page, Page)> {
        let follows = |stream: &Stream| page >= stream.next && page.0 - stream.next.0 <= SKIP;
        let after = Page(page.0.saturating_add(1));
        let Some(at) = self.all.iter().position(follows) else {
            if self.all.len() >= STREAMS {
                self.all.remove(0);
            }
            self.all.push(Stream { next: after, run: 0, edge: after });
            return None;
        };
        let mut stream = self.all.remove(at);
        stream.run = stream.run.saturating_add(1);
        let ahead = 1_u64.checked_shl(stream.run).unwrap_or(AHEAD).min(AHEAD);
        let (first, end) = (stream.edge.max(after), Page(after.0.saturating_add(ahead)));
        stream.next = after;
        stream.edge = stream.edge.max(end);
        self.all.push(stream);
        (first < end).then_some((first, end))
    }
}

impl Engine {
    /// A fault that the page's absence, or its early arrival, caused.
    pub(crate) fn look_ahead(&mut self, page: Page, right: Right, out: &mut Vec<Effect>) {
        if self.limits.prefetches == 0 {
            return;
        }
        let Some((first, end)) = self.streams.fault(page) else { return };
        for page in (first.0..end.0).map(Page) {
            let Some(place) = self.layout.place(page) else { return };
            let room = self.free_frames() > self.floor() && self.starved.is_empty();
            if !room || self.early >= self.limits.prefetches {
                return;
            }
            let idle = !self.local.has(place.index, ACTIVE) && !self.local.has(place.index, FRAME);
            if idle && self.local.right(place.index).is_none() {
                self.early = self.early.saturating_add(1);
                count(&mut self.counters.prefetched);
                self.ask_for_nobody(page, place, right, true, out);
            }
        }
    }

    /// The locator refused an early request: it is forgotten, or asked again for those who wait by now.
    pub(crate) fn on_refuse(&mut self, message: &Message, place: Place, out: &mut Vec<Effect>) {
        let Message::Refuse { page } = *message else { return };
        if self.request(page).filter(|request| request.sent && request.prefetch).is_none() {
            return self.impossible();
        }
        count(&mut self.counters.prefetch_refused);
        self.early = self.early.saturating_sub(1);
        self.refused(page, place, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_followed_further_and_further_and_chance_is_not() {
        let mut streams = Streams::default();
        let ahead = |range: Option<(Page, Page)>| range.map(|(first, end)| (first.0, end.0));
        for page in [5, 900, 40, 7000] {
            assert_eq!(streams.fault(Page(page)), None);
        }
        assert_eq!(ahead(streams.fault(Page(6))), Some((7, 9)));
        assert_eq!(ahead(streams.fault(Page(7))), Some((9, 12)));
        assert_eq!(ahead(streams.fault(Page(8))), Some((12, 17)));
        assert_eq!(ahead(streams.fault(Page(9))), Some((17, 26)));
        assert_eq!(ahead(streams.fault(Page(10))), Some((26, 27)), "one more for each page from here on");
        assert_eq!(streams.fault(Page(6)), None, "backwards is no stream");
    }
}
