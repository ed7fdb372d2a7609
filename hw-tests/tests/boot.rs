//! Whole nodes, from power-on to a guest's shell, by the real appliance.
//!
//! `cargo test` boots one cell of each kind of firmware; with `WEFT_SOAK=1` (`./just soak`) every cell that can boot.

use weft_hw_tests::stack::{LabKeys, Stack};
use weft_images::guest;
use weft_lab::{Firmware, NicModel, NodeSpec, Rom};

fn secure_boot(keys: &LabKeys) -> anyhow::Result<Firmware> {
    Ok(Firmware::SecureBoot { variables: keys.variable_store()? })
}

#[test]
fn a_secure_boot_node_becomes_ready_and_runs_linux_to_its_shell() {
    let stack = Stack::boot("uefi", |keys| {
        Ok(NodeSpec { firmware: secure_boot(keys)?, rom: Rom::None, ..NodeSpec::new(1) })
    })
    .expect("a ready node");
    let node = stack.listed_node().expect("listed");
    assert_eq!(node["trusted_boot"], true, "{node}");
    assert_eq!(node["boot_path"], "uefi", "{node}");

    let weft = |arguments: &[&str]| stack.weft(arguments).expect("weft does it");
    weft(&["vs", "create", "shell", "--memory", "256M", "--append=quiet", "--start", "--wait"]);
    let up = format!("{}.*\\n", guest::USERLAND_UP);
    weft(&["vs", "console", "shell", "--timeout", "180", "--wait-for", &up]);
    // What was printed before is shown to those who come later.
    let history = weft(&["vs", "console", "shell", "--timeout", "30", "--wait-for", guest::USERLAND_UP]);
    assert!(history.contains(guest::USERLAND_UP), "{history}");
}

#[test]
fn a_bios_node_becomes_ready_and_is_marked_untrusted() {
    let stack = Stack::boot("bios", |_| {
        Ok(NodeSpec { firmware: Firmware::Bios, nic: NicModel::E1000, ..NodeSpec::new(1) })
    })
    .expect("a ready node");
    let node = stack.listed_node().expect("listed");
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
        bios("bios-e1000e", NicModel::E1000e),
    ];
    // One of them always, so that this test never passes by doing nothing.
    let count = if weft_hw_tests::is_soak() { all.len() } else { 1 };
    all.into_iter().take(count).collect()
}

#[test]
fn every_other_pair_of_firmware_and_card_becomes_ready() {
    for (name, secure, spec) in further_cells() {
        eprintln!("cell {name}");
        let stack = Stack::boot(name, |keys| {
            let firmware = if secure { secure_boot(keys)? } else { spec.firmware.clone() };
            Ok(NodeSpec { firmware, ..spec.clone() })
        })
        .expect("a ready node");
        assert_eq!(stack.listed_node().expect("listed")["trusted_boot"], secure, "{name}");
    }
}
