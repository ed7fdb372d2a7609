//! History as the interface shows it.

use std::collections::BTreeSet;

use weft_api::{ChangedObject, ObjectChange, Transaction, TransactionDetail};
use weft_store::{HistoryFilter, StoreError, TransactionRow};

use super::conflicts::undone;
use super::diff::{action, document, fields, name};
use super::kinds::undo_of;
use crate::core::Core;
use crate::error::Error;

/// Most transactions of one answer.
pub(crate) const MAX_TRANSACTIONS: u32 = 200;
/// Undos that are read to say which transactions of a page are undone.
pub(super) const MAX_UNDOS: u32 = 10_000;

impl Core {
    /// Up to `limit` transactions with numbers below `before`, newest first.
    pub(crate) async fn transactions(
        &self,
        filter: &HistoryFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Transaction>, Error> {
        let limit = limit.min(MAX_TRANSACTIONS);
        let rows = self.store.transactions(filter, before.unwrap_or(u64::MAX), limit).await?;
        let Some(oldest) = rows.last().map(|row| row.number) else { return Ok(Vec::new()) };
        let undone = undone(&self.store.undos(oldest, MAX_UNDOS).await?);
        let groups = rows.chunk_by(|a, b| a.number == b.number);
        Ok(groups.map(|rows| show(rows, &undone)).collect::<Result<_, StoreError>>()?)
    }

    /// One transaction with its objects.
    pub(crate) async fn transaction(&self, number: u64) -> Result<TransactionDetail, Error> {
        let rows = self.rows_of(number).await?;
        let undone = undone(&self.store.undos(number, MAX_UNDOS).await?);
        let changes = rows.iter().map(change).collect::<Result<_, StoreError>>()?;
        Ok(TransactionDetail { transaction: show(&rows, &undone)?, changes })
    }

    /// The rows of a transaction; at least one.
    pub(super) async fn rows_of(&self, number: u64) -> Result<Vec<TransactionRow>, Error> {
        let rows = self.store.transaction(number).await?;
        if rows.is_empty() {
            let name = number.to_string();
            return Err(Error::not_found("transaction-not-found", "transaction", &name, "weft tx list"));
        }
        Ok(rows)
    }
}

fn show(rows: &[TransactionRow], undone: &BTreeSet<u64>) -> Result<Transaction, StoreError> {
    let first = rows.first().cloned().unwrap_or_default();
    let undo = undo_of(&first.verb);
    let object = |row: &TransactionRow| {
        let (before, after) = (document(&row.kind, &row.before)?, document(&row.kind, &row.after)?);
        Ok(ChangedObject {
            name: name(before.as_ref(), after.as_ref(), &row.object),
            state: action(before.is_some(), after.is_some()).to_string(),
            kind: row.kind.clone(),
            id: row.object.clone(),
        })
    };
    Ok(Transaction {
        state: if undone.contains(&first.number) { "undone" } else { "done" }.to_string(),
        name: first.verb,
        number: first.number,
        at: first.at,
        actor: first.actor,
        cause: first.cause,
        undoes: first.undoes,
        job: first.job,
        undo: undo.word().to_string(),
        reason: undo.reason().to_string(),
        objects: rows.iter().map(object).collect::<Result<_, StoreError>>()?,
    })
}

fn change(row: &TransactionRow) -> Result<ObjectChange, StoreError> {
    let (before, after) = (document(&row.kind, &row.before)?, document(&row.kind, &row.after)?);
    Ok(ObjectChange {
        name: name(before.as_ref(), after.as_ref(), &row.object),
        state: action(before.is_some(), after.is_some()).to_string(),
        kind: row.kind.clone(),
        id: row.object.clone(),
        fields: fields(&row.kind, before.as_ref(), after.as_ref()),
    })
}
