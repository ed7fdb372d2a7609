//! Runs the program with an environment of its own.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::double::Double;

/// A folder for settings and tokens, and where the double listens.
pub(crate) struct Shell {
    pub(crate) home: tempfile::TempDir,
    pub(crate) url: String,
}

/// What came of a command.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Shell {
    /// Logged in to the double.
    pub(crate) fn new(double: &Double) -> Self {
        let shell = Self::logged_out(double);
        std::fs::write(shell.home.path().join("token"), "good-token\n").expect("token file");
        shell
    }

    pub(crate) fn logged_out(double: &Double) -> Self {
        Self { home: tempfile::tempdir().expect("folder"), url: double.url.clone() }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft-cli"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .env("WEFT_URL", &self.url)
            .env("WEFT_TOKEN_FILE", self.home.path().join("token"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        outcome(self.command(args).output().expect("the program runs"))
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Outcome {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the program runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("input is read");
        drop(stdin);
        outcome(child.wait_with_output().expect("the program ends"))
    }

    /// Writes a file into the folder; its path.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, bytes).expect("file");
        path.to_str().expect("UTF-8").to_owned()
    }
}

pub(crate) fn outcome(output: Output) -> Outcome {
    Outcome {
        code: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}
