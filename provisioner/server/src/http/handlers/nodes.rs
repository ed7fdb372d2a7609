//! Nodes.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weft_api::{Approve, LogEntry, Node, Problem};

use super::Body;
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;

/// List nodes
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", responses((status = 200, body = Vec<Node>)))]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<Node>> {
    Json(app.core.show_nodes())
}

/// Show a node
#[utoipa::path(get, path = "/api/v1/nodes/{name}", tag = "nodes", params(("name" = String, Path)),
    responses((status = 200, body = Node), (status = 404, body = Problem)))]
pub(crate) async fn get_one(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Node>, Error> {
    Ok(Json(app.core.show_node(&name)?))
}

/// Approve a node by its fingerprint
#[utoipa::path(post, path = "/api/v1/nodes/{name}/approve", tag = "nodes", params(("name" = String, Path)),
    request_body = Approve,
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(approve): Body<Approve>,
) -> Result<StatusCode, Error> {
    app.core.approve(&caller.user, &name, &approve.fingerprint).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restart a node
#[utoipa::path(post, path = "/api/v1/nodes/{name}/reboot", tag = "nodes", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn reboot(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    app.core.reboot(&caller.user, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign a node's records anew and send them
#[utoipa::path(post, path = "/api/v1/nodes/{name}/push", tag = "nodes", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn push(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Error> {
    app.core.push_node(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forget a node
#[utoipa::path(delete, path = "/api/v1/nodes/{name}", tag = "nodes", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn forget(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    app.core.forget(&caller.user, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(crate) struct Lines {
    lines: Option<usize>,
}

/// Last lines of a node's log
#[utoipa::path(get, path = "/api/v1/nodes/{name}/log", tag = "nodes",
    params(("name" = String, Path), ("lines" = Option<usize>, Query, description = "At most so many, 200 by default")),
    responses((status = 200, body = Vec<LogEntry>), (status = 404, body = Problem)))]
pub(crate) async fn log(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<Lines>,
) -> Result<Json<Vec<LogEntry>>, Error> {
    let node = app.core.find_node(&name)?;
    let skip = node.log.len().saturating_sub(query.lines.unwrap_or(200));
    Ok(Json(node.log.into_iter().skip(skip).collect()))
}
