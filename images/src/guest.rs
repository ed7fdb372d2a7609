//! The lab's guest: Debian's generic kernel, unmodified, and a ram disk of busybox and the virtio modules.
//!
//! The kernel is the current dependency of `linux-image-amd64`. The ram disk holds `/bin/busybox` of package
//! `busybox-static`, its applets as links, the modules in load order and the files of `images/guest/`. It is not
//! compressed: under emulation unpacking costs more than the few hundred KiB saved on the wire.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Archive;
use crate::{Error, cpuid_cost, modules, packages, sha256_hex};

/// Drivers that the guest loads; what they depend on comes along.
pub const MODULES: &[&str] = &["virtio_mmio", "virtio_console", "virtio_rng", "virtio_net", "af_packet"];

/// What the init program prints once it runs, followed by the seconds since the kernel started.
pub const USERLAND_UP: &str = "weft guest: userland up";

const INIT: &str = include_str!("../guest/init");
const INITTAB: &str = include_str!("../guest/inittab");
const UDHCPC: &str = include_str!("../guest/udhcpc.script");
const PROFILE: &str = include_str!("../guest/profile");
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// A guest, ready to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Linux bzImage.
    pub kernel: PathBuf,
    /// Initial ram disk.
    pub initrd: PathBuf,
    /// SHA-256 of the kernel.
    pub kernel_digest: String,
    /// SHA-256 of the ram disk.
    pub initrd_digest: String,
    /// Kernel release, for example `6.1.0-40-amd64`.
    pub release: String,
}

/// Makes the guest in `work` (for example `target/guest`). What is already downloaded is used again.
pub fn build(work: &Path) -> Result<Guest, Error> {
    let _alone = packages::alone(work)?;
    let package = kernel_package(work)?;
    let release = package.trim_start_matches("linux-image-").trim_end_matches("-unsigned").to_owned();
    let root = work.join(&package);
    let modules_folder = root.join("lib/modules").join(&release);
    if !modules_folder.join("modules.builtin").exists() {
        let file = packages::download(&package, &work.join("packages"))?;
        packages::unpack(&file, &root)?;
    }
    let kernel_bytes = read(&root.join("boot").join(format!("vmlinuz-{release}")))?;
    let modules = modules::resolve(&modules_folder, MODULES)?;
    let busybox = read(Path::new(BUSYBOX))?;
    let applets = packages::run(Command::new(BUSYBOX).arg("--list"))?;
    let initrd_bytes = ram_disk(&busybox, &applets, &modules);

    let kernel = work.join("vmlinuz");
    let initrd = work.join("initrd");
    write(&kernel, &kernel_bytes)?;
    write(&initrd, &initrd_bytes)?;
    Ok(Guest {
        kernel,
        initrd,
        kernel_digest: sha256_hex(&kernel_bytes),
        initrd_digest: sha256_hex(&initrd_bytes),
        release,
    })
}

/// The kernel package by name. Kept in a file, so that a later run needs no package lists and a new kernel
/// in the archive changes no lab by itself; remove the work folder to follow it.
fn kernel_package(work: &Path) -> Result<String, Error> {
    let note = work.join("kernel-package");
    if let Ok(name) = std::fs::read_to_string(&note) {
        return Ok(name.trim().to_owned());
    }
    let name = packages::dependency("linux-image-amd64", "linux-image-")?;
    write(&note, name.as_bytes())?;
    Ok(name)
}

fn ram_disk(busybox: &[u8], applets: &str, modules: &[modules::Module]) -> Vec<u8> {
    let mut archive = Archive::new();
    for folder in ["bin", "dev", "etc", "modules", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var"]
    {
        archive.directory(folder, 0o755);
    }
    archive.char_device("dev/console", 0o600, 5, 1);
    archive.char_device("dev/null", 0o666, 1, 3);
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("bin/busybox", 0o755, busybox);
    archive.file("bin/cpuid-cost", 0o755, &cpuid_cost::program());
    for applet in applets.lines().filter(|name| *name != "busybox") {
        archive.symlink(&format!("bin/{applet}"), "/bin/busybox");
    }
    archive.file("etc/inittab", 0o644, INITTAB.as_bytes());
    archive.file("etc/profile", 0o644, PROFILE.as_bytes());
    archive.file("etc/udhcpc.script", 0o755, UDHCPC.as_bytes());
    archive.file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", 0o644, b"root:x:0:\n");
    let mut order = String::new();
    for module in modules {
        archive.file(&format!("modules/{}.ko", module.name), 0o644, &module.bytes);
        order.push_str(&format!("{}.ko\n", module.name));
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    archive.finish()
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(Error::io(path))
}

/// Writes by rename, and not at all when the file already holds these bytes.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    std::fs::write(&new, bytes).map_err(Error::io(&new))?;
    std::fs::rename(&new, path).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ram_disk_is_the_same_from_the_same_inputs() {
        let module = |name: &str| modules::Module { name: name.to_owned(), bytes: vec![1, 2, 3] };
        let one = ram_disk(b"busybox", "sh\nls\n", &[module("a"), module("b")]);
        let two = ram_disk(b"busybox", "sh\nls\n", &[module("a"), module("b")]);
        assert_eq!(one, two);
        let other = ram_disk(b"busybox", "sh\nls\n", &[module("b"), module("a")]);
        assert_ne!(one, other, "load order matters");
    }

    #[test]
    fn init_announces_the_userland_in_the_agreed_words() {
        assert!(INIT.contains(USERLAND_UP));
    }
}
