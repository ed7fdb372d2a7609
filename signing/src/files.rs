//! Files: bounded reads, whole writes, and secrets that stay with their owner.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::SigningError;

fn failed(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> SigningError {
    let path = path.to_owned();
    move |source| SigningError::File { path, what, source }
}

/// Reads a file of at most `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, SigningError> {
    let file = File::open(path).map_err(failed(path, "open"))?;
    read_open(file, path, most)
}

/// Reads a file that only its owner may read.
pub(crate) fn read_secret(path: &Path, most: u64) -> Result<Vec<u8>, SigningError> {
    let file = File::open(path).map_err(failed(path, "open"))?;
    let metadata = file.metadata().map_err(failed(path, "read"))?;
    let mode = metadata.mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(SigningError::Exposed { path: path.to_owned(), mode });
    }
    read_open(file, path, most)
}

fn read_open(file: File, path: &Path, most: u64) -> Result<Vec<u8>, SigningError> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed(path, "read"))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= most) {
        Ok(bytes)
    } else {
        Err(SigningError::TooLarge { path: path.to_owned(), most })
    }
}

/// Writes a file that must not exist yet, with mode 0600.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), SigningError> {
    let written = create(path, 0o600).and_then(|file| fill(file, bytes));
    written.map_err(failed(path, "write"))
}

/// Writes a file whole: readers see the old bytes or the new ones. Keeps the mode of a file that is
/// there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), SigningError> {
    let mode = fs::metadata(path).map_or(0o644, |metadata| metadata.mode() & 0o777);
    write_mode(path, bytes, mode)
}

/// The same for a secret.
pub(crate) fn replace_secret(path: &Path, bytes: &[u8]) -> Result<(), SigningError> {
    write_mode(path, bytes, 0o600)
}

fn write_mode(path: &Path, bytes: &[u8], mode: u32) -> Result<(), SigningError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(name);
    let written =
        create(&beside, mode).and_then(|file| fill(file, bytes)).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| {
        // Best effort: the error that counts is the first one.
        let _ = fs::remove_file(&beside);
        failed(path, "write")(source)
    })
}

fn create(path: &Path, mode: u32) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

fn fill(mut file: File, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}
