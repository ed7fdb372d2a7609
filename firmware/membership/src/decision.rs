//! What an epoch decides, and when enough have agreed.
//!
//! Invariants:
//! - Voters are pairs of node and *incarnation*. A node keeps nothing over a boot, so one that comes back is
//!   another voter: it votes only once a decision has named its new incarnation. Nobody can vote twice in an
//!   epoch by forgetting.
//! - A decision that changes voters needs a majority of those before it and of its own ([`Decision::base`]).
//!   Two majorities of one epoch, or of neighbouring decisions, therefore share a voter that remembers.
//! - A partition of an even number of nodes has one voter more, the appliance ([`has_witness`]).

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use weft_types::{ConfigNumber, NodeId};

/// Most voters.
pub const MAX_VOTERS: usize = 64;
/// Counters of epochs below a founding are in the lower 32 bits.
const FOUNDING_SHIFT: u32 = 32;

/// An epoch. Compared by counter first; of one counter at most one is ever agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// Grows.
    pub counter: u64,
    /// Who proposed it; zero for one that the appliance founded.
    pub proposer: NodeId,
}

impl Epoch {
    /// The epoch in which the appliance founds a partition for the `generation`-th time.
    pub const fn founding(generation: u32) -> Self {
        Self { counter: (generation as u64) << FOUNDING_SHIFT, proposer: NodeId([0; 16]) }
    }

    /// Which founding it comes after.
    pub const fn generation(&self) -> u64 {
        self.counter >> FOUNDING_SHIFT
    }

    /// Whether the appliance made it.
    pub fn is_founding(&self) -> bool {
        self.proposer == NodeId::default()
    }
}

/// Identity of a signed configuration. Signed by the appliance, never used twice, compared by epoch first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// Grows when an appliance's store was restored.
    pub epoch: u64,
    /// Grows with each configuration.
    pub counter: u64,
}

impl RecordId {
    /// The same, as a number with its parts.
    pub const fn number(self) -> ConfigNumber {
        ConfigNumber { epoch: self.epoch, counter: self.counter }
    }
}

impl From<ConfigNumber> for RecordId {
    fn from(number: ConfigNumber) -> Self {
        Self { epoch: number.epoch, counter: number.counter }
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// Which boot of a node. Grows with each boot; 0 stands for none.
pub type Incarnation = u64;

/// A configured member and the incarnation that may vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Voter {
    /// Which.
    pub node: NodeId,
    /// 0: none was admitted yet.
    pub incarnation: Incarnation,
}

/// The decision that another one follows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Base {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its voters.
    pub voters: Vec<Voter>,
}

/// What an epoch decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// The epoch.
    pub epoch: Epoch,
    /// The configuration in force.
    pub record: RecordId,
    /// Live members in the configured order; the first coordinates. Empty only in a founding.
    pub view: Vec<NodeId>,
    /// All configured members in order.
    pub voters: Vec<Voter>,
    /// The agreed decision before it.
    pub base: Base,
}

impl Decision {
    /// The decision by which the appliance founds a partition.
    pub fn founding(generation: u32, record: RecordId, voters: Vec<Voter>) -> Self {
        let epoch = Epoch::founding(generation);
        let base = Base { epoch, voters: voters.clone() };
        Self { epoch, record, view: Vec::new(), voters, base }
    }

    /// Who coordinates.
    pub fn coordinator(&self) -> Option<NodeId> {
        self.view.first().copied()
    }

    /// The incarnation of a node that may vote, 0 where there is none.
    pub fn incarnation(&self, node: NodeId) -> Incarnation {
        self.voters.iter().find(|voter| voter.node == node).map_or(0, |voter| voter.incarnation)
    }

    /// Whether the view names this incarnation of a node.
    pub fn includes(&self, node: NodeId, incarnation: Incarnation) -> bool {
        incarnation != 0 && self.incarnation(node) == incarnation && self.view.contains(&node)
    }

    /// As the base of the next one.
    pub fn as_base(&self) -> Base {
        Base { epoch: self.epoch, voters: self.voters.clone() }
    }

    /// Bounds of one that came from outside: voters are few and distinct, the view is some of them in order.
    pub fn is_sound(&self) -> bool {
        let distinct = |voters: &[Voter]| {
            !voters.is_empty()
                && voters.len() <= MAX_VOTERS
                && voters.iter().enumerate().all(|(position, voter)| {
                    voters.iter().take(position).all(|earlier| earlier.node != voter.node)
                })
        };
        let mut rest = self.voters.iter();
        let ordered = self.view.iter().all(|node| rest.any(|voter| voter.node == *node));
        let known = self.view.iter().all(|node| self.incarnation(*node) != 0);
        distinct(&self.voters)
            && distinct(&self.base.voters)
            && ordered
            && known
            && self.base.epoch.counter <= self.epoch.counter
            && (self.epoch.is_founding() || !self.view.is_empty())
    }
}

/// Whether the appliance is one voter more: of an even number it breaks the tie. A majority of the nodes alone
/// is a majority still.
pub fn has_witness(voters: &[Voter]) -> bool {
    voters.len().is_multiple_of(2)
}

/// Whether `votes` are a majority of `voters`; the appliance's vote counts where it is a voter.
pub fn is_majority(voters: &[Voter], votes: &[Voter], witness: bool) -> bool {
    let counted = voters.iter().filter(|voter| voter.incarnation != 0 && votes.contains(voter)).count();
    let even = has_witness(voters);
    let all = voters.len() + usize::from(even);
    let have = counted + usize::from(even && witness);
    have > all / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn voter(number: u8, incarnation: u64) -> Voter {
        Voter { node: NodeId([number; 16]), incarnation }
    }

    #[test]
    fn a_majority_is_more_than_half_and_of_the_right_incarnations() {
        let three = [voter(1, 1), voter(2, 1), voter(3, 1)];
        assert!(!is_majority(&three, &[voter(1, 1)], true), "three nodes have no witness");
        assert!(is_majority(&three, &[voter(1, 1), voter(3, 1)], false));
        assert!(!is_majority(&three, &[voter(1, 1), voter(3, 2)], false), "another boot is another voter");
        let four = [voter(1, 1), voter(2, 1), voter(3, 1), voter(4, 1)];
        assert!(!is_majority(&four, &four[..2], false));
        assert!(is_majority(&four, &four[..2], true), "the appliance breaks the tie");
        assert!(is_majority(&four, &four[..3], false));
        assert!(is_majority(&[voter(1, 4)], &[voter(1, 4)], false));
    }

    #[test]
    fn the_appliance_breaks_the_tie_of_two() {
        let two = [voter(1, 1), voter(2, 1)];
        assert!(!is_majority(&two, &[voter(1, 1)], false));
        assert!(is_majority(&two, &[voter(1, 1)], true));
        assert!(is_majority(&two, &two, false));
        assert!(!is_majority(&two, &[], true));
    }

    #[test]
    fn members_that_were_never_admitted_do_not_vote() {
        let voters = [voter(1, 1), voter(2, 0), voter(3, 0)];
        assert!(!is_majority(&voters, &voters, false));
    }

    #[test]
    fn unsound_decisions_are_seen() {
        let voters = vec![voter(1, 1), voter(2, 1), voter(3, 0)];
        let mut good = Decision::founding(1, RecordId::default(), voters);
        assert!(good.is_sound());
        good.epoch = Epoch { counter: good.epoch.counter + 1, proposer: NodeId([1; 16]) };
        assert!(!good.is_sound(), "only a founding has no view");
        good.view = vec![NodeId([1; 16]), NodeId([2; 16])];
        assert!(good.is_sound());
        let swapped = Decision { view: vec![NodeId([2; 16]), NodeId([1; 16])], ..good.clone() };
        assert!(!swapped.is_sound());
        let absent = Decision { view: vec![NodeId([3; 16])], ..good.clone() };
        assert!(!absent.is_sound());
        let twice = Decision { voters: vec![voter(1, 1), voter(1, 2)], ..good };
        assert!(!twice.is_sound());
    }
}
