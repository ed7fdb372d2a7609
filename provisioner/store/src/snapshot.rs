//! Copies of all rows: taken while the store is in use, and put into a new store.
//!
//! A copy is one SQLite file, made by `VACUUM INTO` on a connection of its own: a read transaction, so it stands between two
//! batches and holds nobody up. It is read with this program's own schema in mind: tables are those that the migrations up to
//! its version make, so a copy brings rows and no triggers, views or indexes of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hiqlite::rusqlite::types::ValueRef;
use hiqlite::rusqlite::{Connection, Error as SqlError, OpenFlags};
use hiqlite::{Client, Param, Params};

use crate::damage;
use crate::error::StoreError;
use crate::open::{self, Store};
use crate::rows::{BlobRow, ImageRow};
use crate::schema::MIGRATIONS;
use crate::voters::Voters;

/// Copies that a killed process left begin so.
const COPY: &str = "copy-";
/// Rows that are put into a new store at once, in bytes of their values.
const PIECE: usize = 256 * 1024;
/// How far a restored server's generation is set ahead: nodes keep what they were told of a later generation.
const AHEAD: i64 = 1 << 20;

/// The schema version that brought several appliances.
const SEVERAL: u64 = 10;

/// A copy of all rows. The file goes with it.
#[derive(Debug)]
pub struct Snapshot {
    /// Where it is.
    pub path: PathBuf,
    /// Its schema version.
    pub schema: i64,
    /// The cluster's identity.
    pub cluster: String,
    /// Number of its last transaction.
    pub transaction: u64,
    /// Sequence number of its last event.
    pub event: u64,
    /// Digests of the files that its images name.
    pub files: Vec<String>,
    /// Digests of the files that its guests are made of.
    pub blobs: Vec<String>,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // One that stays goes at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn database(error: &SqlError) -> StoreError {
    let text = error.to_string();
    if text.contains("database or disk is full") { StoreError::Full } else { StoreError::Database(text) }
}

fn only_read(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|error| database(&error))
}

fn one(db: &Connection, sql: &str) -> Result<i64, StoreError> {
    db.query_row(sql, (), |row| row.get(0)).map_err(|error| database(&error))
}

fn documents<T: serde::de::DeserializeOwned>(
    db: &Connection,
    table: &'static str,
) -> Result<Vec<T>, StoreError> {
    let sql = format!("SELECT doc FROM {table}");
    let mut statement = db.prepare(&sql).map_err(|error| database(&error))?;
    let texts = statement.query_map((), |row| row.get::<_, String>(0)).map_err(|error| database(&error))?;
    texts
        .map(|text| {
            let text = text.map_err(|error| database(&error))?;
            serde_json::from_str(&text).map_err(|error| StoreError::Damaged { table, key: error.to_string() })
        })
        .collect()
}

impl Store {
    /// Copies all rows, as they stand between two batches.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let folder = self.folder.clone();
        let taken = tokio::task::spawn_blocking(move || take(&folder)).await;
        taken.map_err(|_| StoreError::Database("the copy broke off".into()))?
    }
}

fn take(folder: &Path) -> Result<Snapshot, StoreError> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = folder.join(format!("{COPY}{}-{next}.db", std::process::id()));
    // The folder is its owner's alone, so nobody else reads it before it has its mode.
    let mut snapshot = Snapshot {
        path,
        schema: 0,
        cluster: String::new(),
        transaction: 0,
        event: 0,
        files: Vec::new(),
        blobs: Vec::new(),
    };
    let live = only_read(&open::database_path(folder))?;
    live.execute("VACUUM INTO ?1", [snapshot.path.display().to_string()])
        .map_err(|error| database(&error))?;
    let fail = |source| StoreError::Folder { path: snapshot.path.clone(), source };
    fs::set_permissions(&snapshot.path, fs::Permissions::from_mode(0o600)).map_err(fail)?;
    let db = only_read(&snapshot.path)?;
    snapshot.schema = one(&db, "SELECT version FROM schema_version")?;
    snapshot.cluster = db
        .query_row("SELECT coalesce((SELECT value FROM meta WHERE key = 'cluster'), '')", (), |row| {
            row.get(0)
        })
        .map_err(|error| database(&error))?;
    let last = |sql| one(&db, sql).map(i64::unsigned_abs);
    snapshot.transaction = last("SELECT coalesce(max(number), 0) FROM transactions")?;
    snapshot.event = last("SELECT coalesce(max(seq), 0) FROM events")?;
    for image in documents::<ImageRow>(&db, "images")? {
        snapshot.files.extend([image.file, image.bios_file].into_iter().filter(|file| !file.is_empty()));
    }
    snapshot.files.sort();
    snapshot.files.dedup();
    snapshot.blobs = documents::<BlobRow>(&db, "blobs")?.into_iter().map(|blob| blob.digest).collect();
    snapshot.blobs.sort();
    Ok(snapshot)
}

/// Removes copies that a killed process left.
pub(crate) fn tidy(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(COPY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Schema version that this program makes.
pub fn schema_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Makes a store in the new folder `folder` of the copy `from`, ready to be opened.
///
/// Each node's records begin a new epoch, and servers a generation far ahead: nodes may know later ones than the copy. Sessions
/// are left out: one that ended since the copy must not come back.
pub async fn restore(folder: &Path, from: &Path) -> Result<(), StoreError> {
    make(folder, from, None).await
}

/// The same, with everything as it is in the copy, for a store that several appliances hold: the one that it was made of knows
/// its voter at an address where nobody reaches it, and the log has no way to change that.
pub async fn refound(folder: &Path, from: &Path, voters: &Voters) -> Result<(), StoreError> {
    make(folder, from, Some(voters)).await
}

async fn make(folder: &Path, from: &Path, voters: Option<&Voters>) -> Result<(), StoreError> {
    let copy = from.to_path_buf();
    let judged = tokio::task::spawn_blocking(move || judge(&copy)).await;
    let schema = judged.map_err(|_| StoreError::Database("the copy was not read".into()))??;
    open::make_folder(folder)?;
    let db = open::start_voter(folder, open::SNAPSHOT_AFTER, voters).await?;
    let known = usize::try_from(schema).ok().and_then(|known| MIGRATIONS.get(..known));
    open::migrate(&db, known.unwrap_or(MIGRATIONS)).await?;
    let done = fill(&db, from, voters.is_some()).await;
    let closed = db.shutdown().await;
    done?;
    closed?;
    let folder = folder.to_path_buf();
    let kept = tokio::task::spawn_blocking(move || damage::closed(&folder)).await;
    kept.map_err(|_| StoreError::Database("the new store was not looked at".into()))?
}

/// The version of a copy that can be restored.
fn judge(from: &Path) -> Result<i64, StoreError> {
    let unsound = |_| StoreError::Unsound { path: from.to_path_buf(), what: "it is no database".into() };
    let db = only_read(from)?;
    let sound: String = db.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0)).map_err(unsound)?;
    if sound != "ok" {
        return Err(StoreError::Unsound { path: from.to_path_buf(), what: sound });
    }
    let found = one(&db, "SELECT version FROM schema_version")?;
    let known = schema_version();
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(found) }
}

/// A table and its columns.
struct Table {
    name: String,
    columns: Vec<String>,
}

struct Text(String);

impl From<&mut hiqlite::Row<'_>> for Text {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self(row.get("t"))
    }
}

/// The tables that the migrations made, but for what the log keeps for itself.
async fn tables(db: &Client) -> Result<Vec<Table>, StoreError> {
    let sql = "SELECT name AS t FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
               AND name NOT LIKE '\\_%' ESCAPE '\\' AND name <> 'schema_version' ORDER BY name";
    let names: Vec<Text> = db.query_map(sql, Params::new()).await?;
    let mut tables = Vec::with_capacity(names.len());
    for Text(name) in names {
        let sql = "SELECT name AS t FROM pragma_table_info($1) ORDER BY cid";
        let columns: Vec<Text> = db.query_map(sql, vec![Param::from(name.as_str())]).await?;
        tables.push(Table { name, columns: columns.into_iter().map(|Text(name)| name).collect() });
    }
    Ok(tables)
}

async fn fill(db: &Client, from: &Path, as_it_is: bool) -> Result<(), StoreError> {
    for table in tables(db).await? {
        // Terms begin anew with the log.
        if table.name == "leadership" {
            continue;
        }
        // What migrations put there stands in the copy too, as it is by now.
        if table.name == "pools" {
            db.execute("DELETE FROM pools", Params::new()).await?;
        }
        if table.name == "sessions" && !as_it_is {
            continue;
        }
        copy(db, from, &table).await?;
    }
    if as_it_is {
        return Ok(());
    }
    // Addresses were given since the copy that it knows nothing of, and appliances are those that join the new one.
    let made = open::number(db, "SELECT version AS n FROM schema_version").await?;
    if made >= SEVERAL {
        for sql in ["DELETE FROM leases", "DELETE FROM appliances", "DELETE FROM invitations"] {
            db.execute(sql, Params::new()).await?;
        }
    }
    let counters = "UPDATE counters SET epoch = epoch + 1, ceiling = 1";
    db.execute(counters, Params::new()).await?;
    let servers = "UPDATE vs SET doc = json_set(doc, '$.generation', (doc ->> '$.generation') + $1)";
    db.execute(servers, vec![Param::from(AHEAD)]).await?;
    Ok(())
}

/// Reads a table in a thread of its own, and writes it in pieces.
async fn copy(db: &Client, from: &Path, table: &Table) -> Result<(), StoreError> {
    let columns = table.columns.join(", ");
    let places: Vec<String> = (1..=table.columns.len()).map(|place| format!("${place}")).collect();
    let insert = format!("INSERT INTO {} ({columns}) VALUES ({})", table.name, places.join(", "));
    let select = format!("SELECT {columns} FROM {} ORDER BY rowid", table.name);
    let (sender, mut pieces) = tokio::sync::mpsc::channel::<Vec<Params>>(2);
    let from = from.to_path_buf();
    let width = table.columns.len();
    let reading = tokio::task::spawn_blocking(move || read(&from, &select, width, &sender));
    while let Some(rows) = pieces.recv().await {
        let statements: Vec<(String, Params)> = rows.into_iter().map(|row| (insert.clone(), row)).collect();
        for result in db.txn(statements).await? {
            result?;
        }
    }
    reading.await.map_err(|_| StoreError::Database("the copy was not read".into()))?
}

fn read(
    from: &Path,
    select: &str,
    width: usize,
    sender: &tokio::sync::mpsc::Sender<Vec<Params>>,
) -> Result<(), StoreError> {
    let fail = |error: SqlError| database(&error);
    let db = only_read(from)?;
    let mut statement = db.prepare(select).map_err(fail)?;
    let mut rows = statement.query(()).map_err(fail)?;
    let (mut piece, mut size) = (Vec::new(), 0usize);
    while let Some(row) = rows.next().map_err(fail)? {
        let mut values = Params::with_capacity(width);
        for place in 0..width {
            values.push(match row.get_ref(place).map_err(fail)? {
                ValueRef::Null => Param::Null,
                ValueRef::Integer(number) => Param::from(number),
                ValueRef::Real(number) => Param::from(number),
                ValueRef::Text(text) => {
                    size = size.saturating_add(text.len());
                    Param::from(String::from_utf8_lossy(text).into_owned())
                }
                ValueRef::Blob(bytes) => {
                    size = size.saturating_add(bytes.len());
                    Param::Blob(bytes.to_vec())
                }
            });
        }
        size = size.saturating_add(64);
        piece.push(values);
        if size >= PIECE {
            size = 0;
            if sender.blocking_send(std::mem::take(&mut piece)).is_err() {
                return Ok(());
            }
        }
    }
    if !piece.is_empty() {
        // Whoever is gone has its own error.
        let _ = sender.blocking_send(piece);
    }
    Ok(())
}
