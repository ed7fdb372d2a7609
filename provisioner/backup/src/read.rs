//! Reading: the manifest is judged first, then each part as it comes.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};
use tar::Archive;
use weft_signing::passphrase::Passphrase;

use crate::error::BackupError;
use crate::hex;
use crate::manifest::{FORMAT, Listed, MANIFEST, Manifest};
use crate::sealed::{MAGIC, Opener, Unopened};

/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 64 << 20;
/// Most that may follow the last part: an archive ends with zeros.
const MAX_END: u64 = 1 << 20;

/// Has the passphrase of a backup that is sealed by one.
pub type Ask<'a> = &'a dyn Fn() -> Result<Passphrase, Box<dyn std::error::Error + Send + Sync>>;
/// Whether a backup is wanted at all.
type Judge<'a> = &'a mut dyn FnMut(&Manifest) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
/// Takes a part.
type Take<'a> = &'a mut dyn FnMut(&Listed, &mut dyn Read) -> io::Result<()>;

/// Checks all of a backup.
pub fn verify(path: &Path, ask: Ask<'_>) -> Result<Manifest, BackupError> {
    read(path, ask, &mut |_| Ok(()), &mut |_, _| Ok(()))
}

/// Reads a backup: `judge` sees the manifest before anything else is read, `take` has the parts in order. What `take` has
/// is known to be right only once this has returned.
pub fn read(path: &Path, ask: Ask<'_>, judge: Judge<'_>, take: Take<'_>) -> Result<Manifest, BackupError> {
    let file_error = |source| BackupError::File { path: path.to_path_buf(), source };
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path).map_err(file_error)?);
    let mut start = [0; MAGIC.len()];
    match file.read_exact(&mut start) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(BackupError::NotOne(path.to_path_buf()));
        }
        Err(error) => return Err(file_error(error)),
    }
    if start == *MAGIC {
        let passphrase =
            ask().map_err(|source| BackupError::Passphrase { path: path.to_path_buf(), source })?;
        let opener = Opener::new(file, &passphrase).map_err(|error| broken(path, error))?;
        archive(path, opener, judge, take)
    } else {
        archive(path, start.as_slice().chain(file), judge, take)
    }
}

/// What an error on the way says of the file.
fn broken(path: &Path, error: io::Error) -> BackupError {
    let path = path.to_path_buf();
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Unopened>) {
        return BackupError::Unopened(path);
    }
    // The archive's own errors wrap those of what it reads from.
    if error.to_string().contains(&Unopened.to_string()) {
        return BackupError::Unopened(path);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::Damaged { path, what: "it ends early".into() },
        _ => BackupError::Damaged { path, what: error.to_string() },
    }
}

fn archive(path: &Path, from: impl Read, judge: Judge<'_>, take: Take<'_>) -> Result<Manifest, BackupError> {
    let damaged = |what: String| BackupError::Damaged { path: path.to_path_buf(), what };
    let broken = |error| broken(path, error);
    let mut archive = Archive::new(from);
    let manifest = {
        let mut entries = archive.entries().map_err(broken)?;
        let first = entries.next().ok_or_else(|| BackupError::NotOne(path.to_path_buf()))?;
        let mut first = first.map_err(|error| match broken(error) {
            unopened @ BackupError::Unopened(_) => unopened,
            _ => BackupError::NotOne(path.to_path_buf()),
        })?;
        if first.path_bytes().as_ref() != MANIFEST.as_bytes() || first.size() > MAX_MANIFEST {
            return Err(BackupError::NotOne(path.to_path_buf()));
        }
        let mut text = Vec::new();
        first.read_to_end(&mut text).map_err(broken)?;
        let manifest = parsed(path, &text)?;
        judge(&manifest).map_err(BackupError::Unwanted)?;
        for listed in &manifest.parts {
            let entry = entries.next().ok_or_else(|| damaged(format!("{} is missing", listed.path)))?;
            let mut entry = entry.map_err(broken)?;
            let named = entry.path_bytes().as_ref() == listed.path.as_bytes();
            if !named || entry.size() != listed.size || !entry.header().entry_type().is_file() {
                return Err(damaged(format!("{} is not where it should be", listed.path)));
            }
            let mut part = Digested { from: &mut entry, context: Context::new(&SHA256), error: None };
            let taken = take(listed, &mut part);
            if let Some(error) = part.error.take() {
                return Err(broken(error));
            }
            taken.map_err(|source| BackupError::Taking { path: listed.path.clone(), source })?;
            // Whoever takes a part need not read it.
            io::copy(&mut part, &mut io::sink()).map_err(broken)?;
            if hex(part.context.finish().as_ref()) != listed.sha256 {
                return Err(damaged(format!("the digest of {} differs", listed.path)));
            }
        }
        if entries.next().is_some() {
            return Err(damaged("there is more than it lists".into()));
        }
        manifest
    };
    let mut end = Vec::new();
    archive.into_inner().take(MAX_END).read_to_end(&mut end).map_err(broken)?;
    if end.iter().any(|byte| *byte != 0) || end.len() as u64 == MAX_END {
        return Err(damaged("something follows its end".into()));
    }
    Ok(manifest)
}

fn parsed(path: &Path, text: &[u8]) -> Result<Manifest, BackupError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: String,
    }
    let Ok(Format { format }) = serde_json::from_slice(text) else {
        return Err(BackupError::NotOne(path.to_path_buf()));
    };
    if format != FORMAT {
        return Err(BackupError::Format { path: path.to_path_buf(), format });
    }
    let manifest: Manifest = serde_json::from_slice(text)
        .map_err(|error| BackupError::Damaged { path: path.to_path_buf(), what: error.to_string() })?;
    match manifest.fault() {
        None => Ok(manifest),
        Some(what) => Err(BackupError::Damaged { path: path.to_path_buf(), what }),
    }
}

/// Reads a part, and its digest grows.
struct Digested<R> {
    from: R,
    context: Context,
    /// The file's own error, apart from those of whoever takes the part.
    error: Option<io::Error>,
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.from.read(buffer) {
            Ok(count) => {
                self.context.update(buffer.get(..count).unwrap_or_default());
                Ok(count)
            }
            Err(error) => {
                let again = io::Error::new(error.kind(), error.to_string());
                self.error = Some(error);
                Err(again)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::Sealer;
    use crate::write::{Part, write};
    use std::path::PathBuf;
    use zeroize::Zeroizing;

    fn none() -> Result<Passphrase, Box<dyn std::error::Error + Send + Sync>> {
        Err("nobody was asked".into())
    }

    fn parts() -> Vec<Part> {
        let all = [
            ("keys/channel.key", b"a".repeat(65)),
            ("keys/record.key", b"b".repeat(65)),
            ("keys/seal.key", b"c".repeat(65)),
            ("store.db", b"rows ".repeat(40_000)),
        ];
        all.into_iter().map(|(path, bytes)| Part::bytes(path, bytes).expect("a part")).collect()
    }

    fn manifest() -> Manifest {
        Manifest { format: FORMAT.into(), schema: 9, ..Manifest::default() }
    }

    fn kept(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    #[test]
    fn no_byte_can_be_changed_left_out_or_added_unseen() {
        let folder = tempfile::tempdir().expect("a folder");
        let good = write(Vec::new(), manifest(), &parts()).expect("written");
        let read = verify(&kept(folder.path(), "good", &good), &none).expect("good");
        assert_eq!((read.parts.len(), read.schema), (4, 9));
        // Padding and times of the archive are nobody's data; everything else counts.
        for place in (0..good.len()).step_by(701) {
            let mut bad = good.clone();
            bad[place] ^= 0x20;
            let mut same = true;
            let path = kept(folder.path(), "bad", &bad);
            let done = super::read(&path, &none, &mut |_| Ok(()), &mut |listed, part| {
                let mut bytes = Vec::new();
                part.read_to_end(&mut bytes)?;
                same &= digest_matches(listed, &bytes);
                Ok(())
            });
            assert!(done.is_err() || same, "the byte {place} was changed");
        }
        for length in (0..good.len() - 1024).step_by(4096) {
            assert!(verify(&kept(folder.path(), "cut", &good[..length]), &none).is_err(), "{length}");
        }
        let longer = [good.as_slice(), b"more"].concat();
        assert!(matches!(
            verify(&kept(folder.path(), "longer", &longer), &none),
            Err(BackupError::Damaged { .. })
        ));
    }

    fn digest_matches(listed: &Listed, bytes: &[u8]) -> bool {
        crate::digest_of(bytes).expect("a digest").0 == listed.sha256
    }

    #[test]
    fn a_sealed_one_opens_with_its_passphrase_and_whole_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let ask = |text: &'static str| move || Ok(Zeroizing::new(text.as_bytes().to_vec()));
        let sealer = Sealer::new(Vec::new(), &Zeroizing::new(b"right horse".to_vec())).expect("a sealer");
        let sealed = write(sealer, manifest(), &parts()).and_then(Sealer::finish).expect("sealed");
        let path = kept(folder.path(), "sealed", &sealed);
        assert_eq!(verify(&path, &ask("right horse")).expect("opened").parts.len(), 4);
        assert!(matches!(verify(&path, &ask("wrong horse")), Err(BackupError::Unopened(_))));
        assert!(matches!(verify(&path, &none), Err(BackupError::Passphrase { .. })));
        assert!(!sealed.windows(5).any(|five| five == b"rows "));
        for bad in [
            sealed[..sealed.len() - 1].to_vec(),
            sealed[..36 + 65_536 + 16].to_vec(),
            [&sealed[..36], &sealed[36 + 65_536 + 16..]].concat(),
            [sealed.as_slice(), b"x"].concat(),
        ] {
            let path = kept(folder.path(), "bad", &bad);
            assert!(matches!(verify(&path, &ask("right horse")), Err(BackupError::Unopened(_))));
        }
    }

    #[test]
    fn what_is_no_backup_is_told_apart_from_a_later_one_and_names_lead_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = kept(folder.path(), "text", &b"not an archive at all ".repeat(100));
        assert!(matches!(verify(&text, &none), Err(BackupError::NotOne(_))));
        let later = Manifest { format: "weft backup v2".into(), ..manifest() };
        let later = write(Vec::new(), later, &parts()).expect("written");
        let later = verify(&kept(folder.path(), "later", &later), &none);
        assert!(matches!(later, Err(BackupError::Format { .. })), "{later:?}");
        let part = Part::bytes("keys/../../etc/passwd", b"x".to_vec()).expect("a part");
        assert!(!crate::is_part(&part.listed.path));
        let less = write(Vec::new(), manifest(), &parts()[1..]).expect("written");
        let less = verify(&kept(folder.path(), "less", &less), &none);
        assert!(less.is_err_and(|error| error.to_string().contains("keys/channel.key is missing")));
    }
}
