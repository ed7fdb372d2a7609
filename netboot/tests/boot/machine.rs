//! One emulated machine, from power-on to a line on its serial port.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
pub(crate) const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// Longest that one boot may take.
const PATIENCE: Duration = Duration::from_secs(240);
/// The same where the firmware has to sort its flash, which an emulator does byte by byte.
pub(crate) const LONG_PATIENCE: Duration = Duration::from_secs(480);
/// Most bytes of serial output that are kept.
const MAX_OUTPUT: usize = 1 << 20;

/// Emulated machines are busy: one at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    // A failed test must not fail the others.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn require(path: &str, package: &str) -> PathBuf {
    assert!(Path::new(path).exists(), "{path} is missing: apt-get install {package}");
    path.into()
}

/// QEMU's child, ended with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A machine's parts.
pub(crate) struct Machine {
    args: Vec<String>,
}

impl Machine {
    fn new(cpu: &str, memory_mib: u32) -> Self {
        let memory = memory_mib.to_string();
        let fixed = ["-accel", "tcg", "-cpu", cpu, "-m", &memory, "-display", "none", "-monitor", "none"];
        let mut args: Vec<String> = fixed.map(str::to_owned).to_vec();
        args.extend(["-serial", "stdio", "-no-reboot", "-nodefaults", "-vga", "std"].map(str::to_owned));
        Self { args }
    }

    /// A UEFI machine with a variable store that it keeps.
    pub(crate) fn uefi(variables: &Path) -> Self {
        let code = require(CODE, "ovmf");
        let machine = Self::new("max,+svm", 512).with(&["-machine", "q35,smm=on"]);
        machine.with(&["-global", "driver=cfi.pflash01,property=secure,value=on"]).with(&[
            "-drive",
            &format!("if=pflash,format=raw,unit=0,readonly=on,file={}", code.display()),
            "-drive",
            &format!("if=pflash,format=raw,unit=1,file={}", variables.display()),
        ])
    }

    /// A BIOS machine.
    pub(crate) fn bios(cpu: &str, memory_mib: u32) -> Self {
        Self::new(cpu, memory_mib).with(&["-machine", "pc"])
    }

    pub(crate) fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// A NIC on QEMU's own network, whose TFTP server offers `folder` and names `file`. `rom` is the
    /// device's option ROM: none gives UEFI's own PXE, the default is iPXE.
    pub(crate) fn network(self, folder: &Path, file: &str, device: &str) -> Self {
        let netdev = format!("user,id=net,tftp={},bootfile={file}", folder.display());
        self.with(&["-netdev", &netdev, "-device", &format!("{device},netdev=net")])
    }

    /// Powers on and returns the serial output up to and including the line with one of `ends`.
    pub(crate) fn run(self, ends: &[&str]) -> String {
        self.run_for(PATIENCE, ends)
    }

    /// The same, with this patience.
    pub(crate) fn run_for(self, patience: Duration, ends: &[&str]) -> String {
        let _turn = turn();
        let qemu = require("/usr/bin/qemu-system-x86_64", "qemu-system-x86");
        let mut command = Command::new(qemu);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = Running(command.spawn().expect("QEMU starts"));
        let stdout = child.0.stdout.take().expect("stdout is piped");
        collect(&reader(stdout), patience, ends)
    }
}

fn reader(mut source: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = source.read(&mut buffer) {
            if sender.send(buffer[..len].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn collect(receiver: &Receiver<Vec<u8>>, patience: Duration, ends: &[&str]) -> String {
    let end = Instant::now() + patience;
    let mut bytes = Vec::new();
    loop {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(chunk) => bytes.extend(chunk),
            Err(RecvTimeoutError::Timeout) => {
                panic!("none of {ends:?} within {patience:?}:\n{}", clean(&bytes))
            }
            Err(RecvTimeoutError::Disconnected) => panic!("QEMU ended before {ends:?}:\n{}", clean(&bytes)),
        }
        let text = clean(&bytes);
        let complete = text.rfind('\n').map_or("", |last| &text[..last]);
        if ends.iter().any(|end| complete.contains(end)) {
            return text;
        }
        assert!(bytes.len() < MAX_OUTPUT, "too much output:\n{text}");
    }
}

/// The text without terminal control sequences.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => while letters.next().is_some_and(|next| !next.is_ascii_alphabetic()) {},
            '\r' => {}
            other => out.push(other),
        }
    }
    out
}

/// A fresh copy of a variable store in `folder`.
pub(crate) fn variables(folder: &Path, template: &Path) -> PathBuf {
    let copy = folder.join("vars.fd");
    fs::copy(template, &copy).unwrap_or_else(|error| panic!("{}: {error}", template.display()));
    copy
}

/// The value of a line `name value` that the test monitor printed.
pub(crate) fn field<'a>(output: &'a str, name: &str) -> &'a str {
    let line = output.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).next();
    line.unwrap_or_else(|| panic!("the monitor printed no {name:?}:\n{output}")).trim()
}
