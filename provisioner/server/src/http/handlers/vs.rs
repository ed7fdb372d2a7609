//! Virtual servers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{Plan, Problem, Span, Vs, VsCreate, VsEdit};

use super::dry_run::DryRun;
use super::groups::Shown;
use super::{Body, Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::error::Error;
use crate::http::App;
use crate::servers::{Verb, show};

/// List virtual servers
#[utoipa::path(get, path = "/api/v1/vs", tag = "vs",
    params(("selector" = Option<String>, Query, description = "Those with these labels")),
    responses((status = 200, body = Vec<Vs>), (status = 422, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(shown): Query<Shown>,
) -> Result<Json<Vec<Vs>>, Error> {
    let selector = shown.selector()?;
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    let fits = |labels| selector.as_ref().is_none_or(|selector| selector.matches(labels));
    let chosen = world.servers.values().filter(|vs| fits(&vs.row.labels) && sight.vs(&vs.row));
    let mut servers: Vec<Vs> = chosen.map(|vs| show(&world, vs)).collect();
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(servers))
}

/// Create a virtual server, stopped
#[utoipa::path(post, path = "/api/v1/vs", tag = "vs", request_body = VsCreate,
    params(("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 201, body = Vs), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Body(wanted): Body<VsCreate>,
) -> Result<Response, Error> {
    let (plan, made) =
        to_the_end(async move { app.core.vs_create(&caller.user, wanted, dry.0).await }).await?;
    Ok(match made {
        Some(made) => (StatusCode::CREATED, Json(made)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// Show a virtual server
#[utoipa::path(get, path = "/api/v1/vs/{name}", tag = "vs", params(("name" = String, Path)),
    responses((status = 200, body = Vs), (status = 404, body = Problem)))]
pub(crate) async fn get_one(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Vs>, Error> {
    let vs = app.core.find_vs(&name)?;
    let processors = app.core.processors_of(&vs.row.id);
    Ok(Json(Vs { processors, ..show(&app.core.world(), &vs) }))
}

/// Show how a virtual server that spans nodes works
#[utoipa::path(get, path = "/api/v1/vs/{name}/span", tag = "vs", params(("name" = String, Path)),
    responses((status = 200, body = Span), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn span(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Span>, Error> {
    Ok(Json(app.core.show_span(&name)?))
}

/// Change a virtual server; what is left out stays
///
/// A running server takes its new name at once, and the rest at its next start: until then it stands in `pending`.
#[utoipa::path(patch, path = "/api/v1/vs/{name}", tag = "vs", request_body = VsEdit,
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the answer that the change is made of")),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 412, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn edit(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(wanted): Body<VsEdit>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.vs_edit(&caller.user, &name, &wanted, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Delete a virtual server
#[utoipa::path(delete, path = "/api/v1/vs/{name}", tag = "vs",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.vs_do(&caller.user, &name, Verb::Delete, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Start a virtual server
#[utoipa::path(post, path = "/api/v1/vs/{name}/start", tag = "vs",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem)))]
pub(crate) async fn start(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.vs_do(&caller.user, &name, Verb::Start, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Stop a virtual server
#[utoipa::path(post, path = "/api/v1/vs/{name}/stop", tag = "vs",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem)))]
pub(crate) async fn stop(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.vs_do(&caller.user, &name, Verb::Stop, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Reset a running virtual server
#[utoipa::path(post, path = "/api/v1/vs/{name}/reset", tag = "vs",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn reset(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.vs_do(&caller.user, &name, Verb::Reset, dry.0).await }).await?;
    Ok(dry.answer(plan))
}
