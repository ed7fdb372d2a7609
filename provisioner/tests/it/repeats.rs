//! Changes that are asked for twice with one key: what nodes hear of it is one change.

use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::common::Client;
use crate::rights::account;
use crate::transactions::{One, one, quiet, server};

/// An answer: status, whether it was given before, body.
#[derive(Debug, PartialEq)]
struct Given(u16, bool, Value);

impl Client {
    async fn keyed(&self, key: &str, method: &str, path: &str, body: &Value) -> Given {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let request = self
            .build(method, path)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Full::new(Bytes::from(text)))
            .expect("a request");
        let answer = self.request(request).await;
        let again = answer.headers().contains_key("idempotency-replayed");
        let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        Given(answer.status().as_u16(), again, body)
    }
}

fn code(given: &Given) -> (u16, Option<&str>) {
    (given.0, given.2["code"].as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_asked_for_again_is_answered_as_the_first_time_and_heard_once() {
    let One { folder, appliance, client, node, mut session } = one().await;
    let at = "/api/v1/vs/web/reset";
    client.does("POST", "/api/v1/vs/web/start").await;
    server(&mut session).await;
    assert_eq!(client.keyed("k1", "POST", at, &Value::Null).await, Given(204, false, Value::Null));
    let instance = server(&mut session).await.instance;
    let before = client.newest().await;
    assert_eq!(client.keyed("k1", "POST", at, &Value::Null).await, Given(204, true, Value::Null));
    quiet(&mut session).await;
    // What it answers with is as it was then, and so is a refusal.
    let kernel = client.get("/api/v1/vs/web").await["kernel"].clone();
    let wanted = json!({"name": "db", "vcpus": 1, "memory_mib": 64, "kernel": kernel});
    let made = client.keyed("k2", "POST", "/api/v1/vs", &wanted).await;
    assert_eq!((made.0, made.1), (201, false), "{made:?}");
    session.next_config().await.expect("db");
    client.does("DELETE", "/api/v1/vs/db").await;
    session.next_config().await.expect("no db");
    assert_eq!(client.keyed("k2", "POST", "/api/v1/vs", &wanted).await, Given(201, true, made.2.clone()));
    let huge = json!({"memory_mib": 90_000});
    let refused = client.keyed("k3", "PATCH", "/api/v1/vs/web", &huge).await;
    assert_eq!(code(&refused), (409, Some("no-room")), "{refused:?}");
    assert_eq!(client.keyed("k3", "PATCH", "/api/v1/vs/web", &huge).await, Given(409, true, refused.2));
    // Another request, another account.
    for (method, path, body) in [
        ("POST", "/api/v1/vs/web/stop", &Value::Null),
        ("POST", "/api/v1/vs/web/reset", &json!({})),
        ("DELETE", "/api/v1/vs/web", &Value::Null),
    ] {
        let given = client.keyed("k1", method, path, body).await;
        assert_eq!(code(&given), (422, Some("key-used")), "{method} {path}: {given:?}");
    }
    quiet(&mut session).await;
    assert_eq!(client.newest().await, before + 2);
    let bob = account(&client, "bob", "operator").await;
    assert_eq!(bob.keyed("k1", "POST", at, &Value::Null).await, Given(204, false, Value::Null));
    let again = server(&mut session).await.instance;
    assert_eq!(again, instance + 1);

    // All of that outlives the appliance.
    let last = session.numbers.last().copied().unwrap_or_default();
    drop(session);
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    let mut session = appliance.connect_after(&node, last).await;
    assert_eq!(server(&mut session).await.instance, again);
    assert_eq!(client.keyed("k1", "POST", at, &Value::Null).await, Given(204, true, Value::Null));
    assert_eq!(client.keyed("k2", "POST", "/api/v1/vs", &wanted).await, Given(201, true, made.2));
    quiet(&mut session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_done_and_all_are_answered_alike() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    client.does("POST", "/api/v1/vs/web/start").await;
    let before = server(&mut session).await.instance;
    let all: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                client.keyed("at-once", "POST", "/api/v1/vs/web/reset", &Value::Null).await
            })
        })
        .collect();
    let mut first = 0;
    for one in all {
        let Given(status, again, _) = one.await.expect("answered");
        assert_eq!(status, 204);
        first += u32::from(!again);
    }
    assert_eq!(first, 1, "the others were told that it is done");
    assert_eq!(server(&mut session).await.instance, before + 1);
    quiet(&mut session).await;
    // A client that hangs up has its change done, once.
    let request = client
        .build("POST", "/api/v1/vs/web/reset")
        .header("idempotency-key", "hung-up")
        .body(Full::default())
        .expect("a request");
    let _ = tokio::time::timeout(std::time::Duration::from_millis(2), client.request(request)).await;
    let given = client.keyed("hung-up", "POST", "/api/v1/vs/web/reset", &Value::Null).await;
    assert_eq!(given.0, 204);
    assert_eq!(server(&mut session).await.instance, before + 2);
    quiet(&mut session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_no_key_refuses_it_and_long_answers_are_told_by_their_transaction() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    for (method, path) in [
        ("POST", "/api/v1/tokens"),
        ("POST", "/api/v1/accounts"),
        ("POST", "/api/v1/password"),
        ("PUT", "/api/v1/blobs"),
        ("POST", "/api/v1/images"),
    ] {
        let given = client.keyed("k", method, path, &json!({})).await;
        assert_eq!(code(&given), (422, Some("no-key")), "{method} {path}: {given:?}");
    }
    for bad in ["", "a b", "ä", &"x".repeat(65)] {
        let given = client.keyed(bad, "POST", "/api/v1/vs/web/start", &Value::Null).await;
        assert_eq!(code(&given), (400, Some("bad-request")), "{bad:?}: {given:?}");
    }
    // A dry run has no need of one, and spends none.
    let dry = client.keyed("k", "POST", "/api/v1/vs/web/start?dry_run=true", &Value::Null).await;
    assert_eq!((dry.0, dry.1, &dry.2["state"]), (200, false, &json!("planned")));
    quiet(&mut session).await;
    assert_eq!(
        client.keyed("k", "POST", "/api/v1/vs/web/start", &Value::Null).await,
        Given(204, false, Value::Null)
    );
    server(&mut session).await;
    let many: Vec<Value> = (0..60).map(|n| json!({"name": format!("d{n}"), "labels": {"a": "b"}})).collect();
    let wanted = json!({"manifest": {"datacenters": many}});
    let first = client.keyed("many", "POST", "/api/v1/manifest", &wanted).await;
    assert!(first.0 == 200 && first.2.to_string().len() > 16 * 1024, "{}", first.2.to_string().len());
    let again = client.keyed("many", "POST", "/api/v1/manifest", &wanted).await;
    assert_eq!((again.0, again.1), (200, true), "{again:?}");
    for field in ["name", "state", "transaction"] {
        assert_eq!(again.2[field], first.2[field], "{field}");
    }
    assert_eq!(again.2["objects"].as_array().map(Vec::len), Some(60));
    // A change of a version that is no more is refused; asked for again with its key, one that was done is not.
    let stale = client.keyed("s", "PATCH", "/api/v1/vs/web", &json!({"vcpus": 2})).await;
    assert_eq!(stale.0, 204);
    assert!(client.keyed("s", "PATCH", "/api/v1/vs/web", &json!({"vcpus": 2})).await.1);
}
