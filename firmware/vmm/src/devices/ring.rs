//! Console output on its way out: a bounded ring whose bytes are numbered from the guest's start.
//!
//! A guest writes as fast as it likes. When nobody reads, the oldest bytes give way, and the numbers
//! tell the reader how many are missing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The ring. Bytes `start()` to `end()` are held.
#[derive(Debug)]
pub struct OutputRing {
    bytes: VecDeque<u8>,
    capacity: usize,
    end: u64,
}

impl OutputRing {
    /// An empty ring of `capacity` bytes at most.
    pub fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), capacity, end: 0 }
    }

    /// Number of the oldest byte held.
    pub fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    /// Number that the next byte will get: all that the guest has written.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds bytes; the oldest give way.
    pub fn push(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        let kept = bytes.len().min(self.capacity);
        let excess = (self.bytes.len() + kept).saturating_sub(self.capacity);
        self.bytes.drain(..excess);
        self.bytes.extend(bytes.iter().skip(bytes.len() - kept));
    }

    /// At most `limit` bytes from number `from` on, or from the oldest held if that is later, and the
    /// number of the first.
    pub fn read_from(&self, from: u64, limit: usize) -> (u64, Vec<u8>) {
        let first = from.clamp(self.start(), self.end);
        let skip = (first - self.start()) as usize;
        (first, self.bytes.iter().skip(skip).take(limit).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bytes_give_way_and_the_numbers_show_it() {
        let mut ring = OutputRing::new(4);
        ring.push(b"abc");
        assert_eq!(ring.read_from(0, 10), (0, b"abc".to_vec()));
        ring.push(b"def");
        assert_eq!((ring.start(), ring.end()), (2, 6));
        assert_eq!(ring.read_from(0, 10), (2, b"cdef".to_vec()));
        ring.push(b"0123456789");
        assert_eq!(ring.read_from(0, 10), (12, b"6789".to_vec()));
    }

    #[test]
    fn reading_goes_on_where_it_stopped() {
        let mut ring = OutputRing::new(8);
        ring.push(b"abcdef");
        assert_eq!(ring.read_from(0, 4), (0, b"abcd".to_vec()));
        assert_eq!(ring.read_from(4, 4), (4, b"ef".to_vec()));
        assert_eq!(ring.read_from(6, 4), (6, b"".to_vec()));
        assert_eq!(ring.read_from(99, 4), (6, b"".to_vec()));
    }
}
