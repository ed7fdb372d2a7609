//! The requester of a page: from the wish to the mapped page.
//!
//! ```text
//!             ┌─ a frame is missing, or the page is just leaving
//!   unsent ───┴──▶ sent (Get) ──┬─ Data ──▶ installed ─┐
//!                               ├─ Grant ──────────────┼─ all Acks ──▶ mapped, waiters unparked, Done
//!                               └─ Refuse ──▶ forgotten, or asked again if somebody waits by now
//! ```
//! A request is not sent while the same page is being taken from here: its frame is in use until the
//! confirmation, and the locator would let the request wait anyway.

use alloc::vec::Vec;

use crate::codec::Message;
use crate::content::PAGE_BYTES;
use crate::counters::count;
use crate::effect::{Cause, Effect, Source};
use crate::engine::{Active, Engine};
use crate::layout::Place;
use crate::local::{EARLY, FRAME, MAPPED, OWNER, ZERO};
use crate::types::{Arrived, Member, Members, Page, Right, Waiter};

/// What the answer was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Answer {
    /// What was granted: a reader may get the page to write.
    right: Right,
    version: u32,
    acks: u8,
    /// Who sent the page, if anybody.
    source: Option<Member>,
    kind: Kind,
    /// The former owner only read it.
    unwritten: bool,
}

/// The class in which a fault is counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Zero,
    Upgrade,
    Diff,
    Whole,
}

/// A request of this member for one page.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Request {
    pub(crate) right: Right,
    pub(crate) sent: bool,
    pub(crate) parked: Vec<(Waiter, Right)>,
    /// Sent while nobody waited.
    pub(crate) prefetch: bool,
    pub(crate) urgent: bool,
    /// A frame is promised to it.
    pub(crate) reserved: bool,
    /// The page's frame holds these old contents, which nobody may drop now.
    pub(crate) base: Option<u32>,
    acks: Members,
    answer: Option<Answer>,
    again: bool,
    since: u64,
}

impl Request {
    fn new(right: Right, prefetch: bool, since: u64) -> Self {
        Self {
            right,
            sent: false,
            parked: Vec::new(),
            prefetch,
            urgent: false,
            reserved: false,
            base: None,
            acks: Members::NONE,
            answer: None,
            again: false,
            since,
        }
    }
}

impl Engine {
    /// A waiter's wish that the page here does not fulfil.
    pub(crate) fn demand(
        &mut self,
        waiter: Waiter,
        page: Page,
        place: Place,
        right: Right,
        out: &mut Vec<Effect>,
    ) {
        let now = self.now;
        let request = self.active(page, place).request.get_or_insert_with(|| Request::new(right, false, now));
        if !request.sent {
            request.right = request.right.max(right);
            if core::mem::take(&mut request.prefetch) {
                self.early = self.early.saturating_sub(1);
            }
        }
        let Some(request) = self.active.get_mut(&page).and_then(|active| active.request.as_mut()) else {
            return;
        };
        if request.prefetch && request.parked.is_empty() {
            count(&mut self.counters.prefetch_used);
        }
        match request.parked.iter_mut().find(|(other, _)| *other == waiter) {
            Some((_, wanted)) => *wanted = (*wanted).max(right),
            None => request.parked.push((waiter, right)),
        }
        // Holding a page for an instruction that now waits for the same page helps nobody.
        self.reconsider(page, out);
        self.try_send(page, place, out);
    }

    /// A request that no waiter stands behind. The page has no record yet.
    pub(crate) fn ask_for_nobody(
        &mut self,
        page: Page,
        place: Place,
        right: Right,
        prefetch: bool,
        out: &mut Vec<Effect>,
    ) {
        let request = Request::new(right, prefetch, self.now);
        self.active(page, place).request = Some(request);
        self.try_send(page, place, out);
    }

    /// An early request came to nothing.
    pub(crate) fn refused(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        let Some(old) = self.active.get_mut(&page).and_then(|active| active.request.take()) else { return };
        if old.reserved {
            self.reserved = self.reserved.saturating_sub(1);
        }
        if let Some(version) = old.base {
            self.keep_base(page, place, version, out);
        }
        if let Some(right) = old.parked.iter().map(|(_, right)| *right).max() {
            let mut next = Request::new(right, false, old.since);
            next.parked = old.parked;
            self.active(page, place).request = Some(next);
            self.try_send(page, place, out);
        }
        self.tidy(page, place);
    }

    /// A waiter asks for something else, or for nothing.
    pub(crate) fn leave_old(&mut self, waiter: Waiter) {
        if let Some(page) = self.waiters.unpark(waiter)
            && let Some(request) = self.request(page)
        {
            request.parked.retain(|(other, _)| *other != waiter);
        }
    }

    /// Sends the request for a page if it waits and nothing is in its way.
    pub(crate) fn try_send(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        let Some(Active { request: Some(request), take: None }) = self.active.get(&page) else { return };
        if request.sent {
            return;
        }
        // Every processor must forget the shared zeros before one of them writes elsewhere.
        if request.right == Right::Write && self.local.has(place.index, ZERO) {
            return self.leave(page, place, out);
        }
        let has_frame = self.local.has(place.index, FRAME);
        let urgent =
            self.token_holder().is_some_and(|(holder, _)| request.parked.iter().any(|(w, _)| *w == holder));
        if !has_frame && self.free_frames() == 0 {
            return self.starve(page);
        }
        if !has_frame {
            self.reserved = self.reserved.saturating_add(1);
        }
        let have = self.local.right(place.index).is_some();
        let base = if have { None } else { self.bases.remove(page) };
        let Some(request) = self.request(page) else { return };
        request.reserved = !has_frame;
        request.sent = true;
        request.urgent = urgent;
        request.base = base;
        let (right, prefetch) = (request.right, request.prefetch);
        self.send(place.locator, Message::Get { page, right, base, have, urgent, prefetch }, out);
    }

    pub(crate) fn on_grant(&mut self, message: &Message, place: Place, out: &mut Vec<Effect>) {
        let Message::Grant { page, right, version, acks, zero } = *message else { return };
        let here = self.local.right(place.index).is_some();
        let fits = |r: &&mut Request| r.sent && r.answer.is_none() && r.right == right;
        let Some(request) = self.request(page).filter(fits).filter(|_| here || zero) else {
            return self.impossible();
        };
        let kind = if zero { Kind::Zero } else { Kind::Upgrade };
        request.answer = Some(Answer { right, version, acks, source: None, kind, unwritten: false });
        self.confirmed_by_answer(page, place, out);
        if zero && !here {
            self.install(page, place, right, Source::Zero, out);
        }
        self.complete(page, place, out);
    }

    pub(crate) fn on_data(
        &mut self,
        from: Member,
        message: &Message,
        arrived: Arrived,
        place: Place,
        out: &mut Vec<Effect>,
    ) {
        let Message::Data { page, right, version, acks, unwritten } = *message else { return };
        let here = self.local.right(place.index).is_some();
        let fits = |r: &&mut Request| r.sent && r.answer.is_none() && r.right <= right;
        let Some(request) = self.request(page).filter(fits).filter(|_| !here) else {
            return self.impossible();
        };
        let usable = match arrived {
            Arrived::Zero | Arrived::Whole => true,
            Arrived::Diff { base } => request.base == Some(base),
            Arrived::Nothing | Arrived::Malformed => false,
        };
        let (Some(source), true) = (Source::of(arrived), usable) else {
            if core::mem::replace(&mut request.again, true) {
                return self.stop_for(Cause::NoContents(page), out);
            }
            count(&mut self.counters.again);
            return self.send(from, Message::Again { page }, out);
        };
        let kind = match source {
            Source::Zero | Source::SharedZero => Kind::Zero,
            Source::Diff => Kind::Diff,
            Source::Whole => Kind::Whole,
        };
        request.answer = Some(Answer { right, version, acks, source: Some(from), kind, unwritten });
        self.confirmed_by_answer(page, place, out);
        self.install(page, place, right, source, out);
        self.complete(page, place, out);
    }

    /// Puts contents into the page's frame: the one with old contents, or the one that was promised.
    fn install(&mut self, page: Page, place: Place, right: Right, source: Source, out: &mut Vec<Effect>) {
        let had = self.local.has(place.index, FRAME);
        if let Some(request) = self.request(page)
            && core::mem::take(&mut request.reserved)
        {
            self.reserved = self.reserved.saturating_sub(1);
        }
        if !had && source == Source::Zero && right == Right::Read {
            self.local.set(place.index, ZERO, true);
            out.push(Effect::Install { page, source: Source::SharedZero });
            return;
        }
        self.bases.remove(page);
        self.local.set(place.index, FRAME, true);
        self.local.set(place.index, ZERO, false);
        out.push(Effect::Install { page, source });
    }

    pub(crate) fn on_ack(
        &mut self,
        from: Member,
        page: Page,
        version: u32,
        place: Place,
        out: &mut Vec<Effect>,
    ) {
        let fits = |r: &&mut Request| {
            let awaited = r.answer.is_none_or(|a| a.version == version && r.acks.count() < a.acks);
            r.sent && r.right == Right::Write && !r.acks.has(from) && awaited
        };
        let Some(request) = self.request(page).filter(fits) else {
            return self.impossible();
        };
        request.acks = request.acks.with(from);
        self.complete(page, place, out);
    }

    /// Grants the page if everything has come.
    fn complete(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        let whole = |r: &&mut Request| r.answer.is_some_and(|a| r.acks.count() == a.acks);
        if self.request(page).filter(whole).is_none() {
            return;
        }
        let Some(request) = self.active.get_mut(&page).and_then(|active| active.request.take()) else {
            return;
        };
        let Some(answer) = request.answer else { return };
        if request.reserved {
            self.reserved = self.reserved.saturating_sub(1);
        }
        self.local.set_right(place.index, Some(answer.right));
        if answer.right == Right::Write {
            self.local.set(place.index, OWNER, true);
            self.make_twin(page, &request, answer, out);
            if request.parked.iter().map(|(_, right)| *right).max() == Some(Right::Read) {
                self.local.set_unwritten(place.index);
            }
        }
        let early = request.parked.is_empty();
        self.local.set(place.index, EARLY, early);
        if request.prefetch {
            self.early = self.early.saturating_sub(1);
        }
        // A page that is mapped to read must be mapped again, whoever waits.
        if !early || self.local.has(place.index, MAPPED) {
            self.local.set(place.index, MAPPED, false);
            self.map(page, place, out);
        }
        self.send(place.locator, Message::Done { page, unwritten: answer.unwritten }, out);
        if let Some(source) = answer.source.filter(|_| answer.right == Right::Write) {
            self.send(source, Message::Taken { page, version: answer.version }, out);
        }
        self.account(page, &request, answer, place);
        self.serve_parked(page, place, request, answer.right, out);
    }

    /// A twin is worth its frame when somebody has the contents that the page has now.
    fn make_twin(&mut self, page: Page, request: &Request, answer: Answer, out: &mut Vec<Effect>) {
        let known = request.base.is_some() || answer.acks > 0;
        if !known || (self.free_frames() == 0 && self.twins.get(page).is_none()) {
            if self.twins.remove(page).is_some() {
                out.push(Effect::DropTwin { page });
            }
            return;
        }
        match self.twins.insert(page, answer.version) {
            Some(gone) if gone == page => return,
            Some(gone) => out.push(Effect::DropTwin { page: gone }),
            None => {}
        }
        out.push(Effect::MakeTwin { page, version: answer.version });
    }

    fn serve_parked(
        &mut self,
        page: Page,
        place: Place,
        request: Request,
        granted: Right,
        out: &mut Vec<Effect>,
    ) {
        let mut left = Vec::new();
        for (waiter, right) in request.parked {
            if right <= granted {
                self.waiters.unpark(waiter);
                self.keep(waiter, page, right);
                out.push(Effect::Unpark { waiter });
            } else {
                left.push((waiter, right));
            }
        }
        if left.is_empty() {
            self.tidy(page, place);
            return;
        }
        let mut next = Request::new(Right::Write, false, request.since);
        next.parked = left;
        self.active(page, place).request = Some(next);
        self.try_send(page, place, out);
    }

    /// Messages one after another until the page was here.
    fn hops(&self, answer: Answer, place: Place) -> u64 {
        let there = u64::from(place.locator != self.me);
        let back = match answer.source {
            None => there,
            Some(source) if source == place.locator => 1,
            Some(_) => 2,
        };
        // An invalidation and its acknowledgement go beside the answer.
        let acks = if answer.acks > 0 { 2 } else { 0 };
        there + back.max(acks)
    }

    fn account(&mut self, page: Page, request: &Request, answer: Answer, place: Place) {
        let hops = self.hops(answer, place);
        let took = self.now.saturating_sub(request.since);
        let c = &mut self.counters;
        match answer.kind {
            Kind::Zero => count(&mut c.zero),
            Kind::Upgrade => count(&mut c.upgrade),
            Kind::Diff => count(&mut c.diff),
            Kind::Whole => {
                count(&mut c.whole);
                c.payload_received = c.payload_received.saturating_add(PAGE_BYTES as u64);
            }
        }
        // Nobody waited for it, or it cost no message: no remote fault.
        if request.parked.is_empty() {
            return;
        }
        if hops == 0 {
            return count(&mut c.own);
        }
        c.hops = c.hops.saturating_add(hops);
        self.hot.fault(page, request.right);
        match request.right {
            Right::Read => {
                count(&mut c.remote_read);
                c.read_latency.add(took);
            }
            Right::Write => {
                count(&mut c.remote_write);
                c.write_latency.add(took);
            }
        }
    }
}
