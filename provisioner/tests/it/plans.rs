//! Jobs about partitions, and dry runs of what changes no object.

use serde_json::{Value, json};
use weft_wire::agent::ToServer;
use weft_wire::cluster::ClusterReport;

use crate::common::Made;
use crate::groups::{Rack, rack};
use crate::partitions::config;
use crate::transactions::quiet;

/// What a member says that agrees to a configuration.
fn agreed(config: &weft_wire::cluster::ClusterConfig, record: (u64, u64)) -> ClusterReport {
    ClusterReport {
        partition: config.partition.id,
        incarnation: 1,
        unfounded: false,
        voter: true,
        agreed: true,
        majority: true,
        epoch: (1, config.partition.members[0].node),
        record,
        members: config.partition.members.iter().map(|member| member.node).collect(),
        lease_ms: 5000,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_makes_a_partition_waits_until_its_members_agree_and_takes_it_back() {
    let Rack { client, sessions: [mut first, _second], appliance: _running, folder: _kept } = rack().await;
    let create =
        json!({"action": "partition create", "partition": {"name": "p1", "nodes": ["node-1", "node-2"]}});
    // The second step cannot be: what was done is taken back.
    let steps = json!([create, {"action": "vs reset", "names": ["a"]}]);
    let (status, plan) = client.json("POST", "/api/v1/jobs?dry_run=true", &json!({"steps": [create]})).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("planned")), "{plan}");
    assert_eq!(plan["steps"][0]["waits"], json!(["the members of p1 agree"]));
    let (status, problem) = client.json("POST", "/api/v1/jobs", &json!({"steps": steps})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("job-refused")), "{problem}");

    let (status, job) = client.json("POST", "/api/v1/jobs", &json!({"steps": [create]})).await;
    assert_eq!(status, 202, "{job}");
    let number = job["number"].as_u64().expect("a number");
    let path = format!("/api/v1/jobs/{number}");
    let given = config(&mut first).await;
    client.until(&path, "waiting", |job| job["steps"][0]["waits"] != json!([])).await;
    // A member is in the hands of the job.
    let other = json!({"steps": [{"action": "node forget", "names": ["node-1"]}]});
    assert_eq!(client.json("POST", "/api/v1/jobs", &other).await.1["code"], "job-in-the-way");
    let text = client.get("/api/v1/partitions/p1").await["configuration"].clone();
    let (epoch, count) = text.as_str().and_then(|text| text.split_once('.')).expect("a number");
    let count = weft_types::ConfigNumber::of_appliance(1, count.parse().expect("digits")).expect("small");
    let record = (epoch.parse().expect("digits"), count.counter);
    first.send(&ToServer::Cluster(agreed(&given, record))).await.expect("sent");
    client.until(&path, "done", |job| job["state"] == "done").await;
    let deletes = json!({"steps": [{"action": "partition delete", "names": ["p1"]}]});
    let (status, job) = client.json("POST", "/api/v1/jobs", &deletes).await;
    assert_eq!(status, 202, "{job}");
    let path = format!("/api/v1/jobs/{}", job["number"]);
    client.until(&path, "done", |job| job["state"] == "done").await;
    assert_eq!(client.get("/api/v1/partitions").await, json!([]));
    // One whose members never agree is cancelled, which its plan says first.
    let (_, job) = client.json("POST", "/api/v1/jobs", &json!({"steps": [create]})).await;
    let path = format!("/api/v1/jobs/{}", job["number"]);
    config(&mut first).await;
    let (status, plan) = client.send("POST", &format!("{path}/cancel?dry_run=true"), Vec::new()).await;
    assert_eq!(
        (status, plan["name"].as_str(), plan["state"].as_str()),
        (200, Some("job cancel"), Some("planned"))
    );
    assert!(
        plan["effects"][0].as_str().is_some_and(|text| text.contains("is undone: transaction")),
        "{plan}"
    );
    assert_eq!(client.get(&path).await["state"], "running", "a plan cancels nothing");
    assert_eq!(client.send("POST", &format!("{path}/cancel"), Vec::new()).await.0, 200);
    client.until(&path, "undone", |job| job["state"] == "undone").await;
    assert_eq!(client.get("/api/v1/partitions").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_of_what_changes_no_object_say_what_it_does_and_do_nothing() {
    let Rack { client, sessions: [mut first, _second], appliance: _running, folder: _kept } = rack().await;
    client.does("POST", "/api/v1/vs/a/start").await;
    first.next_config().await.expect("started");
    let before = client.newest().await;
    let (status, plan) = client.send("POST", "/api/v1/nodes/node-1/reboot?dry_run=true", Vec::new()).await;
    assert_eq!(status, 200, "{plan}");
    let effects = plan["effects"].as_array().expect("effects");
    assert!(effects[0].as_str().is_some_and(|text| text.contains("node-1 restarts, and boots")), "{plan}");
    assert!(effects[1].as_str().is_some_and(|text| text.starts_with("a stops")), "{plan}");
    assert_eq!(effects.len(), 2, "b does not run: {plan}");
    // An image is judged, and nothing of it is kept.
    let newer = Made { generation: 8, ..Made::default() }.file();
    let (status, plan) = client.send("POST", "/api/v1/images?dry_run=true", newer.clone()).await;
    assert_eq!(
        (status, plan["name"].as_str(), plan["state"].as_str()),
        (200, Some("image publish"), Some("planned"))
    );
    assert_eq!(client.get("/api/v1/images").await.as_array().map(Vec::len), Some(1));
    let (status, problem) = client.send("POST", "/api/v1/images?dry_run=true", b"no image".to_vec()).await;
    assert_eq!(status, 422, "{problem}");
    // A session.
    let sessions = client.get("/api/v1/sessions").await;
    let name = sessions[0]["name"].as_str().expect("a name");
    let (status, plan) =
        client.send("DELETE", &format!("/api/v1/sessions/{name}?dry_run=true"), Vec::new()).await;
    assert_eq!((status, plan["name"].as_str()), (200, Some("session end")), "{plan}");
    assert_eq!(client.get("/api/v1/sessions").await, sessions);
    assert_eq!(client.newest().await, before);
    quiet(&mut first).await;
    let gone: (u16, Value) = client.send("POST", "/api/v1/nodes/moon/reboot?dry_run=true", Vec::new()).await;
    assert_eq!(gone.0, 404, "{}", gone.1);
}
