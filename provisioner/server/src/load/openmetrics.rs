//! Counters of nodes and servers as they told them, as OpenMetrics text. Base units; a sample has the labels `node`,
//! `vs` or both, and at most one more with a fixed set of values. What is silent for [`super::FRESH`] has no samples
//! but that it is not there.

use std::fmt::Write;

use weft_wire::figures::SpanFigures;
use weft_wire::load::{EXIT_REASONS, NodeLoad, ServerLoad, Traffic};

use super::{State, nodes_of, spans};
use crate::metrics::{escaped, family};
use crate::servers::state;
use crate::world::World;

/// Writes the samples of one family; each has labels and a value.
struct Family<'a> {
    out: &'a mut String,
    sample: String,
}

impl<'a> Family<'a> {
    /// `name` without the suffix that counters' samples have.
    fn new(out: &'a mut String, name: &str, kind: &str, help: &str) -> Self {
        family(out, name, kind, help);
        let suffix = if kind == "counter" { "_total" } else { "" };
        Self { out, sample: format!("{name}{suffix}") }
    }

    fn add(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let _ = writeln!(self.out, "{}{{{}}} {value}", self.sample, labels.join(","));
    }

    fn directions(&mut self, labels: &[(&str, &str)], received: u64, sent: u64) {
        for (direction, value) in [("in", received), ("out", sent)] {
            self.add(&[labels, &[("direction", direction)]].concat(), value);
        }
    }
}

const fn bytes(traffic: &Traffic) -> (u64, u64) {
    (traffic.bytes_in, traffic.bytes_out)
}

const fn frames(traffic: &Traffic) -> (u64, u64) {
    (traffic.frames_in, traffic.frames_out)
}

/// Nanoseconds as seconds, exactly.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

const KIB: u64 = 1024;

/// A server's part on a node.
struct Part<'a> {
    vs: &'a str,
    node: &'a str,
    load: &'a ServerLoad,
    span: Option<&'a SpanFigures>,
}

impl Part<'_> {
    fn labels(&self) -> [(&str, &str); 2] {
        [("vs", self.vs), ("node", self.node)]
    }
}

/// All families of nodes and servers.
pub(super) fn write(out: &mut String, world: &World, loads: &State) {
    let approved = || world.nodes.values().filter(|node| node.trusted_with_records());
    let mut up = Family::new(out, "weft_node_up", "gauge", "Whether an approved node tells its load.");
    for node in approved() {
        up.add(&[("node", &node.row.name)], u8::from(loads.fresh(&node.row.id).is_some()));
    }
    let nodes: Vec<(&str, &NodeLoad)> = approved()
        .filter_map(|node| Some((node.row.name.as_str(), &*loads.fresh(&node.row.id)?.last)))
        .collect();
    of_nodes(out, &nodes);
    let mut running = Family::new(out, "weft_vs_running", "gauge", "Whether a virtual server runs.");
    for entry in world.servers.values() {
        running.add(&[("vs", &entry.row.name)], u8::from(state(world, entry) == "running"));
    }
    let mut parts = Vec::new();
    for entry in world.servers.values() {
        for id in nodes_of(entry) {
            let (Some(node), Some(told)) = (world.nodes.get(id), loads.fresh(id)) else { continue };
            let of_vs = |part: &&ServerLoad| part.vs.to_string() == entry.row.id;
            let Some(load) = told.last.servers.iter().find(of_vs) else { continue };
            let span = entry.figures.get(id).filter(|_| spans(entry)).and_then(|figures| figures.fresh());
            parts.push(Part { vs: &entry.row.name, node: &node.row.name, load, span });
        }
    }
    of_servers(out, &parts);
    of_spanning(out, &parts);
}

fn of_nodes(out: &mut String, nodes: &[(&str, &NodeLoad)]) {
    let mut family = Family::new(out, "weft_node_uptime_seconds", "gauge", "Time since the monitor started.");
    for (name, load) in nodes {
        family.add(&[("node", name)], seconds(load.uptime_ms.saturating_mul(1_000_000)));
    }
    let mut family = Family::new(out, "weft_node_processors", "gauge", "Logical processors.");
    for (name, load) in nodes {
        family.add(&[("node", name)], load.cpus);
    }
    let help = "Time in which processors did not halt, all together.";
    let mut family = Family::new(out, "weft_node_processor_busy_seconds", "counter", help);
    for (name, load) in nodes {
        family.add(&[("node", name)], seconds(load.busy_ns));
    }
    let mut family = Family::new(out, "weft_node_memory_bytes", "gauge", "Memory by use.");
    for (name, load) in nodes {
        for (usage, kib) in
            [("guests", load.guest_kib), ("monitor", load.monitor_kib), ("free", load.free_kib)]
        {
            family.add(&[("node", name), ("use", usage)], kib.saturating_mul(KIB));
        }
    }
    let mut family = Family::new(out, "weft_node_network_bytes", "counter", "Bytes of frames at the NIC.");
    for (name, load) in nodes {
        let (received, sent) = bytes(&load.nic);
        family.directions(&[("node", name)], received, sent);
    }
    let mut family = Family::new(out, "weft_node_network_frames", "counter", "Frames at the NIC.");
    for (name, load) in nodes {
        let (received, sent) = frames(&load.nic);
        family.directions(&[("node", name)], received, sent);
    }
    let help = "Received frames that the node dropped.";
    let mut family = Family::new(out, "weft_node_network_dropped", "counter", help);
    for (name, load) in nodes {
        family.add(&[("node", name)], load.nic_dropped);
    }
}

fn of_servers(out: &mut String, parts: &[Part<'_>]) {
    let help = "Time that processors spent on virtual processors.";
    let mut family = Family::new(out, "weft_vs_processor_seconds", "counter", help);
    for part in parts {
        family.add(&part.labels(), seconds(part.load.busy_ns));
    }
    let mut family = Family::new(out, "weft_vs_memory_bytes", "gauge", "Memory of the node that pages take.");
    for part in parts {
        family.add(&part.labels(), part.load.memory_kib.saturating_mul(KIB));
    }
    let help = "Bytes of frames at the server's interfaces.";
    let mut family = Family::new(out, "weft_vs_network_bytes", "counter", help);
    for part in parts {
        let (received, sent) = bytes(&part.load.network);
        family.directions(&part.labels(), received, sent);
    }
    let mut family =
        Family::new(out, "weft_vs_network_frames", "counter", "Frames at the server's interfaces.");
    for part in parts {
        let (received, sent) = frames(&part.load.network);
        family.directions(&part.labels(), received, sent);
    }
    let mut family = Family::new(out, "weft_vs_exits", "counter", "Times that the guest was left, by cause.");
    for part in parts {
        for (reason, count) in EXIT_REASONS.iter().zip(&part.load.exits) {
            family.add(&[&part.labels()[..], &[("reason", reason)]].concat(), count);
        }
    }
}

fn of_spanning(out: &mut String, parts: &[Part<'_>]) {
    let spanning = || parts.iter().filter_map(|part| Some((part, part.span?)));
    let help = "Faults of a server that spans nodes which needed another node.";
    let mut family = Family::new(out, "weft_vs_remote_faults", "counter", help);
    for (part, span) in spanning() {
        for (access, count) in [("read", span.counts.remote_read), ("write", span.counts.remote_write)] {
            family.add(&[&part.labels()[..], &[("access", access)]].concat(), count);
        }
    }
    let help = "Messages of the coherence protocol.";
    let mut family = Family::new(out, "weft_vs_messages", "counter", help);
    for (part, span) in spanning() {
        family.directions(&part.labels(), span.counts.messages_received, span.counts.messages_sent);
    }
    let help = "Bytes of frames between the server's nodes.";
    let mut family = Family::new(out, "weft_vs_link_bytes", "counter", help);
    for (part, span) in spanning() {
        let sum = |of: fn(&weft_wire::figures::LinkFigures) -> u64| {
            span.links.iter().fold(0u64, |sum, link| sum.saturating_add(of(link)))
        };
        let (received, sent) = (sum(|link| link.bytes_received), sum(|link| link.bytes_sent));
        family.directions(&part.labels(), received, sent);
    }
}
