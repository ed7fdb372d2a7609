//! A batch: a change with its history and its events, committed as one.
//!
//! To SQLite `$1` is a name, not a place: parameters bind in the order in which they first appear. Each
//! statement here therefore uses `$1`, `$2` … in that order.

use std::borrow::Cow;

use hiqlite::{Param, Params};
use serde::Serialize;

use crate::error::StoreError;
use crate::open::Store;
use crate::rows::{BlobRow, EventRow, ImageRow, NewEvent, NodeRow, SessionRow, UserRow, VsRow};

/// Statements that are written together, or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    at: String,
    actor: String,
    cause: String,
    statements: Vec<(Cow<'static, str>, Params)>,
    events: Vec<NewEvent>,
}

impl Batch {
    /// Starts a batch: when (RFC 3339), who, and why.
    pub fn new(at: impl Into<String>, actor: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { at: at.into(), actor: actor.into(), cause: cause.into(), ..Self::default() }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.events.is_empty()
    }

    fn push(&mut self, sql: &'static str, params: Params) {
        self.statements.push((Cow::Borrowed(sql), params));
    }

    fn history(&mut self, kind: &'static str, key: &str, before: Option<String>, after: Option<String>) {
        let null = || "null".to_string();
        self.push(
            "INSERT INTO transactions (at, actor, cause, kind, object, before, after) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            vec![
                Param::from(self.at.as_str()),
                Param::from(self.actor.as_str()),
                Param::from(self.cause.as_str()),
                Param::from(kind),
                Param::from(key),
                Param::from(before.unwrap_or_else(null)),
                Param::from(after.unwrap_or_else(null)),
            ],
        );
    }

    /// Adds or replaces a node. A name that another node has aborts the batch.
    #[must_use]
    pub fn put_node(mut self, before: Option<&NodeRow>, row: &NodeRow) -> Self {
        self.push(
            "INSERT INTO nodes (id, name, doc) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
            vec![Param::from(row.id.as_str()), Param::from(row.name.as_str()), Param::from(json(row))],
        );
        self.history("node", &row.id, before.map(json), Some(json(row)));
        self
    }

    /// Keeps what a node reports about itself, without a history row: it is no change of intent.
    #[must_use]
    pub fn observe_node(mut self, row: &NodeRow) -> Self {
        self.push(
            "UPDATE nodes SET doc = $1 WHERE id = $2",
            vec![Param::from(json(row)), Param::from(row.id.as_str())],
        );
        self
    }

    /// Forgets a node. Its record counter stays, so that no number comes back.
    #[must_use]
    pub fn delete_node(mut self, row: &NodeRow) -> Self {
        self.push("DELETE FROM nodes WHERE id = $1", vec![Param::from(row.id.as_str())]);
        self.history("node", &row.id, Some(json(row)), None);
        self
    }

    /// Adds or replaces a virtual server.
    #[must_use]
    pub fn put_vs(mut self, before: Option<&VsRow>, row: &VsRow) -> Self {
        self.push(
            "INSERT INTO vs (id, name, doc) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
            vec![Param::from(row.id.as_str()), Param::from(row.name.as_str()), Param::from(json(row))],
        );
        self.history("vs", &row.id, before.map(json), Some(json(row)));
        self
    }

    /// Deletes a virtual server. Its MACs stay drawn.
    #[must_use]
    pub fn delete_vs(mut self, row: &VsRow) -> Self {
        self.push("DELETE FROM vs WHERE id = $1", vec![Param::from(row.id.as_str())]);
        self.history("vs", &row.id, Some(json(row)), None);
        self
    }

    /// Adds or replaces an image.
    #[must_use]
    pub fn put_image(mut self, before: Option<&ImageRow>, row: &ImageRow) -> Self {
        self.push(
            "INSERT INTO images (digest, doc) VALUES ($1, $2) ON CONFLICT (digest) DO UPDATE SET doc = excluded.doc",
            vec![Param::from(row.digest.as_str()), Param::from(json(row))],
        );
        self.history("image", &row.digest, before.map(json), Some(json(row)));
        self
    }

    /// Adds a blob. One that is there stays.
    #[must_use]
    pub fn put_blob(mut self, row: &BlobRow) -> Self {
        self.push(
            "INSERT OR IGNORE INTO blobs (digest, doc) VALUES ($1, $2)",
            vec![Param::from(row.digest.as_str()), Param::from(json(row))],
        );
        self.history("blob", &row.digest, None, Some(json(row)));
        self
    }

    /// Adds or replaces an account. History names it and leaves the hash out.
    #[must_use]
    pub fn put_user(mut self, row: &UserRow) -> Self {
        self.push(
            "INSERT INTO users (name, doc) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET doc = excluded.doc",
            vec![Param::from(row.name.as_str()), Param::from(json(row))],
        );
        let shown = UserRow { hash: String::new(), ..row.clone() };
        self.history("user", &row.name, None, Some(json(&shown)));
        self
    }

    /// Adds a session.
    #[must_use]
    pub fn put_session(mut self, row: &SessionRow) -> Self {
        self.push(
            "INSERT INTO sessions (token_hash, name, doc) VALUES ($1, $2, $3) \
             ON CONFLICT (token_hash) DO UPDATE SET doc = excluded.doc",
            vec![
                Param::from(row.token_hash.as_str()),
                Param::from(row.user.as_str()),
                Param::from(json(row)),
            ],
        );
        self
    }

    /// Ends a session.
    #[must_use]
    pub fn delete_session(mut self, token_hash: &str) -> Self {
        self.push("DELETE FROM sessions WHERE token_hash = $1", vec![Param::from(token_hash)]);
        self
    }

    /// Ends every session of an account.
    #[must_use]
    pub fn delete_sessions_of(mut self, user: &str) -> Self {
        self.push("DELETE FROM sessions WHERE name = $1", vec![Param::from(user)]);
        self
    }

    /// Sets a value of the appliance itself.
    #[must_use]
    pub fn put_meta(mut self, key: &'static str, value: &str) -> Self {
        self.push(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            vec![Param::from(key), Param::from(value)],
        );
        self
    }

    /// Reserves an address for a MAC.
    #[must_use]
    pub fn put_reservation(mut self, mac: &str, address: &str) -> Self {
        self.push(
            "INSERT INTO reservations (mac, address) VALUES ($1, $2) \
             ON CONFLICT (mac) DO UPDATE SET address = excluded.address",
            vec![Param::from(mac), Param::from(address)],
        );
        self.history("reservation", mac, None, Some(json(&address)));
        self
    }

    /// Adds an event.
    #[must_use]
    pub fn event(mut self, event: NewEvent) -> Self {
        self.events.push(event);
        self
    }

    /// Drops events up to `seq`, in blocks of the caller's choice.
    #[must_use]
    pub fn trim_events(mut self, seq: u64) -> Self {
        self.push(
            "DELETE FROM events WHERE seq <= $1",
            vec![Param::from(i64::try_from(seq).unwrap_or(i64::MAX))],
        );
        self
    }
}

impl Store {
    /// Writes a batch. When this returns, it is on disk. Gives back its events with their places.
    pub async fn commit(&self, batch: Batch) -> Result<Vec<EventRow>, StoreError> {
        let mut last = self.last_event.lock().await;
        let mut statements = batch.statements;
        let mut events = Vec::with_capacity(batch.events.len());
        let mut seq = *last;
        for event in batch.events {
            seq = seq.checked_add(1).ok_or(StoreError::Exhausted("the event sequence"))?;
            let place = i64::try_from(seq).map_err(|_| StoreError::Exhausted("the event sequence"))?;
            statements.push((
                Cow::Borrowed("INSERT INTO events (seq, doc) VALUES ($1, $2)"),
                vec![Param::from(place), Param::from(json(&event))],
            ));
            events.push(EventRow { seq, event });
        }
        if statements.is_empty() {
            return Ok(events);
        }
        for result in self.db.txn(statements).await? {
            result?;
        }
        *last = seq;
        Ok(events)
    }
}

/// Our own rows always turn into JSON: they hold strings, numbers and lists only.
fn json<T: Serialize + ?Sized>(row: &T) -> String {
    serde_json::to_string(row).expect("rows are plain data")
}
