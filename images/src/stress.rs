//! A guest to put a load on: Debian's kernel, a small Debian root as initial ram disk, and programs that check themselves.
//!
//! The root holds `bash`, `coreutils`, `stress-ng`, `memtester`, `sysbench`, `perl-base`, `python3-minimal`, `procps`,
//! `numactl`, `kmod` and what they depend on, without documents, locales and character maps, and the programs of
//! `images/stress/`, compiled by the machine's C compiler against the C library of the same distribution. What
//! it runs comes from its kernel command line (`weft.run=…`, see [`run_option`]); without that it gives a shell.
//!
//! Packages are unpacked as files and never configured: links that their scripts would make are made here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Archive;
use crate::guest::Guest;
use crate::{Error, guest, modules, packages, root, sha256_hex};

/// What the root is for; dependencies come along.
const PACKAGES: &[&str] = &[
    "bash",
    "coreutils",
    "dash",
    "grep",
    "kmod",
    "libgomp1",
    "mawk",
    "memtester",
    "mount",
    "numactl",
    "perl-base",
    "procps",
    "python3-minimal",
    "sed",
    "stress-ng",
    "sysbench",
    "util-linux",
];
/// Dependencies that nothing here uses: drivers that are loaded at need, set-up scripts, another implementation.
const NOT_NEEDED: &[&str] =
    &["debconf", "init-system-helpers", "libegl-mesa0", "libelogind0", "mariadb-common", "util-linux-extra"];
/// Drivers that are loaded at the start.
const MODULES: &[&str] =
    &["virtio_mmio", "virtio_pci", "virtio_console", "virtio_rng", "virtio_net", "virtio_blk", "af_packet"];
/// Further ones, to load by hand; the last is for load and unload in a loop.
const SPARE_MODULES: &[&str] = &["virtio_balloon", "msr", "cpuid", "dummy"];

const INIT: &str = include_str!("../stress/init");
const PROFILE: &str = include_str!("../stress/profile");
/// Sources of the programs: name in the image, file.
const PROGRAMS: &[(&str, &str)] = &[
    ("clocks", "clocks.c"),
    ("events", "events.c"),
    ("fill", "fill.c"),
    ("litmus", "litmus.c"),
    ("loops", "loops.c"),
    ("openmp", "omp.c"),
    ("pingpong", "pingpong.c"),
    ("poweroff", "poweroff.c"),
    ("remote", "remote.c"),
    ("storm", "storm.c"),
    ("tcp", "tcp.c"),
];

/// What the last line of a run begins with; `N passed, N failed` follows.
pub const SUMMARY: &str = "weft stress: ";

/// The words of the kernel's command line that run these and then switch off: `litmus:5`, `fill:256`.
pub fn run_option(items: &[&str]) -> String {
    format!("weft.run={}", items.join(","))
}

/// Passed and failed items that a console's text ends with, if a run has ended there.
pub fn summary(console: &str) -> Option<(u32, u32)> {
    let counts = |line: &str| {
        let (passed, failed) =
            line.trim().strip_prefix(SUMMARY)?.strip_suffix(" failed")?.split_once(" passed, ")?;
        Some((passed.parse().ok()?, failed.parse().ok()?))
    };
    console.lines().rev().find_map(counts)
}

/// Makes the guest in `work` (for example `target/stress`), with the kernel of the lab's guest in `guest_work`.
pub fn build(work: &Path, guest_work: &Path) -> Result<Guest, Error> {
    let base = guest::build(guest_work)?;
    let _alone = packages::alone(work)?;
    let debian = unpack(work)?;
    let programs = compile(work)?;
    let package = guest_work.join(format!("linux-image-{}", base.release));
    let modules_folder = package.join("lib/modules").join(&base.release);
    let plain = work.join("initrd.plain");
    let archive = ram_disk(&debian, &programs, &modules_folder, &base.release)?;
    let initrd = work.join("initrd");
    if !initrd.is_file() || std::fs::read(&plain).ok().as_ref() != Some(&archive) {
        let new = work.join(format!("initrd.new-{}", std::process::id()));
        std::fs::write(&plain, &archive).map_err(Error::io(&plain))?;
        let mut zstd = Command::new("zstd");
        packages::run(zstd.args(["-q", "-f", "-19", "-T2"]).arg(&plain).arg("-o").arg(&new))?;
        std::fs::rename(&new, &initrd).map_err(Error::io(&initrd))?;
    }
    let bytes = std::fs::read(&initrd).map_err(Error::io(&initrd))?;
    Ok(Guest { initrd_digest: sha256_hex(&bytes), initrd, ..base })
}

/// All packages in one folder. Which they are is kept in a file, as the kernel's name is.
fn unpack(work: &Path) -> Result<PathBuf, Error> {
    let folder = work.join("root");
    if folder.is_dir() {
        return Ok(folder);
    }
    let downloads = work.join("packages");
    let new = work.join(format!("root.new-{}", std::process::id()));
    let names = packages::closure(PACKAGES, NOT_NEEDED)?;
    for file in packages::download_all(&names, &downloads)? {
        packages::unpack_into(&file, &new)?;
    }
    let note = work.join("package-names");
    std::fs::write(&note, names.join("\n")).map_err(Error::io(&note))?;
    // Unpacked beside and moved at the end, so that an interrupted run leaves nothing half done.
    std::fs::rename(&new, &folder).map_err(Error::io(&folder))?;
    Ok(folder)
}

/// Compiles the programs and returns each with its name.
fn compile(work: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("stress");
    let folder = work.join("programs");
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let mut programs = Vec::new();
    for (name, source) in PROGRAMS {
        let file = folder.join(name);
        let mut compiler = Command::new("gcc");
        compiler.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-fopenmp", "-s"]);
        packages::run(compiler.arg("-o").arg(&file).arg(sources.join(source)))?;
        programs.push((*name, std::fs::read(&file).map_err(Error::io(&file))?));
    }
    Ok(programs)
}

fn ram_disk(
    debian: &Path,
    programs: &[(&str, Vec<u8>)],
    modules_folder: &Path,
    release: &str,
) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::new();
    for folder in ["dev", "etc", "opt", "opt/weft", "proc", "root", "run", "sys", "tmp", "usr", "var"] {
        archive.directory(folder, 0o755);
    }
    for (link, target) in
        [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
    {
        archive.symlink(link, target);
    }
    archive.char_device("dev/console", 0o600, 5, 1);
    archive.char_device("dev/null", 0o666, 1, 3);
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("etc/profile", 0o644, PROFILE.as_bytes());
    archive.file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/bash\n");
    archive.file("etc/group", 0o644, b"root:x:0:\n");
    archive.symlink("etc/mtab", "/proc/mounts");
    let tree = root::Tree::read(debian)?;
    tree.check_libraries()?;
    tree.place(&mut archive)?;
    archive.symlink("usr/bin/awk", "mawk");
    for (name, bytes) in programs {
        archive.file(&format!("opt/weft/{name}"), 0o755, bytes);
    }
    archive.symlink("opt/weft/reboot", "poweroff");
    place_modules(&mut archive, modules_folder, release)?;
    Ok(archive.finish())
}

/// Where `modprobe` looks, and the list that the first program loads.
fn place_modules(archive: &mut Archive, modules_folder: &Path, release: &str) -> Result<(), Error> {
    let home = format!("usr/lib/modules/{release}");
    archive.directory("usr/lib/modules", 0o755);
    archive.directory(&home, 0o755);
    let mut order = String::new();
    let wanted: Vec<&str> = MODULES.iter().chain(SPARE_MODULES).copied().collect();
    let at_start = modules::resolve(modules_folder, MODULES)?.len();
    for (at, module) in modules::resolve(modules_folder, &wanted)?.iter().enumerate() {
        let file = format!("{home}/{}.ko", module.name);
        archive.file(&file, 0o644, &module.bytes);
        if at < at_start {
            order.push_str(&format!("/{file}\n"));
        }
    }
    for list in ["modules.builtin", "modules.order"] {
        let path = modules_folder.join(list);
        archive.file(&format!("{home}/{list}"), 0o644, &std::fs::read(&path).map_err(Error::io(&path))?);
    }
    archive.file("etc/modules-order", 0o644, order.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_the_last_one() {
        let console =
            "weft stress: 2 processors\r\nPASS litmus 5 (5.1 s)\r\nweft stress: 3 passed, 1 failed\r\n";
        assert_eq!(summary(console), Some((3, 1)));
        assert_eq!(summary("weft stress: 2 processors\n"), None);
    }

    #[test]
    fn init_says_what_is_waited_for() {
        assert!(INIT.contains(guest::USERLAND_UP));
        assert!(INIT.contains(&format!("{SUMMARY}$passed passed, $failed failed")));
    }

    #[test]
    fn every_program_can_be_run() {
        for (name, _) in PROGRAMS {
            assert!(INIT.contains(name), "init does not know {name}");
        }
    }
}
