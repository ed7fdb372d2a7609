//! `drift`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::DryRun;
use crate::complete;

/// `drift`.
#[derive(Debug, Subcommand)]
pub(crate) enum Drift {
    /// List where nodes say something else than is wanted
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  weft drift list
  weft drift list --all -o wide
  weft drift list -o json | jq -r '.[] | select(.state == \"held\").name'

STATE is held (the node is told nothing until you answer), open, settling (it comes back by itself), away, settled."
    )]
    List {
        /// Those too that were settled since the appliance started
        #[arg(long)]
        all: bool,
    },
    /// Let what is be what is wanted, in a transaction that weft tx undo takes back
    #[command(after_help = "Examples:
  weft drift accept web.state --dry-run
  weft drift accept node-1.1f2e3d4c.unknown")]
    Accept(DriftNames),
    /// Have what is wanted made so; guests that are not wanted end
    #[command(after_help = "Examples:
  weft drift enforce web.state --dry-run
  weft drift enforce web.state db.state --yes")]
    Enforce(DriftNames),
}

/// Which drifts, and how.
#[derive(Debug, Args)]
pub(crate) struct DriftNames {
    /// Names, as in `weft drift list`
    #[arg(value_name = "DRIFT", required = true, add = ArgValueCompleter::new(complete::drifts))]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}
