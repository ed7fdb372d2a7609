//! What the appliance says to a member, and what an operator gives it.

use alloc::vec::Vec;

use weft_types::NodeId;

use crate::decision::{Decision, RecordId};
use crate::effect::{Effect, Refusal};
use crate::membership::Membership;
use crate::message::Message;
use crate::talk::Talk;

impl Membership {
    /// The partition as the appliance describes it to a node that is not in it yet: whom to ask.
    pub fn introduce(&mut self, now_ns: u64, record: &[u8]) -> Result<RecordId, Refusal> {
        let id = self.take_record(record)?;
        self.ask_at_ns = now_ns;
        self.settle(now_ns);
        Ok(id)
    }

    /// The appliance founds the partition. `false` if that is not for this node.
    pub fn found(&mut self, now_ns: u64, founding: &Decision) -> bool {
        if !founding.is_sound() || !self.agreement.holds(founding.record) || !self.agreement.found(founding) {
            return false;
        }
        self.learnt();
        self.ask_at_ns = now_ns;
        self.settle(now_ns);
        true
    }

    /// The appliance can be asked for its vote, or no longer.
    pub fn set_witness(&mut self, now_ns: u64, present: bool) {
        self.agreement.set_witness(present);
        self.settle(now_ns);
    }

    /// The appliance answered [`Effect::Witness`].
    pub fn witness_answer(&mut self, now_ns: u64, answer: &[u8]) {
        let Ok((talk, [])) = postcard::take_from_bytes::<Talk>(answer) else {
            self.dropped = self.dropped.saturating_add(1);
            return;
        };
        let mut out = Vec::new();
        self.agreement.on_witness(talk, self.lease.remaining(now_ns), &mut out);
        self.put(now_ns, out);
        self.settle(now_ns);
    }

    /// A configuration for all members, given to this one.
    pub fn configure(&mut self, now_ns: u64, record: &[u8]) {
        let (id, refusal) = match self.judge.judge(record) {
            Err(reason) => (None, Some(Refusal::Record(reason))),
            Ok((id, _)) => (Some(id), self.refusal(id)),
        };
        if let Some(reason) = refusal {
            self.effects.push(Effect::Refused { id, reason });
            return;
        }
        match self.take_record(record) {
            Err(reason) => self.effects.push(Effect::Refused { id, reason }),
            Ok(id) => {
                self.configuring = Some((id, now_ns.saturating_add(self.timing.patience_ns)));
                self.nudge_at_ns = Some(now_ns);
                self.settle(now_ns);
            }
        }
    }

    fn refusal(&self, id: RecordId) -> Option<Refusal> {
        let Some(agreed) = self.agreement.agreed() else {
            let strength = self.agreement.strength();
            return Some(match strength {
                Some((reached, of)) if !self.agreement.has_majority() => Refusal::NoMajority { reached, of },
                Some(_) | None => Refusal::NotMember,
            });
        };
        if id <= agreed.record {
            return Some(Refusal::Stale { given: id, agreed: agreed.record });
        }
        if !self.agreement.has_majority() {
            let (reached, of) = self.agreement.strength().unwrap_or((0, 0));
            return Some(Refusal::NoMajority { reached, of });
        }
        None
    }

    /// Says good-bye. Afterwards this node only listens.
    pub fn leave(&mut self, now_ns: u64) {
        self.suspicion.leave(now_ns);
        let others: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in others {
            self.send(node, &Message::Leave);
        }
        self.flush_packets();
        self.leaving = true;
    }
}
