//! Rules that the compiler does not know, as functions from text to complaints. `tests/tidy.rs` runs them over the
//! repository; their own tests show that each rule can fail.

pub mod dependencies;
pub mod documents;
pub mod style;

use std::path::{Path, PathBuf};
use std::process::Command;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint(pub String);

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn complain(
    out: &mut Vec<Complaint>,
    place: impl std::fmt::Display,
    what: impl std::fmt::Display,
) {
    out.push(Complaint(format!("{place}: {what}")));
}

/// The repository's top folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// All files that git keeps here and that are still there, relative to [`root`].
pub fn files() -> std::io::Result<Vec<String>> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output()?;
    if !output.status.success() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split('\0').filter(|name| root().join(name).is_file()).map(str::to_owned).collect())
}
