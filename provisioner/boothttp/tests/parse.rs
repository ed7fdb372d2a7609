//! Heads and ranges, hostile ones included.

use proptest::prelude::*;
use weft_boothttp::head::{HeadError, Method, clean_path, parse};
use weft_boothttp::range::{Part, names, part};

fn get(rest: &str) -> Result<Option<weft_boothttp::head::Head>, HeadError> {
    parse(format!("GET /f HTTP/1.1\r\nHost: a\r\n{rest}\r\n").as_bytes())
}

#[test]
fn paths_that_climb_or_name_drives_are_refused() {
    for path in [
        "/../etc/passwd",
        "/a/../b",
        "/%2e%2e/etc/passwd",
        "/..%2fetc",
        "/%2e%2e%5cboot.ini",
        "/a\\b",
        "/C:boot.ini",
        "/c%3a/x",
        "/a%00b",
        "/%",
        "/%2",
        "/%zz",
        "/%252e",
        "/",
        "//",
        "/a//b",
        "/a/",
        "/./a",
        "a",
        "",
        "*",
        "/a%20b",
        "/%ff%fe",
        "http://host",
    ] {
        assert_eq!(clean_path(path), None, "{path}");
    }
    assert_eq!(clean_path(&format!("/{}", "a".repeat(513))), None);
    assert_eq!(clean_path("/weft.efi").as_deref(), Some("weft.efi"));
    assert_eq!(clean_path("//weft.efi?x=../..").as_deref(), Some("weft.efi"));
    assert_eq!(clean_path("/blob/%61bc").as_deref(), Some("blob/abc"));
    assert_eq!(clean_path("http://10.0.0.1:80/weft.efi").as_deref(), Some("weft.efi"));
}

#[test]
fn bodies_methods_and_ambiguity_are_refused() {
    assert_eq!(get("Content-Length: 5\r\n"), Err(HeadError::Body));
    assert_eq!(get("Content-Length: 0\r\nContent-Length: 9\r\n"), Err(HeadError::Body));
    assert_eq!(get("Transfer-Encoding: chunked\r\n"), Err(HeadError::Body));
    assert!(get("Content-Length: 0\r\n").is_ok());
    assert_eq!(get("Range: bytes=0-1\r\nRange: bytes=5-6\r\n"), Err(HeadError::Malformed));
    for method in ["POST", "PUT", "DELETE", "CONNECT", "get", "OPTIONS"] {
        let text = format!("{method} /f HTTP/1.1\r\n\r\n");
        assert_eq!(parse(text.as_bytes()), Err(HeadError::Method), "{method}");
    }
    assert_eq!(parse(b"GET /f HTTP/2.0\r\n\r\n"), Err(HeadError::Malformed));
    assert_eq!(parse(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"), Err(HeadError::Malformed));
    let many = "X: y\r\n".repeat(80);
    assert_eq!(get(&many), Err(HeadError::TooLarge));
}

#[test]
fn connections_are_kept_as_both_versions_want() {
    let keep = |text: &str| parse(text.as_bytes()).expect("sound").expect("whole").keep_alive;
    assert!(keep("GET /f HTTP/1.1\r\n\r\n"));
    assert!(!keep("GET /f HTTP/1.1\r\nConnection: Close\r\n\r\n"));
    assert!(!keep("GET /f HTTP/1.0\r\n\r\n"));
    assert!(keep("GET /f HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    let head = parse(b"HEAD /f HTTP/1.1\r\n\r\nGET").expect("sound").expect("whole");
    assert_eq!((head.method, head.len), (Method::Head, 20));
    assert_eq!(parse(b"GET /f HTTP/1.1\r\nHost: a\r\n"), Ok(None));
}

#[test]
fn ranges_are_bounded_and_lists_ignored() {
    assert_eq!(part("bytes=0-0", 10), Part::Slice { start: 0, len: 1 });
    assert_eq!(part("bytes=5-", 10), Part::Slice { start: 5, len: 5 });
    assert_eq!(part("bytes=5-1000", 10), Part::Slice { start: 5, len: 5 });
    assert_eq!(part("bytes=-3", 10), Part::Slice { start: 7, len: 3 });
    assert_eq!(part("bytes=-30", 10), Part::Slice { start: 0, len: 10 });
    assert_eq!(part("Bytes = 2-3", 10), Part::Slice { start: 2, len: 2 });
    for none in ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=18446744073709551615-18446744073709551615"] {
        assert_eq!(part(none, 10), Part::Unsatisfiable, "{none}");
    }
    assert_eq!(part("bytes=-1", 0), Part::Unsatisfiable);
    assert_eq!(part("bytes=0-", 0), Part::Unsatisfiable);
    for ignored in [
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "lines=1-2",
        "bytes 0-1",
        "",
        "bytes=0-1,2-3",
        "bytes=--1",
    ] {
        assert_eq!(part(ignored, 10), Part::Whole, "{ignored}");
    }
    // The way to make a server work for nothing: hundreds of overlapping ranges.
    let abuse = format!("bytes={}", (0..1000).map(|n| format!("{n}-")).collect::<Vec<_>>().join(","));
    assert_eq!(part(&abuse, 1 << 30), Part::Whole);
}

#[test]
fn tags_are_compared_weakly() {
    assert!(names("\"abc\"", "abc"));
    assert!(names("\"x\", W/\"abc\"", "abc"));
    assert!(names("*", "abc"));
    assert!(!names("abc", "abc"));
    assert!(!names("\"ab\"", "abc"));
}

proptest! {
    #[test]
    fn any_range_lies_within_the_content(value in "(bytes=)?[0-9a-z,-]{0,30}", size: u64) {
        if let Part::Slice { start, len } = part(&value, size) {
            prop_assert!(len > 0 && start < size && len <= size - start);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400), path in "/[ -~]{0,40}") {
        let _ = parse(&bytes);
        let text = [b"GET ", path.as_bytes(), b" HTTP/1.1\r\n", &bytes, b"\r\n\r\n"].concat();
        if let Ok(Some(head)) = parse(&text) {
            prop_assert!(head.len <= text.len());
            prop_assert!(head.path.split('/').all(|p| !p.is_empty() && p != "." && p != ".."));
        }
    }
}
