//! Reading. Rows are few (nodes, servers, images, accounts); events and history are paged.

use hiqlite::{Param, Params};
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::open::Store;
use crate::rows::{
    BlobRow, EventRow, ImageRow, NewEvent, NodeRow, SessionRow, TransactionRow, UserRow, VsRow,
};

struct Doc {
    key: String,
    doc: String,
}

impl From<&mut hiqlite::Row<'_>> for Doc {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self { key: row.get("key"), doc: row.get("doc") }
    }
}

struct Placed {
    seq: i64,
    doc: String,
}

impl From<&mut hiqlite::Row<'_>> for Placed {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self { seq: row.get("seq"), doc: row.get("doc") }
    }
}

struct Value(String);

impl From<&mut hiqlite::Row<'_>> for Value {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self(row.get("value"))
    }
}

struct History(TransactionRow);

impl From<&mut hiqlite::Row<'_>> for History {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        let id: i64 = row.get("id");
        Self(TransactionRow {
            id: id.unsigned_abs(),
            at: row.get("at"),
            actor: row.get("actor"),
            cause: row.get("cause"),
            kind: row.get("kind"),
            object: row.get("object"),
            before: row.get("before"),
            after: row.get("after"),
        })
    }
}

fn parse<T: DeserializeOwned>(table: &'static str, key: &str, doc: &str) -> Result<T, StoreError> {
    serde_json::from_str(doc).map_err(|_| StoreError::Damaged { table, key: key.to_string() })
}

impl Store {
    async fn docs<T: DeserializeOwned>(
        &self,
        table: &'static str,
        sql: &'static str,
    ) -> Result<Vec<T>, StoreError> {
        let rows: Vec<Doc> = self.db.query_map(sql, Params::new()).await?;
        rows.iter().map(|row| parse(table, &row.key, &row.doc)).collect()
    }

    /// All nodes, by name.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.docs("nodes", "SELECT id AS key, doc FROM nodes ORDER BY name").await
    }

    /// All virtual servers, by name.
    pub async fn servers(&self) -> Result<Vec<VsRow>, StoreError> {
        self.docs("vs", "SELECT id AS key, doc FROM vs ORDER BY name").await
    }

    /// All images.
    pub async fn images(&self) -> Result<Vec<ImageRow>, StoreError> {
        self.docs("images", "SELECT digest AS key, doc FROM images ORDER BY digest").await
    }

    /// All blobs.
    pub async fn blobs(&self) -> Result<Vec<BlobRow>, StoreError> {
        self.docs("blobs", "SELECT digest AS key, doc FROM blobs ORDER BY digest").await
    }

    /// All accounts.
    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        self.docs("users", "SELECT name AS key, doc FROM users ORDER BY name").await
    }

    /// All sessions.
    pub async fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.docs("sessions", "SELECT token_hash AS key, doc FROM sessions").await
    }

    /// A value of the appliance itself.
    pub async fn meta(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        let row: Option<Value> = self
            .db
            .query_map_optional("SELECT value FROM meta WHERE key = $1", vec![Param::from(key)])
            .await?;
        Ok(row.map(|Value(value)| value))
    }

    /// Reserved addresses by MAC.
    pub async fn reservations(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows: Vec<Doc> = self
            .db
            .query_map("SELECT mac AS key, address AS doc FROM reservations ORDER BY mac", Params::new())
            .await?;
        Ok(rows.into_iter().map(|row| (row.key, row.doc)).collect())
    }

    /// Up to `limit` events after `after`, oldest first.
    pub async fn events(&self, after: u64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let rows: Vec<Placed> = self
            .db
            .query_map(
                "SELECT seq, doc FROM events WHERE seq > $1 ORDER BY seq LIMIT $2",
                vec![Param::from(i64::try_from(after).unwrap_or(i64::MAX)), Param::from(i64::from(limit))],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let event: NewEvent = parse("events", &row.seq.to_string(), &row.doc)?;
                Ok(EventRow { seq: row.seq.unsigned_abs(), event })
            })
            .collect()
    }

    /// Sequence of the last event.
    pub async fn last_event(&self) -> u64 {
        *self.last_event.lock().await
    }

    /// Up to `limit` changes after `after`, oldest first.
    pub async fn transactions(&self, after: u64, limit: u32) -> Result<Vec<TransactionRow>, StoreError> {
        let rows: Vec<History> = self
            .db
            .query_map(
                "SELECT * FROM transactions WHERE id > $1 ORDER BY id LIMIT $2",
                vec![Param::from(i64::try_from(after).unwrap_or(i64::MAX)), Param::from(i64::from(limit))],
            )
            .await?;
        Ok(rows.into_iter().map(|History(row)| row).collect())
    }
}
