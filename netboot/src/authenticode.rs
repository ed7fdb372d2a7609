//! The last step of an image: Authenticode, by Debian's `sbsign`.
//!
//! The db key is root-grade: whoever has it can sign a stub that checks nothing. So it signs only what
//! the owner's root set accepts, never what the image says of itself: an image that pins these very roots,
//! k good signatures over the manifest, the manifest over this very file.

use std::path::Path;
use std::{fs, io};

use weft_format::{Manifest, RootSet};
use weft_signing::{SigningError, image};

use crate::tool::{ToolError, run};

/// Why an image was not signed.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticodeError {
    /// It pins other roots, or its manifest is not what they ask for.
    #[error("refused before Authenticode: {0}")]
    Manifest(#[from] SigningError),
    /// `sbsign` or `sbverify`.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A temporary file.
    #[error("temporary file: {0}")]
    Io(#[from] io::Error),
}

/// Signs `file` with the key and certificate (PEM files), once `roots` accept it.
pub fn sign(
    file: &[u8],
    roots: &RootSet,
    key: &Path,
    certificate: &Path,
) -> Result<Vec<u8>, AuthenticodeError> {
    let manifest: Manifest = image::ready_for_authenticode(file, roots)?;
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
    image::verify(&signed, roots, manifest.generation)?;
    Ok(signed)
}
