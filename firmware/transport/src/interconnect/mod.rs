//! The interconnect's link layer: messages between the members of a virtual server that spans nodes. Sans-IO.
//!
//! ```text
//! send(peer, class, control, payload) ─▶ Link: credit, fragments, order, tag ─▶ poll_transmit ─▶ back end
//! deliver(peer, class, control, payload) ◀─ Link: tag, replay, order, fragments ◀─ on_frame ◀─ back end
//! ```
//! What it promises, per pair of members and epoch: each message that [`Links::send`] took arrives exactly once
//! and in that order, whatever the wire loses, doubles, bends or mixes up. A message is up to [`MAX_CONTROL`]
//! bytes of control and up to [`MAX_PAYLOAD`] bytes of payload.
//!
//! - Classes: requests, forwards and responses have credit of their own. A message without credit is not taken
//!   ([`SendError::Full`]), so nothing in the queue ever waits for another class, and responses always sink.
//! - Frames are authenticated ([`auth`]); frames of another server, another epoch, forged or replayed ones are
//!   counted by cause and dropped ([`Drops`]). Any frame that passes proves life ([`Links::heard_ns`]); a link
//!   itself never declares its peer dead.
//! - Memory: per peer at most the credits' messages to send, [`WINDOW`] frames that came too early and one
//!   message in pieces.
//! - A key is used for one life of a link: a member that lost its links' state needs a new epoch.
//!
//! Files: [`wire`] the header, [`auth`] tags, [`rtt`] times, [`size`] how long frames are, [`send`] and [`receive`] the halves, [`link`] both,
//! [`backend`] what carries frames, [`ethernet`] and [`udp`] the two that do. Design: docs/interconnect.md.

mod auth;
pub mod backend;
pub mod ethernet;
mod link;
mod receive;
mod rtt;
mod send;
mod size;
pub mod udp;
mod wire;

use alloc::vec::Vec;

pub use link::Link;
pub use rtt::{MAX_TIMEOUT_NS, MIN_TIMEOUT_NS};
pub use size::BASE_FRAME;
use weft_platform::Piece;
pub use wire::{HEADER, OVERHEAD, TAG};
use wire::{Header, WireError};

/// Control bytes of a message; with the tag they are 64.
pub const MAX_CONTROL: usize = 48;
/// Payload bytes of a message: a page.
pub const MAX_PAYLOAD: usize = 4096;
/// Data frames of one direction that are in flight at most.
pub const WINDOW: usize = 64;
/// Number of classes.
pub const CLASSES: usize = 3;
/// Most members of a configuration.
pub const MAX_PEERS: usize = 64;
/// Smallest frame that a back end may have, bytes from the link header on.
pub const MIN_FRAME: usize = 512;
/// Largest frame that is used: a whole message fits.
pub const MAX_FRAME: usize = OVERHEAD + MAX_CONTROL + MAX_PAYLOAD;

/// A member's place in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Peer(pub u8);

/// What a message is for. Requests may cause forwards, both may cause responses, responses cause nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// Begins something.
    Request,
    /// A request on its way to who can serve it.
    Forward,
    /// Ends something. Always taken by who gets it.
    Response,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; CLASSES] = [Self::Request, Self::Forward, Self::Response];

    /// Its place in figures by class.
    pub const fn index(self) -> usize {
        self as usize
    }

    const fn bits(self) -> u8 {
        self as u8
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Request),
            1 => Some(Self::Forward),
            2 => Some(Self::Response),
            _ => None,
        }
    }
}

/// Which links belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Tag of the virtual server, from its identifier.
    pub vs: u32,
    /// The epoch's counter. Two proposers of one counter have different keys.
    pub epoch: u32,
}

/// What all members of an epoch agree on, and what is this member's own.
#[derive(Clone, Copy)]
pub struct Config {
    /// Which links.
    pub identity: Identity,
    /// The epoch's key. Never the same for two configurations.
    pub key: [u8; 32],
    /// This member.
    pub own: Peer,
    /// Largest frame of the back end, from the link header on, bytes. Clamped to [`MIN_FRAME`] and
    /// [`MAX_FRAME`]. Members may differ: none longer than [`BASE_FRAME`] is used before the peer has got one.
    pub frame: usize,
    /// Messages by class that a peer may have unreleased here (requests, forwards) or unacknowledged
    /// (responses). Agreed; 1 to [`MAX_CREDIT`] each.
    pub credit: [u16; CLASSES],
    /// Requests and forwards give credit back by [`Links::release`], else when they are delivered.
    pub release_by_hand: bool,
}

/// Largest credit of a class, messages.
pub const MAX_CREDIT: u16 = 4096;
/// Usual credits: a page in flight for each of many processors.
pub const DEFAULT_CREDIT: [u16; CLASSES] = [64, 64, 128];

impl Config {
    /// Puts the right tag into a frame of this member for another, whatever the frame says. For tools that show what
    /// a member does with frames that are authentic and wrong; `false` when there is no room for a tag.
    pub fn seal(&self, to: Peer, frame: &mut [u8]) -> bool {
        let mut state = auth::TagKey::derive(&self.key, self.identity, self.own, to).begin();
        let Some((head, rest)) = frame.split_at_mut_checked(HEADER) else { return false };
        let Some((room, bytes)) = rest.split_at_mut_checked(TAG) else { return false };
        state.update(head);
        state.update(bytes);
        room.copy_from_slice(&state.finish());
        true
    }

    fn largest_frame(&self) -> usize {
        self.frame.clamp(MIN_FRAME, MAX_FRAME)
    }
}

/// A message's payload.
pub enum Payload<'a> {
    /// None.
    None,
    /// Bytes, which are copied.
    Bytes(&'a [u8]),
    /// A page or a part of it. It is held until the peer has acknowledged it and no device reads it any more,
    /// and may not change before.
    Page(Piece),
}

impl Payload<'_> {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Page(piece) => piece.length,
        }
    }
}

/// Why a message was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// No credit of the class now: try again after the next frame from that peer.
    Full,
    /// Longer than a message may be, empty, or outside its page.
    Length,
    /// No such member, or oneself.
    NoPeer,
}

impl core::fmt::Display for SendError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Full => "no credit for the peer now",
            Self::Length => "a message of an impossible length",
            Self::NoPeer => "no such member",
        })
    }
}

impl core::error::Error for SendError {}

/// Why a frame was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Drop {
    Short,
    Version,
    Malformed,
    OtherServer,
    OtherEpoch,
    Stranger,
    Forged,
    Replayed,
    Beyond,
    Nonsense,
}

/// Frames that were dropped, by cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drops {
    /// Shorter than its header, tag and lengths.
    pub short: u64,
    /// Not this protocol.
    pub version: u64,
    /// Flags or lengths that cannot be.
    pub malformed: u64,
    /// Of another virtual server.
    pub other_server: u64,
    /// Of another epoch.
    pub other_epoch: u64,
    /// From no member, or not to this one.
    pub stranger: u64,
    /// A tag that is not right.
    pub forged: u64,
    /// A number that was seen, or is too old to know.
    pub replayed: u64,
    /// Data further ahead than a peer may send.
    pub beyond: u64,
    /// Authentic and yet impossible: acknowledges what was not sent, fragments that do not fit, more than the
    /// credit. A defect of the peer.
    pub nonsense: u64,
}

impl Drops {
    fn count(&mut self, reason: Drop) {
        let counter = match reason {
            Drop::Short => &mut self.short,
            Drop::Version => &mut self.version,
            Drop::Malformed => &mut self.malformed,
            Drop::OtherServer => &mut self.other_server,
            Drop::OtherEpoch => &mut self.other_epoch,
            Drop::Stranger => &mut self.stranger,
            Drop::Forged => &mut self.forged,
            Drop::Replayed => &mut self.replayed,
            Drop::Beyond => &mut self.beyond,
            Drop::Nonsense => &mut self.nonsense,
        };
        *counter = counter.saturating_add(1);
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            short: self.short + other.short,
            version: self.version + other.version,
            malformed: self.malformed + other.malformed,
            other_server: self.other_server + other.other_server,
            other_epoch: self.other_epoch + other.other_epoch,
            stranger: self.stranger + other.stranger,
            forged: self.forged + other.forged,
            replayed: self.replayed + other.replayed,
            beyond: self.beyond + other.beyond,
            nonsense: self.nonsense + other.nonsense,
        }
    }

    /// All causes together.
    pub fn total(&self) -> u64 {
        let unauthenticated =
            self.short + self.version + self.malformed + self.other_server + self.other_epoch;
        unauthenticated + self.stranger + self.forged + self.replayed + self.beyond + self.nonsense
    }
}

/// Figures of one link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Frames sent, repetitions and acknowledgements included.
    pub frames_sent: u64,
    /// Frames that passed authentication and were no replays.
    pub frames_received: u64,
    /// Bytes of frames sent, from the link header on.
    pub bytes_sent: u64,
    /// The same, received.
    pub bytes_received: u64,
    /// Messages taken for sending, by class.
    pub messages_sent: [u64; CLASSES],
    /// Messages delivered, by class.
    pub messages_received: [u64; CLASSES],
    /// Data frames sent again.
    pub retransmits: u64,
    /// Times that nothing was acknowledged in time.
    pub timeouts: u64,
    /// Frames that only acknowledged.
    pub acks_sent: u64,
    /// Data frames that were here before.
    pub duplicates: u64,
    /// Longest frame that is used to the peer, bytes from the link header on.
    pub frame: usize,
    /// Smoothed round trip, nanoseconds, the peer's delay taken off.
    pub rtt_ns: Option<u64>,
    /// Shortest round trip, nanoseconds.
    pub rtt_least_ns: Option<u64>,
    /// Frames to send or unacknowledged.
    pub waiting_frames: usize,
    /// Frames that came before their turn and are kept.
    pub early_frames: usize,
    /// When the oldest unacknowledged frame left last.
    pub oldest_ns: Option<u64>,
}

/// Takes a frame for a peer: head, then the bytes of a page. `false`: not now.
pub type Sink<'a> = &'a mut dyn FnMut(Peer, &[u8], Option<&Piece>) -> bool;
/// Takes a message: from whom, its class, control bytes, payload.
pub type Handler<'a> = &'a mut dyn FnMut(Peer, Class, &[u8], &[u8]);

/// All links of one member within one epoch of one virtual server.
pub struct Links {
    config: Config,
    links: Vec<Link>,
    scratch: Vec<u8>,
    drops: Drops,
    /// Whose turn it is to send, so that no peer starves another of the back end.
    turn: usize,
}

impl Links {
    /// Links to all `peers` but oneself; at most [`MAX_PEERS`].
    pub fn new(config: Config, peers: &[Peer], now_ns: u64) -> Self {
        let others = peers.iter().filter(|peer| **peer != config.own).take(MAX_PEERS);
        let links = others.map(|peer| Link::new(&config, *peer, now_ns)).collect();
        Self { config, links, scratch: Vec::new(), drops: Drops::default(), turn: 0 }
    }

    /// Which links these are.
    pub fn identity(&self) -> Identity {
        self.config.identity
    }

    /// The link to a member.
    pub fn link(&self, peer: Peer) -> Option<&Link> {
        self.links.iter().find(|link| link.peer() == peer)
    }

    fn link_mut(&mut self, peer: Peer) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.peer() == peer)
    }

    /// Takes a message for a member. Its frames leave with the next [`Links::poll_transmit`].
    pub fn send(
        &mut self,
        _now_ns: u64,
        peer: Peer,
        class: Class,
        control: &[u8],
        payload: Payload<'_>,
    ) -> Result<(), SendError> {
        self.link_mut(peer).ok_or(SendError::NoPeer)?.send(class, control, payload)
    }

    /// Messages of a class that a member may be sent now.
    pub fn room(&self, peer: Peer, class: Class) -> u16 {
        self.link(peer).map_or(0, |link| link.room(class))
    }

    /// Gives credit back, with [`Config::release_by_hand`].
    pub fn release(&mut self, now_ns: u64, peer: Peer, class: Class, count: u16) {
        if let Some(link) = self.link_mut(peer) {
            link.release(now_ns, class, count);
        }
    }

    /// Takes a frame, from the link header on. `deliver` gets each message that is complete and in its turn.
    pub fn on_frame(&mut self, now_ns: u64, frame: &[u8], deliver: Handler<'_>) {
        let header = match self.judge(frame) {
            Ok(header) => header,
            Err(reason) => return self.drops.count(reason),
        };
        match self.link_mut(header.from) {
            Some(link) => {
                let mut named = |class, control: &[u8], payload: &[u8]| {
                    deliver(header.from, class, control, payload);
                };
                link.on_frame(now_ns, &header, frame, &mut named);
            }
            None => self.drops.count(Drop::Stranger),
        }
    }

    fn judge(&self, frame: &[u8]) -> Result<Header, Drop> {
        let header = Header::parse(frame).map_err(|error| match error {
            WireError::Short => Drop::Short,
            WireError::Version => Drop::Version,
            WireError::Malformed => Drop::Malformed,
        })?;
        if header.vs != self.config.identity.vs {
            return Err(Drop::OtherServer);
        }
        if header.epoch != self.config.identity.epoch {
            return Err(Drop::OtherEpoch);
        }
        if header.to != self.config.own {
            return Err(Drop::Stranger);
        }
        Ok(header)
    }

    /// Looks at the timers.
    pub fn poll(&mut self, now_ns: u64) {
        self.links.iter_mut().for_each(|link| link.poll(now_ns));
    }

    /// When [`Links::poll`] and [`Links::poll_transmit`] have something to do by themselves; `now` or less: at
    /// once; `u64::MAX`: never.
    pub fn next_ns(&self) -> u64 {
        self.links.iter().map(Link::next_ns).min().unwrap_or(u64::MAX)
    }

    /// Hands due frames to `sink`: the member, the frame's bytes, and what follows them out of a page. The sink
    /// returns `false` when it has no room; that frame is offered again later. Returns whether there was room
    /// for all.
    pub fn poll_transmit(&mut self, now_ns: u64, sink: Sink<'_>) -> bool {
        let count = self.links.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some(link) = self.links.get_mut(index) else { continue };
            if !link.poll_transmit(now_ns, &mut self.scratch, sink) {
                self.turn = index;
                return false;
            }
        }
        true
    }

    /// When a member was last heard: the last frame that passed authentication and was no replay.
    pub fn heard_ns(&self, peer: Peer) -> Option<u64> {
        self.link(peer).map(Link::heard_ns)
    }

    /// Whether long frames to a member do not get through any more, though it is heard.
    pub fn is_narrowed(&self, peer: Peer) -> bool {
        self.link(peer).is_some_and(Link::is_narrowed)
    }

    /// Figures of one link.
    pub fn stats(&self, peer: Peer) -> Option<Stats> {
        self.link(peer).map(Link::stats)
    }

    /// Frames dropped on all links, and those of no link.
    pub fn drops(&self) -> Drops {
        self.links.iter().map(Link::drops).fold(self.drops, Drops::plus)
    }

    /// The virtual server that a frame claims to be of, so that its owner can be found. Nothing is checked.
    pub fn claimed_identity(frame: &[u8]) -> Option<Identity> {
        let header = Header::parse(frame).ok()?;
        Some(Identity { vs: header.vs, epoch: header.epoch })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
