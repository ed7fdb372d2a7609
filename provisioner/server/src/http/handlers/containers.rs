//! Data centers, virtual mainframes, frames: the same five routes for each.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{Container, ContainerCreate, ContainerEdit, NodeMove, Plan, Problem, VsMove};
use weft_store::Level;

use super::dry_run::DryRun;
use super::five::five_routes;
use super::groups::Shown;
use super::{Body, Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::containers::show_container;
use crate::error::Error;
use crate::http::App;
use crate::view::natural;

fn listed(app: &App, caller: &Caller, level: Level, shown: &Shown) -> Result<Json<Vec<Container>>, Error> {
    let selector = shown.selector()?;
    let mut sight = Sight::of(&app.core, caller);
    let world = app.core.world();
    let fits = |labels| selector.as_ref().is_none_or(|selector| selector.matches(labels));
    let rows = world.containers.values().filter(|row| row.level == level && fits(&row.labels));
    let rows: Vec<_> = rows.filter(|row| sight.container(row)).collect();
    let mut all: Vec<Container> = rows
        .iter()
        .map(|row| show_container(&world, row, |world, name| sight.inside(world, level, name)))
        .collect();
    all.sort_by_key(|one| natural(&one.name));
    Ok(Json(all))
}

fn shown(app: &App, caller: &Caller, level: Level, name: &str) -> Result<Container, Error> {
    let row = app.core.find_container(level, name)?;
    let mut sight = Sight::of(&app.core, caller);
    let world = app.core.world();
    Ok(show_container(&world, &row, |world, name| sight.inside(world, level, name)))
}

/// The routes of one level.
macro_rules! level {
    ($module:ident, $level:expr, $tag:literal, $list:literal, $one:literal, $edit:literal, $words:literal, $plural:literal) => {
        five_routes! {
            $module: $level, $tag at $list, $one, $edit;
            objects Container, ContainerCreate, ContainerEdit;
            calls container_create, container_edit, container_delete;
            words $words, $plural, "Rename, move or label", "holds nothing"
        }
    };
}

level!(
    datacenters,
    Level::Datacenter,
    "datacenters",
    "/api/v1/datacenters",
    "/api/v1/datacenters/{name}",
    "/api/v1/datacenters/{name}/edit",
    "data center",
    "data centers"
);
level!(
    mainframes,
    Level::Mainframe,
    "mainframes",
    "/api/v1/mainframes",
    "/api/v1/mainframes/{name}",
    "/api/v1/mainframes/{name}/edit",
    "virtual mainframe",
    "virtual mainframes"
);
level!(
    frames,
    Level::Frame,
    "frames",
    "/api/v1/frames",
    "/api/v1/frames/{name}",
    "/api/v1/frames/{name}/edit",
    "frame",
    "frames"
);

/// Move nodes into a frame, or into the free pool
///
/// All in one transaction, or none. What runs on them goes on.
#[utoipa::path(post, path = "/api/v1/groups/nodes/move", tag = "groups", request_body = NodeMove,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn move_nodes(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<NodeMove>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.node_move(&caller.user, &wanted, dry).await }).await?))
}

/// Move a stopped virtual server to another node
#[utoipa::path(post, path = "/api/v1/vs/{name}/move", tag = "vs", request_body = VsMove,
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn move_vs(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(wanted): Body<VsMove>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.vs_move(&caller.user, &name, &wanted.node, dry.0).await }).await?;
    Ok(dry.answer(plan))
}
