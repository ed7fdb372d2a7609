//! Recipes of images that run *on* Weft: guests made from Debian packages, by package name.
//!
//! A recipe downloads packages with `apt-get download`, unpacks them with `dpkg -x` into a work folder, and
//! never installs anything. Initial ram disks are written by [`cpio`], byte for byte the same from the same
//! inputs. The node image itself is assembled by `netboot/`.
//!
//! - [`guest`]: Debian's kernel with busybox, the guest of the lab;
//! - [`hostile`]: a guest that attacks its monitor;
//! - [`stress`]: a small Debian root with load generators and programs that check themselves;
//! - [`kexec`]: a guest that boots Linux once more by itself;
//! - [`window`]: a guest that looks for the monitor's own tables;
//! - [`peer`]: Debian with KVM and QEMU as a node, to measure beside;
//! - [`cpuid_cost`]: a program in the guest that measures an exit;
//! - [`cpio`]: a deterministic writer of the kernel's ram-disk format;
//! - [`modules`]: which kernel modules, in which order;
//! - [`root`]: a root file system from unpacked packages;
//! - [`packages`]: fetching and unpacking;
//! - [`kept`]: other people's programs, for tests.

pub mod cpio;
pub mod cpuid_cost;
pub mod guest;
pub mod hostile;
pub mod kept;
pub mod kexec;
pub mod modules;
pub mod packages;
pub mod peer;
pub mod root;
pub mod stress;
pub mod window;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Why a recipe failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A program could not be started or failed.
    #[error("{program}: {what}")]
    Program {
        /// Its name.
        program: String,
        /// What it said.
        what: String,
    },
    /// A package's contents are not what the recipe expects.
    #[error("{0}")]
    Unexpected(String),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_path_buf(), source }
    }
}

/// SHA-256 as lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
