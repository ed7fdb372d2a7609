//! Threads, the request port, and admission.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tftpd::ErrorCode;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle as Task;

use crate::codec::{self, Request};
use crate::socket::{Batch, Udp};
use crate::stats::{Counters, bump};
use crate::transfer::Time;
use crate::worker::{Epoch, Start, Worker};
use crate::{Content, EventKind, Snapshot, TftpConfig, TransferEvent};

/// Requests waiting for a worker's turn; more are dropped, and the clients ask again.
const QUEUE: usize = 1024;

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket.
    #[error("cannot open a TFTP socket on {address}")]
    Socket {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread or its runtime.
    #[error("cannot start a TFTP thread")]
    Thread(#[source] io::Error),
}

/// A running server. Stops when dropped.
#[derive(Debug)]
pub struct Engine {
    local: SocketAddr,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// What all threads share.
pub(crate) struct Shared {
    pub(crate) config: TftpConfig,
    pub(crate) content: Arc<dyn Content>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sources: Sources,
    pub(crate) epoch: Epoch,
}

impl Shared {
    pub(crate) fn now(&self) -> Time {
        self.epoch.elapsed()
    }

    pub(crate) fn tell(&self, peer: SocketAddr, name: &str, kind: EventKind) {
        self.content.event(&TransferEvent { peer, name: name.to_owned(), kind });
    }

    /// Gives back what [`Sources::admit`] took.
    pub(crate) fn release(&self, source: IpAddr, half_open: bool) {
        self.sources.release(source, half_open);
        self.counters.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Transfers by source address: the admission limits.
#[derive(Default)]
pub(crate) struct Sources {
    inner: Mutex<SourcesInner>,
}

#[derive(Default)]
struct SourcesInner {
    total: usize,
    by_source: HashMap<IpAddr, Count>,
}

#[derive(Default)]
struct Count {
    all: usize,
    half_open: usize,
}

impl Sources {
    fn lock(&self) -> MutexGuard<'_, SourcesInner> {
        // Plain counters: no invariant is broken half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, source: IpAddr, config: &TftpConfig) -> bool {
        let mut inner = self.lock();
        if inner.total >= config.max_transfers {
            return false;
        }
        let count = inner.by_source.entry(source).or_default();
        if count.all >= config.max_per_source || count.half_open >= config.max_half_open_per_source {
            return false;
        }
        count.all = count.all.saturating_add(1);
        count.half_open = count.half_open.saturating_add(1);
        inner.total = inner.total.saturating_add(1);
        true
    }

    pub(crate) fn confirmed(&self, source: IpAddr) {
        if let Some(count) = self.lock().by_source.get_mut(&source) {
            count.half_open = count.half_open.saturating_sub(1);
        }
    }

    fn release(&self, source: IpAddr, half_open: bool) {
        let mut inner = self.lock();
        inner.total = inner.total.saturating_sub(1);
        let Some(count) = inner.by_source.get_mut(&source) else { return };
        count.all = count.all.saturating_sub(1);
        count.half_open = count.half_open.saturating_sub(usize::from(half_open));
        if count.all == 0 {
            inner.by_source.remove(&source);
        }
    }
}

impl Engine {
    /// Binds the request port and starts the threads.
    ///
    /// # Errors
    /// A socket or thread that cannot be had.
    pub fn start(config: TftpConfig, content: Arc<dyn Content>) -> Result<Self, StartError> {
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = watch::channel(false);
        let workers = config.workers.clamp(1, 64);
        let sockets = config.sockets_per_worker.clamp(1, 256);
        let listen = config.listen;
        let shared = Arc::new(Shared {
            config,
            content,
            counters: Arc::clone(&counters),
            sources: Sources::default(),
            epoch: Epoch::now(),
        });
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        let mut runtimes = Vec::new();
        for _ in 0..workers {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(StartError::Thread)?;
            let mut tasks = Vec::new();
            for _ in 0..sockets {
                let guard = runtime.enter();
                let socket = open(SocketAddr::new(listen.ip(), 0), &shared)?;
                drop(guard);
                let (queue, starts) = mpsc::channel(QUEUE);
                queues.push(queue);
                let worker = Worker::new(Arc::clone(&shared), socket);
                tasks.push(runtime.spawn(worker.run(starts, stopped.clone())));
            }
            runtimes.push((runtime, tasks));
        }
        let mut local = listen;
        let mut queues = Some(queues);
        for (number, (runtime, mut tasks)) in runtimes.into_iter().enumerate() {
            // The request port lives on the first thread.
            if let Some(queues) = queues.take() {
                let guard = runtime.enter();
                let socket = open(listen, &shared)?;
                drop(guard);
                local =
                    socket.local_addr().map_err(|source| StartError::Socket { address: listen, source })?;
                let port =
                    RequestPort { shared: Arc::clone(&shared), socket, queues, hasher: RandomState::new() };
                tasks.push(runtime.spawn(port.run(stopped.clone())));
            }
            let thread = std::thread::Builder::new()
                .name(format!("tftp-{number}"))
                .spawn(move || runtime.block_on(run_all(tasks)))
                .map_err(StartError::Thread)?;
            threads.push(thread);
        }
        Ok(Self { local, counters, stop, threads })
    }

    /// The request port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.counters.snapshot()
    }

    /// Stops and waits for the threads. Dropping does the same.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

async fn run_all(tasks: Vec<Task<()>>) {
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "TFTP task");
        }
    }
}

fn open(address: SocketAddr, shared: &Shared) -> Result<Udp, StartError> {
    Udp::bind(address, shared.config.device.as_deref())
        .map_err(|source| StartError::Socket { address, source })
}

/// Reads requests, and hands each to the socket that its TID hashes to: a repeated request meets its own transfer.
struct RequestPort {
    shared: Arc<Shared>,
    socket: Udp,
    queues: Vec<mpsc::Sender<Start>>,
    hasher: RandomState,
}

static WARNED: AtomicBool = AtomicBool::new(false);

impl RequestPort {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut batch = Batch::new();
        loop {
            tokio::select! {
                ready = self.socket.readable() => {
                    if ready.is_err() {
                        continue;
                    }
                    match self.socket.try_recv(&mut batch) {
                        Ok(true) => {
                            for (from, datagram) in batch.datagrams() {
                                self.request(from.peer, from.local, datagram).await;
                            }
                        }
                        Ok(false) => {}
                        Err(error) => {
                            if !WARNED.swap(true, Ordering::Relaxed) {
                                tracing::warn!(%error, "TFTP request port");
                            }
                        }
                    }
                    tokio::task::yield_now().await;
                }
                _ = stop.changed() => return,
            }
        }
    }

    async fn request(&self, peer: SocketAddr, local: Option<IpAddr>, datagram: &[u8]) {
        let counters = &self.shared.counters;
        bump(&counters.requests);
        // RFC 1123 section 4.2.3.4: a request to a broadcast address is ignored. So is one that claims to come from nowhere.
        if local == Some(IpAddr::V4(Ipv4Addr::BROADCAST)) || peer.port() == 0 || !unicast(peer.ip()) {
            bump(&counters.bad_requests);
            return;
        }
        let request = match Request::parse(datagram) {
            Ok(request) => request,
            Err(refusal) => {
                bump(&counters.bad_requests);
                if let Some(code) = refusal.code() {
                    self.refuse(peer, local, code, &refusal.to_string()).await;
                }
                return;
            }
        };
        let Some(content) = self.shared.content.open(peer, &request.name) else {
            bump(&counters.not_found);
            self.shared.tell(peer, &request.name, EventKind::NotFound);
            self.refuse(peer, local, ErrorCode::FileNotFound, "file not found").await;
            return;
        };
        let name = request.name.clone();
        let index = self.hasher.hash_one(peer) as usize % self.queues.len().max(1);
        let admitted = self.shared.sources.admit(peer.ip(), &self.shared.config);
        if admitted {
            counters.active.fetch_add(1, Ordering::Relaxed);
        }
        let start = Start { peer, local, request, content };
        let queued = admitted && self.queues.get(index).is_some_and(|queue| queue.try_send(start).is_ok());
        if !queued {
            if admitted {
                self.shared.release(peer.ip(), true);
            }
            bump(&counters.refused);
            // Silence: the client asks again, and by then there may be room.
            self.shared.tell(peer, &name, EventKind::Refused);
        }
    }

    async fn refuse(&self, peer: SocketAddr, local: Option<IpAddr>, code: ErrorCode, text: &str) {
        let bytes = codec::error(code, text);
        let _ = self.socket.send(peer, local, &bytes, None).await;
    }
}

fn unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_multicast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    }
}
