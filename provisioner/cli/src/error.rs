//! What can go wrong, the exit code of each kind, and what to do next.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the appliance failed, or answered something that cannot be understood |
//! | 2 | wrong use of the command line, a file that cannot be read |
//! | 3 | no such object |
//! | 4 | refused: conflict, wrong fingerprint, object in the wrong state |
//! | 5 | not logged in, or not allowed |
//! | 6 | appliance or node cannot be reached, or is not the one that is trusted |
//! | 7 | waited too long |
//! | 8 | `doctor` found a failure |

use std::io::{self, Write};

use weft_api::Problem;

/// Exit code of wrong use.
pub(crate) const USAGE: u8 = 2;
/// Exit code of a refusal.
pub(crate) const REFUSED: u8 = 4;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Wrong arguments or settings.
    #[error("{text}")]
    Usage {
        /// What is wrong.
        text: String,
        /// What to do.
        next: String,
    },
    /// A file or the terminal failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The appliance answered with a problem.
    #[error("{}", .0.title)]
    Refused(Problem),
    /// The answer is not what the interface promises.
    #[error("the appliance's answer to {what} cannot be understood: {why}")]
    Answer {
        /// The request.
        what: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// No connection.
    #[error("cannot reach the appliance at {url}: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        why: String,
        /// What to do.
        next: String,
    },
    /// No connection to a node, asked in the appliance's place.
    #[error("cannot reach {node}: {why}")]
    NodeUnreachable {
        /// Which.
        node: String,
        /// Why.
        why: String,
        /// What to do.
        next: String,
    },
    /// Waited long enough.
    #[error("{0}")]
    TimedOut(String),
    /// `doctor` found failures; they are on standard output.
    #[error("{0} findings need attention")]
    Findings(usize),
    /// A verb without an appliance failed; it has said why.
    #[error("{text}")]
    Offline {
        /// What is wrong.
        text: String,
        /// Its exit code.
        code: u8,
    },
}

impl CliError {
    /// Whether the caller is known and may not.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.status == 403)
    }

    /// Wrong use, with advice.
    pub(crate) fn usage(text: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Usage { text: text.into(), next: next.into() }
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, source: io::Error) -> Self {
        Self::Io { what: path.display().to_string(), source }
    }

    /// The exit code, see the module's table.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Io { .. } => USAGE,
            Self::Refused(problem) => match problem.status {
                404 => 3,
                401 | 403 => 5,
                400..=499 => REFUSED,
                _ => 1,
            },
            Self::Answer { .. } => 1,
            Self::Unreachable { .. } | Self::NodeUnreachable { .. } => 6,
            Self::TimedOut(_) => 7,
            Self::Findings(_) => 8,
            Self::Offline { code, .. } => *code,
        }
    }

    /// What to do about it; empty where nothing better is known than the error itself.
    fn next(&self) -> String {
        match self {
            Self::Usage { next, .. }
            | Self::Unreachable { next, .. }
            | Self::NodeUnreachable { next, .. } => next.clone(),
            Self::Refused(problem) if !problem.next.is_empty() => problem.next.clone(),
            Self::Refused(problem) => match problem.status {
                401 => "log in: weft login --user NAME".into(),
                403 => "ask an administrator for the permission, or change your password: weft passwd".into(),
                404 => "see what there is: weft node list, weft vs list, weft image list".into(),
                _ => String::new(),
            },
            Self::Answer { .. } => {
                "compare versions: weft --version and the appliance's weft --version".into()
            }
            Self::TimedOut(_) => "look where it stopped: weft doctor, weft event list".into(),
            Self::Io { .. } | Self::Findings(_) | Self::Offline { .. } => String::new(),
        }
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) {
        let mut err = io::stderr().lock();
        let text = crate::output::clean(&self.to_string());
        let _ = writeln!(err, "weft: {text}");
        if let Self::Refused(problem) = self {
            let _ = writeln!(err, "  code: {} ({})", crate::output::clean(&problem.code), problem.status);
        }
        if let Self::Refused(Problem { changed, .. }) = self {
            for field in changed {
                let of =
                    |text: &str| if text.is_empty() { "none".to_owned() } else { crate::output::clean(text) };
                let (before, after) = (of(&field.before), of(&field.after));
                let _ = writeln!(err, "  changed: {} {before} → {after}", crate::output::clean(&field.field));
            }
        }
        let next = self.next();
        if !next.is_empty() {
            let _ = writeln!(err, "  next: {}", crate::output::clean(&next));
        }
    }
}
