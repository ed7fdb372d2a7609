//! Requests to other appliances: one connection each, bounded in time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Time for a connection, TLS included: less than an election takes.
const CONNECT: Duration = Duration::from_secs(2);
/// Largest answer that is read as a whole.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Connects.
pub(crate) async fn connect(tls: &Arc<ClientConfig>, at: SocketAddr) -> io::Result<SendRequest<Body>> {
    let connecting = async {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        notice_silence(&stream)?;
        let name = ServerName::IpAddress(at.ip().into());
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Consoles are upgraded connections.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    };
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A machine that lost its power says nothing any more: found out within seconds, also while nothing is sent.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(2))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(sockopt::set_tcp_user_timeout(stream, 5000)?)
}

/// Sends a request and waits for the answer's head.
pub(crate) async fn send(
    tls: &Arc<ClientConfig>,
    at: SocketAddr,
    request: Request<Body>,
) -> io::Result<Response<Incoming>> {
    connect(tls, at).await?.send_request(request).await.map_err(io::Error::other)
}

/// A request with an answer that is read whole; one that is no success is an error with its text.
pub(crate) async fn ask(
    tls: &Arc<ClientConfig>,
    at: SocketAddr,
    (method, path): (&str, &str),
    secret: Option<&str>,
    body: Vec<u8>,
    limit: Duration,
) -> io::Result<Vec<u8>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, at.to_string())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(secret) = secret {
        request = request.header("x-api-secret", secret);
    }
    let request = request.body(Body::from(body)).map_err(io::Error::other)?;
    let asking = async {
        let (head, body) = send(tls, at, request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(io::Error::other)?.to_bytes();
        if head.status.is_success() {
            return Ok(body.to_vec());
        }
        let said = String::from_utf8_lossy(&body).chars().take(500).collect::<String>();
        Err(io::Error::other(format!("{at} answered {}: {said}", head.status)))
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
