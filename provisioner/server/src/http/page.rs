//! The page: files of `provisioner/web/dist` as they were when this program was built.

use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::error::Error;

/// A file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/page.rs"));

const INDEX: &str = "index.html";

/// Serves a file of the page, or its index for a path of the page's own.
pub(crate) async fn serve(method: Method, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") || (method != Method::GET && method != Method::HEAD) {
        return Error::refused(404, "no-such-route", "there is no such route", "see /api/v1/openapi.json")
            .into_response();
    }
    let found = FILES.iter().find(|file| file.path == path);
    // A path without a dot is a view of the page; one with a dot is a file that is not there.
    let file = match found {
        Some(file) => file,
        None if path.contains('.') => return StatusCode::NOT_FOUND.into_response(),
        None => match FILES.iter().find(|file| file.path == INDEX) {
            Some(index) => index,
            None => return StatusCode::NOT_FOUND.into_response(),
        },
    };
    // The bundler puts a digest into the names under `assets/`.
    let cache =
        if file.path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(header::CONTENT_TYPE, file.kind), (header::CACHE_CONTROL, cache)], file.bytes).into_response()
}
