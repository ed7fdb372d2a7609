//! Whole nodes, from power-on to a guest's shell, by the real appliance.
//!
//! `cargo test` boots one cell of each kind of firmware; with `WEFT_SOAK=1` (`./just soak`) every cell that can boot.

use std::process::Stdio;
use std::time::Duration;

use weft_hw_tests::stack::{Access, LabKeys, Progress, appliance, image, nodes};
use weft_hw_tests::{permit, workspace};
use weft_images::guest;
use weft_lab::{Firmware, Lab, LabConfig, NicModel, Node, NodeSpec, Rom};

const READY: Duration = Duration::from_secs(240);

/// Everything of one lab; nodes are switched off before the wire ends.
struct Stack {
    access: Access,
    nodes: Vec<Node>,
    _lab: Lab,
    _permit: permit::Permit,
}

fn secure_boot(keys: &LabKeys) -> Firmware {
    Firmware::SecureBoot { variables: keys.variable_store().expect("a variable store") }
}

/// Starts an appliance, publishes the image, boots one node and waits until it is ready.
fn boot(name: &str, spec: impl Fn(&LabKeys) -> NodeSpec) -> Stack {
    let permit = permit::nodes().expect("a permit");
    let keys = LabKeys::open().expect("keys");
    let image = image::build_with(&keys).expect("an image");
    let guest = guest::build(&workspace::root().join("target/guest")).expect("a guest");
    let mut lab = Lab::start(LabConfig::test(name)).expect("a lab");
    let access = appliance::start(&mut lab, &keys, &guest).expect("an appliance");
    appliance::publish(&access, &image).expect("published");
    let mut node = lab.node(spec(&keys)).expect("a node");
    node.power_on().expect("on");
    let nodes = vec![node];
    nodes::bring_up(&access, &nodes, READY, &Progress::start()).expect("ready");
    Stack { access, nodes, _lab: lab, _permit: permit }
}

fn only_node(stack: &Stack) -> serde_json::Value {
    let listed = stack.access.ask(&["node", "list"]).expect("a list");
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    listed[0].clone()
}

#[test]
fn a_secure_boot_node_becomes_ready_and_runs_linux_to_its_shell() {
    let stack =
        boot("uefi", |keys| NodeSpec { firmware: secure_boot(keys), rom: Rom::None, ..NodeSpec::new(1) });
    let node = only_node(&stack);
    assert_eq!(node["trusted_boot"], true, "{node}");
    assert_eq!(node["boot_path"], "uefi", "{node}");

    let weft = |arguments: &[&str]| {
        let mut command = stack.access.weft(arguments);
        workspace::output(command.stdin(Stdio::null())).expect("weft does it")
    };
    weft(&["vs", "create", "shell", "--memory", "256M", "--append=quiet", "--start", "--wait"]);
    let up = format!("{}.*\\n", guest::USERLAND_UP);
    weft(&["vs", "console", "shell", "--timeout", "180", "--wait-for", &up]);
    // What was printed before is shown to those who come later.
    let history = weft(&["vs", "console", "shell", "--timeout", "30", "--wait-for", guest::USERLAND_UP]);
    assert!(history.contains(guest::USERLAND_UP), "{history}");
    assert_eq!(stack.nodes.len(), 1);
}

#[test]
fn a_bios_node_becomes_ready_and_is_marked_untrusted() {
    let stack =
        boot("bios", |_| NodeSpec { firmware: Firmware::Bios, nic: NicModel::E1000, ..NodeSpec::new(1) });
    let node = only_node(&stack);
    assert_eq!(node["trusted_boot"], false, "{node}");
    assert_eq!(node["boot_path"], "bios", "{node}");
}

/// Firmware, ROM and card of a cell beyond those of the tests above. Not there because they cannot boot: OVMF without
/// a ROM on anything but virtio (it has no driver of its own).
fn further_cells() -> Vec<(&'static str, bool, NodeSpec)> {
    let uefi = |name, secure, nic, rom| (name, secure, NodeSpec { nic, rom, ..NodeSpec::new(1) });
    let bios = |name, nic| (name, false, NodeSpec { firmware: Firmware::Bios, nic, ..NodeSpec::new(1) });
    let all = vec![
        uefi("uefi-own-virtio", false, NicModel::Virtio, Rom::None),
        uefi("uefi-ipxe-virtio", false, NicModel::Virtio, Rom::Ipxe),
        uefi("uefi-ipxe-e1000", false, NicModel::E1000, Rom::Ipxe),
        uefi("secure-ipxe-virtio", true, NicModel::Virtio, Rom::Ipxe),
        uefi("secure-ipxe-e1000", true, NicModel::E1000, Rom::Ipxe),
        bios("bios-virtio", NicModel::Virtio),
    ];
    // One of them always, so that this test never passes by doing nothing.
    let count = if std::env::var_os("WEFT_SOAK").is_some() { all.len() } else { 1 };
    all.into_iter().take(count).collect()
}

#[test]
fn every_other_pair_of_firmware_and_card_becomes_ready() {
    for (name, secure, spec) in further_cells() {
        eprintln!("cell {name}");
        let stack = boot(name, |keys| {
            let firmware = if secure { secure_boot(keys) } else { spec.firmware.clone() };
            NodeSpec { firmware, ..spec.clone() }
        });
        assert_eq!(only_node(&stack)["trusted_boot"], secure, "{name}");
    }
}
