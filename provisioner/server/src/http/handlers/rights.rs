//! Tokens, policies about rights, and questions about one's own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{
    Answer, AuthPolicy, AuthPolicyCreate, AuthSchema, MAX_QUESTIONS, Plan, Problem, Question, Questions,
    Token, TokenCreate,
};

use super::dry_run::DryRun;
use super::{Body, Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::auth::SCHEMA;
use crate::error::Error;
use crate::http::App;

/// List tokens
#[utoipa::path(get, path = "/api/v1/tokens", tag = "auth",
    responses((status = 200, body = Vec<Token>), (status = 403, body = Problem)))]
pub(crate) async fn tokens(State(app): State<App>, caller: Caller) -> Json<Vec<Token>> {
    Json(app.core.tokens_seen(&caller))
}

/// Make a token
///
/// The answer has the token itself, once. It acts for its account, within its scope where it has one.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "auth", request_body = TokenCreate,
    params(("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 201, body = Token), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create_token(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Body(wanted): Body<TokenCreate>,
) -> Result<Response, Error> {
    let (plan, made) =
        to_the_end(async move { app.core.token_create(&caller, &wanted, dry.0).await }).await?;
    Ok(match made {
        Some(made) => (StatusCode::CREATED, Json(made)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// Revoke a token
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "auth",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub(crate) async fn revoke_token(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.token_revoke(&caller, &name, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// List policies about rights: those of the roles, and own ones
#[utoipa::path(get, path = "/api/v1/auth/policies", tag = "auth",
    responses((status = 200, body = Vec<AuthPolicy>), (status = 403, body = Problem)))]
pub(crate) async fn policies(State(app): State<App>, caller: Caller) -> Json<Vec<AuthPolicy>> {
    Json(app.core.auth_policies_seen(&caller))
}

/// Add a policy about rights
///
/// It is checked against the schema first. It holds from the next request on.
#[utoipa::path(post, path = "/api/v1/auth/policies", tag = "auth", request_body = AuthPolicyCreate,
    params(("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 201, body = AuthPolicy), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn add_policy(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Body(wanted): Body<AuthPolicyCreate>,
) -> Result<Response, Error> {
    let (plan, made) =
        to_the_end(async move { app.core.auth_policy_add(&caller, &wanted, dry.0).await }).await?;
    Ok(match made {
        Some(made) => (StatusCode::CREATED, Json(made)).into_response(),
        None => Json(plan).into_response(),
    })
}

/// Show a policy about rights
#[utoipa::path(get, path = "/api/v1/auth/policies/{name}", tag = "auth", params(("name" = String, Path)),
    responses((status = 200, body = AuthPolicy), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn policy(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<AuthPolicy>, Error> {
    Ok(Json(app.core.auth_policy(&name)?))
}

/// Delete an own policy about rights
#[utoipa::path(delete, path = "/api/v1/auth/policies/{name}", tag = "auth",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete_policy(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.auth_policy_delete(&caller, &name, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// The schema that policies about rights must fit
#[utoipa::path(get, path = "/api/v1/auth/schema", tag = "auth", responses((status = 200, body = AuthSchema)))]
pub(crate) async fn schema() -> Json<AuthSchema> {
    Json(AuthSchema { text: SCHEMA.to_string() })
}

/// Whether the caller may do something, and which policies say so
#[utoipa::path(get, path = "/api/v1/auth/can-i", tag = "auth",
    params(("verb" = String, Query, description = "`view`, `start`, …"),
        ("kind" = String, Query, description = "`vs`, `node`, …"),
        ("name" = Option<String>, Query, description = "Object by name or id; without it: any of the kind")),
    responses((status = 200, body = Answer), (status = 422, body = Problem)))]
pub(crate) async fn can_i(
    State(app): State<App>,
    caller: Caller,
    Query(question): Query<Question>,
) -> Result<Json<Answer>, Error> {
    Ok(Json(app.core.can_i(&caller, &question)?))
}

/// The same, for several questions at once
#[utoipa::path(post, path = "/api/v1/auth/can-i", tag = "auth", request_body = Questions,
    responses((status = 200, body = Vec<Answer>), (status = 422, body = Problem)))]
pub(crate) async fn can_i_all(
    State(app): State<App>,
    caller: Caller,
    Body(all): Body<Questions>,
) -> Result<Json<Vec<Answer>>, Error> {
    if all.questions.is_empty() || all.questions.len() > MAX_QUESTIONS {
        return Err(Error::refused(
            422,
            "invalid",
            format!("{} questions", all.questions.len()),
            format!("1 to {MAX_QUESTIONS}"),
        ));
    }
    all.questions.iter().map(|question| app.core.can_i(&caller, question)).collect::<Result<_, _>>().map(Json)
}
