//! Peers: Debian's own servers, unpacked with `dpkg -x` into the build folder and run inside a lab's namespace.
//!
//! They are never installed: that would start them as services and take ports of the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use weft_images::{Error, packages};
use weft_lab::{Host, Lab};

/// An unpacked program and where its libraries are.
#[derive(Clone, Debug)]
pub struct Peer {
    program: PathBuf,
    libraries: PathBuf,
}

/// Where peers are unpacked.
pub fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).join("target/peers")
}

/// dnsmasq: DHCP, proxyDHCP and TFTP.
pub fn dnsmasq() -> Result<Peer, Error> {
    const PACKAGES: &[&str] = &[
        "dnsmasq-base",
        "libdbus-1-3",
        "libidn2-0",
        "libjansson4",
        "libmnl0",
        "libnetfilter-conntrack3",
        "libnettle8",
        "libhogweed6",
        "libgmp10",
        "libnfnetlink0",
        "libnftables1",
        "libnftnl11",
        "libunistring2",
        "libxtables12",
    ];
    unpack("dnsmasq", PACKAGES, "usr/sbin/dnsmasq")
}

fn unpack(name: &str, names: &[&str], program: &str) -> Result<Peer, Error> {
    let root = folder().join(name);
    let peer = Peer { program: root.join(program), libraries: root.join("usr/lib/x86_64-linux-gnu") };
    if peer.program.is_file() {
        return Ok(peer);
    }
    // Unpacked beside and moved at the end, so that an interrupted or a second run does no harm.
    let new = folder().join(format!("{name}.new-{}", std::process::id()));
    for package in names {
        let file = packages::download(package, &folder().join("packages"))?;
        packages::unpack_into(&file, &new)?;
    }
    match std::fs::rename(&new, &root) {
        Ok(()) => Ok(peer),
        Err(_) if peer.program.is_file() => Ok(peer),
        Err(source) => Err(Error::Io { path: root, source }),
    }
}

impl Peer {
    /// A command that runs it inside a lab.
    pub fn command(&self, lab: &Lab) -> Command {
        let mut command = lab.command_inside(&self.program.to_string_lossy());
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }
}

fn serve_addresses(command: &mut Command, leases: &Path) {
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    command.args([
        "--keep-in-foreground",
        "--log-facility=-",
        "--log-dhcp",
        "--port=0",
        "--conf-file=/dev/null",
    ]);
    command.arg(format!("--user={user}"));
    command.arg(format!("--interface={}", weft_lab::lab::TAP)).arg("--bind-interfaces");
    command.arg(format!("--dhcp-leasefile={}", leases.display()));
    command.arg("--dhcp-range=10.77.0.100,10.77.0.199,255.255.255.0,10m").arg("--dhcp-authoritative");
}

/// dnsmasq as somebody else's DHCP server on a further host: addresses and nothing about booting. Its leases go to
/// the file `leases`; its log is returned.
pub fn start_dnsmasq_for_addresses(
    host: &mut Host,
    leases: &Path,
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let peer = dnsmasq()?;
    let mut command = host.command(&peer.program.to_string_lossy());
    command.env("LD_LIBRARY_PATH", &peer.libraries);
    serve_addresses(&mut command, leases);
    Ok(host.run("dnsmasq", command)?)
}

/// dnsmasq as a boot server: full DHCP on the lab's tap and the files of `root` by TFTP. `files` maps client
/// architectures (option 93) to boot files.
pub fn start_dnsmasq(
    lab: &mut Lab,
    root: &Path,
    files: &[(u16, &str)],
) -> Result<(), Box<dyn std::error::Error>> {
    let mut command = dnsmasq()?.command(lab);
    serve_addresses(&mut command, &lab.folder().join("dnsmasq.leases"));
    command.arg("--enable-tftp").arg(format!("--tftp-root={}", root.display()));
    for (architecture, file) in files {
        command.arg(format!("--dhcp-match=set:arch{architecture},option:client-arch,{architecture}"));
        command.arg(format!("--dhcp-boot=tag:arch{architecture},{file}"));
    }
    lab.start_inside("dnsmasq", command)?;
    Ok(())
}
