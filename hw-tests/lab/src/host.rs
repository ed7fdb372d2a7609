//! A further host on the wire: a network namespace of its own with a tap, joined to a port of the wire.
//!
//! The appliance's side of the wire is one host; a second DHCP server needs another, since both want the same ports.
//! The library's half is [`Host`]; the half that runs inside, [`run`], carries frames between tap and port.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};

use crate::lab::{TAP, enter, helper, own_namespace};
use crate::process::{Process, command};
use crate::switch::MAX_FRAME;
use crate::wire::{configure, node_path, open_tap, wire_path};
use crate::{Error, Lifetime};

/// Time for the namespace and its tap.
const START: Duration = Duration::from_secs(20);

/// What the process inside is told at its start, as a JSON file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostConfig {
    /// Folder of the wire's sockets.
    pub sockets: PathBuf,
    /// Name of the port.
    pub port: String,
    /// Name of the tap.
    pub tap: String,
    /// Address of the tap with prefix length.
    pub address: String,
}

/// A host that is on the wire; it and its programs end with this value.
#[derive(Debug)]
pub struct Host {
    name: String,
    folder: PathBuf,
    programs: Vec<Process>,
    process: Process,
}

impl Host {
    pub(crate) fn start(name: &str, address: &str, folder: &Path, sockets: &Path) -> Result<Self, Error> {
        let config = HostConfig {
            sockets: sockets.to_path_buf(),
            port: name.to_owned(),
            tap: TAP.to_owned(),
            address: address.to_owned(),
        };
        let file = folder.join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&config).expect("plain data");
        std::fs::write(&file, text).map_err(Error::io(&file))?;
        let program = helper()?.to_string_lossy().into_owned();
        let mut start = command(Lifetime::Test, &own_namespace(), &program);
        start.arg("host").arg(&file);
        let log = folder.join(format!("{name}.log"));
        let mut process = Process::start(start, Stdio::null(), &log, Lifetime::Test)?;
        let deadline = Instant::now() + START;
        // Its socket is the last thing that it makes.
        while !node_path(sockets, name).exists() {
            if let Some(status) = process.ended() {
                let words = std::fs::read_to_string(&log).unwrap_or_default();
                let what = format!("ended ({status}): {}", words.trim());
                return Err(Error::Program { program: format!("host {name}"), what });
            }
            if Instant::now() > deadline {
                return Err(Error::Missing {
                    what: format!("the socket of host {name}"),
                    next: "see its log",
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { name: name.to_owned(), folder: folder.to_path_buf(), programs: Vec::new(), process })
    }

    /// A command that runs on this host, as this user. Its network card is [`TAP`].
    pub fn command(&self, program: &str) -> Command {
        command(Lifetime::Test, &enter(self.process.id().pid), program)
    }

    /// Starts a program on this host; its output goes to `HOST-NAME.log` in the lab's folder, which is returned.
    pub fn run(&mut self, name: &str, command: Command) -> Result<PathBuf, Error> {
        let log = self.folder.join(format!("{}-{name}.log", self.name));
        self.programs.push(Process::start(command, Stdio::null(), &log, Lifetime::Test)?);
        Ok(log)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for program in &mut self.programs {
            program.stop(Duration::from_secs(3));
        }
        self.process.kill();
    }
}

/// Carries frames between a tap in this namespace and a port of the wire until it is ended.
///
/// # Errors
/// No tap, no socket, or one of them fails.
pub fn run(config: &HostConfig) -> Result<(), Error> {
    let tap = open_tap(&config.tap)?;
    configure(&config.tap, &config.address)?;
    let path = node_path(&config.sockets, &config.port);
    let port = UnixDatagram::bind(&path).map_err(Error::io(&path))?;
    port.set_nonblocking(true).map_err(Error::io(&path))?;
    let wire = wire_path(&config.sockets, &config.port);
    let mut buffer = vec![0; MAX_FRAME + 1];
    loop {
        let mut fds = [PollFd::new(&tap, PollFlags::IN), PollFd::new(&port, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::io("poll")(error.into())),
        }
        carry(&tap, &port, &wire, &mut buffer)?;
    }
}

/// All that waits, both ways. What the other side does not take is lost, as on a wire.
fn carry(tap: &File, port: &UnixDatagram, wire: &Path, buffer: &mut [u8]) -> Result<(), Error> {
    loop {
        match (&*tap).read(buffer) {
            Ok(length) => {
                let _lost = port.send_to(buffer.get(..length).unwrap_or_default(), wire);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(Error::io("tap")(error)),
        }
    }
    loop {
        match port.recv(buffer) {
            Ok(length) => {
                let _lost = (&*tap).write(buffer.get(..length).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Error::io(wire)(error)),
        }
    }
}
