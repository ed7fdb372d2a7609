//! Tables. A migration is never edited once released; a new one is added at the end.

/// One migration: statements run in one transaction.
pub(crate) type Migration = &'static [&'static str];

/// All migrations, oldest first. The schema version is their number.
pub(crate) const MIGRATIONS: &[Migration] = &[&[
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "CREATE TABLE nodes (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, doc TEXT NOT NULL) STRICT",
    "CREATE TABLE vs (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, doc TEXT NOT NULL) STRICT",
    "CREATE TABLE images (digest TEXT PRIMARY KEY, doc TEXT NOT NULL) STRICT",
    "CREATE TABLE blobs (digest TEXT PRIMARY KEY, doc TEXT NOT NULL) STRICT",
    "CREATE TABLE users (name TEXT PRIMARY KEY, doc TEXT NOT NULL) STRICT",
    "CREATE TABLE sessions (token_hash TEXT PRIMARY KEY, name TEXT NOT NULL, doc TEXT NOT NULL) STRICT",
    "CREATE TABLE reservations (mac TEXT PRIMARY KEY, address TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE counters (node TEXT PRIMARY KEY, epoch INTEGER NOT NULL, ceiling INTEGER NOT NULL) STRICT",
    "CREATE TABLE macs (n INTEGER PRIMARY KEY, vs TEXT NOT NULL) STRICT",
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, doc TEXT NOT NULL) STRICT",
    "CREATE TABLE transactions (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, actor TEXT NOT NULL, \
     cause TEXT NOT NULL, kind TEXT NOT NULL, object TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL) STRICT",
    "CREATE INDEX transactions_object ON transactions (kind, object)",
    // History is only added to: the database itself refuses anything else.
    "CREATE TRIGGER transactions_kept BEFORE DELETE ON transactions BEGIN SELECT RAISE(ABORT, 'history is kept'); END",
    "CREATE TRIGGER transactions_fixed BEFORE UPDATE ON transactions BEGIN SELECT RAISE(ABORT, 'history is kept'); END",
    "CREATE TRIGGER macs_kept BEFORE DELETE ON macs BEGIN SELECT RAISE(ABORT, 'a MAC is never drawn twice'); END",
]];

/// Version of this program's schema.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;
