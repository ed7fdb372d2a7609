//! The manifest: what k of n holders say about one boot image.
//!
//! It fills one section of the image, [`MANIFEST_SIZE`] bytes, little-endian:
//!
//! ```text
//! 0    MANIFEST_TAG, 16 bytes
//! 16   format, u16, 1
//! 18   build id length, u8, 1..=64      19  5 zero bytes
//! 24   image size, u64
//! 32   image digest                     64  payload digest
//! 96   generation, u64                  104 least acceptable generation, u64, <= generation
//! 112  not before, u64                  120 expiry, u64, > not before (seconds since 1970)
//! 128  root set version, u64
//! 136  build id, printable ASCII, zero-padded to 64 bytes
//! 200  56 zero bytes
//! 256  signatures over bytes 0..256 (see `signatures`), then zeros to the end
//! ```
//!
//! Two digests, because no single place can check both. The *image digest* names the whole file
//! ([`crate::pe::image_digest`]); who holds the file checks it: the build host, the appliance. A boot
//! entry holds the loaded image, whose stub the firmware has relocated and whose file it never fetches
//! again; it checks the *payload digest*, SHA-256 over the bytes of the `.dvmm` section, which the
//! firmware loads as they are.

use core::fmt;

pub use weft_types::handoff::MANIFEST_SIZE;

use crate::MANIFEST_TAG;
use crate::bytes::{Malformed, Reader, Writer, all_zero};
use crate::ed25519::Verifier;
use crate::pe::{self, PeError};
use crate::roots::RootSet;
use crate::signatures::{MAX_SIGNATURES, SignatureError, SignatureList};
use crate::validity::{self, ValidityError};

/// Bytes that signatures cover.
pub const BODY_SIZE: usize = 256;
/// Longest build id, bytes.
pub const MAX_BUILD_ID: usize = 64;

/// Why a manifest, or an image by its manifest, was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The section is all zero.
    #[error("the image is unsigned: its manifest is empty")]
    Absent,
    /// Not [`MANIFEST_SIZE`] bytes, or reserved bytes are not zero.
    #[error("the manifest is malformed")]
    Malformed,
    /// Bytes after its end.
    #[error("the manifest has bytes after its end")]
    Trailing,
    /// Another kind of document.
    #[error("these bytes are no manifest")]
    Tag,
    /// A later layout.
    #[error("manifest format {0} is not known")]
    Format(u16),
    /// The build id is empty, too long, or not printable ASCII.
    #[error("the manifest's build id is malformed")]
    BuildId,
    /// Generation 0, or a least acceptable generation above it.
    #[error("the manifest asks for generation {least} or later, and is generation {generation}")]
    Generation {
        /// The image's generation.
        generation: u64,
        /// The least generation it asks nodes to accept.
        least: u64,
    },
    /// It expires before it begins.
    #[error("the manifest's expiry is not after its beginning")]
    Validity,
    /// Signed for another root set.
    #[error("the manifest is for root set version {theirs}, and version {ours} is held")]
    RootVersion {
        /// Version held here.
        ours: u64,
        /// Version that the manifest names.
        theirs: u64,
    },
    /// The image pins another root set than the one it is judged by.
    #[error("the image pins another root set")]
    OtherRoots,
    /// The signatures do not do.
    #[error("image refused: {0}")]
    Signatures(SignatureError),
    /// Older than this node accepts.
    #[error("the image is generation {generation}, older than the floor {floor} of this node")]
    BelowFloor {
        /// The image's generation.
        generation: u64,
        /// Least generation that the node starts.
        floor: u64,
    },
    /// The loaded payload is not the signed one.
    #[error("the payload differs from the signed one: image changed, or image and manifest mixed")]
    PayloadDigest,
    /// The file is not the signed one.
    #[error("the image file differs from the signed one: image changed, or image and manifest mixed")]
    ImageDigest,
    /// The file has not the signed size.
    #[error("the image file has {found} bytes, and {signed} are signed")]
    ImageSize {
        /// Bytes of the file, certificates left out.
        found: u64,
        /// Bytes that the manifest names.
        signed: u64,
    },
    /// The file is no PE image of ours.
    #[error("the image file is malformed: {0}")]
    Image(PeError),
}

impl From<Malformed> for ManifestError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Names a build: 1 to 64 printable ASCII characters without spaces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BuildId {
    bytes: [u8; MAX_BUILD_ID],
    len: u8,
}

impl BuildId {
    /// Checks and keeps a build id.
    pub fn new(text: &str) -> Result<Self, ManifestError> {
        let mut bytes = [0; MAX_BUILD_ID];
        let slot = bytes.get_mut(..text.len()).ok_or(ManifestError::BuildId)?;
        slot.copy_from_slice(text.as_bytes());
        let len = u8::try_from(text.len()).map_err(|_| ManifestError::BuildId)?;
        Self::from_padded(bytes, len)
    }

    fn from_padded(bytes: [u8; MAX_BUILD_ID], len: u8) -> Result<Self, ManifestError> {
        let (text, padding) = bytes.split_at_checked(usize::from(len)).ok_or(ManifestError::BuildId)?;
        if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) || !all_zero(padding) {
            return Err(ManifestError::BuildId);
        }
        Ok(Self { bytes, len })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

/// What a manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Bytes of the image file without certificates.
    pub image_size: u64,
    /// See [`crate::pe::image_digest`].
    pub image_digest: [u8; 32],
    /// SHA-256 over the bytes of the `.dvmm` section.
    pub payload_digest: [u8; 32],
    /// Names the build.
    pub build_id: BuildId,
    /// Grows with each release, from 1.
    pub generation: u64,
    /// A node that started this image starts nothing older than this.
    pub least_generation: u64,
    /// First second of validity, since 1970.
    pub not_before: u64,
    /// First second after validity, since 1970.
    pub expiry: u64,
    /// Version of the root set whose holders sign.
    pub root_version: u64,
}

impl Manifest {
    /// Writes what holders sign. Refuses what [`ManifestSection::parse`] would refuse.
    pub fn encode(&self) -> Result<[u8; BODY_SIZE], ManifestError> {
        self.check()?;
        let mut body = [0; BODY_SIZE];
        let mut writer = Writer::new(&mut body);
        writer.put(MANIFEST_TAG);
        writer.put(&1u16.to_le_bytes());
        writer.put(&[self.build_id.len]);
        writer.skip(5);
        writer.put(&self.image_size.to_le_bytes());
        writer.put(&self.image_digest);
        writer.put(&self.payload_digest);
        for number in
            [self.generation, self.least_generation, self.not_before, self.expiry, self.root_version]
        {
            writer.put(&number.to_le_bytes());
        }
        writer.put(&self.build_id.bytes);
        Ok(body)
    }

    fn decode(body: &[u8; BODY_SIZE]) -> Result<Self, ManifestError> {
        let mut reader = Reader::new(body);
        if &reader.array::<16>()? != MANIFEST_TAG {
            return Err(ManifestError::Tag);
        }
        let format = reader.u16()?;
        if format != 1 {
            return Err(ManifestError::Format(format));
        }
        let build_id_len = reader.u8()?;
        reader.zeros(5)?;
        let manifest = Self {
            image_size: reader.u64()?,
            image_digest: reader.array()?,
            payload_digest: reader.array()?,
            generation: reader.u64()?,
            least_generation: reader.u64()?,
            not_before: reader.u64()?,
            expiry: reader.u64()?,
            root_version: reader.u64()?,
            build_id: BuildId::from_padded(reader.array()?, build_id_len)?,
        };
        reader.zeros(56)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.generation == 0 || self.least_generation > self.generation {
            return Err(ManifestError::Generation {
                generation: self.generation,
                least: self.least_generation,
            });
        }
        if self.expiry <= self.not_before {
            return Err(ManifestError::Validity);
        }
        Ok(())
    }

    /// Judges the time, in seconds since 1970. Apart from signatures, because a node that starts has
    /// no clock that it may trust.
    pub const fn valid_at(&self, unix_s: u64) -> Result<(), ValidityError> {
        validity::judge(self.not_before, self.expiry, unix_s)
    }
}

/// A parsed manifest section: well-formed, not yet verified.
#[derive(Clone, Copy, Debug)]
pub struct ManifestSection<'a> {
    /// What the signatures cover.
    pub body: &'a [u8; BODY_SIZE],
    /// What it says.
    pub manifest: Manifest,
    /// The signatures so far.
    pub signatures: SignatureList<'a>,
}

impl<'a> ManifestSection<'a> {
    /// Parses a section of exactly [`MANIFEST_SIZE`] bytes.
    pub fn parse(section: &'a [u8]) -> Result<Self, ManifestError> {
        if section.len() != MANIFEST_SIZE {
            return Err(ManifestError::Malformed);
        }
        if all_zero(section) {
            return Err(ManifestError::Absent);
        }
        let (body, rest) = section.split_first_chunk::<BODY_SIZE>().ok_or(ManifestError::Malformed)?;
        let manifest = Manifest::decode(body)?;
        let (signatures, padding) =
            SignatureList::parse(rest, MAX_SIGNATURES).map_err(ManifestError::Signatures)?;
        if !all_zero(padding) {
            return Err(ManifestError::Trailing);
        }
        Ok(Self { body, manifest, signatures })
    }

    /// Checks root set version and signatures; nothing of the image and no floor.
    pub fn verify(&self, roots: &RootSet, verifier: &impl Verifier) -> Result<Manifest, ManifestError> {
        if self.manifest.root_version != roots.version() {
            return Err(ManifestError::RootVersion {
                ours: roots.version(),
                theirs: self.manifest.root_version,
            });
        }
        self.signatures.check(self.body, roots, verifier).map_err(ManifestError::Signatures)?;
        Ok(self.manifest)
    }
}

/// What a boot entry asks: is the manifest in `section` signed by k holders of `roots`, is the image at
/// or above `floor`, and is `payload_digest` (SHA-256 over the loaded `.dvmm` section) the signed one?
///
/// Expiry is not judged here; see [`Manifest::valid_at`].
pub fn verify_manifest(
    section: &[u8],
    roots: &RootSet,
    verifier: &impl Verifier,
    floor: u64,
    payload_digest: &[u8; 32],
) -> Result<Manifest, ManifestError> {
    let manifest = ManifestSection::parse(section)?.verify(roots, verifier)?;
    if manifest.generation < floor {
        return Err(ManifestError::BelowFloor { generation: manifest.generation, floor });
    }
    if manifest.payload_digest != *payload_digest {
        return Err(ManifestError::PayloadDigest);
    }
    Ok(manifest)
}

/// What a holder of the whole file asks: all that a boot entry asks, does the image pin `roots`, and is the
/// file the signed one? Works before and after Authenticode.
pub fn verify_image(
    file: &[u8],
    roots: &RootSet,
    verifier: &impl Verifier,
    floor: u64,
) -> Result<Manifest, ManifestError> {
    check_pinned(file, roots)?;
    let section = pe::section_data(file, pe::MANIFEST_SECTION).map_err(ManifestError::Image)?;
    let payload = pe::payload_digest(file).map_err(ManifestError::Image)?;
    let manifest = verify_manifest(section, roots, verifier, floor, &payload)?;
    check_file(file, &manifest)?;
    Ok(manifest)
}

/// Whether the image pins `roots`, so that its boot entry will judge by the same set.
pub fn check_pinned(file: &[u8], roots: &RootSet) -> Result<(), ManifestError> {
    let pinned = pe::section_data(file, pe::ROOTS_SECTION).map_err(ManifestError::Image)?;
    match RootSet::parse_padded(pinned) {
        Ok(set) if set == *roots => Ok(()),
        Ok(_) | Err(_) => Err(ManifestError::OtherRoots),
    }
}

/// Whether `file` is the image that `manifest` names.
pub fn check_file(file: &[u8], manifest: &Manifest) -> Result<(), ManifestError> {
    let found = pe::image_size(file).map_err(ManifestError::Image)?;
    if found != manifest.image_size {
        return Err(ManifestError::ImageSize { found, signed: manifest.image_size });
    }
    let digest = pe::image_digest(file).map_err(ManifestError::Image)?;
    if digest != manifest.image_digest {
        return Err(ManifestError::ImageDigest);
    }
    Ok(())
}
