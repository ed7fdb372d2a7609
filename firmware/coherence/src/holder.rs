//! Who has a page that somebody else wants: gives it away, in this order.
//!
//! ```text
//!   asked (Fetch, Invalidate) ──▶ deferred while an instruction holds the page ──▶ flushing
//!        ──flushed──▶ Ack, or Data ──(write)──▶ sent, the frame kept ──Taken──▶ gone
//! ```
//! Nothing is acknowledged or sent before `flushed`. The frame of a page that was sent away stays until
//! `Taken`; then its old contents may be kept as a base.

use alloc::vec::Vec;

use crate::codec::Message;
use crate::counters::count;
use crate::effect::{Cause, Effect, Payload};
use crate::engine::Engine;
use crate::layout::Place;
use crate::local::{EARLY, FRAME, MAPPED, OWNER, ZERO};
use crate::types::{Member, Page, Right, Ticket};

/// What is to be given away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum What {
    /// A copy to read; the right to write goes.
    Copy { to: Member, base: Option<u32> },
    /// The page.
    Page { to: Member, base: Option<u32>, acks: u8 },
    /// The copy here.
    Drop { tell: Member },
    /// The copy here, and nobody is told: its frame is needed, or it must not be the shared zeros any more.
    Leave,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Phase {
    /// An instruction holds the page, until then at the latest.
    Deferred { until: u64 },
    /// The guest's right is being flushed.
    Flushing,
    /// The page was sent and is not confirmed.
    Sent,
}

/// A page on its way from here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Take {
    pub(crate) what: What,
    version: u32,
    urgent: bool,
    /// It may be written here and was only read.
    unwritten: bool,
    pub(crate) phase: Phase,
}

impl What {
    /// What the taker will have: a reader leaves readers alone.
    fn right(self) -> Right {
        match self {
            Self::Copy { .. } => Right::Read,
            Self::Page { .. } | Self::Drop { .. } | Self::Leave => Right::Write,
        }
    }
}

impl Engine {
    pub(crate) fn on_forward(&mut self, message: &Message, place: Place, out: &mut Vec<Effect>) {
        let (page, what, version, urgent) = match *message {
            Message::Fetch { page, right: Right::Read, requester: to, version, base, urgent, .. } => {
                (page, What::Copy { to, base }, version, urgent)
            }
            Message::Fetch { page, right: Right::Write, requester: to, version, base, acks, urgent } => {
                (page, What::Page { to, base, acks }, version, urgent)
            }
            Message::Invalidate { page, requester: tell, version, urgent } => {
                (page, What::Drop { tell }, version, urgent)
            }
            Message::Get { .. }
            | Message::Adopt { .. }
            | Message::Offer { .. }
            | Message::TokenAsk
            | Message::Again { .. }
            | Message::Data { .. }
            | Message::Grant { .. }
            | Message::Ack { .. }
            | Message::Done { .. }
            | Message::Taken { .. }
            | Message::Refuse { .. }
            | Message::Decline { .. }
            | Message::Adopted { .. }
            | Message::Urge { .. }
            | Message::Token
            | Message::TokenBack => return,
        };
        if let Some(old) = self.take(page) {
            // A copy that leaves anyway leaves for the one who asks.
            if old.what == What::Leave && matches!(what, What::Drop { .. }) {
                (old.what, old.version) = (what, version);
                return;
            }
            return self.stop_for(Cause::NotOwner(page), out);
        }
        match what {
            What::Drop { tell } if self.local.right(place.index).is_none() => {
                // The copy was dropped before, and the locator does not know.
                return self.send(tell, Message::Ack { page, version }, out);
            }
            What::Drop { .. } | What::Leave => {}
            What::Copy { .. } | What::Page { .. } => {
                if !self.local.has(place.index, OWNER) {
                    return self.stop_for(Cause::NotOwner(page), out);
                }
            }
        }
        if self.active.len() >= self.limits.records {
            return self.stop_for(Cause::Flooded, out);
        }
        self.active(page, place).take =
            Some(Take { what, version, urgent, unwritten: false, phase: Phase::Flushing });
        self.begin(page, place, out);
    }

    /// Drops a copy that nobody asked for. The page is no owner's and has no transfer under way from here.
    pub(crate) fn leave(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        let take =
            Take { what: What::Leave, version: 0, urgent: true, unwritten: false, phase: Phase::Flushing };
        self.active(page, place).take = Some(take);
        if self.local.has(place.index, FRAME) {
            self.leaving.insert(page);
        }
        self.flush(page, place, out);
    }

    /// Defers the taking, or starts the flush, or ends it where nothing is to be flushed.
    fn begin(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        let Some(take) = self.active.get(&page).and_then(|active| active.take) else { return };
        let right = take.what.right();
        let harmless = right == Right::Read && self.local.right(place.index) == Some(Right::Read);
        if let Some(until) = self.defer_until(page, &take).filter(|_| !harmless) {
            count(&mut self.counters.deferred);
            self.deferred.insert((until, page));
            self.set_phase(page, Phase::Deferred { until });
            return;
        }
        self.flush(page, place, out);
    }

    fn set_phase(&mut self, page: Page, phase: Phase) {
        if let Some(take) = self.take(page) {
            take.phase = phase;
        }
    }

    /// Until when an instruction here may keep the page against this taking.
    fn defer_until(&self, page: Page, take: &Take) -> Option<u64> {
        let waits = self.active.get(&page).is_some_and(|active| active.request.is_some());
        if take.urgent || waits {
            return None;
        }
        self.waiters.held_until(page, take.what.right(), self.now, self.token_holder())
    }

    /// Something changed for a page: a deferred taking may go on.
    pub(crate) fn reconsider(&mut self, page: Page, out: &mut Vec<Effect>) {
        let Some(take) = self.active.get(&page).and_then(|active| active.take) else { return };
        let Phase::Deferred { until } = take.phase else { return };
        let Some(place) = self.layout.place(page) else { return };
        // A later hold never makes the taker wait longer.
        let still = self.defer_until(page, &take).map(|later| later.min(until)).filter(|end| *end > self.now);
        self.deferred.remove(&(until, page));
        match still {
            Some(until) => {
                self.deferred.insert((until, page));
                self.set_phase(page, Phase::Deferred { until });
            }
            None => self.flush(page, place, out),
        }
    }

    /// Takings that waited long enough.
    pub(crate) fn expire(&mut self, out: &mut Vec<Effect>) {
        while let Some((until, page)) = self.deferred.first().copied().filter(|(until, _)| *until <= self.now)
        {
            self.deferred.remove(&(until, page));
            if let Some(place) = self.layout.place(page) {
                self.flush(page, place, out);
            }
        }
    }

    fn flush(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        let unwritten = self.local.is_unwritten(place.index);
        let Some(take) = self.take(page) else { return };
        take.phase = Phase::Flushing;
        take.unwritten = unwritten;
        let take = *take;
        let right = take.what.right();
        let broken = self.waiters.lose(page, right);
        if !broken.is_empty() {
            count(&mut self.counters.broken);
        }
        for (waiter, failures) in broken {
            if failures >= self.limits.failures
                && self.token_holder().is_none_or(|(holder, _)| holder != waiter)
            {
                self.want_token(waiter, out);
            }
        }
        let mapped = self.local.has(place.index, MAPPED);
        let writes = self.local.right(place.index) == Some(Right::Write) && !unwritten;
        let ticket = Ticket(page.0);
        match right {
            Right::Read => {
                self.local.set_right(place.index, Some(Right::Read));
                if mapped && writes {
                    out.push(Effect::ProtectGuest { page, ticket });
                    return;
                }
            }
            Right::Write => {
                self.local.set_right(place.index, None);
                self.local.set(place.index, MAPPED, false);
                self.local.set(place.index, EARLY, false);
                if mapped {
                    out.push(Effect::UnmapGuest { page, ticket });
                    return;
                }
            }
        }
        self.give(page, place, take, out);
    }

    pub(crate) fn flush_done(&mut self, page: Page, out: &mut Vec<Effect>) {
        let take = self.active.get(&page).and_then(|active| active.take);
        let (Some(place), Some(take)) = (self.layout.place(page), take) else {
            return self.impossible();
        };
        if take.phase != Phase::Flushing {
            return self.impossible();
        }
        self.give(page, place, take, out);
    }

    /// The guest here has lost the right: now it can be given.
    fn give(&mut self, page: Page, place: Place, take: Take, out: &mut Vec<Effect>) {
        let version = take.version;
        self.leaving.remove(&page);
        match take.what {
            What::Copy { to, base } => {
                let data = Message::Data { page, right: Right::Read, version, acks: 0, unwritten: false };
                self.send_with(to, data, Some(self.payload(page, base)), out);
                self.end(page, place, out);
            }
            What::Page { to, base, acks } => {
                let unwritten = take.unwritten;
                let data = Message::Data { page, right: Right::Write, version, acks, unwritten };
                self.send_with(to, data, Some(self.payload(page, base)), out);
                self.drop_twin(page, out);
                self.local.set(place.index, OWNER, false);
                self.no_longer_offered(page);
                count(&mut self.counters.lost);
                self.set_phase(page, Phase::Sent);
            }
            What::Drop { tell } => {
                self.local.set(place.index, OWNER, false);
                self.drop_twin(page, out);
                self.no_longer_offered(page);
                self.keep_base(page, place, version, out);
                count(&mut self.counters.lost);
                self.send(tell, Message::Ack { page, version }, out);
                self.end(page, place, out);
            }
            What::Leave => {
                if self.local.has(place.index, ZERO) {
                    self.local.set(place.index, ZERO, false);
                    out.push(Effect::DropFrame { page });
                }
                self.drop_frame(page, place, out);
                self.end(page, place, out);
            }
        }
    }

    /// How to build the page for somebody who has old contents.
    fn payload(&self, page: Page, base: Option<u32>) -> Payload {
        Payload { page, base: base.filter(|base| self.twins.get(page) == Some(*base)) }
    }

    fn drop_twin(&mut self, page: Page, out: &mut Vec<Effect>) {
        if self.twins.remove(page).is_some() {
            out.push(Effect::DropTwin { page });
        }
    }

    fn end(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        if let Some(active) = self.active.get_mut(&page) {
            active.take = None;
        }
        self.try_send(page, place, out);
        self.tidy(page, place);
    }

    /// The frame of a page that is elsewhere now: its contents may be useful, or a request needs it.
    pub(crate) fn keep_base(&mut self, page: Page, place: Place, version: u32, out: &mut Vec<Effect>) {
        if self.local.has(place.index, ZERO) {
            self.local.set(place.index, ZERO, false);
            out.push(Effect::DropFrame { page });
            self.promise(page);
            return;
        }
        if !self.local.has(place.index, FRAME) {
            return;
        }
        // A request that was sent while the copy was valid gets its contents into this frame.
        if let Some(request) = self.request(page).filter(|request| request.sent) {
            request.base = Some(version);
            return;
        }
        if let Some(gone) = self.bases.insert(page, version)
            && let Some(place) = self.layout.place(gone)
        {
            self.drop_frame(gone, place, out);
        }
    }

    /// A request that was sent for a page without a frame of its own has one promised.
    fn promise(&mut self, page: Page) {
        if let Some(request) = self.request(page).filter(|request| request.sent && !request.reserved) {
            request.reserved = true;
            self.reserved = self.reserved.saturating_add(1);
        }
    }

    pub(crate) fn on_taken(&mut self, page: Page, version: u32, place: Place, out: &mut Vec<Effect>) {
        let fits = |take: &&mut Take| take.phase == Phase::Sent && take.version == version;
        if self.take(page).filter(fits).is_none() {
            return count(&mut self.counters.overtaken);
        }
        self.keep_base(page, place, version, out);
        self.end(page, place, out);
    }

    /// An answer for a page that was sent away: the locator gave it only after the receiver's confirmation, which
    /// the message to this member has not outrun.
    pub(crate) fn confirmed_by_answer(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        if let Some(take) = self.active.get_mut(&page).and_then(|active| {
            let sent = active.take.filter(|take| take.phase == Phase::Sent);
            active.take = active.take.filter(|take| take.phase != Phase::Sent);
            sent
        }) {
            self.keep_base(page, place, take.version, out);
        }
    }

    /// The contents did not arrive well: all of them again.
    pub(crate) fn on_again(&mut self, from: Member, page: Page, place: Place, out: &mut Vec<Effect>) {
        let payload = Some(Payload { page, base: None });
        let sent =
            self.active.get(&page).and_then(|active| active.take).filter(|take| take.phase == Phase::Sent);
        match sent {
            Some(Take { what: What::Page { to, acks, .. }, version, unwritten, .. }) if to == from => {
                let data = Message::Data { page, right: Right::Write, version, acks, unwritten };
                self.send_with(from, data, payload, out);
            }
            Some(_) => self.impossible(),
            // A copy: the owner still has the page, since the locator lets nobody else at it.
            None if self.local.has(place.index, OWNER) && self.local.right(place.index).is_some() => {
                let data = Message::Data { page, right: Right::Read, version: 0, acks: 0, unwritten: false };
                self.send_with(from, data, payload, out);
            }
            None => self.impossible(),
        }
    }
}
