//! What nodes and virtual servers use, now and before.

use axum::Json;
use axum::extract::State;
use weft_api::{NodeLoad, Problem, Series, VsLoad};

use super::{Path, Query};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;
use crate::load::SeriesQuery;

/// What each approved node uses now
#[utoipa::path(get, path = "/api/v1/load/nodes", tag = "load", responses((status = 200, body = Vec<NodeLoad>)))]
pub(crate) async fn nodes(State(app): State<App>, caller: Caller) -> Json<Vec<NodeLoad>> {
    Json(app.core.node_loads(&caller))
}

/// What each virtual server uses now
#[utoipa::path(get, path = "/api/v1/load/vs", tag = "load", responses((status = 200, body = Vec<VsLoad>)))]
pub(crate) async fn servers(State(app): State<App>, caller: Caller) -> Json<Vec<VsLoad>> {
    Json(app.core.vs_loads(&caller))
}

/// How a node's load went: five minutes by the second, six hours by the minute
#[utoipa::path(get, path = "/api/v1/nodes/{name}/series", tag = "load",
    params(("name" = String, Path),
        ("metric" = Option<String>, Query, description = "Names, by commas; left out: all"),
        ("since" = Option<u64>, Query, description = "Only what is later: `last` of an earlier answer"),
        ("step" = Option<u32>, Query, description = "Seconds between values: 1 or 60, 1 by default")),
    responses((status = 200, body = Series), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn node_series(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<SeriesQuery>,
) -> Result<Json<Series>, Error> {
    Ok(Json(app.core.node_load_series(&name, &query)?))
}

/// How a virtual server's load went, on all its nodes together
#[utoipa::path(get, path = "/api/v1/vs/{name}/series", tag = "load",
    params(("name" = String, Path),
        ("metric" = Option<String>, Query, description = "Names, by commas; left out: all"),
        ("since" = Option<u64>, Query, description = "Only what is later: `last` of an earlier answer"),
        ("step" = Option<u32>, Query, description = "Seconds between values: 1 or 60, 1 by default")),
    responses((status = 200, body = Series), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn vs_series(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<SeriesQuery>,
) -> Result<Json<Series>, Error> {
    Ok(Json(app.core.vs_load_series(&name, &query)?))
}

/// How the load of a partition's nodes went, all together
#[utoipa::path(get, path = "/api/v1/partitions/{name}/series", tag = "load",
    params(("name" = String, Path),
        ("metric" = Option<String>, Query, description = "Names, by commas; left out: all"),
        ("since" = Option<u64>, Query, description = "Only what is later: `last` of an earlier answer"),
        ("step" = Option<u32>, Query, description = "Seconds between values: 1 or 60, 1 by default")),
    responses((status = 200, body = Series), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn partition_series(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<SeriesQuery>,
) -> Result<Json<Series>, Error> {
    Ok(Json(app.core.partition_load_series(&name, &query)?))
}
