//! Requests over HTTP/1.1: one connection each, bounded in time and size.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::http::response::Parts;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use weft_api::Problem;

use crate::connect::Endpoint;
use crate::error::CliError;
use crate::settings::Settings;

/// Largest answer that is read, a long event list included.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Time for one request and its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for one upload.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(1800);

/// A session with the appliance.
pub(crate) struct Client {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: Option<String>,
}

/// What a request carries.
pub(crate) enum Payload<'a> {
    None,
    Json(serde_json::Value),
    File(&'a Path),
}

impl Client {
    /// For these settings, with the kept token.
    pub(crate) fn new(settings: &Settings) -> Result<Self, CliError> {
        Ok(Self { endpoint: Endpoint::new(settings)?, token: settings.token()? })
    }

    /// `GET`, and the answer as `T`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.answer(Method::GET, path, Payload::None).await
    }

    /// `GET`, the answer as `T`, and the version of the object that it is.
    pub(crate) async fn get_version<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, Option<String>), CliError> {
        let (head, bytes) = self.exchange(Method::GET, path, Payload::None, None).await?;
        let version = head.headers.get(header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let what = format!("GET {path}");
        let parsed = serde_json::from_slice(&bytes);
        let value = parsed.map_err(|error| CliError::Answer { what, why: error.to_string() })?;
        Ok((value, version))
    }

    /// A change that is refused unless the object is this version; its answer is of no interest.
    pub(crate) async fn change_version(
        &self,
        method: Method,
        path: &str,
        payload: Payload<'_>,
        version: Option<&str>,
    ) -> Result<(), CliError> {
        self.exchange(method, path, payload, version).await.map(|_| ())
    }

    /// `POST` or another change, and the answer as `T`.
    pub(crate) async fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        payload: Payload<'_>,
    ) -> Result<T, CliError> {
        let what = format!("{method} {path}");
        let (_, bytes) = self.exchange(method, path, payload, None).await?;
        serde_json::from_slice(&bytes).map_err(|error| CliError::Answer { what, why: error.to_string() })
    }

    /// A change whose answer is of no interest.
    pub(crate) async fn change(
        &self,
        method: Method,
        path: &str,
        payload: Payload<'_>,
    ) -> Result<(), CliError> {
        self.exchange(method, path, payload, None).await.map(|_| ())
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        payload: Payload<'_>,
        version: Option<&str>,
    ) -> Result<(Parts, Bytes), CliError> {
        let limit = if matches!(payload, Payload::File(_)) { UPLOAD_TIMEOUT } else { REQUEST_TIMEOUT };
        let work = async {
            let (head, body) = self.request(method.clone(), path, payload, version).await?.into_parts();
            let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
            let bytes = body.map(http_body_util::Collected::to_bytes).map_err(|error| CliError::Answer {
                what: format!("{method} {path}"),
                why: error.to_string(),
            })?;
            Ok((head, bytes))
        };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => {
                Err(CliError::TimedOut(format!("{method} {path} took longer than {} s", limit.as_secs())))
            }
        }
    }

    /// Sends a request; an answer that is no success is an error.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        payload: Payload<'_>,
    ) -> Result<Response<Incoming>, CliError> {
        self.request(method, path, payload, None).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        payload: Payload<'_>,
        version: Option<&str>,
    ) -> Result<Response<Incoming>, CliError> {
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, &self.endpoint.authority)
            .header(header::USER_AGENT, concat!("weft/", env!("CARGO_PKG_VERSION")))
            .header("x-weft-request", "1");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(version) = version {
            request = request.header(header::IF_MATCH, version);
        }
        let body = match payload {
            Payload::None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
            Payload::Json(value) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Full::from(value.to_string()).map_err(|never| match never {}).boxed_unsync()
            }
            Payload::File(file) => {
                request = request.header(header::CONTENT_TYPE, "application/octet-stream");
                FileBody::open(file)?.boxed_unsync()
            }
        };
        let request = request.body(body).map_err(|error| {
            CliError::usage(format!("the request cannot be made: {error}"), "check the token file")
        })?;
        let response = self.handshake(request).await?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    async fn handshake(
        &self,
        request: Request<UnsyncBoxBody<Bytes, io::Error>>,
    ) -> Result<Response<Incoming>, CliError> {
        let stream = TokioIo::new(self.endpoint.connect().await?);
        let broken = |error: hyper::Error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            self.endpoint.unreachable(format!("{error}{cause}"))
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }
}

/// An answer that is no success, as an error. One that is not in the agreed form still says its status.
async fn problem(response: Response<Incoming>) -> CliError {
    let status = response.status();
    let body = Limited::new(response.into_body(), 1 << 20).collect().await;
    let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    CliError::Refused(serde_json::from_slice(&bytes).unwrap_or_else(|_| Problem {
        code: format!("http-{}", status.as_u16()),
        status: status.as_u16(),
        title: format!("the appliance answered {status}"),
        next: String::new(),
        ..Problem::default()
    }))
}

/// One part of a path, percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
            // A dot is legal, but `.` and `..` are not names.
            b'.' if text.len() > 2 => ".".into(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A file as a request's body, read in pieces.
struct FileBody {
    file: fs::File,
    left: u64,
}

impl FileBody {
    fn open(path: &Path) -> Result<Self, CliError> {
        let wrap = |error| CliError::file(path, error);
        let file = fs::File::open(path).map_err(wrap)?;
        let about = file.metadata().map_err(wrap)?;
        if !about.is_file() {
            return Err(wrap(io::Error::other("not a file")));
        }
        Ok(Self { file, left: about.len() })
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = Vec::with_capacity(64 * 1024);
        let limit = self.left.min(64 * 1024);
        let read = (&mut self.file).take(limit).read_to_end(&mut piece);
        Poll::Ready(Some(match read {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter")),
            Ok(count) => {
                self.left = self.left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
                Ok(Frame::data(Bytes::from(piece)))
            }
            Err(error) => Err(error),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_part_of_the_path() {
        assert_eq!(segment("node-1"), "node-1");
        assert_eq!(segment("../x?y#z"), "..%2Fx%3Fy%23z");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("ü"), "%C3%BC");
    }
}
