//! Delegation, revocation list and root set rotation: one signature at a time.
//!
//! A document without signatures is its signed bytes and an empty list. Each holder's invocation takes
//! the document and gives it back with one signature more.

use weft_format::delegation::{Delegation, DelegationError, SignedDelegation};
use weft_format::licence::Licence;
use weft_format::revocation::{RevocationError, Revocations, SignedRevocations};
use weft_format::roots::{MAX_ROOT_SET, MAX_ROTATION_SIGNATURES, Rotation};
use weft_format::signatures::{MAX_SIGNATURES, Signature, SignatureList, list_size, write_list};
use weft_format::{
    DELEGATION_TAG, REVOCATION_TAG, ROTATION_TAG, RootError, RootSet, Verifier, verify_delegation,
    verify_revocations,
};

use crate::{Holder, RingVerifier, SigningError};

/// Largest document of any kind, bytes.
pub const MAX_DOCUMENT: u64 = 64 * 1024;

/// Kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`weft_format::delegation`].
    Delegation,
    /// [`weft_format::revocation`].
    Revocations,
    /// [`weft_format::roots`].
    Rotation,
}

impl Kind {
    /// The kind of some bytes, by their tag.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let tag = bytes.first_chunk::<16>()?;
        [
            (DELEGATION_TAG, Self::Delegation),
            (REVOCATION_TAG, Self::Revocations),
            (ROTATION_TAG, Self::Rotation),
        ]
        .into_iter()
        .find_map(|(known, kind)| (known == tag).then_some(kind))
    }
}

/// An unsigned delegation.
pub fn delegation(delegation: &Delegation) -> Result<Vec<u8>, SigningError> {
    Ok(unsigned(delegation.encode()?))
}

/// An unsigned revocation list.
pub fn revocations(revocations: &Revocations) -> Result<Vec<u8>, SigningError> {
    Ok(unsigned(revocations.encode()?))
}

/// An unsigned rotation from `old` to a set of `k` of `keys`.
pub fn rotation(old: &RootSet, k: usize, keys: &[[u8; 32]]) -> Result<Vec<u8>, SigningError> {
    let version = old.version().checked_add(1).ok_or(RootError::Version)?;
    let new = RootSet::new(version, k, keys, old.is_lab())?;
    let mut bytes = ROTATION_TAG.to_vec();
    bytes.extend_from_slice(&old.digest());
    bytes.extend_from_slice(new.encode(&mut [0; MAX_ROOT_SET]));
    Ok(unsigned(bytes))
}

/// A licence, signed by one holder of the root set: more are not asked for.
pub fn licence(licence: &Licence, holder: &Holder, roots: &RootSet) -> Result<Vec<u8>, SigningError> {
    let none = unsigned(Vec::new());
    let (list, _) = SignatureList::parse(&none, 0).map_err(weft_format::LicenceError::Signatures)?;
    append(&licence.encode()?, &list, holder, &[roots], MAX_SIGNATURES)
}

/// The bytes of a root set.
pub fn root_set(roots: &RootSet) -> Vec<u8> {
    roots.encode(&mut [0; MAX_ROOT_SET]).to_vec()
}

/// Adds one holder's signature to a document. The document must be for this root set (a rotation: from
/// it), and every signature that is there must be good.
pub fn sign(bytes: &[u8], holder: &Holder, roots: &RootSet) -> Result<Vec<u8>, SigningError> {
    match Kind::of(bytes).ok_or(SigningError::UnknownDocument)? {
        Kind::Delegation => {
            let signed = SignedDelegation::parse(bytes)?;
            let (ours, theirs) = (roots.version(), signed.delegation.root_version);
            if ours != theirs {
                return Err(DelegationError::RootVersion { ours, theirs }.into());
            }
            append(signed.message, &signed.signatures, holder, &[roots], MAX_SIGNATURES)
        }
        Kind::Revocations => {
            let signed = SignedRevocations::parse(bytes)?;
            let (ours, theirs) = (roots.version(), signed.revocations.root_version);
            if ours != theirs {
                return Err(RevocationError::RootVersion { ours, theirs }.into());
            }
            append(signed.message, &signed.signatures, holder, &[roots], MAX_SIGNATURES)
        }
        Kind::Rotation => {
            let signed = Rotation::parse(bytes)?;
            if signed.previous != roots.digest() {
                return Err(RootError::OtherSet.into());
            }
            let sets = [roots, &signed.new_set];
            append(signed.message, &signed.signatures, holder, &sets, MAX_ROTATION_SIGNATURES)
        }
    }
}

/// Checks a document's signatures against a root set; says what kind it is.
pub fn verify(bytes: &[u8], roots: &RootSet) -> Result<Kind, SigningError> {
    let kind = Kind::of(bytes).ok_or(SigningError::UnknownDocument)?;
    match kind {
        Kind::Delegation => {
            verify_delegation(bytes, roots, &RingVerifier, 0)?;
        }
        Kind::Revocations => {
            verify_revocations(bytes, roots, &RingVerifier, 0)?;
        }
        Kind::Rotation => {
            roots.verify_rotation(bytes, &RingVerifier)?;
        }
    }
    Ok(kind)
}

fn unsigned(mut message: Vec<u8>) -> Vec<u8> {
    message.resize(message.len().saturating_add(list_size(0)), 0);
    message
}

fn append(
    message: &[u8],
    signatures: &SignatureList<'_>,
    holder: &Holder,
    sets: &[&RootSet],
    most: usize,
) -> Result<Vec<u8>, SigningError> {
    let list = add_signature(message, signatures, holder, sets)?;
    let mut bytes = message.to_vec();
    bytes.resize(message.len().saturating_add(list_size(list.len())), 0);
    let place = bytes.get_mut(message.len()..).unwrap_or_default();
    write_list(&list, most, place).ok_or(SigningError::SignedAlready(holder.key_id()))?;
    Ok(bytes)
}

/// The list with one signature more, in order.
pub(crate) fn add_signature(
    message: &[u8],
    signatures: &SignatureList<'_>,
    holder: &Holder,
    sets: &[&RootSet],
) -> Result<Vec<Signature>, SigningError> {
    let key_of = |id| sets.iter().find_map(|set| set.key(id));
    let id = holder.key_id();
    if key_of(id) != Some(holder.public_key()) {
        return Err(SigningError::NotAHolder(id));
    }
    let mut list = Vec::new();
    for entry in signatures.iter() {
        let key = key_of(entry.key_id).ok_or(weft_format::SignatureError::Foreign(entry.key_id))?;
        if !RingVerifier.verify(key, message, &entry.signature) {
            return Err(weft_format::SignatureError::Bad(entry.key_id).into());
        }
        if entry.key_id == id {
            return Err(SigningError::SignedAlready(id));
        }
        list.push(entry);
    }
    list.push(holder.sign(message));
    list.sort_unstable_by_key(|entry| entry.key_id);
    Ok(list)
}
