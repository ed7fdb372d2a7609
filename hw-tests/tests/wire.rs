//! The lab itself, on the real thing: PXE ROMs of emulated machines boot through the wire from dnsmasq.

use std::path::Path;
use std::time::Duration;

use weft_hw_tests::{peers, permit};
use weft_lab::{Error, Faults, Firmware, Lab, LabConfig, NicModel, NodeSpec, Rom};

const BOOT: Duration = Duration::from_secs(120);

const GREETING: &str = "Open Source Network Boot Firmware";

fn lab_with_dnsmasq(name: &str) -> Lab {
    let mut lab = Lab::start(LabConfig::test(name)).expect("a lab");
    let root = lab.folder().join("tftp");
    std::fs::create_dir(&root).expect("a folder");
    for file in ["ipxe.efi", "undionly.kpxe"] {
        std::fs::copy(Path::new("/usr/lib/ipxe").join(file), root.join(file)).expect("copied");
    }
    peers::start_dnsmasq(&mut lab, &root, &[(0, "undionly.kpxe"), (7, "ipxe.efi")]).expect("dnsmasq");
    lab
}

/// Debian's iPXE builds greet on the console: proof that the firmware fetched and started them.
fn boots_ipxe(spec: NodeSpec, faults: Faults) {
    let _permit = permit::nodes().expect("a permit");
    let mut lab = lab_with_dnsmasq("wire");
    let mut node = lab.node(spec).expect("a node");
    lab.set_faults(&node.spec().name, faults).expect("set");
    node.power_on().expect("on");
    // The ROM's own greeting is "iPXE 1.0.0+…" too where there is such a ROM; the file's comes after it.
    let greetings = if node.spec().rom == Rom::None { 1 } else { 2 };
    for _ in 0..greetings {
        node.wait_for(GREETING, BOOT).expect("iPXE greets");
    }
    let stats = lab.stats().expect("counters");
    assert!(stats.delivered > 50, "the file came over the wire: {stats:?}");
    let captured = std::fs::metadata(lab.folder().join("wire.pcap")).expect("a capture").len();
    assert!(captured > 50_000, "{captured} bytes captured");
    let picture = node.screenshot("booted").expect("a picture");
    assert!(std::fs::read(picture).expect("read").starts_with(b"\x89PNG"));
}

#[test]
fn uefi_boots_by_its_own_pxe_stack() {
    boots_ipxe(NodeSpec { rom: Rom::None, ..NodeSpec::new(1) }, Faults::default());
}

#[test]
fn bios_boots_by_the_roms_pxe_over_a_lossy_wire() {
    let spec = NodeSpec { firmware: Firmware::Bios, nic: NicModel::E1000, ..NodeSpec::new(1) };
    boots_ipxe(spec, Faults { loss: 10, delay_max_us: 300, ..Faults::default() });
}

#[test]
fn a_partitioned_node_gets_nothing_and_says_so() {
    let _permit = permit::nodes().expect("a permit");
    let mut lab = Lab::start(LabConfig::test("partition")).expect("a lab");
    let mut node = lab.node(NodeSpec { firmware: Firmware::Bios, ..NodeSpec::new(1) }).expect("a node");
    lab.set_group("node-1", 1).expect("set");
    let before = lab.stats().expect("counters").delivered;
    node.power_on().expect("on");
    let error = node.wait_for(GREETING, Duration::from_secs(60)).err();
    assert!(error.is_none(), "the ROM itself greets: {error:?}");
    match node.wait_for("no such line", Duration::from_secs(8)) {
        Err(Error::Silent { pattern, .. }) => assert_eq!(pattern, "no such line"),
        other => panic!("{other:?}"),
    }
    // Its ROM asks for an address in its own time.
    let end = std::time::Instant::now() + Duration::from_secs(120);
    while lab.stats().expect("counters").partitioned == 0 {
        assert!(std::time::Instant::now() < end, "it sent nothing: {:?}", lab.stats());
        std::thread::sleep(Duration::from_millis(200));
    }
    let stats = lab.stats().expect("counters");
    assert_eq!(stats.delivered, before, "{stats:?}");
}

#[test]
fn variable_stores_and_consoles_survive_a_power_cycle() {
    let _permit = permit::nodes().expect("a permit");
    let mut lab = lab_with_dnsmasq("cycle");
    let mut node = lab.node(NodeSpec { rom: Rom::None, ..NodeSpec::new(1) }).expect("a node");
    let store = lab.folder().join("node-1.variables.fd");
    let fresh = std::fs::read(&store).expect("a store");
    node.power_on().expect("on");
    node.wait_for(GREETING, BOOT).expect("iPXE greets");
    node.power_off();
    assert!(!node.is_on());
    let written = std::fs::read(&store).expect("a store");
    assert_ne!(written, fresh, "OVMF wrote its boot options");
    let console = node.serial().text();
    node.power_on().expect("on again");
    node.wait_for(GREETING, BOOT).expect("iPXE greets again");
    assert!(node.serial().text().starts_with(&console), "the log of the first boot is kept");
}
