//! The receiving half of a link: replays, order, fragments, what to acknowledge.
//!
//! Invariants: a frame's number is accepted once; data frames are handed on in the order of their sequence, each
//! once; at most [`WINDOW`] frames and one message in pieces are kept.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::send::FIRST_SEQUENCE;
use super::wire::{Data, Header};
use super::{CLASSES, Class, MAX_CONTROL, MAX_PAYLOAD, WINDOW};

/// An acknowledgement waits so long for data to travel with.
const ACK_DELAY_NS: u64 = 200_000;
/// So many frames are acknowledged at once.
const ACK_EVERY: u32 = 8;
/// Frames that may overtake one another by number.
const REPLAY_WINDOW: u64 = 128;

/// Which frame numbers were seen.
#[derive(Default)]
pub(crate) struct Replay {
    /// Highest number, plus one; 0 before the first.
    next: u64,
    /// Bit `i`: number `next - 1 - i` was seen.
    seen: u128,
}

impl Replay {
    /// Whether the number is new and not too old. Marks it.
    pub(crate) fn accept(&mut self, number: u64) -> bool {
        if number >= self.next {
            let step = number - self.next + 1;
            self.seen = if step >= REPLAY_WINDOW { 0 } else { self.seen << step };
            self.seen |= 1;
            self.next = number + 1;
            return true;
        }
        let age = self.next - 1 - number;
        if age >= REPLAY_WINDOW || self.seen >> age & 1 == 1 {
            return false;
        }
        self.seen |= 1 << age;
        true
    }
}

/// A frame that came before its turn.
struct Early {
    data: Data,
    control: usize,
    bytes: Vec<u8>,
}

/// A message in pieces.
struct Partial {
    class: Class,
    control: [u8; MAX_CONTROL],
    control_len: usize,
    payload: Vec<u8>,
}

/// What a data frame came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// Its turn, or kept for its turn.
    Taken,
    /// It was here before.
    Duplicate,
    /// The peer sends further than it may.
    Beyond,
}

/// Gets each message: class, control bytes, payload.
pub(crate) type Deliver<'a> = &'a mut dyn FnMut(Class, &[u8], &[u8]);

/// See the module.
pub(crate) struct ReceiveHalf {
    pub(crate) replay: Replay,
    expected: u32,
    /// Frames after `expected`, by distance; the first is `expected` itself and absent.
    early: VecDeque<Option<Early>>,
    partial: Option<Partial>,
    credit: [u16; CLASSES],
    by_hand: bool,
    delivered: [u16; CLASSES],
    released: [u16; CLASSES],
    unacknowledged: u32,
    ack_at: Option<u64>,
    newest_ns: u64,
    /// Fragments that do not fit together, or messages above the credit: the peer's defect.
    pub(crate) nonsense: u64,
    pub(crate) messages: [u64; CLASSES],
}

impl ReceiveHalf {
    /// `by_hand`: requests and forwards are released by [`ReceiveHalf::release`], else as they are delivered.
    pub(crate) fn new(credit: [u16; CLASSES], by_hand: bool) -> Self {
        Self {
            replay: Replay::default(),
            expected: FIRST_SEQUENCE,
            early: VecDeque::new(),
            partial: None,
            credit,
            by_hand,
            delivered: [0; CLASSES],
            released: [0; CLASSES],
            unacknowledged: 0,
            ack_at: None,
            newest_ns: 0,
            nonsense: 0,
            messages: [0; CLASSES],
        }
    }

    /// A data frame, authenticated; `bytes` are control and payload.
    pub(crate) fn data(
        &mut self,
        now_ns: u64,
        header: &Header,
        data: Data,
        bytes: &[u8],
        deliver: Deliver<'_>,
    ) -> Arrival {
        let ahead = header.sequence.wrapping_sub(self.expected);
        if ahead > u32::MAX / 2 {
            // Its acknowledgement was lost: say it again.
            self.ack_at = Some(now_ns);
            return Arrival::Duplicate;
        }
        let ahead = ahead as usize;
        if ahead >= WINDOW {
            return Arrival::Beyond;
        }
        let control = usize::from(header.control);
        if ahead > 0 {
            self.ack_at = Some(now_ns);
            return self.keep(ahead, data, control, bytes);
        }
        self.newest_ns = now_ns;
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        let due = if self.unacknowledged >= ACK_EVERY { now_ns } else { now_ns.saturating_add(ACK_DELAY_NS) };
        self.ack_at = Some(self.ack_at.map_or(due, |at| at.min(due)));
        self.advance();
        self.fragment(data, control, bytes, deliver);
        while let Some(early) = self.early.front_mut().and_then(Option::take) {
            self.advance();
            self.fragment(early.data, early.control, &early.bytes, deliver);
        }
        Arrival::Taken
    }

    /// The expected frame is here.
    fn advance(&mut self) {
        self.expected = self.expected.wrapping_add(1);
        self.early.pop_front();
    }

    fn keep(&mut self, ahead: usize, data: Data, control: usize, bytes: &[u8]) -> Arrival {
        if self.early.len() <= ahead {
            self.early.resize_with(ahead + 1, || None);
        }
        match self.early.get_mut(ahead) {
            Some(slot @ None) => {
                *slot = Some(Early { data, control, bytes: bytes.to_vec() });
                Arrival::Taken
            }
            Some(Some(_)) | None => Arrival::Duplicate,
        }
    }

    /// The next fragment in order.
    fn fragment(&mut self, data: Data, control: usize, bytes: &[u8], deliver: Deliver<'_>) {
        let (control, payload) = bytes.split_at(control.min(bytes.len()));
        if data.first {
            self.nonsense += u64::from(self.partial.take().is_some());
            if data.last {
                return self.message(data.class, control, payload, deliver);
            }
            let mut kept = [0; MAX_CONTROL];
            kept.iter_mut().zip(control).for_each(|(to, from)| *to = *from);
            self.partial = Some(Partial {
                class: data.class,
                control: kept,
                control_len: control.len().min(MAX_CONTROL),
                payload: payload.to_vec(),
            });
            return;
        }
        let Some(mut partial) = self.partial.take().filter(|p| p.class == data.class) else {
            self.nonsense += 1;
            return;
        };
        if partial.payload.len() + payload.len() > MAX_PAYLOAD {
            self.nonsense += 1;
            return;
        }
        partial.payload.extend_from_slice(payload);
        if data.last {
            let control = partial.control.get(..partial.control_len).unwrap_or(&[]);
            self.message(partial.class, control, &partial.payload, deliver);
        } else {
            self.partial = Some(partial);
        }
    }

    fn message(&mut self, class: Class, control: &[u8], payload: &[u8], deliver: Deliver<'_>) {
        let index = class.index();
        if payload.len() > MAX_PAYLOAD {
            self.nonsense += 1;
            return;
        }
        if class != Class::Response
            && self.delivered[index].wrapping_sub(self.released[index]) >= self.credit[index]
        {
            self.nonsense += 1;
            return;
        }
        self.delivered[index] = self.delivered[index].wrapping_add(1);
        self.messages[index] += 1;
        if !self.by_hand {
            self.released[index] = self.delivered[index];
        }
        deliver(class, control, payload);
    }

    /// The owner is done with `count` messages of the class.
    pub(crate) fn release(&mut self, now_ns: u64, class: Class, count: u16) {
        let index = class.index();
        let held = self.delivered[index].wrapping_sub(self.released[index]);
        self.released[index] = self.released[index].wrapping_add(count.min(held));
        let due = now_ns.saturating_add(ACK_DELAY_NS);
        self.ack_at = Some(self.ack_at.map_or(due, |at| at.min(due)));
    }

    /// The peer wants to know now.
    pub(crate) fn probed(&mut self, now_ns: u64) {
        self.ack_at = Some(now_ns);
    }

    /// When an acknowledgement must leave even without data.
    pub(crate) fn ack_at(&self) -> Option<u64> {
        self.ack_at
    }

    /// The fields of an acknowledgement.
    pub(crate) fn acknowledgement(&self, now_ns: u64) -> (u32, u64, [u16; 2], u16) {
        let beyond = self.early.iter().skip(1).take(64).enumerate();
        let beyond = beyond.fold(0, |bits, (i, slot)| bits | u64::from(slot.is_some()) << i);
        let waited = if self.unacknowledged > 0 { now_ns.saturating_sub(self.newest_ns) / 1000 } else { 0 };
        let delay_us = u16::try_from(waited).unwrap_or(u16::MAX);
        (self.expected, beyond, [self.released[0], self.released[1]], delay_us)
    }

    /// An acknowledgement has left.
    pub(crate) fn acknowledged(&mut self) {
        self.unacknowledged = 0;
        self.ack_at = None;
    }

    /// Frames that wait for an earlier one.
    pub(crate) fn early(&self) -> usize {
        self.early.iter().filter(|slot| slot.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_accepted_once_whatever_the_order() {
        let mut replay = Replay::default();
        for number in [5, 3, 4, 0, 200, 199, 73, 1 << 40] {
            assert!(replay.accept(number), "{number}");
            assert!(!replay.accept(number), "{number} again");
        }
        assert!(!replay.accept(200), "too old to know");
    }
}
