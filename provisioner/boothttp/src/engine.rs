//! Threads, the listener, and admission.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::connection::Fresh;
use crate::stats::{Counters, bump};
use crate::{Content, HttpConfig, Snapshot};

/// Connections that the kernel holds for us.
const BACKLOG: i32 = 4096;
/// Connections taken before those that wait get their turn.
const ACCEPTS: usize = 16;

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener.
    #[error("cannot listen for HTTP on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread or its runtime.
    #[error("cannot start an HTTP thread")]
    Thread(#[source] io::Error),
}

/// A running server. Stops when dropped; connections are cut.
#[derive(Debug)]
pub struct Engine {
    local: SocketAddr,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// What all threads share.
pub(crate) struct Shared {
    pub(crate) config: HttpConfig,
    pub(crate) content: Arc<dyn Content>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sources: Sources,
    room: Arc<Semaphore>,
}

/// Connections by source address.
#[derive(Default)]
pub(crate) struct Sources(Mutex<HashMap<IpAddr, usize>>);

impl Sources {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Plain counters: no invariant is broken half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, source: IpAddr, most: usize) -> bool {
        let mut map = self.lock();
        let count = map.entry(source).or_default();
        if *count >= most {
            return false;
        }
        *count = count.saturating_add(1);
        true
    }

    pub(crate) fn release(&self, source: IpAddr) {
        let mut map = self.lock();
        if let Some(count) = map.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                map.remove(&source);
            }
        }
    }
}

impl Engine {
    /// Binds the listener and starts the threads.
    ///
    /// # Errors
    /// A socket or thread that cannot be had.
    pub fn start(config: HttpConfig, content: Arc<dyn Content>) -> Result<Self, StartError> {
        let address = config.listen;
        let fail = |source| StartError::Listen { address, source };
        let listener = listen(&config).map_err(fail)?;
        let local = listener.local_addr().map_err(fail)?;
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = watch::channel(false);
        let workers = config.workers.clamp(1, 64);
        let room = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared {
            config,
            content,
            counters: Arc::clone(&counters),
            sources: Sources::default(),
            room,
        });
        let mut threads = Vec::new();
        for number in 0..workers {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(StartError::Thread)?;
            // Not SO_REUSEPORT: a second appliance must fail to bind, not share the port.
            let listener = listener.try_clone().map_err(fail)?;
            let guard = runtime.enter();
            let listener = TcpListener::from_std(listener).map_err(fail)?;
            drop(guard);
            let task = accept(Arc::clone(&shared), listener, stopped.clone());
            let thread = std::thread::Builder::new()
                .name(format!("http-{number}"))
                .spawn(move || runtime.block_on(task))
                .map_err(StartError::Thread)?;
            threads.push(thread);
        }
        Ok(Self { local, counters, stop, threads })
    }

    /// Where it listens.
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

fn listen(config: &HttpConfig) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(config.listen), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(device) = &config.device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    // A restart must not wait for old connections to fade.
    socket.set_reuse_address(true)?;
    // Connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&config.listen.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Takes connections and serves each as far as it goes without waiting; what has to wait becomes a task.
async fn accept(shared: Arc<Shared>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&shared.room).acquire_owned() => permit,
            _ = stop.changed() => return,
        };
        let Ok(permit) = permit else { return };
        let first = tokio::select! {
            first = listener.accept() => first,
            _ = stop.changed() => return,
        };
        let mut taken = first.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
        let mut room = Some(permit);
        for _ in 0..ACCEPTS {
            match taken {
                Ok((stream, peer)) => {
                    let Some(room) = room.take() else { break };
                    admit(&shared, stream, peer, room);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // No descriptors, or a client that left already: neither is a reason to stop or to spin.
                    tracing::debug!(%error, "HTTP accept");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    break;
                }
            }
            room = Arc::clone(&shared.room).try_acquire_owned().ok();
            if room.is_none() {
                break;
            }
            taken = take(&listener);
        }
        // Those that wait get their turn.
        tokio::task::yield_now().await;
    }
}

/// A connection that never blocks, from the start.
fn take(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, peer) = rustix::net::acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(io::ErrorKind::NotConnected)?;
    Ok((TcpStream::from(socket), peer))
}

fn admit(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr, room: OwnedSemaphorePermit) {
    bump(&shared.counters.connections);
    if !shared.sources.admit(peer.ip(), shared.config.max_per_source) {
        bump(&shared.counters.refused);
        return;
    }
    bump(&shared.counters.active);
    match Fresh::new(Arc::clone(shared), stream, peer, room).advance() {
        Ok(None) => {}
        Ok(Some(connection)) => {
            tokio::spawn(connection.run());
        }
        Err(error) => tracing::debug!(%peer, %error, "HTTP connection"),
    }
}
