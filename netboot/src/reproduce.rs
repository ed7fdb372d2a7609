//! Two builds of the same source in different folders give the same image.
//!
//! One build is that of the work tree itself, as everybody makes it. For the other the tracked and
//! untracked-but-not-ignored files are copied to a folder of different depth and name and built there from
//! nothing. The root set is a fixed one, since nobody signs here.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use weft_format::RootSet;

use crate::build::Job;
use crate::image::{BootFiles, ImageError, Monitor, boot_files};
use crate::tool::{ToolError, run};

/// Why no comparison was made.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// A build.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// `git`, which lists the source files.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The fixed root set.
    #[error("root set: {0}")]
    Roots(#[from] weft_format::RootError),
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Image digest in the one folder and in the other.
    pub digests: [[u8; 32]; 2],
    /// Whether the Multiboot programs are the same, byte for byte.
    pub bios_same: bool,
    /// Bytes of the unsigned UEFI image.
    pub size_bytes: usize,
}

impl Verdict {
    /// Whether both builds gave the same files.
    pub fn same(&self) -> bool {
        self.digests[0] == self.digests[1] && self.bios_same
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, two] = &self.digests;
        writeln!(f, "image digest {} in one folder", hex(one))?;
        writeln!(f, "image digest {} in the other", hex(two))?;
        writeln!(f, "image size {} bytes", self.size_bytes)?;
        let passed = u8::from(one == two) + u8::from(self.bios_same);
        write!(f, "{passed} passed, {} failed", 2 - passed)
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ReproduceError + '_ {
    move |source| ReproduceError::Io { path: path.to_owned(), source }
}

/// The RFC 8032 test vectors' public keys: nobody can sign by accident, and they never change.
fn fixed_roots() -> Result<Vec<u8>, ReproduceError> {
    let key = [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e,
        0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
    ];
    Ok(weft_signing::document::root_set(&RootSet::new(1, 1, &[key], true)?))
}

fn copy_source(workspace: &Path, files: &str, to: &Path) -> Result<(), ReproduceError> {
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        let (from, to) = (workspace.join(file), to.join(file));
        // A file that was deleted and not yet committed is still listed.
        if !from.is_file() {
            continue;
        }
        let parent = to.parent().unwrap_or(&to);
        fs::create_dir_all(parent).map_err(io_error(parent))?;
        fs::copy(&from, &to).map_err(io_error(&from))?;
    }
    Ok(())
}

fn prepare(folder: &Path, source: &Path, files: &str) -> Result<(), ReproduceError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(io_error(folder))?;
    }
    copy_source(source, files, &folder.join("source"))
}

fn build_in(folder: &Path, roots: &[u8]) -> Result<BootFiles, ReproduceError> {
    let (workspace, target_dir) = (folder.join("source"), folder.join("target"));
    let job = Job { workspace: &workspace, root: &workspace, target_dir: &target_dir, profile: "node" };
    let built = boot_files(&job, Monitor { workspace: &workspace, package: "weft-dvmm" }, roots)?;
    fs::remove_dir_all(folder).map_err(io_error(folder))?;
    Ok(built)
}

/// Builds `workspace` where it is, into `target_dir`, and a copy of it below `target_dir`, and compares.
pub fn reproduce(workspace: &Path, target_dir: &Path) -> Result<Verdict, ReproduceError> {
    let list = ["-C".as_ref(), workspace.as_os_str(), "ls-files".as_ref(), "-z".as_ref()];
    let rest = ["--cached", "--others", "--exclude-standard"].map(AsRef::as_ref);
    let files = run("git", "git", list.into_iter().chain(rest))?;
    let roots = fixed_roots()?;
    let elsewhere = target_dir.join("deeper/and/elsewhere/reproduce");
    // The copy first: somebody may be editing the source meanwhile.
    prepare(&elsewhere, workspace, &files)?;
    let job = Job { workspace, root: workspace, target_dir, profile: "node" };
    let one = boot_files(&job, Monitor { workspace, package: "weft-dvmm" }, &roots)?;
    let two = build_in(&elsewhere, &roots)?;
    Ok(Verdict {
        digests: [one.digest()?, two.digest()?],
        bios_same: one.bios == two.bios,
        size_bytes: one.efi.len(),
    })
}
