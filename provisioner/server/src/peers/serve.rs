//! What an appliance answers to the others, on a port of its own, over TLS of their authority.
//!
//! | asked | by | answered |
//! |---|---|---|
//! | `POST /cluster/join` | who has an invitation | once, by the one that leads |
//! | `GET /cluster/status` | another appliance | how this one is |
//! | `GET /cluster/file/…` | another appliance | a file by its digest |
//! | `POST /cluster/fetch/…` | the one that leads | once this one has fetched the file |
//! | `POST /cluster/trust` | another appliance | once a majority has the trust documents, by the one that leads |
//! | anything else | another appliance | as if its client had asked here |

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_service::Service;

use super::files::Named;
use super::forward::ASKER;
use super::join::{Ask, Given};
use super::tend::Status;
use super::{Peers, Relayed};
use crate::core::Core;
use crate::error::Error;
use crate::http::{Front, OfUs, Peer, serve_others};
use crate::trust::Documents;

/// Largest request of one that joins, and time for it.
const MAX_JOIN: usize = 16 * 1024;
const ASKS: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Served {
    peers: Arc<Peers>,
    front: Front,
}

/// Answers the others until `stop`.
pub async fn serve_peers(
    peers: Arc<Peers>,
    front: Front,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&peers.server));
    let served = Served { peers, front };
    let ours = Router::new()
        .route("/cluster/status", get(status))
        .route("/cluster/file/{folder}/{digest}", get(file))
        .route("/cluster/fetch/{folder}/{digest}/{from}", post(fetch))
        .route("/cluster/trust", post(trust))
        .fallback(relayed)
        .layer(from_fn(of_us));
    let join = Router::new().route("/cluster/join", post(join)).layer(DefaultBodyLimit::max(MAX_JOIN));
    let router = join.merge(ours).with_state(served);
    serve_others(Front::of(router), listener, acceptor, stop).await;
}

/// Only those that showed a certificate of the authority.
async fn of_us(request: Request, next: Next) -> Response {
    if request.extensions().get::<OfUs>().is_some_and(|of_us| of_us.0) {
        return next.run(request).await;
    }
    Error::refused(
        403,
        "not-one-of-us",
        "this is for the other appliances",
        "use the interface's own address",
    )
    .into_response()
}

async fn status(State(served): State<Served>) -> Result<Json<Status>, Error> {
    Ok(Json(served.peers.status().await?))
}

async fn join(State(served): State<Served>, request: Request) -> Result<Json<Given>, Error> {
    // Nobody has shown who they are yet.
    let asked = tokio::time::timeout(ASKS, Json::<Ask>::from_request(request, &())).await;
    let Ok(Ok(Json(ask))) = asked else {
        return Err(Error::refused(422, "bad-request", "this is no request to join", "weft appliance join"));
    };
    let core = leading(&served)?;
    Ok(Json(served.peers.take_in(&core, &ask).await?))
}

fn leading(served: &Served) -> Result<Arc<Core>, Error> {
    served.peers.leading().ok_or_else(|| {
        Error::refused(503, "no-leader", "this appliance does not lead", "ask the one that does")
    })
}

async fn trust(State(served): State<Served>, Json(given): Json<Documents>) -> Result<StatusCode, Error> {
    let core = leading(&served)?;
    served.peers.take_offered(&core, given).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn named(folder: &str, digest: &str) -> Result<Named, Error> {
    Named::read(folder, digest)
        .ok_or_else(|| Error::refused(404, "no-such-file", "this is no file", "folder and digest"))
}

async fn file(
    State(served): State<Served>,
    Path((folder, digest)): Path<(String, String)>,
) -> Result<Response, Error> {
    let path = served.peers.path(&named(&folder, &digest)?);
    let Ok(file) = tokio::fs::File::open(&path).await else {
        return Err(Error::refused(404, "no-such-file", "this file is not here", "ask another appliance"));
    };
    let pieces = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; 256 * 1024];
        let size = file.read(&mut piece).await?;
        piece.truncate(size);
        Ok::<_, std::io::Error>((size > 0).then(|| (bytes::Bytes::from(piece), file)))
    });
    Ok(Body::from_stream(pieces).into_response())
}

async fn fetch(
    State(served): State<Served>,
    Path((folder, digest, from)): Path<(String, String, u64)>,
) -> Result<StatusCode, Error> {
    let named = named(&folder, &digest)?;
    let peers = served.peers;
    if !peers.path(&named).exists() {
        let others = peers.others().await?;
        let at = others.into_iter().find(|(id, _)| *id == from).map(|(_, at)| at);
        let at = at.ok_or_else(|| {
            Error::refused(404, "no-such-appliance", "there is no such appliance", "see weft appliance list")
        })?;
        // It goes on although the leader has its majority and asks no more.
        let fetching = tokio::spawn(async move { peers.fetch(at, &named).await });
        fetching.await.map_err(std::io::Error::other)??;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A request of another appliance's client.
async fn relayed(State(served): State<Served>, mut request: Request) -> Response {
    let asker = request.headers_mut().remove(ASKER);
    let asker: Option<IpAddr> = asker.and_then(|asker| asker.to_str().ok()?.parse().ok());
    request.extensions_mut().insert(Peer(asker));
    request.extensions_mut().insert(Relayed);
    match served.front.now().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
