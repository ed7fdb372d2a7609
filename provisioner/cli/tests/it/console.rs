//! `vs console` in a pipe.

use std::time::{Duration, Instant};

use crate::double::{Double, server};
use crate::run::Shell;

fn double() -> Double {
    let double = Double::start();
    double.world().vs = vec![server("web", "running")];
    double.world().history = "Linux version 6.1\r\nready\r\n# ";
    double
}

#[test]
fn the_history_comes_first_and_then_the_answer() {
    let double = double();
    let result = Shell::new(&double)
        .run_with_input(&["vs", "console", "web", "--wait-for", "(?m)^ran: uname"], "uname\n");
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(result.out.starts_with("Linux version 6.1\r\nready\r\n# uname"), "{:?}", result.out);
    assert!(result.out.contains("ran: uname\r\n"), "{:?}", result.out);
}

#[test]
fn a_pattern_alone_is_found_in_the_history() {
    let double = double();
    let start = Instant::now();
    let result = Shell::new(&double).run(&["vs", "console", "web", "--wait-for", "(?m)^ready$"]);
    assert_eq!((result.code, result.out.as_str()), (0, "Linux version 6.1\r\nready\r\n# "), "{}", result.err);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_answer_is_not_found_in_what_was_printed_before() {
    let double = double();
    let args = ["vs", "console", "web", "--wait-for", "(?m)^ready$", "--timeout", "2"];
    let result = Shell::new(&double).run_with_input(&args, "true\n");
    assert_eq!(result.code, 7, "{:?}", result.out);
    assert!(result.err.contains("did not print (?m)^ready$"), "{}", result.err);
}

#[test]
fn input_waits_for_the_prompt() {
    let double = double();
    let args = ["vs", "console", "web", "--send-after", "never printed", "--timeout", "1"];
    let result = Shell::new(&double).run_with_input(&args, "rm -r /\n");
    assert_eq!(result.code, 7);
    assert!(!result.out.contains("rm"), "{:?}", result.out);
    let args = ["vs", "console", "web", "--send-after", "# $", "--wait-for", "ran: one"];
    assert_eq!(Shell::new(&double).run_with_input(&args, "one\n").code, 0);
}

#[test]
fn without_a_pattern_it_leaves_after_silence() {
    let double = double();
    let result = Shell::new(&double).run_with_input(&["vs", "console", "web", "--idle", "5"], "one\ntwo\n");
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(result.out.contains("ran: one") && result.out.contains("ran: two"), "{:?}", result.out);
}

#[test]
fn a_console_that_closes_is_said() {
    let double = double();
    let result =
        Shell::new(&double).run_with_input(&["vs", "console", "web", "--wait-for", "never"], "poweroff\n");
    assert_eq!(result.code, 6, "{:?}", result.out);
    assert!(result.out.contains("ran: poweroff"), "{:?}", result.out);
}

#[test]
fn the_console_of_no_server_is_three() {
    let double = double();
    let result = Shell::new(&double).run(&["vs", "console", "moon"]);
    assert_eq!((result.code, result.out.as_str()), (3, ""), "{}", result.err);
    assert!(result.err.contains("there is no server moon"), "{}", result.err);
}
