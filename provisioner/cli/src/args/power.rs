//! Arguments of `node bmc` and `node power`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{DryRun, NodeName, Nodes};

/// How a controller is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BmcKind {
    /// HTTPS; its certificate is pinned
    Redfish,
    /// IPMI 2.0 (lanplus)
    Ipmi,
}

impl BmcKind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Redfish => "redfish",
            Self::Ipmi => "ipmi",
        }
    }
}

/// `node bmc`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bmc {
    /// Say where a node's management controller is, and as whom it is asked
    #[command(after_help = "Examples:
  weft node bmc set node-1 --kind redfish --address 10.0.9.1 --account weft --password-file f --certificate sha256:9b1f…
  weft node bmc set node-2 --kind redfish --address bmc.rack:443 --account weft --certificate rack-ca.pem --system 2
  weft node bmc set node-3 --kind ipmi --address 10.0.9.3 --account weft --password-file -

The password is sealed in the appliance's store and told to nobody. Without --certificate no Redfish controller is spoken
to; its fingerprint: openssl s_client -connect 10.0.9.1:443 </dev/null | openssl x509 -noout -fingerprint -sha256")]
    Set(BmcSet),
    /// Show a node's management controller, without its password
    Show(NodeName),
    /// Forget a node's management controller
    #[command(after_help = "Example:\n  weft node bmc clear node-1 --yes")]
    Clear {
        #[command(flatten)]
        name: NodeName,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// `node bmc set`.
#[derive(Debug, Args)]
pub(crate) struct BmcSet {
    #[command(flatten)]
    pub(crate) name: NodeName,
    /// Protocol
    #[arg(long, value_enum)]
    pub(crate) kind: BmcKind,
    /// Host, and port where it is not the protocol's own: bmc-1, 10.0.0.9:8443, [fe80::1]:443
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) address: String,
    /// Account on the controller
    #[arg(long, value_name = "NAME")]
    pub(crate) account: String,
    /// File with its password; asked for on a terminal when absent, `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Keep the password that is set: same protocol, address and certificate only
    #[arg(long, conflicts_with = "password_file")]
    pub(crate) keep_password: bool,
    /// Redfish: certificate to trust, sha256:HEX or a PEM file
    #[arg(long, value_name = "FILE|sha256:HEX")]
    pub(crate) certificate: Option<String>,
    /// Redfish: which of the controller's systems, where it has several
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(crate) system: String,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}

/// `node power`.
#[derive(Debug, Subcommand)]
pub(crate) enum Power {
    /// Power nodes on
    #[command(after_help = "Examples:\n  weft node power on node-1 node-2\n  weft node power on -l rack=3")]
    On(PowerArgs),
    /// Power nodes off; what runs on them ends
    #[command(after_help = "Examples:
  weft node power off node-1 --dry-run
  weft node power off node-1 --graceful
  weft node power off -l rack=3 --yes

--graceful asks the machine's system, as a short press of the button does; it may take its time, or not heed it.")]
    Off {
        #[command(flatten)]
        args: PowerArgs,
        /// Ask the machine's system instead of cutting the power
        #[arg(long)]
        graceful: bool,
    },
    /// Reset nodes at once; what runs on them ends
    #[command(after_help = "Example:\n  weft node power reset node-1 --yes")]
    Reset(PowerArgs),
    /// Ask how the power of nodes stands
    #[command(
        after_help = "Examples:\n  weft node power status node-1\n  weft node power status --all -o json"
    )]
    Status {
        #[command(flatten)]
        nodes: Nodes,
    },
}

/// Which nodes, and how.
#[derive(Debug, Args)]
pub(crate) struct PowerArgs {
    #[command(flatten)]
    pub(crate) nodes: Nodes,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}
