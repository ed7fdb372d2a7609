//! Virtual servers.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use weft_api::{Problem, Vs, VsCreate};

use super::Body;
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;
use crate::servers::{Verb, show};

/// List virtual servers
#[utoipa::path(get, path = "/api/v1/vs", tag = "vs", responses((status = 200, body = Vec<Vs>)))]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<Vs>> {
    let world = app.core.world();
    let mut servers: Vec<Vs> = world.servers.values().map(|vs| show(&world, vs)).collect();
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    Json(servers)
}

/// Create a virtual server, stopped
#[utoipa::path(post, path = "/api/v1/vs", tag = "vs", request_body = VsCreate,
    responses((status = 201, body = Vs), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(wanted): Body<VsCreate>,
) -> Result<(StatusCode, Json<Vs>), Error> {
    Ok((StatusCode::CREATED, Json(app.core.vs_create(&caller.user, wanted).await?)))
}

/// Show a virtual server
#[utoipa::path(get, path = "/api/v1/vs/{name}", tag = "vs", params(("name" = String, Path)),
    responses((status = 200, body = Vs), (status = 404, body = Problem)))]
pub(crate) async fn get_one(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Vs>, Error> {
    let vs = app.core.find_vs(&name)?;
    Ok(Json(show(&app.core.world(), &vs)))
}

/// Delete a virtual server
#[utoipa::path(delete, path = "/api/v1/vs/{name}", tag = "vs", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    app.core.vs_delete(&caller.user, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Start a virtual server
#[utoipa::path(post, path = "/api/v1/vs/{name}/start", tag = "vs", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn start(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    app.core.vs_do(&caller.user, &name, Verb::Start).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stop a virtual server
#[utoipa::path(post, path = "/api/v1/vs/{name}/stop", tag = "vs", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn stop(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    app.core.vs_do(&caller.user, &name, Verb::Stop).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reset a running virtual server
#[utoipa::path(post, path = "/api/v1/vs/{name}/reset", tag = "vs", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn reset(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    app.core.vs_do(&caller.user, &name, Verb::Reset).await?;
    Ok(StatusCode::NO_CONTENT)
}
