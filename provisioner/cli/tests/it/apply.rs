//! `get`, `diff`, `apply`.

use weft_api::{Conflict, FieldChange, ObjectChange, Plan};

use crate::double::Double;
use crate::run::Shell;

fn plan(state: &str) -> Plan {
    let field = |field: &str, derived: bool| FieldChange {
        field: field.into(),
        before: "256".into(),
        after: "512".into(),
        changed: true,
        derived,
    };
    let object = ObjectChange {
        name: "web".into(),
        state: "changed".into(),
        kind: "vs".into(),
        id: "1".into(),
        fields: vec![field("generation", true), field("memory_mib", false)],
    };
    Plan { name: "apply".into(), state: state.into(), objects: vec![object], ..Plan::default() }
}

#[test]
fn a_document_is_printed_as_yaml_or_json_and_can_be_piped_back() {
    let double = Double::start();
    double.world().plan = plan("planned");
    let shell = Shell::new(&double);
    let result = shell.run(&["get", "vs", "web"]);
    assert_eq!(
        (result.code, result.out.as_str()),
        (0, "vs:\n  - name: web\n    running: false\n    labels:\n      num: \"007\"\n")
    );
    let json = shell.run(&["get", "-o", "json"]);
    assert!(json.out.starts_with('{'), "{}", json.out);
    assert_eq!(shell.run(&["get", "moons"]).code, 2);
    let diff = shell.run_with_input(&["diff", "-f", "-"], &result.out);
    assert_eq!(diff.code, 0, "{}", diff.err);
    assert_eq!(diff.out, "OBJECT  FIELD       BEFORE  AFTER\nvs web  memory_mib  256     512\n");
    let asked = r#"POST /api/v1/manifest?dry_run=true {"manifest":{"vs":[{"labels":{"num":"007"},"name":"web","running":false}]},"prune":""}"#;
    assert_eq!(double.world().heard, [asked]);
}

#[test]
fn what_is_applied_is_told_with_its_transaction() {
    let double = Double::start();
    double.world().plan = plan("planned");
    let shell = Shell::new(&double);
    let file = shell.file("rack.yaml", b"vs:\n  - name: web\n    memory_mib: 512\n");
    let result = shell.run(&["apply", "-f", &file, "--dry-run"]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(
        result.out.starts_with("planned: apply") && result.err.contains("nothing was changed"),
        "{}",
        result.out
    );
    let result = shell.run(&["apply", "-f", &file, "--prune", "-l", "team=x"]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(result.err.contains("weft tx undo 7"), "{}", result.err);
    let heard = double.world().heard.clone();
    assert!(
        heard[1].starts_with("POST /api/v1/manifest {") && heard[1].ends_with(r#""prune":"team=x"}"#),
        "{heard:?}"
    );
    for half in [&["apply", "-f", &file, "--prune"][..], &["apply", "-f", &file, "-l", "a=b"], &["apply"]] {
        assert_eq!(shell.run(half).code, 2, "{half:?}");
    }
}

#[test]
fn a_file_that_is_no_document_says_its_line_and_nothing_is_asked() {
    let double = Double::start();
    let shell = Shell::new(&double);
    let file = shell.file("rack.yaml", b"frames: []\nvs:\n  - name: web\n    memory: 512\n");
    let result = shell.run(&["apply", "-f", &file]);
    assert_eq!(result.code, 2, "{}", result.err);
    assert!(result.err.contains("line 4") && result.err.contains("memory"), "{}", result.err);
    let long = shell.file("long.yaml", &vec![b'#'; 1024 * 1024 + 1]);
    let result = shell.run(&["diff", "-f", &long]);
    assert!(result.code == 2 && result.err.contains("longer than 1 MiB"), "{}", result.err);
    assert_eq!(shell.run(&["apply", "-f", "/nowhere"]).code, 2);
    assert!(double.world().heard.is_empty());
}

#[test]
fn what_would_be_refused_ends_with_the_reasons() {
    let double = Double::start();
    let text = "vs huge: no room; ask for less".into();
    double.world().plan = Plan {
        objects: Vec::new(),
        conflicts: vec![Conflict { kind: "vs".into(), name: "huge".into(), text, ..Conflict::default() }],
        ..plan("conflict")
    };
    let shell = Shell::new(&double);
    for args in [&["diff", "-f", "-"][..], &["apply", "-f", "-", "--dry-run"]] {
        let result = shell.run_with_input(args, "vs:\n  - name: huge\n");
        assert_eq!(result.code, 4, "{args:?}: {}", result.err);
        assert!(result.out.contains("vs huge: no room"), "{args:?}: {}", result.out);
    }
}
