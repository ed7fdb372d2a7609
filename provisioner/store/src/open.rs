//! Opening: folder, lock, secrets, database, migrations.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hiqlite::{Client, LogSync, Node, NodeConfig, Param, Params};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Mutex;

use crate::counters::Counter;
use crate::damage;
use crate::error::StoreError;
use crate::schema::{MIGRATIONS, Migration};
use crate::snapshot;

/// Changes after which the log is replaced by a snapshot of what they led to.
pub(crate) const SNAPSHOT_AFTER: u64 = 10_000;
/// How often it is looked for new snapshots of the log.
const SNAPSHOTS_EVERY: Duration = Duration::from_secs(30);

/// The store. Cheap to share behind an `Arc`.
pub struct Store {
    pub(crate) db: Client,
    /// Held across a commit, so that events and transactions come out in their order.
    pub(crate) last: Mutex<Last>,
    pub(crate) counters: Mutex<HashMap<String, Counter>>,
    pub(crate) folder: PathBuf,
    /// Ends with the store.
    _watch: Arc<()>,
    /// Kept open: the lock lives as long as the store.
    _lock: File,
}

/// The last numbers that were given out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) event: u64,
    pub(crate) transaction: u64,
}

/// Loopback, port of the kernel's choice: one voter speaks to nobody, and nothing else can reach it
/// without the secrets.
const ADDRESS: &str = "127.0.0.1:0";

impl Store {
    /// Opens or makes the store in `folder`.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_with(folder, SNAPSHOT_AFTER).await
    }

    /// The same, with a snapshot of the log after so many changes.
    pub async fn open_with(folder: &Path, snapshot_after: u64) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let lock = take_lock(folder)?;
        snapshot::tidy(folder).map_err(|source| StoreError::Folder { path: folder.to_path_buf(), source })?;
        damage::look(folder)?;
        let db = start(folder, snapshot_after).await?;
        migrate(&db, MIGRATIONS).await?;
        let event = number(&db, "SELECT coalesce(max(seq), 0) AS n FROM events").await?;
        let transaction = number(&db, "SELECT coalesce(max(number), 0) AS n FROM transactions").await?;
        let watch = Arc::new(());
        tokio::spawn(watch_snapshots(Arc::downgrade(&watch), folder.to_path_buf()));
        Ok(Self {
            db,
            last: Mutex::new(Last { event, transaction }),
            counters: Mutex::new(HashMap::new()),
            folder: folder.to_path_buf(),
            _watch: watch,
            _lock: lock,
        })
    }

    /// Closes the log cleanly. A store that is not closed loses nothing; it only starts slower.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.db.shutdown().await?;
        let folder = self.folder.clone();
        let kept = tokio::task::spawn_blocking(move || damage::closed(&folder)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "the next start builds the database anew");
        }
        Ok(())
    }
}

/// Keeps the digest of each snapshot soon after it was made.
async fn watch_snapshots(store: std::sync::Weak<()>, folder: PathBuf) {
    loop {
        tokio::time::sleep(SNAPSHOTS_EVERY).await;
        if store.upgrade().is_none() {
            return;
        }
        let folder = folder.clone();
        let kept = tokio::task::spawn_blocking(move || damage::remember(&folder)).await;
        if let Ok(Err(error)) = kept {
            tracing::debug!(%error, "digests of snapshots");
        }
    }
}

/// Where the rows are.
pub(crate) fn database_path(folder: &Path) -> PathBuf {
    folder.join("db/state_machine/db/weft.db")
}

/// The database as it is on disk.
pub(crate) async fn start(folder: &Path, snapshot_after: u64) -> Result<Client, StoreError> {
    let secrets = [secret(folder, "raft.secret")?, secret(folder, "api.secret")?];
    let db_folder = folder.join("db");
    make_folder(&db_folder)?;
    let db = hiqlite::start_node(config(&db_folder, secrets, snapshot_after)).await?;
    db.wait_until_healthy_db_timeout(std::time::Duration::from_secs(30)).await?;
    Ok(db)
}

fn config(folder: &Path, [secret_raft, secret_api]: [String; 2], snapshot_after: u64) -> NodeConfig {
    let mut raft_config = NodeConfig::default_raft_config(snapshot_after);
    raft_config.cluster_name = "weft".to_string();
    // With one voter an election is won at once; waiting for others' heartbeats only delays the start.
    raft_config.heartbeat_interval = 200;
    raft_config.election_timeout_min = 500;
    raft_config.election_timeout_max = 800;
    NodeConfig {
        node_id: 1,
        nodes: vec![Node { id: 1, addr_raft: ADDRESS.to_string(), addr_api: ADDRESS.to_string() }],
        listen_addr_api: "127.0.0.1".into(),
        listen_addr_raft: "127.0.0.1".into(),
        data_dir: folder.display().to_string().into(),
        filename_db: "weft.db".into(),
        wal_sync: LogSync::Immediate,
        raft_config,
        secret_raft,
        secret_api,
        prepared_statement_cache_capacity: 64,
        read_pool_size: 2,
        ..NodeConfig::default()
    }
}

pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StoreError::Folder { path: path.to_path_buf(), source })
}

fn take_lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let fail = |source| StoreError::Folder { path: path.clone(), source };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_path_buf())),
        Err(fs::TryLockError::Error(error)) => Err(fail(error)),
    }
}

/// Reads a secret, or draws it at the first start.
fn secret(folder: &Path, name: &str) -> Result<String, StoreError> {
    let path = folder.join(name);
    let fail = |path: &PathBuf| {
        let path = path.clone();
        move |source| StoreError::Folder { path, source }
    };
    match fs::read_to_string(&path) {
        Ok(text) if text.len() >= 32 => return Ok(text),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(&path)(error)),
    }
    let mut bytes = [0u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| StoreError::Exhausted("the system's randomness"))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(fail(&path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail(&path))?;
    Ok(text)
}

pub(crate) async fn migrate(db: &Client, migrations: &[Migration]) -> Result<(), StoreError> {
    db.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT",
        Params::new(),
    )
    .await?;
    db.execute("INSERT OR IGNORE INTO schema_version VALUES (1, 0)", Params::new()).await?;
    let found = number(db, "SELECT version AS n FROM schema_version").await? as i64;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, statements) in (1i64..).zip(migrations) {
        if version <= found {
            continue;
        }
        let mut all: Vec<(&'static str, Params)> =
            statements.iter().map(|sql| (*sql, Params::new())).collect();
        all.push(("UPDATE schema_version SET version = $1", vec![Param::from(version)]));
        for result in db.txn(all).await? {
            result?;
        }
        tracing::info!(version, "store schema migrated");
    }
    Ok(())
}

struct Number(i64);

impl From<&mut hiqlite::Row<'_>> for Number {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self(row.get("n"))
    }
}

pub(crate) async fn number(db: &Client, sql: &'static str) -> Result<u64, StoreError> {
    let Number(n) = db.query_map_one(sql, Params::new()).await?;
    u64::try_from(n).map_err(|_| StoreError::Damaged { table: "numbers", key: sql.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ANSWER_KEPT_S, AnswerRow, AskedRow, Batch, BmcRow, ContainerRow, JobRow, JobState, Level, StepRow,
        THIS_TRANSACTION, VsRow,
    };

    /// A store as the second schema left it, with these history rows: time, cause, object.
    async fn old_store(folder: &Path, rows: &[(&str, &str, &str)]) {
        let db = start(folder, SNAPSHOT_AFTER).await.expect("a database");
        migrate(&db, MIGRATIONS.split_at(2).0).await.expect("the second schema");
        for (at, cause, object) in rows {
            db.execute(
                "INSERT INTO transactions (at, actor, cause, kind, object, before, after) \
                 VALUES ($1, 'admin', $2, 'image', $3, 'null', '{}')",
                vec![Param::from(*at), Param::from(*cause), Param::from(*object)],
            )
            .await
            .expect("a row");
        }
        db.shutdown().await.expect("closed");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn rows_from_before_there_were_labels_load_and_keep_what_they_have() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
        migrate(&db, MIGRATIONS).await.expect("the schema");
        let vs = r#"{"id":"v","name":"web","node":"n","running":true,"vcpus":2,"memory_mib":256,"kernel":"k",
            "kernel_size":1,"initrd":"","initrd_size":0,"append":"","macs":["02:57:00:00:00:00"],"generation":4,
            "instance":2}"#;
        let node = r#"{"id":"n","key":"k","name":"node-1","approved":true,"approved_boot_only":false,"conflict":"",
            "boot_counter":1,"mac":"","address":"","first_seen":"","last_seen":"","report":null}"#;
        for (sql, doc) in [
            ("INSERT INTO vs (id, name, doc) VALUES ('v', 'web', $1)", vs),
            ("INSERT INTO nodes (id, name, doc) VALUES ('n', 'node-1', $1)", node),
        ] {
            db.execute(sql, vec![Param::from(doc)]).await.expect("a row");
        }
        db.shutdown().await.expect("closed");
        let store = Store::open(folder.path()).await.expect("it opens");
        let [vs] = store.servers().await.expect("servers").try_into().expect("one");
        assert_eq!((vs.labels.len(), vs.running, vs.generation, vs.instance), (0, true, 4, 2));
        let [node] = store.nodes().await.expect("nodes").try_into().expect("one");
        assert!(node.labels.is_empty() && node.approved, "{node:?}");
        store.close().await.expect("closed");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn macs_of_the_third_schema_stay_drawn_and_the_two_pools_are_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
        migrate(&db, MIGRATIONS.split_at(3).0).await.expect("the third schema");
        for n in [0i64, 1, 2, 9] {
            let row = vec![Param::from(n), Param::from("v")];
            db.execute("INSERT INTO macs (n, vs) VALUES ($1, $2)", row).await.expect("a MAC");
        }
        db.shutdown().await.expect("closed");
        let store = Store::open(folder.path()).await.expect("it migrates");
        let at = 0x0257_0000_0000u64;
        assert_eq!(store.drawn("mac").await.expect("runs"), [(at, at + 2), (at + 9, at + 9)]);
        assert_eq!(store.drawn("wwnn").await.expect("runs"), []);
        let pools = store.pools().await.expect("pools");
        let told: Vec<_> = pools.iter().map(|pool| (pool.name.as_str(), pool.kind.as_str())).collect();
        assert_eq!(told, [("default-mac", "mac"), ("default-wwnn", "wwnn")]);
        let vs = VsRow { id: "w".to_string(), name: "w".to_string(), ..VsRow::default() };
        let again = Batch::new("", "t", "t").put_vs(None, &vs).draw("mac", at + 9, "w");
        assert!(matches!(store.commit(again).await, Err(StoreError::Taken(_))), "it was drawn before");
        assert!(store.servers().await.expect("servers").is_empty(), "none of the batch was written");
        for sql in ["DELETE FROM identifiers", "UPDATE identifiers SET n = n + 100"] {
            assert!(store.db.execute(sql, Params::new()).await.is_err(), "{sql}");
        }
        store.close().await.expect("closed");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn history_from_before_there_were_jobs_is_of_none_and_a_job_stands_with_its_transaction() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
        migrate(&db, MIGRATIONS.split_at(4).0).await.expect("the fourth schema");
        db.execute(
            "INSERT INTO transactions (number, at, actor, verb, cause, undoes, kind, object, before, after) \
             VALUES (7, 't', 'admin', 'vs stop', 'vs stop', 0, 'vs', 'v', '{}', '{}')",
            Params::new(),
        )
        .await
        .expect("a row");
        db.shutdown().await.expect("closed");
        let store = Store::open(folder.path()).await.expect("it migrates");
        assert_eq!(store.transaction(7).await.expect("history")[0].job, 0);
        assert_eq!(
            (store.last_job().await.expect("a number"), store.open_jobs().await.expect("jobs").len()),
            (0, 0)
        );

        let step = StepRow { transaction: THIS_TRANSACTION, ..StepRow::default() };
        let job = JobRow { number: 1, steps: vec![step, StepRow::default()], ..JobRow::default() };
        let vs = VsRow { id: "w".to_string(), name: "w".to_string(), ..VsRow::default() };
        let change = || Batch::new("t", "admin", "vs create");
        let done = store.commit(change().put_vs(None, &vs).put_job(job.clone())).await.expect("a change");
        assert_eq!(done.transaction, Some(8));
        assert_eq!(store.transaction(8).await.expect("history")[0].job, 1);
        let kept = store.job(1).await.expect("a job").expect("it is there");
        assert_eq!((kept.steps[0].transaction, kept.steps[1].transaction), (8, 0));

        // A change that is refused leaves the job as it was.
        let taken = VsRow { id: "x".to_string(), ..vs };
        let next = JobRow { state: JobState::Undoing, ..kept.clone() };
        let refused = store.commit(change().put_vs(None, &taken).put_job(next.clone())).await;
        assert!(matches!(refused, Err(StoreError::Taken(_))), "{refused:?}");
        assert_eq!(store.open_jobs().await.expect("jobs"), [kept]);
        let ended = JobRow { state: JobState::Undone, ..next };
        store.commit(change().put_job(ended.clone())).await.expect("written");
        assert!(store.open_jobs().await.expect("jobs").is_empty());
        assert_eq!(store.jobs(u64::MAX, 10).await.expect("jobs"), [ended]);
        assert!(store.db.execute("DELETE FROM jobs", Params::new()).await.is_err());
        store.close().await.expect("closed");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_database_of_an_earlier_schema_migrates_and_its_history_gets_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        let early = "2026-01-01T00:00:00Z";
        let late = "2026-01-02T00:00:00Z";
        let rows = [
            (early, "publish", "a"),
            (late, "activate", "a"),
            (late, "activate", "b"),
            (late, "x", "c"),
            // The same again at the same time, as where the clock was set back, with another change between.
            (late, "activate", "a"),
        ];
        old_store(folder.path(), &rows).await;
        let store = Store::open(folder.path()).await.expect("it migrates");
        let all = store.transactions(&crate::HistoryFilter::default(), u64::MAX, 10).await.expect("history");
        let told: Vec<(u64, &str, &str)> =
            all.iter().map(|row| (row.number, row.verb.as_str(), row.object.as_str())).collect();
        assert_eq!(
            told,
            [
                (5, "activate", "a"),
                (4, "x", "c"),
                (2, "activate", "a"),
                (2, "activate", "b"),
                (1, "publish", "a")
            ]
        );

        // New numbers come behind, and what was migrated is as fixed as before.
        let vs = VsRow { id: "v".to_string(), name: "v".to_string(), ..VsRow::default() };
        let done =
            store.commit(Batch::new(late, "t", "vs create").put_vs(None, &vs)).await.expect("a change");
        assert_eq!(done.transaction, Some(6));
        for sql in ["UPDATE transactions SET actor = 'x'", "DELETE FROM transactions"] {
            assert!(store.db.execute(sql, Params::new()).await.is_err(), "{sql}");
        }
        store.close().await.expect("closed");
        drop(store);
        let store = Store::open(folder.path()).await.expect("a later start");
        let again = store.transaction(6).await.expect("history");
        assert_eq!(again.len(), 1);
        store.close().await.expect("closed");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn accounts_from_before_there_were_roles_become_administrators() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
        migrate(&db, MIGRATIONS.split_at(5).0).await.expect("the fifth schema");
        let user = r#"{"name":"admin","hash":"$argon2id$x","must_change":false,"one_time":false}"#;
        let session = r#"{"token_hash":"h","user":"admin","expires":9}"#;
        for (sql, doc) in [
            ("INSERT INTO users (name, doc) VALUES ('admin', $1)", user),
            ("INSERT INTO sessions (token_hash, name, doc) VALUES ('h', 'admin', $1)", session),
        ] {
            db.execute(sql, vec![Param::from(doc)]).await.expect("a row");
        }
        db.shutdown().await.expect("closed");
        let store = Store::open(folder.path()).await.expect("it migrates");
        let [admin] = store.users().await.expect("users").try_into().expect("one");
        assert_eq!((admin.role.as_str(), admin.hash.as_str()), ("administrator", "$argon2id$x"));
        let [session] = store.sessions().await.expect("sessions").try_into().expect("one");
        assert_eq!((session.expires, session.at.as_str()), (9, ""));
        assert!(store.tokens().await.expect("tokens").is_empty());
        // What is in history of accounts and tokens has no hash in it.
        let token = crate::TokenRow { name: "ci".into(), token_hash: "secret".into(), ..Default::default() };
        let batch = Batch::new("now", "admin", "x").put_user(Some(&admin), &admin).put_token(&token);
        let number = store.commit(batch).await.expect("a change").transaction.expect("a number");
        for row in store.transaction(number).await.expect("history") {
            let text = format!("{}{}", row.before, row.after);
            assert!(!text.contains("secret") && !text.contains("argon2"), "{text}");
        }
        assert_eq!(store.tokens().await.expect("tokens"), [token]);
        store.close().await.expect("closed");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nodes_from_before_there_were_frames_are_in_none_and_names_are_of_a_level() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
        migrate(&db, MIGRATIONS.split_at(6).0).await.expect("the sixth schema");
        let node = r#"{"id":"n","key":"k","name":"node-1","approved":true,"approved_boot_only":false,"conflict":"",
            "boot_counter":1,"mac":"","address":"","first_seen":"","last_seen":"","report":null,"labels":{"a":"b"}}"#;
        db.execute("INSERT INTO nodes (id, name, doc) VALUES ('n', 'node-1', $1)", vec![Param::from(node)])
            .await
            .expect("a row");
        db.shutdown().await.expect("closed");
        let store = Store::open(folder.path()).await.expect("it migrates");
        let [node] = store.nodes().await.expect("nodes").try_into().expect("one");
        assert_eq!((node.frame.as_str(), node.labels.len()), ("", 1));
        assert!(store.containers().await.expect("containers").is_empty());

        let row =
            |id: &str, level| ContainerRow { id: id.into(), level, name: "a".into(), ..Default::default() };
        let (datacenter, frame) = (row("1", Level::Datacenter), row("2", Level::Frame));
        let batch = Batch::new("t", "admin", "x").put_container(None, &datacenter);
        store.commit(batch.put_container(None, &frame)).await.expect("two of one name at two levels");
        let taken = Batch::new("t", "admin", "x").put_container(None, &row("3", Level::Frame));
        assert!(matches!(store.commit(taken).await, Err(StoreError::Taken(_))));
        assert_eq!(store.containers().await.expect("containers"), [datacenter, frame.clone()]);
        store.commit(Batch::new("t", "admin", "x").delete_container(&frame)).await.expect("deleted");
        assert_eq!(store.containers().await.expect("containers").len(), 1);
        store.close().await.expect("closed");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keys_of_changes_come_with_the_eighth_schema_and_stand_with_their_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
        migrate(&db, MIGRATIONS.split_at(7).0).await.expect("the seventh schema");
        db.shutdown().await.expect("closed");
        let store = Store::open(folder.path()).await.expect("it migrates");
        assert_eq!(store.answer("ann", "k").await.expect("read"), None);
        let row = |at: u64| AnswerRow {
            actor: "ann".into(),
            key: "k".into(),
            print: "p".into(),
            at,
            ..AnswerRow::default()
        };
        let vs = |id: &str, name: &str| VsRow { id: id.into(), name: name.into(), ..VsRow::default() };
        let change = || Batch::new("t", "ann", "vs create");
        let done =
            store.commit(change().put_vs(None, &vs("v", "web")).keyed(row(100))).await.expect("a change");
        let claimed = AnswerRow { transaction: done.transaction.expect("a number"), ..row(100) };
        assert_eq!(store.answer("ann", "k").await.expect("read"), Some(claimed.clone()));
        assert_eq!(store.answer("bob", "k").await.expect("read"), None);
        // The answer comes behind, and a further batch of the same request changes nothing of it.
        let answered = AnswerRow { status: 201, form: "f".into(), body: "b".into(), ..claimed };
        store.keep_answer(&AnswerRow { transaction: 0, ..answered.clone() }).await.expect("kept");
        store.commit(change().put_vs(None, &vs("w", "db")).keyed(row(101))).await.expect("a change");
        assert_eq!(store.answer("ann", "k").await.expect("read"), Some(answered.clone()));
        // A change that is refused leaves no key.
        let other = AnswerRow { key: "other".into(), ..row(102) };
        let taken = store.commit(change().put_vs(None, &vs("x", "db")).keyed(other)).await;
        assert!(matches!(taken, Err(StoreError::Taken(_))), "{taken:?}");
        assert_eq!(store.answer("ann", "other").await.expect("read"), None);
        store.close().await.expect("closed");
        drop(store);
        let store = Store::open(folder.path()).await.expect("a later start");
        assert_eq!(store.answer("ann", "k").await.expect("read"), Some(answered));
        // After a day it is nobody's key.
        let late = AnswerRow { status: 204, ..row(100 + ANSWER_KEPT_S) };
        store.commit(change().put_vs(None, &vs("y", "late")).keyed(late.clone())).await.expect("a change");
        let found = store.answer("ann", "k").await.expect("read").expect("a new one");
        assert_eq!((found.at, found.status), (late.at, 0));
        for n in 0..20u64 {
            let row = AnswerRow { key: format!("k{n}"), status: 204, ..row(late.at + n) };
            store.keep_within(&row, 5).await.expect("kept");
        }
        for (key, kept) in [("k14", false), ("k15", true), ("k19", true)] {
            assert_eq!(store.answer("ann", key).await.expect("read").is_some(), kept, "{key}");
        }
        store.close().await.expect("closed");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nodes_from_before_there_was_power_have_no_controller_and_history_has_no_password() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
        migrate(&db, MIGRATIONS.split_at(8).0).await.expect("the eighth schema");
        let node = r#"{"id":"n","key":"k","name":"node-1","approved":true,"approved_boot_only":false,"conflict":"",
            "boot_counter":1,"mac":"","address":"","first_seen":"","last_seen":"","report":null}"#;
        db.execute("INSERT INTO nodes (id, name, doc) VALUES ('n', 'node-1', $1)", vec![Param::from(node)])
            .await
            .expect("a row");
        db.shutdown().await.expect("closed");
        let store = Store::open(folder.path()).await.expect("it migrates");
        assert!(store.bmcs().await.expect("controllers").is_empty());
        assert_eq!(store.nodes().await.expect("nodes").len(), 1);

        let row = BmcRow {
            node: "n".into(),
            name: "node-1".into(),
            kind: "ipmi".into(),
            password: "sealed".into(),
            generation: 1,
            ..BmcRow::default()
        };
        let asked = AskedRow { node: "n".into(), asked: "power off".into(), ..AskedRow::default() };
        let change = || Batch::new("t", "admin", "x");
        let batch = change().put_bmc(Some(&row), &row).ask_power(&asked);
        let number = store.commit(batch).await.expect("a change").transaction.expect("a number");
        assert_eq!(store.bmcs().await.expect("controllers"), std::slice::from_ref(&row));
        let history = store.transaction(number).await.expect("history");
        assert_eq!(history.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["bmc", "power"]);
        for row in history {
            let text = format!("{}{}", row.before, row.after);
            assert!(!text.contains("sealed"), "{text}");
        }
        assert!(!format!("{row:?}").contains("sealed"));
        store.commit(change().delete_bmc(&row)).await.expect("cleared");
        assert!(store.bmcs().await.expect("controllers").is_empty());
        store.close().await.expect("closed");
    }
}
