//! Groups of nodes and of servers on the page, in a real browser: what the nodes hear of them.

use serde_json::Value;

use crate::browser::run;
use crate::common::{Appliance, sim};
use crate::hands::Machine;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_servers_are_changed_together_in_the_browser() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    client.makes_container("datacenter", "north", "").await;
    client.makes_container("mainframe", "m1", "north").await;
    client.makes_container("frame", "rack-1", "m1").await;
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let mut machines = Vec::new();
    for number in 1..=3 {
        machines.push(Machine::start(sim(number, &file), &appliance));
        let name = format!("node-{number}");
        let waits = |node: &Value| node["name"] == name.as_str() && node["state"] == "quarantined";
        client
            .until("/api/v1/nodes", "waiting", |all| all.as_array().is_some_and(|all| all.iter().any(waits)))
            .await;
    }
    let fingerprints = format!("{},{}", machines[0].node.fingerprint(), machines[1].node.fingerprint());
    let variables = [
        ("WEFT_FINGERPRINTS", fingerprints.as_str()),
        ("WEFT_BLOB", blob["digest"].as_str().expect("a digest")),
    ];
    println!("{}", run("e2e/groups.mjs", &appliance, folder.path(), &variables).await);
    machines[0].until("a is back", |hands| hands.wishes.last().is_some_and(|wish| wish == "make a")).await;
    // Of frames and labels they heard nothing.
    assert_eq!(machines[0].wishes(), ["make a", "make b", "drop a", "drop b", "make a"]);
    // Started, reset and stopped together, each once.
    let second = "make c, drop c, make a, make b, start a, start b, start a, start b, stop a, stop b, drop a";
    assert_eq!(machines[1].wishes().join(", "), second);
    assert_eq!(machines[2].wishes(), [""; 0], "what was not approved hears nothing");
    assert_eq!(client.node(&machines[2].node).await["state"], "quarantined");
}
