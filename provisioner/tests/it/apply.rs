//! Documents: exported, compared, applied in one transaction; what nodes hear of it, and that they hear nothing where one
//! object refuses.

use std::time::Duration;

use serde_json::{Value, json};
use weft_server::simnode::{Heard, SimSession};
use weft_wire::agent::ToNode;
use weft_wire::cluster::ClusterPayload;
use weft_wire::record::Desired;

use crate::common::{Appliance, Client, sim};
use crate::partitions::{Two, config, two};
use crate::rights::{account, policy};
use crate::span::weft;
use crate::transactions::{One, one, quiet};

const PATH: &str = "/api/v1/manifest";

impl Client {
    async fn try_apply(&self, manifest: &Value, prune: &str, dry: bool) -> (u16, Value) {
        let at = if dry { format!("{PATH}?dry_run=true") } else { PATH.to_string() };
        self.json("POST", &at, &json!({"manifest": manifest, "prune": prune})).await
    }

    /// Applies a document; the plan of what was done.
    async fn applies(&self, manifest: &Value) -> Value {
        let (status, plan) = self.try_apply(manifest, "", false).await;
        assert_eq!(status, 200, "{plan}");
        plan
    }
}

/// Hears all that is on its way.
async fn drained(session: &mut SimSession) {
    loop {
        // Pings go on for ever.
        let heard = async {
            while matches!(session.next().await.expect("a message"), Heard::Message(ToNode::Ping)) {}
        };
        if tokio::time::timeout(Duration::from_millis(500), heard).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_applied_without_a_change() {
    let Two { client, mut sessions, appliance, folder, .. } = two().await;
    for (kind, name, parent) in
        [("datacenter", "north", ""), ("mainframe", "m1", "north"), ("frame", "rack-1", "m1")]
    {
        client.makes_container(kind, name, parent).await;
    }
    let move_both = json!({"select": {"all": true}, "frame": "rack-1"});
    assert_eq!(client.json("POST", "/api/v1/groups/nodes/move", &move_both).await.0, 200);
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let kernel = &blob["digest"];
    let labels = json!({"env": "prod", "n": "007"});
    for vs in [
        json!({"name": "big", "vcpus": 2, "memory_mib": 512, "kernel": kernel, "partition": "p1", "pinned": true}),
        json!({"name": "web", "vcpus": 1, "memory_mib": 128, "kernel": kernel, "append": "a: \"b\" #c", "labels": labels,
            "hostname": "w1", "address": "10.0.0.5/24", "gateway": "10.0.0.1"}),
    ] {
        let (status, reply) = client.json("POST", "/api/v1/vs", &vs).await;
        assert_eq!(status, 201, "{reply}");
    }
    let template = json!({"name": "spread", "from": "big"});
    assert_eq!(client.json("POST", "/api/v1/templates", &template).await.0, 201);
    client.does("POST", "/api/v1/vs/web/start").await;
    let (status, _) = client.json("PATCH", "/api/v1/vs/web", &json!({"memory_mib": 256})).await;
    assert_eq!(status, 204);
    for session in &mut sessions {
        drained(session).await;
    }
    let before = client.newest().await;
    let manifest = client.get(PATH).await;
    for (kind, count) in [
        ("datacenters", 1),
        ("mainframes", 1),
        ("frames", 1),
        ("nodes", 2),
        ("partitions", 1),
        ("templates", 1),
        ("vs", 2),
    ] {
        assert_eq!(manifest[kind].as_array().map(Vec::len), Some(count), "{kind}: {manifest}");
    }
    for dry in [true, false] {
        let (status, plan) = client.try_apply(&manifest, "", dry).await;
        assert_eq!(
            (status, &plan["state"], &plan["objects"]),
            (200, &json!("nothing"), &json!([])),
            "{plan}"
        );
    }
    // The same by the command line, as it prints it.
    let file = folder.path().join("rack.yaml");
    let path = file.to_str().expect("a path");
    let run = async |args: &[&str]| weft(folder.path(), &appliance, args).await;
    std::fs::write(&file, run(&["get"]).await).expect("written");
    assert_eq!(run(&["diff", "-f", path]).await, "");
    assert!(run(&["apply", "-f", path]).await.starts_with("nothing: apply"));
    assert_eq!(client.newest().await, before);
    // One kind, one object.
    let one = client.get(&format!("{PATH}?kind=vs&name=web")).await;
    assert_eq!((one["vs"][0]["memory_mib"].as_u64(), one.get("nodes")), (Some(256), None), "{one}");
    assert_eq!(client.send("GET", &format!("{PATH}?kind=vs&name=none"), Vec::new()).await.0, 404);
    assert_eq!(client.send("GET", &format!("{PATH}?kind=moons"), Vec::new()).await.0, 422);
    for session in &mut sessions {
        quiet(session).await;
    }

    // A change in the text is a change of that field.
    let text = std::fs::read_to_string(&file).expect("read").replace("memory_mib: 256", "memory_mib: 192");
    std::fs::write(&file, text).expect("written");
    let diff = run(&["diff", "-f", path]).await;
    let rows: Vec<Vec<&str>> = diff.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["vs", "web", "memory_mib", "256", "192"], "{diff}");
    assert_eq!(rows.len(), 2, "{diff}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_document_makes_all_of_it_in_one_transaction_and_an_undo_takes_it_back() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let nodes = [sim(1, &file), sim(2, &file)];
    let mut sessions = [appliance.connect(&nodes[0]).await, appliance.connect(&nodes[1]).await];
    for (node, session) in nodes.iter().zip(&mut sessions) {
        client.approve(node).await;
        session.next_config().await.expect("approved");
    }
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let kernel = &blob["digest"];
    let mut manifest = json!({
        "datacenters": [{"name": "north"}],
        "mainframes": [{"name": "m1", "datacenter": "north"}],
        "frames": [{"name": "rack-1", "mainframe": "m1", "labels": {"row": "a"}}],
        "nodes": [{"name": "node-1", "frame": "rack-1", "labels": {"gen": "2"}}, {"name": "node-2", "frame": "rack-1"}],
        "partitions": [{"name": "p1", "nodes": ["node-2", "node-1"]}],
        "templates": [{"name": "spread", "partition": "p1", "kernel": kernel}],
        "vs": [
            {"name": "web", "node": "node-1", "running": true, "kernel": kernel, "append": "quiet"},
            {"name": "big", "partition": "p1", "vcpus": 2, "memory_mib": 512, "kernel": kernel, "running": true},
        ],
    });
    let before = client.newest().await;
    let (status, plan) = client.try_apply(&manifest, "", true).await;
    assert_eq!(
        (status, &plan["state"], plan["objects"].as_array().map(Vec::len)),
        (200, &json!("planned"), Some(9))
    );
    for session in &mut sessions {
        quiet(session).await;
    }
    let done = client.applies(&manifest).await;
    assert_eq!(done["transaction"], before + 1, "{done}");
    // Founded with its server, in one configuration.
    for session in &mut sessions {
        let heard = config(session).await;
        assert_eq!((heard.partition.name.as_str(), heard.servers.len()), ("p1", 1), "{heard:?}");
        assert_eq!((heard.servers[0].name.as_str(), heard.servers[0].desired), ("big", Desired::Running));
        drained(session).await;
    }
    let shown = client.get("/api/v1/vs").await;
    let macs: std::collections::BTreeSet<&str> =
        shown.as_array().expect("a list").iter().filter_map(|vs| vs["macs"][0].as_str()).collect();
    assert_eq!(macs.len(), 2, "{shown}");
    assert_eq!(client.get("/api/v1/nodes/node-1").await["frame"], "rack-1");

    // Another document: one server is changed and stopped, the rest stays and nobody else hears.
    manifest = json!({"vs": [{"name": "web", "running": false, "memory_mib": 512, "labels": {"a": "b"}}]});
    client.applies(&manifest).await;
    let second = client.newest().await;
    let heard = sessions[0].next_config().await.expect("changed").servers.remove(0);
    assert_eq!((heard.memory_mib, heard.desired, heard.append.as_str()), (512, Desired::Stopped, "quiet"));
    quiet(&mut sessions[1]).await;
    client.undo(second).await;
    let heard = sessions[0].next_config().await.expect("back").servers.remove(0);
    assert_eq!((heard.memory_mib, heard.desired), (256, Desired::Running));
    assert_eq!(client.get("/api/v1/vs/web").await["labels"], json!({}));

    // The first one, whole: servers, partition, places of nodes, containers.
    let plan = client.undo_plan(before + 1).await;
    assert_eq!(
        (&plan["state"], plan["objects"].as_array().map(Vec::len)),
        (&json!("planned"), Some(9)),
        "{plan}"
    );
    client.undo(before + 1).await;
    for session in &mut sessions {
        loop {
            if session.next_cluster().await.expect("a record").1 == ClusterPayload::Dissolved {
                break;
            }
        }
    }
    assert_eq!(sessions[0].next_config().await.expect("gone").servers, []);
    let left = client.get(PATH).await;
    for kind in ["datacenters", "mainframes", "frames", "partitions", "templates", "vs"] {
        assert_eq!(left[kind], json!([]), "{left}");
    }
    assert_eq!(left["nodes"][0], json!({"name": "node-1", "frame": "", "labels": {}}));
    // What a partition's members agreed on is gone for good.
    let (code, words) = client.undo_refused(client.newest().await).await;
    assert!(code == "undo-conflict" && words.contains("p1 is dissolved"), "{code} {words}");
    drop(appliance);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_object_refuses_nothing_is_changed_and_each_refusal_is_told() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    let kernel = client.get("/api/v1/vs/web").await["kernel"].clone();
    let before = client.newest().await;
    let manifest = json!({
        "datacenters": [{"name": "north"}],
        "mainframes": [{"name": "m1"}],
        "nodes": [{"name": "node-1", "frame": "rack-9"}, {"name": "node-9"}],
        "vs": [
            {"name": "web", "vcpus": 2, "running": true},
            {"name": "huge", "memory_mib": 90_000, "kernel": kernel},
            {"name": "fine", "kernel": kernel},
            {"name": "lost", "partition": "p9", "kernel": kernel},
        ],
    });
    let (status, plan) = client.try_apply(&manifest, "", true).await;
    assert_eq!((status, &plan["state"]), (200, &json!("conflict")), "{plan}");
    let texts: Vec<&str> = plan["conflicts"]
        .as_array()
        .expect("conflicts")
        .iter()
        .filter_map(|one| one["text"].as_str())
        .collect();
    let begins = ["mainframe m1: ", "node node-1: ", "node node-9: ", "vs huge: ", "vs lost: "];
    assert_eq!(texts.len(), begins.len(), "{texts:?}");
    assert!(texts.iter().zip(begins).all(|(text, begin)| text.starts_with(begin)), "{texts:?}");
    let (status, problem) = client.try_apply(&manifest, "", false).await;
    assert_eq!((status, &problem["code"]), (409, &json!("apply-refused")), "{problem}");
    let title = problem["title"].as_str().expect("words");
    assert!(title.starts_with("nothing was changed, 5 in the way") && title.contains("rack-9"), "{title}");
    for (broken, code) in [
        (json!({"vs": [{"name": "web"}, {"name": "web"}]}), "invalid"),
        (json!({"moons": []}), "bad-request"),
        (json!({"vs": [{"name": "web", "memory": 1}]}), "bad-request"),
    ] {
        let (status, problem) = client.try_apply(&broken, "", false).await;
        assert_eq!((status, problem["code"].as_str()), (422, Some(code)), "{problem}");
    }
    let many: Vec<Value> = (0..2001).map(|n| json!({"name": format!("d{n}")})).collect();
    assert_eq!(client.try_apply(&json!({"datacenters": many}), "", false).await.0, 422);
    let long = "x".repeat(1_100_000);
    assert_eq!(client.try_apply(&json!({"vs": [{"name": long}]}), "", false).await.0, 413);
    quiet(&mut session).await;
    assert_eq!(client.newest().await, before);
    assert_eq!(client.get("/api/v1/datacenters").await, json!([]));
    // Two that fit alone and not together are refused together.
    let two = json!({"vs": [{"name": "a", "memory_mib": 1000, "kernel": kernel}, {"name": "b", "memory_mib": 1000, "kernel": kernel}]});
    let (status, problem) = client.try_apply(&two, "", false).await;
    assert_eq!((status, &problem["code"]), (409, &json!("apply-refused")), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_the_labels_and_is_of_a_kind_in_the_document_is_pruned() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    let kernel = client.get("/api/v1/vs/web").await["kernel"].clone();
    let labels = json!({"team": "x"});
    let vs = |name: &str| json!({"name": name, "memory_mib": 64, "kernel": kernel, "labels": labels});
    let manifest = json!({
        "vs": [vs("a"), vs("b")],
        "templates": [{"name": "t", "kernel": kernel, "labels": labels}],
        "datacenters": [{"name": "north", "labels": labels}],
    });
    client.applies(&manifest).await;
    assert_eq!(session.next_config().await.expect("made").servers.len(), 3);
    // Left out is not deleted.
    let (status, plan) = client.try_apply(&json!({"vs": [vs("a")]}), "", false).await;
    assert_eq!((status, &plan["state"]), (200, &json!("nothing")), "{plan}");
    let (status, plan) = client.try_apply(&json!({"vs": [vs("a")]}), "team=x", false).await;
    assert_eq!((status, plan["objects"].as_array().map(Vec::len)), (200, Some(1)), "{plan}");
    let mut names: Vec<String> =
        session.next_config().await.expect("pruned").servers.into_iter().map(|vs| vs.name).collect();
    names.sort();
    assert_eq!(names, ["a", "web"], "what has no such label stays");
    assert_eq!(client.get("/api/v1/templates").await[0]["name"], "t", "its kind is not in the document");
    let pruned = client.newest().await;
    let (status, plan) =
        client.try_apply(&json!({"datacenters": [], "templates": []}), "team=x", false).await;
    assert_eq!((status, plan["objects"].as_array().map(Vec::len)), (200, Some(2)), "{plan}");
    client.undo(client.newest().await).await;
    client.undo(pruned).await;
    let back = session.next_config().await.expect("back").servers;
    assert!(back.len() == 3 && back.iter().any(|vs| vs.name == "b"), "{back:?}");
    assert_eq!(client.get("/api/v1/templates").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_of_a_document_asks_for_its_own_right() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    let kernel = client.get("/api/v1/vs/web").await["kernel"].clone();
    client
        .applies(
            &json!({"vs": [{"name": "web", "labels": {"team": "red"}}, {"name": "db", "kernel": kernel}]}),
        )
        .await;
    session.next_config().await.expect("db");
    let viewer = account(&client, "eve", "viewer").await;
    let wanted = json!({"vs": [{"name": "web", "vcpus": 2}]});
    let (status, problem) = viewer.try_apply(&wanted, "", false).await;
    assert_eq!((status, &problem["code"]), (403, &json!("not-allowed")), "{problem}");
    assert!(problem["title"].as_str().is_some_and(|title| title.contains("may not edit")), "{problem}");
    // Who may see and label the servers of one team sees only those, and only labels them.
    let may = r#"permit (principal == Account::"ann", action in [Action::"view", Action::"label"], resource is Vs)
        when { resource.hasTag("team") && resource.getTag("team") == "red" };"#;
    let ann = account(&client, "ann", "none").await;
    policy(&client, "ann", may).await;
    let seen = ann.get(PATH).await;
    assert_eq!(
        (seen["vs"].as_array().map(Vec::len), &seen["vs"][0]["name"]),
        (Some(1), &json!("web")),
        "{seen}"
    );
    assert_eq!(seen["nodes"], json!([]), "{seen}");
    let (status, _) = ann
        .try_apply(&json!({"vs": [{"name": "web", "labels": {"team": "red", "a": "b"}}]}), "", false)
        .await;
    assert_eq!(status, 200);
    for (wanted, status) in [
        (json!({"vs": [{"name": "web", "vcpus": 2}]}), 403),
        (json!({"vs": [{"name": "web", "running": true}]}), 403),
        // Out of her sight, and what is not in it: as if it were not there.
        (json!({"vs": [{"name": "web", "labels": {"team": "blue"}}]}), 404),
        (json!({"vs": [{"name": "db", "labels": {}}]}), 409),
        (json!({"datacenters": [{"name": "x"}]}), 403),
    ] {
        let (got, problem) = ann.try_apply(&wanted, "", false).await;
        assert_eq!(got, status, "{wanted}: {problem}");
    }
    // What may not be seen is not pruned.
    let (status, plan) = ann.try_apply(&json!({"vs": [{"name": "web"}]}), "!team", false).await;
    assert_eq!((status, &plan["state"]), (200, &json!("nothing")), "{plan}");
    quiet(&mut session).await;
    client.applies(&wanted).await;
    let heard = session.next_config().await.expect("changed").servers;
    assert!(heard.iter().any(|vs| vs.name == "web" && vs.vcpus == 2), "{heard:?}");
}
