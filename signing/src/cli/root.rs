//! `weft root`: the root set and its rotation.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use weft_format::roots::Rotation;
use weft_format::{RootSet, key_id};

use super::{HolderArgs, Report, RootsArgs, signature_report};
use crate::{RingVerifier, document, files, hex, keyfile};

/// Verbs of `weft root`.
#[derive(Debug, Subcommand)]
pub enum RootCommand {
    /// Make the first root set from holders' public keys
    #[command(
        after_help = "Example:\n  weft root new --threshold 2 --holder alice.pub --holder bob.pub --holder carol.pub --out roots.bin"
    )]
    New {
        #[command(flatten)]
        members: Members,
        /// Mark it as a lab's throw-away set, which a real appliance refuses
        #[arg(long)]
        lab: bool,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show a root set
    Show {
        #[command(flatten)]
        roots: RootsArgs,
    },
    /// Propose the next root set; holders of the old and the new sign it
    Rotate {
        #[command(flatten)]
        roots: RootsArgs,
        #[command(flatten)]
        members: Members,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Add one holder's signature to a rotation
    Sign {
        /// Rotation file
        #[arg(value_name = "ROTATION")]
        file: PathBuf,
        #[command(flatten)]
        roots: RootsArgs,
        #[command(flatten)]
        holder: HolderArgs,
    },
    /// Check a rotation and write the new root set
    Accept {
        /// Rotation file
        #[arg(value_name = "ROTATION")]
        file: PathBuf,
        #[command(flatten)]
        roots: RootsArgs,
        /// Root set file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Who is in the set.
#[derive(Debug, Args)]
pub struct Members {
    /// Signatures that are needed
    #[arg(long, value_name = "K")]
    threshold: usize,
    /// Public key file of a holder; once for each, at most 16
    #[arg(long = "holder", value_name = "FILE", required = true)]
    holders: Vec<PathBuf>,
}

impl Members {
    fn keys(&self) -> anyhow::Result<Vec<[u8; 32]>> {
        let read = |path: &PathBuf| Ok(keyfile::read_public(path)?.key);
        self.holders.iter().map(read).collect()
    }
}

impl RootCommand {
    /// Does what was asked.
    pub fn execute(self) -> anyhow::Result<Report> {
        match self {
            Self::New { members, lab, out } => {
                let set = RootSet::new(1, members.threshold, &members.keys()?, lab)?;
                files::write(&out, &document::root_set(&set))?;
                Ok(describe(&set).with("file", out.display().to_string()))
            }
            Self::Show { roots } => Ok(describe(&roots.read()?)),
            Self::Rotate { roots, members, out } => {
                let bytes = document::rotation(&roots.read()?, members.threshold, &members.keys()?)?;
                files::write(&out, &bytes)?;
                describe_rotation(&bytes)
            }
            Self::Sign { file, roots, holder } => {
                let bytes = read(&file)?;
                let signed = document::sign(&bytes, &holder.open()?, &roots.read()?)?;
                files::write(&file, &signed)?;
                describe_rotation(&signed)
            }
            Self::Accept { file, roots, out } => {
                let new = roots
                    .read()?
                    .verify_rotation(&read(&file)?, &RingVerifier)
                    .with_context(|| file.display().to_string())?;
                files::write(&out, &document::root_set(&new))?;
                Ok(describe(&new).with("file", out.display().to_string()))
            }
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = files::read(path, document::MAX_DOCUMENT)?;
    let kind = document::Kind::of(&bytes);
    anyhow::ensure!(kind == Some(document::Kind::Rotation), "{} is no root set rotation", path.display());
    Ok(bytes)
}

fn describe(set: &RootSet) -> Report {
    let keys: Vec<String> =
        set.keys().iter().map(|key| format!("{} {}", key_id(key), hex::encode(key))).collect();
    Report::new()
        .with("version", set.version())
        .with("threshold", set.threshold())
        .with("lab", set.is_lab())
        .with("digest", hex::encode(&set.digest()))
        .with("keys", keys)
}

fn describe_rotation(bytes: &[u8]) -> anyhow::Result<Report> {
    let rotation = Rotation::parse(bytes)?;
    Ok(Report::new()
        .with("from", hex::encode(&rotation.previous))
        .and(describe(&rotation.new_set))
        .and(signature_report(&rotation.signatures)))
}
