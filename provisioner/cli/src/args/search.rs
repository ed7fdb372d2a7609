//! What is looked for among events and in logs.

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use crate::client::segment;
use crate::complete;
use crate::when;

/// Severities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Events that are looked for.
#[derive(Debug, Args)]
pub(crate) struct EventSearch {
    /// With this text anywhere, in any case
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Of this node
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    node: Option<String>,
    /// Of this virtual server
    #[arg(long, value_name = "SERVER", add = ArgValueCompleter::new(complete::servers))]
    vs: Option<String>,
    /// Of this name, or of this area where it ends with a point: vs.
    #[arg(long, value_name = "NAME")]
    kind: Option<String>,
    /// As severe or more
    #[arg(long, value_enum, value_name = "SEVERITY")]
    state: Option<Level>,
    /// Caused by this user, node or appliance
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// From this time on: RFC 3339, or how long ago: 90s, 10m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = when::point)]
    since: Option<String>,
    /// Before this time: RFC 3339, or how long ago
    #[arg(long, value_name = "TIME", value_parser = when::point)]
    until: Option<String>,
}

fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    given.map(|(name, value)| format!("&{name}={}", segment(value))).collect()
}

impl EventSearch {
    /// As the end of a query; empty where nothing is looked for.
    pub(crate) fn query(&self) -> String {
        query(&[
            ("grep", self.grep.as_deref()),
            ("node", self.node.as_deref()),
            ("vs", self.vs.as_deref()),
            ("kind", self.kind.as_deref()),
            ("state", self.state.map(Level::word)),
            ("actor", self.actor.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
        ])
    }
}

/// Lines that are looked for.
#[derive(Debug, Args)]
pub(crate) struct LogSearch {
    /// With this text, in any case
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// As severe or more
    #[arg(long, value_enum, value_name = "SEVERITY")]
    level: Option<Level>,
    /// From this time on: RFC 3339, or how long ago: 90s, 10m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = when::point)]
    since: Option<String>,
    /// Before this time: RFC 3339, or how long ago
    #[arg(long, value_name = "TIME", value_parser = when::point)]
    until: Option<String>,
    /// Those before this line: the next page towards older ones
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,
}

impl LogSearch {
    /// As the end of a query.
    pub(crate) fn query(&self) -> String {
        let before = self.before.map(|before| before.to_string());
        query(&[
            ("grep", self.grep.as_deref()),
            ("level", self.level.map(Level::word)),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
            ("before", before.as_deref()),
        ])
    }
}
