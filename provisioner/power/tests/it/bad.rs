//! Redfish controllers that answer badly, on loopback over TLS.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use weft_power::{Action, Controller, LIMIT, Outcome, Password, Power, PowerError, Redfish};

/// What is said to a request: bytes and the end of the connection; one byte of them each second; or nothing ever.
enum Say {
    All(Vec<u8>),
    Slowly(Vec<u8>),
    Nothing,
}

struct Bad {
    controller: Controller,
    heard: Arc<Mutex<Vec<String>>>,
}

fn http(status: &str, body: &str) -> Say {
    let length = body.len();
    Say::All(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes())
}

const SYSTEM: &str = r##"{"PowerState":"Off","Actions":{"#ComputerSystem.Reset":{"target":"/reset"}}}"##;

/// Answers as a good one does.
fn good(line: &str) -> Say {
    match line {
        "GET /redfish/v1/ HTTP/1.1" => http("200 OK", r#"{"Systems":{"@odata.id":"/systems"}}"#),
        "GET /systems HTTP/1.1" => http("200 OK", r#"{"Members":[{"@odata.id":"/systems/1"}]}"#),
        "GET /systems/1 HTTP/1.1" => http("200 OK", SYSTEM),
        "POST /reset HTTP/1.1" => http("204 No Content", ""),
        other => panic!("an unexpected request: {other}"),
    }
}

async fn bad(say: impl Fn(&str) -> Say + Send + Sync + 'static) -> Bad {
    let made = rcgen::generate_simple_self_signed(["bmc.test".to_string()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (say, lines) = (Arc::new(say), Arc::clone(&heard));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let (acceptor, say, lines) = (acceptor.clone(), Arc::clone(&say), Arc::clone(&lines));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let text = String::from_utf8_lossy(&head).into_owned();
                lines.lock().expect("lines").push(text.clone());
                match say(text.lines().next().unwrap_or_default()) {
                    // What the other side no longer wants to hear is no failure.
                    Say::All(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                    }
                    Say::Slowly(bytes) => {
                        for byte in bytes {
                            if stream.write_all(&[byte]).await.and(stream.flush().await).is_err() {
                                return;
                            }
                            tokio::time::sleep(Duration::from_secs(1)).await;
                        }
                    }
                    Say::Nothing => std::future::pending().await,
                }
            });
        }
    });
    let redfish = Redfish::new(
        address.parse().expect("an address"),
        "weft",
        Password::new("hunter2"),
        made.cert.pem().parse().expect("trust"),
        "",
    );
    Bad { controller: Controller::Redfish(redfish), heard }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_one_is_understood_so_that_what_follows_can_fail() {
    let it = bad(good).await;
    assert_eq!(it.controller.status().await, Ok(Power::Off));
    assert_eq!(it.controller.act(Action::On).await, Ok(Outcome::Asked));
    let heard = it.heard.lock().expect("lines").clone();
    let last = heard.last().expect("a request");
    assert!(last.contains("authorization: Basic d2VmdDpodW50ZXIy\r\n"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_not_read() {
    let body = bad(|_| http("200 OK", &"x".repeat(3 << 20))).await;
    let error = body.controller.status().await.expect_err("too long");
    assert_eq!(error, PowerError::Answer("more than 1048576 bytes".into()));
    // Without a length, for ever.
    let endless = bad(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        bytes.resize(4 << 20, b' ');
        Say::All(bytes)
    });
    assert_eq!(endless.await.controller.status().await.expect_err("too long").code(), "bmc-answer");
    let head = bad(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        bytes.resize(4 << 20, b'x');
        Say::All(bytes)
    });
    let error = head.await.controller.status().await.expect_err("too long");
    assert_eq!(error.code(), "bmc-answer", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_is_not_followed_and_nothing_is_asked_of_another_host() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let it = bad(move |_| {
            Say::All(
                format!("HTTP/1.1 {status}\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
                    .into(),
            )
        })
        .await;
        assert_eq!(it.controller.status().await, Err(PowerError::Redirected), "{status}");
        assert_eq!(it.heard.lock().expect("lines").len(), 1);
    }
    for link in ["https://other/systems", "//other/systems", "systems", "/a b", ""] {
        let it = bad(move |_| http("200 OK", &format!(r#"{{"Systems":{{"@odata.id":"{link}"}}}}"#))).await;
        assert_eq!(it.controller.status().await.expect_err("no path").code(), "bmc-answer", "{link}");
        assert_eq!(it.heard.lock().expect("lines").len(), 1, "{link}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_or_the_wrong_one_is_told() {
    let deep = format!(r#"{{"Systems":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    for body in [
        "",
        "{",
        "[]",
        "7",
        "null",
        r#"{"Systems":7}"#,
        r#"{"Systems":{"@odata.id":7}}"#,
        "\u{feff}{}",
        &deep,
    ] {
        let body = body.to_string();
        let it = bad(move |_| http("200 OK", &body)).await;
        assert_eq!(it.controller.status().await.expect_err("no answer").code(), "bmc-answer");
    }
    let nonsense = bad(|_| Say::All(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())).await;
    assert_eq!(nonsense.controller.status().await.expect_err("no HTTP").code(), "bmc-answer");
    let closed = bad(|_| Say::All(Vec::new())).await;
    assert_eq!(closed.controller.status().await.expect_err("closed").code(), "bmc-unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_without_control_characters_and_account_apart_from_state() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let it = bad(move |_| http(status, "")).await;
        assert_eq!(it.controller.status().await.expect_err("refused").code(), "bmc-account");
    }
    let it = bad(|line| match line {
        "POST /reset HTTP/1.1" => {
            let message = format!("busy\\u001b[31m\\r\\n{}", "x".repeat(5000));
            http(
                "409 Conflict",
                &format!(r#"{{"error":{{"@Message.ExtendedInfo":[{{"Message":"{message}"}}]}}}}"#),
            )
        }
        line => good(line),
    })
    .await;
    let error = it.controller.on().await.expect_err("refused");
    assert_eq!(error.code(), "bmc-refused");
    let text = error.to_string();
    assert!(
        text.contains("409 Conflict busy") && text.len() < 400 && !text.chars().any(char::is_control),
        "{text}"
    );
    // A system that is gone between two questions.
    let gone =
        bad(|line| if line.contains("/systems/1") { http("404 Not Found", "") } else { good(line) }).await;
    assert_eq!(gone.controller.status().await.expect_err("gone").code(), "bmc-system");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_or_silent_is_waited_for_so_long_and_no_longer() {
    let slow = bad(|_| Say::Slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec())).await;
    let silent = bad(|_| Say::Nothing).await;
    let before = Instant::now();
    let (one, two) = tokio::join!(slow.controller.status(), silent.controller.on());
    assert_eq!((one, two), (Err(PowerError::TimedOut(20)), Err(PowerError::TimedOut(20))));
    assert!(before.elapsed() < LIMIT * 6, "{:?}", before.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let trust = format!("sha256:{}", "00".repeat(32)).parse().expect("trust");
    let redfish = Redfish::new(address.parse().expect("an address"), "a", Password::new("p"), trust, "");
    let error = Controller::Redfish(redfish).status().await.expect_err("nobody");
    assert_eq!(error.code(), "bmc-unreachable");
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = plain.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.expect("a connection");
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let trust = format!("sha256:{}", "00".repeat(32)).parse().expect("trust");
    let redfish = Redfish::new(address.parse().expect("an address"), "a", Password::new("p"), trust, "");
    let error = Controller::Redfish(redfish).status().await.expect_err("no TLS");
    assert_eq!(error.code(), "bmc-certificate", "{error}");
}
