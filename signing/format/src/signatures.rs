//! The list of signatures that ends every k-of-n document.
//!
//! ```text
//! 0   count, u8, at most MAX_SIGNATURES
//! 1   7 zero bytes
//! 8   count × { key id, 8 bytes; signature, 64 bytes }, strictly ascending by key id
//! ```
//! Ascending ids give each set of signatures one encoding and let nobody sign twice.

use crate::bytes::{Malformed, Reader, Writer};
use crate::digest::KeyId;
use crate::ed25519::Verifier;
use crate::roots::RootSet;

/// Most signatures that one root set can give.
pub const MAX_SIGNATURES: usize = 16;
/// Bytes of the list's head.
pub const HEAD_SIZE: usize = 8;
/// Bytes of one entry.
pub const ENTRY_SIZE: usize = 72;

/// One holder's signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Whose.
    pub key_id: KeyId,
    /// Ed25519.
    pub signature: [u8; 64],
}

/// Why a list of signatures was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The list is cut short, too long, or its padding is not zero.
    #[error("the list of signatures is malformed")]
    Malformed,
    /// No signature at all.
    #[error("it is unsigned")]
    Unsigned,
    /// Fewer holders than the root set asks for.
    #[error("it is signed by {have}, and the root set asks for {need}")]
    TooFew {
        /// Good signatures.
        have: usize,
        /// Signatures asked for.
        need: usize,
    },
    /// A holder signed twice.
    #[error("key {0} signed twice")]
    Duplicate(KeyId),
    /// Not in ascending order of key ids.
    #[error("signatures are out of order at key {0}")]
    Order(KeyId),
    /// A signer whom the root set does not name.
    #[error("key {0} is not in the root set")]
    Foreign(KeyId),
    /// A signature that does not fit these bytes and this key.
    #[error("the signature of key {0} does not fit")]
    Bad(KeyId),
}

impl From<Malformed> for SignatureError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A parsed list: well-formed, not yet verified.
#[derive(Clone, Copy, Debug)]
pub struct SignatureList<'a> {
    entries: &'a [u8],
}

impl<'a> SignatureList<'a> {
    /// Takes a list of at most `most` entries from the front; returns it with what follows.
    pub fn parse(bytes: &'a [u8], most: usize) -> Result<(Self, &'a [u8]), SignatureError> {
        let mut reader = Reader::new(bytes);
        let count = usize::from(reader.u8()?);
        reader.zeros(7)?;
        if count > most {
            return Err(SignatureError::Malformed);
        }
        let entries = reader.take(count.saturating_mul(ENTRY_SIZE))?;
        let list = Self { entries };
        let mut last: Option<KeyId> = None;
        for entry in list.iter() {
            match last.map(|last| last.cmp(&entry.key_id)) {
                None | Some(core::cmp::Ordering::Less) => {}
                Some(core::cmp::Ordering::Equal) => {
                    return Err(SignatureError::Duplicate(entry.key_id));
                }
                Some(core::cmp::Ordering::Greater) => {
                    return Err(SignatureError::Order(entry.key_id));
                }
            }
            last = Some(entry.key_id);
        }
        Ok((list, reader.rest()))
    }

    /// The signatures, ascending by key id.
    pub fn iter(&self) -> impl Iterator<Item = Signature> + use<'a> {
        self.entries.chunks_exact(ENTRY_SIZE).filter_map(|entry| {
            let (key_id, signature) = entry.split_first_chunk::<8>()?;
            Some(Signature { key_id: KeyId(*key_id), signature: *signature.first_chunk::<64>()? })
        })
    }

    /// Number of signatures.
    pub const fn len(&self) -> usize {
        self.entries.len() / ENTRY_SIZE
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks every signature, and that the root set's threshold is met.
    pub fn check(
        &self,
        message: &[u8],
        roots: &RootSet,
        verifier: &impl Verifier,
    ) -> Result<(), SignatureError> {
        self.check_each(message, &[roots], verifier)?;
        self.check_threshold(roots)
    }

    /// Checks that every signature fits and that one of the sets names its signer.
    pub(crate) fn check_each(
        &self,
        message: &[u8],
        sets: &[&RootSet],
        verifier: &impl Verifier,
    ) -> Result<(), SignatureError> {
        for entry in self.iter() {
            let key = sets
                .iter()
                .find_map(|set| set.key(entry.key_id))
                .ok_or(SignatureError::Foreign(entry.key_id))?;
            if !verifier.verify(key, message, &entry.signature) {
                return Err(SignatureError::Bad(entry.key_id));
            }
        }
        Ok(())
    }

    /// Checks that enough holders of a set signed.
    pub(crate) fn check_threshold(&self, roots: &RootSet) -> Result<(), SignatureError> {
        let have = self.iter().filter(|entry| roots.key(entry.key_id).is_some()).count();
        let need = roots.threshold();
        if self.is_empty() {
            Err(SignatureError::Unsigned)
        } else if have < need {
            Err(SignatureError::TooFew { have, need })
        } else {
            Ok(())
        }
    }
}

/// Bytes that a list of `count` signatures takes.
pub const fn list_size(count: usize) -> usize {
    HEAD_SIZE + count * ENTRY_SIZE
}

/// Writes a list that is sorted already; `None` if it does not fit `out`, is too long or not sorted.
/// Returns the bytes written.
pub fn write_list(signatures: &[Signature], most: usize, out: &mut [u8]) -> Option<usize> {
    let size = list_size(signatures.len());
    let sorted = signatures.is_sorted_by(|a, b| a.key_id < b.key_id);
    if !sorted || signatures.len() > most {
        return None;
    }
    let mut writer = Writer::new(out.get_mut(..size)?);
    writer.put(&[u8::try_from(signatures.len()).ok()?]);
    writer.put(&[0; 7]);
    for entry in signatures {
        writer.put(&entry.key_id.0);
        writer.put(&entry.signature);
    }
    Some(size)
}
