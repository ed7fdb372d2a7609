//! Jobs.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use weft_api::{Job, JobCreate, JobDecided, JobDecision, JobPlan, Problem};

use super::dry_run::DryRun;
use super::{Body, Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;

/// Jobs of one answer where none are asked for.
const DEFAULT_LIMIT: u32 = 50;

#[derive(Deserialize)]
pub(crate) struct Page {
    before: Option<u64>,
    limit: Option<u32>,
}

/// What is no number is no job's.
fn parse(number: &str) -> Result<u64, Error> {
    number.parse().map_err(|_| Error::not_found("job-not-found", "job", number, "weft job list"))
}

/// List jobs, newest first
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs",
    params(("before" = Option<u64>, Query, description = "Those with smaller numbers: the next page"),
        ("limit" = Option<u32>, Query, description = "At most so many, 50 by default, 100 at most")),
    responses((status = 200, body = Vec<Job>)))]
pub(crate) async fn list(State(app): State<App>, Query(page): Query<Page>) -> Result<Json<Vec<Job>>, Error> {
    Ok(Json(app.core.jobs(page.before, page.limit.unwrap_or(DEFAULT_LIMIT)).await?))
}

/// Show a job and how far its steps are
#[utoipa::path(get, path = "/api/v1/jobs/{number}", tag = "jobs", params(("number" = u64, Path)),
    responses((status = 200, body = Job), (status = 404, body = Problem)))]
pub(crate) async fn get_one(State(app): State<App>, Path(number): Path<String>) -> Result<Json<Job>, Error> {
    Ok(Json(app.core.job(parse(&number)?).await?))
}

/// Make a job: several actions as one unit that waits for the nodes
///
/// Its steps are done in order, each once the nodes have followed the one before. Where one fails or comes too late, what
/// was done is undone, the last step first. It is refused where a step would be refused, and where another job that has
/// not ended is about one of the same objects. The answer comes at once and says where the job is.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = JobCreate,
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = JobPlan), (status = 202, body = Job, headers(("location" = String))),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Body(wanted): Body<JobCreate>,
) -> Result<Response, Error> {
    let made = to_the_end(async move { app.core.job_create(&caller.user, &wanted, dry).await }).await?;
    Ok(match made {
        Ok(job) => {
            let at: [(HeaderName, String); 1] = [(header::LOCATION, format!("/api/v1/jobs/{}", job.number))];
            (StatusCode::ACCEPTED, at, Json(job)).into_response()
        }
        Err(plan) => Json(plan).into_response(),
    })
}

/// Cancel a job that runs: what is done of it is undone
#[utoipa::path(post, path = "/api/v1/jobs/{number}/cancel", tag = "jobs", params(("number" = u64, Path), ("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = JobDecided), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Path(number): Path<String>,
) -> Result<Json<JobDecided>, Error> {
    let done = async move { app.core.job_cancel(&caller.user, parse(&number)?, dry).await };
    Ok(Json(to_the_end(done).await?))
}

/// Try the undo of a stuck step again
#[utoipa::path(post, path = "/api/v1/jobs/{number}/retry", tag = "jobs", params(("number" = u64, Path), ("dry_run" = Option<bool>, Query, description = "Only plan it")),
    responses((status = 200, body = JobDecided), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Path(number): Path<String>,
) -> Result<Json<JobDecided>, Error> {
    let done = async move { app.core.job_retry(&caller.user, parse(&number)?, dry).await };
    Ok(Json(to_the_end(done).await?))
}

/// Leave a stuck step as it is, and undo the rest of the job
#[utoipa::path(post, path = "/api/v1/jobs/{number}/skip", tag = "jobs", params(("number" = u64, Path), ("dry_run" = Option<bool>, Query, description = "Only plan it")),
    request_body = JobDecision,
    responses((status = 200, body = JobDecided), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn skip(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Path(number): Path<String>,
    Body(wanted): Body<JobDecision>,
) -> Result<Json<JobDecided>, Error> {
    let done = async move { app.core.job_skip(&caller.user, parse(&number)?, &wanted.reason, dry).await };
    Ok(Json(to_the_end(done).await?))
}

/// Leave a stuck job as it is
#[utoipa::path(post, path = "/api/v1/jobs/{number}/abandon", tag = "jobs", params(("number" = u64, Path), ("dry_run" = Option<bool>, Query, description = "Only plan it")),
    request_body = JobDecision,
    responses((status = 200, body = JobDecided), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn abandon(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    Path(number): Path<String>,
    Body(wanted): Body<JobDecision>,
) -> Result<Json<JobDecided>, Error> {
    let done = async move { app.core.job_abandon(&caller.user, parse(&number)?, &wanted.reason, dry).await };
    Ok(Json(to_the_end(done).await?))
}
