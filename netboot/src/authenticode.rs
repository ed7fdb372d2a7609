//! The last step of an image: Authenticode, by Debian's `sbsign`.
//!
//! The db key is root-grade: whoever has it can sign a stub that checks nothing. So it signs only what
//! the image's own root set accepts: k good signatures over the manifest, the manifest over this very
//! file.

use std::path::Path;
use std::{fs, io};

use weft_format::pe::{self, PeError, ROOTS_SECTION};
use weft_format::{Manifest, RootError, RootSet};
use weft_signing::{SigningError, image};

use crate::tool::{ToolError, run};

/// Why an image was not signed.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticodeError {
    /// The image carries no root set.
    #[error("not an image of ours: {0}")]
    Image(#[from] PeError),
    /// Its root set.
    #[error("{0}")]
    Roots(#[from] RootError),
    /// Its manifest is not what its root set asks for.
    #[error("refused before Authenticode: {0}")]
    Manifest(#[from] SigningError),
    /// `sbsign` or `sbverify`.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A temporary file.
    #[error("temporary file: {0}")]
    Io(#[from] io::Error),
}

fn roots(image: &[u8]) -> Result<RootSet, AuthenticodeError> {
    Ok(RootSet::parse_padded(pe::section_data(image, ROOTS_SECTION)?)?)
}

/// Signs `file` with the key and certificate (PEM files), once the root set that it carries accepts it.
pub fn sign(file: &[u8], key: &Path, certificate: &Path) -> Result<Vec<u8>, AuthenticodeError> {
    let roots = roots(file)?;
    let manifest: Manifest = image::ready_for_authenticode(file, &roots)?;
    let folder = tempfile::tempdir()?;
    let (input, output) = (folder.path().join("unsigned.efi"), folder.path().join("signed.efi"));
    fs::write(&input, file)?;
    let args = [
        "--key".as_ref(),
        key.as_os_str(),
        "--cert".as_ref(),
        certificate.as_os_str(),
        "--output".as_ref(),
        output.as_os_str(),
        input.as_os_str(),
    ];
    run("sbsign", "sbsigntool", args)?;
    let verify = ["--cert".as_ref(), certificate.as_os_str(), output.as_os_str()];
    run("sbverify", "sbsigntool", verify)?;
    let signed = fs::read(&output)?;
    // What the holders signed is still what is there.
    image::verify(&signed, &roots, manifest.generation)?;
    Ok(signed)
}
