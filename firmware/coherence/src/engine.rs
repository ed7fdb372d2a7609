//! One member's engine: its state, what goes in, and where each message is handled.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use weft_platform::Access;
use weft_types::Epoch;

use crate::cache::Cache;
use crate::codec::{self, CONTROL_BYTES, Header, Message};
use crate::config::{Config, ConfigError, Limits, Range};
use crate::counters::{Counters, count};
use crate::directory::Directory;
use crate::effect::{Cause, Effect, Payload};
use crate::holder::Take;
use crate::hot::Hot;
use crate::layout::{Layout, Place};
use crate::local::{ACTIVE, EARLY, FRAME, Local, MAPPED};
use crate::requester::Request;
use crate::stream::Streams;
use crate::token::{KEEPER, Keeper, Token};
use crate::types::{Arrived, Member, Page, Right, Ticket, Waiter};
use crate::waiters::Waiters;

/// How often old contents are looked through, nanoseconds.
const AGE_NS: u64 = 3_600_000_000_000;
/// Most ranges of [`Engine::hint_local`].
const HINTS: usize = 64;

/// A wish for a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// Who.
    pub waiter: Waiter,
    /// Which.
    pub page: Page,
    /// For what.
    pub access: Access,
    /// It is for a walk of the guest's page tables; counted only.
    pub walk: bool,
}

/// What becomes of a wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The page is here and stays for this instruction; do it now.
    Held,
    /// Try again after [`Effect::Unpark`].
    Parked,
    /// No memory of the guest, or a waiter above the limit.
    Outside,
}

/// What is under way for one page.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Active {
    pub(crate) request: Option<Request>,
    pub(crate) take: Option<Take>,
}

/// One member's part in the coherence of one virtual server. Driven under one lock.
#[derive(Clone)]
pub struct Engine {
    pub(crate) me: Member,
    pub(crate) members: u8,
    pub(crate) epoch: Epoch,
    pub(crate) limits: Limits,
    pub(crate) now: u64,
    pub(crate) layout: Layout,
    pub(crate) local: Local,
    pub(crate) home: Directory,
    pub(crate) active: BTreeMap<Page, Active>,
    pub(crate) waiters: Waiters,
    /// Old contents, in frames of pages that are elsewhere now.
    pub(crate) bases: Cache,
    pub(crate) twins: Cache,
    /// When bases were last looked through, and what was there then.
    aged: (u64, u64),
    /// Pages that only this member uses, says the node.
    pub(crate) hints: Vec<(Page, u64)>,
    /// Frames promised to requests under way.
    pub(crate) reserved: u64,
    /// Frames that may be used in all.
    pub(crate) budget: u64,
    /// Requests that wait for a frame.
    pub(crate) starved: VecDeque<Page>,
    /// Copies that are dropped for their frames.
    pub(crate) leaving: BTreeSet<Page>,
    /// Owned pages offered to others.
    pub(crate) offers: BTreeMap<Page, Member>,
    /// Where the search for pages to give up stands.
    pub(crate) hand: usize,
    pub(crate) retry_ns: Option<u64>,
    /// What others said of their free frames.
    pub(crate) rooms: Vec<u8>,
    pub(crate) token: Token,
    pub(crate) keeper: Keeper,
    pub(crate) streams: Streams,
    /// Early requests under way.
    pub(crate) early: usize,
    pub(crate) hot: Hot,
    /// Takings that wait for an instruction, by their end.
    pub(crate) deferred: BTreeSet<(u64, Page)>,
    /// Messages to this member itself.
    loopback: VecDeque<Message>,
    /// Adoptions that a locator has not confirmed.
    pub(crate) adopting: BTreeSet<Page>,
    stopped: Option<Cause>,
    pub(crate) counters: Counters,
}

impl Engine {
    /// An engine of a member that has no page yet: all pages are zero and with their locator.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let layout = Layout::new(&config.ranges);
        let limits = config.limits;
        Ok(Self {
            me: config.me,
            members: config.members,
            epoch: config.epoch,
            limits,
            now: 0,
            local: Local::new(layout.total()),
            home: Directory::new(layout.located_at(config.me)),
            layout,
            active: BTreeMap::new(),
            waiters: Waiters::new(limits.waiters, limits.holds),
            bases: Cache::new(limits.bases),
            twins: Cache::new(limits.twins),
            aged: (0, 0),
            hints: Vec::new(),
            reserved: 0,
            budget: limits.frames,
            starved: VecDeque::new(),
            leaving: BTreeSet::new(),
            offers: BTreeMap::new(),
            hand: 0,
            retry_ns: None,
            rooms: alloc::vec![1; usize::from(config.members)],
            token: Token::None,
            keeper: Keeper::default(),
            streams: Streams::default(),
            early: 0,
            hot: Hot::default(),
            deferred: BTreeSet::new(),
            loopback: VecDeque::new(),
            adopting: BTreeSet::new(),
            stopped: None,
            counters: Counters::default(),
        })
    }

    /// A waiter wants a page. On [`Wanted::Held`] the page is mapped for the guest and is kept for the waiter
    /// until [`Engine::retired`], bounded in time.
    pub fn want(&mut self, now_ns: u64, want: Want, out: &mut Vec<Effect>) -> Wanted {
        self.at(now_ns);
        let Some(place) = self.layout.place(want.page).filter(|_| self.waiters.admits(want.waiter)) else {
            return Wanted::Outside;
        };
        if self.stopped.is_some() {
            return Wanted::Parked;
        }
        let right = self.asked_right(&want);
        if self.local.right(place.index) >= Some(right) {
            count(&mut self.counters.local);
            if right == Right::Write {
                self.written(place);
            }
            self.map(want.page, place, out);
            self.leave_old(want.waiter);
            self.keep(want.waiter, want.page, right);
            if self.local.has(place.index, EARLY) {
                self.local.set(place.index, EARLY, false);
                count(&mut self.counters.prefetch_used);
                self.look_ahead(want.page, right, out);
                self.settle(out);
            }
            return Wanted::Held;
        }
        if want.walk {
            count(&mut self.counters.walk);
        }
        self.leave_old(want.waiter);
        self.waiters.park(want.waiter, want.page);
        self.demand(want.waiter, want.page, place, right, out);
        self.look_ahead(want.page, right, out);
        self.settle(out);
        Wanted::Parked
    }

    /// Only this member uses these pages: reading one asks for the right to write as well, so that the first write
    /// needs no second transfer. A hint that is wrong costs time and nothing else. `false`: too many hints.
    pub fn hint_local(&mut self, first: Page, pages: u64) -> bool {
        let room = self.hints.len() < HINTS;
        if room {
            self.hints.push((first, pages));
        }
        room
    }

    fn asked_right(&self, want: &Want) -> Right {
        let hinted =
            |(first, pages): &(Page, u64)| want.page.0.checked_sub(first.0).is_some_and(|n| n < *pages);
        let here = self.right(want.page).is_some();
        if !here && self.hints.iter().any(hinted) { Right::Write } else { Right::from(want.access) }
    }

    /// The instruction (or the operation of a device) for which pages were held is done.
    pub fn retired(&mut self, now_ns: u64, waiter: Waiter, out: &mut Vec<Effect>) {
        self.at(now_ns);
        if self.stopped.is_some() {
            return;
        }
        for page in self.waiters.retire(waiter, self.now) {
            self.reconsider(page, out);
        }
        if self.token_holder().is_some_and(|(holder, _)| holder == waiter) {
            self.give_token_back(out);
        }
        self.settle(out);
    }

    /// A message came. `arrived` is what [`crate::content::arrived`] says of the bytes beside it.
    pub fn message(
        &mut self,
        now_ns: u64,
        from: Member,
        control: &[u8],
        arrived: Arrived,
        out: &mut Vec<Effect>,
    ) {
        self.at(now_ns);
        if self.stopped.is_some() {
            return;
        }
        let Ok((header, message)) = codec::decode(control) else {
            return count(&mut self.counters.malformed);
        };
        if from.0 >= self.members || from == self.me {
            return count(&mut self.counters.malformed);
        }
        if !header.is_of(self.epoch) {
            return count(&mut self.counters.other_epoch);
        }
        count(&mut self.counters.received);
        if let Some(room) = self.rooms.get_mut(usize::from(from.0)) {
            *room = header.room;
        }
        self.dispatch(from, message, arrived, out);
        self.settle(out);
    }

    /// The flush that an effect asked for is done on all processors.
    pub fn flushed(&mut self, now_ns: u64, ticket: Ticket, out: &mut Vec<Effect>) {
        self.at(now_ns);
        if self.stopped.is_some() {
            return;
        }
        self.flush_done(Page(ticket.0), out);
        self.settle(out);
    }

    /// Time passed. Called at [`Engine::next_ns`], or now and then.
    pub fn tick(&mut self, now_ns: u64, out: &mut Vec<Effect>) {
        self.at(now_ns);
        if self.stopped.is_some() {
            return;
        }
        self.expire(out);
        if self.token_holder().is_some_and(|(_, until)| until <= self.now) {
            self.give_token_back(out);
        }
        self.settle(out);
    }

    /// When [`Engine::tick`] has something to do.
    pub fn next_ns(&self) -> Option<u64> {
        if self.stopped.is_some() {
            return None;
        }
        let deferred = self.deferred.first().map(|(until, _)| *until);
        let token = self.token_holder().map(|(_, until)| until);
        [deferred, token, self.retry_ns].into_iter().flatten().min()
    }

    /// A member is out of the membership of this epoch.
    pub fn member_lost(&mut self, member: Member, out: &mut Vec<Effect>) {
        self.stop_for(Cause::MemberLost(member), out);
    }

    /// Ends the engine's work.
    pub fn stop(&mut self, out: &mut Vec<Effect>) {
        self.stop_for(Cause::Asked, out);
    }

    /// Why the engine stopped, if it did.
    pub fn stopped(&self) -> Option<Cause> {
        self.stopped
    }

    /// Counts since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The node sent a payload of that many bytes.
    pub fn add_payload(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.counters.payload_sent = self.counters.payload_sent.saturating_add(bytes);
    }

    /// What this member may do with a page.
    pub fn right(&self, page: Page) -> Option<Right> {
        self.local.right(self.layout.place(page)?.index)
    }

    /// Whether the guest reaches the page here.
    pub fn is_mapped(&self, page: Page) -> bool {
        self.layout.place(page).is_some_and(|place| self.local.has(place.index, MAPPED))
    }

    /// Frames in use: pages, old contents, twins, and those promised to requests.
    pub fn frames_used(&self) -> u64 {
        let twins = u64::try_from(self.twins.len()).unwrap_or(u64::MAX);
        self.local.frames().saturating_add(twins).saturating_add(self.reserved)
    }

    /// Pages that this member may write, and pages that it may only read.
    pub fn rights(&self) -> (u64, u64) {
        (self.local.writable(), self.local.readable())
    }

    /// Guest memory that this member locates.
    pub fn located(&self) -> impl Iterator<Item = Range> + '_ {
        self.layout.ranges().filter(|range| range.locator == self.me)
    }

    /// Whether nothing is under way: no request, no taking, no transfer of a page located here.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty()
            && self.home.transfers() == 0
            && self.adopting.is_empty()
            && self.offers.is_empty()
            && self.token_is_idle()
    }

    /// Records of transfers under way in which this member takes part, bounded by [`Limits::records`].
    pub fn records(&self) -> usize {
        self.active.len().saturating_add(self.home.transfers()).saturating_add(self.offers.len())
    }

    /// Waiters that are parked.
    pub fn parked(&self) -> usize {
        self.waiters.parked()
    }
}

/// Engines are equal when they will do the same from now on. Counts are not part of that; a model checker relies
/// on it to see that it has been somewhere before.
impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        self.transfers() == other.transfers() && self.rest() == other.rest()
    }
}

impl Eq for Engine {}

impl Hash for Engine {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.transfers().hash(state);
        self.rest().hash(state);
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("me", &self.me).field("active", &self.active).finish_non_exhaustive()
    }
}

impl Engine {
    fn transfers(&self) -> impl Hash + Eq + '_ {
        let memory = (&self.local, &self.home, &self.active, &self.waiters, &self.bases, &self.twins);
        (memory, &self.deferred, &self.loopback, &self.adopting, self.stopped, self.now)
    }

    fn rest(&self) -> impl Hash + Eq + '_ {
        let frames = (self.reserved, self.budget, &self.starved, &self.leaving, &self.offers, self.hand);
        (frames, self.retry_ns, &self.rooms, self.token, &self.keeper, &self.streams, self.early)
    }
}

/// What the parts of the engine share.
impl Engine {
    /// Time never runs backwards here, whatever the caller's clock does.
    pub(crate) fn at(&mut self, now_ns: u64) {
        self.now = self.now.max(now_ns);
    }

    pub(crate) fn stop_for(&mut self, cause: Cause, out: &mut Vec<Effect>) {
        if self.stopped.is_none() {
            self.stopped = Some(cause);
            self.loopback.clear();
            out.push(Effect::Stop { cause });
        }
    }

    /// Ends every call: what this member tells itself is handled at once.
    pub(crate) fn settle(&mut self, out: &mut Vec<Effect>) {
        loop {
            while let Some(message) = self.loopback.pop_front() {
                self.dispatch(self.me, message, Arrived::Nothing, out);
            }
            if self.stopped.is_some() {
                return;
            }
            self.age_bases(out);
            self.reclaim(out);
            if self.loopback.is_empty() {
                return;
            }
        }
    }

    /// Versions are 32 bits: contents older than two hours are not named any more, long before one comes again.
    fn age_bases(&mut self, out: &mut Vec<Effect>) {
        let (last, mark) = self.aged;
        if self.now.saturating_sub(last) < AGE_NS {
            return;
        }
        while let Some(page) = self.bases.pop_before(mark) {
            if let Some(place) = self.layout.place(page) {
                self.drop_frame(page, place, out);
            }
        }
        self.aged = (self.now, self.bases.mark());
    }

    pub(crate) fn send(&mut self, to: Member, message: Message, out: &mut Vec<Effect>) {
        self.send_with(to, message, None, out);
    }

    pub(crate) fn send_with(
        &mut self,
        to: Member,
        message: Message,
        page: Option<Payload>,
        out: &mut Vec<Effect>,
    ) {
        if to == self.me {
            self.loopback.push_back(message);
            return;
        }
        let c = &mut self.counters;
        count(&mut c.sent);
        c.control_bytes = c.control_bytes.saturating_add(CONTROL_BYTES as u64);
        if page.is_some() {
            count(&mut c.pages_sent);
        }
        let control = codec::encode(&Header::new(self.epoch, self.room()), &message);
        out.push(Effect::Send { to, class: message.class(), control, page });
    }

    pub(crate) fn impossible(&mut self) {
        count(&mut self.counters.impossible);
    }

    /// Keeps a page for a waiter's instruction, from now on.
    pub(crate) fn keep(&mut self, waiter: Waiter, page: Page, right: Right) {
        let least = self.now.saturating_add(self.limits.hold_least_ns);
        let until = self.now.saturating_add(self.limits.hold_ns);
        self.waiters.hold(waiter, page, right, least, until);
    }

    /// Maps a page that is here for the guest.
    pub(crate) fn map(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        if !self.local.has(place.index, MAPPED) {
            self.local.set(place.index, MAPPED, true);
            let write =
                self.local.right(place.index) == Some(Right::Write) && !self.local.is_unwritten(place.index);
            out.push(Effect::MapGuest { page, write });
        }
    }

    /// Somebody here writes a page that may be written.
    pub(crate) fn written(&mut self, place: Place) {
        if self.local.is_unwritten(place.index) {
            count(&mut self.counters.migrated_written);
            self.local.set_right(place.index, Some(Right::Write));
            self.local.set(place.index, MAPPED, false);
        }
    }

    /// The record of a page, made if there is none.
    pub(crate) fn active(&mut self, page: Page, place: Place) -> &mut Active {
        self.local.set(place.index, ACTIVE, true);
        self.active.entry(page).or_default()
    }

    /// Forgets the record of a page when it is empty.
    pub(crate) fn tidy(&mut self, page: Page, place: Place) {
        if self.active.get(&page).is_some_and(|active| active.request.is_none() && active.take.is_none()) {
            self.active.remove(&page);
            self.local.set(place.index, ACTIVE, false);
        }
    }

    pub(crate) fn request(&mut self, page: Page) -> Option<&mut Request> {
        self.active.get_mut(&page)?.request.as_mut()
    }

    pub(crate) fn take(&mut self, page: Page) -> Option<&mut Take> {
        self.active.get_mut(&page)?.take.as_mut()
    }

    pub(crate) fn drop_frame(&mut self, page: Page, place: Place, out: &mut Vec<Effect>) {
        if self.local.has(place.index, FRAME) {
            self.local.set(place.index, FRAME, false);
            out.push(Effect::DropFrame { page });
        }
    }

    fn dispatch(&mut self, from: Member, message: Message, arrived: Arrived, out: &mut Vec<Effect>) {
        if self.stopped.is_some() {
            return;
        }
        let place = match message.page() {
            None => return self.dispatch_token(from, message, arrived, out),
            Some(page) => match self.layout.place(page) {
                Some(place) => place,
                None => return count(&mut self.counters.malformed),
            },
        };
        let carries = matches!(message, Message::Data { .. });
        if carries == (arrived == Arrived::Nothing) || !self.may_send(from, &message, place) {
            return self.impossible();
        }
        match message {
            Message::Get { .. } => self.on_get(from, &message, place, out),
            Message::Urge { page } => self.home.urge(page, from),
            Message::Adopt { page, count } => self.on_adopt(from, page, count, out),
            Message::Fetch { .. } | Message::Invalidate { .. } => self.on_forward(&message, place, out),
            Message::Data { .. } => self.on_data(from, &message, arrived, place, out),
            Message::Grant { .. } => self.on_grant(&message, place, out),
            Message::Ack { page, version } => self.on_ack(from, page, version, place, out),
            Message::Done { page, unwritten } => self.on_done(from, page, unwritten, place, out),
            Message::Taken { page, version } => self.on_taken(page, version, place, out),
            Message::Again { page } => self.on_again(from, page, place, out),
            Message::Adopted { page } => self.on_adopted(page, out),
            Message::Refuse { .. } => self.on_refuse(&message, place, out),
            Message::Offer { page } => self.on_offer(from, page, place, out),
            Message::Decline { page } => self.on_decline(from, page),
            Message::TokenAsk | Message::Token | Message::TokenBack => {}
        }
    }

    fn dispatch_token(&mut self, from: Member, message: Message, arrived: Arrived, out: &mut Vec<Effect>) {
        let keeper = self.me == KEEPER;
        match message {
            _ if arrived != Arrived::Nothing => self.impossible(),
            Message::TokenAsk if keeper => self.on_token_ask(from, out),
            Message::TokenBack if keeper => self.on_token_back(from, out),
            Message::Token if from == KEEPER => self.on_token(out),
            _ => self.impossible(),
        }
    }

    /// Whether the sender plays the part that the message belongs to.
    fn may_send(&self, from: Member, message: &Message, place: Place) -> bool {
        match message {
            Message::Get { .. } | Message::Urge { .. } | Message::Adopt { .. } | Message::Done { .. } => {
                place.locator == self.me
            }
            Message::Fetch { requester, .. } | Message::Invalidate { requester, .. } => {
                from == place.locator && requester.0 < self.members && *requester != self.me
            }
            Message::Grant { .. } | Message::Refuse { .. } | Message::Adopted { .. } => from == place.locator,
            Message::Data { .. }
            | Message::Ack { .. }
            | Message::Taken { .. }
            | Message::Again { .. }
            | Message::Offer { .. }
            | Message::Decline { .. } => from != self.me,
            Message::TokenAsk | Message::TokenBack | Message::Token => true,
        }
    }
}
