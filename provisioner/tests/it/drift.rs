//! The appliance goes, by `kill -9`, and comes back, also with an older store: what nodes say by then, what it does about it, and
//! that no guest ends that nobody has answered for.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_wire::agent::VsState;

use crate::common::{Appliance, Client, WEFT, sim};
use crate::hands::Machine;

const DRIFT: &str = "/api/v1/drift";

/// An appliance, and a node that follows it and goes on without it.
pub(crate) struct Rack {
    pub(crate) folder: TempDir,
    pub(crate) appliance: Option<Appliance>,
    pub(crate) client: Client,
    file: Vec<u8>,
    kernel: String,
    pub(crate) machine: Machine,
}

pub(crate) async fn meet(appliance: &Appliance, client: &Client, number: u8, file: &[u8]) -> Machine {
    let machine = Machine::start(sim(number, file), appliance);
    let id = machine.node.id().to_string();
    let known = |all: &Value| all.as_array().expect("a list").iter().any(|node| node["id"] == id.as_str());
    client.until("/api/v1/nodes", "a node", known).await;
    client.approve(&machine.node).await;
    machine
}

impl Rack {
    pub(crate) async fn new() -> Self {
        let (folder, appliance, client, file) = Appliance::with_image().await;
        let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
        let kernel = blob["digest"].as_str().expect("a digest").to_string();
        let machine = meet(&appliance, &client, 1, &file).await;
        Self { folder, appliance: Some(appliance), client, file, kernel, machine }
    }

    pub(crate) async fn server(&self, machine: &Machine, name: &str, runs: bool) {
        let node = machine.node.id().to_string();
        let wanted = json!({"name": name, "node": node, "vcpus": 1, "memory_mib": 64, "kernel": self.kernel});
        let (status, reply) = self.client.json("POST", "/api/v1/vs", &wanted).await;
        assert_eq!(status, 201, "{reply}");
        machine.until("it is made", |hands| hands.held.contains_key(name)).await;
        if runs {
            self.verb(name, "start").await;
            machine.until("it runs", |hands| hands.held[name].state == VsState::Running).await;
            let running = |vs: &Value| vs["state"] == "running";
            self.client.until(&format!("/api/v1/vs/{name}"), "running", running).await;
        }
    }

    async fn verb(&self, name: &str, verb: &str) {
        let (status, reply) =
            self.client.send("POST", &format!("/api/v1/vs/{name}/{verb}"), Vec::new()).await;
        assert_eq!(status, 204, "{reply}");
    }

    /// `kill -9`; nodes go on.
    pub(crate) fn kill(&mut self) {
        self.machine.hang_up();
        drop(self.appliance.take());
    }

    pub(crate) fn start(&mut self) {
        let bytes = std::fs::read(self.folder.path().join("delegation.bin")).expect("a delegation");
        let roots = crate::common::roots(false);
        let delegation =
            weft_format::delegation::verify_delegation(&bytes, &roots, &weft_signing::RingVerifier, 0)
                .expect("good");
        let key = delegation.appliances[0].channel_key;
        let appliance = Appliance::start(&self.folder, key, &delegation);
        self.machine.dial(&appliance);
        self.appliance = Some(appliance);
    }

    fn weft(&self, words: &[&str]) -> Output {
        let token = self.folder.path().join("token");
        std::fs::write(&token, &self.client.token).expect("written");
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        Command::new(WEFT)
            .args(words)
            .arg("--url")
            .arg(format!("unix:{}", self.client.socket.display()))
            .arg("--token-file")
            .arg(token)
            .env("XDG_CONFIG_HOME", self.folder.path().join("nowhere"))
            .output()
            .expect("weft runs")
    }

    /// The drift of this name and state, once it is there.
    pub(crate) async fn drift(&self, name: &str, state: &str) -> Value {
        let fits = |drift: &&Value| drift["name"] == name && drift["state"] == state;
        let there = |all: &Value| all.as_array().expect("a list").iter().any(|drift| fits(&drift));
        let all = self.client.until(&format!("{DRIFT}?all=true"), &format!("{name} {state}"), there).await;
        all.as_array().expect("a list").iter().find(fits).expect("found").clone()
    }

    async fn answer(&self, action: &str, name: &str) -> (u16, Value) {
        self.client.json("POST", DRIFT, &json!({"action": action, "name": name})).await
    }

    async fn answered(&self, action: &str, name: &str) -> Value {
        let body = json!({"action": action, "name": name});
        let (status, plan) = self.client.json("POST", &format!("{DRIFT}?dry_run=true"), &body).await;
        assert_eq!((status, plan["state"].as_str()), (200, Some("planned")), "{plan}");
        let (status, plan) = self.answer(action, name).await;
        assert_eq!((status, plan["state"].as_str()), (200, Some("done")), "{plan}");
        plan
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_did_at_a_nodes_door_while_the_appliance_was_gone_is_taken_over_and_told() {
    let mut rack = Rack::new().await;
    rack.server(&rack.machine, "web", true).await;
    rack.server(&rack.machine, "db", false).await;
    rack.kill();
    rack.machine.hands().wishes.clear();
    rack.machine.at_the_door("web", false, "ann");
    rack.machine.at_the_door("db", true, "ben");
    rack.start();
    let web = rack.drift("web.operator", "settled").await;
    assert_eq!((&web["node"], &web["vs"]), (&json!("node-1"), &json!("web")));
    assert!(web["seen"].as_str().is_some_and(|seen| seen.contains("stopped by operator ann")), "{web}");
    assert!(web["wanted"].as_str().is_some_and(|wanted| wanted.starts_with("running")), "{web}");
    rack.drift("db.operator", "settled").await;
    rack.client.until("/api/v1/vs/db", "running", |vs| vs["state"] == "running").await;
    let vs = rack.client.get("/api/v1/vs/web").await;
    assert_eq!((&vs["desired"], &vs["state"]), (&json!("stopped"), &json!("stopped")));
    // The node was asked for nothing of it: it is so already.
    assert_eq!(rack.machine.state("db"), Some(VsState::Running));
    assert_eq!(rack.machine.hands().held["db"].instance, 1);
    let wishes = rack.machine.wishes();
    assert!(!wishes.iter().any(|wish| wish == "start web"), "{wishes:?}");
    // It is a transaction, in the operator's name, and an undo brings the server back.
    let all = rack.client.get("/api/v1/transactions?actor=ann").await;
    let number = all[0]["number"].as_u64().expect("a number");
    assert_eq!(all[0]["name"], "vs stop");
    assert!(
        web["outcome"].as_str().is_some_and(|text| text.contains(&format!("transaction {number}"))),
        "{web}"
    );
    let path = format!("/api/v1/transactions/{number}/undo");
    assert_eq!(rack.client.send("POST", &path, Vec::new()).await.0, 200);
    rack.machine.until("web runs again", |hands| hands.held["web"].state == VsState::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_missed_settles_by_itself_and_is_told() {
    let mut rack = Rack::new().await;
    rack.server(&rack.machine, "web", true).await;
    rack.server(&rack.machine, "db", false).await;
    rack.machine.hang_up();
    rack.client.until("/api/v1/nodes/node-1", "gone", |node| node["state"] != "ready").await;
    rack.verb("web", "stop").await;
    rack.verb("db", "start").await;
    rack.kill();
    assert_eq!(rack.machine.state("web"), Some(VsState::Running), "nodes go on");
    rack.start();
    let web = rack.drift("web.state", "settled").await;
    assert_eq!((&web["wanted"], &web["seen"]), (&json!("stopped"), &json!("running")), "{web}");
    let db = rack.drift("db.state", "settled").await;
    assert_eq!((&db["wanted"], &db["seen"]), (&json!("running"), &json!("stopped")), "{db}");
    assert_eq!(rack.machine.state("web"), Some(VsState::Stopped));
    assert_eq!(rack.machine.state("db"), Some(VsState::Running));
    rack.client.event("drift.settled").await;
    let open = rack.client.get(DRIFT).await;
    assert_eq!(open, json!([]), "nothing is left");
    assert!(String::from_utf8_lossy(&rack.weft(&["drift", "list"]).stderr).contains("as they are wanted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_ended_by_itself_waits_for_a_word_that_an_undo_takes_back() {
    let mut rack = Rack::new().await;
    rack.server(&rack.machine, "web", true).await;
    rack.server(&rack.machine, "db", true).await;
    rack.kill();
    for name in ["web", "db"] {
        rack.machine.hands().held.get_mut(name).expect("there").state = VsState::Off;
    }
    rack.start();
    let web = rack.drift("web.state", "open").await;
    assert_eq!(web["answers"], json!(["accept", "enforce"]), "{web}");
    assert!(web["seen"].as_str().is_some_and(|seen| seen.contains("off")), "{web}");
    rack.drift("db.state", "open").await;
    rack.client.event("drift.found").await;
    let findings = rack.client.get("/api/v1/doctor").await;
    let drift = findings.as_array().expect("a list").iter().find(|finding| finding["name"] == "drift");
    assert_eq!(drift.map(|finding| &finding["state"]), Some(&json!("warn")), "{findings}");
    // Accepted: it is stopped. Its undo has it run again.
    let plan = rack.answered("accept", "web.state").await;
    assert_eq!(rack.client.get("/api/v1/vs/web").await["desired"], "stopped");
    let number = plan["transaction"].as_u64().expect("a number");
    assert!(number > 0, "{plan}");
    let path = format!("/api/v1/transactions/{number}/undo");
    assert_eq!(rack.client.send("POST", &path, Vec::new()).await.0, 200);
    rack.machine.until("web runs", |hands| hands.held["web"].state == VsState::Running).await;
    // Enforced: it starts afresh; by the command line.
    let done = rack.weft(&["drift", "enforce", "db.state", "--yes"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    rack.machine.until("db runs", |hands| hands.held["db"].state == VsState::Running).await;
    assert_eq!(rack.machine.hands().held["db"].instance, 2);
    rack.client.until(DRIFT, "nothing left", |all| all.as_array().is_some_and(Vec::is_empty)).await;
    let (status, problem) = rack.answer("accept", "web.state").await;
    assert_eq!((status, &problem["code"]), (404, &json!("drift-not-found")));
}

/// A backup as the command makes it, in the rack's folder.
pub(crate) fn backup(rack: &Rack) -> std::path::PathBuf {
    let file = rack.folder.path().join("older.backup");
    let data = rack.appliance.as_ref().expect("it runs").data.clone();
    let words = ["appliance", "backup", file.to_str().expect("text"), "--data", data.to_str().expect("text")];
    let done = Command::new(WEFT).args(words).output().expect("weft runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    file
}

/// The appliance is gone, and another has the backup.
pub(crate) async fn restored(rack: &mut Rack, file: &std::path::Path) {
    rack.kill();
    let data = rack.folder.path().join("data");
    std::fs::rename(&data, rack.folder.path().join("burnt")).expect("moved");
    let words =
        ["appliance", "restore", file.to_str().expect("text"), "--data", data.to_str().expect("text")];
    let done = Command::new(WEFT).args(words).output().expect("weft runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    rack.start();
    rack.client = rack.appliance.as_ref().expect("it runs").login().await;
}

fn states(rack: &Rack) -> Vec<(String, VsState, u64)> {
    let hands = rack.machine.hands();
    hands.held.iter().map(|(name, held)| (name.clone(), held.state, held.instance)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_store_ends_no_guest_before_each_is_answered_for_also_over_kill_9() {
    let mut rack = Rack::new().await;
    for name in ["web", "gone", "same"] {
        rack.server(&rack.machine, name, name != "web").await;
    }
    let gone_id = rack.client.get("/api/v1/vs/gone").await["id"].as_str().expect("an id").to_string();
    assert_eq!(rack.client.send("DELETE", "/api/v1/vs/gone", Vec::new()).await.0, 204);
    let deletion =
        rack.client.get("/api/v1/transactions?limit=1").await[0]["number"].as_u64().expect("a number");
    rack.machine.until("it is gone", |hands| !hands.held.contains_key("gone")).await;
    let file = backup(&rack);
    // After the backup: one comes back, one starts, one is new.
    let undo = format!("/api/v1/transactions/{deletion}/undo");
    assert_eq!(rack.client.send("POST", &undo, Vec::new()).await.0, 200);
    rack.verb("web", "start").await;
    rack.server(&rack.machine, "new", true).await;
    let new_id = rack.client.get("/api/v1/vs/new").await["id"].as_str().expect("an id").to_string();
    for name in ["gone", "web"] {
        rack.machine.until("it runs", |hands| hands.held[name].state == VsState::Running).await;
    }
    let before = states(&rack);
    restored(&mut rack, &file).await;
    rack.machine.hands().wishes.clear();

    let unknown = |id: &str| format!("node-1.{}.unknown", &id[..8]);
    let (gone, new) = (unknown(&gone_id), unknown(&new_id));
    for _ in 0..2 {
        for name in [gone.as_str(), new.as_str()] {
            let drift = rack.drift(name, "held").await;
            assert_eq!(drift["answers"], json!(["accept", "enforce"]), "{drift}");
            assert!(drift["seen"].as_str().is_some_and(|seen| seen.starts_with("running")), "{drift}");
        }
        // It was started once since: the store has not heard of that start.
        let web = rack.drift("web.instance", "held").await;
        assert!(web["wanted"].as_str().is_some_and(|wanted| wanted.starts_with("stopped")), "{web}");
        rack.client.event("drift.held").await;
        assert_eq!(rack.machine.wishes(), Vec::<String>::new(), "nothing was told");
        assert_eq!(states(&rack), before, "and nothing ended");
        // Killed, it holds the node again.
        rack.kill();
        rack.start();
        rack.client = rack.appliance.as_ref().expect("it runs").login().await;
    }
    let findings = rack.client.get("/api/v1/doctor").await;
    rack.drift(&gone, "held").await;
    rack.drift("web.instance", "held").await;
    drop(findings);
    let findings = rack.client.get("/api/v1/doctor").await;
    let drift = findings.as_array().expect("a list").iter().find(|finding| finding["name"] == "drift");
    assert_eq!(drift.map(|finding| &finding["state"]), Some(&json!("fail")), "{findings}");

    // What history has comes back as it is, what it has not cannot.
    let plan = rack.answered("accept", &gone).await;
    assert_eq!((&plan["name"], plan["undoes"].as_u64()), (&json!("vs create"), Some(deletion)), "{plan}");
    let back = rack.client.get("/api/v1/vs/gone").await;
    assert_eq!((&back["id"], &back["desired"]), (&json!(gone_id), &json!("running")), "{back}");
    rack.drift(&new, "held").await;
    let (status, problem) = rack.answer("accept", &new).await;
    assert_eq!((status, &problem["code"]), (409, &json!("drift-unknown")), "{problem}");
    rack.answered("accept", "web.instance").await;
    assert_eq!(states(&rack), before, "the last one still holds the node");
    rack.answered("enforce", &new).await;
    rack.machine.until("the new one ends", |hands| !hands.held.contains_key("new")).await;
    for name in ["web", "gone", "same"] {
        rack.client.until(&format!("/api/v1/vs/{name}"), "running", |vs| vs["state"] == "running").await;
    }
    let after: Vec<_> = before.iter().filter(|(name, ..)| name != "new").cloned().collect();
    assert_eq!(states(&rack), after, "no guest was started anew");
    rack.client.until(DRIFT, "nothing left", |all| all.as_array().is_some_and(Vec::is_empty)).await;
    // Held no more: the next wish is heard.
    rack.verb("same", "stop").await;
    rack.machine.until("it stops", |hands| hands.held["same"].state == VsState::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_an_older_store_never_approved_says_so_and_its_guests_outlive_its_approval() {
    let mut rack = Rack::new().await;
    let file = backup(&rack);
    let second = {
        let appliance = rack.appliance.as_ref().expect("it runs");
        meet(appliance, &rack.client, 2, &rack.file).await
    };
    rack.server(&second, "late", true).await;
    let id = rack.client.get("/api/v1/vs/late").await["id"].as_str().expect("an id").to_string();
    second.hang_up();
    restored(&mut rack, &file).await;
    second.dial(rack.appliance.as_ref().expect("it runs"));
    let drift = rack.drift("node-2.approval", "open").await;
    assert_eq!(drift["answers"], json!([]), "a person compares fingerprints: {drift}");
    assert!(drift["next"].as_str().is_some_and(|next| next.contains("weft node approve node-2")), "{drift}");
    rack.client.approve(&second.node).await;
    let name = format!("node-2.{}.unknown", &id[..8]);
    rack.drift(&name, "held").await;
    rack.drift("node-2.approval", "settled").await;
    assert_eq!(second.state("late"), Some(VsState::Running));
    rack.answered("enforce", &name).await;
    second.until("it ends", |hands| !hands.held.contains_key("late")).await;
    // Which image nodes run is looked at too.
    let payload = b"another monitor ".repeat(2000);
    let newer = crate::common::Made { generation: 8, payload, ..crate::common::Made::default() }.file();
    let (status, image) = rack.client.send("POST", "/api/v1/images", newer).await;
    assert_eq!(status, 201, "{image}");
    let digest = image["digest"].as_str().expect("a digest");
    let (status, reply) =
        rack.client.send("POST", &format!("/api/v1/images/{digest}/activate"), Vec::new()).await;
    assert!(status < 300, "{reply}");
    let drift = rack.drift("node-1.image", "open").await;
    assert!(drift["wanted"].as_str().is_some_and(|wanted| wanted.contains("generation 8")), "{drift}");
    assert!(drift["seen"].as_str().is_some_and(|seen| seen.contains("generation 7")), "{drift}");
}
