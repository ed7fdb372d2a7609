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
use crate::voters::{API_SECRET, RAFT_SECRET, Voters};

/// Changes after which the log is replaced by a snapshot of what they led to.
pub(crate) const SNAPSHOT_AFTER: u64 = 10_000;
/// Handles that write, one after another, in one term of the log.
const IN_A_TERM: u64 = 1 << 20;
/// How often it is looked for new snapshots of the log.
const SNAPSHOTS_EVERY: Duration = Duration::from_secs(30);

/// Time for the one voter to lead, and how often it is looked.
const LEADS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The store. Cheap to share behind an `Arc`.
///
/// It writes where it leads ([`Store::lead`]), in the term that it was given then; a later leader's term fences it.
pub struct Store {
    pub(crate) db: Client,
    /// Held across a commit, so that events and transactions come out in their order.
    pub(crate) last: Mutex<Last>,
    pub(crate) counters: Mutex<HashMap<String, Counter>>,
    pub(crate) folder: PathBuf,
    /// The term that it writes in; 0 where it only reads.
    pub(crate) term: u64,
    /// Other appliances may hold the same store.
    pub(crate) several: bool,
    /// Ends with the store.
    pub(crate) watch: Arc<()>,
    /// Kept open: the lock lives as long as the store.
    pub(crate) lock: Arc<File>,
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
    /// Opens or makes the store in `folder`, with one voter: it leads.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_with(folder, SNAPSHOT_AFTER).await
    }

    /// The same, with a snapshot of the log after so many changes.
    pub async fn open_with(folder: &Path, snapshot_after: u64) -> Result<Self, StoreError> {
        Self::begin(folder, snapshot_after, None).await?.lead().await
    }

    /// Opens one of several copies, to read. Waits until a majority has chosen who leads.
    pub async fn open_voter(folder: &Path, voters: &Voters) -> Result<Self, StoreError> {
        Self::begin(folder, SNAPSHOT_AFTER, Some(voters)).await
    }

    async fn begin(folder: &Path, snapshot_after: u64, voters: Option<&Voters>) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let lock = take_lock(folder)?;
        snapshot::tidy(folder).map_err(|source| StoreError::Folder { path: folder.to_path_buf(), source })?;
        damage::look(folder)?;
        let db = start_voter(folder, snapshot_after, voters).await?;
        let watch = Arc::new(());
        tokio::spawn(watch_snapshots(Arc::downgrade(&watch), folder.to_path_buf()));
        Ok(Self {
            db,
            last: Mutex::new(Last { event: 0, transaction: 0 }),
            counters: Mutex::new(HashMap::new()),
            folder: folder.to_path_buf(),
            term: 0,
            several: voters.is_some(),
            watch,
            lock: Arc::new(lock),
        })
    }

    /// The same store, to write: takes note in it that this appliance leads, and of the term that it does so in. Refused where
    /// another one leads. What an earlier leader still sends is refused from then on, by the database itself.
    pub async fn lead(&self) -> Result<Self, StoreError> {
        // Its client finds out who leads; else it would send what is written to the leader that it knew.
        self.db.wait_for_cluster_sync_timeout(Duration::from_secs(10)).await?;
        let metrics = self.db.metrics_db().await?;
        if metrics.current_leader != Some(metrics.id) {
            return Err(StoreError::NotLeader);
        }
        migrate(&self.db, MIGRATIONS).await?;
        let number = |number: u64| Param::from(i64::try_from(number).unwrap_or(i64::MAX));
        // The log's leader may have lost its majority and come back in the same term: what it began before is fenced too.
        let first = metrics.current_term.checked_mul(IN_A_TERM).ok_or(StoreError::Exhausted("the terms"))?;
        let end = first.saturating_add(IN_A_TERM);
        // Parameters are taken in the order in which they come first.
        let sql = "UPDATE leadership SET \
                   term = CASE WHEN term >= $1 AND term < $2 - 1 THEN term + 1 ELSE $1 END, member = $3";
        self.db.execute(sql, vec![number(first), number(end), number(metrics.id)]).await?;
        let term = self::number(&self.db, "SELECT term AS n FROM leadership").await?;
        if !(first..end).contains(&term) {
            return Err(StoreError::NotLeader);
        }
        let event = self::number(&self.db, "SELECT coalesce(max(seq), 0) AS n FROM events").await?;
        let transaction =
            self::number(&self.db, "SELECT coalesce(max(number), 0) AS n FROM transactions").await?;
        Ok(self.handle(term, Last { event, transaction }))
    }

    /// The same store, to read.
    #[must_use]
    pub fn reader(&self) -> Self {
        self.handle(0, Last { event: 0, transaction: 0 })
    }

    fn handle(&self, term: u64, last: Last) -> Self {
        Self {
            db: self.db.clone(),
            last: Mutex::new(last),
            counters: Mutex::new(HashMap::new()),
            folder: self.folder.clone(),
            term,
            several: self.several,
            watch: Arc::clone(&self.watch),
            lock: Arc::clone(&self.lock),
        }
    }

    /// Closes the log cleanly. A store that is not closed loses nothing; it only starts slower. One of several is left as it is:
    /// others go on at once where it is gone, and would wait for ten seconds where it is closed.
    pub async fn close(&self) -> Result<(), StoreError> {
        if self.several {
            return Ok(());
        }
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

/// The database as it is on disk, with one voter.
#[cfg(test)]
pub(crate) async fn start(folder: &Path, snapshot_after: u64) -> Result<Client, StoreError> {
    start_voter(folder, snapshot_after, None).await
}

/// The same, where others may hold it too.
pub(crate) async fn start_voter(
    folder: &Path,
    snapshot_after: u64,
    voters: Option<&Voters>,
) -> Result<Client, StoreError> {
    let secrets = [secret(folder, RAFT_SECRET)?, secret(folder, API_SECRET)?];
    let db_folder = folder.join("db");
    make_folder(&db_folder)?;
    let mut config = config(&db_folder, secrets, snapshot_after);
    if let Some(voters) = voters {
        voters.place(&mut config);
    }
    let db = hiqlite::start_node(config).await?;
    if voters.is_none() {
        until_it_leads(&db).await?;
    }
    Ok(db)
}

/// Waits for the one voter. `hiqlite`'s own wait looks twice a second, and one voter leads within milliseconds.
async fn until_it_leads(db: &Client) -> Result<(), StoreError> {
    let leads = async {
        loop {
            match db.is_healthy_db().await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the store has no leader yet"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(LEADS_WITHIN, leads)
        .await
        .map_err(|_| StoreError::Database(format!("no leader within {} s", LEADS_WITHIN.as_secs())))
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
    // Written at each start, also where it changes nothing: with it all that the log has is in the database.
    let table = "CREATE TABLE IF NOT EXISTS schema_version \
                 (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT";
    let row = "INSERT OR IGNORE INTO schema_version VALUES (1, 0)";
    for result in db.txn([table, row].map(|sql| (sql, Params::new()))).await? {
        result?;
    }
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
mod tests;
