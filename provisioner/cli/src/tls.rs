//! Whom to trust: a pinned authority, or one certificate by its SHA-256.
//!
//! The appliance makes its own certificate at its first start, so public authorities have no say here. A pinned
//! fingerprint or a certificate that stands itself in the pinned file is trusted whatever name it carries: the key
//! was compared, and an address may be a forwarded one. Any other certificate must chain to the pinned file and
//! carry the name that was dialled.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::CliError;

/// Certificates in one pinned file at most.
const PINNED_MAX: usize = 64;

#[derive(Debug)]
struct Pinned {
    provider: Arc<CryptoProvider>,
    /// Certificates trusted for themselves, by SHA-256.
    leaves: Vec<[u8; 32]>,
    /// Authorities from the pinned file.
    chain: Option<Arc<WebPkiServerVerifier>>,
}

/// SHA-256 of a certificate's DER form.
fn fingerprint(cert: &CertificateDer<'_>) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = ring::digest::digest(&ring::digest::SHA256, cert);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `sha256:` and 64 hexadecimal digits, colons allowed between them.
fn parse_pin(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let mut out = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (to, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *to = pair.iter().fold(0, |value, digit| (value << 4) | digit);
    }
    Some(out)
}

/// The TLS settings for a pinned file or fingerprint. Without a pin the connection fails, and the error names the
/// certificate that was offered.
pub(crate) fn config(ca: Option<&str>) -> Result<Arc<ClientConfig>, CliError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (leaves, chain) = match ca {
        None => (Vec::new(), None),
        Some(text) => match text.strip_prefix("sha256:") {
            Some(digits) => {
                let pin = parse_pin(digits).ok_or_else(|| {
                    CliError::usage(
                        format!("{text} is not a fingerprint"),
                        "write sha256: and 64 hexadecimal digits, as on the appliance's console",
                    )
                })?;
                (vec![pin], None)
            }
            None => read_pinned(Path::new(text), &provider)?,
        },
    };
    let verifier = Pinned { provider: Arc::clone(&provider), leaves, chain };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::usage(format!("TLS cannot be set up: {error}"), ""))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

type PinnedFile = (Vec<[u8; 32]>, Option<Arc<WebPkiServerVerifier>>);

fn read_pinned(path: &Path, provider: &Arc<CryptoProvider>) -> Result<PinnedFile, CliError> {
    let text = crate::settings::read_bounded(path).map_err(|error| CliError::file(path, error))?;
    let bad = |why: String| {
        CliError::usage(
            format!("{} holds no certificate: {why}", path.display()),
            "--ca takes a PEM file or sha256:HEX",
        )
    };
    let mut leaves = Vec::new();
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(text.as_bytes()).take(PINNED_MAX) {
        let cert = cert.map_err(|error| bad(error.to_string()))?;
        leaves.push(fingerprint(&cert));
        // A certificate that cannot be an authority is still trusted for itself.
        let _ = roots.add(cert);
    }
    if leaves.is_empty() {
        return Err(bad("no PEM block in it".into()));
    }
    let chain =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().ok();
    Ok((leaves, chain))
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
        let seen = fingerprint(end_entity);
        if self.leaves.contains(&seen) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.chain {
            Some(chain) => {
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::Error::General(format!("it offers the certificate sha256:{}", hex(&seen)))),
        }
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
    fn a_fingerprint_may_carry_colons_and_either_case() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(parse_pin(&plain), Some([0xab; 32]));
        assert_eq!(parse_pin(&colons), Some([0xab; 32]));
    }

    #[test]
    fn a_short_long_or_foreign_fingerprint_is_refused() {
        for text in ["", "ab", &"ab".repeat(33), &"xy".repeat(32), &"é".repeat(64)] {
            assert_eq!(parse_pin(text), None, "{text}");
        }
        assert_eq!(config(Some("sha256:12")).expect_err("too short").exit_code(), 2);
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let error = config(file.path().to_str()).expect_err("empty file");
        assert!(error.to_string().contains("no certificate"), "{error}");
    }
}
