//! `up`: set-up, build, sign, an appliance in a namespace, nodes over PXE, a guest. Also `status`, `down`, `weft`.
//! `up --spanning` ends in [`spanning`]: one guest over all nodes.
//!
//! One lab a checkout, in `target/lab/up`. What was started is written down before anything can fail, so that
//! `down` finds it.

mod spanning;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use weft_images::guest;
use weft_lab::state::LabState;
use weft_lab::{Firmware, Lab, LabConfig, Lifetime, NicModel, Node, NodeSpec, Rom, lab};

use weft_hw_tests::stack::{Access, LabKeys, Progress, appliance, image, nodes};
use weft_hw_tests::workspace;
use weft_hw_tests::workspace::{build, build_page, run, status as run_status};

/// Time for a node from power-on to ready, the firmware's own time included.
const NODE_PATIENCE: Duration = Duration::from_secs(180);
/// Seconds for the guest to reach its userland.
const GUEST_PATIENCE_S: &str = "180";
/// What a node needs beside its guest's memory: itself, and the guest's kernel and ram disk while they arrive.
const NODE_SPARE_MIB: u32 = 256;
/// Memory of a node that a guest spans, MiB.
const SPANNED_MIB: u32 = 2048;
/// Name of the lab's virtual server.
const SERVER: &str = "demo";

/// How nodes boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Boot {
    /// UEFI with Secure Boot and this lab's keys
    Uefi,
    /// BIOS through iPXE
    Bios,
}

/// Network cards to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Nic {
    Virtio,
    E1000,
    E1000e,
}

/// Guests that the lab makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Image {
    /// Debian's kernel with busybox
    Busybox,
    /// Debian's kernel with a Debian root full of load generators (docs/guests.md)
    Stress,
}

/// Arguments of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// How nodes boot
    #[arg(long, value_enum, default_value_t = Boot::Uefi)]
    boot: Boot,
    /// Let one Linux span all nodes instead of running on one: a partition `p1` of them and a server `big`; nodes get
    /// 2048 MiB, the guest 3072 MiB and 4 processors unless said otherwise
    #[arg(long, conflicts_with = "no_guest")]
    spanning: bool,
    /// How many nodes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// Their network card
    #[arg(long, value_enum, default_value_t = Nic::Virtio)]
    nic: Nic,
    /// Their option ROM: by default none with UEFI (its own PXE), iPXE with BIOS
    #[arg(long)]
    ipxe_rom: bool,
    /// Memory of a node, MiB; by default 1024, or as much more as the guest needs; 2048 with --spanning
    #[arg(long, value_parser = clap::value_parser!(u32).range(256..=65_536))]
    memory: Option<u32>,
    /// Which of the lab's guests runs
    #[arg(long, value_enum, default_value_t = Image::Busybox, conflicts_with = "guest")]
    image: Image,
    /// Memory of the guest, MiB; by default 256, for the stress guest 768, with --spanning 3072
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(32..=65_536))]
    guest_memory: Option<u32>,
    /// Processors of the guest; by default 1, with --spanning 4
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=32))]
    vcpus: Option<u16>,
    /// Guest kernel (bzImage) instead of Debian's
    #[arg(long, value_name = "PATH")]
    guest: Option<PathBuf>,
    /// Its initial ram disk
    #[arg(long, value_name = "PATH", requires = "guest")]
    initrd: Option<PathBuf>,
    /// Added to the guest kernel's command line; by default `quiet`, with --spanning `loglevel=7`
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append: Option<String>,
    /// Stop once the nodes are ready
    #[arg(long)]
    no_guest: bool,
}

impl UpArguments {
    fn spec(&self, index: u8, keys: &LabKeys) -> anyhow::Result<NodeSpec> {
        let nic = match self.nic {
            Nic::Virtio => NicModel::Virtio,
            Nic::E1000 => NicModel::E1000,
            Nic::E1000e => NicModel::E1000e,
        };
        let firmware = match self.boot {
            Boot::Bios => Firmware::Bios,
            Boot::Uefi => Firmware::SecureBoot { variables: keys.variable_store()? },
        };
        // OVMF drives only virtio by itself; BIOS machines boot by a ROM always.
        let needs_rom = self.boot == Boot::Bios || self.nic != Nic::Virtio;
        let rom = if self.ipxe_rom || needs_rom { Rom::Ipxe } else { Rom::None };
        let needed = if self.spanning { SPANNED_MIB } else { 1024.max(self.guest_mib() + NODE_SPARE_MIB) };
        let memory_mib = self.memory.unwrap_or(needed);
        Ok(NodeSpec { firmware, nic, rom, memory_mib, ..NodeSpec::new(index) })
    }

    fn guest_mib(&self) -> u32 {
        self.guest_memory.unwrap_or(match (self.spanning, self.image) {
            (true, _) => 3072,
            (false, Image::Busybox) => 256,
            (false, Image::Stress) => 768,
        })
    }

    fn vcpus(&self) -> u16 {
        self.vcpus.unwrap_or(if self.spanning { 4 } else { 1 })
    }

    /// A spanning guest's kernel has something to tell.
    fn append(&self) -> &str {
        self.append.as_deref().unwrap_or(if self.spanning { "loglevel=7" } else { "quiet" })
    }

    /// Whether the guest's kernel prints how many processors it has: it is Linux for sure, and not told to be quiet.
    fn tells_its_processors(&self) -> bool {
        self.guest.is_none() && !self.append().split_whitespace().any(|word| word == "quiet")
    }
}

fn folder() -> PathBuf {
    lab::artifacts_root().join("up")
}

/// `up`.
pub(crate) fn up(arguments: &UpArguments) -> anyhow::Result<ExitCode> {
    if LabState::read(&folder())?.is_some() {
        bail!("a lab of this checkout is up; see ./just status, end it with ./just down");
    }
    ensure!(!arguments.spanning || arguments.nodes >= 2, "--spanning needs --nodes 2 or more");
    lab::preflight()?;
    let progress = Progress::start();
    progress.say("building the page, the appliance and the lab");
    build_page()?;
    build(&["weft", "weft-lab"])?;
    progress.say("making the guest from Debian's packages");
    let guest = guest::build(&workspace::root().join("target/guest"))?;
    progress.say("building and signing the node image");
    let keys = LabKeys::open()?;
    let image = image::build_with(&keys)?;
    progress.say(&format!(
        "image {} is {} bytes, signed by 2 of 3 holders",
        short(&image.digest),
        image.size
    ));

    clear(&folder())?;
    let config = LabConfig { name: "up".to_owned(), lifetime: Lifetime::Detached, ..LabConfig::test("up") };
    let mut lab = Lab::start(config)?;
    lab.save(&[])?;
    let access = appliance::start(&mut lab, &keys, &guest)?;
    lab.save(&[])?;
    progress.say(&format!("appliance answers at {}", access.url));
    appliance::publish(&access, &image)?;
    progress.say("image published");

    let mut nodes = Vec::new();
    for index in 1..=arguments.nodes {
        let mut node = lab.node(arguments.spec(index, &keys)?)?;
        node.power_on()?;
        progress.say(&format!("{}  power on", node.spec().name));
        nodes.push(node);
        lab.save(&nodes.iter().collect::<Vec<&Node>>())?;
    }
    nodes::bring_up(&access, &nodes, NODE_PATIENCE, &progress)?;
    if arguments.spanning {
        spanning::start(&access, arguments, &progress)?;
    } else if !arguments.no_guest {
        start_guest(&access, arguments, &progress)?;
    }
    farewell(&access, arguments);
    Ok(ExitCode::SUCCESS)
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Empties the folder of the lab before.
fn clear(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Kernel and ram disk as options of `weft vs create`; none for the guest that the appliance was started with.
fn guest_files(arguments: &UpArguments, progress: &Progress) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let (kernel, initrd) = match (&arguments.guest, arguments.image) {
        (Some(kernel), _) => (Some(kernel.clone()), arguments.initrd.clone()),
        // The appliance was started with it.
        (None, Image::Busybox) => (None, None),
        (None, Image::Stress) => {
            progress.say("making the stress guest from Debian's packages");
            let target = workspace::root().join("target");
            let made = weft_images::stress::build(&target.join("stress"), &target.join("guest"))?;
            (Some(made.kernel), Some(made.initrd))
        }
    };
    let files = [("--kernel", kernel), ("--initrd", initrd)];
    Ok(files.into_iter().filter_map(|(option, file)| Some((option, file?))).collect())
}

fn start_guest(access: &Access, arguments: &UpArguments, progress: &Progress) -> anyhow::Result<()> {
    let memory = format!("{}M", arguments.guest_mib());
    let vcpus = arguments.vcpus().to_string();
    let mut create =
        access.weft(&["vs", "create", SERVER, "--memory", &memory, "--vcpus", &vcpus, "--start", "--wait"]);
    create.arg(format!("--append={}", arguments.append()));
    for (option, file) in guest_files(arguments, progress)? {
        create.arg(option).arg(file);
    }
    workspace::output(&mut create)?;
    progress.say(&format!("{SERVER}  runs"));
    // Somebody else's guest says other words, or none.
    if arguments.guest.is_none() {
        let mut console =
            access.weft(&["vs", "console", SERVER, "--timeout", GUEST_PATIENCE_S, "--wait-for"]);
        console.arg(format!("{}.*\\n", guest::USERLAND_UP));
        run(console.stdin(Stdio::null()).stdout(Stdio::null()))?;
        progress.say(&format!("{SERVER}  reached its userland; a shell is on its console"));
    }
    Ok(())
}

/// The page's address, who logs in there, and commands to try.
fn farewell(access: &Access, arguments: &UpArguments) {
    println!();
    println!("./just status shows what runs, ./just down ends it");
    println!("page      {}", access.url);
    println!("log-in    admin, by the one-time password in {}", access.password.display());
    println!("try       ./just weft node list");
    if arguments.spanning {
        println!("          ./just weft partition show {}", spanning::PARTITION);
        println!("          ./just weft vs show {}", spanning::SERVER);
        println!("          ./just weft vs console {}", spanning::SERVER);
    } else if arguments.no_guest {
        println!("          ./just weft doctor");
    } else {
        println!("          ./just weft vs console {SERVER}");
    }
    println!("          ./just weft event list --follow");
    if !arguments.spanning {
        println!("one Linux on two nodes: ./just down, then ./just up --spanning");
    }
}

fn running() -> anyhow::Result<LabState> {
    LabState::read(&folder())?.context("no lab of this checkout is up; start one with ./just up")
}

fn access(state: &LabState) -> anyhow::Result<Access> {
    Ok(Access::of(&folder(), state.api.context("this lab has no way to its API")?))
}

/// `weft`: the command line against the lab.
pub(crate) fn weft(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = match LabState::read(&folder())? {
        Some(state) => access(&state)?.weft(&arguments),
        // Verbs that need no appliance work without a lab; the others say what they miss.
        None => {
            let mut command = Command::new(workspace::program("weft"));
            command.args(&arguments);
            command
        }
    };
    if !workspace::program("weft").exists() {
        build_page()?;
        build(&["weft"])?;
    }
    let code = run_status(&mut command)?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// `status`.
pub(crate) fn status() -> anyhow::Result<ExitCode> {
    let state = running()?;
    let row = |name: &str, alive: bool, pid: i32, log: &Path| {
        println!("{name:12} {:8} {pid:<8} {}", if alive { "runs" } else { "ended" }, log.display());
    };
    println!("{:12} {:8} {:<8} LOG", "NAME", "STATE", "PID");
    row("wire", state.wire.alive(), state.wire.pid, &folder().join("wire.log"));
    for program in &state.programs {
        row(&program.name, program.process.alive(), program.process.pid, &program.log);
    }
    for node in &state.nodes {
        row(&node.name, node.process.alive(), node.process.pid, &node.serial);
    }
    let access = access(&state)?;
    println!("\npage {}\n", access.url);
    for arguments in [["node", "list"], ["vs", "list"]] {
        run(&mut access.weft(&arguments))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `down`.
pub(crate) fn down() -> anyhow::Result<ExitCode> {
    match LabState::read(&folder())? {
        None => println!("no lab of this checkout is up"),
        Some(state) => {
            state.take_down(&folder())?;
            println!("the lab is down; its logs stay in {}", folder().display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: UpArguments,
    }

    fn said(words: &[&str]) -> Result<UpArguments, clap::Error> {
        Line::try_parse_from([&["up"], words].concat()).map(|line| line.up)
    }

    /// Guest's processors and MiB, command line, and whether its words are waited for.
    fn guest_of(words: &[&str]) -> (u16, u32, String, bool) {
        let up = said(words).expect("sound");
        (up.vcpus(), up.guest_mib(), up.append().to_owned(), up.tells_its_processors())
    }

    #[test]
    fn a_spanning_guest_is_larger_and_tells_more_unless_said_otherwise() {
        assert_eq!(guest_of(&[]), (1, 256, "quiet".into(), false));
        assert_eq!(guest_of(&["--image", "stress"]), (1, 768, "quiet".into(), false));
        assert_eq!(guest_of(&["--spanning"]), (4, 3072, "loglevel=7".into(), true));
        let own = ["--spanning", "--vcpus", "2", "--guest-memory", "300", "--append", "quiet debug"];
        assert_eq!(guest_of(&own), (2, 300, "quiet debug".into(), false));
        assert!(!guest_of(&["--spanning", "--guest", "vmlinuz"]).3, "somebody else's guest");
        assert!(said(&["--spanning", "--no-guest"]).is_err());
    }
}
