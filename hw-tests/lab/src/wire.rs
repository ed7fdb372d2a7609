//! The wire process: runs the [`switch`](crate::switch) inside a network namespace of its own.
//!
//! Ports are Unix datagram sockets, one frame a datagram (QEMU's `-netdev dgram`), `NAME.w` on this side and
//! `NAME.q` on the node's; port 0 is a tap in the namespace. A control socket takes one JSON [`Request`] a
//! connection. Standard input may be a listening TCP socket made *outside* the namespace: its connections are
//! forwarded to an address inside, which is how a browser reaches the appliance.
//!
//! One thread, one poll loop; only forwarding has threads, bounded in number.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use serde::{Deserialize, Serialize};
use smoltcp::phy::{Medium, TunTapInterface};

use crate::Error;
use crate::pcap::Capture;
use crate::switch::{Faults, MAX_FRAME, PortId, Stats, Switch};

/// Most ports beside the tap.
pub const MAX_PORTS: usize = 128;
/// Most forwarded connections at once.
pub const MAX_FORWARDED: usize = 128;
/// Frames that wait for one port whose socket is full.
const MAX_PENDING: usize = 2048;
/// Frames taken from one port before the others get their turn.
const BATCH: usize = 64;
const TAP: PortId = 0;
const RETRY_FULL: Duration = Duration::from_micros(200);
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// What the process is told at its start, as a JSON file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireConfig {
    /// Seed of all faults.
    pub seed: u64,
    /// Folder of the sockets; its path is short, since socket paths are limited to 107 bytes.
    pub sockets: PathBuf,
    /// Name of the tap.
    pub tap: String,
    /// Address of the tap with prefix length, `10.77.0.1/24`.
    pub address: String,
    /// Where connections of the listener on standard input go, inside.
    pub forward_to: Option<SocketAddr>,
    /// Capture of every frame as it was sent.
    pub pcap: PathBuf,
}

/// A request on the control socket, one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Adds a port.
    AddPort(String),
    /// Sets what goes wrong at a port; `tap` is the appliance's.
    SetFaults(String, Faults),
    /// Puts a port into a group; only ports of the same group reach each other.
    SetGroup(String, u32),
    /// Asks for the counters.
    Stats,
    /// Ends the process.
    Stop,
}

/// The answer, one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Ok,
    /// Counters.
    Stats(Stats),
    /// Refused.
    Error(String),
}

/// Path of the control socket.
pub fn control_path(sockets: &Path) -> PathBuf {
    sockets.join("control")
}

/// Path of a port's socket on the wire's side.
pub fn wire_path(sockets: &Path, port: &str) -> PathBuf {
    sockets.join(format!("{port}.w"))
}

/// Path of a port's socket on the node's side.
pub fn node_path(sockets: &Path, port: &str) -> PathBuf {
    sockets.join(format!("{port}.q"))
}

/// Sends one request to a running wire.
pub fn request(sockets: &Path, request: &Request) -> Result<Reply, Error> {
    let path = control_path(sockets);
    let mut stream = UnixStream::connect(&path).map_err(Error::io(&path))?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(Error::io(&path))?;
    let mut line = serde_json::to_string(request).expect("requests are plain data");
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(Error::io(&path))?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(Error::io(&path))?;
    serde_json::from_str(&answer).map_err(|_| Error::Protocol { peer: "the wire", answer })
}

/// Runs the wire until it is told to stop.
pub fn run(config: &WireConfig) -> Result<(), Error> {
    let tap = open_tap(&config.tap)?;
    configure(&config.tap, &config.address)?;
    if let Some(to) = config.forward_to {
        let stdin = std::io::stdin();
        let fd = stdin.as_fd().try_clone_to_owned().map_err(Error::io("standard input"))?;
        forward(TcpListener::from(fd), to);
    }
    let path = control_path(&config.sockets);
    let control = UnixListener::bind(&path).map_err(Error::io(&path))?;
    control.set_nonblocking(true).map_err(Error::io(&path))?;
    let pcap = Capture::create(&config.pcap).map_err(Error::io(&config.pcap))?;
    let mut switch = Switch::new(config.seed);
    switch.add_port(TAP);
    let started = Instant::now();
    let names = BTreeMap::from([("tap".to_owned(), TAP)]);
    let sockets = config.sockets.clone();
    Wire { switch, tap, control, pcap, sockets, names, ports: BTreeMap::new(), started }.serve()
}

/// A descriptor of our own for the tap. `TunTapInterface` makes the tap and then only lends its number, which
/// safe code cannot poll.
pub(crate) fn open_tap(name: &str) -> Result<File, Error> {
    let tap = TunTapInterface::new(name, Medium::Ethernet).map_err(Error::io("/dev/net/tun"))?;
    let own = pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|this| pidfd_getfd(this, tap.as_raw_fd(), PidfdGetfdFlags::empty()));
    let fd: OwnedFd = own.map_err(|error| Error::io("tap")(error.into()))?;
    Ok(File::from(fd))
}

pub(crate) fn configure(tap: &str, address: &str) -> Result<(), Error> {
    for arguments in [
        vec!["link", "set", "lo", "up"],
        vec!["addr", "add", address, "dev", tap],
        vec!["link", "set", tap, "up"],
    ] {
        let output = Command::new("ip").args(&arguments).output().map_err(Error::io("ip"))?;
        if !output.status.success() {
            let what = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Program { program: format!("ip {}", arguments.join(" ")), what });
        }
    }
    Ok(())
}

struct NodePort {
    socket: UnixDatagram,
    peer: PathBuf,
    /// Frames that the full socket did not take yet.
    pending: VecDeque<Vec<u8>>,
}

struct Wire {
    switch: Switch,
    tap: File,
    control: UnixListener,
    pcap: Capture,
    sockets: PathBuf,
    names: BTreeMap<String, PortId>,
    ports: BTreeMap<PortId, NodePort>,
    started: Instant,
}

impl Wire {
    fn serve(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0; MAX_FRAME + 1];
        let mut flushed = Instant::now();
        loop {
            self.wait()?;
            self.receive(&mut buffer)?;
            self.send();
            if flushed.elapsed() >= FLUSH_EVERY {
                self.pcap.flush().map_err(Error::io("capture"))?;
                flushed = Instant::now();
            }
            while let Ok((stream, _)) = self.control.accept() {
                if self.answer(stream) {
                    return self.pcap.flush().map_err(Error::io("capture"));
                }
            }
        }
    }

    fn wait(&self) -> Result<(), Error> {
        let now = self.started.elapsed();
        let mut timeout = FLUSH_EVERY;
        if let Some(due) = self.switch.next_due() {
            timeout = timeout.min(due.saturating_sub(now));
        }
        if self.ports.values().any(|port| !port.pending.is_empty()) {
            timeout = timeout.min(RETRY_FULL);
        }
        let mut fds = vec![PollFd::new(&self.control, PollFlags::IN), PollFd::new(&self.tap, PollFlags::IN)];
        fds.extend(self.ports.values().map(|port| PollFd::new(&port.socket, PollFlags::IN)));
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(timeout.subsec_nanos()) };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::io("poll")(error.into())),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        for _ in 0..BATCH {
            match (&self.tap).read(buffer) {
                Ok(length) => self.input(TAP, buffer.get(..length).unwrap_or_default())?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(Error::io("tap")(error)),
            }
        }
        let ids: Vec<PortId> = self.ports.keys().copied().collect();
        for id in ids {
            for _ in 0..BATCH {
                let Some(port) = self.ports.get(&id) else { break };
                match port.socket.recv(buffer) {
                    Ok(length) => self.input(id, buffer.get(..length).unwrap_or_default())?,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(Error::io(&port.peer)(error)),
                }
            }
        }
        Ok(())
    }

    fn input(&mut self, from: PortId, frame: &[u8]) -> Result<(), Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.pcap.frame(now, frame).map_err(Error::io("capture"))?;
        self.switch.input(self.started.elapsed(), from, frame);
        Ok(())
    }

    fn send(&mut self) {
        while let Some((to, frame)) = self.switch.output(self.started.elapsed()) {
            if to == TAP {
                // A tap that takes no frame (queue full, interface down) loses it, as a wire would.
                let _lost = (&self.tap).write(&frame);
            } else if let Some(port) = self.ports.get_mut(&to).filter(|p| p.pending.len() < MAX_PENDING) {
                port.pending.push_back(frame);
            }
        }
        for port in self.ports.values_mut() {
            while let Some(frame) = port.pending.pop_front() {
                match port.socket.send_to(&frame, &port.peer) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        port.pending.push_front(frame);
                        break;
                    }
                    // The node is switched off: nobody listens.
                    Err(_) => port.pending.clear(),
                }
            }
        }
    }

    /// Answers one request; true if it was the last.
    fn answer(&mut self, mut stream: UnixStream) -> bool {
        let mut line = String::new();
        let ready = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(5))))
            .and_then(|()| BufReader::new((&stream).take(64 * 1024)).read_line(&mut line));
        let parsed = ready
            .map_err(|e| e.to_string())
            .and_then(|_| serde_json::from_str::<Request>(&line).map_err(|e| e.to_string()));
        let stop = parsed == Ok(Request::Stop);
        let reply = parsed.and_then(|request| self.handle(request)).unwrap_or_else(Reply::Error);
        let text = serde_json::to_string(&reply).expect("replies are plain data");
        // A client that went away needs no answer.
        let _gone = stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(b"\n"));
        stop
    }

    fn handle(&mut self, request: Request) -> Result<Reply, String> {
        let id = |name: &str| self.names.get(name).copied().ok_or_else(|| format!("no port {name}"));
        match request {
            Request::AddPort(name) => self.add_port(name).map(|()| Reply::Ok),
            Request::SetFaults(name, faults) => {
                let id = id(&name)?;
                self.switch.set_faults(id, faults);
                Ok(Reply::Ok)
            }
            Request::SetGroup(name, group) => {
                let id = id(&name)?;
                self.switch.set_group(id, group);
                Ok(Reply::Ok)
            }
            Request::Stats => Ok(Reply::Stats(self.switch.stats())),
            Request::Stop => Ok(Reply::Ok),
        }
    }

    fn add_port(&mut self, name: String) -> Result<(), String> {
        if self.names.contains_key(&name) {
            return Err(format!("port {name} is there already"));
        }
        if self.ports.len() >= MAX_PORTS {
            return Err(format!("at most {MAX_PORTS} ports"));
        }
        let id = PortId::try_from(self.names.len()).map_err(|e| e.to_string())?;
        let path = wire_path(&self.sockets, &name);
        let socket = UnixDatagram::bind(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        socket.set_nonblocking(true).map_err(|e| e.to_string())?;
        let peer = node_path(&self.sockets, &name);
        self.switch.add_port(id);
        self.ports.insert(id, NodePort { socket, peer, pending: VecDeque::new() });
        self.names.insert(name, id);
        Ok(())
    }
}

/// Accepts on a listener from outside and joins each connection to one inside.
fn forward(listener: TcpListener, to: SocketAddr) {
    let open = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for outside in listener.incoming().flatten() {
            if open.load(Ordering::Relaxed) >= MAX_FORWARDED {
                continue;
            }
            let open = Arc::clone(&open);
            open.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || {
                // An appliance that is not there shows as a closed connection.
                if let Ok(inside) = TcpStream::connect_timeout(&to, Duration::from_secs(5)) {
                    join(&outside, &inside);
                }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
}

fn join(outside: &TcpStream, inside: &TcpStream) {
    let pass = |mut from: &TcpStream, mut to: &TcpStream| {
        // Either side may hang up at any time; what matters is that the other side learns it.
        let _ended = std::io::copy(&mut from, &mut to);
        let _closed = to.shutdown(std::net::Shutdown::Write);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| pass(outside, inside));
        pass(inside, outside);
    });
}
