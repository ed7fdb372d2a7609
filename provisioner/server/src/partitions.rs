//! Partitions: which nodes agree with one another, and the configuration that is given to them.
//!
//! ```text
//! create ─▶ row, key, signed configuration ─▶ members ─▶ founding once a majority is here ─▶ agreed
//! change of a spanning server ─▶ new configuration ─▶ members, any one of which would do
//! ```
//! The appliance names a configuration; the members agree on it by themselves ([`crate::cluster`] is what it
//! says to them beside that). The members of a partition stay the same for its life.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weft_api::{Partition, PartitionCreate, PartitionMember, Plan};
use weft_format::cluster::encode_unsigned_cluster;
use weft_format::record::with_signature;
use weft_membership::Founder;
use weft_store::{NewEvent, PartitionRow, VsRow};
use weft_types::{ConfigNumber, NodeId, PartitionId};
use weft_wire::cluster::{
    CLUSTER_VERSION, ClusterConfig, ClusterEnvelope, ClusterPayload, ClusterReport, LinkKey, MAX_MEMBERS,
    Member, PartitionSpec,
};

use crate::core::{Core, event};
use crate::error::Error;
use crate::moves::check_together;
use crate::spanning::span_spec;
use crate::transactions::{Change, Draft, Kind};
use crate::util::{hex, mac_bytes, random, unhex};
use crate::world::{Ask, Lookup, NodeEntry, World};

/// A report older than this says nothing about now.
const FRESH: Duration = Duration::from_secs(8);

/// A partition: its row and what its members last said.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionEntry {
    pub(crate) row: PartitionRow,
    pub(crate) founder: Founder,
    /// By node id.
    pub(crate) reports: BTreeMap<String, (ClusterReport, Instant)>,
}

impl PartitionEntry {
    pub(crate) fn from_row(row: PartitionRow) -> Self {
        let founder = bytes_of(&row.founder).and_then(|bytes| postcard::from_bytes(&bytes).ok());
        Self { founder: founder.unwrap_or_default(), row, reports: BTreeMap::new() }
    }

    /// What a member said, if it is from now and from a node that is here.
    pub(crate) fn report(&self, world: &World, id: &str) -> Option<&ClusterReport> {
        let here = world.nodes.get(id).is_some_and(|node| node.live.is_some());
        self.reports.get(id).filter(|(_, at)| here && at.elapsed() < FRESH).map(|(report, _)| report)
    }
}

/// Bytes of any number from hexadecimal of our own making.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The NIC that reaches the others: MAC and address.
pub(crate) fn link(node: &NodeEntry) -> Option<([u8; 6], [u8; 4])> {
    let nics = node.report.as_ref().map(|report| report.inventory.nics.as_slice()).unwrap_or_default();
    let address: Option<std::net::Ipv4Addr> = node.row.address.parse().ok();
    let nic = nics.iter().find(|nic| nic.address != [0; 4]).or_else(|| nics.first());
    let mac = nic.map(|nic| nic.mac).or_else(|| mac_bytes(&node.row.mac))?;
    let reported = nic.map(|nic| nic.address).filter(|bytes| *bytes != [0; 4]);
    Some((mac, reported.or(address.map(|ip| ip.octets())).unwrap_or([0; 4])))
}

fn member(node: &NodeEntry) -> Option<Member> {
    let (mac, address) = link(node)?;
    let inventory = node.report.as_ref().map(|report| &report.inventory);
    Some(Member {
        node: NodeId(unhex(&node.row.id)?),
        mac,
        address,
        cpus: inventory.map_or(0, |inventory| inventory.cpus),
        memory_mib: inventory
            .map_or(0, |inventory| u32::try_from(inventory.memory_kib / 1024).unwrap_or(u32::MAX)),
    })
}

/// All that a partition's members are to agree on, with these servers.
fn cluster_config<'a>(
    world: &World,
    row: &PartitionRow,
    servers: impl Iterator<Item = &'a VsRow>,
) -> Option<ClusterConfig> {
    let members: Option<Vec<Member>> =
        row.members.iter().map(|id| world.nodes.get(id).and_then(member)).collect();
    let servers: Option<Vec<_>> = servers.map(|vs| span_spec(world, vs)).collect();
    Some(ClusterConfig {
        partition: PartitionSpec {
            id: PartitionId(unhex(&row.id)?),
            name: row.name.clone(),
            members: members?,
            key: LinkKey(unhex(&row.key)?),
        },
        servers: servers?,
    })
}

fn partition_event(name: &str, state: &str, text: impl Into<String>) -> NewEvent {
    event(name, state, text)
}

impl Core {
    /// What is signed for the members of a partition, without its signature.
    fn unsigned_cluster(
        &self,
        id: &str,
        number: (u64, u64),
        payload: &ClusterPayload,
    ) -> Result<Vec<u8>, Error> {
        let broken = || Error::refused(500, "internal", "a partition's identity is damaged", "see the log");
        let envelope = ClusterEnvelope {
            version: CLUSTER_VERSION,
            key_id: self.keys.record_key_id().0,
            cluster: self.cluster,
            partition: PartitionId(unhex(id).ok_or_else(broken)?),
            epoch: number.0,
            counter: number.1,
        };
        encode_unsigned_cluster(&envelope, payload).map_err(|error| {
            Error::refused(
                409,
                "record-too-large",
                format!("the partition's configuration does not fit into a record: {error}"),
                "shorten --append, or delete a server of the partition",
            )
        })
    }

    /// Signs something for the members of a partition.
    pub(crate) async fn sign_cluster(
        &self,
        id: &str,
        payload: &ClusterPayload,
    ) -> Result<((u64, u64), Vec<u8>), Error> {
        let number = self.store.next_record(&format!("partition-{id}")).await?;
        let number = match payload {
            // Operators' amendments lie between two of them.
            ClusterPayload::Config(_) => ConfigNumber::of_appliance(number.epoch, number.counter)
                .map(|number| (number.epoch, number.counter))
                .ok_or_else(|| {
                    Error::refused(
                        409,
                        "records-used-up",
                        "this partition has had all the configurations that it can have",
                        "delete its servers and the partition, and create it anew",
                    )
                })?,
            ClusterPayload::Founding(_) | ClusterPayload::Vote(_) | ClusterPayload::Dissolved => {
                (number.epoch, number.counter)
            }
        };
        let unsigned = self.unsigned_cluster(id, number, payload)?;
        let signature = self.keys.sign_record(&unsigned);
        Ok((number, with_signature(unsigned, &signature)))
    }

    /// The configuration of a partition with these servers changed and those deleted, if it can be told to members.
    pub(crate) fn checked_config(
        &self,
        row: &PartitionRow,
        changed: &[VsRow],
        deleted: &[String],
    ) -> Result<ClusterPayload, Error> {
        let config = {
            let world = self.world();
            let kept = world.servers.values().map(|vs| &vs.row).filter(|vs| {
                vs.partition == row.id
                    && !deleted.contains(&vs.id)
                    && changed.iter().all(|changed| changed.id != vs.id)
            });
            cluster_config(&world, row, kept.chain(changed))
        };
        let config = config.ok_or_else(|| {
            Error::refused(
                409,
                "member-unknown",
                format!("what a member of {} has is not known", row.name),
                "each member must have been connected once: weft node list",
            )
        })?;
        config.check().map_err(|error| {
            Error::refused(422, "invalid", error.to_string(), "see weft partition show, weft vs show")
        })?;
        let payload = ClusterPayload::Config(config);
        // Under the longest numbers there are.
        self.unsigned_cluster(&row.id, (u64::MAX, u64::MAX), &payload)?;
        Ok(payload)
    }

    /// A new configuration of a partition, with these changes to its servers: its row, signed, not yet stored.
    pub(crate) async fn next_config(
        &self,
        row: &PartitionRow,
        changed: &[VsRow],
        deleted: &[String],
    ) -> Result<PartitionRow, Error> {
        let payload = self.checked_config(row, changed, deleted)?;
        let (number, record) = self.sign_cluster(&row.id, &payload).await?;
        Ok(PartitionRow { number, record: hex(&record), ..row.clone() })
    }

    /// Creates a partition: the plan, and the partition where it is made.
    pub(crate) async fn partition_create(
        &self,
        actor: &str,
        wanted: PartitionCreate,
        dry: bool,
    ) -> Result<(Plan, Option<Partition>), Error> {
        let _change = self.change.lock().await;
        let sketch = self.sketch();
        let (change, told) = self.decide_partition(&sketch, actor, &wanted)?;
        let plan = self.carry_out(actor, Draft::new(Kind::PartitionCreate, vec![change], told), dry).await?;
        let world = self.world();
        let made = world.partitions.values().find(|entry| entry.row.name == wanted.name && !dry);
        Ok((plan, made.map(|entry| show(&world, entry))))
    }

    /// A new partition as it would be in this world.
    pub(crate) fn decide_partition(
        &self,
        world: &World,
        actor: &str,
        wanted: &PartitionCreate,
    ) -> Result<(Change, NewEvent), Error> {
        check(world, wanted)?;
        let mut members = Vec::new();
        for name in &wanted.nodes {
            let id = free_node(world, name)?;
            if members.contains(&id) {
                return Err(Error::refused(422, "invalid", format!("{name} is named twice"), "name it once"));
            }
            members.push(id);
        }
        check_together(world, &members)?;
        let row = PartitionRow {
            id: hex(&random::<16>()),
            name: wanted.name.clone(),
            members,
            key: hex(&random::<32>()),
            ..PartitionRow::default()
        };
        self.checked_config(&row, &[], &[])?;
        let nodes = self.names(&row.members);
        let told = NewEvent {
            actor: actor.to_string(),
            ..partition_event("partition.created", "info", format!("{} of {}", row.name, nodes.join(", ")))
        };
        Ok((Change::Partition { before: None, after: Some(row) }, told))
    }

    /// Deletes a partition that no server spans.
    pub(crate) async fn partition_delete(&self, actor: &str, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let decided = self.decide_partition_delete(&self.sketch(), actor, name)?;
        self.carry_out(actor, Draft::of(Kind::PartitionDelete, [decided]), dry).await
    }

    /// A partition that is deleted in this world.
    pub(crate) fn decide_partition_delete(
        &self,
        world: &World,
        actor: &str,
        name: &str,
    ) -> Result<(Change, NewEvent), Error> {
        let row = world.partition(name).map_err(|lookup| no_partition(lookup, name))?.row.clone();
        check_unspanned(world, &row)?;
        let told = NewEvent {
            actor: actor.to_string(),
            ..partition_event("partition.deleted", "info", format!("{} is dissolved", row.name))
        };
        Ok((Change::Partition { before: Some(row), after: None }, told))
    }

    pub(crate) fn find_partition(&self, name: &str) -> Result<PartitionEntry, Error> {
        self.world().partition(name).cloned().map_err(|lookup| no_partition(lookup, name))
    }

    /// Gives a partition's configuration to all members that are here. One would do.
    pub(crate) fn push_partition(&self, row: &PartitionRow) {
        let Some(record) = bytes_of(&row.record) else { return };
        for id in &row.members {
            self.send_cluster(id, record.clone());
        }
    }

    /// Says something signed to a node, if it is here and its line has room. What is missed is said again when
    /// it reports.
    pub(crate) fn send_cluster(&self, id: &str, record: Vec<u8>) {
        let world = self.world();
        let node = world.nodes.get(id).filter(|node| node.trusted_with_records() && !node.hold.holds());
        let held = || {
            let of =
                world.partitions.values().find(|entry| entry.row.members.iter().any(|member| member == id));
            of.is_some_and(|entry| world.partition_held(&entry.row.members))
        };
        let node = node.filter(|_| !held());
        if let Some(live) = node.and_then(|node| node.live.as_ref()) {
            let message = weft_wire::agent::ToNode::Cluster(record);
            let _ = live.asks.try_send(Ask::Send(message));
        }
    }

    fn names(&self, ids: &[String]) -> Vec<String> {
        let world = self.world();
        ids.iter().map(|id| name_of(&world, id)).collect()
    }
}

fn no_partition(lookup: Lookup, name: &str) -> Error {
    match lookup {
        Lookup::Missing => Error::not_found("partition-not-found", "partition", name, "weft partition list"),
        Lookup::Ambiguous => Error::ambiguous("partition", name),
    }
}

/// Refuses where a server of this world spans the partition.
pub(crate) fn check_unspanned(world: &World, row: &PartitionRow) -> Result<(), Error> {
    match world.servers.values().find(|vs| vs.row.partition == row.id) {
        Some(vs) => Err(Error::refused(
            409,
            "partition-in-use",
            format!("{} spans {}", vs.row.name, row.name),
            format!("delete it first: weft vs delete {}", vs.row.name),
        )),
        None => Ok(()),
    }
}

pub(crate) fn name_of(world: &World, id: &str) -> String {
    world.nodes.get(id).map_or_else(|| id.to_string(), |node| node.row.name.clone())
}

fn check(world: &World, wanted: &PartitionCreate) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if wanted.name.is_empty() || wanted.name.len() > 63 || !wanted.name.chars().all(good) {
        return Err(Error::refused(
            422,
            "invalid",
            "the name has characters or a length that it may not",
            "1 to 63 letters, digits, -",
        ));
    }
    if wanted.nodes.is_empty() || wanted.nodes.len() > MAX_MEMBERS {
        return Err(Error::refused(
            422,
            "invalid",
            format!("{} nodes", wanted.nodes.len()),
            format!("1 to {MAX_MEMBERS}: weft partition create NAME --nodes node-1,node-2"),
        ));
    }
    if world.partitions.values().any(|entry| entry.row.name == wanted.name) {
        return Err(Error::refused(
            409,
            "taken",
            format!("there is a partition {}", wanted.name),
            "choose another name",
        ));
    }
    Ok(())
}

/// An approved node that is in no partition, has been connected, and has a NIC.
pub(crate) fn free_node(world: &World, name: &str) -> Result<String, Error> {
    let node = world.node(name).map_err(|lookup| match lookup {
        Lookup::Missing => Error::not_found("node-not-found", "node", name, "weft node list"),
        Lookup::Ambiguous => Error::ambiguous("node", name),
    })?;
    if !node.trusted_with_records() {
        return Err(Error::refused(
            409,
            "node-not-approved",
            format!("{} is {}", node.row.name, node.state()),
            format!("approve it first: weft node approve {}", node.row.name),
        ));
    }
    if let Some(other) = world.partitions.values().find(|entry| entry.row.members.contains(&node.row.id)) {
        return Err(Error::refused(
            409,
            "node-in-partition",
            format!("{} is a member of {}", node.row.name, other.row.name),
            "a node is in one partition; choose another node",
        ));
    }
    if node.report.is_none() || link(node).is_none() {
        return Err(Error::refused(
            409,
            "node-unknown",
            format!("what {} has is not known", node.row.name),
            "it must have been connected once: weft doctor",
        ));
    }
    Ok(node.row.id.clone())
}

fn number((epoch, counter): (u64, u64)) -> String {
    if counter == 0 { String::new() } else { ConfigNumber { epoch, counter }.to_string() }
}

/// As the interface shows it.
pub(crate) fn show(world: &World, entry: &PartitionEntry) -> Partition {
    let row = &entry.row;
    let reports: Vec<(&String, Option<&ClusterReport>)> =
        row.members.iter().map(|id| (id, entry.report(world, id))).collect();
    // The view of the newest epoch that a majority stands behind.
    let heard = || reports.iter().filter_map(|(_, report)| *report);
    let newest = heard().filter(|report| report.agreed && report.majority).max_by_key(|report| report.epoch);
    let in_view =
        |id: &str| newest.is_none_or(|view| unhex(id).is_some_and(|id| view.members.contains(&NodeId(id))));
    let members: Vec<PartitionMember> = reports
        .iter()
        .map(|(id, report)| PartitionMember {
            node: name_of(world, id),
            state: match report {
                None if newest.is_some() && !in_view(id) => "lost",
                None => "unknown",
                Some(report) if report.agreed && !report.majority => "minority",
                Some(report) if report.agreed => "agreed",
                Some(_) => "joining",
            }
            .to_string(),
            epoch: report.map_or(0, |report| report.epoch.0),
            configuration: report.map_or(String::new(), |report| number(report.record)),
            lease_ms: report.map_or(0, |report| report.lease_ms),
        })
        .collect();
    let all = |state: &str| members.iter().all(|member| member.state == state);
    let state = match newest {
        Some(view) if all("agreed") && view.members.len() == members.len() => "whole",
        Some(_) => "degraded",
        None if members.iter().any(|member| member.state == "minority") => "minority",
        None if all("unknown") && entry.founder.generation() > 0 => "unknown",
        None => "forming",
    };
    let coordinator = newest.and_then(|view| view.members.first());
    Partition {
        name: row.name.clone(),
        state: state.to_string(),
        id: row.id.clone(),
        epoch: newest.map_or(0, |view| view.epoch.0),
        coordinator: coordinator.map_or(String::new(), |id| name_of(world, &id.to_string())),
        configuration: number(row.number),
        agreed: newest.map_or(String::new(), |view| number(view.record)),
        members,
        servers: world
            .servers
            .values()
            .filter(|vs| vs.row.partition == row.id)
            .map(|vs| vs.row.name.clone())
            .collect(),
    }
}
