//! What GiantVM's design would send for the same faults.
//!
//! GiantVM (Zhang et al.: *GiantVM: A Type-II Hypervisor Implementing Many-to-one Virtualization*, VEE 2020) follows
//! chains of probable owners (Li and Hudak: *Memory coherence in shared virtual memory systems*, 1989): a request goes
//! from one earlier owner to the next until it meets the owner, and the page comes back through the same members;
//! then the new writer invalidates the sharers one after another. Each message is one TCP message with room for a
//! page. All pages begin at member 0. Counted here: messages, bytes without link headers, and messages that wait for
//! one another.

use std::collections::BTreeMap;

use weft_coherence::codec::CONTROL_BYTES;
use weft_coherence::{Member, Members, Page};

use crate::world::Report;

/// Bytes of one GiantVM message: a page and its header.
pub const GIANT_MESSAGE: u64 = 4096 + 40;
/// Bytes of one control message of ours, tag included.
pub const CONTROL: u64 = CONTROL_BYTES as u64 + 16;

/// What one design sends.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Traffic {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages one after another before faults end, in sum.
    pub in_a_row: u64,
}

/// Both designs, over the same faults.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Comparison {
    /// Faults that needed another member, in ours.
    pub faults: u64,
    /// Ours.
    pub ours: Traffic,
    /// GiantVM's.
    pub giant: Traffic,
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = |n: u64| n as f64 / self.faults.max(1) as f64;
        writeln!(f, "{} remote faults; for each:   messages      bytes   in a row", self.faults)?;
        for (name, t) in [("ours", self.ours), ("GiantVM's design", self.giant)] {
            writeln!(
                f,
                "  {name:24} {:10.2} {:10.0} {:10.2}",
                each(t.messages),
                each(t.bytes),
                each(t.in_a_row)
            )?;
        }
        Ok(())
    }
}

/// One page as GiantVM would have it.
#[derive(Default)]
struct Giant {
    owner: Member,
    copies: Members,
    written: bool,
    /// Whom each member takes for the owner.
    probable: BTreeMap<Member, Member>,
}

impl Giant {
    fn fault(&mut self, member: Member, write: bool) -> Traffic {
        let has = member == self.owner || self.copies.has(member);
        let alone = self.copies.without(self.owner) == Members::NONE;
        if has && (!write || (member == self.owner && alone && self.written)) {
            return Traffic::default();
        }
        let mut row = 0;
        let mut at = member;
        let mut chain = Vec::new();
        while at != self.owner {
            chain.push(at);
            at = self.probable.get(&at).copied().unwrap_or(Member(0));
            row += 2;
        }
        self.copies = self.copies.with(member).with(self.owner);
        if write {
            let sharers = self.copies.without(member).without(self.owner);
            row += 2 * u64::from(sharers.count());
            for passed in chain.into_iter().chain(sharers.iter()).chain([self.owner]) {
                self.probable.insert(passed, member);
            }
            (self.owner, self.copies, self.written) = (member, Members::only(member), true);
        }
        Traffic { messages: row, bytes: row * GIANT_MESSAGE, in_a_row: row }
    }
}

/// Compares what a run sent with what GiantVM's design would have sent for the same faults.
pub fn compare(report: &Report) -> Comparison {
    let mut pages: BTreeMap<Page, Giant> = BTreeMap::new();
    let mut result = Comparison::default();
    for (page, member, write) in &report.served {
        let traffic = pages.entry(*page).or_default().fault(*member, *write);
        result.giant.messages += traffic.messages;
        result.giant.bytes += traffic.bytes;
        result.giant.in_a_row += traffic.in_a_row;
    }
    for c in &report.counters {
        result.faults += c.remote_read + c.remote_write;
        result.ours.messages += c.sent;
        result.ours.bytes += c.sent * CONTROL + c.payload_sent;
        result.ours.in_a_row += c.hops;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_passes_every_earlier_owner_and_sharers_are_told_one_after_another() {
        let mut page = Giant::default();
        let mut row = |member, write| page.fault(Member(member), write).in_a_row;
        assert_eq!(row(1, true), 2, "from member 0");
        assert_eq!(row(2, true), 4, "member 2 still asks member 0, which passes it on");
        assert_eq!(row(3, true), 4, "member 0 knows of member 2 by now");
        assert_eq!((row(0, false), row(1, false)), (2, 4), "member 1 asks member 2, which passes it on");
        assert_eq!(row(3, true), 4, "its two readers");
        assert_eq!(row(3, true), 0);
    }
}
