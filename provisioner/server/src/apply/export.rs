//! The world as a document.

use weft_api::{
    DatacenterSpec, FrameSpec, MainframeSpec, Manifest, NodeSpec, PartitionSpec, TemplateSpec, VsManifest,
};
use weft_store::{ContainerRow, Level, TemplateRow, VsRow};

use crate::auth::Sight;
use crate::error::Error;
use crate::partitions::name_of;
use crate::servers::invalid;
use crate::view::natural;
use crate::world::World;

/// Kinds by the words that people use for one and for all of them.
const KINDS: [(&str, &str); 12] = [
    ("datacenter", "datacenters"),
    ("mainframe", "mainframes"),
    ("frame", "frames"),
    ("node", "nodes"),
    ("partition", "partitions"),
    ("template", "templates"),
    ("switch", "switches"),
    ("gateway", "gateways"),
    ("port", "ports"),
    ("vs", "vs"),
    ("vnic", "vnics"),
    ("vhba", "vhbas"),
];

/// The name of a container; empty where there is none.
fn container(world: &World, id: &str) -> String {
    world.containers.get(id).map(|row| row.name.clone()).unwrap_or_default()
}

fn partition(world: &World, id: &str) -> String {
    world.partitions.get(id).map(|entry| entry.row.name.clone()).unwrap_or_default()
}

fn template(world: &World, row: &TemplateRow) -> TemplateSpec {
    TemplateSpec {
        name: row.name.clone(),
        vcpus: Some(row.vcpus),
        memory_mib: Some(row.memory_mib),
        kernel: Some(row.kernel.clone()),
        initrd: Some(row.initrd.clone()),
        append: Some(row.append.clone()),
        // One whose partition is gone keeps it: left out it stays.
        partition: (row.partition.is_empty() || world.partitions.contains_key(&row.partition))
            .then(|| partition(world, &row.partition)),
        labels: Some(row.labels.clone()),
    }
}

fn vs(world: &World, row: &VsRow) -> VsManifest {
    let spans = !row.partition.is_empty();
    VsManifest {
        name: row.name.clone(),
        running: Some(row.running),
        node: (!spans).then(|| name_of(world, &row.node)),
        partition: spans.then(|| partition(world, &row.partition)),
        pinned: spans.then_some(row.pinned),
        affinity: Some(row.affinity.clone()),
        vcpus: Some(row.vcpus),
        memory_mib: Some(row.memory_mib),
        kernel: Some(row.kernel.clone()),
        initrd: Some(row.initrd.clone()),
        append: Some(row.append.clone()),
        hostname: Some(row.hostname.clone()),
        address: Some(row.address.clone()),
        gateway: Some(row.gateway.clone()),
        labels: Some(row.labels.clone()),
    }
}

/// What a caller may see of it. An object that is named and not there is an error.
pub(super) fn export(
    world: &World,
    mut sight: Option<Sight>,
    kind: &str,
    name: &str,
) -> Result<Manifest, Error> {
    let known = KINDS.into_iter().find(|(one, all)| *one == kind || *all == kind).map(|(_, all)| all);
    if !kind.is_empty() && known.is_none() {
        let all: Vec<&str> = KINDS.into_iter().map(|(_, all)| all).collect();
        return Err(invalid(format!("there is no kind {kind} in a document"), all.join(", ")));
    }
    if kind.is_empty() && !name.is_empty() {
        return Err(invalid("a name without its kind", "name the kind before it: weft get vs NAME"));
    }
    let wants = |all: &str| known.is_none_or(|known| known == all);
    let named = |one: &str| name.is_empty() || one == name;
    let mut rows: Vec<&ContainerRow> = world.containers.values().collect();
    rows.retain(|row| named(&row.name) && sight.as_mut().is_none_or(|sight| sight.container(row)));
    rows.sort_by_key(|row| natural(&row.name));
    let of = |level: Level| rows.iter().filter(move |row| row.level == level);
    let labels = |row: &ContainerRow| Some(row.labels.clone());
    let mut made = Manifest {
        datacenters: wants("datacenters").then(|| {
            let one = |row: &&ContainerRow| DatacenterSpec { name: row.name.clone(), labels: labels(row) };
            of(Level::Datacenter).map(one).collect()
        }),
        mainframes: wants("mainframes").then(|| {
            let one = |row: &&ContainerRow| MainframeSpec {
                name: row.name.clone(),
                datacenter: Some(container(world, &row.parent)),
                labels: labels(row),
            };
            of(Level::Mainframe).map(one).collect()
        }),
        frames: wants("frames").then(|| {
            let one = |row: &&ContainerRow| FrameSpec {
                name: row.name.clone(),
                mainframe: Some(container(world, &row.parent)),
                labels: labels(row),
            };
            of(Level::Frame).map(one).collect()
        }),
        ..Manifest::default()
    };
    if wants("nodes") {
        let nodes = world.nodes.values().map(|node| &node.row).filter(|row| row.approved && named(&row.name));
        let nodes = nodes.filter(|row| sight.as_mut().is_none_or(|sight| sight.node(row)));
        let mut nodes: Vec<NodeSpec> = nodes
            .map(|row| NodeSpec {
                name: row.name.clone(),
                frame: Some(container(world, &row.frame)),
                labels: Some(row.labels.clone()),
            })
            .collect();
        nodes.sort_by_key(|one| natural(&one.name));
        made.nodes = Some(nodes);
    }
    if wants("partitions") {
        let rows = world.partitions.values().map(|entry| &entry.row).filter(|row| named(&row.name));
        let rows = rows.filter(|row| sight.as_mut().is_none_or(|sight| sight.partition(row)));
        let mut partitions: Vec<PartitionSpec> = rows
            .map(|row| PartitionSpec {
                name: row.name.clone(),
                nodes: Some(row.members.iter().map(|id| name_of(world, id)).collect()),
            })
            .collect();
        partitions.sort_by_key(|one| natural(&one.name));
        made.partitions = Some(partitions);
    }
    if wants("templates") {
        let rows = world.templates.values().filter(|row| named(&row.name));
        let rows = rows.filter(|row| sight.as_mut().is_none_or(|sight| sight.template(row)));
        let mut templates: Vec<TemplateSpec> = rows.map(|row| template(world, row)).collect();
        templates.sort_by_key(|one| natural(&one.name));
        made.templates = Some(templates);
    }
    if wants("vs") {
        let rows = world.servers.values().map(|entry| &entry.row).filter(|row| named(&row.name));
        let rows = rows.filter(|row| sight.as_mut().is_none_or(|sight| sight.vs(row)));
        let mut servers: Vec<VsManifest> = rows.map(|row| vs(world, row)).collect();
        servers.sort_by_key(|one| natural(&one.name));
        made.vs = Some(servers);
    }
    super::networks::export(world, &mut sight, (wants, name), &mut made);
    if !name.is_empty() && made.objects() == 0 {
        let kind = KINDS.into_iter().find(|(_, all)| Some(*all) == known).map_or(kind, |(one, _)| one);
        return Err(Error::not_found("not-found", kind, name, "weft get"));
    }
    Ok(made)
}
