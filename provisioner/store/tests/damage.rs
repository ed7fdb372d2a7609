//! Copies of all rows, and files that are not what was written.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weft_store::{Batch, HistoryFilter, NewEvent, NodeRow, RecordNumber, Store, StoreError, VsRow, restore};

const AT: &str = "2026-01-01T00:00:00Z";
const CHANGES: u64 = 40;

fn node(n: u64) -> NodeRow {
    NodeRow { id: "a".into(), name: format!("node-{n}"), boot_counter: n, ..NodeRow::default() }
}

/// A store with some history, closed.
async fn closed() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("open");
    for n in 1..=CHANGES {
        let told = NewEvent { at: AT.into(), text: n.to_string(), ..NewEvent::default() };
        store
            .commit(Batch::new(AT, "t", "change").put_node(None, &node(n)).event(told))
            .await
            .expect("a change");
    }
    let vs = VsRow { id: "v".into(), name: "web".into(), generation: 7, instance: 2, ..VsRow::default() };
    store
        .commit(Batch::new(AT, "t", "vs create").put_vs(None, &vs).draw("mac", 7, "v"))
        .await
        .expect("a server");
    store.next_record("a").await.expect("a number");
    store.close().await.expect("closed");
    folder
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn twin(of: &TempDir) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copied(of.path(), folder.path());
    folder
}

fn log_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("db/logs")).expect("logs");
    let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "wal"));
    files.sort();
    files.into_iter().next().expect("a log file")
}

fn database(folder: &Path) -> PathBuf {
    folder.join("db/state_machine/db/weft.db")
}

/// The rows and history are those of [`closed`].
async fn whole(folder: &Path) {
    let store = Store::open(folder).await.expect("it opens");
    assert_eq!(store.nodes().await.expect("nodes"), [node(CHANGES)]);
    let all = store.transactions(&HistoryFilter::default(), u64::MAX, 1000).await.expect("history");
    assert_eq!(all.len() as u64, CHANGES + 1);
    store.close().await.expect("closed");
}

async fn refused(folder: &Path, file: &str) -> String {
    match Store::open(folder).await {
        Err(error @ StoreError::Unsound { .. }) => {
            let text = error.to_string();
            assert!(text.contains(file), "{text} does not name {file}");
            text
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it opened, in spite of {file}"),
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[at] ^= 0x40;
    fs::write(path, bytes).expect("written");
}

/// Where a text stands in a file, for the `nth` time.
fn find(path: &Path, text: &str, nth: usize) -> usize {
    let bytes = fs::read(path).expect("read");
    let all = bytes.windows(text.len()).enumerate().filter(|(_, found)| *found == text.as_bytes());
    all.map(|(at, _)| at).nth(nth).expect("it is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_damaged_in_the_middle_is_refused_and_a_torn_end_after_a_crash_is_not() {
    let good = closed().await;
    let middle = twin(&good);
    let log = log_file(middle.path());
    flip(&log, find(&log, "node-20", 0));
    refused(middle.path(), ".wal").await;

    // Closed with all of it: what is gone now was acknowledged.
    let cut = twin(&good);
    let log = log_file(cut.path());
    let at = find(&log, "web", 0);
    let mut bytes = fs::read(&log).expect("read");
    bytes[at..].fill(0);
    fs::write(&log, &bytes).expect("written");
    refused(cut.path(), "logs").await;

    // After a crash nobody knows that there was more, and the rows are those of the log.
    let torn = twin(&good);
    let log = log_file(torn.path());
    fs::write(&log, &bytes).expect("written");
    fs::remove_file(torn.path().join("closed.json")).expect("removed");
    fs::write(torn.path().join("db/state_machine/lock"), "").expect("written");
    let store = Store::open(torn.path()).await.expect("it opens");
    assert_eq!(store.nodes().await.expect("nodes"), [node(CHANGES)]);
    assert!(store.servers().await.expect("servers").is_empty(), "the torn change is not half there");
    store.close().await.expect("closed");

    // A kill, or a full disk, while the next file of the log is made.
    for unmade in [0, 20, 4096] {
        let folder = twin(&good);
        let next = log_file(folder.path()).with_file_name("0000000000000002.wal");
        fs::write(&next, vec![0; unmade]).expect("written");
        whole(folder.path()).await;
    }

    let settings = twin(&good);
    flip(&settings.path().join("db/logs/meta.hql"), 13);
    refused(settings.path(), "meta.hql").await;
    let gone = twin(&good);
    fs::remove_file(log_file(gone.path())).expect("removed");
    refused(gone.path(), "logs").await;
    whole(good.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_changed_or_is_gone_is_built_anew_from_the_log() {
    use std::os::unix::fs::MetadataExt;
    let good = closed().await;
    let number = || fs::metadata(database(good.path())).expect("a file").ino();
    let before = number();
    whole(good.path()).await;
    assert_eq!(number(), before, "what is as it was closed is used");
    let changed = twin(&good);
    let path = database(changed.path());
    // A row that reads well and is wrong: only its digest tells.
    flip(&path, find(&path, "node-40", 0) + 6);
    whole(changed.path()).await;
    let garbage = twin(&good);
    fs::write(database(garbage.path()), b"not a database at all".repeat(500)).expect("written");
    whole(garbage.path()).await;
    let gone = twin(&good);
    fs::remove_file(database(gone.path())).expect("removed");
    whole(gone.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_makes_a_store_with_its_rows_a_later_epoch_and_no_sessions() {
    let good = closed().await;
    let store = Store::open(good.path()).await.expect("open");
    let before = store.next_record("a").await.expect("a number");
    let copy = store.snapshot().await.expect("a copy");
    assert_eq!(
        (copy.transaction, copy.event, copy.schema),
        (CHANGES + 1, CHANGES, weft_store::schema_version())
    );
    store.commit(Batch::new(AT, "t", "later").put_node(None, &node(99))).await.expect("a later change");

    let folder = tempfile::tempdir().expect("a folder");
    let new = folder.path().join("store");
    restore(&new, &copy.path).await.expect("restored");
    let path = copy.path.clone();
    drop(copy);
    assert!(!path.exists(), "the copy goes");
    let again = Store::open(&new).await.expect("it opens");
    assert_eq!(again.nodes().await.expect("nodes"), [node(CHANGES)]);
    let all = |store: Store| async move {
        let all = store.transactions(&HistoryFilter::default(), u64::MAX, 1000).await.expect("history");
        (store, all)
    };
    let ((store, mut old), (again, new)) = (all(store).await, all(again).await);
    old.retain(|row| row.number <= CHANGES + 1);
    assert_eq!(old, new);
    assert_eq!(again.pools().await.expect("pools"), store.pools().await.expect("pools"));
    let taken = again.commit(Batch::new(AT, "t", "t").draw("mac", 7, "w")).await;
    assert!(matches!(taken, Err(StoreError::Taken(_))), "it was drawn before: {taken:?}");
    let next = again.next_record("a").await.expect("a number");
    assert!(next > before && next.epoch == before.epoch + 1, "{next:?} after {before:?}");
    assert!(again.heard_record("a", RecordNumber { epoch: 9, counter: 9 }).await.expect("ahead"));
    let vs = &again.servers().await.expect("servers")[0];
    assert!(vs.generation > 1000 && vs.instance == 2, "{vs:?}");
    let more = again.commit(Batch::new(AT, "t", "t").put_node(None, &node(50))).await.expect("it goes on");
    assert_eq!(more.transaction, Some(CHANGES + 2));
    again.close().await.expect("closed");
    store.close().await.expect("closed");
}

fn snapshot_files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("db/state_machine/snapshots")).into_iter().flatten();
    files
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.len() == 36))
        .collect()
}

/// The rows are those of the last change.
async fn has(folder: &Path, changes: u64) -> Store {
    let store = Store::open(folder).await.expect("it opens");
    assert_eq!(store.nodes().await.expect("nodes"), [node(changes)]);
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_a_snapshot_starts_again_and_again_and_is_refused_where_that_was_changed_or_is_gone() {
    let good = tempfile::tempdir().expect("a folder");
    let store = Store::open_with(good.path(), 20).await.expect("open");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut changes = 0;
    // The log begins behind the snapshot: a file of it is given up once another one is begun.
    let text = "x".repeat(40_000);
    while snapshot_files(good.path()).is_empty() || log_file(good.path()).ends_with("0000000000000001.wal") {
        assert!(std::time::Instant::now() < end, "no snapshot after {changes} changes");
        changes += 1;
        let told = NewEvent { at: AT.into(), text: text.clone(), ..NewEvent::default() };
        store
            .commit(Batch::new(AT, "t", "change").put_node(None, &node(changes)).event(told))
            .await
            .expect("a change");
    }
    // As a crash leaves it, whatever runs.
    let crashed = twin(&good);
    has(crashed.path(), changes).await.close().await.expect("closed");
    store.close().await.expect("closed");
    drop(store);
    for _ in 0..3 {
        let store = has(good.path(), changes).await;
        let crashed = twin(&good);
        has(crashed.path(), changes).await.close().await.expect("closed");
        store.close().await.expect("closed");
    }

    let gone = twin(&good);
    for file in snapshot_files(gone.path()) {
        fs::remove_file(file).expect("removed");
    }
    refused(gone.path(), "no snapshot").await;
    let changed = twin(&good);
    let file = snapshot_files(changed.path()).pop().expect("a snapshot");
    flip(&file, find(&file, "node-", 0) + 5);
    refused(changed.path(), file.file_name().and_then(|name| name.to_str()).expect("a name")).await;
}
