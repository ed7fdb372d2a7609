//! Drift: where nodes are not as they are wanted, and what a person says to it.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use weft_api::{Drift, DriftAnswer, Plan, Problem};

use super::dry_run::DryRun;
use super::{Body, Query, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::drift::{About, seen};
use crate::error::Error;
use crate::http::App;

#[derive(Deserialize)]
pub(crate) struct Which {
    #[serde(default)]
    all: bool,
}

/// Where nodes say something else than is wanted
///
/// By name. With `all`, those too that were settled since the appliance started, the last 200 of them.
#[utoipa::path(get, path = "/api/v1/drift", tag = "drift",
    params(("all" = Option<bool>, Query, description = "Settled ones too")),
    responses((status = 200, body = Vec<Drift>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Json<Vec<Drift>> {
    let mut drifts = app.core.show_drift(which.all);
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    drifts.retain(|drift| {
        seen(&world, &mut sight, About { kind: &drift.kind, node: &drift.node, vs: &drift.vs })
    });
    Json(drifts)
}

/// Accept what is, or have what is wanted made so
///
/// A drift that changes objects of the store is answered by one transaction, which an undo takes back; where nothing of the
/// store changes the plan has the transaction 0. Who answers needs the right to what it comes to: to start, stop, edit,
/// create or delete the server.
#[utoipa::path(post, path = "/api/v1/drift", tag = "drift", request_body = DriftAnswer,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn answer(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<DriftAnswer>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.drift_answer(&caller.user, &wanted, dry).await }).await?))
}
