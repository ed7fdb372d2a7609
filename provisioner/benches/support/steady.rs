//! A client that keeps its connection over the Unix socket, as the page and programs do.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::common::Client;

/// An open connection, and who asks.
pub(crate) struct Steady {
    client: Client,
    sender: SendRequest<Full<Bytes>>,
}

impl Steady {
    /// Connects.
    pub(crate) async fn open(client: &Client) -> Self {
        let stream = UnixStream::connect(&client.socket).await.expect("the socket");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        Self { client: client.clone(), sender }
    }

    /// Asks, and takes all of the answer.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: String) -> (u16, Bytes) {
        let mut request = self.client.build(method, path);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::from(body)).expect("a request");
        self.sender.ready().await.expect("the connection lasts");
        let (head, body) = self.sender.send_request(request).await.expect("an answer").into_parts();
        (head.status.as_u16(), body.collect().await.expect("a body").to_bytes())
    }
}
