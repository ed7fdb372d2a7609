//! Networks and processors on the page, in a real browser; what the node hears of it.

use serde_json::json;
use weft_server::simnode::Heard;

use crate::browser::run;
use crate::common::{Appliance, sim};

#[tokio::test(flavor = "multi_thread")]
async fn processors_and_vnics_are_placed_by_hand_by_keyboard_and_by_menu_in_the_browser() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let nodes = [sim(1, &file), sim(2, &file)];
    let mut sessions = Vec::new();
    for node in &nodes {
        let mut session = appliance.connect(node).await;
        client.approve(node).await;
        session.next_config().await.expect("approved");
        sessions.push(session);
    }
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted =
        json!({"name": "web", "node": "node-1", "vcpus": 2, "memory_mib": 256, "kernel": blob["digest"]});
    let (status, made) = client.json("POST", "/api/v1/vs", &wanted).await;
    assert_eq!(status, 201, "{made}");
    let mut first = sessions.remove(0);
    // Each configuration that the node hears: which processors it is told of, by virtual one.
    let heard = tokio::spawn(async move {
        let mut all: Vec<Vec<u16>> = Vec::new();
        loop {
            match first.next().await {
                Ok(Heard::Config(config)) => {
                    all.extend(config.servers.into_iter().map(|server| server.affinity));
                    if all.last().is_some_and(|last| *last == [1, 0]) {
                        return (all, first);
                    }
                }
                Ok(_) => {}
                Err(error) => panic!("the session ended: {error}"),
            }
        }
    });
    println!("{}", run("e2e/networks.mjs", &appliance, folder.path(), &[]).await);
    let (all, _session) = heard.await.expect("told of both processors");
    let any = weft_wire::record::ANY_PROCESSOR;
    let told: Vec<&Vec<u16>> = all.iter().filter(|one| !one.is_empty()).collect();
    assert_eq!(
        told,
        [&vec![any, 0], &vec![1, 0]],
        "once for each change of processors, and of networks nothing"
    );
    drop(sessions);
}
