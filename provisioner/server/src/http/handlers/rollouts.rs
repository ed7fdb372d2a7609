//! Rollouts of images.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use weft_api::{Plan, Problem, Rollout, RolloutCreate, RolloutDecided};

use super::dry_run::DryRun;
use super::{Body, Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;

/// Rollouts of one answer where none are asked for.
const DEFAULT_LIMIT: u32 = 50;

#[derive(Deserialize)]
pub(crate) struct Page {
    before: Option<u64>,
    limit: Option<u32>,
}

/// What is no number is no rollout's.
fn parse(number: &str) -> Result<u64, Error> {
    let missing = |_| Error::not_found("rollout-not-found", "rollout", number, "weft image rollout list");
    number.parse().map_err(missing)
}

fn answer(made: Result<Rollout, Plan>) -> Response {
    match made {
        Ok(rollout) => {
            let at = format!("/api/v1/rollouts/{}", rollout.number);
            let at: [(HeaderName, String); 1] = [(header::LOCATION, at)];
            (StatusCode::ACCEPTED, at, Json(rollout)).into_response()
        }
        Err(plan) => Json(plan).into_response(),
    }
}

/// List rollouts of images, newest first
#[utoipa::path(get, path = "/api/v1/rollouts", tag = "rollouts",
    params(("before" = Option<u64>, Query, description = "Those with smaller numbers: the next page"),
        ("limit" = Option<u32>, Query, description = "At most so many, 50 by default, 100 at most")),
    responses((status = 200, body = Vec<Rollout>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Rollout>>, Error> {
    Ok(Json(app.core.rollouts(page.before, page.limit.unwrap_or(DEFAULT_LIMIT)).await?))
}

/// Show a rollout and how far each node is
#[utoipa::path(get, path = "/api/v1/rollouts/{number}", tag = "rollouts", params(("number" = u64, Path)),
    responses((status = 200, body = Rollout), (status = 404, body = Problem)))]
pub(crate) async fn get_one(
    State(app): State<App>,
    Path(number): Path<String>,
) -> Result<Json<Rollout>, Error> {
    Ok(Json(app.core.rollout(parse(&number)?).await?))
}

/// Roll an image out, node by node
///
/// The canary restarts into it first, alone; then the others, at most `max_unavailable` at once. Where one does not come
/// back in time, or with another image, the rollout stops by itself, and the nodes behind stay as they are. Once all approved
/// nodes run the image it becomes the active one. It takes the right to activate the image, to restart each node, and to
/// stop and start what is drained.
#[utoipa::path(post, path = "/api/v1/rollouts", tag = "rollouts", request_body = RolloutCreate,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 202, body = Rollout, headers(("location" = String))),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn start(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<RolloutCreate>,
) -> Result<Response, Error> {
    let made = to_the_end(async move { app.core.rollout_start(&caller.user, &wanted, dry).await }).await?;
    Ok(answer(made))
}

/// Pause a rollout: what is under way is brought to its end, and no further node is begun
#[utoipa::path(post, path = "/api/v1/rollouts/{number}/pause", tag = "rollouts", params(("number" = u64, Path), ("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = RolloutDecided), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn pause(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Path(number): Path<String>,
) -> Result<Json<RolloutDecided>, Error> {
    let done = async move { app.core.rollout_pause(&caller.user, parse(&number)?, dry).await };
    Ok(Json(to_the_end(done).await?))
}

/// Let a rollout go on that is paused or stopped; nodes that failed are begun anew
#[utoipa::path(post, path = "/api/v1/rollouts/{number}/resume", tag = "rollouts", params(("number" = u64, Path), ("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = RolloutDecided), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Path(number): Path<String>,
) -> Result<Json<RolloutDecided>, Error> {
    let done = async move { app.core.rollout_resume(&caller.user, parse(&number)?, dry).await };
    Ok(Json(to_the_end(done).await?))
}

/// End a rollout where it stands
///
/// Nodes keep the image that was chosen for them. Servers that were stopped for it start again.
#[utoipa::path(post, path = "/api/v1/rollouts/{number}/abort", tag = "rollouts", params(("number" = u64, Path), ("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = RolloutDecided), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn abort(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Path(number): Path<String>,
) -> Result<Json<RolloutDecided>, Error> {
    let done = async move { app.core.rollout_abort(&caller.user, parse(&number)?, dry).await };
    Ok(Json(to_the_end(done).await?))
}

/// Go back: a new rollout, of the images before, to the nodes that this one has moved
///
/// One that has not ended ends. Refused where an image before is revoked, expired, below the floor, or not known here.
#[utoipa::path(post, path = "/api/v1/rollouts/{number}/back", tag = "rollouts",
    params(("number" = u64, Path), ("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 202, body = Rollout, headers(("location" = String))),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn back(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Path(number): Path<String>,
) -> Result<Response, Error> {
    let made = async move { app.core.rollout_back(&caller.user, parse(&number)?, dry).await };
    Ok(answer(to_the_end(made).await?))
}
