//! The sending half of a link: credit, fragments, what is in flight, what was lost.
//!
//! ```text
//! queue:  [ sent, perhaps acknowledged out of order | not yet sent ]
//!           ^ first_sequence                          ^ in_flight (index)
//! ```
//! Invariants: `in_flight ≤ window ≤ WINDOW`; messages of a class that wait for the peer's release are at most
//! its credit, so the queue is bounded; a fragment stays until everything up to it was acknowledged.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use weft_platform::{Piece, SendPage};

use super::rtt::Rtt;
use super::wire::Data;
use super::{CLASSES, Class, MAX_CONTROL, MAX_PAYLOAD, Payload, SendError, WINDOW};

/// Frames that overtake another before it counts as lost.
const REORDER: u64 = 3;
/// Frames that one timeout declares lost.
const LOST_AT_ONCE: usize = 8;
/// Where sequences begin: close before they wrap, so that every link shows that wrapping works.
pub(crate) const FIRST_SEQUENCE: u32 = u32::MAX - 99;
/// A frame that is longer than any wire carries and left so often in vain (five seconds) does not get through.
const NARROW_TRIES: u32 = 24;
/// The window never shrinks below this.
const LEAST_WINDOW: usize = 4;

/// Bytes of a message.
#[derive(Clone)]
enum Body {
    Bytes(Arc<[u8]>),
    Page(Arc<dyn SendPage>),
}

/// A frame's worth of a message.
pub(crate) struct Fragment {
    data: Data,
    control: [u8; MAX_CONTROL],
    control_len: usize,
    body: Option<Body>,
    offset: usize,
    length: usize,
    /// When it left last, and as which transmission.
    sent: Option<(u64, u64)>,
    tries: u32,
    acknowledged: bool,
    lost: bool,
}

/// Payload of a fragment.
pub(crate) enum FragmentBody<'a> {
    Bytes(&'a [u8]),
    Page(Piece),
}

impl Fragment {
    pub(crate) fn data(&self) -> Data {
        self.data
    }

    pub(crate) fn control(&self) -> &[u8] {
        self.control.get(..self.control_len).unwrap_or(&[])
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn body(&self) -> FragmentBody<'_> {
        match &self.body {
            None => FragmentBody::Bytes(&[]),
            Some(Body::Bytes(bytes)) => {
                FragmentBody::Bytes(bytes.get(self.offset..self.offset + self.length).unwrap_or(&[]))
            }
            Some(Body::Page(page)) => {
                FragmentBody::Page(Piece { page: page.clone(), offset: self.offset, length: self.length })
            }
        }
    }
}

/// What an acknowledgement came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AckOutcome {
    /// Fine, or older than what is known.
    Good,
    /// It acknowledges or releases what was never sent.
    Impossible,
}

/// See the module.
pub(crate) struct SendHalf {
    capacity: usize,
    credit: [u16; CLASSES],
    /// Messages sent, and released by the peer (requests, forwards) or acknowledged (responses), modulo 2^16.
    sent: [u16; CLASSES],
    released: [u16; CLASSES],
    queue: VecDeque<Fragment>,
    first_sequence: u32,
    in_flight: usize,
    window: usize,
    /// Transmissions of data frames so far.
    transmissions: u64,
    /// The latest transmission that is known to have arrived.
    arrived: u64,
    pub(crate) rtt: Rtt,
    pub(crate) retransmits: u64,
    pub(crate) timeouts: u64,
}

impl SendHalf {
    /// `capacity`: control and payload bytes of a frame.
    pub(crate) fn new(capacity: usize, credit: [u16; CLASSES]) -> Self {
        Self {
            capacity,
            credit,
            sent: [0; CLASSES],
            released: [0; CLASSES],
            queue: VecDeque::new(),
            first_sequence: FIRST_SEQUENCE,
            in_flight: 0,
            window: WINDOW,
            transmissions: 0,
            arrived: 0,
            rtt: Rtt::default(),
            retransmits: 0,
            timeouts: 0,
        }
    }

    /// Messages from now on are cut into frames of this capacity.
    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Whether a frame longer than `capacity` is sent again and again, and still at `until_ns`.
    pub(crate) fn is_narrowed(&self, capacity: usize, until_ns: u64) -> bool {
        let vain = |fragment: &&Fragment| {
            fragment.tries >= NARROW_TRIES && fragment.sent.is_some_and(|(at, _)| at <= until_ns)
        };
        let front = self.queue.front().filter(vain);
        front.is_some_and(|fragment| fragment.control_len + fragment.length > capacity)
    }

    /// Messages of `class` that may be sent now.
    pub(crate) fn room(&self, class: Class) -> u16 {
        let index = class.index();
        self.credit[index].saturating_sub(self.sent[index].wrapping_sub(self.released[index]))
    }

    /// Sequence of the next frame that has never left.
    pub(crate) fn next_sequence(&self) -> u32 {
        self.first_sequence.wrapping_add(self.in_flight as u32)
    }

    /// Whether a class lacks credit while nothing in flight could bring news of it.
    pub(crate) fn starved(&self) -> bool {
        self.queue.is_empty() && Class::ALL.iter().any(|class| self.room(*class) == 0)
    }

    /// Messages' frames that are not yet acknowledged.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes a message.
    pub(crate) fn push(
        &mut self,
        class: Class,
        control: &[u8],
        payload: Payload<'_>,
    ) -> Result<(), SendError> {
        let mut kept = [0; MAX_CONTROL];
        let room = kept.get_mut(..control.len()).ok_or(SendError::Length)?;
        room.copy_from_slice(control);
        let total = payload.len();
        if total > MAX_PAYLOAD || (total == 0 && control.is_empty()) {
            return Err(SendError::Length);
        }
        if self.room(class) == 0 {
            return Err(SendError::Full);
        }
        let (body, base) = match payload {
            Payload::None => (None, 0),
            Payload::Bytes(bytes) => (Some(Body::Bytes(bytes.into())), 0),
            Payload::Page(piece) => {
                if piece.offset.checked_add(piece.length).is_none_or(|end| end > piece.page.size()) {
                    return Err(SendError::Length);
                }
                (Some(Body::Page(piece.page)), piece.offset)
            }
        };
        let mut done = 0;
        let mut first = true;
        while first || done < total {
            let control_len = if first { control.len() } else { 0 };
            let length = (self.capacity - control_len).min(total - done);
            self.queue.push_back(Fragment {
                data: Data { class, first, last: done + length == total },
                control: kept,
                control_len,
                body: body.clone(),
                offset: base + done,
                length,
                sent: None,
                tries: 0,
                acknowledged: false,
                lost: false,
            });
            done += length;
            first = false;
        }
        self.sent[class.index()] = self.sent[class.index()].wrapping_add(1);
        Ok(())
    }

    /// The frame to send next, with its sequence: a lost one, else one that has not left yet.
    pub(crate) fn next(&self) -> Option<(u32, &Fragment)> {
        let flying = self.queue.iter().take(self.in_flight);
        let again = flying.enumerate().find(|(_, f)| f.lost && !f.acknowledged).map(|(index, _)| index);
        let fresh =
            || (self.in_flight < self.window && self.in_flight < self.queue.len()).then_some(self.in_flight);
        let index = again.or_else(fresh)?;
        Some((self.first_sequence.wrapping_add(index as u32), self.queue.get(index)?))
    }

    /// The frame that [`SendHalf::next`] gave has left.
    pub(crate) fn left(&mut self, sequence: u32, now_ns: u64) {
        let index = sequence.wrapping_sub(self.first_sequence) as usize;
        self.transmissions += 1;
        let transmission = self.transmissions;
        let Some(fragment) = self.queue.get_mut(index) else { return };
        fragment.sent = Some((now_ns, transmission));
        fragment.tries = fragment.tries.saturating_add(1);
        fragment.lost = false;
        if fragment.tries > 1 {
            self.retransmits += 1;
        }
        if index == self.in_flight {
            self.in_flight += 1;
        }
    }

    /// The peer has everything before `ack`, and of what follows what `beyond` says.
    pub(crate) fn acknowledge(&mut self, now_ns: u64, ack: u32, beyond: u64, delay_ns: u64) -> AckOutcome {
        let ahead = ack.wrapping_sub(self.first_sequence);
        if ahead > u32::MAX / 2 {
            return AckOutcome::Good;
        }
        let ahead = ahead as usize;
        if ahead > self.in_flight {
            return AckOutcome::Impossible;
        }
        let mut newest: Option<(u64, u64)> = None;
        let mut progress = false;
        let mut note = |fragment: &mut Fragment| {
            if fragment.acknowledged {
                return;
            }
            fragment.acknowledged = true;
            progress = true;
            // Only a frame that left once says which transmission arrived.
            if fragment.tries == 1 {
                newest = newest.max(fragment.sent.map(|(at, transmission)| (transmission, at)));
            }
        };
        for (index, fragment) in self.queue.iter_mut().take(self.in_flight).enumerate() {
            let bit = index.checked_sub(ahead + 1);
            if index < ahead || bit.is_some_and(|bit| bit < 64 && beyond >> bit & 1 == 1) {
                note(fragment);
            }
        }
        for fragment in self.queue.drain(..ahead) {
            if fragment.data.last && fragment.data.class == Class::Response {
                let index = Class::Response.index();
                self.released[index] = self.released[index].wrapping_add(1);
            }
        }
        self.in_flight -= ahead;
        self.first_sequence = ack;
        if progress {
            self.window = (self.window + 1).min(WINDOW);
        }
        if let Some((transmission, at)) = newest {
            self.rtt.sample(now_ns.saturating_sub(at), delay_ns);
            self.arrived = self.arrived.max(transmission);
        }
        self.find_overtaken(now_ns);
        AckOutcome::Good
    }

    /// The peer is done with so many requests and forwards since the link began.
    pub(crate) fn release(&mut self, released: [u16; 2]) -> AckOutcome {
        let mut outcome = AckOutcome::Good;
        for (index, value) in released.into_iter().enumerate() {
            let step = value.wrapping_sub(self.released[index]);
            if step <= self.sent[index].wrapping_sub(self.released[index]) {
                self.released[index] = value;
            } else if step < u16::MAX / 2 {
                outcome = AckOutcome::Impossible;
            }
        }
        outcome
    }

    /// When a frame counts as lost. One that later frames overtook has less time: a round trip, and a little for
    /// a wire that mixes frames up (the idea of RACK, RFC 8985).
    fn lost_at(&self, fragment: &Fragment) -> Option<u64> {
        let (at, transmission) = fragment.sent.filter(|_| !fragment.acknowledged && !fragment.lost)?;
        let overtaken = transmission + REORDER <= self.arrived;
        let wait = if overtaken { self.rtt.overtaken_ns() } else { self.rtt.timeout_ns() };
        Some(at.saturating_add(wait))
    }

    /// When the next frame in flight counts as lost; `None` with nothing in flight.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.queue.iter().take(self.in_flight).filter_map(|fragment| self.lost_at(fragment)).min()
    }

    /// Marks frames as lost that later ones overtook.
    fn find_overtaken(&mut self, now_ns: u64) {
        let (arrived, wait) = (self.arrived, self.rtt.overtaken_ns());
        for fragment in self.queue.iter_mut().take(self.in_flight).filter(|f| !f.acknowledged) {
            fragment.lost |= fragment.sent.is_some_and(|(at, transmission)| {
                transmission + REORDER <= arrived && at.saturating_add(wait) <= now_ns
            });
        }
    }

    /// Since when the oldest unacknowledged frame waits.
    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        self.queue.front()?.sent.map(|(at, _)| at)
    }

    /// Declares frames lost whose time is over.
    pub(crate) fn on_time(&mut self, now_ns: u64) {
        self.find_overtaken(now_ns);
        if self.deadline_ns().is_none_or(|deadline| deadline > now_ns) {
            return;
        }
        let timeout = self.rtt.timeout_ns();
        let waiting = self.queue.iter_mut().take(self.in_flight).filter(|f| !f.acknowledged && !f.lost);
        let overdue = waiting.filter(|f| f.sent.is_some_and(|(at, _)| at.saturating_add(timeout) <= now_ns));
        overdue.take(LOST_AT_ONCE).for_each(|fragment| fragment.lost = true);
        self.timeouts += 1;
        self.rtt.timed_out();
        self.window = (self.window / 2).max(LEAST_WINDOW);
    }
}
