//! Whom to trust: one certificate by its SHA-256, or what a PEM file has. There is no way without either.
//!
//! A certificate that is named itself, by fingerprint or in the file, is trusted whatever name it carries: controllers
//! come with self-made ones for names of their own. Any other must chain to the file and carry the name that is dialled.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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

/// 64 hexadecimal digits, colons allowed between them.
fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits = text.chars().filter(|c| *c != ':');
    let digits: Vec<u8> =
        digits.map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    let mut out = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (to, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *to = pair.iter().fold(0, |value, digit| (value << 4) | digit);
    }
    Some(out)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a certificate's DER form.
fn fingerprint(cert: &CertificateDer<'_>) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = ring::digest::digest(&ring::digest::SHA256, cert);
    out.copy_from_slice(digest.as_ref());
    out
}

/// A certificate that is not trusted.
#[derive(Debug, thiserror::Error)]
#[error("certificate sha256:{}", hex(.0))]
pub(crate) struct Offered(pub(crate) [u8; 32]);

#[derive(Debug)]
struct Pinned {
    provider: Arc<CryptoProvider>,
    leaves: Vec<[u8; 32]>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl Trust {
    /// TLS settings that trust this and nothing else.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (leaves, chain) = match self {
            Self::Fingerprint(digest) => (vec![*digest], None),
            Self::Pem(text) => {
                let mut roots = RootCertStore::empty();
                let all = certificates(text).map_err(|error| error.to_string())?;
                let leaves = all.iter().map(fingerprint).collect();
                for cert in all {
                    // One that cannot be an authority is still trusted for itself.
                    let _ = roots.add(cert);
                }
                let chain =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                        .build();
                (leaves, chain.ok())
            }
        };
        let verifier = Pinned { provider: Arc::clone(&provider), leaves, chain };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = fingerprint(end_entity);
        if self.leaves.contains(&shown) {
            return Ok(ServerCertVerified::assertion());
        }
        let chained = self.chain.as_ref().is_some_and(|chain| {
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).is_ok()
        });
        if chained {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::Other(rustls::OtherError(Arc::new(Offered(shown)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
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
