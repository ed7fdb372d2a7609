//! Two namespaces and the processes in them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::serve::Settings;

/// The servers' address.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The nodes' address, and their relay's.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The network's prefix.
pub(crate) const PREFIX: u8 = 12;

/// The namespaces; removed when dropped.
pub(crate) struct Lab {
    server: String,
    client: String,
    /// For content, journals and settings; readable by the unprivileged users that peers change to.
    pub(crate) folder: tempfile::TempDir,
}

/// A server process; killed when dropped.
pub(crate) struct Server(Child);

impl Lab {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let id = std::process::id();
        let folder = tempfile::Builder::new().prefix("weft-bench").tempdir()?;
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open)?;
        let lab = Self { server: format!("weftb{id}s"), client: format!("weftb{id}c"), folder };
        let (s, c) = (lab.server.as_str(), lab.client.as_str());
        let (near, far) = (format!("{SERVER}/{PREFIX}"), format!("{CLIENT}/{PREFIX}"));
        ip(&["netns", "add", s])?;
        ip(&["netns", "add", c])?;
        ip(&["-n", s, "link", "add", "ws0", "type", "veth", "peer", "name", "wc0", "netns", c])?;
        for (ns, dev, address) in [(s, "ws0", &near), (c, "wc0", &far)] {
            ip(&["-n", ns, "addr", "add", address, "dev", dev])?;
            ip(&["-n", ns, "link", "set", dev, "up"])?;
            ip(&["-n", ns, "link", "set", "lo", "up"])?;
        }
        Ok(lab)
    }

    /// A command in the servers' namespace.
    pub(crate) fn there(&self, program: impl AsRef<OsStr>) -> Command {
        inside(&self.server, program)
    }

    /// Output of this very program's part, run among the nodes.
    pub(crate) fn nodes(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.here(std::env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("{} failed", arguments.first().unwrap_or(&"part"));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A command in the nodes' namespace.
    pub(crate) fn here(&self, program: impl AsRef<OsStr>) -> Command {
        inside(&self.client, program)
    }

    /// This project's servers.
    pub(crate) fn weft(&self, size_bytes: usize) -> anyhow::Result<Server> {
        let settings = Settings {
            address: SERVER,
            prefix: PREFIX,
            device: Some("ws0".into()),
            dhcp_ports: weft_dhcp::Ports::default(),
            tftp_port: 69,
            http_port: 80,
            size_bytes,
        };
        // On a real disk: leases are synced. /tmp may be memory.
        let journal = target().join("bench").join("leases.journal");
        let _ = std::fs::remove_file(&journal);
        std::fs::create_dir_all(journal.parent().context("folder")?)?;
        let mut command = self.there(std::env::current_exe()?);
        command.arg("serve").arg(serde_json::to_string(&settings)?).arg(&journal);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("the servers did not start");
        }
        Ok(Server(child))
    }

    /// A peer; its output is kept in the lab's folder.
    pub(crate) fn start(&self, mut command: Command) -> anyhow::Result<Server> {
        let log = std::fs::File::create(self.folder.path().join("peer.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut server = Server(command.spawn().context("peer")?);
        std::thread::sleep(Duration::from_millis(1500));
        if let Some(status) = server.0.try_wait()? {
            let log = std::fs::read_to_string(self.folder.path().join("peer.log")).unwrap_or_default();
            bail!("{command:?} ended: {status}\n{log}");
        }
        Ok(server)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for ns in [&self.server, &self.client] {
            let _ = ip(&["netns", "del", ns]);
        }
    }
}

impl Server {
    /// Most memory it ever had, MiB, its children included.
    pub(crate) fn peak_mib(&self) -> f64 {
        let mut total = 0.0;
        let mut pids = vec![self.0.id()];
        while let Some(pid) = pids.pop() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            total += kib.unwrap_or(0.0) / 1024.0;
            let children =
                std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
        }
        total
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its children first: nginx and atftpd have some.
        let id = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let _ = root("kill").arg("-9").arg(child).status();
        }
        let _ = root("kill").arg("-9").arg(id.to_string()).status();
        let _ = self.0.wait();
    }
}

/// The build folder.
pub(crate) fn target() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}

fn inside(ns: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = root("ip");
    command.args(["netns", "exec", ns]).arg(program);
    command
}

/// A command that needs root.
fn root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("-n").arg(program);
    command
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let status = root("ip").args(arguments).status().context("ip (iproute2)")?;
    if !status.success() {
        bail!("ip {} failed; namespaces need root or sudo", arguments.join(" "));
    }
    Ok(())
}
