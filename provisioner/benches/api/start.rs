//! From the program's start to `ready`, beside opening the same database and reading every row.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use weft_hw_tests::report::{Figure, figure};

use super::rows::{Filled, read_only};
use super::support::Asked;
use super::support::common::command;

/// Milliseconds to `ready`.
fn started(filled: &Filled) -> (Child, f64) {
    let log = std::fs::File::create(filled.folder.path().join("start.log")).expect("a log");
    let mut command = command(&filled.data());
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the appliance starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "ready"), "it does not start");
    (child, began.elapsed().as_secs_f64() * 1000.0)
}

async fn ended(mut child: Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, signal).expect("a signal");
    let end = Instant::now() + Duration::from_secs(60);
    while child.try_wait().expect("waited").is_none() {
        assert!(Instant::now() < end, "it does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Rows of the database, and the milliseconds to read each column of each of them.
fn read(filled: &Filled) -> (usize, f64) {
    let began = Instant::now();
    let database = read_only(&filled.database());
    let mut tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").expect("tables");
    let names: Vec<String> =
        tables.query_map((), |row| row.get(0)).expect("tables").map(|name| name.expect("a name")).collect();
    let (mut count, mut bytes) = (0, 0);
    for name in names {
        let mut all = database.prepare(&format!("SELECT * FROM \"{name}\"")).expect("a table");
        let columns = all.column_count();
        let mut rows = all.query(()).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            count += 1;
            for column in 0..columns {
                bytes +=
                    row.get_ref(column).ok().and_then(|value| value.as_bytes().ok()).map_or(0, <[u8]>::len);
            }
        }
    }
    assert!(bytes > 0, "nothing was read");
    (count, began.elapsed().as_secs_f64() * 1000.0)
}

pub(crate) async fn run(filled: &Filled, asked: Asked) -> Vec<Figure> {
    use rustix::process::Signal;
    // The first start makes keys, the certificate and the first account.
    ended(started(filled).0, Signal::TERM).await;
    let (mut clean, mut killed, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..asked.runs.max(3) {
        let (rows, took) = read(filled);
        peer.push(took);
        assert!(rows > 40_000, "{rows} rows");
        let (child, took) = started(filled);
        clean.push(took);
        ended(child, Signal::KILL).await;
        let (child, took) = started(filled);
        killed.push(took);
        ended(child, Signal::TERM).await;
    }
    let beside = "SQLite: open, read every row";
    vec![
        figure("start to ready, 10,000 servers", "ms", &clean, beside, &peer),
        figure("… after kill -9", "ms", &killed, beside, &peer),
    ]
}
