//! Arguments of `template`, and of making servers of one.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::vs::memory_mib;
use super::{DryRun, LabelArg, Shown};
use crate::complete;

/// A template's name.
#[derive(Debug, Args)]
pub(crate) struct TemplateName {
    /// Name
    #[arg(value_name = "TEMPLATE", add = ArgValueCompleter::new(complete::templates))]
    pub(crate) template: String,
}

/// Settings that a guest is given on its kernel's command line.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings of the guest")]
pub(crate) struct Settings {
    /// Host name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) hostname: String,
    /// IPv4 address with its prefix
    #[arg(long, value_name = "A.B.C.D/N", default_value = "", hide_default_value = true)]
    pub(crate) address: String,
    /// Gateway to go with the address
    #[arg(long, value_name = "A.B.C.D", default_value = "", hide_default_value = true, requires = "address")]
    pub(crate) gateway: String,
}

/// Where identifiers are drawn from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identifiers")]
pub(crate) struct Pools {
    /// Pool of its MAC
    #[arg(long, value_name = "POOL", default_value = "", hide_default_value = true,
          add = ArgValueCompleter::new(complete::pools))]
    pub(crate) mac_pool: String,
    /// Pool of its WWNN
    #[arg(long, value_name = "POOL", default_value = "", hide_default_value = true,
          add = ArgValueCompleter::new(complete::pools))]
    pub(crate) wwnn_pool: String,
}

/// `vs copy`.
#[derive(Debug, Args)]
pub(crate) struct VsCopy {
    /// Server to copy, running or not
    #[arg(value_name = "SERVER", add = ArgValueCompleter::new(complete::servers))]
    pub(crate) source: String,
    /// Unique name of the copy: letters, digits, `-`, 1 to 63
    pub(crate) name: String,
    /// Node that runs it; left out: the approved node with most free memory
    #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true,
          add = ArgValueCompleter::new(complete::nodes))]
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) pools: Pools,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}

/// `template`.
#[derive(Debug, Subcommand)]
pub(crate) enum Template {
    /// List templates
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  weft template list\n  weft template list -l tier=web"
    )]
    List(Shown),
    /// Show one template
    #[command(after_help = "Example:\n  weft template show web -o json")]
    Show(TemplateName),
    /// Make a template of a server, or of a description; files are uploaded first
    #[command(after_help = "Examples:
  weft template create web --from web-1
  weft template create small --vcpus 1 --memory 256M --label tier=web
  weft template create build --kernel vmlinuz --initrd initrd.img --append quiet
  weft vs create web --template web --count 10 --start")]
    Create(TemplateCreate),
    /// Change its labels: KEY=VALUE to have it, KEY- to have it no more
    #[command(after_help = "Example:\n  weft template label web tier=web old-")]
    Label {
        #[command(flatten)]
        name: TemplateName,
        /// Labels; those that are not named stay
        #[arg(value_name = "KEY=VALUE|KEY-", required = true)]
        labels: Vec<LabelArg>,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Delete a template; servers that were made of it stay
    #[command(after_help = "Example:\n  weft template delete web --yes")]
    Delete {
        #[command(flatten)]
        name: TemplateName,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// `template create`.
#[derive(Debug, Args)]
pub(crate) struct TemplateCreate {
    /// Unique name: letters, digits, `-`, 1 to 63
    pub(crate) name: String,
    /// Server whose definition it takes, without its name, identifiers, host name, address and node
    #[arg(long, value_name = "SERVER", default_value = "", hide_default_value = true,
          conflicts_with_all = ["vcpus", "memory", "kernel", "initrd", "append", "partition"],
          add = ArgValueCompleter::new(complete::servers))]
    pub(crate) from: String,
    /// Processors [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) vcpus: Option<u16>,
    /// Memory, at least 64M: 256M, 2G [default: 256M]
    #[arg(long, value_parser = memory_mib)]
    pub(crate) memory: Option<u32>,
    /// Kernel: a file, or the digest of an uploaded one; left out: the appliance's default guest
    #[arg(long, value_name = "FILE|DIGEST")]
    pub(crate) kernel: Option<String>,
    /// Initial ram disk, likewise
    #[arg(long, value_name = "FILE|DIGEST")]
    pub(crate) initrd: Option<String>,
    /// Added to the kernel's command line
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) append: Option<String>,
    /// Partition whose nodes servers are to span
    #[arg(long, value_name = "PARTITION", add = ArgValueCompleter::new(complete::partitions))]
    pub(crate) partition: Option<String>,
    /// Label it and the servers that are made of it; once for each label
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = weft_api::parse_label)]
    pub(crate) labels: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}
