//! Handlers: take the request apart, call [`crate::core::Core`], put the answer together.

pub(crate) mod appliance;
pub(crate) mod images;
pub(crate) mod nodes;
pub(crate) mod session;
pub(crate) mod vs;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A JSON body; what is wrong with it comes back as a `Problem`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let Json(value) = Json::<T>::from_request(request, state).await?;
        Ok(Self(value))
    }
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        Self::refused(
            rejection.status().as_u16(),
            "bad-request",
            rejection.body_text(),
            "see /api/v1/openapi.json",
        )
    }
}
