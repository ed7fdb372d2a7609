//! Suspicion: who still answers, by SWIM (`foca`). Nothing is agreed here: it only tells the candidate whom to
//! leave out of the next view.
//!
//! Packets come from members that the transport has authenticated, but a member may be broken. A packet must
//! name its sender truthfully and speak of configured members only, so that what foca remembers is bounded.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::num::{NonZeroU8, NonZeroUsize};
use core::time::Duration;

use foca::{
    Codec as _, Config, Foca, Identity, Member, NoCustomBroadcast, Notification, PostcardCodec, Timer,
};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use weft_types::NodeId;

use crate::decision::Incarnation;
use crate::timing::Timing;

/// Largest packet, bytes: one frame with its headers.
const MAX_PACKET: usize = 1100;
/// Timers that may wait. foca sets a handful and one for each member in doubt.
const MAX_TIMERS: usize = 512;

/// A boot of a node, as the failure detector tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Who {
    node: NodeId,
    incarnation: Incarnation,
    /// Grows when it was called dead and knows better.
    life: u32,
}

impl Identity for Who {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { life: self.life.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.incarnation, self.life) > (adversary.incarnation, adversary.life)
    }
}

/// What foca wants done.
#[derive(Default)]
struct Wishes {
    packets: Vec<(NodeId, Vec<u8>)>,
    timers: Vec<(Timer<Who>, Duration)>,
}

impl foca::Runtime<Who> for &mut Wishes {
    fn notify(&mut self, _: Notification<'_, Who>) {
        // The list of members says all that is of interest.
    }

    fn send_to(&mut self, to: Who, data: &[u8]) {
        self.packets.push((to.node, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Who>, after: Duration) {
        self.timers.push((event, after));
    }
}

/// See the module.
pub struct Suspicion {
    me: NodeId,
    foca: Foca<Who, PostcardCodec, SmallRng, NoCustomBroadcast>,
    /// By time, then by order of submission.
    timers: BTreeMap<(u64, u64), Timer<Who>>,
    submitted: u64,
    packets: Vec<(NodeId, Vec<u8>)>,
}

impl core::fmt::Debug for Suspicion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Suspicion").field("timers", &self.timers.len()).finish_non_exhaustive()
    }
}

fn config(timing: &Timing) -> Config {
    Config {
        probe_period: Duration::from_nanos(timing.probe_ns),
        probe_rtt: Duration::from_nanos(timing.probe_ns / 3),
        num_indirect_probes: NonZeroUsize::MIN.saturating_add(2),
        max_transmissions: NonZeroU8::MIN.saturating_add(9),
        suspect_to_down_after: Duration::from_nanos(timing.suspect_ns),
        max_packet_size: NonZeroUsize::new(MAX_PACKET).unwrap_or(NonZeroUsize::MIN),
        notify_down_members: true,
        periodic_gossip: Some(foca::PeriodicParams {
            frequency: Duration::from_nanos(timing.probe_ns / 2),
            num_members: NonZeroUsize::MIN.saturating_add(2),
        }),
        ..Config::simple()
    }
}

impl Suspicion {
    /// Knows nobody yet.
    pub fn new(me: NodeId, incarnation: Incarnation, timing: &Timing, seed: u64) -> Self {
        let who = Who { node: me, incarnation, life: 0 };
        let foca = Foca::new(who, config(timing), SmallRng::seed_from_u64(seed), PostcardCodec);
        Self { me, foca, timers: BTreeMap::new(), submitted: 0, packets: Vec::new() }
    }

    fn fulfil(&mut self, now_ns: u64, wishes: Wishes) {
        self.packets.extend(wishes.packets);
        for (timer, after) in wishes.timers {
            let after_ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            self.timers.insert((now_ns.saturating_add(after_ns), self.submitted), timer);
            self.submitted = self.submitted.wrapping_add(1);
        }
        // Far more than foca ever has under way; the latest are the least urgent.
        while self.timers.len() > MAX_TIMERS {
            self.timers.pop_last();
        }
    }

    /// Greets a member that is not known here.
    pub fn announce(&mut self, now_ns: u64, node: NodeId, incarnation: Incarnation) {
        if node == self.me || self.up().contains(&node) {
            return;
        }
        let mut wishes = Wishes::default();
        // Fails only for what does not fit a packet, which a greeting does.
        let _ = self.foca.announce(Who { node, incarnation, life: 0 }, &mut wishes);
        self.fulfil(now_ns, wishes);
    }

    /// A packet from a member. `false` if it was not as it should be.
    pub fn packet(&mut self, now_ns: u64, from: NodeId, members: &BTreeSet<NodeId>, packet: &[u8]) -> bool {
        if !is_sound(packet, from, members) {
            return false;
        }
        let mut wishes = Wishes::default();
        let handled = self.foca.handle_data(packet, &mut wishes).is_ok();
        self.fulfil(now_ns, wishes);
        handled
    }

    /// Time passes.
    pub fn tick(&mut self, now_ns: u64) {
        // What a timer sets anew is due later.
        for _ in 0..MAX_TIMERS {
            let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now_ns) else {
                break;
            };
            let timer = entry.remove();
            let mut wishes = Wishes::default();
            // An error says that a probe went another way than foca thought: it has begun the next one.
            let _ = self.foca.handle_timer(timer, &mut wishes);
            self.fulfil(now_ns, wishes);
        }
    }

    /// When to tick.
    pub fn next_ns(&self) -> u64 {
        self.timers.first_key_value().map_or(u64::MAX, |((due, _), _)| *due)
    }

    /// Packets to send.
    pub fn take_packets(&mut self) -> Vec<(NodeId, Vec<u8>)> {
        core::mem::take(&mut self.packets)
    }

    /// Members that answer, or that nobody has missed for long.
    pub fn up(&self) -> BTreeSet<NodeId> {
        let mut up = BTreeSet::new();
        up.extend(self.foca.iter_members().map(|member| member.id().node));
        up
    }

    /// Tells the others that this node leaves.
    pub fn leave(&mut self, now_ns: u64) {
        let mut wishes = Wishes::default();
        let _ = self.foca.leave_cluster(&mut wishes);
        self.fulfil(now_ns, wishes);
    }
}

/// Whether a packet names its sender truthfully and speaks of members only.
fn is_sound(packet: &[u8], from: NodeId, members: &BTreeSet<NodeId>) -> bool {
    if packet.len() > MAX_PACKET {
        return false;
    }
    let mut rest = packet;
    let header: foca::Header<Who> = match PostcardCodec.decode_header(&mut rest) {
        Ok(header) => header,
        Err(_) => return false,
    };
    if header.src.node != from {
        return false;
    }
    let Some((count, mut rest)) = rest.split_first_chunk::<2>() else { return rest.is_empty() };
    for _ in 0..u16::from_be_bytes(*count) {
        let member: Member<Who> = match PostcardCodec.decode_member(&mut rest) {
            Ok(member) => member,
            Err(_) => return false,
        };
        if !members.contains(&member.id().node) {
            return false;
        }
    }
    rest.is_empty()
}
