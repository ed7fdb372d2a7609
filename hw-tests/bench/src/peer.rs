//! The other side: the peer's kernel and ram disk by iPXE from dnsmasq (TFTP, the script) and busybox (HTTP,
//! the rest), on the same wire and the same machine as ours.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use weft_hw_tests::{peers, workspace::root};
use weft_images::{guest, peer};
use weft_lab::{Lab, LabConfig, Node};

use crate::machine;

const PATIENCE: Duration = Duration::from_secs(400);
const SERVER: &str = "http://10.77.0.1";
pub(crate) const NAME: &str = "Debian 6.1 KVM";

/// A lab with the peer's servers.
pub(crate) struct Peer {
    node: Option<Node>,
    lab: Lab,
    pub(crate) peer: peer::Peer,
    next: u8,
}

impl Peer {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (work, guest_work) = (root().join("target/peer"), root().join("target/guest"));
        let peer = peer::build(&work, &guest_work)?;
        let guest = guest::build(&guest_work)?;
        let mut lab = Lab::start(LabConfig::test("bench-peer"))?;
        let served = lab.folder().join("served");
        std::fs::create_dir_all(&served)?;
        link(&peer.kernel, &served.join("node-kernel"))?;
        link(&peer.initrd, &served.join("node-initrd"))?;
        link(&guest.kernel, &served.join("vmlinuz"))?;
        link(&guest.initrd, &served.join("initrd"))?;
        peers::start_dnsmasq(&mut lab, &served, &[(0, "boot.ipxe")]).map_err(|error| anyhow!("{error}"))?;
        let mut http = lab.command_inside("/bin/busybox");
        http.args(["httpd", "-f", "-p", "10.77.0.1:80", "-h"]).arg(&served);
        lab.start_inside("httpd", http)?;
        Ok(Self { node: None, lab, peer, next: 100 })
    }

    /// Switches the machine on with these words on the kernel's command line.
    pub(crate) fn power_on(&mut self, words: &str) -> anyhow::Result<Instant> {
        self.node = None;
        let script = format!(
            "#!ipxe\nkernel {SERVER}/node-kernel console=ttyS0 quiet weft.server={SERVER} {words}\ninitrd {SERVER}/node-initrd\nboot\n"
        );
        let file = self.lab.folder().join("served/boot.ipxe");
        std::fs::write(&file, script).with_context(|| format!("{}", file.display()))?;
        let mut node = self.lab.node(machine(self.next))?;
        self.next += 1;
        let started = Instant::now();
        node.power_on()?;
        self.node = Some(node);
        Ok(started)
    }

    /// Waits for a line on the node's console, which is also the guest's.
    pub(crate) fn wait_for(&mut self, pattern: &str) -> anyhow::Result<String> {
        let node = self.node.as_mut().context("the node is on")?;
        Ok(node.wait_for(pattern, PATIENCE)?)
    }

    /// All that was printed.
    pub(crate) fn console(&self) -> String {
        self.node.as_ref().map(|node| node.serial().text()).unwrap_or_default()
    }

    /// Pulls the plug.
    pub(crate) fn power_off(&mut self) {
        self.node = None;
    }
}

fn link(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::os::unix::fs::symlink(from, to).with_context(|| format!("{}", to.display()))
}
