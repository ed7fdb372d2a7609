//! Reading. Rows are few (nodes, servers, images, accounts); events and history are paged.

use hiqlite::{Param, Params};
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::networks::NetRow;
use crate::open::Store;
use crate::rows::{
    AuthPolicyRow, BlobRow, BmcRow, ContainerRow, EventRow, ImageRow, LicenceRow, NewEvent, NodeRow,
    PartitionRow, PoolRow, SessionRow, TemplateRow, TokenRow, UserRow, VsRow,
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

struct Run(i64, i64);

impl From<&mut hiqlite::Row<'_>> for Run {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self(row.get("first"), row.get("last"))
    }
}

struct Value(String);

impl From<&mut hiqlite::Row<'_>> for Value {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self(row.get("value"))
    }
}

struct Seq(i64);

impl From<&mut hiqlite::Row<'_>> for Seq {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self(row.get("seq"))
    }
}

fn placed(row: &Placed) -> Result<EventRow, StoreError> {
    let event: NewEvent = parse("events", &row.seq.to_string(), &row.doc)?;
    Ok(EventRow { seq: row.seq.unsigned_abs(), event })
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

    /// All partitions, by name.
    pub async fn partitions(&self) -> Result<Vec<PartitionRow>, StoreError> {
        self.docs("partitions", "SELECT id AS key, doc FROM partitions ORDER BY name").await
    }

    /// All pools, by name.
    pub async fn pools(&self) -> Result<Vec<PoolRow>, StoreError> {
        self.docs("pools", "SELECT id AS key, doc FROM pools ORDER BY name").await
    }

    /// All licences.
    pub async fn licences(&self) -> Result<Vec<LicenceRow>, StoreError> {
        self.docs("licences", "SELECT id AS key, doc FROM licences ORDER BY id").await
    }

    /// All templates, by name.
    pub async fn templates(&self) -> Result<Vec<TemplateRow>, StoreError> {
        self.docs("templates", "SELECT id AS key, doc FROM templates ORDER BY name").await
    }

    /// All data centers, virtual mainframes and frames.
    pub async fn containers(&self) -> Result<Vec<ContainerRow>, StoreError> {
        self.docs("containers", "SELECT id AS key, doc FROM containers ORDER BY level, name").await
    }

    /// All virtual switches, ports, gateway ports, VNICs and VHBAs.
    pub async fn networks(&self) -> Result<Vec<NetRow>, StoreError> {
        self.docs("networks", "SELECT id AS key, doc FROM networks ORDER BY kind, name").await
    }

    /// All management controllers of nodes.
    pub async fn bmcs(&self) -> Result<Vec<BmcRow>, StoreError> {
        self.docs("bmcs", "SELECT node AS key, doc FROM bmcs ORDER BY node").await
    }

    /// Identifiers of a kind that were ever drawn, as runs without a gap: first and last, ascending.
    pub async fn drawn(&self, kind: &str) -> Result<Vec<(u64, u64)>, StoreError> {
        let runs: Vec<Run> = self
            .db
            .query_map(
                "SELECT min(n) AS first, max(n) AS last FROM \
                 (SELECT n, n - row_number() OVER (ORDER BY n) AS run FROM identifiers WHERE kind = $1) \
                 GROUP BY run ORDER BY first",
                vec![Param::from(kind)],
            )
            .await?;
        Ok(runs.into_iter().map(|Run(first, last)| (first.unsigned_abs(), last.unsigned_abs())).collect())
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

    /// All tokens of the interface, by name.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.docs("tokens", "SELECT name AS key, doc FROM tokens ORDER BY name").await
    }

    /// All own policies about who may do what, by name.
    pub async fn auth_policies(&self) -> Result<Vec<AuthPolicyRow>, StoreError> {
        self.docs("auth_policies", "SELECT name AS key, doc FROM auth_policies ORDER BY name").await
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
        rows.iter().map(placed).collect()
    }

    /// Up to `limit` events before `before`, newest first.
    pub async fn events_before(&self, before: u64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let rows: Vec<Placed> = self
            .db
            .query_map(
                "SELECT seq, doc FROM events WHERE seq < $1 ORDER BY seq DESC LIMIT $2",
                vec![Param::from(i64::try_from(before).unwrap_or(i64::MAX)), Param::from(i64::from(limit))],
            )
            .await?;
        rows.iter().map(placed).collect()
    }

    /// Sequence of the first event that tells of this transaction or a later one; `None` where there is none.
    pub async fn first_event_of(&self, transaction: u64) -> Result<Option<u64>, StoreError> {
        let found: Option<Seq> = self
            .db
            .query_map_optional(
                "SELECT seq FROM events WHERE (doc ->> '$.transaction') >= $1 ORDER BY seq LIMIT 1",
                vec![Param::from(i64::try_from(transaction).unwrap_or(i64::MAX))],
            )
            .await?;
        Ok(found.map(|Seq(seq)| seq.unsigned_abs()))
    }

    /// Sequence of the last event.
    pub async fn last_event(&self) -> u64 {
        if !self.leads() {
            let sql = "SELECT coalesce(max(seq), 0) AS n FROM events";
            return crate::open::number(&self.db, sql).await.unwrap_or(0);
        }
        self.last.lock().await.event
    }
}
