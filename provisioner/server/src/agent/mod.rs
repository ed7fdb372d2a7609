//! The agent endpoint: where nodes dial in.
//!
//! ```text
//! TCP ─▶ Noise IK (5 s, bounded per source) ─▶ Hello (5 s) ─▶ Core::arrive ─▶ Welcome ─▶ session
//! ```
//! A stranger costs one socket, one handshake and a few hundred bytes, for a few seconds.

mod channel;
mod session;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::core::{Core, count};
pub(crate) use channel::Channel;
#[cfg(feature = "simnode")]
pub(crate) use channel::{ChannelError, Reader, Writer};
pub(crate) use session::Talk;

/// Time for handshake and `Hello`, each.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at once.
const MAX_CONNECTIONS: usize = 8192;
/// Connections at once that have not yet said `Hello`.
const MAX_STRANGERS: usize = 512;
/// The same, for one address.
const MAX_STRANGERS_PER_SOURCE: usize = 16;

/// Counts strangers by address.
#[derive(Debug, Default)]
struct Strangers(Mutex<HashMap<IpAddr, usize>>);

struct Stranger {
    of: Arc<Strangers>,
    source: IpAddr,
}

impl Strangers {
    fn enter(self: &Arc<Self>, source: IpAddr) -> Option<Stranger> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = all.entry(source).or_insert(0);
        if *here >= MAX_STRANGERS_PER_SOURCE {
            return None;
        }
        *here = here.saturating_add(1);
        Some(Stranger { of: Arc::clone(self), source })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut all = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = all.get_mut(&self.source) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                all.remove(&self.source);
            }
        }
    }
}

/// Serves agents on `listener` until `stop`.
pub async fn serve(core: Arc<Core>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let handshakes = Arc::new(Semaphore::new(MAX_STRANGERS));
    let strangers = Arc::new(Strangers::default());
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = crate::util::stopped(&mut stop) => break,
            Some(_) = tasks.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a peer that left already. Give others time to end.
                tracing::warn!(%error, "agent accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let permits = (
            Arc::clone(&connections).try_acquire_owned(),
            Arc::clone(&handshakes).try_acquire_owned(),
            strangers.enter(peer.ip()),
        );
        let (Ok(connection), Ok(handshake), Some(stranger)) = permits else {
            count(&core.counts.agent_refused);
            continue;
        };
        let core = Arc::clone(&core);
        let stop = stop.clone();
        tasks.spawn(async move {
            let _connection = connection;
            if let Some(arrival) = meet(&core, stream, peer).await {
                drop((handshake, stranger));
                session::run(core, arrival, stop).await;
            }
        });
    }
    // Sessions see the same `stop` and end by themselves.
    while tasks.join_next().await.is_some() {}
}

async fn meet(core: &Arc<Core>, stream: TcpStream, peer: SocketAddr) -> Option<session::Arrival> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no-delay");
    }
    let shaken = tokio::time::timeout(PATIENCE, Channel::accept(stream, core.keys.channel_private())).await;
    let (channel, key) = match shaken {
        Ok(Ok(met)) => met,
        Ok(Err(error)) => {
            count(&core.counts.agent_handshakes_failed);
            tracing::debug!(%peer, %error, "agent handshake");
            return None;
        }
        Err(_) => {
            count(&core.counts.agent_handshakes_failed);
            return None;
        }
    };
    session::greet(core, channel, key, peer, PATIENCE).await
}
