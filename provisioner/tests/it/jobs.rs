//! Jobs: what counts is what the nodes hear, in which order, and that they end as they should, whenever the appliance is
//! killed.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_wire::agent::VsState;

use crate::common::{Appliance, Client, WEFT, sim};
use crate::hands::Machine;

/// An appliance, and nodes that follow it.
pub(crate) struct Rack {
    pub(crate) folder: TempDir,
    pub(crate) appliance: Option<Appliance>,
    pub(crate) client: Client,
    kernel: String,
    pub(crate) machines: Vec<Machine>,
}

impl Rack {
    pub(crate) async fn new(nodes: u8) -> Self {
        let (folder, appliance, client, file) = Appliance::with_image().await;
        let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
        let kernel = blob["digest"].as_str().expect("a digest").to_string();
        let mut machines = Vec::new();
        for number in 1..=nodes {
            let machine = Machine::start(sim(number, &file), &appliance);
            let path = "/api/v1/nodes";
            let id = machine.node.id().to_string();
            client
                .until(path, "a node", |all| {
                    all.as_array().is_some_and(|all| all.iter().any(|node| node["id"] == id.as_str()))
                })
                .await;
            client.approve(&machine.node).await;
            machines.push(machine);
        }
        Self { folder, appliance: Some(appliance), client, kernel, machines }
    }

    /// Makes a server on a node, and lets it run where that is asked for.
    pub(crate) async fn server(&self, machine: usize, name: &str, runs: bool) {
        let node = self.machines[machine].node.id().to_string();
        let wanted = json!({"name": name, "node": node, "vcpus": 1, "memory_mib": 64, "kernel": self.kernel});
        let (status, reply) = self.client.json("POST", "/api/v1/vs", &wanted).await;
        assert_eq!(status, 201, "{reply}");
        self.machines[machine].until("it is made", |hands| hands.held.contains_key(name)).await;
        if runs {
            self.client.does("POST", &format!("/api/v1/vs/{name}/start")).await;
            self.state(name, "running").await;
        }
    }

    async fn state(&self, name: &str, state: &str) {
        self.client.until(&format!("/api/v1/vs/{name}"), state, |vs| vs["state"] == state).await;
    }

    /// What came before is of no interest.
    pub(crate) fn forget_wishes(&self) {
        self.machines.iter().for_each(|machine| machine.hands().wishes.clear());
    }

    /// `kill -9`, and a new start on the same folder. The nodes dial the new one.
    async fn kill(&mut self) {
        let appliance = self.appliance.take().expect("it runs").crash_and_restart(&self.folder);
        self.machines.iter().for_each(|machine| machine.dial(&appliance));
        self.appliance = Some(appliance);
    }

    async fn job(&self, steps: Value) -> u64 {
        let (status, job) = self.client.json("POST", "/api/v1/jobs", &json!({ "steps": steps })).await;
        assert_eq!((status, job["state"].as_str()), (202, Some("running")), "{job}");
        job["number"].as_u64().expect("a number")
    }

    async fn refused(&self, path: &str, body: &Value, code: &str) -> Value {
        let (status, problem) = self.client.json("POST", path, body).await;
        assert_eq!(problem["code"], code, "{status} {problem}");
        assert!(problem["next"].as_str().is_some_and(|next| !next.is_empty()), "{problem}");
        problem
    }

    async fn decide(&self, number: u64, verb: &str) -> Value {
        let (status, job) = self.client.post(&format!("/api/v1/jobs/{number}/{verb}")).await;
        assert_eq!(status, 200, "{job}");
        job
    }

    pub(crate) async fn ends(&self, number: u64, state: &str) -> Value {
        self.client.until(&format!("/api/v1/jobs/{number}"), state, |job| job["state"] == state).await
    }

    /// Numbers and names of the transactions that a job made, oldest first; each says so.
    async fn made(&self, number: u64) -> Vec<(String, u64)> {
        let all = self.client.get("/api/v1/transactions?limit=200").await;
        let of = |tx: &&Value| tx["job"].as_u64() == Some(number);
        let mut made: Vec<(String, u64)> = Vec::new();
        for tx in all.as_array().expect("a list").iter().rev().filter(of) {
            let cause = tx["cause"].as_str().unwrap_or_default();
            let undoes = tx["undoes"].as_u64().unwrap_or_default();
            let expected =
                if undoes > 0 { format!("job {number}: undo of {undoes}") } else { format!("job {number}") };
            assert_eq!(cause, expected, "{tx}");
            made.push((tx["name"].as_str().unwrap_or_default().to_string(), undoes));
        }
        made
    }
}

fn step(action: &str, names: &[&str]) -> Value {
    json!({ "action": action, "names": names })
}

pub(crate) fn states(job: &Value) -> Vec<&str> {
    job["steps"].as_array().expect("steps").iter().filter_map(|step| step["state"].as_str()).collect()
}

fn names(made: &[(String, u64)]) -> Vec<&str> {
    made.iter().map(|(name, _)| name.as_str()).collect()
}

/// Kills the appliance where the node has heard of a step and not followed, and again right after it followed.
async fn kill_around(rack: &mut Rack, wishes: &[&str], starts_and_stops: usize) {
    let whole = rack.machines[0].wishes().len() + wishes.len();
    rack.machines[0].until(wishes.last().expect("one"), |hands| hands.wishes.len() >= whole).await;
    let heard = rack.machines[0].wishes();
    assert_eq!(heard[whole - wishes.len()..], *wishes, "{heard:?}");
    rack.kill().await;
    rack.machines[0].hands().permits = starts_and_stops;
    rack.machines[0].until("it follows", |hands| hands.permits == 0).await;
    rack.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_killed_around_each_of_its_steps_does_each_of_them_once() {
    let mut rack = Rack::new(1).await;
    for (name, runs) in [("a", true), ("b", false), ("c", true)] {
        rack.server(0, name, runs).await;
    }
    rack.forget_wishes();
    rack.machines[0].hands().permits = 0;
    let made = json!({"name": "d", "vcpus": 1, "memory_mib": 64, "kernel": rack.kernel});
    let number = rack
        .job(json!([
            step("vs stop", &["a"]),
            {"action": "vs create", "create": made},
            step("vs start", &["b", "d"]),
            {"action": "vs label", "names": ["a"], "labels": {"set": {"rests": "yes"}}},
            step("vs delete", &["c"]),
            step("vs start", &["a"]),
        ]))
        .await;
    kill_around(&mut rack, &["stop a"], 1).await;
    // Making a server needs no hands: its node only hears of it, and the next step follows at once.
    kill_around(&mut rack, &["make d", "start b", "start d"], 2).await;
    kill_around(&mut rack, &["drop c"], 1).await;
    kill_around(&mut rack, &["start a"], 1).await;
    let job = rack.ends(number, "done").await;
    assert_eq!(states(&job), ["done"; 6], "{job}");
    rack.kill().await;
    assert_eq!(rack.ends(number, "done").await["steps"], job["steps"]);

    let heard = rack.machines[0].wishes();
    assert_eq!(heard, ["stop a", "make d", "start b", "start d", "drop c", "start a"]);
    let made = rack.made(number).await;
    assert_eq!(names(&made), ["vs stop", "vs create", "vs start", "vs label", "vs delete", "vs start"]);
    let instances = |name: &str| rack.machines[0].hands().held[name].instance;
    assert_eq!((instances("a"), instances("b"), instances("d")), (2, 1, 1));
    assert_eq!(rack.machines[0].state("c"), None);
    rack.state("d", "running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_and_killed_around_each_undo_ends_as_it_began() {
    let mut rack = Rack::new(1).await;
    for (name, runs) in [("a", true), ("b", false), ("c", true), ("e", false)] {
        rack.server(0, name, runs).await;
    }
    let before = rack.client.get("/api/v1/vs").await;
    rack.forget_wishes();
    let number = {
        rack.machines[0].hands().permits = 3;
        rack.job(json!([
            step("vs stop", &["a"]),
            step("vs start", &["b"]),
            step("vs delete", &["c"]),
            step("vs start", &["e"]),
        ]))
        .await
    };
    rack.machines[0].until("start e", |hands| hands.wishes.len() == 4).await;
    rack.client
        .until(&format!("/api/v1/jobs/{number}"), "at its last step", |job| {
            let waits = job["steps"][3]["waits"][0].as_str();
            states(job) == ["done", "done", "done", "running"]
                && waits.is_some_and(|wait| wait.contains("e runs"))
        })
        .await;
    let job = rack.decide(number, "cancel").await;
    assert_eq!(
        (job["state"].as_str(), job["reason"].as_str()),
        (Some("undoing"), Some("cancelled by admin"))
    );
    // What was never started needs no hands to be off.
    rack.machines[0].until("make c", |hands| hands.wishes.iter().any(|wish| wish == "make c")).await;
    kill_around_undo(&mut rack, 7, 1).await;
    kill_around_undo(&mut rack, 8, 1).await;
    kill_around_undo(&mut rack, 9, 1).await;
    let job = rack.ends(number, "undone").await;
    assert_eq!(states(&job), ["undone"; 4], "{job}");

    let heard = rack.machines[0].wishes();
    assert_eq!(heard[..4], ["stop a", "start b", "drop c", "start e"]);
    assert_eq!(heard[4..], ["stop e", "make c", "start c", "stop b", "start a"], "the last step first");
    let after = rack.client.get("/api/v1/vs").await;
    for (old, new) in before.as_array().expect("a list").iter().zip(after.as_array().expect("a list")) {
        for field in ["name", "id", "macs", "desired", "node", "kernel", "memory_mib"] {
            assert_eq!(old[field], new[field], "{field} of {}", old["name"]);
        }
    }
    for (name, state) in [("a", "running"), ("b", "stopped"), ("c", "running"), ("e", "stopped")] {
        rack.state(name, state).await;
    }
    let made = rack.made(number).await;
    assert_eq!(names(&made[..4]), ["vs stop", "vs start", "vs delete", "vs start"]);
    assert_eq!(names(&made[4..]), ["vs stop", "vs create", "vs stop", "vs start"]);
    let undone_by = |at: usize| job["steps"][at]["undone_by"].as_u64().expect("a number");
    assert!(undone_by(3) < undone_by(2) && undone_by(2) < undone_by(1) && undone_by(1) < undone_by(0));
    assert!(
        (0..4).all(|at| made[4 + at].1 == job["steps"][3 - at]["transaction"].as_u64().expect("a number"))
    );
}

/// The same around an undo: `wishes` were heard so far.
async fn kill_around_undo(rack: &mut Rack, wishes: usize, starts_and_stops: usize) {
    rack.machines[0].until("the next undo", |hands| hands.wishes.len() == wishes).await;
    rack.kill().await;
    rack.machines[0].hands().permits = starts_and_stops;
    rack.machines[0].until("it follows", |hands| hands.permits == 0).await;
    rack.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_third_step_fails_both_nodes_end_as_they_were() {
    let rack = Rack::new(2).await;
    rack.server(0, "web", true).await;
    rack.server(0, "bad", false).await;
    rack.server(1, "idle", false).await;
    rack.forget_wishes();
    rack.machines[0].hands().fails.insert("bad".into());
    let started = rack.machines[0].hands().held["web"].instance;
    let number = rack
        .job(json!([
            step("vs stop", &["web"]),
            step("vs start", &["idle"]),
            step("vs start", &["bad"]),
            step("vs delete", &["idle"]),
        ]))
        .await;
    let job = rack.ends(number, "undone").await;
    assert_eq!(states(&job), ["undone", "undone", "undone", "waiting"], "{job}");
    let reason = job["reason"].as_str().expect("a reason");
    assert!(reason.contains("step 3 (vs start bad)") && reason.contains("failed"), "{reason}");
    assert!(
        job["steps"][2]["reason"].as_str().is_some_and(|reason| reason.contains("bad is failed")),
        "{job}"
    );
    assert_eq!(rack.machines[0].wishes(), ["stop web", "start bad", "stop bad", "start web"]);
    assert_eq!(rack.machines[1].wishes(), ["start idle", "stop idle"]);
    let web = rack.machines[0].hands().held["web"].clone();
    assert_eq!((web.state, web.instance), (VsState::Running, started + 1));
    assert_eq!(rack.machines[1].state("idle"), Some(VsState::Stopped));
    for event in ["job.started", "job.failed", "job.undone"] {
        let told = rack.client.event(event).await;
        assert!(told["text"].as_str().is_some_and(|text| text.contains(&format!("job {number} "))), "{told}");
    }
}

/// A job whose first step cannot be undone: its server was deleted by hand.
async fn stuck(rack: &Rack, server: &str) -> u64 {
    rack.machines[0].hands().permits = 1;
    let number = rack.job(json!([step("vs stop", &[server]), step("vs start", &["idle"])])).await;
    let running = |job: &Value| states(job) == ["done", "running"];
    rack.client.until(&format!("/api/v1/jobs/{number}"), "step 2", running).await;
    rack.client.does("DELETE", &format!("/api/v1/vs/{server}")).await;
    rack.decide(number, "cancel").await;
    let job = rack.ends(number, "stuck").await;
    rack.machines[0].hands().permits = usize::MAX;
    assert_eq!(states(&job), ["stuck", "undone"], "{job}");
    let why = job["steps"][0]["reason"].as_str().expect("a reason");
    assert!(why.contains(&format!("deleted {server}")) && why.contains("weft tx undo"), "{why}");
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_undo_fails_waits_for_a_person_who_retries_skips_or_abandons() {
    let mut rack = Rack::new(1).await;
    for name in ["a", "b", "c"] {
        rack.server(0, name, true).await;
    }
    rack.server(0, "idle", false).await;

    // Retried once what was in the way is gone; a crash changes nothing of it.
    let number = stuck(&rack, "a").await;
    let deletion = rack.client.get("/api/v1/transactions?object=a&limit=1").await[0]["number"].as_u64();
    rack.kill().await;
    rack.ends(number, "stuck").await;
    let path = |verb: &str| format!("/api/v1/jobs/{number}/{verb}");
    rack.refused(&path("cancel"), &Value::Null, "job-not-running").await;
    rack.refused(&path("skip"), &json!({"reason": " "}), "invalid").await;
    // It still holds what it is about.
    rack.refused("/api/v1/jobs", &json!({"steps": [step("vs stop", &["idle"])]}), "job-in-the-way").await;
    rack.decide(number, "retry").await;
    rack.ends(number, "stuck").await;
    rack.client.undo(deletion.expect("a number")).await;
    rack.forget_wishes();
    rack.decide(number, "retry").await;
    let job = rack.ends(number, "undone").await;
    assert_eq!(states(&job), ["undone", "undone"]);
    assert_eq!(rack.machines[0].wishes().last().map(String::as_str), Some("start a"));
    rack.state("a", "running").await;
    rack.refused(&path("retry"), &Value::Null, "job-ended").await;

    // Skipped: the rest is undone, and the reason is kept.
    let number = stuck(&rack, "b").await;
    let (status, job) = rack
        .client
        .json("POST", &format!("/api/v1/jobs/{number}/skip"), &json!({"reason": "b was to go"}))
        .await;
    assert_eq!(status, 200, "{job}");
    let job = rack.ends(number, "undone").await;
    assert_eq!(states(&job), ["skipped", "undone"]);
    assert_eq!(job["steps"][0]["reason"], "admin: b was to go");
    assert!(job["reason"].as_str().is_some_and(|reason| reason.contains("was left as it is")), "{job}");

    // Abandoned: nothing more is done.
    let number = stuck(&rack, "c").await;
    let (status, job) = rack
        .client
        .json("POST", &format!("/api/v1/jobs/{number}/abandon"), &json!({"reason": "no time"}))
        .await;
    assert_eq!((status, job["state"].as_str()), (200, Some("abandoned")), "{job}");
    rack.kill().await;
    let job = rack.ends(number, "abandoned").await;
    assert_eq!((states(&job), job["comment"].as_str()), (vec!["stuck", "undone"], Some("admin: no time")));
    rack.refused(&format!("/api/v1/jobs/{number}/skip"), &json!({"reason": "x"}), "job-ended").await;
    // Others may have it now.
    let number = rack.job(json!([step("vs start", &["idle"])])).await;
    rack.ends(number, "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_costs_a_step_its_time_and_an_undo_waits_for_a_person() {
    let rack = Rack::new(1).await;
    rack.server(0, "web", true).await;
    rack.forget_wishes();
    rack.machines[0].hang_up();
    let path = format!("/api/v1/nodes/{}", rack.machines[0].node.id());
    rack.client.until(&path, "away", |node| node["state"] != "ready").await;
    let wanted = json!({"timeout_s": 1, "steps": [step("vs stop", &["web"])]});
    let (status, job) = rack.client.json("POST", "/api/v1/jobs", &wanted).await;
    assert_eq!(status, 202, "{job}");
    let number = job["number"].as_u64().expect("a number");
    let job = rack.ends(number, "stuck").await;
    assert!(
        job["reason"].as_str().is_some_and(|why| why.contains("not so after 1 s: node-1 is not conn")),
        "{job}"
    );
    let why = job["steps"][0]["reason"].as_str().expect("a reason");
    assert!(why.contains("its undo is not so after 1 s"), "{why}");
    rack.machines[0].dial(rack.appliance.as_ref().expect("it runs"));
    rack.client.until(&path, "back", |node| node["state"] == "ready").await;
    rack.decide(number, "retry").await;
    rack.ends(number, "undone").await;
    // It heard of the stop and of its undo at once, as a start afresh.
    assert_eq!(rack.machines[0].wishes(), ["start web"]);
    assert_eq!(rack.machines[0].state("web"), Some(VsState::Running));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_job_about_the_same_server_is_refused_and_one_about_another_is_not() {
    let rack = Rack::new(1).await;
    for name in ["a", "b"] {
        rack.server(0, name, true).await;
    }
    rack.machines[0].hands().permits = 0;
    let first = rack.job(json!([step("vs stop", &["a"])])).await;
    let body = json!({"steps": [step("vs stop", &["b"]), step("vs reset", &["a"])]});
    let problem = rack.refused("/api/v1/jobs", &body, "job-in-the-way").await;
    assert!(
        problem["title"].as_str().is_some_and(|title| title.contains(&format!("job {first} "))),
        "{problem}"
    );
    let (status, plan) = rack.client.json("POST", "/api/v1/jobs?dry_run=true", &body).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("conflict")), "{plan}");
    let second = rack.job(json!([step("vs stop", &["b"])])).await;
    rack.machines[0].hands().permits = usize::MAX;
    rack.ends(first, "done").await;
    rack.ends(second, "done").await;
    // What is so already is waited for, and makes no transaction.
    let third = rack.job(json!([step("vs stop", &["a", "b"])])).await;
    let job = rack.ends(third, "done").await;
    assert_eq!(job["steps"][0]["transaction"], 0);
    assert!(rack.made(third).await.is_empty());
    let missing = json!({"steps": [step("vs stop", &["gone"])]});
    rack.refused("/api/v1/jobs", &missing, "vs-not-found").await;
    rack.refused("/api/v1/jobs", &json!({"steps": [], "step": 1}), "bad-request").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_approved_and_forgotten_in_a_job() {
    let rack = Rack::new(1).await;
    let node = &rack.machines[0].node;
    let number = rack.job(json!([step("node forget", &["node-1"])])).await;
    rack.ends(number, "done").await;
    let id = node.id().to_string();
    let waits = |all: &Value| {
        all.as_array().is_some_and(|all| {
            all.iter().any(|node| node["id"] == id.as_str() && node["state"] == "quarantined")
        })
    };
    rack.client.until("/api/v1/nodes", "it is back and waits", waits).await;
    let approve = |fingerprint: &str| json!({"steps": [{"action": "node approve", "names": [id], "fingerprints": [fingerprint]}]});
    rack.refused("/api/v1/jobs", &approve("0000-0000-0000-0000"), "job-refused").await;
    let (status, job) = rack.client.json("POST", "/api/v1/jobs", &approve(&node.fingerprint())).await;
    assert_eq!(status, 202, "{job}");
    rack.ends(job["number"].as_u64().expect("a number"), "done").await;
    assert_eq!(rack.client.node(node).await["state"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_plans_runs_watches_and_cancels() {
    let rack = Rack::new(1).await;
    rack.server(0, "web", true).await;
    rack.forget_wishes();
    let token = rack.folder.path().join("token");
    std::fs::write(&token, &rack.client.token).expect("written");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("set");
    let socket = rack.appliance.as_ref().expect("it runs").data.join("api.sock");
    let weft = |args: &[&str]| {
        let mut command = Command::new(WEFT);
        command.args(args).env("WEFT_URL", format!("unix:{}", socket.display()));
        let done = command.env("WEFT_TOKEN_FILE", &token).output().expect("weft runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let file = rack.folder.path().join("night.yaml");
    let steps = format!(
        "name: nightly\nsteps:\n  - action: vs stop\n    names: [web]\n  - action: vs create\n    create: {{name: batch, \
         vcpus: 1, memory_mib: 64, kernel: {}}}\n  - action: vs start\n    names: [batch]\n",
        rack.kernel
    );
    std::fs::write(&file, steps).expect("written");
    let file = file.to_str().expect("text");
    let transactions = rack.client.newest().await;
    let (code, out, err) = weft(&["job", "run", "-f", file, "--dry-run"]);
    assert!(code == Some(0) && err.contains("nothing was changed"), "{out}{err}");
    for line in ["step 1", "node-1 powers web off", "node-1 creates batch", "step 3", "node-1 starts batch"] {
        assert!(out.contains(line), "{line}: {out}");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(rack.machines[0].wishes().is_empty() && rack.client.newest().await == transactions);
    assert_eq!(rack.client.get("/api/v1/jobs").await, json!([]));

    let (code, out, err) = weft(&["job", "run", "-f", file, "--wait"]);
    assert!(code == Some(0) && out.contains("3 of 3 steps done"), "{out}{err}");
    assert_eq!(rack.machines[0].wishes(), ["stop web", "make batch", "start batch"]);
    let (_, out, _) = weft(&["job", "show", "1", "-o", "json"]);
    let job: Value = serde_json::from_str(&out).expect("JSON");
    let number = job["steps"][2]["transaction"].to_string();
    let (_, out, _) = weft(&["tx", "show", &number]);
    assert!(out.lines().any(|line| line.split_whitespace().eq(["job", "1"])), "{out}");
    let (_, out, _) = weft(&["job", "list"]);
    assert!(out.contains("nightly") && out.contains("done") && out.contains("3/3"), "{out}");

    rack.machines[0].hands().permits = 0;
    std::fs::write(file, "steps: [{action: vs start, names: [web]}]").expect("written");
    let (code, _, err) = weft(&["job", "run", "-f", file, "--no-wait"]);
    assert!(code == Some(0) && err.contains("weft job cancel 2"), "{err}");
    rack.machines[0].until("start web", |hands| hands.wishes.len() == 4).await;
    assert_eq!(weft(&["job", "cancel", "2"]).0, Some(0));
    let (code, out, err) = weft(&["job", "watch", "2"]);
    assert!(code == Some(4) && out.contains("undone") && err.contains("cancelled by admin"), "{out}{err}");
    assert_eq!(weft(&["job", "watch", "9"]).0, Some(3));
    assert_eq!(weft(&["job", "skip", "2", "--reason", "x"]).0, Some(4));
    std::fs::write(file, "steps: [{action: vs start, name: [web]}]").expect("written");
    assert_eq!(weft(&["job", "run", "-f", file]).0, Some(2));
}
