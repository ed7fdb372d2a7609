//! Several objects at once, labels, selectors.

use weft_api::{Conflict, ObjectChange, Plan};

use crate::double::{Double, ready_node, server};
use crate::run::Shell;

fn plan(names: &[&str]) -> Plan {
    let object = |name: &&str| ObjectChange {
        kind: "vs".into(),
        name: name.to_string(),
        state: "changed".into(),
        ..ObjectChange::default()
    };
    Plan {
        name: "vs start".into(),
        state: "planned".into(),
        objects: names.iter().map(object).collect(),
        effects: names.iter().map(|name| format!("node-1 starts {name}")).collect(),
        ..Plan::default()
    }
}

/// `web` and `db` of production, `old` of none; a plan for the two.
fn three() -> Double {
    let double = Double::start();
    let mut servers = [server("web", "stopped"), server("db", "stopped"), server("old", "stopped")];
    servers[0].labels = [("env".into(), "prod".into()), ("tier".into(), "web".into())].into();
    servers[1].labels = [("env".into(), "prod".into())].into();
    double.world().vs = servers.into();
    double.world().plan = plan(&["web", "db"]);
    double
}

#[test]
fn a_group_is_one_request_and_its_undo_is_named() {
    let double = three();
    let shell = Shell::new(&double);
    let result = shell.run(&["vs", "start", "web", "db"]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert_eq!(
        double.world().heard,
        [
            r#"POST /api/v1/groups/vs {"action":"start","select":{"all":false,"allow_empty":false,"names":["web","db"],"selector":""}}"#
        ]
    );
    assert!(result.err.contains("2 virtual servers in transaction 7"), "{}", result.err);
    assert!(result.err.contains("weft tx undo 7"), "{}", result.err);
    let lines: Vec<&str> = result.out.lines().collect();
    assert!(
        lines.len() == 3 && lines[1].starts_with("web ") && lines[2].starts_with("db "),
        "{}",
        result.out
    );
    let json = shell.run(&["vs", "stop", "--all", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("JSON alone on standard output");
    assert_eq!(value.as_array().map(Vec::len), Some(2));
}

#[test]
fn each_verb_takes_a_selector_or_all() {
    let double = three();
    let shell = Shell::new(&double);
    for (args, action) in [
        (&["vs", "start", "-l", "env=prod,tier!=db , !old"][..], "start"),
        (&["vs", "stop", "--selector", "env=prod,tier!=db,!old"], "stop"),
        (&["vs", "reset", "-l", "env=prod,tier!=db,!old"], "reset"),
        (&["vs", "delete", "-l", "env=prod,tier!=db,!old", "--yes"], "delete"),
        (&["node", "forget", "-l", "env=prod,tier!=db,!old", "--yes"], "forget"),
    ] {
        let result = shell.run(args);
        assert_eq!(result.code, 0, "{args:?}: {}", result.err);
        let heard = std::mem::take(&mut double.world().heard);
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains(&format!(r#""action":"{action}""#)), "{heard:?}");
        assert!(
            heard[0].contains(
                r#""all":false,"allow_empty":false,"names":[],"selector":"env=prod,tier!=db,!old""#
            ),
            "{heard:?}"
        );
    }
    assert_eq!(shell.run(&["vs", "delete", "--all", "--allow-empty"]).code, 0);
    assert!(
        double.world().heard[0].contains(r#""all":true,"allow_empty":true"#),
        "{:?}",
        double.world().heard
    );
}

#[test]
fn a_group_waits_until_all_are_there_and_says_who_failed() {
    let double = three();
    for vs in &mut double.world().vs {
        vs.state = if vs.name == "db" { "failed" } else { "running" }.into();
        vs.reason = if vs.name == "db" { "triple fault".into() } else { String::new() };
    }
    let shell = Shell::new(&double);
    let result = shell.run(&["vs", "start", "-l", "env=prod", "--wait"]);
    assert_eq!(result.code, 1, "{}", result.err);
    assert!(result.err.contains("db failed: triple fault"), "{}", result.err);
    assert_eq!(result.out.lines().count(), 3, "{}", result.out);
    double.world().vs[0].state = "starting".into();
    let result = shell.run(&["vs", "start", "-l", "env=prod", "--wait", "--timeout", "1"]);
    assert_eq!(result.code, 7, "{}", result.err);
    assert!(result.err.contains("1 of 2 are not done after 1 s"), "{}", result.err);
}

#[test]
fn a_group_that_would_be_refused_says_by_whom_and_ends_with_four() {
    let double = three();
    let conflict = |name: &str| Conflict {
        name: name.into(),
        text: format!("{name} is stopped; start it: weft vs start {name}"),
        ..Conflict::default()
    };
    double.world().plan = Plan {
        name: "vs reset".into(),
        state: "conflict".into(),
        conflicts: vec![conflict("web"), conflict("db")],
        ..Plan::default()
    };
    let result = Shell::new(&double).run(&["vs", "reset", "--all", "--dry-run"]);
    assert_eq!(result.code, 4, "{}", result.err);
    assert!(
        result.out.contains("conflict: web is stopped") && result.out.contains("conflict: db is stopped"),
        "{}",
        result.out
    );
    assert!(result.err.contains("2 in the way"), "{}", result.err);
}

#[test]
fn choosing_nothing_ends_with_three() {
    let double = three();
    double.world().broken = Some((
        404,
        r#"{"code":"nothing-chosen","status":404,"title":"there is no virtual server with env=none","next":"--allow-empty"}"#,
    ));
    let result = Shell::new(&double).run(&["vs", "start", "-l", "env=none"]);
    assert_eq!((result.code, result.out.as_str()), (3, ""));
    assert!(result.err.contains("there is no virtual server with env=none"), "{}", result.err);
}

#[test]
fn lists_take_a_selector_and_show_labels_where_asked() {
    let double = three();
    let mut node = ready_node("node-1");
    node.labels = [("rack".into(), "3".into()), ("a_b".into(), String::new())].into();
    double.world().nodes = vec![node, ready_node("node-2")];
    let shell = Shell::new(&double);
    let result = shell.run(&["vs", "list", "-l", "env=prod,!tier"]);
    assert!(result.out.contains("db") && result.out.lines().count() == 2, "{}", result.out);
    assert!(!result.out.contains("LABELS"), "{}", result.out);
    let wide = shell.run(&["vs", "list", "-o", "wide"]);
    assert!(wide.out.contains("LABELS") && wide.out.contains("env=prod,tier=web"), "{}", wide.out);
    let none = shell.run(&["vs", "list", "-l", "env=none"]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", "no virtual server fits\n"));
    let nodes = shell.run(&["node", "list", "-l", "rack=3", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&nodes.out).expect("JSON");
    assert_eq!((value.as_array().map(Vec::len), value[0]["labels"]["rack"].as_str()), (Some(1), Some("3")));
    let show = shell.run(&["node", "show", "node-1"]);
    assert!(
        show.out.lines().any(|line| line.starts_with("labels") && line.ends_with(" a_b=,rack=3")),
        "{}",
        show.out
    );
    let yaml = shell.run(&["vs", "show", "db", "-o", "yaml"]);
    assert!(yaml.out.contains("labels:\n  env: prod\n"), "{}", yaml.out);
}

#[test]
fn labels_are_set_and_removed_and_given_at_the_creation() {
    let double = three();
    double.world().nodes = vec![ready_node("node-1")];
    let shell = Shell::new(&double);
    let result = shell.run(&["vs", "label", "web", "env=test", "tier-", "note="]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(result.err.contains("web has env=prod,tier=web"), "what the appliance says: {}", result.err);
    assert_eq!(shell.run(&["node", "label", "node-1", "rack=3"]).code, 0);
    let made = shell.run(&["vs", "create", "new", "--label", "env=prod", "--label", "tier=db"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let heard = double.world().heard.clone();
    assert_eq!(
        heard[..2],
        [
            r#"POST /api/v1/vs/web/labels {"remove":["tier"],"set":{"env":"test","note":""}}"#,
            r#"POST /api/v1/nodes/node-1/labels {"remove":[],"set":{"rack":"3"}}"#
        ]
    );
    assert!(heard[2].contains(r#""labels":{"env":"prod","tier":"db"}"#), "{heard:?}");
}

#[test]
fn several_nodes_are_approved_by_their_own_fingerprints() {
    let double = three();
    let shell = Shell::new(&double);
    let args = ["node", "approve", "node-1", "node-2", "--fingerprint", "aa-bb", "--fingerprint", "cc-dd"];
    assert_eq!(shell.run(&args).code, 0);
    let heard = double.world().heard.clone();
    assert!(
        heard[0].contains(r#""action":"approve""#)
            && heard[0].contains(r#""fingerprints":["aa-bb","cc-dd"]"#),
        "{heard:?}"
    );
}

#[test]
fn help_says_how_to_choose() {
    let double = Double::start();
    let shell = Shell::new(&double);
    for args in [&["vs", "start", "--help"][..], &["vs", "delete", "--help"], &["node", "forget", "--help"]] {
        let help = shell.run(args).out;
        let words = ["--selector", "--all", "--allow-empty", "key!=value", "weft tx undo"];
        assert!(words.iter().all(|word| help.contains(word)), "{args:?}: {help}");
    }
}
