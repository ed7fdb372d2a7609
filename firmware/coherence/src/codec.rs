//! Control messages and their bytes.
//!
//! ```text
//!  0      kind                     26     flags: 1 write, 2 has a base, 4 has a copy, 8 urgent, 16 prefetch, 32 zero,
//!                                         64 unwritten
//!  1..9   sender's guest TSC       27..32 page
//!  9..25  epoch: counter, proposer 32     requester
//!  25     room at the sender       33     acknowledgements to wait for
//!                                  34..38 version    38..42 base
//! ```
//! All numbers are little-endian. Every message has [`CONTROL_BYTES`] bytes; fields that a kind does not use
//! are zero, so that one message has one encoding. With a tag of 16 bytes that is 58 of the 64 allowed.
//! Of the proposer the first 8 bytes travel: node identities are digests.

use core::fmt;

use weft_types::Epoch;

use crate::types::{Class, Member, Page, Right};

/// Bytes of every control message.
pub const CONTROL_BYTES: usize = 42;

/// What members tell each other. Versions count the write grants of a page at its locator; in every message
/// `version` names the contents before the grant that the message belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Message {
    /// To the locator: let me have a page.
    Get {
        /// Which.
        page: Page,
        /// For what.
        right: Right,
        /// Version of old contents that the sender still has.
        base: Option<u32>,
        /// The sender has a valid copy.
        have: bool,
        /// The sender has the token.
        urgent: bool,
        /// Nobody waits for it: refuse it if it would disturb.
        prefetch: bool,
    },
    /// To the locator: these pages were loaded at the sender before the start.
    Adopt {
        /// First page.
        page: Page,
        /// How many.
        count: u32,
    },
    /// To a member with room: take this page off me.
    Offer {
        /// Which.
        page: Page,
    },
    /// To the keeper of the token: I want it.
    TokenAsk,
    /// To the sender of [`Message::Data`]: send all of it, the difference did not fit.
    Again {
        /// Which.
        page: Page,
    },
    /// From the locator to the owner: answer the requester.
    Fetch {
        /// Which.
        page: Page,
        /// What the requester gets.
        right: Right,
        /// Whom to answer.
        requester: Member,
        /// Version of the contents.
        version: u32,
        /// What the requester has of old.
        base: Option<u32>,
        /// Acknowledgements that the requester must wait for.
        acks: u8,
        /// The requester has the token.
        urgent: bool,
    },
    /// From the locator to a sharer: drop the copy and tell the requester.
    Invalidate {
        /// Which.
        page: Page,
        /// Whom to tell.
        requester: Member,
        /// Version of the contents.
        version: u32,
        /// The requester has the token.
        urgent: bool,
    },
    /// From the owner to the requester, with the page beside it.
    Data {
        /// Which.
        page: Page,
        /// What the requester gets.
        right: Right,
        /// Version of the contents.
        version: u32,
        /// Acknowledgements to wait for.
        acks: u8,
        /// The sender had it to write and only read it.
        unwritten: bool,
    },
    /// From the locator to the requester: no data is needed.
    Grant {
        /// Which.
        page: Page,
        /// What the requester gets.
        right: Right,
        /// Version of the contents.
        version: u32,
        /// Acknowledgements to wait for.
        acks: u8,
        /// The page is all zeros; otherwise the requester's copy is valid.
        zero: bool,
    },
    /// From a sharer to the requester: the copy is gone.
    Ack {
        /// Which.
        page: Page,
        /// Version of the copy.
        version: u32,
    },
    /// From the requester to the locator: the transfer is complete.
    Done {
        /// Which.
        page: Page,
        /// What [`Message::Data`] said of the former owner.
        unwritten: bool,
    },
    /// From the requester to the former owner: its frame is free.
    Taken {
        /// Which.
        page: Page,
        /// Version that was sent.
        version: u32,
    },
    /// From the locator: the prefetch would disturb.
    Refuse {
        /// Which.
        page: Page,
    },
    /// The offer is not taken.
    Decline {
        /// Which.
        page: Page,
    },
    /// From the locator: the pages are noted as loaded at the receiver.
    Adopted {
        /// First page.
        page: Page,
    },
    /// To the locator: the sender has the token now; its waiting request goes first.
    Urge {
        /// Which.
        page: Page,
    },
    /// From the keeper: the token.
    Token,
    /// To the keeper: the token back.
    TokenBack,
}

impl Message {
    /// The buffers it travels in.
    pub const fn class(&self) -> Class {
        match self {
            Self::Get { .. }
            | Self::Urge { .. }
            | Self::Adopt { .. }
            | Self::Offer { .. }
            | Self::TokenAsk
            | Self::Again { .. } => Class::Request,
            Self::Fetch { .. } | Self::Invalidate { .. } => Class::Forward,
            Self::Data { .. }
            | Self::Grant { .. }
            | Self::Ack { .. }
            | Self::Done { .. }
            | Self::Taken { .. }
            | Self::Refuse { .. }
            | Self::Decline { .. }
            | Self::Adopted { .. }
            | Self::Token
            | Self::TokenBack => Class::Response,
        }
    }

    /// The page that it is about.
    pub const fn page(&self) -> Option<Page> {
        match self {
            Self::Get { page, .. }
            | Self::Adopt { page, .. }
            | Self::Offer { page }
            | Self::Again { page }
            | Self::Fetch { page, .. }
            | Self::Invalidate { page, .. }
            | Self::Data { page, .. }
            | Self::Grant { page, .. }
            | Self::Ack { page, .. }
            | Self::Done { page, .. }
            | Self::Taken { page, .. }
            | Self::Refuse { page }
            | Self::Decline { page }
            | Self::Urge { page }
            | Self::Adopted { page } => Some(*page),
            Self::TokenAsk | Self::Token | Self::TokenBack => None,
        }
    }
}

/// The bytes of one control message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Control(pub [u8; CONTROL_BYTES]);

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match decode(&self.0) {
            Ok((_, message)) => write!(f, "{message:?}"),
            Err(error) => write!(f, "{error:?}"),
        }
    }
}

impl Control {
    /// Writes the sender's guest TSC. Done as late as possible before sending.
    pub fn stamp_tsc(&mut self, tsc: u64) {
        put(&mut self.0, 1, tsc.to_le_bytes());
    }
}

/// What stands beside every message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Header {
    /// Guest TSC of the sender when it sent.
    pub tsc: u64,
    /// Epoch counter.
    pub counter: u64,
    /// First bytes of the epoch's proposer.
    pub proposer: [u8; 8],
    /// Free frames of the sender as a power of two, rounded down, plus one; 0: none.
    pub room: u8,
}

impl Header {
    /// A header of an epoch.
    pub fn new(epoch: Epoch, room: u8) -> Self {
        let (proposer, _) =
            epoch.proposer.0.split_first_chunk::<8>().map_or(([0; 8], ()), |(head, _)| (*head, ()));
        Self { tsc: 0, counter: epoch.counter, proposer, room }
    }

    /// Whether it is of this epoch.
    pub fn is_of(&self, epoch: Epoch) -> bool {
        let other = Self::new(epoch, 0);
        self.counter == other.counter && self.proposer == other.proposer
    }
}

/// Why bytes are no control message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Not [`CONTROL_BYTES`] long.
    Length,
    /// A kind that does not exist.
    Kind,
    /// A field that the kind does not have, or a value out of its range.
    Field,
}

const WRITE: u8 = 1;
const BASE: u8 = 2;
const HAVE: u8 = 4;
const URGENT: u8 = 8;
const PREFETCH: u8 = 16;
const ZERO: u8 = 32;
const UNWRITTEN: u8 = 64;

/// All fields that some kind has.
#[derive(Clone, Copy, Default)]
struct Body {
    kind: u8,
    flags: u8,
    page: Page,
    requester: u8,
    acks: u8,
    version: u32,
    base: u32,
}

impl Body {
    fn of(kind: u8, page: Page) -> Self {
        Self { kind, page, ..Self::default() }
    }

    fn right(mut self, right: Right) -> Self {
        self.flags |= if right == Right::Write { WRITE } else { 0 };
        self
    }

    fn base(mut self, base: Option<u32>) -> Self {
        self.flags |= if base.is_some() { BASE } else { 0 };
        self.base = base.unwrap_or(0);
        self
    }

    fn flag(mut self, flag: u8, on: bool) -> Self {
        self.flags |= if on { flag } else { 0 };
        self
    }

    fn requester(self, member: Member) -> Self {
        Self { requester: member.0, ..self }
    }

    fn version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    fn acks(self, acks: u8) -> Self {
        Self { acks, ..self }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn body(message: &Message) -> Body {
    match *message {
        Message::Get { page, right, base, have, urgent, prefetch } => Body::of(1, page)
            .right(right)
            .base(base)
            .flag(HAVE, have)
            .flag(URGENT, urgent)
            .flag(PREFETCH, prefetch),
        Message::Adopt { page, count } => Body::of(2, page).version(count),
        Message::Offer { page } => Body::of(3, page),
        Message::TokenAsk => Body::of(4, Page(0)),
        Message::Again { page } => Body::of(5, page),
        Message::Fetch { page, right, requester, version, base, acks, urgent } => Body::of(6, page)
            .right(right)
            .requester(requester)
            .version(version)
            .base(base)
            .acks(acks)
            .flag(URGENT, urgent),
        Message::Invalidate { page, requester, version, urgent } => {
            Body::of(7, page).requester(requester).version(version).flag(URGENT, urgent)
        }
        Message::Data { page, right, version, acks, unwritten } => {
            Body::of(8, page).right(right).version(version).acks(acks).flag(UNWRITTEN, unwritten)
        }
        Message::Grant { page, right, version, acks, zero } => {
            Body::of(9, page).right(right).version(version).acks(acks).flag(ZERO, zero)
        }
        Message::Ack { page, version } => Body::of(10, page).version(version),
        Message::Done { page, unwritten } => Body::of(11, page).flag(UNWRITTEN, unwritten),
        Message::Taken { page, version } => Body::of(12, page).version(version),
        Message::Refuse { page } => Body::of(13, page),
        Message::Decline { page } => Body::of(14, page),
        Message::Adopted { page } => Body::of(15, page),
        Message::Token => Body::of(16, Page(0)),
        Message::TokenBack => Body::of(17, Page(0)),
        Message::Urge { page } => Body::of(18, page),
    }
}

fn message(body: &Body) -> Option<Message> {
    let page = body.page;
    let right = if body.has(WRITE) { Right::Write } else { Right::Read };
    let base = body.has(BASE).then_some(body.base);
    let requester = Member(body.requester);
    let (version, acks, urgent) = (body.version, body.acks, body.has(URGENT));
    Some(match body.kind {
        1 => {
            let (have, prefetch) = (body.has(HAVE), body.has(PREFETCH));
            Message::Get { page, right, base, have, urgent, prefetch }
        }
        2 => Message::Adopt { page, count: version },
        3 => Message::Offer { page },
        4 => Message::TokenAsk,
        5 => Message::Again { page },
        6 => Message::Fetch { page, right, requester, version, base, acks, urgent },
        7 => Message::Invalidate { page, requester, version, urgent },
        8 => Message::Data { page, right, version, acks, unwritten: body.has(UNWRITTEN) },
        9 => Message::Grant { page, right, version, acks, zero: body.has(ZERO) },
        10 => Message::Ack { page, version },
        11 => Message::Done { page, unwritten: body.has(UNWRITTEN) },
        12 => Message::Taken { page, version },
        13 => Message::Refuse { page },
        14 => Message::Decline { page },
        15 => Message::Adopted { page },
        16 => Message::Token,
        17 => Message::TokenBack,
        18 => Message::Urge { page },
        _ => return None,
    })
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(room) = bytes.get_mut(at..at.saturating_add(N)) {
        room.copy_from_slice(&value);
    }
}

fn take<const N: usize>(bytes: &[u8; CONTROL_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(part) = bytes.get(at..at.saturating_add(N)) {
        out.copy_from_slice(part);
    }
    out
}

/// The bytes of a message.
pub fn encode(header: &Header, message: &Message) -> Control {
    let body = body(message);
    let mut out = [0; CONTROL_BYTES];
    let [p0, p1, p2, p3, p4, ..] = body.page.0.to_le_bytes();
    put(&mut out, 0, [body.kind]);
    put(&mut out, 1, header.tsc.to_le_bytes());
    put(&mut out, 9, header.counter.to_le_bytes());
    put(&mut out, 17, header.proposer);
    put(&mut out, 25, [header.room, body.flags, p0, p1, p2, p3, p4, body.requester, body.acks]);
    put(&mut out, 34, body.version.to_le_bytes());
    put(&mut out, 38, body.base.to_le_bytes());
    Control(out)
}

/// Reads a message. Accepts exactly what [`encode`] writes.
pub fn decode(bytes: &[u8]) -> Result<(Header, Message), DecodeError> {
    let bytes: &[u8; CONTROL_BYTES] = bytes.try_into().map_err(|_| DecodeError::Length)?;
    let [kind] = take::<1>(bytes, 0);
    let [room, flags, p0, p1, p2, p3, p4, requester, acks] = take::<9>(bytes, 25);
    let header = Header {
        tsc: u64::from_le_bytes(take(bytes, 1)),
        counter: u64::from_le_bytes(take(bytes, 9)),
        proposer: take(bytes, 17),
        room,
    };
    let body = Body {
        kind,
        flags,
        page: Page(u64::from_le_bytes([p0, p1, p2, p3, p4, 0, 0, 0])),
        requester,
        acks,
        version: u32::from_le_bytes(take(bytes, 34)),
        base: u32::from_le_bytes(take(bytes, 38)),
    };
    let message = message(&body).ok_or(DecodeError::Kind)?;
    // One message, one encoding: fields of other kinds, unknown flags and a base without its flag fail here.
    if encode(&header, &message).0 != *bytes {
        return Err(DecodeError::Field);
    }
    Ok((header, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> [Message; 18] {
        let page = Page(0x12_3456_789a);
        let (right, version, base, acks) = (Right::Write, 7, Some(u32::MAX), 63);
        let requester = Member(63);
        [
            Message::Get { page, right, base, have: true, urgent: true, prefetch: true },
            Message::Adopt { page, count: 9 },
            Message::Offer { page },
            Message::TokenAsk,
            Message::Again { page },
            Message::Fetch { page, right, requester, version, base, acks, urgent: false },
            Message::Invalidate { page, requester, version, urgent: true },
            Message::Data { page, right: Right::Read, version, acks, unwritten: true },
            Message::Grant { page, right, version, acks, zero: true },
            Message::Ack { page, version },
            Message::Done { page, unwritten: true },
            Message::Taken { page, version },
            Message::Refuse { page },
            Message::Decline { page },
            Message::Adopted { page },
            Message::Token,
            Message::TokenBack,
            Message::Urge { page },
        ]
    }

    #[test]
    fn every_message_comes_back_and_fits_beside_its_tag() {
        const { assert!(CONTROL_BYTES + 16 <= 64) };
        let header = Header { tsc: u64::MAX, counter: 3, proposer: [1, 2, 3, 4, 5, 6, 7, 8], room: 13 };
        for message in samples() {
            assert_eq!(decode(&encode(&header, &message).0), Ok((header, message)));
        }
    }

    #[test]
    fn a_changed_byte_never_decodes_to_the_same_message() {
        let header = Header { tsc: 1, counter: 3, proposer: [9; 8], room: 2 };
        for message in samples() {
            let good = encode(&header, &message).0;
            for at in 0..CONTROL_BYTES {
                for value in 0..=255 {
                    let mut bytes = good;
                    bytes[at] = value;
                    if bytes != good {
                        assert_ne!(decode(&bytes), Ok((header, message)), "byte {at} as {value}");
                    }
                }
            }
            assert_eq!(decode(&good[1..]), Err(DecodeError::Length));
        }
    }

    #[test]
    fn fields_that_a_kind_does_not_have_are_refused() {
        let mut bytes = encode(&Header::new(Epoch::default(), 0), &Message::Token).0;
        bytes[34] = 1;
        assert_eq!(decode(&bytes), Err(DecodeError::Field));
        bytes[0] = 19;
        assert_eq!(decode(&bytes), Err(DecodeError::Kind));
    }
}
