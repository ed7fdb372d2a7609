//! Virtual on physical, and where what could be moved to.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use weft_api::{Problem, Targets, Topology};

use super::Query;
use crate::accounts::Caller;
use crate::auth::{Object, ObjectKind, Sight};
use crate::error::Error;
use crate::http::App;

/// Show what stands in what, and what lies on what
///
/// Data centers, virtual mainframes, frames, nodes, partitions and virtual servers as one document, as far as the caller
/// may see them. As an earlier transaction left them they have no reports: nodes are `approved`, partitions `defined`,
/// servers `running` or `stopped` as was wanted.
#[utoipa::path(get, path = "/api/v1/topology", tag = "topology",
    params(("at" = Option<u64>, Query, description = "As this transaction left it; wants the right to view history")),
    responses((status = 200, body = Topology), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Query(When { at }): Query<When>,
) -> Result<Json<Topology>, Error> {
    if let Some(number) = at {
        app.core.allow(&caller, "view", &Object::new(ObjectKind::History, "all", ""))?;
        return app.core.topology_at(&caller, number).await.map(Json);
    }
    let transaction = app.core.store.last_transaction().await;
    let mut sight = Sight::of(&app.core, &caller);
    let now = crate::topology::topology(&app.core.world(), &mut sight);
    Ok(Json(Topology { transaction, ..now }))
}

#[derive(Deserialize)]
pub(crate) struct When {
    at: Option<u64>,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

/// Show where a node, a partition's nodes, a virtual server, one of its processors or a VNIC could go, and why not elsewhere
#[utoipa::path(get, path = "/api/v1/topology/targets", tag = "topology",
    params(("kind" = String, Query, description = "`node`, `partition`, `vs`, `vcpu` or `vnic`"),
        ("name" = String, Query, description = "Its name or id; of a virtual processor its server's, `/`, and its number")),
    responses((status = 200, body = Targets), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn targets(
    State(app): State<App>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Targets>, Error> {
    app.core.targets(&caller, &asked.kind, &asked.name).map(Json)
}
