//! History, and taking transactions back.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use weft_api::{Plan, Problem, Transaction, TransactionDetail};
use weft_store::HistoryFilter;

use super::dry_run::DryRun;
use super::{Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::error::Error;
use crate::http::App;
use crate::transactions::MAX_TRANSACTIONS;

/// Transactions of one answer where none are asked for.
const DEFAULT_LIMIT: u32 = 50;
/// Pages that are read for one answer where the caller may not see all.
const MAX_PAGES: usize = 20;

#[derive(Deserialize)]
pub(crate) struct Page {
    before: Option<u64>,
    limit: Option<u32>,
    #[serde(default)]
    object: String,
    #[serde(default)]
    actor: String,
}

/// What is no number is no transaction's.
fn parse(number: &str) -> Result<u64, Error> {
    number.parse().map_err(|_| none(number))
}

fn none(number: &str) -> Error {
    Error::not_found("transaction-not-found", "transaction", number, "weft tx list")
}

/// List transactions, newest first
#[utoipa::path(get, path = "/api/v1/transactions", tag = "transactions",
    params(("before" = Option<u64>, Query, description = "Those with smaller numbers: the next page"),
        ("limit" = Option<u32>, Query, description = "At most so many, 50 by default, 200 at most"),
        ("object" = Option<String>, Query, description = "Those that changed an object of this name or identity"),
        ("actor" = Option<String>, Query, description = "Those of this user or operator")),
    responses((status = 200, body = Vec<Transaction>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Transaction>>, Error> {
    let filter = HistoryFilter { object: page.object, actor: page.actor };
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_TRANSACTIONS);
    let (mut shown, mut before) = (Vec::new(), page.before);
    // Who may not see all of them gets as many as others do, where there are as many.
    for _ in 0..MAX_PAGES {
        let all = app.core.transactions(&filter, before, limit).await?;
        let last = all.len() < limit as usize;
        before = all.last().map(|transaction| transaction.number).or(before);
        let mut sight = Sight::of(&app.core, &caller);
        let world = app.core.world();
        shown.extend(all.into_iter().filter_map(|mut transaction| {
            sight.trim(&world, &mut transaction.objects).then_some(transaction)
        }));
        if last || shown.len() >= limit as usize {
            break;
        }
    }
    shown.truncate(limit as usize);
    Ok(Json(shown))
}

/// A transaction as far as the caller may see it; the second: whether that is all of it.
async fn seen(app: &App, caller: &Caller, number: u64) -> Result<(TransactionDetail, bool), Error> {
    let mut detail = app.core.transaction(number).await?;
    let all = detail.changes.len();
    let mut sight = Sight::of(&app.core, caller);
    let world = app.core.world();
    detail.changes.retain(|change| sight.changed(&world, &change.kind, &change.id));
    if !sight.trim(&world, &mut detail.transaction.objects) {
        return Err(none(&number.to_string()));
    }
    let whole = detail.changes.len() == all;
    Ok((detail, whole))
}

/// Show a transaction with its objects before and after
#[utoipa::path(get, path = "/api/v1/transactions/{number}", tag = "transactions", params(("number" = u64, Path)),
    responses((status = 200, body = TransactionDetail), (status = 404, body = Problem)))]
pub(crate) async fn get_one(
    State(app): State<App>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<Json<TransactionDetail>, Error> {
    Ok(Json(seen(&app, &caller, parse(&number)?).await?.0))
}

/// Take a transaction back
///
/// It is refused where a later transaction changed the same fields, and where its kind cannot be taken back. A dry run
/// answers with the plan in either case; its `state` says which it is. The undo is a transaction itself.
#[utoipa::path(post, path = "/api/v1/transactions/{number}/undo", tag = "transactions",
    params(("number" = u64, Path), ("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn undo(
    State(app): State<App>,
    caller: Caller,
    Path(number): Path<String>,
    DryRun(dry): DryRun,
) -> Result<Json<Plan>, Error> {
    let number = parse(&number)?;
    if !seen(&app, &caller, number).await?.1 {
        return Err(Error::refused(
            403,
            "not-allowed",
            format!("{} may not see all that transaction {number} changed", caller.user),
            "ask somebody who may: an undo takes back all of a transaction",
        ));
    }
    Ok(Json(to_the_end(async move { app.core.undo(&caller.user, number, dry).await }).await?))
}
