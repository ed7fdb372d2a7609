//! Virtual processors that are to have certain processors: what the node hears of it, and what it reports.

use serde_json::{Value, json};
use weft_types::VsId;
use weft_wire::load::ServerLoad;
use weft_wire::record::ANY_PROCESSOR;

use crate::common::Client;
use crate::transactions::{One, one, server};

impl Client {
    /// Asks for an affinity of `web`.
    async fn pin(&self, affinity: &str) -> (u16, Value) {
        self.json("PATCH", "/api/v1/vs/web", &json!({ "affinity": affinity })).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_gets_the_processors_that_are_named_and_shows_those_that_it_has() {
    let One { client, mut session, appliance: _running, folder: _kept, .. } = one().await;
    assert_eq!(client.json("PATCH", "/api/v1/vs/web", &json!({"vcpus": 2})).await.0, 204);
    server(&mut session).await;
    client.does("POST", "/api/v1/vs/web/start").await;
    let started = server(&mut session).await;
    assert_eq!(started.affinity, [0; 0], "the node chooses");

    assert_eq!(client.pin(" 1 = 0 ").await.0, 204);
    let change = client.newest().await;
    let heard = server(&mut session).await;
    assert_eq!(heard.affinity, [ANY_PROCESSOR, 0]);
    assert!(heard.instance == started.instance && heard.generation > started.generation, "{heard:?}");
    let vs = client.get("/api/v1/vs/web").await;
    assert_eq!((&vs["affinity"], &vs["pending"]), (&json!("1=0"), &json!([])), "it waits for no start");

    // Fewer processors wait for the next start; what runs has those that it has.
    let (status, problem) = client.json("PATCH", "/api/v1/vs/web", &json!({"vcpus": 1})).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem["title"].as_str().is_some_and(|title| title.contains("no 1")), "{problem}");
    let fewer = json!({"vcpus": 1, "affinity": "0=1"});
    assert_eq!(client.json("PATCH", "/api/v1/vs/web", &fewer).await.0, 204);
    let heard = server(&mut session).await;
    assert_eq!((heard.vcpus, heard.affinity), (2, vec![1, ANY_PROCESSOR]));
    client.undo(client.newest().await).await;
    assert_eq!(server(&mut session).await.affinity, [ANY_PROCESSOR, 0]);

    for (wrong, status, word) in [
        ("0=2", 409, "has 2 processors"),
        ("2=0", 422, "no 2"),
        ("0", 422, "0 is no"),
        ("0=0,0=1", 422, "twice"),
    ] {
        let (found, problem) = client.pin(wrong).await;
        assert_eq!(found, status, "{wrong}: {problem}");
        let title = problem["title"].as_str().unwrap_or_default();
        assert!(title.contains(word), "{wrong}: {problem}");
    }

    let id = u128::from_str_radix(vs["id"].as_str().expect("an id"), 16).expect("hexadecimal");
    let part = ServerLoad {
        vs: VsId(id.to_be_bytes()),
        instance: started.instance,
        processors: vec![(1, 0), (0, 1)],
        ..ServerLoad::default()
    };
    session.load.servers.push(part);
    session.beat(1000).await.expect("told");
    let seen = client
        .until("/api/v1/vs/web", "where it runs", |vs| {
            vs["processors"].as_array().is_some_and(|all| all.len() == 2)
        })
        .await;
    let of = |at: usize| (&seen["processors"][at]["vcpu"], &seen["processors"][at]["processor"]);
    assert_eq!([of(0), of(1)], [(&json!(0), &json!(1)), (&json!(1), &json!(0))]);

    client.undo(change).await;
    assert_eq!(server(&mut session).await.affinity, [0; 0]);
}
