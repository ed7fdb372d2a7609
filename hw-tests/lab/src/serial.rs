//! A node's serial console, as the file that QEMU logs it to.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Reads a growing log and waits for words in it.
#[derive(Debug)]
pub struct Serial {
    path: PathBuf,
    /// Bytes of the cleaned text that earlier waits have consumed.
    seen: usize,
}

const POLL: Duration = Duration::from_millis(50);

impl Serial {
    /// Follows the log at `path`, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), seen: 0 }
    }

    /// The log's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that was printed, without terminal control sequences.
    pub fn text(&self) -> String {
        clean(&std::fs::read(&self.path).unwrap_or_default())
    }

    /// The last `count` lines that are not blank.
    pub fn last_lines(&self, count: usize) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
    }

    /// Forgets what was printed so far: the next wait looks only at what comes.
    pub fn skip(&mut self) {
        self.seen = self.text().len();
    }

    /// Waits for a whole line that contains `pattern` and returns it. Lines are looked at once, in order.
    /// `still_there` is asked between looks; waiting ends early when it says no.
    pub fn wait_for(
        &mut self,
        pattern: &str,
        timeout: Duration,
        mut still_there: impl FnMut() -> bool,
    ) -> Option<String> {
        let deadline = Instant::now() + timeout;
        loop {
            // Asked before reading, so that the last words of a node that ended are still seen.
            let last_look = !still_there() || Instant::now() >= deadline;
            if let Some(line) = self.find(pattern) {
                return Some(line);
            }
            if last_look {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }

    fn find(&mut self, pattern: &str) -> Option<String> {
        let text = self.text();
        let mut at = self.seen;
        for line in text.get(self.seen..)?.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            at += line.len();
            if line.contains(pattern) {
                self.seen = at;
                return Some(line.trim_end().to_owned());
            }
        }
        None
    }
}

/// Removes terminal control sequences (ECMA-48: CSI, and two-byte escapes) and carriage returns.
pub fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\x1b' if characters.next_if_eq(&'[').is_some() => {
                // Parameters and intermediates, then one final character.
                while characters.next_if(|c| !('\x40'..='\x7e').contains(c)).is_some() {}
                characters.next();
            }
            '\x1b' => {
                characters.next();
            }
            '\r' | '\0' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_vanish() {
        assert_eq!(clean(b"\x1b[2J\x1b[01;01Hweft\x1b[0m: up\r\n\x1b=x"), "weft: up\nx");
        assert_eq!(clean(b"cut \x1b[12"), "cut ");
    }

    #[test]
    fn waits_see_each_line_once_and_only_whole_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("serial");
        let mut serial = Serial::new(&path);
        let none = Duration::ZERO;
        assert_eq!(serial.wait_for("stage", none, || true), None, "no log yet");
        std::fs::write(&path, "stage one\nnoise\nstage two\nstage thr").expect("written");
        assert_eq!(serial.wait_for("stage", none, || true).as_deref(), Some("stage one"));
        assert_eq!(serial.wait_for("stage", none, || true).as_deref(), Some("stage two"));
        assert_eq!(serial.wait_for("stage", none, || true), None, "the third is not whole");
        std::fs::write(&path, "stage one\nnoise\nstage two\nstage three\n").expect("written");
        assert_eq!(serial.wait_for("stage", none, || true).as_deref(), Some("stage three"));
    }

    #[test]
    fn waiting_ends_when_the_node_does() {
        let started = Instant::now();
        let mut serial = Serial::new(Path::new("/nonexistent/serial"));
        assert_eq!(serial.wait_for("x", Duration::from_secs(60), || false), None);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
