//! Management controllers of nodes, and power by them.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use weft_api::{Bmc, BmcSet, NodePower, Plan, PowerState, Problem};

use super::dry_run::DryRun;
use super::{Body, Path, to_the_end};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;

/// Show a node's management controller
///
/// Its password is told to nobody.
#[utoipa::path(get, path = "/api/v1/nodes/{name}/bmc", tag = "nodes", params(("name" = String, Path)),
    responses((status = 200, body = Bmc), (status = 404, body = Problem)))]
pub(crate) async fn bmc(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Bmc>, Error> {
    Ok(Json(app.core.bmc(&name)?))
}

/// Set a node's management controller
#[utoipa::path(put, path = "/api/v1/nodes/{name}/bmc", tag = "nodes", request_body = BmcSet,
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn set_bmc(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(wanted): Body<BmcSet>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.set_bmc(&caller.user, &name, &wanted, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Clear a node's management controller
#[utoipa::path(delete, path = "/api/v1/nodes/{name}/bmc", tag = "nodes",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem)))]
pub(crate) async fn clear_bmc(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.clear_bmc(&caller.user, &name, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Ask a node's management controller how its power stands
#[utoipa::path(get, path = "/api/v1/nodes/{name}/power", tag = "nodes", params(("name" = String, Path)),
    responses((status = 200, body = PowerState), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 502, body = Problem), (status = 504, body = Problem)))]
pub(crate) async fn state(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<PowerState>, Error> {
    Ok(Json(app.core.power_state(&name).await?))
}

/// Power nodes on or off, or reset them, by their management controllers
///
/// One transaction has what is asked of all, or of none where one has no controller. Where a controller does not do it,
/// the plan's state is `failed` and `conflicts` says why, while the others did; of one node alone the answer is the problem.
#[utoipa::path(post, path = "/api/v1/groups/nodes/power", tag = "groups", request_body = NodePower,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it; no controller is asked")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = 502, body = Problem), (status = 504, body = Problem)))]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<NodePower>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.node_power(&caller.user, &wanted, dry).await }).await?))
}
