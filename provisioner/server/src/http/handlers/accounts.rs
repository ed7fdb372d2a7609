//! Accounts and sessions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{Account, AccountCreate, PasswordReset, Plan, Problem, RoleChange, SessionInfo};

use super::dry_run::DryRun;
use super::{Body, Path, to_the_end};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;

/// List accounts
#[utoipa::path(get, path = "/api/v1/accounts", tag = "accounts",
    responses((status = 200, body = Vec<Account>), (status = 403, body = Problem)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<Vec<Account>> {
    Json(app.core.accounts_seen(&caller))
}

/// Create an account
///
/// Its password must be changed at its first log-in. Without one the account has tokens only.
#[utoipa::path(post, path = "/api/v1/accounts", tag = "accounts", request_body = AccountCreate,
    params(("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 201, body = Account), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Body(wanted): Body<AccountCreate>,
) -> Result<Response, Error> {
    let (plan, made) =
        to_the_end(async move { app.core.account_create(&caller, &wanted, dry.0).await }).await?;
    Ok(match made {
        Some(made) => (StatusCode::CREATED, Json(made)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// Show an account
#[utoipa::path(get, path = "/api/v1/accounts/{name}", tag = "accounts", params(("name" = String, Path)),
    responses((status = 200, body = Account), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get_one(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Account>, Error> {
    Ok(Json(app.core.account(&name)?))
}

/// Delete an account with its sessions and tokens
#[utoipa::path(delete, path = "/api/v1/accounts/{name}", tag = "accounts",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.account_delete(&caller, &name, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Give an account another role
#[utoipa::path(post, path = "/api/v1/accounts/{name}/role", tag = "accounts", request_body = RoleChange,
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn role(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
    Body(change): Body<RoleChange>,
) -> Result<Response, Error> {
    let plan =
        to_the_end(async move { app.core.account_role(&caller, &name, &change.role, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Give another's account a password
///
/// It must be changed at the next log-in, and the account's sessions end. There is no dry run.
#[utoipa::path(post, path = "/api/v1/accounts/{name}/password", tag = "accounts", request_body = PasswordReset,
    params(("name" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn password(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(change): Body<PasswordReset>,
) -> Result<StatusCode, Error> {
    to_the_end(async move { app.core.account_password(&caller, &name, &change.password).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List sessions
#[utoipa::path(get, path = "/api/v1/sessions", tag = "accounts",
    responses((status = 200, body = Vec<SessionInfo>), (status = 403, body = Problem)))]
pub(crate) async fn sessions(State(app): State<App>, caller: Caller) -> Json<Vec<SessionInfo>> {
    Json(app.core.sessions_seen(&caller))
}

/// End a session
#[utoipa::path(delete, path = "/api/v1/sessions/{name}", tag = "accounts",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub(crate) async fn end_session(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.session_end(&caller, &name, dry.0).await }).await?;
    Ok(dry.answer(plan))
}
