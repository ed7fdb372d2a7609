//! One transfer socket and the transfers it carries.
//!
//! Timers: a heap holds one entry a transfer, never moved when a deadline moves out. An entry that comes up early is put
//! back with the present deadline, so an acknowledgement costs no heap operation.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tftpd::ErrorCode;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::codec::{self, DATA_HEADER, Reply, Request};
use crate::engine::Shared;
use crate::socket::{Batch, MAX_SEND, Udp};
use crate::stats::{add, bump};
use crate::transfer::{Step, Time, Transfer};
use crate::{Bytes, EventKind, FailReason, TransferEvent};

/// Batches taken before other work gets its turn.
const BATCHES_A_TURN: usize = 8;

/// A request that the request port accepted.
pub(crate) struct Start {
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) request: Request,
    pub(crate) content: Bytes,
}

struct Active {
    transfer: Transfer,
    request: Request,
    local: Option<IpAddr>,
    started: Time,
    /// Segmentation offload still works for this peer.
    offload: bool,
    half_open: bool,
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    socket: Udp,
    transfers: HashMap<SocketAddr, Active>,
    timers: BinaryHeap<Reverse<(Time, SocketAddr)>>,
    scratch: Vec<u8>,
    stray_second: u64,
    strays_answered: u32,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, socket: Udp) -> Self {
        Self {
            shared,
            socket,
            transfers: HashMap::new(),
            timers: BinaryHeap::new(),
            scratch: Vec::new(),
            stray_second: 0,
            strays_answered: 0,
        }
    }

    pub(crate) async fn run(mut self, mut starts: mpsc::Receiver<Start>, mut stop: watch::Receiver<bool>) {
        let mut batch = Batch::new();
        let idle = Duration::from_secs(3600);
        let sleep = tokio::time::sleep(idle);
        tokio::pin!(sleep);
        loop {
            let wake = self.timers.peek().map_or(self.shared.now() + idle, |Reverse((time, _))| *time);
            let wake = self.shared.epoch + wake;
            if sleep.deadline() != wake {
                sleep.as_mut().reset(wake);
            }
            tokio::select! {
                biased;
                ready = self.socket.readable() => {
                    if ready.is_ok() {
                        self.receive(&mut batch).await;
                    }
                }
                Some(start) = starts.recv() => self.start(start).await,
                () = &mut sleep => self.expire().await,
                _ = stop.changed() => break,
            }
        }
        let peers: Vec<SocketAddr> = self.transfers.keys().copied().collect();
        for peer in peers {
            self.finish(peer, Err(FailReason::Shutdown));
        }
    }

    async fn receive(&mut self, batch: &mut Batch) {
        for _ in 0..BATCHES_A_TURN {
            match self.socket.try_recv(batch) {
                Ok(true) => {}
                // An error here is an ICMP answer to something sent before; timers deal with silent peers.
                Ok(false) | Err(_) => return,
            }
            for (from, datagram) in batch.datagrams() {
                self.datagram(from.peer, from.local, datagram).await;
            }
        }
        // More may wait: timers and new requests get their turn first.
        self.expire().await;
    }

    async fn datagram(&mut self, peer: SocketAddr, local: Option<IpAddr>, datagram: &[u8]) {
        let reply = Reply::parse(datagram);
        let now = self.shared.now();
        let Some(active) = self.transfers.get_mut(&peer) else {
            bump(&self.shared.counters.strays);
            // RFC 1350 section 4: a wrong TID is told so and disturbs nobody. ERROR is never answered.
            if matches!(reply, Reply::Ack(_) | Reply::Other) && self.may_answer_stray(now) {
                let text = codec::error(ErrorCode::UnknownId, "unknown transfer");
                let _ = self.socket.send(peer, local, &text, None).await;
            }
            return;
        };
        let step = match reply {
            Reply::Ack(block) => active.transfer.on_ack(now, block),
            Reply::Error(code) => active.transfer.on_error(code),
            Reply::Other | Reply::Malformed => Step::Wait,
        };
        if matches!((reply, &step), (Reply::Ack(_), Step::Wait)) {
            bump(&self.shared.counters.useless_acks);
        }
        if active.half_open && active.transfer.confirmed() {
            active.half_open = false;
            self.shared.sources.confirmed(peer.ip());
        }
        self.act(peer, step).await;
    }

    async fn start(&mut self, start: Start) {
        let now = self.shared.now();
        let Start { peer, local, request, content } = start;
        if let Some(active) = self.transfers.get(&peer) {
            // The same TID again. A repeat of a living request is answered by the timer; a rebooted client that took the same
            // port, or one that wants something else, gets a new transfer.
            if active.request == request && !(active.transfer.confirmed() && active.transfer.stalled()) {
                bump(&self.shared.counters.duplicates);
                self.shared.release(peer.ip(), true);
                return;
            }
            self.finish(peer, Err(FailReason::Replaced));
        }
        let (transfer, step) = Transfer::new(now, &request, content, &self.shared.config);
        let kind = EventKind::Started {
            size_bytes: transfer.size_bytes(),
            blksize: transfer.blksize(),
            windowsize: transfer.window(),
        };
        self.shared.tell(peer, &request.name, kind);
        bump(&self.shared.counters.started);
        self.timers.push(Reverse((transfer.deadline(), peer)));
        let active = Active { transfer, request, local, started: now, offload: true, half_open: true };
        self.transfers.insert(peer, active);
        self.act(peer, step).await;
    }

    async fn expire(&mut self) {
        let now = self.shared.now();
        // Each transfer has one entry at most, so this ends.
        while let Some(&Reverse((time, peer))) = self.timers.peek() {
            if time > now {
                return;
            }
            self.timers.pop();
            let Some(active) = self.transfers.get_mut(&peer) else { continue };
            let step = active.transfer.on_time(now);
            let deadline = active.transfer.deadline();
            self.act(peer, step).await;
            if self.transfers.contains_key(&peer) {
                // Strictly later, so that a time that does not move cannot spin here.
                self.timers.push(Reverse((deadline.max(now + Duration::from_millis(1)), peer)));
            }
        }
    }

    async fn act(&mut self, peer: SocketAddr, step: Step) {
        match step {
            Step::Wait => {}
            Step::SendOack => {
                let Some(active) = self.transfers.get(&peer) else { return };
                let bytes = codec::oack(active.transfer.oack());
                if self.socket.send(peer, active.local, &bytes, None).await.is_err() {
                    bump(&self.shared.counters.send_errors);
                }
            }
            Step::Send { blocks, repeated } => {
                add(&self.shared.counters.blocks_resent, repeated);
                self.send_blocks(peer, *blocks.start(), *blocks.end()).await;
            }
            Step::Done => self.finish(peer, Ok(())),
            Step::Fail(reason) => self.finish(peer, Err(reason)),
        }
    }

    async fn send_blocks(&mut self, peer: SocketAddr, mut first: u64, last: u64) {
        let Some(active) = self.transfers.get_mut(&peer) else { return };
        let segment = usize::from(active.transfer.blksize()).saturating_add(DATA_HEADER);
        let most = self.socket.max_segments().min(MAX_SEND.checked_div(segment).unwrap_or(1)).max(1) as u64;
        while first <= last {
            let count = if active.offload { (last - first).saturating_add(1).min(most) } else { 1 };
            self.scratch.clear();
            for block in first..first.saturating_add(count) {
                // The wire's number is the low 16 bits.
                self.scratch.extend_from_slice(&codec::data_header(block as u16));
                self.scratch.extend_from_slice(active.transfer.block(block));
            }
            let cut = (count > 1).then_some(segment);
            match self.socket.send(peer, active.local, &self.scratch, cut).await {
                Ok(()) => {}
                Err(_) if count > 1 => {
                    // No offload on this way out, or a block larger than its MTU.
                    active.offload = false;
                    continue;
                }
                Err(_) => {
                    bump(&self.shared.counters.send_errors);
                    return;
                }
            }
            add(&self.shared.counters.blocks_sent, count);
            first = first.saturating_add(count);
        }
    }

    fn finish(&mut self, peer: SocketAddr, outcome: Result<(), FailReason>) {
        let Entry::Occupied(entry) = self.transfers.entry(peer) else { return };
        let active = entry.remove();
        self.shared.release(peer.ip(), active.half_open);
        let kind = match outcome {
            Ok(()) => {
                bump(&self.shared.counters.completed);
                let elapsed = self.shared.now().saturating_sub(active.started);
                EventKind::Completed { size_bytes: active.transfer.size_bytes(), elapsed }
            }
            Err(reason) => {
                bump(&self.shared.counters.failed);
                EventKind::Failed { reason, acked_bytes: active.transfer.acked_bytes() }
            }
        };
        self.shared.content.event(&TransferEvent { peer, name: active.request.name, kind });
    }

    fn may_answer_stray(&mut self, now: Time) -> bool {
        if now.as_secs() != self.stray_second {
            self.stray_second = now.as_secs();
            self.strays_answered = 0;
        }
        self.strays_answered = self.strays_answered.saturating_add(1);
        self.strays_answered <= self.shared.config.max_stray_errors_per_s
    }
}

/// The engine's epoch on tokio's clock.
pub(crate) type Epoch = Instant;
