//! A batch: a change with its history and its events, committed as one.
//!
//! To SQLite `$1` is a name, not a place: parameters bind in the order in which they first appear. Each
//! statement here therefore uses `$1`, `$2` … in that order.

use std::borrow::Cow;

use hiqlite::{Param, Params};
use serde::Serialize;

use crate::answers::AnswerRow;
use crate::error::StoreError;
use crate::jobs::JobRow;
use crate::open::Store;
use crate::rows::{
    BlobRow, EventRow, ImageRow, LicenceRow, NewEvent, NodeRow, PartitionRow, PoolRow, TemplateRow, VsRow,
};

/// Statements that are written together, or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    at: String,
    actor: String,
    verb: String,
    cause: String,
    undoes: u64,
    job: Option<JobRow>,
    pub(crate) key: Option<AnswerRow>,
    statements: Vec<(Cow<'static, str>, Params)>,
    history: Vec<Part>,
    events: Vec<NewEvent>,
}

/// What history will say of one object.
#[derive(Debug)]
struct Part {
    kind: &'static str,
    object: String,
    before: String,
    after: String,
}

/// What a batch came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// Number of the transaction; `None` where no object with a history changed.
    pub transaction: Option<u64>,
    /// Its events with their places.
    pub events: Vec<EventRow>,
}

impl Batch {
    /// Starts a batch: when (RFC 3339), who, and what is done. What is done is its cause too, unless one is given.
    pub fn new(at: impl Into<String>, actor: impl Into<String>, verb: impl Into<String>) -> Self {
        let verb = verb.into();
        Self { at: at.into(), actor: actor.into(), cause: verb.clone(), verb, ..Self::default() }
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    /// Says that it takes an earlier transaction back.
    #[must_use]
    pub fn undoing(mut self, number: u64) -> Self {
        self.undoes = number;
        self
    }

    /// Adds or replaces a job. The batch's transaction names it, and stands where the row says
    /// [`THIS_TRANSACTION`](crate::THIS_TRANSACTION).
    #[must_use]
    pub fn put_job(mut self, row: JobRow) -> Self {
        self.job = Some(row);
        self
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.events.is_empty() && self.job.is_none()
    }

    /// Whether it changes something that somebody asked for, and not only tells of something.
    pub fn is_change(&self) -> bool {
        !self.history.is_empty() || self.job.is_some()
    }

    pub(crate) fn push(&mut self, sql: &'static str, params: Params) {
        self.statements.push((Cow::Borrowed(sql), params));
    }

    pub(crate) fn history(
        &mut self,
        kind: &'static str,
        key: &str,
        before: Option<String>,
        after: Option<String>,
    ) {
        let text = |document: Option<String>| document.unwrap_or_else(|| "null".to_string());
        let (before, after) = (text(before), text(after));
        self.history.push(Part { kind, object: key.to_string(), before, after });
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

    /// Adds or replaces a virtual server. History leaves its key out.
    #[must_use]
    pub fn put_vs(mut self, before: Option<&VsRow>, row: &VsRow) -> Self {
        self.push(
            "INSERT INTO vs (id, name, doc) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
            vec![Param::from(row.id.as_str()), Param::from(row.name.as_str()), Param::from(json(row))],
        );
        let shown = |row: &VsRow| json(&VsRow { link_key: String::new(), ..row.clone() });
        self.history("vs", &row.id, before.map(shown), Some(shown(row)));
        self
    }

    /// Deletes a virtual server. Its identifiers stay drawn.
    #[must_use]
    pub fn delete_vs(mut self, row: &VsRow) -> Self {
        self.push("DELETE FROM vs WHERE id = $1", vec![Param::from(row.id.as_str())]);
        let shown = VsRow { link_key: String::new(), ..row.clone() };
        self.history("vs", &row.id, Some(json(&shown)), None);
        self
    }

    /// Adds or replaces a partition. History leaves keys, records and votes out.
    #[must_use]
    pub fn put_partition(mut self, before: Option<&PartitionRow>, row: &PartitionRow) -> Self {
        self.push(
            "INSERT INTO partitions (id, name, doc) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
            vec![Param::from(row.id.as_str()), Param::from(row.name.as_str()), Param::from(json(row))],
        );
        self.history("partition", &row.id, before.map(shown_partition), Some(shown_partition(row)));
        self
    }

    /// Keeps what the appliance promised as a voter, without a history row: it is no change of intent.
    #[must_use]
    pub fn observe_partition(mut self, row: &PartitionRow) -> Self {
        self.push(
            "UPDATE partitions SET doc = $1 WHERE id = $2",
            vec![Param::from(json(row)), Param::from(row.id.as_str())],
        );
        self
    }

    /// Deletes a partition. Its record counter stays, so that no number comes back.
    #[must_use]
    pub fn delete_partition(mut self, row: &PartitionRow) -> Self {
        self.push("DELETE FROM partitions WHERE id = $1", vec![Param::from(row.id.as_str())]);
        self.history("partition", &row.id, Some(shown_partition(row)), None);
        self
    }

    /// Draws an identifier for a virtual server. One that was drawn before, by whomever, aborts the batch.
    #[must_use]
    pub fn draw(mut self, kind: &str, n: u64, vs: &str) -> Self {
        // Numbers of every kind lie below 2^63; one that does not is refused by the table for what it is.
        self.push(
            "INSERT INTO identifiers (kind, n, vs) VALUES ($1, $2, $3)",
            vec![Param::from(kind), Param::from(i64::try_from(n).unwrap_or(i64::MAX)), Param::from(vs)],
        );
        self
    }

    /// Adds or replaces a pool.
    #[must_use]
    pub fn put_pool(mut self, before: Option<&PoolRow>, row: &PoolRow) -> Self {
        self.push(
            "INSERT INTO pools (id, name, doc) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
            vec![Param::from(row.id.as_str()), Param::from(row.name.as_str()), Param::from(json(row))],
        );
        self.history("pool", &row.id, before.map(json), Some(json(row)));
        self
    }

    /// Deletes a pool. What was drawn from it stays drawn.
    #[must_use]
    pub fn delete_pool(mut self, row: &PoolRow) -> Self {
        self.push("DELETE FROM pools WHERE id = $1", vec![Param::from(row.id.as_str())]);
        self.history("pool", &row.id, Some(json(row)), None);
        self
    }

    /// Adds a licence. One that is there aborts the batch.
    #[must_use]
    pub fn add_licence(mut self, row: &LicenceRow) -> Self {
        self.push(
            "INSERT INTO licences (id, doc) VALUES ($1, $2)",
            vec![Param::from(row.id.as_str()), Param::from(json(row))],
        );
        self.history("licence", &row.id, None, Some(json(row)));
        self
    }

    /// Removes a licence. What was drawn by it stays drawn.
    #[must_use]
    pub fn remove_licence(mut self, row: &LicenceRow) -> Self {
        self.push("DELETE FROM licences WHERE id = $1", vec![Param::from(row.id.as_str())]);
        self.history("licence", &row.id, Some(json(row)), None);
        self
    }

    /// Adds or replaces a template.
    #[must_use]
    pub fn put_template(mut self, before: Option<&TemplateRow>, row: &TemplateRow) -> Self {
        self.push(
            "INSERT INTO templates (id, name, doc) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
            vec![Param::from(row.id.as_str()), Param::from(row.name.as_str()), Param::from(json(row))],
        );
        self.history("template", &row.id, before.map(json), Some(json(row)));
        self
    }

    /// Deletes a template.
    #[must_use]
    pub fn delete_template(mut self, row: &TemplateRow) -> Self {
        self.push("DELETE FROM templates WHERE id = $1", vec![Param::from(row.id.as_str())]);
        self.history("template", &row.id, Some(json(row)), None);
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
    /// Writes a batch. When this returns, it is on disk.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let mut last = self.last.lock().await;
        let Batch { at, actor, verb, cause, undoes, job, key, mut statements, history, events } = batch;
        let mut after = *last;
        if !history.is_empty() {
            after.transaction =
                after.transaction.checked_add(1).ok_or(StoreError::Exhausted("the transaction numbers"))?;
        }
        let number = place(after.transaction, "the transaction numbers")?;
        let undoes = place(undoes, "the transaction numbers")?;
        let by_job = place(job.as_ref().map_or(0, |job| job.number), "the job numbers")?;
        for Part { kind, object, before, after } in history {
            statements.push((
                Cow::Borrowed(
                    "INSERT INTO transactions (number, at, actor, verb, cause, undoes, job, kind, object, before, after) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                ),
                vec![
                    Param::from(number),
                    Param::from(at.as_str()),
                    Param::from(actor.as_str()),
                    Param::from(verb.as_str()),
                    Param::from(cause.as_str()),
                    Param::from(undoes),
                    Param::from(by_job),
                    Param::from(kind),
                    Param::from(object),
                    Param::from(before),
                    Param::from(after),
                ],
            ));
        }
        let mut placed = Vec::with_capacity(events.len());
        let told_of = if after.transaction == last.transaction { 0 } else { after.transaction };
        for event in events {
            let event = NewEvent { transaction: told_of, ..event };
            after.event = after.event.checked_add(1).ok_or(StoreError::Exhausted("the event sequence"))?;
            statements.push((
                Cow::Borrowed("INSERT INTO events (seq, doc) VALUES ($1, $2)"),
                vec![Param::from(place(after.event, "the event sequence")?), Param::from(json(&event))],
            ));
            placed.push(EventRow { seq: after.event, event });
        }
        let transaction = (after.transaction != last.transaction).then_some(after.transaction);
        if let Some(row) = job {
            let row = row.with_transaction(transaction.unwrap_or(0));
            statements.push((
                Cow::Borrowed(
                    "INSERT INTO jobs (number, ended, doc) VALUES ($1, $2, $3) \
                     ON CONFLICT (number) DO UPDATE SET ended = excluded.ended, doc = excluded.doc",
                ),
                vec![Param::from(by_job), Param::from(i64::from(row.state.ended())), Param::from(json(&row))],
            ));
        }
        if let Some(key) = key {
            let claim = key.claim(transaction.unwrap_or(0));
            statements.extend(claim.map(|(sql, params)| (Cow::Borrowed(sql), params)));
        }
        if !statements.is_empty() {
            // Taken before they are written: whoever waits here may go away while the batch is applied all the same, and
            // most failures do not tell that it was not. Numbers that are left out harm nobody; one that is given out
            // twice is refused by the database from then on.
            let before = std::mem::replace(&mut *last, after);
            if let Err(error) = self.write(statements).await {
                // What was refused for a key that is taken was not applied. A number that is taken is no key: it stays taken.
                let is_number = |what: &str| what.contains("events.seq") || what.contains("transactions.");
                if matches!(&error, StoreError::Taken(what) if !is_number(what)) {
                    *last = before;
                }
                return Err(error);
            }
        }
        Ok(Committed { transaction, events: placed })
    }
}

/// A number as the database holds it.
fn place(number: u64, what: &'static str) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Exhausted(what))
}

/// A partition without what must not be read from history.
fn shown_partition(row: &PartitionRow) -> String {
    let secret = String::new();
    json(&PartitionRow { key: secret.clone(), record: secret.clone(), founder: secret, ..row.clone() })
}

/// Our own rows always turn into JSON: they hold strings, numbers and lists only.
pub(crate) fn json<T: Serialize + ?Sized>(row: &T) -> String {
    serde_json::to_string(row).expect("rows are plain data")
}
