//! Accounts, sessions, own policies and `can-i`, by interface and command line.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::common::{Appliance, Client, PASSWORD, WEFT};
use crate::rights::{account, policy, token};

async fn refused(client: &Client, method: &str, path: &str, body: Value) -> (u16, String) {
    let (status, reply) = client.json(method, path, &body).await;
    (status, reply["code"].as_str().unwrap_or_default().to_string())
}

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_string())
}

/// History has these, with who did them, and no secret.
async fn told(client: &Client, all: &[(&str, &str)]) {
    let history = client.get("/api/v1/transactions?limit=200").await;
    for (name, actor) in all {
        let mut rows = history.as_array().expect("a list").iter();
        let row = rows.find(|tx| tx["name"] == *name && tx["actor"] == *actor);
        assert_eq!(row.map(|tx| tx["undo"].clone()), Some(json!("irreversible")), "{name}: {history}");
    }
    assert!(!history.to_string().contains("argon2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_come_and_go_and_one_administrator_stays() {
    let (_folder, appliance) = Appliance::fresh();
    let admin = appliance.first_login().await;
    assert_eq!(admin.get("/api/v1/accounts/admin").await["role"], "administrator");
    // The last one stays, as he is.
    let last = code(409, "last-administrator");
    assert_eq!(refused(&admin, "DELETE", "/api/v1/accounts/admin", json!(null)).await, last);
    assert_eq!(refused(&admin, "POST", "/api/v1/accounts/admin/role", json!({"role": "viewer"})).await, last);
    let tokens_only = json!({"name": "robot", "role": "administrator"});
    assert_eq!(admin.json("POST", "/api/v1/accounts", &tokens_only).await.0, 201);
    assert_eq!(
        refused(&admin, "DELETE", "/api/v1/accounts/admin", json!(null)).await,
        last,
        "nobody could log in"
    );
    // A dry run makes nothing, and names no password.
    let wanted = json!({"name": "ann", "role": "operator", "password": "a first password"});
    let (status, plan) = admin.json("POST", "/api/v1/accounts?dry_run=true", &wanted).await;
    assert_eq!(
        (status, plan["state"].as_str(), plan["undo"].as_str()),
        (200, Some("planned"), Some("irreversible"))
    );
    assert!(!plan.to_string().contains("password\":\"a") && !plan.to_string().contains("argon2"), "{plan}");
    assert_eq!(admin.send("GET", "/api/v1/accounts/ann", Vec::new()).await.0, 404);
    let (status, made) = admin.json("POST", "/api/v1/accounts", &wanted).await;
    assert_eq!((status, made["state"].as_str()), (201, Some("must-change")), "{made}");
    for (body, expected) in [
        (wanted.clone(), code(409, "taken")),
        (json!({"name": "local", "role": "viewer"}), code(409, "taken")),
        (json!({"name": "a b", "role": "viewer"}), code(422, "invalid")),
        (json!({"name": "bob", "role": "king"}), code(422, "invalid")),
        (json!({"name": "bob", "role": "viewer", "password": "short"}), code(422, "weak-password")),
    ] {
        assert_eq!(refused(&admin, "POST", "/api/v1/accounts", body.clone()).await, expected, "{body}");
    }
    // Her first password opens a session that can only set another.
    let mut ann = appliance.client();
    let (_, reply) = ann.login("ann", "a first password").await;
    ann.token = reply["token"].as_str().expect("a token").to_string();
    assert_eq!(refused(&ann, "GET", "/api/v1/vs", json!(null)).await, code(403, "must-change-password"));
    let change = json!({"old": "a first password", "new": PASSWORD});
    assert_eq!(ann.json("POST", "/api/v1/password", &change).await.0, 204);
    ann.get("/api/v1/vs").await;
    // Her role changes within her session.
    let denied = code(403, "not-allowed");
    assert_eq!(
        refused(&ann, "POST", "/api/v1/accounts/ann/role", json!({"role": "administrator"})).await,
        denied
    );
    assert_eq!(
        admin.json("POST", "/api/v1/accounts/ann/role", &json!({"role": "administrator"})).await.0,
        204
    );
    assert_eq!(ann.json("POST", "/api/v1/accounts/admin/role", &json!({"role": "auditor"})).await.0, 204);
    assert_eq!(refused(&admin, "POST", "/api/v1/accounts/ann/role", json!({"role": "viewer"})).await, denied);
    told(&ann, &[("account create", "admin"), ("account set-role", "ann")]).await;
    drop(appliance);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_by_name_and_with_a_password_and_all_of_it_is_kept() {
    let (folder, appliance) = Appliance::fresh();
    let admin = appliance.first_login().await;
    let ann = account(&admin, "ann", "administrator").await;
    let robot = json!({"name": "robot", "role": "viewer"});
    assert_eq!(admin.json("POST", "/api/v1/accounts", &robot).await.0, 201);
    let robot = token(&admin, json!({"name": "r", "account": "robot", "days": 1})).await;
    // Sessions are seen, and ended by name; another's password ends them too.
    let sessions = ann.get("/api/v1/sessions").await;
    let of_admin =
        sessions.as_array().expect("a list").iter().find(|one| one["account"] == "admin").expect("his");
    assert_eq!(of_admin["source"], "local");
    let path = format!("/api/v1/sessions/{}", of_admin["name"].as_str().expect("a name"));
    assert_eq!(ann.send("DELETE", &path, Vec::new()).await.0, 204);
    assert_eq!(admin.send("GET", "/api/v1/vs", Vec::new()).await.0, 401);
    let admin = appliance.login().await;
    let reset = json!({"password": "another first one"});
    assert_eq!(ann.json("POST", "/api/v1/accounts/admin/password", &reset).await.0, 204);
    assert_eq!(admin.send("GET", "/api/v1/vs", Vec::new()).await.0, 401);
    assert_eq!(admin.login("admin", PASSWORD).await.0, 401);
    assert_eq!(admin.login("admin", "another first one").await.1["must_change"], true);
    // All of it is kept, is history with who did it, and goes with the account.
    let appliance = appliance.crash_and_restart(&folder);
    assert_eq!(ann.get("/api/v1/accounts/admin").await["state"], "must-change");
    robot.get("/api/v1/accounts").await;
    assert_eq!(ann.send("DELETE", "/api/v1/accounts/robot", Vec::new()).await.0, 204);
    assert_eq!(robot.send("GET", "/api/v1/accounts", Vec::new()).await.0, 401);
    told(
        &ann,
        &[
            ("account create", "admin"),
            ("account set-password", "ann"),
            ("token create", "admin"),
            ("account delete", "ann"),
        ],
    )
    .await;
    let log = std::fs::read_to_string(folder.path().join("appliance.log")).unwrap_or_default();
    for secret in [&robot.token, &ann.token, PASSWORD, "another first one"] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
    drop(appliance);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_away_a_role_that_he_has_not_and_no_policy_locks_everybody_out() {
    let (_folder, appliance) = Appliance::fresh();
    let admin = appliance.first_login().await;
    policy(
        &admin,
        "helpdesk",
        r#"permit (principal == Account::"help", action, resource is Account);
           permit (principal == Account::"help", action, resource is Token);"#,
    )
    .await;
    let help = account(&admin, "help", "viewer").await;
    let denied = code(403, "not-allowed");
    let body = json!({"name": "x", "role": "administrator"});
    assert_eq!(refused(&help, "POST", "/api/v1/accounts", body).await, denied);
    assert_eq!(
        refused(&help, "POST", "/api/v1/accounts/help/role", json!({"role": "operator"})).await,
        denied
    );
    let reset = json!({"password": "a password of mine"});
    assert_eq!(refused(&help, "POST", "/api/v1/accounts/admin/password", reset).await, denied);
    assert_eq!(refused(&help, "DELETE", "/api/v1/accounts/admin", json!(null)).await, denied);
    let body = json!({"name": "x", "role": "viewer"});
    assert_eq!(help.json("POST", "/api/v1/accounts", &body).await.0, 201, "his own role he may give");
    // What is malformed, what is taken, and what could not be taken back is refused.
    for (name, text, expected) in [
        ("bad", "permit(principal, action", code(422, "invalid-policy")),
        ("bad", r#"permit(principal, action == Action::"fly", resource);"#, code(422, "invalid-policy")),
        ("helpdesk", "permit(principal, action, resource);", code(409, "taken")),
        ("viewer", "permit(principal, action, resource);", code(409, "taken")),
        ("lock", "forbid(principal, action, resource);", code(409, "locks-out")),
    ] {
        let body = json!({"name": name, "text": text});
        assert_eq!(refused(&admin, "POST", "/api/v1/auth/policies", body).await, expected, "{text}");
    }
    let all = admin.get("/api/v1/auth/policies").await;
    assert!(all.as_array().expect("a list").iter().any(|one| one["name"] == "operator-servers"), "{all}");
    assert_eq!(
        refused(&admin, "DELETE", "/api/v1/auth/policies/viewer", json!(null)).await,
        code(409, "built-in")
    );
    // What is forbidden is forbidden to administrators, and the answer says by what.
    policy(&admin, "freeze", "forbid(principal, action, resource is Vs);").await;
    let answer = admin.get("/api/v1/auth/can-i?verb=create&kind=vs&name=web").await;
    assert_eq!(
        (answer["state"].as_str(), &answer["policies"]),
        (Some("refused"), &json!(["own freeze"])),
        "{answer}"
    );
    let questions = json!({"questions": [
        {"verb": "view", "kind": "node"}, {"verb": "view", "kind": "token"}, {"verb": "view", "kind": "vs", "name": "no"}]});
    let (status, answers) = help.json("POST", "/api/v1/auth/can-i", &questions).await;
    assert_eq!(status, 200, "{answers}");
    let states: Vec<_> = answers.as_array().expect("a list").iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["allowed", "allowed", "refused"], "{answers}");
    for bad in ["verb=fly&kind=vs", "verb=view&kind=cloud", "kind=vs"] {
        assert!(
            matches!(admin.send("GET", &format!("/api/v1/auth/can-i?{bad}"), Vec::new()).await.0, 400 | 422),
            "{bad}"
        );
    }
    drop(appliance);
}

/// The program with this token and this on standard input.
fn run(appliance: &Appliance, token: &std::path::Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(WEFT)
        .args(args)
        .arg("--url")
        .arg(format!("unix:{}", appliance.data.join("api.sock").display()))
        .arg("--token-file")
        .arg(token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weft runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("input is read");
    child.wait_with_output().expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_accounts_tokens_and_policies() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, appliance) = Appliance::fresh();
    let local = folder.path().join("local");
    let mut made = Command::new(WEFT);
    made.args(["appliance", "token", "--data"]).arg(&appliance.data).arg("--out").arg(&local);
    assert!(made.output().expect("weft runs").status.success());
    // The machine's owner is an administrator.
    let good = |token: &std::path::Path, args: &[&str], input: &str| {
        let done = run(&appliance, token, args, input);
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    };
    good(
        &local,
        &["account", "create", "ann", "--role", "operator", "--password-file", "-"],
        "a first password\n",
    );
    let list: Value =
        serde_json::from_str(&good(&local, &["account", "list", "-o", "json"], "")).expect("JSON");
    let names: Vec<_> = list.as_array().expect("a list").iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["admin", "ann", "local"]);
    let plan = good(&local, &["account", "set-role", "ann", "viewer", "--dry-run"], "");
    assert!(plan.contains("planned: account set-role") && plan.contains("role"), "{plan}");
    good(&local, &["account", "set-role", "ann", "viewer"], "");
    let file = folder.path().join("ann.token");
    let path = file.to_str().expect("UTF-8");
    let shown = good(&local, &["token", "create", "ann-1", "--account", "ann", "--out", path], "");
    assert!(!shown.contains("weft_"), "it is in the file alone: {shown}");
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    assert_eq!(good(&file, &["auth", "can-i", "view", "vs"], ""), "allowed\n");
    let explained = run(&appliance, &file, &["auth", "can-i", "create", "vs", "web", "--explain"], "");
    assert_eq!(explained.status.code(), Some(5));
    let text = String::from_utf8_lossy(&explained.stdout);
    assert!(text.contains("no policy permits it") && text.contains("operator, administrator"), "{text}");
    let denied =
        run(&appliance, &file, &["account", "create", "eve", "--role", "viewer", "--no-password"], "");
    let text = String::from_utf8_lossy(&denied.stderr);
    assert_eq!(denied.status.code(), Some(5), "{text}");
    assert!(text.contains("ann (viewer) may not create account") && text.contains("administrator"), "{text}");
    let cedar = "permit(principal == Account::\"ann\", action == Action::\"create\", resource is Vs);";
    good(&local, &["auth", "policy", "add", "makers", "-", "--dry-run"], cedar);
    good(&local, &["auth", "policy", "add", "makers", "-"], cedar);
    assert!(good(&file, &["auth", "can-i", "create", "vs", "web", "--explain"], "").contains("own makers"));
    assert_eq!(good(&local, &["auth", "policy", "show", "makers"], "").trim(), cedar);
    assert!(good(&local, &["auth", "schema"], "").contains("entity Account in [Role]"));
    let history: Value =
        serde_json::from_str(&good(&local, &["tx", "list", "-o", "json"], "")).expect("JSON");
    assert_eq!(
        (history[0]["name"].as_str(), history[0]["actor"].as_str()),
        (Some("auth policy add"), Some("local"))
    );
    let number = history[0]["number"].to_string();
    assert_eq!(run(&appliance, &local, &["tx", "undo", &number, "--yes"], "").status.code(), Some(4));
    good(&local, &["auth", "policy", "delete", "makers", "--yes"], "");
    let sessions: Value =
        serde_json::from_str(&good(&local, &["session", "list", "-o", "json"], "")).expect("JSON");
    assert_eq!(
        (sessions[0]["account"].as_str(), sessions[0]["state"].as_str()),
        (Some("local"), Some("own"))
    );
    good(&local, &["token", "revoke", "ann-1"], "");
    assert_eq!(run(&appliance, &file, &["vs", "list"], "").status.code(), Some(5));
    good(&local, &["account", "delete", "ann", "--yes"], "");
}
