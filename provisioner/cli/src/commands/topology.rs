//! `topology`: virtual on physical as a tree.

use std::collections::HashMap;

use weft_api::{
    Topology, TopologyBox, TopologyGateway, TopologyNode, TopologyPort, TopologyServer, TopologySwitch,
};

use super::Context;
use crate::args::{Format, Topology as Args};
use crate::error::CliError;
use crate::output::{clean, print};

/// Where an object that the caller may not see would stand.
const HIDDEN: &str = "(not shown to you)";

/// A line of the tree with what hangs below it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Branch {
    text: String,
    below: Vec<Branch>,
}

impl Branch {
    fn new(text: String, below: Vec<Branch>) -> Self {
        Self { text, below }
    }

    fn write(&self, lead: &str, out: &mut String) {
        let last = self.below.len().saturating_sub(1);
        for (place, branch) in self.below.iter().enumerate() {
            let (fork, rest) = if place == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            out.push_str(&format!("{lead}{fork}{}\n", clean(&branch.text)));
            branch.write(&format!("{lead}{rest}"), out);
        }
    }
}

/// The document by identity.
struct Known<'a> {
    all: &'a Topology,
    nodes: HashMap<&'a str, &'a TopologyNode>,
    servers: HashMap<&'a str, &'a TopologyServer>,
}

impl<'a> Known<'a> {
    fn new(all: &'a Topology) -> Self {
        let nodes = all.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        Self { all, nodes, servers: all.servers.iter().map(|vs| (vs.id.as_str(), vs)).collect() }
    }

    fn partition(&self, id: &str) -> Option<&'a str> {
        self.all.partitions.iter().find(|one| one.id == id).map(|one| one.name.as_str())
    }

    fn server(&self, share: &weft_api::TopologyShare) -> Branch {
        let own = format!("{} vCPU, {} MiB", share.vcpus, share.memory_mib);
        let Some(vs) = self.servers.get(share.server.as_str()) else {
            return Branch::new(format!("vs {HIDDEN}  {own}"), Vec::new());
        };
        let of = match self.partition(&vs.partition) {
            Some(partition) => format!(" of {} vCPU, {} MiB over {partition}", vs.vcpus, vs.memory_mib),
            None => String::new(),
        };
        Branch::new(format!("vs {}  {}  {own}{of}", vs.name, vs.state), Vec::new())
    }

    fn node(&self, node: &TopologyNode) -> Branch {
        let has = format!(
            "{} processors, {} MiB, {} free, {} NICs",
            node.cpus,
            node.memory_mib,
            node.free_mib,
            node.nics.len()
        );
        let of = match (node.partition.as_str(), self.partition(&node.partition)) {
            ("", _) => String::new(),
            (_, Some(name)) => format!(", partition {name}"),
            (_, None) => format!(", partition {HIDDEN}"),
        };
        let below = node.servers.iter().map(|share| self.server(share)).collect();
        Branch::new(format!("node {}  {}  {has}{of}", node.name, node.state), below)
    }

    fn nodes(&self, fits: impl Fn(&TopologyNode) -> bool) -> Vec<Branch> {
        self.all.nodes.iter().filter(|node| fits(node)).map(|node| self.node(node)).collect()
    }

    fn tree(&self) -> Vec<Branch> {
        let Topology { datacenters, mainframes, frames, .. } = self.all;
        let within = |id: &str, all: &'a [TopologyBox]| -> Vec<&'a TopologyBox> {
            all.iter().filter(|one| one.parent == id).collect()
        };
        let frame = |one: &TopologyBox| {
            Branch::new(format!("frame {}", one.name), self.nodes(|node| node.frame == one.id))
        };
        let mainframe = |one: &TopologyBox| {
            let below = within(&one.id, frames).into_iter().map(frame).collect();
            Branch::new(format!("mainframe {}", one.name), below)
        };
        let datacenter = |one: &TopologyBox| {
            let below = within(&one.id, mainframes).into_iter().map(mainframe).collect();
            Branch::new(format!("data center {}", one.name), below)
        };
        let mut all: Vec<Branch> = datacenters.iter().map(datacenter).collect();
        let known = |id: &str, all: &[TopologyBox]| all.iter().any(|one| one.id == id);
        // What stands in something that is not seen.
        let lost = |one: &&TopologyBox, above: &[TopologyBox]| !known(&one.parent, above);
        all.extend(mainframes.iter().filter(|one| lost(one, datacenters)).map(mainframe));
        all.extend(frames.iter().filter(|one| lost(one, mainframes)).map(frame));
        let hidden = self.nodes(|node| !node.frame.is_empty() && !known(&node.frame, frames));
        if !hidden.is_empty() {
            all.push(Branch::new(format!("frame {HIDDEN}"), hidden));
        }
        let free = self.nodes(|node| node.frame.is_empty());
        if !free.is_empty() {
            all.push(Branch::new("free pool".to_owned(), free));
        }
        all.extend(self.all.switches.iter().map(|switch| self.switch(switch)));
        all
    }

    /// A switch with its gateway ports, and its ports with what is on them.
    fn switch(&self, switch: &TopologySwitch) -> Branch {
        let gateway = |gateway: &TopologyGateway| {
            let node = self.nodes.get(gateway.node.as_str()).map_or(HIDDEN, |node| node.name.as_str());
            Branch::new(format!("gateway {}  {} of {node}", gateway.name, gateway.nic), Vec::new())
        };
        let port = |port: &TopologyPort| {
            let name = |id: &String| {
                let found = switch.gateways.iter().find(|gateway| gateway.id == *id);
                found.map_or(HIDDEN, |gateway| gateway.name.as_str())
            };
            let leads: Vec<&str> = port.gateways.iter().map(name).collect();
            let leads = if leads.is_empty() { String::new() } else { format!(" to {}", leads.join(", ")) };
            let on = match (port.vnic.as_str(), self.all.vnics.iter().find(|vnic| vnic.id == port.vnic)) {
                ("", _) => Vec::new(),
                (_, Some(vnic)) => {
                    vec![Branch::new(format!("vnic {}  {}", vnic.name, vnic.state), Vec::new())]
                }
                (_, None) => vec![Branch::new(format!("vnic {HIDDEN}"), Vec::new())],
            };
            Branch::new(format!("port {}  {}{leads}", port.name, port.pathing), on)
        };
        let below = switch.gateways.iter().map(gateway).chain(switch.ports.iter().map(port)).collect();
        Branch::new(format!("switch {}  {}: {}", switch.name, switch.state, switch.reason), below)
    }

    /// What a node stands in, the outermost last.
    fn around(&self, node: &TopologyNode) -> String {
        if node.frame.is_empty() {
            return "in the free pool".to_owned();
        }
        let named = |id: &str, all: &'a [TopologyBox]| all.iter().find(|one| one.id == id);
        let Some(frame) = named(&node.frame, &self.all.frames) else { return format!("in a frame {HIDDEN}") };
        let mainframe = named(&frame.parent, &self.all.mainframes);
        let datacenter = mainframe.and_then(|one| named(&one.parent, &self.all.datacenters));
        let name = |one: Option<&TopologyBox>| one.map_or(HIDDEN.to_owned(), |one| one.name.clone());
        format!("in frame {}, mainframe {}, data center {}", frame.name, name(mainframe), name(datacenter))
    }

    /// Where a server lives.
    fn lives(&self, vs: &TopologyServer) -> Vec<Branch> {
        let place = |place: &weft_api::TopologyPlace| {
            let last = place.first_vcpu.saturating_add(place.vcpus).saturating_sub(1);
            let own = match place.vcpus {
                0 => format!("no vCPU, {} MiB", place.memory_mib),
                1 => format!("vCPU {}, {} MiB", place.first_vcpu, place.memory_mib),
                _ => format!("vCPUs {} to {last}, {} MiB", place.first_vcpu, place.memory_mib),
            };
            match self.nodes.get(place.node.as_str()) {
                Some(node) => Branch::new(
                    format!("{own} on node {}  {}", node.name, node.state),
                    vec![Branch::new(self.around(node), Vec::new())],
                ),
                None => Branch::new(format!("{own} on a node {HIDDEN}"), Vec::new()),
            }
        };
        vs.places.iter().map(place).collect()
    }
}

fn missing(what: &str, name: &str, list: &str) -> CliError {
    CliError::usage(format!("there is no {what} {name}"), format!("see {list}"))
}

/// By name, or by identity or its first digits.
fn called(name: &str, id: &str, given: &str) -> bool {
    name == given || (given.len() >= 4 && id.starts_with(given))
}

/// Runs `topology`.
pub(super) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let at = args.at.map(|number| format!("?at={number}")).unwrap_or_default();
    let mut all: Topology = context.client.get(&format!("/api/v1/topology{at}")).await?;
    if let Some(given) = &args.node {
        all.nodes.retain(|node| called(&node.name, &node.id, given));
        let Some(node) = all.nodes.first() else { return Err(missing("node", given, "weft node list")) };
        let has = |vs: &TopologyServer| vs.places.iter().any(|place| place.node == node.id);
        all.servers.retain(has);
    }
    if let Some(given) = &args.vs {
        all.servers.retain(|vs| called(&vs.name, &vs.id, given));
        let Some(vs) = all.servers.first() else {
            return Err(missing("virtual server", given, "weft vs list"));
        };
        all.nodes.retain(|node| vs.places.iter().any(|place| place.node == node.id));
    }
    if matches!(context.output.format, Format::Json | Format::Yaml) {
        return context.output.one(&all);
    }
    let known = Known::new(&all);
    let (title, below) = if let (Some(_), Some(node)) = (&args.node, all.nodes.first()) {
        let own = known.node(node);
        let around = Branch::new(known.around(node), Vec::new());
        (own.text, std::iter::once(around).chain(own.below).collect())
    } else if let (Some(_), Some(vs)) = (&args.vs, all.servers.first()) {
        let over = known.partition(&vs.partition).map(|name| format!(" over {name}")).unwrap_or_default();
        (
            format!("vs {}  {}  {} vCPU, {} MiB{over}", vs.name, vs.state, vs.vcpus, vs.memory_mib),
            known.lives(vs),
        )
    } else {
        ("topology".to_owned(), known.tree())
    };
    if below.is_empty() {
        context.output.note("no node has booted yet; see weft doctor");
    }
    let mut text = format!("{}\n", clean(&title));
    Branch::new(title, below).write("", &mut text);
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_api::{TopologyPartition, TopologyPlace, TopologyShare};

    fn world() -> Topology {
        let one = |name: &str, parent: &str| TopologyBox {
            name: name.into(),
            id: format!("id-{name}"),
            parent: parent.into(),
            ..TopologyBox::default()
        };
        let node = |name: &str, frame: &str| TopologyNode {
            name: name.into(),
            state: "ready".into(),
            id: format!("id-{name}"),
            frame: frame.into(),
            partition: "id-p1".into(),
            servers: vec![TopologyShare { server: "id-big".into(), vcpus: 2, memory_mib: 512 }],
            ..TopologyNode::default()
        };
        let place = |node: &str, first_vcpu| TopologyPlace {
            node: node.into(),
            first_vcpu,
            vcpus: 2,
            memory_mib: 512,
        };
        Topology {
            transaction: 7,
            switches: vec![TopologySwitch {
                name: "lan".into(),
                state: "not applied".into(),
                reason: "none yet".into(),
                ports: vec![TopologyPort {
                    name: "lan-1".into(),
                    pathing: "failover".into(),
                    gateways: vec!["id-up".into()],
                    vnic: "vnic-id-big".into(),
                    ..TopologyPort::default()
                }],
                gateways: vec![TopologyGateway {
                    name: "up".into(),
                    id: "id-up".into(),
                    node: "id-node-1".into(),
                    nic: "02:00".into(),
                }],
                ..TopologySwitch::default()
            }],
            vnics: Vec::new(),
            datacenters: vec![one("north", "")],
            mainframes: vec![one("m1", "id-north")],
            frames: vec![one("rack-1", "id-m1")],
            nodes: vec![node("node-1", "id-rack-1"), node("node-2", "")],
            partitions: vec![TopologyPartition {
                name: "p1".into(),
                id: "id-p1".into(),
                ..TopologyPartition::default()
            }],
            servers: vec![TopologyServer {
                name: "big".into(),
                id: "id-big".into(),
                state: "running".into(),
                vcpus: 4,
                memory_mib: 1024,
                partition: "id-p1".into(),
                places: vec![place("id-node-1", 0), place("id-node-2", 2)],
                ..TopologyServer::default()
            }],
        }
    }

    #[test]
    fn the_tree_has_each_node_below_its_frame_the_free_pool_and_switches_last() {
        let all = world();
        let mut text = String::new();
        Branch::new(String::new(), Known::new(&all).tree()).write("", &mut text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            ["├─ data center north", "│  └─ mainframe m1", "│     └─ frame rack-1"],
            "{text}"
        );
        assert!(lines[3].starts_with("│        └─ node node-1  ready"), "{text}");
        assert!(lines[4].ends_with("vs big  running  2 vCPU, 512 MiB of 4 vCPU, 1024 MiB over p1"), "{text}");
        assert_eq!(lines[5], "├─ free pool");
        let switch = [
            "└─ switch lan  not applied: none yet",
            "   ├─ gateway up  02:00 of node-1",
            "   └─ port lan-1  failover to up",
            "      └─ vnic (not shown to you)",
        ];
        assert_eq!(lines[8..], switch, "{text}");
    }

    #[test]
    fn a_server_tells_which_of_its_processors_are_where_and_what_is_not_seen() {
        let mut all = world();
        all.frames.clear();
        all.nodes.truncate(1);
        let known = Known::new(&all);
        let lives = known.lives(&all.servers[0]);
        assert_eq!(lives[0].text, "vCPUs 0 to 1, 512 MiB on node node-1  ready");
        assert_eq!(lives[0].below[0].text, "in a frame (not shown to you)");
        assert_eq!(lives[1].text, "vCPUs 2 to 3, 512 MiB on a node (not shown to you)");
    }
}
