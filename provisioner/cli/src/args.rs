//! The arguments, as clap reads them. Help texts carry examples; `docs/cli.md` has the same, longer.

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCompleter;
use weft_signing::cli::{DelegationCommand, ImageCommand, KeyCommand, RevocationCommand, RootCommand};

use crate::complete;

const TOP_EXAMPLES: &str = "Examples:
  weft login --user admin
  weft node list
  weft node approve node-1 --fingerprint 3f2a-91c0-77de-0b14
  weft vs create web --vcpus 2 --memory 512M --start
  weft vs console web
  weft vs list -o json | jq -r '.[].name'

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
    /// Address of the appliance: https://HOST:PORT, or unix:PATH
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
    /// Machines that run the monitor
    #[command(subcommand, visible_alias = "nodes")]
    Node(Node),
    /// Virtual servers
    #[command(subcommand)]
    Vs(Vs),
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
    /// The appliance's settings
    #[command(subcommand)]
    Config(Config),
    /// What happened
    #[command(subcommand, visible_alias = "events")]
    Event(Event),
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
    #[command(visible_alias = "ls")]
    List,
    /// Show one node with its boot stages and inventory
    Show(NodeName),
    /// Admit a node, after comparing the fingerprint with the node's own console
    #[command(after_help = "Example:\n  weft node approve node-1 --fingerprint 3f2a-91c0-77de-0b14")]
    Approve {
        #[command(flatten)]
        name: NodeName,
        /// Fingerprint as read on the node's own screen or serial console
        #[arg(long, value_name = "FINGERPRINT")]
        fingerprint: Option<String>,
    },
    /// Remove a node and its key; it comes back as unknown when it boots again
    Forget {
        #[command(flatten)]
        name: NodeName,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Show the node's log, oldest line first
    Log {
        #[command(flatten)]
        name: NodeName,
        /// How many lines at most
        #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        lines: u32,
    },
    /// Restart the node; its virtual servers stop
    Reboot {
        #[command(flatten)]
        name: NodeName,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// A virtual server's name.
#[derive(Debug, Args)]
pub(crate) struct VsName {
    /// Name
    #[arg(value_name = "SERVER", add = ArgValueCompleter::new(complete::servers))]
    pub(crate) server: String,
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

/// `vs`.
#[derive(Debug, Subcommand)]
pub(crate) enum Vs {
    /// List virtual servers
    #[command(visible_alias = "ls")]
    List,
    /// Show one virtual server
    Show(VsName),
    /// Define a virtual server; files are uploaded first
    #[command(after_help = "Examples:
  weft vs create web --start
  weft vs create build --vcpus 2 --memory 1G --kernel vmlinuz --initrd initrd.img --append 'quiet'")]
    Create(VsCreate),
    /// Start it
    Start {
        #[command(flatten)]
        name: VsName,
        #[command(flatten)]
        wait: Wait,
    },
    /// Power it off
    Stop {
        #[command(flatten)]
        name: VsName,
        #[command(flatten)]
        wait: Wait,
    },
    /// Reset it, as by the button
    Reset(VsName),
    /// Delete the definition; the server must be stopped
    Delete {
        #[command(flatten)]
        name: VsName,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Attach to the console: what was printed before, then live. Ctrl-] leaves
    #[command(after_help = "Examples:
  weft vs console web
  echo 'uname -a' | weft vs console web --send-after '# $' --wait-for '(?m)^Linux'
  weft vs console web --wait-for 'login:' </dev/null")]
    Console(Console),
}

/// `vs create`.
#[derive(Debug, Args)]
pub(crate) struct VsCreate {
    /// Unique name: letters, digits, `-`, 1 to 63
    pub(crate) name: String,
    /// Node that runs it; left out: the approved node with most free memory
    #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true,
          add = ArgValueCompleter::new(complete::nodes))]
    pub(crate) node: String,
    /// Processors
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) vcpus: u16,
    /// Memory, at least 64M: 256M, 2G
    #[arg(long, default_value = "256M", value_parser = memory_mib)]
    pub(crate) memory: u32,
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
    /// Start it at once
    #[arg(long)]
    pub(crate) start: bool,
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

/// An image's digest.
#[derive(Debug, Args)]
pub(crate) struct ImageDigest {
    /// Digest, or its first digits
    #[arg(value_name = "DIGEST", add = ArgValueCompleter::new(complete::images))]
    pub(crate) digest: String,
}

/// `image`: verbs of the appliance and verbs that need none.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    #[command(flatten)]
    Published(Published),
    #[command(flatten)]
    Offline(ImageCommand),
}

/// `image` with an appliance.
#[derive(Debug, Subcommand)]
pub(crate) enum Published {
    /// List published images
    #[command(visible_alias = "ls")]
    List,
    /// Hand a signed image to the appliance
    Publish {
        /// Image file
        file: PathBuf,
        /// Its companion for nodes that boot by BIOS
        #[arg(long, value_name = "FILE")]
        bios: Option<PathBuf>,
        /// Let nodes boot it from now on
        #[arg(long)]
        activate: bool,
    },
    /// Let nodes boot this image from now on
    Activate(ImageDigest),
    /// Never serve this image again
    Revoke {
        #[command(flatten)]
        digest: ImageDigest,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show the appliance's settings
    Show,
    /// Sign a node's configuration record anew and send it
    Push {
        /// Nodes; left out: all that are ready
        #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
        nodes: Vec<String>,
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
  weft event list --follow -o json | jq 'select(.state == \"error\")'"
    )]
    List {
        /// Only those after this number; left out: the last ones
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
        /// Stay, and print new ones as they happen
        #[arg(short, long)]
        follow: bool,
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

/// `256M`, `2G`, `512` (MiB) as MiB.
fn memory_mib(text: &str) -> Result<u32, String> {
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
    fn the_argument_tree_is_sound() {
        Cli::tree().debug_assert();
    }

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
