//! What can go wrong while keys are kept and documents are signed.

use std::path::PathBuf;

use weft_format::delegation::DelegationError;
use weft_format::pe::PeError;
use weft_format::revocation::RevocationError;
use weft_format::{KeyId, LicenceError, ManifestError, RootError, SignatureError};

/// See the variants.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A file could not be read or written.
    #[error("{}: cannot {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is larger than anything of its kind.
    #[error("{}: larger than {most} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Most bytes taken.
        most: u64,
    },
    /// Others may read a secret file.
    #[error("{}: mode {mode:03o} lets others read it; make it 600", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key file or public key file of ours.
    #[error("{}: no key file of ours", path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
    },
    /// The wrong passphrase, or a key file that was changed.
    #[error("wrong passphrase, or the key file was changed")]
    Passphrase,
    /// Passphrases differ, or one is too short or too long.
    #[error("passphrase refused: {0}")]
    PassphraseRule(&'static str),
    /// The passphrase could not be had.
    #[error("cannot read the passphrase from {from}")]
    PassphraseSource {
        /// Where it should come from.
        from: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A name of a key is empty, too long or not printable.
    #[error("a key's name has 1 to 63 printable ASCII characters")]
    Name,
    /// The random generator failed.
    #[error("the system's random generator failed")]
    Random,
    /// The key is not in the root set.
    #[error("key {0} is not in the root set")]
    NotAHolder(KeyId),
    /// The key has signed this already.
    #[error("key {0} has signed this already")]
    SignedAlready(KeyId),
    /// Authenticode came before the last manifest signature.
    #[error("the image carries certificates; manifest signatures come first, Authenticode last")]
    Authenticode,
    /// The image has a manifest already.
    #[error("the image has a manifest already")]
    HasManifest,
    /// Not an image of ours.
    #[error("the image file is malformed: {0}")]
    Pe(#[from] PeError),
    /// A licence was refused.
    #[error(transparent)]
    Licence(#[from] LicenceError),
    /// A manifest was refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A root set or rotation was refused.
    #[error(transparent)]
    Root(#[from] RootError),
    /// A delegation was refused.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// A revocation list was refused.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// Signatures were refused.
    #[error(transparent)]
    Signatures(#[from] SignatureError),
    /// No document that is signed here.
    #[error("these bytes are no image, delegation, revocation list or root set rotation")]
    UnknownDocument,
}
