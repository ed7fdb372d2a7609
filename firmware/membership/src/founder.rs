//! The appliance's part: founding a partition, and the vote that breaks ties.
//!
//! Whoever holds a [`Founder`] stores it *before* an answer leaves; then it may forget everything else. Nodes
//! keep nothing over a boot, so when too few remember what was agreed (the first time, or after a power cut)
//! nobody could ever vote again. The appliance then names the voters anew, under a new generation.
//!
//! Why that is safe: a founding is taken only by voters that have counted for nothing else, it needs a majority
//! of such, and the appliance itself votes for nothing older from then on. Every majority that could still agree
//! on something in an older generation would need one of them. Configurations are signed by the appliance,
//! which therefore knows the newest. Leases granted before a boot are waited for ([`crate::lease`]).

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use weft_types::NodeId;

use crate::acceptor::{Acceptor, Later};
use crate::decision::{Decision, RecordId, Voter, has_witness, is_majority};
use crate::effect::Standing;
use crate::talk::{Remaining, Talk};

/// See the module. One for each partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    generation: u32,
    founding: Option<Box<Decision>>,
    acceptor: Acceptor,
}

impl Founder {
    /// How often the partition was founded.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Looks at what the members in reach report; the founding to send to them, if one is needed. `members`
    /// is the configured order. The record must be in the members' hands when they take it.
    pub fn consider(
        &mut self,
        members: &[NodeId],
        reports: &[(NodeId, Standing)],
        record: RecordId,
    ) -> Option<Decision> {
        let voters = |wanted: &dyn Fn(&Standing) -> bool| -> Vec<Voter> {
            let report = |node: NodeId| reports.iter().find(|(of, standing)| *of == node && wanted(standing));
            members
                .iter()
                .map(|node| Voter {
                    node: *node,
                    incarnation: report(*node).map_or(0, |(_, standing)| standing.incarnation),
                })
                .collect()
        };
        // Those that remember may still be enough by themselves.
        let newest = reports.iter().map(|(_, standing)| standing.epoch.generation()).max().unwrap_or(0);
        let founded = voters(&|standing| standing.voter && standing.epoch.generation() == newest);
        if is_majority(&founded, &founded, true) {
            return None;
        }
        let unfounded = voters(&|standing| standing.unfounded);
        if !is_majority(&unfounded, &unfounded, true) {
            return None;
        }
        if let Some(founding) = &self.founding {
            let same = founding.voters.iter().map(|voter| voter.node).eq(members.iter().copied());
            if same && is_majority(&founding.voters, &unfounded, true) {
                return Some((**founding).clone());
            }
        }
        self.generation = self.generation.checked_add(1)?;
        let founding = Decision::founding(self.generation, record, unfounded);
        // From here on the appliance votes for nothing older.
        self.acceptor.learn(&founding, true);
        self.founding = Some(Box::new(founding.clone()));
        Some(founding)
    }

    /// Answers a candidate as a voter of an even number. `None`: it is not one, or nothing was asked.
    pub fn answer(&mut self, talk: &Talk) -> Option<Talk> {
        let of_even =
            |decision: &Decision| has_witness(&decision.voters) || has_witness(&decision.base.voters);
        match talk {
            Talk::Prepare(epoch) => {
                if !self.acceptor.committed().is_some_and(of_even) {
                    return None;
                }
                let promised = self.acceptor.prepare(*epoch);
                let boxed = |held: Option<&Decision>| held.map(|held| Box::new(held.clone()));
                Some(match promised {
                    Ok(()) => Talk::Promise {
                        epoch: *epoch,
                        accepted: boxed(self.acceptor.accepted()),
                        committed: boxed(self.acceptor.committed()),
                        remaining: Remaining::default(),
                    },
                    Err(Later(promised)) => Talk::Refused { epoch: *epoch, promised },
                })
            }
            Talk::Accept(decision) => {
                if !decision.is_sound() || !of_even(decision) {
                    return None;
                }
                let epoch = decision.epoch;
                Some(match self.acceptor.accept(decision) {
                    Ok(()) => Talk::Accepted { epoch, remaining: Remaining::default() },
                    Err(Later(promised)) => Talk::Refused { epoch, promised },
                })
            }
            Talk::Promise { .. } | Talk::Accepted { .. } | Talk::Refused { .. } | Talk::Commit { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Epoch;

    fn node(number: u8) -> NodeId {
        NodeId([number; 16])
    }

    fn report(number: u8, incarnation: u64, unfounded: bool) -> (NodeId, Standing) {
        let standing = Standing {
            incarnation,
            unfounded,
            voter: !unfounded,
            epoch: Epoch::default(),
            record: RecordId::default(),
            agreed: !unfounded,
        };
        (node(number), standing)
    }

    #[test]
    fn a_partition_is_founded_by_a_majority_that_remembers_nothing() {
        let three = [node(1), node(2), node(3)];
        let mut founder = Founder::default();
        assert_eq!(founder.consider(&three, &[report(1, 5, true)], RecordId::default()), None);
        let two = [report(1, 5, true), report(3, 7, true)];
        let founding = founder.consider(&three, &two, RecordId::default()).unwrap();
        assert_eq!(founding.epoch, Epoch::founding(1));
        assert_eq!([1, 2, 3].map(|number| founding.incarnation(node(number))), [5, 0, 7]);
        assert_eq!(founder.consider(&three, &two, RecordId::default()), Some(founding), "said again");
        assert_eq!(founder.generation(), 1);
    }

    #[test]
    fn those_that_remember_are_not_overruled() {
        let three = [node(1), node(2), node(3)];
        let mut founder = Founder::default();
        let alive = [report(1, 5, false), report(2, 5, false), report(3, 9, true)];
        assert_eq!(founder.consider(&three, &alive, RecordId::default()), None);
        // One that remembers is not enough to go on with.
        let lost = [report(1, 5, false), report(2, 6, true), report(3, 9, true)];
        let founding = founder.consider(&three, &lost, RecordId::default()).unwrap();
        assert_eq!(founding.incarnation(node(1)), 0);
        // Of two, one and the appliance are enough.
        let mut founder = Founder::default();
        let half = [report(1, 5, false), report(2, 6, true)];
        assert_eq!(founder.consider(&three[..2], &half, RecordId::default()), None);
    }

    #[test]
    fn the_deciding_vote_is_given_once_a_counter() {
        let two = [node(1), node(2)];
        let mut founder = Founder::default();
        let epoch = |proposer| Epoch { counter: Epoch::founding(1).counter + 1, proposer: node(proposer) };
        assert_eq!(founder.answer(&Talk::Prepare(epoch(1))), None, "nothing was founded yet");
        let founded = founder.consider(&two, &[report(1, 1, true), report(2, 1, true)], RecordId::default());
        assert!(founded.is_some());
        assert!(matches!(founder.answer(&Talk::Prepare(epoch(1))), Some(Talk::Promise { .. })));
        let refused = Talk::Refused { epoch: epoch(2), promised: epoch(1) };
        assert_eq!(founder.answer(&Talk::Prepare(epoch(2))), Some(refused.clone()));
        let bytes = postcard::to_allocvec(&founder).unwrap();
        let mut restarted: Founder = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(restarted.answer(&Talk::Prepare(epoch(2))), Some(refused));
    }
}
