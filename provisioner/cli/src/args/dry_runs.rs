//! Which verbs have a dry run, and why the others have none.

use super::Cli;

/// Verbs that change nothing.
const LOOKS: &[&str] = &[
    "account list",
    "account show",
    "appliance list",
    "auth can-i",
    "auth policy list",
    "auth policy show",
    "auth schema",
    "completion",
    "config show",
    "datacenter list",
    "datacenter show",
    "delegation inspect",
    "delegation verify",
    "diff",
    "doctor",
    "drift list",
    "event list",
    "frame list",
    "frame show",
    "gateway list",
    "gateway show",
    "get",
    "image inspect",
    "image list",
    "image rollout list",
    "image rollout show",
    "image rollout watch",
    "image verify",
    "job list",
    "job show",
    "job watch",
    "key show",
    "licence inspect",
    "licence list",
    "licence show",
    "mainframe list",
    "mainframe show",
    "nic list",
    "node bmc show",
    "node list",
    "node log",
    "node power status",
    "node show",
    "partition list",
    "partition show",
    "pool list",
    "pool show",
    "port list",
    "port show",
    "revocation inspect",
    "revocation verify",
    "root show",
    "session list",
    "switch list",
    "switch show",
    "template list",
    "template show",
    "token list",
    "top",
    "topology",
    "tx diff",
    "tx list",
    "tx show",
    "vhba list",
    "vhba show",
    "vnic list",
    "vnic show",
    "vs list",
    "vs show",
    "vs span",
];
const OWN_FILE: &str = "writes a file of whoever calls it, and nothing of an appliance";
const SECRET: &str = "a password is checked by its use alone, and history keeps none";
/// Verbs that change something and have no dry run, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("account set-password", SECRET),
    ("appliance backup", "changes nothing but history, which says who has the file"),
    ("appliance remove", "takes a machine out that is gone, whose votes its store alone knows"),
    ("delegation new", OWN_FILE),
    ("delegation sign", OWN_FILE),
    ("image build-manifest", OWN_FILE),
    ("image extract-manifest", OWN_FILE),
    ("image sign", OWN_FILE),
    ("key change-passphrase", OWN_FILE),
    ("key new", OWN_FILE),
    ("licence issue", OWN_FILE),
    ("login", SECRET),
    ("logout", "ends its own session, which has no other use"),
    ("operator issue", "changes nothing of an appliance: it signs public keys that the command has drawn"),
    ("passwd", SECRET),
    ("revocation new", OWN_FILE),
    ("revocation sign", OWN_FILE),
    ("root accept", OWN_FILE),
    ("root new", OWN_FILE),
    ("root rotate", OWN_FILE),
    ("root sign", OWN_FILE),
    ("vs console", "what is typed goes to the guest, which alone knows what it does"),
];

fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, bool)>) {
    let subs: Vec<&clap::Command> =
        command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
    if subs.is_empty() {
        let dry = command.get_arguments().any(|argument| argument.get_long() == Some("dry-run"));
        found.push((path.to_owned(), dry));
    }
    for sub in subs {
        leaves(sub, format!("{path} {}", sub.get_name()).trim(), found);
    }
}

#[test]
fn each_verb_that_changes_something_has_a_dry_run_or_a_reason_why_not() {
    let mut found = Vec::new();
    leaves(&Cli::tree(), "", &mut found);
    assert!(found.len() > 100, "{} verbs", found.len());
    let reason = |verb: &str| WITHOUT.iter().any(|(name, why)| *name == verb && !why.is_empty());
    let missing: Vec<&str> = found
        .iter()
        .filter(|(verb, dry)| !dry && !LOOKS.contains(&verb.as_str()) && !reason(verb))
        .map(|(verb, _)| verb.as_str())
        .collect();
    assert!(missing.is_empty(), "give these --dry-run, or say why not: {missing:?}");
    // And the lists say nothing of verbs that are not there, or that have one.
    let listed = LOOKS.iter().chain(WITHOUT.iter().map(|(verb, _)| verb));
    for verb in listed {
        let here = found.iter().find(|(name, _)| name == verb);
        assert_eq!(here.map(|(_, dry)| *dry), Some(false), "{verb}");
    }
}
