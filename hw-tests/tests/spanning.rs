//! One unmodified Linux over two nodes: memory of both, processors of both, a wire that loses frames, a node that dies.

use std::io::Write;
use std::time::Duration;

use weft_hw_tests::members::{Machine, Member, Pair, Said, count};
use weft_hw_tests::{permit, workspace};
use weft_images::guest::{self, USERLAND_UP};
use weft_images::stress;
use weft_lab::switch::Faults;

const PATIENCE: Duration = Duration::from_secs(900);
const BOTH: [Member; 2] = [Member { vcpus: 1, memory_mib: 320 }; 2];
/// Bytes of a frame of the interconnect that has a page and all else of its message, and of one that any Ethernet carries
/// (docs/interconnect.md).
const WITH_PAGE: u64 = 4204;
const ANYWHERE: u64 = 1472;
/// One processor, and half of the memory elsewhere: what a guest can be that has little time.
const FIRST: [Member; 2] = [Member { vcpus: 1, memory_mib: 128 }, Member { vcpus: 0, memory_mib: 128 }];

/// What a guest with a processor on each node runs in the soak. In the tests it reaches its userland: unpacking the programs
/// alone takes minutes over two nodes.
const LONG: &[&str] = &[
    "litmus:10",
    "clocks:10",
    "fill:60%",
    "openmp:128:2",
    "pingpong:5",
    "storm:10",
    "perl:2000",
    "python:200",
    "memtester:8",
    "sysbench:5",
    "stress-ng:20",
    "modules:2",
    "ftrace:1",
];

/// Members of a guest that only has to reach its userland: in the soak with a processor on each.
fn reaching() -> [Member; 2] {
    if weft_hw_tests::is_soak() { BOTH } else { FIRST }
}

/// The monitor's first words.
const BEGUN: &str = "weft dvmm";

/// The number after the last `what`.
fn number(said: &str, what: &str) -> u64 {
    let (_, rest) = said.rsplit_once(what).unwrap_or_else(|| panic!("no `{what}` in:\n{said}"));
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no number after `{what}` in:\n{said}"))
}

fn guest() -> guest::Guest {
    guest::build(&workspace::root().join("target/guest")).expect("the guest")
}

fn stress_guest() -> guest::Guest {
    let target = workspace::root().join("target");
    stress::build(&target.join("stress"), &target.join("guest")).expect("the stress guest")
}

fn pair<'a>(guest: &'a guest::Guest, append: &'a [&'a str]) -> Pair<'a> {
    Pair {
        members: BOTH,
        machines: [Machine::SMALL; 2],
        kernel: &guest.kernel,
        initrd: &guest.initrd,
        append,
        second: "",
        pinned: true,
        faults: None,
    }
}

#[test]
fn a_guest_with_memory_of_two_nodes_reaches_its_userland_and_ends_on_both() {
    let _permit = permit::nodes().expect("a permit");
    let guest = guest();
    let folder = tempfile::tempdir().expect("a folder");
    let machines = [Machine { mtu: 9000, ..Machine::SMALL }; 2];
    let pair = Pair { members: FIRST, machines, ..pair(&guest, &["quiet", "weft.poweroff"]) };
    let said = pair.run(folder.path(), PATIENCE, |_| false).expect("it ends");
    assert!(said.first.contains(USERLAND_UP), "{}", said.evidence());
    for node in [&said.first, &said.second] {
        assert!(node.contains("weft guest: PowerOff"), "{}", said.evidence());
        assert_eq!(number(node, " frame: "), WITH_PAGE, "jumbo frames: {}", said.evidence());
    }
    // The first node does not locate half of the pages: it has asked for them, most of them before anybody waited.
    assert!(count(&said.first, "coherence", "sent").expect("figures") > 1000, "{}", said.evidence());
    if weft_hw_tests::is_soak() {
        a_program_fills_more_than_a_node_has();
    }
}

/// Two nodes of 2 GiB and two processors each; the guest has four processors, and each of them reads all that one wrote.
fn a_program_fills_more_than_a_node_has() {
    let guest = stress_guest();
    let folder = tempfile::tempdir().expect("a folder");
    let members = [Member { vcpus: 2, memory_mib: 1536 }; 2];
    let machines = [Machine { processors: 2, mib: 2048, ..Machine::SMALL }; 2];
    let fill = stress::run_option(&["fill:2662"]);
    let append = ["loglevel=7", fill.as_str()];
    let pair = Pair { members, machines, ..pair(&guest, &append) };
    let said = pair.run(folder.path(), 8 * PATIENCE, |_| false).expect("it ends");
    assert_eq!(stress::summary(&said.first), Some((1, 0)), "{}", said.evidence());
    let read = |cpu: u32| said.first.contains(&format!("fill: processor {cpu} read 2662 MiB"));
    assert!((0..4).all(read), "{}", said.evidence());
}

#[test]
fn processors_of_two_nodes_are_one_machine_that_computes_right() {
    let _permit = permit::nodes().expect("a permit");
    let soak = weft_hw_tests::is_soak();
    let guest = if soak { stress_guest() } else { guest() };
    let programs = stress::run_option(LONG);
    let append = ["loglevel=7", if soak { &programs } else { "weft.poweroff" }];
    // The second node's time runs a twentieth too fast, so that the first one's steps again and again; no program may see
    // it run backwards.
    let pair = Pair { second: "drift=1050", ..pair(&guest, &append) };
    let run = || {
        let folder = tempfile::tempdir().expect("a folder");
        pair.run(folder.path(), 4 * PATIENCE, |_| false).expect("it ends")
    };
    let mut said = run();
    if soak && stress::summary(&said.first).is_none() {
        // It ended before its programs did: seen once, not explained (docs/status.md). Never hidden, and wrong results stand.
        let _ = writeln!(std::io::stderr(), "ended early, and is started anew: {}", said.evidence());
        said = run();
    }
    assert!(number(&said.first, "clock_steps: ") > 100, "{}", said.evidence());
    for line in ["smp: Brought up 2 nodes, 2 CPUs", "NO_HZ: Full dynticks CPUs: 1."] {
        assert!(said.first.contains(line), "{line}: {}", said.evidence());
    }
    if soak {
        assert_eq!(stress::summary(&said.first), Some((LONG.len() as u32, 0)), "{}", said.evidence());
    } else {
        assert!(said.first.contains(USERLAND_UP), "{}", said.evidence());
    }
    for node in [&said.first, &said.second] {
        assert!(node.contains("weft guest: PowerOff"), "{}", said.evidence());
        // Neither side sees anything that the protocol has no place for.
        for defect in ["impossible", "malformed", "other_epoch"] {
            assert_eq!(
                count(node, "coherence", defect).expect("figures"),
                0,
                "{defect}: {}",
                said.evidence()
            );
        }
    }
}

/// Where a virtual processor was at the guest's end, and how often it had moved, as a node knows it.
fn whereabouts(said: &str, vcpu: u32) -> Option<(u32, u32)> {
    let (_, rest) = said.rsplit_once(&format!("weft guest: vCPU {vcpu} at member "))?;
    let (at, rest) = rest.split_once(", moves ")?;
    Some((at.parse().ok()?, rest.lines().next()?.trim().parse().ok()?))
}

#[test]
fn a_processor_that_waits_for_pages_goes_to_them() {
    let _permit = permit::nodes().expect("a permit");
    let folder = tempfile::tempdir().expect("a folder");
    // In the soak with programs that check what they compute while it goes to and fro.
    let soak = weft_hw_tests::is_soak();
    let guest = if soak { stress_guest() } else { guest() };
    let programs = stress::run_option(LONG);
    let append = if soak { ["loglevel=7", &programs] } else { ["quiet", "weft.poweroff"] };
    let pair = Pair { pinned: false, second: "drift=1050", ..pair(&guest, &append) };
    let said = pair.run(folder.path(), 2 * PATIENCE, |_| false).expect("it ends");
    if soak {
        assert_eq!(stress::summary(&said.first), Some((LONG.len() as u32, 0)), "{}", said.evidence());
    } else {
        assert!(said.first.contains(USERLAND_UP), "{}", said.evidence());
    }
    let known = [&said.first, &said.second].map(|node| whereabouts(node, 1).expect("whereabouts"));
    assert_eq!(known[0], known[1], "both know the same");
    assert!(known[0].1 >= 1, "it moved: {}", said.evidence());
    for node in [&said.first, &said.second] {
        assert_eq!(whereabouts(node, 0), Some((0, 0)), "the first stays with the devices");
        assert!(node.contains("weft guest: PowerOff"), "{}", said.evidence());
    }
}

#[test]
fn nodes_that_differ_are_one_machine_of_what_both_have() {
    let _permit = permit::nodes().expect("a permit");
    let guest = guest();
    let folder = tempfile::tempdir().expect("a folder");
    let small = Machine { processors: 1, mib: 1024, lacks: "-avx2,-adx", mtu: 1500 };
    let large = Machine { processors: 2, mib: 2048, lacks: "-bmi2", mtu: 9000 };
    // All three processors in the soak: three emulated ones on two are slow.
    let (vcpus, line) = if weft_hw_tests::is_soak() { (2, "3 CPUs") } else { (0, "1 CPU") };
    let members = [Member { vcpus: 1, memory_mib: 256 }, Member { vcpus, memory_mib: 512 }];
    let append = ["loglevel=7", "weft.features", "weft.poweroff"];
    let pair = Pair { members, machines: [small, large], ..pair(&guest, &append) };
    let said = pair.run(folder.path(), 2 * PATIENCE, |_| false).expect("it ends");
    assert!(said.first.contains(&format!("smp: Brought up 2 nodes, {line}")), "{}", said.evidence());
    let kinds: Vec<&str> =
        said.first.lines().filter_map(|line| line.strip_prefix("weft guest: features: ")).collect();
    assert_eq!(kinds.len(), 1, "all processors say the same: {kinds:?}: {}", said.evidence());
    let has = |feature: &str| kinds[0].split_whitespace().any(|word| word == feature);
    for lacking in ["avx2", "adx", "bmi2"] {
        assert!(!has(lacking), "{lacking}: {kinds:?}");
    }
    // The long frames of one do not arrive at the other, and it finds that out.
    assert_eq!([&said.first, &said.second].map(|said| number(said, " frame: ")), [1500, ANYWHERE]);
    // Both have these, and neither lost them for the other's sake.
    assert!(has("bmi1") && has("sse4_2"), "{kinds:?}");
}

#[test]
fn a_wire_that_harms_frames_costs_time_and_a_cut_one_ends_the_guest_on_both_sides() {
    let _permit = permit::nodes().expect("a permit");
    let guest = guest();
    let folder = tempfile::tempdir().expect("a folder");
    // Every twentieth frame: lost, doubled, bent or late.
    let faults = Faults { loss: 20, duplicate: 10, corrupt: 10, reorder: 10, ..Faults::default() };
    let pair = Pair { members: reaching(), faults: Some((faults, 5)), ..pair(&guest, &["quiet"]) };
    let mut running = pair.start(folder.path()).expect("two nodes");
    let up = running.until(PATIENCE, |said| said.first.contains(USERLAND_UP)).expect("the guest runs");
    assert!(up.first.contains(USERLAND_UP), "{}", up.evidence());
    let stats = running.wire().expect("a wire").stats();
    assert!(stats.lost > 100 && stats.corrupted > 50 && stats.duplicated > 50, "{stats:?}");

    running.wire().expect("a wire").cut();
    let lost = |said: &str| said.contains("of the server is lost");
    let said = running.until(PATIENCE, |said| lost(&said.first) && lost(&said.second)).expect("an end");
    assert!(lost(&said.first) && lost(&said.second), "{}", said.evidence());
}

#[test]
fn the_death_of_a_node_ends_the_guest_on_the_other_with_the_cause() {
    let _permit = permit::nodes().expect("a permit");
    let guest = guest();
    let pair = Pair { members: reaching(), ..pair(&guest, &["quiet"]) };
    let lost = |said: &str| said.contains("Failed(\"member 1 of the server is lost\")");
    // Once in its userland, and in the soak at any moment since its monitor began.
    let moments = if weft_hw_tests::is_soak() { 12 } else { 0 };
    let after = (0..moments).map(|moment| Some(Duration::from_millis(100 + 1700 * moment)));
    for after in after.chain([None]) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut running = pair.start(folder.path()).expect("two nodes");
        let there = |said: &Said| match after {
            Some(_) => said.first.contains(BEGUN) && said.second.contains(BEGUN),
            None => said.first.contains(USERLAND_UP),
        };
        let up = running.until(PATIENCE, there).expect("the guest runs");
        assert!(there(&up), "{after:?}: {}", up.evidence());
        std::thread::sleep(after.unwrap_or_default());
        running.kill(1).expect("the second node dies");
        let said = running.until(PATIENCE, |said| lost(&said.first)).expect("an end");
        assert!(lost(&said.first), "{after:?}: {}", said.evidence());
    }
}
