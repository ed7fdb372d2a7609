//! Log-in, profiles, log-out.

use std::os::unix::fs::PermissionsExt;

use crate::double::{Double, ready_node};
use crate::run::Shell;

#[test]
fn log_in_keeps_the_token_for_its_owner_alone() {
    let double = Double::start();
    let shell = Shell::logged_out(&double);
    let password = shell.file("password", b"right\n");
    let result = shell.run(&["login", "--user", "admin", "--password-file", &password]);
    assert_eq!((result.code, result.out.as_str()), (0, ""), "{}", result.err);
    let token = shell.home.path().join("token");
    assert_eq!(std::fs::read_to_string(&token).expect("token"), "good-token");
    assert_eq!(std::fs::metadata(&token).expect("token").permissions().mode() & 0o777, 0o600);
    assert_eq!(shell.run(&["node", "list"]).code, 0);
    assert_eq!(shell.run(&["logout"]).code, 0);
    assert!(!token.exists());
}

#[test]
fn a_password_may_come_from_a_pipe() {
    let double = Double::start();
    let shell = Shell::logged_out(&double);
    assert_eq!(shell.run_with_input(&["login", "--password-file", "-"], "right\n").code, 0);
}

#[test]
fn a_wrong_password_leaves_no_token() {
    let double = Double::start();
    let shell = Shell::logged_out(&double);
    let password = shell.file("password", b"wrong");
    let result = shell.run(&["login", "--password-file", &password]);
    assert_eq!(result.code, 5);
    assert!(!shell.home.path().join("token").exists());
}

#[test]
fn a_first_password_is_changed_at_log_in() {
    let double = Double::start();
    double.world().must_change = true;
    let shell = Shell::logged_out(&double);
    let (old, new) = (shell.file("old", b"right"), shell.file("new", b"a much longer one"));
    let result = shell.run(&["login", "--password-file", &old, "--new-password-file", &new]);
    assert_eq!(result.code, 0, "{}", result.err);
    let heard = double.world().heard.clone();
    assert_eq!(heard[1], r#"POST /api/v1/password {"new":"a much longer one","old":"right"}"#);
}

#[test]
fn without_a_terminal_a_first_password_is_asked_for_by_name() {
    let double = Double::start();
    double.world().must_change = true;
    let shell = Shell::logged_out(&double);
    let old = shell.file("old", b"right");
    let result = shell.run(&["login", "--password-file", &old]);
    assert_eq!(result.code, 0);
    assert!(result.err.contains("weft passwd"), "{}", result.err);
    // The file is gone, as the appliance takes it away; the change works all the same, once.
    std::fs::remove_file(&old).expect("removed");
    let new = shell.file("new", b"a much longer one");
    let result = shell.run(&["passwd", "--new-password-file", &new]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert_eq!(double.world().heard[1], r#"POST /api/v1/password {"new":"a much longer one","old":"right"}"#);
    assert_eq!(shell.run(&["passwd", "--new-password-file", &new]).code, 2, "it is not kept any longer");
}

#[test]
fn a_saved_profile_is_used_from_then_on() {
    let double = Double::start();
    double.world().nodes = vec![ready_node("node-1")];
    let shell = Shell::logged_out(&double);
    let password = shell.file("password", b"right");
    let result = shell.run(&["login", "--password-file", &password, "--save", "lab"]);
    assert_eq!(result.code, 0, "{}", result.err);
    let bare = shell
        .command(&["node", "list", "-o", "json"])
        .env_remove("WEFT_URL")
        .env_remove("WEFT_TOKEN_FILE")
        .output();
    let bare = crate::run::outcome(bare.expect("the program runs"));
    assert_eq!(bare.code, 0, "{}", bare.err);
    assert!(bare.out.contains("node-1"));
    let config =
        std::fs::read_to_string(shell.home.path().join(".config/weft/config.toml")).expect("configuration");
    assert!(config.contains("default = \"lab\"") && !config.contains("good-token"), "{config}");
}
