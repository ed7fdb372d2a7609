//! One thread: its transfer sockets and the transfers they carry.
//!
//! ```text
//!   wait ─▶ request port (first thread only) ─▶ start here, or at another thread's desk
//!        ─▶ transfer socket ─▶ Transfer ─▶ send, in the same wake-up
//!        ─▶ desk: requests from the first thread
//!        ─▶ timers
//! ```
//!
//! Timers: a heap holds one entry a transfer, never moved when a deadline moves out. An entry that comes up early is put
//! back with the present deadline, so an acknowledgement costs no heap operation.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use tftpd::ErrorCode;

use crate::codec::{self, DATA_HEADER, Reply, Request};
use crate::engine::Shared;
use crate::linger::Linger;
use crate::poll::{Poller, Waker};
use crate::port::RequestPort;
use crate::socket::{Batch, From, MAX_SEND, Udp};
use crate::stats::{add, bump};
use crate::transfer::{Step, Time, Transfer};
use crate::{Bytes, EventKind, FailReason, TransferEvent};

/// Batches taken from one socket before others get their turn.
const BATCHES_A_TURN: usize = 8;
/// Longest sleep.
const IDLE: Duration = Duration::from_secs(3600);
/// The request port's token; transfer sockets have their number in the thread.
const PORT: u64 = u64::MAX - 1;

/// A request that the request port accepted.
pub(crate) struct Start {
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) request: Request,
    pub(crate) content: Bytes,
}

/// Where another thread leaves requests.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) queue: SyncSender<(usize, Start)>,
    pub(crate) waker: Waker,
}

/// A transfer socket (one server TID).
struct Line {
    socket: Udp,
    stray_second: u64,
    strays_answered: u32,
}

struct Active {
    transfer: Transfer,
    request: Request,
    /// Number of the socket.
    line: usize,
    local: Option<IpAddr>,
    started: Time,
    /// Segmentation offload still works for this peer.
    offload: bool,
    half_open: bool,
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    poller: Poller,
    linger: Linger,
    starts: Receiver<(usize, Start)>,
    /// On the first thread, with the desks of all.
    port: Option<(RequestPort, Vec<Desk>)>,
    lines: Vec<Line>,
    transfers: HashMap<SocketAddr, Active>,
    timers: BinaryHeap<Reverse<(Time, SocketAddr)>>,
    scratch: Vec<u8>,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        poller: Poller,
        starts: Receiver<(usize, Start)>,
        sockets: Vec<Udp>,
        port: Option<(RequestPort, Vec<Desk>)>,
    ) -> io::Result<Self> {
        for (token, socket) in (0..).zip(&sockets) {
            poller.add(socket, token)?;
        }
        if let Some((port, _)) = &port {
            poller.add(port.socket(), PORT)?;
        }
        let lines = sockets.into_iter().map(|socket| Line { socket, stray_second: 0, strays_answered: 0 });
        Ok(Self {
            linger: Linger::new(Duration::from_micros(shared.config.linger_us)),
            shared,
            poller,
            starts,
            port,
            lines: lines.collect(),
            transfers: HashMap::new(),
            timers: BinaryHeap::new(),
            scratch: Vec::new(),
        })
    }

    pub(crate) fn run(mut self) {
        let mut batch = Batch::new();
        let mut ready = Vec::new();
        while !self.shared.stopping() {
            if let Err(error) = self.wait(&mut ready) {
                tracing::error!(%error, "TFTP thread");
                break;
            }
            for token in &ready {
                match *token {
                    PORT => self.requests(&mut batch),
                    line => self.receive(line as usize, &mut batch),
                }
            }
            while let Ok((line, start)) = self.starts.try_recv() {
                self.start(line, start);
            }
            self.expire();
        }
        let peers: Vec<SocketAddr> = self.transfers.keys().copied().collect();
        for peer in peers {
            self.finish(peer, Err(FailReason::Shutdown));
        }
    }

    /// Until a socket, a timer or another thread wants something.
    fn wait(&mut self, ready: &mut Vec<u64>) -> io::Result<()> {
        let began = self.shared.now();
        let wake = self.timers.peek().map_or(began + IDLE, |Reverse((time, _))| *time);
        let look_until = (began + self.linger.time()).min(wake);
        let mut now = began;
        ready.clear();
        while now < look_until && ready.is_empty() && !self.shared.stopping() {
            self.poller.wait(Duration::ZERO, ready)?;
            now = self.shared.now();
        }
        if ready.is_empty() {
            self.poller.wait(wake.saturating_sub(now), ready)?;
            now = self.shared.now();
        }
        self.linger.waited(now.saturating_sub(began));
        Ok(())
    }

    fn requests(&mut self, batch: &mut Batch) {
        let Some((mut port, desks)) = self.port.take() else { return };
        let each = self.lines.len();
        port.receive(batch, |line, start| {
            let (thread, line) = (line.checked_div(each).unwrap_or(0), line.checked_rem(each).unwrap_or(0));
            if thread == 0 {
                return self.start(line, start);
            }
            let (peer, name) = (start.peer, start.request.name.clone());
            let sent = desks.get(thread).map(|desk| (desk, desk.queue.try_send((line, start))));
            if let Some((desk, Ok(()))) = sent {
                desk.waker.wake();
            } else {
                self.shared.release(peer.ip(), true);
                self.shared.turned_away(peer, &name);
            }
        });
        self.port = Some((port, desks));
    }

    fn receive(&mut self, number: usize, batch: &mut Batch) {
        for _ in 0..BATCHES_A_TURN {
            let Some(line) = self.lines.get(number) else { return };
            match line.socket.recv(batch) {
                Ok(true) => {}
                // An error here is an ICMP answer to something sent before; timers deal with silent peers.
                Ok(false) | Err(_) => return,
            }
            for (from, datagram) in batch.datagrams() {
                self.datagram(number, from, datagram);
            }
            if !batch.full() {
                return;
            }
        }
    }

    fn datagram(&mut self, number: usize, from: From, datagram: &[u8]) {
        let reply = Reply::parse(datagram);
        let now = self.shared.now();
        let peer = from.peer;
        let Some(active) = self.transfers.get_mut(&peer).filter(|active| active.line == number) else {
            bump(&self.shared.counters.strays);
            // RFC 1350 section 4: a wrong TID is told so and disturbs nobody. ERROR is never answered.
            if matches!(reply, Reply::Ack(_) | Reply::Other)
                && let Some(line) = self.lines.get_mut(number)
                && line.may_answer_stray(now, self.shared.config.max_stray_errors_per_s)
            {
                let text = codec::error(ErrorCode::UnknownId, "unknown transfer");
                let _ = line.socket.send(peer, from.local, &text, None);
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
        self.act(peer, step);
    }

    fn start(&mut self, line: usize, start: Start) {
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
        let active = Active { transfer, request, line, local, started: now, offload: true, half_open: true };
        self.transfers.insert(peer, active);
        self.act(peer, step);
    }

    fn expire(&mut self) {
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
            self.act(peer, step);
            if self.transfers.contains_key(&peer) {
                // Strictly later, so that a time that does not move cannot spin here.
                self.timers.push(Reverse((deadline.max(now + Duration::from_millis(1)), peer)));
            }
        }
    }

    fn act(&mut self, peer: SocketAddr, step: Step) {
        match step {
            Step::Wait => {}
            Step::SendOack => {
                let Some(active) = self.transfers.get(&peer) else { return };
                let Some(line) = self.lines.get(active.line) else { return };
                let bytes = codec::oack(active.transfer.oack());
                if line.socket.send(peer, active.local, &bytes, None).is_err() {
                    bump(&self.shared.counters.send_errors);
                }
            }
            Step::Send { blocks, repeated } => {
                add(&self.shared.counters.blocks_resent, repeated);
                self.send_blocks(peer, *blocks.start(), *blocks.end());
            }
            Step::Done => self.finish(peer, Ok(())),
            Step::Fail(reason) => self.finish(peer, Err(reason)),
        }
    }

    fn send_blocks(&mut self, peer: SocketAddr, mut first: u64, last: u64) {
        let Some(active) = self.transfers.get_mut(&peer) else { return };
        let Some(line) = self.lines.get(active.line) else { return };
        let segment = usize::from(active.transfer.blksize()).saturating_add(DATA_HEADER);
        let most = line.socket.max_segments().min(MAX_SEND.checked_div(segment).unwrap_or(1)).max(1) as u64;
        while first <= last {
            let count = if active.offload { (last - first).saturating_add(1).min(most) } else { 1 };
            self.scratch.clear();
            for block in first..first.saturating_add(count) {
                // The wire's number is the low 16 bits.
                self.scratch.extend_from_slice(&codec::data_header(block as u16));
                self.scratch.extend_from_slice(active.transfer.block(block));
            }
            let cut = (count > 1).then_some(segment);
            match line.socket.send(peer, active.local, &self.scratch, cut) {
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
}

impl Line {
    fn may_answer_stray(&mut self, now: Time, most: u32) -> bool {
        if now.as_secs() != self.stray_second {
            self.stray_second = now.as_secs();
            self.strays_answered = 0;
        }
        self.strays_answered = self.strays_answered.saturating_add(1);
        self.strays_answered <= most
    }
}
