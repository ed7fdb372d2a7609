//! The request port: reads requests, admits them, and says which socket carries the transfer.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tftpd::ErrorCode;

use crate::EventKind;
use crate::codec::{self, Request};
use crate::engine::Shared;
use crate::socket::{Batch, Udp};
use crate::stats::bump;
use crate::worker::Start;

/// Reads requests, and names for each the socket that its TID hashes to: a repeated request meets its own transfer.
pub(crate) struct RequestPort {
    shared: Arc<Shared>,
    socket: Udp,
    /// Sockets of all threads.
    lines: usize,
    hasher: RandomState,
    warned: bool,
}

impl RequestPort {
    pub(crate) fn new(shared: Arc<Shared>, socket: Udp, lines: usize) -> Self {
        Self { shared, socket, lines: lines.max(1), hasher: RandomState::new(), warned: false }
    }

    pub(crate) fn socket(&self) -> &Udp {
        &self.socket
    }

    /// Takes one batch; each admitted request goes to `start` with the number of its socket among all.
    pub(crate) fn receive(&mut self, batch: &mut Batch, mut start: impl FnMut(usize, Start)) {
        match self.socket.recv(batch) {
            Ok(true) => {
                for (from, datagram) in batch.datagrams() {
                    if let Some((line, request)) = self.request(from.peer, from.local, datagram) {
                        start(line, request);
                    }
                }
            }
            Ok(false) => {}
            Err(error) => self.trouble(&error),
        }
    }

    fn trouble(&mut self, error: &io::Error) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(%error, "TFTP request port");
        }
        // An error that stays must not become a busy loop.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }

    fn request(&self, peer: SocketAddr, local: Option<IpAddr>, datagram: &[u8]) -> Option<(usize, Start)> {
        let counters = &self.shared.counters;
        bump(&counters.requests);
        // RFC 1123 section 4.2.3.4: a request to a broadcast address is ignored. So is one that claims to come from nowhere.
        if local == Some(IpAddr::V4(Ipv4Addr::BROADCAST)) || peer.port() == 0 || !unicast(peer.ip()) {
            bump(&counters.bad_requests);
            return None;
        }
        let request = match Request::parse(datagram) {
            Ok(request) => request,
            Err(refusal) => {
                bump(&counters.bad_requests);
                if let Some(code) = refusal.code() {
                    self.refuse(peer, local, code, &refusal.to_string());
                }
                return None;
            }
        };
        let Some(content) = self.shared.content.open(peer, &request.name) else {
            bump(&counters.not_found);
            self.shared.tell(peer, &request.name, EventKind::NotFound);
            self.refuse(peer, local, ErrorCode::FileNotFound, "file not found");
            return None;
        };
        if !self.shared.sources.admit(peer.ip(), &self.shared.config) {
            self.shared.turned_away(peer, &request.name);
            return None;
        }
        counters.active.fetch_add(1, Ordering::Relaxed);
        let line = self.hasher.hash_one(peer) as usize % self.lines;
        Some((line, Start { peer, local, request, content }))
    }

    fn refuse(&self, peer: SocketAddr, local: Option<IpAddr>, code: ErrorCode, text: &str) {
        let _ = self.socket.send(peer, local, &codec::error(code, text), None);
    }
}

fn unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_multicast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    }
}
