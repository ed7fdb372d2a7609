//! Servers that a viewer may see, by the interface; beside reading and serialising the same rows.

use std::time::Instant;

use serde_json::{Value, json};
use weft_api::Vs;
use weft_hw_tests::report::{Figure, figure};
use weft_store::VsRow;

use super::rows::{Filled, SERVERS, read_only};
use super::support::common::Client;
use super::support::{Asked, steady::Steady};

/// Accounts, and how each may see half of the servers: by a label, or by names.
const VIEWERS: [(&str, &str); 2] = [
    ("by-label", r#"resource.hasTag("team") && resource.getTag("team") == "a""#),
    (
        "by-name",
        r#"resource.name like "*0" || resource.name like "*1" || resource.name like "*2" ||
           resource.name like "*3" || resource.name like "*4""#,
    ),
];

async fn viewer(admin: &Client, name: &str, condition: &str) -> Client {
    let made = async |path: &str, body: Value| {
        let (status, reply) = admin.json("POST", path, &body).await;
        assert_eq!(status, 201, "{reply}");
        reply
    };
    made("/api/v1/accounts", json!({"name": name, "role": "none"})).await;
    let text = format!(
        r#"permit (principal == Account::"{name}", action == Action::"view", resource is Vs) when {{ {condition} }};"#
    );
    made("/api/v1/auth/policies", json!({"name": name, "text": text})).await;
    let token = made("/api/v1/tokens", json!({"name": name, "account": name, "days": 1})).await;
    Client { token: token["token"].as_str().expect("shown once").to_string(), ..admin.clone() }
}

/// Half of the rows, straight from the database.
fn straight(database: &rusqlite::Connection) -> Vec<u8> {
    let mut all = database.prepare_cached("SELECT doc FROM vs ORDER BY name").expect("the table");
    let mut rows = all.query(()).expect("rows");
    let mut shown = Vec::new();
    while let Some(row) = rows.next().expect("a row") {
        let doc = row.get_ref(0).and_then(|doc| Ok(doc.as_str()?)).expect("a document");
        let row: VsRow = serde_json::from_str(doc).expect("a row");
        if row.labels.get("team").is_some_and(|team| team == "a") {
            shown.push(Vs {
                name: row.name,
                state: "unknown".to_string(),
                id: row.id,
                desired: if row.running { "running" } else { "stopped" }.to_string(),
                node: row.node,
                vcpus: row.vcpus,
                memory_mib: row.memory_mib,
                kernel: row.kernel,
                initrd: row.initrd,
                append: row.append,
                macs: row.macs,
                generation: row.generation,
                instance: row.instance,
                labels: row.labels,
                wwnn: row.wwnn,
                ..Vs::default()
            });
        }
    }
    serde_json::to_vec(&shown).expect("JSON")
}

fn count(body: &[u8]) -> usize {
    let all: Value = serde_json::from_slice(body).expect("JSON");
    all.as_array().map_or(0, Vec::len)
}

pub(crate) async fn run(filled: &Filled, admin: &Client, asked: Asked) -> Vec<Figure> {
    let database = read_only(&filled.database());
    let half = SERVERS as usize / 2;
    assert_eq!(count(&straight(&database)), half);
    let mut figures = Vec::new();
    for (name, condition) in VIEWERS {
        let client = viewer(admin, name, condition).await;
        let mut client = Steady::open(&client).await;
        let (status, body) = client.ask("GET", "/api/v1/vs", String::new()).await;
        assert_eq!((status, count(&body)), (200, half));
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for _ in 0..asked.runs * 6 {
            let began = Instant::now();
            let (status, _) = client.ask("GET", "/api/v1/vs", String::new()).await;
            ours.push(began.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(status, 200);
            let began = Instant::now();
            assert!(!straight(&database).is_empty());
            peer.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        let title = format!("list 10,000, seeing half {}", name.replace('-', " "));
        figures.push(figure(&title, "ms", &ours, "SQLite: read, serialise", &peer));
    }
    figures
}
