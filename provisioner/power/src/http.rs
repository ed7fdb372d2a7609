//! One request over HTTPS: a connection of its own, a pinned certificate, an answer that is bounded. Nothing is followed.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::PowerError;
use crate::secret::Password;
use weft_tls::{Offered, hex};

use crate::tls::Trust;
use crate::{Address, clean};

/// Largest answer.
const ANSWER_MAX_BYTES: usize = 1 << 20;
/// Largest head of an answer.
const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Time until somebody answers at all.
const CONNECT: Duration = Duration::from_secs(5);
/// Port of HTTPS.
const PORT: u16 = 443;

/// Whom to speak to, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) address: Address,
    pub(crate) account: String,
    pub(crate) password: Password,
    pub(crate) trust: Trust,
}

/// An answer that is neither a redirection nor a refusal of the account.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    body: Bytes,
}

impl Answer {
    /// The body as JSON. Nesting is bounded by the parser, size by [`ANSWER_MAX_BYTES`].
    pub(crate) fn json(&self) -> Result<Value, PowerError> {
        serde_json::from_slice(&self.body).map_err(|error| PowerError::Answer(error.to_string()))
    }

    /// What it says went wrong (DSP0266, 8.6).
    pub(crate) fn complaint(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        let extended = body.pointer("/error/@Message.ExtendedInfo/0/Message").and_then(Value::as_str);
        let text = extended.or_else(|| body.pointer("/error/message").and_then(Value::as_str));
        clean(&format!("{} {}", self.status, text.unwrap_or_default()))
    }
}

impl Host {
    /// Asks once.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, PowerError> {
        let request = self.request(method, path, body)?;
        let stream = TokioIo::new(self.connect().await?);
        let broken = |error: hyper::Error| {
            if error.is_parse() {
                PowerError::Answer(clean(&error.to_string()))
            } else {
                PowerError::Unreachable(clean(&error.to_string()))
            }
        };
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HEAD_MAX_BYTES)
            .handshake(stream)
            .await
            .map_err(broken)?;
        let connection = tokio::spawn(connection);
        let answer = async {
            let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
            if head.status.is_redirection() {
                return Err(PowerError::Redirected);
            }
            let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    PowerError::Answer(format!("more than {ANSWER_MAX_BYTES} bytes"))
                } else {
                    PowerError::Unreachable(clean(&error.to_string()))
                }
            })?;
            Ok(Answer { status: head.status, body: body.to_bytes() })
        }
        .await;
        // Whatever it would go on sending.
        connection.abort();
        let answer = answer?;
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(PowerError::Account(answer.complaint())),
            _ => Ok(answer),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, PowerError> {
        let secret = BASE64_STANDARD.encode(format!("{}:{}", self.account, self.password.reveal()));
        let unsound = |_| PowerError::Setting("the account cannot be sent".to_string());
        let mut basic = HeaderValue::from_str(&format!("Basic {secret}")).map_err(unsound)?;
        basic.set_sensitive(true);
        let builder = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(USER_AGENT, concat!("weft/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .header("OData-Version", "4.0")
            .header(AUTHORIZATION, basic)
            .header(CONTENT_TYPE, "application/json");
        let body = body.map(Value::to_string).unwrap_or_default();
        builder
            .body(Full::from(body))
            .map_err(|_| PowerError::Answer("a path that cannot be asked for".to_string()))
    }

    async fn connect(&self) -> Result<tokio_rustls::client::TlsStream<TcpStream>, PowerError> {
        let config = self.trust.config().map_err(PowerError::Tls)?;
        let host = self.address.host().to_string();
        let name =
            ServerName::try_from(host.clone()).map_err(|error| PowerError::Setting(error.to_string()))?;
        let at = (host, self.address.port_or(PORT));
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(at))
            .await
            .map_err(|_| PowerError::Unreachable(format!("no connection within {} s", CONNECT.as_secs())))?
            .map_err(|error| PowerError::Unreachable(clean(&error.to_string())))?;
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| tls_error(&error))
    }
}

fn tls_error(error: &std::io::Error) -> PowerError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::Other(other)) => match other.0.downcast_ref::<Offered>() {
            Some(Offered { fingerprint, .. }) => PowerError::Certificate { found: hex(fingerprint) },
            None => PowerError::Tls(clean(&other.to_string())),
        },
        Some(error) => PowerError::Tls(clean(&error.to_string())),
        None => PowerError::Tls(clean(&error.to_string())),
    }
}
