//! Operators that speak to nodes by themselves: certificates, and what they changed while the appliance was away.

use serde_json::{Value, json};
use weft_format::operator::{amended_link_key, certificate_valid_at, verify_certificate};
use weft_server::trust::RingVerifier;
use weft_types::{ConfigNumber, VsId};
use weft_wire::agent::ToServer;
use weft_wire::operator::{Role, Wanted};
use weft_wire::record::Desired;

use crate::common::Appliance;
use crate::partitions::{Two, config, two};

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("text").as_bytes();
    let pairs = text.chunks(2).map(|pair| std::str::from_utf8(pair).expect("text"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_signed_by_the_delegated_key_and_names_the_approved_nodes() {
    let Two { client, nodes, appliance, folder: _kept, .. } = two().await;
    let keys = json!({"channel_key": "11".repeat(32), "sign_key": "22".repeat(32)});
    let wanted = |name: &str, role: &str, days: u32| {
        json!({"name": name, "role": role, "days": days,
            "channel_key": keys["channel_key"], "sign_key": keys["sign_key"]})
    };
    let (status, issued) = client.json("POST", "/api/v1/operators", &wanted("ann", "operate", 7)).await;
    assert_eq!(status, 201, "{issued}");
    let record_key = appliance.delegation.appliances[0].record_key;
    let certificate = verify_certificate(&unhex(&issued["certificate"]), |_| Ok(record_key), &RingVerifier)
        .expect("signed by the delegated key");
    assert_eq!((certificate.name.as_str(), certificate.role), ("ann", Role::Operate));
    assert_eq!((certificate.channel_key, certificate.sign_key), ([0x11; 32], [0x22; 32]));
    let now_s =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    assert_eq!(certificate_valid_at(&certificate, now_s), Ok(()));
    assert!(certificate_valid_at(&certificate, now_s + 8 * 86_400).is_err());
    let listed: Vec<&str> = issued["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| node["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(listed, nodes.each_ref().map(|node| node.id().to_string()));
    client
        .until("/api/v1/events?limit=100", "the event", |events| {
            let events = events.as_array().expect("events");
            events.iter().any(|event| event["name"] == "operator.issued" && event["actor"] == "admin")
        })
        .await;
    for (name, role, days) in [("", "operate", 7), ("a b", "operate", 7), ("ann", "rule", 7)] {
        let (status, refused) = client.json("POST", "/api/v1/operators", &wanted(name, role, days)).await;
        assert_eq!(status, 422, "{refused}");
    }
    for days in [0, 91] {
        assert_eq!(client.json("POST", "/api/v1/operators", &wanted("ann", "operate", days)).await.0, 422);
    }
    let mut short = wanted("ann", "operate", 7);
    short["sign_key"] = json!("22");
    assert_eq!(client.json("POST", "/api/v1/operators", &short).await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_changed_becomes_the_appliances_word() {
    let Two { client, mut sessions, appliance: _running, folder: _kept, .. } = two().await;
    let (status, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    assert_eq!(status, 200, "{blob}");
    let wanted = json!({"name": "big", "vcpus": 2, "memory_mib": 512, "kernel": blob["digest"],
        "partition": "p1"});
    assert_eq!(client.json("POST", "/api/v1/vs", &wanted).await.0, 201);
    let made = config(&mut sessions[0]).await;
    let (vs, key) = (made.servers[0].id, made.partition.key);
    let told = |generation, instance, running| {
        ToServer::Wanted(Wanted { vs, generation, instance, running, by: "ann".into() })
    };
    // Not later, and too far ahead to be meant.
    for (generation, instance) in [(1, 1), (5000, 1), (2, 5000)] {
        sessions[0].send(&told(generation, instance, true)).await.expect("sent");
    }
    sessions[0].send(&told(2, 1, true)).await.expect("sent");
    let (envelope, taken) = loop {
        let (envelope, payload) = sessions[0].next_cluster().await.expect("a record");
        if let weft_wire::cluster::ClusterPayload::Config(config) = payload {
            break (envelope, config);
        }
    };
    let spec = &taken.servers[0];
    assert_eq!((spec.desired, spec.generation, spec.instance), (Desired::Running, 2, 1));
    let span = spec.span.as_ref().expect("a span");
    assert_eq!((span.epoch, span.key), (1, amended_link_key(&key, vs, 1)), "as the members have it");
    let number = ConfigNumber { epoch: envelope.epoch, counter: envelope.counter };
    assert_eq!((number, number.amendment()), (number.base(), 0));
    assert!(number.amended(1, 0).is_some(), "there is room for amendments");
    // The other member says the same: that changes nothing. A later stop does.
    sessions[1].send(&told(2, 1, true)).await.expect("sent");
    sessions[1].send(&told(3, 1, false)).await.expect("sent");
    client.until("/api/v1/vs/big", "stopped", |vs| vs["desired"] == "stopped" && vs["generation"] == 3).await;
    let events = client.get("/api/v1/events?limit=100").await;
    let wanted = |event: &&Value| event["name"] == "vs.wanted" && event["actor"] == "ann";
    assert_eq!(events.as_array().expect("events").iter().filter(wanted).count(), 2, "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_has_no_say_about_servers_of_others() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let nodes = [crate::common::sim(1, &file), crate::common::sim(2, &file)];
    let mut sessions = [appliance.connect(&nodes[0]).await, appliance.connect(&nodes[1]).await];
    for (node, session) in nodes.iter().zip(&mut sessions) {
        client.approve(node).await;
        session.next_config().await.expect("approved");
    }
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted = json!({"name": "web", "node": "node-1", "vcpus": 1, "memory_mib": 64,
        "kernel": blob["digest"]});
    let (status, made) = client.json("POST", "/api/v1/vs", &wanted).await;
    assert_eq!(status, 201, "{made}");
    let vs = VsId(unhex(&made["id"]).try_into().expect("16 bytes"));
    let told =
        |by: &str| ToServer::Wanted(Wanted { vs, generation: 2, instance: 1, running: true, by: by.into() });
    sessions[1].send(&told("mallory")).await.expect("sent");
    sessions[1].beat(1).await.expect("sent");
    sessions[0].send(&told("ann")).await.expect("sent");
    client.until("/api/v1/vs/web", "started", |vs| vs["desired"] == "running").await;
    let events = client.get("/api/v1/events?limit=100").await;
    let by: Vec<&str> = events
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["name"] == "vs.wanted")
        .filter_map(|event| event["actor"].as_str())
        .collect();
    assert_eq!(by, ["ann"]);
}
