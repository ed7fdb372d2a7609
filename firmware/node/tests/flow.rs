//! The whole way of a node over a wire: address, delegation, channel, records, files, guest; with loss,
//! garbage, death of the appliance, and everything that must be refused.

#[expect(dead_code, reason = "shared with the test of a member, which uses the rest")]
mod lab;

use lab::server::NODE_ADDRESS;
use lab::trust::{NOW_S, Trust};
use lab::wire::Faults;
use lab::{GUEST_MAC, MAC, VS, World, digest, spec};
use weft_agent::Phase;
use weft_node::runtime::Command;
use weft_node::{Event, StopCause};
use weft_transport::noise::public_key;
use weft_types::{Fingerprint, NodeId};
use weft_wire::agent::{BootKind, PROTOCOL, Stage, ToNode, ToServer, VsState, Welcome};
use weft_wire::figures::{SpanCounts, SpanFigures, VcpuHome};
use weft_wire::load::{NodeLoad, ServerLoad};
use weft_wire::record::{NodeConfig, Payload, Verdict};

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at / 7) as u8 ^ (at % 251) as u8 ^ seed).collect()
}

fn console_bytes(world: &mut World, from: usize) -> Vec<u8> {
    let messages = world.server().received[from..].to_vec();
    let mut bytes = Vec::new();
    for message in messages {
        if let ToServer::Console { offset, bytes: piece, .. } = message {
            assert_eq!(offset, bytes.len() as u64, "no gap and no repeat");
            bytes.extend(piece);
        }
    }
    bytes
}

#[test]
fn a_node_walks_from_power_on_to_a_running_guest() {
    let mut world = World::new(1, Faults::default());
    let (kernel, initrd) = (pattern(300_000, 1), pattern(700_001, 2));
    let hello = world.until_running(60, &kernel, &initrd);
    assert_eq!(hello.protocol, PROTOCOL);
    assert_eq!(hello.boot_counter, 5);
    assert_eq!((hello.boot.path, hello.boot.secure_boot), (BootKind::Uefi, true));
    assert_eq!((hello.boot.generation, hello.boot.floor, hello.boot.delegation_version), (3, 2, 1));
    assert_eq!(hello.boot.image_digest.0, [7; 32]);
    assert_eq!(hello.inventory.nics[0].address, NODE_ADDRESS);
    assert!(hello.inventory.nics[0].link_up);
    let stages: Vec<Stage> = hello.boot.stages.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, [Stage::Entry, Stage::Verified, Stage::Network, Stage::Delegation, Stage::Channel]);
    assert!(hello.boot.stages.is_sorted_by_key(|(_, at_us)| *at_us));
    assert_eq!(world.server().node_key, public_key(&[0x11; 32]));
    assert_eq!(world.server().vendor_class, b"weft-node");
    let started = world.commands.iter().find_map(|command| match command {
        Command::StartVs { spec, kernel, initrd } => Some((spec.clone(), kernel.clone(), initrd.clone())),
        _ => None,
    });
    let (started, got_kernel, got_initrd) = started.expect("a start");
    assert_eq!(started, spec(&kernel, &initrd));
    assert_eq!(got_kernel.map(|bytes| bytes.to_vec()), Some(kernel));
    assert_eq!(got_initrd.map(|bytes| bytes.to_vec()), Some(initrd));
    let said = world.said();
    let fingerprint = format!("weft: fingerprint {}\n", Fingerprint(world.runtime.id()));
    assert_eq!(said.matches(&fingerprint).count(), 1, "{said}");
    for line in ["weft: stage network 10.77.0.12\n", "weft: stage delegation 1 from 10.77.0.1\n"] {
        assert_eq!(said.matches(line).count(), 1, "{said}");
    }
}

#[test]
fn console_flows_both_ways_and_heartbeats_come() {
    let mut world = World::new(2, Faults::default());
    world.until_running(60, &pattern(10, 1), &pattern(20, 2));
    let text = pattern(10_000, 9);
    for piece in text.chunks(777) {
        world.runtime.event(world.now_ns, Event::ConsoleOutput { vs: VS, bytes: piece.to_vec() });
    }
    world.server().send(&ToNode::ConsoleInput { vs: VS, bytes: b"ls\n".to_vec() });
    world.until(5, "the console", |world| console_bytes(world, 0).len() == text.len());
    assert_eq!(console_bytes(&mut world, 0), text);
    world.until(5, "input", |world| {
        world.commands.contains(&Command::ConsoleInput { vs: VS, bytes: b"ls\n".to_vec() })
    });
    let before = world.server().received.len();
    world.run(5000);
    let beats = world.server().received[before..].iter();
    let beats = beats.filter(|message| matches!(message, ToServer::Heartbeat(_))).count();
    assert!((4..=6).contains(&beats), "{beats} heartbeats in five seconds");
}

#[test]
fn figures_of_a_spanning_server_reach_the_appliance_and_do_not_pile_up() {
    let mut world = World::new(21, Faults::default());
    world.until_running(60, &pattern(10, 1), &pattern(20, 2));
    let figures = |remote_read| {
        let counts = SpanCounts { remote_read, ..SpanCounts::default() };
        let vcpus = vec![VcpuHome { vcpu: 1, cpu: 0 }];
        Box::new(SpanFigures { vs: VS, instance: 1, member: 1, vcpus, counts, ..SpanFigures::default() })
    };
    let got = |world: &mut World| -> Vec<u64> {
        let received = world.server().received.iter();
        received
            .filter_map(|message| match message {
                ToServer::SpanFigures(figures) => Some(figures.counts.remote_read),
                _ => None,
            })
            .collect()
    };
    world.runtime.event(world.now_ns, Event::SpanFigures(figures(7)));
    world.until(5, "figures", |world| got(world) == [7]);
    // Taken again and again without the channel being served: the newest is told, and it alone.
    for second in 1..=5 {
        let at = world.now_ns + second * 1_000_000_000;
        world.runtime.event(at, Event::SpanFigures(figures(7 + second)));
    }
    world.until(5, "the newest figures", |world| got(world) == [7, 12]);
}

#[test]
fn load_is_told_with_each_heartbeat_and_the_newest_only() {
    let mut world = World::new(22, Faults::default());
    world.until_running(60, &pattern(10, 1), &pattern(20, 2));
    let load = |busy_ns| {
        let server = ServerLoad { vs: VS, instance: 1, busy_ns, ..ServerLoad::default() };
        Box::new(NodeLoad { busy_ns, servers: vec![server], ..NodeLoad::default() })
    };
    let got = |world: &mut World| -> Vec<u64> {
        let received = world.server().received.iter();
        received
            .filter_map(|message| match message {
                ToServer::Load(load) => Some(load.servers[0].busy_ns),
                _ => None,
            })
            .collect()
    };
    (1..=3).for_each(|busy_ns| world.runtime.set_load(load(busy_ns)));
    world.run(3000);
    assert_eq!(got(&mut world), [3], "each once");
    world.runtime.set_load(load(4));
    world.until(3, "the next load", |world| got(world) == [3, 4]);
}

#[test]
fn loss_duplicates_corruption_and_garbage_only_cost_time() {
    for seed in 10..16 {
        let faults = Faults { loss: 5, duplicate: 5, corrupt: 3, garbage: 10 };
        let mut world = World::new(seed, faults);
        world.until_running(300, &pattern(60_000, 1), &pattern(90_000, 2));
    }
}

#[test]
fn a_wire_full_of_noise_neither_stops_nor_fools_the_node() {
    let mut world = World::new(3, Faults::default());
    let mut dice = lab::wire::Dice::new(77);
    for _ in 0..2000 {
        let len = usize::try_from(dice.next() % 1514).expect("small");
        let mut frame: Vec<u8> = (0..len).map(|_| dice.next() as u8).collect();
        if len > 14 && dice.chance(70) {
            frame[..6].copy_from_slice(&MAC);
            frame[12..14].copy_from_slice(&[8, if dice.chance(50) { 0 } else { 6 }]);
        }
        world.wire.lock().expect("one thread").inject(&frame);
    }
    world.until_running(60, &pattern(10, 1), &pattern(20, 2));
}

#[test]
fn an_appliance_without_the_delegated_key_is_refused_in_words() {
    let mut world = World::new(4, Faults::default());
    world.server().channel_key = [0x77; 32];
    world.run(20_000);
    assert_ne!(world.runtime.phase(), Phase::Online);
    assert!(world.server().received.is_empty());
    assert!(world.said().contains("appliance 10.77.0.1 port 4470: "), "{}", world.said());
}

#[test]
fn a_delegation_of_a_foreign_root_is_refused_in_words() {
    let mut world = World::new(5, Faults::default());
    let foreign = Trust::new(0x99).delegation(1, NOW_S + 1000, vec![]);
    world.server().delegation = Some(foreign);
    world.run(20_000);
    assert!(world.server().received.is_empty());
    assert!(world.said().contains("delegation from 10.77.0.1 refused: "), "{}", world.said());
    // The right one is taken as soon as it is there.
    let good = world.trust.delegation(1, NOW_S + 1000, vec![]);
    world.server().delegation = Some(good);
    world.until_greeted();
}

#[test]
fn an_expired_delegation_lets_no_configuration_pass() {
    let mut world = World::new(6, Faults::default());
    let expired = world.trust.delegation(1, NOW_S - 1, vec![]);
    world.server().delegation = Some(expired);
    let hello = world.until_greeted();
    let standing = world.record(&hello, &World::standing(&hello, Verdict::Good));
    let result = world.answer_to(standing);
    assert!(result.result.expect_err("refused").contains("delegation is not valid now"));
    let config = world.record(&hello, &Payload::Config(NodeConfig::default()));
    assert!(world.answer_to(config).result.is_err());
}

#[test]
fn an_older_delegation_is_refused_after_a_newer_one() {
    let mut world = World::new(7, Faults::default());
    let newer = world.trust.delegation(8, NOW_S + 1000, vec![]);
    world.server().delegation = Some(newer);
    world.until_greeted();
    let older = world.trust.delegation(7, NOW_S + 1000, vec![]);
    world.server = None;
    world.run(10_000);
    world.start_server();
    world.server().delegation = Some(older);
    world.until(60, "the refusal", |world| world.said().contains("version 7 is older than version 8"));
    // The newer one still counts, and the node comes back with it.
    assert_eq!(world.until_greeted().boot.delegation_version, 8);
}

#[test]
fn a_revoked_appliance_is_not_dialled() {
    let mut world = World::new(8, Faults::default());
    let revoked = vec![weft_format::key_id(&public_key(&world.trust.channel))];
    let delegation = world.trust.delegation(1, NOW_S + 1000, revoked);
    world.server().delegation = Some(delegation);
    world.run(20_000);
    assert!(world.server().received.is_empty());
    assert!(!world.server().is_connected());
}

#[test]
fn records_that_are_not_for_now_and_here_are_refused() {
    let mut world = World::new(9, Faults::default());
    let hello = world.until_greeted();
    let config = Payload::Config(NodeConfig::default());

    let early = world.record(&hello, &config);
    let result = world.answer_to(early);
    assert!(result.result.expect_err("no standing yet").contains("not yet confirmed"));

    let good = world.record(&hello, &World::standing(&hello, Verdict::Good));
    assert_eq!(world.answer_to(good.clone()).result, Ok(()));
    let replayed = world.answer_to(good.clone()).result.expect_err("replayed");
    assert!(replayed.contains("replayed or stale"), "{replayed}");

    world.counter += 1;
    let mut envelope = world.trust.envelope(NodeId([9; 16]), hello.boot_nonce, world.counter);
    let other_node = world.trust.seal(&envelope, &config);
    assert!(world.answer_to(other_node).result.expect_err("refused").contains("for node 0909"));

    envelope = world.trust.envelope(world.runtime.id(), [1; 16], world.counter);
    let other_boot = world.trust.seal(&envelope, &config);
    assert!(world.answer_to(other_boot).result.expect_err("refused").contains("another boot"));

    let mut flipped = world.record(&hello, &config);
    flipped[100] ^= 1;
    assert!(world.answer_to(flipped).result.is_err());
    let mut trailing = world.record(&hello, &config);
    trailing.push(0);
    assert!(world.answer_to(trailing).result.is_err());
    let truncated = world.record(&hello, &config);
    assert!(world.answer_to(truncated[..truncated.len() - 1].to_vec()).result.is_err());
    let foreign = Trust::new(0x98);
    let envelope = foreign.envelope(world.runtime.id(), hello.boot_nonce, 99);
    let foreign = foreign.seal(&envelope, &config);
    assert!(world.answer_to(foreign).result.expect_err("refused").contains("not delegated"));

    // After all that, a good one passes.
    let good = world.record(&hello, &config);
    assert_eq!(world.answer_to(good).result, Ok(()));
}

#[test]
fn a_revoked_image_gets_no_configuration() {
    let mut world = World::new(20, Faults::default());
    let hello = world.until_greeted();
    let revoked = world.record(&hello, &World::standing(&hello, Verdict::Revoked));
    let result = world.answer_to(revoked).result.expect_err("refused");
    assert!(result.contains("revoked"), "{result}");
    let config = world.record(&hello, &Payload::Config(NodeConfig::default()));
    assert!(world.answer_to(config).result.is_err());
    assert!(world.said().contains("the image that this node runs was revoked"));
}

#[test]
fn quarantine_is_said_on_the_console() {
    let mut world = World::new(21, Faults::default());
    let reason = String::from("waiting for approval");
    world.server().welcome = Some(Welcome { protocol: PROTOCOL, quarantined: true, reason });
    world.until_greeted();
    assert!(world.said().contains("weft: quarantined: waiting for approval\n"), "{}", world.said());
}

#[test]
fn the_last_words_of_an_appliance_that_hangs_up_are_heard() {
    let mut world = World::new(40, Faults::default());
    let reason = String::from("identity used twice");
    world.server().welcome = Some(Welcome { protocol: PROTOCOL, quarantined: true, reason });
    world.server().greets_and_leaves = true;
    world.run(30_000);
    let said = world.said();
    assert!(said.contains("weft: quarantined: identity used twice\n"), "{said}");
    assert!(said.contains("the appliance closed the connection"), "{said}");
}

#[test]
fn a_configuration_that_cannot_be_is_refused_whole() {
    let mut world = World::new(22, Faults::default());
    let hello = world.until_greeted();
    world.approve(&hello);
    let mut bad = spec(&[1], &[2]);
    bad.vcpus = 0;
    let mut other = spec(&[1], &[2]);
    other.id.0[0] = 1;
    other.macs = vec![];
    let config = NodeConfig { name: String::new(), servers: vec![other, bad] };
    let record = world.record(&hello, &Payload::Config(config));
    world.run(1000);
    let result = world.answer_to(record).result.expect_err("refused");
    assert!(result.contains("0 processors"), "{result}");
    world.run(2000);
    assert!(world.runtime.node().statuses().is_empty());
}

#[test]
fn guests_run_on_while_the_appliance_is_dead_and_history_follows() {
    let mut world = World::new(23, Faults::default());
    world.until_running(60, &pattern(1000, 1), &pattern(2000, 2));
    world.runtime.event(world.now_ns, Event::ConsoleOutput { vs: VS, bytes: b"before ".to_vec() });
    world.run(1000);
    world.server = None;
    world.until(30, "the loss noticed", |world| world.runtime.phase() != Phase::Online);
    world.runtime.event(world.now_ns, Event::ConsoleOutput { vs: VS, bytes: b"during ".to_vec() });
    world.run(60_000);
    assert!(!world.commands.iter().any(|command| matches!(command, Command::StopVs { .. })));
    world.start_server();
    let hello = world.until_greeted();
    assert_eq!(hello.last_record, (1, 2));
    world.runtime.event(world.now_ns, Event::ConsoleOutput { vs: VS, bytes: b"after".to_vec() });
    world.until(10, "the history", |world| console_bytes(world, 0) == b"before during after");
    assert_eq!(world.state(), Some((VsState::Running, String::new())));
}

#[test]
fn a_half_open_connection_is_noticed_and_replaced() {
    let mut world = World::new(24, Faults::default());
    world.until_greeted();
    world.wire.lock().expect("one thread").cut = true;
    world.until(30, "the silence noticed", |world| world.runtime.phase() != Phase::Online);
    world.wire.lock().expect("one thread").cut = false;
    world.server().received.clear();
    world.until_greeted();
}

#[test]
fn without_an_appliance_the_default_configuration_runs_until_one_comes() {
    let mut world = World::without_server(25, Faults::default());
    world.run(30_000);
    assert_eq!(world.runtime.phase(), Phase::Address);
    assert!(world.runtime.node().statuses().is_empty());
    world.start_server();
    world.server().delegation = None;
    world.until(60, "words about it", |world| {
        world.said().contains("no appliance found, running the built-in default configuration")
    });
    let delegation = world.trust.delegation(1, NOW_S + 1000, vec![]);
    world.server().delegation = Some(delegation);
    world.until_running(60, &pattern(10, 1), &pattern(20, 2));
}

#[test]
fn the_command_line_names_the_server() {
    let mut world = World::with_facts(26, Faults::default(), |facts| {
        facts.cmdline = "quiet server=10.77.0.1".into();
        facts.boot_server = Some([10, 77, 0, 99]);
    });
    world.start_server();
    world.until_greeted();
    assert!(!world.said().contains("10.77.0.99"));
}

#[test]
fn a_server_that_is_not_there_is_passed_over() {
    let mut world = World::with_facts(27, Faults::default(), |facts| {
        facts.boot_server = Some([10, 77, 0, 99]);
    });
    world.start_server();
    world.until_greeted();
    assert!(world.said().contains("delegation from 10.77.0.99 refused: no answer"));
}

#[test]
fn a_node_without_a_kept_key_draws_one() {
    let mut first = World::with_facts(28, Faults::default(), |facts| facts.node_key = None);
    let second = World::with_facts(29, Faults::default(), |facts| facts.node_key = None);
    assert_ne!(first.runtime.id(), second.runtime.id());
    first.start_server();
    first.until_greeted();
    let key: [u8; 32] = first.server().node_key.clone().try_into().expect("32 bytes");
    assert_eq!(weft_agent::node_id(&key), first.runtime.id());
}

#[test]
fn a_kernel_with_another_digest_does_not_start() {
    // One read long, and several, so that each try makes progress before it fails.
    for (seed, len) in [(30, 5000), (41, 16_384), (42, 17_000), (43, 100_000), (44, 300_000)] {
        let mut world = World::new(seed, Faults::default());
        let (kernel, initrd) = (pattern(len, 1), pattern(5000, 2));
        let mut wrong = kernel.clone();
        wrong[4000] ^= 1;
        world.server().blobs.insert(digest(&kernel), wrong);
        world.server().blobs.insert(digest(&initrd), initrd.clone());
        let hello = world.until_greeted();
        world.approve(&hello);
        world.configure(&hello, vec![spec(&kernel, &initrd)]);
        world.until(60, "the failure", |world| {
            world.state().is_some_and(|(state, reason)| state == VsState::Failed && reason.contains("digest"))
        });
        assert!(!world.commands.iter().any(|command| matches!(command, Command::StartVs { .. })));
    }
}

#[test]
fn a_file_that_the_server_lacks_fails_the_start_with_the_reason() {
    let mut world = World::new(31, Faults::default());
    let hello = world.until_greeted();
    world.approve(&hello);
    world.configure(&hello, vec![spec(&[1], &[2])]);
    world.until(60, "the failure", |world| {
        world.state().is_some_and(|(state, reason)| state == VsState::Failed && reason.contains("404"))
    });
}

#[test]
fn a_transfer_that_breaks_goes_on_where_it_stopped() {
    let mut world = World::new(32, Faults::default());
    world.server().http_cut = 100_000;
    world.until_running(60, &pattern(400_000, 1), &pattern(20, 2));
    let requests = world.server().http_requests.clone();
    let resumed = requests.iter().filter(|request| request.contains("Range: bytes=100000-")).count();
    assert_eq!(resumed, 1, "{requests:?}");
}

#[test]
fn too_little_memory_is_a_reason() {
    let mut world = World::new(33, Faults::default());
    let hello = world.until_greeted();
    world.approve(&hello);
    let mut large = spec(&[1], &[2]);
    large.memory_mib = 4096;
    world.configure(&hello, vec![large]);
    world.until(30, "the failure", |world| {
        world.state().is_some_and(|(_, reason)| reason.contains("4096 MiB, and 1024 MiB are free"))
    });
}

#[test]
fn a_guest_that_fails_says_so_and_a_new_instance_starts() {
    let mut world = World::new(34, Faults::default());
    let (kernel, initrd) = (pattern(100, 1), pattern(100, 2));
    let hello = world.until_running(60, &kernel, &initrd);
    let cause = StopCause::Failed("triple fault at rip 0x1000".into());
    world.runtime.event(world.now_ns, Event::VsStopped { vs: VS, instance: 1, cause });
    world.until(10, "the failure", |world| {
        world.state() == Some((VsState::Failed, "triple fault at rip 0x1000".into()))
    });
    let mut again = spec(&kernel, &initrd);
    (again.generation, again.instance) = (2, 2);
    world.commands.clear();
    world.configure(&hello, vec![again.clone()]);
    world.until(10, "the new instance", |world| {
        world.commands.iter().any(|c| matches!(c, Command::StartVs { spec, .. } if *spec == again))
    });
}

#[test]
fn guest_frames_reach_the_wire_and_come_back() {
    let mut world = World::new(35, Faults::default());
    world.until_running(60, &pattern(10, 1), &pattern(20, 2));
    // An ARP request of the guest for the appliance's address (RFC 826).
    let mut arp = vec![0xff; 6];
    arp.extend(GUEST_MAC);
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend(GUEST_MAC);
    arp.extend([10, 77, 0, 50, 0, 0, 0, 0, 0, 0, 10, 77, 0, 1]);
    assert_eq!(world.runtime.guest_tx(VS, 0, &arp), Ok(()));
    world.until(5, "the answer", |world| world.runtime.guest_rx_ready(VS, 0));
    let mut frame = [0; 1518];
    let len = world.runtime.guest_rx(VS, 0, &mut frame).expect("ready");
    assert!(len >= 42);
    assert_eq!(frame[..6], GUEST_MAC);
    assert_eq!(frame[20..22], [0, 2], "an ARP reply");
    world.runtime.event(world.now_ns, Event::VsStopped { vs: VS, instance: 1, cause: StopCause::Off });
    assert!(world.runtime.guest_tx(VS, 0, &arp).is_err(), "a stopped guest has no port");
}

#[test]
fn a_message_that_is_none_ends_the_connection_and_the_node_returns() {
    let mut world = World::new(36, Faults::default());
    for bytes in [&[9][..], &[4, 0], &[1, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
        world.until_greeted();
        world.server().received.clear();
        world.server().send_raw(bytes);
        world.until_greeted();
    }
    assert!(world.said().contains("bad message"));
    world.server().received.clear();
    world.server().send_unsealed(&[0, 30, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    world.server().send_unsealed(&[0; 14]);
    world.until_greeted();
    assert!(world.said().contains("bytes were changed"), "{}", world.said());
}

#[test]
fn a_reboot_command_reaches_the_monitor() {
    let mut world = World::new(37, Faults::default());
    world.until_greeted();
    world.server().send(&ToNode::Command(weft_wire::agent::Command::Reboot));
    world.until(5, "the command", |world| world.commands.contains(&Command::Reboot));
}

#[test]
fn an_appliance_that_greets_and_hangs_up_is_asked_ever_more_rarely() {
    let mut world = World::new(38, Faults::default());
    world.until_greeted();
    let mut hellos = 0;
    let end = world.now_ns + 60_000_000_000;
    while world.now_ns < end {
        world.run(10);
        let server = world.server();
        hellos += server.received.iter().filter(|message| matches!(message, ToServer::Hello(_))).count();
        if !server.received.is_empty() {
            server.received.clear();
            server.hang_up();
        }
    }
    assert!((3..20).contains(&hellos), "{hellos} greetings in a minute");
}

#[test]
fn a_nic_that_takes_nothing_lets_the_node_idle() {
    let mut world = World::new(39, Faults::default());
    world.until_running(60, &pattern(10, 1), &pattern(20, 2));
    world.wire.lock().expect("one thread").stuck = true;
    let (mut polls, start) = (0, world.now_ns);
    let mut now = start;
    while now < start + 2_000_000_000 {
        now = world.runtime.poll(now).max(now + 1);
        polls += 1;
    }
    assert!(polls < 5000, "{polls} polls in two seconds");
}

#[test]
fn a_node_rests_whether_an_appliance_is_there_and_whatever_it_thinks_of_it() {
    let mut alone = World::without_server(40, Faults::default());
    alone.run(5_000);
    let calls = alone.calls_at_once(10_000);
    assert!(calls < 500, "without an appliance: {calls} calls at once in ten seconds");

    let mut world = World::new(41, Faults::default());
    let hello = world.until_greeted();
    let calls = world.calls_at_once(10_000);
    assert!(calls < 500, "before its approval: {calls} calls at once in ten seconds");

    world.approve(&hello);
    world.until(30, "open to operators", |world| world.runtime.unix_ns().is_some());
    let calls = world.calls_at_once(10_000);
    assert!(calls < 500, "approved: {calls} calls at once in ten seconds");
}
