//! What differs between what nodes said and what is wanted of them. Pure: it looks at the world and changes nothing.

use std::collections::BTreeMap;

use weft_types::ConfigNumber;
use weft_wire::agent::{VsState, VsStatus};

use super::hold::{Hold, lives};
use super::{node_name, short};
use crate::boot_files::image_words;
use crate::core::Core;
use crate::nodes::fingerprint;
use crate::partitions::PartitionEntry;
use crate::util::hex;
use crate::world::{NodeEntry, VsEntry, World};

/// Both answers.
const BOTH: &[&str] = &["accept", "enforce"];
/// What is made so, or left.
const ENFORCE: &[&str] = &["enforce"];

/// One difference, as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) kind: &'static str,
    pub(super) state: &'static str,
    /// Node that says so: its name and its id.
    pub(super) node: String,
    pub(super) node_id: String,
    /// Server: its name, where it has one here, and its id.
    pub(super) vs: String,
    pub(super) vs_id: String,
    pub(super) partition: String,
    pub(super) wanted: String,
    pub(super) seen: String,
    pub(super) does: String,
    pub(super) next: String,
    pub(super) answers: &'static [&'static str],
    /// It is told at once, not only where it lasts.
    pub(super) urgent: bool,
}

fn word(state: VsState) -> &'static str {
    match state {
        VsState::Stopped => "stopped",
        VsState::Fetching => "starting",
        VsState::Running => "running",
        VsState::Off => "switched off by its guest",
        VsState::Failed => "failed",
    }
}

fn seen(status: &VsStatus) -> String {
    let why = if status.reason.is_empty() { String::new() } else { format!(" ({})", status.reason) };
    format!("{}{why}", word(status.state))
}

/// A node that is heard and may have servers, once it has said what it has.
fn speaks(node: &&NodeEntry) -> bool {
    node.live.is_some() && node.trusted_with_records() && !matches!(node.hold, Hold::Listening { .. })
}

/// Everything, by name.
pub(super) fn all(core: &Core, world: &World) -> BTreeMap<String, Found> {
    let mut found: BTreeMap<String, Found> =
        world.servers.values().flat_map(|entry| of_server(world, entry)).collect();
    for node in world.nodes.values().filter(|node| node.live.is_some()) {
        found.extend(of_node(core, world, node));
    }
    found.extend(world.partitions.values().filter_map(|entry| of_partition(world, entry)));
    found
}

/// Whether its node is heard, or is no more.
pub(super) fn heard(world: &World, found: &Found) -> bool {
    world.nodes.get(&found.node_id).is_none_or(|node| node.live.is_some())
}

/// Whether what is not found any more is over: its node has said what it has, and has taken what it was sent.
pub(super) fn over(world: &World, found: &Found) -> bool {
    let Some(node) = world.nodes.get(&found.node_id) else { return true };
    match found.kind {
        "approval" => node.row.approved || node.knew.0 == 0,
        "image" | "partition" => node.hold == Hold::No,
        _ => node.hold == Hold::No && (node.taken.all() || !node.trusted_with_records()),
    }
}

/// What differs about one server.
pub(super) fn of_server(world: &World, entry: &VsEntry) -> Option<(String, Found)> {
    let row = &entry.row;
    let node = world.nodes.get(&row.node).filter(speaks)?;
    let wanted = if row.running { "running" } else { "stopped" };
    let base = Found {
        kind: "state",
        node: node.row.name.clone(),
        node_id: node.row.id.clone(),
        vs: row.name.clone(),
        vs_id: row.id.clone(),
        partition: world
            .partitions
            .get(&row.partition)
            .map(|entry| entry.row.name.clone())
            .unwrap_or_default(),
        wanted: wanted.to_string(),
        seen: entry.status.as_ref().map_or_else(|| "nothing of it".to_string(), seen),
        answers: BOTH,
        ..Found::default()
    };
    let held = node.hold != Hold::No;
    let (fresh, taken) = (node.taken.nothing(), node.taken.all());
    let open = if held { "held" } else { "open" };
    let waits = || {
        if held {
            format!("nothing: {} is told nothing until this is answered, and its guests go on", node.row.name)
        } else {
            "nothing: a node keeps what it knows of a later start".to_string()
        }
    };
    let answer = |name: &str, accepted: &str, enforced: &str| {
        format!("{accepted}: weft drift accept {name}; {enforced}: weft drift enforce {name}")
    };
    if let Some(status) = &entry.ahead {
        let name = format!("{}.instance", row.name);
        return Some((
            name.clone(),
            Found {
                kind: "instance",
                state: open,
                wanted: format!("{wanted}, start {}", row.instance),
                seen: format!("{}, start {}", seen(status), status.instance),
                does: waits(),
                next: answer(&name, "to go on with what runs", "to have it as it is wanted, afresh"),
                urgent: true,
                ..base
            },
        ));
    }
    let status = entry.status.as_ref();
    let live = status.is_some_and(lives);
    let of_this = status.filter(|status| status.instance == row.instance);
    let name = format!("{}.state", row.name);
    if let Some(status) =
        status.filter(|status| status.generation > row.generation && row.partition.is_empty())
    {
        let name = format!("{}.generation", row.name);
        return Some((
            name.clone(),
            Found {
                kind: "generation",
                state: open,
                wanted: format!("{wanted}, generation {}", row.generation),
                seen: format!("{}, generation {}", seen(status), status.generation),
                does: "nothing: a node keeps the later definition".to_string(),
                next: answer(&name, "to take its state over", "to have it as it is wanted"),
                urgent: true,
                ..base
            },
        ));
    }
    let settling = Found {
        state: "settling",
        does: format!("{} is sent what is wanted", node.row.name),
        next: format!("nothing; see weft vs show {}", row.name),
        answers: &[],
        urgent: true,
        ..base.clone()
    };
    let found = match (row.running, live) {
        (false, true) if held => Found {
            state: "held",
            does: waits(),
            next: answer(&name, "to let it run on", "to end it"),
            urgent: true,
            ..base
        },
        (false, true) if fresh => settling,
        (false, true) if taken => Found {
            state: "open",
            does: "nothing more: the node has taken its configuration".to_string(),
            next: answer(&name, "to let it run on", "to have it told again"),
            ..base
        },
        (true, false) if held => return None,
        (true, false) if fresh && status.is_some() && of_this.is_none_or(|s| s.state == VsState::Stopped) => {
            settling
        }
        (true, false) => {
            let ended = of_this.filter(|status| matches!(status.state, VsState::Off | VsState::Failed));
            // A guest that resets itself is started again by its node, after a while.
            if ended.is_none() && (!taken || of_this.is_some_and(|status| !status.reason.is_empty())) {
                return None;
            }
            let does = if ended.is_some() {
                "nothing: what ended by itself stays ended"
            } else {
                "nothing more: the node has taken its configuration"
            };
            Found {
                state: "open",
                does: does.to_string(),
                next: answer(&name, "to have it stopped", "to start it"),
                ..base
            }
        }
        (true, true) | (false, false) => {
            let status = status.filter(|status| status.generation < row.generation)?;
            if !fresh || held || !row.partition.is_empty() {
                return None;
            }
            let found = Found {
                kind: "generation",
                wanted: format!("{wanted}, generation {}", row.generation),
                seen: format!("{}, generation {}", seen(status), status.generation),
                ..settling
            };
            return Some((format!("{}.generation", row.name), found));
        }
        (false, true) => return None,
    };
    Some((name, found))
}

fn of_node(core: &Core, world: &World, node: &NodeEntry) -> Vec<(String, Found)> {
    let name = node.row.name.as_str();
    let base =
        Found { node: name.to_string(), node_id: node.row.id.clone(), state: "open", ..Found::default() };
    if !node.row.approved {
        let (epoch, counter) = node.knew;
        if epoch == 0 {
            return Vec::new();
        }
        return vec![(
            format!("{name}.approval"),
            Found {
                kind: "approval",
                wanted: "not approved".to_string(),
                seen: format!("it says that it holds record {epoch}.{counter}, so that it was approved once"),
                does: "nothing: it is told nothing, and what runs on it goes on".to_string(),
                next: format!(
                    "compare {} with its console, then: weft node approve {name} --fingerprint …; what runs there is \
                     ended only after an answer",
                    fingerprint(&node.row.id)
                ),
                urgent: true,
                ..base
            },
        )];
    }
    let mut found = Vec::new();
    if !speaks(&node) {
        return found;
    }
    found.extend(
        node.strangers
            .iter()
            .filter(|(_, status)| lives(status))
            .map(|(id, status)| stranger(node, &base, id, status)),
    );
    if let Some(report) = node.foreign.as_ref() {
        let id = report.partition.to_string();
        let called = format!("{name}.{}.partition", short(&id));
        let held = matches!(&node.hold, Hold::Held { ends } if !ends.contains(&id));
        let found_partition = Found {
            kind: "partition",
            state: if held { "held" } else { "settling" },
            partition: id,
            wanted: "no such partition".to_string(),
            seen: format!("a member of it, at configuration {}", number(report.record)),
            does: if held {
                "nothing: the node is told nothing until this is answered".to_string()
            } else {
                "its members are told that it is dissolved".to_string()
            },
            next: if held { format!("to dissolve it: weft drift enforce {called}") } else { String::new() },
            answers: if held { ENFORCE } else { &[] },
            urgent: held,
            ..base.clone()
        };
        found.push((called, found_partition));
    }
    if !node.refused.is_empty() {
        found.push((
            format!("{name}.record"),
            Found {
                kind: "record",
                wanted: "its configuration".to_string(),
                seen: format!("it refuses it: {}", node.refused),
                does: "sends it again with the next change".to_string(),
                next: format!("weft config push {name}; if it stays so, restart the node"),
                ..base.clone()
            },
        ));
    }
    found.extend(image(core, world, node, base));
    found
}

fn stranger(node: &NodeEntry, base: &Found, id: &str, status: &VsStatus) -> (String, Found) {
    let name = format!("{}.{}.unknown", node.row.name, short(id));
    let held = matches!(&node.hold, Hold::Held { ends } if !ends.contains(id));
    let fresh = node.taken.nothing();
    let found = Found {
        kind: "unknown",
        state: if held { "held" } else { "settling" },
        vs: id.to_string(),
        vs_id: id.to_string(),
        wanted: "no such server".to_string(),
        seen: format!("{}, start {}, generation {}", seen(status), status.instance, status.generation),
        does: if held {
            format!("nothing: {} is told nothing until this is answered, and its guests go on", node.row.name)
        } else {
            "the node is sent its configuration, which has no such server, and ends it".to_string()
        },
        next: if held {
            format!(
                "to have it back, where history has it: weft drift accept {name}; to end it: weft drift enforce {name}"
            )
        } else {
            format!("nothing; if it stays so: weft config push {}", node.row.name)
        },
        answers: if held { BOTH } else { &[] },
        urgent: held || fresh,
        ..base.clone()
    };
    (name, found)
}

fn image(core: &Core, world: &World, node: &NodeEntry, base: Found) -> Option<(String, Found)> {
    let report = node.report.as_ref()?;
    let runs = hex(&report.boot.image_digest.0);
    let chosen = world.images.get(&node.row.image).map(|image| image.digest.clone());
    let wanted = chosen.or_else(|| crate::images::active(world).map(|image| image.digest.clone()))?;
    if runs == wanted || core.trust().is_revoked(&report.boot.image_digest.0) {
        return None;
    }
    let name = &node.row.name;
    let generation = if world.images.contains_key(&runs) {
        image_words(world, &runs)
    } else {
        format!("{}, generation {}", image_words(world, &runs), report.boot.generation)
    };
    Some((
        format!("{name}.image"),
        Found {
            kind: "image",
            wanted: image_words(world, &wanted),
            seen: generation,
            does: "nothing: a node changes its image when it restarts".to_string(),
            next: format!(
                "weft node reboot {name}; node by node: weft image rollout start {}",
                wanted.get(..12).unwrap_or(&wanted)
            ),
            ..base
        },
    ))
}

fn number((epoch, counter): (u64, u64)) -> ConfigNumber {
    ConfigNumber { epoch, counter }
}

/// What members agreed on, where it is not what they are to agree on.
fn of_partition(world: &World, entry: &PartitionEntry) -> Option<(String, Found)> {
    let row = &entry.row;
    let (ours_epoch, ours_counter) = row.number;
    let ours = number((ours_epoch, ours_counter));
    let reports = row.members.iter().filter_map(|id| Some((id, entry.report(world, id)?)));
    let (id, report) = reports.filter(|(_, report)| report.agreed).find(|(_, report)| {
        let theirs = number(report.record);
        theirs.base() > ours || (theirs < ours && report.majority) || (theirs > ours && theirs.base() == ours)
    })?;
    let theirs = number(report.record);
    let base = Found {
        kind: "partition",
        node: node_name(world, id),
        node_id: id.clone(),
        partition: row.name.clone(),
        wanted: format!("configuration {ours}"),
        seen: format!("configuration {theirs}, agreed in epoch {}", report.epoch.0),
        ..Found::default()
    };
    let name = format!("{}.partition", row.name);
    let found = if theirs.base() > ours {
        Found {
            state: "open",
            does: "nothing: members keep the later configuration".to_string(),
            next: format!(
                "to have the store's agreed on: weft drift enforce {name}; what only the later one has ends then"
            ),
            answers: ENFORCE,
            urgent: true,
            ..base
        }
    } else {
        let does = if theirs > ours {
            "takes over what an operator changed, from each server's own word"
        } else {
            "sends it again to each member that reports"
        };
        Found { state: "settling", does: does.to_string(), ..base }
    };
    Some((name, found))
}
