//! `ETag` and `If-Match` of single objects ([`crate::versions`]).
//!
//! The version of an answer is read before the answer is made: it may be older than what the answer shows, and then a
//! change is refused that need not be. The other way round a change would be lost.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use crate::auth::{ObjectKind, asking};
use crate::error::Error;
use crate::versions::{Expected, Tags, has_versions};

/// The object that a path names; stands among the extensions of a request.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) kind: ObjectKind,
    pub(super) name: String,
    /// The path names the object itself and nothing of it.
    pub(super) alone: bool,
}

fn if_match(headers: &HeaderMap) -> Result<Option<Tags>, Error> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|_| values.next().is_none()).unwrap_or_default();
    Tags::parse(text).map(Some)
}

/// What a change is made of, where the request says so. What has no versions refuses it: ignored, it would be a change
/// that nobody asked for.
fn expected(app: &App, request: &Request) -> Result<Option<Expected>, Error> {
    let Some(tags) = if_match(request.headers())? else { return Ok(None) };
    let subject = request.extensions().get::<Subject>().filter(|subject| has_versions(subject.kind));
    // A node's controller is a thing of its own, which its node's version says nothing of.
    let Some(subject) = subject.filter(|_| !request.uri().path().ends_with("/bmc")) else {
        return Err(Error::refused(
            422,
            "no-versions",
            "what this changes has no version",
            "nothing was done; leave If-Match out to do it",
        ));
    };
    let found = app.core.found(subject.kind, &subject.name)?;
    Ok(found.map(|found| Expected { kind: subject.kind, id: found.id, name: found.name, tags }))
}

/// Runs a request with its precondition, and gives the answer its version.
pub(super) async fn run(app: &App, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads {
        let subject = request.extensions().get::<Subject>().filter(|subject| subject.alone);
        let version = subject.filter(|subject| has_versions(subject.kind)).and_then(|subject| {
            let found = app.core.found(subject.kind, &subject.name).ok()??;
            app.core.version(subject.kind, &found.id)
        });
        let mut response = next.run(request).await;
        let value = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok());
        if let Some(value) = value.filter(|_| response.status().is_success()) {
            response.headers_mut().insert(header::ETAG, value);
        }
        return response;
    }
    match expected(app, &request) {
        Err(error) => error.into_response(),
        Ok(None) => next.run(request).await,
        // Looked at here for what changes nothing of it, and again under the lock of changes.
        Ok(Some(expected)) => match app.core.check_version(&expected).await {
            Ok(()) => asking::expecting(expected, next.run(request)).await,
            Err(error) => error.into_response(),
        },
    }
}
