//! Who may ask: log-in, throttling, one-time passwords, routes, foreign pages.

use http_body_util::Full;
use serde_json::json;

use crate::common::{Appliance, PASSWORD, WEFT};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_but_the_public_ones_needs_a_session() {
    let (_folder, appliance) = Appliance::fresh();
    let client = appliance.client();
    let document = client.get("/api/v1/openapi.json").await;
    let mut closed = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            let public = weft_server::http::PUBLIC.contains(&(method.as_str(), path.as_str()));
            let concrete = path.replace("{name}", "x").replace("{digest}", "x").replace("{number}", "1");
            let (status, reply) = client.send(&method.to_uppercase(), &concrete, Vec::new()).await;
            if public {
                assert_ne!(reply["code"], "not-logged-in", "{method} {path}");
            } else {
                closed += 1;
                assert_eq!((status, reply["code"].as_str()), (401, Some("not-logged-in")), "{method} {path}");
            }
        }
    }
    assert!(closed >= 25, "{closed}");
    let mut client = client;
    client.token = "0".repeat(64);
    assert_eq!(client.send("GET", "/api/v1/nodes", Vec::new()).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_password_opens_one_session_that_can_only_set_another() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, appliance) = Appliance::fresh();
    let path = appliance.data.join("admin-password");
    assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    let first = std::fs::read_to_string(&path).expect("read").trim().to_string();
    let mut client = appliance.client();
    let (status, reply) = client.login("admin", &first).await;
    assert_eq!((status, reply["must_change"].as_bool()), (200, Some(true)));
    assert!(!path.exists(), "the file outlives its password");
    client.token = reply["token"].as_str().expect("a token").to_string();
    let (status, reply) = client.send("GET", "/api/v1/nodes", Vec::new()).await;
    assert_eq!((status, reply["code"].as_str()), (403, Some("must-change-password")));
    assert_eq!(client.login("admin", &first).await.0, 401, "it works twice");
    // Also across a crash.
    let appliance = appliance.crash_and_restart(&folder);
    assert_eq!(client.login("admin", &first).await.0, 401, "it works again after a crash");
    for weak in ["short", &first, &"x".repeat(300)] {
        let change = json!({"old": first, "new": weak});
        assert_eq!(client.json("POST", "/api/v1/password", &change).await.0, 422, "{weak}");
    }
    let change = json!({"old": first, "new": PASSWORD});
    assert_eq!(client.json("POST", "/api/v1/password", &change).await.0, 204);
    client.get("/api/v1/nodes").await;
    assert_eq!(appliance.login().await.send("POST", "/api/v1/logout", Vec::new()).await.0, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_log_ins_are_throttled() {
    let (_folder, appliance) = Appliance::fresh();
    appliance.first_login().await;
    let client = appliance.client();
    // Each wait is longer than the one before, until one is longer than a log-in takes here.
    let mut waits = Vec::new();
    for _ in 0..20 {
        let (status, reply) = client.login("admin", "wrong").await;
        if status == 429 {
            let next = reply["next"].as_str().expect("a way out");
            let seconds = next.strip_prefix("try again in ").and_then(|rest| rest.strip_suffix(" seconds"));
            let wait: u64 = seconds.and_then(|seconds| seconds.parse().ok()).expect("seconds");
            waits.push(wait);
            if wait >= 6 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
        } else {
            assert_eq!(status, 401);
        }
    }
    assert!(waits.last().is_some_and(|wait| *wait >= 6), "throttled for {waits:?} s");
    assert_eq!(client.login("admin", PASSWORD).await.0, 429, "the right password does not jump the wait");
    let (unknown, _) = client.login("nobody", "wrong").await;
    assert!(unknown == 401 || unknown == 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_admin_works_beside_a_running_appliance_and_on_a_stopped_one() {
    let (folder, appliance) = Appliance::fresh();
    let old = appliance.first_login().await;
    let reset = || {
        let done = std::process::Command::new(WEFT)
            .args(["appliance", "reset-admin", "--data"])
            .arg(folder.path().join("data"))
            .output()
            .expect("weft runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let path = String::from_utf8(done.stdout).expect("a path");
        std::fs::read_to_string(path.trim()).expect("the file").trim().to_string()
    };
    let first = reset();
    assert_eq!(old.send("GET", "/api/v1/nodes", Vec::new()).await.0, 401, "old sessions end");
    assert_eq!(old.login("admin", PASSWORD).await.0, 401, "the old password ends");
    let (key, delegation) = (appliance.channel_key, appliance.delegation.clone());
    drop(appliance);
    let second = reset();
    assert_ne!(first, second);
    let appliance = Appliance::start(&folder, key, &delegation);
    assert_eq!(appliance.client().login("admin", &first).await.0, 401);
    assert_eq!(appliance.client().login("admin", &second).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_machine_gets_a_token_and_spends_no_password() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, appliance) = Appliance::fresh();
    let file = folder.path().join("token");
    let ask = || {
        let done = std::process::Command::new(WEFT)
            .args(["appliance", "token", "--data"])
            .arg(&appliance.data)
            .arg("--out")
            .arg(&file)
            .output();
        done.expect("weft runs")
    };
    let done = ask();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let mut client = appliance.client();
    client.token = std::fs::read_to_string(&file).expect("read").trim().to_string();
    client.get("/api/v1/nodes").await;
    // Nobody logs in as that account by a password, and the administrator's own still works, once.
    for password in ["", "!", "local", &client.token] {
        assert_ne!(client.login("local", password).await.0, 200, "{password}");
    }
    let first = std::fs::read_to_string(appliance.data.join("admin-password")).expect("unspent");
    assert_eq!(client.login("admin", first.trim()).await.0, 200);
    // The socket is the owner's.
    let socket = std::fs::metadata(appliance.data.join("admin.sock")).expect("a socket");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    drop(appliance);
    let refused = std::process::Command::new(WEFT)
        .args(["appliance", "token", "--data"])
        .arg(folder.path().join("data"))
        .arg("--out")
        .arg(&file)
        .output()
        .expect("weft runs");
    assert!(!refused.status.success(), "no appliance runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_cannot_use_the_cookie() {
    let (_folder, appliance) = Appliance::fresh();
    let client = appliance.first_login().await;
    let cookie = format!("weft_session={}", client.token);
    let post = |headers: &[(&str, &str)]| {
        let mut builder =
            hyper::Request::builder().method("POST").uri("/api/v1/vs/x/start").header("host", "weft");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.header("cookie", &cookie).body(Full::default()).expect("a request")
    };
    for (headers, status) in [
        (vec![], 403),
        (vec![("x-weft-request", "1"), ("origin", "https://evil.example")], 403),
        (vec![("x-weft-request", "1"), ("origin", "null")], 403),
        (vec![("x-weft-request", "1"), ("origin", "https://weft")], 404),
        (vec![("x-weft-request", "1")], 404),
    ] {
        assert_eq!(client.request(post(&headers)).await.status().as_u16(), status, "{headers:?}");
    }
    let answer = client.request(client.build("GET", "/").body(Full::default()).expect("a request")).await;
    assert_eq!(answer.status(), 200);
    let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_string();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("script-src 'self' 'unsafe-inline'"),
        "{policy}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_reaches_the_appliance_over_tls_by_the_printed_fingerprint() {
    let (folder, appliance) = Appliance::fresh();
    let client = appliance.first_login().await;
    let token = folder.path().join("token");
    {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&token)
            .expect("a file");
        file.write_all(client.token.as_bytes()).expect("written");
    }
    let run = |pin: String| {
        std::process::Command::new(WEFT)
            .args(["node", "list", "-o", "json", "--url"])
            .arg(format!("https://{}", appliance.api))
            .args(["--ca", &pin])
            .arg("--token-file")
            .arg(&token)
            .output()
            .expect("weft runs")
    };
    let good = run(appliance.fingerprint.clone());
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert_eq!(String::from_utf8_lossy(&good.stdout).trim(), "[]");
    let other = run(format!("sha256:{}", "0".repeat(64)));
    assert!(!other.status.success(), "another certificate was trusted");
}
