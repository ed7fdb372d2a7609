//! The bytes of a control message: the coherence engine's own layout, or one kind beside it for everything
//! that is not about pages. Both carry the sender's guest TSC in bytes 1 to 8.
//!
//! ```text
//!  0      kind: that of a coherence message, or 0xff
//!  1..9   sender's guest TSC, little-endian
//!  9..    0xff: a SpanMessage
//! ```

use alloc::vec::Vec;

use weft_transport::interconnect::Class;
use weft_wire::codec::DecodeError;
use weft_wire::span::SpanMessage;

/// Kind of messages that are not about pages. Coherence kinds are small numbers.
const SPAN: u8 = 0xff;
const TSC: core::ops::Range<usize> = 1..9;
const BODY: usize = 9;

/// A control message, as far as it is decoded here.
pub(super) enum Decoded {
    /// For the engine, which decodes it itself.
    Coherence {
        /// Sender's guest TSC.
        tsc: u64,
    },
    /// Not about pages.
    Span {
        /// Sender's guest TSC.
        tsc: u64,
        /// What it says.
        message: SpanMessage,
    },
}

pub(super) fn encode(tsc: u64, message: &SpanMessage) -> Vec<u8> {
    let mut control = alloc::vec![SPAN];
    control.extend_from_slice(&tsc.to_le_bytes());
    // Every message fits, as a test of its module shows.
    control.extend_from_slice(&message.encode().unwrap_or_default());
    control
}

/// Writes the sender's guest TSC, as late as possible before sending.
pub(super) fn stamp(control: &mut [u8], tsc: u64) {
    if let Some(place) = control.get_mut(TSC) {
        place.copy_from_slice(&tsc.to_le_bytes());
    }
}

pub(super) fn decode(control: &[u8]) -> Result<Decoded, DecodeError> {
    let bytes = control.get(TSC).and_then(|bytes| bytes.try_into().ok()).ok_or(DecodeError::Malformed)?;
    let tsc = u64::from_le_bytes(bytes);
    if control.first() != Some(&SPAN) {
        return Ok(Decoded::Coherence { tsc });
    }
    let message = SpanMessage::decode(control.get(BODY..).unwrap_or(&[]))?;
    Ok(Decoded::Span { tsc, message })
}

/// In which buffers a message travels. Answers must sink whatever else waits.
pub(super) fn class(message: &SpanMessage) -> Class {
    match message {
        SpanMessage::Read { .. } | SpanMessage::Write { .. } | SpanMessage::Ready => Class::Request,
        SpanMessage::Interrupt { .. }
        | SpanMessage::EndOfInterrupt { .. }
        | SpanMessage::LineStatus { .. }
        // In one order with interrupts: what is passed on comes behind the virtual processor that it is for.
        | SpanMessage::Moves { .. }
        | SpanMessage::Lives { .. }
        | SpanMessage::Run { .. } => Class::Forward,
        SpanMessage::Answer { .. } | SpanMessage::End(_) | SpanMessage::Alive => Class::Response,
    }
}
