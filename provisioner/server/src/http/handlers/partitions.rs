//! Partitions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{Partition, PartitionCreate, Plan, Problem};

use super::dry_run::DryRun;
use super::{Body, Path, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::error::Error;
use crate::http::App;
use crate::partitions::show;

/// List partitions
#[utoipa::path(get, path = "/api/v1/partitions", tag = "partitions",
    responses((status = 200, body = Vec<Partition>)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<Vec<Partition>> {
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    let seen = world.partitions.values().filter(|entry| sight.partition(&entry.row));
    let mut partitions: Vec<Partition> = seen.map(|entry| show(&world, entry)).collect();
    partitions.iter_mut().for_each(|partition| sight.trim_partition(&world, partition));
    partitions.sort_by(|a, b| a.name.cmp(&b.name));
    Json(partitions)
}

/// Create a partition of approved nodes
#[utoipa::path(post, path = "/api/v1/partitions", tag = "partitions", request_body = PartitionCreate,
    params(("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 201, body = Partition),
        (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Body(wanted): Body<PartitionCreate>,
) -> Result<Response, Error> {
    let (plan, made) =
        to_the_end(async move { app.core.partition_create(&caller.user, wanted, dry.0).await }).await?;
    Ok(match made {
        Some(made) => (StatusCode::CREATED, Json(made)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// Show a partition
#[utoipa::path(get, path = "/api/v1/partitions/{name}", tag = "partitions", params(("name" = String, Path)),
    responses((status = 200, body = Partition), (status = 404, body = Problem)))]
pub(crate) async fn get_one(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Partition>, Error> {
    let entry = app.core.find_partition(&name)?;
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    let mut partition = show(&world, &entry);
    sight.trim_partition(&world, &mut partition);
    Ok(Json(partition))
}

/// Delete a partition that no virtual server spans
#[utoipa::path(delete, path = "/api/v1/partitions/{name}", tag = "partitions",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.partition_delete(&caller.user, &name, dry.0).await }).await?;
    Ok(dry.answer(plan))
}
