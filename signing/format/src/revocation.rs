//! The revocation list: images that no appliance may publish or call good any more.
//!
//! ```text
//! 0   REVOCATION_TAG, 16 bytes
//! 16  format, u16, 1    18  count, u16, at most MAX_REVOKED_IMAGES    20  4 zero bytes
//! 24  version, u64, from 1        32  root set version, u64
//! 40  image digests, 32 bytes each, strictly ascending
//! ..  signatures over all bytes before them (see `signatures`)
//! ```
//! All numbers are little-endian. A list replaces the one before it and has no expiry: a revocation
//! holds until a later list leaves it out. Revoked keys of appliances stand in the delegation, and a
//! lost root key is taken out by a root set rotation.

use alloc::vec::Vec;

use crate::REVOCATION_TAG;
use crate::bytes::{Malformed, Reader};
use crate::ed25519::Verifier;
use crate::roots::RootSet;
use crate::signatures::{MAX_SIGNATURES, SignatureError, SignatureList, list_size};

/// Most images of a list.
pub const MAX_REVOKED_IMAGES: usize = 1024;
const HEAD: usize = 40;
/// Largest list, bytes.
pub const MAX_REVOCATIONS: usize = HEAD + MAX_REVOKED_IMAGES * 32 + list_size(MAX_SIGNATURES);

/// Why a revocation list was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// Cut short, or padding is not zero.
    #[error("the revocation list is malformed")]
    Malformed,
    /// Bytes after its end.
    #[error("the revocation list has bytes after its end")]
    Trailing,
    /// Another kind of document.
    #[error("these bytes are no revocation list")]
    Tag,
    /// A later layout.
    #[error("revocation list format {0} is not known")]
    Format(u16),
    /// Version 0.
    #[error("revocation list version 0")]
    Version,
    /// Too many images.
    #[error("{0} images are too many for a revocation list")]
    Count(usize),
    /// Not strictly ascending.
    #[error("revoked images are out of order or one appears twice")]
    Order,
    /// Signed for another root set.
    #[error("the revocation list is for root set version {theirs}, and version {ours} is held")]
    RootVersion {
        /// Version held here.
        ours: u64,
        /// Version that the list names.
        theirs: u64,
    },
    /// The signatures do not do.
    #[error("revocation list refused: {0}")]
    Signatures(SignatureError),
    /// Older than one that was seen.
    #[error("revocation list version {version} is older than version {least}, which was seen")]
    Older {
        /// Its version.
        version: u64,
        /// Least version accepted.
        least: u64,
    },
}

impl From<Malformed> for RevocationError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What a revocation list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocations {
    /// Grows with each list, from 1.
    pub version: u64,
    /// Version of the root set whose holders sign.
    pub root_version: u64,
    /// Image digests, ascending.
    pub images: Vec<[u8; 32]>,
}

impl Revocations {
    /// Writes what holders sign. Refuses what [`SignedRevocations::parse`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, RevocationError> {
        self.check()?;
        let count =
            u16::try_from(self.images.len()).map_err(|_| RevocationError::Count(self.images.len()))?;
        let mut out = Vec::new();
        out.extend_from_slice(REVOCATION_TAG);
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.root_version.to_le_bytes());
        for digest in &self.images {
            out.extend_from_slice(digest);
        }
        Ok(out)
    }

    /// Whether an image is revoked.
    pub fn contains(&self, image_digest: &[u8; 32]) -> bool {
        self.images.binary_search(image_digest).is_ok()
    }

    fn check(&self) -> Result<(), RevocationError> {
        if self.version == 0 {
            return Err(RevocationError::Version);
        }
        if self.images.len() > MAX_REVOKED_IMAGES {
            return Err(RevocationError::Count(self.images.len()));
        }
        if !self.images.is_sorted_by(|a, b| a < b) {
            return Err(RevocationError::Order);
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), RevocationError> {
        let mut reader = Reader::new(bytes);
        if &reader.array::<16>()? != REVOCATION_TAG {
            return Err(RevocationError::Tag);
        }
        let format = reader.u16()?;
        if format != 1 {
            return Err(RevocationError::Format(format));
        }
        let count = usize::from(reader.u16()?);
        reader.zeros(4)?;
        let (version, root_version) = (reader.u64()?, reader.u64()?);
        if count > MAX_REVOKED_IMAGES {
            return Err(RevocationError::Count(count));
        }
        let digests = reader.take(count.saturating_mul(32))?;
        let list = Self {
            version,
            root_version,
            images: digests
                .chunks_exact(32)
                .filter_map(|digest| digest.first_chunk::<32>().copied())
                .collect(),
        };
        list.check()?;
        Ok((list, reader.rest()))
    }
}

/// A parsed list: well-formed, not yet verified.
#[derive(Clone, Debug)]
pub struct SignedRevocations<'a> {
    /// What the signatures cover.
    pub message: &'a [u8],
    /// What it says.
    pub revocations: Revocations,
    /// The signatures so far.
    pub signatures: SignatureList<'a>,
}

impl<'a> SignedRevocations<'a> {
    /// Parses a list that fills `bytes` wholly.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RevocationError> {
        let (revocations, rest) = Revocations::decode(bytes)?;
        let message_size = bytes.len().saturating_sub(rest.len());
        let (signatures, rest) =
            SignatureList::parse(rest, MAX_SIGNATURES).map_err(RevocationError::Signatures)?;
        if !rest.is_empty() {
            return Err(RevocationError::Trailing);
        }
        Ok(Self {
            message: bytes.get(..message_size).ok_or(RevocationError::Malformed)?,
            revocations,
            signatures,
        })
    }
}

/// Checks root set version, signatures, and that the version is `least_version` or later.
pub fn verify_revocations(
    bytes: &[u8],
    roots: &RootSet,
    verifier: &impl Verifier,
    least_version: u64,
) -> Result<Revocations, RevocationError> {
    let signed = SignedRevocations::parse(bytes)?;
    if signed.revocations.root_version != roots.version() {
        return Err(RevocationError::RootVersion {
            ours: roots.version(),
            theirs: signed.revocations.root_version,
        });
    }
    signed.signatures.check(signed.message, roots, verifier).map_err(RevocationError::Signatures)?;
    if signed.revocations.version < least_version {
        return Err(RevocationError::Older { version: signed.revocations.version, least: least_version });
    }
    Ok(signed.revocations)
}
