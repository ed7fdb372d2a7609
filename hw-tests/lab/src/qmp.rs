//! QEMU's monitor socket (QMP, docs/interop/qmp-spec.txt): one command, one answer, events skipped.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Error;

/// Events that may come before an answer.
const MAX_EVENTS: usize = 1000;

/// A connection to one emulator's monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Qmp {
    /// Connects and leaves negotiation mode.
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(path).map_err(Error::io(path))?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(Error::io(path))?;
        let mut qmp = Self { stream: BufReader::new(stream), path: path.to_path_buf() };
        qmp.read()?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns its result.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, Error> {
        let text = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.stream.get_mut().write_all(text.as_bytes()).map_err(Error::io(&self.path))?;
        for _ in 0..MAX_EVENTS {
            let mut answer = self.read()?;
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
            if answer.get("error").is_some() {
                return Err(Error::Protocol { peer: "QEMU", answer: answer.to_string() });
            }
        }
        Err(Error::Protocol { peer: "QEMU", answer: "nothing but events".to_owned() })
    }

    fn read(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        self.stream.read_line(&mut line).map_err(Error::io(&self.path))?;
        serde_json::from_str(&line).map_err(|_| Error::Protocol { peer: "QEMU", answer: line })
    }
}
