//! Scripts of `provisioner/web/e2e`, which drive the page in Chromium against the real program.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::common::{Appliance, PASSWORD};

/// Runs a script, with these variables too; what it printed.
pub(crate) async fn run(
    script: &str,
    appliance: &Appliance,
    folder: &Path,
    variables: &[(&str, &str)],
) -> String {
    run_with(script, appliance, folder, variables, |words| panic!("it asks for {words:?}")).await
}

/// The same of a script that has nodes do something meanwhile: for each line `hand WORDS` that it prints, `hand` does
/// what the words say, and the script goes on.
pub(crate) async fn run_with(
    script: &str,
    appliance: &Appliance,
    folder: &Path,
    variables: &[(&str, &str)],
    mut hand: impl FnMut(&[&str]),
) -> String {
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD).expect("written");
    let mut browser = tokio::process::Command::new("node")
        .arg(script)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web"))
        .env("WEFT_URL", format!("https://{}", appliance.api))
        .env("WEFT_CA", appliance.data.join("tls/cert.pem"))
        .env("WEFT_PASSWORD_FILE", &password)
        .envs(variables.iter().copied())
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
        if let Some(words) = line.strip_prefix("hand ") {
            hand(&words.split(' ').collect::<Vec<_>>());
            answers.write_all(b"ok\n").await.expect("heard");
        }
    }
    let status = browser.wait().await.expect("it ended");
    assert!(status.success(), "{text}");
    text
}
