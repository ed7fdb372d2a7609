//! One link: the two halves, their keys, and the frames between them.

use alloc::vec::Vec;

use weft_platform::Piece;

use super::Sink;
use super::auth::TagKey;
use super::receive::{Arrival, Deliver, ReceiveHalf};
use super::send::{AckOutcome, FragmentBody, SendHalf};
use super::size::{BASE_FRAME, FrameSize};
use super::wire::{HEADER, Header, NUMBER_END, OVERHEAD, TAG};
use super::{Class, Config, Drop, Drops, Identity, MAX_CREDIT, Payload, Peer, SendError, Stats};

/// Page bytes that are read at a time for a tag.
const TAG_CHUNK: usize = 256;

/// Who was heard so long before a frame left could have answered an earlier one.
const HEARD_NS: u64 = 2_000_000_000;
/// How often a peer is asked for credit.
const PROBE_NS: u64 = 5_000_000;

/// One peer within one epoch of one virtual server.
pub struct Link {
    identity: Identity,
    own: Peer,
    peer: Peer,
    seal: TagKey,
    open: TagKey,
    number: u64,
    send: SendHalf,
    receive: ReceiveHalf,
    size: FrameSize,
    heard_ns: u64,
    /// When the peer is asked for credit that it may have given back in a frame that was lost.
    probe_at: Option<u64>,
    frames_sent: u64,
    frames_received: u64,
    bytes_sent: u64,
    bytes_received: u64,
    acks_sent: u64,
    duplicates: u64,
    messages_sent: [u64; super::CLASSES],
    drops: Drops,
}

impl Link {
    /// A fresh link. `now_ns` counts as the time when the peer was last heard.
    pub fn new(config: &Config, peer: Peer, now_ns: u64) -> Self {
        let Config { identity, own, .. } = *config;
        let credit = config.credit.map(|credit| credit.clamp(1, MAX_CREDIT));
        let size = FrameSize::new(config.largest_frame(), now_ns);
        Self {
            identity,
            own,
            peer,
            seal: TagKey::derive(&config.key, identity, own, peer),
            open: TagKey::derive(&config.key, identity, peer, own),
            number: 0,
            send: SendHalf::new(size.frame() - OVERHEAD, credit),
            receive: ReceiveHalf::new(credit, config.release_by_hand),
            size,
            heard_ns: now_ns,
            probe_at: None,
            frames_sent: 0,
            frames_received: 0,
            bytes_sent: 0,
            bytes_received: 0,
            acks_sent: 0,
            duplicates: 0,
            messages_sent: [0; super::CLASSES],
            drops: Drops::default(),
        }
    }

    /// The other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Takes a message. What was taken arrives once, and in the order in which it was taken.
    pub fn send(&mut self, class: Class, control: &[u8], payload: Payload<'_>) -> Result<(), SendError> {
        self.send.push(class, control, payload)?;
        self.messages_sent[class.index()] += 1;
        Ok(())
    }

    /// Messages of a class that may be sent now.
    pub fn room(&self, class: Class) -> u16 {
        self.send.room(class)
    }

    /// The owner is done with `count` requests or forwards (only with [`Config::release_by_hand`]).
    pub fn release(&mut self, now_ns: u64, class: Class, count: u16) {
        self.receive.release(now_ns, class, count);
    }

    /// When an authenticated frame last came.
    pub fn heard_ns(&self) -> u64 {
        self.heard_ns
    }

    /// Takes a frame whose header names this link.
    pub(super) fn on_frame(&mut self, now_ns: u64, header: &Header, frame: &[u8], deliver: Deliver<'_>) {
        if let Err(reason) = self.take_frame(now_ns, header, frame, deliver) {
            self.drops.count(reason);
        }
    }

    fn take_frame(
        &mut self,
        now_ns: u64,
        header: &Header,
        frame: &[u8],
        deliver: Deliver<'_>,
    ) -> Result<(), Drop> {
        let frame = frame.get(..header.frame_len()).ok_or(Drop::Short)?;
        let (head, rest) = frame.split_at_checked(HEADER).ok_or(Drop::Short)?;
        let (tag, bytes) = rest.split_at_checked(TAG).ok_or(Drop::Short)?;
        if !self.open.verify([head, bytes], tag) {
            return Err(Drop::Forged);
        }
        if !self.receive.replay.accept(header.number) {
            return Err(Drop::Replayed);
        }
        self.heard_ns = self.heard_ns.max(now_ns);
        self.frames_received += 1;
        self.bytes_received += frame.len() as u64;
        let delay_ns = u64::from(header.ack_delay_us) * 1000;
        let acknowledged = self.send.acknowledge(now_ns, header.ack, header.beyond, delay_ns);
        let released = self.send.release(header.released);
        if [acknowledged, released].contains(&AckOutcome::Impossible) {
            self.drops.count(Drop::Nonsense);
        }
        if !self.send.starved() {
            self.probe_at = None;
        }
        let Some(data) = header.data else {
            if header.probe {
                self.receive.probed(now_ns);
            }
            match (header.size, header.payload) {
                (false, _) => {}
                (true, 0) => {
                    if self.size.answered() {
                        self.send.set_capacity(self.size.frame() - OVERHEAD);
                    }
                }
                (true, _) => self.size.asked(),
            }
            return Ok(());
        };
        match self.receive.data(now_ns, header, data, bytes, deliver) {
            Arrival::Taken => Ok(()),
            Arrival::Duplicate => {
                self.duplicates += 1;
                Ok(())
            }
            Arrival::Beyond => Err(Drop::Beyond),
        }
    }

    /// Declares lost what was not acknowledged in time.
    pub fn poll(&mut self, now_ns: u64) {
        self.send.on_time(now_ns);
        if self.probe_at.is_none() && self.send.starved() {
            self.probe_at = Some(now_ns.saturating_add(PROBE_NS));
        }
    }

    /// When [`Link::poll`] and [`Link::poll_transmit`] have something to do, frames and messages apart.
    pub fn next_ns(&self) -> u64 {
        if self.send.next().is_some() || self.size.owes_answer() {
            return 0;
        }
        if self.probe_at.is_none() && self.send.starved() {
            return 0;
        }
        let probes = [self.receive.ack_at(), self.probe_at, self.size.probe_at()];
        let ack = probes.into_iter().flatten().min().unwrap_or(u64::MAX);
        self.send.deadline_ns().map_or(ack, |at| at.min(ack))
    }

    /// Hands frames to `sink` until none is due or the sink has no room (`false`). `scratch` is overwritten.
    /// Returns whether the sink had room for all.
    pub fn poll_transmit(&mut self, now_ns: u64, scratch: &mut Vec<u8>, sink: Sink<'_>) -> bool {
        while let Some(sequence) = self.send.next().map(|(sequence, _)| sequence) {
            if self.number >= NUMBER_END {
                return true;
            }
            let piece = self.data_frame(now_ns, scratch);
            if !sink(self.peer, scratch, piece.as_ref()) {
                return false;
            }
            let length = scratch.len() + piece.map_or(0, |piece| piece.length);
            self.send.left(sequence, now_ns);
            self.count_sent(length);
        }
        self.transmit_bare(now_ns, scratch, sink)
    }

    /// Frames without data: acknowledgements, and what is asked and answered beside them.
    fn transmit_bare(&mut self, now_ns: u64, scratch: &mut Vec<u8>, sink: Sink<'_>) -> bool {
        let probe = self.probe_at.is_some_and(|at| at <= now_ns);
        let answer = self.size.owes_answer();
        let due = probe || answer || self.receive.ack_at().is_some_and(|at| at <= now_ns);
        if due && self.number < NUMBER_END {
            let header = Header { probe, size: answer, ..self.header(now_ns) };
            self.bare_frame(&header, scratch);
            if !sink(self.peer, scratch, None) {
                return false;
            }
            self.acks_sent += 1;
            if probe {
                self.probe_at = Some(now_ns.saturating_add(PROBE_NS));
            }
            if answer {
                self.size.has_answered();
            }
            self.count_sent(scratch.len());
        }
        if let Some(length) = self.size.probe(now_ns).filter(|_| self.number < NUMBER_END) {
            // It counts as sent where the back end does not take it: no frame of data waits behind one that is too long.
            let payload = length.saturating_sub(OVERHEAD) as u16;
            let header = Header { size: true, payload, ..self.header(now_ns) };
            self.bare_frame(&header, scratch);
            if sink(self.peer, scratch, None) {
                self.count_sent(scratch.len());
            }
            self.size.probed(now_ns);
        }
        true
    }

    /// A frame without data into `scratch`, padded with zeros where its header says so.
    fn bare_frame(&self, header: &Header, scratch: &mut Vec<u8>) {
        scratch.clear();
        scratch.extend_from_slice(&header.emit());
        scratch.resize(header.frame_len(), 0);
        let mut state = self.seal.begin();
        state.update(scratch.get(..HEADER).unwrap_or(&[]));
        state.update(scratch.get(OVERHEAD..).unwrap_or(&[]));
        if let Some(room) = scratch.get_mut(HEADER..OVERHEAD) {
            room.copy_from_slice(&state.finish());
        }
    }

    /// Whether frames longer than any wire carries are sent in vain to a peer that is heard: the way has become narrower.
    pub fn is_narrowed(&self) -> bool {
        self.send.is_narrowed(BASE_FRAME - OVERHEAD, self.heard_ns.saturating_add(HEARD_NS))
    }

    fn count_sent(&mut self, length: usize) {
        self.receive.acknowledged();
        self.frames_sent += 1;
        self.bytes_sent += length as u64;
    }

    /// A header that acknowledges. Uses up a number.
    fn header(&mut self, now_ns: u64) -> Header {
        let (ack, beyond, released, ack_delay_us) = self.receive.acknowledgement(now_ns);
        let number = self.number;
        self.number += 1;
        Header {
            from: self.own,
            to: self.peer,
            vs: self.identity.vs,
            epoch: self.identity.epoch,
            number,
            data: None,
            probe: false,
            size: false,
            sequence: self.send.next_sequence(),
            ack,
            beyond,
            released,
            ack_delay_us,
            control: 0,
            payload: 0,
        }
    }

    /// The next data frame into `scratch`, but for bytes that lie in a page.
    fn data_frame(&mut self, now_ns: u64, scratch: &mut Vec<u8>) -> Option<Piece> {
        let mut header = self.header(now_ns);
        let (sequence, fragment) = self.send.next()?;
        header.data = Some(fragment.data());
        header.sequence = sequence;
        // Both are far below what the fields hold: `SendHalf::push` checked them.
        header.control = fragment.control().len() as u8;
        header.payload = fragment.length() as u16;
        scratch.clear();
        scratch.extend_from_slice(&header.emit());
        scratch.resize(OVERHEAD, 0);
        scratch.extend_from_slice(fragment.control());
        let mut state = self.seal.begin();
        state.update(scratch.get(..HEADER).unwrap_or(&[]));
        let piece = match fragment.body() {
            FragmentBody::Bytes(bytes) => {
                scratch.extend_from_slice(bytes);
                state.update(scratch.get(OVERHEAD..).unwrap_or(&[]));
                None
            }
            FragmentBody::Page(piece) => {
                state.update(fragment.control());
                let mut chunk = [0; TAG_CHUNK];
                let mut done = 0;
                while done < piece.length {
                    let (part, _) = chunk.split_at_mut(TAG_CHUNK.min(piece.length - done));
                    piece.page.read(piece.offset + done, part);
                    state.update(part);
                    done += part.len();
                }
                Some(piece)
            }
        };
        let tag = state.finish();
        if let Some(room) = scratch.get_mut(HEADER..OVERHEAD) {
            room.copy_from_slice(&tag);
        }
        piece
    }

    /// Figures.
    pub fn stats(&self) -> Stats {
        Stats {
            frames_sent: self.frames_sent,
            frames_received: self.frames_received,
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            messages_sent: self.messages_sent,
            messages_received: self.receive.messages,
            retransmits: self.send.retransmits,
            timeouts: self.send.timeouts,
            acks_sent: self.acks_sent,
            duplicates: self.duplicates,
            frame: self.size.frame(),
            rtt_ns: self.send.rtt.smoothed_ns(),
            rtt_least_ns: self.send.rtt.least_ns(),
            waiting_frames: self.send.waiting(),
            early_frames: self.receive.early(),
            oldest_ns: self.send.oldest_ns(),
        }
    }

    /// What was dropped, by cause.
    pub fn drops(&self) -> Drops {
        Drops { nonsense: self.drops.nonsense + self.receive.nonsense, ..self.drops }
    }
}
