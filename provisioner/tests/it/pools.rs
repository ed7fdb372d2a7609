//! Pools of identifiers: nobody is given what another was ever given, whatever happens meanwhile.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_format::licence::{Grant, Licence, LicenceKind};
use weft_signing::passphrase::Passphrase;
use weft_signing::{document, keyfile};

use crate::common::{Appliance, Client, WEFT, hex, holder, roots, sim, unix_s};

const DEFAULT: &str = "/api/v1/pools/default-mac";

/// An appliance with so many approved nodes of 64 GiB, which are away, and the digest of a kernel.
async fn rack(nodes: u8) -> (TempDir, Appliance, Client, Value) {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    for number in 1..=nodes {
        let mut node = sim(number, &file);
        node.source = Ipv4Addr::new(127, 0, 1, number);
        node.inventory.memory_kib = 64 << 20;
        let session = appliance.connect(&node).await;
        client.approve(&node).await;
        drop(session);
    }
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    (folder, appliance, client, blob["digest"].clone())
}

fn server(name: &str, kernel: &Value) -> Value {
    json!({"name": name, "vcpus": 1, "memory_mib": 64, "kernel": kernel})
}

impl Client {
    /// Makes servers `NAME-1` … in one transaction.
    pub(crate) async fn series(&self, count: u32, vs: Value) -> (u16, Value) {
        self.json("POST", "/api/v1/groups/vs/create", &json!({"count": count, "vs": vs})).await
    }

    /// MAC and WWNN of each server.
    async fn identifiers(&self) -> Vec<(String, String, String)> {
        let servers = self.get("/api/v1/vs").await;
        let text = |value: &Value| value.as_str().expect("text").to_string();
        let all = servers.as_array().expect("a list").iter();
        all.map(|vs| (text(&vs["name"]), text(&vs["macs"][0]), text(&vs["wwnn"]))).collect()
    }

    async fn licence(&self, document: &[u8]) -> (u16, Value) {
        self.json("POST", "/api/v1/licences", &json!({"document": hex(document)})).await
    }

    async fn pool(&self, name: &str, kind: &str, ranges: &[&str]) -> (u16, Value) {
        self.json("POST", "/api/v1/pools", &json!({"name": name, "kind": kind, "ranges": ranges})).await
    }
}

/// Fails if two servers have an identifier in common.
fn all_apart(all: &[(String, String, String)]) {
    let different =
        |of: fn(&(String, String, String)) -> &String| all.iter().map(of).collect::<BTreeSet<_>>();
    assert_eq!(different(|vs| &vs.1).len(), all.len(), "a MAC was drawn twice: {all:?}");
    assert_eq!(different(|vs| &vs.2).len(), all.len(), "a WWNN was drawn twice: {all:?}");
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_creators_at_once_are_given_no_identifier_twice() {
    let (_folder, _appliance, client, kernel) = rack(20).await;
    let mut creators = Vec::new();
    for creator in 0..16 {
        let (client, kernel) = (client.clone(), kernel.clone());
        creators.push(tokio::spawn(async move {
            if creator % 2 == 0 {
                let (status, plan) = client.series(20, server(&format!("c{creator}"), &kernel)).await;
                assert_eq!((status, plan["state"].as_str()), (200, Some("done")), "{plan}");
                return;
            }
            for n in 1..=20 {
                let wanted = server(&format!("c{creator}-{n}"), &kernel);
                let (status, made) = client.json("POST", "/api/v1/vs", &wanted).await;
                assert_eq!(status, 201, "{made}");
            }
        }));
    }
    for creator in creators {
        creator.await.expect("all are made");
    }
    let all = client.identifiers().await;
    assert_eq!(all.len(), 320);
    all_apart(&all);
    for pool in ["default-mac", "default-wwnn"] {
        let pool = client.get(&format!("/api/v1/pools/{pool}")).await;
        assert_eq!((&pool["drawn"], &pool["in_use"]), (&json!(320), &json!(320)), "{pool}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_out_before_kill_9_is_given_to_nobody_else() {
    let (folder, mut appliance, client, kernel) = rack(20).await;
    let told: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let mut client = client;
    for round in 0..3 {
        let creators: Vec<_> = (0..4)
            .map(|creator| {
                let (client, kernel, told) = (client.clone(), kernel.clone(), told.clone());
                tokio::spawn(async move {
                    for n in 0..20 {
                        let name = format!("r{round}c{creator}n{n}");
                        let (status, vs) = client.json("POST", "/api/v1/vs", &server(&name, &kernel)).await;
                        // What is refused for a node that is full is given nothing.
                        if status == 201 {
                            let mac = vs["macs"][0].as_str().expect("a MAC").to_string();
                            told.lock().expect("nobody panics with it").push((name, mac));
                        }
                    }
                })
            })
            .collect();
        let least = told.lock().expect("nobody panics with it").len() + 5;
        while told.lock().expect("nobody panics with it").len() < least {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        appliance = appliance.crash_and_restart(&folder);
        for creator in creators {
            // Those whose connection broke have ended by it.
            let _ = creator.await;
        }
        client = appliance.login().await;
        let all = client.identifiers().await;
        all_apart(&all);
        for (name, mac) in told.lock().expect("nobody panics with it").iter() {
            assert!(all.iter().any(|vs| vs.0 == *name && vs.1 == *mac), "{name} had {mac}: {all:?}");
        }
    }
    // Of those that are deleted now, nothing comes back either.
    let before = client.identifiers().await;
    let (status, _) =
        client.json("POST", "/api/v1/groups/vs", &json!({"action": "delete", "select": {"all": true}})).await;
    assert_eq!(status, 200);
    let (status, plan) = client.series(10, server("late", &kernel)).await;
    assert_eq!(status, 200, "{plan}");
    let after = client.identifiers().await;
    all_apart(&[before, after].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_gives_back_the_same_identifiers_and_nobody_had_them_meanwhile() {
    let (_folder, _appliance, client, kernel) = rack(1).await;
    let (status, plan) = client.series(3, server("web", &kernel)).await;
    assert_eq!(status, 200, "{plan}");
    let made = client.newest().await;
    let before = client.identifiers().await;
    client.undo(made).await;
    assert_eq!(client.identifiers().await, []);
    let pool = client.get(DEFAULT).await;
    assert_eq!((&pool["drawn"], &pool["in_use"]), (&json!(3), &json!(0)), "they rest: {pool}");
    let (status, _) = client.json("POST", "/api/v1/vs", &server("other", &kernel)).await;
    assert_eq!(status, 201);
    client.undo(made + 1).await;
    let all = client.identifiers().await;
    assert_eq!(all.iter().filter(|vs| vs.0 != "other").cloned().collect::<Vec<_>>(), before);
    all_apart(&all);

    // A dry run draws nothing, and says no identifier.
    let drawn = client.get(DEFAULT).await["drawn"].clone();
    let body = json!({"count": 2, "vs": server("dry", &kernel)});
    let (status, plan) = client.json("POST", "/api/v1/groups/vs/create?dry_run=true", &body).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("planned")), "{plan}");
    assert!(!plan.to_string().contains("02:57") && !plan.to_string().contains("30:57"), "{plan}");
    assert_eq!(client.get(DEFAULT).await["drawn"], drawn);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_refuses_all_and_says_the_way_out() {
    let (_folder, _appliance, client, kernel) = rack(1).await;
    let (status, pool) = client.pool("lab", "mac", &["06:00:00:00:00:01-06:00:00:00:00:03"]).await;
    assert_eq!((status, &pool["free"], &pool["state"]), (201, &json!(3), &json!("ok")), "{pool}");
    let lab = |name: &str| {
        let mut vs = server(name, &kernel);
        vs["mac_pool"] = "lab".into();
        vs
    };
    let body = json!({"count": 4, "vs": lab("web")});
    for query in ["", "?dry_run=true"] {
        let refused = client.json("POST", &format!("/api/v1/groups/vs/create{query}"), &body).await;
        assert_eq!(code(&refused), (409, "pool-exhausted"), "{refused:?}");
        let words = refused.1.to_string();
        assert!(
            words.contains("the pool lab has 3 MACs left") && words.contains("weft pool extend lab"),
            "{words}"
        );
    }
    assert_eq!(client.identifiers().await, [], "none was made");
    assert_eq!(client.get("/api/v1/pools/lab").await["drawn"], 0);
    assert_eq!(client.series(3, lab("web")).await.0, 200);
    let macs: Vec<String> = client.identifiers().await.into_iter().map(|vs| vs.1).collect();
    assert_eq!(macs, ["06:00:00:00:00:01", "06:00:00:00:00:02", "06:00:00:00:00:03"]);
    // A deletion frees none: an undo would want it back.
    client.does("DELETE", "/api/v1/vs/web-3").await;
    let refused = client.json("POST", "/api/v1/vs", &lab("more")).await;
    assert_eq!(code(&refused), (409, "pool-exhausted"), "{refused:?}");
    let more = json!({"ranges": ["06:00:00:00:00:04-06:00:00:00:00:04"]});
    let (status, _) = client.json("POST", "/api/v1/pools/lab/extend", &more).await;
    assert_eq!(status, 204);
    let extended = client.newest().await;
    let (status, vs) = client.json("POST", "/api/v1/vs", &lab("more")).await;
    assert_eq!((status, &vs["macs"]), (201, &json!(["06:00:00:00:00:04"])), "{vs}");
    let (code, words) = client.undo_refused(extended).await;
    assert!(code == "undo-conflict" && words.contains("more has an identifier of lab"), "{words}");
    client.does("DELETE", "/api/v1/vs/more").await;
    client.undo(extended).await;
    // The server that comes back would have what is of no pool any more.
    let gone = client.newest().await - 1;
    let (_, words) = client.undo_refused(gone).await;
    assert!(words.contains("06:00:00:00:00:04 of more is of no pool any more"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_take_ranges_that_are_theirs_and_of_no_other_pool() {
    let (_folder, _appliance, client, kernel) = rack(1).await;
    for (name, kind, range, wanted) in [
        ("a", "mac", "02:57:00:00:10:00-02:57:00:00:10:ff", (409, "range-overlaps")),
        ("a", "mac", "00:1b:21:00:00:00-00:1b:21:00:00:ff", (422, "invalid")),
        ("a", "mac", "01:00:00:00:00:00-01:00:00:00:00:ff", (422, "invalid")),
        ("a", "mac", "06:00:00:00:00:09-06:00:00:00:00:01", (422, "invalid")),
        ("a", "wwnn", "06:00:00:00:00:00-06:00:00:00:00:01", (422, "invalid")),
        ("a", "disk", "06:00:00:00:00:00-06:00:00:00:00:01", (422, "invalid")),
        ("default-mac", "mac", "06:00:00:00:00:00-06:00:00:00:00:01", (409, "taken")),
    ] {
        let answer = client.pool(name, kind, &[range]).await;
        assert_eq!(code(&answer), wanted, "{range}: {answer:?}");
        assert!(answer.1["next"].as_str().is_some_and(|next| !next.is_empty()), "{answer:?}");
    }
    let twice = ["06:00:00:00:00:00-06:00:00:00:00:05", "06:00:00:00:00:05-06:00:00:00:00:09"];
    assert_eq!(code(&client.pool("a", "mac", &twice).await), (409, "range-overlaps"));
    let own = json!({"name": "own", "kind": "mac", "oui": "00:1b:21", "ranges": ["00:1b:21:00:00:00-00:1b:21:00:00:ff"]});
    assert_eq!(client.json("POST", "/api/v1/pools", &own).await.0, 201);
    let made = client.newest().await;
    client.undo(made).await;
    assert_eq!(client.send("GET", "/api/v1/pools/own", Vec::new()).await.0, 404);
    client.undo(made + 1).await;
    let mut vs = server("web", &kernel);
    vs["mac_pool"] = "own".into();
    let (status, vs) = client.json("POST", "/api/v1/vs", &vs).await;
    assert_eq!((status, &vs["macs"]), (201, &json!(["00:1b:21:00:00:00"])), "{vs}");
    let refused = client.send("DELETE", "/api/v1/pools/own", Vec::new()).await;
    assert_eq!(code(&refused), (409, "identifiers-in-use"), "{refused:?}");
    let refused = client.send("DELETE", DEFAULT, Vec::new()).await;
    assert_eq!(code(&refused), (409, "default-pool"), "{refused:?}");
    let mut wrong = server("w", &kernel);
    wrong["mac_pool"] = "default-wwnn".into();
    assert_eq!(code(&client.json("POST", "/api/v1/vs", &wrong).await), (422, "invalid"));
}

fn licence(id: u8, grant: Grant) -> Licence {
    Licence {
        id: [id; 16],
        name: "hall-b".to_string(),
        kind: LicenceKind::Mac,
        grant,
        root_version: 1,
        not_before: 1,
        expiry: unix_s() + 3600,
    }
}

fn signed(licence: &Licence) -> Vec<u8> {
    document::licence(licence, &holder(2), &roots(false)).expect("signed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licence_extends_a_pool_once_and_what_is_wrong_with_it_is_said() {
    let (folder, appliance, client, kernel) = rack(1).await;
    let before = client.get(DEFAULT).await["size"].as_u64().expect("a size");
    let counted = signed(&licence(1, Grant::Count(100)));
    let (status, added) = client.licence(&counted).await;
    assert_eq!((status, &added["size"], &added["state"]), (201, &json!(100), &json!("valid")), "{added}");
    assert_eq!(added["range"], "02:57:01:00:00:00-02:57:01:00:00:63", "cut behind the default range");
    assert_eq!(client.get(DEFAULT).await["size"], json!(before + 100));

    let range = |first: u64, last: u64| Grant::Range { first, last };
    let expired = Licence { expiry: 5, ..licence(3, Grant::Count(1)) };
    let mut forged = signed(&licence(4, Grant::Count(1)));
    forged[70] ^= 1;
    let stranger = {
        let set = weft_format::RootSet::new(1, 1, &[*holder(9).public_key()], false).expect("a root set");
        document::licence(&licence(5, Grant::Count(1)), &holder(9), &set).expect("signed")
    };
    let unsigned = [licence(6, Grant::Count(1)).encode().expect("encoded"), vec![0; 8]].concat();
    let old = Licence { root_version: 2, ..licence(7, Grant::Count(1)) };
    for (bytes, wanted, words) in [
        (counted.clone(), (409, "licence-known"), "here already"),
        (signed(&expired), (422, "licence-refused"), "expired"),
        (forged, (422, "licence-refused"), "does not fit"),
        (stranger, (422, "licence-refused"), "not in the root set"),
        (unsigned, (422, "licence-refused"), "unsigned"),
        (signed(&old), (422, "licence-refused"), "root set version 2"),
        (b"nonsense".repeat(30), (422, "licence-refused"), "no licence"),
        (
            signed(&licence(8, range(0x0257_0000_0010, 0x0257_0000_0020))),
            (409, "range-overlaps"),
            "default-mac",
        ),
        (
            signed(&licence(9, range(0x001b_2100_0000, 0x001b_2100_0001))),
            (422, "licence-refused"),
            "OUI 00:1b:21",
        ),
    ] {
        let answer = client.licence(&bytes).await;
        assert_eq!(code(&answer), wanted, "{answer:?}");
        assert!(answer.1["title"].as_str().is_some_and(|title| title.contains(words)), "{words}: {answer:?}");
    }

    // Removed and added again it has the same range: a count is worth no more for that.
    let at = format!("/api/v1/licences/{}", "01".repeat(16));
    client.does("DELETE", &at).await;
    let removed = client.newest().await;
    let (_, again) = client.licence(&counted).await;
    assert_eq!(again["range"], added["range"], "{again}");
    let (_, words) = client.undo_refused(removed).await;
    assert!(words.contains("made hall-b again"), "{words}");

    // Drawn from it, it stays; and so over kill -9.
    let named = signed(&licence(2, range(0x0600_0000_0000, 0x0600_0000_0001)));
    let (status, _) = client.pool("lab", "mac", &["06:00:00:00:01:00-06:00:00:00:01:00"]).await;
    assert_eq!(status, 201);
    let body = json!({"document": hex(&named), "pool": "lab"});
    let (status, plan) = client.json("POST", "/api/v1/licences?dry_run=true", &body).await;
    assert_eq!((status, plan["state"].as_str()), (200, Some("planned")), "{plan}");
    assert_eq!(client.json("POST", "/api/v1/licences", &body).await.0, 201);
    let added = client.newest().await;
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    let mut vs = server("web", &kernel);
    vs["mac_pool"] = "lab".into();
    let (status, plan) = client.series(3, vs).await;
    assert_eq!(status, 200, "{plan}");
    let macs: Vec<String> = client.identifiers().await.into_iter().map(|vs| vs.1).collect();
    assert_eq!(macs, ["06:00:00:00:01:00", "06:00:00:00:00:00", "06:00:00:00:00:01"]);
    let refused = client.send("DELETE", "/api/v1/pools/lab", Vec::new()).await;
    assert_eq!(code(&refused).0, 409, "{refused:?}");
    let (_, words) = client.undo_refused(added).await;
    assert!(words.contains("has an identifier of the licence of hall-b"), "{words}");
    client.undo(client.newest().await).await;
    client.undo(added).await;
    assert_eq!(client.get("/api/v1/pools/lab").await["size"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_key_issues_a_licence_and_the_command_line_adds_it() {
    let (folder, appliance, client, _) = rack(1).await;
    let at = |name: &str| folder.path().join(name);
    let secret = "a passphrase of some length";
    keyfile::create_with_rounds(
        &at("holder.key"),
        &holder(1),
        &Passphrase::from(secret.as_bytes().to_vec()),
        keyfile::LEAST_ROUNDS,
    )
    .expect("a key file");
    std::fs::write(at("token"), &client.token).expect("written");
    std::fs::set_permissions(at("token"), std::fs::Permissions::from_mode(0o600)).expect("set");
    let weft = |args: &[&str]| {
        let done = Command::new(WEFT)
            .args(args)
            .current_dir(folder.path())
            .env("WEFT_URL", format!("unix:{}", appliance.data.join("api.sock").display()))
            .env("WEFT_TOKEN_FILE", at("token"))
            .env("SECRET", secret)
            .output()
            .expect("weft runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let issue =
        ["licence", "issue", "--roots", "roots.bin", "--key", "holder.key", "--passphrase-env", "SECRET"];
    let what = [
        "--for",
        "hall-b",
        "--range",
        "06:00:00:00:00:00-06:00:00:00:00:07",
        "--expires",
        "2d",
        "--out",
        "l",
    ];
    let issued = weft(&[&issue[..], &what[..], &["-o", "json"]].concat());
    assert_eq!(issued.0, Some(0), "{issued:?}");
    let shown: Value =
        serde_json::from_str(&weft(&["licence", "inspect", "l", "-o", "json"]).1).expect("JSON");
    assert_eq!((&shown["name"], &shown["kind"]), (&json!("hall-b"), &json!("mac")), "{shown}");
    let id = shown["id"].as_str().expect("an id").to_string();

    let plan = weft(&["licence", "add", "l", "--dry-run"]);
    assert!(plan.0 == Some(0) && plan.1.contains("its pool can give 06:00:00:00:00:00-"), "{plan:?}");
    assert_eq!(client.get("/api/v1/licences").await, json!([]));
    let added = weft(&["licence", "add", "l"]);
    assert!(added.0 == Some(0) && added.2.contains("default-mac has 8 identifiers more"), "{added:?}");
    let again = weft(&["licence", "add", "l"]);
    assert!(again.0 == Some(4) && again.2.contains("is here already"), "{again:?}");
    let list = weft(&["licence", "list"]);
    assert!(list.1.contains("hall-b") && list.1.contains("valid"), "{list:?}");
    let pool: Value =
        serde_json::from_str(&weft(&["pool", "show", "default-mac", "-o", "json"]).1).expect("JSON");
    assert_eq!(pool["ranges"][1]["licence"], json!(id), "{pool}");
    let number = client.newest().await.to_string();
    let undone = weft(&["tx", "undo", &number, "--yes"]);
    assert!(undone.0 == Some(0) && undone.1.contains("licence hall-b"), "{undone:?}");
    assert_eq!(weft(&["licence", "show", &id[..8]]).0, Some(3));
    for wrong in [&["--kind", "mac"][..], &["--count", "0"], &["--count", "1", "--range", "x"]] {
        let end = ["--for", "x", "--expires", "2d", "--out", "m"];
        assert_eq!(weft(&[&issue[..], wrong, &end[..]].concat()).0, Some(2), "{wrong:?}");
    }
}
