//! The map in a real browser against this program: dragging, the keyboard, and very many nodes.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use weft_server::simnode::{Heard, SimSession};
use weft_store::{Batch, ContainerRow, Level, NodeRow, Store, VsRow};
use weft_wire::agent::VsState;
use weft_wire::record::Desired;

use crate::browser::run;
use crate::common::{Appliance, hex, prepared, sim};

/// Does what it is told: what is to run says that it runs.
pub(crate) async fn serve(mut session: SimSession) {
    let mut uptime_ms = 0;
    loop {
        match tokio::time::timeout(Duration::from_secs(1), session.next()).await {
            Ok(Ok(Heard::Config(config))) => {
                for vs in config.servers {
                    let runs = vs.desired == Desired::Running;
                    let state = if runs { VsState::Running } else { VsState::Stopped };
                    if session.status(vs.id, vs.generation, vs.instance, state).await.is_err() {
                        return;
                    }
                }
            }
            Ok(Ok(Heard::Standing(_) | Heard::Refused(_) | Heard::Message(_))) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                uptime_ms += 1000;
                if session.beat(uptime_ms).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Runs the script of the map; what it printed.
async fn browse(appliance: &Appliance, folder: &Path, large: bool) -> String {
    run("e2e/map.mjs", appliance, folder, &[("WEFT_LARGE", if large { "1" } else { "" })]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_servers_are_moved_by_hand_and_by_keyboard_in_the_browser() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let mut served = Vec::new();
    for number in [1, 2] {
        let node = sim(number, &file);
        let mut session = appliance.connect(&node).await;
        client.approve(&node).await;
        session.next_config().await.expect("approved");
        served.push(tokio::spawn(serve(session)));
    }
    client.makes_container("datacenter", "north", "").await;
    client.makes_container("mainframe", "m1", "north").await;
    client.makes_container("frame", "rack-1", "m1").await;
    client.makes_container("frame", "rack-2", "m1").await;
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted =
        json!({"name": "web", "node": "node-1", "vcpus": 1, "memory_mib": 256, "kernel": blob["digest"]});
    let (status, made) = client.json("POST", "/api/v1/vs", &wanted).await;
    assert_eq!(status, 201, "{made}");
    println!("{}", browse(&appliance, folder.path(), false).await);
    served.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A thousand nodes, 45 in each of twenty frames and the others in the free pool, with ten servers each, as an earlier run left them.
async fn fill(data: &Path) {
    let id = |kind: u8, n: u32| {
        let mut bytes = [kind; 16];
        bytes[12..].copy_from_slice(&n.to_be_bytes());
        hex(&bytes)
    };
    let store = Store::open(&data.join("store")).await.expect("a store");
    let row = |level, n: u32, name: String, parent: String| ContainerRow {
        id: id(level as u8 + 1, n),
        level,
        name,
        parent,
        generation: 1,
        ..ContainerRow::default()
    };
    let mut batch = Batch::new("2026-01-01T00:00:00Z", "test", "fill")
        .put_container(None, &row(Level::Datacenter, 0, "north".into(), String::new()))
        .put_container(None, &row(Level::Mainframe, 0, "m1".into(), id(1, 0)));
    for n in 1..=20 {
        batch = batch.put_container(None, &row(Level::Frame, n, format!("rack-{n}"), id(2, 0)));
    }
    for n in 1..=1000u32 {
        let row = NodeRow {
            id: id(9, n),
            key: hex(&[7; 32]),
            name: format!("node-{n}"),
            approved: true,
            frame: if n > 900 { String::new() } else { id(3, (n - 1) / 45 + 1) },
            ..NodeRow::default()
        };
        batch = batch.put_node(None, &row);
    }
    store.commit(batch).await.expect("written");
    for part in 0..10u32 {
        let mut batch = Batch::new("2026-01-01T00:00:00Z", "test", "fill");
        for n in part * 1000..(part + 1) * 1000 {
            let row = VsRow {
                id: id(8, n),
                name: format!("vs-{n}"),
                node: id(9, n / 10 + 1),
                vcpus: 1,
                memory_mib: 64,
                generation: 1,
                ..VsRow::default()
            };
            batch = batch.put_vs(None, &row);
        }
        store.commit(batch).await.expect("written");
    }
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_nodes_with_ten_thousand_servers_are_shown_found_and_dragged() {
    let (folder, key, delegation) = prepared();
    fill(&folder.path().join("data")).await;
    let appliance = Appliance::start(&folder, key, &delegation);
    let client = appliance.first_login().await;
    let all = client.get("/api/v1/topology").await;
    assert_eq!(all["nodes"].as_array().map(Vec::len), Some(1000));
    println!("{}", browse(&appliance, folder.path(), true).await);
}
