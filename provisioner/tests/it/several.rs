//! Moves and labels of several objects in one call, jobs about partitions, and dry runs of what changes no object.

use serde_json::{Value, json};
use weft_server::simnode::SimSession;
use weft_wire::agent::ToServer;
use weft_wire::cluster::ClusterReport;

use crate::common::{Appliance, Client, Made, sim};
use crate::partitions::config;
use crate::transactions::quiet;

/// Two approved nodes; `a` and `b` of 700 MiB on the first, `c` on the second, none started.
struct Rack {
    folder: tempfile::TempDir,
    appliance: Appliance,
    client: Client,
    sessions: [SimSession; 2],
}

async fn rack() -> Rack {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let nodes = [sim(1, &file), sim(2, &file)];
    let mut sessions = [appliance.connect(&nodes[0]).await, appliance.connect(&nodes[1]).await];
    for (node, session) in nodes.iter().zip(&mut sessions) {
        client.approve(node).await;
        session.next_config().await.expect("approved");
    }
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    for (name, node) in [("a", 0), ("b", 0), ("c", 1)] {
        let wanted = json!({"name": name, "vcpus": 1, "memory_mib": 700, "kernel": blob["digest"],
            "node": format!("node-{}", node + 1), "labels": {"env": "test"}});
        let (status, reply) = client.json("POST", "/api/v1/vs", &wanted).await;
        assert_eq!(status, 201, "{reply}");
        sessions[node].next_config().await.expect("created");
    }
    Rack { folder, appliance, client, sessions }
}

async fn servers(session: &mut SimSession) -> Vec<String> {
    let config = session.next_config().await.expect("a configuration");
    let mut names: Vec<String> = config.servers.into_iter().map(|vs| vs.name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_move_in_one_transaction_beside_each_other_and_one_undo_takes_them_back() {
    let Rack { client, sessions: [mut first, mut second], appliance: _running, folder: _kept } = rack().await;
    let path = "/api/v1/groups/vs/move";
    let both = json!({"select": {"names": ["a", "b", "a"]}, "node": "node-2"});
    let before = client.newest().await;
    // There is room for each beside `c`, and not for both.
    let (status, problem) = client.json("POST", path, &both).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("group-refused")), "{problem}");
    assert!(problem["title"].as_str().is_some_and(|title| title.contains("MiB free")), "{problem}");
    let (status, plan) = client.json("POST", &format!("{path}?dry_run=true"), &both).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("conflict")), "{plan}");
    assert_eq!(client.newest().await, before);
    quiet(&mut second).await;

    client.does("DELETE", "/api/v1/vs/c").await;
    assert_eq!(servers(&mut second).await, [""; 0]);
    let (_, plan) = client.json("POST", &format!("{path}?dry_run=true"), &both).await;
    assert_eq!(plan["state"], "planned", "{plan}");
    quiet(&mut second).await;
    let (status, plan) = client.json("POST", path, &both).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("done")), "{plan}");
    assert_eq!(servers(&mut first).await, [""; 0]);
    assert_eq!(servers(&mut second).await, ["a", "b"], "both in one record");
    let number = client.newest().await;
    assert_eq!(plan["transaction"], number);
    client.undo(number).await;
    assert_eq!(servers(&mut first).await, ["a", "b"]);
    assert_eq!(servers(&mut second).await, [""; 0]);
    // By label; one that lies there already is left alone, one that runs refuses all.
    client.does("POST", "/api/v1/vs/a/start").await;
    servers(&mut first).await;
    let (status, problem) =
        client.json("POST", path, &json!({"select": {"selector": "env=test"}, "node": "node-2"})).await;
    assert_eq!(status, 409, "{problem}");
    let (status, plan) = client.json("POST", path, &json!({"select": {"all": true}, "node": "node-1"})).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("nothing")), "{plan}");
    let (status, _) = client.json("POST", path, &json!({"select": {"all": true}, "node": "moon"})).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_several_change_in_one_transaction_and_nodes_hear_nothing() {
    let Rack { client, sessions: [mut first, mut second], appliance: _running, folder: _kept } = rack().await;
    let labels = json!({"set": {"env": "prod"}, "remove": ["old"]});
    let wanted = json!({"select": {"selector": "env=test"}, "labels": labels});
    let (status, plan) = client.json("POST", "/api/v1/groups/vs/labels", &wanted).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("done")), "{plan}");
    assert_eq!(plan["objects"].as_array().map(Vec::len), Some(3), "{plan}");
    let list = client.get("/api/v1/vs?selector=env=prod").await;
    assert_eq!(list.as_array().map(Vec::len), Some(3));
    let number = client.newest().await;
    let both = json!({"select": {"all": true}, "labels": {"set": {"rack": "3"}}});
    let (status, plan) = client.json("POST", "/api/v1/groups/nodes/labels", &both).await;
    assert_eq!((status, plan["objects"].as_array().map(Vec::len)), (200, Some(2)), "{plan}");
    assert_eq!(client.get("/api/v1/nodes?selector=rack=3").await.as_array().map(Vec::len), Some(2));
    client.undo(client.newest().await).await;
    client.undo(number).await;
    assert_eq!(client.get("/api/v1/vs?selector=env=test").await.as_array().map(Vec::len), Some(3));
    for bad in [
        json!({"select": {"all": true}, "labels": {}}),
        json!({"select": {"all": true}, "labels": {"set": {"Env": "x"}}}),
    ] {
        let (status, problem) = client.json("POST", "/api/v1/groups/vs/labels", &bad).await;
        assert!(status == 409 || status == 422, "{problem}");
    }
    quiet(&mut first).await;
    quiet(&mut second).await;
}

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
    servers(&mut first).await;
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
