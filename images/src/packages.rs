//! Debian packages by name: download as an ordinary user, unpack into a folder, install nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Runs a program and returns what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| Error::Program { program: program.clone(), what: error.to_string() })?;
    if !output.status.success() {
        let what = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Program { program, what });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first dependency of a package whose name starts with `prefix`: how a meta package names the
/// current version of what it stands for.
pub fn dependency(package: &str, prefix: &str) -> Result<String, Error> {
    let text = run(Command::new("apt-cache").args(["depends", "--important", package]))?;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .ok_or_else(|| Error::Unexpected(format!("package {package} depends on no {prefix}…")))
}

/// Downloads a package into `folder` unless it is there, and returns the file.
pub fn download(package: &str, folder: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    if let Some(file) = downloaded(package, folder)? {
        return Ok(file);
    }
    run(Command::new("apt-get").args(["download", "-qq", package]).current_dir(folder))?;
    downloaded(package, folder)?
        .ok_or_else(|| Error::Unexpected(format!("apt-get download {package} left no file")))
}

fn downloaded(package: &str, folder: &Path) -> Result<Option<PathBuf>, Error> {
    let start = format!("{package}_");
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(&start) && name.ends_with(".deb") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Unpacks a package into `folder`, made anew.
pub fn unpack(file: &Path, folder: &Path) -> Result<(), Error> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(Error::io(folder))?;
    }
    unpack_into(file, folder)
}

/// Unpacks a package over what is in `folder`.
pub fn unpack_into(file: &Path, folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    run(Command::new("dpkg").arg("-x").arg(file).arg(folder)).map(drop)
}
