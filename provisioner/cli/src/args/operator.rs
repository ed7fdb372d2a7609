//! Arguments of `operator`.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `operator`.
#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// Draw keys, have the appliance sign them, and write the credential; the secret halves stay on this machine
    #[command(after_help = "Examples:
  weft operator issue ann --out ann.json --days 30
  weft operator issue wall --out wall.json --role observe
  weft --credential ann.json vs list")]
    Issue(OperatorIssue),
}

/// `operator issue`.
#[derive(Debug, Args)]
pub(crate) struct OperatorIssue {
    /// Who it is for, as events will say it
    pub(crate) name: String,
    /// File to write, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Days for which it holds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=90))]
    pub(crate) days: u32,
    /// What it allows
    #[arg(long, value_enum, default_value_t)]
    pub(crate) role: OperatorRole,
    /// Replace the file
    #[arg(long)]
    pub(crate) force: bool,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OperatorRole {
    /// Look
    Observe,
    /// Look, start and stop
    #[default]
    Operate,
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observe => "observe",
            Self::Operate => "operate",
        })
    }
}

/// What `configure` is to change where a node stands in for the appliance.
#[derive(Debug, Args)]
pub(crate) struct StartStop {
    /// With a credential: servers that are to run from now on
    #[arg(long, value_name = "SERVER,SERVER", value_delimiter = ',')]
    pub(crate) start: Vec<String>,
    /// With a credential: servers that are to stop
    #[arg(long, value_name = "SERVER,SERVER", value_delimiter = ',')]
    pub(crate) stop: Vec<String>,
}

impl StartStop {
    /// Servers named.
    pub(crate) fn count(&self) -> usize {
        self.start.len() + self.stop.len()
    }
}
