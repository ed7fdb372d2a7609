//! Nodes.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use weft_api::{Approve, LogEntry, Node, Plan, Problem};

use super::dry_run::DryRun;
use super::groups::Shown;
use super::{Body, Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::error::Error;
use crate::http::App;
use crate::search::Lines;
use crate::world::LOG_LINES;

/// List nodes
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes",
    params(("selector" = Option<String>, Query, description = "Those with these labels")),
    responses((status = 200, body = Vec<Node>), (status = 422, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(shown): Query<Shown>,
) -> Result<Json<Vec<Node>>, Error> {
    let selector = shown.selector()?;
    let mut nodes = app.core.show_nodes();
    nodes.retain(|node| selector.as_ref().is_none_or(|selector| selector.matches(&node.labels)));
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    nodes.retain_mut(|node| sight.trim_node(&world, node));
    Ok(Json(nodes))
}

/// Show a node
#[utoipa::path(get, path = "/api/v1/nodes/{name}", tag = "nodes", params(("name" = String, Path)),
    responses((status = 200, body = Node), (status = 404, body = Problem)))]
pub(crate) async fn get_one(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Node>, Error> {
    let mut node = app.core.show_node(&name)?;
    let mut sight = Sight::of(&app.core, &caller);
    if sight.trim_node(&app.core.world(), &mut node) { Ok(Json(node)) } else { Err(Sight::no_node(&name)) }
}

/// Approve a node by its fingerprint
#[utoipa::path(post, path = "/api/v1/nodes/{name}/approve", tag = "nodes",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    request_body = Approve,
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(approve): Body<Approve>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.approve(&caller.user, &name, &approve.fingerprint, dry.0).await })
            .await?;
    Ok(dry.answer(plan))
}

/// Restart a node
#[utoipa::path(post, path = "/api/v1/nodes/{name}/reboot", tag = "nodes",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn reboot(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = app.core.reboot(&caller.user, &name, dry.0).await?;
    Ok(dry.answer(plan))
}

/// Sign a node's records anew and send them
#[utoipa::path(post, path = "/api/v1/nodes/{name}/push", tag = "nodes",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn push(
    State(app): State<App>,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = app.core.push_node(&name, dry.0).await?;
    Ok(dry.answer(plan))
}

/// Forget a node
#[utoipa::path(delete, path = "/api/v1/nodes/{name}", tag = "nodes",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn forget(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.forget(&caller.user, &name, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Last lines of a node's log, oldest first
///
/// All conditions must hold. Older ones: the `seq` of the first line as `before`. The last 1000 lines are kept.
#[utoipa::path(get, path = "/api/v1/nodes/{name}/log", tag = "nodes",
    params(("name" = String, Path), ("lines" = Option<usize>, Query, description = "At most so many, 200 by default, 1000 at most"),
        ("before" = Option<u64>, Query, description = "Those before this line"),
        ("grep" = Option<String>, Query, description = "With this text, in any case"),
        ("level" = Option<String>, Query, description = "As severe or more: debug, info, warn, error"),
        ("since" = Option<String>, Query, description = "From this time on, RFC 3339"),
        ("until" = Option<String>, Query, description = "Before this time, RFC 3339")),
    responses((status = 200, body = Vec<LogEntry>), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn log(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<Lines>,
) -> Result<Json<Vec<LogEntry>>, Error> {
    let node = app.core.find_node(&name)?;
    Ok(Json(query.choose(node.log.into_iter(), LOG_LINES)?))
}
