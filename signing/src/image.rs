//! Manifest into an image, and signatures into the manifest.
//!
//! The order is fixed: assemble the image with an empty manifest section, [`place_manifest`], then
//! [`sign`] by one holder after the other, then Authenticode ([`ready_for_authenticode`] says whether it
//! may), then publish. Each step works on the file's bytes and refuses what comes out of order.

use weft_format::manifest::{
    BODY_SIZE, BuildId, MANIFEST_SIZE, Manifest, ManifestSection, check_file, check_pinned,
};
use weft_format::signatures::{MAX_SIGNATURES, write_list};
use weft_format::{ManifestError, RootSet, pe, verify_image};

use crate::document::add_signature;
use crate::{Holder, RingVerifier, SigningError};

/// Largest image file, bytes.
pub const MAX_IMAGE: u64 = 64 * 1024 * 1024;

/// What a release says about itself; digests and size come from the file.
#[derive(Clone, Debug)]
pub struct Release {
    /// Names the build, 1 to 64 printable characters.
    pub build_id: String,
    /// Generation, from 1.
    pub generation: u64,
    /// Least generation that a node accepts once it started this image.
    pub least_generation: u64,
    /// First second of validity, since 1970.
    pub not_before: u64,
    /// First second after validity, since 1970.
    pub expiry: u64,
}

/// Writes an unsigned manifest into an image whose manifest section is empty.
pub fn place_manifest(file: &mut [u8], release: &Release, roots: &RootSet) -> Result<Manifest, SigningError> {
    if pe::has_certificates(file)? {
        return Err(SigningError::Authenticode);
    }
    check_pinned(file, roots)?;
    match ManifestSection::parse(section(file)?) {
        Err(ManifestError::Absent) => {}
        Ok(_) => return Err(SigningError::HasManifest),
        Err(error) => return Err(error.into()),
    }
    let manifest = Manifest {
        image_size: pe::image_size(file)?,
        image_digest: pe::image_digest(file)?,
        payload_digest: pe::payload_digest(file)?,
        build_id: BuildId::new(&release.build_id)?,
        generation: release.generation,
        least_generation: release.least_generation,
        not_before: release.not_before,
        expiry: release.expiry,
        root_version: roots.version(),
    };
    let mut section = [0; MANIFEST_SIZE];
    if let Some(body) = section.first_chunk_mut::<BODY_SIZE>() {
        *body = manifest.encode()?;
    }
    put_section(file, &section)?;
    Ok(manifest)
}

/// The manifest section of an image, as it stands. A BIOS boot hands it out as a file of its own.
pub fn section(file: &[u8]) -> Result<&[u8], SigningError> {
    Ok(pe::section_data(file, pe::MANIFEST_SECTION)?)
}

/// Adds one holder's signature. The image must be the one that its manifest names, and every signature
/// that is there must be good.
pub fn sign(file: &mut [u8], holder: &Holder, roots: &RootSet) -> Result<Manifest, SigningError> {
    if pe::has_certificates(file)? {
        return Err(SigningError::Authenticode);
    }
    let parsed = ManifestSection::parse(section(file)?)?;
    let manifest = parsed.manifest;
    if manifest.root_version != roots.version() {
        return Err(SigningError::Manifest(ManifestError::RootVersion {
            ours: roots.version(),
            theirs: manifest.root_version,
        }));
    }
    check_pinned(file, roots)?;
    check_file(file, &manifest)?;
    if pe::payload_digest(file)? != manifest.payload_digest {
        return Err(SigningError::Manifest(ManifestError::PayloadDigest));
    }
    let list = add_signature(parsed.body, &parsed.signatures, holder, &[roots])?;
    let mut section = [0; MANIFEST_SIZE];
    let (body, rest) = section.split_at_mut(BODY_SIZE);
    body.copy_from_slice(parsed.body);
    write_list(&list, MAX_SIGNATURES, rest).ok_or(SigningError::SignedAlready(holder.key_id()))?;
    put_section(file, &section)?;
    Ok(manifest)
}

/// Whether a node would take the image as far as signatures and digests go; what Authenticode and
/// publication ask first.
pub fn verify(file: &[u8], roots: &RootSet, floor: u64) -> Result<Manifest, SigningError> {
    Ok(verify_image(file, roots, &RingVerifier, floor)?)
}

/// Whether Authenticode may sign: k manifest signatures are there, and no certificate yet.
pub fn ready_for_authenticode(file: &[u8], roots: &RootSet) -> Result<Manifest, SigningError> {
    if pe::has_certificates(file)? {
        return Err(SigningError::Authenticode);
    }
    verify(file, roots, 0)
}

fn put_section(file: &mut [u8], section: &[u8; MANIFEST_SIZE]) -> Result<(), SigningError> {
    let range = pe::find_section(file, pe::MANIFEST_SECTION)?.content_range()?;
    let place = file.get_mut(range).ok_or(pe::PeError::Short)?;
    if place.len() != MANIFEST_SIZE {
        return Err(SigningError::Manifest(ManifestError::Malformed));
    }
    place.copy_from_slice(section);
    Ok(())
}
