//! Images and blobs.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use weft_api::{BlobReply, Image, Plan, Problem};

use super::dry_run::DryRun;
use super::{Path, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::error::Error;
use crate::http::App;
use crate::images::{MAX_IMAGE, show};

/// How much of a refused upload is read, and for how long.
const MAX_SWALLOWED: usize = 256 << 20;
const SWALLOWING: Duration = Duration::from_secs(20);

async fn whole(body: Body) -> Result<Bytes, Error> {
    let mut pieces = body.into_data_stream();
    let mut file = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| {
            Error::refused(400, "upload-broken", "the upload broke off", "send it again; nothing was kept")
        })?;
        if file.len().saturating_add(piece.len()) > MAX_IMAGE {
            return Err(Error::refused(
                413,
                "too-large",
                format!("more than {MAX_IMAGE} bytes"),
                "is this an image?",
            ));
        }
        file.extend_from_slice(&piece);
    }
    Ok(file.freeze())
}

/// List images
#[utoipa::path(get, path = "/api/v1/images", tag = "images", responses((status = 200, body = Vec<Image>)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<Vec<Image>> {
    let mut sight = Sight::of(&app.core, &caller);
    let mut images: Vec<Image> =
        app.core.world().images.values().filter(|row| sight.image(row)).map(show).collect();
    images.sort_by(|a, b| b.generation.cmp(&a.generation).then_with(|| a.digest.cmp(&b.digest)));
    Json(images)
}

/// Publish a signed image
///
/// What a node would refuse is refused. The first image becomes active. A dry run judges the file and keeps nothing of it.
#[utoipa::path(post, path = "/api/v1/images", tag = "images",
    params(("dry_run" = Option<bool>, Query, description = "Only plan it")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Plan), (status = 201, body = Image), (status = 409, body = Problem), (status = 422, body = Problem),
        (status = 507, body = Problem)))]
pub(crate) async fn publish(
    State(app): State<App>,
    caller: Caller,
    DryRun(dry): DryRun,
    body: Body,
) -> Result<Response, Error> {
    let file = whole(body).await?;
    let made = to_the_end(async move { app.core.publish(&caller.user, file, dry).await }).await?;
    Ok(match made {
        Ok(image) => (StatusCode::CREATED, Json(image)).into_response(),
        Err(plan) => Json(plan).into_response(),
    })
}

/// Add the Multiboot file of an image for BIOS machines
#[utoipa::path(put, path = "/api/v1/images/{digest}/bios", tag = "images", params(("digest" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Image), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn publish_bios(
    State(app): State<App>,
    caller: Caller,
    Path(digest): Path<String>,
    body: Body,
) -> Result<Json<Image>, Error> {
    let file = whole(body).await?;
    Ok(Json(to_the_end(async move { app.core.publish_bios(&caller.user, &digest, file).await }).await?))
}

/// Offer an image to booting nodes
#[utoipa::path(post, path = "/api/v1/images/{digest}/activate", tag = "images",
    params(("digest" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn activate(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(digest): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.activate(&caller.user, &digest, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Revoke an image for good
#[utoipa::path(post, path = "/api/v1/images/{digest}/revoke", tag = "images",
    params(("digest" = String, Path), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem)))]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    dry: DryRun,
    Path(digest): Path<String>,
) -> Result<Response, Error> {
    let plan = to_the_end(async move { app.core.revoke(&caller.user, &digest, dry.0).await }).await?;
    Ok(dry.answer(plan))
}

/// Store a guest kernel or initial ram disk
#[utoipa::path(put, path = "/api/v1/blobs", tag = "images",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = BlobReply), (status = 413, body = Problem),
        (status = 507, body = Problem)))]
pub(crate) async fn put_blob(
    State(app): State<App>,
    caller: Caller,
    body: Body,
) -> Result<Json<BlobReply>, Error> {
    let mut pieces = body.into_data_stream();
    let outcome = app.core.put_blob(&caller.user, &mut pieces).await;
    if outcome.is_err() {
        swallow(pieces).await;
    }
    Ok(Json(outcome?))
}

/// Reads what a refused client still sends, within limits: it hears the answer only when it has sent all.
async fn swallow(mut pieces: BodyDataStream) {
    let all = async {
        let mut left = MAX_SWALLOWED;
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whoever is slower than that gets a broken connection.
    let _slow = tokio::time::timeout(SWALLOWING, all).await;
}
