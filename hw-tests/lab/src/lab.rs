//! A lab as a value: one wire, its namespace, programs inside, nodes outside, artifacts in one folder.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Error;
use crate::host::Host;
use crate::node::{Node, NodeSpec};
use crate::process::{Process, command};
use crate::state::{LabState, ProgramState};
use crate::switch::{Faults, Stats};
use crate::wire::{self, Reply, Request, WireConfig};

/// How long the parts of a lab live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the value that holds them, and never longer than this process.
    Test,
    /// Until [`LabState::take_down`].
    Detached,
}

/// How to make a lab.
#[derive(Clone, Debug)]
pub struct LabConfig {
    /// Name of its folder below the artifacts' root; a test's gets a number added.
    pub name: String,
    /// Seed of the wire's faults.
    pub seed: u64,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// The tap's address with prefix length.
    pub address: String,
    /// Port of the loopback address inside that a loopback port outside leads to.
    pub api_port: Option<u16>,
}

impl LabConfig {
    /// A lab for one test: `10.77.0.1/24` on the tap, the API's port forwarded.
    pub fn test(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            seed: 1,
            lifetime: Lifetime::Test,
            address: "10.77.0.1/24".to_owned(),
            api_port: Some(8443),
        }
    }
}

/// Name of the tap inside the namespace.
pub const TAP: &str = "weft0";
/// The tap's name as a port of the wire.
pub const TAP_PORT: &str = "tap";

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    config: LabConfig,
    folder: PathBuf,
    sockets: PathBuf,
    api: Option<SocketAddr>,
    programs: Vec<(String, Process)>,
    wire: Process,
    keep: bool,
}

/// Where all labs of this checkout keep their folders.
pub fn artifacts_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).join("target/lab")
}

impl Lab {
    /// Starts the wire in a namespace of its own.
    pub fn start(config: LabConfig) -> Result<Self, Error> {
        let folder = artifacts_root().join(folder_name(&config));
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        // Socket paths are limited to 107 bytes, so that they cannot live below a checkout.
        let sockets = tempfile::Builder::new().prefix("weft-").tempdir().map_err(Error::io("/tmp"))?.keep();
        let (listener, api, forward_to) = match config.api_port {
            None => (None, None, None),
            Some(port) => {
                let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("127.0.0.1"))?;
                let api = listener.local_addr().map_err(Error::io("127.0.0.1"))?;
                (Some(listener), Some(api), Some(SocketAddr::from(([127, 0, 0, 1], port))))
            }
        };
        let wire_config = WireConfig {
            seed: config.seed,
            sockets: sockets.clone(),
            tap: TAP.to_owned(),
            address: config.address.clone(),
            forward_to,
            pcap: folder.join("wire.pcap"),
        };
        let file = folder.join("wire.json");
        let text = serde_json::to_string_pretty(&wire_config).expect("plain data");
        std::fs::write(&file, text).map_err(Error::io(&file))?;

        let helper = helper()?.to_string_lossy().into_owned();
        let mut start = command(config.lifetime, &own_namespace(), &helper);
        start.arg("wire").arg(&file);
        let stdin = listener.map_or(Stdio::null(), |listener| Stdio::from(OwnedFd::from(listener)));
        let wire = Process::start(start, stdin, &folder.join("wire.log"), config.lifetime)?;
        let mut lab = Self { config, folder, sockets, api, programs: Vec::new(), wire, keep: false };
        lab.await_wire()?;
        Ok(lab)
    }

    fn await_wire(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match wire::request(&self.sockets, &Request::Stats) {
                Ok(_) => return Ok(()),
                Err(error) => {
                    if let Some(status) = self.wire.ended() {
                        let log = std::fs::read_to_string(self.wire.log()).unwrap_or_default();
                        let what = format!("ended ({status}): {}", log.trim());
                        return Err(Error::Program { program: "the wire".to_owned(), what });
                    }
                    if Instant::now() > deadline {
                        return Err(error);
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The folder with logs, capture, variable stores and screenshots.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Loopback address outside that leads to the API inside.
    pub fn api(&self) -> Option<SocketAddr> {
        self.api
    }

    /// A command that runs inside the namespace, as this user.
    pub fn command_inside(&self, program: &str) -> Command {
        command(self.config.lifetime, &self.enter(), program)
    }

    fn enter(&self) -> Vec<String> {
        enter(self.wire.id().pid)
    }

    /// Starts a program inside; its output goes to `NAME.log` in the folder. A second start of the same name
    /// takes the first one's place, which must have ended.
    pub fn start_inside(&mut self, name: &str, command: Command) -> Result<(), Error> {
        let log = self.folder.join(format!("{name}.log"));
        let process = Process::start(command, Stdio::null(), &log, self.config.lifetime)?;
        self.programs.retain(|(other, _)| other != name);
        self.programs.push((name.to_owned(), process));
        Ok(())
    }

    /// A program started inside.
    pub fn program(&mut self, name: &str) -> Option<&mut Process> {
        self.programs.iter_mut().find(|(other, _)| other == name).map(|(_, process)| process)
    }

    /// Plugs a node in. It is switched off.
    pub fn node(&mut self, spec: NodeSpec) -> Result<Node, Error> {
        self.ask(Request::AddPort(spec.name.clone()))?;
        Node::new(spec, &self.folder, &self.sockets, self.config.lifetime)
    }

    /// Puts a further host on the wire, `address` with prefix length. It must end before the lab does.
    pub fn host(&mut self, name: &str, address: &str) -> Result<Host, Error> {
        self.ask(Request::AddPort(name.to_owned()))?;
        Host::start(name, address, &self.folder, &self.sockets)
    }

    /// Sets what goes wrong at a node's port, or at [`TAP_PORT`].
    pub fn set_faults(&self, port: &str, faults: Faults) -> Result<(), Error> {
        self.ask(Request::SetFaults(port.to_owned(), faults)).map(drop)
    }

    /// Puts a port into a group; only ports of one group reach each other. All start in group 0.
    pub fn set_group(&self, port: &str, group: u32) -> Result<(), Error> {
        self.ask(Request::SetGroup(port.to_owned(), group)).map(drop)
    }

    /// Counters of the wire.
    pub fn stats(&self) -> Result<Stats, Error> {
        match self.ask(Request::Stats)? {
            Reply::Stats(stats) => Ok(stats),
            Reply::Ok | Reply::Error(_) => {
                Err(Error::Protocol { peer: "the wire", answer: "no counters".to_owned() })
            }
        }
    }

    fn ask(&self, request: Request) -> Result<Reply, Error> {
        match wire::request(&self.sockets, &request)? {
            Reply::Error(answer) => Err(Error::Protocol { peer: "the wire", answer }),
            reply @ (Reply::Ok | Reply::Stats(_)) => Ok(reply),
        }
    }

    /// Keeps the folder though nothing failed.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Writes down what runs, for a lab that outlives this process.
    pub fn save(&self, nodes: &[&Node]) -> Result<(), Error> {
        let state = LabState {
            sockets: self.sockets.clone(),
            wire: self.wire.id().clone(),
            api: self.api,
            programs: self
                .programs
                .iter()
                .map(|(name, process)| ProgramState {
                    name: name.clone(),
                    process: process.id().clone(),
                    log: process.log().to_path_buf(),
                })
                .collect(),
            nodes: nodes.iter().filter_map(|node| node.state()).collect(),
        };
        state.write(&self.folder)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.config.lifetime == Lifetime::Detached {
            return;
        }
        for (_, process) in self.programs.iter_mut().rev() {
            process.stop(Duration::from_secs(3));
        }
        // The wire flushes its capture when asked to stop; a wire that does not answer is ended.
        let _unheard = wire::request(&self.sockets, &Request::Stop);
        self.wire.stop(Duration::from_secs(1));
        let _left_behind = std::fs::remove_dir_all(&self.sockets);
        if std::thread::panicking() || self.keep {
            eprintln!("lab: artifacts kept in {}", self.folder.display());
        } else {
            let _left_behind = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn folder_name(config: &LabConfig) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    match config.lifetime {
        Lifetime::Detached => config.name.clone(),
        Lifetime::Test => {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            format!("{}-{}-{number}", config.name, std::process::id())
        }
    }
}

/// How to start a program in the network namespace of a process.
pub(crate) fn enter(pid: i32) -> Vec<String> {
    let mut words = vec!["nsenter".to_owned(), "--target".to_owned(), pid.to_string()];
    words.push("--net".to_owned());
    if !is_root() {
        words.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
    }
    words.push("--".to_owned());
    words
}

/// How to start a program in a network namespace of its own: root needs no user namespace.
pub(crate) fn own_namespace() -> Vec<String> {
    let words: &[&str] = if is_root() {
        &["unshare", "--net", "--"]
    } else {
        &["unshare", "--user", "--map-root-user", "--net", "--"]
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Says what this machine lacks before anybody waits for a build.
pub fn preflight() -> Result<(), Error> {
    let tun = Path::new("/dev/net/tun");
    std::fs::File::options().read(true).write(true).open(tun).map(drop).map_err(|error| Error::Missing {
        what: format!("access to {} ({error})", tun.display()),
        next: "stock Debian lets every user open it: chmod 0666 /dev/net/tun as root, or run this as root",
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The helper program `weft-lab`: beside this program, or one folder up (tests live in `deps/`).
pub(crate) fn helper() -> Result<PathBuf, Error> {
    let this = std::env::current_exe().map_err(Error::io("this program"))?;
    this.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("weft-lab"))
        .find(|path| path.is_file())
        .ok_or(Error::Missing { what: "the program weft-lab".to_owned(), next: "cargo build -p weft-lab" })
}
