//! Data centers, virtual mainframes and frames; moves of nodes between them, and of stopped servers between nodes; and
//! the map of it all. What counts is what nodes hear, and that what may not be is refused in words that name it.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_server::simnode::{SimNode, SimSession};
use weft_wire::agent::VsState;
use weft_wire::record::Desired;

use crate::common::{Appliance, Client, WEFT, sim};
use crate::rights::{account, policy};
use crate::transactions::quiet;

/// Two approved nodes that are here, frames `rack-1` and `rack-2` of mainframe `m1` in data center `north`, and the
/// digest of a kernel.
struct Hall {
    folder: TempDir,
    appliance: Appliance,
    client: Client,
    nodes: [SimNode; 2],
    sessions: [SimSession; 2],
    kernel: Value,
}

impl Client {
    pub(crate) async fn makes_container(&self, kind: &str, name: &str, parent: &str) -> Value {
        let (status, made) =
            self.json("POST", &format!("/api/v1/{kind}s"), &json!({"name": name, "parent": parent})).await;
        assert_eq!((status, &made["kind"]), (201, &json!(kind)), "{made}");
        made
    }

    /// Moves nodes; the answer.
    async fn moves(&self, names: &[&str], frame: &str) -> (u16, Value) {
        let body = json!({"select": {"names": names}, "frame": frame, "free": frame.is_empty()});
        self.json("POST", "/api/v1/groups/nodes/move", &body).await
    }

    async fn moves_vs(&self, name: &str, node: &str) -> (u16, Value) {
        self.json("POST", &format!("/api/v1/vs/{name}/move"), &json!({"node": node})).await
    }

    async fn frame_of(&self, node: &str) -> String {
        self.get(&format!("/api/v1/nodes/{node}")).await["frame"].as_str().expect("a frame").to_string()
    }

    /// What is said of one target of an object.
    pub(crate) async fn target(&self, kind: &str, name: &str, target: &str) -> Value {
        let all = self.get(&format!("/api/v1/topology/targets?kind={kind}&name={name}")).await;
        let list = all["targets"].as_array().expect("a list").clone();
        list.into_iter().find(|one| one["name"] == target).unwrap_or_else(|| panic!("no {target} in {all}"))
    }
}

async fn hall() -> Hall {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let nodes = [sim(1, &file), sim(2, &file)];
    let mut sessions = [appliance.connect(&nodes[0]).await, appliance.connect(&nodes[1]).await];
    for (node, session) in nodes.iter().zip(&mut sessions) {
        client.approve(node).await;
        session.next_config().await.expect("approved");
    }
    client.makes_container("datacenter", "north", "").await;
    client.makes_container("mainframe", "m1", "north").await;
    client.makes_container("frame", "rack-1", "m1").await;
    client.makes_container("frame", "rack-2", "m1").await;
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    Hall { folder, appliance, client, nodes, sessions, kernel: blob["digest"].clone() }
}

fn says(problem: &Value, words: &[&str]) {
    let text = format!("{} {}", problem["title"], problem["next"]);
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} not all in {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_move_into_frames_and_back_without_hearing_of_it_and_after_kill_9() {
    let Hall { folder, appliance, client, sessions: [mut first, mut second], .. } = hall().await;
    assert_eq!(client.frame_of("node-1").await, "", "an approved node is in the free pool");
    let before = client.newest().await;
    let body = json!({"select": {"names": ["node-1", "node-2"]}, "frame": "rack-1"});
    let (status, plan) = client.json("POST", "/api/v1/groups/nodes/move?dry_run=true", &body).await;
    assert_eq!(
        (status, &plan["state"], &plan["undo"]),
        (200, &json!("planned"), &json!("reversible")),
        "{plan}"
    );
    let effect = plan["effects"][0].as_str().expect("an effect");
    assert!(effect.contains("node-1 moves from the free pool to frame rack-1"), "{effect}");
    assert_eq!((client.newest().await, client.frame_of("node-1").await), (before, String::new()));

    let (status, plan) = client.moves(&["node-1", "node-2"], "rack-1").await;
    assert_eq!((status, &plan["transaction"]), (200, &json!(before + 1)), "{plan}");
    let frame = client.get("/api/v1/frames/rack-1").await;
    assert_eq!(
        (&frame["children"], &frame["state"]),
        (&json!(["node-1", "node-2"]), &json!("in-use")),
        "{frame}"
    );
    quiet(&mut first).await;
    quiet(&mut second).await;

    // A later move of one of them is in the way; once that is undone it is not.
    let (status, _) = client.moves(&["node-2"], "rack-2").await;
    assert_eq!(status, 200);
    let (code, title) = client.undo_refused(before + 1).await;
    assert!(code == "undo-conflict" && title.contains("frame"), "{code} {title}");
    client.undo(before + 2).await;
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    assert_eq!(client.frame_of("node-2").await, "rack-1");
    client.undo(before + 1).await;
    assert_eq!(
        (client.frame_of("node-1").await, client.frame_of("node-2").await),
        (String::new(), String::new())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_something_stays_and_what_is_deleted_comes_back_by_undo() {
    let Hall { client, appliance: _running, folder: _kept, nodes, sessions, .. } = hall().await;
    client.moves(&["node-1"], "rack-1").await;
    for (path, words) in [
        ("/api/v1/frames/rack-1", ["node-1", "weft node move node-1 --free"]),
        ("/api/v1/mainframes/m1", ["rack-1", "weft frame delete rack-1"]),
        ("/api/v1/datacenters/north", ["m1", "weft mainframe delete m1"]),
    ] {
        let (status, problem) = client.send("DELETE", path, Vec::new()).await;
        assert_eq!((status, &problem["code"]), (409, &json!("in-use")), "{problem}");
        says(&problem, &words);
        let (status, dry) = client.send("DELETE", &format!("{path}?dry_run=true"), Vec::new()).await;
        assert_eq!((status, &dry["title"]), (409, &problem["title"]), "a dry run says the same");
    }
    for (kind, body, status, code) in [
        ("frame", json!({"name": "rack-1", "parent": "m1"}), 409, "taken"),
        ("frame", json!({"name": "r", "parent": "moon"}), 404, "mainframe-not-found"),
        ("frame", json!({"name": "r"}), 422, "invalid"),
        ("datacenter", json!({"name": "r", "parent": "north"}), 422, "invalid"),
        ("mainframe", json!({"name": "a b", "parent": "north"}), 422, "invalid"),
    ] {
        let (got, problem) = client.json("POST", &format!("/api/v1/{kind}s"), &body).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{body}: {problem}");
    }

    // Renamed, labelled, moved; what was made of an older look is refused.
    let edit = |body: Value| {
        let client = client.clone();
        async move { client.json("POST", "/api/v1/frames/rack-2/edit", &body).await }
    };
    client.makes_container("mainframe", "m2", "north").await;
    let (status, problem) = edit(json!({"name": "rack-9", "generation": 7})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("changed-meanwhile")), "{problem}");
    let (status, _) =
        edit(json!({"name": "rack-9", "parent": "m2", "labels": {"set": {"row": "b"}}, "generation": 1}))
            .await;
    assert_eq!(status, 204);
    let renamed = client.newest().await;
    let frame = client.get("/api/v1/frames/rack-9").await;
    assert_eq!((&frame["parent"], &frame["labels"]["row"]), (&json!("m2"), &json!("b")), "{frame}");

    // A frame that is gone is in the way of the undo of a move out of it; its own undo gives it back as it was.
    client.moves(&["node-2"], "rack-9").await;
    client.moves(&["node-2"], "").await;
    let out = client.newest().await;
    client.does("DELETE", "/api/v1/frames/rack-9").await;
    let gone = client.newest().await;
    let plan = client.undo_plan(out).await;
    assert_eq!(plan["state"], "conflict", "{plan}");
    assert!(plan["conflicts"][0]["text"].as_str().is_some_and(|text| text.contains("node-2")), "{plan}");
    client.undo(gone).await;
    assert_eq!(client.get("/api/v1/frames/rack-9").await["id"], frame["id"]);
    client.undo(out).await;
    assert_eq!(client.frame_of("node-2").await, "rack-9");
    client.undo(renamed).await;
    let frame = client.get("/api/v1/frames/rack-2").await;
    assert_eq!((&frame["parent"], &frame["children"]), (&json!("m1"), &json!(["node-2"])), "{frame}");

    // What is forgotten comes back where it stood.
    client.does("DELETE", "/api/v1/nodes/node-1").await;
    let forgotten = client.newest().await;
    client.undo(forgotten).await;
    assert_eq!(client.frame_of(&nodes[0].id().to_string()).await, "rack-1");
    drop(sessions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_stands_in_one_frame_and_its_members_move_together() {
    let Hall { client, appliance: _running, folder: _kept, sessions: _here, .. } = hall().await;
    client.moves(&["node-1"], "rack-1").await;
    let wanted = json!({"name": "p1", "nodes": ["node-1", "node-2"]});
    let (status, problem) = client.json("POST", "/api/v1/partitions", &wanted).await;
    assert_eq!((status, &problem["code"]), (409, &json!("partition-in-two-frames")), "{problem}");
    says(&problem, &["node-1 stands in frame rack-1", "node-2 in the free pool"]);
    assert_eq!(client.target("node", "node-1", "new").await["state"], "legal");
    client.moves(&["node-2"], "rack-1").await;
    let moved = client.newest().await;
    let (status, made) = client.json("POST", "/api/v1/partitions", &wanted).await;
    assert_eq!(status, 201, "{made}");

    // One alone may not leave: by the call, by its dry run, by the targets, and by undo, in the same words.
    let (status, problem) = client.moves(&["node-2"], "").await;
    assert_eq!(status, 409);
    says(
        &problem,
        &[
            "node-2 is a member of partition p1",
            "node-1",
            "frame rack-1",
            "weft node move node-1 node-2 --free",
        ],
    );
    let target = client.target("node", "node-2", "free").await;
    assert_eq!(target["state"], "refused");
    assert!(
        problem["title"].as_str().expect("a title").contains(target["reason"].as_str().expect("a reason"))
    );
    assert_eq!(client.target("node", "node-2", "rack-1").await["state"], "here");
    let fixed = client.target("node", "node-2", "new").await;
    assert!(fixed["reason"].as_str().is_some_and(|why| why.contains("p1")), "{fixed}");
    let (_, title) = client.undo_refused(moved).await;
    assert!(title.contains("p1") && title.contains("rack-1"), "{title}");

    assert_eq!(client.target("partition", "p1", "rack-2").await["state"], "legal");
    let (status, plan) = client.moves(&["node-1", "node-2"], "rack-2").await;
    assert_eq!(status, 200, "{plan}");
    client.undo(client.newest().await).await;
    assert_eq!(client.frame_of("node-2").await, "rack-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_moves_and_both_nodes_hear_of_it_and_one_that_may_run_stays() {
    let Hall {
        client, sessions: [mut first, mut second], kernel, appliance: _running, folder: _kept, ..
    } = hall().await;
    let wanted = json!({"name": "web", "node": "node-1", "vcpus": 1, "memory_mib": 256, "kernel": kernel});
    let (status, made) = client.json("POST", "/api/v1/vs", &wanted).await;
    assert_eq!(status, 201, "{made}");
    let spec = first.next_config().await.expect("created").servers.remove(0);
    client.does("POST", "/api/v1/vs/web/start").await;
    let run = first.next_config().await.expect("started").servers.remove(0);
    assert_eq!(run.desired, Desired::Running);
    let (status, problem) = client.moves_vs("web", "node-2").await;
    assert_eq!((status, &problem["code"]), (409, &json!("vs-running")), "{problem}");
    says(&problem, &["web", "node-1", "weft vs stop web"]);
    first.status(run.id, run.generation, run.instance, VsState::Running).await.expect("said");
    client.until("/api/v1/vs/web", "running", |vs| vs["state"] == "running").await;

    // Stopped by intent, and its node has not said yet that it is.
    client.does("POST", "/api/v1/vs/web/stop").await;
    let stop = first.next_config().await.expect("stopped").servers.remove(0);
    let (status, problem) = client.moves_vs("web", "node-2").await;
    assert_eq!((status, &problem["code"]), (409, &json!("vs-may-run")), "{problem}");
    let target = client.target("vs", "web", "node-2").await;
    assert_eq!((&target["state"], &target["reason"]), (&json!("refused"), &problem["title"]));
    first.status(stop.id, stop.generation, stop.instance, VsState::Stopped).await.expect("said");
    client.until("/api/v1/vs/web", "stopped", |vs| vs["state"] == "stopped").await;
    assert_eq!(client.target("vs", "web", "node-2").await["state"], "legal");
    assert_eq!(client.target("vs", "web", "node-1").await["state"], "here");

    let (status, plan) =
        client.json("POST", "/api/v1/vs/web/move?dry_run=true", &json!({"node": "node-2"})).await;
    assert_eq!((status, plan["effects"].as_array().map(Vec::len)), (200, Some(2)), "{plan}");
    quiet(&mut first).await;
    let (status, reply) = client.moves_vs("web", "node-2").await;
    assert_eq!(status, 204, "{reply}");
    let moved = client.newest().await;
    assert_eq!(first.next_config().await.expect("given up").servers, []);
    let there = second.next_config().await.expect("taken").servers.remove(0);
    assert_eq!((there.id, &there.macs, there.desired), (spec.id, &spec.macs, Desired::Stopped));
    assert!(there.generation > stop.generation);

    // Undone while it runs there: refused. Once it is stopped there it goes back, and runs where it was.
    client.does("POST", "/api/v1/vs/web/start").await;
    let on = second.next_config().await.expect("started").servers.remove(0);
    second.status(on.id, on.generation, on.instance, VsState::Running).await.expect("said");
    client.until("/api/v1/vs/web", "running", |vs| vs["state"] == "running").await;
    let (_, title) = client.undo_refused(moved).await;
    assert!(title.contains("web is to run on node-2"), "{title}");
    client.undo(client.newest().await).await;
    let off = second.next_config().await.expect("off").servers.remove(0);
    second.status(off.id, off.generation, off.instance, VsState::Stopped).await.expect("said");
    client.until("/api/v1/vs/web", "stopped", |vs| vs["state"] == "stopped").await;
    client.undo(moved).await;
    assert_eq!(second.next_config().await.expect("given up").servers, []);
    assert_eq!(first.next_config().await.expect("taken").servers.remove(0).id, spec.id);

    let (status, problem) = client.moves_vs("web", "moon").await;
    assert_eq!((status, &problem["code"]), (404, &json!("node-not-found")), "{problem}");
    let big = json!({"name": "big", "node": "node-2", "vcpus": 1, "memory_mib": 1900, "kernel": kernel});
    let (status, _) = client.json("POST", "/api/v1/vs", &big).await;
    assert_eq!(status, 201);
    let target = client.target("vs", "web", "node-2").await;
    assert!(target["reason"].as_str().is_some_and(|why| why.contains("MiB free")), "{target}");
}

/// Servers `red` and `blue` on node-1, which stands in rack-1.
async fn coloured(client: &Client, kernel: &Value) {
    client.moves(&["node-1"], "rack-1").await;
    for (name, team) in [("red", "red"), ("blue", "blue")] {
        let wanted = json!({"name": name, "node": "node-1", "vcpus": 2, "memory_mib": 128, "kernel": kernel,
            "labels": {"team": team}});
        let (status, made) = client.json("POST", "/api/v1/vs", &wanted).await;
        assert_eq!(status, 201, "{made}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topology_goes_both_ways_and_has_nothing_that_one_may_not_see() {
    let Hall { client, appliance: _running, folder: _kept, sessions: _here, kernel, .. } = hall().await;
    coloured(&client, &kernel).await;
    let all = client.get("/api/v1/topology").await;
    let by = |list: &str, name: &str| {
        let found = all[list].as_array().expect("a list").iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {all}")).clone()
    };
    let (node, frame, red) = (by("nodes", "node-1"), by("frames", "rack-1"), by("servers", "red"));
    assert_eq!((&node["frame"], &frame["parent"]), (&frame["id"], &by("mainframes", "m1")["id"]));
    assert_eq!((&node["cpus"], node["nics"].as_array().map(Vec::len)), (&json!(2), Some(1)), "{node}");
    assert_eq!(red["places"], json!([{"node": node["id"], "first_vcpu": 0, "vcpus": 2, "memory_mib": 128}]));
    let on: Vec<&Value> =
        node["servers"].as_array().expect("a list").iter().map(|one| &one["server"]).collect();
    assert!(on.len() == 2 && on.contains(&&red["id"]), "{node}");
    assert_eq!(by("nodes", "node-2")["frame"], "", "in the free pool");

    // Who sees the red ones and nodes: nothing of the blue one, nor of the frame.
    let seer = account(&client, "seer", "none").await;
    policy(
        &client,
        "seer",
        "permit (principal == Account::\"seer\", action == Action::\"view\", resource is Node);
         permit (principal == Account::\"seer\", action == Action::\"view\", resource is Vs)
         when { resource.hasTag(\"team\") && resource.getTag(\"team\") == \"red\" };",
    )
    .await;
    let seen = seer.get("/api/v1/topology").await;
    let text = seen.to_string();
    assert!(text.contains("\"red\"") && !text.contains("blue") && !text.contains("rack-1"), "{text}");
    assert_eq!(
        seen["nodes"][0]["frame"], node["frame"],
        "that it stands in some frame is told by its id alone"
    );
    let (status, problem) = seer.send("GET", "/api/v1/topology/targets?kind=vs&name=blue", Vec::new()).await;
    assert_eq!((status, &problem["code"]), (404, &json!("vs-not-found")), "{problem}");
    let target = seer.target("vs", "red", "node-2").await;
    assert!(
        target["reason"].as_str().is_some_and(|why| why.contains("seer (none) may not move")),
        "{target}"
    );
    let (status, problem) = seer.moves(&["node-2"], "").await;
    assert_eq!((status, &problem["code"]), (403, &json!("not-allowed")), "{problem}");
    let (status, _) = client.send("GET", "/api/v1/topology/targets?kind=pool&name=x", Vec::new()).await;
    assert_eq!(status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topology_is_told_as_earlier_transactions_left_it() {
    let Hall { client, appliance: _running, folder: _kept, sessions: _here, kernel, .. } = hall().await;
    coloured(&client, &kernel).await;
    let all = client.get("/api/v1/topology").await;
    let node = all["nodes"][0].clone();
    let now = all["transaction"].as_u64().expect("a number");
    let at = async |number: u64| client.get(&format!("/api/v1/topology?at={number}")).await;
    let moved = now - 2;
    assert_eq!(at(moved).await["servers"], json!([]));
    assert_eq!(at(moved).await["nodes"][0]["frame"], node["frame"]);
    assert_eq!(
        (&at(moved - 1).await["nodes"][0]["frame"], &at(moved - 1).await["frames"][0]["name"]),
        (&json!(""), &json!("rack-1"))
    );
    assert_eq!((&at(0).await["nodes"], &at(0).await["frames"]), (&json!([]), &json!([])));
    let then = at(now).await;
    assert_eq!((&then["servers"], &then["frames"]), (&all["servers"], &all["frames"]));
    let (status, problem) = client.send("GET", "/api/v1/topology?at=999999", Vec::new()).await;
    assert_eq!((status, &problem["code"]), (404, &json!("transaction-not-found")), "{problem}");
    let seer = account(&client, "seer", "none").await;
    policy(
        &client,
        "seer",
        "permit (principal == Account::\"seer\", action == Action::\"view\", resource is Node);",
    )
    .await;
    let (status, _) = seer.send("GET", &format!("/api/v1/topology?at={now}"), Vec::new()).await;
    assert_eq!(status, 403, "who may not see history sees no earlier map");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_and_moves_what_stands_where() {
    let Hall { client, appliance, folder, sessions: _here, kernel, .. } = hall().await;
    coloured(&client, &kernel).await;
    let token = folder.path().join("token");
    std::fs::write(&token, &client.token).expect("written");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("private");
    let url = format!("unix:{}", appliance.data.join("api.sock").display());
    let weft = async |words: &[&str]| -> (bool, String) {
        let mut command = Command::new(WEFT);
        command.args(words).arg("--url").arg(&url).arg("--token-file").arg(&token);
        let done =
            tokio::task::spawn_blocking(move || command.output()).await.expect("ran").expect("weft runs");
        let text = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    for (words, has) in [
        (
            &["topology"][..],
            &["data center north", "frame rack-1", "vs blue", "free pool", "node node-2"][..],
        ),
        (
            &["topology", "--vs", "red"],
            &["vCPUs 0 to 1, 128 MiB on node node-1", "in frame rack-1, mainframe m1"],
        ),
        (&["topology", "--node", "node-1"], &["in frame rack-1", "vs red", "vs blue"]),
        (&["frame", "list"], &["rack-1", "in-use", "node-1"]),
        (&["node", "move", "node-2", "--frame", "rack-2", "--dry-run"], &["node-2 moves from the free pool"]),
        (&["node", "move", "node-2", "--frame", "rack-2"], &["weft tx undo"]),
        (&["vs", "move", "red", "--node", "node-2"], &["red lies on node-2"]),
        (&["frame", "create", "rack-3", "--mainframe", "m1", "--label", "row=a"], &["rack-3", "row=a"]),
        (&["frame", "label", "rack-3", "row=b"], &["row=b"]),
        (&["frame", "edit", "rack-3", "--name", "rack-4"], &["rack-4"]),
        (&["frame", "delete", "rack-4", "--yes"], &["rack-4 is deleted"]),
        (&["mainframe", "show", "m1"], &["rack-1", "rack-2"]),
    ] {
        let (good, text) = weft(words).await;
        assert!(good && has.iter().all(|part| text.contains(part)), "weft {words:?}: {text}");
    }
    let (good, text) = weft(&["frame", "delete", "rack-1", "--yes"]).await;
    assert!(!good && text.contains("node-1"), "{text}");
    let (good, _) = weft(&["node", "move", "node-2", "--frame", "rack-2", "--free"]).await;
    assert!(!good, "two places at once are wrong use");
}
