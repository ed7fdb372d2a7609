//! A connection that is lost after a change was sent: it is asked for again, under the same key.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::run::Shell;

/// One request: its first line, and its key.
fn request(stream: &TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut key, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).expect("a request");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("idempotency-key: ") {
            key = value.to_owned();
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    (first.trim().to_owned(), key)
}

/// Answers requests in turn; `None` closes the connection without a word.
fn answers(list: Vec<Option<&'static str>>) -> (String, std::thread::JoinHandle<Vec<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let served = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for answer in list {
            let (mut stream, _) = listener.accept().expect("a connection");
            heard.push(request(&stream));
            if let Some(answer) = answer {
                stream.write_all(answer.as_bytes()).expect("answered");
            }
        }
        heard
    });
    (url, served)
}

fn shell(url: String) -> Shell {
    let shell = Shell { home: tempfile::tempdir().expect("a folder"), url };
    std::fs::write(shell.home.path().join("token"), "good-token\n").expect("token file");
    shell
}

const DONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn a_change_whose_connection_is_lost_is_asked_for_again_with_its_key() {
    let (url, served) = answers(vec![None, Some(DONE)]);
    let result = shell(url).run(&["vs", "reset", "web"]);
    assert_eq!(result.code, 0, "{}", result.err);
    let heard = served.join().expect("served");
    assert_eq!(heard[0].0, "POST /api/v1/vs/web/reset HTTP/1.1");
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0].1.len(), 32, "{heard:?}");
}

#[test]
fn each_change_has_a_key_of_its_own_and_a_refusal_is_no_lost_connection() {
    let refused = "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n";
    let (url, served) = answers(vec![Some(DONE), Some(refused)]);
    let shell = shell(url);
    assert_eq!(shell.run(&["vs", "reset", "web"]).code, 0);
    assert_eq!(shell.run(&["vs", "reset", "web"]).code, 4);
    let heard = served.join().expect("served");
    assert_ne!(heard[0].1, heard[1].1);
}

#[test]
fn what_is_only_read_and_what_carries_a_password_is_not_asked_for_again() {
    for args in [&["vs", "list"][..], &["logout"]] {
        let (url, served) = answers(vec![None]);
        let result = shell(url).run(args);
        assert_ne!(result.code, 0, "{args:?}");
        let heard = served.join().expect("served");
        assert_eq!(heard[0].1, "", "{args:?}");
    }
}
