//! Transactions: changes that are decided, shown, made and taken back.
//!
//! ```text
//! verb ─▶ decide ─┐                          ┌─ dry run ─▶ Plan
//! undo ─▶ history ┴▶ Draft (before, after) ──┴▶ carry out ─▶ store ─▶ memory ─▶ nodes
//! ```
//! Decision and making are under one lock, so that what a plan checked still holds when it is made. [`kinds`] declares
//! which kinds can be taken back; [`conflicts`] finds what came later; [`diff`] compares documents.

mod carry_out;
mod conflicts;
mod diff;
mod draft;
mod kept;
mod kinds;
mod leave;
mod plain;
mod show;
mod undo;

#[cfg(test)]
pub(crate) use diff::document_of;
pub(crate) use diff::{Document, compare, document, fields, intent, row_of_history};
pub(crate) use draft::{Change, Draft};
pub(crate) use kept::Kept;
pub(crate) use kinds::{Kind, Undo};
pub(crate) use plain::{plan_in_words, plan_of};
pub(crate) use show::MAX_TRANSACTIONS;
pub(crate) use undo::{Undoing, document_now};
