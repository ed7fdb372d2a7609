//! Templates and copies: what nodes hear of servers that are made of another, and when they are taken back.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_server::simnode::SimSession;
use weft_wire::record::VsSpec;

use crate::common::{Appliance, Client, WEFT, sim};
use crate::partitions::{Two, config, two};
use crate::transactions::quiet;

/// Two approved nodes that are here, and the digest of a kernel.
struct Rack {
    folder: TempDir,
    appliance: Appliance,
    client: Client,
    sessions: [SimSession; 2],
    kernel: Value,
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
    Rack { folder, appliance, client, sessions, kernel: blob["digest"].clone() }
}

async fn heard(session: &mut SimSession) -> Vec<VsSpec> {
    session.next_config().await.expect("a configuration").servers
}

impl Client {
    async fn makes(&self, path: &str, body: Value) -> Value {
        let (status, reply) = self.json("POST", path, &body).await;
        assert_eq!(status, 201, "{path}: {reply}");
        reply
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_of_a_template_are_heard_with_ten_macs_and_taken_back_by_one_undo() {
    let Rack { client, sessions: [mut first, mut second], kernel, appliance: _running, folder: _kept } =
        rack().await;
    let template = json!({"name": "small", "vcpus": 1, "memory_mib": 64, "kernel": kernel, "append": "quiet",
        "labels": {"tier": "web"}});
    client.makes("/api/v1/templates", template).await;
    quiet(&mut first).await;
    let wanted = json!({"name": "web", "template": "small", "hostname": "w{n}", "address": "10.0.0.11/24",
        "gateway": "10.0.0.1", "labels": {"env": "test"}});
    let body = json!({"count": 10, "vs": wanted});
    let (status, plan) = client.json("POST", "/api/v1/groups/vs/create?dry_run=true", &body).await;
    assert_eq!((status, plan["objects"].as_array().map(Vec::len)), (200, Some(10)), "{plan}");
    quiet(&mut first).await;
    quiet(&mut second).await;

    let before = client.newest().await;
    let (status, plan) = client.series(10, wanted).await;
    assert_eq!((status, &plan["transaction"]), (200, &json!(before + 1)), "{plan}");
    // One record for each node, with its part of the ten.
    let (here, there) = (heard(&mut first).await, heard(&mut second).await);
    assert_eq!((here.len(), there.len()), (5, 5), "they are spread over what is free");
    let all: Vec<&VsSpec> = here.iter().chain(&there).collect();
    let macs: BTreeSet<[u8; 6]> = all.iter().flat_map(|vs| vs.macs.clone()).collect();
    assert_eq!(macs.len(), 10, "{all:?}");
    for n in 1..=10 {
        let vs = all.iter().find(|vs| vs.name == format!("web-{n}")).expect("each is there");
        let ip = 10 + n;
        assert_eq!(
            vs.append,
            format!("quiet hostname=w{n} ip=10.0.0.{ip}::10.0.0.1:255.255.255.0:w{n}::off")
        );
    }
    let shown = client.get("/api/v1/vs?selector=tier=web,env=test").await;
    let names: BTreeSet<&str> =
        shown.as_array().expect("a list").iter().filter_map(|vs| vs["wwnn"].as_str()).collect();
    assert_eq!(names.len(), 10, "each has a WWNN and the template's labels: {shown}");

    client.undo(before + 1).await;
    assert_eq!((heard(&mut first).await, heard(&mut second).await), (Vec::new(), Vec::new()));
    client.undo(before + 2).await;
    let mut back = [heard(&mut first).await, heard(&mut second).await];
    back.iter_mut().flatten().for_each(|vs| vs.generation -= 1);
    assert_eq!(back, [here, there], "each as it was, but for a newer generation");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_series_are_made_or_none() {
    let Rack { client, sessions: [mut first, mut second], kernel, appliance: _running, folder: _kept } =
        rack().await;
    let vs =
        |name: &str, memory: u32| json!({"name": name, "vcpus": 1, "memory_mib": memory, "kernel": kernel});
    client.makes("/api/v1/vs", vs("web-3", 64)).await;
    heard(&mut first).await;
    let before = client.newest().await;
    let (status, problem) = client.series(5, vs("web", 64)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("taken")), "{problem}");
    // Room for each of them alone, and not for all: two nodes of 2 GiB.
    let (status, problem) = client.series(5, vs("big", 900)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("no-room")), "{problem}");
    assert!(problem["title"].as_str().is_some_and(|title| title.contains("big-5")), "{problem}");
    // Two nodes take 16 servers each; one is there.
    let (status, problem) = client.series(32, vs("many", 64)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("node-full")), "{problem}");
    assert!(problem["title"].as_str().is_some_and(|title| title.contains("many-32")), "{problem}");
    let mut here = vs("here", 64);
    here["node"] = "node-1".into();
    let (status, problem) = client.series(16, here).await;
    assert_eq!((status, &problem["code"]), (409, &json!("node-full")), "{problem}");
    for (count, name, address) in
        [(0, "a", ""), (1001, "a", ""), (2, "a_b", ""), (3, "a", "10.0.0.253/24"), (2, "a", "10.0.0.1")]
    {
        let mut wanted = vs(name, 64);
        wanted["address"] = address.into();
        let (status, problem) = client.series(count, wanted).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid")), "{problem}");
    }
    quiet(&mut first).await;
    quiet(&mut second).await;
    assert_eq!(client.newest().await, before);
    assert_eq!(client.get("/api/v1/pools/default-mac").await["drawn"], 1, "nothing was drawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_identifiers_of_its_own_and_the_settings_that_it_is_given() {
    let Rack { client, mut sessions, kernel, appliance: _running, folder: _kept } = rack().await;
    let wanted = json!({"name": "web", "node": "node-1", "vcpus": 2, "memory_mib": 128, "kernel": kernel,
        "append": "quiet", "labels": {"env": "prod"}, "hostname": "web", "address": "10.0.0.5/24"});
    let web = client.makes("/api/v1/vs", wanted).await;
    heard(&mut sessions[0]).await;
    client.does("POST", "/api/v1/vs/web/start").await;
    let source = heard(&mut sessions[0]).await.remove(0);
    assert_eq!(source.append, "quiet hostname=web ip=10.0.0.5:::255.255.255.0:web::off");

    let copy = json!({"name": "web-2", "node": "node-2"});
    let (status, plan) = client.json("POST", "/api/v1/vs/web/copy?dry_run=true", &copy).await;
    assert_eq!((status, &plan["name"]), (200, &json!("vs copy")), "{plan}");
    quiet(&mut sessions[1]).await;
    let made = client.makes("/api/v1/vs/web/copy", copy).await;
    assert_eq!((&made["labels"], &made["desired"]), (&web["labels"], &json!("stopped")), "{made}");
    assert!(made["wwnn"] != web["wwnn"] && made["id"] != web["id"], "{made}");
    let twin = heard(&mut sessions[1]).await.remove(0);
    assert!(twin.macs != source.macs && twin.id != source.id, "{twin:?}");
    assert_eq!((twin.vcpus, twin.memory_mib, twin.kernel), (source.vcpus, source.memory_mib, source.kernel));
    assert_eq!(twin.append, "quiet hostname=web-2", "its own name, and nobody else's address");
    let number = client.newest().await;

    let named = json!({"name": "web-3", "node": "node-2", "hostname": "w3", "address": "10.0.0.7/24",
        "gateway": "10.0.0.1"});
    client.makes("/api/v1/vs/web/copy", named).await;
    let third = heard(&mut sessions[1]).await.into_iter().find(|vs| vs.name == "web-3").expect("it is there");
    assert_eq!(third.append, "quiet hostname=w3 ip=10.0.0.7::10.0.0.1:255.255.255.0:w3::off");
    client.undo(number).await;
    let left = heard(&mut sessions[1]).await;
    assert_eq!(left.iter().map(|vs| vs.name.as_str()).collect::<Vec<_>>(), ["web-3"]);
    client.undo(number + 2).await;
    let back = heard(&mut sessions[1]).await.into_iter().find(|vs| vs.name == "web-2").expect("it is back");
    assert_eq!((back.id, back.macs), (twin.id, twin.macs));
    quiet(&mut sessions[0]).await;
    let (status, problem) = client.json("POST", "/api/v1/vs/moon/copy", &json!({"name": "x"})).await;
    assert_eq!((status, &problem["code"]), (404, &json!("vs-not-found")), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_made_of_a_server_labelled_and_taken_back_and_outlives_kill_9() {
    let Rack { client, sessions: [mut first, _second], kernel, appliance, folder } = rack().await;
    let wanted = json!({"name": "web", "node": "node-1", "vcpus": 2, "memory_mib": 128, "kernel": kernel,
        "labels": {"env": "prod"}, "hostname": "web", "address": "10.0.0.5/24"});
    client.makes("/api/v1/vs", wanted).await;
    heard(&mut first).await;
    let made = client.makes("/api/v1/templates", json!({"name": "t", "from": "web"})).await;
    assert_eq!(
        (&made["vcpus"], &made["memory_mib"], &made["kernel"]),
        (&json!(2), &json!(128), &kernel),
        "{made}"
    );
    assert_eq!((&made["labels"], &made["generation"]), (&json!({"env": "prod"}), &json!(1)));
    let number = client.newest().await;
    for (body, status, code) in [
        (json!({"name": "t", "from": "web"}), 409, "taken"),
        (json!({"name": "u", "from": "moon"}), 404, "vs-not-found"),
        (json!({"name": "u", "from": "web", "vcpus": 1}), 422, "invalid"),
        (json!({"name": "u v", "from": "web"}), 422, "invalid"),
        (json!({"name": "u", "vcpus": 0, "memory_mib": 64, "kernel": kernel}), 422, "invalid"),
        (
            json!({"name": "u", "vcpus": 1, "memory_mib": 64, "kernel": "ab".repeat(32)}),
            422,
            "blob-not-found",
        ),
    ] {
        let (got, problem) = client.json("POST", "/api/v1/templates", &body).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    let labels = json!({"set": {"tier": "web"}, "remove": ["env"]});
    assert_eq!(client.json("POST", "/api/v1/templates/t/labels", &labels).await.0, 204);
    assert_eq!(client.get("/api/v1/templates?selector=tier=web").await[0]["generation"], 2);
    let (code, words) = client.undo_refused(number).await;
    assert!(code == "undo-conflict" && words.contains("changed labels."), "{words}");
    client.undo(number + 1).await;
    assert_eq!(client.get("/api/v1/templates/t").await["labels"], json!({"env": "prod"}));
    client.does("DELETE", "/api/v1/templates/t").await;
    let gone = client.newest().await;
    assert_eq!(client.get("/api/v1/templates").await, json!([]));
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    client.undo(gone).await;
    let back = client.get("/api/v1/templates/t").await;
    assert_eq!((&back["id"], &back["labels"]), (&made["id"], &json!({"env": "prod"})), "{back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_server_that_spans_nodes_are_placed_beside_it() {
    let Two { client, sessions: [first, _second], .. } = &mut two().await;
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted =
        json!({"name": "big", "partition": "p1", "vcpus": 1, "memory_mib": 256, "kernel": blob["digest"]});
    client.makes("/api/v1/vs", wanted).await;
    let source = config(first).await;
    let copy = client.makes("/api/v1/vs/big/copy", json!({"name": "big-2"})).await;
    assert_eq!(copy["partition"], "p1", "{copy}");
    let both = config(first).await;
    assert_eq!((source.servers.len(), both.servers.len()), (1, 2));
    assert!(both.servers[0].macs != both.servers[1].macs, "{both:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_templates_servers_of_them_copies_and_pools() {
    let Rack { client, sessions: [mut first, mut second], kernel, appliance, folder } = rack().await;
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
    let digest = kernel.as_str().expect("a digest");
    let made =
        weft(&["template", "create", "small", "--memory", "64M", "--kernel", digest, "--label", "tier=web"]);
    assert_eq!(made.0, Some(0), "{made:?}");
    let plan = weft(&["vs", "create", "web", "--template", "small", "--count", "4", "--dry-run"]);
    assert!(plan.0 == Some(0) && plan.1.contains("vs web-4 is created"), "{plan:?}");
    quiet(&mut first).await;
    let made = weft(&["vs", "create", "web", "--template", "small", "--count", "4", "-o", "json"]);
    let servers: Value = serde_json::from_str(&made.1).expect("JSON");
    assert!(made.0 == Some(0) && made.2.contains("4 servers are defined in transaction"), "{made:?}");
    assert_eq!(servers.as_array().map(Vec::len), Some(4));
    assert_eq!(heard(&mut first).await.len() + heard(&mut second).await.len(), 4);
    let copied = weft(&[
        "vs",
        "copy",
        "web-1",
        "twin",
        "--hostname",
        "twin",
        "--address",
        "10.0.0.9/24",
        "-o",
        "yaml",
    ]);
    assert!(copied.0 == Some(0) && copied.1.contains("hostname: twin"), "{copied:?}");
    let pool = weft(&["pool", "create", "lab", "--range", "06:00:00:00:00:00-06:00:00:00:00:00"]);
    assert_eq!(pool.0, Some(0), "{pool:?}");
    let one = weft(&["vs", "create", "lab", "--template", "small", "--mac-pool", "lab"]);
    assert_eq!(one.0, Some(0), "{one:?}");
    let none = weft(&["vs", "create", "lab-2", "--template", "small", "--mac-pool", "lab"]);
    assert!(none.0 == Some(4) && none.2.contains("next: extend it: weft pool extend lab"), "{none:?}");
    let list = weft(&["pool", "list"]);
    assert!(list.1.contains("exhausted") && list.1.contains("default-mac"), "{list:?}");
    let refused = weft(&["licence", "add", token.to_str().expect("a path")]);
    assert_eq!(refused.0, Some(2), "{refused:?}");
    for wrong in [
        &["vs", "create", "x", "--first", "2"][..],
        &["vs", "create", "x", "--gateway", "10.0.0.1"],
        &["template", "create", "x", "--from", "web-1", "--vcpus", "2"],
    ] {
        assert_eq!(weft(wrong).0, Some(2), "{wrong:?}");
    }
}
