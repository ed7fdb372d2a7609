//! Exit codes, and errors that say what to do.

use crate::double::{Double, ready_node};
use crate::run::Shell;

#[test]
fn wrong_use_is_two() {
    let double = Double::start();
    let shell = Shell::new(&double);
    for args in [
        &["nod", "list"][..],
        &["vs", "create", "a", "--memory", "1"],
        &["vs", "create", "a", "--vcpus", "33"],
        &["vs", "console", "a", "--wait-for", "("],
        &["node", "log", "a", "-n", "0"],
        &["node", "list", "-o", "xml"],
        &["vs", "list", "-l", "env=="],
        &["vs", "list", "-l", ""],
        &["vs", "start"],
        &["vs", "stop", "web", "-l", "env=prod"],
        &["vs", "stop", "web", "--all"],
        &["vs", "delete", "-l", "env", "--all"],
        &["vs", "label", "web"],
        &["vs", "label", "web", "Env=prod"],
        &["vs", "create", "a", "--label", "env"],
        &["node", "forget", "--yes"],
        &["node", "approve", "node-1", "node-2", "--fingerprint", "3f2a-91c0-77de-0b14"],
        &["node", "approve", "node-1"],
        &["--url", "ftp://x", "node", "list"],
        &["--ca", "sha256:12", "--url", "https://127.0.0.1:1", "node", "list"],
        &["vs", "create", "a", "--kernel", "/does/not/exist"],
        &["login", "--user", "admin"],
    ] {
        let result = shell.run(args);
        assert_eq!(result.code, 2, "{args:?}: {}", result.err);
        assert_eq!(result.out, "", "{args:?}");
        assert!(!result.err.is_empty(), "{args:?}");
    }
    assert_eq!(double.world().heard, Vec::<String>::new(), "nothing was changed");
}

#[test]
fn what_is_not_there_is_three_and_what_to_do_is_said() {
    let double = Double::start();
    let result = Shell::new(&double).run(&["node", "show", "moon"]);
    assert_eq!((result.code, result.out.as_str()), (3, ""));
    assert!(
        result.err.contains("there is no node moon") && result.err.contains("next: see weft node list"),
        "{}",
        result.err
    );
}

#[test]
fn a_wrong_fingerprint_is_refused_with_four() {
    let double = Double::start();
    double.world().nodes = vec![ready_node("node-1")];
    let shell = Shell::new(&double);
    let result = shell.run(&["node", "approve", "node-1", "--fingerprint", "0000-0000-0000-0000"]);
    assert_eq!(result.code, 4);
    assert!(result.err.contains("fingerprint-differs"), "{}", result.err);
    let right =
        shell.run(&["node", "approve", "node-1", "--fingerprint", "3f2a-91c0-77de-0b14", "-o", "json"]);
    assert_eq!(right.code, 0, "{}", right.err);
    assert!(right.out.contains("\"approved\""), "{}", right.out);
}

#[test]
fn without_a_session_it_is_five_and_log_in_is_named() {
    let double = Double::start();
    let result = Shell::logged_out(&double).run(&["vs", "list"]);
    assert_eq!(result.code, 5);
    assert!(result.err.contains("next: log in: weft login"), "{}", result.err);
}

#[test]
fn an_appliance_that_is_away_is_six() {
    let double = Double::start();
    let mut shell = Shell::new(&double);
    // A port of our own that nobody listens on.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("address").port();
    shell.url = format!("http://127.0.0.1:{port}");
    let result = shell.run(&["node", "list"]);
    assert_eq!(result.code, 6);
    assert!(
        result.err.contains("cannot reach the appliance") && result.err.contains("next:"),
        "{}",
        result.err
    );
}

#[test]
fn an_answer_that_is_not_in_the_agreed_form_is_one() {
    let double = Double::start();
    let shell = Shell::new(&double);
    for (status, text) in [(500, "<html>"), (200, "<html>"), (200, "{\"name\":1}"), (200, "")] {
        double.world().broken = Some((status, text));
        let result = shell.run(&["node", "list"]);
        assert_eq!((result.code, result.out.as_str()), (1, ""), "{status} {text}: {}", result.err);
    }
}

#[test]
fn doctor_is_eight_where_it_found_a_failure() {
    let double = Double::start();
    let finding = |state: &str| weft_api::Finding {
        name: "node-1".into(),
        state: state.into(),
        text: "silent after fetch".into(),
        next: "enrol the keys".into(),
    };
    double.world().findings = vec![finding("ok"), finding("warn")];
    let shell = Shell::new(&double);
    assert_eq!(shell.run(&["doctor"]).code, 0);
    double.world().findings.push(finding("fail"));
    let result = shell.run(&["doctor"]);
    assert_eq!(result.code, 8);
    assert!(result.out.contains("enrol the keys"), "{}", result.out);
}

#[test]
fn a_name_cannot_reach_another_route() {
    let double = Double::start();
    let result = Shell::new(&double).run(&["node", "forget", "../vs/web", "--yes"]);
    assert!(result.code == 3 || result.code == 0, "{}", result.err);
    let heard = double.world().heard.clone();
    assert!(heard.iter().all(|line| line.starts_with("DELETE /api/v1/nodes/..%2Fvs%2Fweb")), "{heard:?}");
}
