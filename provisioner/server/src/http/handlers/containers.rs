//! Data centers, virtual mainframes, frames: the same five routes for each.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{Container, ContainerCreate, ContainerEdit, NodeMove, Plan, Problem, VsMove};
use weft_store::Level;

use super::dry_run::DryRun;
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

async fn created(
    app: App,
    caller: Caller,
    level: Level,
    dry: DryRun,
    wanted: ContainerCreate,
) -> Result<Response, Error> {
    let (core, user) = (app.core.clone(), caller.user.clone());
    let (plan, made) =
        to_the_end(async move { core.container_create(&user, level, &wanted, dry.0).await }).await?;
    Ok(match made {
        Some(row) => (StatusCode::CREATED, Json(shown(&app, &caller, level, &row.id)?)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// The routes of one level.
macro_rules! level {
    ($module:ident, $level:expr, $tag:literal, $list:literal, $one:literal, $edit:literal, $words:literal) => {
        pub(crate) mod $module {
            use super::*;

            #[utoipa::path(get, path = $list, tag = $tag, summary = concat!("List ", $words, "s"),
                params(("selector" = Option<String>, Query, description = "Those with these labels")),
                responses((status = 200, body = Vec<Container>), (status = 422, body = Problem)))]
            pub(crate) async fn list(
                State(app): State<App>,
                caller: Caller,
                Query(shown): Query<Shown>,
            ) -> Result<Json<Vec<Container>>, Error> {
                listed(&app, &caller, $level, &shown)
            }

            #[utoipa::path(post, path = $list, tag = $tag, summary = concat!("Create a ", $words), request_body = ContainerCreate,
                params(("dry_run" = Option<bool>, Query)),
                responses((status = 200, body = Plan), (status = 201, body = Container),
                    (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
            pub(crate) async fn create(
                State(app): State<App>,
                caller: Caller,
                dry: DryRun,
                Body(wanted): Body<ContainerCreate>,
            ) -> Result<Response, Error> {
                created(app, caller, $level, dry, wanted).await
            }

            #[utoipa::path(get, path = $one, tag = $tag, summary = concat!("Show a ", $words), params(("name" = String, Path)),
                responses((status = 200, body = Container), (status = 404, body = Problem)))]
            pub(crate) async fn get_one(
                State(app): State<App>,
                caller: Caller,
                Path(name): Path<String>,
            ) -> Result<Json<Container>, Error> {
                shown(&app, &caller, $level, &name).map(Json)
            }

            #[utoipa::path(post, path = $edit, tag = $tag, summary = concat!("Rename, move or label a ", $words), request_body = ContainerEdit,
                params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
                responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
                    (status = 409, body = Problem), (status = 422, body = Problem)))]
            pub(crate) async fn edit(
                State(app): State<App>,
                caller: Caller,
                dry: DryRun,
                Path(name): Path<String>,
                Body(wanted): Body<ContainerEdit>,
            ) -> Result<Response, Error> {
                let plan = to_the_end(async move {
                    app.core.container_edit(&caller.user, ($level, &name), &wanted, dry.0).await
                })
                .await?;
                Ok(dry.answer(plan))
            }

            #[utoipa::path(delete, path = $one, tag = $tag, summary = concat!("Delete a ", $words, " that holds nothing"),
                params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
                responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
                    (status = 409, body = Problem)))]
            pub(crate) async fn delete(
                State(app): State<App>,
                caller: Caller,
                dry: DryRun,
                Path(name): Path<String>,
            ) -> Result<Response, Error> {
                let plan = to_the_end(async move {
                    app.core.container_delete(&caller.user, $level, &name, dry.0).await
                })
                .await?;
                Ok(dry.answer(plan))
            }
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
    "data center"
);
level!(
    mainframes,
    Level::Mainframe,
    "mainframes",
    "/api/v1/mainframes",
    "/api/v1/mainframes/{name}",
    "/api/v1/mainframes/{name}/edit",
    "virtual mainframe"
);
level!(
    frames,
    Level::Frame,
    "frames",
    "/api/v1/frames",
    "/api/v1/frames/{name}",
    "/api/v1/frames/{name}/edit",
    "frame"
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
