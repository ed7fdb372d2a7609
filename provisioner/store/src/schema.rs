//! Tables. A migration is never edited once released; a new one is added at the end.

/// One migration: statements run in one transaction.
pub(crate) type Migration = &'static [&'static str];

/// All migrations, oldest first. The schema version is their number.
pub(crate) const MIGRATIONS: &[Migration] = &[
    &[
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
    ],
    &["CREATE TABLE partitions (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, doc TEXT NOT NULL) STRICT"],
    // Rows of one batch get one number. Those that are there already count as one batch where they follow one another
    // with the same time, actor and cause. Two changes that did so within one millisecond become one.
    &[
        "ALTER TABLE transactions ADD COLUMN number INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE transactions ADD COLUMN verb TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE transactions ADD COLUMN undoes INTEGER NOT NULL DEFAULT 0",
        "DROP TRIGGER transactions_fixed",
        "UPDATE transactions SET number = grouped.first, verb = CASE cause WHEN 'approve' THEN 'node approve' \
     WHEN 'forget' THEN 'node forget' ELSE cause END FROM \
     (SELECT place, min(place) OVER (PARTITION BY at, actor, cause, run) AS first FROM \
     (SELECT id AS place, at, actor, cause, id - row_number() OVER (PARTITION BY at, actor, cause ORDER BY id) AS run \
     FROM transactions)) AS grouped \
     WHERE grouped.place = transactions.id",
        "CREATE TRIGGER transactions_fixed BEFORE UPDATE ON transactions BEGIN SELECT RAISE(ABORT, 'history is kept'); END",
        "CREATE INDEX transactions_number ON transactions (number)",
        "CREATE INDEX transactions_undoes ON transactions (undoes) WHERE undoes > 0",
    ],
    // One table of all identifiers that were ever drawn, of every kind, as numbers. MACs of before were `02:57` and a
    // count. The two pools that there always are begin where the count began.
    &[
        "CREATE TABLE identifiers (kind TEXT NOT NULL, n INTEGER NOT NULL, vs TEXT NOT NULL, PRIMARY KEY (kind, n)) STRICT",
        "INSERT INTO identifiers (kind, n, vs) SELECT 'mac', 0x025700000000 + n, vs FROM macs",
        "DROP TRIGGER macs_kept",
        "DROP TABLE macs",
        "CREATE TRIGGER identifiers_kept BEFORE DELETE ON identifiers \
     BEGIN SELECT RAISE(ABORT, 'an identifier is never drawn twice'); END",
        "CREATE TRIGGER identifiers_fixed BEFORE UPDATE ON identifiers \
     BEGIN SELECT RAISE(ABORT, 'an identifier is never drawn twice'); END",
        "CREATE TABLE pools (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, doc TEXT NOT NULL) STRICT",
        "CREATE TABLE licences (id TEXT PRIMARY KEY, doc TEXT NOT NULL) STRICT",
        "CREATE TABLE templates (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, doc TEXT NOT NULL) STRICT",
        "INSERT INTO pools (id, name, doc) VALUES ('00000000000000000000000000000001', 'default-mac', \
     '{\"id\":\"00000000000000000000000000000001\",\"name\":\"default-mac\",\"kind\":\"mac\",\"oui\":\"\",\
\"ranges\":[\"02:57:00:00:00:00-02:57:00:ff:ff:ff\"],\"generation\":1}')",
        "INSERT INTO pools (id, name, doc) VALUES ('00000000000000000000000000000002', 'default-wwnn', \
     '{\"id\":\"00000000000000000000000000000002\",\"name\":\"default-wwnn\",\"kind\":\"wwnn\",\"oui\":\"\",\
\"ranges\":[\"30:57:00:00:00:00:00:00-30:57:00:00:00:ff:ff:ff\"],\"generation\":1}')",
    ],
    // Jobs, and which of them made a transaction: none of those that are there already.
    &[
        "CREATE TABLE jobs (number INTEGER PRIMARY KEY, ended INTEGER NOT NULL, doc TEXT NOT NULL) STRICT",
        "CREATE INDEX jobs_open ON jobs (number) WHERE ended = 0",
        "CREATE TRIGGER jobs_kept BEFORE DELETE ON jobs BEGIN SELECT RAISE(ABORT, 'jobs are kept'); END",
        "ALTER TABLE transactions ADD COLUMN job INTEGER NOT NULL DEFAULT 0",
    ],
    // Whoever had an account was the administrator. Tokens and own policies are new.
    &[
        "UPDATE users SET doc = json_set(doc, '$.role', 'administrator')",
        "CREATE TABLE tokens (name TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, account TEXT NOT NULL, doc TEXT NOT NULL) STRICT",
        "CREATE TABLE auth_policies (name TEXT PRIMARY KEY, doc TEXT NOT NULL) STRICT",
    ],
    // What nodes stand in. Nodes that are there already stay in the free pool: nobody told where they are.
    &[
        "CREATE TABLE containers (id TEXT PRIMARY KEY, level TEXT NOT NULL, name TEXT NOT NULL, doc TEXT NOT NULL, \
     UNIQUE (level, name)) STRICT",
    ],
    // Keys of changes, and what was answered. Nothing that was asked before had one.
    &[
        "CREATE TABLE answers (actor TEXT NOT NULL, key TEXT NOT NULL, print TEXT NOT NULL, at INTEGER NOT NULL, \
     tx INTEGER NOT NULL, status INTEGER NOT NULL, form TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (actor, key)) STRICT",
        "CREATE INDEX answers_at ON answers (at)",
    ],
    // Management controllers of nodes. Those that are there already have none.
    &["CREATE TABLE bmcs (node TEXT PRIMARY KEY, doc TEXT NOT NULL) STRICT"],
    // Who leads, where several appliances hold the store. Each write inserts its term into `fence`, which keeps nothing.
    &[
        "CREATE TABLE leadership (one INTEGER PRIMARY KEY CHECK (one = 1), term INTEGER NOT NULL, member INTEGER NOT NULL) STRICT",
        "INSERT INTO leadership (one, term, member) VALUES (1, 0, 0)",
        "CREATE TRIGGER leadership_rises BEFORE UPDATE ON leadership WHEN NEW.term < OLD.term \
     BEGIN SELECT RAISE(ABORT, 'a later leader writes'); END",
        "CREATE VIEW fence AS SELECT term FROM leadership",
        "CREATE TRIGGER fence_holds INSTEAD OF INSERT ON fence WHEN NEW.term <> (SELECT term FROM leadership) \
     BEGIN SELECT RAISE(ABORT, 'a later leader writes'); END",
        // The appliances themselves, and what invites another.
        "CREATE TABLE appliances (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, doc TEXT NOT NULL) STRICT",
        "CREATE TABLE invitations (hash TEXT PRIMARY KEY, expires INTEGER NOT NULL, used INTEGER NOT NULL) STRICT",
        // Addresses given by DHCP, where several appliances give them.
        "CREATE TABLE leases (address INTEGER PRIMARY KEY, hw TEXT NOT NULL, expires INTEGER NOT NULL, state TEXT NOT NULL) STRICT",
    ],
    // Switches and what is on them. What a server has by itself has a row from its first change on. `taken` is what at most
    // one of a kind may have: a port, a NIC.
    &[
        "CREATE TABLE networks (id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, taken TEXT, doc TEXT NOT NULL, \
     UNIQUE (kind, name), UNIQUE (kind, taken)) STRICT",
    ],
];
