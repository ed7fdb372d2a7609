//! Operators at the door of a whole node, the appliance being away: who comes in, who does not, and what starts.

#[expect(dead_code, reason = "shared with the tests of the whole way, which use the rest")]
mod lab;
#[path = "lab/line.rs"]
mod line;
#[expect(dead_code, reason = "shared with the tests of partitions, which use the rest")]
#[path = "lab/operator.rs"]
mod operator;
use lab::trust;

use lab::trust::{NOW_S, Trust};
use lab::wire::Faults;
use lab::{VS, World, digest, spec};
use line::Line;
use operator::{Keys, issued};
use weft_format::{KeyId, key_id};
use weft_node::runtime::Command;
use weft_node::{Event, StopCause};
use weft_transport::noise::public_key;
use weft_types::ClusterId;
use weft_wire::agent::{ToServer, VsState};
use weft_wire::codec::encode;
use weft_wire::operator::{Answer, Ask, Certificate, MAX_ASK, NodeView, Role, Wanted};
use weft_wire::record::{Desired, Verdict, VsSpec};

const NODE: [u8; 32] = [0x11; 32];
const KERNEL: &[u8] = b"a kernel";
const INITRD: &[u8] = b"a ram disk";

/// An approved node whose appliance has gone.
fn alone(seed: u64, revoked: Vec<KeyId>, servers: Vec<VsSpec>) -> World {
    let mut world = World::new(seed, Faults::default());
    world.server().delegation = Some(world.trust.delegation(1, NOW_S + 1000, revoked));
    let hello = world.until_greeted();
    world.approve(&hello);
    world.configure(&hello, servers);
    world.run(500);
    world.server().off = true;
    world.run(500);
    world
}

fn certificate(world: &World, keys: &Keys, change: impl FnOnce(&mut Certificate)) -> Vec<u8> {
    let mut certificate = keys.certificate(&world.trust);
    change(&mut certificate);
    issued(&world.trust, &certificate)
}

/// Somebody at the door with these keys, and what the node says.
#[track_caller]
fn knock(world: &mut World, port: u16, keys: &Keys, certificate: &[u8]) -> (Line, Option<String>) {
    let mut line = Line::open(world, port);
    let said = line.knock(world, &keys.channel, &public_key(&NODE), certificate);
    (line, said)
}

/// An operator who came in and proved its key.
#[track_caller]
fn enter(world: &mut World, port: u16, keys: &Keys, certificate: &[u8]) -> (Line, NodeView) {
    let (mut line, said) = knock(world, port, keys, certificate);
    assert_eq!(said.as_deref(), Some(""), "{}", world.said());
    match line.ask(world, &Ask::View) {
        Some(Answer::View(view)) => (line, *view),
        other => panic!("no view: {other:?}\n{}", world.said()),
    }
}

fn refused(answer: Option<Answer>) -> String {
    match answer {
        Some(Answer::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn starts(world: &World) -> Vec<u64> {
    let start = |command: &Command| match command {
        Command::StartVs { spec, .. } => Some(spec.instance),
        _ => None,
    };
    world.commands.iter().filter_map(start).collect()
}

#[test]
fn a_good_credential_sees_the_node_while_the_appliance_is_away() {
    let mut world = alone(1, vec![], vec![VsSpec { desired: Desired::Stopped, ..spec(KERNEL, INITRD) }]);
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    let (mut line, view) = enter(&mut world, 5000, &keys, &good);
    assert_eq!((view.node, view.online, view.partition), (world.runtime.id(), false, None));
    let server = &view.servers[0];
    assert_eq!((server.id, server.name.as_str(), server.wanted), (VS, "guest", false));
    assert_eq!((server.state, server.spans), (Some(VsState::Stopped), false));
    assert_eq!((server.loader, server.missing.len()), (view.node, 2));
    let Some(Answer::Notes(notes)) = line.ask(&mut world, &Ask::Notes) else { panic!("no events") };
    assert!(notes.iter().any(|note| note.text == "operator ann is connected from 10.77.0.1"), "{notes:?}");
    assert!(world.said().contains("weft: operator ann is connected from 10.77.0.1\n"), "{}", world.said());
}

#[test]
fn who_asks_again_before_it_was_answered_is_sent_away() {
    let mut world = alone(19, vec![], vec![]);
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    let (mut line, _) = enter(&mut world, 5000, &keys, &good);
    let ask = encode(&Ask::View, MAX_ASK).unwrap();
    let both = [line.sealed(&ask), line.sealed(&ask)].concat();
    line.send(&mut world, &both);
    assert_eq!(line.receive(&mut world), None);
    assert!(world.said().contains("it asks again before it was answered"), "{}", world.said());
}

#[test]
fn the_door_is_shut_until_the_appliance_has_vouched_for_the_node_and_after_it_has_not() {
    let mut world = World::new(2, Faults::default());
    let hello = world.until_greeted();
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    assert_eq!(knock(&mut world, 5000, &keys, &good).1, None);
    world.approve(&hello);
    world.run(500);
    let (mut line, _) = enter(&mut world, 5001, &keys, &good);
    let revoked = world.record(&hello, &World::standing(&hello, Verdict::Revoked));
    world.send_record(revoked);
    world.run(500);
    assert!(line.is_over(&mut world), "who was in is sent away");
    assert_eq!(line.receive(&mut world), None);
    assert_eq!(knock(&mut world, 5002, &keys, &good).1, None);
}

#[test]
fn strangers_are_told_nothing() {
    let mut world = alone(3, vec![], vec![]);
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    let foreign = Trust::new(0x24);
    let mut bent = good.clone();
    bent[40] ^= 1;
    let cases: [(&str, Vec<u8>); 6] = [
        ("another signer", issued(&foreign, &keys.certificate(&foreign))),
        ("another signer that claims our key", issued(&foreign, &keys.certificate(&world.trust))),
        ("another cluster", certificate(&world, &keys, |c| c.cluster = ClusterId([9; 16]))),
        ("another operator's certificate", certificate(&world, &Keys::new(4), |_| {})),
        ("a bent certificate", bent),
        ("none at all", vec![]),
    ];
    for (port, (what, certificate)) in (5000..).zip(cases) {
        assert_eq!(knock(&mut world, port, &keys, &certificate).1, None, "{what}");
        assert!(world.said().contains("weft: operator from 10.77.0.1 is refused: "), "{what}");
        world.run(600);
    }
    assert!(!world.said().contains("is connected"), "{}", world.said());
    enter(&mut world, 5100, &keys, &good);
}

#[test]
fn a_credential_that_has_run_out_or_is_revoked_is_refused_in_words() {
    let keys = Keys::new(3);
    let lost = key_id(&public_key(&keys.channel));
    let mut world = alone(4, vec![lost], vec![]);
    let revoked = certificate(&world, &keys, |_| {});
    let said = knock(&mut world, 5000, &keys, &revoked).1;
    assert_eq!(said.as_deref(), Some("this credential is revoked; have another one issued"));
    let others = Keys::new(4);
    let expired = certificate(&world, &others, |c| c.expiry = NOW_S);
    let (line, said) = knock(&mut world, 5001, &others, &expired);
    assert!(said.as_deref().is_some_and(|said| said.starts_with("this credential is expired")), "{said:?}");
    world.until(5, "the end", |world| line.is_over(world));
    let early = certificate(&world, &others, |c| c.not_before = NOW_S + 500);
    let said = knock(&mut world, 5002, &others, &early).1;
    assert!(said.as_deref().is_some_and(|said| said.contains("not valid before")), "{said:?}");
    // Time goes on while a session lasts.
    let short = certificate(&world, &others, |c| c.expiry = NOW_S + 50);
    let (mut line, _) = enter(&mut world, 5003, &others, &short);
    world.run(55_000);
    let reason = refused(line.ask(&mut world, &Ask::View));
    assert!(reason.starts_with("this credential is expired"), "{reason}");
    world.until(5, "the end", |world| line.is_over(world));
}

#[test]
fn a_record_key_that_is_revoked_takes_its_operators_along() {
    let keys = Keys::new(3);
    let mut world = World::new(5, Faults::default());
    let hello = world.until_greeted();
    world.approve(&hello);
    world.run(500);
    let good = certificate(&world, &keys, |_| {});
    enter(&mut world, 5000, &keys, &good);
    let record = key_id(&world.trust.record.verifying_key().to_bytes());
    world.server().delegation = Some(world.trust.delegation(2, NOW_S + 1000, vec![record]));
    world.server().hang_up();
    world.until(60, "the newer delegation", |world| world.said().contains("stage delegation 2"));
    assert_eq!(knock(&mut world, 5001, &keys, &good).1, None);
}

#[test]
fn a_first_message_that_was_recorded_opens_nothing() {
    let mut world = alone(6, vec![], vec![]);
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    let (real, _) = enter(&mut world, 5000, &keys, &good);
    real.hang_up(&mut world);
    let connected = world.said().matches("is connected").count();
    let mut replay = Line::open(&mut world, 5001);
    replay.send(&mut world, &real.first);
    assert!(replay.receive(&mut world).is_some(), "an answer that only the operator can read");
    replay.send(&mut world, &[&[0, 40][..], &[7; 40]].concat());
    assert_eq!(replay.receive(&mut world), None, "the node hangs up");
    // One that stays silent is sent away, too.
    let mut silent = Line::open(&mut world, 5002);
    silent.send(&mut world, &real.first);
    assert!(silent.receive(&mut world).is_some());
    let before = world.now_ns;
    assert_eq!(silent.receive(&mut world), None);
    assert!((4..7).contains(&((world.now_ns - before) / 1_000_000_000)));
    assert_eq!(world.said().matches("is connected").count(), connected, "{}", world.said());
}

#[test]
fn garbage_and_lengths_beyond_all_bounds_end_the_connection() {
    let mut world = alone(7, vec![], vec![]);
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    for (port, bytes) in (5000..).zip([&[0xff; 600][..], &[0, 0], &[0, 96, 1, 2, 3], &[2; 3000]]) {
        let mut line = Line::open(&mut world, port);
        line.send(&mut world, bytes);
        assert_eq!(line.receive(&mut world), None, "{bytes:?}");
        world.run(600);
    }
    // Behind the handshake as well: a frame that is too long, one that does not open, a question that is none.
    for (port, what) in (5100..).zip(["long", "bent", "nonsense"]) {
        let (mut line, _) = enter(&mut world, port, &keys, &good);
        let bytes = match what {
            "long" => vec![0xff; 4000],
            "bent" => {
                let mut sealed = line.sealed(&[0]);
                sealed[3] ^= 1;
                sealed
            }
            _ => line.sealed(&[0x63; 5]),
        };
        line.send(&mut world, &bytes);
        assert_eq!(line.receive(&mut world), None, "{what}");
        world.run(600);
    }
    enter(&mut world, 5200, &keys, &good);
}

#[test]
fn half_open_connections_keep_nobody_out_for_long() {
    let mut world = alone(8, vec![], vec![]);
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    for port in 5000..5012 {
        let _ = Line::open(&mut world, port);
    }
    world.run(20_000);
    enter(&mut world, 5100, &keys, &good);
}

#[test]
fn two_operators_at_once_and_no_more() {
    let mut world = alone(9, vec![], vec![]);
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    let (first, _) = enter(&mut world, 5000, &keys, &good);
    let (mut second, _) = enter(&mut world, 5001, &keys, &good);
    let (third, said) = knock(&mut world, 5002, &keys, &good);
    assert_eq!(said.as_deref(), Some("other operators are connected; try again later"));
    world.until(5, "the end", |world| third.is_over(world));
    first.hang_up(&mut world);
    world.run(1000);
    enter(&mut world, 5003, &keys, &good);
    // Who says nothing gives its place up.
    world.run(60_000);
    assert_eq!(second.receive(&mut world), None);
}

#[test]
fn a_server_whose_files_are_here_starts_and_stops_and_the_appliance_hears_of_it() {
    let mut world = World::new(10, Faults::default());
    let hello = world.until_running(60, KERNEL, INITRD);
    world.server().off = true;
    world.run(1000);
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    let (mut line, _) = enter(&mut world, 5000, &keys, &good);
    assert_eq!(line.ask(&mut world, &Ask::Want { vs: VS, running: false }), Some(Answer::Done));
    assert!(world.commands.contains(&Command::StopVs { vs: VS, instance: 1 }));
    world.runtime.event(world.now_ns, Event::VsStopped { vs: VS, instance: 1, cause: StopCause::Stopped });
    assert_eq!(line.ask(&mut world, &Ask::Want { vs: VS, running: true }), Some(Answer::Done));
    assert_eq!(starts(&world), [1, 2]);
    world.runtime.event(world.now_ns, Event::VsStarted { vs: VS, instance: 2 });
    // Again: nothing to do.
    assert_eq!(line.ask(&mut world, &Ask::Want { vs: VS, running: true }), Some(Answer::Done));
    assert_eq!(starts(&world), [1, 2]);
    let Some(Answer::Notes(notes)) = line.ask(&mut world, &Ask::Notes) else { panic!("no events") };
    let wanted = |text: &str| notes.iter().any(|note| note.kind == "vs.wanted" && note.text == text);
    assert!(wanted("operator ann wants it stopped") && wanted("operator ann wants it running"), "{notes:?}");
    line.hang_up(&mut world);
    let before = world.server().received.len();
    world.server().off = false;
    world.until(60, "the appliance hears of it", |world| {
        world.server().received[before..].iter().any(|message| {
            let expected = Wanted { vs: VS, generation: 3, instance: 2, running: true, by: "ann".into() };
            matches!(message, ToServer::Wanted(wanted) if *wanted == expected)
        })
    });
    // Its older word does not undo the change, a later one does.
    world.approve(&hello);
    world.configure(&hello, vec![spec(KERNEL, INITRD)]);
    world.run(500);
    assert!(!world.commands.contains(&Command::StopVs { vs: VS, instance: 2 }));
    let later = VsSpec { generation: 4, instance: 2, desired: Desired::Stopped, ..spec(KERNEL, INITRD) };
    world.configure(&hello, vec![later]);
    world.until(5, "the appliance's word", |world| {
        world.commands.contains(&Command::StopVs { vs: VS, instance: 2 })
    });
}

#[test]
fn a_server_whose_files_are_elsewhere_is_refused_with_the_digest() {
    let mut world = alone(11, vec![], vec![VsSpec { desired: Desired::Stopped, ..spec(KERNEL, INITRD) }]);
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    let (mut line, _) = enter(&mut world, 5000, &keys, &good);
    let reason = refused(line.ask(&mut world, &Ask::Want { vs: VS, running: true }));
    assert!(
        reason.contains(&digest(KERNEL).to_string()) && reason.contains("start the appliance"),
        "{reason}"
    );
    assert!(starts(&world).is_empty());
    let (_, view) = enter(&mut world, 5001, &keys, &good);
    assert!(!view.servers[0].wanted, "nothing changed");
}

#[test]
fn who_may_only_look_changes_nothing() {
    let mut world = alone(12, vec![], vec![VsSpec { desired: Desired::Stopped, ..spec(KERNEL, INITRD) }]);
    let keys = Keys::new(3);
    let looks = certificate(&world, &keys, |c| c.role = Role::Observe);
    let (mut line, _) = enter(&mut world, 5000, &keys, &looks);
    for ask in [Ask::Want { vs: VS, running: true }, Ask::Amend(vec![1])] {
        assert!(refused(line.ask(&mut world, &ask)).contains("for looking only"));
    }
    assert!(matches!(line.ask(&mut world, &Ask::View), Some(Answer::View(_))));
}

#[test]
fn the_wire_may_lose_and_bend_frames() {
    let mut world = alone(13, vec![], vec![]);
    world.wire.lock().expect("one thread").faults = Faults { loss: 5, duplicate: 5, corrupt: 3, garbage: 5 };
    let keys = Keys::new(3);
    let good = certificate(&world, &keys, |_| {});
    let (mut line, _) = enter(&mut world, 5000, &keys, &good);
    for _ in 0..5 {
        assert!(matches!(line.ask(&mut world, &Ask::View), Some(Answer::View(_))));
    }
}
