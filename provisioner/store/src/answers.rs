//! Answers to changes that named a key of their own: who asks again with the same key gets the first answer.
//!
//! The key is written in the batch of the change itself ([`Batch::keyed`]), so that what is done has its key, whatever is killed
//! when. The answer follows. Keys are kept for a day, and [`MAX_ANSWERS`] of one account at most: nobody pushes out the keys of others.

use hiqlite::{Param, Params};

use crate::batch::Batch;
use crate::error::StoreError;
use crate::open::Store;

/// Most keys that are kept; the oldest go first.
pub const MAX_ANSWERS: usize = 2_000;
/// Seconds for which a key is kept.
pub const ANSWER_KEPT_S: u64 = 24 * 3600;

/// A key, and what became of the request that named it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerRow {
    /// Account that asked.
    pub actor: String,
    /// Its key.
    pub key: String,
    /// Digest of the request, hexadecimal: another one with the same key is another request.
    pub print: String,
    /// When, seconds since 1970.
    pub at: u64,
    /// Transaction that the change became, 0 where none.
    pub transaction: u64,
    /// HTTP status of the answer; 0: the change is done, and its answer was not kept.
    pub status: u16,
    /// Media type of the answer.
    pub form: String,
    /// The answer.
    pub body: String,
}

impl From<&mut hiqlite::Row<'_>> for AnswerRow {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        let number = |value: i64| value.unsigned_abs();
        Self {
            actor: row.get("actor"),
            key: row.get("key"),
            print: row.get("print"),
            at: number(row.get("at")),
            transaction: number(row.get("tx")),
            status: u16::try_from(row.get::<i64>("status")).unwrap_or(0),
            form: row.get("form"),
            body: row.get("body"),
        }
    }
}

fn too_old(now: u64) -> (&'static str, Params) {
    ("DELETE FROM answers WHERE at <= $1", vec![whole(now.saturating_sub(ANSWER_KEPT_S))])
}

fn whole(number: u64) -> Param {
    Param::from(i64::try_from(number).unwrap_or(i64::MAX))
}

impl AnswerRow {
    /// Written with the change; what is there stays, unless it is too old.
    pub(crate) fn claim(&self, transaction: u64) -> [(&'static str, Params); 2] {
        let claim = (
            "INSERT INTO answers (actor, key, print, at, tx, status, form, body) \
             VALUES ($1, $2, $3, $4, $5, 0, '', '') ON CONFLICT (actor, key) DO NOTHING",
            vec![
                Param::from(self.actor.as_str()),
                Param::from(self.key.as_str()),
                Param::from(self.print.as_str()),
                whole(self.at),
                whole(transaction),
            ],
        );
        [too_old(self.at), claim]
    }
}

impl Batch {
    /// Says which request asks for it: its key is written along with it.
    #[must_use]
    pub fn keyed(mut self, row: AnswerRow) -> Self {
        self.key = Some(row);
        self
    }
}

impl Store {
    /// What became of the request that named a key.
    pub async fn answer(&self, actor: &str, key: &str) -> Result<Option<AnswerRow>, StoreError> {
        let sql = "SELECT * FROM answers WHERE actor = $1 AND key = $2";
        Ok(self.db.query_map_optional(sql, vec![Param::from(actor), Param::from(key)]).await?)
    }

    /// Keeps an answer, and drops what is too old or too much.
    pub async fn keep_answer(&self, row: &AnswerRow) -> Result<(), StoreError> {
        self.keep_within(row, MAX_ANSWERS).await
    }

    pub(crate) async fn keep_within(&self, row: &AnswerRow, most: usize) -> Result<(), StoreError> {
        let keep = (
            "INSERT INTO answers (actor, key, print, at, tx, status, form, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (actor, key) DO UPDATE SET \
             status = excluded.status, form = excluded.form, body = excluded.body",
            vec![
                Param::from(row.actor.as_str()),
                Param::from(row.key.as_str()),
                Param::from(row.print.as_str()),
                whole(row.at),
                whole(row.transaction),
                Param::from(i64::from(row.status)),
                Param::from(row.form.as_str()),
                Param::from(row.body.as_str()),
            ],
        );
        let much = (
            "DELETE FROM answers WHERE rowid IN \
             (SELECT rowid FROM answers WHERE actor = $1 ORDER BY at DESC, rowid DESC LIMIT -1 OFFSET $2)",
            vec![Param::from(row.actor.as_str()), whole(most as u64)],
        );
        self.write(vec![too_old(row.at), keep, much]).await.map(drop)
    }
}
