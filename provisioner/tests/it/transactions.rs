//! Transactions taken back: what counts is what the nodes hear before and after.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use weft_server::simnode::{Heard, SimSession};
use weft_wire::agent::ToNode;
use weft_wire::cluster::ClusterPayload;
use weft_wire::record::{Desired, Verdict, VsSpec};

use crate::common::{Appliance, Client, WEFT, sim};
use crate::partitions::{Two, config, two};

impl Client {
    pub(crate) async fn post(&self, path: &str) -> (u16, Value) {
        self.send("POST", path, Vec::new()).await
    }

    /// Does something that has no answer of its own.
    pub(crate) async fn does(&self, method: &str, path: &str) {
        let (status, reply) = self.send(method, path, Vec::new()).await;
        assert_eq!(status, 204, "{method} {path}: {reply}");
    }

    /// Number of the newest transaction.
    pub(crate) async fn newest(&self) -> u64 {
        let all = self.get("/api/v1/transactions?limit=1").await;
        all[0]["number"].as_u64().expect("a number")
    }

    pub(crate) async fn undo(&self, number: u64) -> Value {
        let (status, plan) = self.post(&format!("/api/v1/transactions/{number}/undo")).await;
        assert_eq!((status, plan["state"].as_str()), (200, Some("done")), "{plan}");
        plan
    }

    /// The undo is refused; its code and its words.
    pub(crate) async fn undo_refused(&self, number: u64) -> (String, String) {
        let (status, problem) = self.post(&format!("/api/v1/transactions/{number}/undo")).await;
        assert_eq!(status, 409, "{problem}");
        let text = |field: &str| problem[field].as_str().unwrap_or_default().to_string();
        assert!(!text("next").is_empty(), "{problem}");
        (text("code"), text("title"))
    }

    pub(crate) async fn undo_plan(&self, number: u64) -> Value {
        let (status, plan) = self.post(&format!("/api/v1/transactions/{number}/undo?dry_run=true")).await;
        assert_eq!(status, 200, "{plan}");
        plan
    }
}

/// An appliance with one approved node, and a server `web` on it that is not started.
pub(crate) struct One {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) appliance: Appliance,
    pub(crate) client: Client,
    pub(crate) node: weft_server::simnode::SimNode,
    pub(crate) session: SimSession,
}

pub(crate) async fn one() -> One {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted = json!({"name": "web", "vcpus": 1, "memory_mib": 256, "kernel": blob["digest"]});
    let (status, reply) = client.json("POST", "/api/v1/vs", &wanted).await;
    assert_eq!(status, 201, "{reply}");
    session.next_config().await.expect("created");
    One { folder, appliance, client, node, session }
}

/// The one server of the node's next configuration.
pub(crate) async fn server(session: &mut SimSession) -> VsSpec {
    let mut config = session.next_config().await.expect("a configuration");
    assert_eq!(config.servers.len(), 1, "{config:?}");
    config.servers.remove(0)
}

async fn no_server(session: &mut SimSession) {
    assert_eq!(session.next_config().await.expect("a configuration").servers, []);
}

/// Fails if the node hears anything but pings for a while.
pub(crate) async fn quiet(session: &mut SimSession) {
    let heard = tokio::time::timeout(Duration::from_millis(700), async {
        loop {
            match session.next().await.expect("a message") {
                Heard::Message(ToNode::Ping) => {}
                other => return other,
            }
        }
    });
    if let Ok(heard) = heard.await {
        panic!("the node heard {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_that_was_deleted_runs_again_with_its_own_identifiers() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    client.does("POST", "/api/v1/vs/web/start").await;
    let before = server(&mut session).await;
    client.does("DELETE", "/api/v1/vs/web").await;
    no_server(&mut session).await;
    let deletion = client.newest().await;

    let shown = client.get(&format!("/api/v1/transactions/{deletion}")).await;
    assert_eq!(shown["transaction"]["name"], "vs delete");
    assert_eq!(shown["transaction"]["actor"], "admin");
    assert_eq!(shown["changes"][0]["state"], "deleted");

    // The preview says what will be, and the node hears nothing of it.
    let plan = client.undo_plan(deletion).await;
    assert_eq!((plan["state"].as_str(), plan["undo"].as_str()), (Some("planned"), Some("reversible")));
    assert!(plan["lost"].as_str().is_some_and(|lost| lost.contains("memory")), "{plan}");
    let effect = plan["effects"][0].as_str().expect("an effect");
    assert!(effect.starts_with("node-1 creates web") && effect.contains(&before.id.to_string()), "{effect}");
    assert!(effect.contains("02:57:") && effect.contains("starts it"), "{effect}");
    quiet(&mut session).await;
    assert_eq!(client.newest().await, deletion);

    let done = client.undo(deletion).await;
    let after = server(&mut session).await;
    assert_eq!((after.id, &after.macs, after.desired), (before.id, &before.macs, Desired::Running));
    assert_eq!((after.name.as_str(), after.memory_mib), ("web", 256));
    assert!(after.generation > before.generation && after.instance > before.instance, "{after:?}");
    let undo = client.newest().await;
    assert_eq!(done["transaction"], undo);
    let list = client.get("/api/v1/transactions?limit=2").await;
    assert_eq!(
        (list[0]["cause"].as_str(), list[0]["undoes"].as_u64()),
        (Some(&*format!("undo of {deletion}")), Some(deletion))
    );
    assert_eq!(list[1]["state"], "undone");
    assert_eq!(client.event("transaction.undone").await["vs"], "web");

    // The undo can be undone, and that again.
    client.undo(undo).await;
    no_server(&mut session).await;
    let list = client.get("/api/v1/transactions?limit=3").await;
    assert_eq!((list[1]["state"].as_str(), list[2]["state"].as_str()), (Some("undone"), Some("done")));
    client.undo(client.newest().await).await;
    let again = server(&mut session).await;
    assert_eq!((again.id, &again.macs, again.desired), (before.id, &before.macs, Desired::Running));
    assert!(again.instance > after.instance);

    // So can the deletion, once more: to its node this is a newer wish than all of those before.
    client.undo(client.newest().await).await;
    no_server(&mut session).await;
    client.undo(deletion).await;
    let last = server(&mut session).await;
    assert_eq!((last.id, &last.macs, last.desired), (before.id, &before.macs, Desired::Running));
    assert!(last.generation > again.generation && last.instance > again.instance, "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_is_refused_while_a_later_change_of_the_same_field_stands() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    let creation = client.newest().await;
    client.does("POST", "/api/v1/vs/web/start").await;
    assert_eq!(server(&mut session).await.desired, Desired::Running);
    let start = client.newest().await;
    client.does("POST", "/api/v1/vs/web/stop").await;
    assert_eq!(server(&mut session).await.desired, Desired::Stopped);
    let stop = client.newest().await;

    let plan = client.undo_plan(start).await;
    assert_eq!(plan["state"], "conflict");
    assert_eq!(plan["conflicts"][0]["transaction"], stop);
    assert_eq!(plan["conflicts"][0]["field"], "running");
    let (code, words) = client.undo_refused(start).await;
    assert_eq!(code, "undo-conflict");
    assert!(
        words.contains(&format!("transaction {stop} (vs stop by admin) changed running of web")),
        "{words}"
    );
    let (code, words) = client.undo_refused(creation).await;
    assert!(code == "undo-conflict" && words.contains(&format!("transaction {start} ")), "{words}");
    quiet(&mut session).await;

    // Once the later one is taken back, the way is clear.
    client.undo(stop).await;
    assert_eq!(server(&mut session).await.desired, Desired::Running);
    let (code, _) = client.undo_refused(stop).await;
    assert_eq!(code, "undo-conflict", "it is undone already");
    client.undo(start).await;
    assert_eq!(server(&mut session).await.desired, Desired::Stopped);
    client.undo(creation).await;
    no_server(&mut session).await;
    assert_eq!(client.send("GET", "/api/v1/vs/web", Vec::new()).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_racing_undos_one_wins_and_the_other_is_refused() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    for _ in 0..5 {
        client.does("DELETE", "/api/v1/vs/web").await;
        no_server(&mut session).await;
        let path = format!("/api/v1/transactions/{}/undo", client.newest().await);
        let (one, other) = tokio::join!(client.post(&path), client.post(&path));
        let mut both = [one.0, other.0];
        both.sort_unstable();
        assert_eq!(both, [200, 409], "{one:?} {other:?}");
        let loser = if one.0 == 409 { one.1 } else { other.1 };
        assert_eq!(loser["code"], "undo-conflict");
        server(&mut session).await;
    }
    quiet(&mut session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_whole_also_where_the_client_hangs_up() {
    let One { client, session: _session, appliance, folder: _kept, .. } = one().await;
    let socket = appliance.data.join("api.sock");
    for n in 0..24u64 {
        let verb = if n % 2 == 0 { "start" } else { "stop" };
        let mut asking = std::os::unix::net::UnixStream::connect(&socket).expect("connected");
        let request = format!(
            "POST /api/v1/vs/web/{verb} HTTP/1.1\r\nHost: weft\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
            client.token
        );
        asking.write_all(request.as_bytes()).expect("asked");
        tokio::time::sleep(Duration::from_micros(n * 250)).await;
        drop(asking);
        // What history says is what the appliance goes by, once the change is made or was never begun; it may be made
        // between two looks.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let end = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let shown = client.get(&format!("/api/v1/transactions/{}", client.newest().await)).await;
            let fields = shown["changes"][0]["fields"].as_array().cloned().unwrap_or_default();
            let running = fields.iter().find(|field| field["field"] == "running").expect("it is told");
            let desired = if running["after"] == "true" { "running" } else { "stopped" };
            let seen = client.get("/api/v1/vs/web").await["desired"].clone();
            if seen == desired {
                break;
            }
            assert!(std::time::Instant::now() < end, "{verb} {n}: {seen}, not {desired}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        client.does("POST", &format!("/api/v1/vs/web/{verb}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_survives_a_crash_and_is_taken_back_after_it() {
    let One { folder, appliance, client, node, mut session } = one().await;
    client.does("POST", "/api/v1/vs/web/start").await;
    let before = server(&mut session).await;
    client.does("DELETE", "/api/v1/vs/web").await;
    no_server(&mut session).await;
    let deletion = client.newest().await;
    let last = *session.numbers.last().expect("records");
    drop(session);
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    let mut session = appliance.connect_after(&node, last).await;
    no_server(&mut session).await;
    client.undo(deletion).await;
    let after = server(&mut session).await;
    assert_eq!((after.id, after.macs, after.desired), (before.id, before.macs, Desired::Running));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_given_back_is_refused_with_the_reason() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    client.does("POST", "/api/v1/vs/web/start").await;
    server(&mut session).await;
    client.does("POST", "/api/v1/vs/web/reset").await;
    server(&mut session).await;
    let (code, words) = client.undo_refused(client.newest().await).await;
    assert!(code == "irreversible" && words.contains("lost what it held in memory"), "{words}");
    let plan = client.undo_plan(client.newest().await).await;
    assert_eq!((plan["state"].as_str(), plan["undo"].as_str()), (Some("irreversible"), Some("irreversible")));
    let published = client.get("/api/v1/transactions?object=test-7").await;
    assert_eq!(published[0]["name"], "image publish");
    let (code, _) = client.undo_refused(published[0]["number"].as_u64().expect("a number")).await;
    assert_eq!(code, "irreversible");
    for nothing in ["999999", "x", "-1", "99999999999999999999"] {
        let (status, problem) = client.post(&format!("/api/v1/transactions/{nothing}/undo")).await;
        assert_eq!((status, problem["code"].as_str()), (404, Some("transaction-not-found")), "{nothing}");
    }

    // What the earlier state needs must still be there.
    client.does("POST", "/api/v1/vs/web/stop").await;
    client.does("DELETE", "/api/v1/vs/web").await;
    let deletion = client.newest().await;
    let kernel = client.get(&format!("/api/v1/transactions/{deletion}")).await["changes"][0]["fields"]
        .as_array()
        .and_then(|fields| fields.iter().find(|field| field["field"] == "kernel"))
        .map(|field| field["before"].clone());
    let wanted = json!({"name": "web", "vcpus": 1, "memory_mib": 1900, "kernel": kernel});
    assert_eq!(client.json("POST", "/api/v1/vs", &wanted).await.0, 201);
    let (code, words) = client.undo_refused(deletion).await;
    assert!(code == "undo-conflict" && words.contains("there is a virtual server web"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_is_undone_holds_the_node_back_and_comes_back() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    let approval = client.newest().await;

    client.undo(approval).await;
    loop {
        match session.next().await.expect("a message") {
            Heard::Standing(standing) => {
                assert_eq!(standing.verdict, Verdict::Quarantined);
                break;
            }
            Heard::Message(ToNode::Ping) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.node(&node).await["state"], "quarantined");
    client.undo(client.newest().await).await;
    session.next_config().await.expect("trusted again");
    assert_eq!(client.node(&node).await["state"], "ready");

    // A node that was forgotten comes back as unknown, and gets name and trust back.
    client.does("DELETE", "/api/v1/nodes/node-1").await;
    let forgotten = client.newest().await;
    while session.next().await.is_ok() {}
    let last = *session.numbers.last().expect("records");
    let mut session = appliance.connect_after(&node, last).await;
    assert!(session.welcome.quarantined);
    client.undo(forgotten).await;
    session.next_config().await.expect("known again");
    let shown = client.node(&node).await;
    assert_eq!((shown["name"].as_str(), shown["state"].as_str()), (Some("node-1"), Some("ready")));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_undo_trusts_a_node_whose_identity_two_machines_showed() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let mut node = sim(1, &file);
    let copy = node.clone();
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    client.does("DELETE", "/api/v1/nodes/node-1").await;
    let forgotten = client.newest().await;
    while session.next().await.is_ok() {}
    node.reboot();
    let mut session = appliance.connect(&node).await;
    assert!(appliance.connect(&copy).await.welcome.quarantined, "it is at an earlier boot");
    assert_eq!(client.node(&node).await["state"], "conflict");

    let (code, words) = client.undo_refused(forgotten).await;
    assert!(code == "undo-conflict" && words.contains("two machines"), "{words}");
    assert!(words.contains("node approve node-1 --fingerprint"), "{words}");
    assert_eq!(client.node(&node).await["state"], "conflict");
    client.approve(&node).await;
    session.next_config().await.expect("a person compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_partitions_over_nodes_are_set_back_on_all_of_them() {
    let Two { client, mut sessions, appliance: _running, folder: _kept, .. } = two().await;
    let founding = client.newest().await;
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted =
        json!({"name": "big", "vcpus": 2, "memory_mib": 1024, "kernel": blob["digest"], "partition": "p1"});
    assert_eq!(client.json("POST", "/api/v1/vs", &wanted).await.0, 201);
    let creation = client.newest().await;
    client.does("POST", "/api/v1/vs/big/start").await;
    let start = client.newest().await;
    for session in &mut sessions {
        config(session).await;
        config(session).await;
    }
    let (code, words) = client.undo_refused(founding).await;
    assert!(code == "undo-conflict" && words.contains("big spans p1"), "{words}");

    client.does("DELETE", "/api/v1/vs/big").await;
    for session in &mut sessions {
        assert_eq!(config(session).await.servers, []);
    }
    client.undo(client.newest().await).await;
    let mut keys = Vec::new();
    for session in &mut sessions {
        let servers = config(session).await.servers;
        assert_eq!(
            (servers[0].name.as_str(), servers[0].desired, servers[0].instance),
            ("big", Desired::Running, 2)
        );
        let span = servers[0].span.clone().expect("a span");
        assert_eq!((span.epoch, span.check(2, 1024)), (2, Ok(())));
        keys.push(span.key);
    }
    assert!(keys[0] == keys[1] && keys[0].0 != [0; 32], "one new key for all");
    client.undo(start).await;
    for session in &mut sessions {
        assert_eq!(config(session).await.servers[0].desired, Desired::Stopped);
    }
    client.undo(creation).await;
    for session in &mut sessions {
        assert_eq!(config(session).await.servers, []);
    }
    client.undo(founding).await;
    for session in &mut sessions {
        while session.next_cluster().await.expect("a record").1 != ClusterPayload::Dissolved {}
    }
    let (code, words) = client.undo_refused(client.newest().await).await;
    assert!(code == "irreversible" && words.contains("given up"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_each_verb_changes_nothing_and_the_rest_refuse_one() {
    let One { client, mut session, node, appliance: _running, folder: _kept } = one().await;
    let image = client.get("/api/v1/images").await[0]["digest"].as_str().expect("a digest").to_string();
    let kernel = client.get("/api/v1/vs/web").await["kernel"].clone();
    let before = client.newest().await;
    let fingerprint = json!({"fingerprint": node.fingerprint()});
    let vs = json!({"name": "new", "vcpus": 1, "memory_mib": 64, "kernel": kernel});
    let cases = [
        ("POST", "/api/v1/vs".to_string(), vs.clone(), "vs create"),
        ("POST", "/api/v1/vs/web/start".to_string(), Value::Null, "vs start"),
        ("POST", "/api/v1/vs/web/stop".to_string(), Value::Null, "vs stop"),
        ("DELETE", "/api/v1/vs/web".to_string(), Value::Null, "vs delete"),
        (
            "POST",
            "/api/v1/partitions".to_string(),
            json!({"name": "p", "nodes": ["node-1"]}),
            "partition create",
        ),
        ("POST", "/api/v1/nodes/node-1/approve".to_string(), fingerprint, "node approve"),
        ("POST", "/api/v1/nodes/node-1/push".to_string(), Value::Null, "config push"),
        ("POST", format!("/api/v1/images/{image}/activate"), Value::Null, "image activate"),
        ("POST", format!("/api/v1/images/{image}/revoke"), Value::Null, "image revoke"),
        ("POST", "/api/v1/nodes/node-1/reboot".to_string(), Value::Null, "node reboot"),
    ];
    for (method, path, body, name) in cases {
        let (status, plan) = client.json(method, &format!("{path}?dry_run=true"), &body).await;
        assert_eq!((status, plan["name"].as_str()), (200, Some(name)), "{method} {path}: {plan}");
        // The server is stopped and the image active already.
        let state = if ["vs stop", "image activate"].contains(&name) { "nothing" } else { "planned" };
        assert_eq!(plan["state"], state, "{plan}");
        assert_eq!(plan["transaction"], 0);
    }
    // A dry run is refused for what the change would be refused for.
    for (method, path, body) in [
        ("POST", "/api/v1/vs/web/reset", Value::Null),
        ("DELETE", "/api/v1/nodes/node-1", Value::Null),
        ("POST", "/api/v1/vs", json!({"name": "web", "vcpus": 1, "memory_mib": 64, "kernel": kernel})),
    ] {
        let (status, problem) = client.json(method, &format!("{path}?dry_run=true"), &body).await;
        assert_eq!(status, 409, "{method} {path}: {problem}");
    }
    for (method, path) in [("PUT", "/api/v1/blobs"), ("POST", "/api/v1/logout")] {
        let (status, problem) = client.send(method, &format!("{path}?dry_run=true"), b"x".to_vec()).await;
        assert_eq!((status, problem["code"].as_str()), (422, Some("no-dry-run")), "{method} {path}");
    }
    let (status, _) = client.post("/api/v1/vs/web/start?dry_run=yes").await;
    assert_eq!(status, 422, "an unclear word starts nothing");
    quiet(&mut session).await;
    assert_eq!(client.newest().await, before);
    assert_eq!(client.get("/api/v1/vs").await.as_array().map(Vec::len), Some(1));
    assert_eq!(client.get("/api/v1/vs/web").await["desired"], "stopped");

    // The plan is what is then done.
    let (_, plan) = client.post("/api/v1/vs/web/start?dry_run=true").await;
    assert!(plan["objects"][0]["fields"].as_array().is_some_and(|fields| {
        fields.iter().any(|field| field["field"] == "running" && field["after"] == "true")
    }));
    client.does("POST", "/api/v1/vs/web/start").await;
    assert_eq!(server(&mut session).await.desired, Desired::Running);
    let shown = client.get(&format!("/api/v1/transactions/{}", client.newest().await)).await;
    let changed: Vec<&Value> = shown["changes"][0]["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .filter(|field| field["changed"] == true)
        .collect();
    assert_eq!(Value::from_iter(changed.into_iter().cloned()), plan["objects"][0]["fields"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_paged_and_found_by_object_and_actor() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    for _ in 0..3 {
        client.does("POST", "/api/v1/vs/web/start").await;
        server(&mut session).await;
        client.does("POST", "/api/v1/vs/web/stop").await;
        server(&mut session).await;
    }
    let numbers = |list: &Value| -> Vec<u64> {
        list.as_array().expect("a list").iter().filter_map(|tx| tx["number"].as_u64()).collect()
    };
    let all = numbers(&client.get("/api/v1/transactions?object=web").await);
    assert_eq!(all.len(), 7, "{all:?}");
    assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
    let first = numbers(&client.get("/api/v1/transactions?object=web&limit=4").await);
    let next = format!("/api/v1/transactions?object=web&limit=4&before={}", first[3]);
    assert_eq!([first, numbers(&client.get(&next).await)].concat(), all);
    let id = client.get("/api/v1/vs/web").await["id"].as_str().expect("an id").to_string();
    assert_eq!(numbers(&client.get(&format!("/api/v1/transactions?object={id}")).await), all);
    assert_eq!(client.get("/api/v1/transactions?actor=nobody").await, json!([]));
    // Secrets are nowhere in it.
    let text = client.get("/api/v1/transactions?limit=200").await.to_string();
    assert!(!text.contains("argon2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_shows_and_takes_back() {
    let One { client, mut session, appliance, folder, .. } = one().await;
    let token = folder.path().join("token");
    std::fs::write(&token, &client.token).expect("written");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("set");
    let weft = |args: &[&str]| {
        let mut command = Command::new(WEFT);
        command.args(args).env("WEFT_URL", format!("unix:{}", appliance.data.join("api.sock").display()));
        let done = command.env("WEFT_TOKEN_FILE", &token).output().expect("weft runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    assert_eq!(weft(&["vs", "start", "web", "--dry-run"]).0, Some(0));
    quiet(&mut session).await;
    assert_eq!(weft(&["vs", "start", "web", "--no-wait"]).0, Some(0));
    let before = server(&mut session).await;
    assert_eq!(weft(&["vs", "delete", "web", "--yes"]).0, Some(0));
    no_server(&mut session).await;
    let number = client.newest().await.to_string();
    let (code, out, _) = weft(&["tx", "log", "--object", "web"]);
    assert!(code == Some(0) && out.contains("vs delete") && out.contains("compensable"), "{out}");
    let (_, out, _) = weft(&["tx", "diff", &number]);
    assert!(out.contains("running") && out.contains(&before.id.to_string()), "{out}");
    let (code, out, err) = weft(&["tx", "undo", &number, "--dry-run"]);
    assert!(
        code == Some(0) && out.contains("node-1 creates web") && err.contains("nothing was changed"),
        "{out}{err}"
    );
    quiet(&mut session).await;
    assert_eq!(weft(&["tx", "undo", &number, "--yes"]).0, Some(0));
    assert_eq!(server(&mut session).await.macs, before.macs);
    let (code, out, err) = weft(&["tx", "undo", &number, "--yes"]);
    assert!(code == Some(4) && out.contains("conflict: transaction"), "{out}{err}");
    assert!(err.contains("next: undo what came later first"), "{err}");
    let (code, _, err) = weft(&["logout", "--dry-run"]);
    assert!(code == Some(2) && err.contains("--dry-run"), "{err}");
}
