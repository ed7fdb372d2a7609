//! The certificate of the interface: self-made at the first start, kept, its fingerprint shown.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use tokio_rustls::rustls;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::util::{hex, private_folder, sha256, write_whole};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no certificate or key.
    #[error("{} holds no certificate or key in PEM form", .0.display())]
    Pem(PathBuf),
    /// It was not made.
    #[error("the certificate was not made")]
    Make(#[source] rcgen::Error),
    /// Certificate and key do not go together.
    #[error("certificate and key do not go together")]
    Pair(#[source] rustls::Error),
}

/// Certificate and key in PEM form.
pub struct Certificate {
    /// `tls/cert.pem`: what a client pins.
    pub path: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// Reads `tls/cert.pem` and `tls/key.pem` of the data folder, or makes them for these addresses.
    pub fn open(data: &Path, addresses: &[IpAddr]) -> Result<Self, CertificateError> {
        let folder = data.join("tls");
        let (cert_path, key_path) = (folder.join("cert.pem"), folder.join("key.pem"));
        let fail = |path: &Path| {
            let path = path.to_path_buf();
            move |source| CertificateError::File { path, source }
        };
        if !cert_path.exists() || !key_path.exists() {
            private_folder(&folder).map_err(fail(&folder))?;
            let (cert, key) = make(addresses).map_err(CertificateError::Make)?;
            write_whole(&key_path, key.as_bytes(), 0o600).map_err(fail(&key_path))?;
            write_whole(&cert_path, cert.as_bytes(), 0o644).map_err(fail(&cert_path))?;
        }
        let pem = fs::read(&cert_path).map_err(fail(&cert_path))?;
        let chain = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CertificateError::Pem(cert_path.clone()))?;
        let pem = fs::read(&key_path).map_err(fail(&key_path))?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| CertificateError::Pem(key_path))?;
        if chain.is_empty() {
            return Err(CertificateError::Pem(cert_path));
        }
        Ok(Self { path: cert_path, chain, key })
    }

    /// `sha256:` and the digest of the certificate, as clients pin it.
    pub fn fingerprint(&self) -> String {
        format!("sha256:{}", self.chain.first().map(|cert| hex(&sha256(cert))).unwrap_or_default())
    }

    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Pair)?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(CertificateError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn make(addresses: &[IpAddr]) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(vec!["localhost".to_string(), "weft".to_string()])?;
    params.distinguished_name.push(DnType::CommonName, "Weft appliance");
    params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
    params.not_after = params.not_before + time::Duration::days(3650);
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}
