//! Operators that speak to nodes by themselves.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use weft_api::{Operator, OperatorCreate, Problem};

use super::{Body, to_the_end};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;

/// Sign an operator's keys, so that nodes let it in while the appliance is away
#[utoipa::path(post, path = "/api/v1/operators", tag = "operators", request_body = OperatorCreate,
    responses((status = 201, body = Operator), (status = 422, body = Problem)))]
pub(crate) async fn issue(
    State(app): State<App>,
    caller: Caller,
    Body(wanted): Body<OperatorCreate>,
) -> Result<(StatusCode, Json<Operator>), Error> {
    Ok((
        StatusCode::CREATED,
        Json(to_the_end(async move { app.core.operator_issue(&caller.user, &wanted).await }).await?),
    ))
}
