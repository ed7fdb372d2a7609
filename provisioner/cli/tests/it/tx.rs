//! Transactions, and dry runs of what changes something.

use weft_api::{ChangedObject, Conflict, FieldChange, ObjectChange, Plan, Transaction};

use crate::double::{Double, ready_node, server};
use crate::run::Shell;

fn transaction(number: u64, name: &str) -> Transaction {
    let object =
        ChangedObject { name: "web".into(), state: "changed".into(), kind: "vs".into(), id: "1".into() };
    Transaction {
        name: name.into(),
        state: "done".into(),
        number,
        at: "2026-11-21T07:00:00Z".into(),
        actor: "admin".into(),
        cause: name.into(),
        undo: "compensable".into(),
        reason: "it boots afresh".into(),
        objects: vec![object],
        ..Transaction::default()
    }
}

fn plan(state: &str) -> Plan {
    let field = |field: &str, before: &str, after: &str| FieldChange {
        field: field.into(),
        before: before.into(),
        after: after.into(),
        changed: before != after,
        derived: false,
    };
    let object = ObjectChange {
        name: "web\u{1b}".into(),
        state: "changed".into(),
        kind: "vs".into(),
        id: "1".into(),
        fields: vec![field("running", "true", "false"), field("vcpus", "1", "1")],
    };
    Plan {
        name: "vs stop".into(),
        state: state.into(),
        undo: "compensable".into(),
        objects: vec![object],
        effects: vec!["node-1 powers web off".into()],
        ..Plan::default()
    }
}

#[test]
fn transactions_are_listed_filtered_and_paged() {
    let double = Double::start();
    double.world().transactions = (1..=9).rev().map(|number| transaction(number, "vs stop")).collect();
    let shell = Shell::new(&double);
    let result =
        shell.run(&["tx", "list", "--limit", "3", "--before", "7", "--object", "web", "--actor", "admin"]);
    assert_eq!(result.code, 0, "{}", result.err);
    let lines: Vec<&str> = result.out.lines().collect();
    assert!(lines[0].starts_with("NUMBER  AT"), "{}", result.out);
    assert!(lines[1].starts_with("6 ") && lines[3].starts_with("4 ") && lines.len() == 4, "{}", result.out);
    assert!(lines[1].contains("vs stop") && lines[1].contains("vs web") && lines[1].contains("compensable"));
    let none = shell.run(&["tx", "log", "--actor", "nobody"]);
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    let json = shell.run(&["transactions", "ls", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("a bare array");
    assert_eq!((value[0]["name"].as_str(), value[0]["state"].as_str()), (Some("vs stop"), Some("done")));
}

#[test]
fn a_transaction_of_many_objects_names_the_first_in_the_list() {
    let double = Double::start();
    let mut many = transaction(7, "vs stop");
    let object = |n| ChangedObject { name: format!("vs-{n}"), ..many.objects[0].clone() };
    many.objects = (0..1000).map(object).collect();
    double.world().transactions = vec![many];
    let list = Shell::new(&double).run(&["tx", "list"]);
    assert!(list.out.contains("vs vs-0, vs vs-1, vs vs-2, vs vs-3 and 996 more "), "{}", list.out);
}

#[test]
fn show_has_all_fields_and_diff_those_that_changed() {
    let double = Double::start();
    double.world().transactions = vec![transaction(7, "vs stop")];
    double.world().plan = plan("done");
    let shell = Shell::new(&double);
    let show = shell.run(&["tx", "show", "7"]);
    assert!(show.out.contains("actor") && show.out.contains("vcpus"), "{}", show.out);
    let diff = shell.run(&["tx", "diff", "7"]);
    assert!(diff.out.contains("running") && !diff.out.contains("vcpus"), "{}", diff.out);
    assert!(!diff.out.contains('\u{1b}') && !show.out.contains('\u{1b}'));
    let json = shell.run(&["tx", "diff", "7", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(value[0]["fields"].as_array().map(Vec::len), Some(1));
    assert_eq!(shell.run(&["tx", "show", "8"]).code, 3);
    assert_eq!(shell.run(&["tx", "show", "0"]).code, 2);
}

#[test]
fn an_undo_looks_first_and_a_dry_run_only_looks() {
    let double = Double::start();
    double.world().plan = plan("planned");
    let shell = Shell::new(&double);
    let dry = shell.run(&["tx", "undo", "7", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert!(
        dry.out.starts_with("planned: vs stop") && dry.out.contains("node-1 powers web off"),
        "{}",
        dry.out
    );
    assert!(dry.err.contains("nothing was changed"), "{}", dry.err);
    let preview = "POST /api/v1/transactions/7/undo?dry_run=true";
    assert_eq!(double.world().heard, [preview]);
    let done = shell.run(&["tx", "undo", "7", "--yes", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&done.out).expect("one document");
    assert_eq!((value["state"].as_str(), value["transaction"].as_u64()), (Some("done"), Some(8)));
    assert!(done.err.contains("transaction 7 is undone by transaction 8"), "{}", done.err);
    assert_eq!(double.world().heard[1..], [preview, "POST /api/v1/transactions/7/undo"]);
}

#[test]
fn an_undo_in_conflict_names_what_is_in_the_way_and_does_nothing() {
    let double = Double::start();
    let conflict = Conflict {
        transaction: 9,
        text: "transaction 9 (vs start by ann) changed running of web".into(),
        ..Conflict::default()
    };
    double.world().plan = Plan { conflicts: vec![conflict], ..plan("conflict") };
    let shell = Shell::new(&double);
    let result = shell.run(&["tx", "undo", "7", "--yes"]);
    assert_eq!(result.code, 4);
    assert!(result.out.contains("conflict: transaction 9 (vs start by ann)"), "{}", result.out);
    assert!(result.err.contains("next: undo what came later first"), "{}", result.err);
    assert!(result.err.contains("weft tx undo 9"), "{}", result.err);
    double.world().plan = Plan { reason: "nodes were told".into(), ..plan("irreversible") };
    let result = shell.run(&["tx", "undo", "7", "--yes"]);
    assert!(result.code == 4 && result.err.contains("cannot be undone: nodes were told"), "{}", result.err);
    assert!(
        double.world().heard.iter().all(|line| line.ends_with("?dry_run=true")),
        "{:?}",
        double.world().heard
    );
}

#[test]
fn each_verb_that_changes_something_has_a_dry_run_or_refuses_one() {
    let double = Double::start();
    double.world().plan = plan("planned");
    double.world().nodes = vec![ready_node("node-1")];
    double.world().vs = vec![server("web", "running")];
    let image = weft_api::Image { name: "1.0".into(), digest: "ab".repeat(32), ..weft_api::Image::default() };
    double.world().images = vec![image];
    let shell = Shell::new(&double);
    let kernel = shell.file("vmlinuz", b"a kernel");
    for args in [
        &["vs", "create", "new", "--start"][..],
        &["vs", "start", "web"],
        &["vs", "stop", "web"],
        &["vs", "reset", "web"],
        &["vs", "delete", "web"],
        &["vs", "label", "web", "env=prod"],
        &["vs", "start", "web", "db"],
        &["vs", "stop", "-l", "env=prod,!old"],
        &["vs", "reset", "--all"],
        &["vs", "delete", "--all"],
        &["partition", "create", "p1", "--nodes", "node-1"],
        &["partition", "delete", "p1"],
        &["node", "approve", "node-1", "--fingerprint", "x"],
        &["node", "forget", "node-1"],
        &["node", "label", "node-1", "rack=3", "spare-"],
        &["node", "approve", "node-1", "node-2", "--fingerprint", "x", "--fingerprint", "y"],
        &["node", "forget", "-l", "rack=3"],
        &["image", "activate", "1.0"],
        &["image", "revoke", "1.0"],
        &["image", "rollout", "start", "1.0", "--all", "--drain", "stop"],
        &["image", "rollout", "back", "1"],
        &["config", "push"],
        &["configure", "node-1"],
        &["node", "reboot", "node-1"],
        &["node", "label", "node-1", "node-2", "rack=3"],
        &["vs", "label", "-l", "env=prod", "tier=web", "old-"],
        &["vs", "move", "web", "db", "--node", "node-2"],
        &["image", "rollout", "pause", "1"],
        &["job", "cancel", "1"],
        &["job", "skip", "1", "--reason", "x"],
        &["session", "end", "x"],
        &["drift", "accept", "web.state"],
        &["drift", "enforce", "web.state"],
        &["image", "publish", &kernel],
    ] {
        let result = shell.run(&[args, &["--dry-run"]].concat());
        assert_eq!(result.code, 0, "{args:?}: {}", result.err);
        assert!(result.out.contains("node-1 powers web off"), "{args:?}: {}", result.out);
        let heard = std::mem::take(&mut double.world().heard);
        assert!(heard.len() == 1 && heard[0].contains("?dry_run=true"), "{args:?}: {heard:?}");
    }
    for args in [
        &["image", "publish", &kernel, "--activate"][..],
        &["vs", "create", "new", "--kernel", &kernel],
        &["logout"],
    ] {
        let result = shell.run(&[args, &["--dry-run"]].concat());
        assert_eq!(result.code, 2, "{args:?}: {}", result.err);
        assert!(result.err.contains("dry"), "{args:?}: {}", result.err);
        assert_eq!(double.world().heard, Vec::<String>::new(), "{args:?}");
    }
}
