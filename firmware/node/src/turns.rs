//! Whose turn a slot of processor time is: the vCPUs of one server run at the same time, on all its nodes.
//!
//! ```text
//!  slot      0      1      2      3      4      5        n spanning servers, and one turn for all others
//!  node A  | S1  | S2  | a   | S1  | S2  | b   |
//!  node B  | S1  | S2  | -   | S1  | S2  | -   |         "-": whoever can use it
//! ```
//! A vCPU that waits for a lock or for an answer of a vCPU that does not run wastes its slot, and across nodes nobody
//! would notice. Slots are numbered by the guest time of the first spanning server that lives on a node: members agree
//! on it to within the time of a message, and need not tell each other anything. A turn that its server does not use is
//! anybody's, so no slot is empty while somebody could run; management takes its time at the start of each look.
//!
//! Pure: the monitor asks, and tests compare nodes.

use alloc::vec::Vec;

use weft_types::VsId;

/// Length of a slot, nanoseconds.
pub const SLOT_NS: u64 = 5_000_000;

/// The servers of a node, in the order of their turns.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Turns {
    spanning: Vec<VsId>,
    ordinary: Vec<VsId>,
}

/// One slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Whose it is; `None`: nobody's.
    pub server: Option<VsId>,
    /// How long it lasts from now on, nanoseconds.
    pub left_ns: u64,
}

impl Turns {
    /// The turns of these servers; `true`: it spans nodes.
    pub fn new(servers: impl IntoIterator<Item = (VsId, bool)>) -> Self {
        let mut turns = Self::default();
        for (id, spans) in servers {
            if spans { &mut turns.spanning } else { &mut turns.ordinary }.push(id);
        }
        for list in [&mut turns.spanning, &mut turns.ordinary] {
            weft_types::sort_few_by_key(list, |id| id.0);
            list.dedup();
        }
        turns
    }

    /// The server whose guest time numbers the slots; `None`: the node's own clock does.
    pub fn leader(&self) -> Option<VsId> {
        self.spanning.first().copied()
    }

    /// The slot at a moment of that clock.
    pub fn at(&self, clock_ns: u64) -> Turn {
        let slot = clock_ns / SLOT_NS;
        let left_ns = SLOT_NS - clock_ns % SLOT_NS;
        // Also a node without ordinary servers keeps their turn: others of the same servers may have some.
        let period = (self.spanning.len() as u64).saturating_add(1);
        let place = usize::try_from(slot % period).unwrap_or(0);
        let of_ordinary = || {
            let round = slot / period;
            let count = self.ordinary.len() as u64;
            let index = round.checked_rem(count).and_then(|index| usize::try_from(index).ok())?;
            self.ordinary.get(index).copied()
        };
        Turn { server: self.spanning.get(place).copied().or_else(of_ordinary), left_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    fn id(n: u8) -> VsId {
        VsId([n; 16])
    }

    #[test]
    fn a_spanning_server_has_the_same_turns_on_all_its_nodes_whatever_else_they_run() {
        let a = Turns::new([(id(9), true), (id(3), true), (id(1), false), (id(2), false)]);
        let b = Turns::new([(id(3), true), (id(9), true)]);
        let c = Turns::new([(id(200), false), (id(9), true), (id(3), true)]);
        assert!([&a, &b, &c].iter().all(|turns| turns.leader() == Some(id(3))));
        for slot in 0..30 {
            let at = |turns: &Turns| turns.at(slot * SLOT_NS + 17).server;
            for server in [id(3), id(9)] {
                assert_eq!(at(&a) == Some(server), at(&b) == Some(server));
                assert_eq!(at(&a) == Some(server), at(&c) == Some(server));
            }
        }
    }

    #[test]
    fn every_server_has_turns_and_equals_have_equally_many() {
        let turns = Turns::new([(id(9), true), (id(3), true), (id(1), false), (id(2), false)]);
        let mut counts = BTreeMap::new();
        for slot in 0..120 {
            *counts.entry(turns.at(slot * SLOT_NS).server.map(|id| id.0[0])).or_insert(0) += 1;
        }
        assert_eq!(counts, BTreeMap::from([(Some(1), 20), (Some(2), 20), (Some(3), 40), (Some(9), 40)]));
    }

    #[test]
    fn a_slot_lasts_to_its_end_and_a_node_without_servers_has_none() {
        let turns = Turns::new([(id(1), false)]);
        assert_eq!(turns.at(0), Turn { server: Some(id(1)), left_ns: SLOT_NS });
        assert_eq!(turns.at(SLOT_NS - 1).left_ns, 1);
        assert_eq!(turns.leader(), None);
        assert_eq!(Turns::default().at(u64::MAX).server, None);
    }
}
