//! Virtual servers that span nodes: which node gives what, and how the whole stands.
//!
//! Memory is shared out in proportion to what each member has free, processors in proportion to those not
//! given to other servers. Where these do not suffice, processors are given twice ([`OVERCOMMIT`]): nodes give their slots
//! to servers in turn, at the same time on all nodes of a server. A share of memory below [`LEAST_MIB`] is not worth a
//! node. The first place has a processor, because the guest boots there.

use weft_api::VsPlace;
use weft_store::{PlaceRow, VsRow};
use weft_types::{BlobDigest, NodeId, PartitionId, VsId};
use weft_wire::agent::{VsState, VsStatus};
use weft_wire::cluster::{LinkKey, Place, SpanSpec};
use weft_wire::record::{BlobRef, Desired, VsSpec};

use crate::affinity::numbers;
use crate::guest_settings::command_line;
use crate::partitions::{PartitionEntry, link, name_of};
use crate::servers::free_mib;
use crate::util::{mac_bytes, unhex};
use crate::world::{VsEntry, World};

/// Virtual processors of spanning servers for each of a node's processors, at most.
pub(crate) const OVERCOMMIT: u16 = 2;
/// Least memory of one place, MiB.
const LEAST_MIB: u64 = 64;
/// Left to each member's monitor for the tables of a spanning guest, MiB.
const RESERVE_MIB: u64 = 32;

/// What a member could give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) node: String,
    /// Its processors.
    pub(crate) cpus: u16,
    /// Virtual processors of spanning servers that have them.
    pub(crate) given: u16,
    pub(crate) free_mib: u64,
}

/// Shares `total` out in proportion to `weights`, none above its weight. `None` if they do not suffice.
fn share_out(total: u64, weights: &[u64]) -> Option<Vec<u64>> {
    let sum: u64 = weights.iter().sum();
    if sum < total {
        return None;
    }
    if sum == 0 {
        return Some(vec![0; weights.len()]);
    }
    let portion = |weight: &u64| u128::from(total) * u128::from(*weight) / u128::from(sum);
    let mut shares: Vec<u64> = weights.iter().map(|w| u64::try_from(portion(w)).unwrap_or(0)).collect();
    let mut left = total.saturating_sub(shares.iter().sum());
    // What rounding left over goes to those with most room, one at a time; there are fewer than members.
    while left > 0 {
        let room = |index: usize| weights.get(index).zip(shares.get(index)).map_or(0, |(w, s)| w - s);
        let most = (0..weights.len()).max_by_key(|index| (room(*index), usize::MAX - index))?;
        *shares.get_mut(most)? += 1;
        left -= 1;
    }
    Some(shares)
}

/// Which member gives what. `Err`: what is missing, for a person.
pub(crate) fn places(rooms: &[Room], vcpus: u16, memory_mib: u32) -> Result<Vec<PlaceRow>, String> {
    let free: Vec<u64> = rooms.iter().map(|room| room.free_mib).collect();
    let spare = |times: u16| -> Vec<u64> {
        let of = |room: &Room| room.cpus.saturating_mul(times).saturating_sub(room.given);
        rooms.iter().map(|room| u64::from(of(room))).collect()
    };
    let free_cpus = spare(1);
    let enough = free_cpus.iter().sum::<u64>() >= u64::from(vcpus);
    let cpus = if enough { free_cpus } else { spare(OVERCOMMIT) };
    let mut memory = share_out(u64::from(memory_mib), &free).ok_or_else(|| {
        format!("its members have {} MiB free together, {memory_mib} are asked", free.iter().sum::<u64>())
    })?;
    let mut processors = share_out(u64::from(vcpus), &cpus).ok_or_else(|| {
        let has: u64 = rooms.iter().map(|room| u64::from(room.cpus)).sum();
        format!(
            "its members have {has} processors together, room for {} more virtual ones at {OVERCOMMIT} each, and {vcpus} are \
             asked",
            cpus.iter().sum::<u64>()
        )
    })?;
    // Every member that can gives a processor before one gives a second.
    for index in 0..rooms.len() {
        let (idle, able) = (processors.get(index) == Some(&0), cpus.get(index).is_some_and(|cpus| *cpus > 0));
        let richest = (0..rooms.len()).max_by_key(|at| processors.get(*at).copied().unwrap_or(0));
        let Some(richest) = richest.filter(|_| idle && able) else { continue };
        if processors.get(richest).is_some_and(|most| *most > 1) {
            if let Some(most) = processors.get_mut(richest) {
                *most -= 1;
            }
            if let Some(own) = processors.get_mut(index) {
                *own += 1;
            }
        }
    }
    // Small shares move to the member with most room.
    for index in 0..rooms.len() {
        let small = memory.get(index).copied().filter(|mib| *mib > 0 && *mib < LEAST_MIB);
        let room = |at: usize| free.get(at).zip(memory.get(at)).map_or(0, |(free, given)| free - given);
        let target = (0..rooms.len()).filter(|at| *at != index).max_by_key(|at| room(*at));
        if let (Some(mib), Some(target)) = (small, target)
            && room(target) >= mib
        {
            if let Some(own) = memory.get_mut(index) {
                *own = 0;
            }
            if let Some(other) = memory.get_mut(target) {
                *other += mib;
            }
        }
    }
    let mut places: Vec<PlaceRow> = rooms
        .iter()
        .zip(processors.iter().zip(&memory))
        .filter(|(_, (vcpus, memory))| **vcpus > 0 || **memory > 0)
        .map(|(room, (vcpus, memory))| PlaceRow {
            node: room.node.clone(),
            vcpus: u16::try_from(*vcpus).unwrap_or(u16::MAX),
            memory_mib: u32::try_from(*memory).unwrap_or(u32::MAX),
        })
        .collect();
    // The guest boots on the first.
    places.sort_by_key(|place| place.vcpus == 0);
    Ok(places)
}

/// What the members of a partition could give to a new server.
pub(crate) fn rooms(world: &World, partition: &PartitionEntry) -> Vec<Room> {
    let members = partition.row.members.iter().filter_map(|id| world.nodes.get(id));
    members
        .map(|node| {
            let has = node.report.as_ref().map_or(0, |report| report.inventory.cpus);
            // Ordinary servers take what slots these leave.
            let given: u16 = world
                .servers
                .values()
                .flat_map(|vs| &vs.row.places)
                .filter(|place| place.node == node.row.id)
                .fold(0, |sum, place| sum.saturating_add(place.vcpus));
            Room {
                node: node.row.id.clone(),
                cpus: has,
                given,
                free_mib: free_mib(world, node).saturating_sub(RESERVE_MIB),
            }
        })
        .collect()
}

/// A spanning server as its members are told. `None` where the row cannot be meant.
pub(crate) fn span_spec(world: &World, row: &VsRow) -> Option<VsSpec> {
    let places: Option<Vec<Place>> = row
        .places
        .iter()
        .map(|place| {
            let (mac, address) = link(world.nodes.get(&place.node)?)?;
            let node = NodeId(unhex(&place.node)?);
            Some(Place { node, mac, address, vcpus: place.vcpus, memory_mib: place.memory_mib })
        })
        .collect();
    // Before the first start there is no key, and nothing runs.
    let key = if row.link_key.is_empty() { [0; 32] } else { unhex(&row.link_key)? };
    Some(VsSpec {
        span: Some(SpanSpec {
            partition: PartitionId(unhex(&row.partition)?),
            epoch: row.instance,
            key: LinkKey(key),
            pinned: row.pinned,
            places: places?,
        }),
        ..spec(row)?
    })
}

/// A server as its node is told.
pub(crate) fn spec(row: &VsRow) -> Option<VsSpec> {
    let row = &row.in_force();
    let blob = |digest: &str, size| Some(BlobRef { digest: BlobDigest(unhex(digest)?), size });
    Some(VsSpec {
        id: VsId(unhex(&row.id)?),
        name: row.name.clone(),
        generation: row.generation,
        instance: row.instance,
        desired: if row.running { Desired::Running } else { Desired::Stopped },
        vcpus: row.vcpus,
        memory_mib: row.memory_mib,
        kernel: blob(&row.kernel, row.kernel_size)?,
        initrd: if row.initrd.is_empty() { None } else { blob(&row.initrd, row.initrd_size) },
        append: command_line(row),
        macs: row.macs.iter().filter_map(|mac| mac_bytes(mac)).collect(),
        affinity: numbers(row),
        span: None,
    })
}

/// Whether a node has a part of a server.
pub(crate) fn lies_on(row: &VsRow, node: &str) -> bool {
    if row.partition.is_empty() {
        row.node == node
    } else {
        row.places.iter().any(|place| place.node == node)
    }
}

/// Nodes that have a part of a server.
pub(crate) fn nodes_of(row: &VsRow) -> impl Iterator<Item = &String> {
    let alone = row.partition.is_empty().then_some(&row.node);
    let spanned = if row.partition.is_empty() { &[] } else { row.places.as_slice() };
    alone.into_iter().chain(spanned.iter().map(|place| &place.node))
}

/// How the whole stands, from what each node said of its part: it runs when all parts run, and has failed when
/// one has.
pub(crate) fn whole(world: &World, entry: &VsEntry) -> Option<VsStatus> {
    let row = &entry.row;
    let parts: Vec<(&str, Option<&VsStatus>)> = row
        .places
        .iter()
        .map(|place| {
            let part = entry.parts.get(&place.node).filter(|part| part.instance == row.instance);
            (place.node.as_str(), part)
        })
        .collect();
    let of = |state: VsState| move |part: &&VsStatus| part.state == state;
    let said = || parts.iter().filter_map(|(_, part)| *part);
    let failed = parts.iter().find(|(_, part)| part.is_some_and(|part| part.state == VsState::Failed));
    let all = |state: VsState| parts.iter().all(|(_, part)| part.is_some_and(|part| part.state == state));
    let (state, reason) = if let Some((node, Some(part))) = failed {
        (VsState::Failed, format!("{}: {}", name_of(world, node), part.reason))
    } else if said().any(|part| part.state == VsState::Off) {
        (VsState::Off, String::new())
    } else if all(VsState::Running) {
        (VsState::Running, String::new())
    } else if said().any(|part| of(VsState::Fetching)(&part) || of(VsState::Running)(&part)) {
        // It stops where some parts have stopped and it is not wanted; it starts otherwise.
        (if row.running { VsState::Fetching } else { VsState::Running }, String::new())
    } else if said().next().is_some() {
        (VsState::Stopped, String::new())
    } else {
        return None;
    };
    let first = said().next()?;
    Some(VsStatus { state, reason, exits: said().map(|part| part.exits).sum(), ..first.clone() })
}

/// The parts as the interface shows them.
pub(crate) fn show_places(world: &World, entry: &VsEntry) -> Vec<VsPlace> {
    let mut first_vcpu = 0u16;
    let show = |place: &PlaceRow| {
        let part = entry.parts.get(&place.node).filter(|part| part.instance == entry.row.instance);
        let here = world.nodes.get(&place.node).is_some_and(|node| node.live.is_some());
        let shown = VsPlace {
            node: name_of(world, &place.node),
            first_vcpu,
            vcpus: place.vcpus,
            memory_mib: place.memory_mib,
            state: match part.map(|part| part.state) {
                _ if !here => "unknown",
                None | Some(VsState::Stopped) => "stopped",
                Some(VsState::Fetching) => "fetching",
                Some(VsState::Running) => "running",
                Some(VsState::Off) => "off",
                Some(VsState::Failed) => "failed",
            }
            .to_string(),
            reason: part.map(|part| part.reason.clone()).unwrap_or_default(),
        };
        first_vcpu = first_vcpu.saturating_add(place.vcpus);
        shown
    };
    entry.row.places.iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str, cpus: u16, free_mib: u64) -> Room {
        Room { node: name.to_string(), cpus, given: 0, free_mib }
    }

    fn told(places: &[PlaceRow]) -> Vec<(String, u16, u32)> {
        places.iter().map(|place| (place.node.clone(), place.vcpus, place.memory_mib)).collect()
    }

    #[test]
    fn equal_nodes_give_equal_shares() {
        let given = places(&[room("a", 2, 1900), room("b", 2, 1900)], 4, 3072).unwrap();
        assert_eq!(told(&given), [("a".to_string(), 2, 1536), ("b".to_string(), 2, 1536)]);
    }

    #[test]
    fn shares_follow_what_is_free_and_add_up() {
        let given = places(&[room("a", 1, 900), room("b", 3, 2700)], 4, 1001).unwrap();
        assert_eq!(given.iter().map(|place| place.memory_mib).sum::<u32>(), 1001);
        assert_eq!(given.iter().map(|place| place.vcpus).collect::<Vec<_>>(), [1, 3]);
        assert!(given[0].memory_mib < given[1].memory_mib);
    }

    #[test]
    fn each_node_gives_a_processor_before_one_gives_two() {
        let given = places(&[room("a", 8, 1000), room("b", 1, 1000)], 2, 512).unwrap();
        assert_eq!(given.iter().map(|place| place.vcpus).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn a_node_without_processors_gives_memory_and_comes_last() {
        let given = places(&[room("a", 0, 1000), room("b", 2, 1000)], 2, 1600).unwrap();
        assert_eq!(told(&given), [("b".to_string(), 2, 800), ("a".to_string(), 0, 800)]);
    }

    #[test]
    fn a_share_that_is_too_small_moves_to_another_node() {
        let given = places(&[room("a", 1, 2000), room("b", 1, 50)], 1, 1000).unwrap();
        assert_eq!(told(&given), [("a".to_string(), 1, 1000)]);
    }

    #[test]
    fn too_much_is_refused_with_what_there_is() {
        let rooms = [room("a", 2, 1000), room("b", 2, 1000)];
        assert!(places(&rooms, 2, 2001).unwrap_err().contains("2000 MiB free together"));
        let words = places(&rooms, 9, 100).unwrap_err();
        assert!(words.contains("4 processors together, room for 8 more virtual ones at 2 each"), "{words}");
    }

    #[test]
    fn processors_are_given_twice_where_they_do_not_suffice_and_not_before() {
        let given = |given| [Room { given, ..room("a", 2, 1000) }, room("b", 2, 1000)];
        let vcpus = |rooms: &[Room], vcpus| -> Vec<u16> {
            places(rooms, vcpus, 200).unwrap().iter().map(|place| place.vcpus).collect()
        };
        assert_eq!(vcpus(&given(1), 3), [1, 2], "one each while there are such");
        assert_eq!(vcpus(&given(1), 4), [2, 2]);
        assert_eq!(vcpus(&given(4), 4), [4, 0], "the one that has nothing left gives memory");
        assert!(places(&given(4), 5, 200).is_err());
    }
}
