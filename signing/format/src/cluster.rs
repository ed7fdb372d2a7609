//! Signed cluster records as bytes. The types are `weft_wire::cluster`'s; the layout is that of
//! [`crate::record`], under a tag of its own.
//!
//! A cluster record is for all members of a partition and for more than one boot. What fends off replay is its
//! place in the order (epoch, counter), which the members keep by majority.

use alloc::vec::Vec;

use weft_wire::cluster::{
    CLUSTER_DOMAIN, CLUSTER_VERSION, ClusterEnvelope, ClusterPayload, MAX_CLUSTER_RECORD,
};

use crate::bytes::Reader;
use crate::digest::KeyId;
use crate::ed25519::Verifier;
use crate::record::{RecordError, SIGNATURE_SIZE, check_layout, exact};

/// Longest envelope: its fixed fields with numbers at their longest.
const MAX_ENVELOPE: usize = 3 + 8 + 16 + 16 + 10 + 10;

/// Writes what is to be signed: all of the record but its signature.
pub fn encode_unsigned_cluster(
    envelope: &ClusterEnvelope,
    payload: &ClusterPayload,
) -> Result<Vec<u8>, RecordError> {
    let head = postcard::to_allocvec(envelope).map_err(|_| RecordError::Envelope)?;
    let body = postcard::to_allocvec(payload).map_err(|_| RecordError::Payload)?;
    let head_size = u16::try_from(head.len()).map_err(|_| RecordError::Envelope)?;
    let mut out = Vec::with_capacity(CLUSTER_DOMAIN.len() + 2 + head.len() + body.len() + SIGNATURE_SIZE);
    out.extend_from_slice(CLUSTER_DOMAIN);
    out.extend_from_slice(&head_size.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(&body);
    let size = out.len().saturating_add(SIGNATURE_SIZE);
    if size > MAX_CLUSTER_RECORD {
        return Err(RecordError::TooLong(size));
    }
    Ok(out)
}

/// Checks size, encoding, key and signature. Whether it is of the right cluster and partition, and late enough,
/// is for the caller to say.
///
/// `lookup` gives the public key of an id, or says why not.
pub fn verify_cluster(
    bytes: &[u8],
    lookup: impl FnOnce(KeyId) -> Result<[u8; 32], RecordError>,
    verifier: &impl Verifier,
) -> Result<(ClusterEnvelope, ClusterPayload), RecordError> {
    if bytes.len() > MAX_CLUSTER_RECORD {
        return Err(RecordError::TooLong(bytes.len()));
    }
    let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_SIZE>().ok_or(RecordError::Truncated)?;
    let short = |_| RecordError::Truncated;
    let mut reader = Reader::new(signed);
    if &reader.array::<16>().map_err(short)? != CLUSTER_DOMAIN {
        return Err(RecordError::Tag);
    }
    let head_size = usize::from(reader.u16().map_err(short)?);
    if head_size > MAX_ENVELOPE {
        return Err(RecordError::Envelope);
    }
    let head = reader.take(head_size).map_err(short)?;
    check_layout(head, CLUSTER_VERSION)?;
    let envelope: ClusterEnvelope = exact(head, RecordError::Envelope)?;
    let key = lookup(KeyId(envelope.key_id))?;
    if !verifier.verify(&key, signed, signature) {
        return Err(RecordError::Signature);
    }
    let payload: ClusterPayload = exact(reader.rest(), RecordError::Payload)?;
    Ok((envelope, payload))
}
