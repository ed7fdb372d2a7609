//! The delegation: which appliances speak to nodes, with which keys.
//!
//! ```text
//! 0   DELEGATION_TAG, 16 bytes
//! 16  format, u16, 1
//! 18  appliances, u8, 1..=MAX_APPLIANCES   19  revoked keys, u8, at most MAX_REVOKED_KEYS
//! 20  4 zero bytes
//! 24  version, u64, from 1        32  root set version, u64
//! 40  not before, u64             48  expiry, u64, > not before (seconds since 1970)
//! 56  appliances, 144 bytes each, strictly ascending by name:
//!       0   name length, u8, 1..=63; name, a-z 0-9 - . , zero-padded to 63 bytes
//!       64  X25519 public key of the agent channel
//!       96  Ed25519 public key of records
//!       128 agent port, u16   130 boot HTTP port, u16   132 IPv4 address, zero = the boot server
//!       136 8 zero bytes
//! ..  revoked key ids, 8 bytes each, strictly ascending
//! ..  signatures over all bytes before them (see `signatures`)
//! ```
//! All numbers are little-endian. A node fetches the delegation, checks it against the root set of its
//! image, and only then dials. A revoked key id names a channel key or a record key that an appliance of
//! this list, or of an older one, has lost.

use alloc::string::String;
use alloc::vec::Vec;

use crate::DELEGATION_TAG;
use crate::bytes::{Malformed, Reader, all_zero};
use crate::digest::{KeyId, key_id};
use crate::ed25519::{Verifier, acceptable_point};
use crate::roots::RootSet;
use crate::signatures::{MAX_SIGNATURES, SignatureError, SignatureList, list_size};
use crate::validity::{self, ValidityError};

/// Most appliances of a delegation.
pub const MAX_APPLIANCES: usize = 16;
/// Most revoked keys of a delegation.
pub const MAX_REVOKED_KEYS: usize = 64;
/// Longest name of an appliance, bytes.
pub const MAX_NAME: usize = 63;
const HEAD: usize = 56;
const APPLIANCE_SIZE: usize = 144;
/// Largest delegation, bytes.
pub const MAX_DELEGATION: usize =
    HEAD + MAX_APPLIANCES * APPLIANCE_SIZE + MAX_REVOKED_KEYS * 8 + list_size(MAX_SIGNATURES);
const _: () = assert!(MAX_DELEGATION <= 8 * 1024);

/// Why a delegation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// Longer than [`MAX_DELEGATION`].
    #[error("{0} bytes are too long for a delegation")]
    TooLong(usize),
    /// Cut short, or padding is not zero.
    #[error("the delegation is malformed")]
    Malformed,
    /// Bytes after its end.
    #[error("the delegation has bytes after its end")]
    Trailing,
    /// Another kind of document.
    #[error("these bytes are no delegation")]
    Tag,
    /// A later layout.
    #[error("delegation format {0} is not known")]
    Format(u16),
    /// Version 0.
    #[error("delegation version 0")]
    Version,
    /// No appliance, or too many of something.
    #[error("the delegation names {appliances} appliances and {revoked} revoked keys")]
    Count {
        /// Appliances.
        appliances: usize,
        /// Revoked keys.
        revoked: usize,
    },
    /// A name out of bounds.
    #[error("an appliance's name is malformed")]
    Name,
    /// A port 0.
    #[error("an appliance's port is 0")]
    Port,
    /// A list is not strictly ascending.
    #[error("appliances or revoked keys are out of order")]
    Order,
    /// A key of small order or not canonical, or one key in two places.
    #[error("an appliance's key is not acceptable")]
    Key,
    /// It expires before it begins.
    #[error("the delegation's expiry is not after its beginning")]
    Validity,
    /// Signed for another root set.
    #[error("the delegation is for root set version {theirs}, and version {ours} is held")]
    RootVersion {
        /// Version held here.
        ours: u64,
        /// Version that the delegation names.
        theirs: u64,
    },
    /// The signatures do not do.
    #[error("delegation refused: {0}")]
    Signatures(SignatureError),
    /// Older than one that was seen.
    #[error("delegation version {version} is older than version {least}, which was seen")]
    Older {
        /// Its version.
        version: u64,
        /// Least version accepted.
        least: u64,
    },
}

impl From<Malformed> for DelegationError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// One appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appliance {
    /// 1 to 63 of `a-z 0-9 - .`.
    pub name: String,
    /// X25519 public key of its agent channel.
    pub channel_key: [u8; 32],
    /// Ed25519 public key of its records.
    pub record_key: [u8; 32],
    /// TCP port of the agent channel.
    pub agent_port: u16,
    /// TCP port of boot HTTP.
    pub http_port: u16,
    /// Where it is; `None`: where the node booted from.
    pub address: Option<[u8; 4]>,
}

/// What a delegation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Grows with each delegation, from 1.
    pub version: u64,
    /// Version of the root set whose holders sign.
    pub root_version: u64,
    /// First second of validity, since 1970.
    pub not_before: u64,
    /// First second after validity, since 1970.
    pub expiry: u64,
    /// Appliances, ascending by name.
    pub appliances: Vec<Appliance>,
    /// Keys that count no longer, ascending.
    pub revoked: Vec<KeyId>,
}

impl Appliance {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DelegationError> {
        let len = usize::from(reader.u8()?);
        let (name, padding) = reader.take(MAX_NAME)?.split_at_checked(len).ok_or(DelegationError::Name)?;
        if !all_zero(padding) {
            return Err(DelegationError::Name);
        }
        let name = core::str::from_utf8(name).map_err(|_| DelegationError::Name)?;
        let appliance = Self {
            name: String::from(name),
            channel_key: reader.array()?,
            record_key: reader.array()?,
            agent_port: reader.u16()?,
            http_port: reader.u16()?,
            address: Some(reader.array()?).filter(|address| *address != [0; 4]),
        };
        reader.zeros(8)?;
        appliance.check()?;
        Ok(appliance)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(u8::try_from(self.name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(self.name.as_bytes());
        out.resize(start.saturating_add(1 + MAX_NAME), 0);
        out.extend_from_slice(&self.channel_key);
        out.extend_from_slice(&self.record_key);
        out.extend_from_slice(&self.agent_port.to_le_bytes());
        out.extend_from_slice(&self.http_port.to_le_bytes());
        out.extend_from_slice(&self.address.unwrap_or_default());
        out.extend_from_slice(&[0; 8]);
    }

    fn check(&self) -> Result<(), DelegationError> {
        let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        if self.name.is_empty() || self.name.len() > MAX_NAME || !self.name.bytes().all(good) {
            return Err(DelegationError::Name);
        }
        if self.agent_port == 0 || self.http_port == 0 {
            return Err(DelegationError::Port);
        }
        if !acceptable_point(&self.record_key) || self.channel_key == [0; 32] {
            return Err(DelegationError::Key);
        }
        if self.address == Some([0; 4]) {
            return Err(DelegationError::Malformed);
        }
        Ok(())
    }
}

impl Delegation {
    /// Writes what holders sign. Refuses what [`SignedDelegation::parse`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, DelegationError> {
        self.check()?;
        let count = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
        let mut out = Vec::with_capacity(MAX_DELEGATION);
        out.extend_from_slice(DELEGATION_TAG);
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&[count(self.appliances.len()), count(self.revoked.len())]);
        out.extend_from_slice(&[0; 4]);
        for number in [self.version, self.root_version, self.not_before, self.expiry] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for appliance in &self.appliances {
            appliance.encode(&mut out);
        }
        for id in &self.revoked {
            out.extend_from_slice(&id.0);
        }
        Ok(out)
    }

    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), DelegationError> {
        let mut reader = Reader::new(bytes);
        if &reader.array::<16>()? != DELEGATION_TAG {
            return Err(DelegationError::Tag);
        }
        let format = reader.u16()?;
        if format != 1 {
            return Err(DelegationError::Format(format));
        }
        let (appliances, revoked) = (usize::from(reader.u8()?), usize::from(reader.u8()?));
        reader.zeros(4)?;
        if appliances > MAX_APPLIANCES || revoked > MAX_REVOKED_KEYS {
            return Err(DelegationError::Count { appliances, revoked });
        }
        let mut delegation = Self {
            version: reader.u64()?,
            root_version: reader.u64()?,
            not_before: reader.u64()?,
            expiry: reader.u64()?,
            appliances: Vec::with_capacity(appliances),
            revoked: Vec::with_capacity(revoked),
        };
        for _ in 0..appliances {
            delegation.appliances.push(Appliance::decode(&mut reader)?);
        }
        for _ in 0..revoked {
            delegation.revoked.push(KeyId(reader.array()?));
        }
        delegation.check()?;
        Ok((delegation, reader.rest()))
    }

    fn check(&self) -> Result<(), DelegationError> {
        let (appliances, revoked) = (self.appliances.len(), self.revoked.len());
        if appliances == 0 || appliances > MAX_APPLIANCES || revoked > MAX_REVOKED_KEYS {
            return Err(DelegationError::Count { appliances, revoked });
        }
        if self.version == 0 {
            return Err(DelegationError::Version);
        }
        if self.expiry <= self.not_before {
            return Err(DelegationError::Validity);
        }
        self.appliances.iter().try_for_each(Appliance::check)?;
        if !self.appliances.is_sorted_by(|a, b| a.name < b.name) || !self.revoked.is_sorted_by(|a, b| a < b) {
            return Err(DelegationError::Order);
        }
        let mut ids = Vec::with_capacity(2 * MAX_APPLIANCES);
        for appliance in &self.appliances {
            for key in [&appliance.channel_key, &appliance.record_key] {
                let id = key_id(key);
                if ids.contains(&id) {
                    return Err(DelegationError::Key);
                }
                ids.push(id);
            }
        }
        Ok(())
    }

    /// Judges the time, in seconds since 1970.
    pub const fn valid_at(&self, unix_s: u64) -> Result<(), ValidityError> {
        validity::judge(self.not_before, self.expiry, unix_s)
    }

    /// Whether a key is revoked.
    pub fn is_revoked(&self, id: KeyId) -> bool {
        self.revoked.contains(&id)
    }

    /// The appliances that a node may dial: those of whose keys neither is revoked.
    pub fn usable(&self) -> impl Iterator<Item = &Appliance> {
        self.appliances.iter().filter(|appliance| {
            !self.is_revoked(key_id(&appliance.channel_key))
                && !self.is_revoked(key_id(&appliance.record_key))
        })
    }

    /// The appliance that has the record key of this id, revoked or not.
    pub fn by_record_key(&self, id: KeyId) -> Option<&Appliance> {
        self.appliances.iter().find(|appliance| key_id(&appliance.record_key) == id)
    }
}

/// A parsed delegation: well-formed, not yet verified.
#[derive(Clone, Debug)]
pub struct SignedDelegation<'a> {
    /// What the signatures cover.
    pub message: &'a [u8],
    /// What it says.
    pub delegation: Delegation,
    /// The signatures so far.
    pub signatures: SignatureList<'a>,
}

impl<'a> SignedDelegation<'a> {
    /// Parses a delegation that fills `bytes` wholly.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DelegationError> {
        if bytes.len() > MAX_DELEGATION {
            return Err(DelegationError::TooLong(bytes.len()));
        }
        let (delegation, rest) = Delegation::decode(bytes)?;
        let message_size = bytes.len().saturating_sub(rest.len());
        let (signatures, rest) =
            SignatureList::parse(rest, MAX_SIGNATURES).map_err(DelegationError::Signatures)?;
        if !rest.is_empty() {
            return Err(DelegationError::Trailing);
        }
        Ok(Self {
            message: bytes.get(..message_size).ok_or(DelegationError::Malformed)?,
            delegation,
            signatures,
        })
    }
}

/// Checks root set version, signatures, and that the version is `least_version` or later. Expiry is not
/// judged here; see [`Delegation::valid_at`].
pub fn verify_delegation(
    bytes: &[u8],
    roots: &RootSet,
    verifier: &impl Verifier,
    least_version: u64,
) -> Result<Delegation, DelegationError> {
    let signed = SignedDelegation::parse(bytes)?;
    if signed.delegation.root_version != roots.version() {
        return Err(DelegationError::RootVersion {
            ours: roots.version(),
            theirs: signed.delegation.root_version,
        });
    }
    signed.signatures.check(signed.message, roots, verifier).map_err(DelegationError::Signatures)?;
    if signed.delegation.version < least_version {
        return Err(DelegationError::Older { version: signed.delegation.version, least: least_version });
    }
    Ok(signed.delegation)
}
