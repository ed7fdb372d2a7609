//! Questions on a terminal. Without one there are none: the caller says which option answers instead.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::CliError;
use crate::settings::read_bounded;

/// Restores the terminal when it goes out of scope, also on an error's way out.
pub(crate) struct TerminalMode(Termios);

impl TerminalMode {
    /// Changes the terminal's mode on standard input.
    pub(crate) fn change(how: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut after = before.clone();
        how(&mut after);
        tcsetattr(io::stdin(), OptionalActions::Now, &after)?;
        Ok(Self(before))
    }
}

impl Drop for TerminalMode {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Whether a person can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn ask(question: &str) -> Result<String, CliError> {
    let wrap = |source| CliError::Io { what: "the terminal".into(), source };
    write!(io::stderr(), "{question}").and_then(|()| io::stderr().flush()).map_err(wrap)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(wrap)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A password: from a file (`-` is standard input), or asked for without echo.
pub(crate) fn password(file: Option<&Path>, question: &str, option: &str) -> Result<String, CliError> {
    let text = match file {
        Some(path) if path == Path::new("-") => {
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            read.map_err(|source| CliError::Io { what: "standard input".into(), source })?;
            line
        }
        Some(path) => read_bounded(path).map_err(|error| CliError::file(path, error))?,
        None if can_ask() => {
            let mode = TerminalMode::change(|mode| mode.local_modes.remove(LocalModes::ECHO))
                .map_err(|source| CliError::Io { what: "the terminal".into(), source })?;
            let text = ask(&format!("{question}: "));
            drop(mode);
            let _ = writeln!(io::stderr());
            text?
        }
        None => {
            return Err(CliError::usage(
                format!("there is no terminal to ask for the {question}"),
                format!("give {option} FILE"),
            ));
        }
    };
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() { Err(CliError::usage(format!("the {question} is empty"), "")) } else { Ok(text) }
}

/// Asks before something that cannot be taken back. Without a terminal the command itself is the answer.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), CliError> {
    if yes || !can_ask() {
        return Ok(());
    }
    match ask(&format!("{question} [y/N] "))?.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::usage("nothing was done", "answer y, or give --yes")),
    }
}

/// Asks for a line of text.
pub(crate) fn line(question: &str) -> Result<String, CliError> {
    ask(question)
}
