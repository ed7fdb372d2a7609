//! Leases: how long a member may rely on nobody restarting what runs over it.
//!
//! ```text
//! member                         coordinator
//!   │ Beat(stamp) ─────────────────▶ │
//!   │◀─ Pulse(stamp, remaining, probe) │  remaining: of the coordinator's majority
//!   │ Beat(stamp, echo = probe) ────▶ │  a grant: counts from the coordinator's `probe`
//! ```
//! Whoever grants counts from *after* the message that asked, whoever holds counts from *before* it. So the
//! holder's time is over first, however long messages take; clocks need only run at about the same rate
//! ([`crate::Timing`]).
//!
//! Invariant: when a majority votes for an epoch that shuts a holder out, one of them granted what the holder
//! relies on, tells how long that still lasts, and grants no more. A node that has just booted may have
//! granted in its last boot, and reports a whole lease from its start.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use weft_types::NodeId;

use crate::decision::{Decision, Epoch};
use crate::talk::Remaining;
use crate::timing::{MS, Timing};

/// See the module.
#[derive(Clone, Debug)]
pub struct Lease {
    timing: Timing,
    /// Others may rely on this node until then.
    granted_until_ns: u64,
    /// No spanning server may start before.
    quiet_until_ns: u64,
    /// This node may rely on the others until then.
    until_ns: u64,
    /// As the coordinator of `epoch`: what each member granted, by this node's clock.
    grants: BTreeMap<NodeId, u64>,
    epoch: Epoch,
}

fn remaining_ms(until_ns: u64, now_ns: u64) -> u32 {
    u32::try_from(until_ns.saturating_sub(now_ns).div_ceil(MS)).unwrap_or(u32::MAX)
}

impl Lease {
    /// A node that has just booted.
    pub const fn new(timing: Timing, now_ns: u64) -> Self {
        Self {
            timing,
            granted_until_ns: now_ns.saturating_add(timing.lease_ns),
            quiet_until_ns: 0,
            until_ns: 0,
            grants: BTreeMap::new(),
            epoch: Epoch { counter: 0, proposer: NodeId([0; 16]) },
        }
    }

    /// This node may rely on the others until then; 0 before the first lease.
    pub const fn until_ns(&self) -> u64 {
        self.until_ns
    }

    /// Spanning servers may start from then on.
    pub const fn quiet_until_ns(&self) -> u64 {
        self.quiet_until_ns
    }

    /// What this node granted, as a vote reports it.
    pub fn remaining(&self, now_ns: u64) -> Remaining {
        Remaining {
            granted_ms: remaining_ms(self.granted_until_ns, now_ns),
            quiet_ms: remaining_ms(self.quiet_until_ns, now_ns),
        }
    }

    /// A decision asks for quiet.
    pub fn keep_quiet(&mut self, now_ns: u64, quiet_ms: u32) {
        let until = now_ns.saturating_add(u64::from(quiet_ms).saturating_mul(MS));
        self.quiet_until_ns = self.quiet_until_ns.max(until);
    }

    /// This node grants, now.
    pub fn grant(&mut self, now_ns: u64) {
        self.granted_until_ns = self.granted_until_ns.max(now_ns.saturating_add(self.timing.lease_ns));
    }

    /// As coordinator: a member granted on a probe of this node's clock.
    pub fn granted(&mut self, now_ns: u64, epoch: Epoch, member: NodeId, probe_ns: u64) {
        self.turn_to(epoch);
        if probe_ns > now_ns {
            return;
        }
        let until = probe_ns.saturating_add(self.timing.hold_ns());
        let held = self.grants.entry(member).or_insert(0);
        *held = until.max(*held);
    }

    fn turn_to(&mut self, epoch: Epoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.grants.clear();
        }
    }

    /// As coordinator of an agreed decision: renews this node's own lease from what a majority granted. With
    /// `grants` this node is one of them.
    pub fn renew(&mut self, now_ns: u64, me: NodeId, decision: &Decision, grants: bool) {
        self.turn_to(decision.epoch);
        if grants {
            self.grant(now_ns);
            self.grants.insert(me, now_ns.saturating_add(self.timing.hold_ns()));
        }
        let of = |node| self.grants.get(&node).copied().unwrap_or(0);
        let mut ends: Vec<u64> = decision.voters.iter().map(|voter| of(voter.node)).collect();
        weft_types::sort_few_by_key(&mut ends, |end| core::cmp::Reverse(*end));
        let majority_end = ends.get(decision.voters.len() / 2).copied().unwrap_or(0);
        self.until_ns = self.until_ns.max(majority_end);
    }

    /// What the coordinator tells a member, milliseconds, rounded down.
    pub fn share_ms(&self, now_ns: u64) -> u32 {
        u32::try_from(self.until_ns.saturating_sub(now_ns) / MS).unwrap_or(u32::MAX)
    }

    /// As member: the coordinator answered the beat of `stamp_ns`.
    pub fn shared(&mut self, now_ns: u64, stamp_ns: u64, remaining_ms: u32) {
        if stamp_ns > now_ns {
            return;
        }
        let remaining = u64::from(remaining_ms).saturating_mul(MS).min(self.timing.hold_ns());
        let held = remaining.saturating_sub(remaining / 16);
        self.until_ns = self.until_ns.max(stamp_ns.saturating_add(held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{RecordId, Voter};

    fn decision(members: u8) -> Decision {
        let voters = (1..=members).map(|n| Voter { node: NodeId([n; 16]), incarnation: 1 }).collect();
        Decision::founding(1, RecordId::default(), voters)
    }

    #[test]
    fn a_lease_is_what_a_majority_granted() {
        let timing = Timing::default();
        let (me, three) = (NodeId([1; 16]), decision(3));
        let mut lease = Lease::new(timing, 0);
        lease.renew(1_000, me, &three, true);
        assert_eq!(lease.until_ns(), 0, "one of three is no majority");
        lease.granted(2_000, three.epoch, NodeId([2; 16]), 1_500);
        lease.renew(2_000, me, &three, true);
        assert_eq!(lease.until_ns(), 1_500 + timing.hold_ns(), "from the question, not from the answer");
    }

    #[test]
    fn holders_are_done_before_granters() {
        let timing = Timing::default();
        let (me, two) = (NodeId([1; 16]), decision(2));
        let mut coordinator = Lease::new(timing, 0);
        let mut member = Lease::new(timing, 0);
        // The probe leaves at 10 s, is echoed at 11 s, arrives at 12 s.
        member.grant(11_000 * MS);
        coordinator.granted(12_000 * MS, two.epoch, NodeId([2; 16]), 10_000 * MS);
        coordinator.renew(12_000 * MS, me, &two, true);
        let granted = u64::from(member.remaining(11_000 * MS).granted_ms) * MS + 11_000 * MS;
        assert!(coordinator.until_ns() < granted);
        // What it shares counts from the member's own stamp.
        let mut other = Lease::new(timing, 0);
        other.shared(12_500 * MS, 11_900 * MS, coordinator.share_ms(12_100 * MS));
        assert!(other.until_ns() <= coordinator.until_ns());
    }

    #[test]
    fn grants_of_another_epoch_do_not_count() {
        let timing = Timing::default();
        let (me, two) = (NodeId([1; 16]), decision(2));
        let mut lease = Lease::new(timing, 0);
        lease.granted(2_000, two.epoch, NodeId([2; 16]), 1_500);
        let next = Decision { epoch: Epoch { counter: u64::MAX, proposer: me }, ..two };
        lease.renew(2_500, me, &next, true);
        assert_eq!(lease.until_ns(), 0);
    }

    #[test]
    fn a_probe_from_the_future_grants_nothing() {
        let mut lease = Lease::new(Timing::default(), 0);
        let (me, two) = (NodeId([1; 16]), decision(2));
        lease.granted(2_000, two.epoch, NodeId([2; 16]), 2_001);
        lease.shared(2_000, 2_001, u32::MAX);
        lease.renew(2_000, me, &two, true);
        assert_eq!(lease.until_ns(), 0);
    }
}
