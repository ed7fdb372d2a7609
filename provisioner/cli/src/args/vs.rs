//! Arguments of `vs`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::select::SELECTORS;
use super::template::Pools;
use super::{DryRun, LabelledServers, Servers, Settings, Shown, VsCopy, Wait};
use crate::complete;

/// A virtual server's name.
#[derive(Debug, Args)]
pub(crate) struct VsName {
    /// Name
    #[arg(value_name = "SERVER", add = ArgValueCompleter::new(complete::servers))]
    pub(crate) server: String,
}

/// `vs`.
#[derive(Debug, Subcommand)]
pub(crate) enum Vs {
    /// List virtual servers
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  weft vs list -o wide\n  weft vs list -l 'env=prod,tier!=db,!old'"
    )]
    List(Shown),
    /// Show one virtual server
    #[command(after_help = "Examples:\n  weft vs show web\n  weft vs show web -o json | jq .exits")]
    Show(VsName),
    /// Show how a server that spans nodes works: memory, faults and messages of each node, hottest pages
    #[command(after_help = "Examples:
  weft vs span big
  weft vs span big --watch
  weft vs span big -o json | jq '.nodes[] | {node, rates}'

READ/S and WRITE/S are faults that needed another node, UPGRADE/S to WHOLE/S how their pages came.
VCPUS are processors of the guest at processors of the node; PAGES may be written (w) or read (r) there.")]
    Span {
        #[command(flatten)]
        name: VsName,
        /// Look again each second, until interrupted
        #[arg(short, long)]
        watch: bool,
    },
    /// Define a virtual server, or several at once; files are uploaded first
    #[command(after_help = "Examples:
  weft vs create web --start
  weft vs create web --label env=prod --label tier=web
  weft vs create build --vcpus 2 --memory 1G --kernel vmlinuz --initrd initrd.img --append 'quiet'
  weft vs create big --partition p1 --vcpus 4 --memory 3G --start
  weft vs create web --template web --count 10
  weft vs create 'rack-{n}-web' --template web --count 4 --first 7 --hostname 'web{n}' --address 10.0.0.7/24

With --count they are NAME-1, NAME-2, …, or {n} stands for the number; all are made in one transaction, or none.
The guest is told its host name by hostname=, its address by ip= on its kernel's command line (docs/pools.md).")]
    Create(VsCreate),
    /// Copy a server, running or not: its definition, with identifiers of its own
    #[command(after_help = "Examples:
  weft vs copy web web-2
  weft vs copy web web-2 --hostname web-2 --address 10.0.0.8/24 --gateway 10.0.0.1
  weft vs copy web web-2 --node node-2 --dry-run

The copy is stopped. Where the guest of the server is given a host name, that of the copy is given the copy's name; an
address is given only where one is named.")]
    Copy(VsCopy),
    /// Start them
    #[command(after_help = format!("Examples:
  weft vs start web --wait --timeout 30
  weft vs start web db
  weft vs start -l env=prod --dry-run
{SELECTORS}"))]
    Start {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        wait: Wait,
    },
    /// Power them off
    #[command(after_help = format!("Examples:
  weft vs stop web --no-wait
  weft vs stop --all
  weft vs stop -l 'env=test,tier!=db'
{SELECTORS}"))]
    Stop {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        wait: Wait,
    },
    /// Reset them, as by the button
    #[command(after_help = format!("Examples:\n  weft vs reset web\n  weft vs reset -l tier=web\n{SELECTORS}"))]
    Reset {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Delete them; their nodes stop those that run
    #[command(after_help = format!("Examples:
  weft vs delete web --yes
  weft vs delete web db
  weft vs delete -l env=test --allow-empty --yes
{SELECTORS}"))]
    Delete {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Move stopped servers to another node
    #[command(after_help = format!("Examples:
  weft vs move web --node node-2 --dry-run
  weft vs move web db --node node-2
  weft vs stop -l env=test --wait && weft vs move -l env=test --node node-2
{SELECTORS}"))]
    Move {
        #[command(flatten)]
        servers: Servers,
        /// Node that it is to lie on
        #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
        node: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Change a server; a running one takes its name and affinity at once, and the rest at its next start
    #[command(after_help = "Examples:
  weft vs set web --memory 2G --vcpus 4 --dry-run
  weft vs set web --name shop
  weft vs set web --append 'quiet panic=5'
  weft vs set web --initrd '' --address ''
  weft vs set web --memory 1G && weft vs reset web
  weft vs set web --affinity 0=2,1=3

What is left out stays. What a running server does not have yet stands in `pending` of weft vs show. Refused is: a name
that is taken; memory that its node does not have; another size of a running server that spans nodes; and any change of
a server that somebody else changed in between, with what he changed.")]
    Set(VsSet),
    /// Change its labels: KEY=VALUE to have it, KEY- to have it no more
    #[command(after_help = "Examples:
  weft vs label web env=prod tier=web
  weft vs label web env=test old-
  weft vs label web db env=prod
  weft vs label -l env=test env=prod --dry-run

A key has 1 to 63 of a-z 0-9 . _ / -, a value at most 63 of a-z A-Z 0-9 . _ / -; a server has at most 32 labels.")]
    Label {
        #[command(flatten)]
        servers: LabelledServers,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Attach to the console: what was printed before, then live. Ctrl-] leaves
    #[command(after_help = "Examples:
  weft vs console web
  echo 'uname -a' | weft vs console web --send-after '# $' --wait-for '(?m)^Linux'
  weft vs console web --wait-for 'login:' </dev/null")]
    Console(Console),
}

/// `vs set`.
#[derive(Debug, Args)]
pub(crate) struct VsSet {
    #[command(flatten)]
    pub(crate) of: VsName,
    /// New name: letters, digits, `-`, 1 to 63
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) renamed: Option<String>,
    /// Processors
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) vcpus: Option<u16>,
    /// Memory, at least 64M: 256M, 2G
    #[arg(long, value_parser = memory_mib)]
    pub(crate) memory: Option<u32>,
    /// Kernel: a file, or the digest of an uploaded one
    #[arg(long, value_name = "FILE|DIGEST")]
    pub(crate) kernel: Option<String>,
    /// Initial ram disk, likewise; empty: none
    #[arg(long, value_name = "FILE|DIGEST")]
    pub(crate) initrd: Option<String>,
    /// Added to the kernel's command line; empty: nothing
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) append: Option<String>,
    /// Host name of the guest; empty: none
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// IPv4 address of the guest with its prefix; empty: none
    #[arg(long, value_name = "A.B.C.D/N")]
    pub(crate) address: Option<String>,
    /// Gateway to go with the address; empty: none
    #[arg(long, value_name = "A.B.C.D")]
    pub(crate) gateway: Option<String>,
    /// Processors of its nodes for its virtual processors, at once: 0=1,1=3; empty: the nodes choose
    #[arg(long, value_name = "VCPU=PROCESSOR,…")]
    pub(crate) affinity: Option<String>,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}

/// `vs create`.
#[derive(Debug, Args)]
pub(crate) struct VsCreate {
    /// Unique name: letters, digits, `-`, 1 to 63; of several, {n} stands for the number
    pub(crate) name: String,
    /// Template; what is not said here is as it says
    #[arg(long, value_name = "TEMPLATE", default_value = "", hide_default_value = true,
          add = ArgValueCompleter::new(complete::templates))]
    pub(crate) template: String,
    /// Make so many, in one transaction or not at all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) count: Option<u32>,
    /// Number of the first of several
    #[arg(long, value_name = "N", default_value_t = 1, requires = "count")]
    pub(crate) first: u32,
    /// Node that runs it; left out: the approved node with most free memory
    #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true,
          add = ArgValueCompleter::new(complete::nodes))]
    pub(crate) node: String,
    /// Partition whose nodes it is to span
    #[arg(long, value_name = "PARTITION", default_value = "", hide_default_value = true,
          conflicts_with = "node", add = ArgValueCompleter::new(complete::partitions))]
    pub(crate) partition: String,
    /// Keep its processors on their nodes; otherwise they may leave them for the one whose pages they wait for
    #[arg(long, requires = "partition")]
    pub(crate) pinned: bool,
    /// Processors of its nodes for its virtual processors: 0=1,1=3; the others are placed by their nodes
    #[arg(long, value_name = "VCPU=PROCESSOR,…", default_value = "", hide_default_value = true)]
    pub(crate) affinity: String,
    /// Processors [default: 1, or the template's]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) vcpus: Option<u16>,
    /// Memory, at least 64M: 256M, 2G [default: 256M, or the template's]
    #[arg(long, value_parser = memory_mib)]
    pub(crate) memory: Option<u32>,
    /// Kernel: a file, or the digest of an uploaded one; left out: the appliance's default guest
    #[arg(long, value_name = "FILE|DIGEST")]
    pub(crate) kernel: Option<String>,
    /// Initial ram disk, likewise
    #[arg(long, value_name = "FILE|DIGEST")]
    pub(crate) initrd: Option<String>,
    /// Added to the kernel's command line
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) append: String,
    /// Label it; once for each label
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = weft_api::parse_label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Start it at once
    #[arg(long)]
    pub(crate) start: bool,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) pools: Pools,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// `vs console`.
#[derive(Debug, Args)]
pub(crate) struct Console {
    #[command(flatten)]
    pub(crate) name: VsName,
    /// Without a terminal: after the end of the input, leave when the output matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) wait_for: Option<regex::Regex>,
    /// Without a terminal: send the input only after the output matched
    #[arg(long, value_name = "REGEX")]
    pub(crate) send_after: Option<regex::Regex>,
    /// Without a terminal and --wait-for: leave after so many seconds of silence
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) idle: u64,
    /// Seconds to wait for --wait-for and --send-after at most
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

/// `256M`, `2G`, `512` (MiB) as MiB.
pub(super) fn memory_mib(text: &str) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, factor) = match lower.strip_suffix('g') {
        Some(digits) => (digits, 1024),
        None => (lower.strip_suffix('m').unwrap_or(lower), 1),
    };
    let number: u32 = digits.parse().map_err(|_| "use a number with M or G, for example 256M".to_owned())?;
    let mib = number.checked_mul(factor).ok_or("more than fits")?;
    if mib < 64 { Err("at least 64M".into()) } else { Ok(mib) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_with_its_unit() {
        assert_eq!(memory_mib("256M"), Ok(256));
        assert_eq!(memory_mib("2GiB"), Ok(2048));
        assert_eq!(memory_mib("512"), Ok(512));
        for bad in ["", "M", "63M", "-1G", "1T", "99999999G", "1.5G"] {
            assert!(memory_mib(bad).is_err(), "{bad}");
        }
    }
}
