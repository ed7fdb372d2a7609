//! Where a passphrase comes from: a file, an environment variable, or the terminal. Never an argument,
//! which every user of the machine can read in the process list.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::{SigningError, files};

/// Shortest passphrase for a new key, bytes.
pub const SHORTEST: usize = 8;
/// Longest passphrase, bytes.
pub const LONGEST: usize = 1024;

/// A passphrase; wiped when dropped.
pub type Passphrase = Zeroizing<Vec<u8>>;

/// Where to take a passphrase from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// First line of a file that only its owner may read.
    File(PathBuf),
    /// An environment variable of this name.
    Env(String),
    /// Asked for on the terminal.
    Terminal,
}

impl Source {
    /// The passphrase of a key that exists. `prompt` is shown on a terminal.
    pub fn read(&self, prompt: &str) -> Result<Passphrase, SigningError> {
        let passphrase = match self {
            Self::File(path) => {
                let bytes = Zeroizing::new(files::read_secret(path, LONGEST as u64 + 2)?);
                first_line(&bytes)
            }
            Self::Env(name) => {
                std::env::var(name).map(|text| Zeroizing::new(text.into_bytes())).map_err(|error| {
                    SigningError::PassphraseSource {
                        from: format!("the environment variable {name}"),
                        source: std::io::Error::other(error),
                    }
                })?
            }
            Self::Terminal => ask(prompt)
                .map_err(|source| SigningError::PassphraseSource { from: "the terminal".into(), source })?,
        };
        if passphrase.len() > LONGEST {
            return Err(SigningError::PassphraseRule("longer than 1024 bytes"));
        }
        Ok(passphrase)
    }

    /// The passphrase for a new key; asked for twice on a terminal.
    pub fn read_new(&self) -> Result<Passphrase, SigningError> {
        let passphrase = self.read("New passphrase: ")?;
        if passphrase.len() < SHORTEST {
            return Err(SigningError::PassphraseRule("shorter than 8 bytes"));
        }
        if *self == Self::Terminal && *passphrase != *self.read("The same again: ")? {
            return Err(SigningError::PassphraseRule("the two differ"));
        }
        Ok(passphrase)
    }
}

fn first_line(bytes: &[u8]) -> Passphrase {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Zeroizing::new(line.to_vec())
}

/// Puts the terminal back as it was.
struct EchoOff<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> EchoOff<'a> {
    fn new(terminal: &'a File) -> std::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for EchoOff<'_> {
    fn drop(&mut self) {
        // Nothing is left to do where even this fails.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

fn ask(prompt: &str) -> std::io::Result<Passphrase> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(prompt.as_bytes())?;
    let _silent = EchoOff::new(&terminal)?;
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    BufReader::with_capacity(1, &terminal).take(LONGEST as u64 + 2).read_until(b'\n', &mut line)?;
    Ok(first_line(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_line_counts() {
        assert_eq!(*first_line(b"open sesame\r\nrest"), b"open sesame");
        assert_eq!(*first_line(b"no newline"), b"no newline");
        assert_eq!(*first_line(b""), b"");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let error = Source::Env("WEFT_TEST_NOT_SET".into()).read("");
        assert!(error.is_err_and(|error| error.to_string().contains("WEFT_TEST_NOT_SET")));
    }
}
