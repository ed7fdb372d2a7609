//! The Debian package of the appliance and the command line: `./just deb`.
//!
//! What is in it lies in `provisioner/package`, as it is installed; this puts it beside the program, fills in what only
//! the build knows (version, architecture, size, libraries by `dpkg-shlibdeps`), and has `dpkg-deb` pack it. Times are
//! those of the last commit, owners are root's: the same sources give the same package.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::workspace::{command, output, root, run};

/// Where a file of `provisioner/package` goes, and its mode.
const FILES: &[(&str, &str, u32)] = &[
    ("weft.service", "usr/lib/systemd/system/weft.service", 0o644),
    ("service-address.conf", "usr/share/weft/service-address.conf", 0o644),
    ("weft.default", "etc/default/weft", 0o644),
    ("weft.sysusers", "usr/lib/sysusers.d/weft.conf", 0o644),
    ("weft.tmpfiles", "usr/lib/tmpfiles.d/weft.conf", 0o644),
    ("copyright", "usr/share/doc/weft/copyright", 0o644),
    ("postinst", "DEBIAN/postinst", 0o755),
    ("prerm", "DEBIAN/prerm", 0o755),
    ("postrm", "DEBIAN/postrm", 0o755),
];
/// Shells, and where their completions go.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/weft"),
    ("zsh", "usr/share/zsh/vendor-completions/_weft"),
    ("fish", "usr/share/fish/vendor_completions.d/weft.fish"),
];

/// Packs a built program; returns the package's file in `out`. `compression` is for `dpkg-deb`, empty for its own.
pub fn build(program: &Path, out: &Path, compression: &[&str]) -> anyhow::Result<PathBuf> {
    let stage = out.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage).with_context(|| format!("cannot empty {}", stage.display()))?;
    }
    let version = output(&mut command(&["cargo", "pkgid", "--offline", "--package", "weft"]))?;
    let version = version.trim().rsplit(['#', '@']).next().unwrap_or_default().to_string();
    let architecture = output(&mut command(&["dpkg", "--print-architecture"]))?.trim().to_string();
    let package = root().join("provisioner/package");
    for (name, to, mode) in FILES {
        put(
            &stage,
            to,
            &fs::read(package.join(name)).with_context(|| format!("cannot read {name}"))?,
            *mode,
        )?;
    }
    put(&stage, "DEBIAN/conffiles", b"/etc/default/weft\n", 0o644)?;
    put(&stage, "usr/bin/weft", &fs::read(program).context("the program is not built")?, 0o755)?;
    let installed = stage.join("usr/bin/weft");
    run(command(&["strip", "--strip-all"]).arg(&installed))?;
    for (shell, to) in COMPLETIONS {
        let script = output(Command::new(&installed).args(["completion", shell]))?;
        put(&stage, to, script.as_bytes(), 0o644)?;
    }
    compressed(&stage, &package.join("weft.1"), "usr/share/man/man1/weft.1.gz")?;
    compressed(&stage, &root().join("CHANGELOG.md"), "usr/share/doc/weft/changelog.gz")?;
    let control = fs::read_to_string(package.join("control")).context("cannot read control")?;
    let control = control
        .replace("@VERSION@", &version)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@SIZE@", &(size(&stage)? / 1024).to_string())
        .replace("@DEPENDS@", &libraries(&stage)?);
    if let Some(line) = control.lines().find(|line| line.contains('@') && !line.starts_with("Maintainer:")) {
        bail!("control has an unknown word: {line}");
    }
    put(&stage, "DEBIAN/control", control.as_bytes(), 0o644)?;
    put(&stage, "DEBIAN/md5sums", sums(&stage)?.as_bytes(), 0o644)?;
    let file = out.join(format!("weft_{version}_{architecture}.deb"));
    let mut pack = command(&["dpkg-deb", "--root-owner-group"]);
    pack.args(compression).arg("--build").arg(&stage).arg(&file).env("SOURCE_DATE_EPOCH", commit_time()?);
    output(&mut pack)?;
    Ok(file)
}

/// Writes a file with its folders.
fn put(stage: &Path, to: &str, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let path = stage.join(to);
    let folder = path.parent().context("a folder")?;
    let done = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, bytes))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
    done.with_context(|| format!("cannot write {}", path.display()))?;
    // Whatever the caller's umask is.
    let folders = folder.ancestors().take_while(|folder| folder.starts_with(stage));
    for folder in folders {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).context("cannot set a mode")?;
    }
    Ok(())
}

/// A text as `gzip -9n` has it: without name and time.
fn compressed(stage: &Path, from: &Path, to: &str) -> anyhow::Result<()> {
    let done = command(&["gzip", "--best", "--no-name", "--stdout"]).arg(from).output().context("gzip")?;
    anyhow::ensure!(done.status.success(), "gzip failed: {}", String::from_utf8_lossy(&done.stderr));
    put(stage, to, &done.stdout, 0o644)
}

/// Installed files, as paths from the package's top, in order.
fn installed(stage: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![stage.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry.context("cannot list a folder")?.path();
            let name = path.strip_prefix(stage).context("within")?.to_path_buf();
            match (path.is_dir(), name == Path::new("DEBIAN")) {
                (_, true) => {}
                (true, false) => folders.push(path),
                (false, false) => found.push(name),
            }
        }
    }
    found.sort();
    Ok(found)
}

fn size(stage: &Path) -> anyhow::Result<u64> {
    let bytes =
        installed(stage)?.into_iter().map(|name| fs::metadata(stage.join(name)).map(|file| file.len()));
    bytes.sum::<std::io::Result<u64>>().context("cannot look at a file")
}

fn sums(stage: &Path) -> anyhow::Result<String> {
    let mut sums = command(&["md5sum"]);
    output(sums.args(installed(stage)?).current_dir(stage))
}

/// `libc6 (>= 2.36), …`: what the program is linked with, as Debian's own packages say it.
fn libraries(stage: &Path) -> anyhow::Result<String> {
    // The tool wants a source package around it.
    let source = stage.with_file_name("source");
    put(&source, "debian/control", b"Source: weft\n\nPackage: weft\nArchitecture: any\n", 0o644)?;
    let mut tool = command(&["dpkg-shlibdeps", "-O"]);
    let told = output(tool.arg(stage.join("usr/bin/weft")).current_dir(&source))?;
    let depends = told.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    depends.map(str::to_string).with_context(|| format!("dpkg-shlibdeps said {told:?}"))
}

/// Seconds since 1970 of the last commit, or what the environment says.
fn commit_time() -> anyhow::Result<String> {
    if let Ok(said) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(said);
    }
    Ok(output(&mut command(&["git", "log", "-1", "--format=%ct"]))?.trim().to_string())
}
