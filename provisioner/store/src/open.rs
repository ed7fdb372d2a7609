//! Opening: folder, lock, secrets, database, migrations.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hiqlite::{Client, LogSync, Node, NodeConfig, Param, Params};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Mutex;

use crate::counters::Counter;
use crate::error::StoreError;
use crate::schema::{MIGRATIONS, VERSION};

/// The store. Cheap to share behind an `Arc`.
pub struct Store {
    pub(crate) db: Client,
    /// Sequence of the last event. Held across a commit, so that events come out in their order.
    pub(crate) last_event: Mutex<u64>,
    pub(crate) counters: Mutex<HashMap<String, Counter>>,
    pub(crate) next_mac: Mutex<u32>,
    /// Kept open: the lock lives as long as the store.
    _lock: File,
}

/// Loopback, port of the kernel's choice: one voter speaks to nobody, and nothing else can reach it
/// without the secrets.
const ADDRESS: &str = "127.0.0.1:0";

impl Store {
    /// Opens or makes the store in `folder`.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let lock = take_lock(folder)?;
        let secrets = [secret(folder, "raft.secret")?, secret(folder, "api.secret")?];
        let db_folder = folder.join("db");
        make_folder(&db_folder)?;
        let db = hiqlite::start_node(config(&db_folder, secrets)).await?;
        db.wait_until_healthy_db_timeout(std::time::Duration::from_secs(30)).await?;
        migrate(&db).await?;
        let last_event = number(&db, "SELECT coalesce(max(seq), 0) AS n FROM events").await?;
        let next_mac = number(&db, "SELECT coalesce(max(n), -1) + 1 AS n FROM macs").await?;
        Ok(Self {
            db,
            last_event: Mutex::new(last_event),
            counters: Mutex::new(HashMap::new()),
            next_mac: Mutex::new(u32::try_from(next_mac).map_err(|_| StoreError::Exhausted("the MAC pool"))?),
            _lock: lock,
        })
    }

    /// Closes the log cleanly. A store that is not closed loses nothing; it only starts slower.
    pub async fn close(&self) -> Result<(), StoreError> {
        Ok(self.db.shutdown().await?)
    }
}

fn config(folder: &Path, [secret_raft, secret_api]: [String; 2]) -> NodeConfig {
    let mut raft_config = NodeConfig::default_raft_config(10_000);
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

fn make_folder(path: &Path) -> Result<(), StoreError> {
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

async fn migrate(db: &Client) -> Result<(), StoreError> {
    db.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT",
        Params::new(),
    )
    .await?;
    db.execute("INSERT OR IGNORE INTO schema_version VALUES (1, 0)", Params::new()).await?;
    let found = number(db, "SELECT version AS n FROM schema_version").await? as i64;
    if found > VERSION {
        return Err(StoreError::Newer { found, known: VERSION });
    }
    for (version, statements) in (1i64..).zip(MIGRATIONS) {
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
