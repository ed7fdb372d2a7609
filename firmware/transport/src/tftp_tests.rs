use super::*;
use alloc::vec;

const SERVER: Endpoint = Endpoint { address: [10, 0, 0, 1], port: 69 };
const TRANSFER: Endpoint = Endpoint { address: [10, 0, 0, 1], port: 4000 };
const SECOND: u64 = 1_000_000_000;

fn data(block: u16, bytes: &[u8]) -> Vec<u8> {
    [&DATA.to_be_bytes()[..], &block.to_be_bytes(), bytes].concat()
}

fn oack(words: &[&str]) -> Vec<u8> {
    let mut packet = OACK.to_be_bytes().to_vec();
    for word in words {
        packet.extend_from_slice(word.as_bytes());
        packet.push(0);
    }
    packet
}

fn start(max_bytes: usize) -> TftpGet {
    TftpGet::start(SERVER, "file", max_bytes, 0).0
}

/// Offers 1432-byte blocks.
fn agreed(max_bytes: usize) -> TftpGet {
    let mut get = start(max_bytes);
    let step = get.on_datagram(TRANSFER, &oack(&["blksize", "1432", "tsize", "5"]), 0);
    assert_eq!(step.send, Some((TRANSFER, ack(0))));
    get
}

#[test]
fn the_request_asks_for_the_file_with_block_size_and_length() {
    let (_, step) = TftpGet::start(SERVER, "delegation.bin", 100, 0);
    let expected = b"\0\x01delegation.bin\0octet\0blksize\x001432\0tsize\x000\0".to_vec();
    assert_eq!(step.send, Some((SERVER, expected)));
}

#[test]
fn a_file_of_whole_blocks_ends_with_an_empty_one() {
    let mut get = agreed(10_000);
    let step = get.on_datagram(TRANSFER, &data(1, &[7; 1432]), 0);
    assert_eq!(step, Step { send: Some((TRANSFER, ack(1))), outcome: None });
    let step = get.on_datagram(TRANSFER, &data(2, &[]), 0);
    assert_eq!(step, Step { send: Some((TRANSFER, ack(2))), outcome: Some(Ok(vec![7; 1432])) });
    assert_eq!(get.on_datagram(TRANSFER, &data(3, &[1]), 0), Step::default(), "nothing after the end");
}

#[test]
fn a_server_without_options_sends_plain_blocks() {
    let mut get = start(1000);
    assert_eq!(get.on_datagram(TRANSFER, &data(1, &[1; 512]), 0).send, Some((TRANSFER, ack(1))));
    let step = get.on_datagram(TRANSFER, &data(2, &[2; 3]), 0);
    assert_eq!(step.outcome.map(|file| file.map(|file| file.len())), Some(Ok(515)));
}

#[test]
fn strangers_do_not_count() {
    let mut get = agreed(1000);
    let other_port = Endpoint { port: 4001, ..TRANSFER };
    let other_host = Endpoint { address: [10, 0, 0, 9], ..TRANSFER };
    for stranger in [other_port, other_host] {
        assert_eq!(get.on_datagram(stranger, &data(1, &[6; 6]), 0), Step::default());
        assert_eq!(get.on_datagram(stranger, b"\0\x05\0\x01go away\0", 0), Step::default());
    }
    let step = get.on_datagram(TRANSFER, &data(1, &[5; 5]), 0);
    assert_eq!(step.outcome, Some(Ok(vec![5; 5])));
}

#[test]
fn a_repeated_block_is_stored_once_and_acknowledged_once_more() {
    let mut get = agreed(10_000);
    get.on_datagram(TRANSFER, &data(1, &[1; 1432]), 0);
    assert_eq!(get.on_datagram(TRANSFER, &data(1, &[9; 1432]), 0).send, Some((TRANSFER, ack(1))));
    assert_eq!(get.on_datagram(TRANSFER, &data(1, &[9; 1432]), 0), Step::default());
    let step = get.on_datagram(TRANSFER, &data(2, &[2]), 0);
    assert_eq!(step.outcome.map(|file| file.map(|file| (file.len(), file[0]))), Some(Ok((1433, 1))));
}

#[test]
fn blocks_from_the_future_or_too_long_do_not_count() {
    let mut get = agreed(10_000);
    assert_eq!(get.on_datagram(TRANSFER, &data(2, &[1; 1432]), 0), Step::default());
    assert_eq!(get.on_datagram(TRANSFER, &data(1, &[1; 1433]), 0), Step::default());
    assert_eq!(get.on_datagram(TRANSFER, &data(0, &[1; 10]), 0), Step::default());
}

#[test]
fn the_block_number_wraps() {
    let mut get = start(usize::MAX);
    get.on_datagram(TRANSFER, &oack(&["blksize", "8"]), 0);
    for block in 1..=70_000_u32 {
        let number = u16::try_from(block & 0xffff).expect("masked");
        let step = get.on_datagram(TRANSFER, &data(number, &[0; 8]), 0);
        assert_eq!(step.send, Some((TRANSFER, ack(number))), "block {block}");
    }
    let step = get.on_datagram(TRANSFER, &data(u16::try_from(70_001_u32 & 0xffff).expect("masked"), &[]), 0);
    assert_eq!(step.outcome.map(|file| file.map(|file| file.len())), Some(Ok(560_000)));
}

#[test]
fn too_large_a_file_is_refused_by_its_announced_and_by_its_real_length() {
    let mut get = start(99);
    let step = get.on_datagram(TRANSFER, &oack(&["tsize", "100"]), 0);
    assert_eq!(step.outcome, Some(Err(TftpError::TooLarge { max_bytes: 99 })));
    let mut get = start(99);
    let step = get.on_datagram(TRANSFER, &data(1, &[0; 100]), 0);
    assert_eq!(step.outcome, Some(Err(TftpError::TooLarge { max_bytes: 99 })));
}

#[test]
fn options_that_were_not_asked_for_are_refused() {
    for words in [
        &["blksize", "1433"][..],
        &["blksize", "7"],
        &["blksize", "-1"],
        &["windowsize", "4"],
        &["tsize", "99999999999999999999999"],
        &["blksize"],
    ] {
        let mut get = start(1000);
        let step = get.on_datagram(TRANSFER, &oack(words), 0);
        assert_eq!(step.outcome, Some(Err(TftpError::BadOptions)), "{words:?}");
    }
    let mut get = start(1000);
    let torn = b"\0\x06blksize\x001432".to_vec();
    assert_eq!(get.on_datagram(TRANSFER, &torn, 0).outcome, Some(Err(TftpError::BadOptions)));
}

#[test]
fn an_error_is_told_in_its_words_without_control_characters() {
    let mut get = start(1000);
    let step = get.on_datagram(TRANSFER, b"\0\x05\0\x01no\x1b[2J file\0junk", 0);
    let expected = TftpError::Refused { code: 1, message: "no?[2J file".into() };
    assert_eq!(step.outcome, Some(Err(expected)));
}

#[test]
fn silence_repeats_the_last_packet_ever_more_slowly_and_then_fails() {
    let mut get = agreed(1000);
    let mut now = 0;
    let mut repeats = 0;
    loop {
        let step = get.on_time(now);
        match (step.send, step.outcome) {
            (Some(send), None) => {
                assert_eq!(send, (TRANSFER, ack(0)));
                repeats += 1;
            }
            (None, None) => {}
            (None, outcome) => {
                assert_eq!(outcome, Some(Err(TftpError::Timeout)));
                break;
            }
            (Some(_), Some(_)) => unreachable!("a failure sends nothing"),
        }
        now += SECOND / 10;
        assert!(now < 100 * SECOND);
    }
    assert_eq!(repeats, MAX_REPEATS);
    assert!(now > 20 * SECOND);
}

#[test]
fn no_bytes_panic() {
    let mut seed = 1_u64;
    for round in 0..20_000 {
        let mut get = if round % 2 == 0 { start(500) } else { agreed(500) };
        for _ in 0..4 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let len = usize::try_from(seed >> 58).expect("small");
            let mut packet: Vec<u8> = (0..len).map(|at| (seed >> (at % 56)) as u8).collect();
            if let Some(head) = packet.first_chunk_mut::<2>() {
                *head = [0, (seed >> 20) as u8 % 7];
            }
            let step = get.on_datagram(TRANSFER, &packet, 0);
            assert!(step.send.is_none_or(|(to, _)| to == TRANSFER));
        }
    }
}
