//! What is fuzzed: any bytes, in; the invariants, checked. Shared by the fuzz target, the replay test and the example.

use std::time::Duration;

use weft_tftp::codec::{Reply, Request, clean_name};
use weft_tftp::transfer::{Step, Transfer};
use weft_tftp::{Bytes, TftpConfig};

/// A request, and behind its first double zero what the client does next: pairs of time and datagram bytes.
pub(crate) fn run(data: &[u8]) {
    let _ = Reply::parse(data);
    let Ok(request) = Request::parse(data) else { return };
    assert_eq!(clean_name(request.name.as_bytes()), Some(request.name.as_str()));
    let again = Request::parse(&request.encode()).expect("what is written can be read");
    assert_eq!(again, request);
    let config = TftpConfig::default();
    let content = Bytes::from(vec![1; data.len() * 40]);
    let size = content.len() as u64;
    let (mut transfer, _) = Transfer::new(Duration::ZERO, &request, content, &config);
    assert!(transfer.blksize() <= config.max_blksize() && (1..=64).contains(&transfer.window()));
    let mut now = Duration::ZERO;
    for move_ in data.chunks(3) {
        let [time, low, high] = move_ else { break };
        now += Duration::from_millis(u64::from(*time) * 20);
        let step = match low & 3 {
            0 => transfer.on_time(now),
            1 => transfer.on_ack(now, u16::from_be_bytes([*high, *low])),
            _ => transfer.on_ack(now, u16::from(low >> 2)),
        };
        if let Step::Send { blocks, .. } = step {
            assert!(*blocks.start() >= 1 && blocks.end() - blocks.start() < u64::from(transfer.window()));
            assert!((blocks.end() - 1) * u64::from(transfer.blksize()) <= size);
        }
        assert!(transfer.acked_bytes() <= size);
    }
}
