//! The locator of a page: knows owner and copies, and serves one request after another.
//!
//! ```text
//!   idle ──Get──▶ busy (Fetch, Invalidate, Grant sent) ──Done──▶ next request, or idle
//! ```
//! Owner, copies and version change when a request is served; nobody can see it before `Done`, since the page is
//! busy until then.

use alloc::vec::Vec;

use crate::codec::Message;
use crate::counters::count;
use crate::directory::{Admit, Entry, Pending};
use crate::effect::{Cause, Effect};
use crate::engine::Engine;
use crate::layout::Place;
use crate::local::{FRAME, MAPPED, OWNER};
use crate::types::{Member, Members, Page, Right};

/// Most pages in one [`Message::Adopt`].
const ADOPT_PAGES: u32 = 4096;

impl Engine {
    pub(crate) fn on_get(&mut self, from: Member, message: &Message, place: Place, out: &mut Vec<Effect>) {
        let Message::Get { page, right, base, have, urgent, prefetch } = *message else { return };
        if self.home.transfers() >= self.limits.records {
            return self.stop_for(Cause::Flooded, out);
        }
        let get = Pending { from, right, base, have, urgent, prefetch };
        match self.home.admit(page, get) {
            Admit::Serve => self.serve(page, place, get, out),
            Admit::Queued => {}
            Admit::Refuse => self.send(from, Message::Refuse { page }, out),
            Admit::Twice => self.impossible(),
        }
    }

    /// `unwritten`: the former owner had been given the page to write and only read it.
    pub(crate) fn on_done(
        &mut self,
        from: Member,
        page: Page,
        unwritten: bool,
        place: Place,
        out: &mut Vec<Effect>,
    ) {
        let done = self.home.done(page, from);
        if unwritten && done.is_ok() {
            let entry = self.home.entry(place.home_index);
            self.home.set(place.home_index, Entry { migratory: false, ..entry });
        }
        match done {
            Ok(Some(next)) => self.serve(page, place, next, out),
            Ok(None) => {}
            Err(()) => self.impossible(),
        }
    }

    fn serve(&mut self, page: Page, place: Place, get: Pending, out: &mut Vec<Effect>) {
        let entry = self.home.entry(place.home_index);
        let alone = entry.owner.is_some_and(|owner| entry.copies == Members::only(owner));
        match get.right {
            // A reader that will write next saves its second request.
            Right::Read if entry.migratory && alone && !get.prefetch && entry.owner != Some(get.from) => {
                count(&mut self.counters.migrated);
                self.serve_write(page, place, get, out);
            }
            Right::Read => self.serve_read(page, place, get, out),
            Right::Write => self.serve_write(page, place, get, out),
        }
    }

    fn serve_read(&mut self, page: Page, place: Place, get: Pending, out: &mut Vec<Effect>) {
        let entry = self.home.entry(place.home_index);
        let version = entry.version;
        // An owner has its page: it never asks to read it.
        if entry.owner == Some(get.from) {
            self.impossible();
            return self.on_done(get.from, page, false, place, out);
        }
        self.home.set(place.home_index, Entry { copies: entry.copies.with(get.from), ..entry });
        match entry.owner {
            Some(owner) => self.send(
                owner,
                Message::Fetch {
                    page,
                    right: Right::Read,
                    requester: get.from,
                    version,
                    base: get.base,
                    acks: 0,
                    urgent: get.urgent,
                },
                out,
            ),
            None => {
                let grant = Message::Grant { page, right: Right::Read, version, acks: 0, zero: true };
                self.send(get.from, grant, out);
            }
        }
    }

    fn serve_write(&mut self, page: Page, place: Place, get: Pending, out: &mut Vec<Effect>) {
        let entry = self.home.entry(place.home_index);
        let (version, requester) = (entry.version, get.from);
        // A copy that the requester had when it asked is valid if no transfer since then took it away.
        let upgrade = entry.owner == Some(requester) || (get.have && entry.copies.has(requester));
        let source = entry.owner.filter(|_| !upgrade);
        let others = entry.copies.without(requester);
        let sharers = source.map_or(others, |owner| others.without(owner));
        let acks = sharers.count();
        for sharer in sharers.iter() {
            self.send(sharer, Message::Invalidate { page, requester, version, urgent: get.urgent }, out);
        }
        let right = Right::Write;
        match source {
            Some(owner) => {
                let (base, urgent) = (get.base, get.urgent);
                self.send(owner, Message::Fetch { page, right, requester, version, base, acks, urgent }, out);
            }
            None => {
                let zero = entry.owner.is_none();
                self.send(requester, Message::Grant { page, right, version, acks, zero }, out);
            }
        }
        if let Some(from) = entry.owner.filter(|owner| *owner != requester) {
            self.note_move(page, from, requester, out);
        }
        let owner = Some(requester);
        // Cox and Fowler, Stenström and others, ISCA 1993: a reader turns writer, and the only other copy is that of
        // the writer before it. Pages that came into being while the guest ran are taken for such until they are only
        // read; those that the loader filled, for the contrary: they are the kernel's text, mostly.
        let migratory = match entry.owner {
            Some(before) if upgrade => {
                before != requester && entry.copies == Members::only(before).with(requester)
            }
            Some(_) => entry.migratory,
            None => true,
        };
        let version = version.wrapping_add(1);
        let next = Entry { owner, copies: Members::only(requester), version, migratory };
        self.home.set(place.home_index, next);
    }

    /// Before the start: the loader put contents into the frame of a page here. The guest may start after
    /// [`Effect::Ready`], which follows the last adoption's confirmation. Consecutive pages are best adopted by
    /// one call.
    pub fn adopt(&mut self, first: Page, pages: u32, out: &mut Vec<Effect>) {
        let mut left = pages;
        let mut page = first;
        while left > 0 {
            let Some(place) = self.layout.place(page) else { return };
            // One message for each stretch with one locator.
            let mut run = 0;
            let mut at = page;
            while run < left.min(ADOPT_PAGES)
                && let Some(here) = self.layout.place(at).filter(|here| here.locator == place.locator)
            {
                self.local.set_right(here.index, Some(Right::Write));
                self.local.set(here.index, OWNER, true);
                self.local.set(here.index, FRAME, true);
                self.local.set(here.index, MAPPED, false);
                run = run.saturating_add(1);
                at = Page(at.0.saturating_add(1));
            }
            self.adopting.insert(page);
            self.send(place.locator, Message::Adopt { page, count: run }, out);
            left = left.saturating_sub(run);
            page = at;
        }
        self.settle(out);
    }

    pub(crate) fn on_adopt(&mut self, from: Member, page: Page, count: u32, out: &mut Vec<Effect>) {
        for offset in 0..count.min(ADOPT_PAGES) {
            let at = Page(page.0.saturating_add(u64::from(offset)));
            let Some(place) = self.layout.place(at).filter(|place| place.locator == self.me) else {
                return self.impossible();
            };
            let entry = self.home.entry(place.home_index);
            if entry.owner.is_some() || entry.copies != Members::NONE || self.home.is_busy(at) {
                return self.stop_for(Cause::AdoptedTwice(at), out);
            }
            let next = Entry { owner: Some(from), copies: Members::only(from), version: 1, migratory: false };
            self.home.set(place.home_index, next);
        }
        self.send(from, Message::Adopted { page }, out);
    }

    pub(crate) fn on_adopted(&mut self, page: Page, out: &mut Vec<Effect>) {
        if !self.adopting.remove(&page) {
            self.impossible();
        } else if self.adopting.is_empty() {
            out.push(Effect::Ready);
        }
    }
}
