//! Virtual switches, ports, gateway ports, VNICs and VHBAs: what may not be is refused in words that name the other
//! object, what is kept and not applied says so, identifiers are never drawn twice, and nodes hear of nothing.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_server::simnode::SimSession;

use crate::common::{Appliance, Client, WEFT, sim};
use crate::rights::{account, policy};
use crate::transactions::quiet;

/// Two nodes, the second with two NICs, and server `web` of two processors on the first.
struct Site {
    folder: TempDir,
    appliance: Appliance,
    client: Client,
    sessions: [SimSession; 2],
    kernel: Value,
}

impl Client {
    async fn makes_net(&self, list: &str, body: Value) -> Value {
        let (status, made) = self.json("POST", &format!("/api/v1/{list}"), &body).await;
        assert_eq!(status, 201, "{body}: {made}");
        made
    }

    async fn edits_net(&self, list: &str, name: &str, body: Value) -> (u16, Value) {
        self.json("POST", &format!("/api/v1/{list}/{name}/edit"), &body).await
    }

    async fn plugs(&self, vnic: &str, port: &str) {
        let (status, reply) = self.edits_net("vnics", vnic, json!({"port": port})).await;
        assert_eq!(status, 204, "{reply}");
    }

    async fn net(&self, list: &str, name: &str) -> Value {
        self.get(&format!("/api/v1/{list}/{name}")).await
    }
}

async fn site() -> Site {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let mut nodes = [sim(1, &file), sim(2, &file)];
    let mut more = nodes[1].inventory.nics[0].clone();
    more.mac = [2, 0, 0, 0, 1, 2];
    nodes[1].inventory.nics.push(more);
    let mut sessions = [appliance.connect(&nodes[0]).await, appliance.connect(&nodes[1]).await];
    for (node, session) in nodes.iter().zip(&mut sessions) {
        client.approve(node).await;
        session.next_config().await.expect("approved");
    }
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let kernel = blob["digest"].clone();
    server(&client, "web", &kernel).await;
    sessions[0].next_config().await.expect("created");
    Site { folder, appliance, client, sessions, kernel }
}

async fn server(client: &Client, name: &str, kernel: &Value) -> Value {
    client
        .makes_net(
            "vs",
            json!({"name": name, "node": "node-1", "vcpus": 2, "memory_mib": 128, "kernel": kernel}),
        )
        .await
}

/// Switch `lan` with gateway ports `up-1` on node-1 and `up-2` on node-2, and ports `lan-1` and `lan-2`.
async fn lan(client: &Client) {
    client.makes_net("switches", json!({"name": "lan"})).await;
    client.makes_net("gateways", json!({"name": "up-1", "switch": "lan", "node": "node-1"})).await;
    let nic = "02:00:00:00:00:02";
    client
        .makes_net("gateways", json!({"name": "up-2", "switch": "lan", "node": "node-2", "nic": nic}))
        .await;
    client.makes_net("ports", json!({"name": "lan-1", "switch": "lan", "gateways": ["up-1", "up-2"]})).await;
    client.makes_net("ports", json!({"name": "lan-2", "switch": "lan"})).await;
}

fn refused(got: &(u16, Value), code: &str, words: &[&str]) {
    let (status, problem) = got;
    assert!((400..500).contains(status) && problem["code"] == code, "{status} {problem}, not {code}");
    let text = format!("{} {}", problem["title"], problem["next"]);
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} not all in {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_effect_yet_is_not_applied_and_nodes_hear_of_nothing() {
    let Site { client, mut sessions, appliance: _running, folder: _kept, .. } = site().await;
    let own = client.net("vnics", "web.0").await;
    let vs = client.get("/api/v1/vs/web").await;
    assert_eq!((&own["state"], &own["mac"], &own["own"]), (&json!("applied"), &vs["macs"][0], &json!(true)));
    let vhba = client.net("vhbas", "web.0").await;
    assert_eq!((&vhba["state"], &vhba["wwnn"]), (&json!("not applied"), &vs["wwnn"]), "{vhba}");
    assert!(vhba["reason"].as_str().is_some_and(|why| why.contains("reserved")), "{vhba}");

    lan(&client).await;
    client.plugs("web.0", "lan-1").await;
    let more = client.makes_net("vnics", json!({"name": "web-2", "server": "web", "port": "lan-2"})).await;
    assert_ne!(more["mac"], own["mac"]);
    assert!(more["reason"].as_str().is_some_and(|why| why.contains("one network device")), "{more}");
    for (list, name) in [
        ("switches", "lan"),
        ("gateways", "up-1"),
        ("ports", "lan-1"),
        ("vnics", "web-2"),
        ("vnics", "web.0"),
        ("vhbas", "web.0"),
    ] {
        let shown = client.net(list, name).await;
        assert_eq!(shown["state"], "not applied", "{shown}");
        assert!(shown["reason"].as_str().is_some_and(|why| !why.is_empty()), "{shown}");
    }
    let attached = client.net("vnics", "web.0").await;
    assert_eq!((&attached["port"], &attached["switch"]), (&json!("lan-1"), &json!("lan")), "{attached}");
    assert!(attached["reason"].as_str().is_some_and(|why| why.contains("stays bridged")), "{attached}");
    let nics = client.get("/api/v1/nics").await;
    let nics = nics.as_array().expect("a list");
    assert_eq!(nics.len(), 3);
    assert_eq!((&nics[0]["node"], &nics[0]["gateway"]), (&json!("node-1"), &json!("up-1")));
    for session in &mut sessions {
        quiet(session).await;
    }
    // What nodes were sent before there were VNICs they are sent now: nothing of a further one, and of the port nothing.
    client.does("POST", "/api/v1/vs/web/start").await;
    let config = sessions[0].next_config().await.expect("started");
    assert_eq!(config.servers.len(), 1);
    assert_eq!(config.servers[0].name, "web");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_enforced_in_words_that_name_the_other_object() {
    let Site { client, kernel, appliance: _running, folder: _kept, sessions: _here, .. } = site().await;
    lan(&client).await;
    client.plugs("web.0", "lan-1").await;
    server(&client, "db", &kernel).await;

    let delete = |path: &str| {
        let (client, path) = (client.clone(), format!("/api/v1/{path}"));
        async move { client.send("DELETE", &path, Vec::new()).await }
    };
    let plug = |vnic: &str, body: Value| {
        let (client, vnic) = (client.clone(), vnic.to_string());
        async move { client.edits_net("vnics", &vnic, body).await }
    };
    refused(&delete("switches/lan").await, "in-use", &["web.0", "weft vnic edit web.0 --detach"]);
    refused(&delete("ports/lan-1").await, "in-use", &["VNIC web.0 is on port lan-1"]);
    refused(&delete("gateways/up-1").await, "in-use", &["lan-1", "weft port edit lan-1"]);
    refused(&delete("vnics/web.0").await, "in-use", &["came with virtual server web", "weft vs delete web"]);
    refused(&delete("vhbas/web.0").await, "in-use", &["virtual server web"]);
    refused(&delete("nodes/node-2").await, "node-in-use", &["gateway port up-2"]);
    refused(&plug("db.0", json!({"port": "lan-1"})).await, "port-taken", &["web.0", "lan-1", "lan"]);
    refused(&plug("web.0", json!({"name": "x"})).await, "own-device", &["web.0"]);
    refused(&plug("web.0", json!({"port": "moon"})).await, "port-not-found", &["moon"]);
    refused(&plug("web.0", json!({"pathing": "balance"})).await, "invalid", &["VNIC", "pathing"]);
    // lan-1 is the only port that leads to up-1 first, and it is taken.
    refused(&plug("db.0", json!({"gateway": "up-1"})).await, "no-free-port", &["up-1", "weft port create"]);

    client.makes_net("switches", json!({"name": "dmz"})).await;
    let post = |list: &str, body: Value| {
        let (client, list) = (client.clone(), format!("/api/v1/{list}"));
        async move { client.json("POST", &list, &body).await }
    };
    let port = json!({"name": "d", "switch": "dmz", "gateways": ["up-1"]});
    refused(&post("ports", port).await, "another-switch", &["up-1", "lan", "dmz"]);
    let twice = json!({"name": "d", "switch": "lan", "gateways": ["up-1", "up-1"]});
    refused(&post("ports", twice).await, "invalid", &["up-1", "twice"]);
    refused(&post("ports", json!({"name": "d"})).await, "invalid", &["switch"]);
    refused(&post("ports", json!({"name": "lan-1", "switch": "lan"})).await, "taken", &["lan-1"]);
    let same = json!({"name": "g", "switch": "dmz", "node": "node-1"});
    refused(&post("gateways", same).await, "nic-taken", &["node-1", "up-1", "weft gateway delete up-1"]);
    let which = json!({"name": "g", "switch": "dmz", "node": "node-2"});
    refused(&post("gateways", which).await, "invalid", &["several NICs", "02:00:00:00:01:02"]);
    let none = json!({"name": "g", "switch": "dmz", "node": "node-2", "nic": "02:00:00:00:09:09"});
    refused(&post("gateways", none).await, "no-such-nic", &["node-2", "02:00:00:00:00:02"]);
    refused(&post("vnics", json!({"name": "v"})).await, "invalid", &["server"]);
    refused(&post("vnics", json!({"name": "a.0", "server": "web"})).await, "invalid", &["name"]);
    refused(&post("switches", json!({"name": "s", "node": "node-1"})).await, "invalid", &["node"]);
    // A dry run says the same, and changes nothing.
    let before = client.newest().await;
    refused(&delete("switches/lan?dry_run=true").await, "in-use", &["web.0"]);
    let (status, plan) =
        client.json("POST", "/api/v1/vnics/db.0/edit?dry_run=true", &json!({"port": "lan-2"})).await;
    assert_eq!((status, &plan["state"]), (200, &json!("planned")), "{plan}");
    let effects = plan["effects"].to_string();
    assert!(effects.contains("db.0 goes on port lan-2 of switch lan"), "{effects}");
    assert!(effects.contains("not applied"), "{effects}");
    assert_eq!(client.newest().await, before);
    // Eight VNICs of a server, its own one counted.
    for n in 1..8 {
        client.makes_net("vnics", json!({"name": format!("web-v{n}"), "server": "web"})).await;
    }
    refused(&post("vnics", json!({"name": "v", "server": "web"})).await, "too-many", &["web has 8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_taken_back_and_devices_go_and_come_with_their_server() {
    let Site { client, appliance, folder, kernel, sessions: _here, .. } = site().await;
    lan(&client).await;
    client.plugs("web.0", "lan-1").await;
    let plugged = client.newest().await;
    let more = client.makes_net("vnics", json!({"name": "web-2", "server": "web", "port": "lan-2"})).await;
    let hba = client.makes_net("vhbas", json!({"name": "web-san", "server": "web"})).await;

    // A rename of the server takes its own devices along, and nothing else.
    let (status, reply) = client.json("PATCH", "/api/v1/vs/web", &json!({"name": "shop"})).await;
    assert!(status == 200 || status == 204, "{reply}");
    assert_eq!(client.net("vnics", "shop.0").await["port"], "lan-1");
    assert_eq!(client.net("vnics", "web-2").await["server"], "shop");
    client.undo(client.newest().await).await;
    assert_eq!(client.net("ports", "lan-1").await["children"], json!(["web.0"]));

    // What is deleted along with the server comes back along with it, with its own identifiers.
    client.does("DELETE", "/api/v1/vs/web").await;
    let deleted = client.newest().await;
    for (list, name) in [("vnics", "web.0"), ("vnics", "web-2"), ("vhbas", "web-san")] {
        let (status, _) = client.send("GET", &format!("/api/v1/{list}/{name}"), Vec::new()).await;
        assert_eq!(status, 404, "{name}");
    }
    assert_eq!(client.net("ports", "lan-1").await["children"], Value::Null, "the port is free");
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    client.undo(deleted).await;
    assert_eq!(client.net("vnics", "web-2").await["mac"], more["mac"]);
    assert_eq!(client.net("vhbas", "web-san").await["wwnn"], hba["wwnn"]);
    assert_eq!(client.net("vnics", "web.0").await["port"], "lan-1");

    // A port that was given away meanwhile is in the way of who had it.
    let (status, _) = client.edits_net("vnics", "web.0", json!({"port": ""})).await;
    assert_eq!(status, 204);
    let unplugged = client.newest().await;
    server(&client, "db", &kernel).await;
    client.plugs("db.0", "lan-1").await;
    let (code, title) = client.undo_refused(unplugged).await;
    assert!(code == "undo-conflict" && title.contains("db.0"), "{code} {title}");
    client.undo(client.newest().await).await;
    client.undo(unplugged).await;
    client.undo(plugged).await;
    assert_eq!(client.net("vnics", "web.0").await["state"], "applied");
    // Each undo of what others need is refused while they do.
    let made = client.get("/api/v1/transactions?limit=200").await;
    let of = |verb: &str| {
        let all = made.as_array().expect("a list");
        all.iter().rfind(|tx| tx["name"] == verb).and_then(|tx| tx["number"].as_u64()).expect("made")
    };
    let (_, title) = client.undo_refused(of("switch create")).await;
    assert!(title.contains("lan"), "{title}");

    // What was drawn is drawn once: the next one has another, also over a restart.
    client.does("DELETE", "/api/v1/vnics/web-2").await;
    let next = client.makes_net("vnics", json!({"name": "web-2", "server": "web"})).await;
    assert_ne!(next["mac"], more["mac"]);
    let pool = client.get("/api/v1/pools/default-mac").await;
    assert_eq!((&pool["drawn"], &pool["in_use"]), (&json!(4), &json!(3)), "{pool}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_makes_a_network_and_one_undo_takes_it_back() {
    let Site { client, kernel, appliance: _running, folder: _kept, sessions: _here, .. } = site().await;
    let document = json!({
        "switches": [{"name": "lan", "labels": {"team": "net"}}],
        "gateways": [{"name": "up-1", "switch": "lan", "node": "node-1"}],
        "ports": [{"name": "lan-1", "switch": "lan", "gateways": ["up-1"]},
            {"name": "lan-2", "switch": "lan", "pathing": "affinity", "labels": {"team": "net"}}],
        "vs": [{"name": "db", "node": "node-1", "kernel": kernel}],
        "vnics": [{"name": "db.0", "port": "lan-1"}, {"name": "db-2", "server": "db"}],
        "vhbas": [{"name": "db-san", "server": "db"}],
    });
    let apply = |body: Value| {
        let client = client.clone();
        async move { client.json("POST", "/api/v1/manifest", &body).await }
    };
    let (status, plan) = apply(json!({"manifest": document})).await;
    assert_eq!(status, 200, "{plan}");
    let applied = client.newest().await;
    assert_eq!(client.net("vnics", "db.0").await["port"], "lan-1");
    assert_eq!(client.net("ports", "lan-2").await["pathing"], "affinity");
    let made = client.net("vnics", "db-2").await;
    assert_ne!(made["mac"], client.net("vnics", "db.0").await["mac"]);

    // What is exported changes nothing; a document that breaks a rule changes nothing either.
    let all = client.get("/api/v1/manifest").await;
    assert_eq!(all["vnics"].as_array().map(Vec::len), Some(2), "{}", all["vnics"]);
    let (status, plan) = apply(json!({"manifest": all})).await;
    assert_eq!((status, &plan["state"]), (200, &json!("nothing")), "{plan}");
    let one = client.get("/api/v1/manifest?kind=vnic&name=web.0").await;
    assert_eq!(one["vnics"][0]["server"], "web", "{one}");
    let both = json!({"vnics": [{"name": "web.0", "port": "lan-1"}, {"name": "db.0", "port": "moon"}]});
    refused(&apply(json!({"manifest": both})).await, "apply-refused", &["db.0", "lan-1", "moon"]);
    let pruned = json!({"manifest": {"ports": [], "switches": []}, "prune": "team=net"});
    let got = apply(pruned).await;
    refused(&got, "apply-refused", &["lan", "db.0"]);
    assert_eq!(client.newest().await, applied);

    client.undo(applied).await;
    for path in ["switches/lan", "vnics/db-2", "vhbas/db-san", "vs/db"] {
        let (status, _) = client.send("GET", &format!("/api/v1/{path}"), Vec::new()).await;
        assert_eq!(status, 404, "{path}");
    }
    client.undo(client.newest().await).await;
    assert_eq!(client.net("vnics", "db-2").await["mac"], made["mac"]);
    assert_eq!(client.net("vnics", "db.0").await["port"], "lan-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_has_switches_and_says_where_a_vnic_and_a_processor_could_go() {
    let Site { client, kernel, appliance: _running, folder: _kept, sessions: _here, .. } = site().await;
    let empty = client.newest().await;
    lan(&client).await;
    client.plugs("web.0", "lan-1").await;
    server(&client, "db", &kernel).await;
    let map = client.get("/api/v1/topology").await;
    let lan = &map["switches"][0];
    assert_eq!((&lan["name"], &lan["state"]), (&json!("lan"), &json!("not applied")), "{lan}");
    assert_eq!(lan["ports"][0]["vnic"], map["vnics"][0]["id"], "{map}");
    assert_eq!(lan["ports"][0]["gateways"][0], lan["gateways"][0]["id"], "{map}");
    let past = client.get(&format!("/api/v1/topology?at={empty}")).await;
    assert_eq!((&past["switches"], &past["vnics"]), (&json!([]), &json!([])));
    assert_eq!(client.target("vnic", "db.0", "lan-2").await["state"], "legal");
    let taken = client.target("vnic", "db.0", "lan-1").await;
    assert_eq!(taken["state"], "refused");
    assert!(taken["reason"].as_str().is_some_and(|why| why.contains("web.0")), "{taken}");
    assert_eq!(client.target("vnic", "db.0", "up-1").await["state"], "refused");
    assert_eq!(client.target("vnic", "db.0", "none").await["state"], "here");
    client.edits_net("vnics", "web.0", json!({"port": ""})).await;
    assert_eq!(client.target("vnic", "db.0", "up-1").await["state"], "legal");
    let (status, _) = client.edits_net("vnics", "db.0", json!({"gateway": "up-1"})).await;
    assert_eq!((status, client.net("vnics", "db.0").await["port"].clone()), (204, json!("lan-1")));

    assert_eq!(client.target("vcpu", "web/1", "node-1/0").await["state"], "legal");
    assert_eq!(client.target("vcpu", "web/1", "any").await["state"], "here");
    let away = client.target("vcpu", "web/1", "node-2").await;
    assert!(away["reason"].as_str().is_some_and(|why| why.contains("lies on node-1")), "{away}");
    let (status, reply) = client.json("PATCH", "/api/v1/vs/web", &json!({"affinity": "1=0"})).await;
    assert!(status == 200 || status == 204, "{reply}");
    assert_eq!(client.target("vcpu", "web/1", "node-1/0").await["state"], "here");
    let map = client.get("/api/v1/topology").await;
    let web = map["servers"].as_array().and_then(|all| all.iter().find(|vs| vs["name"] == "web"));
    assert_eq!(web.map(|vs| vs["affinity"].clone()), Some(json!("1=0")));
    for name in ["web", "web/2", "web/x", "moon/0"] {
        let path = format!("/api/v1/topology/targets?kind=vcpu&name={name}");
        let (status, problem) = client.send("GET", &path, Vec::new()).await;
        assert!((400..500).contains(&status), "{name}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_asked_for_each_kind_and_what_is_not_seen_is_not_there() {
    let Site { client, kernel, appliance: _running, folder: _kept, sessions: _here } = site().await;
    lan(&client).await;
    let vic = account(&client, "vic", "viewer").await;
    let olga = account(&client, "olga", "operator").await;
    policy(
        &client,
        "no-dmz",
        r#"forbid (principal == Account::"olga", action, resource is Switch) when { resource.name == "dmz" };"#,
    )
    .await;
    client.makes_net("switches", json!({"name": "dmz"})).await;
    assert_eq!(vic.get("/api/v1/switches").await.as_array().map(Vec::len), Some(2));
    let got = vic.json("POST", "/api/v1/switches", &json!({"name": "x"})).await;
    refused(&got, "not-allowed", &["vic", "virtual switch"]);
    refused(&vic.edits_net("vnics", "web.0", json!({"port": "lan-1"})).await, "not-allowed", &["VNIC"]);
    let names = olga.get("/api/v1/switches").await;
    assert_eq!(names.as_array().map(Vec::len), Some(1), "{names}");
    let got = olga.json("POST", "/api/v1/ports", &json!({"name": "p", "switch": "dmz"})).await;
    refused(&got, "switch-not-found", &["dmz"]);
    olga.plugs("web.0", "lan-1").await;
    assert_eq!(olga.get("/api/v1/topology").await["switches"].as_array().map(Vec::len), Some(1));
    // A server that is not seen has no devices either, and no events of theirs.
    server(&client, "pay", &kernel).await;
    policy(
        &client,
        "no-pay",
        r#"forbid (principal == Account::"olga", action, resource is Vs) when { resource.name == "pay" };"#,
    )
    .await;
    let (status, reply) =
        client.edits_net("vnics", "pay.0", json!({"labels": {"set": {"team": "pay"}}})).await;
    assert_eq!(status, 204, "{reply}");
    for list in ["vnics", "vhbas"] {
        let all = olga.get(&format!("/api/v1/{list}")).await;
        let names: Vec<&str> =
            all.as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
        assert!(names.contains(&"web.0") && !names.contains(&"pay.0"), "{names:?}");
        assert_eq!(olga.send("GET", &format!("/api/v1/{list}/pay.0"), Vec::new()).await.0, 404);
        assert_eq!(client.net(list, "pay.0").await["name"], "pay.0");
    }
    let changed = |events: Value| {
        let all = events.as_array().expect("events").clone();
        all.iter().filter(|event| event["name"] == "vnic.changed" && event["text"] == "pay.0").count()
    };
    let events = "/api/v1/events?after=0&limit=1000";
    assert_eq!((changed(client.get(events).await), changed(olga.get(events).await)), (1, 0));
    // Who may delete the server may have its devices go with it.
    policy(
        &client,
        "no-vnics",
        r#"forbid (principal == Account::"olga", action == Action::"delete", resource is Vnic);"#,
    )
    .await;
    olga.makes_net("vnics", json!({"name": "web-2", "server": "web"})).await;
    refused(&olga.send("DELETE", "/api/v1/vnics/web-2", Vec::new()).await, "not-allowed", &["web-2"]);
    olga.does("DELETE", "/api/v1/vs/web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_shows_connects_and_deletes_them() {
    let Site { client, appliance, folder, sessions: _here, .. } = site().await;
    let token = folder.path().join("token");
    std::fs::write(&token, &client.token).expect("written");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("private");
    let weft = |words: &str| {
        let done = Command::new(WEFT)
            .args(words.split(' '))
            .env("WEFT_URL", format!("unix:{}", appliance.data.join("api.sock").display()))
            .env("WEFT_TOKEN_FILE", &token)
            .output()
            .expect("weft runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    for (words, says) in [
        ("switch create lan --label team=net", "lan"),
        ("gateway create uplink --switch lan --node node-1", "02:00:00:00:00:01"),
        ("port create lan-1 --switch lan --gateways uplink", "failover"),
        ("vnic edit web.0 --gateway uplink", "lan-1"),
        ("vnic create web-2 --server web", "02:57"),
        ("vhba create web-san --server web", "30:57"),
        ("nic list", "uplink"),
        ("port list", "web.0"),
        ("vnic show web.0", "not applied"),
        ("get ports", "gateways"),
        ("port edit lan-1 --pathing balance --dry-run", "planned: port edit"),
        ("switch label lan team=core", "team=core"),
        ("gateway edit uplink --name up-1", "up-1"),
        ("vnic delete web-2 --yes", ""),
        ("topology", "lan"),
    ] {
        let (code, out, err) = weft(words);
        assert_eq!(code, Some(0), "{words}: {out}{err}");
        assert!(out.contains(says), "{words}: {out}{err}");
    }
    let (code, _, err) = weft("switch delete lan --yes");
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("web.0") && err.contains("weft vnic edit web.0 --detach"), "{err}");
    let (_, _, err) = weft("vnic edit web.0 --detach");
    assert!(err.is_empty() || err.contains("web.0"), "{err}");
}
