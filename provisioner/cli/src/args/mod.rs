//! The arguments, as clap reads them. Help texts carry examples; `docs/cli.md` has the same, longer.

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCompleter;
use weft_signing::cli::{DelegationCommand, KeyCommand, RevocationCommand, RootCommand};

use crate::complete;

mod appliance;
mod apply;
mod auth;
mod container;
mod drift;
#[cfg(test)]
mod dry_runs;
mod image;
mod job;
mod network;
mod operator;
mod pool;
mod power;
mod rollout;
mod search;
mod select;
mod template;
mod tx;
mod vs;

use select::SELECTORS;

pub(crate) use appliance::{Appliance, ApplianceRemove, Backup};
pub(crate) use apply::{Apply, Diff, Document, Get};
pub(crate) use auth::{Account, Auth, AuthPolicy, Session, Token};
pub(crate) use container::{
    Container, ContainerCreate, ContainerEdit, Datacenter, Frame, Mainframe, NodeMove, Topology,
};
pub(crate) use drift::{Drift, DriftNames};
pub(crate) use image::{Image, ImageDigest, Published};
pub(crate) use job::Job;
pub(crate) use network::{Gateway, NetHeld, NetNew, NetRename, Nic, Port, Switch, Vhba, Vnic};
pub(crate) use operator::{Operator, OperatorIssue, StartStop};
pub(crate) use pool::{Held, Licence, Pool};
pub(crate) use power::{Bmc, BmcSet, Power, PowerArgs};
pub(crate) use rollout::{Rollout, RolloutStart};
pub(crate) use search::{EventSearch, LogSearch};
pub(crate) use select::{Chosen, LabelArg, Labelled, LabelledNodes, LabelledServers, Nodes, Servers, Shown};
pub(crate) use template::{Settings, Template, TemplateCreate, VsCopy};
pub(crate) use tx::{DryRun, Tx};
pub(crate) use vs::{Console, Vs, VsCreate, VsSet};

const TOP_EXAMPLES: &str = "Examples:
  weft login --user admin
  weft node list
  weft node approve node-1 --fingerprint 3f2a-91c0-77de-0b14
  weft vs create web --vcpus 2 --memory 512M --label env=prod --start
  weft vs stop -l env=prod --dry-run
  weft vs create web --template web --count 10
  weft partition create p1 --nodes node-1,node-2
  weft vs console web
  weft vs list -o json | jq -r '.[].name'
  weft tx list
  weft apply -f rack.yaml --dry-run

Exit codes: 0 done, 1 failed, 2 wrong use, 3 not found, 4 refused, 5 not allowed,
6 not reachable, 7 waited too long, 8 doctor found a failure.";

/// Weft: a rack of servers as one machine.
#[derive(Debug, Parser)]
#[command(name = "weft", version, after_help = TOP_EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every verb takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Global {
    /// Address of the appliance: https://HOST:PORT, or unix:PATH; several with commas, where several hold the same
    #[arg(long, global = true, env = "WEFT_URL", value_name = "URL", help_heading = "Connection")]
    pub(crate) url: Option<String>,
    /// Certificate to trust: a PEM file, or sha256:HEX as on the appliance's console
    #[arg(long, global = true, env = "WEFT_CA", value_name = "FILE|sha256:HEX", help_heading = "Connection")]
    pub(crate) ca: Option<String>,
    /// File that holds the session token
    #[arg(long, global = true, env = "WEFT_TOKEN_FILE", value_name = "FILE", help_heading = "Connection")]
    pub(crate) token_file: Option<PathBuf>,
    /// Profile of the configuration file
    #[arg(long, global = true, env = "WEFT_PROFILE", value_name = "NAME", help_heading = "Connection")]
    pub(crate) profile: Option<String>,
    /// Ask a node in the appliance's place, with a credential of `weft operator issue`
    #[arg(long, global = true, value_name = "FILE", help_heading = "Without the appliance")]
    pub(crate) credential: Option<PathBuf>,
    /// The node to ask: name, address, or NAME=ADDRESS; left out: the first that answers
    #[arg(long, global = true, value_name = "NODE", help_heading = "Without the appliance")]
    pub(crate) at: Option<String>,
    /// Form of the answer on standard output
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM",
        help_heading = "Output"
    )]
    pub(crate) output: Format,
    /// No progress on standard error
    #[arg(short, long, global = true, action = ArgAction::SetTrue, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for a person
    #[default]
    Table,
    /// More columns
    Wide,
    /// Lists are bare arrays
    Json,
    /// The same as YAML
    Yaml,
}

/// Nouns.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in and keep the session's token
    Login(Login),
    /// End the session and remove its token
    Logout,
    /// Change one's own password
    #[command(visible_alias = "password")]
    Passwd(Passwd),
    /// Print what is wanted as a document that can be applied
    Get(Get),
    /// Show what applying a document would change, field by field
    Diff(Diff),
    /// Make a document so, in one transaction
    Apply(Apply),
    /// Machines that run the monitor
    #[command(subcommand, visible_alias = "nodes")]
    Node(Node),
    /// Data centers: what virtual mainframes stand in
    #[command(subcommand, visible_alias = "datacenters")]
    Datacenter(Datacenter),
    /// Virtual mainframes: what frames stand in
    #[command(subcommand, visible_alias = "mainframes")]
    Mainframe(Mainframe),
    /// Frames: what nodes stand in; approved nodes in no frame are the free pool
    #[command(subcommand, visible_alias = "frames")]
    Frame(Frame),
    /// Virtual switches: what VNICs of virtual servers are connected by
    #[command(subcommand, visible_alias = "switches")]
    Switch(Switch),
    /// Gateway ports: NICs of nodes as ways out of virtual switches
    #[command(subcommand, visible_alias = "gateways")]
    Gateway(Gateway),
    /// Ports of virtual switches: each takes a VNIC and leads to gateway ports
    #[command(subcommand, visible_alias = "ports")]
    Port(Port),
    /// VNICs: network devices of virtual servers
    #[command(subcommand, visible_alias = "vnics")]
    Vnic(Vnic),
    /// VHBAs: storage adapters of virtual servers
    #[command(subcommand, visible_alias = "vhbas")]
    Vhba(Vhba),
    /// NICs of nodes
    #[command(subcommand, visible_alias = "nics")]
    Nic(Nic),
    /// What stands in what, and what lies on what, as a tree
    Topology(Topology),
    /// Nodes that agree with one another, and that virtual servers can span
    #[command(subcommand, visible_alias = "partitions")]
    Partition(Partition),
    /// Virtual servers
    #[command(subcommand)]
    Vs(Vs),
    /// What new virtual servers are made of
    #[command(subcommand, visible_alias = "templates")]
    Template(Template),
    /// Identifiers that virtual servers are given: MACs and WWNNs
    #[command(subcommand, visible_alias = "pools")]
    Pool(Pool),
    /// Signed additions to pools: add here, issue without an appliance
    #[command(subcommand, visible_alias = "licences")]
    Licence(Licence),
    /// Node images: publish here, build and sign without an appliance
    #[command(subcommand, visible_alias = "images")]
    Image(Image),
    /// Signing keys of holders (needs no appliance)
    #[command(subcommand)]
    Key(KeyCommand),
    /// Who may sign, and how many must (needs no appliance)
    #[command(subcommand)]
    Root(RootCommand),
    /// Which appliances speak to nodes (needs no appliance)
    #[command(subcommand)]
    Delegation(DelegationCommand),
    /// Images that must not run any more (needs no appliance)
    #[command(subcommand)]
    Revocation(RevocationCommand),
    /// Backups of the appliance; `weft appliance --help` on its own machine has more
    #[command(subcommand)]
    Appliance(Appliance),
    /// The appliance's settings
    #[command(subcommand)]
    Config(Config),
    /// The same as `config push`
    #[command(after_help = "Examples:
  weft configure node-2
  weft --credential me.json configure node-2 --start web --stop old")]
    Configure {
        /// Nodes; left out: all that are ready
        #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
        nodes: Vec<String>,
        #[command(flatten)]
        change: StartStop,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Credentials with which nodes let an operator in while the appliance is away
    #[command(subcommand)]
    Operator(Operator),
    /// Who may come in, and in which role
    #[command(subcommand, visible_alias = "accounts")]
    Account(Account),
    /// Log-ins that last
    #[command(subcommand, visible_alias = "sessions")]
    Session(Session),
    /// Tokens for programs, where wanted for one server only
    #[command(subcommand, visible_alias = "tokens")]
    Token(Token),
    /// Who may do what: questions about one's own rights, and policies
    #[command(subcommand)]
    Auth(Auth),
    /// What was changed: transactions, and taking them back
    #[command(subcommand, visible_alias = "transactions")]
    Tx(Tx),
    /// Several changes as one unit that waits for the nodes, and is undone as a whole
    #[command(subcommand, visible_alias = "jobs")]
    Job(Job),
    /// Where nodes are not as they are wanted, and what is to be done about it
    #[command(subcommand, visible_alias = "drifts")]
    Drift(Drift),
    /// What happened
    #[command(subcommand, visible_alias = "events")]
    Event(Event),
    /// What nodes and virtual servers use now; on a terminal it looks again each second
    #[command(after_help = "Examples:
  weft top
  weft top -o json | jq '.servers[] | select(.processor > 1).name'

CPU of a node is the share of its time in which it did not halt, of a server the processors in use of those it has.
IN/S and OUT/S are bytes, FAULTS/S faults that needed another node.")]
    Top {
        /// Look once, also on a terminal
        #[arg(long)]
        once: bool,
    },
    /// Check appliance, image, network and nodes; says where each node stopped and what to do
    Doctor,
    /// Print the completion script of a shell; it completes the names of live nodes and servers too
    #[command(
        after_help = "Example:\n  weft completion bash > ~/.local/share/bash-completion/completions/weft"
    )]
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// `login`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weft login --url https://10.20.0.1:8443 --ca sha256:9b1f… --user admin --save lab
  weft login --user admin --password-file first-password --new-password-file my-password")]
pub(crate) struct Login {
    /// User name
    #[arg(long, default_value = "admin")]
    pub(crate) user: String,
    /// File with the password; asked for on a terminal when absent, `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// File with the new password, where the first one must be changed
    #[arg(long, value_name = "FILE")]
    pub(crate) new_password_file: Option<PathBuf>,
    /// Keep URL, certificate and token file as a profile, and make it the default
    #[arg(long, value_name = "PROFILE")]
    pub(crate) save: Option<String>,
}

/// `passwd`.
#[derive(Debug, Args)]
pub(crate) struct Passwd {
    /// File with the present password
    #[arg(long, value_name = "FILE")]
    pub(crate) old_password_file: Option<PathBuf>,
    /// File with the new password
    #[arg(long, value_name = "FILE")]
    pub(crate) new_password_file: Option<PathBuf>,
}

/// A node's name.
#[derive(Debug, Args)]
pub(crate) struct NodeName {
    /// Name, identity, or its first digits
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub(crate) node: String,
}

/// `node`.
#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// List nodes
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  weft node list\n  weft node list -l rack=3,!spare -o wide"
    )]
    List(Shown),
    /// Show one node with its boot stages and inventory
    #[command(
        after_help = "Examples:\n  weft node show node-1\n  weft node show node-1 -o json | jq .stages"
    )]
    Show(NodeName),
    /// Admit nodes, after comparing each fingerprint with the node's own console
    #[command(after_help = "Examples:
  weft node approve node-1 --fingerprint 3f2a-91c0-77de-0b14
  weft node approve node-1 node-2 --fingerprint 3f2a-91c0-77de-0b14 --fingerprint 08cc-5d1e-2b90-aa37

Several nodes are approved in one transaction, or none; each must find its own fingerprint among those given.")]
    Approve {
        /// Names, identities, or their first digits
        #[arg(value_name = "NODE", required = true, add = ArgValueCompleter::new(complete::nodes))]
        nodes: Vec<String>,
        /// Fingerprint as read on the node's own screen or serial console; once for each node
        #[arg(long, value_name = "FINGERPRINT")]
        fingerprint: Vec<String>,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Remove nodes and their keys; they come back as unknown when they boot again
    #[command(after_help = format!("Examples:
  weft node forget node-1 --yes
  weft node forget node-1 node-2
  weft node forget -l rack=3 --dry-run
{SELECTORS}"))]
    Forget {
        #[command(flatten)]
        nodes: Nodes,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Move nodes into a frame, or into the free pool; what runs on them goes on
    #[command(after_help = format!("Examples:
  weft node move node-1 --frame rack-1
  weft node move node-1 node-2 --free
  weft node move -l rack=3 --frame rack-3 --dry-run

The members of a partition stand in one frame: move them together.
{SELECTORS}"))]
    Move(NodeMove),
    /// Change the labels of nodes: KEY=VALUE to have it, KEY- to have it no more; those that are not named stay
    #[command(after_help = format!("Examples:
  weft node label node-1 rack=3 spare-
  weft node label node-1 node-2 rack=3
  weft node label -l rack=3 hall=north --dry-run
{SELECTORS}"))]
    Label {
        #[command(flatten)]
        nodes: LabelledNodes,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Show the node's log, oldest line first
    #[command(after_help = "Examples:
  weft node log node-1 -n 20
  weft node log node-1 --grep 'stage' --since 10m
  weft node log node-1 --level warn")]
    Log {
        #[command(flatten)]
        name: NodeName,
        /// How many lines at most
        #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        lines: u32,
        #[command(flatten)]
        search: LogSearch,
    },
    /// Restart the node; its virtual servers stop
    #[command(after_help = "Examples:\n  weft node reboot node-1 --dry-run\n  weft node reboot node-1 --yes")]
    Reboot {
        #[command(flatten)]
        name: NodeName,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// The node's management controller, by which its power is reached
    #[command(subcommand)]
    Bmc(Bmc),
    /// Power by the node's management controller: Redfish or IPMI
    #[command(subcommand)]
    Power(Power),
}

/// A partition's name.
#[derive(Debug, Args)]
pub(crate) struct PartitionName {
    /// Name
    #[arg(value_name = "PARTITION", add = ArgValueCompleter::new(complete::partitions))]
    pub(crate) partition: String,
}

/// `partition`.
#[derive(Debug, Subcommand)]
pub(crate) enum Partition {
    /// List partitions
    #[command(visible_alias = "ls")]
    List,
    /// Show one partition with its members
    #[command(after_help = "Example:\n  weft partition show p1")]
    Show(PartitionName),
    /// Make a partition of approved nodes; they coordinate in the order given
    #[command(after_help = "Examples:
  weft partition create p1 --nodes node-1,node-2
  weft vs create big --partition p1 --vcpus 4 --memory 3G --start")]
    Create {
        /// Unique name: letters, digits, `-`, 1 to 63
        name: String,
        /// Nodes, 1 to 64
        #[arg(long, value_name = "NODE,NODE", required = true, value_delimiter = ',',
              add = ArgValueCompleter::new(complete::nodes))]
        nodes: Vec<String>,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Dissolve a partition that no server spans
    #[command(after_help = "Example:\n  weft partition delete p1 --yes")]
    Delete {
        #[command(flatten)]
        name: PartitionName,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Whether to wait for the state that was asked for.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Wait {
    /// Wait for the state (the default on a terminal)
    #[arg(long, overrides_with = "no_wait")]
    pub(crate) wait: bool,
    /// Return at once (the default without a terminal)
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Seconds to wait at most
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show the appliance's settings
    Show,
    /// Sign a node's configuration record anew and send it, and give it the configuration of its partition, which
    /// reaches all members from any one
    #[command(after_help = "Examples:
  weft config push
  weft config push node-2")]
    Push {
        /// Nodes; left out: all that are ready
        #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
        nodes: Vec<String>,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

/// `event`.
#[derive(Debug, Subcommand)]
pub(crate) enum Event {
    /// List events, oldest first
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  weft event list --limit 20
  weft event list --node node-1 --kind vs. --since 2h
  weft event list --grep 'out of memory' --state warn --until 2026-11-21T07:00:00Z
  weft event list --follow --state error -o json | jq .text"
    )]
    List {
        /// Only those after this number; left out: the last ones
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
        /// Only those before this number: the next page towards older ones
        #[arg(long, value_name = "SEQ", conflicts_with = "after")]
        before: Option<u64>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
        /// Stay, and print new ones as they happen
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        search: EventSearch,
    },
}

impl Cli {
    /// The argument tree with the names that people look for.
    pub(crate) fn tree() -> clap::Command {
        Self::command().mut_subcommand("image", |image| {
            image.mut_subcommand("build-manifest", |build| build.visible_alias("build"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_tree_is_sound() {
        Cli::tree().debug_assert();
    }
}
