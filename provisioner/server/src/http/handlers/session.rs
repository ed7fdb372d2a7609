//! Log-in, log-out, password.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use weft_api::{LoginReply, LoginRequest, PasswordChange, Problem};

use super::{Body, to_the_end};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;
use crate::http::auth::set_cookie;
use crate::http::listen::Peer;

/// Log in
#[utoipa::path(post, path = "/api/v1/login", tag = "session", security(()), request_body = LoginRequest,
    responses((status = 200, body = LoginReply), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn login(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    Body(request): Body<LoginRequest>,
) -> Result<impl IntoResponse, Error> {
    let reply =
        to_the_end(async move { app.core.login(peer, &request.user, &request.password).await }).await?;
    Ok((AppendHeaders([(header::SET_COOKIE, set_cookie(Some(&reply.token)))]), Json(reply)))
}

/// Log out
#[utoipa::path(post, path = "/api/v1/logout", tag = "session",
    responses((status = 204), (status = 401, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn logout(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Error> {
    to_the_end(async move { app.core.logout(&caller).await }).await?;
    Ok((AppendHeaders([(header::SET_COOKIE, set_cookie(None))]), StatusCode::NO_CONTENT))
}

/// Change the caller's password
#[utoipa::path(post, path = "/api/v1/password", tag = "session", request_body = PasswordChange,
    responses((status = 204), (status = 403, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn password(
    State(app): State<App>,
    caller: Caller,
    Body(change): Body<PasswordChange>,
) -> Result<StatusCode, Error> {
    to_the_end(async move { app.core.set_password(&caller, &change.old, &change.new).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
