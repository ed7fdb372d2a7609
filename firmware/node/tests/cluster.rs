//! Partitions of real nodes' membership and servers: signed records in, sealed datagrams between, starts and stops out.

#[path = "lab/operator.rs"]
mod operator;
#[expect(dead_code, reason = "shared with the tests of a whole node, which use the rest")]
#[path = "lab/trust.rs"]
mod trust;

use std::collections::BTreeMap;

use weft_agent::ClusterTrust;
use weft_format::cluster::encode_unsigned_cluster;
use weft_format::record::with_signature;
use weft_format::{DalekVerifier, RootSet, key_id, verify_delegation};
use weft_membership::{Founder, RecordId, Standing, Talk};
use weft_node::cluster::{Cluster, ClusterEffect, ClusterEvent, Reach};
use weft_node::peers::PeerChannel;
use weft_node::{Effect, Event, Limits, Node, StopCause};
use weft_types::{BlobDigest, ConfigNumber, NodeId, PartitionId, VsId};
use weft_wire::agent::{ToServer, VsState, VsStatus};
use weft_wire::cluster::{
    CLUSTER_VERSION, ClusterConfig, ClusterEnvelope, ClusterPayload, ClusterReport, ClusterResult, LinkKey,
    Member, PartitionSpec, Place, SpanSpec,
};
use weft_wire::operator::{Amendment, Certificate, Change, OPERATOR_VERSION, Role, Wanted};
use weft_wire::record::{BlobRef, Desired, VsSpec};

use operator::{Keys, issued};
use trust::{NOW_S, Trust};

const MS: u64 = 1_000_000;
const PARTITION: PartitionId = PartitionId([5; 16]);
const KEY: LinkKey = LinkKey([6; 32]);

struct Unit {
    id: NodeId,
    cluster: Cluster,
    node: Node,
    channel: PeerChannel,
    results: Vec<ClusterResult>,
    events: Vec<String>,
    report: Option<ClusterReport>,
    status: Option<VsStatus>,
    wanted: Vec<Wanted>,
    reach: Reach,
}

/// Some nodes, a network, an appliance that may be off.
struct Bench {
    now: u64,
    trust: Trust,
    units: Vec<Unit>,
    /// Nodes that hear each other.
    sides: Vec<u8>,
    online: bool,
    founder: Founder,
    counter: u64,
    newest: Option<(RecordId, Vec<u8>)>,
    queue: BTreeMap<(u64, u64), (usize, Vec<u8>)>,
    sent: u64,
}

fn id(index: usize) -> NodeId {
    NodeId([u8::try_from(index + 1).unwrap(); 16])
}

fn unit(index: usize, incarnation: u64, now: u64) -> Unit {
    let id = id(index);
    Unit {
        id,
        cluster: Cluster::new(id, incarnation, incarnation + index as u64),
        node: Node::new(id, Limits { guest_memory_mib: 1024, blob_cache_bytes: 1 << 20 }),
        channel: PeerChannel::new(id, incarnation, &KEY, now),
        results: Vec::new(),
        events: Vec::new(),
        report: None,
        status: None,
        wanted: Vec::new(),
        reach: Reach::default(),
    }
}

impl Bench {
    fn new(nodes: usize) -> Self {
        Self {
            now: 0,
            trust: Trust::new(0x42),
            units: (0..nodes).map(|index| unit(index, 1 << 32, 0)).collect(),
            sides: vec![0; nodes],
            online: true,
            founder: Founder::default(),
            counter: 0,
            newest: None,
            queue: BTreeMap::new(),
            sent: 0,
        }
    }

    fn sign(&mut self, payload: &ClusterPayload) -> (RecordId, Vec<u8>) {
        use ed25519_dalek::Signer;
        self.counter += 1;
        let number = ConfigNumber::of_appliance(1, self.counter).unwrap();
        let envelope = ClusterEnvelope {
            version: CLUSTER_VERSION,
            key_id: key_id(&self.trust.record.verifying_key().to_bytes()).0,
            cluster: self.trust.cluster,
            partition: PARTITION,
            epoch: 1,
            counter: number.counter,
        };
        let unsigned = encode_unsigned_cluster(&envelope, payload).unwrap();
        let signature = self.trust.record.sign(&unsigned).to_bytes();
        (number.into(), with_signature(unsigned, &signature))
    }

    fn config(&mut self, servers: Vec<VsSpec>) -> (RecordId, Vec<u8>) {
        let members = (0..self.units.len())
            .map(|index| Member {
                node: id(index),
                mac: [2, 0, 0, 0, 1, u8::try_from(index).unwrap()],
                address: [10, 0, 0, 1],
                cpus: 2,
                memory_mib: 1024,
            })
            .collect();
        let partition = PartitionSpec { id: PARTITION, name: "p1".into(), members, key: KEY };
        let signed = self.sign(&ClusterPayload::Config(ClusterConfig { partition, servers }));
        self.newest = Some(signed.clone());
        signed
    }

    fn whose_word(&self) -> ClusterTrust {
        let roots = RootSet::parse_padded(&self.trust.root_set()).unwrap();
        let bytes = self.trust.delegation(1, NOW_S + 1000, vec![]);
        let delegation = verify_delegation(&bytes, &roots, &DalekVerifier, 0).unwrap();
        ClusterTrust::new(delegation, self.trust.cluster)
    }

    fn give(&mut self, index: usize, record: &[u8]) {
        let trust = self.whose_word();
        let (envelope, payload) = trust.judge(record).unwrap();
        self.step(index, ClusterEvent::Record { envelope, payload, record: record.to_vec(), trust });
    }

    fn step(&mut self, index: usize, event: ClusterEvent) {
        let mut effects = Vec::new();
        self.units[index].cluster.step(self.now, event, &mut effects);
        for effect in effects {
            match effect {
                ClusterEffect::SendPeer { node, bytes } => {
                    let to = usize::from(node.0[0]) - 1;
                    let datagram = self.units[index].channel.seal(node, &bytes).unwrap();
                    self.sent += 1;
                    if self.sides[index] == self.sides[to] {
                        self.queue.insert((self.now + MS, self.sent), (to, datagram));
                    }
                }
                ClusterEffect::Send(ToServer::Cluster(report)) => self.units[index].report = Some(report),
                ClusterEffect::Send(ToServer::ClusterTalk { talk, .. }) => self.on_talk(index, &talk),
                ClusterEffect::Send(ToServer::ClusterResult(result)) => {
                    self.units[index].results.push(result);
                }
                ClusterEffect::Send(ToServer::Event(event)) => self.units[index].events.push(event.kind),
                ClusterEffect::Send(ToServer::Wanted(wanted)) => self.units[index].wanted.push(wanted),
                ClusterEffect::Send(other) => panic!("not of membership: {other:?}"),
                ClusterEffect::Log(..) | ClusterEffect::Partition => {}
                ClusterEffect::Spanning(servers) => self.node(index, Event::Spanning(servers)),
                ClusterEffect::Reach(reach) => {
                    self.units[index].reach = reach.clone();
                    self.node(index, Event::Reach(reach));
                }
            }
        }
    }

    fn on_talk(&mut self, index: usize, talk: &[u8]) {
        let talk: Talk = postcard::from_bytes(talk).unwrap();
        if let Some(answer) = self.founder.answer(&talk).filter(|_| self.online) {
            let answer = postcard::to_allocvec(&answer).unwrap();
            let (_, record) = self.sign(&ClusterPayload::Vote(answer));
            self.give(index, &record);
        }
    }

    /// The monitor starts and stops at once.
    fn node(&mut self, index: usize, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.units[index].node.step(self.now, event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::StartVs { spec, .. } => {
                        events.push(Event::VsStarted { vs: spec.id, instance: spec.instance });
                    }
                    Effect::StopVs { vs, instance } => {
                        events.push(Event::VsStopped { vs, instance, cause: StopCause::Stopped });
                    }
                    Effect::FetchBlob(blob) => {
                        events.push(Event::BlobReady { digest: blob.digest, bytes: vec![0; 4] });
                    }
                    Effect::Send(ToServer::VsStatus(status)) => self.units[index].status = Some(status),
                    Effect::Send(_)
                    | Effect::Log(..)
                    | Effect::CancelBlob(_)
                    | Effect::PinVs(_)
                    | Effect::ConsoleInput { .. } => {}
                }
            }
        }
    }

    /// What the appliance does with reports.
    fn appliance(&mut self) {
        let Some((record, bytes)) = self.newest.clone().filter(|_| self.online) else { return };
        let reports: Vec<(NodeId, Standing)> = self
            .units
            .iter()
            .filter_map(|unit| {
                let report = unit.report.as_ref()?;
                let standing = Standing {
                    incarnation: report.incarnation,
                    unfounded: report.unfounded,
                    voter: report.voter,
                    epoch: weft_membership::Epoch { counter: report.epoch.0, proposer: report.epoch.1 },
                    record: RecordId { epoch: report.record.0, counter: report.record.1 },
                    agreed: report.agreed,
                };
                Some((unit.id, standing))
            })
            .collect();
        let members: Vec<NodeId> = (0..self.units.len()).map(id).collect();
        let founding = self.founder.consider(&members, &reports, record);
        let founding = founding.map(|decision| {
            let bytes = postcard::to_allocvec(&decision).unwrap();
            self.sign(&ClusterPayload::Founding(bytes)).1
        });
        for index in 0..self.units.len() {
            if self.units[index].report.as_ref().is_none_or(|report| !report.agreed) {
                self.give(index, &bytes);
                if let Some(founding) = &founding {
                    self.give(index, founding);
                }
            }
        }
    }

    fn run(&mut self, for_ms: u64) {
        for _ in 0..for_ms / 5 {
            self.now += 5 * MS;
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (to, datagram) = entry.remove();
                if let Some((from, bytes)) = self.units[to].channel.open(&datagram) {
                    self.step(to, ClusterEvent::Peer { from, bytes });
                }
            }
            for index in 0..self.units.len() {
                if self.now >= self.units[index].cluster.next_ns() {
                    self.step(index, ClusterEvent::Tick);
                }
                if self.now >= self.units[index].node.next_ns() {
                    self.node(index, Event::Tick);
                }
            }
            if self.now.is_multiple_of(500 * MS) {
                self.appliance();
            }
        }
    }

    fn set_online(&mut self, online: bool) {
        self.online = online;
        for index in 0..self.units.len() {
            self.step(index, ClusterEvent::Online(online));
        }
    }

    fn founded(nodes: usize) -> Self {
        let mut bench = Self::new(nodes);
        bench.set_online(true);
        let (_, record) = bench.config(Vec::new());
        for index in 0..nodes {
            bench.give(index, &record);
        }
        bench.run(5000);
        let epochs: Vec<_> = bench.units.iter().map(|unit| unit.cluster.agreed_epoch()).collect();
        assert!(epochs[0].is_some() && epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
        bench
    }

    fn spanning(&self, instance: u64) -> VsSpec {
        let place = |index: usize| Place {
            node: id(index),
            mac: [2, 0, 0, 0, 1, u8::try_from(index).unwrap()],
            address: [0; 4],
            vcpus: 1,
            memory_mib: 64,
        };
        let places: Vec<Place> = (0..self.units.len()).map(place).collect();
        let count = u16::try_from(places.len()).unwrap();
        VsSpec {
            id: VsId([7; 16]),
            instance,
            generation: instance,
            vcpus: count,
            memory_mib: u32::from(count) * 64,
            affinity: Vec::new(),
            span: Some(SpanSpec { partition: PARTITION, epoch: instance, key: KEY, pinned: false, places }),
            name: "big".into(),
            desired: Desired::Running,
            kernel: BlobRef { digest: BlobDigest([1; 32]), size: 4 },
            initrd: None,
            append: String::new(),
            macs: Vec::new(),
        }
    }

    fn states(&self) -> Vec<Option<VsState>> {
        self.units.iter().map(|unit| unit.status.as_ref().map(|status| status.state)).collect()
    }

    fn reasons(&self) -> Vec<String> {
        self.units
            .iter()
            .map(|unit| unit.status.as_ref().map_or(String::new(), |s| s.reason.clone()))
            .collect()
    }
}

#[test]
fn a_configuration_given_to_one_member_starts_a_server_on_all() {
    for nodes in [2, 3] {
        let mut bench = Bench::founded(nodes);
        // Nobody needs the appliance from here on.
        bench.set_online(false);
        let spec = bench.spanning(1);
        let (id, record) = bench.config(vec![spec]);
        bench.give(nodes - 1, &record);
        bench.run(3000);
        assert_eq!(bench.states(), vec![Some(VsState::Running); nodes]);
        let given = bench.units[nodes - 1].results.last().unwrap();
        assert_eq!((given.record, &given.result), ((id.epoch, id.counter), &Ok(())));
    }
}

#[test]
fn a_lost_member_stops_the_server_everywhere_and_a_later_instance_starts_again() {
    let mut bench = Bench::founded(3);
    let spec = bench.spanning(1);
    let (_, record) = bench.config(vec![spec]);
    bench.give(0, &record);
    bench.run(3000);
    bench.sides = vec![0, 0, 1];
    bench.run(12_000);
    assert_eq!(bench.states(), vec![Some(VsState::Failed); 3]);
    let reasons = bench.reasons();
    assert!(reasons[0].ends_with("is lost") && reasons[1].ends_with("is lost"), "{reasons:?}");
    assert!(reasons[2].contains("majority") && reasons[2].contains("; silent: "), "{reasons:?}");
    assert!(bench.units[2].events.contains(&"cluster.minority".to_string()));
    // Given to the lost side, a configuration is refused with the reason.
    let spec = bench.spanning(2);
    let (_, record) = bench.config(vec![spec]);
    bench.give(2, &record);
    let refused = bench.units[2].results.last().unwrap().result.clone();
    assert_eq!(refused, Err("no majority: 1 of 3 members answer".to_string()));
    bench.sides = vec![0; 3];
    bench.run(8000);
    bench.give(1, &record);
    bench.run(10_000);
    assert_eq!(bench.states(), vec![Some(VsState::Running); 3], "{:?}", bench.reasons());
}

#[test]
fn a_member_that_boots_again_takes_part_again() {
    let mut bench = Bench::founded(2);
    let spec = bench.spanning(1);
    let (_, record) = bench.config(vec![spec]);
    bench.give(0, &record);
    bench.run(3000);
    bench.units[1] = unit(1, 2 << 32, bench.now);
    bench.step(1, ClusterEvent::Online(true));
    let (_, newest) = bench.newest.clone().unwrap();
    bench.give(1, &newest);
    bench.run(15_000);
    let epochs: Vec<_> = bench.units.iter().map(|unit| unit.cluster.agreed_epoch()).collect();
    assert!(epochs[0].is_some() && epochs[0] == epochs[1], "{epochs:?}");
    let members = bench.units[0].reach.members.len();
    assert_eq!(members, 2);
}

#[test]
fn a_dissolved_partition_is_left_and_its_servers_stop() {
    let mut bench = Bench::founded(2);
    let spec = bench.spanning(1);
    let (_, record) = bench.config(vec![spec]);
    bench.give(0, &record);
    bench.run(3000);
    let (_, dissolved) = bench.sign(&ClusterPayload::Dissolved);
    bench.newest = None;
    for index in 0..2 {
        bench.give(index, &dissolved);
    }
    bench.run(1000);
    assert!(bench.units.iter().all(|unit| unit.cluster.partition().is_none()));
    assert!(bench.states().iter().all(|state| *state != Some(VsState::Running)), "{:?}", bench.states());
}

#[test]
fn a_configuration_of_another_partition_is_refused() {
    let mut bench = Bench::founded(2);
    let (_, other) = bench.config(Vec::new());
    let trust = bench.whose_word();
    let (mut envelope, payload) = trust.judge(&other).unwrap();
    envelope.partition = PartitionId([9; 16]);
    bench.step(0, ClusterEvent::Record { envelope, payload, record: other, trust });
    let refused = bench.units[0].results.last().unwrap().result.clone();
    assert_eq!(refused, Err("this node is a member of partition p1".to_string()));
}

/// The server of [`Bench::spanning`], from this definition on.
fn change(generation: u64, instance: u64, running: bool) -> Change {
    Change { vs: VsId([7; 16]), generation, instance, running }
}

impl Bench {
    /// A partition with a server that is stopped, the appliance being away.
    fn with_stopped_server(nodes: usize) -> Self {
        let mut bench = Self::founded(nodes);
        let spec = VsSpec { desired: Desired::Stopped, ..bench.spanning(1) };
        let (_, record) = bench.config(vec![spec]);
        bench.give(0, &record);
        bench.run(3000);
        bench.set_online(false);
        bench
    }

    fn amendment(&self, number: u8, changes: Vec<Change>) -> Amendment {
        let (base, _) = self.newest.as_ref().unwrap();
        Amendment {
            version: OPERATOR_VERSION,
            cluster: self.trust.cluster,
            partition: PARTITION,
            base: (base.epoch, base.counter),
            number,
            changes,
        }
    }

    /// The amended record as a member makes it.
    fn amended(&self, index: usize, amendment: &Amendment) -> Vec<u8> {
        let keys = Keys::new(3);
        let certificate = issued(&self.trust, &keys.certificate(&self.trust));
        self.units[index].cluster.amended(&certificate, &keys.signed(amendment)).unwrap()
    }

    /// The appliance's newest configuration, with something behind it.
    fn named(&self, amendment: &str) -> String {
        format!("{}{amendment}", self.newest.as_ref().unwrap().0)
    }

    fn in_force(&self) -> Vec<String> {
        let record = |unit: &Unit| {
            let (epoch, counter) = unit.cluster.view().unwrap().record;
            ConfigNumber { epoch, counter }.to_string()
        };
        self.units.iter().map(record).collect()
    }
}

#[test]
fn an_operator_starts_a_server_through_any_member_while_the_appliance_is_away() {
    for nodes in [2, 3] {
        let mut bench = Bench::with_stopped_server(nodes);
        let record = bench.amended(nodes - 1, &bench.amendment(1, vec![change(2, 2, true)]));
        bench.give(nodes - 1, &record);
        bench.run(3000);
        assert_eq!(bench.states(), vec![Some(VsState::Running); nodes]);
        assert_eq!(bench.in_force(), vec![bench.named("+1"); nodes]);
        assert_eq!(bench.units[nodes - 1].results.last().unwrap().result, Ok(()));
        let spec = bench.units[0].cluster.servers()[0].clone();
        let span = spec.span.unwrap();
        assert_eq!((spec.instance, span.epoch), (2, 2));
        assert_ne!(span.key, KEY, "a start has a key of its own");
        assert!(
            bench.units.iter().all(|unit| unit.cluster.servers()[0].span.as_ref().unwrap().key == span.key)
        );
        // The next one says all that differs, again.
        let next = bench.amendment(2, vec![change(3, 2, false)]);
        assert_eq!(bench.units[0].cluster.follows(&next), Ok(()));
        let stale = bench.amendment(1, vec![change(3, 2, false)]);
        let reason = bench.units[0].cluster.follows(&stale).unwrap_err();
        assert_eq!(reason, format!("configuration {} is in force by now; look again", bench.named("+1")));
        let record = bench.amended(0, &next);
        bench.give(0, &record);
        bench.run(3000);
        assert_eq!(bench.states(), vec![Some(VsState::Stopped); nodes]);
        assert_eq!(bench.in_force(), vec![bench.named("+2"); nodes]);
    }
}

#[test]
fn an_amendment_without_a_majority_is_refused_with_the_reason() {
    let mut bench = Bench::with_stopped_server(3);
    bench.sides = vec![0, 0, 1];
    bench.run(12_000);
    let record = bench.amended(2, &bench.amendment(1, vec![change(2, 2, true)]));
    bench.give(2, &record);
    let refused = bench.units[2].results.last().unwrap().result.clone();
    assert_eq!(refused, Err("no majority: 1 of 3 members answer".to_string()));
    bench.give(0, &record);
    bench.run(3000);
    assert_eq!(bench.in_force(), [bench.named("+1"), bench.named("+1"), bench.named("")]);
    // Who was cut off hears of it.
    bench.sides = vec![0; 3];
    bench.run(10_000);
    assert_eq!(bench.in_force(), vec![bench.named("+1"); 3]);
}

#[test]
fn the_appliance_hears_of_an_amendment_and_its_next_word_follows_it() {
    let mut bench = Bench::with_stopped_server(2);
    let record = bench.amended(1, &bench.amendment(1, vec![change(2, 2, true)]));
    bench.give(1, &record);
    bench.run(3000);
    bench.set_online(true);
    let wanted =
        Wanted { vs: VsId([7; 16]), generation: 2, instance: 2, running: true, by: "ann".to_string() };
    assert!(bench.units.iter().all(|unit| unit.wanted == [wanted.clone()]));
    // What it gave last is part of what is in force: that is no refusal.
    let (_, base) = bench.newest.clone().unwrap();
    bench.give(0, &base);
    assert_eq!(bench.units[0].results.last().unwrap().result, Ok(()));
    bench.run(2000);
    assert_eq!(bench.in_force(), vec![bench.named("+1"); 2]);
    let spec = VsSpec { generation: 3, desired: Desired::Stopped, ..bench.spanning(2) };
    let (_, next) = bench.config(vec![spec]);
    bench.give(0, &next);
    bench.run(3000);
    assert_eq!(bench.states(), vec![Some(VsState::Stopped); 2]);
    assert_eq!(bench.in_force(), vec![bench.named(""); 2]);
    bench.set_online(true);
    assert!(bench.units.iter().all(|unit| unit.wanted.len() == 1), "nothing to hear of any more");
}

#[test]
fn a_member_that_boots_again_learns_the_amended_configuration_from_the_others() {
    let mut bench = Bench::with_stopped_server(2);
    let record = bench.amended(0, &bench.amendment(1, vec![change(2, 2, true)]));
    bench.give(0, &record);
    bench.run(3000);
    bench.set_online(true);
    bench.units[1] = unit(1, 2 << 32, bench.now);
    bench.step(1, ClusterEvent::Online(true));
    let (_, newest) = bench.newest.clone().unwrap();
    bench.give(1, &newest);
    bench.run(15_000);
    assert_eq!(bench.in_force(), vec![bench.named("+1"); 2]);
}

#[test]
fn amendments_that_are_not_an_operators_count_for_nothing() {
    let bench = Bench::with_stopped_server(2);
    let (keys, trust) = (Keys::new(3), bench.whose_word());
    let good = keys.certificate(&bench.trust);
    let amendment = bench.amendment(1, vec![change(2, 2, true)]);
    let judged = |certificate: &Certificate, signed: &[u8]| {
        let record = bench.units[0].cluster.amended(&issued(&bench.trust, certificate), signed).unwrap();
        trust.judge(&record).map(|_| ())
    };
    assert_eq!(judged(&good, &keys.signed(&amendment)), Ok(()));
    let looks = Certificate { role: Role::Observe, ..good.clone() };
    assert_eq!(judged(&looks, &keys.signed(&amendment)), Err("ann may look only".to_string()));
    let foreign = Certificate { cluster: weft_types::ClusterId([9; 16]), ..good.clone() };
    assert!(judged(&foreign, &keys.signed(&amendment)).unwrap_err().contains("of cluster"));
    let other = Keys::new(4);
    assert!(judged(&good, &other.signed(&amendment)).unwrap_err().contains("signature does not fit"));
    let bad = [
        (Amendment { base: (1, 5 << 40 | 1), ..amendment.clone() }, "does not fit configuration"),
        (Amendment { number: 0, ..amendment.clone() }, "does not fit configuration"),
        (Amendment { partition: PartitionId([9; 16]), ..amendment.clone() }, "of partition"),
        (Amendment { changes: vec![change(1, 2, true)], ..amendment.clone() }, "older than"),
        (Amendment { changes: vec![change(2, 0, true)], ..amendment.clone() }, "older than"),
        (
            Amendment { changes: vec![Change { vs: VsId([8; 16]), ..change(2, 2, true) }], ..amendment },
            "does not have",
        ),
    ];
    for (amendment, words) in bad {
        let reason = judged(&good, &keys.signed(&amendment)).unwrap_err();
        assert!(reason.contains(words), "{words}: {reason}");
    }
    // Every shortened or bent record is refused.
    let record = bench.amended(0, &bench.amendment(1, vec![change(2, 2, true)]));
    for at in (0..record.len()).step_by(3) {
        let mut bent = record.clone();
        bent[at] ^= 1;
        assert!(trust.judge(&bent).is_err(), "byte {at}");
        assert!(trust.judge(&record[..at]).is_err(), "length {at}");
    }
}
