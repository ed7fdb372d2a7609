//! Who may do what: every route for every role, and what nodes hear where somebody may do a part.

use std::time::Duration;

use http_body_util::Full;
use serde_json::{Value, json};
use weft_server::simnode::SimSession;

use crate::common::{Appliance, Client, sim};
use crate::transactions::quiet;

/// Method, path, roles that are not refused: viewer, operator, auditor (`u`), administrator, none.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    ("get",    "/healthz",                           "vouan"),
    ("get",    "/readyz",                            "vouan"),
    ("get",    "/metrics",                           "voua"),
    ("get",    "/api/v1/openapi.json",               "vouan"),
    ("post",   "/api/v1/login",                      "vouan"),
    ("post",   "/api/v1/logout",                     "vouan"),
    ("post",   "/api/v1/password",                   "vouan"),
    ("get",    "/api/v1/auth/can-i",                 "vouan"),
    ("post",   "/api/v1/auth/can-i",                 "vouan"),
    ("get",    "/api/v1/auth/schema",                "vouan"),
    ("get",    "/api/v1/auth/policies",              "ua"),
    ("post",   "/api/v1/auth/policies",              "a"),
    ("get",    "/api/v1/auth/policies/{name}",       "ua"),
    ("delete", "/api/v1/auth/policies/{name}",       "a"),
    // One's own is there for everybody.
    ("get",    "/api/v1/accounts",                   "vouan"),
    ("post",   "/api/v1/accounts",                   "a"),
    ("get",    "/api/v1/accounts/{name}",            "vouan"),
    ("delete", "/api/v1/accounts/{name}",            "a"),
    ("post",   "/api/v1/accounts/{name}/role",       "a"),
    ("post",   "/api/v1/accounts/{name}/password",   "a"),
    ("get",    "/api/v1/sessions",                   "vouan"),
    ("delete", "/api/v1/sessions/{name}",            "vouan"),
    ("get",    "/api/v1/tokens",                     "vouan"),
    ("post",   "/api/v1/tokens",                     "vouan"),
    ("delete", "/api/v1/tokens/{name}",              "vouan"),
    ("get",    "/api/v1/nodes",                      "voua"),
    ("get",    "/api/v1/nodes/{name}",               "voua"),
    ("delete", "/api/v1/nodes/{name}",               "a"),
    ("post",   "/api/v1/nodes/{name}/approve",       "a"),
    ("post",   "/api/v1/nodes/{name}/reboot",        "oa"),
    ("post",   "/api/v1/nodes/{name}/push",          "oa"),
    ("get",    "/api/v1/nodes/{name}/log",           "voua"),
    ("get",    "/api/v1/nodes/{name}/series",        "voua"),
    ("post",   "/api/v1/nodes/{name}/labels",        "oa"),
    ("get",    "/api/v1/nodes/{name}/bmc",           "voua"),
    ("put",    "/api/v1/nodes/{name}/bmc",           "a"),
    ("delete", "/api/v1/nodes/{name}/bmc",           "a"),
    ("get",    "/api/v1/nodes/{name}/power",         "oa"),
    ("post",   "/api/v1/groups/nodes/power",         "oa"),
    ("get",    "/api/v1/partitions",                 "voua"),
    ("post",   "/api/v1/partitions",                 "oa"),
    ("get",    "/api/v1/partitions/{name}",          "voua"),
    ("get",    "/api/v1/partitions/{name}/series",   "voua"),
    ("delete", "/api/v1/partitions/{name}",          "oa"),
    ("get",    "/api/v1/datacenters",                "voua"),
    ("post",   "/api/v1/datacenters",                "oa"),
    ("get",    "/api/v1/datacenters/{name}",         "voua"),
    ("delete", "/api/v1/datacenters/{name}",         "oa"),
    ("post",   "/api/v1/datacenters/{name}/edit",    "oa"),
    ("get",    "/api/v1/mainframes",                 "voua"),
    ("post",   "/api/v1/mainframes",                 "oa"),
    ("get",    "/api/v1/mainframes/{name}",          "voua"),
    ("delete", "/api/v1/mainframes/{name}",          "oa"),
    ("post",   "/api/v1/mainframes/{name}/edit",     "oa"),
    ("get",    "/api/v1/frames",                     "voua"),
    ("post",   "/api/v1/frames",                     "oa"),
    ("get",    "/api/v1/frames/{name}",              "voua"),
    ("delete", "/api/v1/frames/{name}",              "oa"),
    ("post",   "/api/v1/frames/{name}/edit",         "oa"),
    ("get",    "/api/v1/switches",                   "voua"),
    ("post",   "/api/v1/switches",                   "oa"),
    ("get",    "/api/v1/switches/{name}",            "voua"),
    ("delete", "/api/v1/switches/{name}",            "oa"),
    ("post",   "/api/v1/switches/{name}/edit",       "oa"),
    ("get",    "/api/v1/gateways",                   "voua"),
    ("post",   "/api/v1/gateways",                   "oa"),
    ("get",    "/api/v1/gateways/{name}",            "voua"),
    ("delete", "/api/v1/gateways/{name}",            "oa"),
    ("post",   "/api/v1/gateways/{name}/edit",       "oa"),
    ("get",    "/api/v1/ports",                      "voua"),
    ("post",   "/api/v1/ports",                      "oa"),
    ("get",    "/api/v1/ports/{name}",               "voua"),
    ("delete", "/api/v1/ports/{name}",               "oa"),
    ("post",   "/api/v1/ports/{name}/edit",          "oa"),
    ("get",    "/api/v1/vnics",                      "voua"),
    ("post",   "/api/v1/vnics",                      "oa"),
    ("get",    "/api/v1/vnics/{name}",               "voua"),
    ("delete", "/api/v1/vnics/{name}",               "oa"),
    ("post",   "/api/v1/vnics/{name}/edit",          "oa"),
    ("get",    "/api/v1/vhbas",                      "voua"),
    ("post",   "/api/v1/vhbas",                      "oa"),
    ("get",    "/api/v1/vhbas/{name}",               "voua"),
    ("delete", "/api/v1/vhbas/{name}",               "oa"),
    ("post",   "/api/v1/vhbas/{name}/edit",          "oa"),
    ("get",    "/api/v1/nics",                       "voua"),
    // What is done with each object is looked at object by object.
    ("get",    "/api/v1/manifest",                   "voua"),
    ("post",   "/api/v1/manifest",                   "voua"),
    ("get",    "/api/v1/topology",                   "voua"),
    ("get",    "/api/v1/topology/targets",           "voua"),
    ("post",   "/api/v1/groups/nodes/move",          "oa"),
    ("post",   "/api/v1/vs/{name}/move",             "oa"),
    ("post",   "/api/v1/operators",                  "a"),
    ("get",    "/api/v1/vs",                         "voua"),
    ("post",   "/api/v1/vs",                         "oa"),
    ("get",    "/api/v1/vs/{name}",                  "voua"),
    ("delete", "/api/v1/vs/{name}",                  "oa"),
    ("patch",  "/api/v1/vs/{name}",                  "oa"),
    ("get",    "/api/v1/vs/{name}/span",             "voua"),
    ("get",    "/api/v1/vs/{name}/series",           "voua"),
    ("post",   "/api/v1/vs/{name}/copy",             "oa"),
    ("post",   "/api/v1/vs/{name}/start",            "oa"),
    ("post",   "/api/v1/vs/{name}/stop",             "oa"),
    ("post",   "/api/v1/vs/{name}/reset",            "oa"),
    ("post",   "/api/v1/vs/{name}/labels",           "oa"),
    ("get",    "/api/v1/vs/{name}/console",          "oa"),
    ("get",    "/api/v1/load/nodes",                 "voua"),
    ("get",    "/api/v1/load/vs",                    "voua"),
    // What is done with each is looked at object by object.
    ("post",   "/api/v1/groups/vs",                  "voua"),
    ("post",   "/api/v1/groups/nodes",               "voua"),
    ("post",   "/api/v1/groups/vs/create",           "oa"),
    ("post",   "/api/v1/groups/vs/move",             "oa"),
    ("post",   "/api/v1/groups/vs/labels",           "oa"),
    ("post",   "/api/v1/groups/nodes/labels",        "oa"),
    ("get",    "/api/v1/templates",                  "voua"),
    ("post",   "/api/v1/templates",                  "oa"),
    ("get",    "/api/v1/templates/{name}",           "voua"),
    ("delete", "/api/v1/templates/{name}",           "oa"),
    ("post",   "/api/v1/templates/{name}/labels",    "oa"),
    ("get",    "/api/v1/pools",                      "voua"),
    ("post",   "/api/v1/pools",                      "a"),
    ("get",    "/api/v1/pools/{name}",               "voua"),
    ("delete", "/api/v1/pools/{name}",               "a"),
    ("post",   "/api/v1/pools/{name}/extend",        "a"),
    ("get",    "/api/v1/licences",                   "voua"),
    ("post",   "/api/v1/licences",                   "a"),
    ("get",    "/api/v1/licences/{id}",              "voua"),
    ("delete", "/api/v1/licences/{id}",              "a"),
    ("get",    "/api/v1/images",                     "voua"),
    ("post",   "/api/v1/images",                     "a"),
    ("put",    "/api/v1/images/{digest}/bios",       "a"),
    ("post",   "/api/v1/images/{digest}/activate",   "a"),
    ("post",   "/api/v1/images/{digest}/revoke",     "a"),
    ("put",    "/api/v1/blobs",                      "oa"),
    ("get",    "/api/v1/rollouts",                   "voua"),
    ("post",   "/api/v1/rollouts",                   "a"),
    ("get",    "/api/v1/rollouts/{number}",          "voua"),
    ("post",   "/api/v1/rollouts/{number}/pause",    "oa"),
    ("post",   "/api/v1/rollouts/{number}/resume",   "oa"),
    ("post",   "/api/v1/rollouts/{number}/abort",    "oa"),
    ("post",   "/api/v1/rollouts/{number}/back",     "a"),
    ("get",    "/api/v1/jobs",                       "voua"),
    ("post",   "/api/v1/jobs",                       "oa"),
    ("get",    "/api/v1/jobs/{number}",              "voua"),
    ("post",   "/api/v1/jobs/{number}/cancel",       "oa"),
    ("post",   "/api/v1/jobs/{number}/retry",        "oa"),
    ("post",   "/api/v1/jobs/{number}/skip",         "oa"),
    ("post",   "/api/v1/jobs/{number}/abandon",      "oa"),
    ("get",    "/api/v1/transactions",               "voua"),
    ("get",    "/api/v1/transactions/{number}",      "voua"),
    ("post",   "/api/v1/transactions/{number}/undo", "oa"),
    ("get",    "/api/v1/events",                     "voua"),
    ("get",    "/api/v1/events/search",              "voua"),
    ("get",    "/api/v1/events/stream",              "voua"),
    ("get",    "/api/v1/drift",                      "voua"),
    ("post",   "/api/v1/drift",                      "voua"),
    ("get",    "/api/v1/doctor",                     "voua"),
    ("get",    "/api/v1/config",                     "voua"),
    ("get",    "/api/v1/appliances",                 "voua"),
    ("delete", "/api/v1/appliances/{name}",          "a"),
    ("post",   "/api/v1/backup",                     "a"),
];

const ROLES: [(&str, char); 5] =
    [("viewer", 'v'), ("operator", 'o'), ("auditor", 'u'), ("administrator", 'a'), ("none", 'n')];

/// An account without a password, and a token of it.
pub(crate) async fn account(client: &Client, name: &str, role: &str) -> Client {
    let (status, reply) = client.json("POST", "/api/v1/accounts", &json!({"name": name, "role": role})).await;
    assert_eq!((status, reply["state"].as_str()), (201, Some("no-password")), "{reply}");
    token(client, json!({"name": format!("{name}-token"), "account": name, "days": 1})).await
}

pub(crate) async fn token(client: &Client, wanted: Value) -> Client {
    let (status, reply) = client.json("POST", "/api/v1/tokens", &wanted).await;
    assert_eq!(status, 201, "{reply}");
    let token = reply["token"].as_str().expect("shown once").to_string();
    assert!(token.starts_with("weft_") && token.len() == 69, "{token}");
    Client { token, ..client.clone() }
}

pub(crate) async fn policy(client: &Client, name: &str, text: &str) {
    let body = json!({"name": name, "text": text});
    let (status, reply) = client.json("POST", "/api/v1/auth/policies", &body).await;
    assert_eq!(status, 201, "{reply}");
}

/// Names of a list.
async fn names(client: &Client, path: &str) -> Vec<String> {
    let list = client.get(path).await;
    list.as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].as_str().expect("a name").to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_the_roles_of_the_table_and_no_other() {
    let (_folder, appliance, admin, _) = Appliance::with_image().await;
    let document = admin.get("/api/v1/openapi.json").await;
    let mut routes = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            routes += 1;
            let row = TABLE.iter().filter(|(known, at, _)| known == method && at == path);
            assert_eq!(row.count(), 1, "{method} {path} is not once in the table");
        }
    }
    assert_eq!(routes, TABLE.len());
    let before = admin.get("/api/v1/transactions?limit=1").await;
    let mut made = 0;
    for (role, letter) in ROLES {
        let client = account(&admin, role, role).await;
        made += 2;
        for (method, path, roles) in TABLE {
            let concrete = ["{name}", "{digest}", "{id}"]
                .iter()
                .fold(path.replace("{number}", "999999"), |path, part| path.replace(part, "xyzzy"));
            let request =
                client.build(&method.to_uppercase(), &concrete).body(Full::default()).expect("a request");
            let patience = Duration::from_secs(if path.ends_with("/stream") { 3 } else { 60 });
            let answer = tokio::time::timeout(patience, client.request(request)).await;
            // What does not end is a stream that was let in.
            let Ok(answer) = answer else {
                assert!(path.ends_with("/stream") && roles.contains(letter), "{role} {method} {path}");
                continue;
            };
            let reply: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
            let refused = answer.status() == 403;
            assert_eq!(
                refused,
                !roles.contains(letter),
                "{role} {method} {path}: {} {reply}",
                answer.status()
            );
            assert_ne!(answer.status(), 401, "{role} {method} {path}");
            if refused {
                assert_eq!(reply["code"], "not-allowed");
                let title = reply["title"].as_str().expect("a title");
                assert!(title.starts_with(&format!("{role} ({role}) may not ")), "{title}");
                let next = reply["next"].as_str().expect("a way out");
                assert!(next.contains("administrator") && next.contains("weft auth can-i "), "{next}");
            }
        }
    }
    // Nothing but the accounts and tokens was changed.
    let after = admin.get("/api/v1/transactions?limit=1").await;
    let number = |list: &Value| list[0]["number"].as_u64().expect("a number");
    assert_eq!(number(&after) - number(&before), made, "{after}");
    let (status, reply) = admin.send("PATCH", "/api/v1/vs", Vec::new()).await;
    assert_eq!((status, reply["code"].as_str()), (405, Some("no-such-method")));
    drop(appliance);
}

/// A node with the servers `red` and `blue`, labelled so, and a client of the administrator.
async fn two_teams() -> (tempfile::TempDir, Appliance, Client, SimSession) {
    let (folder, appliance, admin, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    admin.approve(&node).await;
    session.next_config().await.expect("approved");
    let (_, blob) = admin.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    for team in ["red", "blue"] {
        let wanted = json!({"name": team, "vcpus": 1, "memory_mib": 256, "kernel": blob["digest"],
            "labels": {"team": team}});
        let (status, reply) = admin.json("POST", "/api/v1/vs", &wanted).await;
        assert_eq!(status, 201, "{reply}");
        session.next_config().await.expect("created");
    }
    (folder, appliance, admin, session)
}

const RED: &str = r#"permit (principal == Account::"ann", action, resource is Vs)
    when { resource.hasTag("team") && resource.getTag("team") == "red" };
    permit (principal == Account::"ann", action in [Action::"view", Action::"undo"], resource is History);
    permit (principal == Account::"ann", action == Action::"view", resource is Event);"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_may_use_one_teams_servers_sees_no_other_and_nodes_hear_of_no_other() {
    let (folder, appliance, admin, mut session) = two_teams().await;
    policy(&admin, "red", RED).await;
    let ann = account(&admin, "ann", "none").await;
    assert_eq!(names(&ann, "/api/v1/vs").await, ["red"]);
    assert_eq!(ann.send("GET", "/api/v1/nodes", Vec::new()).await.0, 403);
    // What she may not see is not there for her.
    for (method, path) in [("GET", "vs/blue"), ("POST", "vs/blue/start"), ("DELETE", "vs/blue")] {
        let (status, reply) = ann.send(method, &format!("/api/v1/{path}"), Vec::new()).await;
        assert_eq!((status, reply["code"].as_str()), (404, Some("vs-not-found")), "{method} {path}: {reply}");
    }
    // All is all that she sees, and one that she does not see is missing.
    let group = |select: Value| json!({"action": "start", "select": select});
    let both = group(json!({"names": ["red", "blue"]}));
    let (status, reply) = ann.json("POST", "/api/v1/groups/vs", &both).await;
    assert_eq!((status, reply["code"].as_str()), (409, Some("group-refused")), "{reply}");
    assert!(
        reply["title"].as_str().is_some_and(|title| title.contains("there is no virtual server blue")),
        "{reply}"
    );
    quiet(&mut session).await;
    let (status, plan) = ann.json("POST", "/api/v1/groups/vs", &group(json!({"all": true}))).await;
    assert_eq!((status, plan["objects"].as_array().map(Vec::len)), (200, Some(1)), "{plan}");
    let config = session.next_config().await.expect("a start");
    let runs = config.servers.iter().filter(|vs| vs.desired == weft_wire::record::Desired::Running);
    assert_eq!(runs.map(|vs| vs.name.as_str()).collect::<Vec<_>>(), ["red"]);
    // She takes nothing out of her reach, and nothing of others into it.
    for (server, set, expected) in [("red", "blue", 404), ("blue", "red", 404)] {
        let body = json!({"set": {"team": set}});
        let (status, reply) = ann.json("POST", &format!("/api/v1/vs/{server}/labels"), &body).await;
        assert_eq!(status, expected, "{reply}");
    }
    // History and events tell of what she sees; an undo of what she may do.
    let first = admin.get("/api/v1/transactions?object=blue").await[0]["number"].as_u64().expect("a number");
    assert_eq!(ann.send("GET", &format!("/api/v1/transactions/{first}"), Vec::new()).await.0, 404);
    assert_eq!(ann.send("POST", &format!("/api/v1/transactions/{first}/undo"), Vec::new()).await.0, 404);
    let seen = ann.get("/api/v1/transactions").await;
    let objects =
        seen.as_array().expect("a list").iter().flat_map(|tx| tx["objects"].as_array().expect("objects"));
    assert!(objects.into_iter().all(|object| object["name"] == "red" || object["kind"] == "blob"), "{seen}");
    let events = ann.get("/api/v1/events?after=0&limit=1000").await;
    let events = events.as_array().expect("a list");
    assert!(events.iter().any(|event| event["vs"] == "red"));
    assert!(events.iter().all(|event| event["vs"] != "blue" && event["node"] != "node-1"), "{events:?}");
    assert!(
        !events.iter().any(|event| event["name"].as_str().is_some_and(|name| name.starts_with("account.")))
    );
    let start = plan["transaction"].as_u64().expect("a number");
    let (status, reply) = ann.send("POST", &format!("/api/v1/transactions/{start}/undo"), Vec::new()).await;
    assert_eq!(status, 200, "{reply}");
    let config = session.next_config().await.expect("stopped again");
    assert!(config.servers.iter().all(|vs| vs.desired == weft_wire::record::Desired::Stopped));
    // It holds after a crash, until the policy goes.
    let appliance = appliance.crash_and_restart(&folder);
    assert_eq!(names(&ann, "/api/v1/vs").await, ["red"]);
    assert_eq!(admin.send("DELETE", "/api/v1/auth/policies/red", Vec::new()).await.0, 204);
    assert_eq!(ann.send("GET", "/api/v1/vs", Vec::new()).await.0, 403);
    drop(appliance);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_does_nothing_that_who_makes_it_may_not_do_by_hand() {
    let (_folder, appliance, admin, mut session) = two_teams().await;
    policy(&admin, "red", RED).await;
    policy(&admin, "jobs", r#"permit (principal == Account::"ann", action, resource is Job);"#).await;
    let ann = account(&admin, "ann", "none").await;
    let start = |name: &str| json!({"action": "vs start", "names": [name]});
    let label = json!({"action": "vs label", "names": ["red"], "labels": {"set": {"team": "blue"}}});
    let kernel = admin.get("/api/v1/vs/red").await["kernel"].clone();
    let create = json!({"action": "vs create",
        "create": {"name": "x", "vcpus": 1, "memory_mib": 64, "kernel": kernel, "labels": {"team": "blue"}}});
    let hidden = "there is no virtual server blue";
    for (steps, status, words) in [
        (json!([start("red"), start("blue")]), 409, hidden),
        (json!([label]), 404, ""),
        (json!([create]), 403, ""),
        (json!([{"action": "node forget", "names": ["node-1"]}]), 409, "node-1"),
    ] {
        for dry in ["", "?dry_run=true"] {
            let body = json!({"name": "j", "steps": steps});
            let (answered, reply) = ann.json("POST", &format!("/api/v1/jobs{dry}"), &body).await;
            let planned = status == 409 && !dry.is_empty();
            assert_eq!(answered, if planned { 200 } else { status }, "{steps}: {reply}");
            assert!(reply.to_string().contains(words), "{steps}: {reply}");
        }
    }
    quiet(&mut session).await;
    let body = json!({"name": "j", "steps": [start("red")]});
    let (status, reply) = ann.json("POST", "/api/v1/jobs", &body).await;
    assert_eq!(status, 202, "{reply}");
    let config = session.next_config().await.expect("a start");
    let runs = config.servers.iter().filter(|vs| vs.desired == weft_wire::record::Desired::Running);
    assert_eq!(runs.map(|vs| vs.name.as_str()).collect::<Vec<_>>(), ["red"]);
    drop(appliance);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_series_and_templates_give_nobody_what_she_may_not_see() {
    let (_folder, appliance, admin, mut session) = two_teams().await;
    policy(&admin, "red", RED).await;
    let templates = RED.split(';').next().expect("a statement").replace("is Vs", "is Template");
    policy(&admin, "red-templates", &format!("{templates};")).await;
    let ann = account(&admin, "ann", "none").await;
    for team in ["red", "blue"] {
        let (status, reply) =
            admin.json("POST", "/api/v1/templates", &json!({"name": team, "from": team})).await;
        assert_eq!(status, 201, "{reply}");
    }
    assert_eq!(names(&ann, "/api/v1/templates").await, ["red"]);
    assert_eq!(ann.send("GET", "/api/v1/templates/blue", Vec::new()).await.0, 404);
    let drawn = admin.get("/api/v1/pools/default-mac").await["drawn"].clone();
    let red = json!({"team": "red"});
    let x = |template: &str| json!({"name": "x", "template": template, "labels": red});
    let mut pool = x("red");
    pool["mac_pool"] = "default-mac".into();
    let blue = json!({"count": 2, "vs": {"name": "x", "template": "red", "labels": {"team": "blue"}}});
    for (path, body, status, code) in [
        ("vs/blue/copy", json!({"name": "x"}), 404, "vs-not-found"),
        ("templates", json!({"name": "x", "from": "blue", "labels": red}), 404, "vs-not-found"),
        ("vs", x("blue"), 404, "template-not-found"),
        ("groups/vs/create", json!({"count": 2, "vs": x("blue")}), 404, "template-not-found"),
        ("groups/vs/create", blue, 403, "not-allowed"),
        // She may see no pool, and so draws where everybody does.
        ("vs", pool, 403, "not-allowed"),
        (
            "pools/default-mac/extend",
            json!({"ranges": ["06:00:00:00:00:00-06:00:00:00:00:01"]}),
            403,
            "not-allowed",
        ),
        ("licences", json!({"document": "00"}), 403, "not-allowed"),
    ] {
        let (answered, reply) = ann.json("POST", &format!("/api/v1/{path}"), &body).await;
        assert_eq!((answered, reply["code"].as_str()), (status, Some(code)), "{path} {body}: {reply}");
    }
    quiet(&mut session).await;
    assert_eq!(admin.get("/api/v1/pools/default-mac").await["drawn"], drawn, "nothing was drawn");
    // Her own she copies, and makes more of.
    let (status, reply) = ann.json("POST", "/api/v1/vs/red/copy", &json!({"name": "red-2"})).await;
    assert_eq!((status, &reply["labels"]), (201, &red), "{reply}");
    session.next_config().await.expect("a copy");
    let more = json!({"count": 2, "vs": {"name": "more", "template": "red"}});
    let (status, reply) = ann.json("POST", "/api/v1/groups/vs/create", &more).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(session.next_config().await.expect("two more").servers.len(), 5);
    let events = ann.get("/api/v1/events?after=0&limit=1000").await;
    let about = |event: &Value| event["name"].as_str().is_some_and(|name| name.starts_with("template."));
    assert!(!events.as_array().expect("a list").iter().any(about), "{events}");
    // Who operates takes back no change of pools.
    let operator = account(&admin, "op", "operator").await;
    let range = json!({"ranges": ["06:00:00:00:00:00-06:00:00:00:00:01"]});
    let extend = "/api/v1/pools/default-mac/extend";
    assert_eq!(admin.json("POST", extend, &range).await.0, 204);
    let number = admin.get("/api/v1/transactions?limit=1").await[0]["number"].clone();
    let undo = format!("/api/v1/transactions/{number}/undo");
    let (status, reply) = operator.send("POST", &undo, Vec::new()).await;
    assert_eq!((status, reply["code"].as_str()), (403, Some("not-allowed")), "{reply}");
    assert_eq!(admin.send("POST", &undo, Vec::new()).await.0, 200);
    drop(appliance);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_server_touches_that_one_and_not_another_of_its_name() {
    let (_folder, appliance, admin, mut session) = two_teams().await;
    let scope = json!({"kind": "vs", "name": "red"});
    let guest = token(&admin, json!({"name": "red-itself", "days": 1, "scope": scope})).await;
    assert_eq!(names(&guest, "/api/v1/vs").await, ["red"]);
    assert_eq!(guest.send("POST", "/api/v1/vs/red/start", Vec::new()).await.0, 204);
    assert_eq!(session.next_config().await.expect("a start").servers.len(), 2);
    let (status, reply) = guest.send("DELETE", "/api/v1/vs/red", Vec::new()).await;
    assert_eq!((status, reply["code"].as_str()), (403, Some("not-allowed")), "{reply}");
    assert!(
        reply["next"].as_str().is_some_and(|next| next.contains("the token red-itself is for vs red")),
        "{reply}"
    );
    for (method, path) in [
        ("GET", "nodes"),
        ("GET", "events"),
        ("GET", "transactions"),
        ("GET", "accounts"),
        ("GET", "config"),
        ("POST", "operators"),
    ] {
        assert_eq!(guest.send(method, &format!("/api/v1/{path}"), Vec::new()).await.0, 403, "{path}");
    }
    for path in ["vs/blue", "vs/blue/span"] {
        assert_eq!(guest.send("GET", &format!("/api/v1/{path}"), Vec::new()).await.0, 404, "{path}");
    }
    // No token makes another, ends itself by logging out, or sets a password.
    let more = json!({"name": "more", "days": 1});
    assert_eq!(guest.json("POST", "/api/v1/tokens", &more).await.0, 403);
    assert_eq!(guest.send("POST", "/api/v1/logout", Vec::new()).await.0, 409);
    quiet(&mut session).await;
    // The server goes, and another gets its name.
    assert_eq!(admin.send("POST", "/api/v1/vs/red/stop", Vec::new()).await.0, 204);
    assert_eq!(admin.send("DELETE", "/api/v1/vs/red", Vec::new()).await.0, 204);
    session.next_config().await.expect("stopped");
    session.next_config().await.expect("deleted");
    let kernel = admin.get("/api/v1/vs/blue").await["kernel"].clone();
    let again = json!({"name": "red", "vcpus": 1, "memory_mib": 256, "kernel": kernel});
    assert_eq!(admin.json("POST", "/api/v1/vs", &again).await.0, 201);
    session.next_config().await.expect("made");
    assert_eq!(guest.send("POST", "/api/v1/vs/red/start", Vec::new()).await.0, 404);
    quiet(&mut session).await;
    // A revoked one opens nothing, at once; history has neither token nor digest.
    assert_eq!(admin.send("DELETE", "/api/v1/tokens/red-itself", Vec::new()).await.0, 204);
    assert_eq!(guest.send("GET", "/api/v1/vs", Vec::new()).await.0, 401);
    let history = admin.get("/api/v1/transactions?object=red-itself").await;
    assert_eq!(history.as_array().map(Vec::len), Some(2), "{history}");
    for tx in history.as_array().expect("a list") {
        assert_eq!(
            (tx["actor"].as_str(), tx["undo"].as_str()),
            (Some("admin"), Some("irreversible")),
            "{tx}"
        );
        let text = admin.get(&format!("/api/v1/transactions/{}", tx["number"])).await.to_string();
        assert!(!text.contains(&guest.token) && !text.contains("token_hash"), "{text}");
    }
    drop(appliance);
}
