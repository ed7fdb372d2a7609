//! The rollouts of the page in a real browser, with simulated nodes that restart as the script has them restart.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::common::PASSWORD;
use crate::hands::Restarts;
use crate::rollout::{Rack, image};

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_started_stopped_by_a_failure_resumed_paused_taken_back_and_aborted_in_the_browser() {
    let rack = Rack::new(3).await;
    rack.publish(&image(8, 5)).await;
    let appliance = rack.appliance.as_ref().expect("it runs");
    let password = rack.folder.path().join("password");
    std::fs::write(&password, PASSWORD).expect("written");
    let mut browser = tokio::process::Command::new("node")
        .arg("e2e/rollouts.mjs")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web"))
        .env("WEFT_URL", format!("https://{}", appliance.api))
        .env("WEFT_CA", appliance.data.join("tls/cert.pem"))
        .env("WEFT_PASSWORD_FILE", &password)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node runs");
    let mut answers = browser.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(browser.stdout.take().expect("a pipe")).lines();
    let mut text = String::new();
    while let Some(line) = lines.next_line().await.expect("a line") {
        text.push_str(&line);
        text.push('\n');
        let words: Vec<&str> = line.split(' ').collect();
        if let ["hand", node, how] = words.as_slice() {
            let at: usize = node.trim_start_matches("node-").parse().expect("a node");
            let restarts = match *how {
                "offered" => Restarts::Offered,
                "same" => Restarts::Same,
                "never" => Restarts::Never,
                other => panic!("a node restarts {other}"),
            };
            rack.machines[at - 1].hands().restarts = restarts;
            answers.write_all(b"ok\n").await.expect("heard");
        }
    }
    let status = browser.wait().await.expect("it ended");
    println!("{text}");
    assert!(status.success(), "{text}");
    // The canary failed once, then each got the new image and went back; the last one was aborted with its canary away.
    let boots = rack.boots();
    assert_eq!(boots[0][..3], [7, 8, 7], "{boots:?}");
    assert_eq!(boots[1..], [vec![8, 7], vec![8, 7]], "{boots:?}");
}
