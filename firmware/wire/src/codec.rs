//! Postcard with the rules of this project: bounded, canonical, nothing left over.
//!
//! `postcard::from_bytes` accepts trailing bytes and over-long integers. Both would let two different
//! byte strings mean the same, so [`decode`] encodes the value again and compares.
//!
//! Postcard reads each element from at least one byte of input, so a value never holds more elements
//! than the input has bytes, and serde reserves at most 1 MiB ahead of reading them.

use alloc::vec::Vec;
use core::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::agent::{
    Inventory, MAX_CONSOLE_INPUT, MAX_CONSOLE_OUTPUT, MAX_MESSAGE, MAX_TEXT, TO_SERVER_KINDS, ToNode,
    ToServer,
};
use crate::cluster::{MAX_CLUSTER_RECORD, MAX_MEMBERS, MAX_TALK};
use crate::operator::{Answer, Ask, MAX_ASK, MAX_OPERATOR_NAME};
use crate::record::MAX_RECORD;

/// Why bytes are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Longer than its kind may be.
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not a value of this type, or cut short.
    Malformed,
    /// Bytes follow the value.
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The value has a shorter or different encoding.
    NotCanonical,
    /// A field is longer than it may be.
    FieldTooLong(&'static str),
    /// A kind of message that a later version has. No fault of the sender's.
    Unknown(u32),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "{len} bytes, at most {max} are allowed"),
            Self::Malformed => f.write_str("not a value of this kind, or cut short"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes after the value"),
            Self::NotCanonical => f.write_str("not the canonical encoding"),
            Self::FieldTooLong(field) => write!(f, "field {field} is too long"),
            Self::Unknown(kind) => write!(f, "kind {kind} is not known to this version"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why a value was not encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong {
    /// Bytes allowed.
    pub max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "longer than {} bytes when encoded", self.max)
    }
}

impl core::error::Error for TooLong {}

/// Decodes exactly one value of at most `max` bytes, in its canonical encoding.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { len: bytes.len(), max });
    }
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| DecodeError::Malformed)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing { bytes: rest.len() });
    }
    let again = postcard::to_allocvec(&value).map_err(|_| DecodeError::Malformed)?;
    if again != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}

/// Encodes a value of at most `max` bytes.
pub fn encode<T: Serialize>(value: &T, max: usize) -> Result<Vec<u8>, TooLong> {
    match postcard::to_allocvec(value) {
        Ok(bytes) if bytes.len() <= max => Ok(bytes),
        Ok(_) | Err(_) => Err(TooLong { max }),
    }
}

/// Decodes and bounds a message to the appliance.
pub fn decode_to_server(bytes: &[u8]) -> Result<ToServer, DecodeError> {
    if bytes.len() <= MAX_MESSAGE
        && let Ok((kind, _)) = postcard::take_from_bytes::<u32>(bytes)
        && kind >= TO_SERVER_KINDS
    {
        return Err(DecodeError::Unknown(kind));
    }
    let message: ToServer = decode(bytes, MAX_MESSAGE)?;
    check_to_server(&message)?;
    Ok(message)
}

/// Decodes and bounds a message to a node.
pub fn decode_to_node(bytes: &[u8]) -> Result<ToNode, DecodeError> {
    let message: ToNode = decode(bytes, MAX_MESSAGE)?;
    check_to_node(&message)?;
    Ok(message)
}

/// Encodes a message to the appliance.
pub fn encode_to_server(message: &ToServer) -> Result<Vec<u8>, TooLong> {
    encode(message, MAX_MESSAGE)
}

/// Encodes a message to a node.
pub fn encode_to_node(message: &ToNode) -> Result<Vec<u8>, TooLong> {
    encode(message, MAX_MESSAGE)
}

/// Decodes and bounds what an operator asks a node.
pub fn decode_ask(bytes: &[u8]) -> Result<Ask, DecodeError> {
    decode(bytes, MAX_ASK)
}

/// Decodes a node's answer to an operator.
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, DecodeError> {
    decode(bytes, MAX_MESSAGE)
}

fn at_most(len: usize, max: usize, field: &'static str) -> Result<(), DecodeError> {
    if len > max { Err(DecodeError::FieldTooLong(field)) } else { Ok(()) }
}

fn check_inventory(inventory: &Inventory) -> Result<(), DecodeError> {
    at_most(inventory.cpu_model.len(), 128, "cpu_model")?;
    at_most(inventory.features.len(), 32, "features")?;
    at_most(inventory.nics.len(), 16, "nics")?;
    for feature in &inventory.features {
        at_most(feature.len(), 32, "features")?;
    }
    for nic in &inventory.nics {
        at_most(nic.driver.len(), 32, "nics.driver")?;
    }
    for text in &inventory.system {
        at_most(text.len(), 128, "system")?;
    }
    Ok(())
}

fn check_to_server(message: &ToServer) -> Result<(), DecodeError> {
    match message {
        ToServer::Hello(hello) => {
            at_most(hello.boot.stages.len(), 32, "stages")?;
            check_inventory(&hello.inventory)
        }
        ToServer::Heartbeat(_) => Ok(()),
        ToServer::Log(line) => at_most(line.text.len(), 512, "log.text"),
        ToServer::Event(event) => {
            at_most(event.kind.len(), 64, "event.kind")?;
            at_most(event.text.len(), MAX_TEXT, "event.text")
        }
        ToServer::RecordResult(result) => match &result.result {
            Ok(()) => Ok(()),
            Err(reason) => at_most(reason.len(), MAX_TEXT, "record_result.reason"),
        },
        ToServer::VsStatus(status) => at_most(status.reason.len(), MAX_TEXT, "vs_status.reason"),
        ToServer::Console { bytes, .. } => at_most(bytes.len(), MAX_CONSOLE_OUTPUT, "console.bytes"),
        ToServer::Cluster(report) => at_most(report.members.len(), MAX_MEMBERS, "cluster.members"),
        ToServer::ClusterTalk { talk, .. } => at_most(talk.len(), MAX_TALK, "cluster_talk.talk"),
        ToServer::ClusterResult(result) => match &result.result {
            Ok(()) => Ok(()),
            Err(reason) => at_most(reason.len(), MAX_TEXT, "cluster_result.reason"),
        },
        ToServer::SpanFigures(figures) => {
            figures.too_long().map_or(Ok(()), |f| Err(DecodeError::FieldTooLong(f)))
        }
        ToServer::Wanted(wanted) => at_most(wanted.by.len(), MAX_OPERATOR_NAME, "wanted.by"),
        ToServer::Load(load) => load.too_long().map_or(Ok(()), |f| Err(DecodeError::FieldTooLong(f))),
    }
}

fn check_to_node(message: &ToNode) -> Result<(), DecodeError> {
    match message {
        ToNode::Welcome(welcome) => at_most(welcome.reason.len(), MAX_TEXT, "welcome.reason"),
        ToNode::Record(bytes) => at_most(bytes.len(), MAX_RECORD, "record"),
        ToNode::ConsoleInput { bytes, .. } => at_most(bytes.len(), MAX_CONSOLE_INPUT, "console_input.bytes"),
        ToNode::Command(_) | ToNode::Ping => Ok(()),
        ToNode::Cluster(bytes) => at_most(bytes.len(), MAX_CLUSTER_RECORD, "cluster"),
    }
}

/// Cuts a text to at most `max` bytes at a character boundary.
pub fn clip(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{Command, Heartbeat, Level, LogLine};
    use alloc::boxed::Box;
    use alloc::string::String;
    use alloc::vec;
    use weft_types::VsId;

    #[test]
    fn messages_survive_the_round_trip() {
        let message = ToServer::Log(LogLine { uptime_ms: 7, level: Level::Warn, text: String::from("odd") });
        let bytes = encode_to_server(&message).expect("short");
        assert_eq!(decode_to_server(&bytes), Ok(message));
        let message = ToNode::Command(Command::Reboot);
        let bytes = encode_to_node(&message).expect("short");
        assert_eq!(decode_to_node(&bytes), Ok(message));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode_to_node(&ToNode::Ping).expect("short");
        bytes.push(0);
        assert_eq!(decode_to_node(&bytes), Err(DecodeError::Trailing { bytes: 1 }));
    }

    #[test]
    fn an_over_long_integer_is_refused() {
        let message = ToServer::Heartbeat(Heartbeat::default());
        let mut bytes = encode_to_server(&message).expect("short");
        // The first field, zero, as two bytes instead of one.
        bytes.splice(1..2, [0x80, 0x00]);
        assert_eq!(decode_to_server(&bytes), Err(DecodeError::NotCanonical));
    }

    #[test]
    fn every_shortened_message_is_refused() {
        let message = ToNode::ConsoleInput { vs: VsId([9; 16]), bytes: vec![1, 2, 3] };
        let bytes = encode_to_node(&message).expect("short");
        for len in 0..bytes.len() {
            assert_eq!(decode_to_node(&bytes[..len]), Err(DecodeError::Malformed), "length {len}");
        }
    }

    #[test]
    fn a_field_over_its_bound_is_refused() {
        let message = ToNode::ConsoleInput { vs: VsId([9; 16]), bytes: vec![0; MAX_CONSOLE_INPUT + 1] };
        let bytes = encode_to_node(&message).expect("within the message bound");
        assert_eq!(decode_to_node(&bytes), Err(DecodeError::FieldTooLong("console_input.bytes")));
    }

    #[test]
    fn an_announced_length_beyond_the_input_is_refused() {
        // Record of 2^63 bytes.
        let bytes = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(decode_to_node(&bytes), Err(DecodeError::Malformed));
    }

    #[test]
    fn a_kind_of_a_later_version_is_told_from_garbage() {
        let last = ToServer::Load(Box::default());
        let mut bytes = encode_to_server(&last).expect("short");
        assert_eq!(u32::from(bytes[0]), TO_SERVER_KINDS - 1, "the last kind has the last number");
        bytes[0] += 1;
        assert_eq!(decode_to_server(&bytes), Err(DecodeError::Unknown(TO_SERVER_KINDS)));
        assert_eq!(decode_to_server(&[]), Err(DecodeError::Malformed));
        let long = vec![0x7f; MAX_MESSAGE + 1];
        assert!(matches!(decode_to_server(&long), Err(DecodeError::TooLong { .. })));
    }

    #[test]
    fn clipping_keeps_characters_whole() {
        assert_eq!(clip("abc", 8), "abc");
        assert_eq!(clip("aé", 2), "a");
    }
}
