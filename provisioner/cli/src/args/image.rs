//! Arguments of `weft image`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use weft_signing::cli::ImageCommand;

use super::{DryRun, Rollout};
use crate::complete;

/// An image's digest.
#[derive(Debug, Args)]
pub(crate) struct ImageDigest {
    /// Digest, or its first digits
    #[arg(value_name = "DIGEST", add = ArgValueCompleter::new(complete::images))]
    pub(crate) digest: String,
}

/// `image`: verbs of the appliance and verbs that need none.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    #[command(flatten)]
    Published(Published),
    #[command(flatten)]
    Offline(ImageCommand),
}

/// `image` with an appliance.
#[derive(Debug, Subcommand)]
pub(crate) enum Published {
    /// List published images
    #[command(visible_alias = "ls")]
    List,
    /// Hand a signed image to the appliance
    #[command(after_help = "Example:\n  weft image publish weft.efi --bios weft.bios --activate")]
    Publish {
        /// Image file
        file: PathBuf,
        /// Its companion for nodes that boot by BIOS
        #[arg(long, value_name = "FILE")]
        bios: Option<PathBuf>,
        /// Let nodes boot it from now on
        #[arg(long)]
        activate: bool,
        /// Have the image judged, print what would be done, and keep nothing of it
        #[arg(long, conflicts_with_all = ["bios", "activate"])]
        dry_run: bool,
    },
    /// Let nodes boot this image from now on
    #[command(after_help = "Example:\n  weft image activate 3f2a91c0")]
    Activate {
        #[command(flatten)]
        digest: ImageDigest,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Let nodes restart into an image, one after the other
    #[command(subcommand, visible_alias = "rollouts")]
    Rollout(Rollout),
    /// Never serve this image again
    #[command(after_help = "Example:\n  weft image revoke 3f2a91c0 --yes")]
    Revoke {
        #[command(flatten)]
        digest: ImageDigest,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}
