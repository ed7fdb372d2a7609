//! What a step waits for, and whether the nodes have reported it.
//!
//! A node's word counts where the node is here and has taken all that it was to hear of: before that, what it says is of an
//! earlier wish. Its answer to a record comes before what it reports of the servers in it.

use std::collections::BTreeSet;

use weft_store::{JobObject, NodeRow, PartitionRow, VsRow, WaitFor, WaitRow};
use weft_wire::agent::{VsState, VsStatus};

use super::rollout::look_boots;
use crate::transactions::{Change, Kind};
use crate::world::{VsEntry, World};

/// What is seen of something that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is so.
    Met,
    /// Not yet: what is there instead.
    NotYet(String),
    /// It will not come: why.
    Never(String),
}

fn of_server(wait: WaitFor, row: &VsRow) -> WaitRow {
    let spans = !row.partition.is_empty();
    let nodes = if spans {
        row.places.iter().map(|place| place.node.clone()).collect()
    } else {
        vec![row.node.clone()]
    };
    let object = JobObject { kind: "vs".to_string(), id: row.id.clone(), name: row.name.clone() };
    WaitRow { wait, object, nodes, spans, image: String::new(), before: String::new() }
}

fn of_node(row: &NodeRow) -> WaitRow {
    let object = JobObject { kind: "node".to_string(), id: row.id.clone(), name: row.name.clone() };
    let (image, before) = Default::default();
    WaitRow { wait: WaitFor::Ready, object, nodes: vec![row.id.clone()], spans: false, image, before }
}

fn of_partition(row: &PartitionRow) -> WaitRow {
    let object = JobObject { kind: "partition".to_string(), id: row.id.clone(), name: row.name.clone() };
    let (image, before) = Default::default();
    WaitRow { wait: WaitFor::Agreed, object, nodes: row.members.clone(), spans: true, image, before }
}

/// What the nodes are to report once these changes are made. Labels are the appliance's own affair.
pub(super) fn of_changes(kind: Kind, changes: &[Change]) -> Vec<WaitRow> {
    if !kind.told_to_nodes() {
        return Vec::new();
    }
    let wait = |change: &Change| match change {
        Change::Vs { after: Some(row), .. } if row.running => Some(of_server(WaitFor::Running, row)),
        Change::Vs { before: None, after: Some(row) } => Some(of_server(WaitFor::Told, row)),
        Change::Vs { after: Some(row), .. } => Some(of_server(WaitFor::Off, row)),
        Change::Vs { before: Some(row), after: None } => Some(of_server(WaitFor::Gone, row)),
        Change::Node { after: Some(row), .. } if row.approved && row.conflict.is_empty() => {
            Some(of_node(row))
        }
        Change::Partition { after: Some(row), .. } => Some(of_partition(row)),
        Change::Vs { before: None, after: None }
        | Change::Node { .. }
        | Change::Partition { after: None, .. }
        | Change::Image { .. }
        | Change::Kept(_) => None,
    };
    changes.iter().filter_map(wait).collect()
}

/// What the node of a server that needs no change is to report: it may not have followed an earlier one.
pub(super) fn of_same(kind: Kind, row: &VsRow) -> Option<WaitRow> {
    match kind {
        Kind::VsStart => Some(of_server(WaitFor::Running, row)),
        Kind::VsStop => Some(of_server(WaitFor::Off, row)),
        _ => None,
    }
}

/// Nodes on which servers that are deleted live now, as far as they said.
pub(super) fn living(world: &World, waits: &[WaitRow]) -> Vec<(String, BTreeSet<String>)> {
    let lives = |status: &VsStatus| matches!(status.state, VsState::Fetching | VsState::Running);
    let gone = waits.iter().filter(|wait| wait.wait == WaitFor::Gone);
    gone.map(|wait| {
        let mut nodes = BTreeSet::new();
        if let Some(entry) = world.servers.get(&wait.object.id) {
            if entry.row.partition.is_empty() && entry.status.as_ref().is_some_and(lives) {
                nodes.insert(entry.row.node.clone());
            }
            let parts = entry.parts.iter().filter(|(_, status)| lives(status));
            nodes.extend(parts.map(|(node, _)| node.clone()));
        }
        (wait.object.id.clone(), nodes)
    })
    .collect()
}

/// Why a wait's nodes have not followed yet; `None` where they have.
pub(super) fn behind(world: &World, wait: &WaitRow) -> Option<String> {
    for id in &wait.nodes {
        let Some(node) = world.nodes.get(id) else {
            // One that was forgotten has nothing of what is gone.
            if wait.wait == WaitFor::Gone {
                continue;
            }
            return Some(format!("its node {id} is not known"));
        };
        let name = &node.row.name;
        if node.live.is_none() {
            return Some(format!("{name} is not connected"));
        }
        if !node.refused.is_empty() {
            return Some(format!("{name} refused its configuration: {}", node.refused));
        }
        // What spans nodes is not in their own configurations.
        if !wait.spans && !node.taken.all() {
            return Some(format!("{name} has not taken its configuration yet"));
        }
    }
    None
}

fn state_of(entry: &VsEntry) -> String {
    let Some(status) = &entry.status else { return "nothing is heard of it".to_string() };
    let state = match status.state {
        VsState::Stopped if status.reason.is_empty() => "stopped",
        VsState::Stopped => "held back",
        VsState::Fetching => "fetching its files",
        VsState::Running => "running",
        VsState::Off => "off",
        VsState::Failed => "failed",
    };
    if status.reason.is_empty() { state.to_string() } else { format!("{state}: {}", status.reason) }
}

fn look_running(world: &World, wait: &WaitRow, entry: &VsEntry) -> Seen {
    let name = &entry.row.name;
    if !entry.row.running {
        return Seen::Never(format!("{name} was stopped meanwhile: weft tx list --object {name}"));
    }
    let now = entry.status.as_ref().filter(|status| status.instance == entry.row.instance);
    match now.map(|status| status.state) {
        Some(VsState::Failed) => Seen::Never(format!("{name} is {}", state_of(entry))),
        Some(VsState::Off) => Seen::Never(format!("the guest of {name} switched itself off")),
        Some(VsState::Running) => behind(world, wait).map_or(Seen::Met, Seen::NotYet),
        Some(VsState::Stopped | VsState::Fetching) => {
            let words = format!("{name} is {}", state_of(entry));
            Seen::NotYet(behind(world, wait).unwrap_or(words))
        }
        None => Seen::NotYet(behind(world, wait).unwrap_or_else(|| format!("{name} does not run yet"))),
    }
}

fn look_off(world: &World, wait: &WaitRow, entry: &VsEntry) -> Seen {
    let name = &entry.row.name;
    if entry.row.running {
        return Seen::Never(format!("{name} was started meanwhile: weft tx list --object {name}"));
    }
    if let Some(why) = behind(world, wait) {
        return Seen::NotYet(why);
    }
    match entry.status.as_ref().map(|status| status.state) {
        Some(VsState::Fetching | VsState::Running) => Seen::NotYet(format!("{name} is {}", state_of(entry))),
        Some(VsState::Stopped | VsState::Off | VsState::Failed) | None => Seen::Met,
    }
}

/// Whether a majority of a partition's members has agreed on what it was given, as one of them says.
fn look_agreed(world: &World, wait: &WaitRow) -> Seen {
    let name = &wait.object.name;
    let Some(entry) = world.partitions.get(&wait.object.id) else {
        return Seen::Never(format!("{name} was deleted meanwhile: weft tx list --object {name}"));
    };
    let agreed = entry
        .row
        .members
        .iter()
        .filter_map(|id| entry.report(world, id))
        .any(|report| report.agreed && report.majority && report.record >= entry.row.number);
    if agreed {
        return Seen::Met;
    }
    let here = wait.nodes.iter().filter(|id| world.nodes.get(*id).is_some_and(|node| node.live.is_some()));
    Seen::NotYet(format!(
        "{name} is not agreed on yet; {} of its {} members are here",
        here.count(),
        wait.nodes.len()
    ))
}

/// Whether it is so now.
pub(super) fn look(world: &World, wait: &WaitRow) -> Seen {
    let entry = world.servers.get(&wait.object.id);
    // The server may have moved with its machine, which came back under another key.
    let wait = &entry.map_or_else(|| wait.clone(), |entry| of_server(wait.wait, &entry.row));
    let name = &wait.object.name;
    let told = || behind(world, wait).map_or(Seen::Met, Seen::NotYet);
    match (wait.wait, entry) {
        (WaitFor::Running, Some(entry)) => look_running(world, wait, entry),
        (WaitFor::Off, Some(entry)) => look_off(world, wait, entry),
        (WaitFor::Told, Some(_)) => told(),
        (WaitFor::Running | WaitFor::Off | WaitFor::Told, None) => {
            Seen::Never(format!("{name} was deleted meanwhile: weft tx list --object {name}"))
        }
        (WaitFor::Gone, Some(_)) => {
            Seen::Never(format!("{name} was made again meanwhile: weft tx list --object {name}"))
        }
        (WaitFor::Gone, None) => match (behind(world, wait), world.leaving.get(&wait.object.id)) {
            (Some(why), _) => Seen::NotYet(why),
            (None, Some(nodes)) if !nodes.is_empty() => Seen::NotYet(format!("{name} still runs")),
            (None, _) => Seen::Met,
        },
        (WaitFor::Boots, _) => look_boots(world, wait),
        (WaitFor::Agreed, _) => look_agreed(world, wait),
        (WaitFor::Ready, _) => match world.nodes.get(&wait.object.id) {
            Some(node) if node.trusted_with_records() => told(),
            Some(node) => Seen::Never(format!("{name} is {}", node.state())),
            None => Seen::Never(format!("{name} was forgotten meanwhile")),
        },
    }
}

/// What all of them come to: the first that will not be, else the first that is not yet.
pub(super) fn look_at_all(world: &World, waits: &[WaitRow]) -> Seen {
    let mut all = Seen::Met;
    for wait in waits {
        match look(world, wait) {
            Seen::Never(why) => return Seen::Never(why),
            Seen::NotYet(why) if all == Seen::Met => all = Seen::NotYet(why),
            Seen::NotYet(_) | Seen::Met => {}
        }
    }
    all
}

/// What a wait is for, in words.
pub(super) fn words(wait: &WaitRow) -> String {
    let name = &wait.object.name;
    match wait.wait {
        WaitFor::Running => format!("the guest of {name} runs"),
        WaitFor::Off => format!("the guest of {name} is off"),
        WaitFor::Gone => format!("the guest of {name} is off, and its node knows {name} no more"),
        WaitFor::Told => format!("the node of {name} knows it"),
        WaitFor::Ready => format!("{name} has taken its configuration"),
        WaitFor::Agreed => format!("the members of {name} agree"),
        WaitFor::Boots => {
            format!("{name} runs image {}", wait.image.get(..12).unwrap_or(&wait.image))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Live, NodeEntry};
    use weft_types::VsId;

    fn row(running: bool) -> VsRow {
        VsRow {
            id: "1".into(),
            name: "web".into(),
            node: "n".into(),
            running,
            instance: 2,
            ..VsRow::default()
        }
    }

    /// A node that is here and has taken all, and `web` on it as the node said last.
    fn world(running: bool, said: Option<(u64, VsState)>) -> World {
        let mut world = World::default();
        let asks = tokio::sync::mpsc::channel(1).0;
        let live = Some(Live { session: 1, asks, heard: std::time::Instant::now() });
        let row = NodeRow { id: "n".into(), name: "node-1".into(), approved: true, ..NodeRow::default() };
        let mut node = NodeEntry { live, ..NodeEntry::from_row(row) };
        node.taken.sent((1, 1), node.taken.covers());
        node.taken.answered((1, 1));
        world.nodes.insert("n".into(), node);
        let status = said.map(|(instance, state)| VsStatus {
            vs: VsId([1; 16]),
            generation: 1,
            instance,
            state,
            reason: String::new(),
            exits: 0,
        });
        let vs = self::row(running);
        world.servers.insert("1".into(), VsEntry { status, ..VsEntry::from_row(vs) });
        world
    }

    fn seen(world: &World, wait: WaitFor) -> Seen {
        look(world, &of_server(wait, &row(true)))
    }

    #[test]
    fn a_guest_runs_once_its_node_says_so_of_this_start() {
        let running = |said| seen(&world(true, said), WaitFor::Running);
        assert!(matches!(running(None), Seen::NotYet(_)));
        assert!(matches!(running(Some((1, VsState::Running))), Seen::NotYet(_)));
        assert!(matches!(running(Some((2, VsState::Fetching))), Seen::NotYet(_)));
        assert_eq!(running(Some((2, VsState::Running))), Seen::Met);
        assert!(matches!(running(Some((1, VsState::Failed))), Seen::NotYet(_)));
        assert!(matches!(running(Some((2, VsState::Failed))), Seen::Never(_)));
        assert!(matches!(running(Some((2, VsState::Off))), Seen::Never(_)));
        assert!(matches!(seen(&world(false, None), WaitFor::Running), Seen::Never(_)));
    }

    #[test]
    fn a_guest_is_off_once_its_node_took_the_wish_and_says_nothing_else() {
        let off = |said| seen(&world(false, said), WaitFor::Off);
        assert!(matches!(off(Some((2, VsState::Running))), Seen::NotYet(_)));
        for done in [None, Some((2, VsState::Stopped)), Some((2, VsState::Off)), Some((1, VsState::Failed))] {
            assert_eq!(off(done), Seen::Met);
        }
        let mut late = world(false, None);
        late.nodes.get_mut("n").expect("a node").taken.want();
        assert!(matches!(seen(&late, WaitFor::Off), Seen::NotYet(_)));
        let mut away = world(false, None);
        away.nodes.get_mut("n").expect("a node").live = None;
        assert_eq!(seen(&away, WaitFor::Off), Seen::NotYet("node-1 is not connected".into()));
        assert!(matches!(seen(&world(true, None), WaitFor::Off), Seen::Never(_)));
    }

    #[test]
    fn a_deleted_server_is_gone_once_it_lives_nowhere() {
        let mut world = world(true, Some((2, VsState::Running)));
        let wait = of_server(WaitFor::Gone, &row(true));
        assert!(matches!(look(&world, &wait), Seen::Never(_)));
        world.leaving = living(&world, std::slice::from_ref(&wait)).into_iter().collect();
        world.servers.clear();
        assert_eq!(look(&world, &wait), Seen::NotYet("web still runs".into()));
        world.leaving.get_mut("1").expect("leaving").clear();
        assert_eq!(look(&world, &wait), Seen::Met);
        world.nodes.get_mut("n").expect("a node").taken.want();
        assert!(matches!(look(&world, &wait), Seen::NotYet(_)));
        world.nodes.clear();
        assert_eq!(look(&world, &wait), Seen::Met);
    }

    #[test]
    fn what_will_not_be_counts_before_what_is_not_yet() {
        let world = world(false, Some((2, VsState::Running)));
        let wait = |wait| of_server(wait, &row(true));
        let all = look_at_all(&world, &[wait(WaitFor::Off), wait(WaitFor::Running)]);
        assert!(matches!(all, Seen::Never(_)), "{all:?}");
        assert!(matches!(look_at_all(&world, &[wait(WaitFor::Told), wait(WaitFor::Off)]), Seen::NotYet(_)));
        assert_eq!(look_at_all(&world, &[]), Seen::Met);
    }
}
