//! Other people's programs, made once below `target/peers` and kept: never installed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::packages::run;

/// Where they are kept.
pub fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).join("target/peers")
}

/// The folder of this name: made beside and moved at the end, so that an interrupted run does no harm, and by one
/// caller at a time.
pub fn kept(name: &str, make: impl FnOnce(&Path) -> Result<(), Error>) -> Result<PathBuf, Error> {
    let all = folder();
    std::fs::create_dir_all(&all).map_err(Error::io(&all))?;
    let path = all.join(format!("{name}.lock"));
    let lock = File::create(&path).map_err(Error::io(&path))?;
    lock.lock().map_err(Error::io(&path))?;
    let done = all.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    let new = all.join(format!("{name}.new"));
    if new.exists() {
        std::fs::remove_dir_all(&new).map_err(Error::io(&new))?;
    }
    std::fs::create_dir_all(&new).map_err(Error::io(&new))?;
    make(&new)?;
    std::fs::rename(&new, &done).map_err(Error::io(&done))?;
    Ok(done)
}

/// A Python environment of this name with these requirements from PyPI. Its programs are run by
/// `bin/python -m MODULE`: what is in `bin` names the folder that it was made in.
pub fn python(name: &str, requirements: &[&str]) -> Result<PathBuf, Error> {
    kept(name, |new| {
        run(Command::new("python3").args(["-m", "venv"]).arg(new))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(new.join("bin/python")).args(pip).args(requirements)).map(drop)
    })
}
