//! Forms of output.

use crate::double::{Double, event, ready_node, server};
use crate::run::Shell;

#[test]
fn a_table_of_nodes_has_its_columns() {
    let double = Double::start();
    double.world().nodes = vec![ready_node("node-1")];
    let result = Shell::new(&double).run(&["node", "list"]);
    assert_eq!((result.code, result.err.as_str()), (0, ""));
    assert_eq!(
        result.out,
        "NAME    STATE  STAGE    BOOT          CPUS  MEMORY   GEN  ADDRESS     SEEN\n\
         node-1  ready  channel  uefi trusted  4     1.5 GiB  7    10.20.0.11  -\n"
    );
    let wide = Shell::new(&double).run(&["node", "list", "-o", "wide"]);
    assert!(wide.out.contains("FINGERPRINT") && wide.out.contains("3f2a-91c0-77de-0b14"), "{}", wide.out);
}

#[test]
fn a_json_list_is_a_bare_array_whose_items_have_name_and_state() {
    let double = Double::start();
    double.world().vs = vec![server("web", "running"), server("db", "stopped")];
    let result = Shell::new(&double).run(&["vs", "list", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&result.out).expect("JSON");
    let items = value.as_array().expect("a bare array");
    assert_eq!((items[0]["name"].as_str(), items[0]["state"].as_str()), (Some("web"), Some("running")));
    // Fields come in the order of the interface, not of the alphabet.
    assert!(result.out.find("\"name\"") < result.out.find("\"desired\""));
}

#[test]
fn an_empty_list_is_an_empty_array_and_a_hint_for_a_person() {
    let double = Double::start();
    let shell = Shell::new(&double);
    for noun in [["node", "list"], ["vs", "list"], ["image", "list"], ["event", "list"]] {
        let json = shell.run(&[noun[0], noun[1], "-o", "json"]);
        assert_eq!((json.code, json.out.as_str(), json.err.as_str()), (0, "[]\n", ""), "{noun:?}");
        let table = shell.run(&noun);
        assert_eq!((table.code, table.out.as_str()), (0, ""), "{noun:?}");
        assert!(!table.err.is_empty(), "{noun:?}");
    }
}

#[test]
fn yaml_keeps_order_and_quotes_what_could_be_misread() {
    let double = Double::start();
    double.world().nodes = vec![ready_node("node-1")];
    let result = Shell::new(&double).run(&["node", "list", "-o", "yaml"]);
    assert!(result.out.starts_with("- name: node-1\n  state: ready\n  id: \"3f2a91"), "{}", result.out);
    assert!(result.out.contains("  mac: \"02:00:00:00:00:01\"\n"), "{}", result.out);
    assert!(result.out.contains("  stages:\n    - stage: dhcp\n      at: \"2026-"), "{}", result.out);
}

#[test]
fn a_node_is_shown_with_its_stages() {
    let double = Double::start();
    double.world().nodes = vec![ready_node("node-1")];
    let result = Shell::new(&double).run(&["node", "show", "node-1"]);
    assert!(result.out.contains("trusted-boot   yes\n"), "{}", result.out);
    assert!(result.out.contains("stages         stage=dhcp"), "{}", result.out);
    assert!(result.out.contains("since-first-ms=2100"), "{}", result.out);
}

#[test]
fn a_nodes_log_cannot_write_to_the_terminal() {
    let double = Double::start();
    double.world().nodes = vec![ready_node("node-1")];
    let result = Shell::new(&double).run(&["node", "log", "node-1", "-n", "2"]);
    assert_eq!(result.out.lines().count(), 3, "{}", result.out);
    assert!(!result.out.contains('\u{1b}'), "{:?}", result.out);
    assert!(result.out.contains("1.500"), "{}", result.out);
}

#[test]
fn events_are_listed_after_a_number() {
    let double = Double::start();
    double.world().events = (1..=5).map(event).collect();
    let result = Shell::new(&double).run(&["event", "list", "--after", "3"]);
    assert_eq!(result.out.lines().count(), 3, "{}", result.out);
    assert!(result.out.contains("event 4") && result.out.contains("event 5"), "{}", result.out);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let double = Double::start();
    double.world().vs = (0..3000).map(|index| server(&format!("vs-{index}"), "running")).collect();
    let shell = Shell::new(&double);
    let mut child = shell.command(&["vs", "list", "-o", "json"]).spawn().expect("the program runs");
    drop(child.stdout.take());
    let result = crate::run::outcome(child.wait_with_output().expect("it ends"));
    assert_eq!((result.code, result.err.as_str()), (0, ""));
}
