//! Operators' certificates and amendments as bytes. The types are `weft_wire::operator`'s.
//!
//! ```text
//! certificate, amendment:  domain tag, 16 bytes │ postcard │ Ed25519 signature over all before it
//! amended record:          AMENDED_TAG │ u16, certificate │ u16, amendment │ the appliance's record
//! ```
//! A certificate is signed by a delegated record key, an amendment by the key that the certificate names. The record
//! that is amended keeps its own signature: an operator can say what servers do, and nothing else about them.
//!
//! Whoever lets an operator in judges time and revocation. Members that are told of an agreed amendment judge
//! signatures alone: what was agreed stays agreed when its certificate has run out.

use alloc::vec::Vec;

use weft_types::{ConfigNumber, VsId};
use weft_wire::cluster::{ClusterConfig, LinkKey, MAX_CLUSTER_RECORD};
use weft_wire::operator::{
    AMENDED_TAG, AMENDMENT_DOMAIN, Amendment, CERTIFICATE_DOMAIN, Certificate, MAX_AMENDMENT,
    MAX_CERTIFICATE, MAX_CHANGES, MAX_OPERATOR_NAME, OPERATOR_VERSION,
};
use weft_wire::record::Desired;

use crate::bytes::Reader;
use crate::digest::{KeyId, sha256, sha256_parts};
use crate::ed25519::Verifier;
use crate::record::{RecordError, SIGNATURE_SIZE, check_layout, exact};
use crate::validity::{self, ValidityError};

/// Opens what a link key of an amended server is made of.
const LINK_TAG: &[u8; 16] = b"weft amended key";

/// Why a certificate or an amendment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// Longer than it may be.
    #[error("{0} bytes are too long for it")]
    TooLong(usize),
    /// Cut short, not canonical, or none at all.
    #[error("these bytes are none, or were changed")]
    Malformed,
    /// Another layout, earlier or later.
    #[error("it has layout {found}, and layout {spoken} is spoken here")]
    Version {
        /// Of the document.
        found: u16,
        /// The only one that is read.
        spoken: u16,
    },
    /// Its key is not delegated, or revoked.
    #[error("{0}")]
    Key(RecordError),
    /// The signature does not fit.
    #[error("its signature does not fit")]
    Signature,
    /// A name out of bounds.
    #[error("the operator's name is malformed")]
    Name,
    /// No change, or too many.
    #[error("it changes {0} servers, 1 to {MAX_CHANGES} are possible")]
    Count(usize),
    /// A server that the configuration does not have.
    #[error("it changes server {0}, which the configuration does not have")]
    Unknown(VsId),
    /// A change that is not later than the definition.
    #[error("its change of server {0} is older than the configuration")]
    Stale(VsId),
}

fn unsigned<T: serde::Serialize>(
    domain: &[u8; 16],
    value: &T,
    most: usize,
) -> Result<Vec<u8>, OperatorError> {
    let body = postcard::to_allocvec(value).map_err(|_| OperatorError::Malformed)?;
    let size = domain.len().saturating_add(body.len()).saturating_add(SIGNATURE_SIZE);
    if size > most {
        return Err(OperatorError::TooLong(size));
    }
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(domain);
    out.extend_from_slice(&body);
    Ok(out)
}

/// The value and its signature; nothing is verified yet but the layout.
fn signed<'a, T>(
    bytes: &'a [u8],
    domain: &[u8; 16],
    most: usize,
) -> Result<(T, &'a [u8], &'a [u8; 64]), OperatorError>
where
    T: serde::Serialize + for<'de> serde::Deserialize<'de>,
{
    if bytes.len() > most {
        return Err(OperatorError::TooLong(bytes.len()));
    }
    let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_SIZE>().ok_or(OperatorError::Malformed)?;
    let (tag, body) = signed.split_first_chunk::<16>().ok_or(OperatorError::Malformed)?;
    if tag != domain {
        return Err(OperatorError::Malformed);
    }
    match check_layout(body, OPERATOR_VERSION) {
        Ok(()) => {}
        Err(RecordError::Version { found, spoken }) => return Err(OperatorError::Version { found, spoken }),
        Err(_) => return Err(OperatorError::Malformed),
    }
    let value = exact(body, RecordError::Payload).map_err(|_| OperatorError::Malformed)?;
    Ok((value, signed, signature))
}

/// Whether an operator may be called so.
pub fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '@');
    (1..=MAX_OPERATOR_NAME).contains(&name.len()) && name.chars().all(good)
}

/// Writes what is to be signed of a certificate.
pub fn encode_unsigned_certificate(certificate: &Certificate) -> Result<Vec<u8>, OperatorError> {
    if !is_name(&certificate.name) {
        return Err(OperatorError::Name);
    }
    unsigned(CERTIFICATE_DOMAIN, certificate, MAX_CERTIFICATE)
}

/// Checks size, encoding, key and signature. Cluster, time and revocation of the operator are for the caller.
///
/// `lookup` gives the public key of an id, or says why not.
pub fn verify_certificate(
    bytes: &[u8],
    lookup: impl FnOnce(KeyId) -> Result<[u8; 32], RecordError>,
    verifier: &impl Verifier,
) -> Result<Certificate, OperatorError> {
    let (certificate, message, signature) =
        signed::<Certificate>(bytes, CERTIFICATE_DOMAIN, MAX_CERTIFICATE)?;
    let key = lookup(KeyId(certificate.key_id)).map_err(OperatorError::Key)?;
    if !verifier.verify(&key, message, signature) {
        return Err(OperatorError::Signature);
    }
    if !is_name(&certificate.name) {
        return Err(OperatorError::Name);
    }
    Ok(certificate)
}

/// Whether a certificate speaks at `now`, seconds since 1970.
pub const fn certificate_valid_at(certificate: &Certificate, now: u64) -> Result<(), ValidityError> {
    validity::judge(certificate.not_before, certificate.expiry, now)
}

fn check_count(amendment: &Amendment) -> Result<(), OperatorError> {
    match amendment.changes.len() {
        1..=MAX_CHANGES => Ok(()),
        count => Err(OperatorError::Count(count)),
    }
}

/// Writes what is to be signed of an amendment.
pub fn encode_unsigned_amendment(amendment: &Amendment) -> Result<Vec<u8>, OperatorError> {
    check_count(amendment)?;
    unsigned(AMENDMENT_DOMAIN, amendment, MAX_AMENDMENT)
}

/// Checks size, encoding and signature by the operator's key.
pub fn verify_amendment(
    bytes: &[u8],
    key: &[u8; 32],
    verifier: &impl Verifier,
) -> Result<Amendment, OperatorError> {
    let (amendment, message, signature) = signed::<Amendment>(bytes, AMENDMENT_DOMAIN, MAX_AMENDMENT)?;
    if !verifier.verify(key, message, signature) {
        return Err(OperatorError::Signature);
    }
    check_count(&amendment)?;
    Ok(amendment)
}

/// The parts of an amended record, none of them verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amended<'a> {
    /// Of the operator.
    pub certificate: &'a [u8],
    /// Signed by the operator.
    pub amendment: &'a [u8],
    /// The appliance's record.
    pub base: &'a [u8],
}

/// Whether these bytes claim to be an amended record.
pub fn is_amended(bytes: &[u8]) -> bool {
    bytes.starts_with(AMENDED_TAG)
}

impl<'a> Amended<'a> {
    /// Takes an amended record apart.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OperatorError> {
        let malformed = |_| OperatorError::Malformed;
        let mut reader = Reader::new(bytes);
        if &reader.array::<16>().map_err(malformed)? != AMENDED_TAG {
            return Err(OperatorError::Malformed);
        }
        let mut part = |most: usize| -> Result<&'a [u8], OperatorError> {
            let size = usize::from(reader.u16().map_err(malformed)?);
            if size > most {
                return Err(OperatorError::TooLong(size));
            }
            reader.take(size).map_err(malformed)
        };
        let (certificate, amendment) = (part(MAX_CERTIFICATE)?, part(MAX_AMENDMENT)?);
        let base = reader.rest();
        if base.len() > MAX_CLUSTER_RECORD {
            return Err(OperatorError::TooLong(base.len()));
        }
        Ok(Self { certificate, amendment, base })
    }

    /// Puts one together.
    pub fn encode(&self) -> Result<Vec<u8>, OperatorError> {
        let mut out = AMENDED_TAG.to_vec();
        for (part, most) in [(self.certificate, MAX_CERTIFICATE), (self.amendment, MAX_AMENDMENT)] {
            let size = u16::try_from(part.len()).ok().filter(|size| usize::from(*size) <= most);
            out.extend_from_slice(&size.ok_or(OperatorError::TooLong(part.len()))?.to_le_bytes());
            out.extend_from_slice(part);
        }
        if self.base.len() > MAX_CLUSTER_RECORD {
            return Err(OperatorError::TooLong(self.base.len()));
        }
        out.extend_from_slice(self.base);
        Ok(out)
    }
}

/// The number of a configuration that this amendment makes of `base`. `None` where the base leaves no room, or is
/// another one.
pub fn amended_number(base: ConfigNumber, amendment: &Amendment, signed: &[u8]) -> Option<ConfigNumber> {
    if amendment.base != (base.epoch, base.counter) {
        return None;
    }
    let [a, b, c, d, ..] = sha256(signed);
    base.amended(amendment.number, u32::from_le_bytes([a, b, c, d]))
}

/// The link key of a server that an amendment started: members know the partition's key, and nobody else can tell.
/// The appliance makes the same one when it takes the change over.
pub fn amended_link_key(partition: &LinkKey, vs: VsId, instance: u64) -> LinkKey {
    LinkKey(sha256_parts(&[LINK_TAG, &partition.0, &vs.0, &instance.to_le_bytes()]))
}

/// Changes a configuration as an amendment says.
pub fn amend(config: &mut ClusterConfig, amendment: &Amendment) -> Result<(), OperatorError> {
    let key = config.partition.key;
    for change in &amendment.changes {
        let server = config.servers.iter_mut().find(|server| server.id == change.vs);
        let server = server.ok_or(OperatorError::Unknown(change.vs))?;
        if change.generation <= server.generation || change.instance < server.instance {
            return Err(OperatorError::Stale(change.vs));
        }
        server.generation = change.generation;
        server.desired = if change.running { Desired::Running } else { Desired::Stopped };
        if change.instance > server.instance {
            server.instance = change.instance;
            if let Some(span) = &mut server.span {
                span.epoch = change.instance;
                span.key = amended_link_key(&key, change.vs, change.instance);
            }
        }
    }
    Ok(())
}
