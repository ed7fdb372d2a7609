//! Reading history: transactions, newest first and paged, and what came after one of them.

use hiqlite::Param;

use crate::error::StoreError;
use crate::open::Store;
use crate::rows::TransactionRow;

/// Which transactions are wanted; empty fields want all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Those that changed an object with this key, or with this name before or after.
    pub object: String,
    /// Those of this actor.
    pub actor: String,
}

struct History(TransactionRow);

impl From<&mut hiqlite::Row<'_>> for History {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        let number = |value: i64| value.unsigned_abs();
        Self(TransactionRow {
            id: number(row.get("id")),
            number: number(row.get("number")),
            at: row.get("at"),
            actor: row.get("actor"),
            verb: row.get("verb"),
            cause: row.get("cause"),
            undoes: number(row.get("undoes")),
            job: number(row.get("job")),
            kind: row.get("kind"),
            object: row.get("object"),
            before: row.get("before"),
            after: row.get("after"),
        })
    }
}

struct Undo(u64, u64);

impl From<&mut hiqlite::Row<'_>> for Undo {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        let (number, undoes): (i64, i64) = (row.get("number"), row.get("undoes"));
        Self(number.unsigned_abs(), undoes.unsigned_abs())
    }
}

/// A number as a bound: beyond what the database holds is no bound.
fn bound(number: u64) -> Param {
    Param::from(i64::try_from(number).unwrap_or(i64::MAX))
}

impl Store {
    /// The rows of up to `limit` transactions with numbers below `before`, newest transaction first.
    pub async fn transactions(
        &self,
        filter: &HistoryFilter,
        before: u64,
        limit: u32,
    ) -> Result<Vec<TransactionRow>, StoreError> {
        let rows: Vec<History> = self
            .db
            .query_map(
                "SELECT * FROM transactions WHERE number IN (\
                     SELECT DISTINCT number FROM transactions WHERE number < $1 AND ($2 = '' OR actor = $2) \
                     AND ($3 = '' OR object = $3 OR before ->> '$.name' = $3 OR after ->> '$.name' = $3) \
                     ORDER BY number DESC LIMIT $4) \
                 ORDER BY number DESC, id",
                vec![
                    bound(before),
                    Param::from(filter.actor.as_str()),
                    Param::from(filter.object.as_str()),
                    Param::from(i64::from(limit)),
                ],
            )
            .await?;
        Ok(rows.into_iter().map(|History(row)| row).collect())
    }

    /// The rows of one transaction; none where there is no such number.
    pub async fn transaction(&self, number: u64) -> Result<Vec<TransactionRow>, StoreError> {
        let rows: Vec<History> = self
            .db
            .query_map("SELECT * FROM transactions WHERE number = $1 ORDER BY id", vec![bound(number)])
            .await?;
        Ok(rows.into_iter().map(|History(row)| row).collect())
    }

    /// Up to `limit` rows about one object in transactions behind `after`, newest first.
    pub async fn changes_after(
        &self,
        kind: &str,
        object: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TransactionRow>, StoreError> {
        let rows: Vec<History> = self
            .db
            .query_map(
                "SELECT * FROM transactions WHERE kind = $1 AND object = $2 AND number > $3 \
                 ORDER BY number DESC, id DESC LIMIT $4",
                vec![Param::from(kind), Param::from(object), bound(after), Param::from(i64::from(limit))],
            )
            .await?;
        Ok(rows.into_iter().map(|History(row)| row).collect())
    }

    /// Up to `limit` changes of what stands or lies somewhere (nodes, what they stand in, partitions, virtual servers) in
    /// transactions behind `after`, newest first.
    pub async fn map_changes_after(&self, after: u64, limit: u32) -> Result<Vec<TransactionRow>, StoreError> {
        let rows: Vec<History> = self
            .db
            .query_map(
                "SELECT * FROM transactions WHERE number > $1 \
                 AND kind IN ('vs', 'node', 'partition', 'datacenter', 'mainframe', 'frame', \
                 'switch', 'gateway', 'port', 'vnic', 'vhba') \
                 ORDER BY number DESC, id DESC LIMIT $2",
                vec![bound(after), Param::from(i64::from(limit))],
            )
            .await?;
        Ok(rows.into_iter().map(|History(row)| row).collect())
    }

    /// Number of the newest transaction, 0 where there is none.
    pub async fn last_transaction(&self) -> u64 {
        self.last.lock().await.transaction
    }

    /// Up to `limit` undos of transactions from number `from` on, those of the earliest first: the undo's number and
    /// the number of what it took back.
    pub async fn undos(&self, from: u64, limit: u32) -> Result<Vec<(u64, u64)>, StoreError> {
        let rows: Vec<Undo> = self
            .db
            .query_map(
                "SELECT DISTINCT number, undoes FROM transactions WHERE undoes > 0 AND undoes >= $1 \
                 ORDER BY undoes, number LIMIT $2",
                vec![bound(from), Param::from(i64::from(limit))],
            )
            .await?;
        Ok(rows.into_iter().map(|Undo(number, undoes)| (number, undoes)).collect())
    }
}
