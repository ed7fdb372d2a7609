//! Effects of the engine to deeds, in their order.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use weft_coherence::content::{self, PAGE_BYTES};
use weft_coherence::{self as coherence, Effect, Page, Payload, Source};
use weft_transport::interconnect as link;

use super::{NoFrame, Span, SpanEvent, SpanHost};

impl<H: SpanHost> Span<H> {
    /// Does what the engine asked for, and what follows from flushes that are over. `payload` is what came
    /// beside the message that was handled.
    pub(super) fn settle(&mut self, now_ns: u64, payload: &[u8]) {
        loop {
            let effects = core::mem::take(&mut self.effects);
            for effect in &effects {
                if self.stopped {
                    return;
                }
                if let Err(NoFrame) = self.apply(now_ns, effect, payload) {
                    self.end(format!("this node has no memory left for {effect:?}"));
                    return;
                }
            }
            let over = self.host.flushes_over();
            match self.flushes.front() {
                Some((number, ticket)) if *number <= over => {
                    let ticket = *ticket;
                    self.flushes.pop_front();
                    self.engine.flushed(now_ns, ticket, &mut self.effects);
                }
                Some(_) | None if self.effects.is_empty() => return,
                Some(_) | None => {}
            }
        }
    }

    fn apply(&mut self, now_ns: u64, effect: &Effect, payload: &[u8]) -> Result<(), NoFrame> {
        match effect {
            Effect::Send { to, class, control, page } => {
                let body = match page {
                    Some(page) => self.contents(page)?,
                    None => Vec::new(),
                };
                let class = match class {
                    coherence::Class::Request => link::Class::Request,
                    coherence::Class::Forward => link::Class::Forward,
                    coherence::Class::Response => link::Class::Response,
                };
                self.counters.content_bytes += body.len() as u64;
                self.enqueue(now_ns, to.0, class, control.0.to_vec(), body);
            }
            Effect::MapGuest { page, write } => self.host.map(*page, *write)?,
            Effect::UnmapGuest { page, ticket } => {
                self.host.unmap(*page);
                let number = self.host.begin_flush();
                self.flushes.push_back((number, *ticket));
            }
            Effect::ProtectGuest { page, ticket } => {
                self.host.protect(*page);
                let number = self.host.begin_flush();
                self.flushes.push_back((number, *ticket));
            }
            Effect::Install { page, source } => self.install(*page, *source, payload)?,
            Effect::DropFrame { page } => self.host.drop_frame(*page),
            Effect::MakeTwin { page, version } => {
                let mut copy = Box::new([0; PAGE_BYTES]);
                if self.host.read(*page, &mut copy) {
                    self.twins.insert(*page, (*version, copy));
                }
            }
            Effect::DropTwin { page } => {
                self.twins.remove(page);
            }
            Effect::Unpark { waiter } => self.host.unpark(waiter.0),
            Effect::Ready => self.events.push(SpanEvent::Adopted),
            // Counted by the engine; pages are not moved for it yet.
            Effect::Hot { .. } => {}
            Effect::Stop { cause } => self.end(format!("{cause:?}")),
        }
        Ok(())
    }

    fn install(&mut self, page: Page, source: Source, payload: &[u8]) -> Result<(), NoFrame> {
        match source {
            Source::Zero => self.host.write(page, &[0; PAGE_BYTES]),
            Source::SharedZero => self.host.share_zero(page),
            Source::Whole | Source::Diff => {
                let mut contents = [0; PAGE_BYTES];
                if source == Source::Diff && !self.host.read(page, &mut contents) {
                    return Err(NoFrame);
                }
                // The engine saw the same bytes as well-formed.
                if content::apply(payload, &mut contents).is_err() {
                    self.counters.refused += 1;
                }
                self.host.write(page, &contents)
            }
        }
    }

    /// The payload of a page that leaves.
    fn contents(&mut self, payload: &Payload) -> Result<Vec<u8>, NoFrame> {
        let mut page = [0; PAGE_BYTES];
        if !self.host.read(payload.page, &mut page) {
            return Err(NoFrame);
        }
        let twin = match (payload.base, self.twins.get(&payload.page)) {
            (Some(base), Some((version, twin))) if *version == base => Some((base, &**twin)),
            (Some(_), Some(_) | None) | (None, _) => None,
        };
        let mut out = [0; content::MAX_PAYLOAD];
        let length = content::encode(&page, twin, &mut out);
        Ok(out.get(..length).unwrap_or(&[]).to_vec())
    }
}
