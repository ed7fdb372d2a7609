//! Who asks: bearer token, or cookie with a header that no foreign page can add.

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{App, repeats, rights};
use crate::accounts::Caller;
use crate::error::Error;

/// Name of the session cookie.
pub(crate) const COOKIE: &str = "weft_session";
/// A header that a page of another origin cannot send without being asked for leave first.
const OWN_PAGE: &str = "x-weft-request";
/// What a session that must change its password may do.
const WHILE_MUST_CHANGE: [&str; 2] = ["/api/v1/password", "/api/v1/logout"];

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whether the request comes from our own page: same origin where the browser says so.
fn own_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    !host.is_empty() && authority == Some(host)
}

fn is_public(method: &Method, path: &str) -> bool {
    if !path.starts_with("/api/") && path != "/metrics" {
        // The page's own files, and the health probes.
        return true;
    }
    super::PUBLIC.iter().any(|(known, at)| known.eq_ignore_ascii_case(method.as_str()) && *at == path)
}

/// Lets a request through if it is public, or its caller is known and has the right of the route; adds the [`Caller`].
pub(crate) async fn require(State(app): State<App>, request: Request, next: Next) -> Response {
    if is_public(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    match identify(&app, &request) {
        Ok(caller) => match rights::check(&app, &caller, request).await {
            Ok(mut request) => {
                request.extensions_mut().insert(caller.clone());
                repeats::run(&app, caller, request, next).await
            }
            Err(error) => error.into_response(),
        },
        Err(error) => error.into_response(),
    }
}

fn identify(app: &App, request: &Request) -> Result<Caller, Error> {
    let headers = request.headers();
    let (token, by_cookie) = match (bearer(headers), cookie(headers)) {
        (Some(token), _) => (token, false),
        (None, Some(token)) => (token, true),
        (None, None) => return Err(unknown()),
    };
    if by_cookie {
        let upgrade = headers.contains_key(header::UPGRADE);
        let changes = request.method() != Method::GET && request.method() != Method::HEAD;
        let foreign = Error::refused(
            403,
            "foreign-page",
            "the request does not come from this appliance's own page",
            "send the header X-Weft-Request, or a bearer token",
        );
        if (upgrade || changes) && !own_origin(headers) {
            return Err(foreign);
        }
        if changes && !headers.contains_key(OWN_PAGE) {
            return Err(foreign);
        }
    }
    let caller = app.core.accounts.caller(token).ok_or_else(unknown)?;
    if caller.must_change && !WHILE_MUST_CHANGE.contains(&request.uri().path()) {
        return Err(Error::refused(
            403,
            "must-change-password",
            "the password was for one use",
            "set your own: POST /api/v1/password, or weft password",
        ));
    }
    Ok(caller)
}

fn unknown() -> Error {
    Error::refused(401, "not-logged-in", "no valid session", "log in: weft login")
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unknown)
    }
}

/// The cookie that holds a token; `None` ends it.
pub(crate) fn set_cookie(token: Option<&str>) -> String {
    match token {
        Some(token) => format!("{COOKIE}={token}; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=43200"),
        None => format!("{COOKIE}=; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=0"),
    }
}
