//! Completion scripts, and live names.

use crate::double::{Double, ready_node};
use crate::run::{Shell, outcome};

#[test]
fn each_shell_has_a_script() {
    let double = Double::start();
    let shell = Shell::new(&double);
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let result = shell.run(&["completion", name]);
        assert_eq!(result.code, 0, "{name}: {}", result.err);
        assert!(result.out.contains("weft"), "{name}");
    }
    assert_eq!(shell.run(&["completion", "tcsh"]).code, 2);
}

fn complete(shell: &Shell, words: &[&str]) -> String {
    let index = words.len().to_string();
    let mut args = vec!["--", "weft"];
    args.extend(words);
    let mut command = shell.command(&args);
    command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).env("_CLAP_IFS", "\n");
    let result = outcome(command.output().expect("the program runs"));
    assert_eq!(result.err, "");
    result.out
}

#[test]
fn names_of_live_nodes_are_completed() {
    let double = Double::start();
    double.world().nodes = vec![ready_node("node-1"), ready_node("node-2"), ready_node("other")];
    let shell = Shell::new(&double);
    assert_eq!(complete(&shell, &["node", "show", "node-"]), "node-1\nnode-2");
    assert!(complete(&shell, &["node", "app"]).contains("approve"));
}

#[test]
fn an_appliance_that_is_away_completes_nothing_and_says_nothing() {
    let double = Double::start();
    let mut shell = Shell::new(&double);
    shell.url = "http://127.0.0.1:9".into();
    assert!(!complete(&shell, &["node", "show", "n"]).contains("node-1"));
}
