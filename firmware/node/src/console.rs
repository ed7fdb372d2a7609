//! What a guest printed: the last 64 KiB, by position since its instance started.
//!
//! The appliance has seen everything up to `sent`. A new connection rewinds `sent` to the oldest byte kept,
//! so that an appliance which was away (or is another one) gets the history; the positions tell it what it
//! has already.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use weft_wire::agent::MAX_CONSOLE_OUTPUT;

/// Bytes kept.
pub(crate) const HISTORY: usize = 64 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct History {
    bytes: VecDeque<u8>,
    /// Position of the first byte kept.
    start: u64,
    /// Position of the first byte not sent.
    sent: u64,
}

impl History {
    /// Forgets everything: a new instance starts.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    /// Adds output, at the cost of the oldest.
    pub(crate) fn add(&mut self, output: &[u8]) {
        let kept = output.get(output.len().saturating_sub(HISTORY)..).unwrap_or(&[]);
        let skipped = output.len() - kept.len();
        let excess = (self.bytes.len() + kept.len()).saturating_sub(HISTORY);
        self.bytes.drain(..excess);
        self.start = self.start.saturating_add((excess + skipped) as u64);
        self.bytes.extend(kept);
        self.sent = self.sent.max(self.start);
    }

    /// Everything kept is to be sent again.
    pub(crate) fn rewind(&mut self) {
        self.sent = self.start;
    }

    /// The next bytes to send with their position.
    pub(crate) fn next(&mut self) -> Option<(u64, Vec<u8>)> {
        let position = self.sent;
        let skip = usize::try_from(position.checked_sub(self.start)?).ok()?;
        let bytes: Vec<u8> = self.bytes.iter().skip(skip).take(MAX_CONSOLE_OUTPUT).copied().collect();
        if bytes.is_empty() {
            return None;
        }
        self.sent = position.saturating_add(bytes.len() as u64);
        debug_assert!(self.sent <= self.end());
        Some((position, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(history: &mut History) -> Vec<(u64, Vec<u8>)> {
        core::iter::from_fn(|| history.next()).collect()
    }

    #[test]
    fn output_leaves_once_and_in_pieces() {
        let mut history = History::default();
        history.add(&[7; MAX_CONSOLE_OUTPUT + 3]);
        let pieces = drain(&mut history);
        let shape: Vec<_> = pieces.iter().map(|(at, bytes)| (*at, bytes.len())).collect();
        assert_eq!(shape, [(0, MAX_CONSOLE_OUTPUT), (MAX_CONSOLE_OUTPUT as u64, 3)]);
        assert_eq!(drain(&mut history), []);
    }

    #[test]
    fn a_flood_keeps_the_newest_bytes_at_their_positions() {
        let mut history = History::default();
        for round in 0..40_u8 {
            history.add(&[round; 4096]);
        }
        let pieces = drain(&mut history);
        let total: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(total, HISTORY);
        assert_eq!(pieces.first().map(|(at, bytes)| (*at, bytes[0])), Some((24 * 4096, 24)));
    }

    #[test]
    fn one_output_larger_than_the_history_keeps_its_end() {
        let mut history = History::default();
        let mut output = alloc::vec![1; HISTORY + 10];
        output[HISTORY + 9] = 2;
        history.add(&output);
        let pieces = drain(&mut history);
        assert_eq!(pieces[0].0, 10);
        assert_eq!(pieces.last().and_then(|(_, bytes)| bytes.last().copied()), Some(2));
    }

    #[test]
    fn a_rewound_history_is_sent_again() {
        let mut history = History::default();
        history.add(b"login: ");
        assert_eq!(drain(&mut history).len(), 1);
        history.rewind();
        assert_eq!(drain(&mut history), [(0, b"login: ".to_vec())]);
    }
}
