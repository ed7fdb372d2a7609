//! A whole node in a partition: records over its agent channel, datagrams over its IP stack. The other member
//! is another node's membership on the appliance's host.

#[expect(dead_code, reason = "shared with the tests of the whole way, which use the rest")]
mod lab;
#[expect(dead_code, reason = "shared with the tests of the door, which use the rest")]
#[path = "lab/line.rs"]
mod line;
#[path = "lab/operator.rs"]
mod operator;
use lab::trust;

use ed25519_dalek::Signer;
use lab::server::ADDRESS;
use lab::trust::{NOW_S, Trust};
use lab::wire::Faults;
use lab::{VS, World, digest, spec};
use line::Line;
use operator::{Keys, issued};
use weft_agent::ClusterTrust;
use weft_format::cluster::encode_unsigned_cluster;
use weft_format::record::with_signature;
use weft_format::{DalekVerifier, RootSet, key_id, verify_delegation};
use weft_membership::{Decision, RecordId, Voter};
use weft_node::cluster::{Cluster, ClusterEffect, ClusterEvent};
use weft_node::peers::PeerChannel;
use weft_node::runtime::Command;
use weft_node::{Event, StopCause};
use weft_transport::noise::public_key;
use weft_types::{ConfigNumber, NodeId, PartitionId, VsId};
use weft_wire::agent::{ToNode, ToServer};
use weft_wire::cluster::{
    CLUSTER_VERSION, ClusterConfig, ClusterEnvelope, ClusterPayload, ClusterReport, LinkKey, Member,
    PartitionSpec, Place, SpanSpec,
};
use weft_wire::operator::{Amendment, Answer, Ask, Change, NodeView, OPERATOR_VERSION};
use weft_wire::record::{Desired, VsSpec};

const OTHER: NodeId = NodeId([9; 16]);
const KEY: LinkKey = LinkKey([6; 32]);
const PARTITION: PartitionId = PartitionId([5; 16]);
const INCARNATION: u64 = 1 << 32;

/// The appliance's `count`-th number.
fn number(count: u64) -> u64 {
    ConfigNumber::of_appliance(1, count).unwrap().counter
}

fn sign(trust: &Trust, counter: u64, payload: &ClusterPayload) -> Vec<u8> {
    let envelope = ClusterEnvelope {
        version: CLUSTER_VERSION,
        key_id: key_id(&trust.record.verifying_key().to_bytes()).0,
        cluster: trust.cluster,
        partition: PARTITION,
        epoch: 1,
        counter: number(counter),
    };
    let unsigned = encode_unsigned_cluster(&envelope, payload).unwrap();
    let signature = trust.record.sign(&unsigned).to_bytes();
    with_signature(unsigned, &signature)
}

fn whose_word(trust: &Trust) -> ClusterTrust {
    let roots = RootSet::parse_padded(&trust.root_set()).unwrap();
    let bytes = trust.delegation(1, NOW_S + 1000, vec![]);
    ClusterTrust::new(verify_delegation(&bytes, &roots, &DalekVerifier, 0).unwrap(), trust.cluster)
}

fn config(node: NodeId) -> ClusterConfig {
    let member =
        |node, last, address| Member { node, mac: [2, 0, 0, 0, 0, last], address, cpus: 1, memory_mib: 1024 };
    // Where the node is, the other one learns from its datagrams.
    let members = vec![member(node, 1, [0; 4]), member(OTHER, 2, ADDRESS)];
    let partition = PartitionSpec { id: PARTITION, name: "p1".into(), members, key: KEY };
    ClusterConfig { partition, servers: Vec::new() }
}

/// The other member, and its way to the node.
struct Other {
    cluster: Cluster,
    channel: PeerChannel,
}

impl Other {
    fn step(&mut self, world: &mut World, event: ClusterEvent) {
        let mut effects = Vec::new();
        self.cluster.step(world.now_ns, event, &mut effects);
        for effect in effects {
            if let ClusterEffect::SendPeer { node, bytes } = effect {
                let datagram = self.channel.seal(node, &bytes).unwrap();
                world.server().send_datagram(&datagram);
            }
        }
    }

    fn give(&mut self, world: &mut World, record: &[u8]) {
        let trust = whose_word(&world.trust);
        let (envelope, payload) = trust.judge(record).unwrap();
        self.step(world, ClusterEvent::Record { envelope, payload, record: record.to_vec(), trust });
    }

    fn poll(&mut self, world: &mut World) {
        for datagram in world.server().datagrams() {
            if let Some((from, bytes)) = self.channel.open(&datagram) {
                self.step(world, ClusterEvent::Peer { from, bytes });
            }
        }
        if world.now_ns >= self.cluster.next_ns() {
            self.step(world, ClusterEvent::Tick);
        }
    }
}

fn report(world: &mut World) -> Option<ClusterReport> {
    world.server().received.iter().rev().find_map(|message| match message {
        ToServer::Cluster(report) => Some(report.clone()),
        _ => None,
    })
}

/// A node and another member that have agreed, the appliance being there.
fn joined(seed: u64) -> (World, Other) {
    let mut world = World::new(seed, Faults::default());
    let hello = world.until_greeted();
    world.approve(&hello);
    world.run(500);
    let node = world.runtime.id();
    let record = sign(&world.trust, 1, &ClusterPayload::Config(config(node)));
    world.server().send(&ToNode::Cluster(record.clone()));
    world.until(10, "a report", |world| report(world).is_some());
    let mut other = Other {
        cluster: Cluster::new(OTHER, INCARNATION, 3),
        channel: PeerChannel::new(OTHER, INCARNATION, &KEY, world.now_ns),
    };
    other.give(&mut world, &record);
    let incarnation = report(&mut world).unwrap().incarnation;
    assert_eq!(incarnation >> 32, hello.boot_counter, "a boot counts up");
    let voters = vec![Voter { node, incarnation }, Voter { node: OTHER, incarnation: INCARNATION }];
    let founding = Decision::founding(1, RecordId { epoch: 1, counter: number(1) }, voters);
    let founding =
        sign(&world.trust, 2, &ClusterPayload::Founding(postcard::to_allocvec(&founding).unwrap()));
    world.server().send(&ToNode::Cluster(founding.clone()));
    other.give(&mut world, &founding);
    world.until(20, "agreement over the wire", |world| {
        other.poll(world);
        let epoch = world.runtime.cluster().agreed_epoch();
        epoch.is_some_and(|epoch| !epoch.is_founding()) && epoch == other.cluster.agreed_epoch()
    });
    (world, other)
}

#[test]
fn a_node_joins_a_partition_and_passes_a_configuration_on() {
    let (mut world, mut other) = joined(31);
    let node = world.runtime.id();
    // A configuration given to this node reaches the other one.
    let next = sign(&world.trust, 3, &ClusterPayload::Config(config(node)));
    world.server().send(&ToNode::Cluster(next));
    world.until(20, "the next configuration", |world| {
        other.poll(world);
        world.server().received.iter().any(|message| {
            matches!(message, ToServer::ClusterResult(result)
                if result.record == (1, number(3)) && result.result.is_ok())
        })
    });
    world.until(20, "a lease", |world| {
        other.poll(world);
        report(world).is_some_and(|report| report.agreed && report.majority && report.lease_ms > 0)
    });
    assert!(world.said().contains("configuration 1.3 is agreed"), "{}", world.said());
}

const KERNEL: &[u8] = b"a kernel";
const INITRD: &[u8] = b"a ram disk";
const COLD: VsId = VsId([0xbb; 16]);

/// Servers over both members; the node loads them. One runs, the other was never fetched.
fn servers(node: NodeId) -> Vec<VsSpec> {
    let place =
        |node, last| Place { node, mac: [2, 0, 0, 0, 0, last], address: [0; 4], vcpus: 1, memory_mib: 64 };
    let span = SpanSpec {
        partition: PARTITION,
        epoch: 1,
        key: LinkKey([8; 32]),
        pinned: false,
        places: vec![place(node, 1), place(OTHER, 2)],
    };
    let warm = VsSpec { vcpus: 2, span: Some(span), macs: vec![], ..spec(KERNEL, INITRD) };
    let cold = VsSpec {
        id: COLD,
        name: "cold".into(),
        desired: Desired::Stopped,
        kernel: lab::blob(b"never fetched"),
        ..warm.clone()
    };
    vec![warm, cold]
}

/// The same with the server running here, and then the appliance goes.
fn running(seed: u64) -> (World, Other) {
    let (mut world, mut other) = joined(seed);
    for bytes in [KERNEL, INITRD] {
        world.server().blobs.insert(digest(bytes), bytes.to_vec());
    }
    let node = world.runtime.id();
    let config = ClusterConfig { servers: servers(node), ..config(node) };
    let record = sign(&world.trust, 3, &ClusterPayload::Config(config));
    world.server().send(&ToNode::Cluster(record));
    world.until(30, "a start", |world| {
        other.poll(world);
        !starts(world).is_empty()
    });
    world.runtime.event(world.now_ns, Event::VsStarted { vs: VS, instance: 1 });
    world.server().off = true;
    meanwhile(&mut world, Some(&mut other), 2000);
    (world, other)
}

fn starts(world: &World) -> Vec<u64> {
    let start = |command: &Command| match command {
        Command::StartVs { spec, .. } => Some(spec.instance),
        _ => None,
    };
    world.commands.iter().filter_map(start).collect()
}

fn meanwhile(world: &mut World, mut other: Option<&mut Other>, ms: u64) {
    for _ in 0..ms / 5 {
        world.run(5);
        if let Some(other) = &mut other {
            other.poll(world);
        }
    }
}

fn enter(world: &mut World, port: u16) -> (Line, Keys) {
    let keys = Keys::new(3);
    let certificate = issued(&world.trust, &keys.certificate(&world.trust));
    let mut line = Line::open(world, port);
    let said = line.knock(world, &keys.channel, &public_key(&[0x11; 32]), &certificate);
    assert_eq!(said.as_deref(), Some(""), "{}", world.said());
    (line, keys)
}

fn view(world: &mut World, line: &mut Line) -> NodeView {
    match line.ask(world, &Ask::View) {
        Some(Answer::View(view)) => *view,
        other => panic!("no view: {other:?}"),
    }
}

/// Asks the members for a change, as the command line does.
fn amend(
    world: &mut World,
    other: Option<&mut Other>,
    line: &mut Line,
    keys: &Keys,
    change: Change,
) -> Answer {
    let partition = view(world, line).partition.unwrap();
    let (epoch, counter) = partition.record;
    let base = ConfigNumber { epoch, counter }.base();
    let kept = partition.changes.into_iter().filter(|old| old.vs != change.vs);
    let amendment = Amendment {
        version: OPERATOR_VERSION,
        cluster: world.trust.cluster,
        partition: PARTITION,
        base: (base.epoch, base.counter),
        number: ConfigNumber { epoch, counter }.amendment() + 1,
        changes: kept.chain([change]).collect(),
    };
    let question = weft_wire::codec::encode(&Ask::Amend(keys.signed(&amendment)), 2000).unwrap();
    let question = line.sealed(&question);
    line.send(world, &question);
    meanwhile(world, other, 8000);
    line.answer(world).expect("an answer")
}

#[test]
fn an_operator_stops_and_starts_a_spanning_server_at_one_member_while_the_appliance_is_away() {
    let (mut world, mut other) = running(32);
    let (mut line, keys) = enter(&mut world, 5000);
    let stop = Change { vs: VS, generation: 2, instance: 1, running: false };
    assert_eq!(amend(&mut world, Some(&mut other), &mut line, &keys, stop), Answer::Done, "{}", world.said());
    assert!(world.commands.contains(&Command::StopVs { vs: VS, instance: 1 }));
    world.runtime.event(world.now_ns, Event::VsStopped { vs: VS, instance: 1, cause: StopCause::Stopped });
    let start = Change { vs: VS, generation: 3, instance: 2, running: true };
    assert_eq!(
        amend(&mut world, Some(&mut other), &mut line, &keys, start),
        Answer::Done,
        "{}",
        world.said()
    );
    assert_eq!(starts(&world), [1, 2]);
    // The other member has agreed to the same.
    let theirs = other.cluster.servers().iter().find(|server| server.id == VS).unwrap();
    assert_eq!((theirs.instance, theirs.desired), (2, Desired::Running));
    let seen = view(&mut world, &mut line);
    assert_eq!(seen.partition.as_ref().unwrap().changes, [start]);
    assert!(world.said().contains("configuration 1.3+2 is agreed"), "{}", world.said());
    // An operator who had not looked since is told so.
    let late = Amendment {
        version: OPERATOR_VERSION,
        cluster: world.trust.cluster,
        partition: PARTITION,
        base: (1, number(3)),
        number: 1,
        changes: vec![stop],
    };
    let answer = line.ask(&mut world, &Ask::Amend(keys.signed(&late)));
    let reason = "configuration 1.3+2 is in force by now; look again".to_string();
    assert_eq!(answer, Some(Answer::Refused(reason)));
}

#[test]
fn a_spanning_server_whose_files_no_member_holds_is_refused_with_the_digest() {
    let (mut world, mut other) = running(33);
    let (mut line, keys) = enter(&mut world, 5000);
    let seen = view(&mut world, &mut line);
    let cold = seen.servers.iter().find(|server| server.id == COLD).unwrap();
    assert_eq!((cold.spans, cold.wanted, cold.loader), (true, false, world.runtime.id()));
    assert_eq!(cold.missing, [digest(b"never fetched")]);
    let start = Change { vs: COLD, generation: 2, instance: 2, running: true };
    let answer = amend(&mut world, Some(&mut other), &mut line, &keys, start);
    let Answer::Refused(reason) = answer else { panic!("{answer:?}") };
    assert!(reason.contains(&digest(b"never fetched").to_string()), "{reason}");
    assert_eq!(view(&mut world, &mut line).partition.unwrap().record, (1, number(3)), "nothing changed");
}

#[test]
fn without_a_majority_an_operator_is_refused_with_the_reason() {
    let (mut world, _) = running(34);
    // The other member falls silent.
    world.run(12_000);
    let (mut line, keys) = enter(&mut world, 5000);
    let stop = Change { vs: VS, generation: 2, instance: 1, running: false };
    let partition = view(&mut world, &mut line).partition.unwrap();
    assert!(!partition.majority);
    let answer = amend(&mut world, None, &mut line, &keys, stop);
    assert_eq!(answer, Answer::Refused("no majority: 1 of 2 members answer".into()), "{}", world.said());
}
