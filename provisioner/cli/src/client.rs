//! Requests over HTTP/1.1: one connection each, bounded in time and size.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::http::response::Parts;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use weft_api::Problem;

use crate::connect::{Connection, Endpoint};
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
    /// One or several that hold the same; any answers for all.
    endpoints: Vec<Endpoint>,
    /// Which of them is asked.
    at: AtomicUsize,
    pub(crate) token: Option<String>,
}

/// Answers of an appliance that does not know who leads, or lost whom it asked: there will be one in some seconds.
const NO_LEADER: [&str; 2] = ["no-leader", "leader-lost"];

/// Pauses before a change is asked for again whose connection was lost.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// What a request carries.
#[derive(Clone)]
pub(crate) enum Payload<'a> {
    None,
    Json(serde_json::Value),
    File(&'a Path),
}

/// Method, path, body, version of the object, key of the change.
type Asked<'a> = (Method, &'a str, Payload<'a>, Option<&'a str>, Option<&'a str>);

/// A key that nobody has used.
fn new_key() -> Result<String, CliError> {
    let mut bytes = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| CliError::usage("there is no randomness for a key", "look at the machine"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Client {
    /// For these settings, with the kept token.
    pub(crate) fn new(settings: &Settings) -> Result<Self, CliError> {
        Ok(Self { endpoints: Endpoint::all(settings)?, at: AtomicUsize::new(0), token: settings.token()? })
    }

    /// For these settings, with this token.
    pub(crate) fn with_token(settings: &Settings, token: String) -> Result<Self, CliError> {
        Ok(Self { endpoints: Endpoint::all(settings)?, at: AtomicUsize::new(0), token: Some(token) })
    }

    /// The appliance that is asked.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        let at = self.at.load(Ordering::Relaxed).checked_rem(self.endpoints.len()).unwrap_or(0);
        self.endpoints.get(at).expect("settings name one at least")
    }

    /// The next one is asked.
    fn next(&self) {
        self.at.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection to the first that there is one to.
    pub(crate) async fn connected(&self) -> Result<Connection, CliError> {
        let mut first = None;
        for _ in &self.endpoints {
            match self.endpoint().connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    first.get_or_insert(error);
                    self.next();
                }
            }
        }
        Err(first.unwrap_or_else(|| self.endpoint().unreachable("no address".into())))
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
        // One key for all attempts: whatever became of the first, the change is done once.
        let key = if weft_api::takes_key(method.as_str(), path) { Some(new_key()?) } else { None };
        let work = async {
            // What only reads may be asked of another one too.
            let again = key.is_some() || (method == Method::GET && self.endpoints.len() > 1);
            let mut pauses = PAUSES.iter().filter(|_| again);
            let mut reached = false;
            loop {
                let request = (method.clone(), path, payload.clone(), version, key.as_deref());
                let lost = match self.attempt(request, &mut reached).await {
                    Err(lost @ (CliError::Unreachable { .. } | CliError::Answer { .. })) if reached => lost,
                    Err(CliError::Refused(problem)) if NO_LEADER.contains(&problem.code.as_str()) => {
                        CliError::Refused(problem)
                    }
                    done => return done,
                };
                self.next();
                let Some(pause) = pauses.next() else { return Err(lost) };
                tokio::time::sleep(*pause).await;
            }
        };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => {
                Err(CliError::TimedOut(format!("{method} {path} took longer than {} s", limit.as_secs())))
            }
        }
    }

    /// One attempt, with its answer; `reached` is set once there was a connection.
    async fn attempt(
        &self,
        (method, path, payload, version, key): Asked<'_>,
        reached: &mut bool,
    ) -> Result<(Parts, Bytes), CliError> {
        let response = self.request((method.clone(), path, payload, version, key), reached).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
        let why = |error: Box<dyn std::error::Error + Send + Sync>| CliError::Answer {
            what: format!("{method} {path}"),
            why: error.to_string(),
        };
        Ok((head, body.map(http_body_util::Collected::to_bytes).map_err(why)?))
    }

    /// Sends a request; an answer that is no success is an error.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        payload: Payload<'_>,
    ) -> Result<Response<Incoming>, CliError> {
        self.request((method, path, payload, None, None), &mut false).await
    }

    async fn request(
        &self,
        (method, path, payload, version, key): Asked<'_>,
        reached: &mut bool,
    ) -> Result<Response<Incoming>, CliError> {
        let connection = self.connected().await?;
        *reached = true;
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, &self.endpoint().authority)
            .header(header::USER_AGENT, concat!("weft/", env!("CARGO_PKG_VERSION")))
            .header("x-weft-request", "1");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(version) = version {
            request = request.header(header::IF_MATCH, version);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
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
        let response = self.handshake(connection, request).await?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    async fn handshake(
        &self,
        connection: Connection,
        request: Request<UnsyncBoxBody<Bytes, io::Error>>,
    ) -> Result<Response<Incoming>, CliError> {
        let stream = TokioIo::new(connection);
        let broken = |error: hyper::Error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            self.endpoint().unreachable(format!("{error}{cause}"))
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
