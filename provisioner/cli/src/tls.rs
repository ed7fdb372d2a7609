//! Whom to trust: a pinned authority, or one certificate by its SHA-256.
//!
//! The appliance makes its own certificate at its first start, so public authorities have no say here. How a pin is judged:
//! [`weft_tls`].

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use weft_tls::{Pins, parse_fingerprint};

use crate::error::CliError;

/// Certificates in one pinned file at most.
const PINNED_MAX: usize = 64;

/// The TLS settings for a pinned file or fingerprint. Without a pin the connection fails, and the error names the
/// certificate that was offered.
pub(crate) fn config(ca: Option<&str>) -> Result<Arc<ClientConfig>, CliError> {
    let pins = match ca {
        None => Pins::none(),
        Some(text) => match text.strip_prefix("sha256:") {
            Some(digits) => Pins::fingerprint(parse_fingerprint(digits).ok_or_else(|| {
                CliError::usage(
                    format!("{text} is not a fingerprint"),
                    "write sha256: and 64 hexadecimal digits, as on the appliance's console",
                )
            })?),
            None => Pins::certificates(read_pinned(Path::new(text))?),
        },
    };
    pins.config().map_err(|error| CliError::usage(format!("TLS cannot be set up: {error}"), ""))
}

fn read_pinned(path: &Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let text = crate::settings::read_bounded(path).map_err(|error| CliError::file(path, error))?;
    let bad = |why: String| {
        CliError::usage(
            format!("{} holds no certificate: {why}", path.display()),
            "--ca takes a PEM file or sha256:HEX",
        )
    };
    let all = CertificateDer::pem_slice_iter(text.as_bytes()).take(PINNED_MAX);
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))?;
    if all.is_empty() {
        return Err(bad("no PEM block in it".into()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_fingerprint_is_refused() {
        assert_eq!(config(Some("sha256:12")).expect_err("too short").exit_code(), 2);
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let error = config(file.path().to_str()).expect_err("empty file");
        assert!(error.to_string().contains("no certificate"), "{error}");
    }
}
