//! `?dry_run=true`: the plan of a change instead of the change.

use axum::Json;
use axum::extract::{FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use weft_api::Plan;

use crate::error::Error;

/// Whether a change is only planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DryRun(pub(crate) bool);

impl DryRun {
    /// Refuses what is neither `true` nor `false`: who asks for a dry run must not get a change for a slip.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Error> {
        let unclear = || {
            Error::refused(
                422,
                "invalid",
                "dry_run is neither true nor false",
                "nothing was done; say ?dry_run=true",
            )
        };
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| unclear())?;
        let mut dry = false;
        for (_, value) in pairs.iter().filter(|(name, _)| name == "dry_run") {
            match value.as_str() {
                "true" => dry = true,
                "false" => {}
                _ => return Err(unclear()),
            }
        }
        Ok(Self(dry))
    }

    /// The plan of a dry run; of what was done, nothing.
    pub(crate) fn answer(self, plan: Plan) -> Response {
        if self.0 { Json(plan).into_response() } else { StatusCode::NO_CONTENT.into_response() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DryRun {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Self::of(&parts.uri)
    }
}

/// For routes that change something and have no dry run: they refuse one, and do not ignore it.
pub(crate) async fn none(request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    match DryRun::of(request.uri()) {
        Ok(DryRun(false)) => next.run(request).await,
        Ok(DryRun(true)) => Error::refused(
            422,
            "no-dry-run",
            "there is no dry run of this",
            "nothing was done; leave dry_run out to do it",
        )
        .into_response(),
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_word_is_taken() {
        let of = |query: &'static str| DryRun::of(&Uri::from_static(query)).map(|DryRun(dry)| dry).ok();
        assert_eq!(of("/x"), Some(false));
        assert_eq!(of("/x?dry_run=false&a=b"), Some(false));
        for yes in ["/x?dry_run=true", "/x?a=b&dry%5Frun=true", "/x?dry_run=true&dry_run=false"] {
            assert_eq!(of(yes), Some(true), "{yes}");
        }
        for unclear in ["/x?dry_run", "/x?dry_run=1", "/x?dry_run=True", "/x?dry_run=false&dry_run=yes"] {
            assert_eq!(of(unclear), None, "{unclear}");
        }
    }
}
