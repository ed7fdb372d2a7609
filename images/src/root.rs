//! A root file system for a guest, from unpacked Debian packages: what is placed in the archive, and a check that
//! every library which a program names is there.
//!
//! Packages of Debian 12 still hold files in `/bin`, `/sbin` and `/lib`; here all is below `/usr`, as on an installed
//! system, where those folders are links.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use object::read::elf::{ElfFile64, FileHeader};
use object::{Endianness, elf};

use crate::Error;
use crate::cpio::Archive;

/// Folders that a guest has no use for.
const LEFT_OUT: &[&str] = &[
    "etc",
    "usr/include",
    "usr/lib/systemd",
    "usr/lib/tmpfiles.d",
    "usr/lib/udev",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/share/applications",
    "usr/share/apport",
    "usr/share/apps",
    "usr/share/bash-completion",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/pixmaps",
    "usr/share/zoneinfo",
    "var",
];
/// Most folders below each other.
const MAX_DEPTH: usize = 32;

enum Entry {
    Directory,
    /// Where it lies on this machine, and its permissions.
    File(PathBuf, u32),
    Symlink(String),
}

/// What will be placed, by path without a leading slash.
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// Reads what was unpacked in `root`.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let mut tree = Self { entries: BTreeMap::new() };
        tree.walk(root, Path::new(""), MAX_DEPTH)?;
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, below: &Path, depth: usize) -> Result<(), Error> {
        let folder = root.join(below);
        if depth == 0 {
            return Err(Error::Unexpected(format!("{} is nested too deep", folder.display())));
        }
        for entry in std::fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let entry = entry.map_err(Error::io(&folder))?;
            let (path, relative) = (entry.path(), below.join(entry.file_name()));
            let name = merged(&relative.to_string_lossy());
            if LEFT_OUT.contains(&name.as_str()) {
                continue;
            }
            let metadata = entry.metadata().map_err(Error::io(&path))?;
            if metadata.is_dir() {
                if name != "usr" && name.contains('/') {
                    self.entries.insert(name, Entry::Directory);
                }
                self.walk(root, &relative, depth - 1)?;
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(&path).map_err(Error::io(&path))?;
                self.entries.insert(name, Entry::Symlink(target.to_string_lossy().into_owned()));
            } else if metadata.is_file() {
                // No user other than root: bits that change the user have no use.
                self.entries.insert(name, Entry::File(path, metadata.permissions().mode() & 0o777));
            }
        }
        Ok(())
    }

    /// Says which library is missing, if one is.
    pub fn check_libraries(&self) -> Result<(), Error> {
        let names: BTreeSet<&str> = self.entries.keys().filter_map(|path| path.rsplit('/').next()).collect();
        for (path, entry) in &self.entries {
            let Entry::File(file, _) = entry else { continue };
            let bytes = std::fs::read(file).map_err(Error::io(file))?;
            for library in needed(&bytes) {
                if !names.contains(library.as_str()) {
                    return Err(Error::Unexpected(format!(
                        "{path} needs {library}, which no package here has"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Writes all into the archive; folders come before what is in them.
    pub fn place(&self, archive: &mut Archive) -> Result<(), Error> {
        for folder in ["usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "usr/share"] {
            if !self.entries.contains_key(folder) {
                archive.directory(folder, 0o755);
            }
        }
        for (path, entry) in &self.entries {
            match entry {
                Entry::Directory => archive.directory(path, 0o755),
                Entry::Symlink(target) => archive.symlink(path, target),
                Entry::File(file, mode) => {
                    archive.file(path, *mode, &std::fs::read(file).map_err(Error::io(file))?);
                }
            }
        }
        Ok(())
    }
}

/// The path on a system whose top folders are links below `/usr`.
fn merged(path: &str) -> String {
    let top = path.split('/').next().unwrap_or_default();
    if ["bin", "lib", "lib64", "sbin"].contains(&top) { format!("usr/{path}") } else { path.to_owned() }
}

/// The libraries that an executable or library names; none for other files.
fn needed(bytes: &[u8]) -> Vec<String> {
    let Ok(file) = ElfFile64::<Endianness>::parse(bytes) else { return Vec::new() };
    let (endian, header) = (file.endian(), file.elf_header());
    let names = || -> object::Result<Vec<String>> {
        let sections = header.sections(endian, bytes)?;
        let Some((entries, link)) = sections.dynamic(endian, bytes)? else { return Ok(Vec::new()) };
        let strings = sections.strings(endian, bytes, link)?;
        let mut found = Vec::new();
        for entry in entries.iter().filter(|entry| entry.d_tag.get(endian) == u64::from(elf::DT_NEEDED)) {
            let offset = u32::try_from(entry.d_val.get(endian)).unwrap_or(u32::MAX);
            found.push(String::from_utf8_lossy(strings.get(offset).unwrap_or_default()).into_owned());
        }
        Ok(found)
    };
    names().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["bin", "usr/bin", "usr/share/doc/tool", "usr/lib/x86_64-linux-gnu"] {
            std::fs::create_dir_all(folder.path().join(path)).expect("made");
        }
        let this = std::env::current_exe().expect("this program");
        std::fs::copy(this, folder.path().join("bin/tool")).expect("copied");
        std::fs::write(folder.path().join("usr/share/doc/tool/copyright"), "words").expect("written");
        std::os::unix::fs::symlink("tool", folder.path().join("usr/bin/link")).expect("linked");
        folder
    }

    #[test]
    fn a_missing_library_is_named() {
        let folder = unpacked();
        let error = Tree::read(folder.path()).expect("read").check_libraries().expect_err("no C library");
        assert!(error.to_string().starts_with("usr/bin/tool needs lib"), "{error}");
    }

    #[test]
    fn all_is_below_usr_and_documents_stay_out() {
        let folder = unpacked();
        let tree = Tree::read(folder.path()).expect("read");
        let paths: Vec<&str> = tree.entries.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            ["usr/bin", "usr/bin/link", "usr/bin/tool", "usr/lib", "usr/lib/x86_64-linux-gnu", "usr/share"]
        );
    }
}
