//! `weft appliance …`: arguments and dispatch.

mod admin;
mod content;
mod engines;
mod interface;
mod leases;
mod no_router;
mod notify;
mod observer;
mod restore;
mod run;
mod service;
mod several;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use weft_server::chain;
use weft_server::keys::{KeyError, Keys};
use weft_server::trust::{Trust, TrustFiles};

/// Default data folder.
const DATA: &str = "/var/lib/weft";

#[derive(Debug, Parser)]
#[command(name = "weft appliance", bin_name = "weft appliance", about = "The appliance itself", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve a network: DHCP, TFTP, HTTP, agents, interface, page
    #[command(after_help = "Examples:\n  \
        weft appliance run --interface eth1 --dhcp full --range 10.0.0.50-10.0.0.250\n  \
        weft appliance run --interface eth1 --dhcp proxy --api-listen 10.0.0.1:8443")]
    Run(Box<RunArguments>),
    /// Make the appliance's keys, show what root holders must delegate, and take what they signed
    #[command(after_help = "Examples:\n  \
        weft appliance init --data DIR --name hall-a\n  \
        weft appliance init --data DIR --roots roots.bin --delegation delegation.bin\n  \
        weft appliance init --data DIR --rotation rotation.bin --delegation delegation.bin")]
    Init(InitArguments),
    /// Give the administrator a new one-time password
    ResetAdmin(DataArguments),
    /// Give the owner of this machine a session for the command line, without anybody's password
    #[command(after_help = "Example:\n  \
        weft appliance token --data DIR --out FILE; WEFT_TOKEN_FILE=FILE weft node list")]
    Token(TokenArguments),
    /// Write one file of everything that a new appliance needs, from one that runs; or check such a file
    #[command(disable_help_flag = true)]
    Backup(Passed),
    /// Make a data folder of a backup; the folder must be empty, and no appliance runs on it
    #[command(
        after_help = "The file is checked as a whole before anything is written. Run it as the appliance's own user.\n\n\
        Examples:\n  \
        weft appliance restore weft.backup --data /var/lib/weft\n  \
        weft appliance restore weft.backup --data DIR --passphrase-file FILE"
    )]
    Restore(restore::RestoreArguments),
    /// Make this appliance, which does not run, the first of several that hold one store
    #[command(
        after_help = "Everything stays as it is; nodes and guests go on. Three can lose one, two none.\n\n\
        Examples:\n  \
        weft appliance found --data DIR --name north --address 10.0.0.1:7070\n  \
        weft appliance invite --data DIR --out FILE"
    )]
    Found(several::FoundArguments),
    /// Write an invitation for one more appliance, from the one that leads
    Invite(TokenArguments),
    /// Make an empty data folder that of one more appliance, with an invitation
    #[command(after_help = "It gets the keys, and is taken in when it runs.\n\n\
        Example:\n  \
        weft appliance join --data DIR --name south --address 10.0.0.2:7070 --invitation FILE")]
    Join(several::JoinArguments),
    /// Show the appliances that hold one store, who leads, and how far each is
    #[command(disable_help_flag = true)]
    List(Passed),
    /// Remove an appliance for good; it need not answer
    #[command(disable_help_flag = true)]
    Remove(Passed),
}

/// Words for the command line over the interface, which has this verb.
#[derive(Debug, Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
struct DataArguments {
    /// Data folder
    #[arg(long, value_name = "DIR", default_value = DATA, env = "WEFT_DATA")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct TokenArguments {
    #[command(flatten)]
    data: DataArguments,
    /// Where it goes; only its owner can read the file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct InitArguments {
    #[command(flatten)]
    data: DataArguments,
    /// Name of this appliance in the delegation
    #[arg(long, default_value = "appliance")]
    name: String,
    /// Root set to judge everything by
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Rotation from the root set in force to the next; give what its holders signed anew with it
    #[arg(long, value_name = "FILE", conflicts_with = "roots")]
    rotation: Option<PathBuf>,
    /// Delegation that names this appliance's keys
    #[arg(long, value_name = "FILE")]
    delegation: Option<PathBuf>,
    /// Revocation list
    #[arg(long, value_name = "FILE")]
    revocations: Option<PathBuf>,
    /// Take a root set that a lab made for itself
    #[arg(long)]
    lab: bool,
    /// Draw keys that an old data folder has lost; root holders must delegate anew, and passwords of management controllers
    /// are set again
    #[arg(long)]
    new_keys: bool,
    /// Port of the agent channel, for the delegation
    #[arg(long, default_value_t = weft_wire::ports::AGENT)]
    agent_port: u16,
    /// Port of boot HTTP, for the delegation
    #[arg(long, default_value_t = weft_wire::ports::HTTP)]
    http_port: u16,
}

/// How DHCP is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DhcpMode {
    /// Addresses and boot files
    Full,
    /// Boot files beside another server
    Proxy,
    /// Not at all
    Off,
}

/// `FIRST-LAST`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) first: Ipv4Addr,
    pub(crate) last: Ipv4Addr,
}

fn range(text: &str) -> Result<Range, String> {
    let (first, last) = text.split_once('-').ok_or("FIRST-LAST, for example 10.0.0.50-10.0.0.250")?;
    let address =
        |text: &str| text.trim().parse::<Ipv4Addr>().map_err(|_| format!("{text} is no IPv4 address"));
    Ok(Range { first: address(first)?, last: address(last)? })
}

fn reservation(text: &str) -> Result<weft_dhcp::Reservation, String> {
    let (mac, address) = text.split_once('=').ok_or("MAC=ADDRESS")?;
    Ok(weft_dhcp::Reservation {
        mac: mac.parse().map_err(|_| format!("{mac} is no MAC"))?,
        address: address.parse().map_err(|_| format!("{address} is no IPv4 address"))?,
    })
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    data: DataArguments,
    /// Interface of the nodes; boot services listen on it alone
    #[arg(long, value_name = "IF")]
    interface: String,
    /// Address on it, where it has several
    #[arg(long, value_name = "IP")]
    address: Option<Ipv4Addr>,
    /// DHCP
    #[arg(long, value_enum, default_value = "proxy")]
    dhcp: DhcpMode,
    /// Addresses to give out, with `--dhcp full`
    #[arg(long, value_name = "FIRST-LAST", value_parser = range)]
    range: Option<Range>,
    /// Router to tell clients of
    #[arg(long, value_name = "IP")]
    router: Option<Ipv4Addr>,
    /// Name server to tell clients of; may be repeated
    #[arg(long, value_name = "IP")]
    dns: Vec<Ipv4Addr>,
    /// Fixed address; may be repeated
    #[arg(long, value_name = "MAC=IP", value_parser = reservation)]
    reserve: Vec<weft_dhcp::Reservation>,
    /// Network of a DHCP relay that is served, ADDRESS/PREFIX; may be repeated
    #[arg(long, value_name = "NET", value_parser = net)]
    relay: Vec<weft_dhcp::Net>,
    /// Another DHCP server that may be there; may be repeated
    #[arg(long, value_name = "IP")]
    allow_dhcp: Vec<Ipv4Addr>,
    /// Take a root set that a lab made for itself
    #[arg(long)]
    lab: bool,
    /// Where the interface and the page listen, over TLS; may be repeated
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    api_listen: Vec<SocketAddr>,
    /// Unix socket of the interface [default: DIR/api.sock]
    #[arg(long, value_name = "FILE")]
    api_socket: Option<PathBuf>,
    /// Further addresses for the self-made certificate; may be repeated
    #[arg(long, value_name = "IP")]
    cert_address: Vec<IpAddr>,
    /// Kernel of the default guest
    #[arg(long, value_name = "FILE")]
    guest_kernel: Option<PathBuf>,
    /// Initial ram disk of the default guest
    #[arg(long, value_name = "FILE", requires = "guest_kernel")]
    guest_initrd: Option<PathBuf>,
    /// Events kept; older ones are dropped
    #[arg(long, value_name = "N", default_value_t = weft_server::core::EVENTS_KEPT,
          value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    keep_events: u64,
    /// UDP port of TFTP
    #[arg(long, default_value_t = weft_wire::ports::TFTP, hide = true)]
    tftp_port: u16,
    /// TCP port of boot HTTP [default: as delegated]
    #[arg(long)]
    http_port: Option<u16>,
    /// TCP port of the agent channel [default: as delegated]
    #[arg(long)]
    agent_port: Option<u16>,
    /// Address that moves to whichever of several appliances leads, ADDRESS/PREFIX; nodes are told of it, and it must be in no
    /// range
    #[arg(long, value_name = "IP/PREFIX", value_parser = net)]
    service_address: Option<weft_dhcp::Net>,
}

fn net(text: &str) -> Result<weft_dhcp::Net, String> {
    let (address, prefix) = text.split_once('/').ok_or("ADDRESS/PREFIX")?;
    let prefix: u8 = prefix.parse().map_err(|_| format!("{prefix} is no prefix length"))?;
    if prefix > 32 {
        return Err(format!("{prefix} is no prefix length"));
    }
    Ok(weft_dhcp::Net {
        address: address.parse().map_err(|_| format!("{address} is no IPv4 address"))?,
        prefix,
    })
}

/// Runs `weft appliance …` with the program's own arguments.
pub(crate) fn main() -> ExitCode {
    // The word `appliance` has done its work.
    let words = std::env::args_os().enumerate().filter(|(place, _)| *place != 1).map(|(_, word)| word);
    let arguments = Arguments::parse_from(words);
    let done = match arguments.verb {
        Verb::Run(arguments) => run::run(*arguments),
        Verb::Init(arguments) => init(&arguments),
        Verb::ResetAdmin(arguments) => admin::reset(&arguments.data),
        Verb::Backup(_) | Verb::List(_) | Verb::Remove(_) => return weft_cli::main(),
        Verb::Found(arguments) => several::found(&arguments),
        Verb::Invite(arguments) => admin::invite(&arguments.data.data, &arguments.out),
        Verb::Join(arguments) => several::join(&arguments),
        Verb::Restore(arguments) => restore::run(&arguments),
        Verb::Token(arguments) => admin::token(&arguments.data.data, &arguments.out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { text, next }) => {
            eprintln!("weft appliance: {text}");
            if !next.is_empty() {
                eprintln!("  {next}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Why the program ends, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) next: String,
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>, next: impl Into<String>) -> Self {
        Self { text: text.into(), next: next.into() }
    }

    pub(crate) fn of(error: &dyn std::error::Error, next: impl Into<String>) -> Self {
        Self::new(chain(error), next)
    }
}

fn init(arguments: &InitArguments) -> Result<(), Failure> {
    let data = &arguments.data.data;
    let keys = if arguments.new_keys { Keys::open_or_draw(data) } else { Keys::open(data) };
    let keys = keys.map_err(|error| lost_key(data, &error))?;
    let files = TrustFiles {
        roots: arguments.roots.clone(),
        rotation: arguments.rotation.clone(),
        delegation: arguments.delegation.clone(),
        revocations: arguments.revocations.clone(),
    };
    let trust = Trust::install(data, &keys, &files, arguments.lab)
        .map_err(|error| Failure::of(&error, "nothing was changed"))?;
    println!(
        "--appliance name={},channel={},record={},agent-port={},http-port={}",
        arguments.name,
        hex(&keys.channel_public()),
        hex(&keys.record_public()),
        arguments.agent_port,
        arguments.http_port
    );
    match (&trust.roots, &trust.delegation) {
        (Some(roots), Some((delegation, _))) => eprintln!(
            "root set version {}, delegation version {} in force; a running appliance takes them within seconds",
            roots.version(),
            delegation.version
        ),
        (Some(_), None) => {
            eprintln!("next: root holders sign a delegation with the line above (weft delegation new)")
        }
        (None, _) => eprintln!("next: weft appliance init --data {} --roots FILE", data.display()),
    }
    Ok(())
}

/// What to do where there are no keys.
fn lost_key(data: &Path, error: &KeyError) -> Failure {
    let data = data.display();
    let next = match error {
        KeyError::Missing(_) => format!(
            "put it back from a backup; where there is none, draw another: weft appliance init --data {data} --new-keys"
        ),
        KeyError::Malformed(_) => "put it back from a backup".to_string(),
        KeyError::HalfRestored(_) => {
            format!("empty the folder, then: weft appliance restore FILE --data {data}")
        }
        KeyError::File { .. } => "is the data folder writable?".to_string(),
    };
    Failure::of(error, next)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
