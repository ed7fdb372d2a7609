//! Management controllers and power.

use weft_api::{Conflict, ObjectChange, Plan};

use crate::double::Double;
use crate::run::Shell;

fn plan(conflicts: Vec<Conflict>) -> Plan {
    let object =
        |name: &str| ObjectChange { kind: "power".into(), name: name.into(), ..ObjectChange::default() };
    Plan {
        name: "node power".into(),
        objects: vec![object("node-1"), object("node-2")],
        effects: vec!["node-1: its controller took the power off".into()],
        conflicts,
        ..Plan::default()
    }
}

#[test]
fn a_password_comes_from_a_file_and_is_shown_nowhere() {
    let double = Double::start();
    let shell = Shell::new(&double);
    let (password, pem) = (shell.file("secret", b"hunter2\n"), shell.file("ca.pem", b"PEM\n"));
    let setting =
        ["node", "bmc", "set", "node-1", "--kind", "redfish", "--address", "bmc-1", "--account", "weft"];
    let with = |more: &[&str]| shell.run(&[&setting[..], more].concat());
    let done = with(&["--password-file", &password, "--certificate", &pem, "--system", "2"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(
        double.world().heard,
        [
            r#"PUT /api/v1/nodes/node-1/bmc {"account":"weft","address":"bmc-1","certificate":"PEM\n","kind":"redfish","password":"hunter2","system":"2"}"#
        ]
    );
    assert!(!done.out.contains("hunter2") && !done.err.contains("hunter2"), "{}{}", done.out, done.err);
    assert!(done.err.contains("weft node power status node-1"), "{}", done.err);
    // Without a terminal nobody can be asked for it, and it is no argument.
    assert_eq!(with(&[]).code, 2);
    assert_eq!(with(&["--password", "hunter2"]).code, 2);
    assert_eq!(with(&["--keep-password", "--password-file", &password]).code, 2);
    assert_eq!(double.world().heard.len(), 1);
    let kept = with(&["--keep-password", "--certificate", "sha256:ab"]);
    assert_eq!(kept.code, 0, "{}", kept.err);
    assert!(double.world().heard[1].contains(r#""certificate":"sha256:ab""#), "{:?}", double.world().heard);
}

#[test]
fn what_failed_is_told_beside_what_was_done_and_ends_with_4() {
    let double = Double::start();
    let shell = Shell::new(&double);
    double.world().plan = plan(Vec::new());
    let done = shell.run(&["node", "power", "off", "node-1", "node-2", "--graceful"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(
        double.world().heard,
        [
            r#"POST /api/v1/groups/nodes/power {"action":"off","graceful":true,"select":{"all":false,"allow_empty":false,"names":["node-1","node-2"],"selector":""}}"#
        ]
    );
    let failed = Conflict { name: "node-2".into(), text: "node-2: no answer".into(), ..Conflict::default() };
    double.world().plan = plan(vec![failed]);
    let done = shell.run(&["node", "power", "reset", "-l", "rack=3"]);
    assert_eq!(done.code, 4, "{}", done.err);
    assert!(
        done.out.contains("node-1: its controller took") && done.out.contains("node-2: no answer"),
        "{}",
        done.out
    );
    assert!(done.err.contains("1 of 2 nodes did not do it"), "{}", done.err);
    // Only a power off is graceful, and something must be chosen.
    assert_eq!(shell.run(&["node", "power", "reset", "node-1", "--graceful"]).code, 2);
    assert_eq!(shell.run(&["node", "power", "on"]).code, 2);
}
