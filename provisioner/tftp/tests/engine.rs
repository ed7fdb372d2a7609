//! The engine on loopback sockets.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weft_tftp::codec::Request;
use weft_tftp::{Bytes, Content, Engine, EventKind, FailReason, TftpConfig, TransferEvent};

struct Files {
    image: Bytes,
    events: Mutex<Vec<TransferEvent>>,
}

impl Content for Files {
    fn open(&self, peer: SocketAddr, name: &str) -> Option<Bytes> {
        match name {
            "weft.efi" => Some(self.image.clone()),
            // A virtual file of the node that asks.
            "whoami" => Some(Bytes::from(peer.ip().to_string())),
            _ => None,
        }
    }

    fn event(&self, event: &TransferEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }
}

impl Files {
    /// What was told so far. A copy: a check that fails must not break the engine's threads.
    fn told(&self) -> Vec<TransferEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Lab {
    files: Arc<Files>,
    engine: Engine,
}

fn lab(len: usize, change: impl FnOnce(&mut TftpConfig)) -> Lab {
    let image: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
    let files = Arc::new(Files { image: Bytes::from(image), events: Mutex::default() });
    let mut config = TftpConfig::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    // Longer than a busy machine leaves one of us waiting: a transfer that nobody acknowledges is given up.
    config.initial_rto_ms = 1000;
    config.min_rto_ms = 50;
    change(&mut config);
    let engine = Engine::start(config, files.clone()).expect("engine");
    Lab { files, engine }
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("socket");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    socket
}

fn ask(name: &str, blksize: u16, windowsize: u16) -> Vec<u8> {
    Request {
        name: name.into(),
        blksize: Some(blksize),
        windowsize: Some(windowsize),
        timeout_s: None,
        tsize: true,
    }
    .encode()
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (len, from) = socket.recv_from(&mut buffer).expect("a datagram in time");
    (buffer[..len].to_vec(), from)
}

fn ack(socket: &UdpSocket, to: SocketAddr, block: u16) {
    let [high, low] = block.to_be_bytes();
    socket.send_to(&[0, 4, high, low], to).expect("send");
}

/// Waits for the acknowledged options; gives where they came from.
fn greeted(socket: &UdpSocket) -> SocketAddr {
    // The port may have been that of a client of another test, whose server still repeats its blocks.
    let mut strangers = 0;
    loop {
        let (packet, from) = receive(socket);
        if packet[..2] == [0, 6] {
            return from;
        }
        strangers += 1;
        assert!(strangers < 20 && packet[..2] == [0, 3], "{packet:?}");
    }
}

/// A transfer that waits long before it repeats anything.
fn patient(config: &mut TftpConfig) {
    config.initial_rto_ms = 30_000;
    config.min_rto_ms = 30_000;
    config.max_rto_ms = 30_000;
}

/// A whole transfer by a client that behaves.
fn fetch(engine: &Engine, name: &str, blksize: u16, window: u16) -> Vec<u8> {
    let socket = client();
    socket.send_to(&ask(name, blksize, window), engine.local_addr()).expect("send");
    let tid = greeted(&socket);
    assert_ne!(tid, engine.local_addr(), "the server answers from a port of its own");
    ack(&socket, tid, 0);
    let mut got = Vec::new();
    let mut next = 1u16;
    let mut in_window = 0;
    loop {
        let (data, from) = receive(&socket);
        // Where our first word took long, the server said its own once more.
        if from != tid || data[..2] == [0, 6] {
            continue;
        }
        assert_eq!(&data[..2], [0, 3]);
        if u16::from_be_bytes([data[2], data[3]]) != next {
            continue;
        }
        got.extend_from_slice(&data[4..]);
        in_window += 1;
        let last = data.len() - 4 < usize::from(blksize);
        if last || in_window == window {
            ack(&socket, tid, next);
            in_window = 0;
        }
        if last {
            return got;
        }
        next = next.wrapping_add(1);
    }
}

#[track_caller]
fn wait_for(lab: &Lab, what: &str, mut done: impl FnMut(&[TransferEvent]) -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let told = lab.files.told();
        if done(&told) {
            return;
        }
        assert!(Instant::now() < end, "{what}: {told:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn content_arrives_whole_at_any_window() {
    let lab = lab(300_000, |_| {});
    for window in [1, 4, 32] {
        assert!(fetch(&lab.engine, "weft.efi", 1432, window) == lab.files.image, "window {window}");
    }
    assert_eq!(fetch(&lab.engine, "/whoami", 512, 1), b"127.0.0.1");
    wait_for(&lab, "four completed", |events| {
        events.iter().filter(|e| matches!(e.kind, EventKind::Completed { .. })).count() == 4
    });
    let stats = lab.engine.stats();
    assert_eq!((stats.completed, stats.active, stats.failed), (4, 0, 0));
}

#[test]
fn transfers_wrap_past_block_65535_on_the_wire() {
    let lab = lab(8 * 66_000 + 3, |_| {});
    assert!(fetch(&lab.engine, "weft.efi", 8, 64) == lab.files.image);
}

#[test]
fn unknown_names_writes_and_text_mode_get_an_error() {
    let lab = lab(10, |_| {});
    let socket = client();
    for (request, code) in [
        (&b"\0\x01nothing\0octet\0"[..], 1),
        (b"\0\x01../weft.efi\0octet\0", 2),
        (b"\0\x02weft.efi\0octet\0", 4),
        (b"\0\x01weft.efi\0netascii\0", 0),
        (b"\0\x01weft.efi\0octet\0blksize\x008\0blksize\x008\0", 8),
    ] {
        socket.send_to(request, lab.engine.local_addr()).expect("send");
        let (answer, _) = receive(&socket);
        assert_eq!(&answer[..4], [0, 5, 0, code], "{request:?}");
    }
    assert_eq!(lab.engine.stats().started, 0);
}

#[test]
fn a_wrong_tid_is_told_so_and_disturbs_nobody() {
    let lab = lab(5000, patient);
    let socket = client();
    socket.send_to(&ask("weft.efi", 1000, 1), lab.engine.local_addr()).expect("send");
    let tid = greeted(&socket);
    let forger = client();
    // A forged ERROR is not answered and ends nothing; a forged ACK is told "unknown transfer".
    forger.send_to(b"\0\x05\0\0stop\0", tid).expect("send");
    ack(&forger, tid, 0);
    let (answer, _) = receive(&forger);
    assert_eq!(&answer[..4], [0, 5, 0, 5]);
    ack(&socket, tid, 0);
    let (data, _) = receive(&socket);
    assert_eq!(&data[..4], [0, 3, 0, 1]);
    assert_eq!(lab.engine.stats().failed, 0);
    assert_eq!(lab.engine.stats().strays, 2);
}

#[test]
fn strays_are_answered_only_so_often() {
    let lab = lab(10, |config| {
        config.workers = 1;
        config.sockets_per_worker = 1;
        config.max_stray_errors_per_s = 3;
    });
    let socket = client();
    socket.send_to(&ask("weft.efi", 1000, 1), lab.engine.local_addr()).expect("send");
    let tid = greeted(&socket);
    let forger = client();
    let begun = Instant::now();
    for _ in 0..500 {
        ack(&forger, tid, 9);
    }
    forger.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
    let mut answers = 0;
    while forger.recv_from(&mut [0; 600]).is_ok() {
        answers += 1;
        forger.set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
    }
    // A second may begin in between, and more of them where all this takes long.
    let most = 3 * (begun.elapsed().as_secs() + 2);
    assert!((1..=most).contains(&answers), "{answers} of at most {most}");
}

#[test]
fn a_repeated_request_of_one_tid_is_one_transfer() {
    let lab = lab(5000, patient);
    let socket = client();
    for _ in 0..20 {
        socket.send_to(&ask("weft.efi", 1000, 1), lab.engine.local_addr()).expect("send");
    }
    let tid = greeted(&socket);
    ack(&socket, tid, 0);
    let (data, from) = receive(&socket);
    assert_eq!((&data[..4], from), (&[0, 3, 0, 1][..], tid));
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("timeout");
    assert!(socket.recv_from(&mut [0; 2048]).is_err(), "one transfer sends one block");
    // Repeats that another thread has not looked at yet still count as active.
    let end = Instant::now() + Duration::from_secs(20);
    let mut stats = lab.engine.stats();
    while stats.started + stats.duplicates + stats.refused < 20 || stats.active > 1 {
        assert!(Instant::now() < end, "{stats:?}");
        std::thread::sleep(Duration::from_millis(5));
        stats = lab.engine.stats();
    }
    // Those that came before the first was looked at met the limit of half-open transfers.
    assert_eq!((stats.started, stats.active), (1, 1));
}

#[test]
fn a_flood_of_requests_never_acknowledged_stays_within_its_limits() {
    let lab = lab(1 << 20, |config| {
        config.max_half_open_per_source = 5;
        config.max_per_source = 50;
        config.max_half_open_retries = 2;
        // The first of them are still waited for when the last is read.
        config.initial_rto_ms = 3000;
        config.max_rto_ms = 3000;
    });
    let sockets: Vec<UdpSocket> = (0..200).map(|_| client()).collect();
    for socket in &sockets {
        socket.send_to(b"\0\x01weft.efi\0octet\0", lab.engine.local_addr()).expect("send");
    }
    wait_for(&lab, "all refused or failed", |events| {
        let ended = |e: &&TransferEvent| {
            matches!(e.kind, EventKind::Refused | EventKind::Failed { reason: FailReason::Silent, .. })
        };
        events.iter().filter(ended).count() == 200
    });
    let stats = lab.engine.stats();
    assert_eq!(stats.active, 0, "nothing is kept");
    assert_eq!(stats.started, 5);
    // One block and two repeats each: 15 answers to 200 forged requests.
    assert_eq!(stats.blocks_sent, 15);
    // The source can be served again.
    assert!(fetch(&lab.engine, "weft.efi", 1400, 16) == lab.files.image);
}

#[test]
fn a_client_that_vanishes_midway_is_forgotten() {
    let lab = lab(1 << 20, |config| {
        config.max_retries = 2;
        config.max_rto_ms = 1000;
    });
    let socket = client();
    socket.send_to(&ask("weft.efi", 1000, 8), lab.engine.local_addr()).expect("send");
    let tid = greeted(&socket);
    ack(&socket, tid, 0);
    receive(&socket);
    drop(socket);
    wait_for(&lab, "failed", |events| {
        events.iter().any(|e| matches!(e.kind, EventKind::Failed { reason: FailReason::Silent, .. }))
    });
    assert_eq!(lab.engine.stats().active, 0);
}

#[test]
fn a_rebooted_client_on_the_same_port_gets_a_new_transfer() {
    let lab = lab(5000, |_| {});
    let socket = client();
    socket.send_to(&ask("weft.efi", 1000, 1), lab.engine.local_addr()).expect("send");
    let tid = greeted(&socket);
    ack(&socket, tid, 0);
    receive(&socket);
    socket.send_to(&ask("whoami", 1000, 1), lab.engine.local_addr()).expect("send");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (packet, from) = receive(&socket);
        // Repeats of the old transfer may come first.
        if packet[1] == 6 {
            ack(&socket, from, 0);
        } else if packet.ends_with(b"127.0.0.1") {
            break;
        }
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn random_datagrams_do_not_stop_the_server() {
    let lab = lab(3000, |_| {});
    let socket = client();
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    for _ in 0..5000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes: Vec<u8> = state.to_le_bytes().iter().cycle().take(state as usize % 600).copied().collect();
        let _ = socket.send_to(&bytes, lab.engine.local_addr());
        let _ = socket.send_to(&[&[0, (state % 7) as u8][..], &bytes].concat(), lab.engine.local_addr());
    }
    // What the socket still holds is worked off first.
    let mut seen = 0;
    while seen != lab.engine.stats().requests {
        seen = lab.engine.stats().requests;
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(fetch(&lab.engine, "weft.efi", 500, 2) == lab.files.image);
}

#[test]
fn a_second_server_cannot_take_the_port() {
    let lab = lab(10, |_| {});
    let config = TftpConfig::on(lab.engine.local_addr());
    assert!(Engine::start(config, lab.files.clone()).is_err());
}
