//! `tx`, and `--dry-run` of the verbs that change something.

use clap::{Args, Subcommand};

/// Whether a change is only shown.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DryRun {
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A transaction's number.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct TxNumber {
    /// Number, as in `weft tx list`
    #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) number: u64,
}

/// `tx`.
#[derive(Debug, Subcommand)]
pub(crate) enum Tx {
    /// List transactions, newest first
    #[command(
        visible_aliases = ["log", "ls"],
        after_help = "Examples:
  weft tx list --limit 10
  weft tx list --object web --actor admin
  weft tx list --before 120
  weft tx list -o json | jq '.[] | select(.undo != \"irreversible\") | .number'"
    )]
    List {
        /// Those that changed an object of this name or identity
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        object: String,
        /// Those of this user or operator
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        actor: String,
        /// Those before this number: the next page
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// Show a transaction: who, why, and each object before and after
    #[command(after_help = "Example:\n  weft tx show 42")]
    Show(TxNumber),
    /// Show what a transaction changed, field by field
    #[command(after_help = "Example:\n  weft tx diff 42")]
    Diff(TxNumber),
    /// Take a transaction back; it is refused where a later one changed the same fields
    #[command(after_help = "Examples:
  weft tx undo 42 --dry-run
  weft tx undo 42 --yes

An undo is a transaction itself, and can be undone.")]
    Undo {
        #[command(flatten)]
        number: TxNumber,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}
