//! The root set: who may sign, and how many of them must.
//!
//! ```text
//! 0   ROOT_TAG, 16 bytes
//! 16  format, u16, 1
//! 18  k, u8, 1..=n         19  n, u8, 1..=MAX_KEYS
//! 20  flags, u32: bit 0 = a lab's throw-away set
//! 24  version, u64, from 1
//! 32  n × 32 bytes: Ed25519 public keys, strictly ascending
//! ```
//! All numbers are little-endian. A root set carries no signature of its own: an image pins it, and an
//! appliance's operator names it. The step from one set to the next is a *rotation*:
//!
//! ```text
//! 0   ROTATION_TAG, 16 bytes
//! 16  SHA-256 of the old root set's bytes
//! 48  the new root set
//! ..  signatures (see `signatures`) over all bytes before them, by k of the old and k of the new
//! ```

use crate::bytes::{Malformed, Reader, Writer};
use crate::digest::{KeyId, key_id, sha256};
use crate::ed25519::{Verifier, acceptable_point};
use crate::signatures::{MAX_SIGNATURES, SignatureError, SignatureList, list_size};
use crate::{ROOT_TAG, ROTATION_TAG};

/// Most keys of a root set.
pub const MAX_KEYS: usize = 16;
/// Bytes before the keys.
const HEAD: usize = 32;
/// Largest root set, bytes.
pub const MAX_ROOT_SET: usize = HEAD + MAX_KEYS * 32;
/// Most signatures of a rotation: all of the old and all of the new.
pub const MAX_ROTATION_SIGNATURES: usize = 2 * MAX_SIGNATURES;
/// Largest rotation, bytes.
pub const MAX_ROTATION: usize = 48 + MAX_ROOT_SET + list_size(MAX_ROTATION_SIGNATURES);
/// Flag: made for one machine's lab. An appliance refuses it unless told that it is a lab.
pub const FLAG_LAB: u32 = 1;

/// Why a root set was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Cut short, or reserved bytes are not zero.
    #[error("the root set is malformed")]
    Malformed,
    /// Bytes after its end.
    #[error("the root set has {0} bytes after its end")]
    Trailing(usize),
    /// Not a root set.
    #[error("these bytes are no root set")]
    Tag,
    /// A later layout.
    #[error("root set format {0} is not known")]
    Format(u16),
    /// A flag without a meaning.
    #[error("root set flags {0:#x} are not known")]
    Flags(u32),
    /// Version 0.
    #[error("root set version 0")]
    Version,
    /// `k` or `n` out of bounds.
    #[error("a root set of {k} of {n} cannot be")]
    Threshold {
        /// Signatures asked for.
        k: u8,
        /// Keys.
        n: u8,
    },
    /// Keys are not strictly ascending.
    #[error("root keys are out of order or one appears twice")]
    Order,
    /// A key that is not canonical or of small order, or whose id is another's.
    #[error("root key {0} is not acceptable")]
    Key(KeyId),
    /// A rotation from another set.
    #[error("the rotation starts from another root set")]
    OtherSet,
    /// The new version does not follow the old.
    #[error("root set version {new} does not follow version {old}")]
    NotNext {
        /// Version held.
        old: u64,
        /// Version offered.
        new: u64,
    },
    /// A set made for a lab would take the place of a real one, or the reverse.
    #[error("a rotation cannot turn a lab root set into a real one or back")]
    LabChange,
    /// The signatures do not do.
    #[error("root set rotation refused: {0}")]
    Signatures(SignatureError),
}

impl From<Malformed> for RootError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A root set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootSet {
    version: u64,
    k: u8,
    n: u8,
    flags: u32,
    keys: [[u8; 32]; MAX_KEYS],
    ids: [KeyId; MAX_KEYS],
}

impl RootSet {
    /// Makes a set of `k` of `keys`, in any order.
    pub fn new(version: u64, k: usize, keys: &[[u8; 32]], lab: bool) -> Result<Self, RootError> {
        let n = u8::try_from(keys.len()).unwrap_or(u8::MAX);
        let k = u8::try_from(k).unwrap_or(u8::MAX);
        let mut all = [[0; 32]; MAX_KEYS];
        let used = all.get_mut(..keys.len()).ok_or(RootError::Threshold { k, n })?;
        used.copy_from_slice(keys);
        used.sort_unstable();
        Self::check(version, k, n, if lab { FLAG_LAB } else { 0 }, all)
    }

    /// Parses a root set that fills `bytes` wholly.
    pub fn parse(bytes: &[u8]) -> Result<Self, RootError> {
        let (set, rest) = Self::parse_prefix(bytes)?;
        if rest.is_empty() { Ok(set) } else { Err(RootError::Trailing(rest.len())) }
    }

    /// Parses a root set at the front of a zero-padded section of an image.
    pub fn parse_padded(bytes: &[u8]) -> Result<Self, RootError> {
        let (set, rest) = Self::parse_prefix(bytes)?;
        if crate::bytes::all_zero(rest) { Ok(set) } else { Err(RootError::Trailing(rest.len())) }
    }

    fn parse_prefix(bytes: &[u8]) -> Result<(Self, &[u8]), RootError> {
        let mut reader = Reader::new(bytes);
        if &reader.array::<16>()? != ROOT_TAG {
            return Err(RootError::Tag);
        }
        let format = reader.u16()?;
        if format != 1 {
            return Err(RootError::Format(format));
        }
        let (k, n) = (reader.u8()?, reader.u8()?);
        let flags = reader.u32()?;
        let version = reader.u64()?;
        let mut keys = [[0; 32]; MAX_KEYS];
        let used = keys.get_mut(..usize::from(n)).ok_or(RootError::Threshold { k, n })?;
        for key in used {
            *key = reader.array()?;
        }
        Ok((Self::check(version, k, n, flags, keys)?, reader.rest()))
    }

    fn check(version: u64, k: u8, n: u8, flags: u32, keys: [[u8; 32]; MAX_KEYS]) -> Result<Self, RootError> {
        if flags & !FLAG_LAB != 0 {
            return Err(RootError::Flags(flags));
        }
        if version == 0 {
            return Err(RootError::Version);
        }
        let used = keys.get(..usize::from(n)).ok_or(RootError::Threshold { k, n })?;
        if k == 0 || k > n {
            return Err(RootError::Threshold { k, n });
        }
        if !used.is_sorted_by(|a, b| a < b) {
            return Err(RootError::Order);
        }
        let mut ids = [KeyId::default(); MAX_KEYS];
        for (position, key) in used.iter().enumerate() {
            let id = key_id(key);
            let (before, rest) = ids.split_at_mut(position);
            if !acceptable_point(key) || before.contains(&id) {
                return Err(RootError::Key(id));
            }
            if let Some(slot) = rest.first_mut() {
                *slot = id;
            }
        }
        Ok(Self { version, k, n, flags, keys, ids })
    }

    /// Writes the set; returns the bytes of `out` used.
    pub fn encode<'a>(&self, out: &'a mut [u8; MAX_ROOT_SET]) -> &'a [u8] {
        let size = self.encoded_size();
        let mut writer = Writer::new(out);
        writer.put(ROOT_TAG);
        writer.put(&1u16.to_le_bytes());
        writer.put(&[self.k, self.n]);
        writer.put(&self.flags.to_le_bytes());
        writer.put(&self.version.to_le_bytes());
        for key in self.keys() {
            writer.put(key);
        }
        out.get(..size).unwrap_or_default()
    }

    /// Bytes that the set takes.
    pub const fn encoded_size(&self) -> usize {
        HEAD + self.n as usize * 32
    }

    /// SHA-256 of the set's bytes.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.encode(&mut [0; MAX_ROOT_SET]))
    }

    /// Version, from 1; each rotation adds 1.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Signatures asked for.
    pub const fn threshold(&self) -> usize {
        self.k as usize
    }

    /// Whether it was made for a lab.
    pub const fn is_lab(&self) -> bool {
        self.flags & FLAG_LAB != 0
    }

    /// The public keys, ascending.
    pub fn keys(&self) -> &[[u8; 32]] {
        self.keys.get(..usize::from(self.n)).unwrap_or_default()
    }

    /// The key with this id.
    pub fn key(&self, id: KeyId) -> Option<&[u8; 32]> {
        let position = self.ids.iter().take(usize::from(self.n)).position(|known| *known == id)?;
        self.keys.get(position)
    }

    /// Verifies a rotation that starts from this set, and returns the new one.
    pub fn verify_rotation(&self, rotation: &[u8], verifier: &impl Verifier) -> Result<Self, RootError> {
        let rotation = Rotation::parse(rotation)?;
        let new = rotation.new_set;
        if rotation.previous != self.digest() {
            return Err(RootError::OtherSet);
        }
        if self.version.checked_add(1) != Some(new.version) {
            return Err(RootError::NotNext { old: self.version, new: new.version });
        }
        if self.is_lab() != new.is_lab() {
            return Err(RootError::LabChange);
        }
        let list = rotation.signatures;
        list.check_each(rotation.message, &[self, &new], verifier)
            .and_then(|()| list.check_threshold(self))
            .and_then(|()| list.check_threshold(&new))
            .map_err(RootError::Signatures)?;
        Ok(new)
    }
}

/// A parsed rotation: well-formed, not yet verified ([`RootSet::verify_rotation`]).
#[derive(Clone, Debug)]
pub struct Rotation<'a> {
    /// What the signatures cover.
    pub message: &'a [u8],
    /// Digest of the old set.
    pub previous: [u8; 32],
    /// The new set.
    pub new_set: RootSet,
    /// The signatures so far.
    pub signatures: SignatureList<'a>,
}

impl<'a> Rotation<'a> {
    /// Parses a rotation that fills `bytes` wholly.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RootError> {
        let mut reader = Reader::new(bytes);
        if &reader.array::<16>()? != ROTATION_TAG {
            return Err(RootError::Tag);
        }
        let previous = reader.array()?;
        let (new_set, rest) = RootSet::parse_prefix(reader.rest())?;
        let message_size = bytes.len().saturating_sub(rest.len());
        let message = bytes.get(..message_size).ok_or(RootError::Malformed)?;
        let (signatures, rest) =
            SignatureList::parse(rest, MAX_ROTATION_SIGNATURES).map_err(RootError::Signatures)?;
        if !rest.is_empty() {
            return Err(RootError::Trailing(rest.len()));
        }
        Ok(Self { message, previous, new_set, signatures })
    }
}
