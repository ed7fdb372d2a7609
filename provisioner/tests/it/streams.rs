//! What does not end: consoles and the event stream.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use weft_server::simnode::{Heard, SimSession};
use weft_types::VsId;
use weft_wire::agent::{Level, LogLine, ToNode, ToServer, VsState, VsStatus};

use crate::common::{Appliance, Client, sim};

async fn watch(client: &Client) -> tokio_tungstenite::WebSocketStream<UnixStream> {
    let mut request = "ws://weft/api/v1/vs/db/console".into_client_request().expect("a request");
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {}", client.token).parse().expect("a header"));
    let stream = UnixStream::connect(&client.socket).await.expect("the socket");
    tokio_tungstenite::client_async(request, stream).await.expect("upgraded").0
}

/// Binary frames until they hold `wanted`.
async fn shown(socket: &mut tokio_tungstenite::WebSocketStream<UnixStream>, wanted: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.contains(wanted) {
            if let Message::Binary(bytes) = socket.next().await.expect("a frame").expect("a good frame") {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(10), reading).await;
    assert!(read.is_ok(), "{wanted:?} never came: {text:?}");
    text
}

async fn started(client: &Client, session: &mut SimSession) -> VsId {
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let wanted = json!({"name": "db", "vcpus": 1, "memory_mib": 64, "kernel": blob["digest"]});
    assert_eq!(client.json("POST", "/api/v1/vs", &wanted).await.0, 201);
    assert_eq!(client.send("POST", "/api/v1/vs/db/start", Vec::new()).await.0, 204);
    loop {
        if let Some(spec) = session.next_config().await.expect("configured").servers.first() {
            break spec.id;
        }
    }
}

async fn log(session: &mut SimSession, text: &str) {
    let line = LogLine { uptime_ms: 7, level: Level::Info, text: text.to_string() };
    session.send(&ToServer::Log(line)).await.expect("sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_logs_and_consoles_outlive_an_appliance_killed_with_9() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let mut node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    log(&mut session, "before anybody approved").await;
    let logged = |text: &'static str| {
        move |log: &Value| log.as_array().is_some_and(|log| log.iter().any(|line| line["text"] == text))
    };
    client.until("/api/v1/nodes/node-1/log", "a line", logged("before anybody approved")).await;
    client.approve(&node).await;
    let id = started(&client, &mut session).await;
    log(&mut session, "after it").await;
    session.console(id, 1, 0, b"Linux version 6.1\r\n").await.expect("sent");
    client.until("/api/v1/nodes/node-1/log", "a line", logged("after it")).await;
    shown(&mut watch(&client).await, "6.1").await;
    // What was shown stands in line for the disk; it needs no more than that.
    let written = |kind: &str, end: &str, text: &str| {
        let files = std::fs::read_dir(appliance.data.join("history")).expect("the folder").flatten();
        files.map(|file| file.path()).any(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let content =
                || String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).contains(text);
            name.starts_with(kind) && name.ends_with(end) && content()
        })
    };
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !(written("node-", ".log", "after it") && written("vs-", ".screen", "6.1\r\n")) {
        assert!(std::time::Instant::now() < end, "it never came to the disk");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(session);
    let appliance = appliance.crash_and_restart(&folder);
    let client = appliance.login().await;
    let log = client.get("/api/v1/nodes/node-1/log").await;
    let texts: Vec<&str> =
        log.as_array().expect("a list").iter().filter_map(|l| l["text"].as_str()).collect();
    assert_eq!(texts, ["before anybody approved", "after it"]);
    assert_eq!(shown(&mut watch(&client).await, "6.1\r\n").await, "Linux version 6.1\r\n");
    // The node tells its history again, and goes on; nothing shows twice.
    let mut session = appliance.connect(&node).await;
    session.console(id, 1, 0, b"Linux version 6.1\r\nlogin: ").await.expect("sent");
    assert_eq!(shown(&mut watch(&client).await, "login: ").await, "Linux version 6.1\r\nlogin: ");
    // A node that boots numbers output anew, of the same instance.
    drop(session);
    node.reboot();
    let mut session = appliance.connect(&node).await;
    session.console(id, 1, 0, b"Linux again").await.expect("sent");
    shown(&mut watch(&client).await, "login: \r\n[the node started again]\r\nLinux again").await;
    // What is deleted leaves nothing.
    let kept = |kind: &str| {
        let files = std::fs::read_dir(appliance.data.join("history")).expect("the folder");
        files.flatten().filter(|file| file.file_name().to_string_lossy().starts_with(kind)).count()
    };
    assert_eq!((kept("vs-"), kept("node-")), (1, 1));
    assert_eq!(client.send("DELETE", "/api/v1/vs/db", Vec::new()).await.0, 204);
    assert_eq!(client.send("DELETE", "/api/v1/nodes/node-1", Vec::new()).await.0, 204);
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while (kept("vs-"), kept("node-")) != (0, 0) {
        assert!(std::time::Instant::now() < end, "files of what was deleted are still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_exits_of_a_running_guest_are_shown_without_an_event_each() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    let vs = started(&client, &mut session).await;
    for exits in [0, 500, 900] {
        let state = VsState::Running;
        let status = VsStatus { vs, generation: 1, instance: 1, state, reason: String::new(), exits };
        session.send(&ToServer::VsStatus(status)).await.expect("sent");
        client.until("/api/v1/vs/db", "the count", |vs| vs["exits"] == exits).await;
    }
    let held = "the guest reset itself 4 times in a row; it is started again in 1 s";
    let status = VsStatus {
        vs,
        generation: 1,
        instance: 1,
        state: VsState::Stopped,
        reason: held.to_string(),
        exits: 900,
    };
    session.send(&ToServer::VsStatus(status)).await.expect("sent");
    client.until("/api/v1/vs/db", "the reason", |vs| vs["reason"] == held && vs["state"] == "starting").await;
    assert_eq!(client.event("vs.held").await["text"], held);
    let events = client.get("/api/v1/events").await;
    let named = |name: &str| events.as_array().expect("a list").iter().filter(|e| e["name"] == name).count();
    assert_eq!(named("vs.running"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_shows_history_then_live_output_and_takes_input() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    let id = started(&client, &mut session).await;
    session.console(id, 1, 0, b"Linux version 6.1\r\n").await.expect("sent");
    let mut one = watch(&client).await;
    assert_eq!(shown(&mut one, "6.1\r\n").await, "Linux version 6.1\r\n");
    let mut two = watch(&client).await;
    session.console(id, 1, 19, b"login: ").await.expect("sent");
    assert_eq!(shown(&mut one, "login: ").await, "login: ");
    assert_eq!(shown(&mut two, "login: ").await, "Linux version 6.1\r\nlogin: ");
    two.send(Message::Binary(b"root\n".to_vec().into())).await.expect("typed");
    loop {
        if let Heard::Message(ToNode::ConsoleInput { vs, bytes }) = session.next().await.expect("a message") {
            assert_eq!((vs, bytes.as_slice()), (id, &b"root\n"[..]));
            break;
        }
    }
    drop(session);
    client.until("/api/v1/nodes/node-1", "lost", |node| node["state"] == "lost").await;
    two.send(Message::Binary(b"x".to_vec().into())).await.expect("typed");
    shown(&mut two, "the node is away").await;
    // A session that ends takes its consoles along.
    assert_eq!(client.send("POST", "/api/v1/logout", Vec::new()).await.0, 204);
    let ended =
        tokio::time::timeout(Duration::from_secs(15), async { while let Some(Ok(_)) = two.next().await {} });
    assert!(ended.await.is_ok(), "the console outlives its session");
}

/// Reads SSE events until `count` came; returns their sequence numbers and objects.
async fn follow(client: &Client, after: u64, count: usize) -> Vec<(u64, Value)> {
    let mut stream = UnixStream::connect(&client.socket).await.expect("the socket");
    let request = format!(
        "GET /api/v1/events/stream?after={after} HTTP/1.1\r\nHost: weft\r\nAuthorization: Bearer {}\r\n\r\n",
        client.token
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    let mut found = Vec::new();
    let mut piece = [0; 4096];
    while found.len() < count {
        let size = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut piece))
            .await
            .unwrap_or_else(|_| panic!("{} of {count} events came: {text}", found.len()))
            .expect("read");
        assert!(size > 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..size]));
        found = text
            .split("\n\n")
            .filter_map(|block| {
                let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let seq: u64 = line("id:")?.parse().ok()?;
                Some((seq, serde_json::from_str(line("data:")?).ok()?))
            })
            .collect();
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_stream_replays_from_where_one_stopped_and_goes_on_without_a_gap() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    client.event("image.published").await;
    let all = client.get("/api/v1/events?after=0&limit=1000").await;
    let last =
        all.as_array().and_then(|all| all.last()).and_then(|event| event["seq"].as_u64()).expect("events");
    let replayed = follow(&client, 0, usize::try_from(last).expect("few")).await;
    assert_eq!(replayed.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    assert_eq!(&replayed[0].1, &all[0]);

    let following = {
        let client = client.clone();
        tokio::spawn(async move { follow(&client, last - 1, 12).await })
    };
    for number in 0..11 {
        drop(appliance.connect(&sim(number, &file)).await);
    }
    let live = following.await.expect("followed");
    let numbers: Vec<u64> = live.iter().map(|(seq, _)| *seq).collect();
    let first = numbers[0];
    assert_eq!(first, last);
    assert!(numbers.iter().zip(first..).all(|(seq, expected)| *seq == expected), "{numbers:?}");
    assert!(live.iter().any(|(_, event)| event["name"] == "node.new"));
}
