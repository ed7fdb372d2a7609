//! What is behind a name: bytes in memory, a file without a name, or a file on disk.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};

/// Why a blob cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The digest is used as a header value: lower-case hexadecimal and digits only.
    #[error("a blob's tag must be 1–128 letters and digits")]
    Tag,
    /// The file.
    #[error("cannot open a blob")]
    Open(#[source] io::Error),
    /// Not a regular file.
    #[error("a blob must be a regular file")]
    NotAFile,
}

/// Content to serve. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blob {
    source: Source,
    size: u64,
    tag: Arc<str>,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Bytes(Bytes),
    File(Arc<File>),
}

impl Blob {
    /// Small content, written from memory. `tag` becomes the `ETag`: the digest in hexadecimal.
    ///
    /// # Errors
    /// [`BlobError::Tag`].
    pub fn bytes(content: impl Into<Bytes>, tag: &str) -> Result<Self, BlobError> {
        let content = content.into();
        Ok(Self { size: content.len() as u64, source: Source::Bytes(content), tag: checked(tag)? })
    }

    /// Copies `content` into a file without a name, from which the kernel sends without another copy. For what many nodes fetch at
    /// once. The file is in `folder`, whose file system may keep it in larger pieces than the memory file that is taken where it
    /// cannot have such files, or has no room.
    ///
    /// # Errors
    /// No memory or descriptor, or a bad tag.
    pub fn copied(content: &[u8], folder: &Path, tag: &str) -> Result<Self, BlobError> {
        let tag = checked(tag)?;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let named = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR);
        let unnamed = named.map_err(io::Error::from).and_then(|descriptor| filled(descriptor, content));
        let memory = || filled(memfd_create("weft-blob", MemfdFlags::CLOEXEC)?, content);
        let file = unnamed.or_else(|_| memory()).map_err(BlobError::Open)?;
        Ok(Self { source: Source::File(Arc::new(file)), size: content.len() as u64, tag })
    }

    /// A file on disk, of which the content never changes (its name is its digest). It is not read here: whoever stored it
    /// checked it.
    ///
    /// # Errors
    /// The file cannot be opened or is not a regular file, or a bad tag.
    pub fn file(path: &Path, tag: &str) -> Result<Self, BlobError> {
        let tag = checked(tag)?;
        let file = File::open(path).map_err(BlobError::Open)?;
        let meta = file.metadata().map_err(BlobError::Open)?;
        if !meta.is_file() {
            return Err(BlobError::NotAFile);
        }
        Ok(Self { source: Source::File(Arc::new(file)), size: meta.len(), tag })
    }

    /// Length.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// The tag as given.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }
}

fn filled(descriptor: OwnedFd, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(descriptor);
    file.write_all(content)?;
    Ok(file)
}

fn checked(tag: &str) -> Result<Arc<str>, BlobError> {
    let sound = !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    if sound { Ok(Arc::from(tag)) } else { Err(BlobError::Tag) }
}
