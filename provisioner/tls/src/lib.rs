//! Whom a client of TLS trusts: what it was told by name, and never what the system trusts.
//!
//! | pinned | trusted |
//! |---|---|
//! | a fingerprint | the certificate with this SHA-256, whatever name it carries: the key was compared, and an address may be a forwarded one |
//! | certificates | each of them for itself, likewise; any other that chains to one of them and carries the name that is dialled |
//! | an authority's fingerprint | what chains to the authority with this SHA-256, which is shown behind it, and carries the name that is dialled |
//! | nothing | nobody; the error says what was offered |
//!
//! Signatures of the handshake are checked in each case (RFC 8446, section 4.4.3).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// SHA-256 of a certificate's DER form.
pub fn fingerprint(cert: &CertificateDer<'_>) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, cert).as_ref());
    out
}

/// 64 hexadecimal digits, colons allowed between them.
pub fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
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

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A certificate that is not trusted: what a handshake fails with, inside of [`Error::Other`].
#[derive(Debug, thiserror::Error)]
#[error("{}", told(.fingerprint, .why.as_ref()))]
pub struct Offered {
    /// Its SHA-256.
    pub fingerprint: [u8; 32],
    /// Why it is not, where there is more to say than that it is not pinned.
    pub why: Option<Error>,
}

fn told(fingerprint: &[u8; 32], why: Option<&Error>) -> String {
    why.map_or_else(|| format!("it offers the certificate sha256:{}", hex(fingerprint)), ToString::to_string)
}

#[derive(Debug)]
enum Rule {
    Pinned { leaves: Vec<[u8; 32]>, chain: Option<Arc<WebPkiServerVerifier>> },
    Shown([u8; 32]),
}

/// Who is trusted.
#[derive(Debug)]
pub struct Pins {
    provider: Arc<CryptoProvider>,
    rule: Rule,
}

impl Pins {
    fn by(rule: Rule) -> Self {
        Self { provider: Arc::new(rustls::crypto::ring::default_provider()), rule }
    }

    /// Nobody.
    pub fn none() -> Self {
        Self::by(Rule::Pinned { leaves: Vec::new(), chain: None })
    }

    /// The certificate with this SHA-256, and no other.
    pub fn fingerprint(digest: [u8; 32]) -> Self {
        Self::by(Rule::Pinned { leaves: vec![digest], chain: None })
    }

    /// These certificates, and what chains to them.
    pub fn certificates(all: Vec<CertificateDer<'static>>) -> Self {
        let mut pins = Self::none();
        let leaves = all.iter().map(fingerprint).collect();
        let mut roots = RootCertStore::empty();
        for cert in all {
            // One that cannot be an authority is still trusted for itself.
            let _ = roots.add(cert);
        }
        pins.rule = Rule::Pinned { leaves, chain: pins.verifier(roots).ok() };
        pins
    }

    /// What chains to the authority with this SHA-256, which whoever is dialled shows behind its own certificate.
    pub fn shown_authority(digest: [u8; 32]) -> Self {
        Self::by(Rule::Shown(digest))
    }

    fn verifier(&self, roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Error> {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| Error::General(error.to_string()))
    }

    /// Settings of a client that speaks HTTP/1.1 and trusts these and nobody else.
    pub fn config(self) -> Result<Arc<ClientConfig>, Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// By whom a certificate is judged that is not trusted for itself.
    fn judge(&self, between: &[CertificateDer<'_>]) -> Result<Option<Arc<WebPkiServerVerifier>>, Error> {
        match &self.rule {
            Rule::Pinned { chain, .. } => Ok(chain.clone()),
            Rule::Shown(digest) => {
                let Some(authority) = between.iter().find(|cert| fingerprint(cert) == *digest) else {
                    return Ok(None);
                };
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone().into_owned())?;
                self.verifier(roots).map(Some)
            }
        }
    }
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = fingerprint(end);
        if matches!(&self.rule, Rule::Pinned { leaves, .. } if leaves.contains(&shown)) {
            return Ok(ServerCertVerified::assertion());
        }
        let judged = match self.judge(between) {
            Ok(Some(judge)) => judge.verify_server_cert(end, between, name, ocsp, now).map_err(Some),
            Ok(None) => Err(None),
            Err(error) => Err(Some(error)),
        };
        judged.map_err(|why| {
            let offered = Offered { fingerprint: shown, why };
            Error::Other(rustls::OtherError(Arc::new(offered)))
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    type Cert = CertificateDer<'static>;

    fn authority() -> (Cert, Issuer<'static, KeyPair>) {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("signed").der().clone();
        (cert, Issuer::new(params, key))
    }

    fn of(issuer: &Issuer<'static, KeyPair>, name: &str) -> Cert {
        let params = CertificateParams::new(vec![name.to_string()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, issuer).expect("signed").der().clone()
    }

    /// Whether a certificate of `host` is trusted, with these behind it; where it is not, what is said.
    fn judged(pins: &Pins, end: &Cert, behind: &[Cert], host: &'static str) -> Result<(), String> {
        let name = ServerName::try_from(host).expect("a name");
        match pins.verify_server_cert(end, behind, &name, &[], UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(Error::Other(other)) => {
                let offered: &Offered = other.0.downcast_ref().expect("it says what was offered");
                assert_eq!(offered.fingerprint, fingerprint(end));
                Err(offered.to_string())
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_pinned_certificate_is_trusted_under_any_name_and_another_is_told() {
        let own = rcgen::generate_simple_self_signed(["bmc".to_string()]).expect("made").cert.der().clone();
        let other = rcgen::generate_simple_self_signed(["bmc".to_string()]).expect("made").cert.der().clone();
        let offered = format!("it offers the certificate sha256:{}", hex(&fingerprint(&other)));
        let pins = Pins::fingerprint(fingerprint(&own));
        assert_eq!(judged(&pins, &own, &[], "elsewhere"), Ok(()));
        assert_eq!(judged(&pins, &other, &[], "bmc"), Err(offered.clone()));
        assert_eq!(judged(&Pins::none(), &other, &[], "bmc"), Err(offered));
        let pins = Pins::certificates(vec![own.clone()]);
        assert_eq!(judged(&pins, &own, &[], "elsewhere"), Ok(()));
        assert!(judged(&pins, &other, &[], "bmc").is_err());
    }

    #[test]
    fn what_a_pinned_authority_vouches_for_is_trusted_under_its_own_name() {
        let ((cert, issuer), (other_cert, other)) = (authority(), authority());
        let pins = Pins::certificates(vec![cert.clone()]);
        assert_eq!(judged(&pins, &of(&issuer, "host"), &[], "host"), Ok(()));
        let wrong = judged(&pins, &of(&issuer, "host"), &[], "elsewhere");
        assert!(wrong.is_err_and(|said| said.contains("not valid for name")), "the name is told");
        assert!(judged(&pins, &of(&other, "host"), &[other_cert], "host").is_err());
    }

    #[test]
    fn an_authority_known_by_its_digest_must_be_shown_and_have_signed() {
        let ((cert, issuer), (other_cert, other)) = (authority(), authority());
        let pins = Pins::shown_authority(fingerprint(&cert));
        let (end, foreign) = (of(&issuer, "host"), of(&other, "host"));
        assert_eq!(judged(&pins, &end, std::slice::from_ref(&cert), "host"), Ok(()));
        assert!(judged(&pins, &end, &[], "host").is_err());
        assert!(judged(&pins, &end, std::slice::from_ref(&cert), "elsewhere").is_err());
        // Another's certificate, with its own authority behind it, with ours, and with both.
        for behind in [vec![other_cert.clone()], vec![cert.clone()], vec![other_cert, cert.clone()]] {
            assert!(judged(&pins, &foreign, &behind, "host").is_err());
        }
        // The authority itself serves nobody.
        assert!(judged(&pins, &cert, std::slice::from_ref(&cert), "host").is_err());
    }

    #[test]
    fn a_fingerprint_may_carry_colons_and_either_case_and_is_whole() {
        assert_eq!(parse_fingerprint(&"ab".repeat(32)), Some([0xab; 32]));
        assert_eq!(parse_fingerprint(&vec!["AB"; 32].join(":")), Some([0xab; 32]));
        for text in ["", "ab", &"ab".repeat(33), &"xy".repeat(32), &"é".repeat(64)] {
            assert_eq!(parse_fingerprint(text), None, "{text}");
        }
    }
}
