//! The peer to measure beside: Debian's kernel, KVM and QEMU as a netbooted node, with the same guest.
//!
//! Its ram disk holds what the task needs and nothing else: busybox, the modules for AMD's KVM and a virtio
//! network card, `qemu-system-x86_64-microvm` (Debian's smallest build of QEMU), the libraries that it names,
//! the firmware of the microvm machine, and `images/peer/init`. Packages are downloaded by name and unpacked
//! into the work folder; nothing is installed. The archive is compressed by zstd, as Debian's own are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Archive;
use crate::{Error, guest, modules, packages};

/// Modules of the node.
const MODULES: &[&str] = &["kvm_amd", "virtio_pci", "virtio_net", "af_packet"];
/// What is unpacked: QEMU, its firmware, the libraries that it names.
const PACKAGES: &[&str] = &[
    "qemu-system-x86",
    "qemu-system-data",
    "libc6",
    "libfdt1",
    "libgcc-s1",
    "libglib2.0-0",
    "libpcre2-8-0",
    "libpixman-1-0",
    "zlib1g",
];
const PROGRAM: &str = "usr/bin/qemu-system-x86_64-microvm";
/// Interpreter that the program's header names.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const LIBRARY_FOLDERS: &[&str] = &["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
/// Firmware and option ROMs that the microvm machine may load.
const FIRMWARE: &[&str] = &["qboot.rom", "linuxboot_dma.bin", "linuxboot.bin", "pvh.bin", "kvmvapic.bin"];
const INIT: &str = include_str!("../peer/init");
const UDHCPC: &str = include_str!("../guest/udhcpc.script");

/// A peer node, ready to be netbooted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Linux bzImage.
    pub kernel: PathBuf,
    /// Initial ram disk.
    pub initrd: PathBuf,
    /// Bytes of both together.
    pub size: u64,
}

/// Makes the peer in `work`. The kernel package is the one that the guest's recipe unpacked in `guest_work`.
pub fn build(work: &Path, guest_work: &Path) -> Result<Peer, Error> {
    let guest = guest::build(guest_work)?;
    let root = unpack(work)?;
    let package = guest_work.join(format!("linux-image-{}", guest.release));
    let modules = modules::resolve(&package.join("lib/modules").join(&guest.release), MODULES)?;
    let archive = ram_disk(&root, &modules)?;
    let plain = work.join("initrd.plain");
    let initrd = work.join("initrd");
    write(&plain, &archive)?;
    packages::run(Command::new("zstd").args(["-q", "-f", "-19", "-T2"]).arg(&plain).arg("-o").arg(&initrd))?;
    let kernel = work.join("vmlinuz");
    std::fs::copy(&guest.kernel, &kernel).map_err(Error::io(&kernel))?;
    let mut size = 0;
    for file in [&kernel, &initrd] {
        size += std::fs::metadata(file).map_err(Error::io(file))?.len();
    }
    Ok(Peer { kernel, initrd, size })
}

fn unpack(work: &Path) -> Result<PathBuf, Error> {
    let root = work.join("root");
    if !root.join(PROGRAM).is_file() {
        // Unpacked beside and moved at the end, so that an interrupted run leaves nothing half done.
        let new = work.join(format!("root.new-{}", std::process::id()));
        for package in PACKAGES {
            let file = packages::download(package, &work.join("packages"))?;
            packages::unpack_into(&file, &new)?;
        }
        std::fs::rename(&new, &root).map_err(Error::io(&root))?;
    }
    Ok(root)
}

fn ram_disk(root: &Path, modules: &[modules::Module]) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::new();
    for folder in [
        "bin",
        "dev",
        "etc",
        "lib",
        "lib64",
        "modules",
        "proc",
        "run",
        "sys",
        "tmp",
        "usr",
        "usr/bin",
        "usr/share",
        "usr/share/qemu",
        "lib/x86_64-linux-gnu",
    ] {
        archive.directory(folder, 0o755);
    }
    archive.char_device("dev/console", 0o600, 5, 1);
    archive.char_device("dev/null", 0o666, 1, 3);
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("bin/busybox", 0o755, &read(Path::new(guest::BUSYBOX))?);
    archive.symlink("bin/sh", "/bin/busybox");
    archive.file("etc/udhcpc.script", 0o755, UDHCPC.as_bytes());
    archive.file(PROGRAM, 0o755, &read(&root.join(PROGRAM))?);
    archive.file(LOADER, 0o755, &read(&find_library(root, "ld-linux-x86-64.so.2")?)?);
    for (name, bytes) in libraries(root)? {
        archive.file(&format!("lib/x86_64-linux-gnu/{name}"), 0o755, &bytes);
    }
    for name in FIRMWARE {
        archive.file(
            &format!("usr/share/qemu/{name}"),
            0o644,
            &read(&root.join("usr/share/qemu").join(name))?,
        );
    }
    archive.symlink("usr/share/qemu/bios-microvm.bin", "qboot.rom");
    let mut order = String::new();
    for module in modules {
        archive.file(&format!("modules/{}.ko", module.name), 0o644, &module.bytes);
        order.push_str(&format!("{}.ko\n", module.name));
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    Ok(archive.finish())
}

/// Every library that the program needs, directly or not, in the order of their names.
fn libraries(root: &Path) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut open = needed(&root.join(PROGRAM))?;
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        // The loader stands where the kernel looks for it.
        if name.starts_with("ld-linux") || !seen.insert(name.clone()) {
            continue;
        }
        open.extend(needed(&find_library(root, &name)?)?);
    }
    seen.into_iter().map(|name| Ok((name.clone(), read(&find_library(root, &name)?)?))).collect()
}

fn find_library(root: &Path, name: &str) -> Result<PathBuf, Error> {
    LIBRARY_FOLDERS
        .iter()
        .map(|folder| root.join(folder).join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| Error::Unexpected(format!("no unpacked package has the library {name}")))
}

/// The `NEEDED` entries of an executable or library.
fn needed(file: &Path) -> Result<Vec<String>, Error> {
    let text = packages::run(Command::new("readelf").args(["--dynamic", "--wide"]).arg(file))?;
    Ok(needed_names(&text))
}

/// ` 0x0000000000000001 (NEEDED)             Shared library: [libz.so.1]`
fn needed_names(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned()))
        .collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(Error::io(path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_libraries_are_read() {
        let text = " 0x1 (NEEDED)  Shared library: [libz.so.1]\n 0xe (SONAME) Library soname: [x]\n 0x1 (NEEDED) Shared library: [libc.so.6]\n";
        assert_eq!(needed_names(text), ["libz.so.1", "libc.so.6"]);
    }

    #[test]
    fn the_node_starts_the_program_that_is_in_its_ram_disk() {
        assert!(INIT.contains(&format!("/{PROGRAM} ")));
    }
}
