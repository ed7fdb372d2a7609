//! Durable changes by 16 clients at once, beside the same rows in transactions of a plain database.

use std::time::Instant;

use rusqlite::{Connection, params};
use serde_json::json;
use weft_hw_tests::report::{Figure, figure};
use weft_store::{NewEvent, VsRow};

use super::rows::{Filled, server};
use super::support::common::{Appliance, Client};
use super::support::process::written;
use super::support::{Asked, steady::Steady};

const CLIENTS: u32 = 16;
/// Changes of each client in a round.
const EACH: u32 = 50;

/// Changes a second, and bytes that each had written to the disk.
struct Round {
    rate: f64,
    bytes: f64,
}

impl Round {
    fn of(began: Instant, bytes: u64) -> Self {
        let count = f64::from(CLIENTS * EACH);
        Self { rate: count / began.elapsed().as_secs_f64(), bytes: bytes as f64 / count }
    }
}

/// Each client changes a label of a server of its own, one change after the other.
async fn ours(appliance: &Appliance, admin: &Client, round: usize) -> Round {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push((format!("/api/v1/vs/vs-{}/labels", number * 10), Steady::open(admin).await));
    }
    let before = written(appliance.child.id());
    let began = Instant::now();
    let work = clients.into_iter().map(|(path, mut client)| {
        tokio::spawn(async move {
            for turn in 0..EACH {
                let change = json!({"set": {"turn": format!("{round}-{turn}")}}).to_string();
                let (status, body) = client.ask("POST", &path, change).await;
                assert_eq!(status, 204, "{}", String::from_utf8_lossy(&body));
            }
        })
    });
    for done in futures_util::future::join_all(work).await {
        done.expect("all changes were made");
    }
    Round::of(began, written(appliance.child.id()) - before)
}

/// The same rows, each change a transaction of its own.
fn plain(database: &mut Connection, round: usize) -> Round {
    let last = |sql: &str| database.query_row(sql, (), |row| row.get::<_, i64>(0)).expect("a number");
    let last_transaction = last("SELECT max(number) FROM transactions");
    let last_event = last("SELECT coalesce(max(seq), 0) FROM events");
    let before = written(std::process::id());
    let began = Instant::now();
    for turn in 0..EACH {
        for client in 0..CLIENTS {
            let number = i64::from(turn * CLIENTS + client) + 1;
            write(
                database,
                client * 10,
                &format!("{round}-{turn}"),
                last_transaction + number,
                last_event + number,
            );
        }
    }
    Round::of(began, written(std::process::id()) - before)
}

fn write(database: &mut Connection, number: u32, turn: &str, transaction: i64, seq: i64) {
    let before = server(number);
    let mut after: VsRow = before.clone();
    after.labels.insert("turn".to_string(), turn.to_string());
    let json = |row: &VsRow| serde_json::to_string(row).expect("JSON");
    let at = "2026-01-01T00:00:00.000Z";
    let event = NewEvent {
        at: at.to_string(),
        name: "vs.labelled".to_string(),
        state: "info".to_string(),
        node: format!("node-{}", number / 10 + 1),
        vs: after.name.clone(),
        actor: "admin".to_string(),
        text: format!("labels: team=a, tier=t0, turn={turn}"),
        transaction: transaction.unsigned_abs(),
    };
    let change = database.transaction().expect("a transaction");
    change
        .prepare_cached(
            "INSERT INTO vs (id, name, doc) VALUES (?1, ?2, ?3) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
        )
        .and_then(|mut row| row.execute(params![after.id, after.name, json(&after)]))
        .expect("the server");
    change
        .prepare_cached(
            "INSERT INTO transactions (number, at, actor, verb, cause, undoes, job, kind, object, before, after) \
             VALUES (?1, ?2, 'admin', 'vs label', 'vs label', 0, 0, 'vs', ?3, ?4, ?5)",
        )
        .and_then(|mut row| row.execute(params![transaction, at, after.id, json(&before), json(&after)]))
        .expect("its history");
    change
        .prepare_cached("INSERT INTO events (seq, doc) VALUES (?1, ?2)")
        .and_then(|mut row| row.execute(params![seq, serde_json::to_string(&event).expect("JSON")]))
        .expect("its event");
    change.commit().expect("on the disk");
}

pub(crate) async fn run(filled: &Filled, appliance: &Appliance, admin: &Client, asked: Asked) -> Vec<Figure> {
    let mut database = filled.plain("plain.db");
    // Both have written once before.
    ours(appliance, admin, 0).await;
    plain(&mut database, 0);
    let (mut us, mut them) = (Vec::new(), Vec::new());
    for round in 1..=asked.runs {
        them.push(plain(&mut database, round));
        us.push(ours(appliance, admin, round).await);
    }
    let beside = "SQLite, synced each";
    let of = |rounds: &[Round], value: fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
    vec![
        figure("bytes written a change", "bytes", &of(&us, |r| r.bytes), beside, &of(&them, |r| r.bytes)),
        figure("durable changes, 16 clients", "/s", &of(&us, |r| r.rate), beside, &of(&them, |r| r.rate)),
    ]
}
