//! What a lab that outlives its maker writes down: enough for `status`, for `down`, and for nothing else's harm.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::ProcessId;
use crate::{Error, wire};

/// File name inside a lab's folder.
pub const FILE: &str = "state.json";

/// A running lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabState {
    /// Sockets' folder, removed by `down`.
    pub sockets: PathBuf,
    /// The wire, which holds the namespace.
    pub wire: ProcessId,
    /// Loopback address that leads to the appliance's API.
    pub api: Option<SocketAddr>,
    /// Programs inside the namespace, in the order of their start.
    pub programs: Vec<ProgramState>,
    /// Nodes.
    pub nodes: Vec<NodeState>,
}

/// A program inside the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramState {
    /// Name, for people.
    pub name: String,
    /// Process.
    pub process: ProcessId,
    /// Its output.
    pub log: PathBuf,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Name, and port on the wire.
    pub name: String,
    /// The emulator.
    pub process: ProcessId,
    /// Serial console log.
    pub serial: PathBuf,
    /// QEMU's monitor socket.
    pub monitor: PathBuf,
}

impl LabState {
    /// Reads the state of the lab in `folder`; nothing where none was started or all of it was taken down.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path)(error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::io(&path)(error.into()))
    }

    /// Writes it, by rename.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(FILE);
        let new = folder.join("state.json.new");
        let text = serde_json::to_string_pretty(self).expect("the state is plain data");
        std::fs::write(&new, text).map_err(Error::io(&new))?;
        std::fs::rename(&new, &path).map_err(Error::io(&path))
    }

    /// Ends everything the lab started: nodes at once, programs in reverse order with time to finish, the wire
    /// last. Logs stay.
    pub fn take_down(&self, folder: &Path) -> Result<(), Error> {
        for node in &self.nodes {
            node.process.kill();
        }
        for program in self.programs.iter().rev() {
            program.process.end(Duration::from_secs(10));
        }
        if self.wire.alive() {
            // A wire that does not answer is ended below.
            let _unheard = wire::request(&self.sockets, &wire::Request::Stop);
        }
        self.wire.end(Duration::from_secs(2));
        for path in [&self.sockets, &folder.join(FILE)] {
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            if let Err(error) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(Error::io(path)(error));
            }
        }
        Ok(())
    }
}
