//! A network port: whole Ethernet frames, no offloads, bounded queues both ways.
//!
//! Frames from the guest wait until [`Net::take`]; when too many wait, they stay in the guest's ring.
//! Frames for the guest wait for its buffers; when too many wait, new ones are dropped and counted, as a
//! wire does.
//!
//! Source: VIRTIO 1.2, section 5.1.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use weft_platform::GuestMemory;

use super::{Device, Queue, QueueError};

const KIND: u32 = 1;
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const QUEUE_SIZES: [u16; 2] = [256, 256];
const FEATURE_MTU: u64 = 1 << 3;
const FEATURE_MAC: u64 = 1 << 5;
const FEATURE_STATUS: u64 = 1 << 16;
const STATUS_LINK_UP: u16 = 1;
/// `struct virtio_net_hdr_v1`.
const HEADER_BYTES: usize = 12;
const HEADER_GSO: usize = 1;
const HEADER_BUFFERS: usize = 10;
const ETHERNET_HEADER_BYTES: usize = 14;
const VLAN_BYTES: usize = 4;
/// Frames that wait at most, each way.
pub const QUEUED_FRAMES: usize = 256;
/// Smallest and largest payload of a frame.
pub const MTU_RANGE: core::ops::RangeInclusive<u16> = 68..=9000;

/// What went over the port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames from the guest.
    pub sent: u64,
    /// Frames that the guest got.
    pub received: u64,
    /// Frames from the guest that were no frames: too short, too long, or with offloads.
    pub sent_invalid: u64,
    /// Frames for the guest that found no room, or whose buffer was too small.
    pub received_dropped: u64,
}

/// The device.
#[derive(Debug)]
pub struct Net {
    mac: [u8; 6],
    mtu: u16,
    link_up: bool,
    outgoing: VecDeque<Vec<u8>>,
    incoming: VecDeque<Vec<u8>>,
    counters: Counters,
}

impl Net {
    /// A port with a hardware address and the largest payload, clamped to [`MTU_RANGE`].
    pub fn new(mac: [u8; 6], mtu: u16) -> Self {
        Self {
            mac,
            mtu: mtu.clamp(*MTU_RANGE.start(), *MTU_RANGE.end()),
            link_up: true,
            outgoing: VecDeque::new(),
            incoming: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// What went over the port.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Hardware address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Sets the link's state; then call [`Transport::config_changed`](super::Transport::config_changed).
    pub fn set_link(&mut self, up: bool) {
        self.link_up = up;
    }

    /// Whether frames wait to be sent.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The next frame from the guest.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Queues a frame for the guest; false when it was dropped.
    pub fn deliver(&mut self, frame: &[u8]) -> bool {
        let fits = (ETHERNET_HEADER_BYTES..=self.frame_bytes()).contains(&frame.len());
        let room = self.incoming.len() < QUEUED_FRAMES;
        if fits && room {
            self.incoming.push_back(frame.to_vec());
        } else {
            self.counters.received_dropped += 1;
        }
        fits && room
    }

    fn frame_bytes(&self) -> usize {
        usize::from(self.mtu) + ETHERNET_HEADER_BYTES + VLAN_BYTES
    }

    /// The frame in a request, or `None` when it is none.
    fn frame(&self, request: &[u8]) -> Option<Vec<u8>> {
        let (header, frame) = request.split_at_checked(HEADER_BYTES)?;
        let plain = header.get(HEADER_GSO) == Some(&0);
        let fits = (ETHERNET_HEADER_BYTES..=self.frame_bytes()).contains(&frame.len());
        (plain && fits).then(|| frame.to_vec())
    }

    fn transmit(&mut self, queue: &mut Queue, mem: &dyn GuestMemory) -> Result<bool, QueueError> {
        for _ in 0..queue.size() {
            if self.outgoing.len() >= QUEUED_FRAMES {
                // What stays in the ring comes without another notice, once frames were taken.
                break;
            }
            let Some(chain) = queue.peek(mem)? else { break };
            let limit = HEADER_BYTES + self.frame_bytes();
            let frame = if chain.readable_bytes() > limit as u64 {
                None
            } else {
                self.frame(&chain.read(mem, limit)?)
            };
            queue.complete(mem, &chain, 0)?;
            match frame {
                Some(frame) => {
                    self.counters.sent += 1;
                    self.outgoing.push_back(frame);
                }
                None => self.counters.sent_invalid += 1,
            }
        }
        queue.ask_for_notice(mem)
    }

    fn receive(&mut self, queue: &mut Queue, mem: &dyn GuestMemory) -> Result<bool, QueueError> {
        for _ in 0..queue.size() {
            let Some(frame) = self.incoming.front() else { return Ok(false) };
            let Some(chain) = queue.peek(mem)? else { break };
            let mut bytes = vec![0; HEADER_BYTES];
            if let Some(buffers) = bytes.get_mut(HEADER_BUFFERS) {
                *buffers = 1;
            }
            bytes.extend_from_slice(frame);
            let fits = chain.writable_bytes() >= bytes.len() as u64;
            let written = if fits { chain.write(mem, &bytes)? } else { 0 };
            queue.complete(mem, &chain, written)?;
            self.incoming.pop_front();
            if fits {
                self.counters.received += 1;
            } else {
                self.counters.received_dropped += 1;
            }
        }
        Ok(!self.incoming.is_empty() && queue.ask_for_notice(mem)?)
    }
}

impl Device for Net {
    fn kind(&self) -> u32 {
        KIND
    }

    fn features(&self) -> u64 {
        FEATURE_MTU | FEATURE_MAC | FEATURE_STATUS
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &QUEUE_SIZES
    }

    fn config(&self, offset: u64) -> u8 {
        let status = if self.link_up { STATUS_LINK_UP } else { 0 };
        let [status_low, status_high] = status.to_le_bytes();
        let [mtu_low, mtu_high] = self.mtu.to_le_bytes();
        match offset {
            0..6 => self.mac.get(offset as usize).copied().unwrap_or(0),
            6 => status_low,
            7 => status_high,
            // One pair of queues.
            8 => 1,
            10 => mtu_low,
            11 => mtu_high,
            _ => 0,
        }
    }

    fn reset(&mut self) {
        self.incoming.clear();
    }

    fn process(&mut self, queues: &mut [Queue], mem: &dyn GuestMemory) -> Result<bool, (u16, QueueError)> {
        let [receive, transmit] = queues else { return Ok(false) };
        let more_out = self.transmit(transmit, mem).map_err(|error| (TRANSMIT, error))?;
        let more_in = self.receive(receive, mem).map_err(|error| (RECEIVE, error))?;
        Ok(more_out || more_in)
    }
}
