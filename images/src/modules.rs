//! Which kernel modules a ram disk needs, in an order in which they load.
//!
//! Debian's kernel package carries no `modules.dep` (it is made at installation), so the dependencies are read
//! from the modules themselves: each has a `.modinfo` section of NUL-separated `key=value` strings, among them
//! `depends=a,b`. Names are compared with `-` and `_` as equal, as the kernel does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// A module to load.
#[derive(Debug)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// The uncompressed file.
    pub bytes: Vec<u8>,
}

/// Most folders below `kernel/` that are searched.
const MAX_DEPTH: usize = 12;

/// Reads `wanted` and all that they depend on below `root/lib/modules/<version>`, dependencies first.
/// Modules that are built into the kernel are left out.
pub fn resolve(modules_folder: &Path, wanted: &[&str]) -> Result<Vec<Module>, Error> {
    let mut files = BTreeMap::new();
    find(&modules_folder.join("kernel"), MAX_DEPTH, &mut files)?;
    let list = modules_folder.join("modules.builtin");
    let text = std::fs::read_to_string(&list).map_err(Error::io(&list))?;
    let builtin: Vec<String> = text.lines().filter_map(|line| module_name(Path::new(line))).collect();
    let mut loaded = Vec::new();
    for name in wanted {
        add(&canonical(name), &files, &builtin, &mut Vec::new(), &mut loaded)?;
    }
    Ok(loaded)
}

fn add(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    builtin: &[String],
    open: &mut Vec<String>,
    loaded: &mut Vec<Module>,
) -> Result<(), Error> {
    if loaded.iter().any(|module| module.name == name) || builtin.iter().any(|b| b == name) {
        return Ok(());
    }
    if open.iter().any(|o| o == name) {
        return Err(Error::Unexpected(format!("kernel module {name} depends on itself")));
    }
    let path = files
        .get(name)
        .ok_or_else(|| Error::Unexpected(format!("the kernel package has no module {name}")))?;
    let bytes = read_module(path)?;
    open.push(name.to_owned());
    for dependency in depends(&bytes) {
        add(&dependency, files, builtin, open, loaded)?;
    }
    open.pop();
    loaded.push(Module { name: name.to_owned(), bytes });
    Ok(())
}

/// The `depends=` list of a module.
fn depends(bytes: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = bytes.windows(KEY.len()).position(|w| w == KEY) else {
        return Vec::new();
    };
    let value: Vec<u8> = bytes.iter().skip(start + KEY.len()).take_while(|b| **b != 0).copied().collect();
    let text = String::from_utf8_lossy(&value);
    text.split(',').filter(|name| !name.is_empty()).map(canonical).collect()
}

fn read_module(path: &Path) -> Result<Vec<u8>, Error> {
    let tool = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some(_) | None => return std::fs::read(path).map_err(Error::io(path)),
    };
    let output = Command::new(tool).arg("-dc").arg(path).output().map_err(Error::io(Path::new(tool)))?;
    if !output.status.success() {
        let what = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Program { program: tool.to_owned(), what });
    }
    Ok(output.stdout)
}

fn find(folder: &Path, depth: usize, files: &mut BTreeMap<String, PathBuf>) -> Result<(), Error> {
    if depth == 0 {
        return Err(Error::Unexpected(format!("{} is nested too deep", folder.display())));
    }
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::io(&path))?;
        if kind.is_dir() {
            find(&path, depth - 1, files)?;
        } else if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// `virtio-net.ko.xz` → `virtio_net`; nothing for other files.
fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = [".ko", ".ko.xz", ".ko.zst"].iter().find_map(|end| file.strip_suffix(end))?;
    Some(canonical(stem))
}

fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(modules: &[(&str, &str)], builtin: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let kernel = folder.path().join("kernel/drivers");
        std::fs::create_dir_all(&kernel).expect("made");
        for (file, depends) in modules {
            std::fs::write(kernel.join(file), format!("ELF\0license=GPL\0depends={depends}\0x"))
                .expect("written");
        }
        std::fs::write(folder.path().join("modules.builtin"), builtin).expect("written");
        folder
    }

    fn names(modules: &[Module]) -> Vec<&str> {
        modules.iter().map(|m| m.name.as_str()).collect()
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let f = folder(&[("net.ko", "fail-over,ring"), ("fail-over.ko", "ring"), ("ring.ko", "")], "");
        let order = resolve(f.path(), &["net", "ring"]).expect("resolves");
        assert_eq!(names(&order), ["ring", "fail_over", "net"]);
    }

    #[test]
    fn builtin_modules_are_left_out() {
        let f = folder(&[("net.ko", "ring")], "kernel/drivers/ring.ko\n");
        assert_eq!(names(&resolve(f.path(), &["net"]).expect("resolves")), ["net"]);
    }

    #[test]
    fn a_missing_module_is_named() {
        let f = folder(&[("net.ko", "ring")], "");
        let error = resolve(f.path(), &["net"]).expect_err("ring is missing");
        assert!(error.to_string().contains("ring"), "{error}");
    }

    #[test]
    fn a_circle_ends() {
        let f = folder(&[("a.ko", "b"), ("b.ko", "a")], "");
        assert!(resolve(f.path(), &["a"]).is_err());
    }
}
