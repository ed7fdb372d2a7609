//! Peers: fetched as packages, unpacked, never installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::lab::target;

/// Packages with the programs, and libraries that a plain Debian does not have.
const PACKAGES: &[&str] = &[
    "atftpd",
    "dnsmasq-base",
    "kea-admin",
    "kea-common",
    "kea-dhcp4-server",
    "liblog4cplus-2.0.5",
    "libmariadb3",
    "libpq5",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftables1",
    "libnftnl11",
    "libidn2-0",
    "libwrap0",
    "nginx",
    "tftpd-hpa",
];

/// Unpacks a few packages into a folder of their own below `target/peers`, unless that was done before, and returns it.
///
/// # Errors
/// No network or package, or no `dpkg`.
pub fn unpack(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let all = target().join("peers");
    std::fs::create_dir_all(&all)?;
    let all = all.canonicalize()?;
    let done = all.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    // Moved at the end, so that an interrupted or a second run does no harm.
    let new = tempfile::Builder::new().prefix(name).tempdir_in(&all)?;
    let (debs, root) = (new.path().join("debs"), new.path().join("root"));
    std::fs::create_dir_all(&debs)?;
    fetch(&debs, &root, packages)?;
    if let Err(error) = std::fs::rename(&root, &done)
        && !done.is_dir()
    {
        return Err(error.into());
    }
    Ok(done)
}

fn fetch(debs: &Path, root: &Path, packages: &[&str]) -> anyhow::Result<()> {
    let mut download = Command::new("apt-get");
    download.arg("download").args(packages).current_dir(debs).stdout(Stdio::null());
    if !download.status().context("apt-get")?.success() {
        bail!("apt-get download failed; run apt-get update once");
    }
    for entry in std::fs::read_dir(debs)? {
        let deb = entry?.path();
        if !Command::new("dpkg").arg("-x").arg(&deb).arg(root).status().context("dpkg")?.success() {
            bail!("cannot unpack {}", deb.display());
        }
    }
    Ok(())
}

/// Where they are unpacked.
pub(crate) struct Peers(PathBuf);

impl Peers {
    /// Unpacks them, unless that was done before.
    pub(crate) fn fetch() -> anyhow::Result<Self> {
        let folder = target().join("peers");
        let peers = Self(folder.canonicalize().unwrap_or_else(|_| folder.clone()));
        let programs = ["dnsmasq", "in.tftpd", "atftpd", "kea-dhcp4", "perfdhcp", "nginx"];
        if programs.iter().all(|name| peers.program(name).is_file()) {
            return Ok(peers);
        }
        let debs = folder.join("debs");
        std::fs::create_dir_all(&debs)?;
        fetch(&debs, &folder, PACKAGES)?;
        Ok(Self(folder.canonicalize()?))
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join("usr/sbin").join(name)
    }

    /// The library path for unpacked programs.
    pub(crate) fn libraries(&self) -> String {
        let at = |path: &str| self.0.join(path).display().to_string();
        format!("{}:{}", at("usr/lib/x86_64-linux-gnu"), at("lib/x86_64-linux-gnu"))
    }

    pub(crate) fn hooks(&self) -> &Path {
        &self.0
    }
}
