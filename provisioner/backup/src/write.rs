//! Writing: the manifest, then the parts.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use tar::{Builder, EntryType, Header};
use zeroize::Zeroizing;

use crate::digest_of;
use crate::manifest::{Listed, MANIFEST, Manifest};

/// A part and where its bytes are.
#[derive(Debug)]
pub struct Part {
    /// Name, size and digest.
    pub listed: Listed,
    source: Source,
}

/// Where bytes are.
#[derive(Debug)]
pub enum Source {
    /// In memory: keys, and what may change while it is sent.
    Bytes(Zeroizing<Vec<u8>>),
    /// In a file that does not change.
    File(PathBuf),
}

impl Part {
    /// A part of bytes.
    pub fn bytes(path: impl Into<String>, bytes: Vec<u8>) -> io::Result<Self> {
        let bytes = Zeroizing::new(bytes);
        let (sha256, size) = digest_of(bytes.as_slice())?;
        Ok(Self { listed: Listed { path: path.into(), size, sha256 }, source: Source::Bytes(bytes) })
    }

    /// A part that is a file; it is read once for its digest.
    pub fn file(path: impl Into<String>, file: PathBuf) -> io::Result<Self> {
        let (sha256, size) = digest_of(File::open(&file)?)?;
        Ok(Self { listed: Listed { path: path.into(), size, sha256 }, source: Source::File(file) })
    }
}

/// Writes a backup of these parts; the manifest's own list is made of them.
pub fn write<W: Write>(out: W, mut manifest: Manifest, parts: &[Part]) -> io::Result<W> {
    manifest.parts = parts.iter().map(|part| part.listed.clone()).collect();
    let text = serde_json::to_vec_pretty(&manifest)?;
    let mut archive = Builder::new(out);
    append(&mut archive, MANIFEST, text.len() as u64, text.as_slice())?;
    for Part { listed, source } in parts {
        match source {
            Source::Bytes(bytes) => append(&mut archive, &listed.path, listed.size, bytes.as_slice())?,
            Source::File(file) => append(&mut archive, &listed.path, listed.size, File::open(file)?)?,
        }
    }
    archive.into_inner()
}

fn append<W: Write>(archive: &mut Builder<W>, path: &str, size: u64, from: impl Read) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_size(size);
    let mut from = Counted { from: from.take(size), left: size };
    archive.append_data(&mut header, path, &mut from)?;
    if from.left > 0 {
        return Err(io::Error::other(format!("{path} became shorter")));
    }
    Ok(())
}

struct Counted<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}
