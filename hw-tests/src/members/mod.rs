//! Nodes that run one guest together, without an appliance: emulators joined by a wire of datagrams, the guest put into
//! the memory of the first, members named on the command lines.
//!
//! - [`wire`]: what harms the frames between them, or cuts them apart.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use weft_images::guest::Guest;
use weft_lab::Lifetime;
use weft_lab::emulator;
use weft_lab::process::Process;
use weft_lab::switch::Faults;

use crate::bare::{INITRD_AT, KERNEL_AT, place};
use crate::stack::image;

mod wire;

pub use wire::Wire;

/// How often the nodes' consoles are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What one node gives.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Processors of the guest that run there.
    pub vcpus: u8,
    /// Memory of the guest that is located there.
    pub memory_mib: u32,
}

/// What a node is made of.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Its processors. Each is a thread of the emulator: more than this machine has make all slow.
    pub processors: u8,
    /// Its memory.
    pub mib: u32,
    /// Features that its processors lack, as QEMU's `-cpu` takes them: empty, or for example `-avx2`.
    pub lacks: &'static str,
    /// Bytes that a frame of its NIC carries.
    pub mtu: u16,
}

/// Two nodes with one guest.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    /// The first loads the guest.
    pub members: [Member; 2],
    /// What each node is made of.
    pub machines: [Machine; 2],
    /// bzImage.
    pub kernel: &'a Path,
    /// Initial ram disk.
    pub initrd: &'a Path,
    /// Words for the guest's command line.
    pub append: &'a [&'a str],
    /// Words for the second node's monitor.
    pub second: &'a str,
    /// Virtual processors stay on their nodes.
    pub pinned: bool,
    /// What the wire does to frames, and the seed of its choices; `None`: a wire without anybody in between.
    pub faults: Option<(Faults, u64)>,
}

/// What the nodes' consoles said.
#[derive(Clone, Debug)]
pub struct Said {
    /// The first node's, which has the guest's console.
    pub first: String,
    /// The second node's.
    pub second: String,
}

/// Both nodes, switched on.
#[derive(Debug)]
pub struct Running {
    folder: PathBuf,
    nodes: Vec<Process>,
    wire: Option<Wire>,
}

/// A node that measures the link to the other one, and nothing else; the first prints what it saw.
pub fn link_bench(folder: &Path, number: usize) -> anyhow::Result<Command> {
    let words = format!("server=10.0.2.2 bench=link own={number} peer={}", mac(1 - number));
    let mut qemu = emulator(folder, number, false, Machine { mib: 512, ..Machine::SMALL })?;
    load_monitor(&mut qemu)?;
    qemu.arg("-append").arg(words);
    Ok(qemu)
}

/// Linux itself on one of the two machines, without a monitor: for what the same pair does in the ordinary way.
pub fn linux(folder: &Path, number: usize, guest: &Guest, append: &[&str]) -> anyhow::Result<Command> {
    let mut qemu = emulator(folder, number, false, Machine::SMALL)?;
    qemu.arg("-kernel").arg(&guest.kernel).arg("-initrd").arg(&guest.initrd);
    qemu.arg("-append").arg(format!("console=ttyS0 {}", append.join(" ")));
    Ok(qemu)
}

/// What the console of one of them said.
pub fn said_by(folder: &Path, number: usize) -> String {
    read(&console(folder, number))
}

/// The node image, as QEMU loads it without firmware.
fn load_monitor(qemu: &mut Command) -> anyhow::Result<()> {
    let image = image::build()?;
    qemu.arg("-kernel").arg(&image.bios).arg("-initrd").arg(image.bios.with_file_name("manifest"));
    Ok(())
}

/// An emulator with its end of the wire and its console.
fn emulator(folder: &Path, number: usize, harmed: bool, machine: Machine) -> anyhow::Result<Command> {
    let mut qemu = emulator::command(Lifetime::Test);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    qemu.args(["-accel", "tcg,thread=multi", "-cpu"]).arg(machine.cpu());
    qemu.arg("-smp").arg(weft_lab::processors(machine.processors));
    qemu.arg("-m").arg(machine.mib.to_string());
    let (here, there) = wire::ends(folder, number, harmed);
    qemu.arg("-netdev")
        .arg(format!("dgram,id=wire,local.type=unix,local.path={here},remote.type=unix,remote.path={there}"));
    qemu.arg("-device").arg(format!(
        "virtio-net-pci,netdev=wire,mac={},host_mtu={}",
        mac(number),
        machine.mtu
    ));
    qemu.arg("-serial").arg(format!("file:{}", console(folder, number).display()));
    Ok(qemu)
}

impl Machine {
    /// One processor, and memory for half of most guests.
    pub const SMALL: Self = Self { processors: 1, mib: 1280, lacks: "", mtu: 1500 };

    fn cpu(self) -> String {
        let lacks = self.lacks.split(',').filter(|feature| !feature.is_empty());
        ["max", "+svm"].into_iter().chain(lacks).collect::<Vec<_>>().join(",")
    }
}

impl Pair<'_> {
    /// Switches both nodes on.
    pub fn start(&self, folder: &Path) -> anyhow::Result<Running> {
        let wire = self.faults.map(|(faults, seed)| Wire::start(folder, faults, seed)).transpose()?;
        let mut nodes = Vec::new();
        for number in 0..2 {
            let command = self.node(folder, number)?;
            let log = folder.join(format!("qemu-{number}.log"));
            nodes.push(Process::start(command, Stdio::null(), &log, Lifetime::Test)?);
        }
        Ok(Running { folder: folder.to_owned(), nodes, wire })
    }

    /// Runs the guest until it ends on both nodes, or until `enough` is content with what they said.
    pub fn run(
        &self,
        folder: &Path,
        patience: Duration,
        enough: impl Fn(&Said) -> bool,
    ) -> anyhow::Result<Said> {
        self.start(folder)?.until(patience, enough)
    }

    fn node(&self, folder: &Path, number: usize) -> anyhow::Result<Command> {
        let mut qemu = emulator(folder, number, self.faults.is_some(), self.machines[number])?;
        load_monitor(&mut qemu)?;
        let mut words = format!("server=10.0.2.2 span={}", self.span());
        if self.pinned {
            words += " vcpus=pinned";
        }
        if number == 1 {
            words += &format!(" {}", self.second);
        }
        if number == 0 {
            let kernel = place(&mut qemu, Some(self.kernel), KERNEL_AT)?;
            let initrd = place(&mut qemu, Some(self.initrd), INITRD_AT)?;
            words += &format!(" guest={kernel},{initrd},0,1 append={}", self.append.join("+"));
        }
        qemu.arg("-append").arg(words);
        Ok(qemu)
    }

    fn span(&self) -> String {
        let place = |(number, member): (usize, &Member)| {
            format!("{}/{}/{}", mac(number), member.vcpus, member.memory_mib)
        };
        self.members.iter().enumerate().map(place).collect::<Vec<_>>().join(",")
    }
}

impl Said {
    /// What of both consoles explains a failure, the last lines first.
    pub fn evidence(&self) -> String {
        const TELLING: [&str; 9] =
            ["FAIL ", "PASS ", "weft guest:", "weft stress:", "lost", "BUG", "Oops", "anic", "stall"];
        let told = |console: &str| {
            let lines = console.lines().rev().enumerate();
            let telling = lines
                .filter(|(at, line)| *at < 4 || TELLING.iter().any(|word| line.contains(word)))
                .map(|(_, line)| format!("\n  {}", line.trim_end()));
            telling.take(16).collect::<String>()
        };
        format!("the first node, last line first:{}\nthe second:{}", told(&self.first), told(&self.second))
    }
}

impl Running {
    /// What both said so far.
    pub fn said(&self) -> Said {
        Said { first: said_by(&self.folder, 0), second: said_by(&self.folder, 1) }
    }

    /// Waits until `enough` is content, or the guest has ended on both nodes, or a node has ended.
    pub fn until(&mut self, patience: Duration, enough: impl Fn(&Said) -> bool) -> anyhow::Result<Said> {
        let end = Instant::now() + patience;
        loop {
            let said = self.said();
            let over = has_ended(&said.first) && has_ended(&said.second);
            if over || enough(&said) || self.nodes.iter_mut().any(|node| node.ended().is_some()) {
                return Ok(said);
            }
            if Instant::now() > end {
                bail!("the guest is not there yet: {}", said.evidence());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Takes the power from a node: nothing of it answers any more.
    pub fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        let node = self.nodes.get(number).context("a node of this number")?;
        node.id().kill();
        // The wait for the others goes on without it.
        self.nodes.remove(number);
        Ok(())
    }

    /// The wire, where it was asked for one with faults.
    pub fn wire(&self) -> anyhow::Result<&Wire> {
        self.wire.as_ref().context("a wire with somebody in between")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(Process::kill);
    }
}

fn mac(number: usize) -> String {
    format!("02:00:00:00:00:{:02x}", number + 1)
}

fn console(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("console-{number}"))
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
}

/// Whether a node has printed all figures of a guest that ended, or has ended itself.
pub(crate) fn has_ended(said: &str) -> bool {
    said.contains("weft guest: no more figures") || said.contains("defect, the node stops")
}

/// A count that a node printed at the end as `NAME NUMBER`; those that are 0 are not printed. Fails where the line of
/// counts is not there at all.
pub fn count(said: &str, line: &str, name: &str) -> anyhow::Result<u64> {
    let start = format!("weft guest: {line} ");
    let line = said.lines().rev().find_map(|text| text.strip_prefix(&start));
    let mut words = line.with_context(|| format!("no line `{start}`"))?.split_whitespace();
    let number = words.by_ref().find(|word| *word == name).and_then(|_| words.next());
    number.map_or(Ok(0), |number| number.parse().with_context(|| format!("{name}: `{number}`")))
}
