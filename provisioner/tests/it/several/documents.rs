//! What root holders signed: given to one appliance, in force on all, also on one that was away, and after the leader's end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use weft_format::delegation::Delegation;
use weft_format::{Revocations, RootSet};
use weft_signing::document;

use super::{One, PATIENCE, appliance, data, done, founded, joined, level, listed, state};
use crate::common::{Client, Made, digests, hex, holder, roots, signed, signed_by, sim};
use crate::publish::{http, tftp};

/// A person puts documents into force on one of them; what was said.
fn put(one: &One, all: &[(&str, &[u8])]) -> std::process::Output {
    let mut words = vec!["init".to_string()];
    for (word, document) in all {
        let file = one.folder.path().join(format!("given{word}"));
        std::fs::write(&file, document).expect("written");
        words.extend([word.to_string(), file.display().to_string()]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    appliance(&words, &data(&one.folder))
}

fn given(one: &One, word: &str, document: &[u8]) {
    done(&put(one, &[(word, document)]));
}

/// Waits until a condition holds of each.
async fn of_each(all: &[&One], what: &str, good: impl Fn(&One) -> bool) {
    let end = Instant::now() + PATIENCE;
    for one in all {
        while !good(one) {
            assert!(Instant::now() < end, "{}: never {what}\n{}", one.name, one.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Waits until machines get this delegation from each.
async fn delegates(all: &[&One], delegation: &[u8]) {
    let served = |one: &One| http(one.address("HTTP "), "delegation.bin") == (200, delegation.to_vec());
    of_each(all, "the delegation is served", served).await;
}

/// Waits until this is the revocation list of each.
async fn revokes(all: &[&One], list: &[u8]) {
    let kept = |one: &One| {
        std::fs::read(data(&one.folder).join("trust/revocations.bin")).is_ok_and(|kept| kept == list)
    };
    of_each(all, "the revocation list is there", kept).await;
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Whether a file of the store has what a key's file has.
fn has_key(one: &One, name: &str) -> bool {
    let key = std::fs::read_to_string(data(&one.folder).join("keys").join(name)).expect("a key");
    let key = key.trim().as_bytes();
    let whole =
        files(&data(&one.folder).join("store")).into_iter().filter_map(|path| std::fs::read(path).ok());
    whole.into_iter().any(|bytes| bytes.windows(key.len()).any(|window| window == key))
}

async fn activate(client: &Client, image: &[u8]) -> (u16, Option<String>) {
    let path = format!("/api/v1/images/{}/activate", hex(&digests(image).1));
    let (status, answer) = client.send("POST", &path, Vec::new()).await;
    (status, answer["code"].as_str().map(str::to_string))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_root_holders_signed_is_in_force_on_all_appliances_and_survivors_serve_and_sign_by_it() {
    let (mut north, token, channel, delegation, image) = founded().await;
    let south = joined("south", 2, &north).await;
    let mut east = joined("east", 3, &north).await;
    let client = south.client(&token);
    let voters = |all: &[Value]| all.len() == 3 && all.iter().all(|one| one["voter"] == true) && level(all);
    listed(&client, "three with a vote", voters).await;

    // Given to one that does not lead.
    let second = Delegation { version: 2, ..delegation };
    let second_file = signed(document::delegation(&second).expect("encoded"));
    given(&south, "--delegation", &second_file);
    delegates(&[&north, &south, &east], &second_file).await;

    // Given to the one that leads, while another is away.
    let bad = Made { generation: 8, payload: b"a bad one ".repeat(2000), ..Made::default() }.file();
    assert_eq!(client.send("POST", "/api/v1/images", bad.clone()).await.0, 201);
    east.kill();
    let list = Revocations { version: 1, root_version: 1, images: vec![digests(&bad).1] };
    let list = signed(document::revocations(&list).expect("encoded"));
    given(&north, "--revocations", &list);
    revokes(&[&south], &list).await;
    let mut east = east.again();
    east.until("ready\n").await;
    revokes(&[&east], &list).await;
    delegates(&[&east], &second_file).await;
    let refused = (409, Some("image-revoked".to_string()));
    assert_eq!(activate(&client, &bad).await, refused);

    // Another document of the same version is no later one: what is in force stays, on the one it was put on too.
    let other = Delegation { expiry: second.expiry + 1, ..second.clone() };
    let other_file = signed(document::delegation(&other).expect("encoded"));
    given(&south, "--delegation", &other_file);
    let path = data(&south.folder).join("trust/delegation.bin");
    of_each(&[&south], "the delegation is taken back", |_| {
        std::fs::read(&path).expect("a file") == second_file
    })
    .await;
    listed(&client, "nothing that lacks", |all| all.len() == 3 && level(all)).await;

    // The next root set comes with what its holders signed, or not at all.
    let keys: Vec<[u8; 32]> = [2, 3, 4].iter().map(|number| *holder(*number).public_key()).collect();
    let next = RootSet::new(2, 2, &keys, false).expect("a root set");
    let old = roots(false);
    let rotation = signed_by(document::rotation(&old, 2, &keys).expect("encoded"), &[2, 3], &old);
    let third = Delegation { version: 3, root_version: 2, ..second.clone() };
    let third_file = signed_by(document::delegation(&third).expect("encoded"), &[3, 4], &next);
    let list = Revocations { version: 2, root_version: 2, images: vec![digests(&bad).1] };
    let list = signed_by(document::revocations(&list).expect("encoded"), &[3, 4], &next);
    let whole =
        [("--rotation", &rotation[..]), ("--delegation", &third_file[..]), ("--revocations", &list[..])];
    for less in [&whole[..1], &whole[..2]] {
        let refused = put(&east, less);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains("refused"), "{text}");
    }
    done(&put(&east, &whole));
    delegates(&[&north, &south, &east], &third_file).await;
    revokes(&[&north, &south, &east], &list).await;
    listed(&client, "nothing that lacks after a rotation", |all| all.len() == 3 && level(all)).await;

    // The survivors boot machines from the same files, and whoever leads signs what nodes take by that delegation.
    north.kill();
    let led = listed(&client, "another that leads", |all| {
        state(all, "north") == "unreachable"
            && (state(all, "south") == "leads" || state(all, "east") == "leads")
    })
    .await;
    let survivors = [&south, &east];
    delegates(&survivors, &third_file).await;
    for survivor in survivors {
        for name in ["weft.efi", "delegation.bin"] {
            let expected = if name == "weft.efi" { &image } else { &third_file };
            assert_eq!(http(survivor.address("HTTP "), name), (200, expected.clone()), "{}", survivor.name);
            assert_eq!(tftp(survivor.address("TFTP "), name).as_ref(), Ok(expected), "{}", survivor.name);
        }
    }
    let leader = if state(&led, "south") == "leads" { &south } else { &east };
    let end = Instant::now() + PATIENCE;
    while !leader.said().contains("leads in term") {
        assert!(Instant::now() < end, "{}", leader.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(activate(&client, &bad).await, refused);
    let mut node = sim(7, &image);
    node.boot.delegation_version = 3;
    let mut session =
        node.connect(leader.address("agents "), &channel, &third, (0, 0)).await.expect("it answers nodes");
    client.approve(&node).await;
    session.next_config().await.expect("a record that the delegation allows");

    // Keys came with the invitation, for their owner alone, and are in no row of the store.
    for name in ["channel.key", "record.key", "seal.key"] {
        let key = data(&east.folder).join("keys").join(name);
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).expect("a key").permissions());
        assert_eq!(mode & 0o777, 0o600, "{name}");
        assert!(!has_key(&east, name) && !has_key(&north, name), "{name}");
    }
}
