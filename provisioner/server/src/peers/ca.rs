//! The authority of the appliances that hold one store: each has a certificate of it, and takes no other's.
//!
//! All of them have its key: any may lead, and whoever leads takes others in. It says nothing to clients of the interface,
//! which pin `tls/cert.pem`; that one is the same on all.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};

use crate::util::sha256;

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no certificate or key in PEM form", .0.display())]
    Pem(PathBuf),
    /// One was not made.
    #[error("the certificate was not made")]
    Make(#[source] rcgen::Error),
    /// They do not go together.
    #[error("certificates and keys do not go together")]
    Pair(#[source] rustls::Error),
    /// The authority's own do not do.
    #[error("the authority's certificate does not do: {0}")]
    Authority(String),
}

/// How long certificates are good: the appliances outlive no machine.
const DAYS: i64 = 3650;

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, "Weft appliances");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
    params.not_after = params.not_before + time::Duration::days(DAYS);
    Ok(params)
}

/// A new authority: certificate and key, PEM.
pub(crate) fn make_authority() -> Result<(String, String), CaError> {
    let make = || -> Result<_, rcgen::Error> {
        let key = KeyPair::generate()?;
        let cert = authority_params()?.self_signed(&key)?;
        Ok((cert.pem(), key.serialize_pem()))
    };
    make().map_err(CaError::Make)
}

/// A certificate for this address, with the authority's behind it, and its key, PEM.
pub(crate) fn issue(
    authority: &str,
    authority_key: &str,
    address: IpAddr,
) -> Result<(String, String), CaError> {
    let make = || -> Result<_, rcgen::Error> {
        let issuer = Issuer::new(authority_params()?, KeyPair::from_pem(authority_key)?);
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, "Weft appliance");
        params.subject_alt_names.push(SanType::IpAddress(address));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
        params.not_after = params.not_before + time::Duration::days(DAYS);
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &issuer)?;
        Ok((format!("{}{authority}", cert.pem()), key.serialize_pem()))
    };
    make().map_err(CaError::Make)
}

fn read(path: &Path) -> Result<Vec<u8>, CaError> {
    std::fs::read(path).map_err(|source| CaError::File { path: path.to_path_buf(), source })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let pem = read(path)?;
    let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(|| CaError::Pem(path.to_path_buf()))
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, CaError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| CaError::Pem(path.to_path_buf()))
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, CaError> {
    let mut roots = RootCertStore::empty();
    for cert in chain(path)? {
        roots.add(cert).map_err(CaError::Pair)?;
    }
    Ok(Arc::new(roots))
}

/// Files of an appliance's certificates.
pub(crate) struct Files {
    pub(crate) authority: PathBuf,
    pub(crate) authority_key: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn of(folder: &Path) -> Self {
        let at = |name: &str| folder.join(name);
        Self {
            authority: at("ca.pem"),
            authority_key: at("ca.key"),
            cert: at("cert.pem"),
            key: at("key.pem"),
        }
    }

    /// Digest of the authority's certificate, as invitations name it.
    pub(crate) fn fingerprint(&self) -> Result<[u8; 32], CaError> {
        let chain = chain(&self.authority)?;
        chain.first().map(|cert| sha256(cert)).ok_or_else(|| CaError::Pem(self.authority.clone()))
    }

    /// For other appliances, who show their certificate, and for one that has none yet and joins.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, CaError> {
        let provider = Arc::new(default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots(&self.authority)?, Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .map_err(|error| CaError::Authority(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CaError::Pair)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain(&self.cert)?, key(&self.key)?)
            .map_err(CaError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// To other appliances.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, CaError> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CaError::Pair)?
            .with_root_certificates(roots(&self.authority)?)
            .with_client_auth_cert(chain(&self.cert)?, key(&self.key)?)
            .map_err(CaError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// For one that joins: it knows the authority's digest from its invitation, and whoever is dialled shows that one behind its own
/// certificate.
pub(crate) fn joining(authority: [u8; 32]) -> Result<Arc<ClientConfig>, CaError> {
    weft_tls::Pins::shown_authority(authority).config().map_err(CaError::Pair)
}
