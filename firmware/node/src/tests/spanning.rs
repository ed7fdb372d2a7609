//! Servers that span nodes, as one of them sees its share.

use super::*;
use crate::server::Server;

fn spanning(places: &[(u8, u16, u32)]) -> VsSpec {
    let place = |(number, vcpus, memory_mib): &(u8, u16, u32)| Place {
        node: NodeId([*number; 16]),
        mac: [2, 0, 0, 0, 0, *number],
        address: [0; 4],
        vcpus: *vcpus,
        memory_mib: *memory_mib,
    };
    let span = SpanSpec {
        partition: PartitionId([1; 16]),
        epoch: 1,
        key: LinkKey([0; 32]),
        pinned: false,
        places: places.iter().map(place).collect(),
    };
    let vcpus = places.iter().map(|place| place.1).sum();
    let memory_mib = places.iter().map(|place| place.2).sum();
    VsSpec { vcpus, memory_mib, span: Some(span), ..spec(1) }
}

#[test]
fn a_further_member_starts_its_share_without_a_kernel() {
    let mut bench = Bench::new();
    // More than this node has; its own share is not.
    let wanted = spanning(&[(2, 1, 900), (1, 1, 600)]);
    bench.configure(&[wanted]);
    let started = bench.effects.iter().find_map(|effect| match effect {
        Effect::StartVs { kernel, initrd, .. } => Some((kernel.is_none(), initrd.is_none())),
        _ => None,
    });
    assert_eq!(started, Some((true, true)));
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::FetchBlob(_))));
    assert_eq!(bench.node.guest_memory_mib(), 600);
}

#[test]
fn each_life_of_a_spanning_guest_has_an_epoch_of_its_own() {
    let mut bench = Bench::new();
    let mut wanted = spanning(&[(2, 1, 500), (1, 1, 500)]);
    bench.configure(&[wanted.clone()]);
    let mut epochs = vec![];
    for _ in 0..3 {
        bench.started(1, 1);
        epochs.extend(bench.stopped(1, 1, StopCause::Reset).iter().filter_map(epoch));
    }
    assert_eq!(epochs, [1 << 16 | 1, 1 << 16 | 2, 1 << 16 | 3], "the same on each member");
    // A new start has a new epoch and a new key from the appliance, and members that were not there before.
    (wanted.generation, wanted.instance) = (2, 2);
    wanted.span.as_mut().unwrap().epoch = 2;
    bench.started(1, 1);
    bench.configure(&[wanted]);
    assert_eq!(bench.stopped(1, 1, StopCause::Stopped).iter().find_map(epoch), Some(2 << 16));
}

#[test]
fn a_guest_without_an_epoch_left_is_not_started_once_more() {
    let mut server = Server::new(spanning(&[(1, 1, 500)]));
    server.instance = 1;
    server.resets = (1, u16::MAX - 1);
    assert!(server.count_reset());
    assert!(!server.count_reset(), "the next would use the first epoch's keys again");
    server.instance = 2;
    assert!(server.count_reset(), "a new instance has new keys");
}

fn epoch(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::StartVs { spec, .. } => spec.span.as_ref().map(|span| span.epoch),
        _others => None,
    }
}

#[test]
fn the_first_member_fetches_the_kernel_and_counts_its_share_of_memory() {
    let mut bench = Bench::new();
    let wanted = spanning(&[(1, 1, 900), (2, 1, 600)]);
    bench.configure(&[wanted]);
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::FetchBlob(_))));
}

#[test]
fn a_server_that_spans_other_nodes_is_refused_here() {
    let mut bench = Bench::new();
    let wanted = spanning(&[(2, 1, 500), (3, 1, 500)]);
    bench.configure(&[wanted]);
    let status = bench.node.statuses().pop().unwrap();
    assert_eq!((status.state, status.reason.as_str()), (VsState::Failed, "this node has no place in it"));
}
