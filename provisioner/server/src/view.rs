//! Nodes as the interface shows them.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use weft_api::{ApplianceConfig, Nic, Node};
use weft_wire::agent::{BootKind, Inventory, NicReport};

use crate::boots::Boot;
use crate::core::Core;
use crate::nodes::fingerprint;
use crate::spanning::{lies_on, nodes_of};
use crate::util::{hex, mac_text};
use crate::world::{NodeEntry, VsEntry, World};

/// A machine that was seen booting is listed for so long.
const SHOW_BOOT_FOR: Duration = Duration::from_secs(900);

impl Core {
    /// All nodes, those on their way included, by name.
    pub(crate) fn show_nodes(&self) -> Vec<Node> {
        let boots = self.boots.all();
        let world = self.world();
        let mut on: HashMap<&str, Vec<String>> = HashMap::new();
        for vs in world.servers.values() {
            for node in nodes_of(&vs.row) {
                on.entry(node).or_default().push(vs.row.name.clone());
            }
        }
        let one = |node: &NodeEntry| {
            show(&world, node, &boots, on.get(node.row.id.as_str()).cloned().unwrap_or_default())
        };
        let mut nodes: Vec<Node> = world.nodes.values().map(one).collect();
        let known = |boot: &Boot| nodes_have(&world, &boot.mac);
        let booting =
            boots.iter().filter(|boot| boot.last.elapsed() < SHOW_BOOT_FOR && !known(boot)).map(show_boot);
        nodes.extend(booting.collect::<Vec<_>>());
        nodes.sort_by_key(|node| natural(&node.name));
        nodes
    }

    pub(crate) fn show_node(&self, name: &str) -> Result<Node, crate::error::Error> {
        match self.find_node(name) {
            Ok(node) => {
                let world = self.world();
                let lies = |vs: &&VsEntry| lies_on(&vs.row, &node.row.id);
                let servers = world.servers.values().filter(lies).map(|vs| vs.row.name.clone()).collect();
                Ok(show(&world, &node, &self.boots.all(), servers))
            }
            Err(error) => self.show_nodes().into_iter().find(|node| node.name == name).ok_or(error),
        }
    }

    pub(crate) fn show_config(&self) -> ApplianceConfig {
        ApplianceConfig {
            cluster: self.cluster.to_string(),
            interface: self.settings.interface.clone(),
            address: self.settings.address.to_string(),
            dhcp_mode: self.settings.dhcp_mode.clone(),
            active_image: self.active_image().map(|(digest, _)| digest).unwrap_or_default(),
            delegation_version: self.trust().delegation_version(),
        }
    }
}

fn nodes_have(world: &World, mac: &str) -> bool {
    world.nodes.values().any(|node| {
        node.row.mac == mac
            || node
                .report
                .as_ref()
                .is_some_and(|report| report.inventory.nics.iter().any(|nic| mac_text(&nic.mac) == mac))
    })
}

/// `node-2` before `node-10`.
pub(crate) fn natural(name: &str) -> (String, u64, String) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, tail) = name.split_at(name.len() - digits);
    (head.to_string(), tail.parse().unwrap_or(0), name.to_string())
}

fn show_boot(boot: &Boot) -> Node {
    Node {
        name: format!("boot-{}", boot.mac.replace(':', "")),
        state: "booting".to_string(),
        mac: boot.mac.clone(),
        address: boot.address.map(|address| address.to_string()).unwrap_or_default(),
        boot_path: boot.path.to_string(),
        last_seen: boot.last_seen.clone(),
        stages: boot.stages.clone(),
        ..Node::default()
    }
}

pub(crate) fn address(bytes: [u8; 4]) -> String {
    if bytes == [0; 4] { String::new() } else { Ipv4Addr::from(bytes).to_string() }
}

/// NICs as the interface shows them.
pub(crate) fn nics(inventory: &Inventory) -> Vec<Nic> {
    let show = |nic: &NicReport| Nic {
        mac: mac_text(&nic.mac),
        driver: nic.driver.clone(),
        pci_id: format!("{:04x}:{:04x}", nic.pci_id.0, nic.pci_id.1),
        link_up: nic.link_up,
        address: address(nic.address),
    };
    inventory.nics.iter().map(show).collect()
}

/// A node with the names of what lies on it.
pub(crate) fn show(world: &World, node: &NodeEntry, boots: &[Boot], servers: Vec<String>) -> Node {
    let row = &node.row;
    let mut shown = Node {
        name: row.name.clone(),
        state: node.state().to_string(),
        id: row.id.clone(),
        fingerprint: fingerprint(&row.id),
        mac: row.mac.clone(),
        address: row.address.parse::<Ipv4Addr>().map(|ip| ip.to_string()).unwrap_or_default(),
        last_seen: node.last_seen.clone(),
        monitor_kib: node.beat.monitor_kib,
        guest_kib: node.beat.guest_kib,
        exits: node.beat.exits,
        busy_permille: node.beat.busy_permille,
        uptime_ms: if node.live.is_some() { node.beat.uptime_ms } else { 0 },
        servers,
        labels: row.labels.clone(),
        chosen_image: row.image.clone(),
        frame: world.containers.get(node.frame()).map(|frame| frame.name.clone()).unwrap_or_default(),
        ..Node::default()
    };
    if let Some(report) = &node.report {
        shown.boot_path = match report.boot.path {
            BootKind::Uefi => "uefi",
            BootKind::Bios => "bios",
        }
        .to_string();
        shown.trusted_boot = report.trusted(row.boot_counter);
        shown.generation = report.boot.generation;
        shown.image = hex(&report.boot.image_digest.0);
        shown.cpus = report.inventory.cpus;
        shown.cpu_model.clone_from(&report.inventory.cpu_model);
        shown.memory_kib = report.inventory.memory_kib;
        shown.features.clone_from(&report.inventory.features);
        shown.stages.clone_from(&report.stages);
        shown.nics = nics(&report.inventory);
    }
    // A node on its way back shows how far it has come.
    if node.live.is_none()
        && let Some(boot) = boots.iter().find(|boot| boot.mac == row.mac)
    {
        shown.stages.clone_from(&boot.stages);
    }
    shown
}
