//! Frames run short: what goes, and in which order.
//!
//! A request reserves the frame that it receives into before it is sent. When there is none, twins go first, then
//! old contents, then clean copies; then owned pages are offered to a member with room, which asks the locator for
//! them as a writer would. Their frames are free when that member confirmed, as in every transfer. So nothing new
//! is needed for correctness, and the last copy is never dropped.

use alloc::vec::Vec;

use crate::codec::Message;
use crate::counters::count;
use crate::effect::Effect;
use crate::engine::Engine;
use crate::layout::Place;
use crate::local::{ACTIVE, FRAME, OWNER};
use crate::types::{Member, Page, Right};

/// Pages looked at in one search for a page to give up.
const SWEEP: usize = 4096;
/// Pages on their way out at a time, beyond those that a request waits for.
const MOST_LEAVING: usize = 16;
/// Pause before a search that found nothing is made again, nanoseconds.
const RETRY_NS: u64 = 100_000;

impl Engine {
    /// The node has that many free frames for this virtual server now.
    pub fn frame_pressure(&mut self, now_ns: u64, free_frames: u64, out: &mut Vec<Effect>) {
        self.at(now_ns);
        if self.stopped().is_some() {
            return;
        }
        self.budget = self.frames_used().saturating_sub(self.reserved).saturating_add(free_frames);
        self.settle(out);
    }

    /// Frames that nobody uses and that are not promised.
    pub(crate) fn free_frames(&self) -> u64 {
        self.budget.saturating_sub(self.frames_used())
    }

    /// Frames that prefetches and pages of others leave alone.
    pub(crate) fn floor(&self) -> u64 {
        (self.budget / 8).clamp(1, 64)
    }

    /// Frames for pages of others: those that are free, and those of copies that this member can do without.
    fn spare(&self) -> u64 {
        let kept = u64::try_from(self.twins.len().saturating_add(self.bases.len())).unwrap_or(u64::MAX);
        let soft = kept.saturating_add(self.local.clean());
        self.free_frames().saturating_add(soft).saturating_sub(self.floor())
    }

    /// What others are told about room here: a power of two, rounded down, plus one; 0: none.
    pub(crate) fn room(&self) -> u8 {
        match self.spare().checked_ilog2().filter(|_| self.starved.is_empty()) {
            Some(log) => u8::try_from(log).unwrap_or(62).saturating_add(1),
            None => 0,
        }
    }

    /// Notes that a request waits for a frame.
    pub(crate) fn starve(&mut self, page: Page) {
        if !self.starved.contains(&page) {
            count(&mut self.counters.starved);
            self.starved.push_back(page);
        }
    }

    /// Serves those who wait for frames, and gives pages up for them. Ends every call of the engine.
    pub(crate) fn reclaim(&mut self, out: &mut Vec<Effect>) {
        loop {
            while self.free_frames() > 0
                && let Some(page) = self.starved.pop_front()
            {
                if let Some(place) = self.layout.place(page) {
                    self.try_send(page, place, out);
                }
            }
            if self.shortage() == 0 {
                self.retry_ns = None;
                return;
            }
            if let Some(page) = self.twins.pop_oldest() {
                out.push(Effect::DropTwin { page });
            } else if let Some(page) = self.bases.pop_oldest() {
                if let Some(place) = self.layout.place(page) {
                    self.drop_frame(page, place, out);
                }
            } else {
                break;
            }
        }
        let pending = self.retry_ns.take().filter(|at| *at > self.now);
        while self.leaving.len() + self.offers.len() < self.shortage().min(MOST_LEAVING) {
            if !self.give_one_up(out) {
                self.retry_ns = pending.or(Some(self.now.saturating_add(RETRY_NS)));
                return;
            }
        }
    }

    /// Frames wanted beyond those that are there.
    fn shortage(&self) -> usize {
        let over = self.frames_used().saturating_sub(self.budget);
        self.starved.len().saturating_add(usize::try_from(over).unwrap_or(usize::MAX))
    }

    fn give_one_up(&mut self, out: &mut Vec<Effect>) -> bool {
        if self.local.clean() > 0
            && let Some((page, place)) = self.victim(false)
        {
            count(&mut self.counters.dropped);
            self.leave(page, place, out);
            return true;
        }
        let Some(to) = self.roomiest() else {
            // Nobody said that there is room: ask again, since only messages tell.
            for room in &mut self.rooms {
                *room = (*room).max(1);
            }
            return false;
        };
        // A locator that does not know of an adoption yet would answer with zeros.
        if !self.adopting.is_empty() {
            return false;
        }
        let Some((page, _)) = self.victim(true) else { return false };
        self.offers.insert(page, to);
        self.send(to, Message::Offer { page }, out);
        true
    }

    /// The next page after the hand that may go: held for nobody, and with nothing under way.
    fn victim(&mut self, owned: bool) -> Option<(Page, Place)> {
        let total = self.local.len();
        for _ in 0..SWEEP.min(total) {
            self.hand = if self.hand.saturating_add(1) < total { self.hand.saturating_add(1) } else { 0 };
            let index = self.hand;
            let fits = self.local.right(index).is_some()
                && self.local.has(index, FRAME)
                && self.local.has(index, OWNER) == owned
                && !self.local.has(index, ACTIVE);
            let Some(page) = self.layout.page(index).filter(|_| fits) else { continue };
            let held = self.waiters.held_until(page, Right::Write, self.now, self.token_holder()).is_some();
            if let Some(place) = self.layout.place(page)
                && !held
                && !self.offers.contains_key(&page)
            {
                return Some((page, place));
            }
        }
        None
    }

    fn roomiest(&self) -> Option<Member> {
        let all = (0_u8..).zip(&self.rooms).filter(|(member, room)| Member(*member) != self.me && **room > 0);
        all.max_by_key(|(_, room)| **room).map(|(member, _)| Member(member))
    }

    pub(crate) fn on_offer(&mut self, from: Member, page: Page, place: Place, out: &mut Vec<Effect>) {
        let busy = self.local.has(place.index, ACTIVE) || self.local.has(place.index, OWNER);
        if busy || self.spare() == 0 || !self.starved.is_empty() {
            return self.send(from, Message::Decline { page }, out);
        }
        self.ask_for_nobody(page, place, Right::Write, false, out);
    }

    pub(crate) fn on_decline(&mut self, from: Member, page: Page) {
        if self.offers.get(&page) == Some(&from) {
            self.offers.remove(&page);
        } else {
            // The page went another way meanwhile.
            count(&mut self.counters.overtaken);
        }
    }

    /// A page goes away: it needs no other place any more.
    pub(crate) fn no_longer_offered(&mut self, page: Page) {
        if self.offers.remove(&page).is_some() {
            count(&mut self.counters.returned);
        }
    }
}
