//! The judgement over the bytes that are loaded: root set, manifest, payload, floor.
//!
//! Nothing is fetched again and nothing is judged by time: a node that starts has no clock that it
//! may trust. The next floor is the larger of the old one and the manifest's *least acceptable
//! generation*, never the generation itself, so that a release can be taken back until it says
//! otherwise.

use weft_format::{DalekVerifier, Manifest, RootSet, sha256, verify_manifest};

use crate::refuse::Refusal;

/// What the judgement gives.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The manifest, its signatures good.
    pub manifest: Manifest,
    /// Bytes of the root set, padding left out.
    pub root_set_size: usize,
    /// Floor to keep before the DVMM starts.
    pub next_floor: u64,
}

/// Judges the payload by the manifest in `section` and the padded root set in `roots`.
pub fn verify(section: &[u8], roots: &[u8], payload: &[u8], floor: u64) -> Result<Verified, Refusal> {
    let set = RootSet::parse_padded(roots)?;
    let manifest = verify_manifest(section, &set, &DalekVerifier, floor, &sha256(payload))?;
    let next_floor = floor.max(manifest.least_generation);
    Ok(Verified { manifest, root_set_size: set.encoded_size(), next_floor })
}
