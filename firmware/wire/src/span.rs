//! What the members of a spanning virtual server tell each other beside pages: interrupts, accesses to
//! devices, and the start and end of the server.
//!
//! A message is postcard of at most [`MAX_SPAN_MESSAGE`] bytes, so that it fits a control message of the
//! interconnect with its tag. What is longer (processor features, the words of a report) travels as the
//! message's payload, of at most [`MAX_SPAN_PAYLOAD`] bytes.
//!
//! The interconnect delivers per pair of members exactly once and in order. A write to a device needs no
//! answer for that reason: a read behind it sees what it did.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::codec::{self, DecodeError, TooLong};

/// Longest encoded [`SpanMessage`], bytes.
pub const MAX_SPAN_MESSAGE: usize = 32;
/// Longest payload of a [`SpanMessage`], bytes.
pub const MAX_SPAN_PAYLOAD: usize = 1200;
/// Most leaves of [`Features`].
pub const MAX_LEAVES: usize = 32;
/// Most round trips of [`Joining`]: one for each member.
pub const MAX_ROUND_TRIPS: usize = 64;

/// What an interrupt does to a virtual processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterruptKind {
    /// A vector for its local APIC.
    Vector(u8),
    /// Non-maskable.
    Nmi,
    /// INIT.
    Init,
    /// Start-up at this page.
    StartUp(u8),
}

/// Where a device register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceAddress {
    /// A port.
    Port(u16),
    /// A guest physical address that is no memory.
    Memory(u64),
}

/// Why a spanning server ends on all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndKind {
    /// The guest switched itself off.
    PowerOff,
    /// The guest reset itself.
    Reset,
    /// An operator's wish.
    Stopped,
    /// A monitor gave up; the payload says why, in UTF-8.
    Failed,
}

/// A message between members of one virtual server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpanMessage {
    /// An interrupt for a virtual processor of the receiver.
    Interrupt {
        /// Index of the virtual processor.
        vcpu: u8,
        /// What it is.
        kind: InterruptKind,
        /// Level-triggered: its end is to be told to the first member.
        level: bool,
    },
    /// A level-triggered interrupt of this vector has ended. For the first member.
    EndOfInterrupt {
        /// Vector.
        vector: u8,
    },
    /// Read a device register. For the first member.
    Read {
        /// Who waits.
        vcpu: u8,
        /// Number of the read, per virtual processor.
        sequence: u32,
        /// Register.
        address: DeviceAddress,
        /// Bytes: 1, 2, 4 or 8.
        bytes: u8,
    },
    /// What a [`SpanMessage::Read`] read.
    Answer {
        /// Who waits.
        vcpu: u8,
        /// Number of the read.
        sequence: u32,
        /// The value, in the lowest bytes.
        value: u64,
    },
    /// Write a device register. For the first member.
    Write {
        /// Register.
        address: DeviceAddress,
        /// Bytes: 1, 2, 4 or 8.
        bytes: u8,
        /// The value, in the lowest bytes.
        value: u64,
    },
    /// The serial console's line status, as it reads from now on. From the first member: a processor that prints
    /// looks at it before each character.
    LineStatus {
        /// The register.
        status: u8,
    },
    /// The sender has set the server up; the payload is its [`Joining`]. For the first member.
    Ready,
    /// All members are ready; the payload is the [`Features`] that all of them have.
    Run {
        /// Ticks a second of the guest's counter.
        tsc_hz: u64,
    },
    /// The server ends.
    End(EndKind),
    /// The sender lives.
    Alive,
    /// A virtual processor goes on at the receiver; the payloads of all parts, in their order, are its
    /// [`crate::vcpu::VcpuState`].
    Moves {
        /// Index of the virtual processor.
        vcpu: u8,
        /// Number of this part, from 0.
        part: u8,
        /// How many parts there are.
        parts: u8,
    },
    /// A virtual processor runs at this member from now on.
    Lives {
        /// Index of the virtual processor.
        vcpu: u8,
        /// Where.
        member: u8,
        /// How often it has moved: an older word is forgotten.
        moves: u32,
    },
}

/// One CPUID leaf of a processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureLeaf {
    /// EAX of the question.
    pub leaf: u32,
    /// ECX of the question.
    pub subleaf: u32,
    /// EAX, EBX, ECX, EDX of the answer.
    pub answer: [u32; 4],
}

/// What a member's processors can do, as far as guests see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Leaves, at most [`MAX_LEAVES`].
    pub leaves: Vec<FeatureLeaf>,
}

/// What a member tells the first one when it is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// What its processors can do.
    pub features: Features,
    /// Shortest round trip to each member, in their order, microseconds; 0: unknown.
    pub round_trips_us: Vec<u32>,
}

impl Joining {
    /// Encodes.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        codec::encode(self, MAX_SPAN_PAYLOAD)
    }

    /// Decodes and bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let joining: Self = codec::decode(bytes, MAX_SPAN_PAYLOAD)?;
        if joining.features.leaves.len() > MAX_LEAVES {
            return Err(DecodeError::FieldTooLong("joining.features"));
        }
        if joining.round_trips_us.len() > MAX_ROUND_TRIPS {
            return Err(DecodeError::FieldTooLong("joining.round_trips_us"));
        }
        Ok(joining)
    }
}

impl SpanMessage {
    /// Encodes.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        codec::encode(self, MAX_SPAN_MESSAGE)
    }

    /// Decodes exactly one message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, MAX_SPAN_MESSAGE)
    }
}

impl Features {
    /// Encodes.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        codec::encode(self, MAX_SPAN_PAYLOAD)
    }

    /// Decodes and bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let features: Self = codec::decode(bytes, MAX_SPAN_PAYLOAD)?;
        if features.leaves.len() > MAX_LEAVES {
            return Err(DecodeError::FieldTooLong("features.leaves"));
        }
        Ok(features)
    }
}

/// The words of an [`EndKind::Failed`], from a peer: bounded, and readable whatever the bytes are.
pub fn cause_text(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload.get(..MAX_SPAN_PAYLOAD).unwrap_or(payload));
    String::from(codec::clip(&text, MAX_SPAN_PAYLOAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_longest_message_fits_a_control_message() {
        let write =
            SpanMessage::Write { address: DeviceAddress::Memory(u64::MAX), bytes: 8, value: u64::MAX };
        assert_eq!(SpanMessage::decode(&write.encode().unwrap()), Ok(write));
        let read = SpanMessage::Read {
            vcpu: u8::MAX,
            sequence: u32::MAX,
            address: DeviceAddress::Memory(u64::MAX),
            bytes: u8::MAX,
        };
        assert_eq!(SpanMessage::decode(&read.encode().unwrap()), Ok(read));
        let answer = SpanMessage::Answer { vcpu: u8::MAX, sequence: u32::MAX, value: u64::MAX };
        assert_eq!(SpanMessage::decode(&answer.encode().unwrap()), Ok(answer));
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let interrupt = SpanMessage::Interrupt { vcpu: 3, kind: InterruptKind::Vector(0x41), level: false };
        let bytes = interrupt.encode().unwrap();
        for len in 0..bytes.len() {
            assert_eq!(SpanMessage::decode(&bytes[..len]), Err(DecodeError::Malformed), "length {len}");
        }
        assert_eq!(SpanMessage::decode(&[99]), Err(DecodeError::Malformed));
        let more = [bytes, vec![0]].concat();
        assert_eq!(SpanMessage::decode(&more), Err(DecodeError::Trailing { bytes: 1 }));
    }

    #[test]
    fn more_leaves_than_there_may_be_are_refused() {
        let full = Features {
            leaves: vec![FeatureLeaf { answer: [u32::MAX; 4], ..FeatureLeaf::default() }; MAX_LEAVES],
        };
        assert_eq!(Features::decode(&full.encode().unwrap()), Ok(full));
        let over = Features { leaves: vec![FeatureLeaf::default(); MAX_LEAVES + 1] };
        assert_eq!(
            Features::decode(&over.encode().unwrap()),
            Err(DecodeError::FieldTooLong("features.leaves"))
        );
    }

    #[test]
    fn what_a_member_tells_of_itself_fits_and_is_bounded() {
        let leaf = FeatureLeaf { answer: [u32::MAX; 4], ..FeatureLeaf::default() };
        let features = Features { leaves: vec![leaf; MAX_LEAVES] };
        let full = Joining { features, round_trips_us: vec![u32::MAX; MAX_ROUND_TRIPS] };
        assert_eq!(Joining::decode(&full.encode().unwrap()), Ok(full));
        let over = Joining { round_trips_us: vec![0; MAX_ROUND_TRIPS + 1], ..Joining::default() };
        let refused = Err(DecodeError::FieldTooLong("joining.round_trips_us"));
        assert_eq!(Joining::decode(&over.encode().unwrap()), refused);
    }

    #[test]
    fn a_cause_is_readable_whatever_a_peer_sends() {
        assert_eq!(cause_text(b"out of frames"), "out of frames");
        assert!(cause_text(&[0xff; 5000]).len() <= MAX_SPAN_PAYLOAD);
    }
}
