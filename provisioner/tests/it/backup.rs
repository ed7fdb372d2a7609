//! Backups: one file while everything goes on, into an empty folder, and nodes that know later records than it has.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_wire::record::Desired;

use crate::common::{Appliance, Client, WEFT, command, sim};

const SECRET: &str = "hunter2 of the bmc";

/// `weft appliance …`, with no settings of whoever runs the tests.
fn weft(words: &[&str]) -> Output {
    let nowhere = std::env::temp_dir().join("weft-no-such-folder");
    let mut command = Command::new(WEFT);
    command.arg("appliance").args(words).env("XDG_CONFIG_HOME", nowhere);
    command.output().expect("weft runs")
}

fn said(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Runs it off the tests' own threads: clients of other tasks go on.
async fn apart(words: &[&str]) -> Output {
    let words: Vec<String> = words.iter().map(|word| (*word).to_string()).collect();
    let run = move || weft(&words.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

async fn backup(appliance: &Appliance, file: &Path, more: &[&str]) -> Output {
    let words = [&["backup", text(file), "--data", text(&appliance.data)], more].concat();
    apart(&words).await
}

fn good(done: &Output) {
    assert!(done.status.success(), "{}", said(done));
}

fn refused(done: &Output, words: &str) {
    assert!(!done.status.success(), "{}", said(done));
    assert!(said(done).contains(words), "{words}: {}", said(done));
}

/// A second data folder, with the appliance's log beside it.
fn elsewhere() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    (folder, data)
}

fn passphrase(folder: &TempDir, name: &str, words: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, words).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    path
}

/// Creates a server of the blob on whatever node there is.
async fn create(client: &Client, name: &str, kernel: &Value) {
    let wanted = json!({"name": name, "vcpus": 1, "memory_mib": 64, "kernel": kernel});
    let (status, reply) = client.json("POST", "/api/v1/vs", &wanted).await;
    assert_eq!(status, 201, "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_appliance_goes_on_and_its_nodes_take_its_records_though_they_know_later_ones() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    create(&client, "web", &blob["digest"]).await;
    session.next_config().await.expect("created");
    let bmc = json!({"kind": "ipmi", "address": "192.0.2.1", "account": "root", "password": SECRET});
    let (status, reply) = client.json("PUT", "/api/v1/nodes/node-1/bmc", &bmc).await;
    assert!(status < 300, "{reply}");

    let kept = folder.path().join("weft.backup");
    let done = backup(&appliance, &kept, &[]).await;
    good(&done);
    assert!(said(&done).contains("holds the appliance's keys"), "{}", said(&done));
    assert_eq!(std::fs::metadata(&kept).expect("a file").permissions().mode() & 0o777, 0o600);
    let tx = client.get("/api/v1/transactions?limit=1").await;
    assert_eq!((tx[0]["name"].as_str(), tx[0]["actor"].as_str()), (Some("appliance backup"), Some("local")));
    let taken = tx[0]["number"].as_u64().expect("a number");
    let checked = weft(&["backup", "--verify", text(&kept), "-o", "json"]);
    good(&checked);
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!((checked["state"].as_str(), checked["transaction"].as_u64()), (Some("good"), Some(taken)));
    refused(&backup(&appliance, &kept, &[]).await, "it is there already");

    // What comes after the backup: records beyond those that it knows, and a later generation of the server.
    assert_eq!(client.send("POST", "/api/v1/vs/web/start", Vec::new()).await.0, 204);
    for _ in 0..70 {
        assert_eq!(client.send("POST", "/api/v1/nodes/node-1/push", Vec::new()).await.0, 204);
        session.next_config().await.expect("pushed");
    }
    let last = *session.numbers.last().expect("numbers");
    drop((session, appliance));

    let (new, data) = elsewhere();
    let restored = weft(&["restore", text(&kept), "--data", text(&data)]);
    good(&restored);
    let (key, delegation) = delegated(&folder);
    let appliance = Appliance::start(&new, key, &delegation);
    assert_eq!(appliance.channel_key, key);
    let client = appliance.login().await;
    // The same boot of the node goes on: its gate refuses whatever is not later than what it knows.
    let mut session = appliance.connect_after(&node, last).await;
    assert!(!session.welcome.quarantined, "{}", session.welcome.reason);
    let config = session.next_config().await.expect("a record of the new epoch");
    assert_eq!((config.servers[0].desired, config.servers.len()), (Desired::Stopped, 1), "as of the backup");
    assert!(config.servers[0].generation > 1000, "nodes keep what they were told of a later generation");
    assert!(session.numbers[0].0 > last.0, "{:?} after {last:?}", session.numbers[0]);
    let history = client.get("/api/v1/transactions?limit=200").await;
    let history = history.as_array().expect("a list");
    let number = |name: &str| history.iter().find(|tx| tx["name"] == name).map(|tx| tx["number"].as_u64());
    assert_eq!(
        (number("appliance restore"), number("appliance backup")),
        (Some(Some(taken + 1)), Some(Some(taken)))
    );
    assert!(number("vs create").is_some() && number("vs start").is_none(), "{history:?}");
    assert_eq!(client.get("/api/v1/images").await[0]["state"], "active");
    assert_eq!(client.get("/api/v1/nodes/node-1/bmc").await["account"], "root");
    client.event("appliance.restored").await;
    assert_eq!(client.send("POST", "/api/v1/vs/web/start", Vec::new()).await.0, 204);
    assert_eq!(session.next_config().await.expect("started").servers[0].desired, Desired::Running);
}

/// Key and delegation that [`crate::common::prepared`] gave a folder.
fn delegated(folder: &TempDir) -> ([u8; 32], weft_format::delegation::Delegation) {
    let bytes = std::fs::read(folder.path().join("delegation.bin")).expect("a delegation");
    let roots = crate::common::roots(false);
    let delegation =
        weft_format::delegation::verify_delegation(&bytes, &roots, &weft_signing::RingVerifier, 0)
            .expect("good");
    (delegation.appliances[0].channel_key, delegation)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_in_the_midst_of_changes_has_all_of_each_or_none() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    let hearing = tokio::spawn(async move { while session.next().await.is_ok() {} });
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (client, stopped) = (client.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut made = 0u32;
                while !*stopped.borrow() {
                    // Two objects of one transaction, whose rows must agree with it and with each other.
                    let name = format!("w{writer}-{made}");
                    let (status, reply) =
                        client.json("POST", "/api/v1/datacenters", &json!({"name": name})).await;
                    assert_eq!(status, 201, "{reply}");
                    made += 1;
                }
                made
            })
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(180);
    while client.get("/api/v1/transactions?limit=1").await[0]["number"].as_u64() <= Some(30) {
        assert!(Instant::now() < end, "writers do not come on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let kept = folder.path().join("weft.backup");
    good(&backup(&appliance, &kept, &["--without-files"]).await);
    stop.send(true).expect("writers");
    let mut made = 0;
    for writer in writers {
        made += writer.await.expect("no change failed");
    }
    hearing.abort();
    drop(appliance);

    let (new, data) = elsewhere();
    good(&weft(&["restore", text(&kept), "--data", text(&data)]));
    let (key, delegation) = delegated(&folder);
    let appliance = Appliance::start(&new, key, &delegation);
    let client = appliance.login().await;
    let rows = client.get("/api/v1/datacenters").await;
    let rows: std::collections::BTreeSet<String> = rows
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["name"].as_str().expect("a name").to_string())
        .collect();
    let (mut history, mut numbers, mut before) = (std::collections::BTreeSet::new(), Vec::new(), u64::MAX);
    loop {
        let page = client.get(&format!("/api/v1/transactions?limit=200&before={before}")).await;
        let page = page.as_array().expect("a list").clone();
        let Some(oldest) = page.last() else { break };
        before = oldest["number"].as_u64().expect("a number");
        for tx in &page {
            numbers.push(tx["number"].as_u64().expect("a number"));
            if tx["name"] == "datacenter create" {
                history.insert(tx["objects"][0]["name"].as_str().expect("a name").to_string());
            }
        }
    }
    assert_eq!(rows, history, "rows and history agree");
    assert!(!rows.is_empty() && rows.len() <= made as usize, "{} of {made}", rows.len());
    assert!(numbers.is_sorted_by(|a, b| *a == b + 1), "no number is missing: {numbers:?}");
    // Each writer's changes are there up to one of them, without a hole.
    for writer in 0..8 {
        let of = rows.iter().filter(|name| name.starts_with(&format!("w{writer}-"))).count();
        assert!((0..of).all(|n| rows.contains(&format!("w{writer}-{n}"))), "writer {writer}: {rows:?}");
    }
    // The image's file was left out: nothing is offered, it is said, and publishing it again puts it back.
    client.event("image.file-lost").await;
    let (status, reply) = client.send("POST", "/api/v1/images", file).await;
    assert_eq!(status, 201, "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_sealed_otherwise_or_not_for_this_folder_writes_nothing() {
    let (folder, appliance, client, _) = Appliance::with_image().await;
    let right = passphrase(&folder, "right", "right horse battery\n");
    let wrong = passphrase(&folder, "wrong", "wrong horse battery\n");
    let sealed = folder.path().join("sealed.backup");
    good(&backup(&appliance, &sealed, &["--passphrase-file", text(&right)]).await);
    let bytes = std::fs::read(&sealed).expect("read");
    assert!(!bytes.windows(9).any(|nine| nine == b"store.db\0" || nine == b"keys/seal"), "it is sealed");
    let plain = folder.path().join("plain.backup");
    good(&backup(&appliance, &plain, &[]).await);

    let (_new, data) = elsewhere();
    let restore =
        |file: &Path, more: &[&str]| weft(&[&["restore", text(file), "--data", text(&data)], more].concat());
    refused(&restore(&sealed, &["--passphrase-file", text(&wrong)]), "wrong passphrase");
    refused(
        &weft(&["backup", "--verify", text(&sealed), "--passphrase-file", text(&wrong)]),
        "wrong passphrase",
    );
    let mut changed = std::fs::read(&plain).expect("read");
    // In the middle of the rows: they are most of it.
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let bad = folder.path().join("bad.backup");
    std::fs::write(&bad, &changed).expect("written");
    refused(&restore(&bad, &[]), "digest of");
    refused(&weft(&["backup", "--verify", text(&bad)]), "digest of");
    std::fs::write(&bad, &changed[..middle]).expect("written");
    refused(&restore(&bad, &[]), "damaged");
    std::fs::write(&bad, later(&plain)).expect("written");
    refused(&restore(&bad, &[]), "schema version 9999");
    refused(&restore(&right, &[]), "no backup");
    assert!(!data.exists(), "nothing was written");

    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("mine"), "x").expect("written");
    refused(&restore(&plain, &[]), "is not empty");
    assert_eq!(std::fs::read_dir(&data).expect("a folder").count(), 1);
    std::fs::remove_file(data.join("mine")).expect("removed");
    // What a kill in the middle leaves is no appliance.
    std::fs::create_dir(data.join(".restoring")).expect("a folder");
    let half = command(&data).output().expect("weft runs");
    refused(&half, "a restore broke off");
    std::fs::remove_dir(data.join(".restoring")).expect("removed");
    good(&restore(&sealed, &["--passphrase-file", text(&right)]));
    refused(&restore(&sealed, &["--passphrase-file", text(&right)]), "is not empty");
    drop(client);
}

/// The same backup, as a later version would say it is.
fn later(file: &Path) -> Vec<u8> {
    let ask: weft_backup::Ask<'_> = &|| Err("it is not sealed".into());
    let mut parts = Vec::new();
    let manifest = weft_backup::read(file, ask, &mut |_| Ok(()), &mut |listed, part| {
        let mut bytes = Vec::new();
        part.read_to_end(&mut bytes)?;
        parts.push(weft_backup::Part::bytes(listed.path.as_str(), bytes)?);
        Ok(())
    });
    let manifest = weft_backup::Manifest { schema: 9999, ..manifest.expect("good") };
    weft_backup::write(Vec::new(), manifest, &parts).expect("written")
}

/// Ends it as an operator does, so that the store is closed.
async fn stop(appliance: &mut Appliance) {
    let pid = rustix::process::Pid::from_child(&appliance.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    let end = Instant::now() + Duration::from_secs(60);
    while appliance.child.try_wait().expect("waited").is_none() {
        assert!(Instant::now() < end, "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_is_not_what_was_written_is_refused_with_the_file_and_the_way_out() {
    let (folder, mut appliance, client, _) = Appliance::with_image().await;
    for n in 0..10 {
        let (status, _) =
            client.json("POST", "/api/v1/datacenters", &json!({"name": format!("hall-{n}")})).await;
        assert_eq!(status, 201);
    }
    stop(&mut appliance).await;
    let data = appliance.data.clone();
    let start = || command(&data).output().expect("weft runs");

    let seal = data.join("keys/seal.key");
    let key = std::fs::read(&seal).expect("a key");
    std::fs::remove_file(&seal).expect("removed");
    let words = start();
    refused(&words, "seal.key is missing");
    refused(&words, "--new-keys");
    assert!(!seal.exists(), "none is drawn in silence");
    std::fs::write(&seal, key).expect("back");

    let logs = data.join("store/db/logs");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&logs).expect("logs").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "wal"));
    files.sort();
    let log = files.first().expect("a log file");
    let good_log = std::fs::read(log).expect("read");
    let at = good_log.windows(6).position(|six| six == b"hall-4").expect("a change");
    let mut flipped = good_log.clone();
    flipped[at] ^= 1;
    std::fs::write(log, &flipped).expect("written");
    let words = start();
    refused(&words, &format!("{} is damaged", log.display()));
    refused(&words, "weft appliance restore FILE");
    std::fs::write(log, &good_log).expect("back");

    // The database is only a view of the log: it is built anew.
    std::fs::write(data.join("store/db/state_machine/db/weft.db"), "garbage").expect("written");
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    assert_eq!(client.get("/api/v1/datacenters").await.as_array().map(Vec::len), Some(10));
}
