//! Templates, copies, and several servers made at once.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{LabelChange, Plan, Problem, Template, TemplateCreate, Vs, VsCopy, VsSeries};

use super::dry_run::DryRun;
use super::groups::Shown;
use super::{Body, Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::error::Error;
use crate::http::App;
use crate::templates::show_template;

/// List templates
#[utoipa::path(get, path = "/api/v1/templates", tag = "templates",
    params(("selector" = Option<String>, Query, description = "Those with these labels")),
    responses((status = 200, body = Vec<Template>), (status = 422, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(shown): Query<Shown>,
) -> Result<Json<Vec<Template>>, Error> {
    let selector = shown.selector()?;
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    let fits = |labels| selector.as_ref().is_none_or(|selector| selector.matches(labels));
    let chosen = world.templates.values().filter(|row| fits(&row.labels) && sight.template(row));
    let mut templates: Vec<Template> = chosen.map(|row| show_template(&world, row)).collect();
    templates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(templates))
}

/// Create a template, of a virtual server or as described
#[utoipa::path(post, path = "/api/v1/templates", tag = "templates", request_body = TemplateCreate,
    params(("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 201, body = Template), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Body(wanted): Body<TemplateCreate>,
) -> Result<Response, Error> {
    let (plan, made) =
        to_the_end(async move { app.core.template_create(&caller.user, wanted, dry.0).await }).await?;
    Ok(match made {
        Some(made) => (StatusCode::CREATED, Json(made)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// Show a template
#[utoipa::path(get, path = "/api/v1/templates/{name}", tag = "templates", params(("name" = String, Path)),
    responses((status = 200, body = Template), (status = 404, body = Problem)))]
pub(crate) async fn get_one(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Template>, Error> {
    let row = app.core.find_template(&name)?;
    Ok(Json(show_template(&app.core.world(), &row)))
}

/// Delete a template; servers that were made of it stay
#[utoipa::path(delete, path = "/api/v1/templates/{name}", tag = "templates",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.template_delete(&caller.user, &name, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Change labels of a template
#[utoipa::path(post, path = "/api/v1/templates/{name}/labels", tag = "templates", request_body = LabelChange,
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn label(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(wanted): Body<LabelChange>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.label_template(&caller.user, &name, &wanted, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Copy a virtual server, running or not
///
/// The copy is stopped, has identifiers of its own, and none of what the server's guest has in memory.
#[utoipa::path(post, path = "/api/v1/vs/{name}/copy", tag = "vs", request_body = VsCopy,
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 201, body = Vs), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn copy(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(wanted): Body<VsCopy>,
) -> Result<Response, Error> {
    let (plan, made) =
        to_the_end(async move { app.core.vs_copy(&caller.user, &name, &wanted, dry.0).await }).await?;
    Ok(match made {
        Some(made) => (StatusCode::CREATED, Json(made)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// Create several virtual servers, stopped
///
/// All in one transaction, or none.
#[utoipa::path(post, path = "/api/v1/groups/vs/create", tag = "groups", request_body = VsSeries,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn series(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<VsSeries>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.vs_series(&caller.user, &wanted, dry).await }).await?))
}
