//! The transfer state machine, on simulated time.

use std::time::Duration;

use proptest::prelude::*;
use weft_tftp::codec::Request;
use weft_tftp::transfer::{Step, Transfer};
use weft_tftp::{Bytes, FailReason, TftpConfig};

fn request(blksize: Option<u16>, windowsize: Option<u16>) -> Request {
    Request { name: "weft.efi".into(), blksize, windowsize, timeout_s: None, tsize: false }
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn blocks(step: &Step) -> Option<(u64, u64)> {
    match step {
        Step::Send { blocks, .. } => Some((*blocks.start(), *blocks.end())),
        Step::Wait | Step::SendOack | Step::Done | Step::Fail(_) => None,
    }
}

/// A transfer of `len` bytes whose options are agreed, and its first window.
fn started(len: usize, blksize: u16, window: u16) -> (Transfer, Step) {
    let content = Bytes::from(vec![7; len]);
    let (mut transfer, step) =
        Transfer::new(at(0), &request(Some(blksize), Some(window)), content, &TftpConfig::default());
    assert_eq!(step, Step::SendOack);
    let step = transfer.on_ack(at(1), 0);
    (transfer, step)
}

#[test]
fn duplicate_acks_send_nothing_in_lock_step() {
    let (mut transfer, first) = started(5000, 1000, 1);
    assert_eq!(blocks(&first), Some((1, 1)));
    assert_eq!(blocks(&transfer.on_ack(at(2), 1)), Some((2, 2)));
    // The sorcerer's apprentice: each echo of an ACK would double the traffic from here on.
    for _ in 0..1000 {
        assert_eq!(transfer.on_ack(at(3), 1), Step::Wait);
        assert_eq!(transfer.on_ack(at(3), 0), Step::Wait);
    }
    assert_eq!(blocks(&transfer.on_ack(at(4), 2)), Some((3, 3)));
}

#[test]
fn echoes_of_a_partial_ack_repeat_the_window_once() {
    let (mut transfer, first) = started(100_000, 1000, 8);
    assert_eq!(blocks(&first), Some((1, 8)));
    // Block 4 was lost; the client says 3 for each block that follows it.
    assert_eq!(blocks(&transfer.on_ack(at(2), 3)), Some((4, 11)));
    for _ in 0..100 {
        assert_eq!(transfer.on_ack(at(3), 3), Step::Wait);
    }
    assert_eq!(blocks(&transfer.on_ack(at(4), 11)), Some((12, 19)));
    // The first block of this window is lost: the echo of 11 is news, once.
    assert_eq!(blocks(&transfer.on_ack(at(5), 11)), Some((12, 19)));
    assert_eq!(transfer.on_ack(at(5), 11), Step::Wait);
}

#[test]
fn forged_acks_outside_the_window_are_ignored() {
    let (mut transfer, _) = started(1_000_000, 1000, 4);
    for wire in 5..=65535u16 {
        assert_eq!(transfer.on_ack(at(2), wire), Step::Wait, "block {wire} was never sent");
    }
    assert_eq!(transfer.acked_bytes(), 0);
    assert_eq!(blocks(&transfer.on_ack(at(3), 4)), Some((5, 8)));
}

#[test]
fn block_numbers_wrap_past_65535() {
    let count = 70_000u64;
    let (mut transfer, mut step) = started(count as usize * 8, 8, 64);
    let mut last = 0;
    while let Some((_, end)) = blocks(&step) {
        last = end;
        step = transfer.on_ack(at(2), end as u16);
    }
    assert_eq!(step, Step::Done);
    // 70,000 whole blocks and the empty one that ends them.
    assert_eq!(last, count + 1);
}

#[test]
fn a_multiple_of_the_block_size_ends_with_an_empty_block() {
    let (mut transfer, _) = started(2000, 1000, 1);
    transfer.on_ack(at(2), 1);
    assert_eq!(blocks(&transfer.on_ack(at(3), 2)), Some((3, 3)));
    assert_eq!(transfer.block(3), b"");
    assert_eq!(transfer.on_ack(at(4), 3), Step::Done);
    let (transfer, first) = started(0, 1000, 1);
    assert_eq!(blocks(&first), Some((1, 1)));
    assert_eq!(transfer.block(1), b"");
}

#[test]
fn a_request_never_acknowledged_gives_up_soon() {
    let config = TftpConfig::default();
    let content = Bytes::from(vec![0; 100_000]);
    let (mut transfer, first) = Transfer::new(at(0), &request(None, None), content, &config);
    let mut sent = usize::from(blocks(&first).is_some());
    let end = loop {
        match transfer.on_time(transfer.deadline()) {
            Step::Fail(reason) => break reason,
            Step::Send { .. } => sent += 1,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end, FailReason::Silent);
    // What a forged source can be made to receive: one block and its few repeats.
    assert_eq!(sent, 1 + config.max_half_open_retries as usize);
    assert!(transfer.deadline() < at(20_000));
    assert!(transfer.over());
    assert_eq!(transfer.on_ack(at(30_000), 1), Step::Wait);
}

#[test]
fn sizes_are_clamped_to_the_wire_and_to_the_limit() {
    let config = TftpConfig { mtu: 1500, ..TftpConfig::default() };
    let (transfer, _) =
        Transfer::new(at(0), &request(Some(65464), Some(65535)), Bytes::from_static(b"x"), &config);
    assert_eq!(transfer.blksize(), 1468);
    assert_eq!(transfer.window(), 64);
    let said: Vec<u64> = transfer.oack().iter().map(|option| option.value).collect();
    assert_eq!(said, [1468, 64]);
}

#[test]
fn the_longest_transfer_ends() {
    let config = TftpConfig { max_transfer_s: 10, ..TftpConfig::default() };
    let (mut transfer, _) =
        Transfer::new(at(0), &request(Some(8), None), Bytes::from(vec![0; 1 << 20]), &config);
    // A client that acknowledges one block a second for ever.
    let mut now = 0;
    let mut wire = 0u16;
    let end = loop {
        now += 1000;
        if let Step::Fail(reason) = transfer.on_time(at(now)) {
            break reason;
        }
        transfer.on_ack(at(now), wire);
        wire = wire.wrapping_add(1);
        assert!(now < 60_000, "it must end");
    };
    assert_eq!(end, FailReason::TooLong);
}

proptest! {
    /// Whatever is acknowledged, whenever, and however time passes: what is sent lies within the window, and work is bounded.
    #[test]
    fn any_order_of_acks_and_time_keeps_the_window(
        len in 0usize..60_000,
        blksize in 8u16..2000,
        window in 1u16..100,
        moves in proptest::collection::vec((any::<u16>(), 0u64..5000, 0u8..4), 1..200),
    ) {
        let content = Bytes::from(vec![1; len]);
        let (mut transfer, _) = Transfer::new(at(0), &request(Some(blksize), Some(window)), content, &TftpConfig::default());
        let last = len as u64 / u64::from(transfer.blksize()) + 1;
        let mut now = 0;
        let mut sent = 0u64;
        for (wire, passed, kind) in moves {
            now += passed;
            let acked = transfer.acked_bytes() / u64::from(transfer.blksize());
            let step = match kind {
                0 => transfer.on_ack(at(now), wire),
                // Most random numbers mean nothing: take near ones as well.
                1 | 2 => transfer.on_ack(at(now), (acked as u16).wrapping_add(wire % 70)),
                _ => transfer.on_time(at(now)),
            };
            if let Some((first, end)) = blocks(&step) {
                sent = sent.max(end);
                prop_assert!(first >= 1 && first <= end && end <= last);
                prop_assert!(end - first < u64::from(transfer.window()));
                let bytes: usize = (first..=end).map(|b| transfer.block(b).len()).sum();
                prop_assert!(bytes <= usize::from(transfer.blksize()) * usize::from(transfer.window()));
            }
            prop_assert!(transfer.acked_bytes() <= sent.saturating_mul(u64::from(transfer.blksize())));
        }
    }

    /// A lossy wire with patient ends delivers every byte.
    #[test]
    fn loss_delays_but_delivers(
        len in 0usize..40_000,
        blksize in 8u16..1400,
        window in 1u16..40,
        seed: u64,
    ) {
        let content: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let config = TftpConfig { max_retries: 100, max_half_open_retries: 100, max_transfer_s: 100_000, ..TftpConfig::default() };
        let (mut transfer, mut step) = Transfer::new(at(0), &request(Some(blksize), Some(window)), Bytes::from(content.clone()), &config);
        let size = usize::from(transfer.blksize());
        let (mut got, mut next, mut now, mut dice) = (Vec::new(), 1u64, 0u64, seed);
        // One in eight is lost.
        let mut lost = move || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33).is_multiple_of(8)
        };
        loop {
            now += 1;
            let mut ack = None;
            match &step {
                Step::Done => break,
                Step::SendOack => if !lost() { ack = Some(0u16) },
                Step::Send { blocks, .. } => for block in blocks.clone() {
                    if lost() { continue }
                    if block == next {
                        got.extend_from_slice(transfer.block(block));
                        next += 1;
                    }
                    ack = Some((next - 1) as u16);
                },
                Step::Wait => {}
                Step::Fail(reason) => prop_assert!(false, "{reason:?}"),
            }
            step = match ack {
                Some(wire) if !lost() => transfer.on_ack(at(now), wire),
                _ => {
                    now = now.max(transfer.deadline().as_millis() as u64 + 1);
                    // The client repeats its last word when it hears nothing.
                    match transfer.on_time(at(now)) { Step::Wait => transfer.on_ack(at(now), (next - 1) as u16), other => other }
                }
            };
            prop_assert!(now < 90_000_000);
        }
        prop_assert_eq!(got.len(), content.len());
        prop_assert!(got == content);
        prop_assert!(size >= 8);
    }
}
