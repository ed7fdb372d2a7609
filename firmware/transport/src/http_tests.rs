use super::*;

fn wanted(bytes: &[u8]) -> BlobRef {
    BlobRef { digest: BlobDigest(Sha256::digest(bytes).into()), size: bytes.len() as u64 }
}

fn ready(bytes: &[u8]) -> BlobGet {
    let mut get = BlobGet::new(wanted(bytes)).expect("small");
    get.request([10, 0, 0, 1]);
    get
}

fn ok(bytes: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
    [head.as_bytes(), bytes].concat()
}

#[test]
fn the_request_names_the_digest() {
    let mut get = BlobGet::new(wanted(b"abc")).expect("small");
    let request = get.request([10, 0, 0, 1]);
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(request.starts_with(&format!("GET /blob/{digest} HTTP/1.1\r\nHost: 10.0.0.1\r\n")));
    assert!(request.ends_with("\r\n\r\n"));
    assert!(!request.contains("Range"));
}

#[test]
fn a_body_arrives_whatever_its_pieces() {
    let body: Vec<u8> = (0..1000_u32).map(|at| (at % 251) as u8).collect();
    for piece in [1, 2, 3, 17, 999, 2000] {
        let mut get = ready(&body);
        let mut progress = Progress::More;
        for bytes in ok(&body).chunks(piece) {
            assert_eq!(progress, Progress::More);
            progress = get.on_bytes(bytes).expect("a good answer");
        }
        assert_eq!(progress, Progress::Complete);
        assert_eq!(get.take(), body);
    }
}

#[test]
fn a_changed_byte_is_refused_and_nothing_is_kept() {
    let mut get = ready(b"content");
    let error = get.on_bytes(&ok(b"c0ntent")).expect_err("refused");
    assert!(matches!(error, HttpError::Digest { .. }) && error.worth_another_try());
    assert_eq!(get.received(), 0);
    assert!(!get.request([1, 2, 3, 4]).contains("Range"));
}

#[test]
fn a_lost_connection_goes_on_by_range() {
    let mut get = ready(b"0123456789");
    get.on_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123").expect("a beginning");
    assert!(get.request([10, 0, 0, 1]).contains("\r\nRange: bytes=4-\r\n"));
    let rest =
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n456789";
    assert_eq!(get.on_bytes(rest), Ok(Progress::Complete));
    assert_eq!(get.take(), b"0123456789");
}

#[test]
fn a_server_that_ignores_the_range_starts_again() {
    let mut get = ready(b"0123456789");
    get.on_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123").expect("a beginning");
    get.request([10, 0, 0, 1]);
    assert_eq!(get.on_bytes(&ok(b"0123456789")), Ok(Progress::Complete));
    assert_eq!(get.take(), b"0123456789");
}

#[test]
fn wrong_ranges_and_lengths_are_refused() {
    for head in [
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-9/10\r\nContent-Length: 7",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-9/11\r\nContent-Length: 6",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 5",
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 6",
        "HTTP/1.1 200 OK\r\nContent-Length: 11",
        "HTTP/1.1 200 OK",
    ] {
        let mut get = ready(b"0123456789");
        get.on_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123").expect("a beginning");
        get.request([10, 0, 0, 1]);
        let answer = format!("{head}\r\n\r\n");
        assert_eq!(get.on_bytes(answer.as_bytes()), Err(HttpError::BadLength), "{head}");
    }
    let mut get = ready(b"0123456789");
    let partial =
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n";
    assert_eq!(get.on_bytes(partial), Err(HttpError::BadLength), "a range nobody asked for");
}

#[test]
fn heads_that_are_no_http_are_refused() {
    for head in [
        "ICY 200 OK\r\nContent-Length: 3",
        "HTTP/1.1 abc OK\r\nContent-Length: 3",
        "HTTP/1.1 0200 OK\r\nContent-Length: 3",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4",
        "HTTP/1.1 200 OK\r\nContent-Length: -3",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999",
        "HTTP/1.1 200 OK\r\nno colon",
        "HTTP/1.1 200 OK\r\nContent-Range: pages 1-2/3",
        "\u{0}",
    ] {
        let answer = format!("{head}\r\n\r\nabc");
        assert_eq!(ready(b"abc").on_bytes(answer.as_bytes()), Err(HttpError::BadHead), "{head:?}");
    }
    let mut get = ready(b"abc");
    assert_eq!(get.on_bytes(b"HTTP/1.1 200 OK\r\nX: \xff\r\n\r\n"), Err(HttpError::BadHead));
}

#[test]
fn an_endless_head_is_refused() {
    let mut get = ready(b"abc");
    let mut fed = 0;
    let error = loop {
        match get.on_bytes(&[b'x'; 100]) {
            Ok(_) => fed += 100,
            Err(error) => break error,
        }
        assert!(fed <= MAX_HEAD);
    };
    assert_eq!(error, HttpError::BadHead);
}

#[test]
fn encodings_and_excess_are_refused() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(ready(b"abc").on_bytes(chunked), Err(HttpError::Encoding));
    let packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(ready(b"abc").on_bytes(packed), Err(HttpError::Encoding));
    let more = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd";
    assert_eq!(ready(b"abc").on_bytes(more), Err(HttpError::Excess));
}

#[test]
fn a_status_tells_whether_to_try_again() {
    for (status, again) in [(404, false), (403, false), (500, true), (503, true), (301, false)] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        let error = ready(b"abc").on_bytes(answer.as_bytes()).expect_err("no blob");
        assert_eq!((error, error.worth_another_try()), (HttpError::Status(status), again));
    }
}

#[test]
fn impossible_sizes_are_refused_before_any_request() {
    let blob = BlobRef { digest: BlobDigest([0; 32]), size: MAX_BLOB + 1 };
    assert_eq!(BlobGet::new(blob).err(), Some(HttpError::TooLarge));
    let blob = BlobRef { digest: BlobDigest([0; 32]), size: u64::MAX };
    assert_eq!(BlobGet::new(blob).err(), Some(HttpError::TooLarge));
}

#[test]
fn no_bytes_panic() {
    let answer = ok(&[7; 200]);
    for at in 0..answer.len() {
        for value in [0, b'\r', b'\n', b':', b' ', 0xff] {
            let mut changed = answer.clone();
            changed[at] = value;
            for piece in [1, 50, 1000] {
                let mut get = ready(&[7; 200]);
                for bytes in changed.chunks(piece) {
                    if get.on_bytes(bytes).is_err() {
                        break;
                    }
                }
            }
        }
    }
}
