//! Hostile datagrams.

use proptest::prelude::*;
use weft_tftp::codec::{MAX_REQUEST, Reply, Request, RequestError, clean_name};

fn rrq(name: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0, 1];
    for part in [name, b"octet"].iter().chain(rest) {
        bytes.extend_from_slice(part);
        bytes.push(0);
    }
    bytes
}

fn with(option: &[u8], value: &[u8]) -> Request {
    Request::parse(&rrq(b"f", &[option, value])).expect("a sound request")
}

#[test]
fn names_that_climb_or_name_drives_are_refused() {
    let bad: [&[u8]; 16] = [
        b"../etc/passwd",
        b"a/../b",
        b"..",
        b".",
        b"a/./b",
        b"..\\..\\boot.ini",
        b"a\\b",
        b"C:boot.ini",
        b"c:/x",
        b"",
        b"/",
        b"a//b",
        b"a b",
        b"a\nb",
        b"\xff\xfe",
        b"a/",
    ];
    for name in bad {
        assert_eq!(Request::parse(&rrq(name, &[])), Err(RequestError::Name), "{name:?}");
    }
    // NUL ends the name, so what follows is the mode.
    assert_eq!(Request::parse(b"\0\x01weft.efi\0/etc/passwd\0octet\0"), Err(RequestError::Mode));
    assert_eq!(clean_name(&[b'a'; 256]), None);
    assert_eq!(clean_name(b"//weft.efi"), Some("weft.efi"));
    assert_eq!(clean_name(b"/node/02-00/config"), Some("node/02-00/config"));
}

#[test]
fn block_sizes_outside_8_to_65464_are_ignored() {
    for (value, expected) in [
        (&b"0"[..], None),
        (b"7", None),
        (b"8", Some(8)),
        (b"1468", Some(1468)),
        (b"65464", Some(65464)),
        (b"65465", None),
        (b"99999999999999999999999999", None),
        (b"-1", None),
        (b"+8", None),
        (b"0x200", None),
        (b"", None),
    ] {
        assert_eq!(with(b"BlkSize", value).blksize, expected, "{value:?}");
    }
}

#[test]
fn window_sizes_and_timeouts_outside_their_range_are_ignored() {
    assert_eq!(with(b"windowsize", b"0").windowsize, None);
    assert_eq!(with(b"windowsize", b"65535").windowsize, Some(65535));
    assert_eq!(with(b"windowsize", b"65536").windowsize, None);
    assert_eq!(with(b"timeout", b"0").timeout_s, None);
    assert_eq!(with(b"timeout", b"255").timeout_s, Some(255));
    assert_eq!(with(b"timeout", b"256").timeout_s, None);
    assert_eq!(with(b"timeout", b"18446744073709551616").timeout_s, None);
    assert!(with(b"tsize", b"0").tsize);
    assert!(!with(b"tsize", b"18446744073709551616").tsize);
}

#[test]
fn repeated_and_countless_options_are_refused() {
    let twice = rrq(b"f", &[b"blksize", b"1024", b"BLKSIZE", b"512"]);
    assert_eq!(Request::parse(&twice), Err(RequestError::RepeatedOption));
    let many = [&b"x"[..]; 34];
    assert_eq!(Request::parse(&rrq(b"f", &many)), Err(RequestError::TooManyOptions));
    assert_eq!(Request::parse(&rrq(&[b'a'; 250], &[&[b'x'; 300]])), Err(RequestError::TooLong));
    assert!(rrq(b"f", &[]).len() < MAX_REQUEST);
}

#[test]
fn writes_and_other_modes_are_refused() {
    assert_eq!(Request::parse(b"\0\x02f\0octet\0"), Err(RequestError::Write));
    assert_eq!(Request::parse(b"\0\x01f\0netascii\0"), Err(RequestError::Mode));
    assert_eq!(Request::parse(b"\0\x01f\0mail\0"), Err(RequestError::Mode));
    assert!(Request::parse(b"\0\x01f\0OcTeT\0").is_ok());
}

#[test]
fn truncated_requests_are_refused() {
    let whole = rrq(b"weft.efi", &[b"blksize", b"1468"]);
    for len in 0..whole.len() {
        let cut = &whole[..len];
        // One cut falls between the mode and the options, which is a request of its own.
        if len != b"\0\x01weft.efi\0octet\0".len() {
            assert!(Request::parse(cut).is_err(), "{len}");
        }
    }
    // Padding of zeros is not an option.
    assert!(Request::parse(&[whole, vec![0; 64]].concat()).is_ok());
}

#[test]
fn replies_are_told_apart() {
    assert_eq!(Reply::parse(b"\0\x04\x12\x34"), Reply::Ack(0x1234));
    assert_eq!(Reply::parse(b"\0\x05\0\x08no\0"), Reply::Error(8));
    assert_eq!(Reply::parse(b"\0\x05\xff\xff"), Reply::Error(65535));
    for bytes in [&b""[..], b"\0", b"\0\x04", b"\0\x04\0", b"\0\x05\0", b"\0\x09\0\0", b"\xff\xff\0\0"] {
        assert_eq!(Reply::parse(bytes), Reply::Malformed, "{bytes:?}");
    }
    assert_eq!(Reply::parse(b"\0\x03\0\x01data"), Reply::Other);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        let _ = Reply::parse(&bytes);
        if let Ok(request) = Request::parse(&bytes) {
            prop_assert!(clean_name(request.name.as_bytes()) == Some(request.name.as_str()));
            prop_assert_eq!(Request::parse(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn requests_survive_the_wire(
        name in "[a-z0-9]{1,20}(/[a-z0-9.]{0,10}[a-z]){0,3}",
        blksize in proptest::option::of(8u16..=65464),
        windowsize in proptest::option::of(1u16..),
        timeout_s in proptest::option::of(1u8..),
        tsize: bool,
    ) {
        let request = Request { name, blksize, windowsize, timeout_s, tsize };
        prop_assert_eq!(Request::parse(&request.encode()), Ok(request));
    }
}
