//! Debian packages by name: download as an ordinary user, unpack into a folder, install nothing.

use std::collections::BTreeSet;
use std::fs::File;
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

/// Waits until no other recipe works in this folder, and keeps others out until the value is dropped.
pub(crate) fn alone(work: &Path) -> Result<File, Error> {
    std::fs::create_dir_all(work).map_err(Error::io(work))?;
    let path = work.join("lock");
    let lock = File::create(&path).map_err(Error::io(&path))?;
    lock.lock().map_err(Error::io(&path))?;
    Ok(lock)
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

/// Most packages that a closure may have: far more than any recipe needs.
const MAX_CLOSURE: usize = 400;

/// These packages and all that they depend on, without those of `leave_out` and what only they need. Of
/// alternatives the first is taken; names that only stand for others are passed over.
pub fn closure(wanted: &[&str], leave_out: &[&str]) -> Result<Vec<String>, Error> {
    let mut all: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let mut open: Vec<String> = all.iter().cloned().collect();
    while !open.is_empty() {
        let text = run(Command::new("apt-cache").args(["depends", "--important"]).args(&open))?;
        open.clear();
        for name in dependencies(&text) {
            if !leave_out.contains(&name) && all.insert(name.to_owned()) {
                open.push(name.to_owned());
            }
        }
        if all.len() > MAX_CLOSURE {
            return Err(Error::Unexpected(format!("{} packages are too many", all.len())));
        }
    }
    Ok(all.into_iter().collect())
}

/// The dependencies in what `apt-cache depends` prints, the first of alternatives (`|Depends: a`, then `Depends: b`).
fn dependencies(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut taken = false;
    for line in text.lines() {
        let line = line.trim_start();
        let more = line.starts_with('|');
        let field = line.trim_start_matches('|').split_once("Depends: ");
        let Some(("" | "Pre", name)) = field else { continue };
        if !taken && !name.starts_with('<') {
            found.push(name);
        }
        taken = more;
    }
    found
}

/// Downloads packages into `folder`, those that are not there yet at once, and returns their files.
pub fn download_all(packages: &[String], folder: &Path) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let mut missing = Vec::new();
    for package in packages {
        if downloaded(package, folder)?.is_none() {
            missing.push(package);
        }
    }
    if !missing.is_empty() {
        run(Command::new("apt-get").args(["download", "-qq"]).args(missing).current_dir(folder))?;
    }
    packages.iter().map(|package| download(package, folder)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_alternative_is_taken_and_stand_ins_are_passed_over() {
        let text = "tool\n  PreDepends: libc6\n |Depends: one\n |Depends: two\n  Depends: three\n  Depends: <awk>\n    mawk\n  Depends: last\n";
        assert_eq!(dependencies(text), ["libc6", "one", "last"]);
    }
}
