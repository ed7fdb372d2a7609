//! The interface under schemathesis (PyPI): requests made from the document that is checked in, well-formed and not,
//! against the real program with objects and simulated nodes. No answer may be a failure of the appliance, and each has a
//! status, a media type and a form that the document names.
//!
//! `cargo test` makes a bounded number of requests from a fixed seed; with `WEFT_SOAK=1` (`./just soak`) it goes on for
//! half an hour from a seed of its own, which it prints.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use weft_images::kept;
use weft_server::simnode::{Heard, SimSession};
use weft_wire::agent::VsState;
use weft_wire::record::Desired;

use crate::common::{Appliance, Client, PASSWORD, sim};

const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// What is checked of each answer.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// Requests of one kind to one route, in the short run.
const EXAMPLES: &str = "6";
/// Seconds of the long run.
const LONG_S: &str = "1800";
/// Changes that a run makes at least: with fewer it never came behind the doors.
const LEAST_CHANGES: u64 = 10;

/// Routes that it leaves out, and why.
const LEFT_OUT: &[(&str, &str)] =
    &[("POST /api/v1/login", "after some failures the next log-in waits for up to a minute")];

/// A node that does what it is told.
async fn serve(mut session: SimSession) {
    while let Ok(heard) = session.next().await {
        let Heard::Config(config) = heard else { continue };
        for vs in config.servers {
            let runs = vs.desired == Desired::Running;
            let state = if runs { VsState::Running } else { VsState::Stopped };
            if session.status(vs.id, vs.generation, vs.instance, state).await.is_err() {
                return;
            }
        }
    }
}

async fn made(client: &Client, path: &str, body: Value) -> Value {
    let (status, reply) = client.json("POST", path, &body).await;
    assert!((200..300).contains(&status), "{path}: {reply}");
    reply
}

/// Several objects of each kind. Gives back the digest of a kernel.
async fn furnish(client: &Client) -> String {
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let kernel = blob["digest"].as_str().expect("a digest").to_string();
    for (kind, names, parent) in [
        ("datacenters", ["north", "south"], ""),
        ("mainframes", ["m1", "m2"], "north"),
        ("frames", ["rack-1", "rack-2"], "m1"),
    ] {
        for name in names {
            made(client, &format!("/api/v1/{kind}"), json!({"name": name, "parent": parent})).await;
        }
    }
    for name in ["web", "db", "mail", "old"] {
        let wanted = json!({"name": name, "vcpus": 1, "memory_mib": 64, "kernel": kernel});
        made(client, "/api/v1/vs", wanted).await;
        made(client, "/api/v1/templates", json!({"name": format!("{name}-like"), "from": name})).await;
        made(client, &format!("/api/v1/vs/{name}/start"), Value::Null).await;
    }
    for (name, range) in
        [("p1", "02:00:00:00:10:00-02:00:00:00:10:ff"), ("p2", "02:00:00:00:20:00-02:00:00:00:20:ff")]
    {
        made(client, "/api/v1/pools", json!({"name": name, "kind": "mac", "ranges": [range]})).await;
    }
    for name in ["ann", "bob"] {
        let account = json!({"name": name, "role": "operator", "password": PASSWORD});
        made(client, "/api/v1/accounts", account).await;
        made(client, "/api/v1/tokens", json!({"name": format!("of-{name}"), "account": name, "days": 1}))
            .await;
        let text = format!("forbid(principal == Account::\"{name}\", action, resource is Pool);");
        made(client, "/api/v1/auth/policies", json!({"name": format!("no-{name}"), "text": text})).await;
    }
    let steps = json!([{"action": "vs stop", "names": ["old"]}]);
    made(client, "/api/v1/jobs", json!({"name": "away", "steps": steps})).await;
    made(client, "/api/v1/partitions", json!({"name": "both", "nodes": ["node-3", "node-4"]})).await;
    kernel
}

/// What names lead to, for half of the requests; the others get what the generator draws.
fn settings(image: &str, kernel: &str) -> String {
    let mut text = String::from("[dictionaries]\n");
    let kinds: [(&str, &[&str]); 16] = [
        ("nodes", &["node-1", "node-2", "node-3", "node-4", "node-5"]),
        ("vs", &["web", "db", "mail", "old"]),
        ("datacenters", &["north", "south"]),
        ("mainframes", &["m1", "m2"]),
        ("frames", &["rack-1", "rack-2"]),
        ("templates", &["web-like", "db-like", "mail-like", "old-like"]),
        ("pools", &["p1", "p2", "default-mac", "default-wwnn"]),
        ("accounts", &["ann", "bob"]),
        ("tokens", &["of-ann", "of-bob"]),
        ("policies", &["no-ann", "no-bob", "operator"]),
        ("partitions", &["both"]),
        ("images", &[image]),
        ("kernels", &[kernel]),
        ("roles", &["viewer", "operator", "auditor", "none"]),
        ("labels", &["env=prod", "env", "!env"]),
        ("moments", &["0", "1000", "1800000000"]),
    ];
    for (name, values) in kinds {
        text.push_str(&format!("{name} = {{ values = {} }}\n", json!(values)));
    }
    text.push_str("numbers = { values = [1, 2, 3, 5, 8, 13, 21, 34] }\n[parameters]\n");
    let bound = |name: &str, values: &str| {
        format!("\"{name}\" = {{ dictionary = \"{values}\", probability = 0.5 }}\n")
    };
    for (name, values) in [
        ("path.number", "numbers"),
        ("path.digest", "images"),
        ("query.selector", "labels"),
        ("body.kernel", "kernels"),
        ("body.node", "nodes"),
        ("body.frame", "frames"),
        ("body.role", "roles"),
    ] {
        text.push_str(&bound(name, values));
    }
    for kind in [
        "nodes",
        "vs",
        "datacenters",
        "mainframes",
        "frames",
        "templates",
        "pools",
        "accounts",
        "tokens",
        "auth/policies",
        "partitions",
    ] {
        let values = kind.rsplit('/').next().unwrap_or(kind);
        text.push_str(&format!(
            "[[operations]]\ninclude-path-regex = \"^/api/v1/{kind}/\"\n[operations.parameters]\n{}",
            bound("path.name", values)
        ));
    }
    for (route, _) in LEFT_OUT {
        text.push_str(&format!("[[operations]]\ninclude-name = \"{route}\"\nenabled = false\n"));
    }
    // Of what never ends the first event is read, or what comes in two seconds.
    text.push_str(
        "[[operations]]\ninclude-path = \"/api/v1/events/stream\"\nmax-stream-events = 1\nrequest-timeout = 2\n\
         [operations.parameters]\n\"query.after\" = 0\n",
    );
    // Names of answers are not used again: it would end its own token.
    for phase in ["coverage", "fuzzing"] {
        text.push_str(&format!("[phases.{phase}.extra-data-sources]\nresponses = false\n"));
    }
    text
}

fn schemathesis(folder: &Path, appliance: &Appliance, token: &str, settings: &str) -> (bool, String) {
    let venv = kept::python("schemathesis-4.32.5", &[SCHEMATHESIS]).expect("schemathesis of PyPI");
    let at = |name: &str| folder.join(name);
    std::fs::write(at("schemathesis.toml"), settings).expect("written");
    let mut command = Command::new(venv.join("bin/python"));
    command
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(at("schemathesis.toml"))
        .args(["--no-color", "run", concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json")])
        .args(["--url", &format!("https://{}", appliance.api), "--tls-verify"])
        .arg(appliance.data.join("tls/cert.pem"))
        .args(["--header", &format!("Authorization: Bearer {token}"), "--checks", CHECKS])
        .args(["--generation-database", "none", "--warnings", "off", "--suppress-health-check", "all"])
        .args(["--continue-on-failure", "--request-timeout", "60"])
        // A kept connection that waited too long is closed, and the next request has another.
        .args(["--request-retries", "2"])
        .env("PYTHONWARNINGS", "ignore")
        .current_dir(folder);
    if std::env::var_os("WEFT_SOAK").is_some() {
        let seed = std::process::id().to_string();
        println!("seed {seed}");
        command.args(["--phases", "coverage,fuzzing", "--max-examples", "500"]);
        command.args(["--workers", "2", "--seed", &seed, "--max-time", LONG_S]);
    } else {
        command.args(["--phases", "fuzzing", "--max-examples", EXAMPLES, "--seed", "1"]);
        command.arg("--no-shrink");
    }
    let done = command.output().expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), said)
}

/// Number of the newest change.
async fn newest(client: &Client) -> u64 {
    let history = client.get("/api/v1/transactions?limit=1").await;
    history[0]["number"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_made_from_the_document_breaks_the_appliance_or_gets_an_answer_that_it_does_not_name() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let mut served = Vec::new();
    for number in 1..=4 {
        let node = sim(number, &file);
        let mut session = appliance.connect(&node).await;
        client.approve(&node).await;
        session.next_config().await.expect("approved");
        served.push(tokio::spawn(serve(session)));
    }
    // One waits for approval.
    let waiting = sim(5, &file);
    let session = appliance.connect(&waiting).await;
    served.push(tokio::spawn(serve(session)));
    let kernel = furnish(&client).await;
    let image = client.get("/api/v1/images").await[0]["digest"].as_str().expect("a digest").to_string();
    // It acts as an administrator whom it cannot lock out: it does not know the token's name.
    let token = made(&client, "/api/v1/tokens", json!({"name": "generator", "days": 1})).await;
    let token = token["token"].as_str().expect("shown once").to_string();

    let before = newest(&client).await;
    let settings = settings(&image, &kernel);
    let (passed, said, appliance) = tokio::task::spawn_blocking({
        let (folder, token) = (folder.path().to_path_buf(), token.clone());
        move || {
            let (passed, said) = schemathesis(&folder, &appliance, &token, &settings);
            (passed, said, appliance)
        }
    })
    .await
    .expect("it ran");
    let log = std::fs::read_to_string(folder.path().join("appliance.log")).unwrap_or_default();
    assert!(passed, "{said}\n── the appliance's log\n{log}");
    assert!(!log.contains("panicked"), "{log}");
    println!("{said}");
    // It is still let in, and came far.
    let client = Client { token, ..appliance.client() };
    let after = newest(&client).await;
    assert!(after >= before + LEAST_CHANGES, "{before} changes, then {after}: {said}");
    served.iter().for_each(tokio::task::JoinHandle::abort);
}
