//! Licences: identifiers that a holder of the root set adds to a pool of an appliance.
//!
//! ```text
//! 0   LICENCE_TAG, 16 bytes
//! 16  format, u16, 1    18  kind, u8: 1 MAC, 2 WWNN    19  grant, u8: 1 range, 2 count    20  4 zero bytes
//! 24  root set version, u64       32  id, 16 bytes
//! 48  first, u64                  56  last, u64 (a count: 0, and how many)
//! 64  not before, u64             72  expiry, u64, seconds since 1970
//! 80  length of the name, u8      81  name, 63 bytes, padded with zeros
//! 144 signatures over all bytes before them (see `signatures`)
//! ```
//! All numbers are little-endian. One good signature of any holder does: a licence starts nothing and opens nothing, and
//! what it names is judged by the appliance's own rules for ranges.

use alloc::string::String;
use alloc::vec::Vec;

use crate::LICENCE_TAG;
use crate::bytes::{Malformed, Reader};
use crate::ed25519::Verifier;
use crate::roots::RootSet;
use crate::signatures::{MAX_SIGNATURES, SignatureError, SignatureList, list_size};
use crate::validity::{self, ValidityError};

/// Bytes that are signed.
const SIGNED: usize = 144;
/// Longest name, bytes.
pub const MAX_LICENCE_NAME: usize = 63;
/// Most identifiers of one licence: what one range can hold.
pub const MAX_LICENSED: u64 = 1 << 24;
/// Largest licence, bytes.
pub const MAX_LICENCE: usize = SIGNED + list_size(MAX_SIGNATURES);

/// What is licensed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LicenceKind {
    /// MAC addresses, 48 bits.
    Mac,
    /// World Wide Node Names, 64 bits.
    Wwnn,
}

/// Which identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// From the first to the last.
    Range {
        /// First.
        first: u64,
        /// Last, that one included.
        last: u64,
    },
    /// So many, of the appliance's choice.
    Count(u64),
}

/// Why a licence was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LicenceError {
    /// Cut short, or padding is not zero.
    #[error("the licence is malformed")]
    Malformed,
    /// Bytes after its end.
    #[error("the licence has bytes after its end")]
    Trailing,
    /// Another kind of document.
    #[error("these bytes are no licence")]
    Tag,
    /// A later layout.
    #[error("licence format {0} is not known")]
    Format(u16),
    /// Another kind of identifiers.
    #[error("licences of kind {0} are not known")]
    Kind(u8),
    /// A name out of bounds.
    #[error("the licence's name is not 1 to {MAX_LICENCE_NAME} printable characters without spaces")]
    Name,
    /// None, too many, or the last before the first.
    #[error("a licence has 1 to {MAX_LICENSED} identifiers")]
    Grant,
    /// Signed for another root set.
    #[error("the licence is for root set version {theirs}, and version {ours} is held")]
    RootVersion {
        /// Version held here.
        ours: u64,
        /// Version that the licence names.
        theirs: u64,
    },
    /// The signatures do not do.
    #[error("licence refused: {0}")]
    Signatures(SignatureError),
}

impl From<Malformed> for LicenceError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What a licence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence {
    /// Drawn by its issuer; no two licences have the same.
    pub id: [u8; 16],
    /// Who it is for.
    pub name: String,
    /// What is licensed.
    pub kind: LicenceKind,
    /// Which identifiers.
    pub grant: Grant,
    /// Version of the root set whose holder signs.
    pub root_version: u64,
    /// First second of validity, since 1970.
    pub not_before: u64,
    /// First second after validity, since 1970.
    pub expiry: u64,
}

impl Licence {
    /// Writes what a holder signs. Refuses what [`SignedLicence::parse`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, LicenceError> {
        self.check()?;
        let (grant, first, last) = match self.grant {
            Grant::Range { first, last } => (1, first, last),
            Grant::Count(count) => (2, 0, count),
        };
        let kind = match self.kind {
            LicenceKind::Mac => 1,
            LicenceKind::Wwnn => 2,
        };
        let length = u8::try_from(self.name.len()).map_err(|_| LicenceError::Name)?;
        let mut out = Vec::with_capacity(SIGNED);
        out.extend_from_slice(LICENCE_TAG);
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&[kind, grant, 0, 0, 0, 0]);
        out.extend_from_slice(&self.root_version.to_le_bytes());
        out.extend_from_slice(&self.id);
        for number in [first, last, self.not_before, self.expiry] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(length);
        out.extend_from_slice(self.name.as_bytes());
        out.resize(SIGNED, 0);
        Ok(out)
    }

    /// Whether it speaks at `now`, seconds since 1970.
    pub const fn valid_at(&self, now: u64) -> Result<(), ValidityError> {
        validity::judge(self.not_before, self.expiry, now)
    }

    fn check(&self) -> Result<(), LicenceError> {
        let printable = self.name.bytes().all(|byte| byte.is_ascii_graphic());
        if self.name.is_empty() || self.name.len() > MAX_LICENCE_NAME || !printable {
            return Err(LicenceError::Name);
        }
        let good = match self.grant {
            Grant::Range { first, last } => {
                last.checked_sub(first).is_some_and(|more| more < MAX_LICENSED)
                    && (self.kind == LicenceKind::Wwnn || last < 1 << 48)
            }
            Grant::Count(count) => (1..=MAX_LICENSED).contains(&count),
        };
        if good { Ok(()) } else { Err(LicenceError::Grant) }
    }

    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), LicenceError> {
        let mut reader = Reader::new(bytes);
        if &reader.array::<16>()? != LICENCE_TAG {
            return Err(LicenceError::Tag);
        }
        let format = reader.u16()?;
        if format != 1 {
            return Err(LicenceError::Format(format));
        }
        let kind = match reader.u8()? {
            1 => LicenceKind::Mac,
            2 => LicenceKind::Wwnn,
            other => return Err(LicenceError::Kind(other)),
        };
        let grant = reader.u8()?;
        reader.zeros(4)?;
        let root_version = reader.u64()?;
        let id = reader.array::<16>()?;
        let (first, last) = (reader.u64()?, reader.u64()?);
        let grant = match (grant, first) {
            (1, first) => Grant::Range { first, last },
            (2, 0) => Grant::Count(last),
            _ => return Err(LicenceError::Malformed),
        };
        let (not_before, expiry) = (reader.u64()?, reader.u64()?);
        let length = usize::from(reader.u8()?);
        if length > MAX_LICENCE_NAME {
            return Err(LicenceError::Name);
        }
        let name = core::str::from_utf8(reader.take(length)?).map_err(|_| LicenceError::Name)?;
        reader.zeros(MAX_LICENCE_NAME.saturating_sub(length))?;
        let licence = Self { id, name: name.into(), kind, grant, root_version, not_before, expiry };
        licence.check()?;
        Ok((licence, reader.rest()))
    }
}

/// A parsed licence: well-formed, not yet verified.
#[derive(Clone, Debug)]
pub struct SignedLicence<'a> {
    /// What the signatures cover.
    pub message: &'a [u8],
    /// What it says.
    pub licence: Licence,
    /// The signatures.
    pub signatures: SignatureList<'a>,
}

impl<'a> SignedLicence<'a> {
    /// Parses a licence that fills `bytes` wholly.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LicenceError> {
        let (licence, rest) = Licence::decode(bytes)?;
        let message_size = bytes.len().saturating_sub(rest.len());
        let (signatures, rest) =
            SignatureList::parse(rest, MAX_SIGNATURES).map_err(LicenceError::Signatures)?;
        if !rest.is_empty() {
            return Err(LicenceError::Trailing);
        }
        let message = bytes.get(..message_size).ok_or(LicenceError::Malformed)?;
        Ok(Self { message, licence, signatures })
    }
}

/// Checks root set version and signatures: one at least, each good and by a holder. Its validity is for the caller.
pub fn verify_licence<'a>(
    bytes: &'a [u8],
    roots: &RootSet,
    verifier: &impl Verifier,
) -> Result<SignedLicence<'a>, LicenceError> {
    let signed = SignedLicence::parse(bytes)?;
    let (ours, theirs) = (roots.version(), signed.licence.root_version);
    if ours != theirs {
        return Err(LicenceError::RootVersion { ours, theirs });
    }
    if signed.signatures.is_empty() {
        return Err(LicenceError::Signatures(SignatureError::Unsigned));
    }
    signed.signatures.check_each(signed.message, &[roots], verifier).map_err(LicenceError::Signatures)?;
    Ok(signed)
}
