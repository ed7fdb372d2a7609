//! Requests that come to an appliance that does not lead: relayed to the one that does.
//!
//! Relayed and not redirected: a page speaks to its own origin alone, its cookie is of that origin, and its certificate was
//! accepted for it. The leader answers all of them, so that what is live (nodes, consoles, figures) is the same everywhere. Where
//! nobody leads, reads are answered from this appliance's own copy, and changes are refused: nothing was done.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Response as HttpResponse, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::{Peers, dial, peer_address};
use crate::error::Error;
use crate::http::Peer;

/// Who asked, for the one that leads: it counts failed log-ins by it.
pub(super) const ASKER: HeaderName = HeaderName::from_static("x-weft-asker");
/// Says that an answer is of a copy that may be behind.
const COPY: HeaderName = HeaderName::from_static("x-weft-copy");

/// A request that another appliance relays: it is not relayed once more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relayed;

/// `router`, behind which this appliance does not lead.
pub(crate) fn follow(router: Router, peers: Arc<Peers>) -> Router {
    router.layer(from_fn_with_state(peers, relay))
}

fn nobody() -> Error {
    Error::refused(
        503,
        "no-leader",
        "none of the appliances leads now",
        "nothing was done; ask again in some seconds. If it stays so, fewer than half of them are there: weft appliance list",
    )
}

async fn relay(State(peers): State<Arc<Peers>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // The page's files, the document and the probes are this one's own.
    if !path.starts_with("/api/") || path == "/api/v1/openapi.json" {
        return next.run(request).await;
    }
    if request.extensions().get::<Relayed>().is_some() {
        return nobody().into_response();
    }
    let leader = match peers.store.standing().await {
        Ok(standing) if standing.leader != Some(standing.own) => standing.leader_at(),
        Ok(_) | Err(_) => None,
    };
    if let Some(at) = leader
        && let Ok(sender) = dial::connect(&peers.client, peer_address(at)).await
    {
        return match pass(sender, request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, "the leader did not answer");
                Error::refused(
                    503,
                    "leader-lost",
                    "the appliance that leads did not answer to the end",
                    "whether it was done is not known; ask again with the same Idempotency-Key, then it is done once",
                )
                .into_response()
            }
        };
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return nobody().into_response();
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(COPY, HeaderValue::from_static("true"));
    response
}

/// Sends a request on, and its answer back; a console's connection with both its directions.
async fn pass(
    mut sender: hyper::client::conn::http1::SendRequest<Body>,
    mut request: Request,
) -> io::Result<Response> {
    let asker = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let here = upgrade.then(|| hyper::upgrade::on(&mut request));
    let (mut head, body) = request.into_parts();
    head.headers.remove(&ASKER);
    if let Some(Ok(asker)) = asker.map(|asker| HeaderValue::from_str(&asker.to_string())) {
        head.headers.insert(ASKER, asker);
    }
    // Only the path goes on: it is in the form that servers read.
    if let Some(path) = head.uri.path_and_query().and_then(|path| path.as_str().parse().ok()) {
        head.uri = path;
    }
    head.extensions.clear();
    let mut response: HttpResponse<Incoming> =
        sender.send_request(Request::from_parts(head, body)).await.map_err(io::Error::other)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(here) = here
    {
        let there = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            let (Ok(here), Ok(there)) = tokio::join!(here, there) else { return };
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(here), &mut TokioIo::new(there)).await;
        });
    }
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, Body::new(body)))
}
