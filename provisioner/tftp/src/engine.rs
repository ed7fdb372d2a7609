//! Threads and admission.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::poll::{Poller, Waker};
use crate::port::RequestPort;
use crate::socket::Udp;
use crate::stats::{Counters, bump};
use crate::transfer::Time;
use crate::worker::{Desk, Worker};
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
    /// A thread, or what it waits with.
    #[error("cannot start a TFTP thread")]
    Thread(#[source] io::Error),
}

/// A running server. Stops when dropped.
pub struct Engine {
    local: SocketAddr,
    shared: Arc<Shared>,
    wakers: Vec<Waker>,
    threads: Vec<JoinHandle<()>>,
}

/// What all threads share.
pub(crate) struct Shared {
    pub(crate) config: TftpConfig,
    pub(crate) content: Arc<dyn Content>,
    pub(crate) counters: Counters,
    pub(crate) sources: Sources,
    epoch: Instant,
    stop: AtomicBool,
}

impl Shared {
    pub(crate) fn now(&self) -> Time {
        self.epoch.elapsed()
    }

    pub(crate) fn tell(&self, peer: SocketAddr, name: &str, kind: EventKind) {
        self.content.event(&TransferEvent { peer, name: name.to_owned(), kind });
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A request found no room. Silence: the client asks again, and by then there may be some.
    pub(crate) fn turned_away(&self, peer: SocketAddr, name: &str) {
        bump(&self.counters.refused);
        self.tell(peer, name, EventKind::Refused);
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

    pub(crate) fn admit(&self, source: IpAddr, config: &TftpConfig) -> bool {
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

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Engine {
    /// Binds the request port and starts the threads.
    ///
    /// # Errors
    /// A socket or thread that cannot be had.
    pub fn start(config: TftpConfig, content: Arc<dyn Content>) -> Result<Self, StartError> {
        let workers = config.workers.clamp(1, 64);
        let each = config.sockets_per_worker.clamp(1, 256);
        let listen = config.listen;
        let shared = Arc::new(Shared {
            config,
            content,
            counters: Counters::default(),
            sources: Sources::default(),
            epoch: Instant::now(),
            stop: AtomicBool::new(false),
        });
        let request_socket = open(listen, &shared)?;
        let local =
            request_socket.local_addr().map_err(|source| StartError::Socket { address: listen, source })?;
        let mut port =
            Some(RequestPort::new(Arc::clone(&shared), request_socket, workers.saturating_mul(each)));
        let (mut desks, mut rooms, mut wakers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..workers {
            let poller = Poller::new().map_err(StartError::Thread)?;
            let (queue, starts) = mpsc::sync_channel(QUEUE);
            desks.push(Desk { queue, waker: poller.waker() });
            wakers.push(poller.waker());
            rooms.push((poller, starts));
        }
        // Before the threads start: the engine stops those that run when a later one cannot.
        let mut engine = Self { local, shared, wakers, threads: Vec::new() };
        for (number, (poller, starts)) in rooms.into_iter().enumerate() {
            let sockets: Result<Vec<Udp>, StartError> =
                (0..each).map(|_| open(SocketAddr::new(listen.ip(), 0), &engine.shared)).collect();
            // The request port lives on the first thread.
            let port = port.take().map(|port| (port, desks.clone()));
            let worker = Worker::new(Arc::clone(&engine.shared), poller, starts, sockets?, port)
                .map_err(StartError::Thread)?;
            let thread = std::thread::Builder::new()
                .name(format!("tftp-{number}"))
                .spawn(move || worker.run())
                .map_err(StartError::Thread)?;
            engine.threads.push(thread);
        }
        Ok(engine)
    }

    /// The request port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.shared.counters.snapshot()
    }

    /// Stops and waits for the threads. Dropping does the same.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for waker in &self.wakers {
            waker.wake();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn open(address: SocketAddr, shared: &Shared) -> Result<Udp, StartError> {
    Udp::bind(address, shared.config.device.as_deref())
        .map_err(|source| StartError::Socket { address, source })
}
