//! Rollouts of an image: what counts is what the nodes boot, in which order, and what they are offered.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_wire::agent::VsState;

use crate::common::{Appliance, Client, Made, WEFT, digests, hex, sim};
use crate::hands::{Machine, Restarts, fetch};
use crate::rights::{account, policy};

pub(crate) fn image(generation: u64, least: u64) -> Vec<u8> {
    let payload = format!("monitor {generation} ").into_bytes().repeat(2000);
    Made { generation, least, payload, ..Made::default() }.file()
}

fn digest(file: &[u8]) -> String {
    hex(&digests(file).1)
}

/// Where a machine asks from.
fn source(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 10 + number)
}

/// An appliance whose active image is of generation 7, and nodes that run it.
pub(crate) struct Rack {
    pub(crate) folder: TempDir,
    pub(crate) appliance: Option<Appliance>,
    client: Client,
    old: Vec<u8>,
    pub(crate) machines: Vec<Machine>,
}

impl Rack {
    pub(crate) async fn new(nodes: u8) -> Self {
        let (folder, appliance, client, old) = Appliance::with_image().await;
        let mut machines = Vec::new();
        for number in 1..=nodes {
            let mut node = sim(number, &old);
            node.source = source(number);
            let machine = Machine::start(node, &appliance);
            let id = machine.node.id().to_string();
            let listed = |all: &Value| {
                all.as_array().is_some_and(|all| all.iter().any(|node| node["id"] == id.as_str()))
            };
            client.until("/api/v1/nodes", "a node", listed).await;
            client.approve(&machine.node).await;
            machines.push(machine);
        }
        Self { folder, appliance: Some(appliance), client, old, machines }
    }

    pub(crate) async fn publish(&self, file: &[u8]) -> String {
        let (status, reply) = self.client.send("POST", "/api/v1/images", file.to_vec()).await;
        assert_eq!(status, 201, "{reply}");
        digest(file)
    }

    /// A server that runs on the first node.
    async fn server(&self, name: &str) {
        let (_, blob) = self.client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
        let node = self.machines[0].node.id().to_string();
        let wanted =
            json!({"name": name, "node": node, "vcpus": 1, "memory_mib": 64, "kernel": blob["digest"]});
        let (status, reply) = self.client.json("POST", "/api/v1/vs", &wanted).await;
        assert_eq!(status, 201, "{reply}");
        self.client.does("POST", &format!("/api/v1/vs/{name}/start")).await;
        self.runs(name).await;
    }

    async fn runs(&self, name: &str) {
        self.client.until(&format!("/api/v1/vs/{name}"), "running", |vs| vs["state"] == "running").await;
    }

    async fn start(&self, wanted: &Value) -> u64 {
        let (status, rollout) = self.client.json("POST", "/api/v1/rollouts", wanted).await;
        assert_eq!((status, rollout["state"].as_str()), (202, Some("running")), "{rollout}");
        rollout["number"].as_u64().expect("a number")
    }

    async fn verb(&self, number: u64, verb: &str) -> (u16, Value) {
        self.client.post(&format!("/api/v1/rollouts/{number}/{verb}")).await
    }

    /// Goes back; the number of the rollout that does it.
    async fn back(&self, number: u64) -> u64 {
        let (status, back) = self.verb(number, "back").await;
        assert_eq!((status, back["back_of"].as_u64()), (202, Some(number)), "{back}");
        back["number"].as_u64().expect("a number")
    }

    async fn until(&self, number: u64, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        self.client.until(&format!("/api/v1/rollouts/{number}"), what, good).await
    }

    async fn ends(&self, number: u64, state: &str) -> Value {
        self.until(number, state, |rollout| rollout["state"] == state).await
    }

    pub(crate) fn boots(&self) -> Vec<Vec<u64>> {
        self.machines.iter().map(|machine| machine.hands().boots.clone()).collect()
    }

    fn told(&self) -> Vec<usize> {
        self.machines.iter().map(|machine| machine.hands().told).collect()
    }

    /// What the machine with this number is offered; no node has the number 0.
    async fn offered(&self, number: u8) -> Vec<u8> {
        let at = self.appliance.as_ref().expect("it runs").http;
        fetch(IpAddr::V4(source(number)), at, "weft.efi").await.expect("an image")
    }

    async fn kill(&mut self) {
        let appliance = self.appliance.take().expect("it runs").crash_and_restart(&self.folder);
        self.machines.iter().for_each(|machine| machine.dial(&appliance));
        self.appliance = Some(appliance);
    }
}

fn states(rollout: &Value) -> Vec<&str> {
    rollout["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["state"].as_str()).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_boot_a_new_image_one_after_the_other_behind_the_canary_and_go_back() {
    let rack = Rack::new(3).await;
    let new = image(8, 5);
    let digest = rack.publish(&new).await;
    rack.machines[1].hands().restarts = Restarts::Never;
    let wanted = json!({"image": digest, "select": {"all": true}, "canary": "node-2"});
    let transactions = rack.client.newest().await;
    let (status, plan) = rack.client.json("POST", "/api/v1/rollouts?dry_run=true", &wanted).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("planned")), "{plan}");
    assert!(
        plan["effects"][0].as_str().is_some_and(|first| first.contains("first, alone: node-2")),
        "{plan}"
    );
    assert_eq!(rack.client.newest().await, transactions);

    let number = rack.start(&wanted).await;
    rack.machines[1].until("told to restart", |hands| hands.told == 1).await;
    // The canary alone is offered the new one; the others were told nothing.
    assert_eq!(rack.offered(2).await, new);
    for other in [0, 1, 3] {
        assert_eq!(rack.offered(other).await, rack.old, "{other}");
    }
    assert_eq!(rack.told(), [0, 1, 0]);
    let rollout = rack.client.get(&format!("/api/v1/rollouts/{number}")).await;
    assert_eq!(states(&rollout), ["restarting", "waiting", "waiting"], "{rollout}");
    let second = json!({"image": digest, "select": {"names": ["node-3"]}});
    let (_, problem) = rack.client.json("POST", "/api/v1/rollouts", &second).await;
    assert_eq!(problem["code"], "rollout-in-the-way");
    let (_, problem) = rack.client.post(&format!("/api/v1/jobs/{number}/cancel")).await;
    assert_eq!(problem["code"], "job-is-rollout");

    // One at a time: while the second is away the third was not told.
    rack.machines[0].hands().restarts = Restarts::Never;
    rack.machines[1].hands().restarts = Restarts::Offered;
    rack.machines[0].until("told to restart", |hands| hands.told == 1).await;
    assert_eq!((rack.told(), rack.boots()), (vec![1, 1, 0], vec![vec![], vec![8], vec![]]));
    rack.machines[0].hands().restarts = Restarts::Offered;
    let rollout = rack.ends(number, "done").await;
    assert_eq!(states(&rollout), ["done"; 3], "{rollout}");
    assert_eq!((rack.told(), rack.boots()), (vec![1, 1, 1], vec![vec![8]; 3]));
    for machine in 0..=3 {
        assert_eq!(rack.offered(machine).await, new, "it is the active one: {machine}");
    }
    for node in rack.client.get("/api/v1/nodes").await.as_array().expect("a list") {
        assert_eq!((text(node, "image"), text(node, "chosen_image")), (digest.as_str(), ""), "{node}");
    }
    let last = rack.client.get("/api/v1/transactions?limit=1").await[0].clone();
    assert_eq!((text(&last, "name"), text(&last, "actor")), ("image activate", "admin"), "{last}");
    assert_eq!(last["job"].as_u64(), Some(number));

    // Back: the same nodes, and what is active.
    let back = rack.back(number).await;
    let rollout = rack.ends(back, "done").await;
    assert_eq!(states(&rollout), ["done"; 3], "{rollout}");
    assert_eq!((rack.told(), rack.boots()), (vec![2; 3], vec![vec![8, 7]; 3]));
    for machine in 0..=3 {
        assert_eq!(rack.offered(machine).await, rack.old);
    }
    let listed = rack.client.get("/api/v1/rollouts").await;
    assert_eq!((listed[0]["number"].as_u64(), listed[1]["number"].as_u64()), (Some(back), Some(number)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_comes_back_with_another_image_stops_the_rollout_and_is_resumed() {
    let rack = Rack::new(3).await;
    let digest = rack.publish(&image(8, 5)).await;
    rack.machines[0].hands().restarts = Restarts::Same;
    let number = rack.start(&json!({"image": digest, "select": {"all": true}})).await;
    let rollout = rack.ends(number, "stopped").await;
    assert_eq!(states(&rollout), ["failed", "waiting", "waiting"], "{rollout}");
    assert!(text(&rollout, "reason").contains("node-1 came back with test-7"), "{rollout}");
    assert!(text(&rollout, "next").contains("weft image rollout resume"), "{rollout}");
    assert_eq!((rack.told(), rack.boots()), (vec![1, 0, 0], vec![vec![7], vec![], vec![]]));
    for other in [0, 2, 3] {
        assert_eq!(rack.offered(other).await, rack.old);
    }
    let told = rack.client.event("job.stopped").await;
    assert_eq!((text(&told, "state"), text(&told, "actor")), ("error", "admin"), "{told}");

    rack.machines[0].hands().restarts = Restarts::Offered;
    assert_eq!(rack.verb(number, "resume").await.0, 200);
    rack.ends(number, "done").await;
    assert_eq!(rack.boots(), [vec![7, 8], vec![8], vec![8]]);
    assert_eq!(rack.verb(number, "resume").await.1["code"], "rollout-state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_come_back_in_time_stops_the_rollout_and_those_before_it_go_back() {
    let rack = Rack::new(3).await;
    let digest = rack.publish(&image(8, 5)).await;
    rack.machines[1].hands().restarts = Restarts::Never;
    let names = ["node-1", "node-2", "node-3"];
    let wanted = json!({"image": digest, "select": {"names": names}, "timeout_s": 20});
    let number = rack.start(&wanted).await;
    let rollout = rack.ends(number, "stopped").await;
    assert_eq!(states(&rollout), ["done", "failed", "waiting"], "{rollout}");
    assert!(text(&rollout, "reason").contains("node-2 is not connected"), "{rollout}");
    let back = rack.back(number).await;
    assert_eq!(rack.client.get(&format!("/api/v1/rollouts/{number}")).await["state"], "aborted");
    // It was moved, or about to be: it comes back with the one before.
    rack.machines[1].hands().restarts = Restarts::Offered;
    rack.ends(back, "done").await;
    assert_eq!((rack.told()[2], rack.boots()[2].len()), (0, 0), "it was not reached");
    assert_eq!(rack.boots()[0], [8, 7]);
    assert_eq!(rack.boots()[1].last(), Some(&7));
    for machine in 0..=3 {
        assert_eq!(rack.offered(machine).await, rack.old);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_on_where_it_was_when_the_appliance_was_killed() {
    let mut rack = Rack::new(2).await;
    let new = image(8, 5);
    let digest = rack.publish(&new).await;
    rack.machines.iter().for_each(|machine| machine.hands().restarts = Restarts::Never);
    let number = rack.start(&json!({"image": digest, "select": {"all": true}})).await;
    for at in 0..2 {
        rack.machines[at].until("told to restart", |hands| hands.told == 1).await;
        rack.kill().await;
        let rollout = rack.client.get(&format!("/api/v1/rollouts/{number}")).await;
        assert_eq!(rollout["state"], "running", "{rollout}");
        rack.machines[at].hands().restarts = Restarts::Offered;
        rack.machines[at].until("up again", |hands| hands.boots.len() == 1).await;
        rack.kill().await;
    }
    rack.ends(number, "done").await;
    rack.kill().await;
    assert_eq!((rack.told(), rack.boots()), (vec![1, 1], vec![vec![8], vec![8]]), "each once");
    assert_eq!(rack.offered(0).await, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_back_below_the_floor_or_to_a_revoked_image() {
    let rack = Rack::new(1).await;
    let digest = rack.publish(&image(9, 9)).await;
    let number = rack.start(&json!({"image": digest, "select": {"all": true}})).await;
    rack.ends(number, "done").await;
    let (status, problem) = rack.verb(number, "back").await;
    assert_eq!((status, text(&problem, "code")), (409, "image-too-old"), "{problem}");
    assert!(text(&problem, "title").contains("no way back to test-7 (generation 7)"), "{problem}");
    assert!(!text(&problem, "next").is_empty());

    let other = rack.publish(&image(10, 9)).await;
    let number = rack.start(&json!({"image": other, "select": {"all": true}})).await;
    rack.ends(number, "done").await;
    rack.client.does("POST", &format!("/api/v1/images/{digest}/revoke")).await;
    let (status, problem) = rack.verb(number, "back").await;
    assert_eq!((status, text(&problem, "code")), (409, "image-revoked"), "{problem}");
    assert_eq!(rack.boots(), [vec![9, 10]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_in_the_way_or_are_stopped_and_started_again() {
    let rack = Rack::new(2).await;
    rack.server("web").await;
    let digest = rack.publish(&image(8, 5)).await;
    rack.machines[0].hands().wishes.clear();
    let before = rack.client.newest().await;
    let mut wanted = json!({"image": digest, "select": {"all": true}, "canary": "node-1"});
    let (status, problem) = rack.client.json("POST", "/api/v1/rollouts", &wanted).await;
    assert_eq!((status, text(&problem, "code")), (409, "rollout-refused"), "{problem}");
    assert!(text(&problem, "title").contains("node-1 runs web"), "{problem}");
    assert_eq!((rack.client.newest().await, rack.told()), (before, vec![0, 0]));

    wanted["drain"] = json!("stop");
    let number = rack.start(&wanted).await;
    let rollout = rack.ends(number, "done").await;
    assert_eq!(rollout["nodes"][0]["servers"], json!(["web"]), "{rollout}");
    rack.runs("web").await;
    assert_eq!(rack.machines[0].state("web"), Some(VsState::Running));
    let wishes = rack.machines[0].wishes();
    // Up again it hears of the server as of a new one.
    assert_eq!(wishes.first().map(String::as_str), Some("stop web"), "{wishes:?}");
    assert_eq!(wishes.last().map(String::as_str), Some("start web"), "{wishes:?}");
    assert_eq!(rack.boots(), [vec![8], vec![8]]);
    let all = rack.client.get("/api/v1/transactions?limit=100").await;
    let ours = all.as_array().expect("a list").iter().rev().filter(|tx| tx["job"].as_u64() == Some(number));
    let names: Vec<&str> = ours.map(|tx| text(tx, "name")).collect();
    assert_eq!(names, ["vs stop", "node image", "vs start", "node image", "image activate"]);

    // Where the canary fails its servers run all the same.
    let next = rack.publish(&image(9, 5)).await;
    rack.machines[0].hands().restarts = Restarts::Same;
    wanted["image"] = json!(next);
    let number = rack.start(&wanted).await;
    rack.ends(number, "stopped").await;
    rack.runs("web").await;
    assert_eq!(rack.verb(number, "abort").await.1["state"], "aborted");
    assert_eq!(rack.told(), [2, 1]);
}

/// One node, drained of `web` and told to restart into a new image; the rollout's number and the image's digest.
async fn drained(restarts: Restarts) -> (Rack, u64, String) {
    let rack = Rack::new(1).await;
    rack.server("web").await;
    let digest = rack.publish(&image(8, 5)).await;
    rack.machines[0].hands().restarts = restarts;
    let number = rack.start(&json!({"image": digest, "select": {"all": true}, "drain": "stop"})).await;
    rack.machines[0].until("told to restart", |hands| hands.told == 1).await;
    assert_eq!(rack.client.get("/api/v1/vs/web").await["desired"], "stopped");
    (rack, number, digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_starts_again_where_its_image_is_revoked_meanwhile() {
    let (rack, number, digest) = drained(Restarts::Never).await;
    rack.client.does("POST", &format!("/api/v1/images/{digest}/revoke")).await;
    rack.machines[0].hands().restarts = Restarts::Offered;
    let rollout = rack.ends(number, "stopped").await;
    assert!(text(&rollout, "reason").contains("came back with test-7"), "{rollout}");
    assert_eq!(rollout["nodes"][0]["servers"], json!(["web"]), "{rollout}");
    rack.machines[0]
        .until("started again", |hands| hands.wishes.last().is_some_and(|last| last == "start web"))
        .await;
    rack.runs("web").await;
    assert_eq!(rack.boots(), [vec![7]]);

    // Stopped by hand since: it is not the rollout's to start any more.
    rack.client.does("POST", "/api/v1/vs/web/stop").await;
    let (_, rollout) = rack.verb(number, "abort").await;
    assert_eq!(rollout["state"], "aborted", "{rollout}");
    assert_eq!(rack.client.get("/api/v1/vs/web").await["desired"], "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_starts_again_where_another_image_is_made_active_meanwhile() {
    let (rack, number, _) = drained(Restarts::Late).await;
    rack.machines[0].until("up soon", |hands| hands.fetched.is_some()).await;
    let other = rack.publish(&image(9, 9)).await;
    rack.client.does("POST", &format!("/api/v1/images/{other}/activate")).await;
    rack.machines[0].hands().restarts = Restarts::Offered;
    let rollout = rack.ends(number, "stopped").await;
    assert!(text(&rollout, "reason").contains("test-9 (generation 9) was made active"), "{rollout}");
    rack.machines[0]
        .until("started again", |hands| hands.wishes.last().is_some_and(|last| last == "start web"))
        .await;
    rack.runs("web").await;
    assert_eq!(rack.boots(), [vec![8]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_end_a_rollout_ends_it_with_its_servers_started_and_goes_back_only_with_their_rights() {
    let (rack, number, digest) = drained(Restarts::Never).await;
    let decides = r#"permit (principal == Account::"ann", action, resource is Job);"#;
    let boots = r#"permit (principal == Account::"bob", action, resource) when { resource is Image || resource is Node };"#;
    let both = r#"permit (principal == Account::"cid", action, resource) when { resource is Image || resource is Node || resource is Job };"#;
    let mut clients = Vec::new();
    for (name, text) in [("ann", decides), ("bob", boots), ("cid", both)] {
        policy(&rack.client, name, text).await;
        clients.push(account(&rack.client, name, "none").await);
    }
    for (client, what) in clients.iter().zip(["activate", "decide", "stop"]) {
        let (status, problem) = client.post(&format!("/api/v1/rollouts/{number}/back?dry_run=true")).await;
        assert_eq!((status, text(&problem, "code")), (403, "not-allowed"), "{problem}");
        assert!(text(&problem, "title").contains(&format!("may not {what} ")), "{problem}");
    }
    // The way back is open while the node is away, and the plan says so.
    let (status, plan) = rack.verb(number, "back?dry_run=true").await;
    assert_eq!((status, text(&plan, "state")), (200, "planned"), "{plan}");
    assert!(text(&plan["conflicts"][0], "text").contains("node-1 is not connected"), "{plan}");

    rack.client.does("POST", &format!("/api/v1/images/{digest}/revoke")).await;
    let (status, rollout) = clients[0].post(&format!("/api/v1/rollouts/{number}/abort")).await;
    assert_eq!((status, text(&rollout, "state")), (200, "aborted"), "{rollout}");
    rack.machines[0].hands().restarts = Restarts::Offered;
    rack.machines[0]
        .until("started again", |hands| hands.wishes.last().is_some_and(|last| last == "start web"))
        .await;
    rack.runs("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_started_before_a_late_restart_is_not_killed() {
    let rack = Rack::new(2).await;
    rack.server("web").await;
    rack.client.does("POST", "/api/v1/vs/web/stop").await;
    let digest = rack.publish(&image(8, 5)).await;
    rack.machines[1].hands().restarts = Restarts::Never;
    let wanted = json!({"image": digest, "select": {"all": true}, "canary": "node-2"});
    let number = rack.start(&wanted).await;
    rack.machines[1].until("told to restart", |hands| hands.told == 1).await;
    rack.machines[0].hang_up();
    rack.client.until("/api/v1/nodes/node-1", "away", |node| node["state"] != "ready").await;
    rack.machines[1].hands().restarts = Restarts::Offered;
    rack.until(number, "at node-1", |rollout| states(rollout) == ["done", "restarting"]).await;
    rack.client.does("POST", "/api/v1/vs/web/start").await;
    rack.machines[0].dial(rack.appliance.as_ref().expect("it runs"));
    let rollout = rack.ends(number, "stopped").await;
    assert!(text(&rollout, "reason").contains("node-1 runs web"), "{rollout}");
    rack.runs("web").await;
    assert_eq!(rack.told(), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_did_not_restart_is_asked_again_at_a_resume() {
    let rack = Rack::new(1).await;
    let digest = rack.publish(&image(8, 5)).await;
    rack.machines[0].hands().restarts = Restarts::Deaf;
    let number = rack.start(&json!({"image": digest, "select": {"all": true}, "timeout_s": 5})).await;
    let rollout = rack.ends(number, "stopped").await;
    assert!(text(&rollout, "reason").contains("node-1 has not restarted yet"), "{rollout}");
    assert_eq!(rack.told(), [1], "once in its session");
    rack.machines[0].hands().restarts = Restarts::Offered;
    assert_eq!(rack.verb(number, "resume").await.0, 200);
    rack.ends(number, "done").await;
    assert_eq!((rack.told(), rack.boots()), (vec![2], vec![vec![8]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_before_anything_and_keeps_no_other_image_from_being_offered() {
    let rack = Rack::new(1).await;
    let new = image(8, 5);
    let digest = rack.publish(&new).await;
    let file = |bytes: &[u8]| {
        let data = &rack.appliance.as_ref().expect("it runs").data;
        data.join("files").join(hex(&weft_format::sha256(bytes)))
    };
    std::fs::write(file(&new), b"damaged").expect("written");
    let wanted = json!({"image": digest, "select": {"all": true}});
    let (status, problem) = rack.client.json("POST", "/api/v1/rollouts", &wanted).await;
    assert_eq!((status, text(&problem, "code")), (422, "image-file-lost"), "{problem}");
    assert!(text(&problem, "next").contains("weft image publish"), "{problem}");
    assert_eq!(rack.publish(&new).await, digest);

    // The file of the active image is lost: the canary is offered its own all the same.
    std::fs::remove_file(file(&rack.old)).expect("removed");
    rack.machines[0].hands().restarts = Restarts::Never;
    let number = rack.start(&wanted).await;
    rack.machines[0].until("told to restart", |hands| hands.told == 1).await;
    assert_eq!((rack.offered(1).await, rack.offered(0).await), (new.clone(), rack.old.clone()));
    rack.machines[0].hands().restarts = Restarts::Offered;
    rack.ends(number, "done").await;
    assert_eq!(rack.offered(0).await, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_plans_pauses_resumes_and_shows() {
    let rack = Rack::new(2).await;
    let digest = rack.publish(&image(8, 5)).await;
    let token = rack.folder.path().join("token");
    std::fs::write(&token, &rack.client.token).expect("written");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("set");
    let socket = rack.appliance.as_ref().expect("it runs").data.join("api.sock");
    let weft = |args: &[&str]| {
        let mut command = Command::new(WEFT);
        command.args(["image", "rollout"]).args(args).env("WEFT_URL", format!("unix:{}", socket.display()));
        let done = command.env("WEFT_TOKEN_FILE", &token).output().expect("weft runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    assert_eq!(weft(&["start", &digest]).0, Some(2), "it must be said to which nodes");
    let (code, out, err) = weft(&["start", &digest[..12], "--all", "--canary", "node-2", "--dry-run"]);
    assert!(
        code == Some(0) && out.contains("first, alone: node-2") && err.contains("nothing was"),
        "{out}{err}"
    );
    rack.machines[1].hands().restarts = Restarts::Never;
    let (code, out, err) = weft(&["start", &digest[..12], "--nodes", "node-1,node-2", "--canary", "node-2"]);
    assert!(
        code == Some(0) && out.contains("test-8") && err.contains("weft image rollout watch 1"),
        "{out}{err}"
    );
    rack.machines[1].until("told to restart", |hands| hands.told == 1).await;
    let (code, out, _) = weft(&["pause", "1", "-o", "json"]);
    assert!(code == Some(0) && out.contains("\"paused\""), "{out}");
    rack.machines[1].hands().restarts = Restarts::Offered;
    let (code, out, err) = weft(&["watch", "1", "--timeout", "90"]);
    assert!(code == Some(4) && out.contains("paused, 1 of 2 nodes done"), "{out}{err}");
    assert_eq!(rack.told(), [0, 1], "a pause begins nothing new");
    assert_eq!(weft(&["resume", "1"]).0, Some(0));
    let (code, out, err) = weft(&["watch", "1", "--timeout", "90"]);
    assert!(code == Some(0) && out.contains("2 of 2 nodes done"), "{out}{err}");
    let (_, out, _) = weft(&["list", "-o", "json"]);
    let all: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((text(&all[0], "name"), text(&all[0], "state")), ("test-8", "done"));
    assert_eq!(weft(&["abort", "1"]).0, Some(4));
    assert_eq!(weft(&["show", "9"]).0, Some(3));
    let (code, out, _) = weft(&["back", "1", "--dry-run"]);
    assert!(code == Some(0) && out.contains("test-7 (generation 7)"), "{out}");
}
