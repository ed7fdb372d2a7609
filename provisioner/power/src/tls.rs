//! Whom to trust: one certificate by its SHA-256, or what a PEM file has. There is no way without either.
//!
//! A certificate that is named itself, by fingerprint or in the file, is trusted whatever name it carries ([`weft_tls`]): controllers
//! come with self-made ones for names of their own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use weft_tls::{Pins, hex, parse_fingerprint};

/// Certificates in one PEM text at most.
const PINNED_MAX: usize = 16;
/// Longest PEM text.
pub const MAX_PEM_BYTES: usize = 64 * 1024;

/// What is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The certificate with this SHA-256, and no other.
    Fingerprint([u8; 32]),
    /// Certificates in PEM: authorities, or controllers' own.
    Pem(String),
}

/// Why a text says nothing that could be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a certificate to trust: sha256: and 64 hexadecimal digits, or PEM with 1 to 16 certificates, 64 KiB at most"
)]
pub struct TrustError;

impl FromStr for Trust {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        if let Some(digits) = text.strip_prefix("sha256:") {
            return parse_fingerprint(digits).map(Self::Fingerprint).ok_or(TrustError);
        }
        if text.len() > MAX_PEM_BYTES {
            return Err(TrustError);
        }
        certificates(text).map(|_| Self::Pem(text.to_string()))
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(digest) => write!(f, "sha256:{}", hex(digest)),
            Self::Pem(text) => f.write_str(text),
        }
    }
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let all = CertificateDer::pem_slice_iter(text.as_bytes()).take(PINNED_MAX.saturating_add(1));
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|_| TrustError)?;
    if all.is_empty() || all.len() > PINNED_MAX { Err(TrustError) } else { Ok(all) }
}

impl Trust {
    /// TLS settings that trust this and nothing else.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let pins = match self {
            Self::Fingerprint(digest) => Pins::fingerprint(*digest),
            Self::Pem(text) => Pins::certificates(certificates(text).map_err(|error| error.to_string())?),
        };
        pins.config().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_or_certificates_are_trusted_and_nothing_else_is_taken() {
        let digits = "ab".repeat(32);
        assert_eq!(format!("sha256:{digits}").parse(), Ok(Trust::Fingerprint([0xab; 32])));
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(format!("sha256:{colons}").parse(), Ok(Trust::Fingerprint([0xab; 32])));
        for wrong in ["", "sha256:", "sha256:ab", "no PEM", "-----BEGIN CERTIFICATE-----\n"] {
            assert_eq!(wrong.parse::<Trust>(), Err(TrustError), "{wrong:?}");
        }
        let made = rcgen::generate_simple_self_signed(["bmc".to_string()]).expect("a certificate").cert.pem();
        assert_eq!(made.parse(), Ok(Trust::Pem(made.clone())));
        assert_eq!(made.repeat(PINNED_MAX + 1).parse::<Trust>(), Err(TrustError));
        assert_eq!(format!("{made}{}", " ".repeat(MAX_PEM_BYTES)).parse::<Trust>(), Err(TrustError));
    }
}
