//! The voter's half of agreement. Nodes hold one in memory for as long as they run; the appliance holds one
//! for each partition, stored before it answers.
//!
//! Source: L. Lamport, "Paxos Made Simple", section 2.2, with one ballot order over a chain of decisions.
//! Invariants:
//! - one promise for each counter, and never for a lower one;
//! - what was accepted is forgotten only for something of a higher epoch.

use alloc::boxed::Box;
use serde::{Deserialize, Serialize};
use weft_types::NodeId;

use crate::decision::{Decision, Epoch, Incarnation};

/// What a voter remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Acceptor {
    /// Highest epoch that has its promise.
    promised: Epoch,
    /// What it accepted last.
    accepted: Option<Box<Decision>>,
    /// The newest that it knows to be agreed.
    committed: Option<Box<Decision>>,
}

/// Why a voter says no: it has promised a later epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later(pub Epoch);

impl Acceptor {
    /// Highest epoch that has its promise.
    pub fn promised(&self) -> Epoch {
        self.promised
    }

    /// What it accepted last.
    pub fn accepted(&self) -> Option<&Decision> {
        self.accepted.as_deref()
    }

    /// The newest that it knows to be agreed.
    pub fn committed(&self) -> Option<&Decision> {
        self.committed.as_deref()
    }

    /// Promises to accept nothing below `epoch`.
    pub fn prepare(&mut self, epoch: Epoch) -> Result<(), Later> {
        if epoch.counter > self.promised.counter {
            self.promised = epoch;
        }
        if epoch == self.promised { Ok(()) } else { Err(Later(self.promised)) }
    }

    /// Accepts a decision, unless a later one, or another of the same counter, has its promise.
    pub fn accept(&mut self, decision: &Decision) -> Result<(), Later> {
        self.prepare(decision.epoch)?;
        match &self.accepted {
            Some(held) if held.epoch == decision.epoch && **held != *decision => Err(Later(self.promised)),
            Some(_) | None => {
                self.accepted = Some(Box::new(decision.clone()));
                Ok(())
            }
        }
    }

    /// Learns that a decision was agreed. `true` if it is news. `bound`: it names this voter, who thereby counts
    /// as having accepted it.
    pub fn learn(&mut self, decision: &Decision, bound: bool) -> bool {
        if self.committed.as_ref().is_some_and(|held| held.epoch >= decision.epoch) {
            return false;
        }
        if self.promised.counter < decision.epoch.counter {
            self.promised = decision.epoch;
        }
        if bound && self.accepted.as_ref().is_none_or(|held| held.epoch < decision.epoch) {
            self.accepted = Some(Box::new(decision.clone()));
        }
        self.committed = Some(Box::new(decision.clone()));
        true
    }

    /// Whether a founding may still be taken: this voter counted for nothing yet in the lineage that is alive.
    /// It accepted nothing but a founding; or only what an agreed decision did not yet let it vote on; or
    /// something of a generation that was replaced. A promise does not bind: what it was given for can then
    /// never count on this voter.
    pub fn is_unfounded(&self, me: NodeId, incarnation: Incarnation) -> bool {
        let Some(held) = &self.accepted else { return true };
        let counted =
            held.base.voters.iter().any(|voter| voter.node == me && voter.incarnation == incarnation);
        let replaced = self.committed.as_ref().is_some_and(|agreed| {
            !agreed.epoch.is_founding() && agreed.epoch.generation() > held.epoch.generation()
        });
        held.epoch.is_founding() || !counted || replaced
    }

    /// Takes a founding that names this incarnation. `true` if it was taken.
    pub fn found(&mut self, decision: &Decision, me: NodeId, incarnation: Incarnation) -> bool {
        let named = incarnation != 0 && decision.incarnation(me) == incarnation;
        let later = self.promised.counter < decision.epoch.counter;
        if !named || !later || !decision.epoch.is_founding() || !self.is_unfounded(me, incarnation) {
            return false;
        }
        self.learn(decision, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{RecordId, Voter};
    use alloc::vec;

    fn node(number: u8) -> NodeId {
        NodeId([number; 16])
    }

    fn epoch(counter: u64, proposer: u8) -> Epoch {
        Epoch { counter, proposer: node(proposer) }
    }

    fn decision(counter: u64, proposer: u8, record: u64) -> Decision {
        let voters = vec![Voter { node: node(1), incarnation: 1 }, Voter { node: node(2), incarnation: 1 }];
        let mut made = Decision::founding(0, RecordId { epoch: 1, counter: record }, voters);
        made.epoch = epoch(counter, proposer);
        made.view = vec![node(1)];
        made
    }

    #[test]
    fn one_counter_has_one_promise() {
        let mut voter = Acceptor::default();
        assert_eq!(voter.prepare(epoch(3, 1)), Ok(()));
        assert_eq!(voter.prepare(epoch(3, 1)), Ok(()), "a repeated question has the same answer");
        assert_eq!(voter.prepare(epoch(3, 2)), Err(Later(epoch(3, 1))));
        assert_eq!(voter.prepare(epoch(2, 2)), Err(Later(epoch(3, 1))));
        assert_eq!(voter.accept(&decision(3, 2, 1)), Err(Later(epoch(3, 1))));
        assert_eq!(voter.accept(&decision(3, 1, 1)), Ok(()));
        assert_eq!(voter.accept(&decision(3, 1, 2)), Err(Later(epoch(3, 1))), "one epoch decides once");
    }

    #[test]
    fn a_founding_is_for_those_that_hold_nothing() {
        let voters = vec![Voter { node: node(1), incarnation: 7 }];
        let first = Decision::founding(1, RecordId::default(), voters.clone());
        let second = Decision::founding(2, RecordId::default(), voters);
        let mut voter = Acceptor::default();
        assert!(!voter.found(&first, node(1), 8), "another incarnation is meant");
        assert!(voter.found(&first, node(1), 7));
        assert!(!voter.found(&first, node(1), 7));
        assert!(voter.found(&second, node(1), 7), "nothing was accepted under the first");
        let mut own = decision(Epoch::founding(2).counter + 1, 1, 1);
        own.base = second.as_base();
        assert_eq!(voter.accept(&own), Ok(()));
        let third = Decision::founding(3, RecordId::default(), own.voters.clone());
        assert!(!voter.found(&third, node(1), 7), "what it accepted must not be lost");
    }
}
