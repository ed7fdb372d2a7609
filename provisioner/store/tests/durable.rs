//! What was acknowledged survives `kill -9`, and what must never come back does not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use weft_store::{Batch, NewEvent, NodeRow, RecordNumber, Store, StoreError, VsRow};

const AT: &str = "2026-01-01T00:00:00Z";
const CHILD: &str = "WEFT_STORE_TEST_FOLDER";

fn node(id: &str, name: &str) -> NodeRow {
    NodeRow { id: id.to_string(), name: name.to_string(), ..NodeRow::default() }
}

fn event(text: &str) -> NewEvent {
    NewEvent { at: AT.to_string(), text: text.to_string(), ..NewEvent::default() }
}

/// Runs in the child: draws numbers, and says each one that it may use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_draws_until_killed() {
    let Ok(folder) = std::env::var(CHILD) else {
        // Only the parent test below gives it work.
        return;
    };
    let store = Store::open(Path::new(&folder)).await.expect("the child opens the store");
    for n in 0..u64::MAX {
        let record = store.next_record("a").await.expect("a record number");
        let mac = store.draw_mac("v").await.expect("a MAC");
        let row = NodeRow { boot_counter: n, ..node("a", "node-1") };
        let batch = Batch::new(AT, "test", "loop").put_node(None, &row).event(event(&n.to_string()));
        let placed = store.commit(batch).await.expect("a commit");
        println!("drew {} {} {} {n} {}", record.epoch, record.counter, mac[5], placed[0].seq);
    }
}

struct Said {
    record: RecordNumber,
    mac: u8,
    boot_counter: u64,
    seq: u64,
}

fn run_and_kill(folder: &Path, lines: usize) -> Said {
    let mut child = Command::new(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", "child_draws_until_killed", "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut last = None;
    for line in out.lines().map_while(Result::ok).filter(|line| line.contains("drew ")).take(lines) {
        let numbers: Vec<u64> = line
            .split_once("drew ")
            .map(|(_, rest)| rest.split(' ').filter_map(|n| n.parse().ok()).collect())
            .unwrap_or_default();
        if let [epoch, counter, mac, boot_counter, seq] = numbers[..] {
            last = Some(Said {
                record: RecordNumber { epoch, counter },
                mac: u8::try_from(mac).expect("a byte"),
                boot_counter,
                seq,
            });
        }
    }
    child.kill().expect("kill -9");
    child.wait().expect("the child ends");
    last.expect("the child drew")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_numbers_and_rows_survive_kill_9_and_none_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..3 {
        let said = run_and_kill(folder.path(), 5 + round);
        let store = Store::open(folder.path()).await.expect("the store opens after kill -9");
        let next = store.next_record("a").await.expect("a record number");
        assert!(next > said.record, "{next:?} after {:?}", said.record);
        let mac = store.draw_mac("v").await.expect("a MAC");
        assert!(mac[5] > said.mac, "{} after {}", mac[5], said.mac);
        let nodes = store.nodes().await.expect("nodes");
        assert!(nodes[0].boot_counter >= said.boot_counter);
        let events = store.events(said.seq - 1, 1).await.expect("events");
        assert_eq!(events[0].event.text, said.boot_counter.to_string());
        store.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_aborts_the_whole_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("open");
    store.commit(Batch::new(AT, "t", "t").put_node(None, &node("a", "one"))).await.expect("first");
    let vs = VsRow { id: "v".to_string(), name: "v".to_string(), ..VsRow::default() };
    let batch = Batch::new(AT, "t", "t")
        .put_vs(None, &vs)
        .event(event("not to be seen"))
        .put_node(None, &node("b", "one"));
    let error = store.commit(batch).await.expect_err("the name is taken");
    assert!(matches!(error, StoreError::Taken(_)), "{error:?}");
    assert!(store.servers().await.expect("servers").is_empty());
    assert!(store.events(0, 10).await.expect("events").is_empty());
    assert_eq!(store.transactions(0, 10).await.expect("history").len(), 1);
    // The sequence has no hole where the aborted event would have been.
    let placed = store.commit(Batch::new(AT, "t", "t").event(event("x"))).await.expect("event");
    assert_eq!(placed[0].seq, 1);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observation_is_kept_and_writes_no_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("open");
    store.commit(Batch::new(AT, "t", "t").put_node(None, &node("a", "one"))).await.expect("put");
    let seen = NodeRow { boot_counter: 7, ..node("a", "one") };
    store.commit(Batch::new(AT, "t", "t").observe_node(&seen)).await.expect("observed");
    assert_eq!(store.nodes().await.expect("nodes"), vec![seen]);
    assert_eq!(store.transactions(0, 10).await.expect("history").len(), 1);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_ahead_of_the_store_starts_a_new_epoch() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("open");
    let first = store.next_record("a").await.expect("number");
    assert!(!store.heard_record("a", first).await.expect("known"));
    let ahead = RecordNumber { epoch: 1, counter: 5000 };
    assert!(store.heard_record("a", ahead).await.expect("ahead"));
    let next = store.next_record("a").await.expect("number");
    assert!(next > ahead && next.epoch == 2, "{next:?}");
    let last = RecordNumber { epoch: u64::MAX, counter: 1 };
    assert!(matches!(store.heard_record("a", last).await, Err(StoreError::Exhausted(_))));
    assert_eq!(store.next_record("b").await.expect("number").epoch, 1);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_appliance_on_the_folder_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("open");
    assert!(matches!(Store::open(folder.path()).await, Err(StoreError::InUse(_))));
    store.probe().await.expect("healthy");
    store.close().await.expect("closed");
}
