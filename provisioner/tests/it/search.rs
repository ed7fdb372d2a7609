//! Events and logs that are looked for, and the stream that replays from a transaction, to readers of every speed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use weft_server::simnode::SimSession;
use weft_wire::agent::{Level, LogLine, NodeEvent, ToServer};

use crate::common::{Appliance, Client, WEFT, command, prepared, sim};

pub(crate) async fn say(session: &mut SimSession, kind: &str, level: Level, text: &str) {
    let event = NodeEvent { uptime_ms: 1, level, kind: kind.to_string(), vs: None, text: text.to_string() };
    session.send(&ToServer::Event(event)).await.expect("sent");
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|one| one["text"].as_str().expect("text")).collect()
}

impl Client {
    async fn search(&self, query: &str) -> Value {
        self.get(&format!("/api/v1/events/search?{query}")).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_text_node_kind_severity_and_time_page_by_page() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let nodes = [sim(1, &file), sim(2, &file)];
    let mut sessions = [appliance.connect(&nodes[0]).await, appliance.connect(&nodes[1]).await];
    for (node, session) in nodes.iter().zip(&mut sessions) {
        client.approve(node).await;
        session.next_config().await.expect("approved");
    }
    for n in 0..40 {
        say(&mut sessions[0], "disk.slow", Level::Warn, &format!("Sector {n} is SLOW")).await;
        say(&mut sessions[1], "fan.fast", Level::Info, &format!("rpm {n}")).await;
    }
    for kind in ["disk.", "fan."] {
        let told = |page: &Value| page["events"].as_array().is_some_and(|all| all.len() == 40);
        client.until(&format!("/api/v1/events/search?limit=1000&kind={kind}"), "all", told).await;
    }
    let all = client.search("limit=1000&kind=disk.").await;
    assert_eq!((texts(&all["events"]).len(), all["state"].as_str()), (40, Some("end")), "{all}");
    assert_eq!(texts(&client.search("grep=sector%207%20is%20slow").await["events"]), ["Sector 7 is SLOW"]);
    assert_eq!(
        texts(&client.search("node=node-2&kind=fan.fast&limit=2").await["events"]),
        ["rpm 38", "rpm 39"]
    );
    assert_eq!(client.search("node=node-2&state=warn&grep=rpm").await["events"], json!([]));
    assert_eq!(client.search("kind=fan").await["events"], json!([]), "a kind is whole, or ends with a point");

    // Pages towards older ones: each once, none missing.
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = client.search(&format!("kind=disk.slow&limit=7{before}")).await;
        let mut found: Vec<u64> = page["events"]
            .as_array()
            .expect("events")
            .iter()
            .filter_map(|event| event["seq"].as_u64())
            .collect();
        assert!(found.len() <= 7);
        found.append(&mut seen);
        seen = found;
        if page["state"] == "end" {
            break;
        }
        before = format!("&before={}", page["next"]);
    }
    assert_eq!(seen.len(), 40);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    // And forward, from a number.
    let page = client.search(&format!("kind=disk.slow&limit=3&after={}", seen[10])).await;
    assert_eq!(texts(&page["events"]), ["Sector 11 is SLOW", "Sector 12 is SLOW", "Sector 13 is SLOW"]);
    let page = client.search(&format!("kind=disk.slow&limit=3&after={}", page["next"])).await;
    assert_eq!(texts(&page["events"])[0], "Sector 14 is SLOW");

    let at = all["events"][20]["at"].as_str().expect("a time");
    let since = client.search(&format!("kind=disk.slow&limit=100&since={at}")).await;
    let until = client.search(&format!("kind=disk.slow&limit=100&until={at}")).await;
    let count = |page: &Value| page["events"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&since) + count(&until), 40);
    assert!(count(&since) >= 20 && count(&until) <= 20);
    for bad in ["since=yesterday", "state=loud", &format!("grep={}", "x".repeat(300))] {
        let (status, problem) = client.send("GET", &format!("/api/v1/events/search?{bad}"), Vec::new()).await;
        assert_eq!(status, 422, "{problem}");
    }
    // By the command line.
    let token = appliance.data.join("token-of-the-test");
    std::fs::write(&token, &client.token).expect("written");
    let run = |words: &[&str]| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        let done = std::process::Command::new(WEFT)
            .args(words)
            .args(["-o", "json", "--url"])
            .arg(format!("unix:{}", client.socket.display()))
            .arg("--token-file")
            .arg(&token)
            .env("XDG_CONFIG_HOME", appliance.data.join("nowhere"))
            .output()
            .expect("weft runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).expect("JSON")
    };
    let found =
        run(&["event", "list", "--node", "node-1", "--kind", "disk.", "--grep", "sector 3", "--since", "1h"]);
    assert_eq!(texts(&found).len(), 11, "{found}");
    assert_eq!(run(&["event", "list", "--state", "error", "--until", "1h"]), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_nodes_log_are_found_and_numbered_also_after_kill_9() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    for n in 1..=30u64 {
        let level = if n % 10 == 0 { Level::Error } else { Level::Info };
        let line = LogLine { uptime_ms: n, level, text: format!("stage {n} of Boot") };
        session.send(&ToServer::Log(line)).await.expect("sent");
    }
    let path = "/api/v1/nodes/node-1/log";
    let whole = |log: &Value| log.as_array().is_some_and(|log| log.len() == 30);
    client.until(&format!("{path}?lines=100"), "all lines", whole).await;
    let seqs = |log: &Value| -> Vec<u64> {
        log.as_array().expect("lines").iter().filter_map(|line| line["seq"].as_u64()).collect()
    };
    let errors = client.get(&format!("{path}?level=error")).await;
    assert_eq!(texts(&errors), ["stage 10 of Boot", "stage 20 of Boot", "stage 30 of Boot"]);
    assert_eq!(seqs(&errors), [10, 20, 30]);
    assert_eq!(texts(&client.get(&format!("{path}?grep=STAGE%2017%20")).await), ["stage 17 of Boot"]);
    assert_eq!(seqs(&client.get(&format!("{path}?lines=3&before=20")).await), [17, 18, 19]);
    assert_eq!(client.get(&format!("{path}?since=2999-01-01T00:00:00Z")).await, json!([]));
    // What stood in line for the disk is there; it needs no more than that.
    let end = std::time::Instant::now() + Duration::from_secs(60);
    let kept = || {
        let files = std::fs::read_dir(appliance.data.join("history")).expect("the folder").flatten();
        files
            .filter_map(|file| std::fs::read_to_string(file.path()).ok())
            .any(|text| text.contains("stage 30"))
    };
    while !kept() {
        assert!(std::time::Instant::now() < end, "it never came to the disk");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(session);
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    let mut session = appliance.connect(&node).await;
    let line = LogLine { uptime_ms: 31, level: Level::Info, text: "after it".to_string() };
    session.send(&ToServer::Log(line)).await.expect("sent");
    let last =
        |log: &Value| log.as_array().and_then(|log| log.last()).is_some_and(|l| l["text"] == "after it");
    let log = client.until(&format!("{path}?lines=2"), "the line", last).await;
    assert_eq!(seqs(&log), [30, 31], "numbers go on");
}

/// What came on a stream: name, id, data.
type Block = (String, Option<u64>, Value);

/// A reader of the stream: its socket, what it has read, and what is not whole yet.
struct Reader {
    socket: UnixStream,
    blocks: Vec<Block>,
    rest: String,
}

impl Reader {
    async fn open(client: &Client, query: &str, more: &str) -> Self {
        let mut socket = UnixStream::connect(&client.socket).await.expect("the socket");
        let request = format!(
            "GET /api/v1/events/stream?{query} HTTP/1.1\r\nHost: weft\r\nAuthorization: Bearer {}\r\n{more}\r\n",
            client.token
        );
        socket.write_all(request.as_bytes()).await.expect("sent");
        Self { socket, blocks: Vec::new(), rest: String::new() }
    }

    fn take(&mut self) {
        while let Some((block, rest)) = self.rest.split_once("\n\n") {
            let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let Some(data) = line("data:").and_then(|data| serde_json::from_str(data).ok()) {
                let name = line("event:").unwrap_or_default().to_string();
                self.blocks.push((name, line("id:").and_then(|id| id.parse().ok()), data));
            }
            self.rest = rest.to_string();
        }
    }

    /// Reads until it is enough.
    async fn until(&mut self, what: &str, enough: impl Fn(&[Block]) -> bool) {
        let mut piece = vec![0; 64 * 1024];
        let reading = async {
            while !enough(&self.blocks) {
                let size = self.socket.read(&mut piece).await.expect("read");
                assert!(size > 0, "the stream ended: {}", self.rest);
                self.rest.push_str(&String::from_utf8_lossy(&piece[..size]));
                self.take();
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(600), reading).await;
        assert!(read.is_ok(), "never {what}; {} blocks", self.blocks.len());
    }

    fn ids(&self) -> Vec<u64> {
        self.blocks.iter().filter_map(|(_, id, _)| *id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_replays_from_a_transaction_and_keeps_to_what_is_looked_for() {
    let (_folder, _appliance, client, _) = Appliance::with_image().await;
    let mut numbers = Vec::new();
    for n in 0..5 {
        let (status, _) =
            client.json("POST", "/api/v1/datacenters", &json!({"name": format!("hall-{n}")})).await;
        assert_eq!(status, 201);
        numbers.push(client.newest().await);
    }
    let mut reader = Reader::open(&client, &format!("from={}", numbers[2]), "").await;
    reader
        .until("three", |all| {
            all.iter().filter(|(_, _, data)| data["name"] == "datacenter.created").count() == 3
        })
        .await;
    let told: Vec<u64> = reader
        .blocks
        .iter()
        .filter(|(_, _, data)| data["name"] == "datacenter.created")
        .filter_map(|(_, _, data)| data["transaction"].as_u64())
        .collect();
    assert_eq!(told, numbers[2..], "from that transaction on, each once");
    // What was read last counts more than the address.
    let last = *reader.ids().last().expect("ids");
    let header = format!("Last-Event-ID: {}\r\n", last - 1);
    let mut again = Reader::open(&client, "from=1", &header).await;
    again.until("the last", |all| !all.is_empty()).await;
    assert_eq!(again.ids()[0], last);
    let mut some = Reader::open(&client, "after=0&kind=datacenter.&grep=hall-3", "").await;
    some.until("one", |all| !all.is_empty()).await;
    assert_eq!(some.blocks.len(), 1);
    assert_eq!(client.send("GET", "/api/v1/events/stream?since=now", Vec::new()).await.0, 422);
    // Numbers that this appliance has not come to: the store is an older one.
    let mut ahead = Reader::open(&client, "after=1000000", "").await;
    ahead.until("a word", |all| !all.is_empty()).await;
    let (name, id, gap) = ahead.blocks.remove(0);
    assert_eq!((name.as_str(), id, gap["last"].as_u64()), ("missed", None, Some(1_000_000)), "{gap}");
    let (status, _) = client.json("POST", "/api/v1/datacenters", &json!({"name": "hall-9"})).await;
    assert_eq!(status, 201);
    ahead
        .until("what is new", |all| all.iter().any(|(_, _, data)| data["name"] == "datacenter.created"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_holds_nobody_up_and_is_told_what_is_no_longer_kept() {
    let (folder, _, _) = prepared();
    let data = folder.path().join("data");
    // Few events are kept, so that a slow reader loses some.
    let mut child = command(&data);
    child
        .args(["--keep-events", "1000"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = child.spawn().expect("the appliance starts");
    let out = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    use std::io::BufRead;
    for line in out.lines().map_while(Result::ok) {
        if line == "ready" {
            break;
        }
    }
    let mut client = Client { socket: data.join("api.sock"), token: String::new() };
    let first = std::fs::read_to_string(data.join("admin-password")).expect("the password file");
    let (_, reply) = client.login("admin", first.trim()).await;
    client.token = reply["token"].as_str().expect("a token").to_string();
    let body = json!({"old": first.trim(), "new": crate::common::PASSWORD});
    assert_eq!(client.json("POST", "/api/v1/password", &body).await.0, 204);

    let mut slow = Reader::open(&client, "after=1", "").await;
    slow.until("something", |all| !all.is_empty()).await;
    let quick = Reader::open(&client, "after=1", "").await;
    let reading = tokio::spawn(async move {
        let mut quick = quick;
        quick
            .until("all of them", |all| {
                all.iter()
                    .any(|(_, _, data)| data["text"].as_str().is_some_and(|text| text.contains("last-one")))
            })
            .await;
        quick
    });
    // Each change tells one event with a long name, in its own transaction; the socket of who does not read is full soon.
    let long = "x".repeat(50);
    for n in 0..1800 {
        let name = if n == 1799 { "last-one".to_string() } else { format!("{long}-{n}") };
        let (status, reply) = client.json("POST", "/api/v1/datacenters", &json!({"name": name})).await;
        assert_eq!(status, 201, "{reply}");
    }
    let quick = reading.await.expect("it read");
    let gaps = |reader: &Reader| reader.blocks.iter().filter(|(name, ..)| name == "missed").count();
    assert_eq!(gaps(&quick), 0, "who reads misses nothing");
    let ids = quick.ids();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "each once, in order");
    slow.until("the end", |all| {
        all.iter().any(|(_, _, data)| data["text"].as_str().is_some_and(|text| text.contains("last-one")))
    })
    .await;
    let ids = slow.ids();
    let holes: u64 = ids.windows(2).map(|pair| pair[1] - pair[0] - 1).sum();
    let told: u64 = slow
        .blocks
        .iter()
        .filter(|(name, ..)| name == "missed")
        .map(|(_, _, gap)| gap["last"].as_u64().expect("last") - gap["first"].as_u64().expect("first") + 1)
        .sum();
    assert_eq!(holes, told, "what it missed it was told, and nothing else is missing");
    // One that was away for long.
    client.until("/api/v1/events?after=2&limit=1", "dropped", |all| all[0]["seq"].as_u64() > Some(3)).await;
    let mut late = Reader::open(&client, "after=2", "").await;
    late.until("a word", |all| !all.is_empty()).await;
    let (name, _, gap) = late.blocks.remove(0);
    assert_eq!((name.as_str(), gap["first"].as_u64()), ("missed", Some(3)), "{gap}");
    child.kill().expect("killed");
    child.wait().expect("it ended");
}
