//! What is fuzzed: any bytes, in; the invariants, checked. Shared by the fuzz target, the replay test and the example.

use weft_boothttp::head::parse;
use weft_boothttp::range::{Part, part};

/// A head, and its `Range` against a size taken from the last bytes.
pub(crate) fn run(data: &[u8]) {
    let Ok(Some(head)) = parse(data) else { return };
    assert!(head.len <= data.len());
    assert!(head.path.split('/').all(|p| !p.is_empty() && p != "." && p != ".."));
    assert!(head.path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b':'));
    let size = data.iter().rev().take(8).fold(0u64, |size, byte| size << 8 | u64::from(*byte));
    for size in [size, 0, 1, 1 << 20] {
        if let Some(range) = &head.range
            && let Part::Slice { start, len } = part(range, size)
        {
            assert!(len > 0 && start < size && len <= size - start);
        }
    }
}
