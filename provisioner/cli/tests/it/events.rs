//! The event stream.

use std::io::{BufRead, BufReader};

use crate::double::{Double, event};
use crate::run::Shell;

#[test]
fn a_broken_stream_is_taken_up_where_it_ended() {
    let double = Double::start();
    double.world().events = (1..=5).map(event).collect();
    double.world().break_after = 2;
    let shell = Shell::new(&double);
    let mut child = shell
        .command(&["event", "list", "--limit", "1", "--follow", "-o", "json"])
        .spawn()
        .expect("the program runs");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    // One event from the list, then two for each connection, of which the first is one that was seen already.
    let seen: Vec<u64> = lines
        .take(5)
        .map(|line| {
            serde_json::from_str::<weft_api::Event>(&line.expect("a line")).expect("an event a line").seq
        })
        .collect();
    child.kill().expect("still following");
    child.wait().expect("it ends");
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}

#[test]
fn a_refused_stream_ends() {
    let double = Double::start();
    let result = Shell::logged_out(&double).run(&["event", "list", "--follow"]);
    assert_eq!(result.code, 5, "{}", result.err);
}
