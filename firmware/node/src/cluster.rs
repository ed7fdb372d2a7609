//! Membership as the node sees it: the appliance's words, the members' frames and time in; frames, reports and
//! what may span in and out.
//!
//! ```text
//! none ──Config that names this node──▶ joined ──Dissolved, or a Config without this node──▶ none
//! ```
//! A node is in one partition. Without the appliance nothing changes here: members go on by themselves.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use weft_agent::ClusterTrust;
use weft_membership::{Config, Decision, Effect, Epoch, Judge, Membership, RecordId, Refusal, Timing, View};
use weft_types::{Fingerprint, NodeId};
use weft_wire::agent::{Level, MAX_TEXT, NodeEvent, ToServer};
use weft_wire::cluster::{
    ClusterConfig, ClusterEnvelope, ClusterPayload, ClusterReport, ClusterResult, MAX_TALK, PartitionSpec,
};
use weft_wire::codec::clip;
use weft_wire::operator::{Amendment, Wanted};
use weft_wire::record::VsSpec;

/// Between two reports to the appliance when nothing changes.
const REPORT_NS: u64 = 2_000_000_000;

/// What happened.
#[expect(
    clippy::large_enum_variant,
    reason = "made and consumed at once; a box would be one more allocation that can fail"
)]
#[derive(Debug)]
pub enum ClusterEvent {
    /// A signed record from the appliance, or from an operator by way of the agent.
    Record {
        /// Which partition, and its place in the order.
        envelope: ClusterEnvelope,
        /// What it says.
        payload: ClusterPayload,
        /// All of it.
        record: Vec<u8>,
        /// Whose word counts from now on.
        trust: ClusterTrust,
    },
    /// A frame from a member, authenticated.
    Peer {
        /// Who.
        from: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// The channel to the appliance is open, or gone.
    Online(bool),
    /// Time passed.
    Tick,
}

/// What is to be done.
#[expect(
    clippy::large_enum_variant,
    reason = "made and consumed at once; a box would be one more allocation that can fail"
)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterEffect {
    /// Send a frame to a member. It may be lost.
    SendPeer {
        /// Whom.
        node: NodeId,
        /// What, at most `weft_membership::frames::MAX_FRAME` bytes.
        bytes: Vec<u8>,
    },
    /// Tell the appliance.
    Send(ToServer),
    /// Note in the node's log.
    Log(Level, String),
    /// Key or members are other ones. See [`Cluster::partition`].
    Partition,
    /// The spanning servers that this node has a share in, as agreed.
    Spanning(Vec<VsSpec>),
    /// What spanning servers may count on.
    Reach(Reach),
}

/// What spanning servers may count on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Members of the agreed view; empty where this node has not agreed to it.
    pub members: Vec<NodeId>,
    /// Those of them that do not seem to live.
    pub silent: Vec<NodeId>,
    /// Past it, nothing may span over this node.
    pub lease_until_ns: u64,
    /// Before it, nothing that spans may start.
    pub quiet_until_ns: u64,
}

impl Reach {
    /// Nothing may span over this node.
    pub(crate) const NONE: Self =
        Self { members: Vec::new(), silent: Vec::new(), lease_until_ns: 0, quiet_until_ns: 0 };

    /// Why a server over these nodes may not run now.
    pub(crate) fn objection(&self, now_ns: u64, nodes: &[NodeId]) -> Option<String> {
        if self.members.is_empty() {
            return Some("this node is not part of its partition's agreed view".into());
        }
        if let Some(lost) = nodes.iter().find(|node| !self.members.contains(node)) {
            return Some(format!("node {} is lost", Fingerprint(*lost)));
        }
        (now_ns >= self.lease_until_ns).then(|| {
            let mut reason = String::from("the majority of the partition does not answer this node any more");
            for (at, node) in self.silent.iter().enumerate() {
                let before = if at == 0 { "; silent: " } else { ", " };
                reason += &format!("{before}{}", Fingerprint(*node));
            }
            reason
        })
    }
}

struct PartitionJudge {
    trust: ClusterTrust,
    partition: weft_types::PartitionId,
}

impl PartitionJudge {
    fn config(&self, record: &[u8]) -> Result<(RecordId, ClusterConfig), String> {
        let (envelope, payload) = self.trust.judge(record)?;
        if envelope.partition != self.partition {
            return Err(format!("it is of partition {}", envelope.partition));
        }
        match payload {
            ClusterPayload::Config(config) => Ok((record_id(&envelope), config)),
            ClusterPayload::Founding(_) | ClusterPayload::Vote(_) | ClusterPayload::Dissolved => {
                Err("it is no configuration".into())
            }
        }
    }
}

impl Judge for PartitionJudge {
    fn judge(&self, record: &[u8]) -> Result<(RecordId, Vec<NodeId>), String> {
        let (id, config) = self.config(record)?;
        Ok((id, config.partition.members.iter().map(|member| member.node).collect()))
    }
}

/// What is in force.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    pub(crate) record: Vec<u8>,
    pub(crate) servers: Vec<VsSpec>,
    /// Who amended the appliance's word, and what.
    pub(crate) amendment: Option<(String, Amendment)>,
}

impl InForce {
    /// What the appliance is to take over.
    fn wanted(&self) -> impl Iterator<Item = ClusterEffect> + '_ {
        self.amendment.iter().flat_map(|(by, amendment)| {
            amendment.changes.iter().map(|change| {
                ClusterEffect::Send(ToServer::Wanted(Wanted {
                    vs: change.vs,
                    generation: change.generation,
                    instance: change.instance,
                    running: change.running,
                    by: by.clone(),
                }))
            })
        })
    }
}

const fn record_id(envelope: &ClusterEnvelope) -> RecordId {
    RecordId { epoch: envelope.epoch, counter: envelope.counter }
}

#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) partition: PartitionSpec,
    pub(crate) membership: Membership,
    trust: ClusterTrust,
    /// The configuration that is told of, newest first seen.
    newest: RecordId,
    given: Option<RecordId>,
    pub(crate) in_force: InForce,
    pub(crate) majority: bool,
    view: Option<View>,
    pub(crate) reach: Reach,
    reported: Option<ClusterReport>,
    report_at_ns: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    me: NodeId,
    incarnation: u64,
    seed: u64,
    timing: Timing,
    online: bool,
    pub(crate) joined: Option<Joined>,
}

impl Cluster {
    /// A node that is in no partition. `incarnation` is greater than that of every earlier boot.
    pub fn new(me: NodeId, incarnation: u64, seed: u64) -> Self {
        Self { me, incarnation, seed, timing: Timing::default(), online: false, joined: None }
    }

    /// The partition that this node is in.
    pub fn partition(&self) -> Option<&PartitionSpec> {
        self.joined.as_ref().map(|joined| &joined.partition)
    }

    /// The epoch that this node has agreed to.
    pub fn agreed_epoch(&self) -> Option<Epoch> {
        self.joined.as_ref().and_then(|joined| joined.membership.agreed_epoch())
    }

    /// When to tick.
    pub fn next_ns(&self) -> u64 {
        self.joined.as_ref().map_or(u64::MAX, |joined| {
            let report = if self.online { joined.report_at_ns } else { u64::MAX };
            joined.membership.next_ns().min(report)
        })
    }

    /// One event.
    pub fn step(&mut self, now_ns: u64, event: ClusterEvent, effects: &mut Vec<ClusterEffect>) {
        match event {
            ClusterEvent::Record { envelope, payload, record, trust } => {
                self.on_record(now_ns, envelope, payload, &record, trust, effects);
            }
            ClusterEvent::Peer { from, bytes } => {
                if let Some(joined) = &mut self.joined {
                    joined.membership.message(now_ns, from, &bytes);
                }
            }
            ClusterEvent::Online(online) => {
                self.online = online;
                if let Some(joined) = &mut self.joined {
                    joined.membership.set_witness(now_ns, online);
                    joined.reported = None;
                    joined.report_at_ns = now_ns;
                    if online {
                        effects.extend(joined.in_force.wanted());
                    }
                }
            }
            ClusterEvent::Tick => {
                if let Some(joined) = &mut self.joined {
                    joined.membership.tick(now_ns);
                }
            }
        }
        self.settle(now_ns, effects);
    }

    fn on_record(
        &mut self,
        now_ns: u64,
        envelope: ClusterEnvelope,
        payload: ClusterPayload,
        record: &[u8],
        trust: ClusterTrust,
        effects: &mut Vec<ClusterEffect>,
    ) {
        if let Some(joined) = self.joined.as_ref().filter(|joined| joined.partition.id != envelope.partition)
        {
            if matches!(payload, ClusterPayload::Config(_)) {
                let reason = format!("this node is a member of partition {}", joined.partition.name);
                effects.push(result(&envelope, Err(reason)));
            }
            return;
        }
        match payload {
            ClusterPayload::Config(config) => {
                let mine = config.partition.index_of(self.me).is_some();
                match (&mut self.joined, mine) {
                    (None, false) => {
                        effects.push(result(&envelope, Err("this node is no member of it".into())));
                    }
                    (Some(joined), false) if record_id(&envelope) > joined.newest => {
                        self.dissolve(now_ns, effects);
                    }
                    (Some(_), false) => {}
                    (None, true) => self.join(now_ns, &envelope, config, record, trust, effects),
                    (Some(joined), true) => joined.configure(now_ns, &envelope, record, trust, effects),
                }
            }
            ClusterPayload::Founding(bytes) => {
                let founding = postcard::take_from_bytes::<Decision>(&bytes).ok();
                if let (Some(joined), Some((founding, []))) = (&mut self.joined, founding) {
                    joined.membership.found(now_ns, &founding);
                }
            }
            ClusterPayload::Vote(talk) => {
                if let Some(joined) = &mut self.joined {
                    joined.membership.witness_answer(now_ns, &talk);
                }
            }
            ClusterPayload::Dissolved => self.dissolve(now_ns, effects),
        }
    }

    fn join(
        &mut self,
        now_ns: u64,
        envelope: &ClusterEnvelope,
        config: ClusterConfig,
        record: &[u8],
        trust: ClusterTrust,
        effects: &mut Vec<ClusterEffect>,
    ) {
        let setup =
            Config { me: self.me, incarnation: self.incarnation, seed: self.seed, timing: self.timing };
        let judge = PartitionJudge { trust: trust.clone(), partition: envelope.partition };
        let mut membership = Membership::new(&setup, Box::new(judge), now_ns);
        membership.set_witness(now_ns, self.online);
        if let Err(refusal) = membership.introduce(now_ns, record) {
            effects.push(result(envelope, Err(refusal.to_string())));
            return;
        }
        let name = &config.partition.name;
        effects.push(ClusterEffect::Log(Level::Info, format!("joining partition {name}")));
        self.joined = Some(Joined {
            partition: config.partition,
            membership,
            trust,
            newest: record_id(envelope),
            given: None,
            in_force: InForce::default(),
            majority: false,
            view: None,
            reach: Reach::default(),
            reported: None,
            report_at_ns: now_ns,
        });
        effects.push(ClusterEffect::Partition);
    }

    fn dissolve(&mut self, now_ns: u64, effects: &mut Vec<ClusterEffect>) {
        let Some(mut joined) = self.joined.take() else { return };
        // Whoever joins again remembers nothing: that is another voter.
        self.incarnation = self.incarnation.saturating_add(1);
        joined.membership.leave(now_ns);
        for effect in joined.membership.take_effects() {
            if let Effect::Send { to, bytes } = effect {
                effects.push(ClusterEffect::SendPeer { node: to, bytes });
            }
        }
        let text = format!("left partition {}", joined.partition.name);
        effects.push(ClusterEffect::Log(Level::Info, text));
        effects.push(ClusterEffect::Reach(Reach::default()));
        effects.push(ClusterEffect::Spanning(Vec::new()));
        effects.push(ClusterEffect::Partition);
    }

    fn settle(&mut self, now_ns: u64, effects: &mut Vec<ClusterEffect>) {
        let (me, online) = (self.me, self.online);
        let Some(joined) = &mut self.joined else { return };
        for effect in joined.membership.take_effects() {
            joined.apply(now_ns, me, online, effect, effects);
        }
        joined.tell_reach(effects);
        if online {
            joined.report(now_ns, effects);
        }
    }
}

fn result(envelope: &ClusterEnvelope, result: Result<(), String>) -> ClusterEffect {
    ClusterEffect::Send(ToServer::ClusterResult(ClusterResult {
        partition: envelope.partition,
        record: (envelope.epoch, envelope.counter),
        result: result.map_err(|reason| clip(&reason, MAX_TEXT).into()),
    }))
}

fn event(now_ns: u64, level: Level, kind: &str, text: &str) -> ClusterEffect {
    ClusterEffect::Send(ToServer::Event(NodeEvent {
        uptime_ms: now_ns / 1_000_000,
        level,
        kind: kind.into(),
        vs: None,
        text: clip(text, MAX_TEXT).into(),
    }))
}

impl Joined {
    fn configure(
        &mut self,
        now_ns: u64,
        envelope: &ClusterEnvelope,
        record: &[u8],
        trust: ClusterTrust,
        effects: &mut Vec<ClusterEffect>,
    ) {
        let id = record_id(envelope);
        self.trust = trust.clone();
        self.membership.set_judge(Box::new(PartitionJudge { trust, partition: envelope.partition }));
        let standing = self.membership.standing();
        if !standing.agreed {
            if let Err(refusal) = self.membership.introduce(now_ns, record) {
                effects.push(result(envelope, Err(refusal.to_string())));
            }
            return;
        }
        // Also what an operator has amended since: the appliance gives its own word when it comes back.
        if id == standing.record || id.number() == standing.record.number().base() {
            effects.push(result(envelope, Ok(())));
            return;
        }
        self.given = Some(id);
        self.membership.configure(now_ns, record);
    }

    fn apply(
        &mut self,
        now_ns: u64,
        me: NodeId,
        online: bool,
        effect: Effect,
        effects: &mut Vec<ClusterEffect>,
    ) {
        match effect {
            Effect::Send { to, bytes } => effects.push(ClusterEffect::SendPeer { node: to, bytes }),
            Effect::Witness(talk) => {
                if online && talk.len() <= MAX_TALK {
                    let partition = self.partition.id;
                    effects.push(ClusterEffect::Send(ToServer::ClusterTalk { partition, talk }));
                }
            }
            Effect::ViewChanged(view) => self.on_view(now_ns, view, effects),
            Effect::Committed { id, record, .. } => {
                self.on_committed(me, id, &record, effects);
                if online {
                    effects.extend(self.in_force.wanted());
                }
            }
            Effect::Refused { id, reason } => {
                let id = id.unwrap_or_default();
                self.given = self.given.filter(|given| *given != id);
                effects.push(ClusterEffect::Send(ToServer::ClusterResult(ClusterResult {
                    partition: self.partition.id,
                    record: (id.epoch, id.counter),
                    result: Err(clip(&reason.to_string(), MAX_TEXT).into()),
                })));
                if matches!(reason, Refusal::NoMajority { .. } | Refusal::Timeout) {
                    let text = format!("configuration {id} refused: {reason}");
                    effects.push(event(now_ns, Level::Warn, "cluster.refused", &text));
                }
            }
            Effect::Majority(majority) => {
                let name = &self.partition.name;
                if majority {
                    let text = format!("a majority of partition {name} answers");
                    effects.push(event(now_ns, Level::Info, "cluster.majority", &text));
                } else if self.majority {
                    let text = format!(
                        "the majority of partition {name} does not answer: spanning servers stop, \
                         configurations are refused"
                    );
                    effects.push(event(now_ns, Level::Warn, "cluster.minority", &text));
                }
                self.majority = majority;
            }
        }
    }

    fn on_view(&mut self, now_ns: u64, view: View, effects: &mut Vec<ClusterEffect>) {
        let names: Vec<String> = view.members.iter().map(|node| Fingerprint(*node).to_string()).collect();
        let text = format!(
            "epoch {} of partition {}: {}; coordinated by {}",
            view.epoch.counter,
            self.partition.name,
            names.join(", "),
            Fingerprint(view.coordinator)
        );
        effects.push(ClusterEffect::Log(Level::Info, text.clone()));
        let changed = self.view.as_ref().is_none_or(|before| before.members != view.members);
        // The others' view is the coordinator's to tell, once.
        if changed && view.agreed && self.me_is_first(&view) {
            effects.push(event(now_ns, Level::Info, "cluster.view", &text));
        }
        self.view = Some(view);
    }

    fn me_is_first(&self, view: &View) -> bool {
        self.membership.id() == view.coordinator
    }

    fn on_committed(&mut self, me: NodeId, id: RecordId, record: &[u8], effects: &mut Vec<ClusterEffect>) {
        let judge = PartitionJudge { trust: self.trust.clone(), partition: self.partition.id };
        // It was judged before it was taken; the delegation may have been replaced since.
        let config = match judge.config(record) {
            Ok((_, config)) => config,
            Err(reason) => {
                let text = format!("the agreed configuration does not count any more: {reason}");
                effects.push(ClusterEffect::Log(Level::Error, text));
                return;
            }
        };
        if self.partition != config.partition {
            self.partition = config.partition;
            effects.push(ClusterEffect::Partition);
        }
        self.newest = self.newest.max(id);
        let text = format!("configuration {id} is agreed");
        effects.push(ClusterEffect::Log(Level::Info, text));
        if self.given.is_some_and(|given| given <= id) {
            self.given = None;
            effects.push(ClusterEffect::Send(ToServer::ClusterResult(ClusterResult {
                partition: self.partition.id,
                record: (id.epoch, id.counter),
                result: Ok(()),
            })));
        }
        let mine = |spec: &&VsSpec| spec.span.as_ref().is_some_and(|span| span.index_of(me).is_some());
        effects.push(ClusterEffect::Spanning(config.servers.iter().filter(mine).cloned().collect()));
        let amendment = self.trust.amendment(record);
        self.in_force = InForce { record: record.to_vec(), servers: config.servers, amendment };
    }

    fn tell_reach(&mut self, effects: &mut Vec<ClusterEffect>) {
        let view = self.membership.view().filter(|view| view.agreed);
        let reach = Reach {
            members: view.map_or(Vec::new(), |view| view.members.clone()),
            silent: self.membership.silent(),
            lease_until_ns: self.membership.lease_until_ns(),
            quiet_until_ns: self.membership.quiet_until_ns(),
        };
        if reach != self.reach {
            self.reach = reach.clone();
            effects.push(ClusterEffect::Reach(reach));
        }
    }

    fn report(&mut self, now_ns: u64, effects: &mut Vec<ClusterEffect>) {
        let standing = self.membership.standing();
        let report = ClusterReport {
            partition: self.partition.id,
            incarnation: standing.incarnation,
            unfounded: standing.unfounded,
            voter: standing.voter,
            agreed: standing.agreed,
            majority: self.majority,
            epoch: (standing.epoch.counter, standing.epoch.proposer),
            record: (standing.record.epoch, standing.record.counter),
            members: self.membership.view().map_or(Vec::new(), |view| view.members.clone()),
            lease_ms: 0,
        };
        if self.reported.as_ref() == Some(&report) && now_ns < self.report_at_ns {
            return;
        }
        self.reported = Some(report.clone());
        self.report_at_ns = now_ns.saturating_add(REPORT_NS);
        let left_ns = self.membership.lease_until_ns().saturating_sub(now_ns);
        let lease_ms = u32::try_from(left_ns / 1_000_000).unwrap_or(u32::MAX);
        effects.push(ClusterEffect::Send(ToServer::Cluster(ClusterReport { lease_ms, ..report })));
    }
}
