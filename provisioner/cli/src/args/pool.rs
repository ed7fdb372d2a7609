//! Arguments of `pool` and `licence`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use weft_signing::cli::LicenceCommand;

use super::DryRun;
use crate::complete;

/// A pool's name.
#[derive(Debug, Args)]
pub(crate) struct PoolName {
    /// Name
    #[arg(value_name = "POOL", add = ArgValueCompleter::new(complete::pools))]
    pub(crate) pool: String,
}

/// Ranges of identifiers.
#[derive(Debug, Args)]
pub(crate) struct Ranges {
    /// Range, within 24 bits; once for each
    #[arg(long = "range", value_name = "FIRST-LAST", required = true)]
    pub(crate) ranges: Vec<String>,
}

/// `pool`.
#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    /// List pools with what is drawn and free
    #[command(
        visible_alias = "ls",
        after_help = "Example:\n  weft pool list -o json | jq '.[] | {name, free}'"
    )]
    List,
    /// Show one pool with its ranges
    #[command(after_help = "Example:\n  weft pool show default-mac -o json | jq .ranges")]
    Show(PoolName),
    /// Make a pool of identifiers that no other pool has
    #[command(after_help = "Examples:
  weft pool create lab --kind mac --range 02:00:00:00:10:00-02:00:00:00:10:ff
  weft pool create own --kind mac --oui 00:1b:21 --range 00:1b:21:00:00:00-00:1b:21:0f:ff:ff
  weft pool create names --kind wwnn --range 30:00:00:00:00:00:10:00-30:00:00:00:00:00:10:ff
  weft vs create web --mac-pool lab

Ranges are locally administered (a MAC: bit 1 of its first octet, a WWNN: it opens with 3), or of your own OUI.")]
    Create {
        /// Unique name: letters, digits, `-`, 1 to 63
        name: String,
        /// What is in it: mac or wwnn
        #[arg(long, value_name = "KIND", default_value = "mac", value_parser = ["mac", "wwnn"])]
        kind: String,
        #[command(flatten)]
        ranges: Ranges,
        /// Your own OUI, where ranges are not locally administered
        #[arg(long, value_name = "OUI", default_value = "", hide_default_value = true)]
        oui: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Add ranges to a pool
    #[command(
        after_help = "Example:\n  weft pool extend default-mac --range 06:00:00:00:00:00-06:00:00:00:ff:ff"
    )]
    Extend {
        #[command(flatten)]
        name: PoolName,
        #[command(flatten)]
        ranges: Ranges,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Delete a pool of which no server has an identifier
    #[command(after_help = "Example:\n  weft pool delete lab --yes")]
    Delete {
        #[command(flatten)]
        name: PoolName,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// `licence`: verbs of the appliance and verbs that need none.
#[derive(Debug, Subcommand)]
pub(crate) enum Licence {
    #[command(flatten)]
    Held(Held),
    #[command(flatten)]
    Offline(LicenceCommand),
}

/// A licence's identity.
#[derive(Debug, Args)]
pub(crate) struct LicenceId {
    /// Identity, or its first digits
    #[arg(value_name = "LICENCE", add = ArgValueCompleter::new(complete::licences))]
    pub(crate) licence: String,
}

/// `licence` with an appliance.
#[derive(Debug, Subcommand)]
pub(crate) enum Held {
    /// List licences with what is drawn by them
    #[command(visible_alias = "ls")]
    List,
    /// Show one licence
    #[command(after_help = "Example:\n  weft licence show 3f2a91c0")]
    Show(LicenceId),
    /// Extend a pool by a licence that a holder of the root set signed
    #[command(after_help = "Examples:
  weft licence add hall-b.licence
  weft licence add hall-b.licence --pool lab --dry-run")]
    Add {
        /// Licence, as `weft licence issue` writes it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Pool; left out: the default pool of its kind
        #[arg(long, value_name = "POOL", default_value = "", hide_default_value = true,
              add = ArgValueCompleter::new(complete::pools))]
        pool: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Remove a licence of which no server has an identifier
    #[command(after_help = "Example:\n  weft licence remove 3f2a91c0 --yes")]
    Remove {
        #[command(flatten)]
        id: LicenceId,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}
