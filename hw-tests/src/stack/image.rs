//! The node image for this machine's lab: build, manifest, two holders, Authenticode.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use weft_format::pe;
use weft_netboot::authenticode;
use weft_netboot::build::{Job, target_dir, workspace};
use weft_netboot::image::{BootFiles, Monitor, boot_files};
use weft_signing::document;
use weft_signing::image::{Release, place_manifest, section, sign, verify};

use super::keys::LabKeys;
use crate::workspace::root;

/// Validity of a lab image.
const DAYS: u64 = 30;
/// A signed image is used again until so many days before its end.
const SPARE_DAYS: u64 = 2;
const DAY_S: u64 = 86_400;

/// A signed image.
#[derive(Clone, Debug)]
pub struct SignedImage {
    /// `weft.efi`.
    pub file: PathBuf,
    /// `weft.bios`, the same payload for BIOS machines.
    pub bios: PathBuf,
    /// Image digest.
    pub digest: String,
    /// Bytes of `weft.efi`.
    pub size: usize,
}

/// Builds the image and signs it, unless what is built was signed before and is still good.
pub fn build() -> anyhow::Result<SignedImage> {
    let keys = LabKeys::open()?;
    build_with(&keys)
}

/// The same with keys that are open.
pub fn build_with(keys: &LabKeys) -> anyhow::Result<SignedImage> {
    let files = unsigned(keys)?;
    let folder = folder()?;
    let file = folder.join("weft.efi");
    let digest = files.digest()?;
    let signed = match std::fs::read(&file) {
        Ok(bytes) if still_good(&bytes, digest, keys) => bytes,
        Ok(_) | Err(_) => sign_now(files.efi, keys, &folder)?,
    };
    let bios = folder.join("weft.bios");
    for (path, bytes) in [
        (&file, signed.as_slice()),
        (&bios, files.bios.as_slice()),
        (&folder.join("manifest"), section(&signed)?),
        (&folder.join("dvmm.elf"), files.dvmm.as_slice()),
    ] {
        std::fs::write(path, bytes).with_context(|| format!("{}", path.display()))?;
    }
    Ok(SignedImage { file, bios, digest: hex(&digest), size: signed.len() })
}

/// A second image for UEFI nodes, of the next generation: the same programs, linked at another time by what its header
/// says, so that its digest is another one.
pub fn another(keys: &LabKeys) -> anyhow::Result<SignedImage> {
    let mut files = unsigned(keys)?;
    let stamp = time_stamp(&files.efi).context("weft.efi has no header")?;
    let field = files.efi.get_mut(stamp..stamp + 4).context("weft.efi ends in its header")?;
    field.copy_from_slice(&1_u32.to_le_bytes());
    let folder = folder()?;
    let digest = files.digest()?;
    let signed = sign_now(files.efi, keys, &folder)?;
    let file = folder.join("another.efi");
    std::fs::write(&file, &signed).with_context(|| format!("{}", file.display()))?;
    Ok(SignedImage { bios: folder.join("weft.bios"), file, digest: hex(&digest), size: signed.len() })
}

/// Where the COFF header's time stamp is (PE format, "MS-DOS Stub" and "COFF File Header"): 8 bytes behind the signature,
/// whose place stands at 0x3c.
fn time_stamp(efi: &[u8]) -> Option<usize> {
    let at = efi.get(0x3c..0x40)?.try_into().ok().map(u32::from_le_bytes)?;
    usize::try_from(at).ok()?.checked_add(8)
}

fn unsigned(keys: &LabKeys) -> anyhow::Result<BootFiles> {
    let (home, target) = (workspace(), target_dir());
    let job = Job { workspace: &home, root: &home, target_dir: &target, profile: "node" };
    let monitor = Monitor { workspace: &home, package: "weft-dvmm" };
    Ok(boot_files(&job, monitor, &document::root_set(keys.roots()))?)
}

/// Where signed images are kept.
fn folder() -> anyhow::Result<PathBuf> {
    let folder = root().join("target/image");
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    Ok(folder)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn still_good(bytes: &[u8], digest: [u8; 32], keys: &LabKeys) -> bool {
    let authenticode = pe::has_certificates(bytes).unwrap_or(false);
    let manifest = verify(bytes, keys.roots(), 0);
    authenticode
        && manifest.is_ok_and(|manifest| {
            manifest.image_digest == digest && manifest.expiry > now_s().saturating_add(SPARE_DAYS * DAY_S)
        })
}

fn sign_now(mut image: Vec<u8>, keys: &LabKeys, folder: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let generation = next_generation(folder)?;
    let release = Release {
        build_id: format!("lab-{generation}"),
        generation,
        least_generation: 1,
        not_before: now_s().saturating_sub(3600),
        expiry: now_s().saturating_add(DAYS * DAY_S),
    };
    place_manifest(&mut image, &release, keys.roots())?;
    for holder in keys.signers()? {
        sign(&mut image, &holder, keys.roots())?;
    }
    let db = &keys.secure_boot().db;
    Ok(authenticode::sign(&image, keys.roots(), &db.key, &db.certificate)?)
}

/// Counts this machine's images up; publication refuses to go back.
fn next_generation(folder: &std::path::Path) -> anyhow::Result<u64> {
    let file = folder.join("generation");
    let last: u64 =
        std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let next = last.checked_add(1).context("generations ran out")?;
    std::fs::write(&file, format!("{next}\n")).with_context(|| format!("{}", file.display()))?;
    Ok(next)
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
