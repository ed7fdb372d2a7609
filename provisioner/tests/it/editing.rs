//! Servers that are changed while they are there: what nodes hear of it and when, and two operators who change the same.

use http_body_util::Full;
use serde_json::{Value, json};
use weft_wire::record::Desired;

use crate::common::Client;
use crate::partitions::{Two, config, two};
use crate::rights::account;
use crate::span::weft;
use crate::transactions::{One, one, quiet, server};

impl Client {
    async fn edit(&self, name: &str, wanted: &Value) -> (u16, Value) {
        self.json("PATCH", &format!("/api/v1/vs/{name}"), wanted).await
    }

    async fn edits(&self, name: &str, wanted: Value) {
        let (status, reply) = self.edit(name, &wanted).await;
        assert_eq!(status, 204, "{wanted}: {reply}");
    }

    /// The version of an object.
    async fn version(&self, path: &str) -> String {
        let request = self.build("GET", path).body(Full::default()).expect("a request");
        let answer = self.request(request).await;
        let tag = answer.headers().get("etag").unwrap_or_else(|| panic!("{path} has no version"));
        tag.to_str().expect("text").to_string()
    }

    /// A change of this version of an object.
    async fn of_version(&self, method: &str, path: &str, version: &str, body: &Value) -> (u16, Value) {
        let request = self
            .build(method, path)
            .header("content-type", "application/json")
            .header("if-match", version)
            .body(Full::from(body.to_string()))
            .expect("a request");
        let answer = self.request(request).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }
}

fn pending(vs: &Value) -> Vec<[&str; 3]> {
    vs["pending"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| ["field", "before", "after"].map(|of| change[of].as_str().expect("text")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_takes_a_change_at_its_next_start() {
    let One { folder, appliance, client, node, mut session } = one().await;
    client.does("POST", "/api/v1/vs/web/start").await;
    let started = server(&mut session).await;
    let wanted = json!({"memory_mib": 512, "vcpus": 2, "append": "quiet", "hostname": "w1"});

    let (status, plan) = client.json("PATCH", "/api/v1/vs/web?dry_run=true", &wanted).await;
    assert_eq!(
        (status, &plan["state"], &plan["undo"]),
        (200, &json!("planned"), &json!("reversible")),
        "{plan}"
    );
    assert!(plan["effects"][0].as_str().is_some_and(|effect| effect.contains("next start")), "{plan}");
    quiet(&mut session).await;

    client.edits("web", wanted).await;
    let change = client.newest().await;
    let heard = server(&mut session).await;
    assert!(heard.generation > started.generation, "{heard:?}");
    let same = weft_wire::record::VsSpec { generation: started.generation, ..heard };
    assert_eq!(same, started, "what runs is as it was started");
    let vs = client.get("/api/v1/vs/web").await;
    assert_eq!((&vs["memory_mib"], &vs["append"]), (&json!(512), &json!("quiet")));
    assert_eq!(
        pending(&vs),
        [["append", "", "quiet"], ["hostname", "", "w1"], ["memory_mib", "256", "512"], ["vcpus", "1", "2"]]
    );

    // Where it lies and what it uses is told of what runs.
    let lies = client.get("/api/v1/topology").await["servers"][0].clone();
    assert_eq!((&lies["memory_mib"], &lies["places"][0]["vcpus"]), (&json!(256), &json!(1)), "{lies}");

    // What waits for a start survives the appliance, and so does what runs.
    let last = session.numbers.last().copied().unwrap_or_default();
    drop(session);
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    let mut session = appliance.connect_after(&node, last).await;
    let heard = server(&mut session).await;
    assert_eq!((heard.memory_mib, heard.instance, heard.append.as_str()), (256, started.instance, ""));

    client.does("POST", "/api/v1/vs/web/reset").await;
    let heard = server(&mut session).await;
    assert_eq!((heard.memory_mib, heard.vcpus, heard.append.as_str()), (512, 2, "quiet hostname=w1"));
    assert!(heard.instance > started.instance && heard.desired == Desired::Running);
    assert_eq!(pending(&client.get("/api/v1/vs/web").await), [[""; 3]; 0]);

    // Taken back while it runs: again its next start takes it, and a stopped one has it at once.
    client.undo(change).await;
    let heard = server(&mut session).await;
    assert_eq!((heard.memory_mib, heard.vcpus), (512, 2));
    assert_eq!(pending(&client.get("/api/v1/vs/web").await).len(), 4);
    client.does("POST", "/api/v1/vs/web/stop").await;
    let heard = server(&mut session).await;
    assert_eq!((heard.memory_mib, heard.vcpus, heard.append.as_str()), (256, 1, ""));
    assert_eq!(heard.desired, Desired::Stopped);
    let shown = client.get(&format!("/api/v1/transactions/{change}")).await;
    assert_eq!(
        (&shown["transaction"]["name"], &shown["transaction"]["state"]),
        (&json!("vs set"), &json!("undone"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_at_once_and_what_cannot_be_is_refused_in_words() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    client.does("POST", "/api/v1/vs/web/start").await;
    let started = server(&mut session).await;
    client.edits("web", json!({"name": "shop"})).await;
    let heard = server(&mut session).await;
    assert_eq!((heard.name.as_str(), heard.id, heard.instance), ("shop", started.id, started.instance));
    assert_eq!(client.send("GET", "/api/v1/vs/web", Vec::new()).await.0, 404);
    client.undo(client.newest().await).await;
    assert_eq!(server(&mut session).await.name, "web");

    let kernel = client.get("/api/v1/vs/web").await["kernel"].clone();
    let other = json!({"name": "db", "vcpus": 1, "memory_mib": 1024, "kernel": kernel});
    assert_eq!(client.json("POST", "/api/v1/vs", &other).await.0, 201);
    session.next_config().await.expect("db");
    let before = client.newest().await;
    for (wanted, status, code, word) in [
        (json!({"name": "db"}), 409, "taken", "db"),
        (json!({"name": "a b"}), 422, "invalid", "name"),
        (json!({"vcpus": 0}), 422, "invalid", "processors"),
        (json!({"memory_mib": 10}), 422, "invalid", "MiB"),
        (json!({"memory_mib": 100_000}), 409, "no-room", "node-1 has"),
        (json!({"kernel": "00"}), 422, "blob-not-found", "kernel"),
        (json!({"kernel": ""}), 422, "invalid", "kernel"),
        (json!({"address": "10.0.0.5"}), 422, "invalid", "prefix"),
        (json!({"append": "a\nb"}), 422, "invalid", "command line"),
        (json!({"labels": {"set": {"A": "b"}}}), 422, "invalid", "label"),
        (json!({}), 422, "invalid", "nothing is to change"),
        (json!({"memory": 512}), 422, "bad-request", "memory"),
    ] {
        let (got, problem) = client.edit("web", &wanted).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{wanted}: {problem}");
        let title = problem["title"].as_str().expect("words");
        assert!(
            title.contains(word) && !problem["next"].as_str().unwrap_or_default().is_empty(),
            "{problem}"
        );
        let (got, _) = client.json("PATCH", "/api/v1/vs/web?dry_run=true", &wanted).await;
        assert_eq!(got, status, "a dry run refuses the same: {wanted}");
    }
    // What is so already changes nothing.
    client.edits("web", json!({"name": "web", "memory_mib": 256})).await;
    quiet(&mut session).await;
    assert_eq!(client.newest().await, before);

    // A running server's memory is held beside what it is to have: db cannot have it.
    client.edits("web", json!({"memory_mib": 64})).await;
    session.next_config().await.expect("web");
    let (_, problem) = client.edit("db", &json!({"memory_mib": 1800})).await;
    assert_eq!(problem["code"], "no-room", "{problem}");
    // Labels alone are heard by no node, and are no new definition.
    let generation = client.get("/api/v1/vs/web").await["generation"].clone();
    client.edits("web", json!({"labels": {"set": {"env": "prod"}}})).await;
    let vs = client.get("/api/v1/vs/web").await;
    assert_eq!((&vs["generation"], &vs["labels"]["env"]), (&generation, &json!("prod")));
    quiet(&mut session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_spans_nodes_is_shared_out_anew_once_it_is_stopped() {
    let Two { client, mut sessions, appliance: _running, folder: _kept, .. } = two().await;
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted =
        json!({"name": "big", "vcpus": 2, "memory_mib": 1024, "kernel": blob["digest"], "partition": "p1"});
    assert_eq!(client.json("POST", "/api/v1/vs", &wanted).await.0, 201);
    for session in &mut sessions {
        config(session).await;
    }
    client.edits("big", json!({"memory_mib": 2048, "append": "quiet"})).await;
    for session in &mut sessions {
        let servers = config(session).await.servers;
        let places = &servers[0].span.as_ref().expect("it spans").places;
        assert_eq!(places.iter().map(|place| place.memory_mib).sum::<u32>(), 2048, "{places:?}");
        assert_eq!((servers[0].memory_mib, servers[0].append.as_str()), (2048, "quiet"));
    }
    client.does("POST", "/api/v1/vs/big/start").await;
    for session in &mut sessions {
        config(session).await;
    }
    let (status, problem) = client.edit("big", &json!({"vcpus": 1})).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("vs-running")), "{problem}");
    client.edits("big", json!({"append": "debug"})).await;
    for session in &mut sessions {
        assert_eq!(config(session).await.servers[0].append, "quiet");
    }
    assert_eq!(pending(&client.get("/api/v1/vs/big").await), [["append", "quiet", "debug"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_the_second_is_shown_what_the_first_changed() {
    let One { client: ann, mut session, appliance: _running, folder: _kept, .. } = one().await;
    let bob = account(&ann, "bob", "operator").await;
    let at = "/api/v1/vs/web";
    let seen = ann.version(at).await;
    assert_eq!(bob.version(at).await, seen);
    let (status, reply) = bob.of_version("PATCH", at, &seen, &json!({"memory_mib": 512})).await;
    assert_eq!(status, 204, "{reply}");
    let number = ann.newest().await;
    server(&mut session).await;
    for (method, path, body) in [
        ("PATCH", at, json!({"vcpus": 2})),
        ("PATCH", "/api/v1/vs/web?dry_run=true", json!({"vcpus": 2})),
        ("POST", "/api/v1/vs/web/start", Value::Null),
        ("POST", "/api/v1/vs/web/labels", json!({"set": {"a": "b"}})),
        ("DELETE", at, Value::Null),
    ] {
        let (status, problem) = ann.of_version(method, path, &seen, &body).await;
        assert_eq!((status, &problem["code"]), (412, &json!("changed-meanwhile")), "{problem}");
        let changed = problem["changed"].as_array().expect("what changed");
        assert_eq!(changed.len(), 1, "{problem}");
        let of = |field: &str| changed[0][field].as_str().expect("text");
        assert_eq!((of("field"), of("before"), of("after")), ("memory_mib", "256", "512"));
        let title = problem["title"].as_str().expect("a title");
        assert!(title.contains("bob") && title.contains(&format!("transaction {number}")), "{title}");
    }
    quiet(&mut session).await;
    // A label is no new definition, and is another version all the same.
    let seen = ann.version(at).await;
    let (status, reply) =
        ann.of_version("POST", "/api/v1/vs/web/labels", "*", &json!({"set": {"a": "b"}})).await;
    assert_eq!(status, 204, "{reply}");
    let (status, problem) = bob.of_version("PATCH", at, &seen, &json!({"vcpus": 2})).await;
    assert_eq!((status, &problem["changed"][0]["field"]), (412, &json!("labels.a")), "{problem}");
    let (status, reply) = bob
        .of_version("PATCH", at, &format!("\"0-0\", {}", bob.version(at).await), &json!({"vcpus": 2}))
        .await;
    assert_eq!(status, 204, "{reply}");
    assert_eq!(server(&mut session).await.vcpus, 2);
    // Of two at once one is done.
    let seen = ann.version(at).await;
    let (up, down) = (json!({"memory_mib": 640}), json!({"memory_mib": 128}));
    let both =
        tokio::join!(ann.of_version("PATCH", at, &seen, &up), bob.of_version("PATCH", at, &seen, &down));
    let mut statuses = [both.0.0, both.1.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 412], "{both:?}");
    assert_ne!(server(&mut session).await.memory_mib, 512);
    // What has no version says so; what nobody kept is none.
    let body = json!({"action": "stop", "select": {"all": true}});
    let (status, problem) = ann.of_version("POST", "/api/v1/groups/vs", &seen, &body).await;
    assert_eq!((status, &problem["code"]), (422, &json!("no-versions")), "{problem}");
    let (status, problem) = ann.of_version("PATCH", at, "W/\"1\"", &up).await;
    assert_eq!((status, &problem["code"]), (400, &json!("bad-request")), "{problem}");
    let (status, problem) = ann.of_version("PATCH", at, "\"7-77777777\"", &up).await;
    assert_eq!((status, problem.get("changed")), (412, None), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_object_has_versions_and_changes_of_an_old_one_are_refused() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    client.makes_container("datacenter", "dc", "").await;
    client.makes_container("mainframe", "mf", "dc").await;
    client.makes_container("frame", "f1", "mf").await;
    let template = json!({"name": "small", "from": "web"});
    assert_eq!(client.json("POST", "/api/v1/templates", &template).await.0, 201);
    let digest = client.get("/api/v1/images").await[0]["digest"].as_str().expect("a digest").to_string();
    let label = json!({"set": {"a": "b"}});
    let relabel = json!({"labels": {"set": {"a": "b"}}});
    let range = json!({"ranges": ["02:58:00:00:00:00-02:58:00:00:00:0f"]});
    for (kind, verb, body) in [
        ("nodes/node-1", "/labels", &label),
        ("templates/small", "/labels", &label),
        ("datacenters/dc", "/edit", &relabel),
        ("mainframes/mf", "/edit", &relabel),
        ("frames/f1", "/edit", &relabel),
        ("pools/default-mac", "/extend", &range),
    ] {
        let at = format!("/api/v1/{kind}");
        let seen = client.version(&at).await;
        let change = format!("{at}{verb}");
        let (status, reply) = client.of_version("POST", &change, &seen, body).await;
        assert_eq!(status, 204, "{kind}: {reply}");
        let (status, problem) = client.of_version("DELETE", &at, &seen, &Value::Null).await;
        assert_eq!(status, 412, "{kind}: {problem}");
        assert!(problem["changed"][0]["after"].is_string(), "{kind}: {problem}");
    }
    let (status, _) = client
        .of_version("POST", &format!("/api/v1/images/{digest}/activate"), "\"1-1\"", &Value::Null)
        .await;
    assert_eq!(status, 412);
    quiet(&mut session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_changes_a_server_and_says_what_waits() {
    let One { client, mut session, appliance, folder, .. } = one().await;
    client.does("POST", "/api/v1/vs/web/start").await;
    server(&mut session).await;
    let run = async |args: &[&str]| weft(folder.path(), &appliance, args).await;
    let plan = run(&["vs", "set", "web", "--memory", "512M", "--dry-run"]).await;
    assert!(plan.contains("memory_mib") && plan.contains("next start"), "{plan}");
    run(&["vs", "set", "web", "--memory", "512M", "--name", "shop"]).await;
    let heard = server(&mut session).await;
    assert_eq!((heard.name.as_str(), heard.memory_mib), ("shop", 256));
    let shown = run(&["vs", "show", "shop"]).await;
    assert!(shown.contains("pending") && shown.contains("after=512"), "{shown}");
}
