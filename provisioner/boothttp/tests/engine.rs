//! The engine on loopback connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weft_boothttp::{AnswerEvent, Blob, Content, Engine, HttpConfig};

const TAG: &str = "0123456789abcdef";

struct Files {
    image: Vec<u8>,
    blobs: [Blob; 4],
    events: Mutex<Vec<AnswerEvent>>,
}

impl Content for Files {
    fn open(&self, _: SocketAddr, path: &str) -> Option<Blob> {
        let [bytes, copied, disk, memory] = &self.blobs;
        match path {
            "bytes" => Some(bytes.clone()),
            "memory" => Some(memory.clone()),
            "copied" => Some(copied.clone()),
            "disk" => Some(disk.clone()),
            _ => None,
        }
    }

    fn event(&self, event: &AnswerEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }
}

impl Files {
    /// What was told so far. A copy: a check that fails must not break the engine's threads.
    fn told(&self) -> Vec<AnswerEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Lab {
    files: Arc<Files>,
    engine: Engine,
    folder: tempfile::TempDir,
}

fn lab(len: usize, change: impl FnOnce(&mut HttpConfig)) -> Lab {
    let folder = tempfile::tempdir().expect("folder");
    let image: Vec<u8> = (0..len).map(|i| (i % 241) as u8).collect();
    let path = folder.path().join("blob");
    std::fs::write(&path, &image).expect("write");
    let blobs = [
        Blob::bytes(image.clone(), TAG).expect("bytes"),
        Blob::copied(&image, folder.path(), TAG).expect("a file without a name"),
        Blob::file(&path, TAG).expect("file"),
        // No files can be made there.
        Blob::copied(&image, Path::new("/proc"), TAG).expect("memory"),
    ];
    let files = Arc::new(Files { image, blobs, events: Mutex::default() });
    let mut config = HttpConfig::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    change(&mut config);
    let engine = Engine::start(config, files.clone()).expect("engine");
    Lab { files, engine, folder }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim())
    }
}

fn connect(lab: &Lab) -> TcpStream {
    let stream = TcpStream::connect(lab.engine.local_addr()).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    stream
}

fn answer(stream: &mut TcpStream, body: bool) -> Answer {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head in time");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).expect("status").parse().expect("number");
    let mut answer = Answer { status, head, body: Vec::new() };
    let len = answer.field("content-length").map_or(0, |len| len.parse().expect("length"));
    if body && status != 304 {
        answer.body = vec![0; len];
        stream.read_exact(&mut answer.body).expect("the whole body");
    }
    answer
}

fn fetch(lab: &Lab, path: &str, fields: &str) -> Answer {
    let mut stream = connect(lab);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").expect("send");
    answer(&mut stream, true)
}

/// Until `look` gives `wanted`. A client has the last byte of an answer before the engine counts and tells it.
#[track_caller]
fn wait_for<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &T, mut look: impl FnMut() -> T) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = look();
        if seen == *wanted {
            return;
        }
        assert!(Instant::now() < end, "{what}: {seen:?}, not {wanted:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn content_arrives_whole_from_memory_and_disk() {
    let lab = lab(3_000_000, |_| {});
    for path in ["/bytes", "/copied", "/memory", "/disk"] {
        let got = fetch(&lab, path, "");
        assert_eq!(got.status, 200);
        assert!(got.body == lab.files.image, "{path}");
        assert_eq!(got.field("etag"), Some("\"0123456789abcdef\""));
        assert_eq!(got.field("accept-ranges"), Some("bytes"));
        let got = fetch(&lab, path, "Range: bytes=1000000-1999999\r\n");
        assert_eq!(got.status, 206);
        assert_eq!(got.field("content-range"), Some("bytes 1000000-1999999/3000000"));
        assert!(got.body == lab.files.image[1_000_000..2_000_000], "{path}");
    }
    wait_for("bytes of bodies", &16_000_000, || lab.engine.stats().body_bytes);
}

#[test]
fn conditions_and_missing_names_are_answered() {
    let lab = lab(100, |_| {});
    assert_eq!(fetch(&lab, "/nothing", "").status, 404);
    let got = fetch(&lab, "/bytes", "If-None-Match: \"0123456789abcdef\"\r\n");
    assert_eq!((got.status, got.body.len()), (304, 0));
    let got = fetch(&lab, "/bytes", "Range: bytes=100-\r\n");
    assert_eq!((got.status, got.field("content-range")), (416, Some("bytes */100")));
    // The range is of another version: the whole.
    let got = fetch(&lab, "/bytes", "Range: bytes=5-\r\nIf-Range: \"old\"\r\n");
    assert_eq!((got.status, got.body.len()), (200, 100));
    let got = fetch(&lab, "/bytes", "Range: bytes=5-\r\nIf-Range: \"0123456789abcdef\"\r\n");
    assert_eq!((got.status, got.body.len()), (206, 95));
    // Each request had a connection of its own, which two threads may serve: only the number of each is sure.
    wait_for("what was told", &vec![200, 206, 304, 404, 416], || {
        let mut statuses: Vec<u16> = lab.files.told().iter().map(|event| event.status).collect();
        statuses.sort_unstable();
        statuses
    });
}

#[test]
fn head_and_pipelined_requests_share_a_connection() {
    let lab = lab(5000, |_| {});
    let mut stream = connect(&lab);
    let text = "HEAD /memory HTTP/1.1\r\n\r\nGET /bytes HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\nGET /disk HTTP/1.1\r\n\r\n";
    stream.write_all(text.as_bytes()).expect("send");
    let head = answer(&mut stream, false);
    assert_eq!((head.status, head.field("content-length")), (200, Some("5000")));
    assert!(answer(&mut stream, true).body == lab.files.image);
    assert_eq!(answer(&mut stream, true).status, 404);
    assert!(answer(&mut stream, true).body == lab.files.image);
    assert_eq!(lab.engine.stats().connections, 1);
}

#[test]
fn refused_requests_are_told_why_and_closed() {
    let lab = lab(10, |_| {});
    for (text, status) in [
        ("POST /bytes HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd".to_owned(), 405),
        ("GET /bytes HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd".to_owned(), 413),
        ("GET /../bytes HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /bytes HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(9000)), 431),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(9000)), 431),
    ] {
        let mut stream = connect(&lab);
        stream.write_all(text.as_bytes()).expect("send");
        let got = answer(&mut stream, true);
        assert_eq!(got.status, status, "{text:.40}");
        assert_eq!(stream.read(&mut [0]).expect("closed, not reset"), 0);
    }
}

#[test]
fn a_head_sent_byte_by_byte_is_cut_off() {
    let lab = lab(10, |config| config.head_timeout_ms = 300);
    let mut stream = connect(&lab);
    let start = Instant::now();
    // Slow loris: each byte is progress, and yet there is an end.
    for byte in b"GET /bytes HTTP/1.1\r\nX-Slow: 1234567890123456789012345678901234567890" {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest);
    assert!(rest.starts_with("HTTP/1.1 408"), "{rest}");
    assert!(start.elapsed() < Duration::from_secs(60));
    wait_for("heads that took too long", &1, || lab.engine.stats().slow);
}

#[test]
fn an_idle_connection_is_closed() {
    let hasty = lab(10, |config| {
        config.head_timeout_ms = 200;
        config.idle_timeout_ms = 120_000;
    });
    let mut silent = connect(&hasty);
    assert_eq!(silent.read(&mut [0]).expect("closed"), 0);
    // A head may take its time, what follows it may not.
    let lab = lab(10, |config| {
        config.head_timeout_ms = 120_000;
        config.idle_timeout_ms = 200;
    });
    let mut stream = connect(&lab);
    stream.write_all(b"GET /bytes HTTP/1.1\r\n\r\n").expect("send");
    assert_eq!(answer(&mut stream, true).status, 200);
    assert_eq!(stream.read(&mut [0]).expect("closed"), 0);
}

#[test]
fn a_client_that_stops_reading_is_given_up() {
    let lab = lab(64 << 20, |config| config.stall_timeout_ms = 300);
    for (path, given_up) in [("bytes", 1), ("memory", 2)] {
        let mut stream = connect(&lab);
        write!(stream, "GET /{path} HTTP/1.1\r\n\r\n").expect("send");
        wait_for("clients given up", &given_up, || lab.engine.stats().slow);
    }
}

#[test]
fn a_client_that_reads_a_trickle_is_given_up() {
    let lab = lab(64 << 20, |config| {
        config.stall_timeout_ms = 500;
        config.min_rate_bytes_s = 1 << 30;
    });
    let mut stream = connect(&lab);
    stream.write_all(b"GET /memory HTTP/1.1\r\n\r\n").expect("send");
    let mut buffer = vec![0; 256 * 1024];
    let end = Instant::now() + Duration::from_secs(60);
    while lab.engine.stats().slow == 0 {
        assert!(Instant::now() < end, "it is borne for ever");
        let _ = stream.read(&mut buffer);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_source_has_so_many_connections() {
    let lab = lab(10, |config| config.max_per_source = 5);
    let held: Vec<TcpStream> = (0..5).map(|_| connect(&lab)).collect();
    wait_for("connections held", &5, || lab.engine.stats().active);
    let mut sixth = connect(&lab);
    let _ = sixth.write_all(b"GET /bytes HTTP/1.1\r\n\r\n");
    let mut text = Vec::new();
    let _ = sixth.read_to_end(&mut text);
    assert!(text.is_empty());
    wait_for("connections refused", &1, || lab.engine.stats().refused);
    drop(held);
    wait_for("connections held", &0, || lab.engine.stats().active);
    assert_eq!(fetch(&lab, "/bytes", "").status, 200);
}

#[test]
fn truncated_content_breaks_the_connection_not_the_promise() {
    let lab = lab(2 << 20, |_| {});
    std::fs::OpenOptions::new()
        .write(true)
        .open(lab.folder.path().join("blob"))
        .and_then(|file| file.set_len(1 << 20))
        .expect("truncate");
    let mut stream = connect(&lab);
    stream.write_all(b"GET /disk HTTP/1.1\r\n\r\n").expect("send");
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got);
    // The client sees an early end against Content-Length, never other bytes.
    assert!(got.len() < (2 << 20));
    assert!(String::from_utf8_lossy(&got[..200]).contains("Content-Length: 2097152"));
}

#[test]
fn odd_tags_and_folders_are_refused() {
    for tag in ["", "a b", "a\"b", "x\r\ny", &"a".repeat(129)] {
        assert!(Blob::bytes(vec![], tag).is_err());
    }
    let folder = tempfile::tempdir().expect("folder");
    assert!(Blob::file(folder.path(), TAG).is_err());
}

#[test]
fn a_second_server_cannot_take_the_port() {
    let lab = lab(10, |_| {});
    let config = HttpConfig::on(lab.engine.local_addr());
    assert!(Engine::start(config, lab.files.clone()).is_err());
}
