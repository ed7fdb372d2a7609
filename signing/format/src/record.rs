//! Signed configuration records as bytes. The types are `weft_wire::record`'s.
//!
//! ```text
//! 0   RECORD_DOMAIN, 16 bytes
//! 16  length of the envelope, u16, little-endian
//! 18  envelope, postcard
//! ..  payload, postcard
//! ..  Ed25519 signature over all bytes before it, 64 bytes
//! ```
//! postcard itself accepts trailing bytes and over-long numbers. A record is therefore encoded again
//! after its signature was checked, and must come out as the same bytes. The payload is not looked at
//! before the signature is good, so that a stranger cannot make a node allocate.
//!
//! The envelope opens with the number of the layout. One layout is spoken; bytes of any other, earlier or later,
//! are refused by that number and never read as if they were of this one.

use alloc::vec::Vec;

use weft_wire::record::{Envelope, MAX_RECORD, Payload, RECORD_DOMAIN, RECORD_VERSION};

use crate::bytes::Reader;
use crate::digest::KeyId;
use crate::ed25519::Verifier;
use weft_types::{ClusterId, NodeId};

/// Bytes of the signature at the end.
pub const SIGNATURE_SIZE: usize = 64;
/// Longest envelope: its fixed fields with numbers at their longest.
const MAX_ENVELOPE: usize = 3 + 8 + 16 + 16 + 10 + 10 + 16;

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Longer than `MAX_RECORD`.
    #[error("{0} bytes are too long for a record")]
    TooLong(usize),
    /// Cut short.
    #[error("the record is cut short")]
    Truncated,
    /// Another kind of document.
    #[error("these bytes are no record")]
    Tag,
    /// The envelope does not decode.
    #[error("the record's envelope is malformed")]
    Envelope,
    /// The payload does not decode.
    #[error("the record's payload is malformed")]
    Payload,
    /// Bytes after the envelope or the payload.
    #[error("the record has bytes after its end")]
    Trailing,
    /// Another encoding of the same value.
    #[error("the record is not in its canonical encoding")]
    NotCanonical,
    /// Another layout, earlier or later.
    #[error("the record has layout {found}, and layout {spoken} is spoken here")]
    Version {
        /// Of the record.
        found: u16,
        /// The only one that is read.
        spoken: u16,
    },
    /// Signed by a key that the delegation does not name.
    #[error("record key {0} is not delegated")]
    ForeignKey(KeyId),
    /// Signed by a key that the delegation revokes.
    #[error("record key {0} is revoked")]
    RevokedKey(KeyId),
    /// The signature does not fit.
    #[error("the record's signature does not fit")]
    Signature,
    /// Meant for another node.
    #[error("the record is for node {0}")]
    OtherNode(NodeId),
    /// From another cluster than the first record of this boot.
    #[error("the record is of cluster {0}, and this boot belongs to another")]
    OtherCluster(ClusterId),
    /// Made for an earlier boot.
    #[error("the record was made for another boot of this node")]
    OtherBoot,
    /// Epoch and counter are not later than the last record's.
    #[error("record {epoch}.{counter} does not follow {last_epoch}.{last_counter}: replayed or stale")]
    Replayed {
        /// Epoch of the record.
        epoch: u64,
        /// Counter of the record.
        counter: u64,
        /// Epoch of the last record accepted.
        last_epoch: u64,
        /// Counter of the last record accepted.
        last_counter: u64,
    },
}

/// Writes what is to be signed: all of the record but its signature.
pub fn encode_unsigned(envelope: &Envelope, payload: &Payload) -> Result<Vec<u8>, RecordError> {
    let head = postcard::to_allocvec(envelope).map_err(|_| RecordError::Envelope)?;
    let body = postcard::to_allocvec(payload).map_err(|_| RecordError::Payload)?;
    let head_size = u16::try_from(head.len()).map_err(|_| RecordError::Envelope)?;
    let mut out = Vec::with_capacity(RECORD_DOMAIN.len() + 2 + head.len() + body.len() + SIGNATURE_SIZE);
    out.extend_from_slice(RECORD_DOMAIN);
    out.extend_from_slice(&head_size.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(&body);
    let size = out.len().saturating_add(SIGNATURE_SIZE);
    if size > MAX_RECORD {
        return Err(RecordError::TooLong(size));
    }
    Ok(out)
}

/// Adds the signature over the bytes of [`encode_unsigned`].
pub fn with_signature(mut unsigned: Vec<u8>, signature: &[u8; 64]) -> Vec<u8> {
    unsigned.extend_from_slice(signature);
    unsigned
}

/// Checks size, encoding, key and signature. Whether the record is meant for this node and this boot is
/// for [`crate::gate::RecordGate`] to say.
///
/// `lookup` gives the public key of an id, or says why not (`ForeignKey`, `RevokedKey`).
pub fn verify_record(
    bytes: &[u8],
    lookup: impl FnOnce(KeyId) -> Result<[u8; 32], RecordError>,
    verifier: &impl Verifier,
) -> Result<(Envelope, Payload), RecordError> {
    if bytes.len() > MAX_RECORD {
        return Err(RecordError::TooLong(bytes.len()));
    }
    let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_SIZE>().ok_or(RecordError::Truncated)?;
    let short = |_| RecordError::Truncated;
    let mut reader = Reader::new(signed);
    if &reader.array::<16>().map_err(short)? != RECORD_DOMAIN {
        return Err(RecordError::Tag);
    }
    let head_size = usize::from(reader.u16().map_err(short)?);
    if head_size > MAX_ENVELOPE {
        return Err(RecordError::Envelope);
    }
    let head = reader.take(head_size).map_err(short)?;
    check_layout(head, RECORD_VERSION)?;
    let envelope: Envelope = exact(head, RecordError::Envelope)?;
    let key = lookup(KeyId(envelope.key_id))?;
    if !verifier.verify(&key, signed, signature) {
        return Err(RecordError::Signature);
    }
    let payload: Payload = exact(reader.rest(), RecordError::Payload)?;
    Ok((envelope, payload))
}

/// Another layout may have other fields: its number is looked at before anything behind it.
pub(crate) fn check_layout(envelope: &[u8], spoken: u16) -> Result<(), RecordError> {
    let (found, _) = postcard::take_from_bytes::<u16>(envelope).map_err(|_| RecordError::Envelope)?;
    if found == spoken { Ok(()) } else { Err(RecordError::Version { found, spoken }) }
}

/// Decodes a value that fills `bytes` wholly and canonically.
pub(crate) fn exact<T>(bytes: &[u8], malformed: RecordError) -> Result<T, RecordError>
where
    T: serde::Serialize + for<'de> serde::Deserialize<'de>,
{
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| malformed)?;
    if !rest.is_empty() {
        return Err(RecordError::Trailing);
    }
    let again = postcard::to_allocvec(&value).map_err(|_| malformed)?;
    if again != bytes {
        return Err(RecordError::NotCanonical);
    }
    Ok(value)
}
