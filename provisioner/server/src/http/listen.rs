//! Connections: TLS over TCP, or a Unix socket; bounded in number, and in time before a request.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::cert::{Certificate, CertificateError};
use super::{App, router};
use crate::core::Core;

/// Connections at once, each way.
const MAX_CONNECTIONS: usize = 1024;
/// Time for the TLS handshake, and for each request's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time that running requests get when the appliance stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where a request comes from; `None` on the Unix socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

/// Whether a request comes from another appliance, which showed its certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfUs(pub(crate) bool);

/// What answers requests now. It may be exchanged while connections last: an appliance may come to lead, or no longer.
#[derive(Clone)]
pub struct Front(Arc<RwLock<Router>>);

impl Front {
    pub(crate) fn of(router: Router) -> Self {
        Self(Arc::new(RwLock::new(router)))
    }

    /// The interface of a core; streams end with `stop`.
    pub fn new(
        core: Arc<Core>,
        engines: Arc<dyn Fn() -> String + Send + Sync>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self::of(router(App { core, engines, stop }))
    }

    /// The same from now on, of another core; where it does not lead, requests are relayed to who does.
    pub fn show(
        &self,
        core: Arc<Core>,
        engines: Arc<dyn Fn() -> String + Send + Sync>,
        stop: watch::Receiver<bool>,
    ) {
        let follows = core.peers.clone().filter(|_| !core.store.leads());
        let router = router(App { core, engines, stop });
        let router = match follows {
            Some(peers) => crate::peers::follow(router, peers),
            None => router,
        };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    pub(crate) fn now(&self) -> Router {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves the interface over TLS until `stop`.
pub async fn serve_tls(
    front: Front,
    listener: TcpListener,
    certificate: &Certificate,
    stop: watch::Receiver<bool>,
) -> Result<(), CertificateError> {
    let acceptor = TlsAcceptor::from(certificate.config()?);
    serve(front, TlsDoor { listener, acceptor }, stop).await;
    Ok(())
}

/// Serves other appliances until `stop`.
pub(crate) async fn serve_others(
    front: Front,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    stop: watch::Receiver<bool>,
) {
    serve(front, TlsDoor { listener, acceptor }, stop).await;
}

/// Serves the interface on a Unix socket until `stop`. Sessions are asked for there too: the file's mode
/// says who may connect, a session says who it is.
pub async fn serve_local(front: Front, listener: UnixListener, stop: watch::Receiver<bool>) {
    serve(front, listener, stop).await;
}

/// Where connections come in.
trait Door {
    /// A connection that is not yet a stream.
    type Raw: Send + 'static;
    /// What requests come over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Raw, Peer)>> + Send;

    /// Whether the stream is another appliance's.
    fn of_us(stream: &Self::Stream) -> bool;

    /// A handshake, or nothing.
    fn open(&self, raw: Self::Raw) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;
}

struct TlsDoor {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Door for TlsDoor {
    type Raw = TcpStream;
    type Stream = tokio_rustls::server::TlsStream<TcpStream>;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((stream, Peer(Some(peer.ip()))))
    }

    fn of_us(stream: &Self::Stream) -> bool {
        stream.get_ref().1.peer_certificates().is_some()
    }

    fn open(&self, raw: TcpStream) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        self.acceptor.accept(raw)
    }
}

impl Door for UnixListener {
    type Raw = UnixStream;
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = UnixListener::accept(self).await?;
        Ok((stream, Peer(None)))
    }

    fn of_us(_: &UnixStream) -> bool {
        false
    }

    fn open(&self, raw: UnixStream) -> impl Future<Output = io::Result<UnixStream>> + Send + 'static {
        std::future::ready(Ok(raw))
    }
}

async fn serve<D: Door>(front: Front, door: D, mut stop: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = door.accept() => accepted,
            () = crate::util::stopped(&mut stop) => break,
            Some(_) = tasks.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "interface accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
        let (front, stop) = (front.clone(), stop.clone());
        let opening = door.open(stream);
        tasks.spawn(async move {
            let _permit = permit;
            match tokio::time::timeout(PATIENCE, opening).await {
                Ok(Ok(stream)) => {
                    let of_us = OfUs(D::of_us(&stream));
                    connection(WithPeer { front, peer, of_us }, stream, stop).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "interface handshake"),
                Err(_) => tracing::debug!("interface handshake took too long"),
            }
        });
    }
    let _ = tokio::time::timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await;
}

async fn connection<S>(service: WithPeer, stream: S, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(service);
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = crate::util::stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "interface connection");
    }
}

/// Adds the [`Peer`] to each request.
#[derive(Clone)]
struct WithPeer {
    front: Front,
    peer: Peer,
    of_us: OfUs,
}

impl Service<hyper::Request<hyper::body::Incoming>> for WithPeer {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = axum::routing::future::RouteFuture<Self::Error>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: hyper::Request<hyper::body::Incoming>) -> Self::Future {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.of_us);
        self.front.now().call(request)
    }
}
