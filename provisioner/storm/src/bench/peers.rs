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
        let mut download = Command::new("apt-get");
        download.arg("download").args(PACKAGES).current_dir(&debs).stdout(Stdio::null());
        if !download.status().context("apt-get")?.success() {
            bail!("apt-get download failed; run apt-get update once");
        }
        for entry in std::fs::read_dir(&debs)? {
            let deb = entry?.path();
            if !Command::new("dpkg").arg("-x").arg(&deb).arg(&folder).status().context("dpkg")?.success() {
                bail!("cannot unpack {}", deb.display());
            }
        }
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
