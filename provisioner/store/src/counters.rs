//! Record counters: numbers that are never used twice.
//!
//! A counter is reserved in blocks. The upper end of a block is on disk before its first number is
//! given out; a start begins behind the last block. So a crash skips numbers and repeats none.

use hiqlite::{Param, Params};

use crate::error::StoreError;
use crate::open::Store;

/// Numbers reserved at once.
const BLOCK: i64 = 64;

/// Position of a signed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordNumber {
    /// Grows when an appliance's store was restored.
    pub epoch: u64,
    /// Grows within an epoch.
    pub counter: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    epoch: i64,
    next: i64,
    /// First number that is not reserved.
    ceiling: i64,
}

struct Row {
    epoch: i64,
    ceiling: i64,
}

impl From<&mut hiqlite::Row<'_>> for Row {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self { epoch: row.get("epoch"), ceiling: row.get("ceiling") }
    }
}

impl Store {
    async fn load(&self, node: &str) -> Result<Counter, StoreError> {
        let row: Option<Row> = self
            .db
            .query_map_optional(
                "SELECT epoch, ceiling FROM counters WHERE node = $1",
                vec![Param::from(node)],
            )
            .await?;
        let Row { epoch, ceiling } = row.unwrap_or(Row { epoch: 1, ceiling: 1 });
        Ok(Counter { epoch, next: ceiling, ceiling })
    }

    async fn reserve(&self, node: &str, counter: &mut Counter) -> Result<(), StoreError> {
        let ceiling = counter.next.checked_add(BLOCK).ok_or(StoreError::Exhausted("a record counter"))?;
        let sql = "INSERT INTO counters (node, epoch, ceiling) VALUES ($1, $2, $3) \
                   ON CONFLICT (node) DO UPDATE SET epoch = excluded.epoch, ceiling = excluded.ceiling";
        let params = vec![Param::from(node), Param::from(counter.epoch), Param::from(ceiling)];
        self.write(vec![(sql, params)]).await?;
        counter.ceiling = ceiling;
        Ok(())
    }

    /// The next number for a record to `node`; durable before it is returned.
    pub async fn next_record(&self, node: &str) -> Result<RecordNumber, StoreError> {
        let mut counters = self.counters.lock().await;
        let mut counter = match counters.get(node) {
            Some(known) => *known,
            None => self.load(node).await?,
        };
        if counter.next >= counter.ceiling {
            self.reserve(node, &mut counter).await?;
        }
        let number =
            RecordNumber { epoch: counter.epoch.unsigned_abs(), counter: counter.next.unsigned_abs() };
        counter.next = counter.next.checked_add(1).ok_or(StoreError::Exhausted("a record counter"))?;
        counters.insert(node.to_string(), counter);
        Ok(number)
    }

    /// Epoch of the records to `node` from now on.
    pub async fn record_epoch(&self, node: &str) -> Result<u64, StoreError> {
        let mut counters = self.counters.lock().await;
        let counter = match counters.get(node) {
            Some(known) => *known,
            None => self.load(node).await?,
        };
        counters.insert(node.to_string(), counter);
        Ok(counter.epoch.unsigned_abs())
    }

    /// Whether this store has given out a number for a record to `node` beyond this one. It takes no note of the node: it
    /// may be anybody.
    pub async fn has_numbered(&self, node: &str, heard: RecordNumber) -> Result<bool, StoreError> {
        let known = self.counters.lock().await.get(node).copied();
        let counter = match known {
            Some(known) => known,
            None => self.load(node).await?,
        };
        Ok(heard < RecordNumber { epoch: counter.epoch.unsigned_abs(), counter: counter.next.unsigned_abs() })
    }

    /// Takes note of the last record that `node` applied. Where it lies beyond what this store has given
    /// out, the store is an older copy: a new epoch begins above it. Returns whether one did.
    pub async fn heard_record(&self, node: &str, heard: RecordNumber) -> Result<bool, StoreError> {
        let mut counters = self.counters.lock().await;
        let mut counter = match counters.get(node) {
            Some(known) => *known,
            None => self.load(node).await?,
        };
        let given =
            RecordNumber { epoch: counter.epoch.unsigned_abs(), counter: counter.next.unsigned_abs() };
        if heard < given {
            counters.insert(node.to_string(), counter);
            return Ok(false);
        }
        counter.epoch = heard
            .epoch
            .checked_add(1)
            .and_then(|epoch| i64::try_from(epoch).ok())
            .ok_or(StoreError::Exhausted("a record epoch"))?;
        counter.next = 1;
        self.reserve(node, &mut counter).await?;
        counters.insert(node.to_string(), counter);
        Ok(true)
    }

    /// Writes nothing and waits until what was written before is applied: a probe of the database.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let _: Vec<ProbeRow> =
            self.db.query_map("SELECT version AS n FROM schema_version", Params::new()).await?;
        Ok(self.db.is_healthy_db().await?)
    }
}

struct ProbeRow;

impl From<&mut hiqlite::Row<'_>> for ProbeRow {
    fn from(_: &mut hiqlite::Row<'_>) -> Self {
        Self
    }
}
