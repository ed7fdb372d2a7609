//! What is wanted, as one document.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use weft_api::{Apply, Manifest, Plan, Problem};

use super::dry_run::DryRun;
use super::{Body, Query, to_the_end};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;

/// Which part of it.
#[derive(Deserialize)]
pub(crate) struct Which {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

/// Show what is wanted, as a document that can be applied
///
/// Without a kind all that the caller may see. It applies to the same appliance without a change.
#[utoipa::path(get, path = "/api/v1/manifest", tag = "manifest",
    params(("kind" = Option<String>, Query, description = "`datacenters`, `mainframes`, `frames`, `nodes`, `partitions`, `templates`, `vs`"),
        ("name" = Option<String>, Query, description = "One object of the kind")),
    responses((status = 200, body = Manifest), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn export(
    State(app): State<App>,
    Query(which): Query<Which>,
) -> Result<Json<Manifest>, Error> {
    Ok(Json(app.core.export(&which.kind, &which.name)?))
}

/// Make a document so
///
/// All of it in one transaction, or none: where an object refuses, the answer names each that does and nothing is changed.
/// A dry run answers with the plan in either case; its `state` says which it is. What the document leaves out stays. At most
/// 1 MiB and 2000 objects.
#[utoipa::path(post, path = "/api/v1/manifest", tag = "manifest", request_body = Apply,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = Plan), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn apply(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<Apply>,
) -> Result<Json<Plan>, Error> {
    Ok(Json(to_the_end(async move { app.core.apply(&caller.user, &wanted, dry).await }).await?))
}
