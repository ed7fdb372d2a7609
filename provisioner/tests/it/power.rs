//! Power of nodes, by the real program against other people's controllers: `sushy-emulator` and `ipmi_sim`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_power::peers::{ACCOUNT, IpmiSim, PASSWORD as SECRET, SYSTEMS, Sushy};

use crate::browser::run;
use crate::common::{Appliance, Client, Made, WEFT, sim};
use crate::rights::{account, policy};

/// An appliance that finds `ipmitool` where the peer has it, with `nodes` approved nodes.
async fn appliance(sim_peer: &IpmiSim, nodes: u8) -> (TempDir, Appliance, Client) {
    let (folder, key, delegation) = crate::common::prepared();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", sim_peer.bin().display());
    let appliance = Appliance::start_with(&folder, key, &delegation, &[("PATH", &path)]);
    let client = appliance.first_login().await;
    let file = Made::default().file();
    let (status, image) = client.send("POST", "/api/v1/images", file.clone()).await;
    assert_eq!(status, 201, "{image}");
    for number in 1..=nodes {
        let node = sim(number, &file);
        drop(appliance.connect(&node).await);
        client.approve(&node).await;
    }
    (folder, appliance, client)
}

fn redfish(sushy: &Sushy) -> Value {
    json!({"kind": "redfish", "address": sushy.address, "account": ACCOUNT, "password": SECRET,
        "certificate": format!("sha256:{}", sushy.fingerprint), "system": SYSTEMS[0]})
}

fn ipmi(sim: &IpmiSim) -> Value {
    json!({"kind": "ipmi", "address": sim.address, "account": ACCOUNT, "password": SECRET})
}

async fn set(client: &Client, node: &str, wanted: &Value) {
    let (status, reply) = client.json("PUT", &format!("/api/v1/nodes/{node}/bmc"), wanted).await;
    assert_eq!(status, 204, "{reply}");
}

async fn power(client: &Client, action: &str, names: &[&str], query: &str) -> (u16, Value) {
    let wanted = json!({"action": action, "select": {"names": names}});
    client.json("POST", &format!("/api/v1/groups/nodes/power{query}"), &wanted).await
}

/// All files below a folder that hold these bytes.
fn holding(folder: &Path, wanted: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if std::fs::read(&path)
                .is_ok_and(|all| all.windows(wanted.len()).any(|part| part == wanted))
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_powered_by_redfish_and_who_asked_stands_in_history() {
    let (sushy, none) = (Sushy::start(), IpmiSim::start());
    let (folder, appliance, admin) = appliance(&none, 1).await;
    let at = "/api/v1/nodes/node-1";
    let (status, missing) = admin.send("GET", &format!("{at}/power"), Vec::new()).await;
    assert_eq!((status, &missing["code"]), (404, &json!("bmc-not-set")), "{missing}");

    let wanted = redfish(&sushy);
    let (status, plan) = admin.json("PUT", &format!("{at}/bmc?dry_run=true"), &wanted).await;
    assert_eq!((status, &plan["state"]), (200, &json!("planned")), "{plan}");
    assert!(!plan.to_string().contains(SECRET) && !plan.to_string().contains("\"password\""), "{plan}");
    assert_eq!(admin.send("GET", &format!("{at}/bmc"), Vec::new()).await.0, 404, "a dry run sets nothing");
    set(&admin, "node-1", &wanted).await;
    let shown = admin.get(&format!("{at}/bmc")).await;
    assert_eq!((&shown["kind"], &shown["account"]), (&json!("redfish"), &json!(ACCOUNT)));
    assert!(shown.get("password").is_none(), "{shown}");
    assert_eq!(admin.get(&format!("{at}/power")).await["state"], "off");

    // An operator may power it and not set where it is; a viewer sees the setting and nothing else.
    let operator = account(&admin, "olga", "operator").await;
    let viewer = account(&admin, "vera", "viewer").await;
    for (client, what, path, body) in [
        (&operator, "PUT", format!("{at}/bmc"), &wanted),
        (&viewer, "GET", format!("{at}/power"), &Value::Null),
        (
            &viewer,
            "POST",
            "/api/v1/groups/nodes/power".to_string(),
            &json!({"action": "on", "select": {"all": true}}),
        ),
    ] {
        let (status, reply) = client.json(what, &path, body).await;
        assert_eq!((status, &reply["code"]), (403, &json!("not-allowed")), "{path}: {reply}");
    }
    let (status, plan) = power(&operator, "on", &["node-1"], "?dry_run=true").await;
    assert_eq!(
        (status, &plan["state"], &plan["undo"]),
        (200, &json!("planned"), &json!("irreversible")),
        "{plan}"
    );
    assert!(
        plan["effects"][0].as_str().is_some_and(|text| text.starts_with("node-1 is powered on")),
        "{plan}"
    );
    assert!(!sushy.heard().contains("POST "), "a dry run asks nobody: {}", sushy.heard());
    let (status, plan) = power(&operator, "on", &["node-1"], "").await;
    assert_eq!((status, &plan["state"]), (200, &json!("done")), "{plan}");
    assert_eq!(sushy.heard().matches("POST ").count(), 1);
    let number = plan["transaction"].as_u64().expect("a number");
    let told = admin.get(&format!("/api/v1/transactions/{number}")).await;
    assert_eq!(
        (&told["transaction"]["name"], &told["transaction"]["actor"]),
        (&json!("node power"), &json!("olga"))
    );
    assert!(told["changes"][0].to_string().contains("power on"), "{told}");
    let (status, refused) =
        admin.send("POST", &format!("/api/v1/transactions/{number}/undo"), Vec::new()).await;
    assert_eq!((status, &refused["code"]), (409, &json!("irreversible")), "{refused}");
    assert_eq!(admin.event("node.power-asked").await["actor"], "olga");

    // A forbid of the operator's own holds, and nothing is asked.
    policy(
        &admin,
        "hands-off",
        r#"forbid (principal == Account::"olga", action == Action::"power", resource);"#,
    )
    .await;
    assert_eq!(power(&operator, "off", &["node-1"], "").await.0, 403);
    assert_eq!(sushy.heard().matches("POST ").count(), 1);

    // After kill -9 the sealed password opens, and nothing anywhere has it: files, log, history.
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    client.until(&format!("{at}/power"), "on", |power| power["state"] == "on").await;
    assert_eq!(holding(folder.path(), SECRET.as_bytes()), [] as [String; 0]);
    let everything = client.get("/api/v1/transactions?limit=200").await.to_string()
        + &client.get("/api/v1/events?after=0&limit=1000").await.to_string();
    assert!(!everything.contains(SECRET));
    assert!(holding(folder.path(), sushy.fingerprint.as_bytes()).len() > 1, "the search finds what is there");

    // What is kept goes to the controller that it was set for, and to no other.
    let mut elsewhere = redfish(&sushy);
    elsewhere["password"] = json!("");
    set(&client, "node-1", &elsewhere).await;
    assert_eq!(client.get(&format!("{at}/power")).await["state"], "on");
    elsewhere["address"] = json!("127.0.0.1:1");
    let (status, refused) = client.json("PUT", &format!("{at}/bmc"), &elsewhere).await;
    assert_eq!((status, &refused["code"]), (422, &json!("invalid")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_nodes_are_powered_at_once_and_what_fails_is_told_by_name() {
    let (sim_peer, free) = (IpmiSim::start(), std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let (_folder, appliance, client) = appliance(&sim_peer, 2).await;
    set(&client, "node-1", &ipmi(&sim_peer)).await;
    // One without a controller: nothing is asked of the other either.
    let (status, refused) = power(&client, "on", &["node-1", "node-2"], "").await;
    assert_eq!((status, &refused["code"]), (409, &json!("group-refused")), "{refused}");
    assert!(
        refused["title"].as_str().is_some_and(|text| text.contains("node-2 has no management controller"))
    );
    assert!(!sim_peer.is_on());
    let gone = free.local_addr().expect("an address").to_string();
    drop(free);
    let mut dead = json!({"kind": "redfish", "address": gone, "account": "a", "password": "p"});
    let (status, refused) = client.json("PUT", "/api/v1/nodes/node-2/bmc", &dead).await;
    assert_eq!((status, &refused["code"]), (422, &json!("invalid")), "no certificate: {refused}");
    dead["certificate"] = json!(format!("sha256:{}", "00".repeat(32)));
    set(&client, "node-2", &dead).await;
    let (status, plan) = power(&client, "on", &["node-1", "node-2"], "").await;
    assert_eq!((status, &plan["state"]), (200, &json!("failed")), "{plan}");
    assert_eq!(plan["conflicts"].as_array().map(Vec::len), Some(1));
    assert_eq!(plan["conflicts"][0]["name"], "node-2");
    assert!(sim_peer.is_on(), "{}", sim_peer.heard());
    assert_eq!(client.event("node.power-failed").await["node"], "node-2");
    // Alone it is the problem itself.
    let (status, problem) = power(&client, "off", &["node-2"], "").await;
    assert_eq!((status, &problem["code"]), (502, &json!("bmc-unreachable")), "{problem}");
    let (status, problem) = power(&client, "cycle", &["node-1"], "").await;
    assert_eq!((status, &problem["code"]), (422, &json!("invalid")), "{problem}");
    // A node that is forgotten takes its controller along.
    let (status, reply) = client.send("DELETE", "/api/v1/nodes/node-1", Vec::new()).await;
    assert_eq!(status, 204, "{reply}");
    let node = sim(1, &Made::default().file());
    let session = appliance.connect(&node).await;
    client.approve(&node).await;
    let (status, missing) = client.send("GET", &format!("/api/v1/nodes/{}/bmc", node.id()), Vec::new()).await;
    assert_eq!((status, &missing["code"]), (404, &json!("bmc-not-set")), "{missing}");
    drop(session);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sets_shows_and_powers_and_says_what_is_wrong() {
    let sim_peer = IpmiSim::start();
    let (folder, appliance, client) = appliance(&sim_peer, 1).await;
    let (token, secret) = (folder.path().join("token"), folder.path().join("bmc-secret"));
    for (path, text) in [(&token, client.token.as_str()), (&secret, SECRET)] {
        std::fs::write(path, text).expect("written");
        std::os::unix::fs::PermissionsExt::set_mode(
            &mut std::fs::metadata(path).expect("there").permissions(),
            0o600,
        );
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, private).expect("private");
    }
    let url = format!("unix:{}", appliance.data.join("api.sock").display());
    let weft = async |words: &[&str]| -> (Option<i32>, String) {
        let mut command = Command::new(WEFT);
        command.args(words).arg("--url").arg(&url).arg("--token-file").arg(&token);
        let done =
            tokio::task::spawn_blocking(move || command.output()).await.expect("ran").expect("weft runs");
        let text = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let file = secret.display().to_string();
    let setting = |account: &'static str, file: &'static str| {
        ["node", "bmc", "set", "node-1", "--kind", "ipmi", "--account", account, "--password-file", file]
            .to_vec()
    };
    let file: &'static str = Box::leak(file.into_boxed_str());
    let address = sim_peer.address.clone();
    let with = |words: Vec<&'static str>| {
        [words, vec!["--address", Box::leak(address.clone().into_boxed_str())]].concat()
    };
    let (code, text) = weft(&with(setting("nobody", file))).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = weft(&["node", "power", "status", "node-1"]).await;
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("no such account") && text.contains("next: set the right account"), "{text}");
    let (code, text) = weft(&with(setting(ACCOUNT, file))).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = weft(&["node", "bmc", "show", "node-1", "-o", "json"]).await;
    assert!(code == Some(0) && text.contains(&sim_peer.address) && !text.contains(SECRET), "{text}");
    let (code, text) = weft(&["node", "power", "on", "node-1", "--dry-run"]).await;
    assert!(code == Some(0) && text.contains("dry run: nothing was changed") && !sim_peer.is_on(), "{text}");
    let (code, text) = weft(&["node", "power", "on", "node-1"]).await;
    assert!(code == Some(0) && sim_peer.is_on(), "{text}");
    let (code, text) = weft(&["node", "power", "status", "--all", "-o", "json"]).await;
    let all: Value = serde_json::from_str(&text).expect("JSON alone");
    assert_eq!((code, &all[0]["state"]), (Some(0), &json!("on")));
    let (code, text) = weft(&["node", "power", "off", "node-1", "--graceful", "--yes"]).await;
    assert!(code == Some(0) && sim_peer.heard().contains("set shutdown 1"), "{text}");
    let (code, text) = weft(&["node", "power", "reset", "node-1", "--yes"]).await;
    assert!(code == Some(4) && text.contains("the machine is off"), "{text}");
    let (code, text) = weft(&["node", "bmc", "clear", "node-1", "--yes"]).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = weft(&["node", "power", "on", "node-1"]).await;
    assert!(code == Some(3) || code == Some(4), "{text}");
    assert!(text.contains("weft node bmc set node-1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_sets_a_controller_and_powers_a_node_by_it() {
    let sim_peer = IpmiSim::start();
    let (folder, appliance, client) = appliance(&sim_peer, 1).await;
    let secret = folder.path().join("bmc-secret");
    std::fs::write(&secret, SECRET).expect("written");
    let variables = [
        ("WEFT_NODE", "node-1"),
        ("WEFT_BMC", sim_peer.address.as_str()),
        ("WEFT_BMC_ACCOUNT", ACCOUNT),
        ("WEFT_BMC_PASSWORD_FILE", secret.to_str().expect("text")),
    ];
    println!("{}", run("e2e/power.mjs", &appliance, folder.path(), &variables).await);
    // What the page did, the machine heard.
    let end = Instant::now() + Duration::from_secs(5);
    while !sim_peer.heard().contains("set power 0") {
        assert!(Instant::now() < end, "{}", sim_peer.heard());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(sim_peer.heard().contains("set power 1"));
    assert_eq!(client.get("/api/v1/nodes/node-1/power").await["state"], "off");
}
