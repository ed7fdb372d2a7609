//! Several objects at once: what nodes hear of a group, before, after and when it is taken back.

use serde_json::{Value, json};
use weft_server::simnode::{SimNode, SimSession};
use weft_wire::record::Desired;

use crate::common::{Appliance, Client, sim};
use crate::partitions::{Two, config, two};
use crate::transactions::quiet;

/// Two approved nodes with servers that are not started: `a` and `b` on the first, `c` on the second.
pub(crate) struct Rack {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) appliance: Appliance,
    pub(crate) client: Client,
    pub(crate) sessions: [SimSession; 2],
}

pub(crate) async fn rack() -> Rack {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let nodes = [sim(1, &file), sim(2, &file)];
    let mut sessions = [appliance.connect(&nodes[0]).await, appliance.connect(&nodes[1]).await];
    for (node, session) in nodes.iter().zip(&mut sessions) {
        client.approve(node).await;
        session.next_config().await.expect("approved");
    }
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    for (name, node, labels) in [
        ("a", 0, json!({"env": "prod", "tier": "web"})),
        ("b", 0, json!({"env": "test"})),
        ("c", 1, json!({"env": "prod"})),
    ] {
        let wanted = json!({"name": name, "vcpus": 1, "memory_mib": 700, "kernel": blob["digest"],
            "node": format!("node-{}", node + 1), "labels": labels});
        let (status, reply) = client.json("POST", "/api/v1/vs", &wanted).await;
        assert_eq!(status, 201, "{reply}");
        sessions[node].next_config().await.expect("created");
    }
    Rack { folder, appliance, client, sessions }
}

impl Client {
    async fn group(&self, action: &str, select: Value) -> (u16, Value) {
        self.json("POST", "/api/v1/groups/vs", &json!({"action": action, "select": select})).await
    }

    /// The group is changed; the plan.
    async fn acts(&self, action: &str, select: Value) -> Value {
        let (status, plan) = self.group(action, select).await;
        assert_eq!((status, plan["state"].as_str()), (200, Some("done")), "{plan}");
        assert_eq!(plan["transaction"], self.newest().await, "{plan}");
        plan
    }

    async fn group_plan(&self, action: &str, select: Value) -> Value {
        let body = json!({"action": action, "select": select});
        let (status, plan) = self.json("POST", "/api/v1/groups/vs?dry_run=true", &body).await;
        assert_eq!(status, 200, "{plan}");
        plan
    }

    async fn labels(&self, path: &str, body: Value) -> (u16, Value) {
        self.json("POST", &format!("/api/v1/{path}/labels"), &body).await
    }
}

/// Names and wishes of the node's next configuration, which is the only one.
async fn servers(session: &mut SimSession) -> Vec<(String, bool)> {
    let config = session.next_config().await.expect("a configuration");
    let mut all: Vec<_> =
        config.servers.into_iter().map(|vs| (vs.name, vs.desired == Desired::Running)).collect();
    all.sort();
    all
}

fn wishes(all: &[(&str, bool)]) -> Vec<(String, bool)> {
    all.iter().map(|(name, runs)| (name.to_string(), *runs)).collect()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|one| one["name"].as_str().expect("a name")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_starts_and_stops_in_one_transaction_and_one_undo_takes_all_back() {
    let Rack { client, sessions: [mut first, mut second], appliance: _running, folder: _kept } = rack().await;
    let before = client.newest().await;

    let plan = client.group_plan("start", json!({"names": ["a", "b", "c", "a"]})).await;
    assert_eq!((plan["state"].as_str(), plan["undo"].as_str()), (Some("planned"), Some("compensable")));
    assert_eq!(names(&plan["objects"]), ["a", "b", "c"], "each once: {plan}");
    assert_eq!(plan["effects"], json!(["node-1 starts a", "node-1 starts b", "node-2 starts c"]));
    quiet(&mut first).await;
    assert_eq!(client.newest().await, before);

    client.acts("start", json!({"names": ["a", "b", "c"]})).await;
    assert_eq!(servers(&mut first).await, wishes(&[("a", true), ("b", true)]), "both in one record");
    assert_eq!(servers(&mut second).await, wishes(&[("c", true)]));
    quiet(&mut first).await;
    let start = client.newest().await;
    assert_eq!(start, before + 1);
    let shown = client.get(&format!("/api/v1/transactions/{start}")).await;
    assert_eq!(names(&shown["transaction"]["objects"]), ["a", "b", "c"]);
    let events = client.get("/api/v1/events?after=0&limit=1000").await;
    let told = events.as_array().expect("events").iter().filter(|event| event["name"] == "vs.start");
    assert_eq!(told.count(), 3, "each server has its event");

    // What is so already is left alone; the others change.
    client.does("POST", "/api/v1/vs/b/stop").await;
    assert_eq!(servers(&mut first).await, wishes(&[("a", true), ("b", false)]));
    let plan = client.acts("stop", json!({"all": true})).await;
    assert_eq!(names(&plan["objects"]), ["a", "c"]);
    assert_eq!(servers(&mut first).await, wishes(&[("a", false), ("b", false)]));
    assert_eq!(servers(&mut second).await, wishes(&[("c", false)]));
    let stop = client.newest().await;
    let (status, plan) = client.group("stop", json!({"all": true})).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("nothing")), "{plan}");
    assert_eq!(client.newest().await, stop);

    client.undo(stop).await;
    let events = client.get("/api/v1/events?after=0&limit=1000").await;
    let undone =
        events.as_array().expect("events").iter().filter(|event| event["name"] == "transaction.undone");
    assert_eq!(undone.map(|event| event["vs"].as_str()).collect::<Vec<_>>(), [Some("a"), Some("c")]);
    assert_eq!(servers(&mut first).await, wishes(&[("a", true), ("b", false)]));
    assert_eq!(servers(&mut second).await, wishes(&[("c", true)]));

    // A later change of one is in the way of all, and is named.
    let (code, words) = client.undo_refused(start).await;
    assert!(code == "undo-conflict" && words.contains("changed running of b"), "{words}");
    quiet(&mut second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_refuses_nothing_is_changed_and_each_refusal_is_told() {
    let Rack { client, sessions: [mut first, mut second], appliance: _running, folder: _kept } = rack().await;
    client.does("POST", "/api/v1/vs/a/start").await;
    servers(&mut first).await;
    let before = client.newest().await;
    let select = json!({"names": ["a", "b", "moon", "c"]});
    let (status, problem) = client.group("reset", select.clone()).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("group-refused")), "{problem}");
    let words = problem["title"].as_str().expect("words");
    for part in
        ["nothing was changed, 3 in the way", "b is stopped", "c is stopped", "no virtual server moon"]
    {
        assert!(words.contains(part), "{words}");
    }
    let plan = client.group_plan("reset", select).await;
    assert_eq!(plan["state"], "conflict");
    assert_eq!(names(&plan["conflicts"]), ["b", "moon", "c"]);
    assert_eq!((plan["objects"].as_array().map(Vec::len), &plan["effects"]), (Some(0), &json!([])));
    quiet(&mut first).await;
    quiet(&mut second).await;
    assert_eq!(client.newest().await, before);

    for (body, status, code) in [
        (json!({"action": "start", "select": {}}), 422, "invalid"),
        (json!({"action": "teleport", "select": {"all": true}}), 422, "invalid"),
        (json!({"action": "start", "select": {"names": ["a"], "all": true}}), 422, "invalid"),
        (json!({"action": "start", "select": {"selector": "env=="}}), 422, "invalid"),
        (json!({"action": "start", "select": {"selector": "env=none"}}), 404, "nothing-chosen"),
        (json!({"action": "start", "select": {"names": vec!["x".repeat(63); 1001]}}), 422, "too-many"),
        (json!({"select": {"all": true}}), 422, "bad-request"),
    ] {
        let (got, problem) = client.json("POST", "/api/v1/groups/vs", &body).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    let (status, plan) = client.group("start", json!({"selector": "env=none", "allow_empty": true})).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("nothing")), "{plan}");
    assert_eq!(client.newest().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_deleted_comes_back_whole_or_not_at_all() {
    let Rack { client, sessions: [mut first, mut second], appliance: _running, folder: _kept } = rack().await;
    client.acts("start", json!({"selector": "env=prod"})).await;
    assert_eq!(servers(&mut first).await, wishes(&[("a", true), ("b", false)]));
    assert_eq!(servers(&mut second).await, wishes(&[("c", true)]));
    let all = client.get("/api/v1/vs").await;
    client.acts("delete", json!({"all": true})).await;
    assert_eq!(servers(&mut first).await, []);
    assert_eq!(servers(&mut second).await, []);
    let deletion = client.newest().await;

    // Each would find room for itself, and not both.
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted =
        json!({"name": "new", "vcpus": 1, "memory_mib": 1000, "kernel": blob["digest"], "node": "node-1"});
    assert_eq!(client.json("POST", "/api/v1/vs", &wanted).await.0, 201);
    assert_eq!(servers(&mut first).await, wishes(&[("new", false)]));
    let plan = client.undo_plan(deletion).await;
    assert_eq!(plan["state"], "conflict", "{plan}");
    let (_, words) = client.undo_refused(deletion).await;
    assert!(words.contains("MiB free"), "{words}");
    quiet(&mut second).await;
    client.undo(client.newest().await).await;
    assert_eq!(servers(&mut first).await, []);

    client.undo(deletion).await;
    assert_eq!(servers(&mut first).await, wishes(&[("a", true), ("b", false)]));
    assert_eq!(servers(&mut second).await, wishes(&[("c", true)]));
    let back = client.get("/api/v1/vs").await;
    for (was, is) in all.as_array().expect("servers").iter().zip(back.as_array().expect("servers")) {
        assert_eq!((&was["id"], &was["macs"], &was["labels"]), (&is["id"], &is["macs"], &is["labels"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_group_and_one_of_it_at_once_the_later_is_refused_and_the_rest_is_untouched() {
    let Rack { client, sessions: [mut first, mut second], appliance: _running, folder: _kept } = rack().await;
    for _ in 0..5 {
        let (group, one) = tokio::join!(
            client.group("delete", json!({"names": ["a", "c"]})),
            client.send("DELETE", "/api/v1/vs/a", Vec::new())
        );
        let left = client.get("/api/v1/vs").await;
        match (group.0, one.0) {
            (200, 404) => assert_eq!(names(&left), ["b"]),
            (409, 204) => {
                assert!(group.1["title"].as_str().is_some_and(|words| words.contains("no virtual server a")));
                assert_eq!(names(&left), ["b", "c"], "c is there as before");
            }
            other => panic!("{other:?}: {group:?} {one:?}"),
        }
        client.undo(client.newest().await).await;
        assert_eq!(names(&client.get("/api/v1/vs").await), ["a", "b", "c"]);
    }
    // Nodes end with what is so. Where the one always came first, the second node has heard of nothing yet.
    client.acts("start", json!({"all": true})).await;
    for (session, so) in
        [(&mut first, wishes(&[("a", true), ("b", true)])), (&mut second, wishes(&[("c", true)]))]
    {
        let hears = async { while servers(session).await != so {} };
        tokio::time::timeout(std::time::Duration::from_secs(20), hears).await.expect("what is so");
        quiet(session).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_choose_are_taken_back_one_by_one_and_no_node_hears_of_them() {
    let Rack { client, sessions: [mut first, _second], appliance: _running, folder: _kept } = rack().await;
    assert_eq!(names(&client.get("/api/v1/vs?selector=env%3Dprod").await), ["a", "c"]);
    assert_eq!(names(&client.get("/api/v1/vs?selector=env!%3Dprod,!tier").await), ["b"]);
    assert_eq!(client.send("GET", "/api/v1/vs?selector=%3D", Vec::new()).await.0, 422);
    let generation = client.get("/api/v1/vs/b").await["generation"].clone();

    let change = json!({"set": {"env": "prod", "owner": "ann"}, "remove": ["gone"]});
    assert_eq!(client.labels("vs/b", change.clone()).await.0, 204);
    let labelled = client.newest().await;
    let shown = client.get(&format!("/api/v1/transactions/{labelled}")).await;
    assert_eq!(
        (shown["transaction"]["name"].as_str(), shown["transaction"]["undo"].as_str()),
        (Some("vs label"), Some("reversible"))
    );
    let fields = shown["changes"][0]["fields"].as_array().expect("fields");
    let env = fields.iter().find(|field| field["field"] == "labels.env").expect("a label is a field");
    assert_eq!((env["before"].as_str(), env["after"].as_str()), (Some("test"), Some("prod")));
    assert_eq!(client.labels("vs/b", change).await.0, 204);
    assert_eq!(client.newest().await, labelled, "all was so already");

    // Another label is not in the way of the undo, the same one is.
    assert_eq!(client.labels("vs/b", json!({"set": {"tier": "db"}})).await.0, 204);
    let plan = client.undo_plan(labelled).await;
    assert_eq!((plan["state"].as_str(), &plan["effects"]), (Some("planned"), &json!([])), "{plan}");
    client.undo(labelled).await;
    let now = client.get("/api/v1/vs/b").await;
    assert_eq!(now["labels"], json!({"env": "test", "tier": "db"}));
    assert_eq!(now["generation"], generation, "the definition is the same");
    let undo = client.newest().await;
    assert_eq!(client.labels("vs/b", json!({"remove": ["env"]})).await.0, 204);
    let (_, words) = client.undo_refused(undo).await;
    assert!(words.contains("changed labels.env of b"), "{words}");
    quiet(&mut first).await;

    let many: serde_json::Map<String, Value> = (0..33).map(|n| (format!("k{n}"), json!(""))).collect();
    for wrong in [
        json!({}),
        json!({"set": {"Env": "x"}}),
        json!({"set": {"env": "a b"}}),
        json!({"set": {"k".repeat(64): ""}}),
        json!({"set": many}),
        json!({"set": {"env": ""}, "remove": ["env"]}),
    ] {
        let (status, problem) = client.labels("vs/b", wrong).await;
        assert_eq!((status, problem["code"].as_str()), (422, Some("invalid")), "{problem}");
    }
    assert_eq!(client.labels("vs/moon", json!({"set": {"a": ""}})).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_labelled_and_forgotten_together_and_come_back_with_their_labels() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let nodes = [sim(1, &file), sim(2, &file)];
    let mut sessions = [appliance.connect(&nodes[0]).await, appliance.connect(&nodes[1]).await];
    let (status, problem) = client.labels("nodes/node-1", json!({"set": {"rack": "3"}})).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("node-not-approved")), "{problem}");

    let fingerprint = |node: &SimNode| json!(node.fingerprint().to_string());
    let approve = |fingerprints: Vec<Value>| json!({"action": "approve", "select": {"names": ["node-1", "node-2"]}, "fingerprints": fingerprints});
    let (status, problem) =
        client.json("POST", "/api/v1/groups/nodes", &approve(vec![fingerprint(&nodes[1])])).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["title"].as_str().is_some_and(|words| words.contains("differs from that of node-1")));
    for session in &mut sessions {
        quiet(session).await;
    }
    let both = nodes.iter().rev().map(fingerprint).collect();
    let (status, plan) = client.json("POST", "/api/v1/groups/nodes", &approve(both)).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("done")), "{plan}");
    for session in &mut sessions {
        session.next_config().await.expect("approved");
    }

    for (node, rack) in [("node-1", "3"), ("node-2", "4")] {
        assert_eq!(client.labels(&format!("nodes/{node}"), json!({"set": {"rack": rack}})).await.0, 204);
    }
    assert_eq!(names(&client.get("/api/v1/nodes?selector=rack%3D3").await), ["node-1"]);
    drop(sessions);
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    assert_eq!(client.get("/api/v1/nodes/node-1").await["labels"], json!({"rack": "3"}));

    let forget = json!({"action": "forget", "select": {"selector": "rack"}});
    let (status, plan) = client.json("POST", "/api/v1/groups/nodes", &forget).await;
    assert_eq!((status, names(&plan["objects"])), (200, vec!["node-1", "node-2"]), "{plan}");
    assert_eq!(client.get("/api/v1/nodes").await, json!([]));
    client.undo(client.newest().await).await;
    assert_eq!(names(&client.get("/api/v1/nodes?selector=rack%3D4").await), ["node-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_span_nodes_are_one_configuration_of_their_partition() {
    let Two { client, mut sessions, appliance: _running, folder: _kept, .. } = two().await;
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    for name in ["x", "y"] {
        let wanted =
            json!({"name": name, "vcpus": 2, "memory_mib": 300, "kernel": blob["digest"], "partition": "p1"});
        let (status, reply) = client.json("POST", "/api/v1/vs", &wanted).await;
        assert_eq!(status, 201, "{reply}");
        for session in &mut sessions {
            config(session).await;
        }
    }
    client.acts("start", json!({"all": true})).await;
    for session in &mut sessions {
        let config = config(session).await;
        assert!(config.servers.iter().all(|vs| vs.desired == Desired::Running), "{config:?}");
        assert_eq!(config.servers.len(), 2);
    }
    client.undo(client.newest().await).await;
    for session in &mut sessions {
        let config = config(session).await;
        assert!(config.servers.iter().all(|vs| vs.desired == Desired::Stopped), "{config:?}");
    }
    assert_eq!(client.labels("vs/x", json!({"set": {"env": "prod"}})).await.0, 204);
    quiet(&mut sessions[0]).await;
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
    assert_eq!(servers(&mut second).await, []);
    let (_, plan) = client.json("POST", &format!("{path}?dry_run=true"), &both).await;
    assert_eq!(plan["state"], "planned", "{plan}");
    quiet(&mut second).await;
    let (status, plan) = client.json("POST", path, &both).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("done")), "{plan}");
    assert_eq!(servers(&mut first).await, []);
    assert_eq!(servers(&mut second).await, wishes(&[("a", false), ("b", false)]), "both in one record");
    let number = client.newest().await;
    assert_eq!(plan["transaction"], number);
    client.undo(number).await;
    assert_eq!(servers(&mut first).await, wishes(&[("a", false), ("b", false)]));
    assert_eq!(servers(&mut second).await, []);
    // By label; one that lies there already is left alone, one that runs refuses all.
    client.does("POST", "/api/v1/vs/a/start").await;
    servers(&mut first).await;
    let (status, problem) =
        client.json("POST", path, &json!({"select": {"selector": "env"}, "node": "node-2"})).await;
    assert_eq!(status, 409, "{problem}");
    let (status, plan) = client.json("POST", path, &json!({"select": {"all": true}, "node": "node-1"})).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("nothing")), "{plan}");
    let (status, _) = client.json("POST", path, &json!({"select": {"all": true}, "node": "moon"})).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_several_change_in_one_transaction_and_nodes_hear_nothing() {
    let Rack { client, sessions: [mut first, mut second], appliance: _running, folder: _kept } = rack().await;
    let labels = json!({"set": {"stage": "two"}, "remove": ["tier"]});
    let wanted = json!({"select": {"selector": "env"}, "labels": labels});
    let (status, plan) = client.json("POST", "/api/v1/groups/vs/labels", &wanted).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("done")), "{plan}");
    assert_eq!(plan["objects"].as_array().map(Vec::len), Some(3), "{plan}");
    assert_eq!(names(&client.get("/api/v1/vs?selector=stage=two,!tier").await), ["a", "b", "c"]);
    let number = client.newest().await;
    let both = json!({"select": {"all": true}, "labels": {"set": {"rack": "3"}}});
    let (status, plan) = client.json("POST", "/api/v1/groups/nodes/labels", &both).await;
    assert_eq!((status, plan["objects"].as_array().map(Vec::len)), (200, Some(2)), "{plan}");
    assert_eq!(client.get("/api/v1/nodes?selector=rack=3").await.as_array().map(Vec::len), Some(2));
    client.undo(client.newest().await).await;
    client.undo(number).await;
    assert_eq!(client.get("/api/v1/vs?selector=stage").await, json!([]));
    assert_eq!(names(&client.get("/api/v1/vs?selector=tier=web").await), ["a"]);
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
