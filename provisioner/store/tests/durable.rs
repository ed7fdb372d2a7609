//! What was acknowledged survives `kill -9`, and what must never come back does not.

use std::future::{Future, poll_fn};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::task::Poll;

use weft_store::{Batch, HistoryFilter, NewEvent, NodeRow, RecordNumber, Store, StoreError, VsRow};

const AT: &str = "2026-01-01T00:00:00Z";
const CHILD: &str = "WEFT_STORE_TEST_FOLDER";

fn node(id: &str, name: &str) -> NodeRow {
    NodeRow { id: id.to_string(), name: name.to_string(), ..NodeRow::default() }
}

fn event(text: &str) -> NewEvent {
    NewEvent { at: AT.to_string(), text: text.to_string(), ..NewEvent::default() }
}

/// The first MAC, as a number, that nobody has drawn.
async fn next_mac(store: &Store) -> u64 {
    let runs = store.drawn("mac").await.expect("what is drawn");
    runs.first().map_or(0, |(_, last)| last + 1)
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
        let mac = next_mac(&store).await;
        let row = NodeRow { boot_counter: n, ..node("a", "node-1") };
        let batch = Batch::new(AT, "test", "loop").put_node(None, &row).draw("mac", mac, "v");
        let placed = store.commit(batch.event(event(&n.to_string()))).await.expect("a commit");
        println!("drew {} {} {mac} {n} {}", record.epoch, record.counter, placed.events[0].seq);
    }
}

struct Said {
    record: RecordNumber,
    mac: u64,
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
            last = Some(Said { record: RecordNumber { epoch, counter }, mac, boot_counter, seq });
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
        let mac = next_mac(&store).await;
        assert!(mac > said.mac, "{mac} after {}", said.mac);
        let again = store.commit(Batch::new(AT, "t", "t").draw("mac", said.mac, "w")).await;
        assert!(matches!(again, Err(StoreError::Taken(_))), "it was drawn before the end: {again:?}");
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
    assert_eq!(store.transactions(&HistoryFilter::default(), u64::MAX, 10).await.expect("history").len(), 1);
    // The sequence has no hole where the aborted event would have been.
    let placed = store.commit(Batch::new(AT, "t", "t").event(event("x"))).await.expect("event");
    assert_eq!(placed.events[0].seq, 1);
    store.close().await.expect("closed");
}

/// Drops `work` where it waits for the `waits`th time: at each of its waits in turn, however fast the disk is. True if it
/// was dropped before its end.
async fn go_away_after<F: Future>(waits: u64, work: F) -> bool {
    let mut work = Box::pin(work);
    let mut waited = 0;
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(false),
        Poll::Pending => {
            waited += 1;
            if waited == waits { Poll::Ready(true) } else { Poll::Pending }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_away_during_a_commit_does_not_block_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("open");
    let mut broken = 0;
    for n in 1..=20u64 {
        let row = NodeRow { boot_counter: n, ..node("a", "one") };
        let left = store.commit(Batch::new(AT, "t", "t").put_node(None, &row).event(event("left")));
        broken += usize::from(go_away_after(n, left).await);
        let done = store.commit(Batch::new(AT, "t", "t").put_node(None, &row).event(event("stayed")));
        let done = done.await.expect("the store goes on");
        assert_eq!(store.last_event().await, done.events[0].seq);
    }
    assert!(broken > 0, "nobody went away in the middle");
    // A number stands for one change only.
    let all = store.transactions(&HistoryFilter::default(), u64::MAX, 100).await.expect("history");
    assert!(all.is_sorted_by(|a, b| a.number > b.number), "{all:?}");
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
    assert_eq!(store.transactions(&HistoryFilter::default(), u64::MAX, 10).await.expect("history").len(), 1);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_transaction_and_history_is_found_by_object_and_actor() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("open");
    let vs = |id: &str, name: &str| VsRow { id: id.to_string(), name: name.to_string(), ..VsRow::default() };
    let (first, second) = (vs("1", "web"), vs("2", "db"));
    let both = Batch::new(AT, "ann", "vs create").put_vs(None, &first).put_vs(None, &second);
    assert_eq!(store.commit(both).await.expect("both").transaction, Some(1));
    let seen = store.commit(Batch::new(AT, "ann", "events").event(event("x"))).await.expect("an event");
    assert_eq!(seen.transaction, None, "nothing has a history");
    let gone = Batch::new(AT, "bob", "vs delete").because("a test").delete_vs(&first);
    assert_eq!(store.commit(gone).await.expect("deleted").transaction, Some(2));
    let back = Batch::new(AT, "bob", "vs create").because("undo of 2").undoing(2).put_vs(None, &first);
    assert_eq!(store.commit(back).await.expect("back").transaction, Some(3));

    let numbers =
        |rows: Vec<weft_store::TransactionRow>| -> Vec<u64> { rows.iter().map(|row| row.number).collect() };
    let of =
        |object: &str, actor: &str| HistoryFilter { object: object.to_string(), actor: actor.to_string() };
    let all = store.transactions(&of("", ""), u64::MAX, 2).await.expect("history");
    assert_eq!(numbers(all), [3, 2]);
    let older = store.transactions(&of("", ""), 2, 2).await.expect("history");
    assert_eq!(numbers(older), [1, 1], "both rows of the batch");
    let web = store.transactions(&of("web", "bob"), u64::MAX, 9).await.expect("history");
    assert_eq!(numbers(web), [3, 2]);
    // A transaction is shown whole, also where one of its objects fits.
    let db = store.transactions(&of("2", ""), u64::MAX, 9).await.expect("history");
    assert_eq!(numbers(db), [1, 1]);
    assert_eq!(numbers(store.changes_after("vs", "1", 1, 9).await.expect("later")), [3, 2]);
    assert_eq!(store.undos(1, 9).await.expect("undos"), [(3, 2)]);
    let row = &store.transaction(2).await.expect("one")[0];
    assert_eq!((row.cause.as_str(), row.after.as_str(), row.undoes), ("a test", "null", 0));
    store.close().await.expect("closed");
}
