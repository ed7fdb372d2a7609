//! What the OpenAPI document says of every route alike, so that no handler repeats it: refusals of the layers before it.

use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use super::PUBLIC;

/// Media type of refusals (RFC 9457).
pub(super) const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";
/// Routes whose answers last as long as they are listened to, without a limit of time.
const STREAMS: [&str; 2] = ["/api/v1/events/stream", "/api/v1/vs/{name}/console"];

/// Name of the answer that all refusals have.
pub(super) const REFUSAL: &str = "Refusal";

/// The answer that all refusals have.
pub(super) fn refusal() -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description("Refused, with what to do.").content(PROBLEM, content).build()
}

/// Statuses of the layers that a request passes before its handler.
fn statuses(method: &str, path: &str, operation: &Operation) -> Vec<&'static str> {
    let json = operation.request_body.as_ref().is_some_and(|body| match body {
        RefOr::T(body) => body.content.contains_key(JSON),
        RefOr::Ref(_) => false,
    });
    let body = operation.request_body.is_some();
    let parameters = operation.parameters.as_ref().is_some_and(|all| !all.is_empty());
    let named = ["{name}", "{digest}", "{id}"].iter().any(|part| path.contains(part));
    let public = PUBLIC.contains(&(method, path));
    let change = !public && method != "get";
    [
        // Path, query, header or body that cannot be read.
        ("400", parameters || body || change),
        // Who asks, and what he may.
        ("401", !public),
        ("403", !public),
        // Nothing of that name that one may see, and several that it begins.
        ("404", named),
        ("409", named),
        ("408", !STREAMS.contains(&path) && path.starts_with("/api/")),
        ("412", named && change),
        ("413", body),
        ("415", json),
        // Values that are none, and headers that this does not take.
        ("422", change || json),
        // The disk is full.
        ("507", change),
    ]
    .into_iter()
    .filter_map(|(status, given)| given.then_some(status))
    .collect()
}

/// Completes the answers of a route.
pub(super) fn complete(method: &str, path: &str, operation: &mut Operation) {
    let problem = RefOr::Ref(Ref::from_schema_name("Problem"));
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(declared) = response else { continue };
        let is_problem = declared.content.values().any(|content| match content {
            RefOr::T(content) => content.schema.as_ref() == Some(&problem),
            RefOr::Ref(_) => false,
        });
        if is_problem {
            *response = RefOr::Ref(Ref::from_response_name(REFUSAL));
        }
    }
    for status in statuses(method, path, operation) {
        let all = &mut operation.responses.responses;
        all.entry(status.to_string()).or_insert_with(|| RefOr::Ref(Ref::from_response_name(REFUSAL)));
    }
}
