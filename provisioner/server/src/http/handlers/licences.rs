//! Licences.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{Licence, LicenceAdd, Plan, Problem};

use super::dry_run::DryRun;
use super::{Body, Path, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::error::Error;
use crate::http::App;
use crate::pools::show_licence;

/// List licences with their usage
#[utoipa::path(get, path = "/api/v1/licences", tag = "licences",
    responses((status = 200, body = Vec<Licence>)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<Vec<Licence>> {
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    let seen = world.identifiers.licences.values().filter(|row| sight.licence(row));
    let mut licences: Vec<Licence> = seen.map(|row| show_licence(&world, row)).collect();
    licences.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Json(licences)
}

/// Add a licence, which extends a pool
///
/// It is refused where no holder of the root set signed it, where it expired, where it is here already, and where its range
/// overlaps another.
#[utoipa::path(post, path = "/api/v1/licences", tag = "licences", request_body = LicenceAdd,
    params(("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 201, body = Licence), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Body(wanted): Body<LicenceAdd>,
) -> Result<Response, Error> {
    let (plan, made) =
        to_the_end(async move { app.core.licence_add(&caller.user, &wanted, dry.0).await }).await?;
    Ok(match made {
        Some(made) => (StatusCode::CREATED, Json(made)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// Show a licence
#[utoipa::path(get, path = "/api/v1/licences/{id}", tag = "licences", params(("id" = String, Path)),
    responses((status = 200, body = Licence), (status = 404, body = Problem)))]
pub(crate) async fn get_one(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Licence>, Error> {
    let row = app.core.find_licence(&id)?;
    Ok(Json(show_licence(&app.core.world(), &row)))
}

/// Remove a licence of which no virtual server has an identifier
#[utoipa::path(delete, path = "/api/v1/licences/{id}", tag = "licences",
    params(("id" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.licence_remove(&caller.user, &id, dry.0).await }).await?;
    Ok(dry.answer(plan))
}
