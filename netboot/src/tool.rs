//! Running other people's programs.

use std::ffi::OsStr;
use std::io;
use std::process::Command;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be started.
    #[error("cannot run {tool} (install {package}): {source}")]
    Run {
        /// The program.
        tool: String,
        /// Debian package that holds it.
        package: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It failed.
    #[error("{tool} failed: {words}")]
    Failed {
        /// The program.
        tool: String,
        /// What it wrote to standard error.
        words: String,
    },
}

/// Runs `tool` of Debian's `package` and returns what it printed.
pub(crate) fn run<I, S>(tool: impl AsRef<OsStr>, package: &'static str, args: I) -> Result<String, ToolError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let name = tool.as_ref().to_string_lossy().into_owned();
    match Command::new(&tool).args(args).output() {
        Err(source) => Err(ToolError::Run { tool: name, package, source }),
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(ToolError::Failed { tool: name, words })
        }
    }
}
