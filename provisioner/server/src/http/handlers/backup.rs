//! Backups.

use axum::body::Body as Answer;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use weft_api::{BackupCreate, Problem};

use super::{Body, to_the_end};
use crate::accounts::Caller;
use crate::error::Error;
use crate::http::App;

/// Send one file of everything that a new appliance needs
///
/// Keys are in it: whoever has the file has the appliance.
#[utoipa::path(post, path = "/api/v1/backup", tag = "appliance", request_body = BackupCreate,
    responses((status = 200, content_type = "application/x-tar"), (status = 409, body = Problem),
        (status = 507, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(wanted): Body<BackupCreate>,
) -> Result<Response, Error> {
    let core = app.core.clone();
    let pieces = to_the_end(async move { core.backup(&caller.user, &wanted).await }).await?;
    let pieces = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], Answer::from_stream(pieces)).into_response())
}
