//! `Idempotency-Key`: a change that is asked for again with its key is answered as the first time and not done again.
//!
//! ```text
//! key, actor ─▶ turn of that key ─▶ known? ─┬─ no ─▶ done in a task of its own, the key in the batch of the change ─▶ answer kept
//!                                           └─ yes ─▶ same request? ─┬─ yes ─▶ the first answer
//!                                                                    └─ no ──▶ refused
//! ```
//! Of two at once the second waits for its turn. The task goes on where the client hangs up, so that a turn ends with what was
//! done in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::digest::{Context, SHA256};
use tokio::sync::OwnedMutexGuard;
use weft_api::{MAX_KEY, MAX_MANIFEST_BYTES, Plan, is_key, takes_key};
use weft_store::{ANSWER_KEPT_S, AnswerRow};

use super::handlers::dry_run::DryRun;
use super::{App, TIME_LIMIT, versions};
use crate::accounts::Caller;
use crate::auth::asking::{self, Keyed};
use crate::core::Core;
use crate::error::Error;
use crate::transactions::Kind;
use crate::util::{hex, unix_s};

/// The header.
const KEY: &str = "idempotency-key";
/// Says that an answer is one that was given before.
const REPLAYED: &str = "idempotency-replayed";
/// Longest answer that is kept; of a longer one its transaction is.
const MAX_KEPT: usize = 16 * 1024;
/// Longest answer at all.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Held by whoever works on a key.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// Whose turn it is, by account and key.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<(String, String), Turn>>);

impl Turns {
    /// Waits until nobody else works on this key. There are as many entries as requests at work.
    async fn take(&self, actor: &str, key: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry((actor.to_string(), key.to_string())).or_default())
        };
        turn.lock_owned().await
    }
}

/// The key that a request names.
fn key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut values = headers.get_all(KEY).iter();
    let Some(first) = values.next() else { return Ok(None) };
    match first.to_str().ok().filter(|text| is_key(text) && values.next().is_none()) {
        Some(text) => Ok(Some(text.to_string())),
        None => Err(Error::refused(
            400,
            "bad-request",
            "Idempotency-Key is no key",
            format!("nothing was done; 1 to {MAX_KEY} letters, digits, - . _, new for each change"),
        )),
    }
}

/// What makes a request another one.
fn print(request: &Request, body: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    let version = request.headers().get(header::IF_MATCH).map(HeaderValue::as_bytes).unwrap_or_default();
    for part in [request.method().as_str().as_bytes(), request.uri().to_string().as_bytes(), version, body] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref())
}

/// Runs a request as its caller: a change that names a key once.
pub(super) async fn run(app: &App, caller: Caller, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let named = if reads { Ok(None) } else { key(request.headers()) };
    let key = match named {
        Ok(Some(key)) => key,
        Ok(None) => return asking::scope(caller, versions::run(app, request, next)).await,
        Err(error) => return error.into_response(),
    };
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_string());
    if !path.is_some_and(|path| takes_key(request.method().as_str(), &path)) {
        return Error::refused(
            422,
            "no-key",
            "this takes no Idempotency-Key: what is secret is not kept, and a file is named by its digest",
            "nothing was done; leave it out to do it",
        )
        .into_response();
    }
    // Nothing is done, and nothing need be kept. What is unclear its handler refuses.
    if !matches!(DryRun::of(request.uri()), Ok(DryRun(false))) {
        return asking::scope(caller, versions::run(app, request, next)).await;
    }
    let (parts, body) = request.into_parts();
    // The limit of the routes lies further in, behind the turn.
    let body = match tokio::time::timeout(TIME_LIMIT, to_bytes(body, MAX_MANIFEST_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Error::refused(413, "bad-request", "the body is too long", "see /api/v1/openapi.json")
                .into_response();
        }
        Err(_) => {
            return Error::refused(
                408,
                "bad-request",
                "the body did not come in time",
                "nothing was done; send it again",
            )
            .into_response();
        }
    };
    let request = Request::from_parts(parts, Body::from(body.clone()));
    let row = AnswerRow {
        actor: caller.user.clone(),
        key,
        print: print(&request, &body),
        at: unix_s(),
        ..AnswerRow::default()
    };
    let app = app.clone();
    let done = tokio::spawn(async move { once(&app, caller, row, request, next).await }).await;
    match done {
        Ok(response) => response,
        Err(broken) => match broken.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Error::from(std::io::Error::other("the appliance stops")).into_response(),
        },
    }
}

async fn once(app: &App, caller: Caller, row: AnswerRow, request: Request, next: Next) -> Response {
    // The change has it as well, and goes on where the time of its request is up: until it ends nobody else begins.
    let turn = Arc::new(app.core.turns.take(&row.actor, &row.key).await);
    match app.core.store.answer(&row.actor, &row.key).await {
        Err(error) => return Error::from(error).into_response(),
        Ok(Some(known)) if known.at.saturating_add(ANSWER_KEPT_S) > row.at => {
            return match again(&app.core, &row, known).await {
                Ok(response) => response,
                Err(error) => error.into_response(),
            };
        }
        Ok(_) => {}
    }
    let work =
        asking::keyed(Keyed { row: row.clone(), turn: turn.clone() }, versions::run(app, request, next));
    let (parts, body) = asking::scope(caller, work).await.into_parts();
    let Ok(body) = to_bytes(body, MAX_ANSWER).await else {
        return Error::from(std::io::Error::other("an answer is too long")).into_response();
    };
    keep(&app.core, row, parts.status, &parts.headers, &body).await;
    Response::from_parts(parts, Body::from(body))
}

/// Keeps an answer. What failed for a reason of the appliance's own may be tried again; what is done has its key already.
async fn keep(core: &Core, row: AnswerRow, status: StatusCode, headers: &HeaderMap, body: &Bytes) {
    let final_one = !status.is_server_error() && status != StatusCode::REQUEST_TIMEOUT;
    let Some(text) = std::str::from_utf8(body).ok().filter(|text| final_one && text.len() <= MAX_KEPT) else {
        return;
    };
    let form = headers.get(header::CONTENT_TYPE).and_then(|form| form.to_str().ok()).unwrap_or_default();
    let row = AnswerRow { status: status.as_u16(), form: form.to_string(), body: text.to_string(), ..row };
    if let Err(error) = core.store.keep_answer(&row).await {
        tracing::error!(error = crate::chain(&error), "the answer to a change with a key was not kept");
    }
}

/// The answer to a request that was there before.
async fn again(core: &Core, row: &AnswerRow, known: AnswerRow) -> Result<Response, Error> {
    if known.print != row.print {
        return Err(Error::refused(
            422,
            "key-used",
            format!("the key {} was used for another request", row.key),
            "nothing was done; take a new key for each change",
        ));
    }
    let mut response = match (known.status, known.transaction) {
        (0, 0) => {
            return Err(Error::refused(
                409,
                "done-already",
                "this was done already, and its answer is not kept",
                "nothing was done again; look at what is there",
            ));
        }
        (0, number) => {
            let shown = core.transaction(number).await?;
            let of = shown.transaction;
            // What controllers were asked to do is in history before they are asked: that it is there says nothing of them.
            if of.name == Kind::NodePower.name() {
                return Err(Error::refused(
                    409,
                    "done-already",
                    format!(
                        "this was asked in transaction {number}; what the controllers did of it is not known"
                    ),
                    "nothing was asked again; see how they stand: weft node power status NODE",
                ));
            }
            Json(Plan {
                name: of.name,
                state: "done".to_string(),
                transaction: number,
                undo: of.undo,
                reason: of.reason,
                objects: shown.changes,
                ..Plan::default()
            })
            .into_response()
        }
        (status, _) => {
            let mut response = Response::new(Body::from(known.body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            if let Ok(form) = HeaderValue::from_str(&known.form)
                && !known.form.is_empty()
            {
                response.headers_mut().insert(header::CONTENT_TYPE, form);
            }
            response
        }
    };
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_one_key_one_works_at_a_time_and_nothing_of_it_stays() {
        let turns = Arc::new(Turns::default());
        let first = Arc::new(turns.take("ann", "k").await);
        let _other = turns.take("bob", "k").await;
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { drop(turns.take("ann", "k").await) }
        });
        tokio::task::yield_now().await;
        let further = Arc::clone(&first);
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "a task that goes on still has it");
        drop(further);
        waiting.await.expect("its turn comes");
        drop(turns.take("eve", "x").await);
        let left = turns.0.lock().expect("no panic").len();
        assert!(left <= 2, "{left} are kept");
    }

    #[test]
    fn another_body_path_or_version_is_another_request() {
        let of = |method: &str, uri: &str, version: &str, body: &str| {
            let request = Request::builder().method(method).uri(uri).header("if-match", version);
            print(&request.body(Body::empty()).expect("a request"), body.as_bytes())
        };
        let one = of("POST", "/x", "\"1\"", "b");
        assert_eq!(one, of("POST", "/x", "\"1\"", "b"));
        for other in [
            of("PUT", "/x", "\"1\"", "b"),
            of("POST", "/y", "\"1\"", "b"),
            of("POST", "/x", "\"2\"", "b"),
            of("POST", "/x", "\"1\"", "c"),
        ] {
            assert_ne!(one, other);
        }
    }
}
