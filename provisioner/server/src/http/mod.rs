//! The interface: routes, middleware, and the OpenAPI document.
//!
//! ```text
//! TLS or Unix socket ─▶ headers ─▶ time limit ─▶ who asks? ─▶ may it? ─▶ handler ─▶ Core
//! ```
//! Every route is declared once, with its documentation; the document and the router come from the same
//! list ([`routes`]), so that neither can miss one. Everything needs a session but what [`PUBLIC`] names, and the right
//! that stands for the route in [`rights`].

mod auth;
mod cert;
mod document;
mod handlers;
mod listen;
mod page;
mod repeats;
mod rights;
mod stream;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use weft_api::Problem;

use crate::core::{Core, count};
use crate::error::Error;
use handlers::{containers, networks};

pub use cert::{Certificate, CertificateError};
pub use listen::{Front, serve_local, serve_tls};
pub(crate) use listen::{OfUs, Peer, serve_others};
pub(crate) use repeats::Turns;

/// What anybody may ask.
pub const PUBLIC: &[(&str, &str)] =
    &[("post", "/api/v1/login"), ("get", "/api/v1/openapi.json"), ("get", "/healthz"), ("get", "/readyz")];

/// Largest body of a JSON request.
const MAX_JSON: usize = 64 * 1024;
/// Largest body that names a group of objects.
const MAX_GROUP_JSON: usize = 256 * 1024;
/// A request that is no stream and no upload is answered within this time.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// An upload takes no longer than this.
const UPLOAD_LIMIT: Duration = Duration::from_secs(3600);

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                   font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) core: Arc<Core>,
    /// Metrics of the boot services, as text.
    pub(crate) engines: Arc<dyn Fn() -> String + Send + Sync>,
    /// Ends streams when the appliance stops.
    pub(crate) stop: tokio::sync::watch::Receiver<bool>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weft appliance",
        description = "Management interface of a Weft appliance. Errors are `Problem` objects (RFC 9457). \
                       Authenticate with the token of `POST /api/v1/login`, as bearer token or as cookie; with the \
                       cookie, changes also need the header `X-Weft-Request`. Where a change has a `dry_run`, \
                       `?dry_run=true` answers with its `Plan` and changes nothing; other changes refuse it. `GET` of one \
                       object of the hardware's configuration has an `ETag`; its changes take it as `If-Match`, and \
                       answer 412 with what changed since where it is another by now; what has none refuses it. A change takes an \
                       `Idempotency-Key`: with the same one and the same request it is done once within a day, and answered \
                       as the first time; what carries secrets or files refuses it.",
        license(name = "MIT OR Apache-2.0")
    ),
    modifiers(&Security),
    security(("bearer" = []), ("cookie" = []))
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
        components.add_security_scheme(
            "cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(auth::COOKIE))),
        );
    }
}

/// Nodes, servers and what they are made of.
fn of_objects() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(handlers::nodes::list))
        .routes(routes!(handlers::nodes::get_one, handlers::nodes::forget))
        .routes(routes!(handlers::nodes::approve))
        .routes(routes!(handlers::nodes::push))
        .routes(routes!(handlers::nodes::reboot))
        .routes(routes!(handlers::nodes::log))
        .routes(routes!(handlers::groups::label_node))
        .routes(routes!(handlers::power::bmc, handlers::power::set_bmc, handlers::power::clear_bmc))
        .routes(routes!(handlers::power::state))
        .routes(routes!(handlers::partitions::list, handlers::partitions::create))
        .routes(routes!(handlers::partitions::get_one, handlers::partitions::delete))
        .routes(routes!(containers::datacenters::list, containers::datacenters::create))
        .routes(routes!(containers::datacenters::get_one, containers::datacenters::delete))
        .routes(routes!(containers::datacenters::edit))
        .routes(routes!(containers::mainframes::list, containers::mainframes::create))
        .routes(routes!(containers::mainframes::get_one, containers::mainframes::delete))
        .routes(routes!(containers::mainframes::edit))
        .routes(routes!(containers::frames::list, containers::frames::create))
        .routes(routes!(containers::frames::get_one, containers::frames::delete))
        .routes(routes!(containers::frames::edit))
        .routes(routes!(networks::switches::list, networks::switches::create))
        .routes(routes!(networks::switches::get_one, networks::switches::delete))
        .routes(routes!(networks::switches::edit))
        .routes(routes!(networks::gateways::list, networks::gateways::create))
        .routes(routes!(networks::gateways::get_one, networks::gateways::delete))
        .routes(routes!(networks::gateways::edit))
        .routes(routes!(networks::ports::list, networks::ports::create))
        .routes(routes!(networks::ports::get_one, networks::ports::delete))
        .routes(routes!(networks::ports::edit))
        .routes(routes!(networks::vnics::list, networks::vnics::create))
        .routes(routes!(networks::vnics::get_one, networks::vnics::delete))
        .routes(routes!(networks::vnics::edit))
        .routes(routes!(networks::vhbas::list, networks::vhbas::create))
        .routes(routes!(networks::vhbas::get_one, networks::vhbas::delete))
        .routes(routes!(networks::vhbas::edit))
        .routes(routes!(networks::nics))
        .routes(routes!(handlers::topology::show))
        .routes(routes!(handlers::topology::targets))
        .routes(routes!(containers::move_vs))
        .routes(routes!(handlers::load::nodes))
        .routes(routes!(handlers::load::servers))
        .routes(routes!(handlers::load::node_series))
        .routes(routes!(handlers::load::vs_series))
        .routes(routes!(handlers::load::partition_series))
        .routes(routes!(handlers::operators::issue))
        .routes(routes!(handlers::vs::list, handlers::vs::create))
        .routes(routes!(handlers::vs::get_one, handlers::vs::edit, handlers::vs::delete))
        .routes(routes!(handlers::vs::span))
        .routes(routes!(handlers::vs::start))
        .routes(routes!(handlers::vs::stop))
        .routes(routes!(handlers::vs::reset))
        .routes(routes!(handlers::groups::label_vs))
        .routes(routes!(handlers::templates::copy))
        .routes(routes!(handlers::templates::list, handlers::templates::create))
        .routes(routes!(handlers::templates::get_one, handlers::templates::delete))
        .routes(routes!(handlers::templates::label))
        .routes(routes!(handlers::pools::list, handlers::pools::create))
        .routes(routes!(handlers::pools::get_one, handlers::pools::delete))
        .routes(routes!(handlers::pools::extend))
        .routes(routes!(handlers::licences::list, handlers::licences::add))
        .routes(routes!(handlers::licences::get_one, handlers::licences::remove))
        .routes(routes!(handlers::images::activate))
        .routes(routes!(handlers::images::revoke))
        .routes(routes!(handlers::jobs::get_one))
        .routes(routes!(handlers::jobs::cancel))
        .routes(routes!(handlers::jobs::retry))
        .routes(routes!(handlers::jobs::skip))
        .routes(routes!(handlers::jobs::abandon))
        .routes(routes!(handlers::rollouts::pause))
        .routes(routes!(handlers::rollouts::resume))
        .routes(routes!(handlers::rollouts::abort))
        .routes(routes!(handlers::rollouts::get_one))
        .routes(routes!(handlers::rollouts::back))
}

/// Accounts and rights, history, and the appliance itself.
fn of_appliance() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(handlers::accounts::list, handlers::accounts::create))
        .routes(routes!(handlers::accounts::get_one, handlers::accounts::delete))
        .routes(routes!(handlers::accounts::role))
        .routes(routes!(handlers::accounts::sessions))
        .routes(routes!(handlers::accounts::end_session))
        .routes(routes!(handlers::rights::tokens, handlers::rights::create_token))
        .routes(routes!(handlers::rights::revoke_token))
        .routes(routes!(handlers::rights::policies, handlers::rights::add_policy))
        .routes(routes!(handlers::rights::policy, handlers::rights::delete_policy))
        .routes(routes!(handlers::rights::schema))
        .routes(routes!(handlers::transactions::list))
        .routes(routes!(handlers::transactions::get_one))
        .routes(routes!(handlers::transactions::undo))
        .routes(routes!(handlers::appliance::appliances))
        .routes(routes!(handlers::appliance::events))
        .routes(routes!(handlers::appliance::search))
        .routes(routes!(handlers::appliance::doctor))
        .routes(routes!(handlers::drift::list, handlers::drift::answer))
        .routes(routes!(handlers::appliance::config))
        .routes(routes!(handlers::appliance::openapi))
        .routes(routes!(handlers::appliance::healthz))
        .routes(routes!(handlers::appliance::readyz))
        .routes(routes!(handlers::appliance::metrics))
}

/// All routes with their documentation.
fn routes() -> OpenApiRouter<App> {
    let groups = OpenApiRouter::new()
        .routes(routes!(handlers::groups::servers))
        .routes(routes!(handlers::groups::nodes))
        .routes(routes!(handlers::groups::move_servers))
        .routes(routes!(handlers::groups::label_servers))
        .routes(routes!(handlers::groups::label_nodes))
        .routes(routes!(containers::move_nodes))
        .routes(routes!(handlers::power::change))
        .routes(routes!(handlers::templates::series))
        .routes(routes!(handlers::jobs::list, handlers::jobs::create))
        .routes(routes!(handlers::rollouts::list, handlers::rollouts::start))
        .layer(DefaultBodyLimit::max(MAX_GROUP_JSON));
    let manifest = OpenApiRouter::new()
        .routes(routes!(handlers::manifest::export, handlers::manifest::apply))
        .layer(DefaultBodyLimit::max(weft_api::MAX_MANIFEST_BYTES));
    let without_dry_run = OpenApiRouter::new()
        .routes(routes!(handlers::session::login))
        .routes(routes!(handlers::session::logout))
        .routes(routes!(handlers::session::password))
        .routes(routes!(handlers::accounts::password))
        .routes(routes!(handlers::rights::can_i, handlers::rights::can_i_all))
        .routes(routes!(handlers::appliance::remove))
        .layer(from_fn(handlers::dry_run::none));
    let plain = of_objects()
        .merge(of_appliance())
        .merge(groups)
        .merge(manifest)
        .merge(without_dry_run)
        .layer(from_fn(time_limit))
        .layer(DefaultBodyLimit::max(MAX_JSON));
    let images = OpenApiRouter::new()
        .routes(routes!(handlers::images::list, handlers::images::publish))
        .layer(DefaultBodyLimit::max(crate::images::MAX_IMAGE))
        .layer(from_fn(upload_limit));
    let companions = OpenApiRouter::new()
        .routes(routes!(handlers::images::publish_bios))
        .layer(DefaultBodyLimit::max(crate::images::MAX_IMAGE))
        .layer(from_fn(handlers::dry_run::none))
        .layer(from_fn(upload_limit));
    let blobs = OpenApiRouter::new()
        .routes(routes!(handlers::images::put_blob))
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(handlers::dry_run::none))
        .layer(from_fn(upload_limit));
    let backup = OpenApiRouter::new()
        .routes(routes!(handlers::backup::create))
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .layer(from_fn(handlers::dry_run::none))
        .layer(from_fn(upload_limit));
    let streams =
        OpenApiRouter::new().routes(routes!(stream::events_stream)).routes(routes!(stream::console));
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(plain)
        .merge(images)
        .merge(companions)
        .merge(blobs)
        .merge(backup)
        .merge(streams)
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = routes().into_openapi();
    let components = document.components.get_or_insert_default();
    components.responses.insert(document::REFUSAL.to_string(), document::refusal().into());
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            document::complete(method, path, operation);
            // Unique in the document, as generators demand: the tag and the handler's name, `nodes_list`.
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            let name = operation.operation_id.take().unwrap_or_default();
            operation.operation_id = Some(format!("{tag}_{name}"));
        }
    }
    document
}

/// The OpenAPI document as it is checked in.
pub fn openapi_json() -> String {
    let mut text = openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

pub(crate) fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(page::serve)
        .layer(from_fn_with_state(app.clone(), auth::require))
        .layer(from_fn_with_state(app.clone(), common))
        .with_state(app)
}

/// Counts requests and sets the headers that every answer carries.
async fn common(State(app): State<App>, request: Request, next: Next) -> Response {
    count(&app.core.counts.requests);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn time_limit(request: Request, next: Next) -> Response {
    limited(TIME_LIMIT, request, next).await
}

async fn upload_limit(request: Request, next: Next) -> Response {
    limited(UPLOAD_LIMIT, request, next).await
}

async fn limited(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Error::refused(408, "timeout", "the request took too long", "try again").into_response(),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        problem(self.problem())
    }
}

pub(crate) fn problem(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(problem)).into_response();
    let form = HeaderValue::from_static(document::PROBLEM);
    response.headers_mut().insert(header::CONTENT_TYPE, form);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_document_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let now = openapi_json();
        if std::env::var_os("WEFT_UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &now).expect("docs/openapi.json is written");
        }
        let kept = std::fs::read_to_string(path).expect("docs/openapi.json is there");
        assert!(kept == now, "docs/openapi.json is stale: run this test with WEFT_UPDATE_OPENAPI=1");
    }

    #[test]
    fn every_operation_is_documented() {
        let document = openapi();
        assert!(document.paths.paths.len() > 25);
        let json = serde_json::to_value(&document).expect("JSON");
        let mut ids = std::collections::HashSet::new();
        for (path, item) in json["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                assert!(
                    ids.insert(operation["operationId"].to_string()),
                    "{method} {path} has the id of another"
                );
                assert!(
                    operation["responses"].as_object().is_some_and(|all| !all.is_empty()),
                    "{method} {path}"
                );
            }
        }
    }
}
