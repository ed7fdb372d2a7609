//! Arguments of `image rollout`.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use weft_api::{Selection, Selector};

use super::{DryRun, ImageDigest};
use crate::complete;

/// What becomes of servers that run on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drain {
    /// Nothing is begun where a node runs one
    #[default]
    Refuse,
    /// They are stopped, and started again once their node is back
    Stop,
}

impl Drain {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Stop => "stop",
        }
    }
}

/// A rollout's number.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct RolloutNumber {
    /// Number, as in `weft image rollout list`
    #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..), add = ArgValueCompleter::new(complete::rollouts))]
    pub(crate) number: u64,
}

/// `image rollout`.
#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// Roll an image out, node by node: the canary first, alone; it stops by itself where a node fails
    #[command(after_help = "Examples:
  weft image rollout start 3f2a91c0 --all --dry-run
  weft image rollout start 3f2a91c0 --all --canary node-3 --drain stop
  weft image rollout start 3f2a91c0 -l rack=3 --max-unavailable 2 --timeout 900
  weft image rollout start 3f2a91c0 --nodes node-1,node-2

Each node is told to restart, and must come back with the image in time. Nodes that were not reached stay as they are. Once
all approved nodes run the image it becomes the active one. To go back: weft image rollout back NUMBER.")]
    Start(RolloutStart),
    /// List rollouts, newest first
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  weft image rollout list
  weft image rollout list -o json | jq '.[] | select(.state == \"stopped\") | .number'"
    )]
    List {
        /// Those before this number: the next page
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Show a rollout and how far each node is
    #[command(after_help = "Examples:
  weft image rollout show 7
  weft image rollout show 7 -o json | jq -r '.nodes[] | select(.state == \"failed\").name'")]
    Show(RolloutNumber),
    /// Follow a rollout until it ends, stops or is paused; it ends with 4 unless it is done
    #[command(after_help = "Example:\n  weft image rollout watch 7")]
    Watch {
        #[command(flatten)]
        number: RolloutNumber,
        /// Seconds to wait at most
        #[arg(long, default_value_t = 86_400)]
        timeout: u64,
    },
    /// Begin with no further node; what is under way is brought to its end
    #[command(after_help = "Example:\n  weft image rollout pause 7")]
    Pause {
        #[command(flatten)]
        number: RolloutNumber,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Go on where it is paused; where it stopped, with the nodes that failed
    #[command(after_help = "Example:\n  weft image rollout resume 7")]
    Resume {
        #[command(flatten)]
        number: RolloutNumber,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// End it where it stands: nodes keep the image that they have
    #[command(after_help = "Example:\n  weft image rollout abort 7")]
    Abort {
        #[command(flatten)]
        number: RolloutNumber,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Go back to the images before, on all nodes that it has moved; refused below the floor
    #[command(after_help = "Examples:\n  weft image rollout back 7 --dry-run\n  weft image rollout back 7")]
    Back {
        #[command(flatten)]
        number: RolloutNumber,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

/// Which nodes.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RolloutNodes {
    /// Names, identities, or their first digits
    #[arg(long, value_name = "NODE", value_delimiter = ',', add = ArgValueCompleter::new(complete::nodes))]
    nodes: Vec<String>,
    /// Those with these labels: key=value,key!=value,key,!key
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<Selector>,
    /// All that are approved
    #[arg(long)]
    all: bool,
}

impl RolloutNodes {
    /// As the interface takes it.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            names: self.nodes.clone(),
            selector: self.selector.as_ref().map(ToString::to_string).unwrap_or_default(),
            all: self.all,
            allow_empty: false,
        }
    }
}

/// `image rollout start`.
#[derive(Debug, Args)]
pub(crate) struct RolloutStart {
    #[command(flatten)]
    pub(crate) image: ImageDigest,
    #[command(flatten)]
    pub(crate) nodes: RolloutNodes,
    /// The node that goes first, alone; left out: the first by name
    #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true, add = ArgValueCompleter::new(complete::nodes))]
    pub(crate) canary: String,
    /// Nodes that restart at once, behind the canary
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=128))]
    pub(crate) max_unavailable: u32,
    /// What becomes of servers that run on a node, those that span it included
    #[arg(long, value_enum, default_value_t)]
    pub(crate) drain: Drain,
    /// Seconds for a node to come back, and for its servers to stop and to start
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}
