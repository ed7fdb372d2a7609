//! Why the lab could not do something.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Errors of the lab.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, folder or socket.
    #[error("{path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A program could not be started, or failed.
    #[error("{program}: {what}")]
    Program {
        /// Its name.
        program: String,
        /// What happened.
        what: String,
    },
    /// The wire or QEMU answered something else than expected.
    #[error("{peer} answered {answer}")]
    Protocol {
        /// Who.
        peer: &'static str,
        /// What.
        answer: String,
    },
    /// An awaited text never came.
    #[error("{node}: no {pattern:?} on the serial console within {} s; last lines:\n{last}", waited.as_secs())]
    Silent {
        /// Node name.
        node: String,
        /// Awaited text.
        pattern: String,
        /// How long.
        waited: Duration,
        /// The end of what came instead.
        last: String,
    },
    /// A node's emulator ended while something was awaited from it.
    #[error("{node}: the emulator ended ({status}); see {log}")]
    NodeEnded {
        /// Node name.
        node: String,
        /// Exit status.
        status: String,
        /// Its log.
        log: PathBuf,
    },
    /// Something on this machine is missing.
    #[error("{what} is missing: {next}")]
    Missing {
        /// What.
        what: String,
        /// What to do.
        next: &'static str,
    },
}

impl Error {
    /// For `map_err`: adds the path.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { path: path.as_ref().to_path_buf(), source }
    }
}
