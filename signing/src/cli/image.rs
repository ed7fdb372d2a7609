//! `weft image`: manifest and signatures of a boot image.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use weft_format::manifest::{Manifest, ManifestSection};
use weft_format::pe;

use super::{HolderArgs, Report, RootsArgs, progress, signature_report, when};
use crate::image::{self, MAX_IMAGE, Release};
use crate::{files, hex};

/// Verbs of `weft image` that need no appliance.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Write an unsigned manifest into a freshly built image
    #[command(
        after_help = "Example:\n  weft image build-manifest weft.efi --roots roots.bin --build-id 1.4.0 --generation 12 \\\n      --least-generation 10 --expires 180d"
    )]
    BuildManifest {
        /// Image file
        #[arg(value_name = "IMAGE")]
        file: PathBuf,
        #[command(flatten)]
        roots: RootsArgs,
        #[command(flatten)]
        release: ReleaseArgs,
        /// Write here instead of in place
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show what an image's manifest says and who signed it; judges nothing
    Inspect {
        /// Image file
        #[arg(value_name = "IMAGE")]
        file: PathBuf,
    },
    /// Add one holder's signature
    #[command(after_help = "Example:\n  weft image sign weft.efi --roots roots.bin --key alice.key")]
    Sign {
        /// Image file
        #[arg(value_name = "IMAGE")]
        file: PathBuf,
        #[command(flatten)]
        roots: RootsArgs,
        #[command(flatten)]
        holder: HolderArgs,
        /// Write here instead of in place
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Judge an image as a node and an appliance would
    Verify {
        /// Image file
        #[arg(value_name = "IMAGE")]
        file: PathBuf,
        #[command(flatten)]
        roots: RootsArgs,
        /// Least generation that the node accepts
        #[arg(long, value_name = "N", default_value_t = 0)]
        floor: u64,
        /// Judge expiry at this time (default: now)
        #[arg(long, value_name = "WHEN", value_parser = when::parse)]
        at: Option<u64>,
    },
    /// Copy the manifest out of an image, for a BIOS boot
    ExtractManifest {
        /// Image file
        #[arg(value_name = "IMAGE")]
        file: PathBuf,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// What a release says about itself.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Names the build: 1 to 64 printable characters without spaces
    #[arg(long, value_name = "ID")]
    build_id: String,
    /// Generation; grows with each release, from 1
    #[arg(long, value_name = "N")]
    generation: u64,
    /// Least generation that nodes accept once they started this image
    #[arg(long, value_name = "N", default_value_t = 0)]
    least_generation: u64,
    /// First moment of validity: date, time or duration from now
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    not_before: Option<u64>,
    /// End of validity: date, time or duration from now
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    expires: u64,
}

impl ImageCommand {
    /// Does what was asked.
    pub fn execute(self) -> anyhow::Result<Report> {
        match self {
            Self::BuildManifest { file, roots, release, out } => {
                let mut bytes = read(&file)?;
                let release = Release {
                    build_id: release.build_id,
                    generation: release.generation,
                    least_generation: release.least_generation,
                    not_before: release.not_before.unwrap_or_else(when::now_s),
                    expiry: release.expires,
                };
                let manifest = image::place_manifest(&mut bytes, &release, &roots.read()?)?;
                files::write(out.as_deref().unwrap_or(&file), &bytes)?;
                Ok(describe(&manifest))
            }
            Self::Inspect { file } => inspect(&read(&file)?),
            Self::Sign { file, roots, holder, out } => {
                let mut bytes = read(&file)?;
                let roots = roots.read()?;
                image::sign(&mut bytes, &holder.open()?, &roots)
                    .with_context(|| format!("{} is not signed", file.display()))?;
                files::write(out.as_deref().unwrap_or(&file), &bytes)?;
                let parsed = ManifestSection::parse(image::section(&bytes)?)?;
                Ok(progress(&parsed.signatures, &roots)
                    .and(describe(&parsed.manifest))
                    .and(signature_report(&parsed.signatures)))
            }
            Self::Verify { file, roots, floor, at } => {
                let bytes = read(&file)?;
                let manifest = image::verify(&bytes, &roots.read()?, floor)
                    .with_context(|| file.display().to_string())?;
                manifest.valid_at(at.unwrap_or_else(when::now_s))?;
                let parsed = ManifestSection::parse(image::section(&bytes)?)?;
                Ok(Report::new()
                    .with("state", "good")
                    .and(describe(&manifest))
                    .and(signature_report(&parsed.signatures))
                    .with("authenticode", pe::has_certificates(&bytes)?))
            }
            Self::ExtractManifest { file, out } => {
                let bytes = read(&file)?;
                let section = image::section(&bytes)?;
                let manifest = ManifestSection::parse(section)?.manifest;
                files::write(&out, section)?;
                Ok(describe(&manifest).with("file", out.display().to_string()))
            }
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(files::read(path, MAX_IMAGE)?)
}

fn inspect(bytes: &[u8]) -> anyhow::Result<Report> {
    let parsed = ManifestSection::parse(image::section(bytes)?)?;
    let manifest = parsed.manifest;
    let as_signed = pe::image_digest(bytes)? == manifest.image_digest
        && pe::image_size(bytes)? == manifest.image_size
        && pe::payload_digest(bytes)? == manifest.payload_digest;
    let state = if as_signed { "intact" } else { "changed" };
    Ok(Report::new()
        .with("name", manifest.build_id.as_str())
        .with("state", state)
        .and(describe(&manifest))
        .and(signature_report(&parsed.signatures))
        .with("authenticode", pe::has_certificates(bytes)?))
}

fn describe(manifest: &Manifest) -> Report {
    Report::new()
        .with("build_id", manifest.build_id.as_str())
        .with("generation", manifest.generation)
        .with("least_generation", manifest.least_generation)
        .with("not_before", when::show(manifest.not_before))
        .with("expires", when::show(manifest.expiry))
        .with("image_digest", hex::encode(&manifest.image_digest))
        .with("image_size", manifest.image_size)
        .with("payload_digest", hex::encode(&manifest.payload_digest))
        .with("root_version", manifest.root_version)
}
