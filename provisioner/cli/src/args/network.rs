//! Arguments of `switch`, `gateway`, `port`, `vnic`, `vhba` and `nic`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::{DryRun, LabelArg, Shown};
use crate::complete;

/// `switch`.
#[derive(Debug, Subcommand)]
pub(crate) enum Switch {
    #[command(flatten)]
    Held(NetHeld),
    /// Make a virtual switch
    #[command(after_help = "Examples:
  weft switch create lan
  weft gateway create uplink --switch lan --node node-1
  weft port create lan-1 --switch lan --gateways uplink
  weft vnic edit web.0 --port lan-1")]
    Create(NetNew),
    /// Rename it
    Edit(NetRename),
}

/// `gateway`.
#[derive(Debug, Subcommand)]
pub(crate) enum Gateway {
    #[command(flatten)]
    Held(NetHeld),
    /// Make a NIC of a node a way out of a virtual switch
    #[command(after_help = "Examples:
  weft gateway create uplink --switch lan --node node-1
  weft gateway create uplink-2 --switch lan --node node-2 --nic 52:54:00:12:34:56")]
    Create {
        #[command(flatten)]
        new: NetNew,
        /// Virtual switch that it belongs to
        #[arg(long, value_name = "SWITCH", add = ArgValueCompleter::new(complete::switches))]
        switch: String,
        /// Node whose NIC it is
        #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
        node: String,
        /// MAC of the NIC, as in `weft nic list`; may be left out where the node has one
        #[arg(long, value_name = "MAC", default_value = "", hide_default_value = true)]
        nic: String,
    },
    /// Rename it, or have it on another NIC
    Edit {
        #[command(flatten)]
        rename: NetRename,
        /// Node whose NIC it is to be
        #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true, add = ArgValueCompleter::new(complete::nodes))]
        node: String,
        /// MAC of the NIC
        #[arg(long, value_name = "MAC", default_value = "", hide_default_value = true)]
        nic: String,
    },
}

/// `port`.
#[derive(Debug, Subcommand)]
pub(crate) enum Port {
    #[command(flatten)]
    Held(NetHeld),
    /// Make a port of a virtual switch; it takes one VNIC
    #[command(after_help = "Examples:
  weft port create lan-1 --switch lan
  weft port create lan-2 --switch lan --gateways uplink,uplink-2 --pathing failover")]
    Create {
        #[command(flatten)]
        new: NetNew,
        /// Virtual switch that it belongs to
        #[arg(long, value_name = "SWITCH", add = ArgValueCompleter::new(complete::switches))]
        switch: String,
        #[command(flatten)]
        leads: Leads,
    },
    /// Rename it, or have it lead to other gateway ports
    #[command(after_help = "Examples:
  weft port edit lan-1 --gateways uplink-2,uplink
  weft port edit lan-1 --gateways \"\"          # to none")]
    Edit {
        #[command(flatten)]
        rename: NetRename,
        #[command(flatten)]
        leads: Leads,
    },
}

/// Where a port leads.
#[derive(Debug, Args)]
pub(crate) struct Leads {
    /// Gateway ports of the same switch, the primary one first
    #[arg(long, value_name = "GATEWAY,…", value_delimiter = ',', add = ArgValueCompleter::new(complete::gateways))]
    pub(crate) gateways: Option<Vec<String>>,
    /// How it chooses: the primary one while it is there, all of them, or that of the server's node
    #[arg(long, value_parser = ["failover", "balance", "affinity"])]
    pub(crate) pathing: Option<String>,
}

/// `vnic`.
#[derive(Debug, Subcommand)]
pub(crate) enum Vnic {
    #[command(flatten)]
    Held(NetHeld),
    /// Make a further VNIC of a virtual server, with a MAC that is drawn for it
    #[command(after_help = "Example:\n  weft vnic create web-lan --server web --port lan-1")]
    Create {
        #[command(flatten)]
        new: NetNew,
        #[command(flatten)]
        of: OfServer,
        /// Port that it is to be on
        #[arg(long, value_name = "PORT", default_value = "", hide_default_value = true, add = ArgValueCompleter::new(complete::ports))]
        port: String,
        /// Pool that the MAC is drawn from
        #[arg(long = "mac-pool", value_name = "POOL", default_value = "", hide_default_value = true, add = ArgValueCompleter::new(complete::pools))]
        pool: String,
    },
    /// Rename it, or have it on a port
    #[command(after_help = "Examples:
  weft vnic edit web.0 --port lan-1      # the VNIC that web came with
  weft vnic edit web.0 --gateway uplink  # on the first free port that leads there
  weft vnic edit web.0 --detach --dry-run")]
    Edit {
        #[command(flatten)]
        rename: NetRename,
        /// Port that it is to be on
        #[arg(long, value_name = "PORT", conflicts_with_all = ["gateway", "detach"], add = ArgValueCompleter::new(complete::ports))]
        port: Option<String>,
        /// The first free port whose primary gateway port is this
        #[arg(long, value_name = "GATEWAY", conflicts_with = "detach", add = ArgValueCompleter::new(complete::gateways))]
        gateway: Option<String>,
        /// On no port
        #[arg(long)]
        detach: bool,
    },
}

/// `vhba`.
#[derive(Debug, Subcommand)]
pub(crate) enum Vhba {
    #[command(flatten)]
    Held(NetHeld),
    /// Make a further VHBA of a virtual server, with a WWNN that is drawn for it
    #[command(after_help = "Example:\n  weft vhba create web-san --server web")]
    Create {
        #[command(flatten)]
        new: NetNew,
        #[command(flatten)]
        of: OfServer,
        /// Pool that the WWNN is drawn from
        #[arg(long = "wwnn-pool", value_name = "POOL", default_value = "", hide_default_value = true, add = ArgValueCompleter::new(complete::pools))]
        pool: String,
    },
    /// Rename it
    Edit(NetRename),
}

/// `nic`.
#[derive(Debug, Subcommand)]
pub(crate) enum Nic {
    /// List the NICs of nodes, as the nodes report them
    #[command(visible_alias = "ls")]
    List,
}

/// The server of a device.
#[derive(Debug, Args)]
pub(crate) struct OfServer {
    /// Virtual server that it is of
    #[arg(long, value_name = "SERVER", add = ArgValueCompleter::new(complete::servers))]
    pub(crate) server: String,
}

/// What is the same for all of them.
#[derive(Debug, Subcommand)]
pub(crate) enum NetHeld {
    /// List them
    #[command(visible_alias = "ls")]
    List(Shown),
    /// Show one, and whether it is applied
    Show(NetName),
    /// Change its labels: KEY=VALUE to have it, KEY- to have it no more
    Label {
        #[command(flatten)]
        name: NetName,
        /// Labels; those that are not named stay
        #[arg(value_name = "KEY=VALUE|KEY-", required = true)]
        labels: Vec<LabelArg>,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Delete it; one that something is connected to stays
    Delete {
        #[command(flatten)]
        name: NetName,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// The name of one.
#[derive(Debug, Args)]
pub(crate) struct NetName {
    /// Name
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::networks))]
    pub(crate) name: String,
}

/// A new one.
#[derive(Debug, Args)]
pub(crate) struct NetNew {
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
pub(crate) struct NetRename {
    #[command(flatten)]
    pub(crate) of: NetName,
    /// New name
    #[arg(long = "name", id = "new-name", value_name = "NEW", default_value = "", hide_default_value = true)]
    pub(crate) renamed: String,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}
