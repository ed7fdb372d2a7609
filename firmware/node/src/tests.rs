//! The state machine by itself: configurations, blobs, starts, stops, in all orders.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use weft_types::{BlobDigest, NodeId, PartitionId, VsId};
use weft_wire::agent::{ToServer, VsState};
use weft_wire::cluster::{LinkKey, Place, SpanSpec};
use weft_wire::figures::SpanFigures;
use weft_wire::record::{BlobRef, Desired, NodeConfig, VsSpec};

use crate::{ConfigError, Effect, Event, Limits, Node, StopCause, check_config};

mod spanning;

const LIMITS: Limits = Limits { guest_memory_mib: 1000, blob_cache_bytes: 1000 };

fn blob(number: u8) -> BlobRef {
    BlobRef { digest: BlobDigest([number; 32]), size: 400 }
}

fn spec(number: u8) -> VsSpec {
    VsSpec {
        id: VsId([number; 16]),
        name: "guest".into(),
        generation: 1,
        instance: 1,
        desired: Desired::Running,
        vcpus: 1,
        memory_mib: 400,
        kernel: blob(1),
        initrd: None,
        append: String::new(),
        macs: vec![[2, 0, 0, 0, 0, number]],
        affinity: Vec::new(),
        span: None,
    }
}

struct Bench {
    now_ns: u64,
    node: Node,
    effects: Vec<Effect>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { now_ns: 0, node: Node::new(NodeId([1; 16]), LIMITS), effects: vec![] };
        bench.step(Event::Connected);
        bench
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        self.effects.clear();
        self.node.step(self.now_ns, event, &mut self.effects);
        self.effects.clone()
    }

    fn configure(&mut self, servers: &[VsSpec]) -> Vec<Effect> {
        self.step(Event::Config(NodeConfig { name: String::new(), servers: servers.to_vec() }))
    }

    fn ready(&mut self, number: u8) -> Vec<Effect> {
        self.step(Event::BlobReady { digest: blob(number).digest, bytes: vec![number; 400] })
    }

    fn started(&mut self, number: u8, instance: u64) -> Vec<Effect> {
        self.step(Event::VsStarted { vs: VsId([number; 16]), instance })
    }

    fn stopped(&mut self, number: u8, instance: u64, cause: StopCause) -> Vec<Effect> {
        self.step(Event::VsStopped { vs: VsId([number; 16]), instance, cause })
    }

    fn running(number: u8) -> Self {
        let mut bench = Self::new();
        bench.configure(&[spec(number)]);
        assert_eq!(starts(&bench.ready(1)), [(VsId([number; 16]), 1)]);
        bench.started(number, 1);
        bench
    }

    fn state(&self, number: u8) -> Option<(VsState, String)> {
        let statuses = self.node.statuses();
        let status = statuses.into_iter().find(|status| status.vs == VsId([number; 16]))?;
        Some((status.state, status.reason))
    }
}

fn fetches(effects: &[Effect]) -> Vec<BlobDigest> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::FetchBlob(blob) => Some(blob.digest),
            _ => None,
        })
        .collect()
}

fn starts(effects: &[Effect]) -> Vec<(VsId, u64)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::StartVs { spec, .. } => Some((spec.id, spec.instance)),
            _ => None,
        })
        .collect()
}

fn stops(effects: &[Effect]) -> Vec<(VsId, u64)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::StopVs { vs, instance } => Some((*vs, *instance)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_server_starts_once_all_its_files_are_here() {
    let mut bench = Bench::new();
    let mut wanted = spec(1);
    wanted.initrd = Some(blob(2));
    assert_eq!(fetches(&bench.configure(&[wanted])), [blob(1).digest, blob(2).digest]);
    assert_eq!(starts(&bench.ready(2)), []);
    assert_eq!(starts(&bench.ready(1)), [(VsId([1; 16]), 1)]);
    assert_eq!(bench.state(1), Some((VsState::Fetching, String::new())));
    bench.started(1, 1);
    assert_eq!(bench.state(1), Some((VsState::Running, String::new())));
}

#[test]
fn two_servers_share_one_transfer() {
    let mut bench = Bench::new();
    assert_eq!(fetches(&bench.configure(&[spec(1), spec(2)])), [blob(1).digest]);
    assert_eq!(starts(&bench.ready(1)).len(), 2);
}

#[test]
fn the_same_configuration_again_changes_nothing() {
    let mut bench = Bench::running(1);
    assert_eq!(bench.configure(&[spec(1)]), []);
}

#[test]
fn memory_is_promised_once() {
    let mut bench = Bench::new();
    bench.configure(&[spec(1), spec(2), spec(3)]);
    assert_eq!(starts(&bench.ready(1)).len(), 2);
    assert_eq!(bench.node.guest_memory_mib(), 800);
    let (state, reason) = bench.state(3).expect("known");
    assert_eq!(state, VsState::Failed);
    assert_eq!(reason, "it needs 400 MiB, and 200 MiB are free on this node");
    // Memory that came free helps a newer instance only: the operator decides.
    bench.started(1, 1);
    assert_eq!(starts(&bench.stopped(1, 1, StopCause::Off)), []);
    let mut again = spec(3);
    (again.generation, again.instance) = (2, 2);
    assert_eq!(fetches(&bench.configure(&[spec(1), spec(2), again])), []);
    assert_eq!(starts(&bench.effects), [(VsId([3; 16]), 2)], "its kernel was still cached");
}

#[test]
fn a_server_that_is_not_wanted_any_more_stops_and_is_forgotten() {
    let mut bench = Bench::running(1);
    assert_eq!(stops(&bench.configure(&[])), [(VsId([1; 16]), 1)]);
    assert!(bench.state(1).is_some(), "until the monitor has stopped it");
    assert_eq!(bench.node.guest_memory_mib(), 400);
    bench.stopped(1, 1, StopCause::Stopped);
    assert_eq!(bench.state(1), None);
    assert_eq!(bench.node.guest_memory_mib(), 0);
}

#[test]
fn stop_and_start_use_a_new_instance() {
    let mut bench = Bench::running(1);
    let mut off = spec(1);
    (off.generation, off.desired) = (2, Desired::Stopped);
    assert_eq!(stops(&bench.configure(&[off])), [(VsId([1; 16]), 1)]);
    bench.stopped(1, 1, StopCause::Stopped);
    assert_eq!(bench.state(1), Some((VsState::Stopped, String::new())));
    let mut on = spec(1);
    (on.generation, on.instance) = (3, 2);
    assert_eq!(starts(&bench.configure(&[on])), [(VsId([1; 16]), 2)]);
}

#[test]
fn another_affinity_moves_what_runs_and_nothing_else() {
    let mut bench = Bench::running(1);
    let with = |generation, instance, affinity: &[u16]| VsSpec {
        generation,
        instance,
        vcpus: affinity.len() as u16,
        affinity: affinity.to_vec(),
        ..spec(1)
    };
    let pinned = with(2, 1, &[1]);
    assert_eq!(bench.configure(core::slice::from_ref(&pinned)), [Effect::PinVs(Box::new(pinned.clone()))]);
    assert_eq!(bench.configure(&[pinned]), [], "once");
    // With other things that wait for the next start, it waits as well.
    assert_eq!(bench.configure(&[with(3, 1, &[0, 1])]), []);
    let effects = bench.configure(&[with(4, 2, &[1, 1])]);
    assert_eq!((effects.len(), stops(&effects)), (1, vec![(VsId([1; 16]), 1)]));
    let effects = bench.stopped(1, 1, StopCause::Stopped);
    let started = effects.iter().find_map(|effect| match effect {
        Effect::StartVs { spec, .. } => Some(spec.affinity.clone()),
        _ => None,
    });
    assert_eq!(started, Some(vec![1, 1]));
}

#[test]
fn an_affinity_for_another_number_of_processors_is_refused() {
    let mut wanted = spec(1);
    wanted.affinity = vec![0; usize::from(wanted.vcpus) + 1];
    let error = check_config(&NodeConfig { name: String::new(), servers: vec![wanted.clone()] });
    assert_eq!(error, Err(ConfigError::Affinity(wanted.id, wanted.affinity.len())));
}

#[test]
fn an_operators_reset_stops_before_it_starts() {
    let mut bench = Bench::running(1);
    let mut reset = spec(1);
    (reset.generation, reset.instance) = (2, 2);
    let effects = bench.configure(&[reset]);
    assert_eq!((stops(&effects), starts(&effects)), (vec![(VsId([1; 16]), 1)], vec![]));
    assert_eq!(starts(&bench.stopped(1, 1, StopCause::Stopped)), [(VsId([1; 16]), 2)]);
}

#[test]
fn a_guests_own_reset_starts_the_same_instance() {
    let mut bench = Bench::running(1);
    assert_eq!(starts(&bench.stopped(1, 1, StopCause::Reset)), [(VsId([1; 16]), 1)]);
}

/// A guest that lives for a second, so many times; returns how long each next life had to be waited for, seconds.
fn loop_of_resets(bench: &mut Bench, times: usize) -> Vec<u64> {
    let mut waits = vec![];
    for _ in 0..times {
        bench.started(1, 1);
        bench.now_ns += 1_000_000_000;
        let ended = bench.now_ns;
        let mut effects = bench.stopped(1, 1, StopCause::Reset);
        while starts(&effects).is_empty() {
            assert_eq!(bench.state(1).map(|(state, _)| state), Some(VsState::Stopped));
            let next = bench.node.next_ns();
            assert!(next > bench.now_ns && next < u64::MAX, "it will be started, and not by spinning");
            bench.now_ns = next - 1;
            assert_eq!(starts(&bench.step(Event::Tick)), [], "not earlier");
            bench.now_ns = next;
            effects = bench.step(Event::Tick);
        }
        waits.push((bench.now_ns - ended) / 1_000_000_000);
    }
    waits
}

#[test]
fn a_guest_that_resets_itself_in_a_loop_waits_longer_each_time_and_says_why() {
    let mut bench = Bench::running(1);
    assert_eq!(loop_of_resets(&mut bench, 11), [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
    bench.started(1, 1);
    let effects = bench.stopped(1, 1, StopCause::Reset);
    let reason = "the guest reset itself 12 times in a row; it is started again in 60 s";
    assert_eq!(bench.state(1), Some((VsState::Stopped, reason.into())));
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Send(ToServer::VsStatus(status)) if status.reason == reason
    )));
}

#[test]
fn a_guest_held_back_starts_at_once_for_its_operator_and_stops_for_one() {
    let mut bench = Bench::running(1);
    loop_of_resets(&mut bench, 8);
    bench.started(1, 1);
    bench.stopped(1, 1, StopCause::Reset);
    let stopped = VsSpec { desired: Desired::Stopped, generation: 2, ..spec(1) };
    bench.configure(&[stopped]);
    assert_eq!(bench.state(1), Some((VsState::Stopped, String::new())));
    assert_eq!(bench.node.next_ns(), u64::MAX);
    let again = VsSpec { instance: 2, generation: 3, ..spec(1) };
    assert_eq!(starts(&bench.configure(&[again])), [(VsId([1; 16]), 2)]);
    bench.started(1, 2);
    assert_eq!(starts(&bench.stopped(1, 2, StopCause::Reset)).len(), 1, "its resets count from none");
}

#[test]
fn a_reboot_after_a_steady_run_is_immediate() {
    let mut bench = Bench::running(1);
    loop_of_resets(&mut bench, 8);
    for _ in 0..10 {
        bench.started(1, 1);
        bench.now_ns += 60_000_000_000;
        assert_eq!(starts(&bench.stopped(1, 1, StopCause::Reset)).len(), 1);
    }
}

#[test]
fn growing_counts_of_exits_are_told_every_two_seconds_while_somebody_listens() {
    let mut bench = Bench::running(1);
    let told = |effects: Vec<Effect>| -> Vec<u64> {
        let counts = effects.iter().filter_map(|effect| match effect {
            Effect::Send(ToServer::VsStatus(status)) => Some(status.exits),
            _ => None,
        });
        counts.collect()
    };
    let mut all = vec![];
    for half_second in 0..20 {
        bench.now_ns += 500_000_000;
        if half_second == 12 {
            bench.step(Event::Disconnected);
        }
        let exits = 100 * (half_second + 1);
        all.extend(told(bench.step(Event::VsExits { vs: VsId([1; 16]), exits })));
    }
    assert_eq!(all, [400, 800, 1200]);
    bench.step(Event::Connected);
    bench.now_ns += 10_000_000_000;
    assert_eq!(told(bench.step(Event::VsExits { vs: VsId([1; 16]), exits: 2000 })), [2000]);
    bench.now_ns += 10_000_000_000;
    assert_eq!(
        told(bench.step(Event::VsExits { vs: VsId([1; 16]), exits: 2000 })),
        [],
        "an idle guest is silent"
    );
}

#[test]
fn figures_of_a_running_instance_are_told_once_a_second_while_somebody_listens() {
    let mut bench = Bench::running(1);
    let figures = |number: u8, instance| {
        let vs = VsId([number; 16]);
        Event::SpanFigures(Box::new(SpanFigures { vs, instance, ..SpanFigures::default() }))
    };
    let told = |effects: Vec<Effect>| effects.len();
    let mut all = vec![];
    for half_second in 0..12 {
        bench.now_ns += 500_000_000;
        if half_second == 4 {
            bench.step(Event::Disconnected);
        }
        if half_second == 8 {
            bench.step(Event::Connected);
        }
        all.push(told(bench.step(figures(1, 1))));
    }
    assert_eq!(all, [1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0]);
    bench.now_ns += 10_000_000_000;
    for other in [figures(2, 1), figures(1, 2)] {
        assert_eq!(told(bench.step(other)), 0, "no such instance runs");
    }
    bench.stopped(1, 1, StopCause::Off);
    assert_eq!(told(bench.step(figures(1, 1))), 0, "it has ended");
}

#[test]
fn a_guest_that_went_off_or_failed_stays_so() {
    for (cause, state) in [
        (StopCause::Off, (VsState::Off, String::new())),
        (StopCause::Failed("triple fault".into()), (VsState::Failed, "triple fault".into())),
    ] {
        let mut bench = Bench::running(1);
        assert_eq!(starts(&bench.stopped(1, 1, cause)), []);
        assert_eq!(bench.state(1), Some(state.clone()));
        assert_eq!(starts(&bench.configure(&[spec(1)])), []);
        assert_eq!(bench.state(1), Some(state));
    }
}

#[test]
fn a_change_while_it_runs_waits_for_the_next_instance() {
    let mut bench = Bench::running(1);
    let mut larger = spec(1);
    (larger.generation, larger.memory_mib) = (2, 900);
    let effects = bench.configure(&[larger]);
    assert_eq!((stops(&effects), starts(&effects)), (vec![], vec![]));
    assert_eq!(bench.node.guest_memory_mib(), 400);
}

#[test]
fn an_older_definition_is_not_taken() {
    let mut bench = Bench::running(1);
    let mut newer = spec(1);
    newer.generation = 5;
    bench.configure(&[newer]);
    let mut older = spec(1);
    (older.generation, older.desired) = (4, Desired::Stopped);
    assert_eq!(stops(&bench.configure(&[older])), []);
}

#[test]
fn a_file_that_never_comes_fails_the_servers_that_wait_for_it() {
    let mut bench = Bench::new();
    let mut other = spec(2);
    other.kernel = blob(7);
    bench.configure(&[spec(1), other]);
    bench.step(Event::BlobFailed { digest: blob(1).digest, reason: "its digest is another".into() });
    let (state, reason) = bench.state(1).expect("known");
    assert!(state == VsState::Failed && reason.contains("its digest is another"), "{reason}");
    assert_eq!(bench.state(2), Some((VsState::Fetching, String::new())));
}

#[test]
fn a_definition_that_changes_while_files_come_fetches_the_new_ones() {
    let mut bench = Bench::new();
    bench.configure(&[spec(1)]);
    let mut changed = spec(1);
    (changed.generation, changed.kernel) = (2, blob(9));
    let effects = bench.configure(&[changed]);
    assert_eq!(fetches(&effects), [blob(9).digest]);
    assert!(effects.contains(&Effect::CancelBlob(blob(1).digest)));
    assert_eq!(starts(&bench.ready(1)), []);
    assert_eq!(starts(&bench.ready(9)).len(), 1);
}

#[test]
fn files_nobody_waits_for_stay_within_the_cache() {
    let mut bench = Bench::new();
    for number in 1..=5 {
        let mut wanted = spec(number);
        (wanted.kernel, wanted.memory_mib) = (blob(number), 16);
        bench.configure(&[wanted]);
        bench.ready(number);
        assert!(bench.node.blob_bytes() <= LIMITS.blob_cache_bytes);
        bench.started(number, 1);
    }
    assert_eq!(bench.node.blob_bytes(), 800);
}

#[test]
fn answers_of_an_earlier_instance_do_not_count() {
    let mut bench = Bench::running(1);
    let mut reset = spec(1);
    (reset.generation, reset.instance) = (2, 2);
    bench.configure(&[reset]);
    bench.stopped(1, 1, StopCause::Stopped);
    assert_eq!(bench.started(1, 1), []);
    assert_eq!(bench.stopped(1, 1, StopCause::Off), []);
    bench.started(1, 2);
    assert_eq!(bench.state(1), Some((VsState::Running, String::new())));
}

#[test]
fn events_of_unknown_servers_do_nothing() {
    let mut bench = Bench::running(1);
    let vs = VsId([9; 16]);
    assert_eq!(bench.step(Event::ConsoleOutput { vs, bytes: vec![1] }), []);
    assert_eq!(bench.step(Event::ConsoleInput { vs, bytes: vec![1] }), []);
    assert_eq!(bench.started(9, 1), []);
    assert_eq!(bench.stopped(9, 1, StopCause::Off), []);
    assert_eq!(bench.ready(200), []);
}

#[test]
fn a_new_connection_hears_every_state() {
    let mut bench = Bench::running(1);
    bench.step(Event::Disconnected);
    let effects = bench.step(Event::Connected);
    let told = effects.iter().filter(|effect| matches!(effect, Effect::Send(ToServer::VsStatus(_)))).count();
    assert_eq!(told, 1);
}

#[test]
fn console_output_waits_for_room_and_a_connection() {
    let mut bench = Bench::running(1);
    bench.step(Event::ConsoleOutput { vs: VsId([1; 16]), bytes: vec![7; 10_000] });
    assert_eq!(bench.node.console_messages(2).len(), 2);
    bench.step(Event::Disconnected);
    assert_eq!(bench.node.console_messages(9), []);
    bench.step(Event::Connected);
    assert_eq!(bench.node.console_messages(9).len(), 3, "the history again");
}

#[test]
fn configurations_out_of_bounds_are_refused() {
    let check = |change: &dyn Fn(&mut Vec<VsSpec>)| {
        let mut servers = vec![spec(1)];
        change(&mut servers);
        check_config(&NodeConfig { name: String::new(), servers })
    };
    let id = VsId([1; 16]);
    assert_eq!(check(&|_| {}), Ok(()));
    assert_eq!(check(&|servers| servers.push(spec(1))), Err(ConfigError::Twice(id)));
    assert_eq!(check(&|servers| servers[0].vcpus = 33), Err(ConfigError::Processors(id, 33)));
    assert_eq!(check(&|servers| servers[0].memory_mib = 15), Err(ConfigError::Memory(id, 15)));
    assert_eq!(check(&|servers| servers[0].kernel.size = 0), Err(ConfigError::BlobSize(id, 0)));
    assert_eq!(check(&|servers| servers[0].macs = vec![[2; 6]; 5]), Err(ConfigError::Interfaces(id, 5)));
    assert_eq!(check(&|servers| servers[0].macs = vec![[3; 6]]), Err(ConfigError::Mac(id, [3; 6])));
    assert_eq!(check(&|servers| servers[0].macs = vec![[2; 6]; 2]), Err(ConfigError::Mac(id, [2; 6])));
    assert_eq!(check(&|servers| servers[0].append = "x".repeat(2049)), Err(ConfigError::Text(id)));
    let many = check(&|servers| *servers = (1..=17).map(spec).collect());
    assert_eq!(many, Err(ConfigError::TooManyServers(17)));
}

/// Random events in random order: memory is never promised twice, a start is never sent for a server that
/// is up, and effects stay bounded.
#[test]
fn no_order_of_events_breaks_the_invariants() {
    for seed in 1..300_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut pick = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let mut bench = Bench::new();
        let mut up: Vec<(VsId, u64)> = vec![];
        let mut generation = 1;
        for _ in 0..200 {
            let number = u8::try_from(1 + pick(4)).expect("small");
            let vs = VsId([number; 16]);
            let instance = up.iter().find(|(id, _)| *id == vs).map_or(pick(4), |(_, instance)| *instance);
            let effects = match pick(8) {
                0 | 1 => {
                    generation += 1;
                    let present: Vec<u8> = (1..=4_u8).filter(|_| pick(4) > 0).collect();
                    let servers: Vec<VsSpec> = present
                        .into_iter()
                        .map(|number| {
                            let mut spec = spec(number);
                            spec.generation = generation;
                            spec.instance = 1 + generation / (1 + pick(3));
                            spec.kernel = blob(u8::try_from(pick(3)).expect("small"));
                            if pick(3) == 0 {
                                spec.desired = Desired::Stopped;
                            }
                            spec
                        })
                        .collect();
                    bench.configure(&servers)
                }
                2 | 3 => bench.ready(u8::try_from(pick(3)).expect("small")),
                4 => bench.started(number, instance),
                5 => {
                    up.retain(|(id, _)| *id != vs);
                    bench.stopped(number, instance, StopCause::Reset)
                }
                6 => {
                    up.retain(|(id, _)| *id != vs);
                    bench.stopped(number, instance, StopCause::Failed("x".into()))
                }
                _ => bench.step(Event::BlobFailed { digest: blob(1).digest, reason: "x".into() }),
            };
            for started in starts(&effects) {
                assert!(!up.iter().any(|(id, _)| *id == started.0), "seed {seed}: started twice");
                up.push(started);
            }
            for stopped in stops(&effects) {
                assert!(up.contains(&stopped), "seed {seed}: stopped what was not up");
            }
            assert!(bench.node.guest_memory_mib() <= LIMITS.guest_memory_mib, "seed {seed}");
            assert!(effects.len() < 40, "seed {seed}");
        }
    }
}
