//! Arguments of `datacenter`, `mainframe`, `frame`, of moves, and of `topology`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::{DryRun, LabelArg, Nodes, Shown};
use crate::complete;

/// `datacenter`.
#[derive(Debug, Subcommand)]
pub(crate) enum Datacenter {
    #[command(flatten)]
    Held(Container),
    /// Make a data center
    #[command(after_help = "Examples:\n  weft datacenter create north --label country=de")]
    Create(ContainerCreate),
    /// Rename it
    #[command(after_help = "Example:\n  weft datacenter edit north --name berlin")]
    Edit(ContainerEdit),
}

/// `mainframe`.
#[derive(Debug, Subcommand)]
pub(crate) enum Mainframe {
    #[command(flatten)]
    Held(Container),
    /// Make a virtual mainframe in a data center
    #[command(after_help = "Example:\n  weft mainframe create m1 --datacenter north")]
    Create {
        #[command(flatten)]
        args: ContainerCreate,
        /// Data center that it stands in
        #[arg(long, value_name = "DATACENTER", add = ArgValueCompleter::new(complete::datacenters))]
        datacenter: String,
    },
    /// Rename it, or have it in another data center
    #[command(after_help = "Examples:
  weft mainframe edit m1 --name m2
  weft mainframe edit m1 --datacenter south --dry-run")]
    Edit {
        #[command(flatten)]
        args: ContainerEdit,
        /// Data center that it is to stand in
        #[arg(long, value_name = "DATACENTER", add = ArgValueCompleter::new(complete::datacenters))]
        datacenter: Option<String>,
    },
}

/// `frame`.
#[derive(Debug, Subcommand)]
pub(crate) enum Frame {
    #[command(flatten)]
    Held(Container),
    /// Make a frame in a virtual mainframe
    #[command(after_help = "Examples:
  weft frame create rack-1 --mainframe m1
  weft node move node-1 node-2 --frame rack-1")]
    Create {
        #[command(flatten)]
        args: ContainerCreate,
        /// Virtual mainframe that it stands in
        #[arg(long, value_name = "MAINFRAME", add = ArgValueCompleter::new(complete::mainframes))]
        mainframe: String,
    },
    /// Rename it, or have it in another virtual mainframe, with the nodes in it
    #[command(after_help = "Examples:
  weft frame edit rack-1 --name rack-7
  weft frame edit rack-1 --mainframe m2 --dry-run")]
    Edit {
        #[command(flatten)]
        args: ContainerEdit,
        /// Virtual mainframe that it is to stand in
        #[arg(long, value_name = "MAINFRAME", add = ArgValueCompleter::new(complete::mainframes))]
        mainframe: Option<String>,
    },
}

/// What is the same for all three.
#[derive(Debug, Subcommand)]
pub(crate) enum Container {
    /// List them
    #[command(visible_alias = "ls")]
    List(Shown),
    /// Show one, with what stands in it
    Show(ContainerName),
    /// Change its labels: KEY=VALUE to have it, KEY- to have it no more
    Label {
        #[command(flatten)]
        name: ContainerName,
        /// Labels; those that are not named stay
        #[arg(value_name = "KEY=VALUE|KEY-", required = true)]
        labels: Vec<LabelArg>,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Delete it; one that holds something stays
    Delete {
        #[command(flatten)]
        name: ContainerName,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// A container's name.
#[derive(Debug, Args)]
pub(crate) struct ContainerName {
    /// Name
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::containers))]
    pub(crate) name: String,
}

/// A new one.
#[derive(Debug, Args)]
pub(crate) struct ContainerCreate {
    /// Unique name: letters, digits, `-`, 1 to 63
    pub(crate) name: String,
    /// Label it; once for each label
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = weft_api::parse_label)]
    pub(crate) labels: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}

/// A change of one.
#[derive(Debug, Args)]
pub(crate) struct ContainerEdit {
    #[command(flatten)]
    pub(crate) of: ContainerName,
    /// New name
    #[arg(long = "name", id = "new-name", value_name = "NEW", default_value = "", hide_default_value = true)]
    pub(crate) renamed: String,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}

/// `node move`.
#[derive(Debug, Args)]
pub(crate) struct NodeMove {
    #[command(flatten)]
    pub(crate) nodes: Nodes,
    #[command(flatten)]
    pub(crate) to: Whither,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}

/// Where nodes go.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whither {
    /// Into this frame
    #[arg(long, value_name = "FRAME", add = ArgValueCompleter::new(complete::frames))]
    pub(crate) frame: Option<String>,
    /// Into the free pool
    #[arg(long)]
    pub(crate) free: bool,
}

/// `topology`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weft topology
  weft topology --node node-1
  weft topology --vs big
  weft topology --at 120
  weft topology -o json | jq '.servers[] | {name, places}'")]
pub(crate) struct Topology {
    /// What stands around this node and lies on it
    #[arg(long, value_name = "NODE", conflicts_with = "vs", add = ArgValueCompleter::new(complete::nodes))]
    pub(crate) node: Option<String>,
    /// As this transaction left it, as in `weft tx list`
    #[arg(long, value_name = "NUMBER")]
    pub(crate) at: Option<u64>,
    /// Where this virtual server lives
    #[arg(long, value_name = "SERVER", add = ArgValueCompleter::new(complete::servers))]
    pub(crate) vs: Option<String>,
}
