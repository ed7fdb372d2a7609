//! Partitions: what members are told, founding, the appliance's vote, servers that span them.

use serde_json::{Value, json};
use weft_membership::{Decision, Epoch, Talk};
use weft_server::simnode::{SimNode, SimSession};
use weft_types::{NodeId, PartitionId, VsId};
use weft_wire::agent::{ToServer, VsState, VsStatus};
use weft_wire::cluster::{ClusterConfig, ClusterPayload, ClusterReport};
use weft_wire::record::Desired;

use crate::common::{Appliance, Client, sim};

pub(crate) struct Two {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) appliance: Appliance,
    pub(crate) client: Client,
    pub(crate) nodes: [SimNode; 2],
    pub(crate) sessions: [SimSession; 2],
    partition: PartitionId,
}

fn bytes16(text: &Value) -> [u8; 16] {
    let text = text.as_str().expect("an id");
    let mut id = [0; 16];
    for (slot, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("hexadecimal");
    }
    id
}

pub(crate) async fn config(session: &mut SimSession) -> ClusterConfig {
    loop {
        if let ClusterPayload::Config(config) = session.next_cluster().await.expect("a record").1 {
            return config;
        }
    }
}

/// A partition of two approved nodes, not founded yet.
pub(crate) async fn two() -> Two {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let nodes = [sim(1, &file), sim(2, &file)];
    let mut sessions = [appliance.connect(&nodes[0]).await, appliance.connect(&nodes[1]).await];
    for (node, session) in nodes.iter().zip(&mut sessions) {
        client.approve(node).await;
        session.next_config().await.expect("approved");
    }
    let wanted = json!({"name": "p1", "nodes": ["node-2", "node-1"]});
    let (status, made) = client.json("POST", "/api/v1/partitions", &wanted).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["state"], "forming");
    let partition = PartitionId(bytes16(&made["id"]));
    for session in &mut sessions {
        let config = config(session).await;
        assert_eq!(config.partition.id, partition);
        let members: Vec<NodeId> = config.partition.members.iter().map(|member| member.node).collect();
        assert_eq!(members, [nodes[1].id(), nodes[0].id()], "in the order given");
        assert_eq!(config.partition.members[0].mac, [2, 0, 0, 0, 0, 2]);
        assert_ne!(config.partition.key.0, [0; 32]);
    }
    Two { folder, appliance, client, nodes, sessions, partition }
}

fn report(partition: PartitionId, incarnation: u64) -> ClusterReport {
    ClusterReport {
        partition,
        incarnation,
        unfounded: true,
        voter: false,
        agreed: false,
        majority: false,
        epoch: (0, NodeId::default()),
        record: (0, 0),
        members: Vec::new(),
        lease_ms: 0,
    }
}

async fn founding(session: &mut SimSession) -> Decision {
    loop {
        if let ClusterPayload::Founding(bytes) = session.next_cluster().await.expect("a record").1 {
            return postcard::from_bytes(&bytes).expect("a decision");
        }
    }
}

async fn vote(session: &mut SimSession, partition: PartitionId, talk: &Talk) -> Talk {
    let talk = postcard::to_allocvec(talk).expect("short");
    session.send(&ToServer::ClusterTalk { partition, talk }).await.expect("sent");
    loop {
        if let ClusterPayload::Vote(bytes) = session.next_cluster().await.expect("a record").1 {
            return postcard::from_bytes(&bytes).expect("an answer");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_founded_once_and_the_appliances_vote_survives_a_crash() {
    let Two { folder, appliance, nodes, mut sessions, partition, .. } = two().await;
    sessions[0].send(&ToServer::Cluster(report(partition, 11))).await.expect("sent");
    let first = founding(&mut sessions[0]).await;
    assert_eq!(first.epoch, Epoch::founding(1), "one node of two and the appliance are a majority");
    assert_eq!((first.incarnation(nodes[0].id()), first.incarnation(nodes[1].id())), (11, 0));
    // Said again, it is the same founding.
    sessions[0].send(&ToServer::Cluster(report(partition, 11))).await.expect("sent");
    assert_eq!(founding(&mut sessions[0]).await, first);

    let epoch = |node: &SimNode| Epoch { counter: first.epoch.counter + 1, proposer: node.id() };
    let answer = vote(&mut sessions[0], partition, &Talk::Prepare(epoch(&nodes[0]))).await;
    assert!(matches!(answer, Talk::Promise { .. }), "{answer:?}");
    let appliance = appliance.crash_and_restart(&folder);
    let mut session = appliance.connect(&nodes[1]).await;
    let answer = vote(&mut session, partition, &Talk::Prepare(epoch(&nodes[1]))).await;
    assert_eq!(answer, Talk::Refused { epoch: epoch(&nodes[1]), promised: epoch(&nodes[0]) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_spans_a_partition_and_shows_why_it_failed() {
    let Two { client, nodes, mut sessions, partition, appliance: _running, folder: _kept } = two().await;
    let (status, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    assert_eq!(status, 200, "{blob}");
    let wanted = json!({"name": "big", "vcpus": 4, "memory_mib": 3072, "kernel": blob["digest"],
        "partition": "p1"});
    let (status, vs) = client.json("POST", "/api/v1/vs", &wanted).await;
    assert_eq!(status, 201, "{vs}");
    assert_eq!((vs["partition"].as_str(), vs["node"].as_str()), (Some("p1"), Some("node-2")));
    assert_eq!(vs["places"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (vs["places"][1]["first_vcpu"].as_u64(), vs["places"][1]["vcpus"].as_u64()),
        (Some(2), Some(2))
    );
    config(&mut sessions[0]).await;

    assert_eq!(client.send("POST", "/api/v1/vs/big/start", Vec::new()).await.0, 204);
    let config = config(&mut sessions[0]).await;
    let spec = &config.servers[0];
    let span = spec.span.as_ref().expect("a span");
    assert_eq!(span.check(spec.vcpus, spec.memory_mib), Ok(()));
    assert_eq!((spec.desired, span.epoch, span.partition), (Desired::Running, 1, partition));
    assert_eq!(span.places[0].node, nodes[1].id());
    assert_ne!(span.key.0, [0; 32]);

    let status = |state, reason: &str| VsStatus {
        vs: VsId(spec.id.0),
        generation: 2,
        instance: 1,
        state,
        reason: reason.to_string(),
        exits: 7,
    };
    for session in &mut sessions {
        session.send(&ToServer::VsStatus(status(VsState::Running, ""))).await.expect("sent");
    }
    client.until("/api/v1/vs/big", "running on both", |vs| vs["state"] == "running").await;
    let lost = ToServer::VsStatus(status(VsState::Failed, "the other is lost"));
    sessions[0].send(&lost).await.expect("sent");
    let failed = client.until("/api/v1/vs/big", "failed", |vs| vs["state"] == "failed").await;
    assert_eq!(failed["reason"], "node-1: the other is lost");

    // Keys stay where they belong.
    let key: String = span.key.0.iter().map(|byte| format!("{byte:02x}")).collect();
    for path in ["/api/v1/vs/big", "/api/v1/partitions", "/api/v1/events?limit=1000"] {
        assert!(!client.get(path).await.to_string().contains(&key), "{path}");
    }
    // What is in use stays.
    assert_eq!(client.send("DELETE", "/api/v1/partitions/p1", Vec::new()).await.0, 409);
    assert_eq!(client.send("DELETE", "/api/v1/nodes/node-1", Vec::new()).await.0, 409);
    assert_eq!(client.send("DELETE", "/api/v1/vs/big", Vec::new()).await.0, 204);
    assert_eq!(client.send("DELETE", "/api/v1/partitions/p1", Vec::new()).await.0, 204);
    loop {
        let (envelope, payload) = sessions[1].next_cluster().await.expect("a record");
        if payload == ClusterPayload::Dissolved {
            assert_eq!(envelope.partition, partition);
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_partition_is_refused_with_the_reason() {
    let Two { client, mut sessions, appliance: _running, folder: _kept, .. } = two().await;
    let refused = |wanted: Value| {
        let client = &client;
        async move {
            let (status, problem) = client.json("POST", "/api/v1/partitions", &wanted).await;
            (status, problem["code"].as_str().unwrap_or_default().to_string())
        }
    };
    let code = |status: u16, code: &str| (status, code.to_string());
    assert_eq!(refused(json!({"name": "p1", "nodes": ["node-1"]})).await, code(409, "taken"));
    assert_eq!(refused(json!({"name": "p2", "nodes": ["node-1"]})).await, code(409, "node-in-partition"));
    assert_eq!(refused(json!({"name": "p2", "nodes": ["node-9"]})).await, code(404, "node-not-found"));
    assert_eq!(refused(json!({"name": "p2", "nodes": []})).await, code(422, "invalid"));
    assert_eq!(refused(json!({"name": "p 2", "nodes": ["node-1"]})).await, code(422, "invalid"));
    let big = json!({"name": "big", "vcpus": 2, "memory_mib": 8192, "partition": "p1"});
    let (status, problem) = client.json("POST", "/api/v1/vs", &big).await;
    assert!(status == 409 || problem["code"] == "no-default-guest", "{status} {problem}");
    // One that the appliance does not know is dissolved.
    let unknown = PartitionId([9; 16]);
    sessions[0].send(&ToServer::Cluster(report(unknown, 1))).await.expect("sent");
    loop {
        let (envelope, payload) = sessions[0].next_cluster().await.expect("a record");
        if payload == ClusterPayload::Dissolved {
            assert_eq!(envelope.partition, unknown);
            break;
        }
    }
}
