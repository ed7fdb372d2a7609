//! Processes of a lab: started with a log file, known by id *and* start time, so that nobody else's is ended.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::{Error, Lifetime};

/// A process that can be recognised later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Process id.
    pub pid: i32,
    /// Start time in clock ticks since the machine's boot (proc(5), `stat` field 22).
    pub start: u64,
}

impl ProcessId {
    /// Looks a running process up.
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Some(Self { pid, start: start_time(pid)? })
    }

    /// Whether this very process still runs.
    pub fn alive(&self) -> bool {
        start_time(self.pid) == Some(self.start)
    }

    /// Asks it to end, waits, then ends it.
    pub fn end(&self, patience: Duration) {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.alive()) else { return };
        // Failing means that it ended in between.
        let _gone = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + patience;
        while self.alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// Ends it at once.
    pub fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.alive()) {
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
}

/// Field 22 of `/proc/PID/stat`; nothing for a zombie.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after it start with the state, field 3.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A program that a lab started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    id: ProcessId,
    lifetime: Lifetime,
    log: PathBuf,
}

/// Builds the command line of a program whose life hangs on ours, when it should.
pub fn command(lifetime: Lifetime, prefix: &[String], program: &str) -> Command {
    let mut words: Vec<&str> = prefix.iter().map(String::as_str).collect();
    if lifetime == Lifetime::Test {
        words.extend(["setpriv", "--pdeathsig", "KILL", "--"]);
    }
    words.push(program);
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words);
    command
}

impl Process {
    /// Starts a command with both outputs in `log`, in a process group of its own.
    pub fn start(mut command: Command, stdin: Stdio, log: &Path, lifetime: Lifetime) -> Result<Self, Error> {
        use std::os::unix::process::CommandExt;
        let out = File::options().create(true).append(true).open(log).map_err(Error::io(log))?;
        let err = out.try_clone().map_err(Error::io(log))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |what: String| Error::Program { program: program.clone(), what };
        let mut child = command
            .stdin(stdin)
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let Some(id) = ProcessId::of(child.id()) else {
            let status = child.wait().map_err(|error| failed(error.to_string()))?;
            return Err(failed(format!("ended at once ({status}); see {}", log.display())));
        };
        Ok(Self { child, id, lifetime, log: log.to_path_buf() })
    }

    /// How to recognise it later.
    pub fn id(&self) -> &ProcessId {
        &self.id
    }

    /// Its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Asks it to end, waits, then ends it.
    pub fn stop(&mut self, patience: Duration) {
        // The child must be reaped while it is waited for, else it stays a zombie.
        if let Some(pid) = Pid::from_raw(self.id.pid).filter(|_| self.ended().is_none()) {
            let _gone = kill_process(pid, Signal::TERM);
            let deadline = Instant::now() + patience;
            while self.ended().is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.kill();
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            // Both fail only when it is gone already.
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Test {
            self.kill();
        }
    }
}
