//! Arguments of `job`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DryRun, Wait};

/// A job's number.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct JobNumber {
    /// Number, as in `weft job list`
    #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) number: u64,
}

/// `job`.
#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// List jobs, newest first
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  weft job list --limit 10
  weft job list -o json | jq '.[] | select(.state == \"stuck\") | .number'"
    )]
    List {
        /// Those before this number: the next page
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Show a job and how far each step is
    #[command(
        after_help = "Examples:\n  weft job show 7\n  weft job show 7 -o json | jq '.steps[].transaction'"
    )]
    Show(JobNumber),
    /// Follow a job until it ends or is stuck; it ends with 4 unless each step is done
    #[command(after_help = "Examples:
  weft job watch 7 --timeout 600
  weft job watch 7 -o json | jq -c '{state, done}'")]
    Watch {
        #[command(flatten)]
        number: JobNumber,
        /// Seconds to wait at most
        #[arg(long, default_value_t = 3600)]
        timeout: u64,
    },
    /// Do the steps of a file as one unit: all of them, or what was done is undone
    #[command(after_help = "Examples:
  weft job run -f night.yaml --dry-run
  weft job run -f night.yaml --wait --timeout 600

night.yaml:
  name: nightly
  timeout_s: 60          # for the nodes to follow each step; 120 where it is left out
  steps:
    - action: vs stop    # also: vs start, vs reset, vs delete, node forget
      names: [web, db]
    - action: vs create
      create: {name: batch, vcpus: 1, memory_mib: 256, labels: {tier: night}}
    - action: vs start
      names: [batch]
      timeout_s: 30
    - action: vs label   # one name; keys to remove: remove: [KEY]
      names: [web]
      labels: {set: {state: resting}}
    - action: node approve
      names: [node-3]
      fingerprints: [3f2a-91c0-77de-0b14]

A step is done when its nodes report it: guests run, guests are off. Fields are those of POST /api/v1/jobs, where files
are digests; JSON is YAML too.")]
    Run {
        /// The steps, YAML or JSON; `-` reads standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        wait: Wait,
    },
    /// Cancel a job that runs: what is done of it is undone, the last step first
    #[command(after_help = "Examples:\n  weft job cancel 7 --dry-run\n  weft job cancel 7")]
    Cancel {
        #[command(flatten)]
        number: JobNumber,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Try the undo of a stuck step again
    #[command(after_help = "Example:\n  weft job retry 7")]
    Retry {
        #[command(flatten)]
        number: JobNumber,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Leave a stuck step as it is, and undo the rest of the job
    #[command(after_help = "Example:\n  weft job skip 7 --reason 'web was deleted on purpose'")]
    Skip {
        #[command(flatten)]
        number: JobNumber,
        /// Why; it is kept
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Leave a stuck job as it is
    #[command(after_help = "Example:\n  weft job abandon 7 --comment 'node-2 burnt down'")]
    Abandon {
        #[command(flatten)]
        number: JobNumber,
        /// Why; it is kept
        #[arg(long, value_name = "TEXT")]
        comment: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
}
