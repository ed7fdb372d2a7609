//! What nodes and virtual servers use now.

use weft_api::{NodeLoad, VsLoad};

use super::rates::{NODE, NodeRow, VS, VS_SPANNING, VsRow};
use super::{nodes_of, spans};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::core::Core;
use crate::servers::state;
use crate::world::VsEntry;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// As JSON has it: no number where nothing is known, and no more digits than are meant.
pub(super) fn value(value: f32) -> Option<f64> {
    // Not minus zero, which a sum of nothing is.
    value.is_finite().then(|| (f64::from(value) * 1000.0).round() / 1000.0 + 0.0)
}

fn of_node(row: Option<&NodeRow>, name: &str) -> Option<f64> {
    let at = NODE.iter().position(|(known, _)| *known == name)?;
    value(*row?.get(at)?)
}

fn of_vs(row: Option<&VsRow>, name: &str) -> Option<f64> {
    let at = VS.iter().position(|(known, _)| *known == name)?;
    value(*row?.get(at)?)
}

impl Core {
    /// Of each node that the caller may see, by name.
    pub(crate) fn node_loads(&self, caller: &Caller) -> Vec<NodeLoad> {
        let mut sight = Sight::of(self, caller);
        let world = self.world();
        let state = self.loads.state();
        let approved = world.nodes.values().filter(|node| node.trusted_with_records());
        let mut loads: Vec<NodeLoad> = approved
            .filter(|node| sight.node(&node.row))
            .map(|node| {
                let id = node.row.id.as_str();
                let row = state.node_row(&world, id);
                let inventory = node.report.as_ref().map(|report| &report.inventory);
                NodeLoad {
                    name: node.row.name.clone(),
                    state: node.state().to_string(),
                    processors: inventory.map_or(0, |inventory| inventory.cpus),
                    processor: of_node(row.as_ref(), "processor"),
                    memory_total: inventory.map_or(0, |inventory| inventory.memory_kib).saturating_mul(KIB),
                    memory_guests: of_node(row.as_ref(), "memory-guests"),
                    memory_monitor: of_node(row.as_ref(), "memory-monitor"),
                    network_in: of_node(row.as_ref(), "network-in"),
                    network_out: of_node(row.as_ref(), "network-out"),
                    exits: of_node(row.as_ref(), "exits"),
                    remote_faults: of_node(row.as_ref(), "remote-faults"),
                    servers: state
                        .fresh(id)
                        .map_or(0, |told| u32::try_from(told.parts.len()).unwrap_or(u32::MAX)),
                }
            })
            .collect();
        loads.sort_by(|a, b| a.name.cmp(&b.name));
        loads
    }

    /// Of each virtual server that the caller may see, by name.
    pub(crate) fn vs_loads(&self, caller: &Caller) -> Vec<VsLoad> {
        let mut sight = Sight::of(self, caller);
        let world = self.world();
        let loads = self.loads.state();
        let node = |id: &str| world.nodes.get(id).map(|node| node.row.name.clone());
        let seen = world.servers.values().filter(|entry| sight.vs(&entry.row));
        let mut shown: Vec<VsLoad> = seen
            .map(|entry| {
                let row = loads.vs_row(entry);
                // What runs is measured by what it was started with.
                let in_force = entry.row.in_force();
                let of_span = row.as_ref().filter(|_| spans(entry));
                VsLoad {
                    name: entry.row.name.clone(),
                    state: state(&world, entry).to_string(),
                    nodes: nodes_of(entry).filter_map(node).collect(),
                    vcpus: in_force.vcpus,
                    processor: of_vs(row.as_ref(), "processor"),
                    memory_limit: u64::from(in_force.memory_mib).saturating_mul(MIB),
                    memory: of_vs(row.as_ref(), "memory"),
                    network_in: of_vs(row.as_ref(), "network-in"),
                    network_out: of_vs(row.as_ref(), "network-out"),
                    exits: of_vs(row.as_ref(), "exits"),
                    remote_faults: of_vs(of_span, "remote-faults"),
                    messages: of_vs(of_span, "messages"),
                }
            })
            .collect();
        shown.sort_by(|a, b| a.name.cmp(&b.name));
        shown
    }
}

impl super::Loads {
    /// Node id, virtual processor and processor of each virtual processor of a server, from reports that are fresh.
    pub(crate) fn processors(&self, entry: &VsEntry) -> Vec<(String, u16, u16)> {
        let state = self.state();
        let told = nodes_of(entry).filter_map(|node| Some((node, state.fresh(node)?)));
        told.flat_map(|(node, told)| {
            let part = told.last.servers.iter().find(|part| part.vs.to_string() == entry.row.id);
            let pairs = part.map_or(&[][..], |part| &part.processors);
            pairs.iter().map(move |(vcpu, processor)| (node.to_string(), *vcpu, *processor))
        })
        .collect()
    }
}

/// The last of [`VS`] are those of spanning servers.
const _: () = assert!(VS_SPANNING == 2);
