//! From source to unsigned boot files.

use std::path::{Path, PathBuf};
use std::{fs, io};

use weft_format::pe::PeError;
use weft_loader::elf::ElfError;

use crate::assemble::{self, BiosError, UefiError};
use crate::build::{BuildError, Job, Target, bare_metal};

/// Why there are no boot files.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A program does not build.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A program is not where cargo put it.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The monitor's file is none that a node loads.
    #[error("the monitor cannot be loaded: {0}")]
    Monitor(#[from] ElfError),
    /// No UEFI image.
    #[error("weft.efi: {0}")]
    Uefi(#[from] UefiError),
    /// No Multiboot image.
    #[error("weft.bios: {0}")]
    Bios(#[from] BiosError),
    /// The image has no digest.
    #[error("weft.efi: {0}")]
    Digest(#[from] PeError),
    /// Every node fetches it at every power-on.
    #[error("{name} is {size} bytes, {over} over the limit of {MAX_BOOT_FILE}: see \"Size\" in docs/boot.md")]
    TooLarge {
        /// Which boot file.
        name: &'static str,
        /// Bytes, with room for Authenticode.
        size: usize,
        /// Bytes too many.
        over: usize,
    },
}

/// Most bytes of a boot file of profile `node`, signatures included.
pub const MAX_BOOT_FILE: usize = 1 << 20;
/// Room for Authenticode: certificate, signature and padding.
pub const AUTHENTICODE_ROOM: usize = 4096;

/// The program that becomes the monitor.
#[derive(Clone, Copy, Debug)]
pub struct Monitor<'a> {
    /// Workspace that holds it.
    pub workspace: &'a Path,
    /// Package and binary name.
    pub package: &'a str,
}

/// Boot files before any signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFiles {
    /// The monitor's ELF file as it was linked, with its symbols; the payload is what of it is loaded.
    pub dvmm: Vec<u8>,
    /// The UEFI program, its manifest section zero.
    pub efi: Vec<u8>,
    /// The Multiboot program. Its manifest is a file of its own: `weft_signing::image::section`.
    pub bios: Vec<u8>,
}

impl BootFiles {
    /// The image digest of the UEFI program.
    pub fn digest(&self) -> Result<[u8; 32], ImageError> {
        Ok(weft_format::pe::image_digest(&self.efi)?)
    }
}

fn build(job: &Job<'_>, package: &str, target: Target) -> Result<Vec<u8>, ImageError> {
    let path = bare_metal(job, package, target)?;
    fs::read(&path).map_err(|source| ImageError::Read { path, source })
}

/// Builds `monitor`, stub and BIOS entry and joins them with `roots`, an encoded root set.
pub fn boot_files(job: &Job<'_>, monitor: Monitor<'_>, roots: &[u8]) -> Result<BootFiles, ImageError> {
    let home = Job { workspace: monitor.workspace, ..job.clone() };
    let dvmm = build(&home, monitor.package, Target::None)?;
    let entry = build(job, "weft-bios", Target::None)?;
    let stub = build(job, "weft-stub", Target::Uefi)?;
    let payload = assemble::loadable(&dvmm)?;
    let efi = assemble::uefi(&stub, &payload, roots)?;
    let bios = assemble::bios(&entry, &payload, roots)?;
    // What is built to look into it has no limit.
    if job.profile == "node" {
        check_size("weft.efi", efi.len().saturating_add(AUTHENTICODE_ROOM))?;
        check_size("weft.bios", bios.len())?;
    }
    Ok(BootFiles { dvmm, efi, bios })
}

/// Whether a boot file keeps the limit.
pub fn check_size(name: &'static str, size: usize) -> Result<(), ImageError> {
    match size.checked_sub(MAX_BOOT_FILE) {
        None | Some(0) => Ok(()),
        Some(over) => Err(ImageError::TooLarge { name, size, over }),
    }
}
