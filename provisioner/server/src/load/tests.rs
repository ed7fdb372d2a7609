use weft_store::{NodeRow as StoredNode, PlaceRow, VsRow as StoredVs};
use weft_types::VsId;
use weft_wire::figures::{SpanCounts, SpanFigures};
use weft_wire::load::Traffic;

use super::*;
use crate::span::MemberFigures;
use crate::world::NodeEntry;

const ALONE: VsId = VsId([1; 16]);
const WIDE: VsId = VsId([2; 16]);

/// Two nodes; `alone` on the first, `wide` on both.
fn world() -> World {
    let mut world = World::default();
    for id in ["a", "b"] {
        let row =
            StoredNode { id: id.into(), name: format!("node-{id}"), approved: true, ..StoredNode::default() };
        world.nodes.insert(id.into(), NodeEntry { row, ..NodeEntry::default() });
    }
    let place = |node: &str| PlaceRow { node: node.into(), ..PlaceRow::default() };
    let alone = StoredVs { id: ALONE.to_string(), node: "a".into(), instance: 1, ..StoredVs::default() };
    let places = vec![place("a"), place("b")];
    let wide = StoredVs { id: WIDE.to_string(), partition: "p".into(), places, ..alone.clone() };
    for row in [alone, wide] {
        world.servers.insert(row.id.clone(), VsEntry::from_row(row));
    }
    world
}

/// What a node says in its `second` second: each server takes half a processor.
fn report(second: u64, servers: &[VsId]) -> Box<NodeLoad> {
    let part = |vs: &VsId| ServerLoad {
        vs: *vs,
        instance: 1,
        busy_ns: 500_000_000 * second,
        exits: vec![100 * second],
        memory_kib: 4096,
        network: Traffic { bytes_in: 10 * second, ..Traffic::default() },
        processors: Vec::new(),
    };
    Box::new(NodeLoad {
        uptime_ms: 1000 * second,
        cpus: 1,
        busy_ns: 800_000_000 * second,
        servers: servers.iter().map(part).collect(),
        ..NodeLoad::default()
    })
}

fn tell(state: &mut State, node: &str, load: Box<NodeLoad>) {
    let next = Told::next(state.told.get(node), load);
    state.told.insert(node.into(), next);
}

fn faults(world: &mut World, node: &str, second: u64) {
    let counts = SpanCounts { remote_read: 30 * second, messages_sent: 5 * second, ..SpanCounts::default() };
    let figures = SpanFigures { uptime_ms: 1000 * second, counts, ..SpanFigures::default() };
    let entry = world.servers.get_mut(&WIDE.to_string()).expect("there");
    let next = MemberFigures::next(entry.figures.get(node), Box::new(figures));
    entry.figures.insert(node.into(), next);
}

fn of<const N: usize>(rings: &Rings<N>, second: u64, count: usize, at: usize) -> Vec<f32> {
    rings.seconds(second, count).iter().map(|row| row[at]).collect()
}

#[test]
fn a_server_on_two_nodes_is_the_sum_of_its_parts_and_a_gap_where_one_is_silent() {
    let mut world = world();
    let mut state = State::default();
    let wide = WIDE.to_string();
    for second in 1..=2 {
        tell(&mut state, "a", report(second, &[ALONE, WIDE]));
        tell(&mut state, "b", report(second, &[WIDE]));
        ["a", "b"].into_iter().for_each(|node| faults(&mut world, node, second));
        state.tick(&world, 100 + second);
    }
    // The first reports have nothing before them.
    assert!(of(&state.servers[&wide], 102, 2, 0)[0].is_nan());
    let row = state.servers[&wide].seconds(102, 1)[0];
    assert_eq!((row[0], row[1], row[2], row[VS_EXITS]), (1.0, 8192.0 * 1024.0, 20.0, 200.0));
    assert_eq!(row[VS.len() - VS_SPANNING..], [60.0, 10.0]);
    let alone = state.servers[&ALONE.to_string()].seconds(102, 1)[0];
    assert_eq!((alone[0], alone[VS_EXITS]), (0.5, 100.0));
    let node = state.nodes["a"].seconds(102, 1)[0];
    assert_eq!((node[0], node[NODE_EXITS]), (0.8, 200.0));
    assert_eq!(node[NODE_EXITS + 1..], [30.0, 5.0]);
    // One node says no more: the other one and what is on it alone go on.
    tell(&mut state, "a", report(3, &[ALONE, WIDE]));
    let silent = Instant::now().checked_sub(FRESH).expect("the machine is up longer");
    state.told.get_mut("b").expect("told").heard = silent;
    state.tick(&world, 103);
    assert!(of(&state.servers[&wide], 103, 1, 0)[0].is_nan() && of(&state.nodes["b"], 103, 1, 0)[0].is_nan());
    assert_eq!(of(&state.servers[&ALONE.to_string()], 103, 1, 0), [0.5]);
    assert_eq!(of(&state.nodes["a"], 103, 1, 0), [0.8]);
    // Faults of the member that said nothing for this second are of the figures before.
    assert_eq!(of(&state.nodes["a"], 103, 1, NODE_EXITS + 1), [30.0]);
}

#[test]
fn another_start_of_a_server_or_of_a_node_has_no_rate_before_its_second_report() {
    let mut world = world();
    let mut state = State::default();
    tell(&mut state, "a", report(10, &[ALONE]));
    tell(&mut state, "a", report(11, &[ALONE]));
    assert!(state.vs_row(&world.servers[&ALONE.to_string()]).is_some());
    world.servers.get_mut(&ALONE.to_string()).expect("there").row.instance = 2;
    assert!(state.vs_row(&world.servers[&ALONE.to_string()]).is_none(), "the report is of the start before");
    // The node has started anew, and again; then nobody listened for a while.
    for (second, row) in [(1, false), (2, true), (60, false), (61, true)] {
        tell(&mut state, "a", report(second, &[ALONE]));
        assert_eq!(state.node_row(&world, "a").is_some(), row, "second {second}");
    }
}

#[test]
fn what_is_gone_is_forgotten_and_what_never_spoke_takes_no_room() {
    let mut world = world();
    let mut state = State::default();
    for second in 1..=2 {
        tell(&mut state, "a", report(second, &[ALONE]));
        state.tick(&world, 100 + second);
    }
    assert_eq!((state.nodes.len(), state.servers.len()), (1, 1));
    world.servers.clear();
    world.nodes.get_mut("a").expect("there").row.approved = false;
    state.tick(&world, 103);
    assert_eq!((state.told.len(), state.nodes.len(), state.servers.len()), (0, 0, 0));
}
