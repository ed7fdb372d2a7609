//! Templates, copies, several servers at once, pools and licences: what is asked for, and what is said of it.

use serde_json::{Value, json};
use weft_api::{ObjectChange, Plan};

use crate::double::{Double, server};
use crate::run::Shell;

/// The body of the only request that changed something.
fn asked(double: &Double, path: &str) -> Value {
    let heard = double.world().heard.clone();
    assert_eq!(heard.len(), 1, "{heard:?}");
    serde_json::from_str(heard[0].strip_prefix(path).unwrap_or_else(|| panic!("{heard:?}"))).expect("JSON")
}

#[test]
fn what_nobody_said_is_left_to_the_template() {
    let double = Double::start();
    let object =
        |name: &str| ObjectChange { kind: "vs".into(), name: name.into(), ..ObjectChange::default() };
    double.world().plan = Plan { objects: vec![object("web-4"), object("web-5")], ..Plan::default() };
    double.world().vs =
        vec![server("web-4", "stopped"), server("web-5", "stopped"), server("other", "stopped")];
    let result = Shell::new(&double).run(&[
        "vs",
        "create",
        "web",
        "--template",
        "small",
        "--count",
        "2",
        "--first",
        "4",
        "--hostname",
        "w{n}",
    ]);
    assert_eq!(result.code, 0, "{}", result.err);
    let body = asked(&double, "POST /api/v1/groups/vs/create ");
    assert_eq!((&body["count"], &body["first"]), (&json!(2), &json!(4)));
    let vs = &body["vs"];
    assert_eq!((&vs["template"], &vs["vcpus"], &vs["memory_mib"]), (&json!("small"), &json!(0), &json!(0)));
    assert_eq!((&vs["name"], &vs["hostname"]), (&json!("web"), &json!("w{n}")));
    assert!(result.err.contains("2 servers are defined in transaction 7; to take them back: weft tx undo 7"));
    assert!(result.out.contains("web-5") && !result.out.contains("other"), "{}", result.out);
}

#[test]
fn without_a_template_the_defaults_are_said() {
    let double = Double::start();
    let result = Shell::new(&double).run(&["vs", "create", "web", "--mac-pool", "lab"]);
    assert_eq!(result.code, 0, "{}", result.err);
    let body = asked(&double, "POST /api/v1/vs ");
    assert_eq!(
        (&body["vcpus"], &body["memory_mib"], &body["mac_pool"]),
        (&json!(1), &json!(256), &json!("lab"))
    );
}

#[test]
fn a_copy_a_template_and_a_pool_are_asked_for_as_given() {
    let double = Double::start();
    let result =
        Shell::new(&double).run(&["vs", "copy", "web", "web-2", "--address", "10.0.0.8/24", "-o", "json"]);
    assert_eq!(result.code, 0, "{}", result.err);
    let body = asked(&double, "POST /api/v1/vs/web/copy ");
    assert_eq!(
        (&body["name"], &body["address"], &body["hostname"]),
        (&json!("web-2"), &json!("10.0.0.8/24"), &json!(""))
    );

    let double = Double::start();
    let result = Shell::new(&double).run(&["template", "create", "small", "--from", "web"]);
    assert_eq!(result.code, 0, "{}", result.err);
    let body = asked(&double, "POST /api/v1/templates ");
    assert_eq!((&body["from"], &body["vcpus"], &body["memory_mib"]), (&json!("web"), &json!(0), &json!(0)));

    let double = Double::start();
    let range = "06:00:00:00:00:00-06:00:00:00:00:ff";
    let result = Shell::new(&double).run(&["pool", "extend", "lab", "--range", range]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert_eq!(asked(&double, "POST /api/v1/pools/lab/extend "), json!({"ranges": [range]}));
    let row: Vec<&str> = result.out.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(row[..2], ["lab", "low"]);
    assert_eq!(row[2..7], ["mac", "300", "200", "90", "10"], "kind, size, in use, resting, free");
}

#[test]
fn a_file_that_is_no_licence_is_not_sent() {
    let double = Double::start();
    let shell = Shell::new(&double);
    let file = shell.file("no.licence", b"nonsense");
    let result = shell.run(&["licence", "add", &file]);
    assert!(result.code == 2 && result.err.contains("next: give the file"), "{}", result.err);
    assert_eq!(double.world().heard.len(), 0);
}
