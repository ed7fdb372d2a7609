//! What travels beside a control message: the bytes of a page, or less.
//!
//! ```text
//!  0                               the page is all zeros
//!  4096 bytes                      all of it, as it lies in memory, so that a NIC can gather it
//!  2  base (u32)  runs…            changes against the contents with version `base`;
//!                                  a run is offset (u16), length (u16, at least 1), bytes
//! ```
//! Little-endian. Runs ascend and do not touch the same byte twice. Everything here comes from a peer:
//! [`inspect`] refuses what [`apply`] could not do.

use core::fmt;

use crate::types::Arrived;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// Longest payload.
pub const MAX_PAYLOAD: usize = PAGE_BYTES;
/// Longest difference: with it a page fits into one frame at an MTU of 1500.
pub const MAX_DIFF: usize = 1200;
/// Equal bytes between two runs below which they become one.
const GAP: usize = 4;
const RUN_HEADER: usize = 4;
const DIFF_HEADER: usize = 5;

const ZERO: u8 = 0;
const DIFF: u8 = 2;

/// Why bytes are no payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentError {
    /// Empty, torn, or with bytes to spare.
    Length,
    /// A kind that does not exist.
    Kind,
    /// A run that is empty, out of order or outside the page.
    Run,
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a payload that is torn or has bytes to spare",
            Self::Kind => "a payload of no known kind",
            Self::Run => "a run that is empty, out of order or outside the page",
        })
    }
}

impl core::error::Error for ContentError {}

/// Writes the payload of a page into `out` and returns its length. With a twin and the version of its
/// contents, a difference is written where that is shorter than [`MAX_DIFF`].
pub fn encode(
    page: &[u8; PAGE_BYTES],
    twin: Option<(u32, &[u8; PAGE_BYTES])>,
    out: &mut [u8; MAX_PAYLOAD],
) -> usize {
    if is_zero(page) {
        return put(out, 0, &[ZERO]);
    }
    if let Some((base, twin)) = twin
        && let Some(len) = diff(page, base, twin, out)
    {
        return len;
    }
    put(out, 0, page)
}

/// Whether all bytes are zero.
pub fn is_zero(page: &[u8; PAGE_BYTES]) -> bool {
    page.chunks(64).all(|line| line.iter().fold(0, |all, byte| all | byte) == 0)
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at.saturating_add(bytes.len());
    if let Some(room) = out.get_mut(at..end) {
        room.copy_from_slice(bytes);
    }
    end
}

fn diff(
    page: &[u8; PAGE_BYTES],
    base: u32,
    twin: &[u8; PAGE_BYTES],
    out: &mut [u8; MAX_PAYLOAD],
) -> Option<usize> {
    let mut len = put(out, 0, &[DIFF]);
    len = put(out, len, &base.to_le_bytes());
    let mut at = 0;
    while let Some((start, end)) = next_run(page, twin, at) {
        let bytes = page.get(start..end)?;
        if len + RUN_HEADER + bytes.len() > MAX_DIFF {
            return None;
        }
        len = put(out, len, &u16::try_from(start).ok()?.to_le_bytes());
        len = put(out, len, &u16::try_from(bytes.len()).ok()?.to_le_bytes());
        len = put(out, len, bytes);
        at = end;
    }
    Some(len)
}

/// The next changed bytes from `at` on, with short equal stretches inside.
fn next_run(page: &[u8; PAGE_BYTES], twin: &[u8; PAGE_BYTES], at: usize) -> Option<(usize, usize)> {
    let changed = |index: &usize| page.get(*index) != twin.get(*index);
    let mut start = at;
    // Equal stretches are skipped by eights.
    while let (Some(a), Some(b)) = (page.get(start..start + 8), twin.get(start..start + 8)) {
        if a != b {
            break;
        }
        start += 8;
    }
    let start = (start..PAGE_BYTES).find(changed)?;
    let mut end = start + 1;
    while let Some(more) = (end..PAGE_BYTES.min(end + GAP + 1)).find(changed) {
        end = more + 1;
    }
    Some((start, end))
}

/// What a payload is; everything in it was checked.
pub fn inspect(payload: &[u8]) -> Result<Arrived, ContentError> {
    if payload.len() == PAGE_BYTES {
        return Ok(Arrived::Whole);
    }
    let (kind, rest) = payload.split_first().ok_or(ContentError::Length)?;
    match (*kind, rest.len()) {
        (ZERO, 0) => Ok(Arrived::Zero),
        (ZERO, _) => Err(ContentError::Length),
        (DIFF, length) if length < MAX_DIFF => {
            let (base, runs) = rest.split_first_chunk::<4>().ok_or(ContentError::Length)?;
            walk(runs, |_, _| {})?;
            Ok(Arrived::Diff { base: u32::from_le_bytes(*base) })
        }
        (DIFF, _) => Err(ContentError::Length),
        (_, _) => Err(ContentError::Kind),
    }
}

/// What came beside a message: [`Arrived::Nothing`] for no bytes.
pub fn arrived(payload: &[u8]) -> Arrived {
    if payload.is_empty() { Arrived::Nothing } else { inspect(payload).unwrap_or(Arrived::Malformed) }
}

/// Visits the runs. Fails at the first one that is bad; those before it were visited.
fn walk(mut runs: &[u8], mut visit: impl FnMut(usize, &[u8])) -> Result<(), ContentError> {
    let mut free = 0;
    while !runs.is_empty() {
        let (head, rest) = runs.split_first_chunk::<RUN_HEADER>().ok_or(ContentError::Length)?;
        let [o0, o1, l0, l1] = *head;
        let start = usize::from(u16::from_le_bytes([o0, o1]));
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        if len == 0 || start < free || start + len > PAGE_BYTES {
            return Err(ContentError::Run);
        }
        let (bytes, after) = rest.split_at_checked(len).ok_or(ContentError::Length)?;
        visit(start, bytes);
        free = start + len;
        runs = after;
    }
    Ok(())
}

/// Puts a payload into a page. For a difference the page must hold the contents of its base; the caller
/// compares versions. On an error the page is unchanged.
pub fn apply(payload: &[u8], page: &mut [u8; PAGE_BYTES]) -> Result<(), ContentError> {
    match inspect(payload)? {
        Arrived::Zero => page.fill(0),
        Arrived::Whole => {
            put(page, 0, payload);
        }
        Arrived::Diff { .. } => walk(payload.get(DIFF_HEADER..).unwrap_or_default(), |start, bytes| {
            put(page, start, bytes);
        })?,
        Arrived::Nothing | Arrived::Malformed => return Err(ContentError::Kind),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % (bound as u64)).unwrap()
        }
    }

    fn round(page: &[u8; PAGE_BYTES], twin: Option<(u32, &[u8; PAGE_BYTES])>) -> (usize, Arrived) {
        let mut out = [0; MAX_PAYLOAD];
        let len = encode(page, twin, &mut out);
        let kind = inspect(&out[..len]).unwrap();
        let mut there = twin.map_or([0xee; PAGE_BYTES], |(_, twin)| *twin);
        apply(&out[..len], &mut there).unwrap();
        assert!(there == *page, "the page arrived changed");
        (len, kind)
    }

    #[test]
    fn pages_arrive_as_they_left_whatever_changed() {
        let mut random = Random(5);
        let twin: [u8; PAGE_BYTES] = core::array::from_fn(|_| u8::try_from(random.below(256)).unwrap());
        for changes in 0..300 {
            let mut page = twin;
            for _ in 0..changes {
                page[random.below(PAGE_BYTES)] ^= 0x55;
            }
            round(&page, None);
            round(&page, Some((changes, &twin)));
        }
    }

    #[test]
    fn a_page_is_as_short_as_it_can_be() {
        let mut page = [0; PAGE_BYTES];
        assert_eq!(round(&page, None), (1, Arrived::Zero));
        page[4095] = 1;
        assert_eq!(round(&page, None), (MAX_PAYLOAD, Arrived::Whole));
        assert_eq!(round(&page, Some((9, &[0; PAGE_BYTES]))), (10, Arrived::Diff { base: 9 }));
        assert_eq!(round(&page, Some((9, &page.clone()))), (5, Arrived::Diff { base: 9 }));
        // A difference that saves nothing is none.
        assert_eq!(round(&[7; PAGE_BYTES], Some((9, &page))), (MAX_PAYLOAD, Arrived::Whole));
    }

    #[test]
    fn bad_payloads_are_refused_and_change_nothing() {
        let run = |start: u16, len: u16, bytes: &[u8]| {
            let mut out = alloc::vec![DIFF, 1, 0, 0, 0];
            out.extend(start.to_le_bytes());
            out.extend(len.to_le_bytes());
            out.extend(bytes);
            out
        };
        let mut twice = run(8, 2, &[1, 2]);
        twice.extend([9, 0, 1, 0, 5]);
        for (bytes, error) in [
            (alloc::vec![], ContentError::Length),
            (alloc::vec![3], ContentError::Kind),
            (alloc::vec![ZERO, 0], ContentError::Length),
            (alloc::vec![1; 100], ContentError::Kind),
            (alloc::vec![DIFF, 1, 0], ContentError::Length),
            (alloc::vec![DIFF; PAGE_BYTES - 1], ContentError::Length),
            (run(4095, 2, &[1, 2]), ContentError::Run),
            (run(0, 0, &[]), ContentError::Run),
            (run(0, 3, &[1, 2]), ContentError::Length),
            (run(65535, 65535, &[1]), ContentError::Run),
            (twice, ContentError::Run),
        ] {
            let mut page = [0xaa; PAGE_BYTES];
            assert_eq!(apply(&bytes, &mut page), Err(error), "{bytes:?}");
            assert!(page == [0xaa; PAGE_BYTES]);
        }
    }
}
