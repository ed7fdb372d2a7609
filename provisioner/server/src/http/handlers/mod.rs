//! Handlers: take the request apart, call [`crate::core::Core`], put the answer together.

pub(crate) mod accounts;
pub(crate) mod appliance;
pub(crate) mod backup;
pub(crate) mod containers;
pub(crate) mod drift;
pub(crate) mod dry_run;
mod five;
pub(crate) mod groups;
pub(crate) mod images;
pub(crate) mod jobs;
pub(crate) mod licences;
pub(crate) mod load;
pub(crate) mod manifest;
pub(crate) mod networks;
pub(crate) mod nodes;
pub(crate) mod operators;
pub(crate) mod partitions;
pub(crate) mod pools;
pub(crate) mod power;
pub(crate) mod rights;
pub(crate) mod rollouts;
pub(crate) mod session;
pub(crate) mod templates;
pub(crate) mod topology;
pub(crate) mod transactions;
pub(crate) mod vs;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::auth::asking;
use crate::error::Error;

/// Runs a change to its end, also where the client is gone or its time is up: what the store has written, memory and
/// nodes must learn.
pub(crate) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    // The task of its own has the same caller and key, and is made of the same version.
    let (caller, expected, key) = (asking::current(), asking::expected(), asking::key());
    let change = async move {
        match key {
            Some(key) => asking::keyed(key, change).await,
            None => change.await,
        }
    };
    let change = async move {
        match expected {
            Some(expected) => asking::expecting(expected, change).await,
            None => change.await,
        }
    };
    let work = async move {
        match caller {
            Some(caller) => asking::scope(caller, change).await,
            None => change.await,
        }
    };
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(broken) => match broken.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(std::io::Error::other("the appliance stops").into()),
        },
    }
}

/// What a path names; what is wrong with it comes back as a `Problem`.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(malformed(rejection.body_text())),
        }
    }
}

/// What a query asks; likewise.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(malformed(rejection.body_text())),
        }
    }
}

fn malformed(title: String) -> Error {
    Error::refused(400, "bad-request", title, "see /api/v1/openapi.json")
}

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
