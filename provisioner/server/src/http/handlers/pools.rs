//! Pools of identifiers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{Plan, Pool, PoolCreate, PoolExtend, Problem};

use super::dry_run::DryRun;
use super::{Body, Path, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::error::Error;
use crate::http::App;
use crate::pools::show_pool;

/// List pools of identifiers with their usage
#[utoipa::path(get, path = "/api/v1/pools", tag = "pools", responses((status = 200, body = Vec<Pool>)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<Vec<Pool>> {
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    let seen = world.identifiers.pools.values().filter(|row| sight.pool(row));
    let mut pools: Vec<Pool> = seen.map(|row| show_pool(&world, row)).collect();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    Json(pools)
}

/// Create a pool of identifiers
#[utoipa::path(post, path = "/api/v1/pools", tag = "pools", request_body = PoolCreate,
    params(("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 201, body = Pool), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Body(wanted): Body<PoolCreate>,
) -> Result<Response, Error> {
    let (plan, made) =
        to_the_end(async move { app.core.pool_create(&caller.user, wanted, dry.0).await }).await?;
    Ok(match made {
        Some(made) => (StatusCode::CREATED, Json(made)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// Show a pool of identifiers
#[utoipa::path(get, path = "/api/v1/pools/{name}", tag = "pools", params(("name" = String, Path)),
    responses((status = 200, body = Pool), (status = 404, body = Problem)))]
pub(crate) async fn get_one(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Pool>, Error> {
    let row = app.core.find_pool(&name)?;
    Ok(Json(show_pool(&app.core.world(), &row)))
}

/// Add ranges to a pool of identifiers
#[utoipa::path(post, path = "/api/v1/pools/{name}/extend", tag = "pools", request_body = PoolExtend,
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn extend(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(wanted): Body<PoolExtend>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.pool_extend(&caller.user, &name, &wanted, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Delete a pool of which no virtual server has an identifier
#[utoipa::path(delete, path = "/api/v1/pools/{name}", tag = "pools",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.pool_delete(&caller.user, &name, dry.0).await }).await?;
    Ok(dry.answer(plan))
}
