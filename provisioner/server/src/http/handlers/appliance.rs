//! The appliance itself: events, doctor, settings, document, health, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use weft_api::{Appliance, ApplianceConfig, Event, EventPage, Finding, Problem};

use super::{Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::core::api_event;
use crate::error::Error;
use crate::http::App;
use crate::search::{Asked, Wanted};

/// Most events of one answer.
const MAX_EVENTS: u32 = 1000;
/// Events read at once in a search.
const CHUNK: u32 = 2000;
/// Events that one page of a search looks at, at most.
const LOOKED_AT: u64 = 20_000;

#[derive(Deserialize)]
pub(crate) struct Span {
    after: Option<u64>,
    limit: Option<u32>,
}

/// Events, oldest first
///
/// Without `after`: the last ones.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(("after" = Option<u64>, Query, description = "Those behind this sequence number"),
        ("limit" = Option<u32>, Query, description = "At most so many, 100 by default, 1000 at most")),
    responses((status = 200, body = Vec<Event>)))]
pub(crate) async fn events(
    State(app): State<App>,
    caller: Caller,
    Query(span): Query<Span>,
) -> Result<Json<Vec<Event>>, Error> {
    let limit = span.limit.unwrap_or(100).min(MAX_EVENTS);
    let after = match span.after {
        Some(after) => after,
        None => app.core.store.last_event().await.saturating_sub(u64::from(limit)),
    };
    let rows = app.core.store.events(after, limit).await?;
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    let mut events: Vec<Event> = rows.into_iter().map(api_event).collect();
    events.retain_mut(|event| sight.trim_event(&world, event));
    Ok(Json(events))
}

/// Appliances that hold the same store, which of them leads, and how far each is
///
/// Empty where there is one alone.
#[utoipa::path(get, path = "/api/v1/appliances", tag = "appliance", responses((status = 200, body = Vec<Appliance>)))]
pub(crate) async fn appliances(State(app): State<App>) -> Result<Json<Vec<Appliance>>, Error> {
    match &app.core.peers {
        Some(peers) => Ok(Json(peers.show().await?)),
        None => Ok(Json(Vec::new())),
    }
}

/// Remove an appliance for good
///
/// It need not answer. One that runs still is to be stopped first.
#[utoipa::path(delete, path = "/api/v1/appliances/{name}", tag = "appliance",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    let Some(peers) = app.core.peers.clone() else {
        return Err(Error::not_found("no-such-appliance", "appliance", &name, "weft appliance list"));
    };
    let core = app.core.clone();
    to_the_end(async move { peers.remove(&core, &caller.user, &name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(crate) struct Page {
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<u32>,
}

/// Search events
///
/// All conditions must hold. Without `after` the newest that fit, page by page towards the oldest: `next` is the `before` of
/// the next page. With `after` those behind it, towards the newest: `next` is the next `after`. A page looks at 20,000
/// events at most, so one may be empty and not be the last.
#[utoipa::path(get, path = "/api/v1/events/search", tag = "events",
    params(("after" = Option<u64>, Query, description = "Those behind this sequence number"),
        ("before" = Option<u64>, Query, description = "Those before this sequence number"),
        ("limit" = Option<u32>, Query, description = "At most so many, 100 by default, 1000 at most"),
        ("grep" = Option<String>, Query, description = "With this text anywhere, in any case"),
        ("node" = Option<String>, Query, description = "Of this node"),
        ("vs" = Option<String>, Query, description = "Of this virtual server"),
        ("kind" = Option<String>, Query, description = "Of this name, or of this area where it ends with a point: vs."),
        ("state" = Option<String>, Query, description = "As severe or more: debug, info, warn, error"),
        ("actor" = Option<String>, Query, description = "Caused by this user, node or appliance"),
        ("since" = Option<String>, Query, description = "From this time on, RFC 3339"),
        ("until" = Option<String>, Query, description = "Before this time, RFC 3339")),
    responses((status = 200, body = EventPage), (status = 422, body = Problem)))]
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<Page>,
    Query(asked): Query<Asked>,
) -> Result<Json<EventPage>, Error> {
    let wanted = Wanted::of(asked)?;
    let limit = usize::try_from(page.limit.unwrap_or(100).min(MAX_EVENTS)).unwrap_or(1).max(1);
    let mut at = page.after.or(page.before).unwrap_or(u64::MAX);
    let mut shown = EventPage::default();
    while shown.looked_at < LOOKED_AT {
        let rows = match page.after {
            Some(_) => app.core.store.events(at, CHUNK).await?,
            None => app.core.store.events_before(at, CHUNK).await?,
        };
        if rows.is_empty() {
            shown.state = "end".to_string();
            break;
        }
        let mut sight = Sight::of(&app.core, &caller);
        let world = app.core.world();
        for row in rows {
            at = row.seq;
            shown.looked_at = shown.looked_at.saturating_add(1);
            let mut event = api_event(row);
            // What is left out tells nothing either.
            if wanted.fits(&event) && sight.trim_event(&world, &mut event) && wanted.fits(&event) {
                shown.events.push(event);
                if shown.events.len() >= limit {
                    break;
                }
            }
        }
        if shown.events.len() >= limit {
            break;
        }
    }
    if shown.state.is_empty() {
        (shown.state, shown.next) = ("more".to_string(), at);
    }
    if page.after.is_none() {
        shown.events.reverse();
    }
    Ok(Json(shown))
}

/// Where each machine stopped, and what to do
#[utoipa::path(get, path = "/api/v1/doctor", tag = "appliance", responses((status = 200, body = Vec<Finding>)))]
pub(crate) async fn doctor(State(app): State<App>, caller: Caller) -> Json<Vec<Finding>> {
    let mut findings = app.core.diagnose();
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    let node = |name: &str| world.nodes.values().any(|node| node.row.name == name);
    findings.retain(|finding| !node(&finding.name) || sight.node_named(&world, &finding.name));
    Json(findings)
}

/// The appliance's settings
#[utoipa::path(get, path = "/api/v1/config", tag = "appliance", responses((status = 200, body = ApplianceConfig)))]
pub(crate) async fn config(State(app): State<App>) -> Json<ApplianceConfig> {
    Json(app.core.show_config())
}

/// This document
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "appliance", security(()),
    responses((status = 200, content_type = "application/json")))]
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], crate::http::openapi_json())
}

/// Whether the process runs
#[utoipa::path(get, path = "/healthz", tag = "appliance", security(()), responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the appliance can do its work
#[utoipa::path(get, path = "/readyz", tag = "appliance", security(()),
    responses((status = 200, body = String), (status = 503, body = Problem)))]
pub(crate) async fn readyz(State(app): State<App>) -> Result<&'static str, Error> {
    match app.core.store.probe().await {
        Ok(()) => Ok("ready\n"),
        Err(error) => {
            tracing::error!(%error, "not ready");
            Err(Error::refused(503, "not-ready", "the store does not answer", "see the appliance's log"))
        }
    }
}

/// Metrics (OpenMetrics)
#[utoipa::path(get, path = "/metrics", tag = "appliance",
    responses((status = 200, content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let text = app.core.metrics(&(app.engines)());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
