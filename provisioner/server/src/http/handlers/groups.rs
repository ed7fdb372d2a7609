//! Changes of several objects at once, of labels, and lists by selector.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use weft_api::{GroupLabels, LabelChange, NodeGroup, Plan, Problem, Selector, VsGroup, VsGroupMove};

use super::dry_run::DryRun;
use super::{Body, Path, to_the_end};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;

/// Which objects a list shows.
#[derive(Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    selector: String,
}

impl Shown {
    /// `None`: all.
    pub(crate) fn selector(&self) -> Result<Option<Selector>, Error> {
        if self.selector.is_empty() { Ok(None) } else { Ok(Some(self.selector.parse()?)) }
    }
}

/// Start, stop, reset or delete several virtual servers
///
/// All in one transaction, or none: where one of them refuses, the answer names each that does and nothing is changed.
/// A dry run answers with the plan in either case; its `state` says which it is. At most 1000 servers are changed.
#[utoipa::path(post, path = "/api/v1/groups/vs", tag = "groups", request_body = VsGroup,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn servers(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<VsGroup>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.vs_group(&caller.user, &wanted, dry).await }).await?))
}

/// Approve or forget several nodes
///
/// As for virtual servers: all in one transaction, or none.
#[utoipa::path(post, path = "/api/v1/groups/nodes", tag = "groups", request_body = NodeGroup,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn nodes(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<NodeGroup>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.node_group(&caller.user, &wanted, dry).await }).await?))
}

/// Move several stopped virtual servers to one node
///
/// All in one transaction, or none, as for the other changes of several.
#[utoipa::path(post, path = "/api/v1/groups/vs/move", tag = "groups", request_body = VsGroupMove,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn move_servers(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<VsGroupMove>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.vs_group_move(&caller.user, &wanted, dry).await }).await?))
}

/// Change labels of several virtual servers
#[utoipa::path(post, path = "/api/v1/groups/vs/labels", tag = "groups", request_body = GroupLabels,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn label_servers(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<GroupLabels>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.label_servers(&caller.user, &wanted, dry).await }).await?))
}

/// Change labels of several nodes
#[utoipa::path(post, path = "/api/v1/groups/nodes/labels", tag = "groups", request_body = GroupLabels,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn label_nodes(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<GroupLabels>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.label_nodes(&caller.user, &wanted, dry).await }).await?))
}

/// Change labels of a virtual server
#[utoipa::path(post, path = "/api/v1/vs/{name}/labels", tag = "vs", request_body = LabelChange,
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn label_vs(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(wanted): Body<LabelChange>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.label_vs(&caller.user, &name, &wanted, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Change labels of a node
#[utoipa::path(post, path = "/api/v1/nodes/{name}/labels", tag = "nodes", request_body = LabelChange,
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn label_node(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(wanted): Body<LabelChange>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.label_node(&caller.user, &name, &wanted, dry.0).await }).await?;
    Ok(dry.answer(plan))
}
