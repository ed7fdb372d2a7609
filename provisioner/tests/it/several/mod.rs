//! Three appliances that hold one store: real programs on addresses of loopback, each on a disk of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixStream;
use weft_format::delegation::Delegation;

mod documents;
mod leases;
mod service;
mod unable;

use crate::common::{Client, Made, PASSWORD, WEFT, command, hex, prepared, sim};

/// What a slow machine may take for anything here.
const PATIENCE: Duration = Duration::from_secs(120);

/// Addresses that no other test uses: of this process, in 127/8.
fn host(number: u8) -> String {
    let id = std::process::id();
    format!("127.{}.{}.{number}", 1 + (id >> 8) % 250, id % 256)
}

/// One of them.
struct One {
    name: &'static str,
    folder: TempDir,
    child: Child,
    said: Arc<Mutex<String>>,
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

impl One {
    fn start(name: &'static str, folder: TempDir) -> Self {
        let command = command(&data(&folder));
        Self::run(name, folder, command)
    }

    fn run(name: &'static str, folder: TempDir, mut command: Command) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.path().join("log"));
        let mut child =
            command.stdout(Stdio::piped()).stderr(log.expect("a log")).spawn().expect("the appliance starts");
        let said = Arc::new(Mutex::new(String::new()));
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let mut said = heard.lock().expect("no panic");
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { name, folder, child, said }
    }

    fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until it has said this.
    async fn until(&mut self, what: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.said().contains(what) {
            let ended = self.child.try_wait().expect("it can be asked");
            assert!(
                ended.is_none() && Instant::now() < end,
                "{}: no {what} ({ended:?}) in:\n{}{}",
                self.name,
                self.said(),
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The address behind these words, the last time that it said so.
    fn address(&self, after: &str) -> SocketAddr {
        let said = self.said();
        let rest = said.rsplit_once(after).unwrap_or_else(|| panic!("no {after} in:\n{said}")).1;
        rest.split([',', ' ', '\n']).next().and_then(|word| word.parse().ok()).expect("an address")
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and its end.
    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().expect("kill runs").success());
        let ended = self.child.wait().expect("it ends");
        assert!(ended.success(), "{}: {ended}\n{}", self.name, self.log());
    }

    /// Starts it again on its folder.
    fn again(self) -> Self {
        let name = self.name;
        Self::start(name, self.into_folder())
    }

    /// Its folder; it is gone itself.
    fn into_folder(mut self) -> TempDir {
        self.kill();
        std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"))
    }

    fn client(&self, token: &str) -> Client {
        Client { socket: data(&self.folder).join("api.sock"), token: token.to_string() }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A verb of the appliance's own; what it said.
fn appliance(words: &[&str], data: &Path) -> std::process::Output {
    Command::new(WEFT).arg("appliance").args(words).arg("--data").arg(data).output().expect("weft runs")
}

fn done(output: &std::process::Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A request whose failure is an answer too: an appliance that is killed gives none.
async fn try_send(
    client: &Client,
    method: &str,
    path: &str,
    key: &str,
    body: &Value,
) -> Option<(u16, Value, bool)> {
    let mut request = client.build(method, path).header("content-type", "application/json");
    if !key.is_empty() {
        request = request.header("idempotency-key", key);
    }
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let request = request.body(Full::new(Bytes::from(text))).expect("a request");
    let stream = UnixStream::connect(&client.socket).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let copy = head.headers.contains_key("x-weft-copy");
    Some((head.status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null), copy))
}

/// Waits until the appliances, as this one shows them, are so.
async fn listed(client: &Client, what: &str, good: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = try_send(client, "GET", "/api/v1/appliances", "", &Value::Null).await;
        if let Some((200, Value::Array(all), _)) = &seen
            && good(all)
        {
            return all.clone();
        }
        assert!(Instant::now() < end, "never {what}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn state<'a>(all: &'a [Value], name: &str) -> &'a str {
    all.iter().find(|one| one["name"] == name).and_then(|one| one["state"].as_str()).unwrap_or_default()
}

fn level(all: &[Value]) -> bool {
    all.iter().all(|one| one["behind"].as_u64() < Some(5) && one["lacks"] == 0)
}

/// The only appliance, with a data center, an image and a blob; then the first of several.
async fn founded() -> (One, String, [u8; 32], Delegation, Vec<u8>) {
    let (folder, key, delegation) = prepared();
    let mut one = One::start("north", folder);
    one.until("ready\n").await;
    let first = std::fs::read_to_string(data(&one.folder).join("admin-password")).expect("the password");
    let mut client = one.client("");
    let (status, reply) = client.login("admin", first.trim()).await;
    assert_eq!(status, 200, "{reply}");
    client.token = reply["token"].as_str().expect("a token").to_string();
    let change = json!({"old": first.trim(), "new": PASSWORD});
    assert_eq!(client.json("POST", "/api/v1/password", &change).await.0, 204);
    let image = Made::default().file();
    assert_eq!(client.send("POST", "/api/v1/images", image.clone()).await.0, 201);
    assert_eq!(client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await.0, 200);
    assert_eq!(client.json("POST", "/api/v1/datacenters", &json!({"name": "before"})).await.0, 201);
    // One that runs is not touched.
    let at = format!("{}:7070", host(1));
    let refused = appliance(&["found", "--name", "north", "--address", &at], &data(&one.folder));
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("stop it first"));
    one.stop();
    let refused = appliance(&["invite", "--out", "/dev/null"], &data(&one.folder));
    assert!(!refused.status.success());
    done(&appliance(&["found", "--name", "north", "--address", &at], &data(&one.folder)));
    let mut one = one.again();
    one.until("leads in term").await;
    (one, client.token, key, delegation, image)
}

fn invitation(leader: &One) -> PathBuf {
    let file = leader.folder.path().join("invitation");
    let _ = std::fs::remove_file(&file);
    let out = file.display().to_string();
    done(&appliance(&["invite", "--out", &out], &data(&leader.folder)));
    file
}

async fn joined(name: &'static str, number: u8, leader: &One) -> One {
    let invitation = invitation(leader).display().to_string();
    let at = format!("{}:7070", host(number));
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["join", "--name", name, "--address", &at, "--invitation", &invitation];
    done(&appliance(&words, &data(&folder)));
    // Good once: not for another, and nothing of its folder stays.
    let other = tempfile::tempdir().expect("a folder");
    let refused = appliance(&words, &data(&other));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("was used"), "{text}");
    assert!(!data(&other).exists());
    let mut one = One::start(name, folder);
    one.until("ready\n").await;
    one
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_three_appliances_the_leader_is_killed_and_nothing_that_was_acknowledged_is_lost() {
    let (north, token, channel, delegation, image) = founded().await;
    let at_north = north.client(&token);
    let all = listed(&at_north, "one that leads", |all| state(all, "north") == "leads").await;
    assert_eq!(all.len(), 1, "{all:?}");
    // What the only one held is there as it was, sessions too.
    assert_eq!(at_north.get("/api/v1/datacenters").await[0]["name"], "before");
    let history = at_north.get("/api/v1/transactions").await;

    let south = joined("south", 2, &north).await;
    let at_south = south.client(&token);
    // Two with a vote would be worse than one: the second learns.
    listed(&at_south, "south that learns", |all| state(all, "south") == "learns" && level(all)).await;
    assert_eq!(at_south.get("/api/v1/datacenters").await[0]["name"], "before");
    let east = joined("east", 3, &north).await;
    let at_east = east.client(&token);
    let voters = |all: &[Value]| all.len() == 3 && all.iter().all(|one| one["voter"] == true) && level(all);
    listed(&at_east, "three with a vote", voters).await;
    assert_eq!(at_east.get("/api/v1/transactions").await, history);

    // A change at one is there at the others; files are at each, as they are.
    assert_eq!(at_east.json("POST", "/api/v1/datacenters", &json!({"name": "by-east"})).await.0, 201);
    let found = at_south.get("/api/v1/datacenters").await;
    assert!(found.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "by-east")), "{found}");
    for folder in [&south.folder, &east.folder] {
        let name = hex(ring::digest::digest(&ring::digest::SHA256, &image).as_ref());
        assert_eq!(std::fs::read(data(folder).join("files").join(name)).expect("the image"), image);
    }
    let kernel = at_east.send("PUT", "/api/v1/blobs", b"another kernel".to_vec()).await;
    assert_eq!(kernel.0, 200, "{kernel:?}");

    // A node is approved, and hears records of the leader.
    let node = sim(7, &image);
    let mut session = node
        .connect(north.address("agents "), &channel, &delegation, (0, 0))
        .await
        .expect("the leader answers nodes");
    at_south.approve(&node).await;
    session.next_config().await.expect("a record");
    let last = session.numbers.last().copied().expect("a number");

    let mut all = [north, south, east];
    killed_under_load(&mut all, &token).await;
    let [mut north, mut south, mut east] = all;

    // The node finds whoever leads, which gives it later records.
    let client = south.client(&token);
    let led = listed(&client, "another that leads", |all| {
        state(all, "north") == "unreachable"
            && (state(all, "south") == "leads" || state(all, "east") == "leads")
    })
    .await;
    let leader = if state(&led, "south") == "leads" { &mut south } else { &mut east };
    leader.until("leads in term").await;
    let mut session = node
        .connect(leader.address("agents "), &channel, &delegation, last)
        .await
        .expect("the new leader answers nodes");
    session.next_config().await.expect("a record");
    assert!(session.numbers.last().copied().expect("a number") > last);
    drop(session);
    // Machines boot from the survivors.
    for survivor in [&south, &east] {
        let at = survivor.address("HTTP ");
        assert_eq!(fetched(at, "/weft.efi").await, image, "{}", survivor.name);
    }
    // The one that was killed comes back, and has what it missed.
    north = north.again();
    north.until("ready\n").await;
    let names = names(&client).await;
    listed(&client, "three again", |all| state(all, "north") == "follows" && level(all)).await;

    // Without a majority: reads of its own copy; nothing is changed, and nothing is said to be.
    south.kill();
    east.kill();
    let alone = north.client(&token);
    let end = Instant::now() + PATIENCE;
    let own = loop {
        match try_send(&alone, "GET", "/api/v1/datacenters", "", &Value::Null).await {
            Some((200, Value::Array(all), true)) if all.len() == names.len() => break all,
            other => assert!(Instant::now() < end, "no copy: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(own.len(), names.len());
    let lost = try_send(&alone, "POST", "/api/v1/datacenters", "k", &json!({"name": "lost"})).await;
    let (status, problem, _) = lost.expect("an answer");
    assert_eq!((status, problem["code"].as_str()), (503, Some("no-leader")), "{problem}");
    assert_eq!(fetched(north.address("HTTP "), "/weft.efi").await, image);

    // A majority again: it goes on. Who is gone for good is removed, and nobody waits for it.
    let mut south = south.again();
    south.until("ready\n").await;
    let client = south.client(&token);
    listed(&client, "two that go on", |all| {
        let others: Vec<Value> = all.iter().filter(|one| one["name"] != "east").cloned().collect();
        state(all, "east") == "unreachable"
            && others.iter().any(|one| one["state"] == "leads")
            && level(&others)
    })
    .await;
    // As the command line does: where the leader changes at that moment, it is asked for again.
    let end = Instant::now() + PATIENCE;
    loop {
        match try_send(&client, "DELETE", "/api/v1/appliances/east", "r", &Value::Null).await {
            Some((204, ..)) => break,
            Some((503, ..)) => assert!(Instant::now() < end, "east is never removed"),
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    listed(&client, "two of all", |all| all.len() == 2 && level(all)).await;
    let last = try_send(&client, "POST", "/api/v1/datacenters", "a", &json!({"name": "after"})).await;
    assert_eq!(last.as_ref().map(|(status, ..)| *status), Some(201), "{last:?}");
}

async fn fetched(at: SocketAddr, path: &str) -> Vec<u8> {
    let stream = tokio::net::TcpStream::connect(at).await.expect("boot HTTP");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", "weft").body(Full::new(Bytes::new()));
    let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.expect("a body").to_bytes().to_vec()
}

async fn names(client: &Client) -> Vec<String> {
    let all = client.get("/api/v1/datacenters").await;
    let name = |one: &Value| one["name"].as_str().unwrap_or_default().to_string();
    all.as_array().expect("a list").iter().map(name).collect()
}

/// Eight clients write, each change with a key that is the same for all its attempts; the leader is killed in their midst.
async fn killed_under_load(all: &mut [One; 3], token: &str) {
    let acknowledged = Arc::new(Mutex::new(Vec::<(String, Instant)>::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<Client> = all.iter().map(|one| one.client(token)).collect();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8usize {
        let (clients, acknowledged, stop) = (clients.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
        writers.spawn(async move {
            for number in 0usize.. {
                let name = format!("dc-{writer}-{number}");
                let body = json!({"name": name});
                let end = Instant::now() + PATIENCE;
                for attempt in writer.. {
                    let client = &clients[attempt % clients.len()];
                    match try_send(client, "POST", "/api/v1/datacenters", &name, &body).await {
                        // Done by an attempt whose answer did not come: then it is answered with its transaction.
                        Some((200 | 201, ..)) => {
                            acknowledged.lock().expect("no panic").push((name, Instant::now()));
                            break;
                        }
                        None | Some((503, ..)) => tokio::time::sleep(Duration::from_millis(20)).await,
                        Some((status, answer, _)) => panic!("{name}: {status} {answer}"),
                    }
                    assert!(Instant::now() < end, "{name} is never done");
                }
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
    }
    let count = || acknowledged.lock().expect("no panic").len();
    let end = Instant::now() + PATIENCE;
    while count() < 80 {
        assert!(Instant::now() < end, "only {} were done", count());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let killed = Instant::now();
    all[0].kill();
    // Each of the eight may have had one answer on its way.
    while acknowledged.lock().expect("no panic").iter().filter(|(_, at)| *at > killed).count() < 80 {
        assert!(Instant::now() < end, "nothing is done after the kill");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.expect("a writer");
    }
    let acknowledged = acknowledged.lock().expect("no panic").clone();
    let mut after: Vec<Duration> =
        acknowledged.iter().filter_map(|(_, at)| at.checked_duration_since(killed)).collect();
    after.push(Duration::ZERO);
    after.sort();
    // An answer that was on its way comes within milliseconds.
    let gap = after.windows(2).map(|two| (two[1] - two[0], two[1])).max().unwrap_or_default();
    eprintln!(
        "leader killed: {} changes acknowledged before, {} after; the next after {} ms (longest pause {} ms)",
        acknowledged.len() + 1 - after.len(),
        after.len() - 1,
        gap.1.as_millis(),
        gap.0.as_millis()
    );
    for survivor in &all[1..] {
        // How long it took to begin, part by part.
        let said = survivor.said();
        said.lines().filter(|line| line.starts_with("leads ")).for_each(|line| {
            eprintln!("{}: {line}", survivor.name);
        });
        let client = survivor.client(token);
        let there = names(&client).await;
        for (name, _) in &acknowledged {
            assert_eq!(there.iter().filter(|one| *one == name).count(), 1, "{name} at {}", survivor.name);
        }
        let (first, _) = &acknowledged[acknowledged.len() - 1];
        let history = client.get(&format!("/api/v1/transactions?object={first}")).await;
        assert_eq!(history.as_array().map(Vec::len), Some(1), "{history}");
    }
}
