//! One member: the shipping engine, frames with real bytes, the guest's mappings, and flushes that take time.
//!
//! Until a flush is done the guest goes on using what it had: that is what a TLB does.

use std::collections::{BTreeMap, BTreeSet};

use weft_coherence::codec::{self, Message};
use weft_coherence::content::{self, MAX_PAYLOAD, PAGE_BYTES};
use weft_coherence::{Cause, Effect, Engine, Member, Page, Source, Ticket, Waiter};

use crate::link::Packet;

/// A page in memory.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) bytes: Box<[u8; PAGE_BYTES]>,
    shared_zero: bool,
}

/// How the guest reaches a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mapping {
    pub(crate) write: bool,
    /// The right is being taken away; `true` for all of it, `false` for writing only.
    pub(crate) leaving: Option<bool>,
}

/// What a member's effects lead to outside of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Send(Packet),
    /// The flush for this ticket starts now.
    Flush(Ticket),
    Unpark(Waiter),
    Ready,
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

pub(crate) fn broken(invariant: &'static str, what: String) -> Broken {
    Broken { invariant, what }
}

/// One member.
pub(crate) struct Node {
    pub(crate) me: Member,
    pub(crate) engine: Engine,
    pub(crate) frames: BTreeMap<Page, Frame>,
    pub(crate) twins: BTreeMap<Page, (u32, Box<[u8; PAGE_BYTES]>)>,
    pub(crate) mappings: BTreeMap<Page, Mapping>,
    pub(crate) stopped: Option<Cause>,
    pub(crate) crashed: bool,
    /// Pages that changed since the last check.
    pub(crate) touched: BTreeSet<Page>,
    pub(crate) hot: u64,
}

impl Node {
    pub(crate) fn new(me: Member, engine: Engine) -> Self {
        Self {
            me,
            engine,
            frames: BTreeMap::new(),
            twins: BTreeMap::new(),
            mappings: BTreeMap::new(),
            stopped: None,
            crashed: false,
            touched: BTreeSet::new(),
            hot: 0,
        }
    }

    /// The loader puts contents into a page.
    pub(crate) fn load(&mut self, page: Page, bytes: Box<[u8; PAGE_BYTES]>) {
        self.frames.insert(page, Frame { bytes, shared_zero: false });
    }

    /// Does what the engine asked for. `payload` came with the message that led to the effects.
    pub(crate) fn perform(&mut self, effects: Vec<Effect>, payload: &[u8]) -> Result<Vec<Outcome>, Broken> {
        let mut outcomes = Vec::new();
        for effect in effects {
            if self.stopped.is_some() {
                return Err(broken("nothing after stop", format!("{effect:?}")));
            }
            self.perform_one(effect, payload, &mut outcomes)?;
        }
        Ok(outcomes)
    }

    fn perform_one(&mut self, effect: Effect, payload: &[u8], out: &mut Vec<Outcome>) -> Result<(), Broken> {
        match effect {
            Effect::Send { to, class, control, page } => {
                self.check_send(&control.0)?;
                let payload = match page {
                    Some(payload) => self.payload(payload.page, payload.base)?,
                    None => Vec::new(),
                };
                self.engine.add_payload(payload.len());
                out.push(Outcome::Send(Packet { from: self.me, to, class, control, payload }));
            }
            Effect::MapGuest { page, write } => self.map(page, write)?,
            Effect::UnmapGuest { page, ticket } => self.leave(page, true, ticket, out)?,
            Effect::ProtectGuest { page, ticket } => self.leave(page, false, ticket, out)?,
            Effect::Install { page, source } => self.install(page, source, payload)?,
            Effect::DropFrame { page } => {
                self.touched.insert(page);
                if self.mappings.contains_key(&page) {
                    return Err(broken("flush first", format!("frame of {page} dropped while mapped")));
                }
                if self.frames.remove(&page).is_none() {
                    return Err(broken("frames", format!("{page} has none to drop")));
                }
            }
            Effect::MakeTwin { page, version } => {
                if self.mappings.get(&page).is_some_and(|mapping| mapping.write) {
                    return Err(broken("twin", format!("of {page} made while it is written")));
                }
                let Some(frame) = self.frames.get(&page) else {
                    return Err(broken("frames", format!("{page} has none to copy")));
                };
                self.twins.insert(page, (version, frame.bytes.clone()));
            }
            Effect::DropTwin { page } => {
                if self.twins.remove(&page).is_none() {
                    return Err(broken("frames", format!("{page} has no twin to drop")));
                }
            }
            Effect::Unpark { waiter } => out.push(Outcome::Unpark(waiter)),
            Effect::Ready => out.push(Outcome::Ready),
            Effect::Hot { .. } => self.hot += 1,
            Effect::Stop { cause } => {
                self.stopped = Some(cause);
                if !matches!(cause, Cause::MemberLost(_)) {
                    return Err(broken("stop", format!("member {} stops: {cause:?}", self.me)));
                }
            }
        }
        Ok(())
    }

    /// Acknowledgements and pages leave only after the flush.
    fn check_send(&self, control: &[u8]) -> Result<(), Broken> {
        let Ok((_, message)) = codec::decode(control) else {
            return Err(broken("codec", "a message that does not decode was sent".to_owned()));
        };
        let (page, all) = match message {
            Message::Ack { page, .. } => (page, true),
            Message::Data { page, right, .. } => (page, right == weft_coherence::Right::Write),
            _ => return Ok(()),
        };
        match self.mappings.get(&page) {
            Some(mapping) if all || mapping.write => {
                Err(broken("acknowledgement after flush", format!("{message:?} with {mapping:?}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn payload(&self, page: Page, base: Option<u32>) -> Result<Vec<u8>, Broken> {
        let Some(frame) = self.frames.get(&page) else {
            return Err(broken("last copy", format!("member {} has no frame of {page} to send", self.me)));
        };
        let twin = match base {
            None => None,
            Some(base) => match self.twins.get(&page) {
                Some((version, bytes)) if *version == base => Some((base, &**bytes)),
                other => {
                    let version = other.map(|(version, _)| version);
                    return Err(broken("twin", format!("of {page} is {version:?}, not {base}")));
                }
            },
        };
        let mut out = Box::new([0; MAX_PAYLOAD]);
        let len = content::encode(&frame.bytes, twin, &mut out);
        Ok(out[..len].to_vec())
    }

    fn map(&mut self, page: Page, write: bool) -> Result<(), Broken> {
        self.touched.insert(page);
        match self.frames.get(&page) {
            None => return Err(broken("frames", format!("{page} is mapped without a frame"))),
            Some(frame) if frame.shared_zero && write => {
                return Err(broken("shared zeros", format!("{page} is mapped to write the zeros of all")));
            }
            Some(_) => {}
        }
        if self.mappings.get(&page).is_some_and(|mapping| mapping.leaving.is_some()) {
            return Err(broken("flush first", format!("{page} is mapped before its flush is done")));
        }
        self.mappings.insert(page, Mapping { write, leaving: None });
        Ok(())
    }

    fn leave(&mut self, page: Page, all: bool, ticket: Ticket, out: &mut Vec<Outcome>) -> Result<(), Broken> {
        self.touched.insert(page);
        match self.mappings.get_mut(&page) {
            Some(mapping) if mapping.leaving.is_none() => mapping.leaving = Some(all),
            other => return Err(broken("flush first", format!("{page} leaves as {other:?}"))),
        }
        out.push(Outcome::Flush(ticket));
        Ok(())
    }

    fn install(&mut self, page: Page, source: Source, payload: &[u8]) -> Result<(), Broken> {
        self.touched.insert(page);
        if self.mappings.contains_key(&page) {
            return Err(broken("flush first", format!("contents of {page} change while it is mapped")));
        }
        let zero = || Frame { bytes: Box::new([0; PAGE_BYTES]), shared_zero: false };
        match source {
            Source::SharedZero => {
                self.frames.insert(page, Frame { shared_zero: true, ..zero() });
            }
            Source::Zero => {
                self.frames.insert(page, zero());
            }
            Source::Whole | Source::Diff => {
                let frame = self.frames.entry(page).or_insert_with(zero);
                if source == Source::Diff && frame.shared_zero {
                    return Err(broken("shared zeros", format!("{page} is changed in place")));
                }
                frame.shared_zero = false;
                if let Err(error) = content::apply(payload, &mut frame.bytes) {
                    return Err(broken("content", format!("{page}: {error}")));
                }
            }
        }
        Ok(())
    }

    /// The flush is done: from now on the guest has lost the right.
    pub(crate) fn end_flush(&mut self, ticket: Ticket) {
        let page = Page(ticket.0);
        self.touched.insert(page);
        match self.mappings.get(&page).and_then(|mapping| mapping.leaving) {
            Some(true) => {
                self.mappings.remove(&page);
            }
            Some(false) => {
                self.mappings.insert(page, Mapping { write: false, leaving: None });
            }
            None => {}
        }
    }

    /// Whether the guest reaches the page, through its TLB too.
    pub(crate) fn reaches(&self, page: Page, write: bool) -> bool {
        self.mappings.get(&page).is_some_and(|mapping| mapping.write || !write)
    }

    /// Frames in use here, twins included and shared zeros not.
    pub(crate) fn frames_used(&self) -> u64 {
        let own = self.frames.values().filter(|frame| !frame.shared_zero).count();
        (own + self.twins.len()) as u64
    }
}
