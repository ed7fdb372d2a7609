//! The invariants, and the defects that show that they can fail.

use std::collections::BTreeSet;

use weft_coherence::codec::{self, Message};
use weft_coherence::{Member, Page};
use weft_types::Epoch;

use crate::link::Packet;
use crate::node::{Broken, broken};
use crate::world::{Canary, EPOCH, World};

impl World {
    /// The defect of the canary, once: another message, or none.
    pub(crate) fn corrupt(
        &mut self,
        message: &Message,
        to: Member,
        payload: &mut [u8],
    ) -> Option<Option<Message>> {
        if self.skipped || self.now < 20_000 {
            return None;
        }
        let changed = match (self.setup.canary?, *message) {
            (Canary::SkippedAck, Message::Data { page, right, version, acks, unwritten }) if acks > 0 => {
                Some(Message::Data { page, right, version, acks: acks - 1, unwritten })
            }
            (Canary::SkippedAck, Message::Grant { page, right, version, acks, zero }) if acks > 0 => {
                Some(Message::Grant { page, right, version, acks: acks - 1, zero })
            }
            (Canary::LostInvalidate, Message::Invalidate { page, requester, version, .. }) => {
                let header = codec::Header::new(Epoch { counter: EPOCH, ..Epoch::default() }, 1);
                let ack = Message::Ack { page, version };
                let control = codec::encode(&header, &ack);
                let class = ack.class();
                self.link
                    .send(self.now, Packet { from: to, to: requester, class, control, payload: Vec::new() });
                None
            }
            (Canary::WrongBase, Message::Data { .. }) if payload.first() == Some(&2) && payload.len() > 5 => {
                payload[9] ^= 1;
                Some(*message)
            }
            _ => return None,
        };
        self.skipped = true;
        self.note(|| "canary".to_owned());
        Some(changed)
    }

    pub(crate) fn check(&mut self) -> Result<(), Broken> {
        let mut pages = BTreeSet::new();
        for node in &mut self.nodes {
            pages.append(&mut node.touched);
        }
        let alive = || self.nodes.iter().filter(|node| !node.crashed && node.stopped.is_none());
        for page in pages {
            let reaching: Vec<_> =
                alive().filter_map(|node| Some((node.me, *node.mappings.get(&page)?))).collect();
            let writers = reaching.iter().filter(|(_, mapping)| mapping.write).count();
            if writers > 0 && reaching.len() > 1 {
                return Err(broken("single writer", format!("{page}: {reaching:?}")));
            }
        }
        for node in alive() {
            let (counted, real) = (node.engine.frames_used(), node.frames_used());
            if real > counted {
                return Err(broken(
                    "frames",
                    format!("member {}: {real} in use, {counted} counted", node.me),
                ));
            }
            // One for each waiter of any member, as requester or owner, and as locator; prefetches and offers besides.
            let most = 2 * (self.vcpus.len() + self.nodes.len() * (32 + 2 * 16));
            if node.engine.records() > most {
                return Err(broken(
                    "bounded memory",
                    format!("member {}: {} records", node.me, node.engine.records()),
                ));
            }
            let limit = self.setup.limits.get(usize::from(node.me.0)).or(self.setup.limits.last());
            if limit.is_some_and(|limits| real > limits.frames) {
                return Err(broken("bounded memory", format!("member {}: {real} frames", node.me)));
            }
        }
        Ok(())
    }

    pub(crate) fn finished(&self) -> bool {
        let alive = |member: Member| {
            let node = &self.nodes[usize::from(member.0)];
            !node.crashed && node.stopped.is_none()
        };
        let busy =
            self.vcpus.iter().any(|v| alive(v.member) && !(v.program.is_empty() && v.buffer.is_empty()));
        let engines = self.nodes.iter().filter(|node| alive(node.me)).all(|node| node.engine.is_idle());
        !busy && engines && self.link.next_ns().is_none() && self.queue.is_empty()
    }

    pub(crate) fn finish(&mut self) -> Result<(), Broken> {
        let crash = self.nodes.iter().any(|node| node.crashed);
        for node in &self.nodes {
            match node.stopped {
                None if crash && !node.crashed => {
                    return Err(broken("stop", format!("member {} goes on without a lost one", node.me)));
                }
                Some(cause) if !crash => {
                    return Err(broken("stop", format!("member {} stopped: {cause:?}", node.me)));
                }
                None | Some(_) => {}
            }
        }
        if !crash {
            if self.vcpus.iter().any(|vcpu| !vcpu.program.is_empty()) {
                return Err(broken("progress", self.stuck()));
            }
            self.check_contents()?;
        }
        self.report.memory = self.golden.clone();
        self.report.stopped = crash;
        self.report.time_ns = self.now;
        self.report.done = self.vcpus.iter().map(|vcpu| vcpu.done).collect();
        self.report.longest_ns = self.vcpus.iter().map(|vcpu| vcpu.longest_ns).collect();
        self.report.results = self.vcpus.iter().map(|vcpu| vcpu.results.clone()).collect();
        self.report.counters = self.nodes.iter().map(|node| node.engine.counters().clone()).collect();
        self.report.hot = self.nodes.iter().map(|node| node.hot).sum();
        Ok(())
    }

    /// At rest every copy is what one machine's memory would hold, and what was written is somewhere.
    pub(crate) fn check_contents(&self) -> Result<(), Broken> {
        for range in &self.setup.ranges {
            for page in (range.first.0..range.first.0 + range.pages).map(Page) {
                let golden = self.golden.page(page);
                let mut copies = 0;
                for node in self.nodes.iter().filter(|node| node.engine.right(page).is_some()) {
                    copies += 1;
                    if node.frames.get(&page).map(|frame| &frame.bytes) != Some(&golden) {
                        return Err(broken(
                            "no lost update",
                            format!("{page} at member {} at the end", node.me),
                        ));
                    }
                }
                if copies == 0 && *golden != [0; 4096] {
                    return Err(broken("last copy", format!("nobody has {page}")));
                }
            }
        }
        Ok(())
    }
}
