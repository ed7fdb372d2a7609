//! One NIC, used by all processors: the interconnect's frames go past the bridge.
//!
//! ```text
//!                     ┌─ links (own EtherType) ◀─▶ any processor, directly
//!  wire ─ NIC ─ Port ─┤
//!                     └─ others ◀─▶ bridge ─ node's stack, guests (management only)
//! ```
//! The NIC's rings sit behind a short lock of their own: who holds it moves frames and nothing else. So a processor
//! that runs a guest sends a page at once and looks for the answer by itself, whatever management does meanwhile.
//! Whoever looks sorts what arrived: frames of the other kind wait in their queue.
//!
//! Invariants: both queues are bounded and drop the newest frame; no callback runs under the lock; interrupt
//! handlers take no lock, so it never waits for itself.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use spin::Mutex;
use weft_platform::{Nic, Piece, TxError};
use weft_wire::load::Traffic;

use crate::bridge::BoxedNic;

/// EtherType of the interconnect: local experimental 1 (IEEE 802).
pub const LINK_ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// Ethernet header, bytes.
const HEADER: usize = 14;
/// Largest payload of a frame that passes: jumbo.
pub const MAX_MTU: usize = 9000;
/// Frames of the interconnect that wait for a processor.
pub const LINK_QUEUE_FRAMES: usize = 512;
/// Other frames that wait for management.
const OTHER_QUEUE_FRAMES: usize = 256;
/// Frames taken from the NIC at a time.
const BUDGET: usize = 64;
/// Buffers kept for the next frames.
const SPARE: usize = 64;

/// Frames that were dropped, and that passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortCounters {
    /// Interconnect frames received.
    pub links: u64,
    /// Other frames received.
    pub others: u64,
    /// Interconnect frames that nobody took in time.
    pub links_dropped: u64,
    /// Other frames that management did not take in time.
    pub others_dropped: u64,
    /// All frames that the NIC received and took to send.
    pub all: Traffic,
}

/// A received frame: its buffer is as long as any frame, so that it can be used again.
struct Frame {
    bytes: Vec<u8>,
    length: usize,
}

impl Frame {
    fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

struct Inner {
    nic: BoxedNic,
    /// Somebody takes frames of the interconnect.
    wanted: bool,
    links: VecDeque<Frame>,
    others: VecDeque<Frame>,
    spare: Vec<Vec<u8>>,
    /// Bytes of a buffer.
    size: usize,
    head: Vec<u8>,
    counters: PortCounters,
}

/// See the module.
pub struct Port {
    mac: [u8; 6],
    mtu: usize,
    inner: Mutex<Inner>,
}

impl Inner {
    /// Sorts what has arrived. Returns whether the NIC may have more.
    fn pump(&mut self) -> bool {
        for _ in 0..BUDGET {
            let mut bytes = self.spare.pop().unwrap_or_else(|| vec![0; self.size]);
            let Some(length) = self.nic.receive(&mut bytes) else {
                self.recycle(bytes);
                return false;
            };
            self.counters.all.received(length);
            let frame = Frame { bytes, length };
            let link = frame.get().get(12..HEADER) == Some(&LINK_ETHERTYPE);
            let (queue, limit, passed, dropped) = if link {
                let c = &mut self.counters;
                (&mut self.links, LINK_QUEUE_FRAMES, &mut c.links, &mut c.links_dropped)
            } else {
                let c = &mut self.counters;
                (&mut self.others, OTHER_QUEUE_FRAMES, &mut c.others, &mut c.others_dropped)
            };
            if queue.len() >= limit || (link && !self.wanted) {
                *dropped = dropped.saturating_add(1);
                self.recycle(frame.bytes);
                continue;
            }
            *passed = passed.saturating_add(1);
            queue.push_back(frame);
        }
        true
    }

    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        self.nic.transmit(frame)?;
        self.counters.all.sent(frame.len());
        Ok(())
    }

    fn transmit_gather(&mut self, head: &[u8], piece: &Piece) -> Result<(), TxError> {
        self.nic.transmit_gather(head, piece)?;
        self.counters.all.sent(head.len().saturating_add(piece.length));
        Ok(())
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARE {
            self.spare.push(bytes);
        }
    }
}

impl Port {
    /// Takes a NIC over.
    pub fn new(nic: BoxedNic) -> Self {
        let (mac, mtu) = (nic.mac(), nic.mtu().min(MAX_MTU));
        let inner = Inner {
            nic,
            wanted: false,
            links: VecDeque::new(),
            others: VecDeque::new(),
            spare: Vec::new(),
            // Room for a VLAN tag.
            size: mtu + HEADER + 4,
            head: Vec::new(),
            counters: PortCounters::default(),
        };
        Self { mac, mtu, inner: Mutex::new(inner) }
    }

    /// The NIC's hardware address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Largest payload of a frame, bytes.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Says whether somebody takes frames of the interconnect; taking some says so too. Until then, and after
    /// `false`, they are dropped.
    pub fn want_links(&self, wanted: bool) {
        let mut inner = self.inner.lock();
        inner.wanted = wanted;
        if !wanted {
            inner.links.clear();
        }
    }

    /// Sends a frame of the interconnect: `head`, then the bytes of `piece`.
    pub fn transmit_link(&self, to: [u8; 6], head: &[u8], piece: Option<&Piece>) -> Result<(), TxError> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        inner.head.clear();
        inner.head.extend_from_slice(&to);
        inner.head.extend_from_slice(&self.mac);
        inner.head.extend_from_slice(&LINK_ETHERTYPE);
        inner.head.extend_from_slice(head);
        // Out of the way of the borrow, and back: its buffer is used again.
        let head = core::mem::take(&mut inner.head);
        let result = match piece {
            Some(piece) => inner.transmit_gather(&head, piece),
            None => inner.transmit(&head),
        };
        inner.head = head;
        result
    }

    /// Hands received frames of the interconnect to `take`, from the link header on; at most as many as one look
    /// at the NIC brings. `true`: there may be more. Any processor may call this.
    pub fn receive_links(&self, take: &mut dyn FnMut(&[u8])) -> bool {
        let mut inner = self.inner.lock();
        inner.wanted = true;
        let mut more = inner.pump();
        for _ in 0..BUDGET {
            let Some(frame) = inner.links.pop_front() else { return more };
            drop(inner);
            take(frame.get().get(HEADER..).unwrap_or(&[]));
            inner = self.inner.lock();
            inner.recycle(frame.bytes);
        }
        more |= !inner.links.is_empty();
        more
    }

    /// Whether frames wait that management should take; sorts what has arrived.
    pub fn has_others(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.pump();
        !inner.others.is_empty()
    }

    /// Lets the NIC interrupt, or not. `false`: it cannot and must be polled.
    pub fn set_interrupts(&self, on: bool) -> bool {
        self.inner.lock().nic.set_interrupts(on)
    }

    /// Looks once more after interrupts were switched on: whether any frame waits.
    pub fn waiting(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.nic.reclaim();
        inner.pump() || !inner.links.is_empty() || !inner.others.is_empty()
    }

    /// What passed and what was dropped.
    pub fn counters(&self) -> PortCounters {
        self.inner.lock().counters
    }
}

/// The port as the bridge sees it: a NIC that has only other frames.
pub struct SharedNic(pub Arc<Port>);

impl SharedNic {
    /// Boxed, as the bridge takes it.
    pub fn boxed(port: &Arc<Port>) -> BoxedNic {
        Box::new(Self(port.clone()))
    }
}

impl Nic for SharedNic {
    fn mac(&self) -> [u8; 6] {
        self.0.mac
    }

    fn mtu(&self) -> usize {
        self.0.mtu
    }

    fn link_up(&mut self) -> bool {
        self.0.inner.lock().nic.link_up()
    }

    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        self.0.inner.lock().transmit(frame)
    }

    fn transmit_gather(&mut self, head: &[u8], piece: &Piece) -> Result<(), TxError> {
        self.0.inner.lock().transmit_gather(head, piece)
    }

    fn reclaim(&mut self) {
        self.0.inner.lock().nic.reclaim();
    }

    fn receive(&mut self, out: &mut [u8]) -> Option<usize> {
        let mut inner = self.0.inner.lock();
        // Frames longer than asked for are dropped, as a NIC does; each costs one turn.
        for _ in 0..OTHER_QUEUE_FRAMES {
            if inner.others.is_empty() {
                inner.pump();
            }
            let frame = inner.others.pop_front()?;
            let length = frame.length;
            let copied = out.get_mut(..length).map(|room| room.copy_from_slice(frame.get())).is_some();
            inner.recycle(frame.bytes);
            if copied {
                return Some(length);
            }
            inner.counters.others_dropped = inner.counters.others_dropped.saturating_add(1);
        }
        None
    }

    fn acknowledge_interrupt(&mut self) {
        self.0.inner.lock().nic.acknowledge_interrupt();
    }

    fn set_interrupts(&mut self, on: bool) -> bool {
        self.0.set_interrupts(on)
    }
}

#[cfg(test)]
#[path = "port_tests.rs"]
mod tests;
